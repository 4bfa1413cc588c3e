/** A replica's rows, kept up to date by `update2` objects (ovsdb-server(7), §4.1.14). */
import { OvsdbError } from "./error.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";
import type { DatabaseSchema, TableSchema } from "./schema/schema.ts";
import { UNLIMITED } from "./schema/type.ts";
import { type TypedRow, typedRow } from "./typed-row.ts";
import { applyDifference, type Datum, defaultDatum } from "./values/datum.ts";
import { parseDatum } from "./values/parse.ts";

export interface TypedChange {
  readonly table: string;
  readonly uuid: string;
  readonly old?: TypedRow;
  readonly new?: TypedRow;
}

interface ReplicaTable {
  readonly schema: TableSchema;
  readonly rows: Map<string, TypedRow>;
  readonly fields: Map<string, readonly Datum[]>;
}

export class ReplicaTables {
  private readonly tables: ReadonlyMap<string, ReplicaTable>;

  constructor(schema: DatabaseSchema, names: readonly string[]) {
    this.tables = new Map(names.map((name) => {
      const table = schema.tables.get(name);
      if (table === undefined) throw new OvsdbError("ovsdb error", `no table named ${name}`);
      return [name, { schema: table, rows: new Map(), fields: new Map() }];
    }));
  }

  schema(name: string): TableSchema {
    return this.table(name).schema;
  }

  rows(name: string): ReadonlyMap<string, TypedRow> {
    return this.table(name).rows;
  }

  private table(name: string): ReplicaTable {
    const table = this.tables.get(name);
    if (table === undefined) throw new OvsdbError("ovsdb error", `${name} is not replicated`);
    return table;
  }

  /** Applies a `<table-updates2>` object; tells what changed, when all of it has. */
  apply(updates: JsonObject): TypedChange[] {
    const changes: TypedChange[] = [];
    for (const name of Object.keys(updates)) {
      const table = this.table(name);
      const rows = objectAt(updates, name);
      for (const uuid of Object.keys(rows)) {
        const change = applyRow(table, uuid, objectAt(rows, uuid));
        if (change !== undefined) changes.push({ table: name, ...change });
      }
    }
    return changes;
  }

  /** Takes the whole content at once; tells in what it differs from what was there. */
  replace(content: JsonObject): TypedChange[] {
    const gone: TypedChange[] = [];
    for (const [name, { rows, fields }] of this.tables) {
      const there = member(content, name);
      for (const [uuid, old] of rows) {
        if (isObject(there) && member(there, uuid) !== undefined) continue;
        rows.delete(uuid);
        fields.delete(uuid);
        gone.push({ table: name, uuid, old });
      }
    }
    return [...gone, ...this.apply(content)];
  }
}

function objectAt(object: JsonObject, name: string): JsonObject {
  const value = member(object, name);
  if (isObject(value)) return value;
  throw new OvsdbError("protocol error", `update for ${name} is not an object`);
}

function applyRow(
  table: ReplicaTable,
  uuid: string,
  update: JsonObject,
): Omit<TypedChange, "table"> | undefined {
  const old = table.rows.get(uuid);
  const oldFields = table.fields.get(uuid);
  if (member(update, "delete") !== undefined) {
    table.rows.delete(uuid);
    table.fields.delete(uuid);
    return old === undefined ? undefined : { uuid, old };
  }
  const modify = member(update, "modify");
  const columns = modify ?? member(update, "insert") ?? member(update, "initial");
  if (!isObject(columns)) throw new OvsdbError("protocol error", `bad update of row ${uuid}`);
  const fields = newFields(table.schema, modify === undefined ? undefined : oldFields, columns);
  const previous = old === undefined || oldFields === undefined
    ? undefined
    : { row: old, fields: oldFields };
  const row = typedRow(table.schema, uuid, fields, previous);
  table.rows.set(uuid, row);
  table.fields.set(uuid, fields);
  return { uuid, ...(old === undefined ? {} : { old }), new: row };
}

function newFields(
  schema: TableSchema,
  old: readonly Datum[] | undefined,
  columns: JsonObject,
): readonly Datum[] {
  return schema.columnList.map(({ name, index, type }) => {
    const before = old?.[index];
    const json: Json | undefined = member(columns, name);
    if (json === undefined) return before ?? defaultDatum(type);
    // A difference may have any number of members.
    const value = parseDatum(
      json,
      before === undefined ? type : { ...type, min: 0, max: UNLIMITED },
    );
    return before === undefined ? value : applyDifference(before, value, type);
  });
}
