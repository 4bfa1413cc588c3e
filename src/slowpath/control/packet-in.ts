/**
 * Delivery of packets to one connection: whether it wants them, buffered or whole, in its format.
 *
 * Buffering (point 5 of the seed): a packet that no flow matched is kept in one of the connection's
 * 256 buffers and only its head is sent (buffers.ts says when there is room). A packet that an action
 * sends to the controller is never buffered and is sent whole. The versions decide the rest:
 * - A table-miss flow of OpenFlow 1.3 that asks for OFPCML_NO_BUFFER (0xffff) bytes gets none, and
 *   so does a miss_send_len of 0xffff from OpenFlow 1.2 on (OpenFlow 1.3.5 §A.3.2).
 * - What the connection sees is always a plain frame: a super-packet that segmentation offload left
 *   in one piece becomes one packet-in a segment, unless it is buffered: then its first segment's
 *   head stands for it, and the whole leaves when the buffer is released.
 */
import type { PacketIn as PacketInMessage } from "../../openflow/messages/types.ts";
import { OF12 } from "../../openflow/version.ts";
import type { Match } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import { plainFrames } from "../../packet/vnet.ts";
import type { PacketIn } from "../pipeline/model.ts";
import type { Agent } from "./agent.ts";
import { packetInBit } from "./async-config.ts";
import { NO_BUFFER } from "./buffers.ts";

const UNLIMITED = 0xffff;
/** What fits a message of 65535 bytes beside any packet-in header with its metadata. */
const MAX_PACKET_BYTES = 0xffff - 1024;

/** Sends `packetIn` to the connection, if that wants it. */
export function deliverPacketIn(agent: Agent, packetIn: PacketIn): void {
  if (agent.controllerId !== packetIn.controllerId) return;
  if (!agent.wants("packet_in", packetInBit(packetIn.reason, agent.version))) return;
  const isMiss = packetIn.reason.endsWith("_miss") || packetIn.reason === "no_match";
  const port = packetIn.key.get(FIELDS.in_port);
  agent.rateLimits.submit(isMiss, port, () => sendPacketIn(agent, packetIn));
}

function sendPacketIn(agent: Agent, packetIn: PacketIn): void {
  if (agent.connection.backlog >= agent.packetInQueue) {
    agent.connection.counters.packetInsDropped++;
    return;
  }
  let frames: Uint8Array[];
  try {
    frames = plainFrames(packetIn.packet.data, packetIn.packet.vnet);
  } catch (error) {
    agent.log.dbg(`${agent.name}: dropping a packet-in: ${String(error)}`);
    agent.connection.counters.packetInsDropped++;
    return;
  }
  const metadata = agent.agents.metadata.of(packetIn.key);
  const limit = bufferedLength(agent, packetIn);
  if (limit !== undefined) {
    const inPort = packetIn.key.get(FIELDS.in_port);
    const bufferId = agent.buffers.store({ packet: packetIn.packet, inPort });
    if (bufferId !== NO_BUFFER) {
      const head = frames[0]!.subarray(0, Math.min(limit, MAX_PACKET_BYTES));
      const total = frames.length === 1 ? frames[0]!.length : packetIn.packet.data.length;
      return send(agent, packetIn, metadata, head, Math.min(total, 0xffff), bufferId);
    }
  }
  for (const frame of frames) {
    const sent = frame.length > MAX_PACKET_BYTES ? frame.subarray(0, MAX_PACKET_BYTES) : frame;
    send(agent, packetIn, metadata, sent, frame.length, undefined);
  }
}

/** Bytes to send of a packet that is buffered; undefined if it must not be. */
function bufferedLength(agent: Agent, packetIn: PacketIn): number | undefined {
  if (!packetIn.bufferable) return undefined;
  if (packetIn.reason === "explicit_miss") {
    return packetIn.maxLen === UNLIMITED ? undefined : packetIn.maxLen;
  }
  const { missSendLength, version } = agent;
  return missSendLength === UNLIMITED && version >= OF12 ? undefined : missSendLength;
}

function send(
  agent: Agent,
  packetIn: PacketIn,
  metadata: Match,
  packet: Uint8Array,
  totalLength: number,
  bufferId: number | undefined,
): void {
  const { packetInFormat } = agent;
  const continuation = packetInFormat === "nicira2" && packetIn.continuation
    ? agent.bridge.continuations.encode(packetIn.continuation, agent.version)
    : undefined;
  agent.notify(
    {
      type: "packet_in",
      ...(packetInFormat !== "standard" && { form: packetInFormat }),
      reason: packetIn.reason,
      table: packetIn.tableId,
      cookie: packetIn.cookie,
      ...(bufferId !== undefined && { bufferId }),
      totalLength,
      packet,
      metadata,
      ...(packetInFormat === "nicira2" && packetIn.userdata && { userdata: packetIn.userdata }),
      ...(continuation && { continuation }),
    } satisfies PacketInMessage,
  );
}
