/**
 * Parses a frame in place into the datapath section of a flow key.
 *
 * This runs for every packet, so: no allocation, no calls on the common path, every key word is
 * written once, and words behind the common prefix are touched only if this packet or the one
 * before it needs them.
 *
 * Contract
 * - Reads only `bytes[offset .. offset + length)` and the virtio-net header before it; never throws.
 *   The caller guarantees that this range lies inside `bytes`.
 * - A layer that is malformed or truncated leaves its fields zero and ends the parse; the frame's
 *   `result` names the kind, for a counter. Only `eth_too_short` has no key worth looking up:
 *   everything else is forwarded by what is left, as Open vSwitch does (its `miniflow_extract`).
 * - Padding after the network layer is never parsed. With segmentation pending (virtio-net
 *   gso_type), an IP length of zero or beyond the frame stands for "to the end of the frame".
 *
 * Words are assembled little endian: Bun runs on little-endian machines only, and key.ts says that
 * the words are native ones over bytes in network order. The module checks at load what it assumes
 * of the layout.
 *
 * References: IEEE 802.3 §3.2.6, RFC 1042 (SNAP), RFC 791 §3.1, RFC 8200 §3 and §4, RFC 826,
 * RFC 3032 §2.1, RFC 9293 §3.1, RFC 4861 §4; virtio 1.2 §5.1.6.
 */
import { ipv6 } from "./extract-ipv6.ts";
import { arp, mpls, nsh, pbb } from "./extract-other.ts";
import {
  ETH_TOO_SHORT,
  FRAG_ANY,
  FRAG_LATER,
  IPV4_BAD_LENGTH,
  IPV4_TOO_SHORT,
  OK,
} from "./extract-results.ts";
import { transport } from "./extract-transport.ts";
import type { Frame } from "./frame.ts";
import { COMMON_BYTES, METADATA_WORD, slot } from "./layout.ts";

export { EXTRACT_RESULTS, type ExtractResult } from "./extract-results.ts";
export { FRAG_ANY, FRAG_LATER };

/** Ethernet type of frames that have none (802.3 without SNAP), as Open vSwitch numbers it. */
export const ETH_TYPE_NONE = 0x05ff;

const VLAN_PRESENT = 0x1000;

const W_COMMON = COMMON_BYTES >> 2;
const W_IN_PORT = slot("in_port").offset >> 2;
const W_RECIRC = slot("recirc_id").offset >> 2;
const W_MACS = slot("eth_dst").offset >> 2;
const W_TYPE = slot("eth_type").offset >> 2;
const W_NW = slot("nw_proto").offset >> 2;
const W_NW_SRC = slot("nw_src").offset >> 2;
const W_NW_DST = slot("nw_dst").offset >> 2;
const W_TP = slot("tp_src").offset >> 2;
const W_FLAGS = slot("tcp_flags").offset >> 2;
const W_VLAN2 = slot("vlan2_tci").offset >> 2;
const B_ARP_SHA = slot("arp_sha").offset;
const B_ARP_THA = slot("arp_tha").offset;
const B_IPV6_LABEL = slot("ipv6_label").offset;
const B_IPV6_EXTHDR = slot("ipv6_exthdr").offset;
const B_ND_OPTIONS = slot("nd_options_type").offset;
const END_ND = (B_ND_OPTIONS + 4) >> 2;
const B_MPLS = slot("mpls_lse0").offset;
const B_NSH = slot("nsh_flags").offset;
const END_NSH = (slot("nsh_c").offset + 16) >> 2;

function assume(holds: boolean, what: string): void {
  if (!holds) throw new Error(`extract: the flow key's layout changed: ${what}`);
}
assume(new Uint8Array(new Uint16Array([1]).buffer)[0] === 1, "the machine is little endian");
assume(slot("eth_dst").offset % 4 === 0, "eth_dst starts a word");
assume(slot("eth_src").offset === slot("eth_dst").offset + 6, "eth_src follows eth_dst");
assume(slot("vlan_tci").offset === slot("eth_type").offset + 2, "eth_type, vlan_tci share a word");
assume(slot("nw_frag").offset === slot("nw_proto").offset + 3, "proto, tos, ttl, frag in a word");
assume(slot("nw_tos").offset === slot("nw_proto").offset + 1, "nw_tos follows nw_proto");
assume(slot("nw_ttl").offset === slot("nw_proto").offset + 2, "nw_ttl follows nw_tos");
assume(slot("tp_dst").offset === slot("tp_src").offset + 2, "tp_src, tp_dst share a word");
assume(slot("vlan_tpid").offset === slot("tcp_flags").offset + 2, "tcp_flags, vlan_tpid in a word");
assume(slot("vlan2_tpid").offset === slot("vlan2_tci").offset + 2, "vlan2_tci, tpid share a word");
assume(W_RECIRC < W_COMMON && W_FLAGS < W_COMMON, "the common prefix holds the common slots");
assume(slot("ipv6_dst").offset === slot("ipv6_src").offset + 16, "ipv6_dst follows ipv6_src");
assume(B_ARP_THA === B_ARP_SHA + 6, "arp_tha follows arp_sha");
assume(slot("mpls_lse2").offset === B_MPLS + 8, "the MPLS entries are adjacent");
assume(B_IPV6_EXTHDR === B_IPV6_LABEL + 4, "ipv6_exthdr follows ipv6_label");
assume(slot("nsh_c").offset === B_NSH + 8, "the NSH slots are adjacent");
assume(END_NSH <= METADATA_WORD && END_ND <= METADATA_WORD, "metadata follows what is parsed");

