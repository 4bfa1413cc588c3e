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
import type { Frame } from "./frame.ts";
import { COMMON_BYTES, METADATA_WORD, slot } from "./layout.ts";

/** What `Frame.result` indexes: counters are named after these. */
export const EXTRACT_RESULTS = [
  "ok",
  "eth_too_short",
  "ipv4_too_short",
  "ipv4_bad_length",
  "ipv6_too_short",
  "ipv6_bad_length",
  "ipv6_bad_extension",
  "arp_malformed",
  "mpls_too_short",
  "tcp_malformed",
  "udp_too_short",
  "sctp_too_short",
  "icmp_too_short",
  "igmp_too_short",
  "icmpv6_too_short",
  "nd_malformed",
  "nsh_malformed",
  "pbb_too_short",
] as const;
export type ExtractResult = (typeof EXTRACT_RESULTS)[number];

const OK = 0;
const ETH_TOO_SHORT = 1;
const IPV4_TOO_SHORT = 2;
const IPV4_BAD_LENGTH = 3;
const IPV6_TOO_SHORT = 4;
const IPV6_BAD_LENGTH = 5;
const IPV6_BAD_EXTENSION = 6;
const ARP_MALFORMED = 7;
const MPLS_TOO_SHORT = 8;
const TCP_MALFORMED = 9;
const UDP_TOO_SHORT = 10;
const SCTP_TOO_SHORT = 11;
const ICMP_TOO_SHORT = 12;
const IGMP_TOO_SHORT = 13;
const ICMPV6_TOO_SHORT = 14;
const ND_MALFORMED = 15;
const NSH_MALFORMED = 16;
const PBB_TOO_SHORT = 17;

/** Ethernet type of frames that have none (802.3 without SNAP), as Open vSwitch numbers it. */
export const ETH_TYPE_NONE = 0x05ff;

export const FRAG_ANY = 1;
export const FRAG_LATER = 2;
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
const END_ARP = (B_ARP_THA + 6) >> 2;
const W_IPV6_SRC = slot("ipv6_src").offset >> 2;
const B_IPV6_LABEL = slot("ipv6_label").offset;
const B_IPV6_EXTHDR = slot("ipv6_exthdr").offset;
const END_IPV6 = (B_IPV6_EXTHDR + 4) >> 2;
const B_ND_TARGET = slot("nd_target").offset;
const B_ND_RESERVED = slot("nd_reserved").offset;
const B_ND_OPTIONS = slot("nd_options_type").offset;
const END_ND = (B_ND_OPTIONS + 4) >> 2;
const B_MPLS = slot("mpls_lse0").offset;
const B_PBB = slot("pbb_tci").offset;
const B_NSH = slot("nsh_flags").offset;
const END_NSH = (slot("nsh_c").offset + 16) >> 2;

/** Bits of ipv6_exthdr (OpenFlow 1.3.5 §7.2.3.8, `enum ofp_ipv6exthdr_flags`). */
const EXT_NO_NEXT = 0x001;
const EXT_ESP = 0x002;
const EXT_AUTH = 0x004;
const EXT_DEST = 0x008;
const EXT_FRAG = 0x010;
const EXT_ROUTER = 0x020;
const EXT_HOP = 0x040;
const EXT_UNREPEATED = 0x080;
const EXT_UNSEQUENCED = 0x100;

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
    words[METADATA_WORD] = swap(packetType);
  }
  return frame.keyWords;
}

/** Host order to network order and back, for whole words. */
function swap(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) |
    (value >>> 24);
}

