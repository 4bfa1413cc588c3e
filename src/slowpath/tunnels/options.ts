/**
 * Geneve options between the wire and the pipeline.
 *
 * In the pipeline an option is a value in the key's tunnel metadata and a bit in
 * `tun_metadata_present`; on the wire and in the datapath it is a TLV: class (2 bytes), type, length
 * in words (5 bits), value (RFC 8926 §3.5). The bridge's TLV table says which is which; options that it
 * does not know are not seen by the pipeline.
 */
import { hasTunnelOption, setTunnelOption } from "../../openflow/tunnel-fields.ts";
import type { FlowKey } from "../../packet/key.ts";
import { type Slot, slot } from "../../packet/layout.ts";

/** The part of a bridge's TLV table that this needs. */
export interface OptionMap {
  list(): Iterable<OptionEntry>;
  find(optionClass: number, optionType: number): OptionEntry | undefined;
}

export interface OptionEntry {
  readonly optionClass: number;
  readonly optionType: number;
  /** Bytes of the value. */
  readonly optionLength: number;
  readonly index: number;
  /** Of the value in the key's tunnel metadata. */
  readonly offset: number;
}

/** Geneve's header counts options in 6 bits of words (RFC 8926 §3.4). */
const MAX_BYTES = 252;
const SPACE = slot("tun_metadata");
const PRESENT = slot("tun_metadata_present");
const LENGTH_AT = slot("tun_options_length").offset;

/** The options that the pipeline's key has, as they stand on the wire, in the order of their fields. */
export function encodeOptions(map: OptionMap, key: FlowKey): Uint8Array {
  const out = new Uint8Array(MAX_BYTES);
  let length = 0;
  for (const { index, optionClass, optionType, optionLength, offset } of map.list()) {
    if (!hasTunnelOption(key, index)) continue;
    if (length + 4 + optionLength > MAX_BYTES) break;
    out[length] = optionClass >> 8;
    out[length + 1] = optionClass;
    out[length + 2] = optionType;
    out[length + 3] = optionLength / 4;
    const from = SPACE.offset + offset;
    out.set(key.bytes.subarray(from, from + optionLength), length + 4);
    length += 4 + optionLength;
  }
  return out.slice(0, length);
}

/** The datapath key's options, `tun_options_length` bytes; a copy. */
export function optionsOf(dpKey: FlowKey): Uint8Array {
  return dpKey.bytes.slice(SPACE.offset, SPACE.offset + dpKey.bytes[LENGTH_AT]!);
}

/** Replaces the options of a datapath key by the pipeline's values. `options`: as on the wire. */
export function decodeOptions(map: OptionMap, options: Uint8Array, key: FlowKey): void {
  const { bytes } = key;
  bytes.fill(0, SPACE.offset, SPACE.offset + SPACE.bytes);
  bytes.fill(0, PRESENT.offset, PRESENT.offset + PRESENT.bytes);
  for (const { at, length, entry } of walk(map, options)) {
    if (!entry) continue;
    bytes.set(options.subarray(at + 4, at + 4 + length), SPACE.offset + entry.offset);
    setTunnelOption(key, entry.index);
  }
}

/**
 * Turns the pipeline's mask over option values into the datapath's over `options`: the values looked
 * at, the headers of all options, which say where values lie, and how many there are.
 */
export function maskOptions(map: OptionMap, options: Uint8Array, mask: FlowKey): void {
  if (!any(mask, SPACE) && !any(mask, PRESENT)) return;
  mask.bytes[LENGTH_AT] = 0xff;
  const looked = mask.bytes.slice(SPACE.offset, SPACE.offset + SPACE.bytes);
  mask.bytes.fill(0, SPACE.offset, SPACE.offset + SPACE.bytes);
  mask.bytes.fill(0, PRESENT.offset, PRESENT.offset + PRESENT.bytes);
  for (const { at, length, entry } of walk(map, options)) {
    mask.bytes.fill(0xff, SPACE.offset + at, SPACE.offset + at + 4);
    if (!entry) continue;
    const value = looked.subarray(entry.offset, entry.offset + length);
    mask.bytes.set(value, SPACE.offset + at + 4);
  }
}

/** Slots of whole words. */
function any({ words }: FlowKey, { offset, bytes: length }: Slot): boolean {
  for (let i = offset / 4; i < (offset + length) / 4; i++) if (words[i] !== 0) return true;
  return false;
}

/** Whole options, in order; one that is cut ends the list. */
function* walk(
  map: OptionMap,
  options: Uint8Array,
): Iterable<{ at: number; length: number; entry: OptionEntry | undefined }> {
  for (let at = 0; at + 4 <= options.length;) {
    const length = (options[at + 3]! & 0x1f) * 4;
    if (at + 4 + length > options.length) return;
    const found = map.find((options[at]! << 8) | options[at + 1]!, options[at + 2]!);
    yield { at, length, entry: found?.optionLength === length ? found : undefined };
    at += 4 + length;
  }
}
