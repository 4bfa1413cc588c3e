/**
 * What each table can do, and shall do (OpenFlow 1.3.5 §7.3.5.5, 1.5.1 §7.3.5.18):
 * `ofp_table_features`, one after the other.
 *
 *      0        16       24        32              64
 *     +--------+--------+---------+---------------+
 *     | length | table  | command | features      |   1.3, 1.4: padding after the table
 *     +--------+--------+---------+---------------+
 *     | name, 32 bytes                            |
 *     +-------------------------------------------+
 *     | metadata that can be matched (64)         |
 *     | metadata that can be written (64)         |
 *     | capabilities (32) | maximum entries (32)  |
 *     | properties, each padded to 64 bits        |
 *     +-------------------------------------------+
 *
 * A property that is about the miss entry has the number of its twin plus one; where it is not
 * given it is as its twin. From a client's point of view (`loose`) unknown entries are passed over.
 */
import type { Field } from "../../packet/layout.ts";
import { actionNumber, actionOfNumber } from "../actions/numbers.ts";
import type { ActionType } from "../actions/types.ts";
import { OfError } from "../errors.ts";
import { readOxmHeader, writeOxmHeader } from "../oxm.ts";
import { OF14, OF15, type OfVersion, TABLE_ALL } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, unknownProperty, writeProperty } from "./properties.ts";
import { list, type MessageContext, type MessageRow } from "./rows.ts";
import type { InstructionName, TableAbility, TableFeatures } from "./types.ts";

const HEADER_BYTES = 64;
const NAME_BYTES = 32;
const EVICTION = 1 << 2;
const VACANCY_EVENTS = 1 << 3;
const EXPERIMENTER = 0xffff;
const COMMANDS: readonly TableFeatures["command"][] = ["replace", "modify", "enable", "disable"];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Ability = Mutable<TableAbility>;

/** Kinds of properties by the number for flows; the miss entry's is one more. */
const KINDS = {
  instructions: 0,
  nextTables: 2,
  writeActions: 4,
  applyActions: 6,
  writeSetFields: 12,
  applySetFields: 14,
  writeCopyFields: 18,
  applyCopyFields: 20,
} as const satisfies Record<keyof TableAbility, number>;
const MATCH = 8;
const WILDCARDS = 10;
/** OpenFlow 1.4 and 1.5: what a table follows, and the packet types; nothing here is about either. */
const IGNORED: ReadonlySet<number> = new Set([16, 17, 22]);
/** Properties that a table must have. */
const REQUIRED = [0, 2, 4, 6, 8, 10, 12, 14];

/** By wire number. */
const INSTRUCTIONS: readonly (InstructionName | undefined)[] = [
  undefined,
  "goto_table",
  "write_metadata",
  "write_actions",
  "apply_actions",
  "clear_actions",
  "meter",
  "stat_trigger",
];

/** Types with their lengths, four bytes each; experimenters' have more, which is passed over. */
function readTypes<T>(
  value: Reader,
  find: (number: number) => T | undefined,
  unknown: (at: number) => void,
): T[] {
  const found: T[] = [];
  while (value.left > 0) {
    const at = value.offset;
    const type = value.u16();
    const length = value.u16();
    if (length < 4 || length - 4 > value.left) {
      throw new OfError("OFPBPC_BAD_LEN", at, `entry of ${length} bytes`);
    }
    value.skip(length - 4);
    const known = type === EXPERIMENTER ? undefined : find(type);
    if (known !== undefined) found.push(known);
    else unknown(at);
  }
  return found;
}

function readFields(value: Reader, loose: boolean): { field: Field; masked: boolean }[] {
  const fields: { field: Field; masked: boolean }[] = [];
  while (value.left > 0) {
    const at = value.offset;
    const { field, masked, text } = readOxmHeader(value, false);
    if (field) fields.push({ field, masked });
    else if (!loose) throw new OfError("OFPBMC_BAD_FIELD", at, `no field is known by ${text}`);
  }
  return fields;
}

function readWholeFields(value: Reader, loose: boolean): Field[] {
  const at = value.offset;
  return readFields(value, loose).map(({ field, masked }) => {
    if (masked) throw new OfError("OFPBMC_BAD_MASK", at, `${field.name} is given with a mask`);
    return field;
  });
}

const noAbility = (): Ability => ({
  nextTables: [],
  instructions: [],
  writeActions: [],
  applyActions: [],
  writeSetFields: [],
  applySetFields: [],
});

function readAbility(
  ability: Ability,
  kind: keyof TableAbility,
  value: Reader,
  { version, loose }: MessageContext,
): void {
  switch (kind) {
    case "instructions":
      ability.instructions = readTypes(value, (number) => INSTRUCTIONS[number], (at) => {
        if (!loose) throw new OfError("OFPBIC_UNKNOWN_INST", at, "there is no such instruction");
      });
      return;
    case "nextTables":
      ability.nextTables = [...value.rest()];
      return;
    case "writeActions":
    case "applyActions":
      ability[kind] = readTypes(value, (number) => actionOfNumber(version, number), () => {});
      return;
    case "writeSetFields":
    case "applySetFields":
    case "writeCopyFields":
    case "applyCopyFields":
      ability[kind] = readWholeFields(value, loose);
      return;
    default: {
      const never: never = kind;
      throw new Error(`table ability ${never}`);
    }
  }
}

