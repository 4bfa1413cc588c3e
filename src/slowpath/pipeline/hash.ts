/**
 * Hashes of a packet's fields, by which groups, `multipath` and `bundle` spread flows. What a hash
 * looks at goes into the mask: each flow that it tells apart becomes a megaflow.
 *
 * The values are Open vSwitch's (packet/hash.ts), so that both choose the same bucket, link or port.
 * Addresses and ports are hashed as they stand in the packet, in network byte order.
 */
import type { HashFields } from "../../openflow/actions/types.ts";
import type { GroupSelection } from "../../openflow/messages/types.ts";
import type { FlowKey } from "../../packet/key.ts";
import { hashAdd, hashBig, hashBytes, hashFinish, jenkins } from "../../packet/hash.ts";
import { type Field, slot } from "../../packet/layout.ts";
import {
  AT,
  ETH_IP,
  ETH_IPV6,
  has,
  isIp,
  look16,
  lookBytes,
  lookPorts,
  u16,
  VLAN_CFI,
  VLAN_VID,
  writeMasked,
} from "./bits.ts";
import type { Xlate } from "./xlate.ts";

const IPV6 = { src: slot("ipv6_src").offset, dst: slot("ipv6_dst").offset };
const TCP = 6;
const UDP = 17;
const SCTP = 132;

/** Sets in `mask` what the hash of the fields looks at. */
export function lookHashFields(key: FlowKey, mask: FlowKey, fields: HashFields): void {
  const type = u16(key, AT.ethType);
  const source = (): void => {
    if (type === ETH_IP) lookBytes(mask, AT.nwSrc, 4);
    else if (type === ETH_IPV6) lookBytes(mask, IPV6.src, 16);
  };
  const destination = (): void => {
    if (type === ETH_IP) lookBytes(mask, AT.nwDst, 4);
    else if (type === ETH_IPV6) lookBytes(mask, IPV6.dst, 16);
  };
  switch (fields) {
    case "eth_src":
      return lookBytes(mask, AT.ethSrc, 6);
    case "nw_src":
      return source();
    case "nw_dst":
      return destination();
    case "symmetric_l3":
      source();
      return destination();
    case "symmetric_l4":
      lookBytes(mask, AT.ethSrc, 6);
      lookBytes(mask, AT.ethDst, 6);
      source();
      destination();
      if (isIp(key)) {
        mask.bytes[AT.nwProto] = 0xff;
        if (key.bytes[AT.nwProto] !== UDP) lookPorts(key, mask);
      }
      look16(mask, AT.vlanTci, VLAN_VID | VLAN_CFI);
      look16(mask, AT.vlan2Tci, VLAN_VID | VLAN_CFI);
      return;
    case "symmetric_l3l4":
    case "symmetric_l3l4+udp":
      source();
      destination();
      if (!isIp(key)) return;
      mask.bytes[AT.nwProto] = 0xff;
      if (hashesPorts(key, fields === "symmetric_l3l4+udp")) {
        look16(mask, AT.tpSrc, 0xffff);
        look16(mask, AT.tpDst, 0xffff);
      }
      return;
    default: {
      const never: never = fields;
      throw new Error(`hash fields ${never}`);
    }
  }
}

/** The fields that an action names, hashed. */
export function hashFields(key: FlowKey, fields: HashFields, basis: number): number {
  const type = u16(key, AT.ethType);
  switch (fields) {
    case "eth_src":
      return jenkins(part(key, AT.ethSrc, 6), basis);
    case "nw_src":
      if (type === ETH_IP) return jenkins(part(key, AT.nwSrc, 4), basis);
      return type === ETH_IPV6 ? jenkins(part(key, IPV6.src, 16), basis) : basis;
    case "nw_dst":
      if (type === ETH_IP) return jenkins(part(key, AT.nwDst, 4), basis);
      return type === ETH_IPV6 ? jenkins(part(key, IPV6.dst, 16), basis) : basis;
    case "symmetric_l3": {
      const record = new Uint8Array(20);
      putAddresses(key, record);
      record.set(part(key, AT.ethType, 2), 16);
      return jenkins(record, basis);
    }
    case "symmetric_l4":
      return symmetricL4(key, basis);
    case "symmetric_l3l4":
    case "symmetric_l3l4+udp":
      return isIp(key)
        ? symmetricL3L4(key, basis, fields === "symmetric_l3l4+udp")
        : symmetricL2(key, basis);
    default: {
      const never: never = fields;
      throw new Error(`hash fields ${never}`);
    }
  }
}

