/**
 * Hash functions of known values: what a group, a bond or `multipath` chooses by them must be what
 * other switches choose, so the functions are Open vSwitch's (its portable build).
 *
 * - MurmurHash3's 32-bit mixing: add words one after the other, then finish with their length.
 * - Bob Jenkins' lookup3 (`hashlittle`) for `jenkins`, with a mixing of its own constants.
 *
 * All numbers are unsigned 32-bit; words of bytes are little endian.
 */

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

/** One more word; a word of zero counts too. */
export function hashAdd(hash: number, word: number): number {
  let data = Math.imul(word, 0xcc9e2d51);
  data = Math.imul(rotate(data, 15), 0x1b873593);
  return (Math.imul(rotate(hash ^ data, 13), 5) + 0xe6546b64) >>> 0;
}

export function hashFinish(hash: number, final: number): number {
  let h = hash ^ final;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hash of two words, in this order. */
export function hashTwo(a: number, b: number): number {
  return hashFinish(hashAdd(hashAdd(a, 0), b), 8);
}

/** Hash of a 64-bit number. */
export function hashBig(value: bigint): number {
  const low = Number(value & 0xffffffffn);
  return hashFinish(hashAdd(hashAdd(0, low), Number((value >> 32n) & 0xffffffffn)), 8);
}

export function hashBytes(bytes: Uint8Array, basis: number): number {
  let hash = basis;
  for (let i = 0; i < bytes.length; i += 4) hash = hashAdd(hash, wordAt(bytes, i));
  return hashFinish(hash, bytes.length);
}

export function hashBoolean(value: boolean, basis: number): number {
  return ((value ? 0xc2b73583 : 0xe90f1258) ^ rotate(basis, 1)) >>> 0;
}

/** Zero behind the end. */
function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24);
}

/** `jhash_bytes`. */
export function jenkins(bytes: Uint8Array, basis: number): number {
  const { length } = bytes;
  let a = (0xdeadbeef + length + basis) | 0;
  let b = a;
  let c = a;
  let i = 0;
  for (; length - i >= 12; i += 12) {
    a = (a + wordAt(bytes, i)) | 0;
    b = (b + wordAt(bytes, i + 4)) | 0;
    c = (c + wordAt(bytes, i + 8)) | 0;
    a = ((a - c) ^ rotate(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotate(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 4)) | 0;
    b = (b + a) | 0;
  }
  if (i < length) {
    a = (a + wordAt(bytes, i)) | 0;
    b = (b + wordAt(bytes, i + 4)) | 0;
    c = (c + wordAt(bytes, i + 8)) | 0;
    c = ((c ^ b) - rotate(b, 14)) | 0;
    a = ((a ^ c) - rotate(c, 11)) | 0;
    b = ((b ^ a) - rotate(a, 25)) | 0;
    c = ((c ^ b) - rotate(b, 16)) | 0;
    a = ((a ^ c) - rotate(c, 4)) | 0;
    b = ((b ^ a) - rotate(a, 14)) | 0;
    c = ((c ^ b) - rotate(b, 24)) | 0;
  }
  return c >>> 0;
}
