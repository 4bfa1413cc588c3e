/**
 * A change of the configuration in the making: operations of one OVSDB transaction (RFC 7047 §5.2)
 * from what the API takes. Everything that can be checked is, before anything runs; what is wrong
 * throws an `HttpProblem`.
 *
 * Rows outside the root set live as long as something refers to them: so creating one says where it
 * belongs (a *place*: `Bridge/br0/controller`), and removing one removes the references to it.
 */
import type { Database } from "../../db/database.ts";
import type { Json, JsonObject } from "../../db/json.ts";
import type { Column } from "../../db/schema/schema.ts";
import type { Row, Table } from "../../db/table.ts";
import type { Datum } from "../../db/values/datum.ts";
import { HttpProblem } from "../problem.ts";
import { nameOf, rowOf, tableOf, writableColumn } from "./find.ts";
import { columnChange, takenValue } from "./values.ts";

export type Values = Readonly<Record<string, Json>>;

/** Where a row that is made belongs. */
export interface Place {
  readonly table: Table;
  /** UUID of a row, there already or made before. */
  readonly uuid: string;
  readonly column: Column;
  /** In a map, the key. */
  readonly key?: string;
}

const whereUuid = (uuid: string): Json => [["_uuid", "==", ["uuid", uuid]]];

export class Draft {
  readonly operations: JsonObject[] = [];
  /** What it does, for the history and the audit log. */
  readonly words: string[] = [];
  /** `@name` → UUID of a row made in this draft. */
  private readonly names = new Map<string, string>();
  /** `@names` that a value or place refers to. */
  private readonly used = new Set<string>();
  /** Names of rows of which something must hold on to. */
  private readonly mustBeUsed = new Set<string>();

  constructor(readonly database: Database) {}

  private readonly named = (name: string): string | undefined => {
    this.used.add(name);
    return this.names.get(name);
  };

  /**
   * Returns the new row's UUID. `place` "given": the caller refers to it. `as`: what later parts of
   * the draft call it, without `@`.
   */
  create(table: Table, values: Values, place?: Place | "given", as?: string): string {
    const { schema } = table;
    const row: Record<string, Json> = {};
    for (const [name, value] of Object.entries(values)) {
      const column = writableColumn(this.database, schema, name);
      row[name] = takenValue(value, column, this.named);
    }
    const uuid = crypto.randomUUID();
    if (as !== undefined) {
      if (this.names.has(as)) throw new HttpProblem(400, `@${as} is made twice.`);
      this.names.set(as, uuid);
    }
    this.operations.push({ op: "insert", table: schema.name, uuid, row });
    if (typeof place === "object") this.refer(place, uuid);
    else if (place === undefined && !schema.isRoot) {
      if (as === undefined) throw new HttpProblem(400, needsPlace(this.database, table));
      this.mustBeUsed.add(as);
    }
    const label = values["name"] ?? values["target"] ?? "";
    this.words.push(`add ${schema.name}${label === "" ? "" : ` ${label}`}`);
    return uuid;
  }

  private refer({ table, uuid, column, key }: Place, to: string): void {
    const { name, type } = column;
    const value: Json = type.value === undefined
      ? ["set", [["uuid", to]]]
      : ["map", [[type.key.type === "integer" ? Number(key) : key ?? "", ["uuid", to]]]];
    this.mutate(table, uuid, [[name, "insert", value]]);
  }

  private mutate(table: Table, uuid: string, mutations: readonly Json[]): void {
    const { name } = table.schema;
    this.operations.push({ op: "mutate", table: name, where: whereUuid(uuid), mutations });
  }

  /** A merge patch of a row that is there, or was made before. */
  change(table: Table, uuid: string, values: Values, label = uuid): void {
    const { schema } = table;
    const row: Record<string, Json> = {};
    const mutations: Json[] = [];
    for (const [name, value] of Object.entries(values)) {
      const column = writableColumn(this.database, schema, name);
      if (!column.mutable) {
        throw new HttpProblem(409, `${schema.name}.${name} cannot be changed: make a new row.`);
      }
      const change = columnChange(value, column, this.named);
      if ("value" in change) row[name] = change.value;
      else for (const [mutator, json] of change.mutations) mutations.push([name, mutator, json]);
    }
    if (Object.keys(row).length > 0) {
      this.operations.push({ op: "update", table: schema.name, where: whereUuid(uuid), row });
    }
    if (mutations.length > 0) this.mutate(table, uuid, mutations);
    const columns = Object.keys(values).join(", ");
    this.words.push(`change ${schema.name} ${label}: ${columns === "" ? "nothing" : columns}`);
  }

