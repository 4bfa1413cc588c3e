/**
 * Flow keys: fixed-size byte arrays laid out by layout.ts, with word views for hashing and masking.
 *
 * A `FlowKey` holds one array seen two ways: `bytes` (network byte order, where values are read and
 * written) and `words` (native 32-bit words over the same memory, where keys are hashed, masked and
 * compared: byte order does not matter there). A mask is a `FlowKey` too: one bits are looked at.
 * A `Match` is a value and a mask, the value zero wherever the mask is.
 */
import { type Field, KEY_BYTES, KEY_WORDS } from "./layout.ts";

export class FlowKey {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;

  /** A zero key, or a view on `KEY_BYTES` bytes of `buffer` at the word-aligned `byteOffset`. */
  constructor(
    buffer: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(KEY_BYTES),
    byteOffset = 0,
  ) {
    this.bytes = new Uint8Array(buffer, byteOffset, KEY_BYTES);
    this.words = new Uint32Array(buffer, byteOffset, KEY_WORDS);
  }

  clone(): FlowKey {
    const copy = new FlowKey();
    copy.words.set(this.words);
    return copy;
  }

  /** The field's value as an unsigned number; for fields of at most 32 bits. */
  get(field: Field): number {
    const { bytes } = this;
    let value = 0;
    for (let i = 0; i < field.slotBytes; i++) value = value * 256 + bytes[field.offset + i]!;
    if (field.slotBytes > 4) throw new RangeError(`field ${field.name} is wider than 32 bits`);
    value >>>= field.shift;
    return field.bits === 32 ? value : (value & ((1 << field.bits) - 1)) >>> 0;
  }

  /** Sets a field of at most 32 bits, leaving its slot's other bits. */
  set(field: Field, value: number): void {
    if (field.slotBytes > 4) throw new RangeError(`field ${field.name} is wider than 32 bits`);
    const mask = (field.bits === 32 ? 0xffffffff : ((1 << field.bits) - 1)) << field.shift;
    let rest = ((value << field.shift) & mask) >>> 0;
    let keep = ~mask >>> 0;
    for (let i = field.slotBytes - 1; i >= 0; i--) {
      const at = field.offset + i;
      this.bytes[at] = (this.bytes[at]! & keep & 0xff) | (rest & 0xff);
      rest >>>= 8;
      keep = (keep >>> 8) | 0xff000000;
    }
  }

  /** The field's value as a bigint, any width. */
  getBig(field: Field): bigint {
    const { slotBytes, offset } = field;
    if (slotBytes <= 4) return BigInt(this.get(field));
    // By 32 bits at a time: arithmetic on bigints is what takes the time.
    let value = 0n;
    let at = offset;
    for (const end = offset + slotBytes; at < end;) {
      const count = (end - at) % 4 || 4;
      let part = 0;
      for (let i = 0; i < count; i++) part = part * 256 + this.bytes[at + i]!;
      value = at === offset ? BigInt(part) : (value << 32n) | BigInt(part);
      at += count;
    }
    if (field.shift === 0 && field.bits === slotBytes * 8) return value;
    return BigInt.asUintN(field.bits, value >> BigInt(field.shift));
  }

  /** Sets a field of any width. */
  setBig(field: Field, value: bigint): void {
    const { slotBytes, offset } = field;
    if (slotBytes <= 4) return this.set(field, Number(BigInt.asUintN(field.bits, value)));
    const { bytes } = this;
    if (field.shift === 0 && field.bits === slotBytes * 8) {
      let rest = value;
      for (let end = offset + slotBytes; end > offset; end -= 4) {
        let part = Number(BigInt.asUintN(32, rest));
        for (let at = end - 1; at >= end - 4 && at >= offset; at--) {
          bytes[at] = part & 0xff;
          part >>>= 8;
        }
        rest >>= 32n;
      }
      return;
    }
    const ones = (1n << BigInt(field.bits)) - 1n;
    let rest = (value & ones) << BigInt(field.shift);
    let keep = ~(ones << BigInt(field.shift));
    for (let i = slotBytes - 1; i >= 0; i--) {
      const at = offset + i;
      bytes[at] = Number((BigInt(bytes[at]!) & keep & 0xffn) | (rest & 0xffn));
      rest >>= 8n;
      keep >>= 8n;
    }
  }

  equals(other: FlowKey): boolean {
    for (let i = 0; i < KEY_WORDS; i++) if (this.words[i] !== other.words[i]) return false;
    return true;
  }

  isZero(): boolean {
    for (let i = 0; i < KEY_WORDS; i++) if (this.words[i] !== 0) return false;
    return true;
  }
}

/** What can be known of a mask by itself. */
export interface MaskTopic<T> {
  find(mask: FlowKey): T;
}

/**
 * A mask that nobody changes any more, because many matches have it between them. What was found out
 * about it stays known.
 */
export class SharedMask extends FlowKey {
  private readonly known = new Map<object, unknown>();

  /** The mask itself if it is shared already, else a copy. */
  static of(mask: FlowKey): SharedMask {
    if (mask instanceof SharedMask) return mask;
    const shared = new SharedMask();
    shared.words.set(mask.words);
    return shared;
  }

  about<T>(topic: MaskTopic<T>): T {
    const known = this.known.get(topic) as T | undefined;
    if (known !== undefined) return known;
    const found = topic.find(this);
    this.known.set(topic, found);
    return found;
  }
}

/** Positions of a mask's words that are not zero. */
export const MASK_WORDS: MaskTopic<Int32Array> = {
  find: ({ words }) => {
    const at: number[] = [];
    for (let i = 0; i < KEY_WORDS; i++) if (words[i] !== 0) at.push(i);
    return Int32Array.from(at);
  },
};

/** All bits of `field` set in a mask. */
export function maskField(mask: FlowKey, field: Field): void {
  if (field.slotBytes <= 4) mask.set(field, 0xffffffff);
  else mask.setBig(field, (1n << BigInt(field.bits)) - 1n);
}

export interface Match {
  readonly key: FlowKey;
  readonly mask: FlowKey;
}

/** A match on nothing: every packet fits. */
export function anyMatch(): Match {
  return { key: new FlowKey(), mask: new FlowKey() };
}
