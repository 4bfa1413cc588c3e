/** `encap` and `decap`, with their properties (NXAST_ENCAP, NXAST_DECAP). */
import { type ErrorName, OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, row } from "./rows.ts";
import type { EdProperty } from "./types.ts";

/** `(namespace << 16) | type` of the headers that can be pushed. */
export const ENCAP_TYPES = { ETHERNET: 0, MPLS: 0x18847, MPLS_MULTICAST: 0x18848, NSH: 0x1894f };
const PT_USE_NEXT_PROTO = 0xfffe;

function isKnownType(packetType: number): boolean {
  return Object.values(ENCAP_TYPES).includes(packetType);
}

const NSH_CLASS = 4;
const MD_TYPE = 1;
const TLV = 2;
/** Class, type and length of an NSH option stand before its value, the property's header before them. */
const TLV_HEADER_BYTES = 4;
const MD_TYPE_BYTES = 5;

/**
 *      0                16       24       32
 *     +----------------+--------+--------+- - -
 *     | class          | type   | length | value, and padding up to a multiple of 8 bytes
 *     +----------------+--------+--------+- - -
 *
 * The length counts the padding of an option's value, and not that of the metadata's type.
 */
function readProperty(reader: Reader): EdProperty {
  const at = reader.offset;
  const bad = (error: ErrorName): never => reader.fail("a property of encap", error, at);
  const length = reader.peek32() & 0xff;
  if (length < 4 || ((length + 7) & ~7) > reader.left) bad("OFPBAC_BAD_LEN");
  const body = reader.subPadded(length, "NXBAC_BAD_ED_PROP");
  const propertyClass = body.u16();
  const type = body.u8();
  body.skip(1);
  if (propertyClass !== NSH_CLASS || (type !== MD_TYPE && type !== TLV)) {
    bad("NXBAC_UNKNOWN_ED_PROP");
  }
  if (type === MD_TYPE) {
    if (length > 8) bad("NXBAC_BAD_ED_PROP");
    return { propertyClass, type, data: Uint8Array.of(body.u8(), 0, 0, 0) };
  }
  const data = body.rest();
  const valueBytes = data[3] ?? 0;
  if (data.length !== TLV_HEADER_BYTES + ((valueBytes + 7) & ~7)) bad("NXBAC_BAD_ED_PROP");
  return { propertyClass, type, data: data.slice(0, TLV_HEADER_BYTES + valueBytes) };
}

function writeProperty(writer: Writer, { propertyClass, type, data }: EdProperty): void {
  const start = writer.length;
  const length = type === MD_TYPE ? MD_TYPE_BYTES : (4 + data.length + 7) & ~7;
  writer.u16(propertyClass).u8(type).u8(length).put(data);
  writer.pad8(start);
}

export const ENCAP_ROWS: readonly ActionRow[] = [
  row<"encap">({
    type: "encap",
    ids: "NX1.3+(46)",
    bytes: 16,
    variable: true,
    read: (reader) => {
      const headerSize = reader.u16();
      const at = reader.offset;
      const packetType = reader.u32();
      if (!isKnownType(packetType)) {
        throw new OfError("NXBAC_BAD_HEADER_TYPE", at, `type 0x${packetType.toString(16)}`);
      }
      const properties: EdProperty[] = [];
      while (reader.left > 0) properties.push(readProperty(reader));
      return { type: "encap", packetType, headerSize, properties };
    },
    write: (writer, action) => {
      writer.u16(action.headerSize).u32(action.packetType);
      for (const property of action.properties) writeProperty(writer, property);
    },
  }),
  row<"decap">({
    type: "decap",
    ids: "NX1.3+(47)",
    bytes: 16,
    variable: true,
    read: (reader) => {
      reader.skip(2);
      const at = reader.offset;
      const packetType = reader.u32();
      if (reader.left > 0) throw new OfError("NXBAC_UNKNOWN_ED_PROP", at, "decap has properties");
      if (packetType !== PT_USE_NEXT_PROTO && !isKnownType(packetType)) {
        throw new OfError("NXBAC_BAD_HEADER_TYPE", at, `type 0x${packetType.toString(16)}`);
      }
      return { type: "decap", packetType };
    },
    write: (writer, action) => {
      writer.zeros(2).u32(action.packetType);
    },
  }),
];