/** Two bytes in network order as they stand, for the low half of a little-endian word. */
function half(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/**
 * Parses `frame` (its `bytes`, `offset`, `length`, `vnet`, `packetType`) into `frame.key` and its
 * layer offsets.
 *
 * `inPort` goes into the key. `vlanTpid` other than 0 says that an outer VLAN tag came out of band
 * (AF_PACKET strips it): `vlanTci` is its 16 bits in host order. recirc_id and all slots that a
 * frame does not carry become zero.
 *
 * Returns the number of key words that may be non-zero, also kept in `frame.keyWords`.
 */
export function extract(
  frame: Frame,
  inPort: number,
  vlanTci: number,
  vlanTpid: number,
): number {
  const b = frame.bytes;
  const words = frame.key.words;
  const start = frame.offset;
  const end = start + frame.length;

  for (let i = frame.keyWords - 1; i >= W_COMMON; i--) words[i] = 0;
  frame.keyWords = W_COMMON;
  frame.result = OK;
  frame.vlans = 0;
  frame.l25 = -1;
  frame.l25Type = 0;
  frame.l3 = -1;
  frame.l4 = -1;
  frame.l3End = frame.length;
  frame.l3Type = 0;
  frame.l4Type = 0;
  frame.ipv6Routing = false;
  words[W_IN_PORT] = ((inPort & 0xff) << 24) | ((inPort & 0xff00) << 8) |
    ((inPort >>> 8) & 0xff00) | (inPort >>> 24);
  words[W_RECIRC] = 0;

  if (frame.packetType !== 0) return naked(frame, start, end);
  if (frame.length < 14) {
    for (let i = W_MACS; i < W_COMMON; i++) words[i] = 0;
    frame.result = ETH_TOO_SHORT;
    return W_COMMON;
  }
  words[W_MACS] = b[start]! | (b[start + 1]! << 8) | (b[start + 2]! << 16) | (b[start + 3]! << 24);
  words[W_MACS + 1] = b[start + 4]! | (b[start + 5]! << 8) | (b[start + 6]! << 16) |
    (b[start + 7]! << 24);
  words[W_MACS + 2] = b[start + 8]! | (b[start + 9]! << 8) | (b[start + 10]! << 16) |
    (b[start + 11]! << 24);

  // VLAN tags. `at` is where the Ethernet type stands that is looked at.
  let at = start + 12;
  let ethType = (b[at]! << 8) | b[at + 1]!;
  let tci = 0;
  let tpid = 0;
  if (vlanTpid !== 0 || ethType === 0x8100 || ethType === 0x88a8) {
    let tags = 0;
    if (vlanTpid !== 0) {
      tci = (vlanTci & 0xffff) | VLAN_PRESENT;
      tpid = vlanTpid;
      tags = 1;
    }
    while (
      (ethType === 0x8100 || ethType === 0x88a8) && tags < frame.vlanLimit && end - at >= 6
    ) {
      const tag = (b[at + 2]! << 8) | b[at + 3]! | VLAN_PRESENT;
      if (tags === 0) {
        tci = tag;
        tpid = ethType;
      } else {
        words[W_VLAN2] = half(tag) | (half(ethType) << 16);
        frame.keyWords = W_VLAN2 + 1;
      }
      tags++;
      frame.vlans++;
      at += 4;
      ethType = (b[at]! << 8) | b[at + 1]!;
    }
  }
  at += 2;
  if (ethType < 0x600) {
    // IEEE 802.3 length: only LLC/SNAP with an Ethernet type in it names a protocol.
    ethType = ETH_TYPE_NONE;
    if (
      end - at >= 8 && b[at] === 0xaa && b[at + 1] === 0xaa && b[at + 2] === 0x03 &&
      b[at + 3] === 0 && b[at + 4] === 0 && b[at + 5] === 0
    ) {
      const type = (b[at + 6]! << 8) | b[at + 7]!;
      at += 8;
      if (type >= 0x600) ethType = type;
    }
  }
  words[W_TYPE] = half(ethType) | (half(tci) << 16);
  words[W_FLAGS] = half(tpid) << 16;

  return network(frame, at, end, ethType);
}

/**
 * The same again for a frame that was changed or goes round once more: the input port, recirc_id
 * and all other metadata stay.
 */
export function extractAgain(frame: Frame): number {
  const { words } = frame.key;
  const kept = frame.keyWords;
  const inPort = words[W_IN_PORT]!;
  const recircId = words[W_RECIRC]!;
  if (kept > METADATA_WORD) frame.keyWords = METADATA_WORD;
  const packetType = frame.packetType;
  extract(frame, 0, 0, 0);
  words[W_IN_PORT] = inPort;
  words[W_RECIRC] = recircId;
  if (kept > METADATA_WORD) {
    frame.keyWords = kept;
    words[METADATA_WORD] = swap32(packetType);
  }
  return frame.keyWords;
}

/** Host order to network order and back, for whole words. */
export function swap32(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) |
    (value >>> 24);
}

