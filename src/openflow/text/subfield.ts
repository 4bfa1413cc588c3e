/** Runs of a field's bits by name: `NXM_NX_REG0[0..15]`, `reg0[]`, `OXM_OF_ETH_DST`. */
import type { Field } from "../../packet/layout.ts";
import { formatField, TextError } from "../../packet/text.ts";
import { wireBits } from "../actions/subfield.ts";
import type { ActionOf, Subfield } from "../actions/types.ts";
import { inTellingOrder } from "./field-names.ts";
import { findField, oxmName } from "./oxm-names.ts";

export { findField, oxmName } from "./oxm-names.ts";

export function formatSubfield({ field, start, bits }: Subfield): string {
  const name = oxmName(field);
  if (start === 0 && bits === wireBits(field)) return `${name}[]`;
  return bits === 1 ? `${name}[${start}]` : `${name}[${start}..${start + bits - 1}]`;
}

/** Reads a run at the beginning of `text`; `rest` is what follows it. */
export function takeSubfield(text: string): { subfield: Subfield; rest: string } {
  const name = /^[^[-]*/.exec(text)![0];
  const field = findField(name);
  if (!field) throw new TextError(`${text}: unknown field \`${name}'`);
  const width = wireBits(field);
  let rest = text.slice(name.length);
  let start = 0;
  let end = width - 1;
  if (rest.startsWith("[")) {
    const parts = /^\[(?:(\d+)(?:\.\.(\d+))?)?\]/.exec(rest);
    if (!parts) {
      throw new TextError(
        `${text}: syntax error expecting [] or [<bit>] or [<start>..<end>]`,
      );
    }
    if (parts[1] !== undefined) {
      start = Number(parts[1]);
      end = parts[2] === undefined ? start : Number(parts[2]);
    }
    rest = rest.slice(parts[0].length);
  }
  const bad = (what: string): never => {
    throw new TextError(`${text}: ${what}`);
  };
  const narrow = `because field is only ${width} bits wide`;
  if (start > end) bad(`starting bit ${start} is after ending bit ${end}`);
  if (start >= width) bad(`starting bit ${start} is not valid ${narrow}`);
  if (end >= width) bad(`ending bit ${end} is not valid ${narrow}`);
  return { subfield: { field, start, bits: end - start + 1 }, rest };
}

/** Reads a text that is a run and nothing else. */
export function parseSubfield(text: string): Subfield {
  const { subfield, rest } = takeSubfield(text);
  if (rest !== "") throw new TextError("unexpected input following field syntax");
  return subfield;
}

/** `SOURCE->DESTINATION`, both runs of the same width. */
export function parseMove(text: string): ActionOf<"move"> {
  const { subfield: source, rest } = takeSubfield(text);
  if (!rest.startsWith("->")) throw new TextError(`${text}: missing \`->' following source`);
  const destination = parseSubfield(rest.slice(2));
  if (source.bits !== destination.bits) {
    throw new TextError(
      `${text}: source field is ${source.bits} bits wide but destination is ` +
        `${destination.bits} bits wide`,
    );
  }
  return { type: "move", source, destination };
}

/** `name` for a whole field, `name=mask` for bits of it; a comma between. */
export function formatMaskedFields(
  fields: readonly { readonly field: Field; readonly mask: bigint }[],
): string {
  const order = inTellingOrder(fields.map(({ field }) => field));
  const sorted = [...fields].sort((a, b) => order.indexOf(a.field) - order.indexOf(b.field));
  return sorted.map(({ field, mask }) =>
    mask === (1n << BigInt(field.bits)) - 1n
      ? field.name
      : `${field.name}=${formatField(field, mask)}`
  ).join(",");
}
