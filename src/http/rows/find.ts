/** Finding tables, columns and rows by what people call them; entity tags of rows. */
import type { Database } from "../../db/database.ts";
import { configurationColumns, rowName } from "../../db/history/revision.ts";
import { stringify } from "../../db/json.ts";
import type { Column, TableSchema } from "../../db/schema/schema.ts";
import type { Row, Table } from "../../db/table.ts";
import { refuseUnlessMatch, tagOf } from "../entity-tag.ts";
import { HttpProblem } from "../problem.ts";

const quoted = (text: string): string => JSON.stringify(text);

export function tableOf(database: Database, name: string): Table {
  const lower = name.toLowerCase();
  for (const [known, table] of database.tables) if (known.toLowerCase() === lower) return table;
  throw new HttpProblem(404, `There is no table ${quoted(name)}; GET /api/v1/tables lists them.`);
}

/** A column for reading. */
export function columnOf({ name: table, columns }: TableSchema, name: string): Column {
  const column = name.startsWith("_") && name !== "_uuid" ? undefined : columns.get(name);
  if (column !== undefined) return column;
  throw new HttpProblem(
    400,
    `${table} has no column ${quoted(name)}; GET /api/v1/tables lists them.`,
  );
}

/** A column that may be written. */
export function writableColumn(database: Database, table: TableSchema, name: string): Column {
  const column = columnOf(table, name);
  if (database.isConfiguration(table, column)) return column;
  throw new HttpProblem(400, `${table.name}.${name} is written by the switch, not by its users.`);
}

/**
 * A row by its UUID, by its name (or target or id), or, of a table with one row, by the table's name
 * (a lone `.` does not survive in a URL).
 */
export function findRow({ schema, rows }: Table, id: string): Row | undefined {
  const byUuid = rows.get(id.toLowerCase());
  if (byUuid !== undefined) return byUuid;
  if (schema.maxRows === 1 && id === schema.name) return [...rows.values()][0];
  const found = [...rows.values()].filter((row) => rowName(schema, row) === id);
  if (found.length <= 1) return found[0];
  throw new HttpProblem(
    409,
    `${schema.name} has ${found.length} rows called ${quoted(id)}: name one by its UUID.`,
  );
}

export function rowOf(table: Table, id: string): Row {
  const row = findRow(table, id);
  if (row !== undefined) return row;
  throw new HttpProblem(404, `${table.schema.name} has no row ${quoted(id)}.`);
}

/** What people call a row. */
export const nameOf = ({ schema }: Table, row: Row): string =>
  schema.maxRows === 1 ? schema.name : rowName(schema, row) ?? row.uuid;

/** Changes when the row's configuration does; what the switch writes does not count. */
export function entityTag(database: Database, table: Table, row: Row): string {
  const columns = configurationColumns(table.schema, row, database.isConfiguration);
  return tagOf(`${row.uuid} ${stringify(columns)}`);
}

/** RFC 9110 §13.1.1: refuses a change of what is not what the client has seen. */
export function checkIfMatch(
  header: string | undefined,
  database: Database,
  table: Table,
  row: Row,
): void {
  const what = `${table.schema.name} ${nameOf(table, row)}`;
  refuseUnlessMatch(header, () => entityTag(database, table, row), what);
}
