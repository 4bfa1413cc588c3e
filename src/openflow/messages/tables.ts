/** Table modification, table features and bundles. */
import { OfError } from "../errors.ts";
import { OF13, OF14 } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";
import { bare, isOnf, isStandard, list, type MessageRow, row } from "./rows.ts";
import type { BundleControl, TableAbility, TableFeatures, TableMod } from "./types.ts";

const MISS: readonly TableMod["miss"][] = ["controller", "continue", "drop"];
const EVICTION = 1 << 2;
const VACANCY_EVENTS = 1 << 3;
const PROPERTY = { EVICTION: 2, VACANCY: 3 } as const;
const NAME_BYTES = 32;

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
  readProperties(reader, (type, value, where) => {
    if (type === PROPERTY.VACANCY) {
      vacancy = { vacancyDown: value.u8(), vacancyUp: value.u8() };
      if (vacancy.vacancyDown! > vacancy.vacancyUp! || vacancy.vacancyUp! > 100) {
        throw new OfError("OFPBPC_BAD_VALUE", where, "vacancy thresholds make no sense");
      }
    } else if (type !== PROPERTY.EVICTION) {
      throw new OfError("OFPBPC_BAD_TYPE", where, `table property ${type} is unknown`);
    }
  });
  return {
    type: "table_mod",
    table,
    miss: "default",
    eviction: (config & EVICTION) !== 0,
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
  const { vacancyDown, vacancyUp } = message;
  if (vacancyDown !== undefined && vacancyUp !== undefined) {
    writeProperty(writer, PROPERTY.VACANCY, (w) => w.u8(vacancyDown).u8(vacancyUp).zeros(2));
  }
}

/** Properties of table features come in pairs: for flows, and (one more) for the table-miss flow. */
const ABILITIES: readonly (readonly [keyof TableAbility, number])[] = [
  ["instructions", 0],
  ["nextTables", 2],
  ["writeActions", 4],
  ["applyActions", 6],
  ["writeSetFields", 12],
  ["applySetFields", 14],
];
const FEATURE_MATCH = 8;
const FEATURE_WILDCARDS = 10;

type Mutable<T> = { -readonly [K in keyof T]: number[] };

function emptyAbility(): Mutable<TableAbility> {
  return {
    nextTables: [],
    instructions: [],
    writeActions: [],
    applyActions: [],
    writeSetFields: [],
    applySetFields: [],
  };
}

/** Types with their lengths; what a vendor's carry beyond is passed over. */
function readTypes(reader: Reader): number[] {
  const types: number[] = [];
  while (reader.left >= 4) {
    const at = reader.offset;
    const type = reader.peek16();
    const length = reader.peek16(2);
    if (length < 4) throw new OfError("OFPBPC_BAD_LEN", at, `entry of ${length} bytes`);
    reader.sub(length, "OFPBPC_BAD_LEN");
    types.push(type);
  }
  return types;
}

/** 32-bit OXM headers; those of experimenters have 32 bits more, which are passed over. */
function readHeaders(reader: Reader): number[] {
  const headers: number[] = [];
  while (reader.left >= 4) {
    const header = reader.u32();
    if (header >>> 16 === 0xffff) reader.skip(4);
    else headers.push(header);
  }
  return headers;
}

function readFeatures(reader: Reader): TableFeatures {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < 64 || length % 8 !== 0) {
    throw new OfError("OFPTFFC_BAD_TABLE", at, `table features of ${length} bytes`);
  }
  const body = reader.sub(length, "OFPBPC_BAD_LEN");
  body.skip(2);
  const table = body.u8();
  body.skip(5);
  const name = body.text(NAME_BYTES);
  const metadataMatch = body.u64();
  const metadataWrite = body.u64();
  const config = body.u32();
  const maxEntries = body.u32();
  const nonmiss = emptyAbility();
  const miss = emptyAbility();
  let missGiven = 0;
  let match: number[] = [];
  let wildcards: number[] = [];
  readProperties(body, (type, value) => {
    if (type === FEATURE_MATCH) match = readHeaders(value);
    else if (type === FEATURE_WILDCARDS) wildcards = readHeaders(value);
    else {
      const found = ABILITIES.find(([, number]) => number === (type & ~1));
      if (!found) return;
      const [key] = found;
      const values = key === "nextTables"
        ? [...value.rest()]
        : key.endsWith("SetFields")
        ? readHeaders(value)
        : readTypes(value);
      if (type & 1) {
        miss[key] = values;
        missGiven |= 1 << (type >> 1);
      } else nonmiss[key] = values;
    }
  });
  // What is not said of the miss flow is as for the others.
  for (const [key, number] of ABILITIES) {
    if (!(missGiven & (1 << (number >> 1)))) miss[key] = nonmiss[key];
  }
  return {
    table,
    name,
    metadataMatch,
    metadataWrite,
    config,
    maxEntries,
    nonmiss,
    miss,
    match,
    wildcards,
  };
}

function writeFeatures(writer: Writer, features: TableFeatures): void {
  const open = writer.open(0);
  writer.u16(0).u8(features.table).zeros(5).text(features.name, NAME_BYTES);
  writer.u64(features.metadataMatch).u64(features.metadataWrite);
  writer.u32(features.config).u32(features.maxEntries);
  const headers = (type: number, list: readonly number[]): void =>
    writeProperty(writer, type, (w) => {
      for (const header of list) w.u32(header);
    });
  for (const [key, number] of ABILITIES) {
    for (
      const [ability, type] of [[features.nonmiss, number], [features.miss, number + 1]] as const
    ) {
      // The miss flow's property is left out where it would repeat the other's.
      if (type & 1 && String(ability[key]) === String(features.nonmiss[key])) continue;
      if (key.endsWith("SetFields")) headers(type, ability[key]);
      else {
        writeProperty(writer, type, (w) => {
          for (const value of ability[key]) {
            if (key === "nextTables") w.u8(value);
            else w.u16(value).u16(4);
          }
        });
      }
    }
  }
  headers(FEATURE_MATCH, features.match);
  headers(FEATURE_WILDCARDS, features.wildcards);
  writer.end(open);
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
        if (
          reader.peek32(4) !==
            new DataView(reader.bytes.buffer, reader.bytes.byteOffset).getUint32(4)
        ) {
          throw new OfError("OFPBFC_MSG_BAD_XID", at, "inner and outer xid differ");
        }
        return { type: "bundle_add", ...form, bundle, flags, inner: reader.copy(length) };
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
  list<"table_features_request", TableFeatures>(
    "table_features_request",
    ["OFPST_REQUEST 1.3+(12)"],
    {
      make: (tables) => ({ type: "table_features_request", tables }),
      items: (message) => message.tables,
      readItem: readFeatures,
      writeItem: writeFeatures,
    },
  ),
  list<"table_features_reply", TableFeatures>("table_features_reply", ["OFPST_REPLY 1.3+(12)"], {
    make: (tables) => ({ type: "table_features_reply", tables }),
    items: (message) => message.tables,
    readItem: readFeatures,
    writeItem: writeFeatures,
  }),
  bare("table_desc_request", "OFPST_REQUEST 1.4+(14)"),
  ...bundleRows("OFPT 1.4+", {}, 33),
  ...bundleRows("ONFT 1.3", { form: "onf" }, 2300),
];
