/** Text of messages about the connection, the switch as a whole, bundles and extensions. */
import { bigToBytes, formatIpv4, formatIpv6 } from "../../packet/address.ts";
import type {
  AsyncKind,
  ControllerStatus,
  CtTuple,
  IpfixStats,
  MessageOf,
  Role,
  TlvMapping,
} from "../messages/types.ts";
import { BUNDLE_FLAGS, CAPABILITIES } from "../messages/types.ts";
import { OF10, type OfVersion } from "../version.ts";
import { actionNamesOf } from "./action-names.ts";
import { bitNames, hexDump } from "./hex-dump.ts";
import { formatPortDescriptions } from "./message-ports.ts";
import { alternateHex } from "./scan.ts";

const VERSION_BITMAP = 1;
const HELLO_HEADER_BYTES = 8;

/**
 * A hello, from its bytes: what it says beyond its versions is shown, though no switch fails for it.
 * `warn` is told when no version is said that there is.
 */
export function formatHello(bytes: Uint8Array, warn: (text: string) => void): string {
  const version = bytes[0]!;
  let versions = version < 31 ? (2 ** (version + 1) - 2) >>> 0 : 0xfffffffe;
  let good = true;
  for (let at = HELLO_HEADER_BYTES; at < bytes.length;) {
    const left = bytes.length - at;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, left);
    const length = left < 4 ? 0 : view.getUint16(2);
    if (length < 4 || length > left) {
      good = false;
      break;
    }
    if (view.getUint16(0) !== VERSION_BITMAP) good = false;
    else if (length < 8 || length % 4 !== 0) good = false;
    else {
      const bitmap = view.getUint32(4) & ~1;
      if (view.getUint32(4) & 1) warn("peer claims to support invalid OpenFlow version 0x00");
      if (bitmap === 0) {
        warn("peer does not support any OpenFlow version (between 0x01 and 0x1f)");
        good = false;
      } else versions = bitmap >>> 0;
    }
    at += (length + 7) & ~7;
  }
  const numbers = Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => ((versions >>> bit) & 1) !== 0)
    .map((bit) => `0x${bit.toString(16).padStart(2, "0")}`);
  const text = `\n version bitmap: ${numbers.join(", ")}`;
  return good ? text : `${text}\n unknown data in hello:\n${hexDump(bytes, true)}`;
}

const CAPABILITY_NAMES = Object.entries(CAPABILITIES).map(([name, bit]) => [bit, name] as const);

export function formatFeatures(
  message: MessageOf<"features_reply">,
  version: OfVersion,
): string {
  const { datapathId, tables, buffers, auxiliaryId, capabilities, actions, ports } = message;
  // OpenFlow 1.0's alone.
  const known = version === OF10 ? capabilities : capabilities & ~CAPABILITIES.STP;
  let text = ` dpid:${datapathId.toString(16).padStart(16, "0")}\n`;
  text += `n_tables:${tables}, n_buffers:${buffers}`;
  if (auxiliaryId !== 0) text += `, auxiliary_id:${auxiliaryId}`;
  text += `\ncapabilities: ${bitNames(known, CAPABILITY_NAMES)}\n`;
  const named = actionNamesOf(actions, version);
  if (named !== "") text += `actions: ${named}\n`;
  return text + formatPortDescriptions(ports);
}

export function formatConfig(message: MessageOf<"get_config_reply" | "set_config">): string {
  const ttl = message.invalidTtlToController === true ? " invalid_ttl_to_controller" : "";
  return ` frags=${message.fragments}${ttl} miss_send_len=${message.missSendLength}\n`;
}

export const formatDesc = (message: MessageOf<"desc_reply">): string =>
  `\nManufacturer: ${message.manufacturer}\nHardware: ${message.hardware}\n` +
  `Software: ${message.software}\nSerial Num: ${message.serial}\n` +
  `DP Description: ${message.datapath}\n`;

const formatGeneration = (role: Role, generation: bigint | undefined): string =>
  ` role=${role}${generation === undefined ? "" : ` generation_id=${generation}`}`;

