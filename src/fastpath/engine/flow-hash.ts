/**
 * What the `hash` action computes over a flow key, as Open vSwitch's userspace datapath does: a
 * select group or a bond then spreads flows the same way. No allocation.
 */
import type { FlowKey } from "../../packet/key.ts";
import { slot } from "../../packet/layout.ts";
import { hashAdd, hashFinish, hashTwo } from "../../packet/hash.ts";

const ETH_TYPE = slot("eth_type").offset;
const ETH_WORD = slot("eth_dst").offset >> 2;
const NW_PROTO = slot("nw_proto").offset;
const NW_SRC = slot("nw_src").offset >> 2;
const NW_DST = slot("nw_dst").offset >> 2;
const IPV6_SRC = slot("ipv6_src").offset >> 2;
const IPV6_DST = slot("ipv6_dst").offset >> 2;
const TP = slot("tp_src").offset >> 2;
const TP_SRC = slot("tp_src").offset;
const NW_FRAG = slot("nw_frag").offset;
const MPLS = slot("mpls_lse0").offset >> 2;
const MPLS_ENTRIES = 3;
/** The label of an entry, in a word read little endian. */
const LABEL = 0x00f0ffff;

function ethType(key: FlowKey): number {
  return (key.bytes[ETH_TYPE]! << 8) | key.bytes[ETH_TYPE + 1]!;
}

/** Addresses, protocol and ports of one direction; other packets all have the same hash. */
export function hashFiveTuple(key: FlowKey, basis: number): number {
  const { words, bytes } = key;
  const type = ethType(key);
  let hash = basis;
  if (type === 0x86dd) { for (let i = 0; i < 8; i++) hash = hashAdd(hash, words[IPV6_SRC + i]!); }
  else if (type === 0x0800 || type === 0x0806) {
    hash = hashAdd(hashAdd(hash, words[NW_SRC]!), words[NW_DST]!);
  } else return hashFinish(hash, 42);
  const protocol = bytes[NW_PROTO]!;
  hash = hashAdd(hash, protocol);
  switch (protocol) {
    case 1:
    case 6:
    case 17:
    case 58:
    case 132:
      hash = hashAdd(hash, words[TP]!);
  }
  return hashFinish(hash, 42);
}

/** The same for both directions of a connection; UDP's ports stay out of it. */
export function hashSymmetric(key: FlowKey, basis: number): number {
  const { words, bytes } = key;
  const type = ethType(key);
  let hash = basis;
  if (type === 0x0800) hash = hashAdd(hash, (words[NW_SRC]! ^ words[NW_DST]!) >>> 0);
  else if (type === 0x86dd) {
    for (let i = 0; i < 4; i++) {
      hash = hashAdd(hash, (words[IPV6_SRC + i]! ^ words[IPV6_DST + i]!) >>> 0);
    }
  } else {
    // Both Ethernet addresses, 6 bytes each: halves of words are folded onto each other.
    const dst = hashAdd(hashAdd(0, words[ETH_WORD]!), words[ETH_WORD + 1]! & 0xffff);
    const middle = (words[ETH_WORD + 1]! >>> 16) | (words[ETH_WORD + 2]! << 16);
    const src = hashAdd(hashAdd(0, middle), words[ETH_WORD + 2]! >>> 16);
    return hashFinish(hashAdd(hashAdd(hash, (dst ^ src) >>> 0), type), basis);
  }
  const protocol = bytes[NW_PROTO]!;
  hash = hashAdd(hash, protocol);
  if ((bytes[NW_FRAG]! & 3) === 0 && (protocol === 6 || protocol === 132)) {
    const ports = ((bytes[TP_SRC]! ^ bytes[TP_SRC + 2]!) | // little endian, as a word is read
      ((bytes[TP_SRC + 1]! ^ bytes[TP_SRC + 3]!) << 8)) >>> 0;
    hash = hashAdd(hash, ports);
  }
  return hashFinish(hash, basis);
}

/**
 * `hashSymmetric`, and whatever else may tell two flows apart that Open vSwitch's hash does not look
 * at: Ethernet addresses also of IP packets, addresses in ARP, MPLS labels.
 */
export function hashWide(key: FlowKey, basis: number): number {
  const { words } = key;
  let hash = hashSymmetric(key, basis);
  const dst = words[ETH_WORD]!;
  const middle = words[ETH_WORD + 1]!;
  const last = words[ETH_WORD + 2]!;
  hash = hashAdd(hash, (dst ^ ((middle >>> 16) | (last << 16))) >>> 0);
  hash = hashAdd(hash, (middle & 0xffff) ^ (last >>> 16));
  const type = ethType(key);
  if (type === 0x0806) hash = hashAdd(hash, (words[NW_SRC]! ^ words[NW_DST]!) >>> 0);
  else if (type === 0x8847 || type === 0x8848) {
    for (let i = 0; i < MPLS_ENTRIES; i++) hash = hashAdd(hash, words[MPLS + i]! & LABEL);
  }
  return hashFinish(hash, basis);
}

export function hashFiveTupleWithBasis(key: FlowKey, basis: number): number {
  return hashTwo(hashFiveTuple(key, 0), basis >>> 0);
}
