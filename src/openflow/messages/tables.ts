/** Table modification and bundles. */
import { OfError } from "../errors.ts";
import { OF13, OF14 } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, unknownProperty, writeProperty } from "./properties.ts";
import { bare, isOnf, isStandard, type MessageRow, row } from "./rows.ts";
import type { BundleControl, TableMod } from "./types.ts";

const MISS: readonly TableMod["miss"][] = ["controller", "continue", "drop"];
const EVICTION = 1 << 2;
const VACANCY_EVENTS = 1 << 3;
const PROPERTY = { EVICTION: 2, VACANCY: 3 } as const;

function readTableMod(reader: Reader, version: number): TableMod {
  const table = reader.u8();
  reader.skip(3);
  const at = reader.offset;
  const config = reader.u32();
  if (version < OF14) {
    if (version >= OF13) return { type: "table_mod", table, miss: "default" };
    const miss = MISS[config & 3];
    if (!miss || config & ~3) throw new OfError("OFPTMFC_BAD_CONFIG", at, "config is unknown");
    return { type: "table_mod", table, miss };
  }
  let vacancy: { vacancyDown?: number; vacancyUp?: number } = {};
  let evictionFlags: number | undefined;
  readProperties(reader, (type, value, where) => {
    if (type === PROPERTY.VACANCY) {
      vacancy = { vacancyDown: value.u8(), vacancyUp: value.u8() };
      if (vacancy.vacancyDown! > vacancy.vacancyUp! || vacancy.vacancyUp! > 100) {
        throw new OfError("OFPBPC_BAD_VALUE", where, "vacancy thresholds make no sense");
      }
    } else if (type === PROPERTY.EVICTION) {
      if (value.left !== 4) {
        throw new OfError("OFPBPC_BAD_LEN", where, "eviction flags are 4 bytes");
      }
      evictionFlags = value.u32();
    } else unknownProperty(type, where);
  });
  return {
    type: "table_mod",
    table,
    miss: "default",
    eviction: (config & EVICTION) !== 0,
    ...(evictionFlags !== undefined && { evictionFlags }),
    vacancyEvents: (config & VACANCY_EVENTS) !== 0,
    ...vacancy,
  };
}

function writeTableMod(writer: Writer, message: TableMod, version: number): void {
  writer.u8(message.table).zeros(3);
  if (version < OF14) {
    const miss = Math.max(0, MISS.indexOf(message.miss));
    writer.u32(version < OF13 ? miss : 0);
    return;
  }
  writer.u32((message.eviction ? EVICTION : 0) | (message.vacancyEvents ? VACANCY_EVENTS : 0));
  const { vacancyDown, vacancyUp, evictionFlags } = message;
  if (evictionFlags !== undefined) {
    writeProperty(writer, PROPERTY.EVICTION, (w) => w.u32(evictionFlags));
  }
  if (vacancyDown !== undefined && vacancyUp !== undefined) {
    writeProperty(writer, PROPERTY.VACANCY, (w) => w.u8(vacancyDown).u8(vacancyUp).zeros(2));
  }
}

const CONTROLS: readonly BundleControl["control"][] = [
  "open_request",
  "open_reply",
  "close_request",
  "close_reply",
  "commit_request",
  "commit_reply",
  "discard_request",
  "discard_reply",
];

/** Vendors' messages, packet-out, flow-mod, group-mod, port-mod, by the numbers of 1.3 and later. */
const BUNDLED_TYPES: ReadonlySet<number> = new Set([4, 13, 14, 15, 16]);

function bundleRows(prefix: string, form: { form?: "onf" }, first: number): MessageRow[] {
  const when = form.form ? isOnf : isStandard;
  return [
    row<"bundle_control">({
      type: "bundle_control",
      ids: [`${prefix}(${first})`],
      when,
      read: (reader) => {
        const bundle = reader.u32();
        const at = reader.offset;
        const control = CONTROLS[reader.u16()];
        if (!control) throw new OfError("OFPBFC_BAD_TYPE", at, "bundle control is unknown");
        const flags = reader.u16();
        readProperties(reader, () => {});
        return { type: "bundle_control", ...form, bundle, control, flags };
      },
      write: (writer, message) => {
        writer.u32(message.bundle).u16(CONTROLS.indexOf(message.control)).u16(message.flags);
      },
    }),
    row<"bundle_add">({
      type: "bundle_add",
      ids: [`${prefix}(${first + 1})`],
      when,
      read: (reader) => {
        const bundle = reader.u32();
        reader.skip(2);
        const flags = reader.u16();
        const at = reader.offset;
        const length = reader.left >= 8 ? reader.peek16(2) : 0;
        if (length < 8 || length > reader.left) {
          throw new OfError("OFPBFC_MSG_BAD_LEN", at, `inner message of ${length} bytes`);
        }
        if (reader.bytes[at] !== reader.bytes[0]) {
          throw new OfError("OFPBFC_BAD_VERSION", at, "inner and outer version differ");
        }
        if (
          reader.peek32(4) !==
            new DataView(reader.bytes.buffer, reader.bytes.byteOffset).getUint32(4)
        ) {
          throw new OfError("OFPBFC_MSG_BAD_XID", at, "inner and outer xid differ");
        }
        const inner = reader.copy(length);
        if (!BUNDLED_TYPES.has(inner[1]!)) {
          throw new OfError("OFPBFC_MSG_UNSUP", at, `type ${inner[1]} cannot be in a bundle`);
        }
        // Properties may follow; none is known.
        reader.skip(reader.left);
        return { type: "bundle_add", ...form, bundle, flags, inner };
      },
      write: (writer, message) => {
        writer.u32(message.bundle).zeros(2).u16(message.flags).put(message.inner);
      },
    }),
  ];
}

export const TABLE_ROWS: readonly MessageRow[] = [
  row<"table_mod">({
    type: "table_mod",
    ids: ["OFPT 1.1+(17)"],
    read: (reader, { version }) => readTableMod(reader, version),
    write: (writer, message, { version }) => writeTableMod(writer, message, version),
  }),
  bare("table_desc_request", "OFPST_REQUEST 1.4+(14)"),
  ...bundleRows("OFPT 1.4+", {}, 33),
  ...bundleRows("ONFT 1.3", { form: "onf" }, 2300),
];