/** A packet without an Ethernet header: `packetType` says what it begins with. */
function naked(frame: Frame, start: number, end: number): number {
  const words = frame.key.words;
  for (let i = W_MACS; i < W_COMMON; i++) words[i] = 0;
  words[METADATA_WORD] = swap32(frame.packetType);
  const ethType = frame.packetType & 0xffff;
  words[W_TYPE] = half(ethType);
  network(frame, start, end, ethType);
  if (frame.keyWords <= METADATA_WORD) frame.keyWords = METADATA_WORD + 1;
  return frame.keyWords;
}

/** The network layer of `ethType` from `at` on. */
function network(frame: Frame, at: number, end: number, ethType: number): number {
  const b = frame.bytes;
  const words = frame.key.words;
  const start = frame.offset;
  if (ethType === 0x0800) {
    const room = end - at;
    if (room < 20) return stopAtL2(frame, IPV4_TOO_SHORT);
    const headerBytes = (b[at]! & 0x0f) << 2;
    let total = (b[at + 2]! << 8) | b[at + 3]!;
    if ((total > room || total === 0) && frame.vnet && b[start - 9] !== 0) total = room;
    if (headerBytes < 20 || total > room || headerBytes > total) {
      return stopAtL2(frame, IPV4_BAD_LENGTH);
    }
    const nwProto = b[at + 9]!;
    const fragment = ((b[at + 6]! << 8) | b[at + 7]!) & 0x3fff;
    let frag = 0;
    if (fragment !== 0) frag = (fragment & 0x1fff) !== 0 ? FRAG_ANY | FRAG_LATER : FRAG_ANY;
    words[W_NW] = nwProto | (b[at + 1]! << 8) | (b[at + 8]! << 16) | (frag << 24);
    words[W_NW_SRC] = b[at + 12]! | (b[at + 13]! << 8) | (b[at + 14]! << 16) | (b[at + 15]! << 24);
    words[W_NW_DST] = b[at + 16]! | (b[at + 17]! << 8) | (b[at + 18]! << 16) | (b[at + 19]! << 24);
    frame.l3 = at - start;
    frame.l3Type = 0x0800;
    frame.l3End = at + total - start;
    transport(frame, at + headerBytes, at + total, nwProto, frag);
    return frame.keyWords;
  }
  words[W_NW] = 0;
  words[W_NW_SRC] = 0;
  words[W_NW_DST] = 0;
  words[W_TP] = 0;
  if (ethType === 0x86dd) ipv6(frame, at, end);
  else if (ethType === 0x0806 || ethType === 0x8035) arp(frame, at, end, ethType);
  else if (ethType === 0x8847 || ethType === 0x8848) mpls(frame, at, end, ethType);
  else if (ethType === 0x894f) nsh(frame, at, end);
  else if (ethType === 0x88e7) pbb(frame, at, end);
  return frame.keyWords;
}

function stopAtL2(frame: Frame, result: number): number {
  const words = frame.key.words;
  words[W_NW] = 0;
  words[W_NW_SRC] = 0;
  words[W_NW_DST] = 0;
  words[W_TP] = 0;
  frame.result = result;
  return frame.keyWords;
}
