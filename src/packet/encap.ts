/**
 * Headers between Ethernet and the network layer, and the Ethernet header itself, pushed and popped
 * in place: MPLS (RFC 3032), Ethernet, NSH (RFC 8300), PBB (IEEE 802.1ah). VLAN tags are in
 * rewrite.ts.
 *
 * Each function changes the bytes and then parses the frame again (`extractAgain`), since what lies
 * behind the header becomes visible or hidden. Nothing allocates. A push returns NO_ROOM if there is
 * no headroom: the caller moves the frame into a buffer with more of it and tries again. NO_HEADER
 * says that the frame is no such packet: it is unchanged then.
 *
 * Offloads do not survive below these headers (a kernel cannot segment what it cannot parse): the
 * caller ends them first.
 */
import { writeU16, writeU32 } from "./big-endian.ts";
import { extractAgain } from "./extract.ts";
import type { Frame } from "./frame.ts";
import { closeGap, openGap } from "./rewrite.ts";

export const DONE = 0;
export const NO_ROOM = 1;
export const NO_HEADER = 2;
export type EncapResult = typeof DONE | typeof NO_ROOM | typeof NO_HEADER;

const ETHERNET_BYTES = 14;
const ETH_NSH = 0x894f;
const ETH_PBB = 0x88e7;
/** Namespace 1 of packet types: the rest is an Ethernet type (OpenFlow 1.5.1 §7.2.3.11). */
const NS_ETHERTYPE = 0x10000;
const PBB_TAG_BYTES = 4;
/** RFC 8300 §2.2, "Next Protocol". */
const NSH_NEXT: readonly (readonly [protocol: number, ethType: number])[] = [
  [1, 0x0800],
  [2, 0x86dd],
  [4, ETH_NSH],
  [5, 0x8847],
];
const NSH_NEXT_ETHERNET = 3;

function isMpls(ethType: number): boolean {
  return ethType === 0x8847 || ethType === 0x8848;
}

/** Where the Ethernet type (behind the tags that were parsed) stands. */
function typeAt(frame: Frame): number {
  return frame.offset + 12 + 4 * frame.vlans;
}

/** The type of what follows the Ethernet header, or of a packet without one. */
function setType(frame: Frame, ethType: number): void {
  if (frame.packetType !== 0) frame.packetType = NS_ETHERTYPE | ethType;
  else writeU16(frame.bytes, typeAt(frame), ethType);
}

/** A label stack entry behind the Ethernet header and its tags. */
export function pushMpls(frame: Frame, ethType: number, lse: number): EncapResult {
  if (!isMpls(ethType)) return NO_HEADER;
  let at = 0;
  if (frame.packetType === 0) {
    if (frame.length < ETHERNET_BYTES) return NO_HEADER;
    at = ETHERNET_BYTES + 4 * frame.vlans;
    // An 802.3 length has no type that could say MPLS.
    if (((frame.bytes[typeAt(frame)]! << 8) | frame.bytes[typeAt(frame) + 1]!) < 0x600) {
      return NO_HEADER;
    }
  }
  if (!openGap(frame, at, 4)) return NO_ROOM;
  writeU32(frame.bytes, frame.offset + at, lse);
  setType(frame, ethType);
  extractAgain(frame);
  return DONE;
}

/** A label stack entry in front of the whole frame, which then is an MPLS packet. */
export function pushMplsOverEthernet(frame: Frame, ethType: number, lse: number): EncapResult {
  if (!isMpls(ethType) || frame.packetType !== 0) return NO_HEADER;
  if (!openGap(frame, 0, 4)) return NO_ROOM;
  writeU32(frame.bytes, frame.offset, lse);
  frame.packetType = NS_ETHERTYPE | ethType;
  extractAgain(frame);
  return DONE;
}

/** Takes the outermost entry; what follows is of `ethType`. */
export function popMpls(frame: Frame, ethType: number): EncapResult {
  if (!isMpls(frame.l25Type)) return NO_HEADER;
  const at = frame.l25;
  // A packet of MPLS that carries Ethernet turns into a frame.
  const becomesFrame = frame.packetType !== 0 && ethType === 0x6558;
  setType(frame, ethType);
  closeGap(frame, at, 4);
  if (becomesFrame) frame.packetType = 0;
  extractAgain(frame);
  return DONE;
}

