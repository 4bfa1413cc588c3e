/** `encap` and `decap`, with their properties (NXAST_ENCAP, NXAST_DECAP). */
import { OfError } from "../errors.ts";
import { type ActionRow, row } from "./rows.ts";
import type { EdProperty } from "./types.ts";

/** `(namespace << 16) | type` of the headers that can be pushed. */
export const ENCAP_TYPES = { ETHERNET: 0, MPLS: 0x18847, MPLS_MULTICAST: 0x18848, NSH: 0x1894f };
const PT_USE_NEXT_PROTO = 0xfffe;

function isKnownType(packetType: number): boolean {
  return Object.values(ENCAP_TYPES).includes(packetType);
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
      while (reader.left > 0) {
        const start = reader.offset;
        const length = reader.peek32() & 0xff;
        if (length < 4) {
          throw new OfError("NXBAC_BAD_ED_PROP", start, `property of ${length} bytes`);
        }
        const body = reader.subPadded(length, "NXBAC_BAD_ED_PROP");
        const propertyClass = body.u16();
        const type = body.u8();
        body.skip(1);
        properties.push({ propertyClass, type, data: body.rest() });
      }
      return { type: "encap", packetType, headerSize, properties };
    },
    write: (writer, action) => {
      writer.u16(action.headerSize).u32(action.packetType);
      for (const { propertyClass, type, data } of action.properties) {
        const start = writer.length;
        writer.u16(propertyClass).u8(type).u8(4 + data.length).put(data);
        writer.pad8(start);
      }
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
