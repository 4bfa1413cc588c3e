/**
 * A field's bits within a flow key or mask, read byte by byte: what the match codec and the text
 * forms ask of `Match`es, without a bigint for each field of each flow.
 */
import { type Field, FIELD_LIST } from "../packet/layout.ts";
import type { FlowKey } from "../packet/key.ts";

const FULL: readonly bigint[] = FIELD_LIST.map(({ name, bits }) =>
  name === "nw_tos" ? 0xfcn : (1n << BigInt(bits)) - 1n
);

/** By field id: the bits of the field in its slot's bytes. */
const ONES: readonly Uint8Array[] = FIELD_LIST.map((field) => {
  // Their bits are where a table says, and whole bytes.
  if (field.variable) return new Uint8Array(0);
  const ones = new Uint8Array(field.slotBytes);
  let bits = fullMask(field) << BigInt(field.shift);
  for (let i = field.slotBytes - 1; i >= 0; i--) {
    ones[i] = Number(bits & 0xffn);
    bits >>= 8n;
  }
  return ones;
});

/**
 * All bits that a match on, or an action upon, the whole field means. `nw_tos` is the one field
 * whose value has bits that are not its own: it carries the DSCP in the upper six of eight.
 */
export function fullMask(field: Field): bigint {
  if (field.variable) return (1n << BigInt(field.bits)) - 1n;
  return FULL[field.id]!;
}

/** No bit of the field is set in `key` (for a mask: the field is not looked at). */
export function fieldIsZero(key: FlowKey, field: Field): boolean {
  // Nearly all fields of nearly all masks are zero: look at whole words first.
  const { words, bytes } = key;
  const { offset, slotBytes } = field;
  const last = (offset + slotBytes - 1) >> 2;
  let any = 0;
  for (let word = offset >> 2; word <= last; word++) any |= words[word]!;
  if (any === 0) return true;
  if (field.variable) return bytes.subarray(offset, offset + slotBytes).every((byte) => byte === 0);
  const ones = ONES[field.id]!;
  for (let i = 0; i < ones.length; i++) {
    if (bytes[offset + i]! & ones[i]!) return false;
  }
  return true;
}

/** Every bit of the field is set in `mask`. */
export function fieldIsFull(mask: FlowKey, field: Field): boolean {
  if (field.variable) {
    const { offset, slotBytes } = field;
    return mask.bytes.subarray(offset, offset + slotBytes).every((byte) => byte === 0xff);
  }
  const ones = ONES[field.id]!;
  for (let i = 0; i < ones.length; i++) {
    if ((mask.bytes[field.offset + i]! & ones[i]!) !== ones[i]) return false;
  }
  return true;
}

/** The field is all of its slot, and as wide in an OXM payload: its bytes can be copied as they are. */
export function isWholeSlot(field: Field): boolean {
  return field.bits === 8 * field.slotBytes && field.bytes === field.slotBytes;
}
