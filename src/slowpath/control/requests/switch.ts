/** What the switch is and how it is set (OpenFlow 1.3.5 §7.3.1, §7.3.2, §7.3.5.1). */
import { OfError } from "../../../openflow/errors.ts";
import { CAPABILITIES, type SwitchConfig } from "../../../openflow/messages/types.ts";
import { OF10, OF12 } from "../../../openflow/version.ts";
import { USER_TABLES } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";
import { actionBits } from "./abilities.ts";

export function answerFeatures(agent: Agent, xid: number): void {
  const { bridge } = agent;
  agent.send({
    type: "features_reply",
    datapathId: bridge.datapathId,
    buffers: agent.buffers.count,
    tables: USER_TABLES,
    auxiliaryId: 0,
    capabilities: CAPABILITIES.FLOW_STATS | CAPABILITIES.TABLE_STATS | CAPABILITIES.PORT_STATS |
      CAPABILITIES.QUEUE_STATS | CAPABILITIES.ARP_MATCH_IP | CAPABILITIES.GROUP_STATS |
      CAPABILITIES.BUNDLES,
    actions: actionBits(OF10),
    ports: agent.version <= OF12 ? [...bridge.ports.values()].map((port) => port.describe()) : [],
  }, xid);
}

export function answerGetConfig(agent: Agent, xid: number): void {
  agent.send({
    type: "get_config_reply",
    fragments: agent.bridge.fragMode,
    invalidTtlToController: agent.invalidTtlToController,
    missSendLength: agent.missSendLength,
  }, xid);
}

export function answerSetConfig(agent: Agent, request: SwitchConfig): void {
  const { bridge } = agent;
  if (request.fragments === "reassemble") {
    throw new OfError("OFPSCFC_BAD_FLAGS", 8, "this switch does not reassemble fragments");
  }
  const mayChangeSwitch = agent.kind !== "primary" || agent.role !== "secondary";
  if (mayChangeSwitch && request.fragments !== bridge.fragMode) {
    bridge.setFragmentMode(request.fragments);
  }
  if (request.invalidTtlToController !== undefined) {
    agent.invalidTtlToController = request.invalidTtlToController;
    bridge.setInvalidTtlToController([...agent.agents].some((a) => a.invalidTtlToController));
  }
  agent.missSendLength = request.missSendLength;
  agent.agents.changed();
}

export function answerDesc(agent: Agent, xid: number): void {
  agent.send({ type: "desc_reply", ...agent.bridge.description }, xid);
}
