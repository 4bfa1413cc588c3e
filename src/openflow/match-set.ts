/**
 * Adding a field to a `Match`, and the rules for when a field may be matched at all.
 *
 * A field has prerequisites (ovs-fields(7), OpenFlow 1.3.5 §7.2.3.8): `tcp_dst` needs IPv4 or IPv6
 * and protocol TCP in the same match, before it. Since `Match.key` is zero wherever the mask is, the
 * values alone tell whether they are met.
 */
import type { Prerequisite } from "../packet/fields.ts";
import { type Field, FIELDS } from "../packet/layout.ts";
import type { FlowKey, Match } from "../packet/key.ts";
import { fullMask } from "./field-bits.ts";
import { setTunnelOption, tunnelIndex } from "./tunnel-fields.ts";

export const ETH_TYPE = {
  IPV4: 0x0800,
  ARP: 0x0806,
  RARP: 0x8035,
  IPV6: 0x86dd,
  MPLS: 0x8847,
  MPLS_MULTICAST: 0x8848,
  NSH: 0x894f,
  PBB: 0x88e7,
  /** What 802.3 frames without SNAP match as. */
  NOT_ETHERNET_II: 0x05ff,
} as const;

/** Set in `vlan_tci` when a tag is present. */
export const VLAN_PRESENT = 0x1000;
const CT_TRACKED = 0x20;
const CT_INVALID = 0x10;
/** new, est, rel, rpl, snat, dnat: any of them implies a valid connection. */
const CT_VALID = 0x01 | 0x02 | 0x04 | 0x08 | 0x40 | 0x80;

/**
 * Sets `field` of the match to `value` under `mask` (both as wide as the field). Matching on a
 * priority implies that there is a tag; `dl_vlan` likewise.
 */
export function setMatchField(match: Match, named: Field, value: bigint, mask: bigint): void {
  if (named.variable) {
    const index = tunnelIndex(named);
    setTunnelOption(match.key, index);
    setTunnelOption(match.mask, index);
  }
  if (mask === 0n) return;
  if (named.name === "in_port") {
    // One thing with two widths: keep one mask for it, or equal matches would differ.
    return setMatchExact(match, FIELDS.in_port_oxm, value);
  }
  const field = named;
  match.mask.setBig(field, match.mask.getBig(field) | mask);
  match.key.setBig(field, (match.key.getBig(field) & ~mask) | (value & mask));
  if (
    (field.name === "dl_vlan_pcp" || field.name === "vlan_pcp" || field.name === "dl_vlan")
  ) requireTag(match);
}

/** Matches the whole field. */
export function setMatchExact(match: Match, field: Field, value: number | bigint): void {
  setMatchField(match, field, BigInt(value), fullMask(field));
}

/** The match demands a VLAN tag. */
export function requireTag(match: Match): void {
  const tci = FIELDS.vlan_tci;
  match.key.set(tci, match.key.get(tci) | VLAN_PRESENT);
  match.mask.set(tci, match.mask.get(tci) | VLAN_PRESENT);
}

/** The match demands that there be no VLAN tag. */
export function requireNoTag(match: Match): void {
  match.key.set(FIELDS.vlan_tci, 0);
  match.mask.set(FIELDS.vlan_tci, 0xffff);
}

/** The type of what an Ethernet header would say, also of packets that have none. */
function payloadType(key: FlowKey): number {
  const type = key.get(FIELDS.packet_type);
  if (type === 0) return key.get(FIELDS.eth_type);
  return type >>> 16 === NAMESPACE_ETHERTYPE ? type & 0xffff : 0;
}

/** OFPHTN_ETHERTYPE: the type of a packet without Ethernet header is that of its first header. */
const NAMESPACE_ETHERTYPE = 1;

/**
 * Whether packets with `key` have what a field of this prerequisite needs. `mask` tells a packet
 * that is known not to be an invalid connection's from one that is not known.
 */
export function prerequisiteMet(
  prerequisite: Prerequisite | undefined,
  key: FlowKey,
  mask?: FlowKey,
): boolean {
  if (prerequisite === undefined) return true;
  const ethType = payloadType(key);
  switch (prerequisite) {
    case "ethernet":
      return key.get(FIELDS.packet_type) === 0;
    case "vlan":
      return (key.get(FIELDS.vlan_tci) & VLAN_PRESENT) !== 0;
    case "mpls":
      return ethType === ETH_TYPE.MPLS || ethType === ETH_TYPE.MPLS_MULTICAST;
    case "ip":
      return isIp(ethType);
    case "ipv4":
      return ethType === ETH_TYPE.IPV4;
    case "ipv6":
      return ethType === ETH_TYPE.IPV6;
    case "arp":
      return ethType === ETH_TYPE.ARP || ethType === ETH_TYPE.RARP;
    case "tcp":
      return isTransport(key, ethType, 6);
    case "udp":
      return isTransport(key, ethType, 17);
    case "sctp":
      return isTransport(key, ethType, 132);
    case "icmpv4":
      return ethType === ETH_TYPE.IPV4 && key.get(FIELDS.nw_proto) === 1;
    case "icmpv6":
      return isIcmpv6(key, ethType);
    case "nd":
      return isDiscovery(key, ethType, 135) || isDiscovery(key, ethType, 136);
    case "nd_solicit":
      return isDiscovery(key, ethType, 135);
    case "nd_advert":
      return isDiscovery(key, ethType, 136);
    case "nsh":
      return ethType === ETH_TYPE.NSH;
    case "pbb":
      return ethType === 0x88e7;
    case "ct": {
      const state = key.get(FIELDS.ct_state);
      if ((state & CT_VALID) !== 0) return true;
      const known = mask ? mask.get(FIELDS.ct_state) : state;
      return (state & CT_TRACKED) !== 0 && (known & CT_INVALID) !== 0 && (state & CT_INVALID) === 0;
    }
    default: {
      const never: never = prerequisite;
      return never;
    }
  }
}

const isIp = (ethType: number): boolean => ethType === ETH_TYPE.IPV4 || ethType === ETH_TYPE.IPV6;

const isTransport = (key: FlowKey, ethType: number, protocol: number): boolean =>
  isIp(ethType) && key.get(FIELDS.nw_proto) === protocol && (key.get(FIELDS.ip_frag) & 2) === 0;

const isIcmpv6 = (key: FlowKey, ethType: number): boolean =>
  ethType === ETH_TYPE.IPV6 && key.get(FIELDS.nw_proto) === 58;

const isDiscovery = (key: FlowKey, ethType: number, type: number): boolean =>
  isIcmpv6(key, ethType) && key.get(FIELDS.icmpv6_type) === type &&
  key.get(FIELDS.icmpv6_code) === 0;

/** Whether `value` is one that the field can have (bits beyond its width, unknown flags …). */
export function valueIsValid(field: Field, value: bigint): boolean {
  if (value > fullMask(field) || (field.name === "nw_tos" && (value & 3n) !== 0n)) return false;
  switch (field.name) {
    case "dl_vlan":
      return value < 4096n;
    case "ct_state":
      return value <= 0xffn;
    case "nsh_ttl":
      return value <= 63n;
    case "nsh_mdtype":
      return value === 1n || value === 2n;
    default:
      return true;
  }
}
