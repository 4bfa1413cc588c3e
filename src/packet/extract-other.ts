/** What is neither IPv4 nor IPv6 in a frame being parsed: ARP, MPLS, NSH, PBB. See extract.ts. */
import { ARP_MALFORMED, MPLS_TOO_SHORT, NSH_MALFORMED, PBB_TOO_SHORT } from "./extract-results.ts";
import type { Frame } from "./frame.ts";
import { slot } from "./layout.ts";

const W_NW = slot("nw_proto").offset >> 2;
const W_NW_SRC = slot("nw_src").offset >> 2;
const W_NW_DST = slot("nw_dst").offset >> 2;
const B_ARP_SHA = slot("arp_sha").offset;
const B_ARP_THA = slot("arp_tha").offset;
const END_ARP = (B_ARP_THA + 6) >> 2;
const B_MPLS = slot("mpls_lse0").offset;
const B_PBB = slot("pbb_tci").offset;
const B_NSH = slot("nsh_flags").offset;
const END_NSH = (slot("nsh_c").offset + 16) >> 2;

/** RFC 826 for Ethernet and IPv4, RFC 903. */
export function arp(frame: Frame, at: number, end: number, ethType: number): void {
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
export function mpls(frame: Frame, at: number, end: number, ethType: number): void {
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
export function nsh(frame: Frame, at: number, end: number): void {
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
export function pbb(frame: Frame, at: number, end: number): void {
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
