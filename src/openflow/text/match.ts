/**
 * Matches as text, both ways: what `ovs-ofctl dump-flows` prints and `add-flow` takes.
 *
 * The printed form follows Open vSwitch's own order and abbreviations (`tcp`, `dl_vlan`, `nw_src`),
 * not the field table's names, so that outputs can be compared byte by byte.
 */
import type { FieldName } from "../../packet/fields.ts";
import { type Field, fieldByName, FIELDS, slot, type SlotName } from "../../packet/layout.ts";
import { anyMatch, type FlowKey, type Match } from "../../packet/key.ts";
import {
  CT_STATES,
  formatField,
  formatFlags,
  formatPort,
  integer,
  parseField,
  TCP_FLAGS,
  TextError,
} from "../../packet/text.ts";
import { fieldIsZero, fullMask } from "../field-bits.ts";
import {
  ETH_TYPE,
  requireNoTag,
  setMatchExact,
  setMatchField,
  valueIsValid,
} from "../match-set.ts";
import { PROTOCOLS, type Protocols, protocolsOfField } from "./protocols.ts";
import type { TextNames } from "./names.ts";
import { parseSubfield } from "./subfield.ts";
import { formatTunnelOptions, parseTunnelOption } from "./tunnel-options.ts";
import { alternateHex, keyValues } from "./scan.ts";

import { subfieldMask } from "../actions/subfield.ts";

/** Priority that is not printed, and taken when none is given. */
export const DEFAULT_PRIORITY = 0x8000;
const VLAN_NONE = 0xffff;
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

/** Collects `name=value` parts of one match. */
class Parts {
  readonly list: string[] = [];
  constructor(private readonly match: Match, private readonly names?: TextNames) {}

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
    const mask = this.match.mask.getBig(field);
    this.list.push(
      `${label}=${formatField(field, this.match.key.getBig(field), mask, this.names)}`,
    );
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
    const mask = this.mask(name);
    const print = (value: number): string => `0x${value.toString(16).padStart(digits, "0")}`;
    const value = this.value(name);
    const exact = BigInt(mask) === fullMask(FIELDS[name]);
    this.list.push(`${label}=${exact ? value : `${print(value)}/${print(mask)}`}`);
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
  const packetType = parts.value("packet_type");
  const named = parts.has("packet_type") && packetType >>> 16 === 1;
  const ethType = named ? packetType & 0xffff : parts.value("eth_type");
  if (priority !== DEFAULT_PRIORITY) parts.add(`priority=${priority}`);
  parts.alternate("pkt_mark");
  parts.alternate("recirc_id");
  parts.alternate("dp_hash");
  if (parts.has("conj_id")) parts.add(`conj_id=${parts.value("conj_id")}`);
  parts.alternate("skb_priority");
  if (parts.has("actset_output")) {
    parts.add(`actset_output=${formatPort(parts.value("actset_output"), names)}`);
  }
  formatConntrack(parts);
  formatPacketType(parts);
  const said = formatProtocol(parts, ethType);
  for (let n = 0; n < 16; n++) parts.alternate(`reg${n}` as FieldName);
  formatTunnel(parts);
  for (const text of formatTunnelOptions(match, names)) parts.add(text);
  parts.alternate("metadata");
  if (parts.has("in_port_oxm")) {
    parts.add(`in_port=${formatPort(parts.value("in_port_oxm"), names)}`);
  }
  formatVlan(parts);
  parts.plain("eth_src", "dl_src");
  parts.plain("eth_dst", "dl_dst");
  if (!said.type && parts.has("eth_type")) {
    parts.add(`dl_type=0x${ethType.toString(16).padStart(4, "0")}`);
  }
  formatNetwork(parts, ethType, said.protocol);
  formatMpls(parts);
  if (parts.has("ip_frag")) parts.plain("ip_frag", "nw_frag");
  formatTransport(parts, ethType);
  return parts.list.join(",");
}

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
  let fallback: string | undefined;
  for (const [word, [type, protocol]] of PROTOCOL_WORDS) {
    if (type !== ethType) continue;
    if (protocol === undefined) {
      fallback ??= word === "ip4" || word === "ipv4" ? undefined : word;
      continue;
    }
    if (parts.has("nw_proto") && parts.value("nw_proto") === protocol) {
      parts.add(word);
      return { type: true, protocol: true };
    }
  }
  if (fallback === undefined) return { type: false, protocol: false };
  parts.add(fallback);
  return { type: true, protocol: false };
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
  parts.plain("nsh_spi");
  parts.plain("nsh_si");
  for (const n of [1, 2, 3, 4] as const) parts.plain(`nsh_c${n}`);
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

/** A match while it is read, and in which protocols it can be said so far. */
export interface SaidMatch {
  readonly match: Match;
  protocols: Protocols;
}

/** Adds what `key=value` says to the match; false if it is about something else. */
export function parseMatchPart(
  said: SaidMatch,
  key: string,
  value: string,
  names?: TextNames,
): boolean {
  const { match } = said;
  const protocol = PROTOCOL_WORDS.get(key);
  if (protocol) {
    setMatchExact(match, FIELDS.eth_type, protocol[0]);
    if (protocol[1] !== undefined) setMatchExact(match, FIELDS.nw_proto, protocol[1]);
    return true;
  }
  if (key === "eth") return true;
  const field = fieldByName(key);
  if (field) {
    parseMatchField(said, field, value, names);
    return true;
  }
  if (!key.includes("[")) return false;
  const subfield = parseSubfield(key);
  const number = integer(value);
  if (number === undefined) {
    throw new TextError(`${key}: cannot parse integer value: ${value}`);
  }
  if (number >> BigInt(subfield.bits) !== 0n) {
    throw new TextError(
      `${key}: value ${formatField(subfield.field, number)} does not fit into ` +
        `${subfield.bits} bits`,
    );
  }
  setMatchField(match, subfield.field, number << BigInt(subfield.start), subfieldMask(subfield));
  said.protocols &= protocolsOfField(subfield.field, match.mask.getBig(subfield.field));
  return true;
}

function parseMatchField(said: SaidMatch, field: Field, text: string, names?: TextNames): void {
  const { match } = said;
  if (field.variable) {
    said.protocols &= PROTOCOLS.NXM_OXM;
    return parseTunnelOption(match, field, text, names);
  }
  // Nothing behind the name asks that the field exist, which is what its prerequisites do.
  if (text === "") return;
  const parsed = parseField(field, text, names);
  let { value } = parsed;
  const { mask } = parsed;
  said.protocols &= protocolsOfField(field, mask);
  if (field.name === "dl_vlan" && Number(value) === VLAN_NONE) return requireNoTag(match);
  if (field.name === "in_port_oxm" && value >= 0xffffff00n) value &= 0xffffn;
  if (mask !== 0n && !valueIsValid(field, value)) {
    throw new TextError(`${text}: invalid value for field ${field.name}`);
  }
  setMatchField(match, field, value, mask & fullMask(field));
}

/** Reads a match that stands alone. */
export function parseMatch(text: string, names?: TextNames): Match {
  const match = anyMatch();
  const said = { match, protocols: PROTOCOLS.ANY };
  for (const { key, value } of keyValues(text)) {
    if (!parseMatchPart(said, key, value, names)) throw new TextError(`unknown keyword ${key}`);
  }
  return match;
}
