/**
 * Hashes of a packet's fields, by which groups, `multipath` and `bundle` spread flows. What a hash
 * looks at goes into the mask: each flow that it tells apart becomes a megaflow.
 *
 * The values are this program's own: Open vSwitch spreads the same fields, differently.
 */
import type { HashFields } from "../../openflow/actions/types.ts";
import type { GroupSelection } from "../../openflow/messages/types.ts";
import { slot } from "../../packet/layout.ts";
import {
  AT,
  ETH_IP,
  ETH_IPV6,
  has,
  isIp,
  look16,
  lookBytes,
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

/** Mixes a 32-bit number into a hash (the finalizer of MurmurHash3). */
export function mix(hash: number, value: number): number {
  let h = Math.imul(hash ^ value, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The fields that an action names, hashed. */
export function hashFields(x: Xlate, fields: HashFields, basis: number): number {
  const start = mix(0x9e3779b9, basis);
  switch (fields) {
    case "eth_src":
      return hashBytes(x, AT.ethSrc, 6, start);
    case "nw_src":
      return oneAddress(x, AT.nwSrc, IPV6.src, start);
    case "nw_dst":
      return oneAddress(x, AT.nwDst, IPV6.dst, start);
    case "symmetric_l3":
      return bothAddresses(x, start);
    case "symmetric_l4":
      return ports(x, bothAddresses(x, vlans(x, bothMacs(x, start))), false);
    case "symmetric_l3l4":
    case "symmetric_l3l4+udp":
      if (!isIp(x.key)) return bothMacs(x, start);
      return ports(x, bothAddresses(x, start), fields === "symmetric_l3l4+udp");
    default: {
      const never: never = fields;
      throw new Error(`hash fields ${never}`);
    }
  }
}

/** The fields that a select group's selection method names; ports of UDP too without one. */
export function hashSelection(x: Xlate, selection: GroupSelection | undefined): number {
  if (!selection || selection.fields.length === 0) {
    const basis = selection ? Number(selection.parameter & 0xffffffffn) : 0;
    // `dp_hash` is computed by the datapath in Open vSwitch: over the same five fields.
    const all = selection?.method === "dp_hash";
    const l4 = hashFields(x, "symmetric_l4", basis);
    return all ? ports(x, l4, true) : l4;
  }
  let hash = mix(
    Number(selection.parameter & 0xffffffffn),
    Number((selection.parameter >> 32n) & 0xffffffffn),
  );
  for (const { field, mask } of selection.fields) {
    if (!has(x.key, x.mask, field.prerequisite)) continue;
    writeMasked(x.mask, field, mask, mask);
    let value = x.key.getBig(field) & mask;
    for (let left = field.bytes; left > 0; left -= 4) {
      hash = mix(hash, Number(value & 0xffffffffn));
      value >>= 32n;
    }
  }
  return hash;
}

function hashBytes({ key, mask }: Xlate, at: number, length: number, hash: number): number {
  lookBytes(mask, at, length);
  for (let i = 0; i < length; i++) hash = mix(hash, key.bytes[at + i]!);
  return hash;
}

/** The same whichever of the two comes first. */
function hashPair({ key, mask }: Xlate, a: number, b: number, length: number, h: number): number {
  lookBytes(mask, a, length);
  lookBytes(mask, b, length);
  for (let i = 0; i < length; i++) h = mix(h, key.bytes[a + i]! ^ key.bytes[b + i]!);
  return h;
}

function bothMacs(x: Xlate, hash: number): number {
  return hashPair(x, AT.ethSrc, AT.ethDst, 6, hash);
}

function vlans({ key, mask }: Xlate, hash: number): number {
  look16(mask, AT.vlanTci, VLAN_VID | VLAN_CFI);
  look16(mask, AT.vlan2Tci, VLAN_VID | VLAN_CFI);
  return mix(hash, (u16(key, AT.vlanTci) ^ u16(key, AT.vlan2Tci)) & VLAN_VID);
}

function oneAddress(x: Xlate, ipv4At: number, ipv6At: number, hash: number): number {
  const type = u16(x.key, AT.ethType);
  if (type === ETH_IP) return hashBytes(x, ipv4At, 4, hash);
  return type === ETH_IPV6 ? hashBytes(x, ipv6At, 16, hash) : hash;
}

function bothAddresses(x: Xlate, hash: number): number {
  const type = u16(x.key, AT.ethType);
  if (type === ETH_IP) return hashPair(x, AT.nwSrc, AT.nwDst, 4, mix(hash, type));
  if (type === ETH_IPV6) return hashPair(x, IPV6.src, IPV6.dst, 16, mix(hash, type));
  return mix(hash, type);
}

/** The protocol and the ports of whole packets. */
function ports(x: Xlate, hash: number, udp: boolean): number {
  const { key, mask } = x;
  if (!isIp(key)) return hash;
  mask.bytes[AT.nwProto] = 0xff;
  const protocol = key.bytes[AT.nwProto]!;
  const h = mix(hash, protocol);
  if (key.bytes[AT.nwFrag]! & 1) return h;
  const hasPorts = protocol === TCP || protocol === SCTP || (udp && protocol === UDP);
  return hasPorts ? hashPair(x, AT.tpSrc, AT.tpDst, 2, h) : h;
}
