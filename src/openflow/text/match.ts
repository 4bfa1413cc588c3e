/**
 * Matches as text: what `ovs-ofctl dump-flows` prints. match-parse.ts reads it.
 *
 * The printed form follows Open vSwitch's own order and abbreviations (`tcp`, `dl_vlan`, `nw_src`),
 * not the field table's names, so that outputs can be compared byte by byte.
 */
import { formatIpv4, formatMac } from "../../packet/address.ts";
import type { FieldName } from "../../packet/fields.ts";
import { type FlowKey, type MaskTopic, type Match, SharedMask } from "../../packet/key.ts";
import { type Field, FIELDS, slot, type SlotName, SLOTS } from "../../packet/layout.ts";
import { CT_STATES, formatField, formatFlags, formatPort, TCP_FLAGS } from "../../packet/text.ts";
import { fieldIsFull, fieldIsZero, fullMask } from "../field-bits.ts";
import { ETH_TYPE } from "../match-set.ts";
import type { TextNames } from "./names.ts";
import { alternateHex } from "./scan.ts";
import { formatTunnelOptions } from "./tunnel-options.ts";

/** Priority that is not printed, and taken when none is given. */
export const DEFAULT_PRIORITY = 0x8000;
/** Bits of the `tun_flags` slot; only the first is a field of OpenFlow. */
const TUN_FLAGS = ["oam", "df", "csum", "key"] as const;
const TUN_FLAGS_MASK = 0xf;

/** Words for an Ethernet type, with a protocol where they say one. */
export const PROTOCOL_WORDS: ReadonlyMap<string, readonly [number, number?]> = new Map([
  ["ip", [ETH_TYPE.IPV4]],
  ["ipv4", [ETH_TYPE.IPV4]],
  ["ip4", [ETH_TYPE.IPV4]],
  ["arp", [ETH_TYPE.ARP]],
  ["icmp", [ETH_TYPE.IPV4, 1]],
  ["tcp", [ETH_TYPE.IPV4, 6]],
  ["udp", [ETH_TYPE.IPV4, 17]],
  ["sctp", [ETH_TYPE.IPV4, 132]],
  ["ipv6", [ETH_TYPE.IPV6]],
  ["ip6", [ETH_TYPE.IPV6]],
  ["icmp6", [ETH_TYPE.IPV6, 58]],
  ["tcp6", [ETH_TYPE.IPV6, 6]],
  ["udp6", [ETH_TYPE.IPV6, 17]],
  ["sctp6", [ETH_TYPE.IPV6, 132]],
  ["rarp", [ETH_TYPE.RARP]],
  ["mpls", [ETH_TYPE.MPLS]],
  ["mplsm", [ETH_TYPE.MPLS_MULTICAST]],
]);

/** Words that a match may contain by themselves. */
export const MATCH_WORDS: readonly string[] = [...PROTOCOL_WORDS.keys()];

/** A slot of at most 32 bits. */
function slotNumber(key: FlowKey, name: SlotName): number {
  const { offset, bytes } = slot(name);
  let value = 0;
  for (let i = offset; i < offset + bytes; i++) value = value * 256 + key.bytes[i]!;
  return value;
}

const NOTHING_SAID = { type: false, protocol: false } as const;

/** Collects `name=value` parts of one match. */
class Parts {
  readonly list: string[] = [];
  readonly ethType: number;
  /** What a word for the protocol has told. */
  said: { readonly type: boolean; readonly protocol: boolean } = NOTHING_SAID;

  constructor(readonly match: Match, readonly names?: TextNames) {
    const packetType = this.has("packet_type") ? this.value("packet_type") : 0;
    this.ethType = packetType >>> 16 === 1 ? packetType & 0xffff : this.value("eth_type");
  }

  has(name: FieldName): boolean {
    return !fieldIsZero(this.match.mask, FIELDS[name]);
  }

  value(name: FieldName): number {
    return this.match.key.get(FIELDS[name]);
  }

  mask(name: FieldName): number {
    return this.match.mask.get(FIELDS[name]);
  }

  slotValue(name: SlotName): number {
    return slotNumber(this.match.key, name);
  }

