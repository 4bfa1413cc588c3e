/** What the switch is and how it is set (OpenFlow 1.3.5 §7.3.1, §7.3.2, §7.3.5.1). */
import { CAPABILITIES, type SwitchConfig } from "../../../openflow/messages/types.ts";
import { OF10, OF12 } from "../../../openflow/version.ts";
import { USER_TABLES } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";
import { packetInBit } from "../async-config.ts";
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

/** OFPC_INVALID_TTL_TO_CONTROLLER is another word for this reason of packet-ins. */
const INVALID_TTL = packetInBit("invalid_ttl", OF10);

export function answerGetConfig(agent: Agent, xid: number): void {
  agent.send({
    type: "get_config_reply",
    fragments: agent.bridge.fragMode,
    invalidTtlToController: (agent.async.packet_in.primary & INVALID_TTL) !== 0,
    missSendLength: agent.missSendLength,
  }, xid);
}

export function answerSetConfig(agent: Agent, request: SwitchConfig): void {
  const { bridge } = agent;
  const mayChangeSwitch = agent.kind !== "primary" || agent.role !== "secondary";
  const { fragments } = request;
  if (mayChangeSwitch && fragments !== bridge.fragMode) {
    // As Open vSwitch: what is asked for besides is done, and the reply to a question tells the mode.
    if (fragments !== "reassemble") bridge.setFragmentMode(fragments);
    else agent.log.warn(`${bridge.name}: unsupported fragment handling mode ${fragments}`);
  }
  if (request.invalidTtlToController !== undefined) {
    const { primary, secondary } = agent.async.packet_in;
    const on = request.invalidTtlToController;
    const reasons = on ? primary | INVALID_TTL : primary & ~INVALID_TTL;
    agent.async = { ...agent.async, packet_in: { primary: reasons, secondary } };
  }
  agent.missSendLength = request.missSendLength;
  agent.agents.changed();
}

export function answerDesc(agent: Agent, xid: number): void {
  agent.send({ type: "desc_reply", ...agent.bridge.description }, xid);
}
