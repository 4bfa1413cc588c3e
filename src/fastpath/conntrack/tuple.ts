/**
 * Tuples: which connection a packet belongs to, and in which direction it travels.
 *
 * A tuple is TUPLE_WORDS 32-bit words. Addresses stand as in a flow key (IPv4 in the first of four
 * words), ports and zone as numbers:
 *
 *     | source ×4 | destination ×4 | source port:16 destination port:16 | zone:16 protocol:8 family:8 |
 *
 * For ICMP the ports' word is id:16 type:8 code:8; its reverse has the type of the answer. Protocols
 * other than TCP, UDP and ICMP have no ports, SCTP among them, as in Open vSwitch.
 */
import { checksum, fold, pseudoSum, sumBytes } from "../../packet/checksum.ts";
import {
  type Frame,
  VNET_BYTES,
  VNET_F_DATA_VALID,
  VNET_F_NEEDS_CSUM,
} from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";

export const TUPLE_WORDS = 10;
export const T_SRC = 0;
export const T_DST = 4;
export const T_PORTS = 8;
export const T_META = 9;

export const IPV4 = 4;
export const IPV6 = 6;
export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

const W_NW_SRC = slot("nw_src").offset >> 2;
const W_NW_DST = slot("nw_dst").offset >> 2;
const W_IPV6_SRC = slot("ipv6_src").offset >> 2;
const W_IPV6_DST = slot("ipv6_dst").offset >> 2;
const B_NW_PROTO = slot("nw_proto").offset;

/** The type that answers a query's, in both directions; -1 for anything else. */
export function reverseIcmpType(family: number, type: number): number {
  if (family === IPV6) return type === 128 ? 129 : type === 129 ? 128 : -1;
  switch (type) {
    case 8:
      return 0;
    case 0:
      return 8;
    case 13:
    case 15:
      return type + 1;
    case 14:
    case 16:
      return type - 1;
    default:
      return -1;
  }
}

/** Writes the other direction of `from[at…]` to `to[into…]`, which must not be the same place. */
export function reverseTuple(from: Int32Array, at: number, to: Int32Array, into: number): void {
  for (let i = 0; i < 4; i++) {
    to[into + T_SRC + i] = from[at + T_DST + i]!;
    to[into + T_DST + i] = from[at + T_SRC + i]!;
  }
  const ports = from[at + T_PORTS]!;
  const meta = from[at + T_META]!;
  const protocol = (meta >>> 8) & 0xff;
  if (protocol === ICMP || protocol === ICMPV6) {
    const type = reverseIcmpType(meta & 0xff, (ports >>> 8) & 0xff);
    to[into + T_PORTS] = (ports & ~0xff00) | ((type & 0xff) << 8);
  } else to[into + T_PORTS] = (ports << 16) | (ports >>> 16);
  to[into + T_META] = meta;
}

