/**
 * Changes headers of a frame in place: one slot at a time, VLAN tags pushed and popped, checksums
 * kept right. Everything works on an extracted `Frame` (frame.ts) and allocates nothing.
 *
 * Checksums
 * - They are updated by the difference (RFC 1624), never recomputed: a frame that came with a wrong
 *   checksum leaves with a wrong one, and payload is not read.
 * - A partial checksum (virtio-net NEEDS_CSUM pointing at this frame's transport header) holds the
 *   pseudo header's sum only: changed addresses go into it, changed ports do not. This covers
 *   segmentation too, where the length in the pseudo header is the super-packet's.
 * - UDP without checksum (0) stays so; a sum that becomes 0 is sent as 0xffff (RFC 768).
 * - Later fragments carry no transport header; the first one's checksum is updated (it covers the
 *   whole datagram). With IPv6 segments left, the checksum covers the last segment: untouched.
 * - SCTP's CRC32c is linear: old ^ crc(before) ^ crc(after) keeps a bad one bad.
 *
 * A caller that still owes the unchanged frame to someone (a send that is not done) copies it first
 * with `Frame.moveTo`.
 */
import { crc32c } from "./checksum.ts";
import { extractAgain } from "./extract.ts";
import { type Frame, VNET_BYTES, VNET_F_NEEDS_CSUM } from "./frame.ts";
import { slot, type SlotName } from "./layout.ts";
import { isPartial, merge, patchIpv4, patchTransport } from "./patch.ts";

/** Slots that lie in a frame and may be set; others (pkt_mark, tunnel …) are metadata. */
export const FRAME_SLOTS = [
  "eth_dst",
  "eth_src",
  "eth_type",
  "vlan_tci",
  "vlan_tpid",
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "nw_src",
  "nw_dst",
  "tp_src",
  "tp_dst",
  "arp_sha",
  "arp_tha",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "nd_target",
  "nd_reserved",
  "nd_options_type",
  "mpls_lse0",
  "pbb_tci",
  "nsh_flags",
  "nsh_ttl",
  "nsh_path",
  "nsh_c",
] as const satisfies readonly SlotName[];

const S_ETH_DST = slot("eth_dst").offset;
const S_ETH_SRC = slot("eth_src").offset;
const S_ETH_TYPE = slot("eth_type").offset;
const S_VLAN_TCI = slot("vlan_tci").offset;
const S_VLAN_TPID = slot("vlan_tpid").offset;
const S_NW_PROTO = slot("nw_proto").offset;
const S_NW_TOS = slot("nw_tos").offset;
const S_NW_TTL = slot("nw_ttl").offset;
const S_NW_SRC = slot("nw_src").offset;
const S_NW_DST = slot("nw_dst").offset;
const S_TP_SRC = slot("tp_src").offset;
const S_TP_DST = slot("tp_dst").offset;
const S_ARP_SHA = slot("arp_sha").offset;
const S_ARP_THA = slot("arp_tha").offset;
const S_IPV6_SRC = slot("ipv6_src").offset;
const S_IPV6_DST = slot("ipv6_dst").offset;
const S_IPV6_LABEL = slot("ipv6_label").offset;
const S_ND_TARGET = slot("nd_target").offset;
const S_ND_RESERVED = slot("nd_reserved").offset;
const S_ND_OPTIONS_TYPE = slot("nd_options_type").offset;
const S_MPLS_LSE0 = slot("mpls_lse0").offset;
const S_PBB_TCI = slot("pbb_tci").offset;
const S_NSH_FLAGS = slot("nsh_flags").offset;
const S_NSH_TTL = slot("nsh_ttl").offset;
const S_NSH_PATH = slot("nsh_path").offset;
const S_NSH_C = slot("nsh_c").offset;

/**
 * `slot = slot & ~mask | value` in the frame. `slotOffset` is the slot's byte offset in the flow
 * key (`slot(name).offset`, unique); the value and the mask are as wide as the slot and start at
 * `args[valueAt]` and `args[maskAt]`. Value bits outside the mask are ignored.
 *
 * False if the frame has no such header (it is unchanged then).
 */
