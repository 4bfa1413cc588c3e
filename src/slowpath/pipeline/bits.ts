/** Reading and writing fields of the key under translation, with their prerequisites. */
import type { Subfield } from "../../openflow/actions/types.ts";
import type { Prerequisite } from "../../packet/fields.ts";
import type { FlowKey } from "../../packet/key.ts";
import { type Field, FIELDS, slot, type SlotName } from "../../packet/layout.ts";

export const ETH_IP = 0x0800;
export const ETH_ARP = 0x0806;
export const ETH_RARP = 0x8035;
export const ETH_IPV6 = 0x86dd;
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
  nwFrag: slot("nw_frag").offset,
  tpSrc: slot("tp_src").offset,
  tpDst: slot("tp_dst").offset,
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

/** OpenFlow's 32-bit port numbers in fields: reserved ones are 0xffffffXX there. */
function portValue(field: Field, value: bigint): bigint {
  return field.name === "in_port_oxm" && value >= 0xffffff00n ? value & 0xffffn : value;
}

export function readSubfield(key: FlowKey, { field, start, bits }: Subfield): bigint {
  return (key.getBig(field) >> BigInt(start)) & ((1n << BigInt(bits)) - 1n);
}

export function writeSubfield(key: FlowKey, { field, start, bits }: Subfield, value: bigint): void {
  const ones = (1n << BigInt(bits)) - 1n;
  writeMasked(key, field, (value & ones) << BigInt(start), ones << BigInt(start));
}

export function lookSubfield(mask: FlowKey, subfield: Subfield): void {
  writeSubfield(mask, subfield, (1n << BigInt(subfield.bits)) - 1n);
}

export function writeMasked(key: FlowKey, field: Field, value: bigint, mask: bigint): void {
  key.setBig(field, (key.getBig(field) & ~mask) | (portValue(field, value) & mask));
}

/**
 * Does the packet have the field? Sets in `mask` what was looked at (the Ethernet type and, for IP,
 * the fragment bits always are). ovs-fields(7), "Prerequisites".
 */
export function has(key: FlowKey, mask: FlowKey, prerequisite: Prerequisite | undefined): boolean {
  const type = u16(key, AT.ethType);
  const proto = (wanted: number): boolean => {
    if (type !== ETH_IP && type !== ETH_IPV6) return false;
    mask.bytes[AT.nwProto] = 0xff;
    return key.bytes[AT.nwProto] === wanted && (key.bytes[AT.nwFrag]! & 2) === 0;
  };
  const icmpv6 = (...types: number[]): boolean => {
    if (type !== ETH_IPV6 || !proto(58)) return false;
    look16(mask, AT.tpSrc, 0xffff);
    look16(mask, AT.tpDst, 0xffff);
    return types.includes(u16(key, AT.tpSrc)) && u16(key, AT.tpDst) === 0;
  };
  switch (prerequisite) {
    case undefined:
    case "ethernet":
      return true;
    case "vlan":
      look16(mask, AT.vlanTci, VLAN_CFI);
      return (u16(key, AT.vlanTci) & VLAN_CFI) !== 0;
    case "mpls":
      return type === 0x8847 || type === 0x8848;
    case "ip":
      return type === ETH_IP || type === ETH_IPV6;
    case "ipv4":
      return type === ETH_IP;
    case "ipv6":
      return type === ETH_IPV6;
    case "arp":
      return type === ETH_ARP || type === ETH_RARP;
    case "tcp":
      return proto(6);
    case "udp":
      return proto(17);
    case "sctp":
      return proto(132);
    case "icmpv4":
      return type === ETH_IP && proto(1);
    case "icmpv6":
      return type === ETH_IPV6 && proto(58);
    case "nd":
      return icmpv6(135, 136);
    case "nd_solicit":
      return icmpv6(135);
    case "nd_advert":
      return icmpv6(136);
    case "nsh":
      return type === 0x894f;
    case "pbb":
      return type === 0x88e7;
    case "ct": {
      const { offset, bytes } = slot("ct_nw_proto");
      mask.bytes.fill(0xff, offset, offset + bytes);
      return key.bytes[offset] !== 0;
    }
    default: {
      const never: never = prerequisite;
      throw new Error(`prerequisite ${never}`);
    }
  }
}
