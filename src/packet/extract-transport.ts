/** The transport layer of a frame being parsed, and neighbour discovery in it. See extract.ts. */
import {
  FRAG_LATER,
  ICMP_TOO_SHORT,
  ICMPV6_TOO_SHORT,
  IGMP_TOO_SHORT,
  ND_MALFORMED,
  SCTP_TOO_SHORT,
  TCP_MALFORMED,
  UDP_TOO_SHORT,
} from "./extract-results.ts";
import type { Frame } from "./frame.ts";
import { slot } from "./layout.ts";

const W_TP = slot("tp_src").offset >> 2;
const W_FLAGS = slot("tcp_flags").offset >> 2;
const B_ARP_SHA = slot("arp_sha").offset;
const B_ARP_THA = slot("arp_tha").offset;
const B_ND_TARGET = slot("nd_target").offset;
const B_ND_RESERVED = slot("nd_reserved").offset;
const B_ND_OPTIONS = slot("nd_options_type").offset;
const END_ND = (B_ND_OPTIONS + 4) >> 2;

/** The transport layer from `at` to `end`; writes the tp word and tcp_flags. */
export function transport(
  frame: Frame,
  at: number,
  end: number,
  nwProto: number,
  frag: number,
): void {
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
