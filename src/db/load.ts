/**
 * Stored rows, and tables made of them the short way. A file that a server left has rows that fit each other; then
 * nothing is needed but putting them in place. If anything turns out not to fit, the caller takes the
 * long way, the same checks as for new rows, which says what is wrong or mends it.
 */
import { storedColumns } from "./commit.ts";
import { OvsdbError } from "./error.ts";
import type { Json } from "./json.ts";
import type { Column, DatabaseSchema } from "./schema/schema.ts";
import { UUID_COLUMN, VERSION_COLUMN } from "./schema/schema.ts";
import type { StoredRow } from "./storage/storage.ts";
import { createTables, forEachReferenceChange, indexKey, type Row, type Tables } from "./table.ts";
import { type Datum, equalDatums, scalar } from "./values/datum.ts";
import { parseDatum } from "./values/parse.ts";

/** A row as it is parsed: its fields but for `_uuid` and `_version`. */
export interface ParsedRow {
  readonly table: string;
  readonly uuid: string;
  readonly fields: readonly Datum[];
}

/** Throws `OvsdbError` for a value that its column cannot have; columns that are not known go. */
export function parseRows(schema: DatabaseSchema, rows: Iterable<StoredRow>): ParsedRow[] {
  const parsed: ParsedRow[] = [];
  /** Rows tend to repeat the values of the one before: those are kept once. */
  const latest = new Map<Column, Datum>();
  for (const { table: name, uuid, columns } of rows) {
    const table = schema.tables.get(name);
    if (table === undefined) throw new OvsdbError("unknown table", `${name} is stored`);
    const fields = [...table.defaults];
    for (const columnName of Object.keys(columns)) {
      const column = table.columns.get(columnName);
      if (column === undefined) continue;
      const value = parseDatum(columns[columnName] as Json, column.type);
      const before = latest.get(column);
      if (before !== undefined && equalDatums(before, value)) fields[column.index] = before;
      else {
        fields[column.index] = value;
        latest.set(column, value);
      }
    }
    parsed.push({ table: name, uuid, fields });
  }
  return parsed;
}

/** The tables; undefined if the rows break a rule or leave something to be removed. */
export function tablesOf(schema: DatabaseSchema, parsed: readonly ParsedRow[]): Tables | undefined {
  const tables = createTables(schema);
  for (const { table: name, uuid, fields } of parsed) {
    const table = tables.get(name);
    if (table === undefined || table.rows.has(uuid)) return undefined;
    const all = [...fields];
    all[UUID_COLUMN] = scalar(uuid);
    all[VERSION_COLUMN] = scalar(crypto.randomUUID());
    const row: Row = { uuid, fields: all };
    table.rows.set(uuid, row);
    for (const [i, index] of table.schema.indexes.entries()) {
      const rows = table.indexes[i];
      const key = indexKey(index, row);
      if (rows === undefined || rows.has(key)) return undefined;
      rows.set(key, row);
    }
  }
  return refer(tables) ? tables : undefined;
}

/** Every row with its persistent columns, as it would be stored anew. */
export function* storedRows(tables: Tables): Generator<StoredRow> {
  for (const { schema, rows } of tables.values()) {
    for (const row of rows.values()) {
      yield { table: schema.name, uuid: row.uuid, columns: storedColumns(schema, row) };
    }
  }
}

/** Counts references. False if one leads nowhere, or a row is there that nothing refers to. */
function refer(tables: Tables): boolean {
  let sound = true;
  for (const table of tables.values()) {
    const { strongRefs, weakRefs, maxRows } = table.schema;
    if (table.rows.size > maxRows) return false;
    if (strongRefs.length + weakRefs.length === 0) continue;
    for (const row of table.rows.values()) {
      forEachReferenceChange(strongRefs, "strong", undefined, row, (_, refTable, to) => {
        const target = tables.get(refTable);
        if (target?.rows.has(to) !== true) sound = false;
        else if (to !== row.uuid) target.addStrongReferences(to, 1);
      });
      forEachReferenceChange(weakRefs, "weak", undefined, row, (_, refTable, to) => {
        const target = tables.get(refTable);
        if (target?.rows.has(to) !== true) sound = false;
        else target.addWeakReference(to, table, row.uuid, 1);
      });
      if (!sound) return false;
    }
  }
  return [...tables.values()].every((table) =>
    table.schema.isRoot || [...table.rows.keys()].every((uuid) => table.strongReferences(uuid) > 0)
  );
}
