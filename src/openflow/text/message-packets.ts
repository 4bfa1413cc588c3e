/** Text of packets to and from controllers, and of what becomes of flows. */
import { FIELDS } from "../../packet/layout.ts";
import { formatPort } from "../../packet/text.ts";
import type { PacketInReason } from "../actions/types.ts";
import type { FlowRemoved, FlowUpdate, MessageOf } from "../messages/types.ts";
import { FLOW_MONITOR_FLAGS } from "../messages/types.ts";
import { GROUP_ANY, type OfVersion, PORTS } from "../version.ts";
import { formatActions } from "./actions-format.ts";
import { formatContinuation } from "./continuation.ts";
import { formatDuration } from "./flow.ts";
import { bitNames, hexDump } from "./hex-dump.ts";
import { formatMatch } from "./match.ts";
import { formatTable, type TextNames } from "./names.ts";
import { formatPacket } from "./packet.ts";
import { alternateHex, formatHexBytes, hex } from "./scan.ts";

const NO_COOKIE = 0xffff_ffff_ffff_ffffn;

/** Misses that have a reason of their own are not told apart here. */
export const formatReason = (reason: PacketInReason): string =>
  reason === "explicit_miss" || reason === "implicit_miss" ? "" : reason;

const word = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`;

export function formatPacketIn(
  message: MessageOf<"packet_in" | "resume">,
  version: OfVersion,
  verbosity: number,
  names?: TextNames,
): string {
  const { table, cookie, packet, metadata, reason, userdata, continuation } = message;
  const isIn = message.type === "packet_in";
  const total = isIn ? message.totalLength : packet.length;
  const bufferId = isIn ? message.bufferId : undefined;
  let text = "";
  if (table !== 0 || names?.tables?.nameOf(0) !== undefined) {
    text += ` table_id=${formatTable(table, names)}`;
  }
  if (cookie !== NO_COOKIE) text += ` cookie=${hex(cookie)}`;
  text += ` total_len=${total} ${formatMatch(metadata, undefined, names)}`;
  text += ` (via ${formatReason(reason)}) data_len=${packet.length}`;
  if (bufferId === undefined) {
    text += " (unbuffered)";
    if (total !== packet.length) text += " (***total_len != data_len***)";
  } else {
    text += ` buffer=${word(bufferId)}`;
    if (total < packet.length) text += " (***total_len < data_len***)";
  }
  text += "\n";
  if (userdata && userdata.length > 0) text += ` userdata=${formatHexBytes(userdata)}\n`;
  if (continuation) text += formatContinuation(continuation, version, names);
  return text + formatFrame(packet, metadata.key.get(FIELDS.packet_type), verbosity);
}

function formatFrame(packet: Uint8Array, packetType: number, verbosity: number): string {
  const text = verbosity > 0 ? formatPacket(packet, packetType) : "";
  return verbosity > 2 ? text + hexDump(packet, false) : text;
}

export function formatPacketOut(
  message: MessageOf<"packet_out">,
  verbosity: number,
  names?: TextNames,
): string {
  const { metadata, actions, packet, bufferId } = message;
  const text = ` ${formatMatch(metadata, undefined, names)} ` +
    `actions=${formatActions(actions, names)}`;
  if (bufferId !== undefined) return `${text} buffer=${word(bufferId)}`;
  const packetType = metadata.key.get(FIELDS.packet_type);
  const shown = verbosity > 0 && packet.length > 0 ? `\n${formatPacket(packet, packetType)}` : "";
  const dump = verbosity > 2 ? hexDump(packet, false) : "";
  return `${text} data_len=${packet.length}${shown}${dump}`;
}

const REMOVED: Readonly<Record<FlowRemoved["reason"], string>> = {
  idle_timeout: "idle",
  hard_timeout: "hard",
  delete: "delete",
  group_delete: "group_delete",
  meter_delete: "meter_delete",
  eviction: "eviction",
};
export const formatRemovedReason = (reason: FlowRemoved["reason"]): string => REMOVED[reason];

const count = (value: bigint | undefined): bigint => value ?? 0xffff_ffff_ffff_ffffn;

export function formatFlowRemoved(message: MessageOf<"flow_removed">, names?: TextNames): string {
  const { match, priority, table, cookie, idleTimeout, hardTimeout } = message;
  let text = ` ${formatMatch(match, priority, names)} reason=${REMOVED[message.reason]}`;
  if (table !== 0xff) text += ` table_id=${formatTable(table, names)}`;
  if (cookie !== 0n) text += ` cookie:${hex(cookie)}`;
  text += ` duration${formatDuration(message.durationSeconds, message.durationNanoseconds)}`;
  text += ` idle${idleTimeout}`;
  if (hardTimeout !== 0) text += ` hard${hardTimeout}`;
  return `${text} pkts${count(message.packets)} bytes${count(message.bytes)}\n`;
}

/** OpenFlow 1.5's counters without instructions; there is no text of Open vSwitch's to follow. */
export function formatFlowCounts(
  { flows }: MessageOf<"flow_counts_reply">,
  names?: TextNames,
): string {
  return flows.map((flow) => {
    const duration = formatDuration(flow.durationSeconds, flow.durationNanoseconds);
    const match = formatMatch(flow.match, flow.priority, names);
    return `\n duration=${duration}, table=${formatTable(flow.table, names)}, ` +
      `n_packets=${flow.packets ?? "?"}, n_bytes=${flow.bytes ?? "?"}, ` +
      `reason=${flow.reason}${match === "" ? "" : ` ${match}`}`;
  }).join("");
}

const MONITOR_FLAGS = [
  [FLOW_MONITOR_FLAGS.INITIAL, "initial"],
  [FLOW_MONITOR_FLAGS.ADD, "add"],
  [FLOW_MONITOR_FLAGS.DELETE, "delete"],
  [FLOW_MONITOR_FLAGS.MODIFY, "modify"],
  [FLOW_MONITOR_FLAGS.ACTIONS, "actions"],
  [FLOW_MONITOR_FLAGS.OWN, "no-abbrev"],
  [FLOW_MONITOR_FLAGS.ONLY_OWN, "own"],
] as const;

export function formatMonitorRequest(
  { monitors, form }: MessageOf<"flow_monitor_request">,
  names?: TextNames,
): string {
  // Nicira's "own" is what OpenFlow 1.4 calls so, in another bit.
  const told = (flags: number): number =>
    form !== undefined && flags & FLOW_MONITOR_FLAGS.OWN
      ? (flags & ~FLOW_MONITOR_FLAGS.OWN) | FLOW_MONITOR_FLAGS.ONLY_OWN
      : flags;
  return monitors.map(({ id, command, flags, outPort, outGroup, table, match }) => {
    if (command === "delete") return `\n id=${id} command=delete`;
    let text = `\n id=${id} flags=${bitNames(told(flags), MONITOR_FLAGS, ",")}`;
    if (outPort !== PORTS.NONE) text += ` out_port=${formatPort(outPort, names)}`;
    if (outGroup !== 0 && outGroup !== GROUP_ANY) text += ` out_group=${outGroup | 0}`;
    if (table !== 0xff) text += ` table=${formatTable(table, names)}`;
    return `${text} ${formatMatch(match, undefined, names)}`.trimEnd();
  }).join("");
}

function formatUpdate(update: FlowUpdate, names?: TextNames): string {
  if (update.event === "abbrev") return `\n event=ABBREV xid=${hex(update.xid)}`;
  if (!("match" in update)) return `\n event=${update.event.toUpperCase()}`;
  let text = `\n event=${update.event.toUpperCase()}`;
  if (update.event === "deleted") text += ` reason=${REMOVED[update.reason]}`;
  text += ` table=${formatTable(update.table, names)}`;
  if (update.idleTimeout !== 0) text += ` idle_timeout=${update.idleTimeout}`;
  if (update.hardTimeout !== 0) text += ` hard_timeout=${update.hardTimeout}`;
  text += ` cookie=${alternateHex(update.cookie)} `;
  text += formatMatch(update.match, undefined, names);
  if (update.actions.length === 0) return text;
  if (!text.endsWith(" ")) text += " ";
  return `${text}actions=${formatActions(update.actions, names)}`;
}

export const formatMonitorReply = (
  { updates }: MessageOf<"flow_monitor_reply">,
  names?: TextNames,
): string => updates.map((update) => formatUpdate(update, names)).join("");
