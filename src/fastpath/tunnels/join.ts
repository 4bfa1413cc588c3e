/**
 * Joins the inner TCP segments of tunnelled packets that the kernel hands over in one piece (UDP_GRO, or
 * a UDP super-packet of a device) to one super-packet again, in place.
 *
 *     | tunnel | headers | payload | tunnel | headers | payload | …        `stride` bytes each
 *              ^ the frame, its tunnel header taken off
 *     |        | headers | payload | payload | …
 *
 * Joined is what one sender would have cut: the same headers in front, but for what segmentation
 * changes; sequence numbers that follow; whole segments but for the last. The inner checksums are not
 * looked at: what the kernel joins has an outer checksum that covers them, and that it has checked. The
 * super-packet has a partial checksum, as one that was never cut.
 */
import { readU16, readU32, writeU16 } from "../../packet/big-endian.ts";
import { checksum, fold, pseudoSum } from "../../packet/checksum.ts";
import { extractAgain } from "../../packet/extract.ts";
import {
  type Frame,
  VNET_BYTES,
  VNET_F_NEEDS_CSUM,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
} from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";

const NW_FRAG = slot("nw_frag").offset;
const TCP = 6;
const UDP = 17;
const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
/** ACK, PSH, FIN: with any other flag a segment stands alone (RFC 9293 §3.1). */
const JOINABLE = FIN | PSH | ACK;
const CHECKSUM_AT = 16;

/**
 * `frame`: the first packet, extracted, without its tunnel header, which is kept in `tunnel`. The
 * packets after it follow at `next`, each `stride` bytes long but for the last, up to `end`. How many of
 * them were joined; the frame has been extracted again then.
 */
export function joinSegments(
  frame: Frame,
  tunnel: Uint8Array,
  tunnelBytes: number,
  next: number,
  stride: number,
  end: number,
): number {
  const { bytes, offset, l4 } = frame;
  if (frame.l4Type !== TCP || !frame.vnet || frame.l3End !== frame.length) return 0;
  const headBytes = l4 + ((bytes[offset + l4 + 12]! >> 4) << 2);
  const size = frame.length - headBytes;
  if (size <= 0 || !isJoinable(bytes[offset + l4 + 13]!)) return 0;
  let into = offset + frame.length;
  let joined = 0;
  let flags = bytes[offset + l4 + 13]!;
  for (let at = next; at < end && (flags & (FIN | PSH)) === 0; at += stride) {
    const inner = at + tunnelBytes;
    const length = Math.min(stride, end - at) - tunnelBytes;
    const payload = length - headBytes;
    if (payload <= 0 || payload > size) break;
    if (!same(tunnel, 0, bytes, at, tunnelBytes)) break;
    if (!follows(frame, inner, length, into - offset - headBytes)) break;
    flags = bytes[inner + l4 + 13]!;
    bytes.copyWithin(into, inner + headBytes, inner + length);
    into += payload;
    joined++;
    if (payload < size) break;
  }
  if (joined === 0) return 0;
  bytes[offset + l4 + 13] = flags;
  finish(frame, headBytes, size, into - offset);
  return joined;
}

function isJoinable(flags: number): boolean {
  return (flags & ACK) !== 0 && (flags & ~JOINABLE) === 0;
}

/** The packet at `inner` goes on where the frame's payload of `done` bytes ends. */
function follows(
  { bytes, offset, l3, l3Type, l4 }: Frame,
  inner: number,
  length: number,
  done: number,
): boolean {
  const ipv4 = l3Type === 0x0800;
  // Everything up to the network layer, then it without length, id and checksum.
  if (!same(bytes, offset, bytes, inner, l3 + (ipv4 ? 2 : 4))) return false;
  const ip = inner + l3;
  if (ipv4) {
    if (readU16(bytes, ip + 2) !== length - l3) return false;
    if (!same(bytes, offset + l3 + 6, bytes, ip + 6, 4)) return false;
    if (!same(bytes, offset + l3 + 12, bytes, ip + 12, l4 - l3 - 12)) return false;
  } else {
    if (readU16(bytes, ip + 4) !== length - l3 - 40) return false;
    if (!same(bytes, offset + l3 + 6, bytes, ip + 6, l4 - l3 - 6)) return false;
  }
  const first = offset + l4;
  const tcp = inner + l4;
  const sequence = (readU32(bytes, first + 4) + done) >>> 0;
  const headBytes = (bytes[first + 12]! >> 4) << 2;
  return readU32(bytes, tcp + 4) === sequence && isJoinable(bytes[tcp + 13]!) &&
    same(bytes, first, bytes, tcp, 4) && same(bytes, first + 8, bytes, tcp + 8, 5) &&
    same(bytes, first + 14, bytes, tcp + 14, 2) &&
    same(bytes, first + 18, bytes, tcp + 18, headBytes - 18);
}