/** The fields that a select group's `hash` method names. */
export function hashSelection(x: Xlate, { fields, parameter }: GroupSelection): number {
  let hash = hashBig(parameter);
  for (const { field, mask } of [...fields].sort((a, b) => a.field.id - b.field.id)) {
    if (!has(x.key, x.mask, field.prerequisite)) continue;
    writeMasked(x.mask, field, mask, mask);
    hash = hashBytes(bytesOf(x.key.getBig(field) & mask, field), hash);
  }
  return hash;
}

function bytesOf(value: bigint, { bytes }: Field): Uint8Array {
  const result = new Uint8Array(bytes);
  for (let i = bytes - 1, rest = value; i >= 0; i--, rest >>= 8n) result[i] = Number(rest & 0xffn);
  return result;
}

function part({ bytes }: FlowKey, at: number, length: number): Uint8Array {
  return bytes.subarray(at, at + length);
}

/** Two runs of bytes, combined so that it does not matter which is which. */
function putPair(
  { bytes }: FlowKey,
  a: number,
  b: number,
  into: Uint8Array,
  at: number,
  n: number,
) {
  for (let i = 0; i < n; i++) into[at + i] = bytes[a + i]! ^ bytes[b + i]!;
}

function putAddresses(key: FlowKey, into: Uint8Array): void {
  const type = u16(key, AT.ethType);
  if (type === ETH_IP) putPair(key, AT.nwSrc, AT.nwDst, into, 0, 4);
  else if (type === ETH_IPV6) putPair(key, IPV6.src, IPV6.dst, into, 0, 16);
}

function putVlans(key: FlowKey, into: Uint8Array, at: number): void {
  const vid = (u16(key, AT.vlanTci) ^ u16(key, AT.vlan2Tci)) & VLAN_VID;
  into[at] = vid >> 8;
  into[at + 1] = vid;
}

/**
 *      0               16         18       20       22           28         29       32
 *     +---------------+----------+--------+--------+------------+----------+--------+
 *     | addresses     | eth_type | VIDs   | ports  | Ethernet   | protocol | zero   |
 *     +---------------+----------+--------+--------+------------+----------+--------+
 */
function symmetricL4(key: FlowKey, basis: number): number {
  const record = new Uint8Array(32);
  putAddresses(key, record);
  record.set(part(key, AT.ethType, 2), 16);
  putVlans(key, record, 18);
  putPair(key, AT.ethSrc, AT.ethDst, record, 22, 6);
  if (isIp(key)) {
    const protocol = key.bytes[AT.nwProto]!;
    record[28] = protocol;
    // A client's UDP port often changes from answer to answer.
    if (protocol === TCP || protocol === SCTP) putPair(key, AT.tpSrc, AT.tpDst, record, 20, 2);
  }
  return jenkins(record, basis);
}

function symmetricL3L4(key: FlowKey, basis: number, udp: boolean): number {
  const record = new Uint8Array(16);
  const length = u16(key, AT.ethType) === ETH_IP ? 4 : 16;
  putAddresses(key, record);
  let hash = basis;
  for (let i = 0; i < length; i += 4) hash = hashAdd(hash, littleWord(record, i));
  hash = hashAdd(hash, key.bytes[AT.nwProto]!);
  if (hashesPorts(key, udp)) {
    const ports = u16(key, AT.tpSrc) ^ u16(key, AT.tpDst);
    hash = hashAdd(hash, ((ports & 0xff) << 8) | (ports >> 8));
  }
  return hashFinish(hash, basis);
}

function symmetricL2(key: FlowKey, basis: number): number {
  for (let i = 0; i < 4; i++) if (key.bytes[AT.packetType + i] !== 0) return 0;
  const record = new Uint8Array(12);
  record.set(part(key, AT.ethType, 2), 0);
  putVlans(key, record, 2);
  putPair(key, AT.ethSrc, AT.ethDst, record, 4, 6);
  let hash = basis;
  for (let i = 0; i < 12; i += 4) hash = hashAdd(hash, littleWord(record, i));
  return hashFinish(hash, basis);
}

function hashesPorts({ bytes }: FlowKey, udp: boolean): boolean {
  if (bytes[AT.nwFrag]! & 3) return false;
  const protocol = bytes[AT.nwProto];
  return protocol === TCP || protocol === SCTP || (udp && protocol === UDP);
}

function littleWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
