/** Reading and writing fields of the key under translation, with their prerequisites. */
import type { Subfield } from "../../openflow/actions/types.ts";
import type { Prerequisite } from "../../packet/fields.ts";
import type { FlowKey } from "../../packet/key.ts";
import { type Field, FIELDS, slot, type SlotName, SLOTS } from "../../packet/layout.ts";

export const ETH_IP = 0x0800;
export const ETH_ARP = 0x0806;
export const ETH_RARP = 0x8035;
export const ETH_IPV6 = 0x86dd;
export const ETH_MPLS = 0x8847;
export const ETH_MPLS_MC = 0x8848;
export const ETH_NSH = 0x894f;
const ETH_PBB = 0x88e7;
/** Fragment bits: any fragment, not the first. */
export const FRAG_ANY = 1;
export const FRAG_LATER = 2;
const CT_VALID = 0x01 | 0x02 | 0x08;
export const VLAN_CFI = 0x1000;
export const VLAN_VID = 0x0fff;
export const VLAN_PCP = 0xe000;

/** Byte offsets of the slots that translation reads by hand. */
export const AT = {
  inPort: slot("in_port").offset,
  recircId: slot("recirc_id").offset,
  packetType: slot("packet_type").offset,
  ethDst: slot("eth_dst").offset,
  ethSrc: slot("eth_src").offset,
  ethType: slot("eth_type").offset,
  vlanTci: slot("vlan_tci").offset,
  vlanTpid: slot("vlan_tpid").offset,
  vlan2Tci: slot("vlan2_tci").offset,
  vlan2Tpid: slot("vlan2_tpid").offset,
  nwProto: slot("nw_proto").offset,
  nwSrc: slot("nw_src").offset,
  nwDst: slot("nw_dst").offset,
  nwTtl: slot("nw_ttl").offset,
  nwTos: slot("nw_tos").offset,
  nwFrag: slot("nw_frag").offset,
  tpSrc: slot("tp_src").offset,
  tpDst: slot("tp_dst").offset,
  mpls: slot("mpls_lse0").offset,
  ctState: slot("ct_state").offset,
  ctNwProto: slot("ct_nw_proto").offset,
  ctNwSrc: slot("ct_nw_src").offset,
  ctNwDst: slot("ct_nw_dst").offset,
  ctIpv6Src: slot("ct_ipv6_src").offset,
  ctIpv6Dst: slot("ct_ipv6_dst").offset,
  ctTpSrc: slot("ct_tp_src").offset,
  ctTpDst: slot("ct_tp_dst").offset,
  ipv6Src: slot("ipv6_src").offset,
  ipv6Dst: slot("ipv6_dst").offset,
} as const;

export function u16(key: FlowKey, at: number): number {
  return (key.bytes[at]! << 8) | key.bytes[at + 1]!;
}

export function setU16(key: FlowKey, at: number, value: number): void {
  key.bytes[at] = value >> 8;
  key.bytes[at + 1] = value;
}

/** Sets bits of a two-byte slot in a mask. */
export function look16(mask: FlowKey, at: number, bits: number): void {
  mask.bytes[at]! |= bits >> 8;
  mask.bytes[at + 1]! |= bits & 0xff;
}

/** All bits of a slot in a mask. */
export function lookSlot(mask: FlowKey, name: SlotName): void {
  const { offset, bytes } = slot(name);
  lookBytes(mask, offset, bytes);
}

/** All bits of `length` bytes in a mask; a loop, as this runs often and `length` is small. */
export function lookBytes({ bytes }: FlowKey, at: number, length: number): void {
  for (let i = at; i < at + length; i++) bytes[i] = 0xff;
}

export function inPort(key: FlowKey): number {
  return key.get(FIELDS.in_port);
}

export function setInPort(key: FlowKey, port: number): void {
  key.set(FIELDS.in_port, port);
}

export function isIp(key: FlowKey): boolean {
  const type = u16(key, AT.ethType);
  return type === ETH_IP || type === ETH_IPV6;
}

export function isMplsType(type: number): boolean {
  return type === ETH_MPLS || type === ETH_MPLS_MC;
}

export function u32({ bytes }: FlowKey, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>>
    0;
}

