/** Actions that copy bits from one field to another, or to the stack and back. */
import { type OxmVersion, writeOxmHeader } from "../oxm.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, row } from "./rows.ts";
import { checkDestination, checkSubfield, readFieldHeader, writeFieldHeader } from "./subfield.ts";
import type { ActionOf, Subfield } from "./types.ts";

/** `padding`: bytes between the numbers and the fields, which versions differ in. */
export function readMove(reader: Reader, padding: number): ActionOf<"move"> {
  const at = reader.offset;
  const bits = reader.u16();
  const sourceStart = reader.u16();
  const destinationStart = reader.u16();
  reader.skip(padding);
  const source = checkSubfield({ field: readFieldHeader(reader), start: sourceStart, bits }, at);
  const destination = checkDestination(
    { field: readFieldHeader(reader), start: destinationStart, bits },
    at,
  );
  reader.zeros(reader.left, "NXBRC_MUST_BE_ZERO");
  return { type: "move", source, destination };
}

/** `version`: of the OXMs. */
export function writeMove(
  writer: Writer,
  { source, destination }: ActionOf<"move">,
  padding: number,
  version: OxmVersion,
): void {
  writer.u16(destination.bits).u16(source.start).u16(destination.start).zeros(padding);
  writeOxmHeader(writer, source.field, version, false);
  writeOxmHeader(writer, destination.field, version, false);
}

/** NXAST_STACK_PUSH and NXAST_STACK_POP. */
export function stack<T extends "stack_push" | "stack_pop">(type: T, ids: string): ActionRow {
  return row<T>({
    type,
    ids,
    bytes: 24,
    read: (reader) => {
      const at = reader.offset;
      const start = reader.u16();
      const field = readFieldHeader(reader);
      const subfield: Subfield = { field, start, bits: reader.u16() };
      reader.zeros(reader.left, "NXBRC_MUST_BE_ZERO");
      checkSubfield(subfield, at);
      if (type === "stack_pop") checkDestination(subfield, at);
      return { type, subfield } as unknown as ActionOf<T>;
    },
    write: (writer, action) => {
      const { subfield } = action as { subfield: Subfield };
      writer.u16(subfield.start);
      const start = writer.length;
      writeFieldHeader(writer, subfield.field);
      writer.u16(subfield.bits);
      writer.zeros(12 - (writer.length - start));
    },
  });
}
