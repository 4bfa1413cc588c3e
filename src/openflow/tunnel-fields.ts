/**
 * `tun_metadata0` … `tun_metadata63` where they really lie (ovs-fields(7)).
 *
 * The field table knows these fields by number only: which option each stands for, how long it is
 * and which run of the key's `tun_metadata` slot holds it, a table says that belongs to a bridge (the
 * switch's side) or to a client that reads a switch's words. `resolve` gives a `Field` placed by that
 * table, good for everything that fields are used for. Bit N of the slot `tun_metadata_present` says
 * of a key that the packet has the option, of a mask that this is looked at.
 */
import type { FlowKey } from "../packet/key.ts";
import { type Field, FIELDS, slot } from "../packet/layout.ts";
import type { FieldName } from "../packet/fields.ts";

export interface TunnelFields {
  /** The placed field; `bytes` is how long its value is where it is spoken of, if that is known. */
  resolve(index: number, bytes?: number): Field | undefined;
  /** The option is matched under a mask, though it be all ones: the option may be longer than said. */
  sayMask?(mask: FlowKey, index: number): void;
  saysMask?(mask: FlowKey, index: number): boolean;
}

const SPACE = slot("tun_metadata");
const PRESENT = slot("tun_metadata_present");
const PREFIX = "tun_metadata";

/** A field at `offset` bytes of the space, `bytes` long. */
export function placedTunnelField(index: number, offset: number, bytes: number): Field {
  const row = FIELDS[`${PREFIX}${index}` as FieldName];
  if (!row) throw new RangeError(`there is no ${PREFIX}${index}`);
  return { ...row, bits: 8 * bytes, bytes, slotBytes: bytes, offset: SPACE.offset + offset };
}

/** N of `tun_metadataN`. */
export function tunnelIndex(field: Field): number {
  return Number(field.name.slice(PREFIX.length));
}

/** The slot is one big-endian number. */
const presentByte = (index: number): number => PRESENT.offset + PRESENT.bytes - 1 - (index >> 3);

export function hasTunnelOption(key: FlowKey, index: number): boolean {
  return (key.bytes[presentByte(index)]! & (1 << (index & 7))) !== 0;
}

export function setTunnelOption(key: FlowKey, index: number): void {
  key.bytes[presentByte(index)]! |= 1 << (index & 7);
}

export function clearTunnelOption(key: FlowKey, index: number): void {
  key.bytes[presentByte(index)]! &= ~(1 << (index & 7));
}

/** Numbers of the options that `key` (or a mask) has, ascending. */
export function tunnelOptions(key: FlowKey): number[] {
  const word = PRESENT.offset >> 2;
  if (key.words[word] === 0 && key.words[word + 1] === 0) return [];
  const found: number[] = [];
  for (let index = 0; index < 8 * PRESENT.bytes; index++) {
    if (hasTunnelOption(key, index)) found.push(index);
  }
  return found;
}

/**
 * A client's: a field gets its place when it is first spoken of, as long as there is room. When one
 * turns out longer than thought, all get places anew: what was read before must be read again.
 */
export class LearnedTunnelFields implements TunnelFields {
  private readonly fields = new Map<number, Field>();
  private used = 0;
  /** Counts how often that happened. */
  moves = 0;
  private readonly masked = new WeakMap<FlowKey, Set<number>>();

  sayMask(mask: FlowKey, index: number): void {
    const said = this.masked.get(mask);
    if (said) said.add(index);
    else this.masked.set(mask, new Set([index]));
  }

  saysMask(mask: FlowKey, index: number): boolean {
    return this.masked.get(mask)?.has(index) ?? false;
  }

  resolve(index: number, bytes?: number): Field | undefined {
    const known = this.fields.get(index);
    if (known && (bytes === undefined || bytes <= known.slotBytes)) return known;
    if (bytes === undefined) return undefined;
    if (this.used - (known?.slotBytes ?? 0) + bytes > SPACE.bytes) return undefined;
    if (!known) return this.place(index, bytes);
    this.moves++;
    const lengths = [...this.fields].map(([other, { slotBytes }]) => [other, slotBytes] as const);
    this.used = 0;
    for (const [other, length] of lengths) this.place(other, other === index ? bytes : length);
    return this.fields.get(index);
  }

  private place(index: number, bytes: number): Field {
    const field = placedTunnelField(index, this.used, bytes);
    this.used += bytes;
    this.fields.set(index, field);
    return field;
  }
}