export function setSlot(
  frame: Frame,
  slotOffset: number,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): boolean {
  const { bytes, offset, l3, l3Type, l4 } = frame;
  const at3 = offset + l3;
  const at4 = offset + l4;
  const ipv4 = l3Type === 0x0800;
  const ipv6 = l3Type === 0x86dd;
  const arp = l3Type === 0x0806 || l3Type === 0x8035;
  switch (slotOffset) {
    case S_ETH_DST:
      if (frame.length < 14) return false;
      merge(bytes, offset, 6, args, valueAt, maskAt);
      return true;
    case S_ETH_SRC:
      if (frame.length < 14) return false;
      merge(bytes, offset + 6, 6, args, valueAt, maskAt);
      return true;
    case S_ETH_TYPE:
      return setEthernetType(frame, args, valueAt, maskAt);
    case S_VLAN_TPID:
      if (frame.vlans === 0) return false;
      merge(bytes, offset + 12, 2, args, valueAt, maskAt);
      return true;
    case S_VLAN_TCI: {
      if (frame.vlans === 0) return false;
      // Bit 0x1000 says "tag present" in the key; the frame's own bit there (DEI) stays.
      const high = args[maskAt]! & 0xef;
      bytes[offset + 14] = (bytes[offset + 14]! & ~high) | (args[valueAt]! & high);
      merge(bytes, offset + 15, 1, args, valueAt + 1, maskAt + 1);
      return true;
    }
    case S_MPLS_LSE0:
      if (frame.l25Type !== 0x8847 && frame.l25Type !== 0x8848) return false;
      merge(bytes, offset + frame.l25, 4, args, valueAt, maskAt);
      return true;
    case S_PBB_TCI: {
      if (frame.l25Type !== 0x88e7) return false;
      // Priority and DEI share the first byte with UCA, which alone is in the slot.
      const at = offset + frame.l25;
      const uca = args[maskAt]! & 0x08;
      bytes[at] = (bytes[at]! & ~uca) | (args[valueAt]! & uca);
      merge(bytes, at + 1, 3, args, valueAt + 1, maskAt + 1);
      return true;
    }
    case S_NSH_FLAGS:
    case S_NSH_TTL:
    case S_NSH_PATH:
    case S_NSH_C:
      return setNsh(frame, slotOffset, args, valueAt, maskAt);
    case S_NW_SRC:
    case S_NW_DST: {
      const second = slotOffset === S_NW_DST;
      if (arp) merge(bytes, at3 + (second ? 24 : 14), 4, args, valueAt, maskAt);
      else if (ipv4) {
        const delta = merge(bytes, at3 + (second ? 16 : 12), 4, args, valueAt, maskAt);
        patchIpv4(bytes, at3, delta);
        patchTransport(frame, delta, true);
      } else return false;
      return true;
    }
    case S_NW_TOS:
      if (ipv4) patchIpv4(bytes, at3, merge(bytes, at3 + 1, 1, args, valueAt, maskAt) >> 8);
      else if (ipv6) {
        const mask = args[maskAt]!;
        const old = ((bytes[at3]! & 0x0f) << 4) | (bytes[at3 + 1]! >> 4);
        const tos = (old & ~mask) | (args[valueAt]! & mask);
        bytes[at3] = (bytes[at3]! & 0xf0) | (tos >> 4);
        bytes[at3 + 1] = (bytes[at3 + 1]! & 0x0f) | ((tos & 0x0f) << 4);
      } else return false;
      return true;
    case S_NW_TTL:
      if (ipv4) patchIpv4(bytes, at3, merge(bytes, at3 + 8, 1, args, valueAt, maskAt));
      else if (ipv6) merge(bytes, at3 + 7, 1, args, valueAt, maskAt);
      else return false;
      return true;
    case S_NW_PROTO:
      if (arp) merge(bytes, at3 + 7, 1, args, valueAt, maskAt);
      else if (ipv4 || ipv6) return setProtocol(frame, args, valueAt, maskAt);
      else return false;
      return true;
    case S_IPV6_SRC:
      if (!ipv6) return false;
      patchTransport(frame, merge(bytes, at3 + 8, 16, args, valueAt, maskAt), true);
      return true;
    case S_IPV6_DST: {
      if (!ipv6) return false;
      const delta = merge(bytes, at3 + 24, 16, args, valueAt, maskAt);
      if (!frame.ipv6Routing) patchTransport(frame, delta, true);
      return true;
    }
    case S_IPV6_LABEL: {
      if (!ipv6) return false;
      const high = args[maskAt + 1]! & 0x0f;
      bytes[at3 + 1] = (bytes[at3 + 1]! & ~high) | (args[valueAt + 1]! & high);
      merge(bytes, at3 + 2, 2, args, valueAt + 2, maskAt + 2);
      return true;
    }
    case S_TP_SRC:
    case S_TP_DST:
      return setPort(frame, slotOffset === S_TP_DST, args, valueAt, maskAt);
    case S_ARP_SHA:
    case S_ARP_THA: {
      const second = slotOffset === S_ARP_THA;
      if (arp) {
        merge(bytes, at3 + (second ? 18 : 8), 6, args, valueAt, maskAt);
        return true;
      }
      const option = findLinkAddress(frame, second ? 2 : 1);
      if (option < 0) return false;
      patchTransport(frame, merge(bytes, option + 2, 6, args, valueAt, maskAt), false);
      return true;
    }
    case S_ND_TARGET:
      if (!isNeighbour(frame)) return false;
      patchTransport(frame, merge(bytes, at4 + 8, 16, args, valueAt, maskAt), false);
      return true;
    case S_ND_RESERVED:
      if (!isNeighbour(frame)) return false;
      patchTransport(frame, merge(bytes, at4 + 4, 4, args, valueAt, maskAt), false);
      return true;
    case S_ND_OPTIONS_TYPE: {
      const option = findLinkAddress(frame, 0);
      if (option < 0) return false;
      patchTransport(frame, merge(bytes, option, 1, args, valueAt, maskAt), false);
      return true;
    }
    default:
      return false;
  }
}

