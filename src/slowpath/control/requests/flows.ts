/** Flow table changes and flow statistics (OpenFlow 1.3.5 §7.3.4.1, §7.3.5.2, §7.3.5.3). */
import { checkActions } from "../../../openflow/actions/check.ts";
import { OfError } from "../../../openflow/errors.ts";
import type { FlowMod, FlowStats, FlowStatsRequest } from "../../../openflow/messages/types.ts";
import { FLOW_FLAGS } from "../../../openflow/messages/types.ts";
import { OF10, PORTS } from "../../../openflow/version.ts";
import { FlowKey } from "../../../packet/key.ts";
import type { Rule } from "../../pipeline/rule.ts";
import { TABLE_OWN } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";
import { releaseBuffer } from "./packets.ts";

export function answerFlowMod(agent: Agent, request: FlowMod, bytes: Uint8Array): void {
  applyFlowMod(agent, request);
  releaseFlowModBuffer(agent, request, bytes);
}

/** `checked`: with `checkFlowMod`, when it came. */
export function applyFlowMod(agent: Agent, request: FlowMod, checked = false): void {
  if (!checked) checkFlowMod(agent, request);
  agent.bridge.tables.apply(request, agent);
  agent.flowMods.count(request.command);
}

/** Throws if the request cannot be good, whatever the tables hold. */
export function checkFlowMod(agent: Agent, request: FlowMod): void {
  if (request.flags & FLOW_FLAGS.EMERGENCY) {
    throw new OfError("OFPFMFC_TABLE_FULL", 0, "there is no emergency flow table");
  }
  checkActions(request.actions, request.match, {
    table: request.table,
    lenient: agent.version === OF10,
  });
  if (request.command === "add" && request.table === TABLE_OWN) {
    throw new OfError("OFPBRC_EPERM", 0, `table ${TABLE_OWN} is the switch's own`);
  }
}

/** Afterwards, the packet that the flow-mod names. `bytes` is the message, for an error. */
export function releaseFlowModBuffer(agent: Agent, request: FlowMod, bytes: Uint8Array): void {
  const deletes = request.command === "delete" || request.command === "delete_strict";
  if (request.bufferId === undefined || deletes) return;
  // The flow stays even if the buffer is gone: only the packet's error is reported.
  try {
    sendBuffered(agent, request, request.bufferId);
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
    agent.sendError(bytes, error);
  }
}

/** Sends the packet that a flow-mod names on its way, now that the flow is there. */
function sendBuffered(agent: Agent, request: FlowMod, bufferId: number): void {
  const { packet, inPort } = releaseBuffer(agent, bufferId);
  // OpenFlow 1.0 applies the flow's actions; later versions run the packet through the tables.
  const actions = agent.version === OF10
    ? request.actions
    : [{ type: "output", port: PORTS.TABLE, maxLength: 0 }] as const;
  agent.bridge.preparePacketOut(packet, inPort, actions).send();
}

export function answerFlowStats(
  agent: Agent,
  request: FlowStatsRequest,
  xid: number,
): void | Promise<void> {
  const { tables, clock } = agent.bridge;
  const form = request.form === undefined ? {} : { form: request.form };
  if (request.type === "aggregate_stats_request") {
    const { packets, bytes, flows } = tables.aggregate(request);
    return agent.send({
      type: "aggregate_stats_reply",
      ...form,
      packets: BigInt(packets),
      bytes: BigInt(bytes),
      flows,
    }, xid);
  }
  const now = clock.now();
  // Who is in the answer is settled now, while the tables stand still; it may be long on its way.
  const rules = tables.list(request);
  const { connection } = agent;
  if (request.type === "flow_counts_request") {
    const message = { type: "flow_counts_reply", flows: [] } as const;
    return connection.sendList(message, countRules(rules, now), xid);
  }
  const message = { type: "flow_stats_reply", ...form, flows: [] } as const;
  return connection.sendList(message, describeRules(rules, now), xid);
}

/** One after the other, in the same key: each is good until the next is asked for. */
function* describeRules(rules: readonly Rule[], nowMs: number): Generator<FlowStats, void> {
  const key = new FlowKey();
  for (const rule of rules) yield describeRule(rule, nowMs, rule.matchInto(key));
}

function* countRules(rules: readonly Rule[], nowMs: number): Generator<unknown, void> {
  for (const flow of describeRules(rules, nowMs)) yield { ...flow, reason: "request" };
}

export function describeRule(rule: Rule, nowMs: number, match = rule.match()): FlowStats {
  const age = Math.max(0, Math.floor(nowMs - rule.createdMs));
  const seconds = (since: number) => Math.max(0, Math.floor((nowMs - since) / 1000));
  return {
    table: rule.table,
    match,
    priority: rule.priority,
    cookie: rule.cookie,
    durationSeconds: Math.floor(age / 1000),
    durationNanoseconds: (age % 1000) * 1e6,
    idleTimeout: rule.idleTimeout,
    hardTimeout: rule.hardTimeout,
    idleAge: seconds(rule.usedMs),
    hardAge: seconds(rule.modifiedMs),
    importance: rule.importance,
    flags: rule.flags,
    packets: rule.flags & FLOW_FLAGS.NO_PKT_COUNTS ? undefined : BigInt(rule.packets),
    bytes: rule.flags & FLOW_FLAGS.NO_BYT_COUNTS ? undefined : BigInt(rule.bytes),
    actions: rule.actions,
  };
}
