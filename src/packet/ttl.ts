/**
 * Copying TTLs between a packet's outermost two headers that have one (OpenFlow 1.3.5 §5.12,
 * OFPAT_COPY_TTL_OUT and OFPAT_COPY_TTL_IN): MPLS to MPLS, and MPLS to the IP header below the
 * bottom of the stack. RFC 3443 is what they are for. In place, no allocation, checksum kept right.
 */
import { fold } from "./checksum.ts";
import type { Frame } from "./frame.ts";

/** Offset of the TTL byte of the header behind the outermost label entry; -1 if there is none. */
function innerTtlAt(frame: Frame): number {
  if (frame.l25Type !== 0x8847 && frame.l25Type !== 0x8848) return -1;
  const { bytes } = frame;
  const at = frame.offset + frame.l25;
  const end = frame.offset + frame.length;
  if ((bytes[at + 2]! & 1) === 0) return end - at >= 8 ? at + 7 : -1;
  const ip = at + 4;
  if (end - ip >= 20 && bytes[ip]! >> 4 === 4) return ip + 8;
  if (end - ip >= 40 && bytes[ip]! >> 4 === 6) return ip + 7;
  return -1;
}

/** From the inner header to the outermost. False if the packet has no two. */
export function copyTtlOut(frame: Frame): boolean {
  const inner = innerTtlAt(frame);
  if (inner < 0) return false;
  frame.bytes[frame.offset + frame.l25 + 3] = frame.bytes[inner]!;
  return true;
}

/** From the outermost header to the inner. False if the packet has no two. */
export function copyTtlIn(frame: Frame): boolean {
  const inner = innerTtlAt(frame);
  if (inner < 0) return false;
  const { bytes } = frame;
  const outer = frame.offset + frame.l25;
  const old = bytes[inner]!;
  const ttl = bytes[outer + 3]!;
  bytes[inner] = ttl;
  // Only IPv4 has a checksum over its TTL, 2 bytes behind it, and a version of 4 before it.
  if ((bytes[outer + 2]! & 1) !== 0 && inner - outer === 12) {
    const sum = (bytes[inner + 2]! << 8) | bytes[inner + 3]!;
    const after = ~fold((~sum & 0xffff) + (ttl - old) * 256 + 0xffff) & 0xffff;
    bytes[inner + 2] = after >>> 8;
    bytes[inner + 3] = after;
  }
  return true;
}
