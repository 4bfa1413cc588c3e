/**
 * Datapath flows as `ovs-appctl dpctl/dump-flows` prints them:
 *
 *     recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth(src=…,dst=…),eth_type(0x0800),ipv4(frag=no),
 *     packets:3, bytes:294, used:0.512s, actions:1
 *
 * Only what the flow's mask looks at is shown; a value of which some bits count has `/mask` behind it.
 * Port numbers are the datapath's. References: ovs-dpctl(8), "DATAPATH FLOW TABLE COMMANDS".
 */
import type { DpAction } from "../../fastpath/actions.ts";
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import { type SlotName, SLOTS } from "../../packet/layout.ts";
import type { Megaflow } from "./megaflows.ts";

type Format = "decimal" | "hex" | "mac" | "ipv4" | "ipv6";
type Part = readonly [label: string, slot: SlotName, format: Format];

const ETH_TYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd };
const IP_PROTO = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 };
const TPID_8021Q = 0x8100;
const TAG_PRESENT = 0x1000;

const ETH: readonly Part[] = [["src", "eth_src", "mac"], ["dst", "eth_dst", "mac"]];
const ARP: readonly Part[] = [
  ["sip", "nw_src", "ipv4"],
  ["tip", "nw_dst", "ipv4"],
  ["op", "nw_proto", "decimal"],
  ["sha", "arp_sha", "mac"],
  ["tha", "arp_tha", "mac"],
];
const IP_REST: readonly Part[] = [
  ["proto", "nw_proto", "decimal"],
  ["tos", "nw_tos", "hex"],
  ["ttl", "nw_ttl", "decimal"],
];
const IPV4: readonly Part[] = [["src", "nw_src", "ipv4"], ["dst", "nw_dst", "ipv4"], ...IP_REST];
const IPV6: readonly Part[] = [
  ["src", "ipv6_src", "ipv6"],
  ["dst", "ipv6_dst", "ipv6"],
  ["label", "ipv6_label", "hex"],
  ["proto", "nw_proto", "decimal"],
  ["tclass", "nw_tos", "hex"],
  ["hlimit", "nw_ttl", "decimal"],
];
const PORTS: readonly Part[] = [["src", "tp_src", "decimal"], ["dst", "tp_dst", "decimal"]];
const ICMP: readonly Part[] = [["type", "tp_src", "decimal"], ["code", "tp_dst", "decimal"]];

function slotBytes(key: FlowKey, slot: SlotName): Uint8Array {
  const { offset, bytes } = SLOTS.get(slot)!;
  return key.bytes.subarray(offset, offset + bytes);
}

function slotNumber(key: FlowKey, slot: SlotName): number {
  return slotBytes(key, slot).reduce((value, byte) => value * 256 + byte, 0);
}

function formatBytes(bytes: Uint8Array, format: Format): string {
  const number = () => bytes.reduce((value, byte) => value * 256 + byte, 0);
  switch (format) {
    case "decimal":
      return String(number());
    case "hex":
      return number() === 0 ? "0" : `0x${number().toString(16)}`;
    case "mac":
      return formatMac(bytes);
    case "ipv4":
      return formatIpv4(bytes);
    case "ipv6":
      return formatIpv6(bytes);
    default: {
      const never: never = format;
      return never;
    }
  }
}

/** `value` or `value/mask`; undefined when the mask is zero. */
function formatMasked(value: Uint8Array, mask: Uint8Array, format: Format): string | undefined {
  if (mask.every((byte) => byte === 0)) return undefined;
  const text = formatBytes(value, format);
  if (mask.every((byte) => byte === 0xff)) return text;
  return `${text}/${formatBytes(mask, format === "decimal" ? "hex" : format)}`;
}

function formatParts({ key, mask }: Match, parts: readonly Part[]): string[] {
  return parts.flatMap(([label, slot, format]) => {
    const text = formatMasked(slotBytes(key, slot), slotBytes(mask, slot), format);
    return text === undefined ? [] : [`${label}=${text}`];
  });
}

function group(name: string, parts: readonly string[]): string[] {
  return parts.length === 0 ? [] : [`${name}(${parts.join(",")})`];
}

function fragment({ key, mask }: Match): string[] {
  if (slotNumber(mask, "nw_frag") === 0) return [];
  const bits = slotNumber(key, "nw_frag") & 3;
  return [`frag=${bits === 0 ? "no" : bits === 1 ? "first" : "later"}`];
}

/** The headers above Ethernet, according to the flow's Ethernet type and protocol. */
function upperLayers(match: Match): string[] {
  const { key, mask } = match;
  if (slotNumber(mask, "eth_type") === 0) return [];
  const type = slotNumber(key, "eth_type");
  const texts = [`eth_type(0x${type.toString(16).padStart(4, "0")})`];
  if (type === ETH_TYPE.arp) return [...texts, ...group("arp", formatParts(match, ARP))];
  if (type !== ETH_TYPE.ipv4 && type !== ETH_TYPE.ipv6) return texts;
  const [name, parts] = type === ETH_TYPE.ipv4 ? ["ipv4", IPV4] as const : ["ipv6", IPV6] as const;
  texts.push(...group(name, [...formatParts(match, parts), ...fragment(match)]));
  if (slotNumber(mask, "nw_proto") === 0) return texts;
  return [...texts, ...transport(match, slotNumber(key, "nw_proto"))];
}

