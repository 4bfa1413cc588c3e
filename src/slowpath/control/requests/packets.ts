/** Packets that a controller sends or releases (OpenFlow 1.3.5 §7.3.7). */
import { OfError } from "../../../openflow/errors.ts";
import type { PacketOut, Resume } from "../../../openflow/messages/types.ts";
import { PORTS } from "../../../openflow/version.ts";
import type { PreparedPacketOut } from "../../cache/upcalls.ts";
import { groupsOf } from "../../pipeline/action-targets.ts";
import type { Agent } from "../agent.ts";
import type { BufferedPacket } from "../buffers.ts";

/** An Ethernet header. */
const MIN_PACKET_BYTES = 14;

export function answerPacketOut(agent: Agent, request: PacketOut): void {
  preparePacketOut(agent, request).send();
}

export function preparePacketOut(agent: Agent, request: PacketOut): PreparedPacketOut {
  const { inPort, actions } = request;
  const isPhysical = inPort < PORTS.MAX;
  if (
    !isPhysical && inPort !== PORTS.LOCAL && inPort !== PORTS.NONE && inPort !== PORTS.CONTROLLER
  ) {
    throw new OfError("OFPBRC_BAD_PORT", 0, `a packet cannot have come in by port ${inPort}`);
  }
  for (const group of groupsOf(actions)) {
    if (agent.bridge.tables.groups.get(group)) continue;
    throw new OfError("OFPBAC_BAD_OUT_GROUP", 0, `there is no group ${group}`);
  }
  if (request.bufferId !== undefined) {
    const { packet } = releaseBuffer(agent, request.bufferId);
    return agent.bridge.preparePacketOut(packet, inPort, actions, request.metadata);
  }
  if (request.packet.length < MIN_PACKET_BYTES) {
    throw new OfError(
      "OFPBRC_BAD_LEN",
      0,
      `a packet of ${request.packet.length} bytes is shorter than an Ethernet header`,
    );
  }
  const packet = { data: request.packet };
  return agent.bridge.preparePacketOut(packet, inPort, actions, request.metadata);
}

/** NXT_RESUME: a packet that a `controller(pause)` held goes on where it stopped. */
export function answerResume(agent: Agent, request: Resume): void {
  const error = agent.bridge.continuations.resume(request, agent.version);
  if (error !== undefined) throw new OfError(error, 0, "the packet cannot go on");
}

/** Takes a packet out of its buffer; throws the error that OpenFlow has for a wrong id. */
export function releaseBuffer(agent: Agent, bufferId: number): BufferedPacket {
  const result = agent.buffers.release(bufferId);
  if (result.ok) return result.buffered;
  const id = `0x${bufferId.toString(16)}`;
  throw result.error === "empty"
    ? new OfError("OFPBRC_BUFFER_EMPTY", 0, `buffer ${id} was released before`)
    : new OfError("OFPBRC_BUFFER_UNKNOWN", 0, `there is no buffer ${id} (any more)`);
}
