/**
 * Bytes changed under a mask, and what that does to the checksums over them: by the difference
 * (RFC 1624), complete or partial ones. See rewrite.ts.
 */
import { fold } from "./checksum.ts";
import { type Frame, VNET_BYTES, VNET_F_NEEDS_CSUM } from "./frame.ts";

/** A multiple of 0xffff larger than any difference of 16 bytes: keeps sums positive. */
const BIAS = 0xffff * 64;

/**
 * Writes `n` masked bytes and returns how much their sum as big-endian words grew, the first byte
 * counting as a high one.
 */
export function merge(
  bytes: Uint8Array,
  at: number,
  n: number,
  args: Uint8Array,
  valueAt: number,
  maskAt: number,
): number {
  let delta = 0;
  for (let i = 0; i < n; i++) {
    const mask = args[maskAt + i]!;
    const before = bytes[at + i]!;
    const after = (before & ~mask) | (args[valueAt + i]! & mask);
    bytes[at + i] = after;
    delta += (i & 1) === 0 ? (after - before) * 256 : after - before;
  }
  return delta;
}

/** Puts a difference into a complete checksum at `at`. */
function patch(bytes: Uint8Array, at: number, delta: number): number {
  const old = (bytes[at]! << 8) | bytes[at + 1]!;
  return ~fold((~old & 0xffff) + delta + BIAS) & 0xffff;
}

export function patchIpv4(bytes: Uint8Array, l3: number, delta: number): void {
  if (delta === 0) return;
  const sum = patch(bytes, l3 + 10, delta);
  bytes[l3 + 10] = sum >>> 8;
  bytes[l3 + 11] = sum;
}

/** True if the virtio-net header leaves this frame's transport checksum to be finished later. */
export function isPartial(frame: Frame, field: number): boolean {
  if (!frame.vnet) return false;
  const { bytes } = frame;
  const vnet = frame.offset - VNET_BYTES;
  return (bytes[vnet]! & VNET_F_NEEDS_CSUM) !== 0 &&
    (bytes[vnet + 6]! | (bytes[vnet + 7]! << 8)) === frame.l4 &&
    (bytes[vnet + 8]! | (bytes[vnet + 9]! << 8)) === field;
}

/** `pseudo`: the difference is in the pseudo header, not in the transport header or payload. */
export function patchTransport(frame: Frame, delta: number, pseudo: boolean): void {
  if (delta === 0 || frame.l4 < 0) return;
  const { bytes, l4Type } = frame;
  let field: number;
  if (l4Type === 6) field = 16;
  else if (l4Type === 17) field = 6;
  else if (l4Type === 58 || (l4Type === 1 && !pseudo)) field = 2;
  else return;
  const at = frame.offset + frame.l4 + field;
  let sum: number;
  if (isPartial(frame, field)) {
    if (!pseudo) return;
    sum = fold(((bytes[at]! << 8) | bytes[at + 1]!) + delta + BIAS);
  } else {
    if (l4Type === 17 && bytes[at] === 0 && bytes[at + 1] === 0) return;
    sum = patch(bytes, at, delta);
    if (l4Type === 17 && sum === 0) sum = 0xffff;
  }
  bytes[at] = sum >>> 8;
  bytes[at + 1] = sum;
}