function transport(match: Match, protocol: number): string[] {
  switch (protocol) {
    case IP_PROTO.tcp: {
      const [flags] = formatParts(match, [["", "tcp_flags", "hex"]]);
      const flagsText = flags === undefined ? [] : [`tcp_flags(${flags.slice(1)})`];
      return [...group("tcp", formatParts(match, PORTS)), ...flagsText];
    }
    case IP_PROTO.udp:
      return group("udp", formatParts(match, PORTS));
    case IP_PROTO.sctp:
      return group("sctp", formatParts(match, PORTS));
    case IP_PROTO.icmp:
      return group("icmp", formatParts(match, ICMP));
    case IP_PROTO.icmpv6:
      return group("icmpv6", formatParts(match, ICMP));
    default:
      return [];
  }
}

function vlanText(tci: number, tpid: number): string {
  const tpidText = tpid === TPID_8021Q ? "" : `tpid=0x${tpid.toString(16)},`;
  return `${tpidText}vid=${tci & 0xfff},pcp=${tci >>> 13}`;
}

/** The match of a datapath flow (datapath port numbers). */
export function formatDpMatch(match: Match): string {
  const { key, mask } = match;
  const texts = [
    `recirc_id(${slotNumber(key, "recirc_id")})`,
    ...group("in_port", [String(slotNumber(key, "in_port"))]),
    "packet_type(ns=0,id=0)",
    ...group("eth", formatParts(match, ETH)),
  ];
  const tci = slotNumber(key, "vlan_tci");
  if ((tci & TAG_PRESENT) !== 0 && slotNumber(mask, "vlan_tci") !== 0) {
    texts.push(`vlan(${vlanText(tci, slotNumber(key, "vlan_tpid") || TPID_8021Q)})`);
    texts.push(`encap(${upperLayers(match).join(",")})`);
  } else texts.push(...upperLayers(match));
  return texts.join(",");
}

/** Which header a `set` action's slot is a part of. */
const SETTABLE: readonly (readonly [header: string, parts: readonly Part[]])[] = [
  ["eth", ETH],
  ["ipv4", IPV4],
  ["ipv6", IPV6],
  ["arp", ARP],
];

function formatSet(action: Extract<DpAction, { type: "set" }>, match: Match): string {
  const type = slotNumber(match.key, "eth_type");
  const protocol = slotNumber(match.key, "nw_proto");
  const transportName = Object.entries(IP_PROTO).find(([, number]) => number === protocol)?.[0];
  const headers = SETTABLE.filter(([name]) =>
    name === "eth" || type === ETH_TYPE[name as keyof typeof ETH_TYPE]
  );
  const candidates = [...headers, [transportName ?? "transport", PORTS] as const];
  for (const [header, parts] of candidates) {
    const part = parts.find(([, slot]) => slot === action.slot);
    if (part === undefined) continue;
    return `set(${header}(${part[0]}=${formatMasked(action.value, action.mask, part[2]) ?? "0"}))`;
  }
  return `set(${action.slot}(${formatMasked(action.value, action.mask, "hex") ?? "0"}))`;
}

function formatAction(action: DpAction, match: Match): string {
  switch (action.type) {
    case "output":
      return String(action.port);
    case "userspace":
      return `userspace(pid=0,userdata(${action.userdata}))`;
    case "set":
      return formatSet(action, match);
    case "push_vlan":
      return `push_vlan(${vlanText(action.tci, action.tpid)})`;
    case "pop_vlan":
      return "pop_vlan";
    case "trunc":
      return `trunc(${action.maxLength})`;
    default:
      return action.type;
  }
}

/** The actions; `drop` when there are none. `match` says which headers the packets have. */
export function formatDpActions(actions: readonly DpAction[], match: Match): string {
  if (actions.length === 0) return "drop";
  return actions.map((action) => formatAction(action, match)).join(",");
}

/** Bits of the TCP header's flags with the letters that tcpdump gave them, in the order of print. */
const TCP_FLAG_LETTERS = [
  [0x002, "S"],
  [0x001, "F"],
  [0x008, "P"],
  [0x004, "R"],
  [0x020, "U"],
  [0x010, "."],
  [0x040, "E"],
  [0x080, "C"],
  [0x100, "N"],
] as const;

/** One line: match, counters, actions. `nowMs` is the time on the clock of the flow's counters. */
export function formatMegaflow(
  flow: Pick<Megaflow, "packets" | "bytes" | "usedMs" | "tcpFlags" | "actions">,
  match: Match,
  nowMs: number,
): string {
  const idleMs = Math.max(0, nowMs - flow.usedMs);
  const used = flow.packets === 0 ? "never" : `${(idleMs / 1000).toFixed(3)}s`;
  const letters = TCP_FLAG_LETTERS.map(([bit, letter]) => (flow.tcpFlags & bit) ? letter : "");
  const flags = flow.tcpFlags === 0 ? "" : `, flags:${letters.join("")}`;
  return `${formatDpMatch(match)}, packets:${flow.packets}, bytes:${flow.bytes}, ` +
    `used:${used}${flags}, actions:${formatDpActions(flow.actions, match)}`;
}