  slotMask(name: SlotName): number {
    return slotNumber(this.match.mask, name);
  }

  /** The field as its own format prints it, if it is matched. */
  plain(name: FieldName, label: string = name): void {
    if (!this.has(name)) return;
    const field = FIELDS[name];
    if (field.format === "ipv4") return this.add(`${label}=${this.ipv4(field)}`);
    if (field.format === "ethernet") return this.add(`${label}=${this.ethernet(field)}`);
    const mask = this.match.mask.getBig(field);
    this.list.push(
      `${label}=${formatField(field, this.match.key.getBig(field), mask, this.names)}`,
    );
  }

  // As `formatField` prints them, without a bigint for each of a hundred thousand flows.

  private ipv4(field: Field): string {
    const { key, mask } = this.match;
    const text = formatIpv4(key.bytes, field.offset);
    if (fieldIsFull(mask, field)) return text;
    const bits = mask.get(field);
    const length = Math.clz32(~bits);
    if (bits << length === 0) return `${text}/${length}`;
    return `${text}/${formatIpv4(mask.bytes, field.offset)}`;
  }

  private ethernet(field: Field): string {
    const { key, mask } = this.match;
    const text = formatMac(key.bytes, field.offset);
    return fieldIsFull(mask, field) ? text : `${text}/${formatMac(mask.bytes, field.offset)}`;
  }

  /** In hex with its prefix, zero too. */
  hex(name: FieldName): void {
    if (!this.has(name)) return;
    const [value, mask] = [this.value(name), this.mask(name)];
    const isFull = fieldIsFull(this.match.mask, FIELDS[name]);
    const text = `${name}=0x${value.toString(16)}`;
    this.list.push(isFull ? text : `${text}/0x${mask.toString(16)}`);
  }

  /** As `%#x`, masked with `/`. */
  alternate(name: FieldName): void {
    if (!this.has(name)) return;
    const field = FIELDS[name];
    const mask = this.match.mask.getBig(field);
    const value = alternateHex(this.match.key.getBig(field));
    this.list.push(
      `${name}=${mask === fullMask(field) ? value : `${value}/${alternateHex(mask)}`}`,
    );
  }

  /** Decimal, or hexadecimal with a mask. */
  decimal(name: FieldName, label: string = name, digits = 0): void {
    if (!this.has(name)) return;
    const value = this.value(name);
    if (fieldIsFull(this.match.mask, FIELDS[name])) return this.add(`${label}=${value}`);
    const print = (bits: number): string => `0x${bits.toString(16).padStart(digits, "0")}`;
    this.add(`${label}=${print(value)}/${print(this.mask(name))}`);
  }

  add(text: string): void {
    this.list.push(text);
  }
}

/** `tcp,in_port=1,dl_vlan=5`, with `priority=N,` in front unless it is the default. */
export function formatMatch(
  match: Match,
  priority: number = DEFAULT_PRIORITY,
  names?: TextNames,
): string {
  const parts = new Parts(match, names);
  if (priority !== DEFAULT_PRIORITY) parts.add(`priority=${priority}`);
  const { mask } = match;
  const sections = mask instanceof SharedMask ? mask.about(SECTIONS_OF_MASK) : SECTIONS;
  for (const { print } of sections) print(parts);
  return parts.list.join(",");
}

/** A run of parts, and the slots of which a mask must look at some for them to be there. */
interface Section {
  readonly slots: readonly (SlotName | `${string}*`)[];
  readonly print: (parts: Parts) => void;
}

