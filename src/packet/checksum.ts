/**
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624), pseudo headers (RFC 9293
 * §3.1, RFC 8200 §8.1) and CRC32c for SCTP (RFC 9260 appendix A).
 *
 * Sums are kept as plain numbers of 16-bit big-endian words, not complemented, at most a few bits
 * wider than 32, and folded at the end. Nothing here allocates.
 */

/**
 * Adds `bytes[start .. end)` to `sum` as big-endian 16-bit words; an odd last byte counts as the
 * high one. Exact for anything a frame can hold: a 64 KiB range adds less than 2^31.
 */
export function sumBytes(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  let i = start;
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) sum += bytes[i]! << 8;
  return sum;
}

/** Below this many bytes, words do not pay. */
const WORDS_PAY = 32;

/**
 * The same for long ranges, three times as quick: `words` is a view of the memory of `bytes`, whose
 * first byte starts a word. The result is folded.
 */
export function sumRange(
  bytes: Uint8Array,
  words: Int32Array,
  start: number,
  end: number,
): number {
  // From an odd byte on, words of memory are not words of the sum.
  if (end - start < WORDS_PAY || (start & 1) !== 0) return fold(sumBytes(bytes, start, end));
  let sum = 0;
  let at = start;
  if ((at & 2) !== 0) {
    sum = (bytes[at]! << 8) | bytes[at + 1]!;
    at += 2;
  }
  let low = 0;
  let high = 0;
  let i = at >> 2;
  const last = end >> 2;
  for (; i + 3 < last; i += 4) {
    const a = words[i]!;
    const b = words[i + 1]!;
    const c = words[i + 2]!;
    const d = words[i + 3]!;
    low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
  }
  for (; i < last; i++) {
    low = (low + (words[i]! & 0xffff)) | 0;
    high = (high + (words[i]! >>> 16)) | 0;
  }
  // Machine words are little endian; ones'-complement sums do not mind the order of bytes.
  const swapped = fold((low >>> 0) + (high >>> 0));
  sum += ((swapped & 0xff) << 8) | (swapped >>> 8);
  return fold(sumBytes(bytes, last << 2, end, sum));
}

/** Ones'-complement folding to 16 bits. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The checksum of a range as it goes into a header (whose own field is zero or excluded). */
export function checksum(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  return ~fold(sumBytes(bytes, start, end, sum)) & 0xffff;
}

/**
 * The sum of a pseudo header: `addresses` are the two addresses, adjacent in `bytes` from `at`, 4
 * or 16 bytes each; `length` is the transport's length in bytes.
 */
export function pseudoSum(
  bytes: Uint8Array,
  at: number,
  addressBytes: 4 | 16,
  protocol: number,
  length: number,
): number {
  return sumBytes(bytes, at, at + 2 * addressBytes) + protocol + (length >>> 16) +
    (length & 0xffff);
}

/**
 * RFC 1624 equation 3: the checksum in a header after one of the 16-bit words that it covers went
 * from `before` to `after`.
 */
export function updateChecksum(old: number, before: number, after: number): number {
  return ~fold((~old & 0xffff) + (~before & 0xffff) + after) & 0xffff;
}

/**
 * The same for a partial checksum, where the field holds the pseudo header's sum itself, not its
 * complement (virtio-net NEEDS_CSUM, CHECKSUM_PARTIAL).
 */
export function updateSum(old: number, before: number, after: number): number {
  return fold(old + (~before & 0xffff) + after);
}

/** CRC32c by nibbles: two table look-ups a byte, from a table small enough to write down. */
const CRC32C_NIBBLES = /* @__PURE__ */ (() => {
  const table = new Uint32Array(16);
  for (let n = 0; n < 16; n++) {
    let crc = n;
    for (let bit = 0; bit < 4; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[n] = crc >>> 0;
  }
  return table;
})();

/** CRC32c of a range as SCTP wants it; `skipAt` (4 bytes) counts as zero: the field itself. */
export function crc32c(bytes: Uint8Array, start: number, end: number, skipAt = -1): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) {
    crc ^= i >= skipAt && i < skipAt + 4 && skipAt >= 0 ? 0 : bytes[i]!;
    crc = (crc >>> 4) ^ CRC32C_NIBBLES[crc & 15]!;
    crc = (crc >>> 4) ^ CRC32C_NIBBLES[crc & 15]!;
  }
  return ~crc >>> 0;
}
