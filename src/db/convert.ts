/**
 * The same data under another schema (ovsdb-server(7), `convert`): what both schemas know is kept,
 * as far as the new types allow; tables and columns that the new one lacks are dropped; new columns
 * get their defaults; and the result must satisfy all rules of the new schema.
 */
import type { DatabaseSchema } from "./schema/schema.ts";
import { applyDeltas, createTables, type Tables } from "./table.ts";
import { prepareCommit } from "./transaction/integrity.ts";
import { Transaction } from "./transaction/transaction.ts";
import { datumToJson, defaultDatum } from "./values/datum.ts";
import { parseDatum } from "./values/parse.ts";

/** Throws `OvsdbError` if some value or row does not fit. */
export function convertTables(source: Tables, schema: DatabaseSchema): Tables {
  const tables = createTables(schema);
  const txn = new Transaction(tables);
  for (const table of tables.values()) {
    const old = source.get(table.schema.name);
    if (old === undefined) continue;
    for (const { uuid, fields: oldFields } of old.rows.values()) {
      const fields = table.schema.columnList.map(({ name, type }) => {
        const column = old.schema.columns.get(name);
        const value = column === undefined ? undefined : oldFields[column.index];
        return column === undefined || value === undefined
          ? defaultDatum(type)
          : parseDatum(datumToJson(value, column.type), type);
      });
      txn.insert(table, uuid, fields);
    }
  }
  applyDeltas(tables, prepareCommit(txn));
  return tables;
}