/** In the order in which they are printed. */
const SECTIONS: readonly Section[] = [
  {
    slots: ["pkt_mark", "recirc_id", "dp_hash", "conj_id", "skb_priority", "actset_output"],
    print: (parts) => {
      parts.alternate("pkt_mark");
      parts.alternate("recirc_id");
      parts.alternate("dp_hash");
      if (parts.has("conj_id")) parts.add(`conj_id=${parts.value("conj_id")}`);
      parts.alternate("skb_priority");
      if (parts.has("actset_output")) {
        parts.add(`actset_output=${formatPort(parts.value("actset_output"), parts.names)}`);
      }
    },
  },
  { slots: ["ct_*"], print: formatConntrack },
  { slots: ["packet_type"], print: formatPacketType },
  {
    slots: ["eth_type"],
    print: (parts) => {
      parts.said = formatProtocol(parts, parts.ethType);
    },
  },
  {
    slots: ["regs"],
    print: (parts) => {
      for (let n = 0; n < 16; n++) parts.alternate(`reg${n}` as FieldName);
    },
  },
  {
    slots: ["tun_*"],
    print: (parts) => {
      formatTunnel(parts);
      for (const text of formatTunnelOptions(parts.match, parts.names)) parts.add(text);
    },
  },
  { slots: ["metadata"], print: (parts) => parts.alternate("metadata") },
  {
    slots: ["in_port"],
    print: (parts) => {
      if (!parts.has("in_port_oxm")) return;
      parts.add(`in_port=${formatPort(parts.value("in_port_oxm"), parts.names)}`);
    },
  },
  { slots: ["vlan_tci"], print: formatVlan },
  {
    slots: ["eth_src", "eth_dst"],
    print: (parts) => {
      parts.plain("eth_src", "dl_src");
      parts.plain("eth_dst", "dl_dst");
    },
  },
  {
    slots: ["eth_type"],
    print: (parts) => {
      if (parts.said.type || !parts.has("eth_type")) return;
      parts.add(`dl_type=0x${parts.ethType.toString(16).padStart(4, "0")}`);
    },
  },
  {
    slots: ["ipv6_*", "arp_*", "nsh_*", "nw_*"],
    print: (parts) => formatNetwork(parts, parts.ethType, parts.said.protocol),
  },
  { slots: ["mpls_*"], print: formatMpls },
  { slots: ["nw_frag"], print: (parts) => parts.plain("ip_frag", "nw_frag") },
  {
    slots: ["tp_*", "tcp_flags", "nd_*", "arp_*"],
    print: (parts) => formatTransport(parts, parts.ethType),
  },
];

/** Those that matches of a mask can have. */
const SECTIONS_OF_MASK: MaskTopic<readonly Section[]> = {
  find: ({ bytes }) =>
    SECTIONS.filter(({ slots }) =>
      [...SLOTS.values()].some(({ name, offset, bytes: length }) =>
        slots.some((s) => s === name || (s.endsWith("*") && name.startsWith(s.slice(0, -1)))) &&
        bytes.subarray(offset, offset + length).some((byte) => byte !== 0)
      )
    ),
};

/** Ethernet goes without saying, but in a megaflow: that is one that looks at recirc_id. */
function formatPacketType(parts: Parts): void {
  if (!parts.has("packet_type")) return;
  if (parts.value("packet_type") !== 0) parts.plain("packet_type");
  else if (parts.has("recirc_id")) parts.add("eth");
}

function formatConntrack(parts: Parts): void {
  if (parts.has("ct_state")) {
    const mask = BigInt(parts.mask("ct_state"));
    // Matching all eight known bits counts as exact.
    const all = (mask & 0xffn) === 0xffn ? mask : 0xffff_ffffn;
    parts.add(
      `ct_state=${formatFlags(BigInt(parts.value("ct_state")), mask, all, CT_STATES)}`,
    );
  }
  parts.decimal("ct_zone");
  parts.alternate("ct_mark");
  parts.plain("ct_label");
  parts.plain("ct_nw_src");
  parts.plain("ct_ipv6_src");
  parts.plain("ct_nw_dst");
  parts.plain("ct_ipv6_dst");
  if (parts.has("ct_nw_proto")) {
    parts.add(`ct_nw_proto=${parts.value("ct_nw_proto")}`);
    parts.decimal("ct_tp_src");
    parts.decimal("ct_tp_dst");
  }
}

/** Says `tcp`, `arp` …; tells what has been said by it. */
function formatProtocol(parts: Parts, ethType: number): { type: boolean; protocol: boolean } {
  if (!parts.has("eth_type")) return { type: false, protocol: false };
  const words = WORDS_OF_TYPE.get(ethType);
  if (!words) return NOTHING_SAID;
  const word = parts.has("nw_proto") ? words.get(parts.value("nw_proto")) : undefined;
  parts.add(word ?? words.get(ANY_PROTOCOL)!);
  return word === undefined ? TYPE_SAID : BOTH_SAID;
}

