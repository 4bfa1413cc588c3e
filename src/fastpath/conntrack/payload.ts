/** Changes inside a TCP segment that helpers need: numbers in its header, text in its payload. */
import { formatIpv4, formatIpv6 } from "../../packet/address.ts";
import { checksum, fold, pseudoSum } from "../../packet/checksum.ts";
import { type Frame, VNET_BYTES, VNET_F_NEEDS_CSUM } from "../../packet/frame.ts";
import { patchTransport } from "../../packet/patch.ts";
import type { Executor } from "../engine/executor.ts";

/** Adds to the 32-bit number at `at` in the TCP header, modulo 2^32. */
export function addToTransport(frame: Frame, at: number, value: number): void {
  if (frame.l4 < 0 || frame.l4Type !== 6) return;
  const { bytes } = frame;
  const from = frame.offset + frame.l4 + at;
  const high = (bytes[from]! << 8) | bytes[from + 1]!;
  const low = (bytes[from + 2]! << 8) | bytes[from + 3]!;
  const sum = (high * 0x10000 + low + value) >>> 0;
  bytes[from] = sum >>> 24;
  bytes[from + 1] = sum >>> 16;
  bytes[from + 2] = sum >>> 8;
  bytes[from + 3] = sum;
  patchTransport(frame, (sum >>> 16) - high + (sum & 0xffff) - low, false);
}

/**
 * Writes an address (words as in a tuple) in place of `oldLength` characters at `at` in the frame.
 * By how much the payload grew; 0, and nothing changed, if there is no memory for it.
 */
export function rewritePayload(
  executor: Executor,
  at: number,
  oldLength: number,
  address: Int32Array,
  isV4: boolean,
  comma: boolean,
): number {
  const raw = new Uint8Array(address.slice().buffer);
  const plain = isV4 ? formatIpv4(raw.subarray(0, 4)) : formatIpv6(raw);
  const text = new TextEncoder().encode(comma ? plain.replaceAll(".", ",") : plain);
  const grown = text.length - oldLength;
  if (!executor.makeWritable(Math.max(0, grown))) return 0;
  const { frame } = executor;
  const { bytes, offset } = frame;
  bytes.copyWithin(offset + at + text.length, offset + at + oldLength, offset + frame.l3End);
  bytes.set(text, offset + at);
  // Padding goes; a device that needs it puts it there.
  frame.l3End += grown;
  frame.length = frame.l3End;
  seal(frame);
  executor.stale = true;
  return grown;
}

/** IP lengths and all checksums of a TCP frame whose payload has changed. */
function seal(frame: Frame): void {
  const { bytes, offset, l3, l4 } = frame;
  const isV4 = frame.l3Type === 0x0800;
  const ip = offset + l3;
  const total = frame.l3End - l3;
  const length = isV4 ? total : total - 40;
  bytes[ip + (isV4 ? 2 : 4)] = length >>> 8;
  bytes[ip + (isV4 ? 3 : 5)] = length;
  if (isV4) {
    bytes[ip + 10] = 0;
    bytes[ip + 11] = 0;
    const sum = checksum(bytes, ip, ip + ((bytes[ip]! & 15) << 2));
    bytes[ip + 10] = sum >>> 8;
    bytes[ip + 11] = sum;
  }
  const tcp = offset + l4;
  const end = offset + frame.l3End;
  const pseudo = pseudoSum(bytes, ip + (isV4 ? 12 : 8), isV4 ? 4 : 16, 6, end - tcp);
  bytes[tcp + 16] = 0;
  bytes[tcp + 17] = 0;
  const isPartial = frame.vnet && (bytes[offset - VNET_BYTES]! & VNET_F_NEEDS_CSUM) !== 0;
  const sum = isPartial ? fold(pseudo) : checksum(bytes, tcp, end, pseudo);
  bytes[tcp + 16] = sum >>> 8;
  bytes[tcp + 17] = sum;
}