/**
 * Inserts a VLAN tag behind the Ethernet addresses; `tci` loses the present bit 0x1000. The frame
 * grows by 4 bytes downwards. False if there is no headroom above `frame.floor` (or no Ethernet
 * header): move the frame into a buffer of its own first.
 */
export function pushVlan(frame: Frame, tpid: number, tci: number): boolean {
  const { bytes } = frame;
  if (frame.length < 14 || frame.packetType !== 0 || !openGap(frame, 12, 4)) return false;
  const at = frame.offset + 12;
  bytes[at] = tpid >>> 8;
  bytes[at + 1] = tpid;
  bytes[at + 2] = (tci >>> 8) & 0xef;
  bytes[at + 3] = tci;
  frame.vlans++;
  return true;
}

/** Removes the outer VLAN tag; the frame shrinks by 4 bytes. False if it has none. */
export function popVlan(frame: Frame): boolean {
  if (frame.vlans === 0) return false;
  closeGap(frame, 12, 4);
  frame.vlans--;
  return true;
}

/**
 * Makes room for `n` bytes at `at` (counted from the frame's start) by moving what stands before it
 * down, the virtio-net header too; layers behind move with the frame's start. False, and nothing
 * done, if there is no headroom above `frame.floor`.
 */
export function openGap(frame: Frame, at: number, n: number): boolean {
  const head = frame.vnet ? VNET_BYTES : 0;
  const from = frame.offset - head;
  if (from - n < frame.floor) return false;
  frame.bytes.copyWithin(from - n, from, from + head + at);
  frame.offset -= n;
  shift(frame, n);
  return true;
}

/** Removes `n` bytes at `at`; what stands before them moves up. */
export function closeGap(frame: Frame, at: number, n: number): void {
  const head = frame.vnet ? VNET_BYTES : 0;
  const from = frame.offset - head;
  frame.bytes.copyWithin(from + n, from, from + head + at);
  frame.offset += n;
  shift(frame, -n);
}

/** Everything behind the Ethernet addresses moved by `by` bytes, relative to the frame's start. */
function shift(frame: Frame, by: number): void {
  frame.length += by;
  frame.l3End += by;
  if (frame.l25 >= 0) frame.l25 += by;
  if (frame.l3 >= 0) frame.l3 += by;
  if (frame.l4 >= 0) frame.l4 += by;
  if (!frame.vnet) return;
  const { bytes } = frame;
  const vnet = frame.offset - VNET_BYTES;
  const headerBytes = bytes[vnet + 2]! | (bytes[vnet + 3]! << 8);
  if (headerBytes !== 0) {
    bytes[vnet + 2] = headerBytes + by;
    bytes[vnet + 3] = (headerBytes + by) >>> 8;
  }
  if ((bytes[vnet]! & VNET_F_NEEDS_CSUM) !== 0) {
    const csumStart = (bytes[vnet + 6]! | (bytes[vnet + 7]! << 8)) + by;
    bytes[vnet + 6] = csumStart;
    bytes[vnet + 7] = csumStart >>> 8;
  }
}

/** Behind the tags that were parsed. What follows is read anew, as what it is called now. */
function setEthernetType(
  frame: Frame,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): boolean {
  const { bytes } = frame;
  if (frame.packetType !== 0 || frame.length < 14) return false;
  const at = frame.offset + 12 + 4 * frame.vlans;
  // IEEE 802.3 has a length there.
  if (((bytes[at]! << 8) | bytes[at + 1]!) < 0x600) return false;
  merge(bytes, at, 2, args, valueAt, maskAt);
  extractAgain(frame);
  return true;
}