const ANY_PROTOCOL = -1;
const TYPE_SAID = { type: true, protocol: false } as const;
const BOTH_SAID = { type: true, protocol: true } as const;

/** The first word for each Ethernet type and protocol: by type, then by protocol. */
const WORDS_OF_TYPE: ReadonlyMap<number, ReadonlyMap<number, string>> = wordsOfTypes();

function wordsOfTypes(): Map<number, Map<number, string>> {
  const types = new Map<number, Map<number, string>>();
  for (const [word, [type, protocol = ANY_PROTOCOL]] of PROTOCOL_WORDS) {
    const words = types.get(type) ?? new Map<number, string>();
    if (!words.has(protocol)) words.set(protocol, word);
    types.set(type, words);
  }
  return types;
}

function formatTunnel(parts: Parts): void {
  parts.alternate("tun_id");
  parts.plain("tun_src");
  parts.plain("tun_dst");
  parts.plain("tun_ipv6_src");
  parts.plain("tun_ipv6_dst");
  parts.decimal("tun_gbp_id");
  const hexa = (name: FieldName, label: string = name): void => {
    if (parts.has(name)) parts.add(`${label}=${alternateHex(parts.value(name))}`);
  };
  const number = (name: FieldName, label: string = name): void => {
    if (parts.has(name)) parts.add(`${label}=${parts.value(name)}`);
  };
  hexa("tun_gbp_flags");
  if (parts.has("tun_tos")) parts.add(`tun_tos=${parts.value("tun_tos").toString(16)}`);
  number("tun_ttl");
  number("tun_erspan_ver");
  const version = parts.value("tun_erspan_ver");
  if (version === 1) hexa("tun_erspan_idx");
  if (version === 2) {
    number("tun_erspan_dir");
    hexa("tun_erspan_hwid");
  }
  hexa("tun_gtpu_flags", "gtpu_flags");
  number("tun_gtpu_msgtype", "gtpu_msgtype");
  const looked = parts.slotMask("tun_flags") & TUN_FLAGS_MASK;
  if (looked !== 0) {
    const text = formatFlags(
      BigInt(parts.slotValue("tun_flags") & TUN_FLAGS_MASK),
      BigInt(looked),
      BigInt(TUN_FLAGS_MASK),
      TUN_FLAGS,
    );
    parts.add(`tun_flags=${text}`);
  }
}

function formatVlan(parts: Parts): void {
  formatTag(parts, parts.value("vlan_tci"), parts.mask("vlan_tci"), "");
  if (parts.mask("vlan_tci") === 0) return;
  formatTag(parts, parts.slotValue("vlan2_tci"), parts.slotMask("vlan2_tci"), "1");
}

/** `which`: "" for the outer tag, "1" for the next. */
function formatTag(parts: Parts, tci: number, mask: number, which: string): void {
  if (mask === 0) return;
  const vidMask = mask & 0xfff;
  const pcpMask = mask & 0xe000;
  const whole = (vidMask === 0 || vidMask === 0xfff) && (pcpMask === 0 || pcpMask === 0xe000);
  if ((mask & 0x1000) !== 0 && (tci & 0x1000) !== 0 && whole && (vidMask !== 0 || pcpMask !== 0)) {
    if (vidMask !== 0) parts.add(`dl_vlan${which}=${tci & 0xfff}`);
    if (pcpMask !== 0) parts.add(`dl_vlan_pcp${which}=${tci >> 13}`);
    return;
  }
  const print = (value: number): string => `0x${value.toString(16).padStart(4, "0")}`;
  parts.add(`vlan_tci${which}=${mask === 0xffff ? print(tci) : `${print(tci)}/${print(mask)}`}`);
}

