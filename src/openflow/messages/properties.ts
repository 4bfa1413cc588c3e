/**
 * Properties: type, length, value, padding to eight bytes (OpenFlow 1.4 §7.2.2). The length does
 * not count the padding. Values of 64 bits are aligned by four bytes before them.
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";

/** Hands each property to `property`, with a reader of its value. Errors: OFPBPC_*. */
export function readProperties(
  reader: Reader,
  property: (type: number, value: Reader, at: number) => void,
): void {
  while (reader.left > 0) {
    const at = reader.offset;
    if (reader.left < 4) reader.fail("a property ends early", "OFPBPC_BAD_LEN");
    const type = reader.peek16();
    const length = reader.peek16(2);
    if (length < 4 || ((length + 7) & ~7) > reader.left) {
      throw new OfError("OFPBPC_BAD_LEN", at, `property of ${length} bytes`);
    }
    const value = reader.subPadded(length, "OFPBPC_BAD_LEN");
    value.skip(4);
    property(type, value, at);
  }
}

/** A property of a type that is not known: the error that says so. */
export function unknownProperty(type: number, at: number): never {
  if (type === 0xffff) {
    throw new OfError("OFPBPC_BAD_EXPERIMENTER", at, "no experimenter property is known");
  }
  throw new OfError("OFPBPC_BAD_TYPE", at, `property ${type} is unknown`);
}

/** A value of 16 bits has two bytes behind it that the length counts (OpenFlow 1.4 §7.3.5.9). */
export function writeProperty16(writer: Writer, type: number, value: number): void {
  writeProperty(writer, type, (w) => w.u16(value).zeros(2));
}

export function writeProperty(writer: Writer, type: number, value: (writer: Writer) => void): void {
  const open = writer.open(2);
  writer.u16(type).u16(0);
  value(writer);
  writer.end(open);
  writer.pad8(open.start);
}