/** A packet without an Ethernet header: `packetType` says what it begins with. */
function naked(frame: Frame, start: number, end: number): number {
  const words = frame.key.words;
  for (let i = W_MACS; i < W_COMMON; i++) words[i] = 0;
  words[METADATA_WORD] = swap(frame.packetType);
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

/** The transport layer from `at` to `end`; writes the tp word and tcp_flags. */
function transport(frame: Frame, at: number, end: number, nwProto: number, frag: number): void {
  const b = frame.bytes;
  const words = frame.key.words;
  words[W_TP] = 0;
  if ((frag & FRAG_LATER) !== 0) return;
  const room = end - at;
  switch (nwProto) {
    case 6: {
      const headerBytes = room >= 20 ? (b[at + 12]! >> 4) << 2 : 0;
      if (headerBytes < 20 || headerBytes > room) {
        frame.result = TCP_MALFORMED;
        return;
      }
      words[W_TP] = b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
      words[W_FLAGS]! |= (b[at + 12]! & 0x0f) | (b[at + 13]! << 8);
      break;
    }
    case 17:
      if (room < 8) {
        frame.result = UDP_TOO_SHORT;
        return;
      }
      words[W_TP] = b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
      break;
    case 132:
      if (room < 12) {
        frame.result = SCTP_TOO_SHORT;
        return;
      }
      words[W_TP] = b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
      break;
    case 1:
    case 2:
      if (room < 8) {
        frame.result = nwProto === 1 ? ICMP_TOO_SHORT : IGMP_TOO_SHORT;
        return;
      }
      // Type and code stand right-aligned in the two-byte port slots.
      words[W_TP] = (b[at]! << 8) | (b[at + 1]! << 24);
      break;
    case 58:
      if (room < 8) {
        frame.result = ICMPV6_TOO_SHORT;
        return;
      }
      words[W_TP] = (b[at]! << 8) | (b[at + 1]! << 24);
      if (frame.l3Type === 0x86dd && b[at + 1] === 0 && (b[at] === 135 || b[at] === 136)) {
        neighbourDiscovery(frame, at, end);
      }
      break;
    default:
      return;
  }
  frame.l4 = at - frame.offset;
  frame.l4Type = nwProto;
}

/** RFC 8200: fixed header, then extension headers until a protocol or a later fragment. */
function ipv6(frame: Frame, at: number, end: number): void {
  const b = frame.bytes;
  const words = frame.key.words;
  const key = frame.key.bytes;
  const room = end - at;
  if (room < 40) {
    frame.result = IPV6_TOO_SHORT;
    return;
  }
  let payload = (b[at + 4]! << 8) | b[at + 5]!;
  if ((payload === 0 || payload + 40 > room) && frame.vnet && b[frame.offset - 9] !== 0) {
    payload = room - 40;
  }
  if (payload + 40 > room) {
    frame.result = IPV6_BAD_LENGTH;
    return;
  }
  for (let i = 0, from = at + 8; i < 8; i++, from += 4) {
    words[W_IPV6_SRC + i] = b[from]! | (b[from + 1]! << 8) | (b[from + 2]! << 16) |
      (b[from + 3]! << 24);
  }
  frame.keyWords = END_IPV6;
  frame.l3 = at - frame.offset;
  frame.l3Type = 0x86dd;
  const stop = at + 40 + payload;
  frame.l3End = stop - frame.offset;

  const tos = ((b[at]! & 0x0f) << 4) | (b[at + 1]! >> 4);
  const hopLimit = b[at + 7]!;
  let nwProto = b[at + 6]!;
  let frag = 0;
  let next = at + 40;
  let seen = 0;
  let rank = 0;
  for (;;) {
    let bytes = 0;
    const bit = extensionBit(nwProto);
    if (bit !== 0) {
      // Destination options may stand twice: for the first router, and for the destination.
      const twice = nwProto === 60 && rank >= 2 && (seen & EXT_UNREPEATED) === 0;
      if ((seen & bit) !== 0 && !twice) seen |= EXT_UNREPEATED;
      const order = extensionRank(nwProto, rank);
      if (order < rank) seen |= EXT_UNSEQUENCED;
      rank = order;
      seen |= bit;
    }
    if (nwProto === 0 || nwProto === 43 || nwProto === 60) {
      if (stop - next < 8) break;
      if (nwProto === 43 && b[next + 3] !== 0) frame.ipv6Routing = true;
      bytes = (b[next + 1]! + 1) << 3;
    } else if (nwProto === 51) {
      if (stop - next < 8) break;
      bytes = (b[next + 1]! + 2) << 2;
    } else if (nwProto === 44) {
      if (stop - next < 8) break;
      const offlg = (b[next + 2]! << 8) | b[next + 3]!;
      bytes = 8;
      // Any non-zero word makes a fragment, the reserved bits too, as in Open vSwitch.
      if (offlg !== 0) {
        frag = FRAG_ANY;
        if ((offlg & 0xfff8) !== 0) {
          frag = FRAG_ANY | FRAG_LATER;
          next += 8;
          nwProto = 44;
          bytes = -1;
        }
      }
    } else bytes = -1;
    if (bytes < 0) {
      key[B_IPV6_LABEL] = 0;
      key[B_IPV6_LABEL + 1] = b[at + 1]! & 0x0f;
      key[B_IPV6_LABEL + 2] = b[at + 2]!;
      key[B_IPV6_LABEL + 3] = b[at + 3]!;
      key[B_IPV6_EXTHDR] = seen >>> 8;
      key[B_IPV6_EXTHDR + 1] = seen;
      words[W_NW] = nwProto | (tos << 8) | (hopLimit << 16) | (frag << 24);
      transport(frame, next, stop, nwProto, frag);
      return;
    }
    nwProto = b[next]!;
    next += bytes;
    if (next > stop) break;
  }
  // The addresses stay, as in Open vSwitch; protocol, tos, ttl and label do not.
  frame.result = IPV6_BAD_EXTENSION;
}

function extensionBit(nwProto: number): number {
  switch (nwProto) {
    case 0:
      return EXT_HOP;
    case 43:
      return EXT_ROUTER;
    case 44:
      return EXT_FRAG;
    case 50:
      return EXT_ESP;
    case 51:
      return EXT_AUTH;
    case 59:
      return EXT_NO_NEXT;
    case 60:
      return EXT_DEST;
    default:
      return 0;
  }
}

/** A header's place in the order of RFC 8200 §4.1, where destination options have two. */
function extensionRank(nwProto: number, rank: number): number {
  switch (nwProto) {
    case 0:
      return 0;
    case 60:
      return rank < 2 ? 1 : 6;
    case 43:
      return 2;
    case 44:
      return 3;
    case 51:
      return 4;
    case 50:
      return 5;
    default:
      return 7;
  }
}

/** RFC 4861 §4.3, §4.4 and §4.6.1. `at` is the ICMPv6 header. */
function neighbourDiscovery(frame: Frame, at: number, end: number): void {
  const b = frame.bytes;
  const key = frame.key.bytes;
  frame.keyWords = END_ND;
  for (let i = 0; i < 4; i++) key[B_ND_RESERVED + i] = b[at + 4 + i]!;
  if (end - at < 24) {
    frame.result = ND_MALFORMED;
    return;
  }
  for (let i = 0; i < 16; i++) key[B_ND_TARGET + i] = b[at + 8 + i]!;
  let option = at + 24;
  while (end - option >= 8) {
    const bytes = b[option + 1]! << 3;
    if (bytes === 0 || bytes > end - option) {
      frame.result = ND_MALFORMED;
      return;
    }
    const type = b[option]!;
    if ((type === 1 || type === 2) && bytes === 8) {
      const into = type === 1 ? B_ARP_SHA : B_ARP_THA;
      let seen = 0;
      for (let i = 0; i < 6; i++) seen |= key[into + i]!;
      if (seen !== 0) {
        // The same option twice: nobody may trust either.
        for (let i = 0; i < 16; i++) key[B_ND_TARGET + i] = 0;
        for (let i = 0; i < 12; i++) key[B_ARP_SHA + i] = 0;
        frame.result = ND_MALFORMED;
        return;
      }
      for (let i = 0; i < 6; i++) key[into + i] = b[option + 2 + i]!;
      if (key[B_ND_OPTIONS] === 0) key[B_ND_OPTIONS] = type;
    }
    option += bytes;
  }
}

/** RFC 826 for Ethernet and IPv4, RFC 903. */
function arp(frame: Frame, at: number, end: number, ethType: number): void {
  const b = frame.bytes;
  const words = frame.key.words;
  const key = frame.key.bytes;
  if (
    end - at < 28 || b[at] !== 0 || b[at + 1] !== 1 || b[at + 2] !== 8 || b[at + 3] !== 0 ||
    b[at + 4] !== 6 || b[at + 5] !== 4
  ) {
    frame.result = ARP_MALFORMED;
    return;
  }
  frame.l3 = at - frame.offset;
  frame.l3Type = ethType;
  frame.l3End = frame.l3 + 28;
  // Only operations that fit a byte can be matched.
  if (b[at + 6] === 0) words[W_NW] = b[at + 7]!;
  words[W_NW_SRC] = b[at + 14]! | (b[at + 15]! << 8) | (b[at + 16]! << 16) | (b[at + 17]! << 24);
  words[W_NW_DST] = b[at + 24]! | (b[at + 25]! << 8) | (b[at + 26]! << 16) | (b[at + 27]! << 24);
  for (let i = 0; i < 6; i++) {
    key[B_ARP_SHA + i] = b[at + 8 + i]!;
    key[B_ARP_THA + i] = b[at + 18 + i]!;
  }
  frame.keyWords = END_ARP;
}

/** RFC 3032: up to three label stack entries; what lies below them is not looked at. */
function mpls(frame: Frame, at: number, end: number, ethType: number): void {
  const b = frame.bytes;
  const key = frame.key.bytes;
  if (end - at < 4) {
    frame.result = MPLS_TOO_SHORT;
    return;
  }
  frame.l25 = at - frame.offset;
  frame.l25Type = ethType;
  let n = 0;
  while (n < 3 && end - at >= 4) {
    for (let i = 0; i < 4; i++) key[B_MPLS + 4 * n + i] = b[at + i]!;
    n++;
    at += 4;
    if ((b[at - 2]! & 1) !== 0) break;
  }
  frame.keyWords = (B_MPLS >> 2) + n;
}

/** RFC 8300 §2: base and service path headers; the context headers of MD type 1. */
function nsh(frame: Frame, at: number, end: number): void {
  const b = frame.bytes;
  const key = frame.key.bytes;
  const room = end - at;
  const length = room >= 8 ? (b[at + 1]! & 0x3f) << 2 : 0;
  const mdType = room >= 8 ? b[at + 2]! & 0x0f : 0;
  if (length < 8 || length > room || b[at]! >> 6 !== 0 || (mdType === 1 && length !== 24)) {
    frame.result = NSH_MALFORMED;
    return;
  }
  key[B_NSH] = (b[at]! >> 4) & 3;
  key[B_NSH + 1] = mdType;
  key[B_NSH + 2] = b[at + 3]!;
  key[B_NSH + 3] = ((b[at]! & 0x0f) << 2) | (b[at + 1]! >> 6);
  const more = mdType === 1 ? 20 : 4;
  for (let i = 0; i < more; i++) key[B_NSH + 4 + i] = b[at + 4 + i]!;
  frame.keyWords = END_NSH;
  frame.l25 = at - frame.offset;
  frame.l25Type = 0x894f;
}

/** IEEE 802.1Q-2014 §9.7: the I-TAG's TCI; the customer's frame below it is not looked at. */
function pbb(frame: Frame, at: number, end: number): void {
  const b = frame.bytes;
  const key = frame.key.bytes;
  if (end - at < 4) {
    frame.result = PBB_TOO_SHORT;
    return;
  }
  frame.l25 = at - frame.offset;
  frame.l25Type = 0x88e7;
  key[B_PBB] = b[at]! & 0x08;
  for (let i = 1; i < 4; i++) key[B_PBB + i] = b[at + i]!;
  frame.keyWords = (B_PBB >> 2) + 1;
}