function formatNetwork(parts: Parts, ethType: number, protocolSaid: boolean): void {
  const arp = ethType === ETH_TYPE.ARP || ethType === ETH_TYPE.RARP;
  if (ethType === ETH_TYPE.IPV6) {
    parts.plain("ipv6_src");
    parts.plain("ipv6_dst");
    if (parts.has("ipv6_label")) {
      const print = (value: number): string => `0x${value.toString(16).padStart(5, "0")}`;
      const mask = parts.mask("ipv6_label");
      const value = print(parts.value("ipv6_label"));
      parts.add(`ipv6_label=${mask === 0xfffff ? value : `${value}/${print(mask)}`}`);
    }
  } else if (arp) {
    parts.plain("arp_spa");
    parts.plain("arp_tpa");
  } else if (ethType === ETH_TYPE.NSH) formatNsh(parts);
  else {
    parts.plain("ip_src", "nw_src");
    parts.plain("ip_dst", "nw_dst");
  }
  if (!protocolSaid && parts.has("nw_proto")) {
    parts.add(`${arp ? "arp_op" : "nw_proto"}=${parts.value("nw_proto")}`);
  }
  if (arp) {
    parts.plain("arp_sha");
    parts.plain("arp_tha");
  }
  const tosMask = parts.mask("nw_tos");
  if (tosMask & 0xfc) parts.add(`nw_tos=${parts.value("nw_tos") & 0xfc}`);
  if (tosMask & 3) parts.add(`nw_ecn=${parts.value("nw_tos") & 3}`);
  if (parts.has("nw_ttl")) parts.add(`nw_ttl=${parts.value("nw_ttl")}`);
}

function formatNsh(parts: Parts): void {
  parts.plain("nsh_flags");
  parts.plain("nsh_ttl");
  parts.plain("nsh_mdtype");
  parts.plain("nsh_np");
  parts.hex("nsh_spi");
  parts.plain("nsh_si");
  // Only packets of type 1 have them.
  if (parts.has("nsh_mdtype") && parts.value("nsh_mdtype") === 1) {
    for (const n of [1, 2, 3, 4] as const) parts.hex(`nsh_c${n}`);
  }
}

function formatMpls(parts: Parts): void {
  for (const name of ["mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos"] as const) {
    if (parts.has(name)) parts.add(`${name}=${parts.value(name)}`);
  }
  for (const name of ["mpls_lse1", "mpls_lse2"] as const) {
    const mask = parts.slotMask(name);
    if (mask === 0) continue;
    const value = parts.slotValue(name);
    const whole = mask === 0xffffffff;
    parts.add(`${name}=${whole ? value : `0x${value.toString(16)}/0x${mask.toString(16)}`}`);
  }
}

function formatTransport(parts: Parts, ethType: number): void {
  const protocol = parts.value("nw_proto");
  const icmp4 = ethType === ETH_TYPE.IPV4 && protocol === 1;
  const icmp6 = ethType === ETH_TYPE.IPV6 && protocol === 58;
  if (icmp4 || icmp6) {
    // A byte each, in 16 bits of which a megaflow looks at the lower ones only, and says so.
    for (const name of ["icmp_type", "icmp_code"] as const) {
      const slotName = name === "icmp_type" ? "tp_src" : "tp_dst";
      const isMegaflow = parts.has("recirc_id") && parts.slotMask(slotName) === 0xff;
      if (!isMegaflow) parts.decimal(name);
      else parts.add(`${name}=0x${parts.value(name).toString(16)}/0xff`);
    }
    if (!icmp6) return;
    parts.plain("nd_target");
    parts.plain("nd_sll");
    parts.plain("nd_tll");
    parts.decimal("nd_reserved", "nd_reserved", 8);
    parts.decimal("nd_options_type");
    return;
  }
  parts.decimal("tcp_src", "tp_src");
  parts.decimal("tcp_dst", "tp_dst");
  const ip = ethType === ETH_TYPE.IPV4 || ethType === ETH_TYPE.IPV6;
  if (ip && protocol === 6 && parts.has("tcp_flags")) {
    const value = BigInt(parts.value("tcp_flags"));
    const mask = BigInt(parts.mask("tcp_flags"));
    parts.add(`tcp_flags=${formatFlags(value, mask, 0xfffn, TCP_FLAGS)}`);
  }
}
