/**
 * Arithmetic of changes: several in a row become one, one is turned round, and one becomes the
 * operations of a transaction that makes it, given what the tables hold now.
 */
import { OvsdbError } from "../error.ts";
import { equalJson, type Json, type JsonObject, member } from "../json.ts";
import type { DatabaseSchema, TableSchema } from "../schema/schema.ts";
import type { Tables } from "../table.ts";
import { type Datum, datumToJson, defaultDatum, equalDatums } from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";
import type { StoredRow } from "../storage/storage.ts";
import {
  type Changes,
  configurationColumns,
  type IsConfiguration,
  type RowChange,
  rowName,
} from "./revision.ts";

type MutableChanges = { [table: string]: { [uuid: string]: RowChange } };
type Columns = Record<string, Json>;

function tableOf(schema: DatabaseSchema, name: string): TableSchema {
  const table = schema.tables.get(name);
  if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
  return table;
}

/** What a column holds when nobody has set it; an unknown one holds nothing. */
function defaultJson(table: TableSchema, column: string): Json {
  const known = table.columns.get(column);
  return known === undefined ? ["set", []] : datumToJson(defaultDatum(known.type), known.type);
}

function withoutDefaults(table: TableSchema, columns: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(columns).filter(([name, value]) => !equalJson(value, defaultJson(table, name))),
  );
}

/** A modification by the columns that really differ; undefined if none does. */
function modification(
  name: { readonly name?: string },
  before: JsonObject,
  after: JsonObject,
): RowChange | undefined {
  const old: Columns = {};
  const now: Columns = {};
  for (const column of Object.keys(after)) {
    const [a, b] = [member(before, column), member(after, column)];
    if (a === undefined || b === undefined || equalJson(a, b)) continue;
    old[column] = a;
    now[column] = b;
  }
  return Object.keys(now).length === 0 ? undefined : { ...name, old, new: now };
}

/** Two changes of one row, one after the other, as one; undefined if they cancel out. */
function join(table: TableSchema, earlier: RowChange, later: RowChange): RowChange | undefined {
  const label = later.name ?? earlier.name;
  const name = label === undefined ? {} : { name: label };
  const { old: first, new: between } = earlier;
  const { old: beforeLast, new: last } = later;
  if (between !== undefined && beforeLast !== undefined) {
    if (first === undefined && last === undefined) return undefined;
    if (first === undefined) {
      return { ...name, new: withoutDefaults(table, { ...between, ...last }) };
    }
    if (last === undefined) {
      return { ...name, old: withoutDefaults(table, { ...beforeLast, ...first }) };
    }
    return modification(name, { ...beforeLast, ...first }, { ...between, ...last });
  }
  if (first !== undefined && last !== undefined) {
    // Deleted, and later made again under its old UUID.
    const columns = new Set([...Object.keys(first), ...Object.keys(last)]);
    const complete = (row: JsonObject): JsonObject =>
      Object.fromEntries(
        [...columns].map((column) => [column, member(row, column) ?? defaultJson(table, column)]),
      );
    return modification(name, complete(first), complete(last));
  }
  throw new OvsdbError("internal error", `the history of table ${table.name} contradicts itself`);
}

/** All these changes as one. They come newest first. */
export function joinChanges(schema: DatabaseSchema, newestFirst: Iterable<Changes>): Changes {
  const result: MutableChanges = {};
  for (const changes of newestFirst) {
    for (const [tableName, rows] of Object.entries(changes)) {
      const table = tableOf(schema, tableName);
      const known = result[tableName] ??= {};
      for (const [uuid, earlier] of Object.entries(rows)) {
        const later = known[uuid];
        const joined = later === undefined ? earlier : join(table, earlier, later);
        if (joined === undefined) delete known[uuid];
        else known[uuid] = joined;
      }
    }
  }
  return Object.fromEntries(
    Object.entries(result).filter(([, rows]) => Object.keys(rows).length > 0),
  );
}