/** `addresses`: destination and source, 12 bytes from `at` on. */
export function pushEthernet(frame: Frame, addresses: Uint8Array, at: number): EncapResult {
  if (frame.packetType === 0) return NO_HEADER;
  const ethType = frame.packetType & 0xffff;
  if (!openGap(frame, 0, ETHERNET_BYTES)) return NO_ROOM;
  const { bytes, offset } = frame;
  for (let i = 0; i < 12; i++) bytes[offset + i] = addresses[at + i]!;
  writeU16(bytes, offset + 12, ethType);
  frame.packetType = 0;
  extractAgain(frame);
  return DONE;
}

/** An untagged Ethernet header goes; the packet is of the type that stood in it. */
export function popEthernet(frame: Frame): EncapResult {
  if (frame.packetType !== 0 || frame.vlans > 0 || frame.length < ETHERNET_BYTES) return NO_HEADER;
  const { bytes, offset } = frame;
  const ethType = (bytes[offset + 12]! << 8) | bytes[offset + 13]!;
  if (ethType < 0x600) return NO_HEADER;
  closeGap(frame, 0, ETHERNET_BYTES);
  frame.packetType = NS_ETHERTYPE | ethType;
  extractAgain(frame);
  return DONE;
}

/** `header`: `length` bytes from `at` on, a whole NSH header; its next protocol is filled in. */
export function pushNsh(
  frame: Frame,
  header: Uint8Array,
  at: number,
  length: number,
): EncapResult {
  let next = frame.packetType === 0 ? NSH_NEXT_ETHERNET : 0;
  for (const [protocol, ethType] of NSH_NEXT) {
    if (frame.packetType !== 0 && (frame.packetType & 0xffff) === ethType) next = protocol;
  }
  if (next === 0) return NO_HEADER;
  if (!openGap(frame, 0, length)) return NO_ROOM;
  const { bytes, offset } = frame;
  for (let i = 0; i < length; i++) bytes[offset + i] = header[at + i]!;
  bytes[offset + 3] = next;
  frame.packetType = NS_ETHERTYPE | ETH_NSH;
  extractAgain(frame);
  return DONE;
}

/** The NSH header of a packet that begins with one goes. */
export function popNsh(frame: Frame): EncapResult {
  if (frame.l25Type !== ETH_NSH || frame.l25 !== 0) return NO_HEADER;
  const { bytes, offset } = frame;
  const next = bytes[offset + 3]!;
  let packetType = next === NSH_NEXT_ETHERNET ? 0 : -1;
  for (const [protocol, ethType] of NSH_NEXT) {
    if (next === protocol) packetType = NS_ETHERTYPE | ethType;
  }
  if (packetType < 0) return NO_HEADER;
  closeGap(frame, 0, (bytes[offset + 1]! & 0x3f) << 2);
  frame.packetType = packetType;
  extractAgain(frame);
  return DONE;
}

/** The frame becomes the payload of one with the same addresses and an I-TAG. */
export function pushPbb(frame: Frame, ethType: number, tci: number): EncapResult {
  if (ethType !== ETH_PBB || frame.packetType !== 0 || frame.length < ETHERNET_BYTES) {
    return NO_HEADER;
  }
  const grown = ETHERNET_BYTES + PBB_TAG_BYTES;
  if (!openGap(frame, 0, grown)) return NO_ROOM;
  const { bytes, offset } = frame;
  bytes.copyWithin(offset, offset + grown, offset + grown + 12);
  writeU16(bytes, offset + 12, ETH_PBB);
  writeU32(bytes, offset + ETHERNET_BYTES, tci);
  extractAgain(frame);
  return DONE;
}

/** The customer's frame comes out again; backbone tags must be popped first. */
export function popPbb(frame: Frame): EncapResult {
  if (frame.l25Type !== ETH_PBB || frame.vlans > 0) return NO_HEADER;
  const gone = frame.l25 + PBB_TAG_BYTES;
  if (frame.length < gone + ETHERNET_BYTES) return NO_HEADER;
  closeGap(frame, 0, gone);
  extractAgain(frame);
  return DONE;
}