export function formatRole(message: MessageOf<"role_request" | "role_reply">): string {
  return formatGeneration(message.role, message.generationId);
}

const ROLE_REASONS = {
  primary_request: "primary_request",
  config: "configuration_changed",
  experimenter: "experimenter_data_changed",
} as const;

export const formatRoleStatus = (message: MessageOf<"role_status">): string =>
  `${formatGeneration(message.role, message.generationId)} ` +
  `reason=${ROLE_REASONS[message.reason]}`;

/** Reasons by their bits; what has no name is not told. */
const ASYNC_REASONS: Readonly<Record<AsyncKind, readonly string[]>> = {
  packet_in: ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out", "", ""],
  port_status: ["add", "delete", "modify"],
  flow_removed: ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"],
  role_status: ["primary_request", "configuration_changed", "experimenter_data_changed"],
  table_status: ["", "", "", "vacancy_down", "vacancy_up"],
  requestforward: ["group_mod_request", "meter_mod_request"],
  flow_stats: [],
  controller_status: [],
};
const ASYNC_KINDS: readonly AsyncKind[] = [
  "packet_in",
  "port_status",
  "flow_removed",
  "role_status",
  "table_status",
  "requestforward",
];
/** OpenFlow 1.5's: told only where they are there. */
const ASYNC_KINDS_15: readonly AsyncKind[] = ["flow_stats", "controller_status"];

export function formatAsync({ masks }: MessageOf<"set_async" | "get_async_reply">): string {
  const kinds = [...ASYNC_KINDS, ...ASYNC_KINDS_15.filter((kind) => masks[kind] !== undefined)];
  return (["primary", "secondary"] as const).map((group) => {
    const lines = kinds.map((kind) => {
      const mask = masks[kind]?.[group] ?? 0;
      let text = mask === 0 ? " (off)" : "";
      for (let bit = 0; bit < 32; bit++) {
        const name = ASYNC_REASONS[kind][bit] ?? "";
        if (((mask >>> bit) & 1) !== 0 && name !== "") text += ` ${name}`;
      }
      return `${kind.toUpperCase().padStart(16)}:${text}\n`;
    });
    return `\n ${group}:\n${lines.join("")}`;
  }).join("");
}

const BUNDLE_FLAG_NAMES = [
  [BUNDLE_FLAGS.ATOMIC, "atomic"],
  [BUNDLE_FLAGS.ORDERED, "ordered"],
] as const;

export const formatBundleControl = (
  { bundle, control, flags }: MessageOf<"bundle_control">,
): string =>
  `\n bundle_id=${alternateHex(bundle)} type=${control.toUpperCase()} ` +
  `flags=${bitNames(flags, BUNDLE_FLAG_NAMES)}`;

/** Without the message inside. */
export const formatBundleAdd = ({ bundle, flags }: MessageOf<"bundle_add">): string =>
  `\n bundle_id=${alternateHex(bundle)} flags=${bitNames(flags, BUNDLE_FLAG_NAMES)}\n`;

export const formatBundleFeatures = (
  message: MessageOf<"bundle_features_request" | "bundle_features_reply">,
): string =>
  message.type === "bundle_features_request"
    ? ` features=${alternateHex(message.features)}`
    : ` capabilities=${bitNames(message.capabilities, BUNDLE_FLAG_NAMES)}`;

/** There is no text of Open vSwitch's to follow. */
export const formatControllerStatus = (controllers: readonly ControllerStatus[]): string =>
  controllers.map(({ shortId, role, reason, channelUp, uri }) =>
    `\n short_id=${shortId} role=${role} reason=${reason} ` +
    `channel=${channelUp ? "up" : "down"} uri=${uri}`
  ).join("");

/** printf's `%#WIDTHx`. */
const wide = (value: number, width: number): string => alternateHex(value).padStart(width);

