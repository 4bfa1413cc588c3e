/**
 * What each table can do (OpenFlow 1.3.5 §7.3.5.5): `ofp_table_features`, one after the other.
 *
 *      0        16       24                        64
 *     +--------+--------+-------------------------+
 *     | length | table  | 1.3, 1.4: padding       |   1.5: command (8 bits), features (32)
 *     +--------+--------+-------------------------+
 *     | name, 32 bytes                            |
 *     +-------------------------------------------+
 *     | metadata that can be matched (64)         |
 *     | metadata that can be written (64)         |
 *     | config (32)       | maximum entries (32)  |
 *     | properties, each padded to 64 bits        |
 *     +-------------------------------------------+
 *
 * A property that is about the miss entry has the number of its twin plus one.
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";
import { list, type MessageRow } from "./rows.ts";
import type { TableAbility, TableFeatures } from "./types.ts";

const HEADER_BYTES = 64;
const NAME_BYTES = 32;
const MISS = 1;
const PROPERTY = {
  instructions: 0,
  nextTables: 2,
  writeActions: 4,
  applyActions: 6,
  match: 8,
  wildcards: 10,
  writeSetFields: 12,
  applySetFields: 14,
} as const;

/** Instructions and actions stand as a type and a length, which covers the two of them. */
const ID_BYTES = 4;

function readIds(value: Reader): number[] {
  const ids: number[] = [];
  while (value.left > 0) {
    const at = value.offset;
    const id = value.u16();
    const length = value.u16();
    if (length < ID_BYTES || length - ID_BYTES > value.left) {
      throw new OfError("OFPBRC_BAD_LEN", at, `a table feature of ${length} bytes`);
    }
    value.skip(length - ID_BYTES);
    ids.push(id);
  }
  return ids;
}

function readAll(value: Reader, width: 1 | 4): number[] {
  const all: number[] = [];
  while (value.left > 0) all.push(width === 1 ? value.u8() : value.u32());
  return all;
}

const noAbility = (): TableAbility => ({
  nextTables: [],
  instructions: [],
  writeActions: [],
  applyActions: [],
  writeSetFields: [],
  applySetFields: [],
});

function readFeatures(reader: Reader): TableFeatures {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < HEADER_BYTES || length > reader.left) {
    throw new OfError("OFPBRC_BAD_LEN", at, `table features of ${length} bytes`);
  }
  const body = reader.sub(length);
  body.skip(2);
  const table = body.u8();
  body.skip(5);
  const head = {
    table,
    name: body.text(NAME_BYTES),
    metadataMatch: body.u64(),
    metadataWrite: body.u64(),
    config: body.u32(),
    maxEntries: body.u32(),
  };
  let match: readonly number[] = [];
  let wildcards: readonly number[] = [];
  const abilities: [TableAbility, TableAbility] = [noAbility(), noAbility()];
  const learn = (miss: number, what: Partial<TableAbility>): void => {
    abilities[miss as 0 | 1] = { ...abilities[miss as 0 | 1], ...what };
  };
  readProperties(body, (type, value) => {
    const miss = type & MISS;
    switch (type - miss) {
      case PROPERTY.instructions:
        return learn(miss, { instructions: readIds(value) });
      case PROPERTY.nextTables:
        return learn(miss, { nextTables: readAll(value, 1) });
      case PROPERTY.writeActions:
        return learn(miss, { writeActions: readIds(value) });
      case PROPERTY.applyActions:
        return learn(miss, { applyActions: readIds(value) });
      case PROPERTY.writeSetFields:
        return learn(miss, { writeSetFields: readAll(value, 4) });
      case PROPERTY.applySetFields:
        return learn(miss, { applySetFields: readAll(value, 4) });
      case PROPERTY.match:
        match = readAll(value, 4);
        return;
      case PROPERTY.wildcards:
        wildcards = readAll(value, 4);
        return;
      default:
        // Properties of later versions and of experimenters say nothing that is kept.
        return;
    }
  });
  const [nonmiss, miss] = abilities;
  return { ...head, nonmiss, miss, match, wildcards };
}

function writeFeatures(writer: Writer, features: TableFeatures): void {
  const open = writer.open(0);
  writer.u16(0).u8(features.table).zeros(5).text(features.name, NAME_BYTES);
  writer.u64(features.metadataMatch).u64(features.metadataWrite);
  writer.u32(features.config).u32(features.maxEntries);
  writeAbility(writer, features.nonmiss, 0);
  writeAbility(writer, features.miss, MISS);
  writeFields(writer, PROPERTY.match, features.match);
  writeFields(writer, PROPERTY.wildcards, features.wildcards);
  writer.end(open);
}

function writeAbility(writer: Writer, ability: TableAbility, miss: number): void {
  writeIds(writer, PROPERTY.instructions + miss, ability.instructions);
  writeProperty(writer, PROPERTY.nextTables + miss, (w) => {
    for (const table of ability.nextTables) w.u8(table);
  });
  writeIds(writer, PROPERTY.writeActions + miss, ability.writeActions);
  writeIds(writer, PROPERTY.applyActions + miss, ability.applyActions);
  writeFields(writer, PROPERTY.writeSetFields + miss, ability.writeSetFields);
  writeFields(writer, PROPERTY.applySetFields + miss, ability.applySetFields);
}

function writeIds(writer: Writer, type: number, ids: readonly number[]): void {
  writeProperty(writer, type, (w) => {
    for (const id of ids) w.u16(id).u16(ID_BYTES);
  });
}

function writeFields(writer: Writer, type: number, headers: readonly number[]): void {
  writeProperty(writer, type, (w) => {
    for (const header of headers) w.u32(header);
  });
}

const shape = {
  readItem: readFeatures,
  writeItem: writeFeatures,
  items: (message: { readonly tables: readonly TableFeatures[] }) => message.tables,
};

export const TABLE_FEATURES_ROWS: readonly MessageRow[] = [
  list<"table_features_request", TableFeatures>(
    "table_features_request",
    ["OFPST_REQUEST 1.3+(12)"],
    { ...shape, make: (tables) => ({ type: "table_features_request", tables }) },
  ),
  list<"table_features_reply", TableFeatures>(
    "table_features_reply",
    ["OFPST_REPLY 1.3+(12)"],
    { ...shape, make: (tables) => ({ type: "table_features_reply", tables }) },
  ),
];