function readFeatures(reader: Reader, context: MessageContext): TableFeatures {
  const { version, loose } = context;
  const at = reader.offset;
  const length = reader.left >= HEADER_BYTES ? reader.peek16() : 0;
  if (length < HEADER_BYTES || length % 8 !== 0 || length > reader.left) {
    throw new OfError("OFPBPC_BAD_LEN", at, `table features of ${length} bytes`);
  }
  const body = reader.sub(length, "OFPBPC_BAD_LEN");
  body.skip(2);
  const table = body.u8();
  const command = version >= OF15 ? COMMANDS[body.u8()] : (body.skip(1), "replace" as const);
  if (!command) throw new OfError("OFPTFFC_BAD_COMMAND", at + 3, "there is no such command");
  if (table === TABLE_ALL) throw new OfError("OFPTFFC_BAD_TABLE", at + 2, "one table at a time");
  body.skip(4);
  const name = body.text(NAME_BYTES);
  const metadataMatch = body.u64();
  const metadataWrite = body.u64();
  const capabilities = body.u32();
  const maxEntries = body.u32();
  const nonmiss = noAbility();
  const miss = noAbility();
  const hasProperties = body.left > 0;
  const seen = new Set<number>();
  let match: TableFeatures["match"] = [];
  let wildcards: readonly Field[] = [];
  readProperties(body, (type, value, where) => {
    if (seen.has(type)) {
      throw new OfError("OFPTFFC_BAD_FEATURES", where, `property ${type} is given twice`);
    }
    seen.add(type);
    if (type === MATCH) {
      match = readFields(value, loose).map(({ field, masked }) => ({ field, maskable: masked }));
    } else if (type === WILDCARDS) wildcards = readWholeFields(value, loose);
    else if (!IGNORED.has(type)) {
      const kind = kindOf(type & ~1);
      if (kind) readAbility(type & 1 ? miss : nonmiss, kind, value, context);
      else if (!loose) unknownProperty(type, where);
    }
  });
  if (hasProperties || version < OF15) {
    const missing = REQUIRED.find((number) => !seen.has(number));
    if (missing !== undefined) {
      throw new OfError("OFPTFFC_BAD_FEATURES", at, `property ${missing} is missing`);
    }
  }
  for (const [kind, number] of Object.entries(KINDS) as [keyof TableAbility, number][]) {
    if (!seen.has(number + 1) && seen.has(number)) Object.assign(miss, { [kind]: nonmiss[kind] });
  }
  return {
    table,
    command,
    name,
    metadataMatch,
    metadataWrite,
    ...(version >= OF14 && {
      eviction: (capabilities & EVICTION) !== 0,
      vacancyEvents: (capabilities & VACANCY_EVENTS) !== 0,
    }),
    maxEntries,
    hasProperties,
    nonmiss,
    miss,
    match,
    wildcards,
  };
}

function kindOf(number: number): keyof TableAbility | undefined {
  for (const [kind, own] of Object.entries(KINDS)) {
    if (own === number) return kind as keyof TableAbility;
  }
  return undefined;
}

function writeFeatures(writer: Writer, features: TableFeatures, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).u8(features.table);
  writer.u8(version >= OF15 ? COMMANDS.indexOf(features.command) : 0).zeros(4);
  writer.text(features.name, NAME_BYTES);
  writer.u64(features.metadataMatch).u64(features.metadataWrite);
  const capabilities = (features.eviction ? EVICTION : 0) |
    (features.vacancyEvents ? VACANCY_EVENTS : 0);
  writer.u32(version >= OF14 ? capabilities : 0).u32(features.maxEntries);
  if (features.hasProperties) {
    writeAbility(writer, features.nonmiss, 0, version);
    writeAbility(writer, features.miss, 1, version);
    writeProperty(writer, MATCH, (w) => {
      for (const { field, maskable } of features.match) {
        writeOxmHeader(w, field, version, maskable);
      }
    });
    writeFields(writer, WILDCARDS, features.wildcards, version);
  }
  writer.end(open);
}

function writeAbility(
  writer: Writer,
  ability: TableAbility,
  miss: 0 | 1,
  version: OfVersion,
): void {
  const types = (type: number, numbers: readonly number[]): void =>
    writeProperty(writer, type + miss, (w) => {
      for (const number of numbers) w.u16(number).u16(4);
    });
  const actions = (list: readonly ActionType[]): number[] =>
    list.flatMap((type) => actionNumber(version, type) ?? []).sort((a, b) => a - b);
  types(KINDS.instructions, ability.instructions.map((name) => INSTRUCTIONS.indexOf(name)));
  writeProperty(writer, KINDS.nextTables + miss, (w) => {
    for (const table of ability.nextTables) w.u8(table);
  });
  types(KINDS.writeActions, actions(ability.writeActions));
  writeFields(writer, KINDS.writeSetFields + miss, ability.writeSetFields, version);
  types(KINDS.applyActions, actions(ability.applyActions));
  writeFields(writer, KINDS.applySetFields + miss, ability.applySetFields, version);
  if (version < OF15) return;
  for (const kind of ["writeCopyFields", "applyCopyFields"] as const) {
    const fields = ability[kind];
    if (fields) writeFields(writer, KINDS[kind] + miss, fields, version);
  }
}

function writeFields(
  writer: Writer,
  type: number,
  fields: readonly Field[],
  version: OfVersion,
): void {
  writeProperty(writer, type, (w) => {
    for (const field of fields) writeOxmHeader(w, field, version, false);
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