export function hashTuple(words: Int32Array, at: number): number {
  let h = 0x2545f491;
  for (let i = 0; i < TUPLE_WORDS; i++) {
    h = Math.imul(h ^ words[at + i]!, 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0x85ebca6b);
  return h ^ (h >>> 16);
}

/** The tuple of a packet, taken from an extracted frame. One is used for packet after packet. */
export class PacketTuple {
  readonly words = new Int32Array(TUPLE_WORDS);
  /** An ICMP error: the tuple is that of the packet which it carries, reversed. */
  related = false;
  /** Offsets in the frame of the carried packet's headers. */
  innerL3 = 0;
  innerL4 = 0;
  private readonly inner = new Int32Array(TUPLE_WORDS);

  /** False for what cannot belong to a connection: malformed, fragments, wrong checksums. */
  parse(frame: Frame, zone: number): boolean {
    const { words } = this;
    const key = frame.key.words;
    this.related = false;
    if (frame.l3 < 0) return false;
    const protocol = frame.key.bytes[B_NW_PROTO]!;
    let family = IPV4;
    if (frame.l3Type === 0x0800) {
      // For a few words a loop is quicker than `fill`.
      for (let i = 1; i < 4; i++) words[T_SRC + i] = words[T_DST + i] = 0;
      words[T_SRC] = key[W_NW_SRC]!;
      words[T_DST] = key[W_NW_DST]!;
      if (!ipv4HeaderOk(frame)) return false;
    } else if (frame.l3Type === 0x86dd) {
      family = IPV6;
      for (let i = 0; i < 4; i++) {
        words[T_SRC + i] = key[W_IPV6_SRC + i]!;
        words[T_DST + i] = key[W_IPV6_DST + i]!;
      }
    } else return false;
    words[T_PORTS] = 0;
    words[T_META] = (zone << 16) | (protocol << 8) | family;
    if (frame.l4 < 0) return frame.result === 0 && !hasTransport(family, protocol);
    const at = frame.offset + frame.l4;
    const size = frame.l3End - frame.l4;
    const { bytes } = frame;
    switch (protocol) {
      case TCP:
        if (!transportOk(frame)) return false;
        return this.ports(bytes, at);
      case UDP: {
        const length = (bytes[at + 4]! << 8) | bytes[at + 5]!;
        if (!isOffloaded(frame) && (length < 8 || length > size)) return false;
        const unsummed = family === IPV4 && bytes[at + 6] === 0 && bytes[at + 7] === 0;
        if (!unsummed && !transportOk(frame)) return false;
        return this.ports(bytes, at);
      }
      case ICMP:
      case ICMPV6:
        if ((protocol === ICMP) !== (family === IPV4)) return true;
        if (!transportOk(frame)) return false;
        return this.icmp(frame, at, size, family);
      default:
        return true;
    }
  }

  /** May the packet be the first of a connection? TCP has rules of its own. */
  mayBegin(): boolean {
    const meta = this.words[T_META]!;
    const protocol = (meta >>> 8) & 0xff;
    const type = (this.words[T_PORTS]! >>> 8) & 0xff;
    const isV4 = (meta & 0xff) === IPV4;
    if (protocol === ICMP && isV4) return type === 8 || type === 13 || type === 15;
    if (protocol === ICMPV6 && !isV4) return type === 128;
    return true;
  }

  private ports(bytes: Uint8Array, at: number): boolean {
    const src = (bytes[at]! << 8) | bytes[at + 1]!;
    const dst = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    this.words[T_PORTS] = (src << 16) | dst;
    return src !== 0 && dst !== 0;
  }

  private icmp(frame: Frame, at: number, size: number, family: number): boolean {
    const { bytes } = frame;
    const type = bytes[at]!;
    if (size < 8) return false;
    if (reverseIcmpType(family, type) >= 0) {
      if (bytes[at + 1] !== 0) return false;
      const id = (bytes[at + 4]! << 8) | bytes[at + 5]!;
      this.words[T_PORTS] = (id << 16) | (type << 8);
      return true;
    }
    const isError = family === IPV4
      ? type === 3 || type === 4 || type === 5 || type === 11 || type === 12
      : type >= 1 && type <= 4;
    if (!isError) return false;
    const end = frame.offset + frame.l3End;
    if (!this.carried(bytes, at + 8, end, family)) return false;
    this.innerL3 = at + 8 - frame.offset;
    this.innerL4 -= frame.offset;
    this.related = true;
    return true;
  }

  /** The packet inside an ICMP error, which went the other way. Its end may be missing. */
  private carried(bytes: Uint8Array, l3: number, end: number, family: number): boolean {
    const { words, inner } = this;
    inner.fill(0);
    let protocol: number;
    let l4: number;
    if (family === IPV4) {
      const headerBytes = (bytes[l3]! & 15) << 2;
      if (end - l3 < 20 || bytes[l3]! >> 4 !== 4 || headerBytes < 20) return false;
      if ((((bytes[l3 + 6]! << 8) | bytes[l3 + 7]!) & 0x3fff) !== 0) return false;
      l4 = l3 + headerBytes;
      protocol = bytes[l3 + 9]!;
      inner[T_SRC] = rawWord(bytes, l3 + 12);
      inner[T_DST] = rawWord(bytes, l3 + 16);
      if (inner[T_SRC] !== words[T_DST]) return false;
    } else {
      if (end - l3 < 40 || bytes[l3]! >> 4 !== 6) return false;
      for (let i = 0; i < 4; i++) {
        inner[T_SRC + i] = rawWord(bytes, l3 + 8 + 4 * i);
        inner[T_DST + i] = rawWord(bytes, l3 + 24 + 4 * i);
        if (inner[T_SRC + i] !== words[T_DST + i]) return false;
      }
      protocol = bytes[l3 + 6]!;
      l4 = l3 + 40;
      while (protocol === 0 || protocol === 43 || protocol === 60) {
        if (end - l4 < 8) return false;
        protocol = bytes[l4]!;
        l4 += (bytes[l4 + 1]! + 1) << 3;
      }
      if (protocol === 44) return false;
    }
    if (end - l4 < 8) return false;
    inner[T_META] = (words[T_META]! & ~0xff00) | (protocol << 8);
    if (protocol === TCP || protocol === UDP) {
      inner[T_PORTS] = (bytes[l4]! << 24) | (bytes[l4 + 1]! << 16) | (bytes[l4 + 2]! << 8) |
        bytes[l4 + 3]!;
      if ((inner[T_PORTS]! & 0xffff) === 0 || inner[T_PORTS]! >>> 16 === 0) return false;
    } else if (protocol === (family === IPV4 ? ICMP : ICMPV6)) {
      if (reverseIcmpType(family, bytes[l4]!) < 0 || bytes[l4 + 1] !== 0) return false;
      inner[T_PORTS] = (bytes[l4 + 4]! << 24) | (bytes[l4 + 5]! << 16) | (bytes[l4]! << 8);
    }
    reverseTuple(inner, 0, words, 0);
    this.innerL4 = l4;
    return true;
  }
}

function rawWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Would `extract` have found a header of this protocol? */
function hasTransport(family: number, protocol: number): boolean {
  switch (protocol) {
    case TCP:
    case UDP:
    case 132:
      return true;
    case ICMP:
      return family === IPV4;
    case ICMPV6:
      return family === IPV6;
    default:
      return false;
  }
}

function ipv4HeaderOk(frame: Frame): boolean {
  const at = frame.offset + frame.l3;
  return checksum(frame.bytes, at, at + ((frame.bytes[at]! & 15) << 2)) === 0;
}

/** The checksum was verified already, or is to be computed later: nothing to see in the packet. */
function isOffloaded(frame: Frame): boolean {
  if (!frame.vnet) return false;
  const vnet = frame.offset - VNET_BYTES;
  return (frame.bytes[vnet]! & (VNET_F_NEEDS_CSUM | VNET_F_DATA_VALID)) !== 0 ||
    frame.bytes[vnet + 1] !== 0;
}

function transportOk(frame: Frame): boolean {
  if (isOffloaded(frame)) return true;
  const { bytes, offset, l3, l4, l4Type } = frame;
  const end = offset + frame.l3End;
  const at = offset + l4;
  if (l4Type === ICMP) return fold(sumBytes(bytes, at, end)) === 0xffff;
  const width = frame.l3Type === 0x0800 ? 4 : 16;
  const addresses = offset + l3 + (width === 4 ? 12 : 8);
  const pseudo = pseudoSum(bytes, addresses, width, l4Type, end - at);
  return fold(sumBytes(bytes, at, end, pseudo)) === 0xffff;
}
