/** Groups (OpenFlow 1.3.5 §7.3.4.2, §7.3.5.9–§7.3.5.11; 1.5.1 §7.3.4.3). */
import type { GroupMod, GroupRequest } from "../../../openflow/messages/types.ts";
import { OF11 } from "../../../openflow/version.ts";
import type { Group } from "../../pipeline/groups.ts";
import { MAX_GROUP } from "../../pipeline/group-check.ts";
import type { Agent } from "../agent.ts";
import { actionBits } from "./abilities.ts";

/** All four types. */
const TYPES = 0b1111;
/** OFPGFC_SELECT_WEIGHT, SELECT_LIVENESS, CHAINING. */
const CAPABILITIES = 0b0111;

export function applyGroupMod(agent: Agent, request: GroupMod): void {
  agent.bridge.tables.groups.apply(request, agent);
}

export function answerGroupRequest(agent: Agent, request: GroupRequest, xid: number): void {
  const { groups } = agent.bridge.tables;
  const form = request.form === undefined ? {} : { form: request.form };
  const chosen = groups.select(request.group);
  if (request.type === "group_desc_request") {
    const described = chosen.map(({ id, type, buckets, selection }) => ({
      group: id,
      groupType: type,
      buckets,
      ...(selection && { selection }),
    }));
    return agent.send({ type: "group_desc_reply", ...form, groups: described }, xid);
  }
  const stats = chosen.map((group) => statsOf(agent, group));
  agent.send({ type: "group_stats_reply", ...form, groups: stats }, xid);
}

function statsOf(agent: Agent, group: Group) {
  const ageMs = Math.max(0, Math.floor(agent.bridge.clock.now() - group.createdMs));
  return {
    group: group.id,
    references: agent.bridge.tables.groups.references(group.id),
    packets: BigInt(group.packets),
    bytes: BigInt(group.bytes),
    durationSeconds: Math.floor(ageMs / 1000),
    durationNanoseconds: (ageMs % 1000) * 1e6,
    buckets: group.counts.map(({ packets, bytes }) => ({
      packets: BigInt(packets),
      bytes: BigInt(bytes),
    })),
  };
}

export function answerGroupFeatures(agent: Agent, xid: number): void {
  const actions = actionBits(agent.version);
  agent.send({
    type: "group_features_reply",
    // Versions without this request have it as an extension.
    ...(agent.version <= OF11 && { form: "nicira" }),
    types: TYPES,
    capabilities: CAPABILITIES,
    maxGroups: [MAX_GROUP, MAX_GROUP, MAX_GROUP, MAX_GROUP],
    actions: [actions, actions, actions, actions],
  }, xid);
}