/** What takes these changes back. */
export function invertChanges(changes: Changes): Changes {
  const invert = ({ name, old, new: now }: RowChange): RowChange => ({
    ...(name === undefined ? {} : { name }),
    ...(now === undefined ? {} : { old: now }),
    ...(old === undefined ? {} : { new: old }),
  });
  return Object.fromEntries(
    Object.entries(changes).map(([table, rows]) => [
      table,
      Object.fromEntries(Object.entries(rows).map(([uuid, change]) => [uuid, invert(change)])),
    ]),
  );
}

/** The operations (RFC 7047 §5.2) that make these changes to what the tables hold now. */
export function operationsFor(
  changes: Changes,
  tables: Tables,
  isConfiguration: IsConfiguration,
): JsonObject[] {
  const deletions: JsonObject[] = [];
  const others: JsonObject[] = [];
  for (const [name, rows] of Object.entries(changes)) {
    const table = tables.get(name);
    if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
    for (const [uuid, { old, new: wanted }] of Object.entries(rows)) {
      const where = [["_uuid", "==", ["uuid", uuid]]];
      const row = table.rows.get(uuid);
      if (wanted === undefined) {
        if (row !== undefined) deletions.push({ op: "delete", table: name, where });
      } else if (row === undefined) {
        if (old !== undefined) {
          throw new OvsdbError("constraint violation", `${name} row ${uuid} is gone`);
        }
        others.push({ op: "insert", table: name, uuid, row: wanted });
      } else {
        const columns = old === undefined
          ? completed(table.schema, wanted, isConfiguration)
          : wanted;
        const update = differing(table.schema, row.fields, columns);
        if (Object.keys(update).length > 0) {
          others.push({ op: "update", table: name, where, row: update });
        }
      }
    }
  }
  return [...deletions, ...others];
}

/** A whole row's configuration, defaults included. */
function completed(
  table: TableSchema,
  columns: JsonObject,
  isConfiguration: IsConfiguration,
): JsonObject {
  return Object.fromEntries(
    table.columnList.filter((column) => isConfiguration(table, column))
      .map(({ name }) => [name, member(columns, name) ?? defaultJson(table, name)]),
  );
}

function differing(
  table: TableSchema,
  fields: readonly Datum[],
  columns: JsonObject,
): JsonObject {
  return Object.fromEntries(
    Object.entries(columns).filter(([name, value]) => {
      const column = table.columns.get(name);
      if (column === undefined) {
        throw new OvsdbError("unknown column", `No column ${name} in table ${table.name}.`);
      }
      return !equalDatums(fields[column.index] as Datum, parseDatum(value, column.type));
    }),
  );
}

/** What turns the tables' configuration into this content; status columns are left aside. */
export function changesTowards(
  content: Iterable<StoredRow>,
  tables: Tables,
  isConfiguration: IsConfiguration,
): Changes {
  const changes: MutableChanges = {};
  const kept = new Set<string>();
  for (const { table: name, uuid, columns } of content) {
    const table = tables.get(name);
    if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
    const { schema } = table;
    const wanted = withoutDefaults(
      schema,
      Object.fromEntries(
        Object.entries(columns).filter(([column]) => {
          const known = schema.columns.get(column);
          return known === undefined || isConfiguration(schema, known);
        }),
      ),
    );
    kept.add(`${name} ${uuid}`);
    const row = table.rows.get(uuid);
    const rows = changes[name] ??= {};
    if (row === undefined) rows[uuid] = { new: wanted };
    else {
      const before = completed(
        schema,
        configurationColumns(schema, row, isConfiguration),
        isConfiguration,
      );
      const change = modification({}, before, completed(schema, wanted, isConfiguration));
      if (change !== undefined) rows[uuid] = change;
    }
  }
  for (const { schema, rows } of tables.values()) {
    for (const row of rows.values()) {
      if (kept.has(`${schema.name} ${row.uuid}`)) continue;
      const name = rowName(schema, row);
      (changes[schema.name] ??= {})[row.uuid] = {
        ...(name === undefined ? {} : { name }),
        old: configurationColumns(schema, row, isConfiguration),
      };
    }
  }
  return changes;
}