/** The protocol above IP, behind extension headers too; its checksum follows the pseudo header. */
function setProtocol(frame: Frame, args: Uint8Array, valueAt: number, maskAt: number): boolean {
  const { bytes, offset, l3, l4 } = frame;
  const at3 = offset + l3;
  if (frame.l3Type === 0x0800) {
    const delta = merge(bytes, at3 + 9, 1, args, valueAt, maskAt) >> 8;
    patchIpv4(bytes, at3, delta);
    patchTransport(frame, delta, true);
  } else {
    let at = at3 + 6;
    for (let next = at3 + 40; l4 >= 0 && next < offset + l4;) {
      const bytesOfHeader = bytes[at] === 44
        ? 8
        : bytes[at] === 51
        ? (bytes[next + 1]! + 2) << 2
        : (bytes[next + 1]! + 1) << 3;
      at = next;
      next += bytesOfHeader;
    }
    patchTransport(frame, merge(bytes, at, 1, args, valueAt, maskAt) >> 8, true);
  }
  extractAgain(frame);
  return true;
}

function setPort(
  frame: Frame,
  second: boolean,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): boolean {
  const { bytes } = frame;
  const at = frame.offset + frame.l4;
  switch (frame.l4Type) {
    case 6:
    case 17:
      patchTransport(
        frame,
        merge(bytes, second ? at + 2 : at, 2, args, valueAt, maskAt),
        false,
      );
      return true;
    case 132:
      setSctpPort(frame, second ? at + 2 : at, args, valueAt, maskAt);
      return true;
    case 1:
    case 58: {
      // Type and code: the slot's low byte. The code is the low half of its checksum word.
      const delta = merge(bytes, second ? at + 1 : at, 1, args, valueAt + 1, maskAt + 1);
      patchTransport(frame, second ? delta >> 8 : delta, false);
      return true;
    }
    default:
      return false;
  }
}

/** RFC 8300 §2.2: version 2, O, U, TTL 6, length 6 bits; then type, next protocol, path, context. */
function setNsh(
  frame: Frame,
  slotOffset: number,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): boolean {
  if (frame.l25Type !== 0x894f) return false;
  const { bytes } = frame;
  const at = frame.offset + frame.l25;
  const mask = args[maskAt]!;
  const value = args[valueAt]!;
  switch (slotOffset) {
    case S_NSH_FLAGS: {
      const bits = (mask & 3) << 4;
      bytes[at] = (bytes[at]! & ~bits) | ((value << 4) & bits);
      return true;
    }
    case S_NSH_TTL: {
      const old = ((bytes[at]! & 0x0f) << 2) | (bytes[at + 1]! >> 6);
      const ttl = ((old & ~mask) | (value & mask)) & 0x3f;
      bytes[at] = (bytes[at]! & 0xf0) | (ttl >> 2);
      bytes[at + 1] = (bytes[at + 1]! & 0x3f) | ((ttl & 3) << 6);
      return true;
    }
    case S_NSH_PATH:
      merge(bytes, at + 4, 4, args, valueAt, maskAt);
      return true;
    default:
      if ((bytes[at + 2]! & 0x0f) !== 1) return false;
      merge(bytes, at + 8, 16, args, valueAt, maskAt);
      return true;
  }
}

function setSctpPort(
  frame: Frame,
  at: number,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): void {
  const { bytes } = frame;
  const start = frame.offset + frame.l4;
  const end = frame.offset + frame.l3End;
  if (isPartial(frame, 8)) {
    merge(bytes, at, 2, args, valueAt, maskAt);
    return;
  }
  const before = crc32c(bytes, start, end, start + 8);
  merge(bytes, at, 2, args, valueAt, maskAt);
  const change = before ^ crc32c(bytes, start, end, start + 8);
  // The CRC stands in the header with its low byte first (RFC 9260 appendix A).
  for (let i = 0; i < 4; i++) bytes[start + 8 + i] = bytes[start + 8 + i]! ^ (change >>> (8 * i));
}

function isNeighbour(frame: Frame): boolean {
  if (frame.l4Type !== 58 || frame.l3Type !== 0x86dd || frame.l3End - frame.l4 < 24) return false;
  const at = frame.offset + frame.l4;
  const type = frame.bytes[at]!;
  return (type === 135 || type === 136) && frame.bytes[at + 1] === 0;
}

/** Index of the first link-layer address option of `type` (0: either); -1 if there is none. */
function findLinkAddress(frame: Frame, type: number): number {
  if (!isNeighbour(frame)) return -1;
  const { bytes } = frame;
  const end = frame.offset + frame.l3End;
  let at = frame.offset + frame.l4 + 24;
  while (end - at >= 8) {
    const length = bytes[at + 1]! << 3;
    if (length === 0 || length > end - at) return -1;
    const kind = bytes[at]!;
    if (length === 8 && (kind === type || (type === 0 && (kind === 1 || kind === 2)))) return at;
    at += length;
  }
  return -1;
}