function formatMappings(mappings: readonly TlvMapping[]): string {
  return " mapping table:\n  class  type  length  match field\n" +
    " ------  ----  ------  --------------" +
    mappings.map(({ optionClass, optionType, optionLength, index }) =>
      `\n ${wide(optionClass, 6)}  ${wide(optionType, 4)}  ${String(optionLength).padStart(6)}  ` +
      `tun_metadata${index}`
    ).join("");
}

const TLV_COMMANDS = { add: "ADD", delete: "DEL", clear: "CLEAR" } as const;

export const formatTlvTableMod = ({ command, mappings }: MessageOf<"tlv_table_mod">): string =>
  `\n ${TLV_COMMANDS[command]}${command === "clear" ? "" : formatMappings(mappings)}`;

export function formatTlvTable({ maxSpace, maxFields, mappings }: MessageOf<"tlv_table_reply">) {
  const allocated = mappings.reduce((sum, { optionLength }) => sum + optionLength, 0);
  return `\n max option space=${maxSpace} max fields=${maxFields}\n` +
    ` allocated option space=${allocated}\n\n${formatMappings(mappings)}`;
}

const IPV4_MAPPED = 0xffffn;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);

const isMapped = (address: bigint | undefined): boolean =>
  address !== undefined && address >> 32n === IPV4_MAPPED;

function formatTuple(tuple: CtTuple, protocol: number, isIpv6: boolean): string {
  const address = (value = 0n): string =>
    isMapped(value)
      ? formatIpv4(bigToBytes(value & 0xffff_ffffn, 4))
      : formatIpv6(bigToBytes(value, 16));
  const prefix = isIpv6 ? "ct_ipv6" : "ct_nw";
  const hosts = `${prefix}_src=${address(tuple.source)},${prefix}_dst=${
    address(tuple.destination)
  }`;
  if (!ICMP_PROTOCOLS.has(protocol)) {
    return `${hosts},ct_tp_src=${tuple.sourcePort ?? 0},ct_tp_dst=${tuple.destinationPort ?? 0}`;
  }
  return `${hosts},icmp_id=${tuple.icmpId ?? 0},icmp_type=${tuple.icmpType ?? 0},` +
    `icmp_code=${tuple.icmpCode ?? 0}`;
}

export function formatCtFlush({ protocol, zone, original, reply }: MessageOf<"ct_flush">): string {
  const addresses = [original.source, original.destination, reply.source, reply.destination];
  const isIpv6 = !addresses.some(isMapped);
  return ` zone=${zone ?? 0} '${formatTuple(original, protocol, isIpv6)},` +
    `ct_nw_proto=${protocol}' '${formatTuple(reply, protocol, isIpv6)}'`;
}

const UNKNOWN_COUNT = 0xffff_ffff_ffff_ffffn;
const count = (value: bigint): string => value === UNKNOWN_COUNT ? "?" : String(value);

function formatIpfixStats(stats: IpfixStats, indent: number): string {
  return `flows=${count(stats.totalFlows)}, current flows=${count(stats.currentFlows)}, ` +
    `sampled pkts=${count(stats.packets)}, ipv4 ok=${count(stats.ipv4Packets)}, ` +
    `ipv6 ok=${count(stats.ipv6Packets)}, tx pkts=${count(stats.sentPackets)}\n` +
    `${" ".repeat(indent)}pkts errs=${count(stats.errorPackets)}, ` +
    `ipv4 errs=${count(stats.ipv4ErrorPackets)}, ` +
    `ipv6 errs=${count(stats.ipv6ErrorPackets)}, tx errs=${count(stats.sendErrors)}\n`;
}

export function formatIpfix(
  { type, stats }: MessageOf<"ipfix_bridge_reply" | "ipfix_flow_reply">,
): string {
  if (type === "ipfix_bridge_reply") {
    return stats.map((one) => `\n  bridge ipfix: ${formatIpfixStats(one, 16)}`).join("");
  }
  const ids = stats.map((one) =>
    `  id ${String(one.collectorSet).padStart(3)}: ${formatIpfixStats(one, 10)}`
  );
  return ` ${stats.length} ids\n${ids.join("")}`;
}