export function setU32({ bytes }: FlowKey, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Sets bits of a four-byte slot in a mask. */
export function look32(mask: FlowKey, at: number, bits: number): void {
  setU32(mask, at, u32(mask, at) | bits);
}

/** The transport ports, or the type and code of ICMP, in a mask. */
export function lookPorts(key: FlowKey, mask: FlowKey): void {
  const protocol = key.bytes[AT.nwProto]!;
  const icmp = protocol === (u16(key, AT.ethType) === ETH_IP ? 1 : 58);
  if (!icmp && protocol !== 6 && protocol !== 17 && protocol !== 132) return;
  look16(mask, AT.tpSrc, icmp ? 0xff : 0xffff);
  look16(mask, AT.tpDst, icmp ? 0xff : 0xffff);
}

/** OpenFlow's 32-bit port numbers in fields: reserved ones are 0xffffffXX there. */
function portValue(field: Field, value: bigint): bigint {
  return field.name === "in_port_oxm" && value >= 0xffffff00n ? value & 0xffffn : value;
}

const CT = [...SLOTS.values()].filter(({ name }) => name.startsWith("ct_"));

/** The packet is untracked. */
export function clearConntrack({ bytes }: FlowKey): void {
  for (const { offset, bytes: length } of CT) bytes.fill(0, offset, offset + length);
}

/** Fields that numbers can hold; OpenFlow's 32-bit port numbers are translated on the way. */
export function isNumeric({ slotBytes, name }: Field): boolean {
  return slotBytes <= 4 && name !== "in_port_oxm";
}

/** `readSubfield` for a field that `isNumeric`. */
export function readNumber(key: FlowKey, { field, start, bits }: Subfield): number {
  return (key.get(field) >>> start) & lowBits(bits);
}

/** `writeSubfield` for a field that `isNumeric`; bits of `value` that do not fit are left out. */
export function writeNumber(
  key: FlowKey,
  { field, start, bits }: Subfield,
  value: number,
): void {
  const ones = lowBits(bits) << start;
  key.set(field, ((key.get(field) & ~ones) | ((value << start) & ones)) >>> 0);
}

function lowBits(bits: number): number {
  return bits >= 32 ? -1 : (1 << bits) - 1;
}

export function readSubfield(key: FlowKey, { field, start, bits }: Subfield): bigint {
  return (key.getBig(field) >> BigInt(start)) & ((1n << BigInt(bits)) - 1n);
}

export function writeSubfield(key: FlowKey, { field, start, bits }: Subfield, value: bigint): void {
  const ones = (1n << BigInt(bits)) - 1n;
  writeMasked(key, field, (value & ones) << BigInt(start), ones << BigInt(start));
}

export function lookSubfield(mask: FlowKey, subfield: Subfield): void {
  if (isNumeric(subfield.field)) return writeNumber(mask, subfield, -1);
  writeSubfield(mask, subfield, (1n << BigInt(subfield.bits)) - 1n);
}

export function writeMasked(key: FlowKey, field: Field, value: bigint, mask: bigint): void {
  if (field.slotBytes > 4) {
    key.setBig(field, (key.getBig(field) & ~mask) | (value & mask));
    return;
  }
  const bits = Number(mask);
  const number = Number(portValue(field, value));
  key.set(field, ((key.get(field) & ~bits) | (number & bits)) >>> 0);
}

/**
 * Does the packet have the field? Sets in `mask` what was looked at (the Ethernet type and, for IP,
 * the fragment bits always are). ovs-fields(7), "Prerequisites".
 */
export function has(key: FlowKey, mask: FlowKey, prerequisite: Prerequisite | undefined): boolean {
  const type = u16(key, AT.ethType);
  switch (prerequisite) {
    case undefined:
      return true;
    case "ethernet":
      return isEthernet(key, mask);
    case "vlan":
      if (!isEthernet(key, mask)) return false;
      look16(mask, AT.vlanTci, VLAN_CFI);
      return (u16(key, AT.vlanTci) & VLAN_CFI) !== 0;
    case "mpls":
      return isMplsType(type);
    case "ip":
      return type === ETH_IP || type === ETH_IPV6;
    case "ipv4":
      return type === ETH_IP;
    case "ipv6":
      return type === ETH_IPV6;
    case "arp":
      return type === ETH_ARP || type === ETH_RARP;
    case "tcp":
      return isTransport(key, mask, 6);
    case "udp":
      return isTransport(key, mask, 17);
    case "sctp":
      return isTransport(key, mask, 132);
    case "icmpv4":
      return type === ETH_IP && isProtocol(key, mask, 1);
    case "icmpv6":
      return type === ETH_IPV6 && isProtocol(key, mask, 58);
    case "nd":
      return isDiscovery(key, mask, 135, 136);
    case "nd_solicit":
      return isDiscovery(key, mask, 135, 135);
    case "nd_advert":
      return isDiscovery(key, mask, 136, 136);
    case "nsh":
      return type === ETH_NSH;
    case "pbb":
      return type === ETH_PBB;
    case "ct":
      return hasTracked(key, mask);
    default: {
      const never: never = prerequisite;
      throw new Error(`prerequisite ${never}`);
    }
  }
}

function isEthernet(key: FlowKey, mask: FlowKey): boolean {
  lookBytes(mask, AT.packetType, 4);
  return u32(key, AT.packetType) === 0;
}

function isProtocol(key: FlowKey, mask: FlowKey, wanted: number): boolean {
  mask.bytes[AT.nwProto] = 0xff;
  return key.bytes[AT.nwProto] === wanted;
}

function isTransport(key: FlowKey, mask: FlowKey, wanted: number): boolean {
  return isIp(key) && isProtocol(key, mask, wanted) && (key.bytes[AT.nwFrag]! & FRAG_LATER) === 0;
}

function isDiscovery(key: FlowKey, mask: FlowKey, first: number, last: number): boolean {
  if (u16(key, AT.ethType) !== ETH_IPV6 || !isProtocol(key, mask, 58)) return false;
  look16(mask, AT.tpDst, 0xffff);
  if (u16(key, AT.tpDst) !== 0) return false;
  look16(mask, AT.tpSrc, 0xffff);
  const type = u16(key, AT.tpSrc);
  return type >= first && type <= last;
}

/** Has the packet the addresses of a tracked connection? A state of new, established or reply says. */
function hasTracked(key: FlowKey, mask: FlowKey): boolean {
  look32(mask, AT.ctState, CT_VALID);
  return (u32(key, AT.ctState) & CT_VALID) !== 0;
}
