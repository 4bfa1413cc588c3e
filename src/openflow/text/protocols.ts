/**
 * Which ways of saying flows a flow can be said in. A protocol is a version of OpenFlow or, for 1.0, one
 * of its four forms: with the standard's match or NXM, with tables in flow-mods (TID) or without.
 * Texts of flows narrow the set (ovs-ofctl(8), `--flow-format`); a client chooses from what is left.
 *
 * A set is a bitmap, its bits from the most portable to the most powerful.
 */
import type { Match } from "../../packet/key.ts";
import { type Field, FIELD_LIST, FIELDS } from "../../packet/layout.ts";
import { prefixLength } from "../../packet/address.ts";
import { TextError } from "../../packet/text.ts";
import type { Action } from "../actions/types.ts";
import { fieldIsZero, fullMask } from "../field-bits.ts";
import { oxmIdOf } from "../oxm.ts";
import { isOfVersion, type OfVersion, VERSION_NAMES } from "../version.ts";

export type Protocols = number;

const STD = 1 << 0;
const STD_TID = 1 << 1;
const NXM = 1 << 2;
const NXM_TID = 1 << 3;
const OF11 = 1 << 4;
const OXM = (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8);
const ALL = (1 << 9) - 1;

export const PROTOCOLS = {
  NONE: 0,
  STD,
  STD_TID,
  NXM,
  NXM_TID,
  OF10: STD | STD_TID | NXM | NXM_TID,
  OXM,
  OF11_UP: OF11 | OXM,
  OF12_UP: OXM,
  OF13_UP: OXM & ~(1 << 5),
  OF14_UP: (1 << 7) | (1 << 8),
  OF15_UP: 1 << 8,
  NXM_OXM: NXM | NXM_TID | OXM,
  NXM_OF11_UP: NXM | NXM_TID | OF11 | OXM,
  /** Where flow-mods name their table. */
  TID: STD_TID | NXM_TID | OF11 | OXM,
  ANY: ALL,
} as const;

/** In bit order. */
const NAMES = [
  "OpenFlow10-table_id",
  "OpenFlow10+table_id",
  "NXM-table_id",
  "NXM+table_id",
  "OpenFlow11",
  "OXM-OpenFlow12",
  "OXM-OpenFlow13",
  "OXM-OpenFlow14",
  "OXM-OpenFlow15",
] as const;

const ABBREVIATIONS: readonly (readonly [Protocols, string])[] = [
  [ALL, "any"],
  [STD | STD_TID, "OpenFlow10"],
  [NXM | NXM_TID, "NXM"],
  [OXM, "OXM"],
];

/** From the most to the least telling for dumps of flows. */
export const DUMP_PROTOCOLS: readonly Protocols[] = [
  1 << 8,
  1 << 7,
  1 << 6,
  1 << 5,
  OF11,
  NXM,
  STD,
];

/** Each protocol of the set by itself, the most portable first. */
export const eachProtocol = (set: Protocols): Protocols[] =>
  NAMES.map((_, bit) => 1 << bit).filter((protocol) => (set & protocol) !== 0);

export const lowestProtocol = (set: Protocols): Protocols => set & -set;

/** `NXM,OXM`; `any` for all, `none` for the empty set. */
export function formatProtocols(set: Protocols): string {
  if (set === 0) return "none";
  const parts: string[] = [];
  for (let rest = set; rest !== 0;) {
    const short = ABBREVIATIONS.find(([bits]) => (rest & bits) === bits);
    const bits = short?.[0] ?? lowestProtocol(rest);
    parts.push(short?.[1] ?? NAMES[31 - Math.clz32(bits)]!);
    rest &= ~bits;
  }
  return parts.join(",");
}

/** The name of one protocol. */
export const protocolName = (protocol: Protocols): string => NAMES[31 - Math.clz32(protocol)]!;

/** What `--flow-format` takes: names and abbreviations, commas between. Throws `TextError`. */
export function parseProtocols(text: string): Protocols {
  let set = 0;
  for (const word of text.split(",").filter((part) => part !== "")) {
    const lower = word.toLowerCase();
    const bit = NAMES.findIndex((name) => name.toLowerCase() === lower);
    const found = bit >= 0
      ? 1 << bit
      : ABBREVIATIONS.find(([, name]) => name.toLowerCase() === lower)?.[0];
    if (found === undefined) throw new TextError(`${word}: unknown flow protocol`);
    set |= found;
  }
  if (set === 0) throw new TextError(`${text}: no flow protocol specified`);
  return set;
}

/** The version that one protocol belongs to. */
export function versionOfProtocol(protocol: Protocols): OfVersion {
  const bit = 31 - Math.clz32(protocol);
  return (bit < 4 ? 1 : bit - 2) as OfVersion;
}

/** What a connection of that version begins with. */
export const protocolOfVersion = (version: OfVersion): Protocols =>
  version === 1 ? STD : 1 << (version + 2);

