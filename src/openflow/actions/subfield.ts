/**
 * Runs of bits of fields, as actions name them: reading, writing, checking.
 *
 * The Nicira actions count bits in the width that a field has on the wire, which for a few differs
 * from what the flow key keeps: `arp_op` is 16 bits wide there, `vlan_vid` 12, `tun_erspan_idx` 20.
 */
import { OXM_CLASSES } from "../../packet/fields.ts";
import type { Field } from "../../packet/layout.ts";
import { OfError } from "../errors.ts";
import { fullMask } from "../field-bits.ts";
import { oxmIdOf, readOxmField, writeOxmHeader } from "../oxm.ts";
import { tunnelIndex } from "../tunnel-fields.ts";
import type { Reader, Writer } from "../wire.ts";
import type { Subfield } from "./types.ts";

/** Width of the field as actions count it. */
export function wireBits(field: Field): number {
  switch (field.name) {
    case "arp_op":
      return 16;
    case "vlan_vid":
      return 12;
    case "tun_erspan_idx":
      return 20;
    default:
      return field.bits;
  }
}

/** The mask of the run within its field. */
export function subfieldMask({ field, start, bits }: Subfield): bigint {
  if (start === 0 && bits === wireBits(field)) return fullMask(field);
  return ((1n << BigInt(bits)) - 1n) << BigInt(start);
}

/** Throws `OFPBAC_BAD_SET_LEN` unless the run, which is read or written, lies within its field. */
export function checkSubfield(
  subfield: Subfield,
  offset: number,
  role: "source" | "destination" = "source",
): Subfield {
  const { field, start, bits } = subfield;
  const width = wireBits(field);
  if (bits >= 1 && start + bits <= width) return subfield;
  const what = start >= width ? `bit offset ${start} exceeds` : `bit offset ${start} and width ` +
    `${bits} exceeds`;
  const text = bits < 1
    ? `zero bit ${role} field ${field.name}`
    : `${what} ${width}-bit width of ${role} field ${field.name}`;
  throw new OfError("OFPBAC_BAD_SET_LEN", offset, text, { module: "meta_flow", text: () => text });
}

/** As `checkSubfield`, and `OFPBAC_BAD_SET_ARGUMENT` if the field is read-only. */
export function checkDestination(subfield: Subfield, offset: number): Subfield {
  checkSubfield(subfield, offset, "destination");
  if (!subfield.field.writable) throw readOnly(subfield.field, offset, "meta_flow");
  return subfield;
}

export function readOnly(
  field: Field,
  offset: number,
  module: "meta_flow" | "ofp_actions",
): OfError {
  const text = `destination field ${field.name} is not writable`;
  return new OfError("OFPBAC_BAD_SET_ARGUMENT", offset, text, { module, text: () => text });
}

/** `ofs_nbits`: start in the upper ten bits, width less one in the lower six. */
export function readOfsBits(reader: Reader): { start: number; bits: number } {
  const word = reader.u16();
  return { start: word >> 6, bits: (word & 0x3f) + 1 };
}

export function ofsBits({ start, bits }: { start: number; bits: number }): number {
  return (start << 6) | (bits - 1);
}

/** A tunnel option is as long as its table says, whatever length a header without value has. */
export const ownWidth = (field: Field, reader: Reader): Field =>
  field.variable ? reader.tunnelFields?.resolve(tunnelIndex(field)) ?? field : field;

/** A plain 32-bit header without room for an experimenter id; whether it has a mask is ignored. */
export function readField32(reader: Reader): Field {
  return ownWidth(readOxmField(reader.sub(4), true).field, reader);
}

/** A header of four or eight bytes. */
export function readFieldHeader(reader: Reader): Field {
  return ownWidth(readOxmField(reader).field, reader);
}

/** Whether the field's NXM header (or OXM, lacking one) has four bytes. */
export function hasShortHeader(field: Field): boolean {
  const id = oxmIdOf(field, 0);
  return id !== undefined && OXM_CLASSES[id[0]].class !== 0xffff;
}

/** The header that Nicira actions use: NXM where there is one. */
export function writeFieldHeader(writer: Writer, field: Field): void {
  writeOxmHeader(writer, field, 0, false);
}

/** A run of one bits of a mask, at most 64 wide, with what `value` holds there. */
export interface LoadSegment {
  readonly subfield: Subfield;
  readonly value: bigint;
}

/** Cuts `value`/`mask` of a field into the runs that one `load` each can set, lowest first. */
export function loadSegments(field: Field, value: bigint, mask: bigint): LoadSegment[] {
  const width = wireBits(field);
  const ones = mask === fullMask(field) ? (1n << BigInt(width)) - 1n : mask;
  const segments: LoadSegment[] = [];
  for (let start = 0; start < width;) {
    if (((ones >> BigInt(start)) & 1n) === 0n) {
      start++;
      continue;
    }
    let bits = 1;
    while (bits < 64 && start + bits < width && ((ones >> BigInt(start + bits)) & 1n) === 1n) {
      bits++;
    }
    const part = (value >> BigInt(start)) & ((1n << BigInt(bits)) - 1n);
    segments.push({ subfield: { field, start, bits }, value: part });
    start += bits;
  }
  return segments;
}
