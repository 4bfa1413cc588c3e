/** Rebuilds rows from the transaction records of an Open vSwitch database file, one by one. */
import { OvsdbError, syntaxError } from "../error.ts";
import { isObject, type Json, type JsonObject, member } from "../json.ts";
import type { Column, DatabaseSchema, TableSchema } from "../schema/schema.ts";
import { UNLIMITED } from "../schema/type.ts";
import { applyDifference, type Datum, datumToJson, defaultDatum } from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";
import type { StoredRow } from "./storage.ts";

type Columns = Map<Column, Datum>;

export class LogReplay {
  private readonly tables: Map<TableSchema, Map<string, Columns>>;

  constructor(private readonly schema: DatabaseSchema) {
    this.tables = new Map([...schema.tables.values()].map((table) => [table, new Map()]));
  }

  /** Applies one transaction record. Throws `OvsdbError` if it does not fit the schema. */
  apply(record: JsonObject): void {
    const differences = member(record, "_is_diff") === true;
    for (const name of Object.keys(record)) {
      if (name.startsWith("_")) continue;
      const table = this.schema.tables.get(name);
      const rows = member(record, name);
      if (table === undefined || !isObject(rows)) {
        throw syntaxError(record, `No table named ${name}.`, "unknown table");
      }
      for (const uuid of Object.keys(rows)) {
        this.applyRow(table, uuid, member(rows, uuid) as Json, differences);
      }
    }
  }

  private applyRow(table: TableSchema, uuid: string, json: Json, differences: boolean): void {
    const rows = this.tables.get(table) as Map<string, Columns>;
    if (json === null) {
      rows.delete(uuid);
      return;
    }
    if (!isObject(json)) throw new OvsdbError("syntax error", `row ${uuid} is no object`);
    const known = rows.get(uuid);
    const columns: Columns = known ?? new Map();
    for (const name of Object.keys(json)) {
      const column = table.columns.get(name);
      if (column === undefined) {
        throw new OvsdbError("unknown column", `No column ${name} in table ${table.name}.`);
      }
      const { type } = column;
      const value = member(json, name) as Json;
      if (known === undefined || !differences) columns.set(column, parseDatum(value, type));
      else {
        const change = parseDatum(value, { ...type, min: 0, max: UNLIMITED });
        const before = columns.get(column) ?? defaultDatum(type);
        columns.set(column, applyDifference(before, change, type));
      }
    }
    rows.set(uuid, columns);
  }

  *rows(): Generator<StoredRow> {
    for (const [{ name: table }, rows] of this.tables) {
      for (const [uuid, values] of rows) {
        const columns = Object.fromEntries(
          [...values].map(([{ name, type }, value]) => [name, datumToJson(value, type)]),
        );
        yield { table, uuid, columns };
      }
    }
  }
}