/** Bitmap by wire version (bit 1: OpenFlow 1.0) → all protocols of those versions. */
export function protocolsOfVersions(versions: number): Protocols {
  let set = 0;
  for (let version = 1; version <= 6; version++) {
    if ((versions >>> version) & 1) set |= version === 1 ? PROTOCOLS.OF10 : 1 << (version + 2);
  }
  return set;
}

export function versionsOfProtocols(set: Protocols): number {
  let versions = 0;
  for (const protocol of eachProtocol(set)) versions |= 1 << versionOfProtocol(protocol);
  return versions;
}

/** `OpenFlow10, OpenFlow13`. */
export function formatVersions(versions: number): string {
  const names: string[] = [];
  for (let version = 0; version < 31; version++) {
    if ((versions >>> version) & 1 && isOfVersion(version)) names.push(VERSION_NAMES[version]);
  }
  return names.join(", ");
}

export function parseVersion(text: string): OfVersion | undefined {
  for (const [number, name] of Object.entries(VERSION_NAMES)) {
    if (name.toLowerCase() === text.toLowerCase()) return Number(number) as OfVersion;
  }
  return undefined;
}

/** With the whole field, with a prefix of it, with any other mask. */
type Usable = readonly [exact: Protocols, prefix: Protocols, bits: Protocols];

const { NXM_OXM, NXM_OF11_UP } = PROTOCOLS;
const ANYWHERE = new Set([
  "in_port",
  "eth_type",
  "dl_vlan",
  "dl_vlan_pcp",
  "vlan_pcp",
  "nw_proto",
  "nw_tos",
  "ip_dscp",
  "arp_op",
  "icmp_type",
  "icmp_code",
]);

function usableOf(field: Field): Usable {
  const { name } = field;
  if (ANYWHERE.has(name)) return [ALL, 0, 0];
  switch (name) {
    case "metadata":
      return [NXM_OF11_UP, NXM_OF11_UP, NXM_OF11_UP];
    case "in_port_oxm":
    case "mpls_label":
    case "mpls_tc":
    case "nw_ecn":
      return [NXM_OF11_UP, 0, 0];
    case "eth_src":
    case "eth_dst":
      return [ALL, NXM_OF11_UP, NXM_OF11_UP];
    case "vlan_tci":
    case "vlan_vid":
    case "tcp_src":
    case "tcp_dst":
    case "udp_src":
    case "udp_dst":
      return [ALL, NXM_OXM, NXM_OXM];
    case "ip_src":
    case "ip_dst":
    case "arp_spa":
    case "arp_tpa":
      return [ALL, ALL, NXM_OF11_UP];
    case "sctp_src":
    case "sctp_dst":
      return [NXM_OF11_UP, NXM_OXM, NXM_OXM];
    default:
      if (!oxmIdOf(field, 0)) return [0, 0, 0];
      return field.maskable ? [NXM_OXM, NXM_OXM, NXM_OXM] : [NXM_OXM, 0, 0];
  }
}

const USABLE: readonly Usable[] = FIELD_LIST.map(usableOf);

/** Protocols that can say a match on these bits of the field. */
export function protocolsOfField(field: Field, mask: bigint = fullMask(field)): Protocols {
  const [exact, prefix, bits] = USABLE[field.id]!;
  const full = fullMask(field);
  if ((mask & full) === full) return exact;
  if (mask === 0n && !field.variable) return ALL;
  return prefixLength(mask, field.bits) === undefined ? bits : prefix;
}

const IPV6 = 0x86dd;
const IPV6_L4: readonly Field[] = [
  FIELDS.nw_proto,
  FIELDS.nw_tos,
  FIELDS.nw_ecn,
  FIELDS.tcp_src,
  FIELDS.tcp_dst,
];

/** What lies above IPv6 can be said in NXM and OXM only, whatever it is. */
export function protocolsOfIpv6({ key, mask }: Match): Protocols {
  if (key.get(FIELDS.eth_type) !== IPV6) return ALL;
  return IPV6_L4.some((field) => !fieldIsZero(mask, field)) ? NXM_OXM : ALL;
}

/** What the actions' own forms leave; `isTop` where instructions may stand. */
export function protocolsOfActions(actions: readonly Action[], isTop = true): Protocols {
  let set: Protocols = ALL;
  for (const action of actions) {
    switch (action.type) {
      case "push_vlan":
        set &= PROTOCOLS.OF11_UP;
        break;
      case "set_field":
        if (action.form === "set_field") set &= protocolsOfField(action.field);
        break;
      case "encap":
        set &= PROTOCOLS.OF13_UP;
        break;
      case "meter":
        set &= isTop ? PROTOCOLS.OF13_UP : PROTOCOLS.OF15_UP;
        break;
      case "write_metadata":
        set &= NXM_OF11_UP;
        break;
      case "clone":
      case "ct":
      case "write_actions":
        set &= protocolsOfActions(action.actions, false);
        break;
      default:
    }
  }
  return set;
}
