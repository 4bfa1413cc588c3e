/** IPv6 of a frame being parsed: the fixed header and the extension headers. See extract.ts. */
import {
  FRAG_ANY,
  FRAG_LATER,
  IPV6_BAD_EXTENSION,
  IPV6_BAD_LENGTH,
  IPV6_TOO_SHORT,
} from "./extract-results.ts";
import { transport } from "./extract-transport.ts";
import type { Frame } from "./frame.ts";
import { slot } from "./layout.ts";

const W_NW = slot("nw_proto").offset >> 2;
const W_IPV6_SRC = slot("ipv6_src").offset >> 2;
const B_IPV6_LABEL = slot("ipv6_label").offset;
const B_IPV6_EXTHDR = slot("ipv6_exthdr").offset;
const END_IPV6 = (B_IPV6_EXTHDR + 4) >> 2;

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

/** RFC 8200: fixed header, then extension headers until a protocol or a later fragment. */
export function ipv6(frame: Frame, at: number, end: number): void {
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