function same(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

function finish(frame: Frame, headBytes: number, size: number, length: number): void {
  const { bytes, offset, l3, l4 } = frame;
  const ipv4 = frame.l3Type === 0x0800;
  const ip = offset + l3;
  if (ipv4) {
    writeU16(bytes, ip + 2, length - l3);
    writeU16(bytes, ip + 10, 0);
    writeU16(bytes, ip + 10, checksum(bytes, ip, offset + l4));
  } else writeU16(bytes, ip + 4, length - l3 - 40);
  const width = ipv4 ? 4 : 16;
  const pseudo = pseudoSum(bytes, ip + (ipv4 ? 12 : 8), width, TCP, length - l4);
  writeU16(bytes, offset + l4 + CHECKSUM_AT, fold(pseudo));
  frame.length = length;
  markPartial(frame, headBytes, size, CHECKSUM_AT);
  extractAgain(frame);
}

/** Of a super-packet whose size of segments nobody said, the network layer's part of each. */
const SAFE_SEGMENT_BYTES = 1400;
/** A packet over Ethernet's usual MTU is a super-packet. */
const ONE_PACKET_BYTES = 1500;

/**
 * A sender on this machine may leave the inner checksum to be finished by a card that never comes: then
 * the field holds the pseudo header's sum, and the packet may be a super-packet, too. Both is said in
 * the offload header here. (A whole checksum that looks like that by chance is finished to itself.)
 */
export function adoptPartial(frame: Frame): void {
  const { bytes, offset, l3, l4, l4Type } = frame;
  if (l4 < 0 || !frame.vnet || (l4Type !== TCP && l4Type !== UDP)) return;
  if (frame.l3Type !== 0x0800 && frame.l3Type !== 0x86dd) return;
  const ipv4 = frame.l3Type === 0x0800;
  const checksumAt = l4Type === TCP ? CHECKSUM_AT : 6;
  if (frame.key.bytes[NW_FRAG] !== 0 || l4 + checksumAt + 2 > frame.length) return;
  const ip = offset + l3;
  const length = frame.l3End - l4;
  const pseudo = fold(pseudoSum(bytes, ip + (ipv4 ? 12 : 8), ipv4 ? 4 : 16, l4Type, length));
  if (readU16(bytes, offset + l4 + checksumAt) !== pseudo || pseudo === 0) return;
  if (l4Type === UDP) return markPartial(frame, 0, 0, checksumAt);
  const headBytes = l4 + ((bytes[offset + l4 + 12]! >> 4) << 2);
  const isSuper = frame.l3End - l3 > ONE_PACKET_BYTES;
  markPartial(frame, headBytes, isSuper ? SAFE_SEGMENT_BYTES - (headBytes - l3) : 0, checksumAt);
}

/** Writes the offload header: a partial checksum; with `size` other than 0 a TCP super-packet. */
function markPartial(frame: Frame, headBytes: number, size: number, checksumAt: number): void {
  const { bytes, offset, l4 } = frame;
  const vnet = offset - VNET_BYTES;
  bytes[vnet] = VNET_F_NEEDS_CSUM;
  bytes[vnet + 1] = size === 0 ? 0 : frame.l3Type === 0x0800 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
  putLittle(bytes, vnet + 2, headBytes);
  putLittle(bytes, vnet + 4, size);
  putLittle(bytes, vnet + 6, l4);
  putLittle(bytes, vnet + 8, checksumAt);
}

function putLittle(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