  /** Removes a row that is there. Of a root table, it must not be in use. */
  remove(table: Table, row: Row): void {
    const { schema } = table;
    if (schema.maxRows === 1 && schema.isRoot) {
      throw new HttpProblem(409, `The row of ${schema.name} cannot be removed.`);
    }
    this.words.push(`remove ${schema.name} ${nameOf(table, row)}`);
    if (schema.isRoot) {
      this.operations.push({ op: "delete", table: schema.name, where: whereUuid(row.uuid) });
      return;
    }
    for (const { table: parent, row: holder, column } of this.referrers(table, row.uuid)) {
      const datum = holder.fields[column.index] as Datum;
      const keys = datum.keys.filter((key, i) =>
        key === row.uuid || datum.values?.[i] === row.uuid
      );
      const isReference = column.type.key.type === "uuid";
      const members = keys.map((key): Json => isReference ? ["uuid", key as string] : key);
      this.mutate(parent, holder.uuid, [[column.name, "delete", ["set", members]]]);
    }
  }

  private *referrers(
    { schema: { name } }: Table,
    uuid: string,
  ): Generator<{ table: Table; row: Row; column: Column }> {
    for (const table of this.database.tables.values()) {
      for (const column of table.schema.strongRefs) {
        const { key, value } = column.type;
        if (key.refTable !== name && value?.refTable !== name) continue;
        for (const row of table.rows.values()) {
          const { keys, values } = row.fields[column.index] as Datum;
          if (keys.includes(uuid) || values?.includes(uuid)) yield { table, row, column };
        }
      }
    }
  }

  /** `Bridge/br0/controller`, `QoS/@q/queues/0`. */
  place(text: string, of: Table): Place {
    const [tableName = "", id = "", columnName = "", key, ...rest] = text.split("/");
    if (columnName === "" || rest.length > 0) {
      throw new HttpProblem(400, needsPlace(this.database, of));
    }
    const table = tableOf(this.database, tableName);
    const column = writableColumn(this.database, table.schema, columnName);
    const { type } = column;
    const base = type.value ?? type.key;
    if (base.refTable !== of.schema.name || (type.value !== undefined) !== (key !== undefined)) {
      throw new HttpProblem(400, needsPlace(this.database, of));
    }
    return { table, uuid: this.rowId(table, id), column, ...(key !== undefined && { key }) };
  }

  /** Where rows of a table belong when there is one place only: `Open_vSwitch/./bridges`. */
  onlyPlace(of: Table): Place | undefined {
    if (of.schema.isRoot) return undefined;
    const places = placesOf(this.database, of).filter(({ table, column }) =>
      table.schema.maxRows === 1 && column.type.value === undefined
    );
    const [only] = places;
    const root = only && [...only.table.rows.values()][0];
    return only && root && { ...only, uuid: root.uuid };
  }

  /** A row's UUID from its UUID, its name, or the `@name` under which it was made. */
  rowId(table: Table, id: string): string {
    if (!id.startsWith("@")) return rowOf(table, id).uuid;
    const uuid = this.named(id.slice(1));
    if (uuid === undefined) throw new HttpProblem(400, `Nothing earlier in the batch is ${id}.`);
    return uuid;
  }

  /** To be called at the end: refuses rows that would vanish because nothing refers to them. */
  finish(): void {
    for (const name of this.mustBeUsed) {
      if (this.used.has(name)) continue;
      throw new HttpProblem(400, `Nothing refers to @${name}: say its place, or use it.`);
    }
  }
}

function placesOf(database: Database, { schema: { name } }: Table) {
  return [...database.tables.values()].flatMap((table) =>
    table.schema.strongRefs
      .filter(({ type: { key, value } }) => (value ?? key).refTable === name)
      .map((column) => ({ table, column }))
  );
}

function needsPlace(database: Database, of: Table): string {
  const places = placesOf(database, of).map(({ table, column }) =>
    `${table.schema.name}/ROW/${column.name}${column.type.value === undefined ? "" : "/KEY"}`
  );
  return places.length === 0
    ? `Rows of ${of.schema.name} have no place.`
    : `Say where the row of ${of.schema.name} belongs, as its place: ${places.join(" or ")}.`;
}
