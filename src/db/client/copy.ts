/**
 * A live copy of chosen columns of a database, in the form in which they are stored: datums, by the
 * table's column index. It follows any OVSDB session and any schema; `Replica` is the typed copy for
 * those who only read. Columns that were not asked for, or that an older server lacks, have their
 * default.
 */
import { OvsdbError } from "../error.ts";
import { isArray, isObject, type Json, type JsonObject, member } from "../json.ts";
import type { Column, DatabaseSchema, TableSchema } from "../schema/schema.ts";
import type { Uuid } from "../schema/declare.ts";
import { parseSchema } from "../schema/schema.ts";
import { type ColumnType, UNLIMITED } from "../schema/type.ts";
import type { OvsdbSession } from "../session.ts";
import { applyDifference, type Datum, defaultDatum } from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";

/** Tables and their columns; a table without columns still shows which rows there are. */
export type WantedColumns = ReadonlyMap<string, ReadonlySet<string>>;

export interface CopiedRow {
  readonly uuid: Uuid;
  readonly fields: readonly Datum[];
}

interface Waiter {
  readonly after: number;
  resolve(): void;
  reject(error: OvsdbError): void;
}

const noRows: ReadonlyMap<Uuid, CopiedRow> = new Map();

export class DatabaseCopy {
  private readonly tables = new Map<string, Map<Uuid, CopiedRow>>();
  private readonly unconstrained = new Map<Column, ColumnType>();
  private readonly waiters = new Set<Waiter>();
  /** Updates that came before the content that they are updates of was applied. */
  private early: JsonObject[] | undefined = [];
  private readonly arrival = new Set<string>();
  private count = 0;

  private constructor(readonly session: OvsdbSession, readonly schema: DatabaseSchema) {}

  /** Starts to follow the database and waits for its content. Rejects with `OvsdbError`. */
  static async open(
    session: OvsdbSession,
    schema: DatabaseSchema,
    wanted: WantedColumns,
  ): Promise<DatabaseCopy> {
    const served = parseSchema(await session.request("get_schema", [schema.name]));
    const copy = new DatabaseCopy(session, schema);
    await copy.start(requests(served, wanted));
    return copy;
  }

  private async start(requests: JsonObject): Promise<void> {
    const id = ["copy", crypto.randomUUID()];
    for (const table of Object.keys(requests)) this.tables.set(table, new Map());
    this.session.onNotification((method, params) => {
      const [monitor, updates] = params;
      if (method !== "update2" || !isArray(monitor) || monitor[1] !== id[1]) return;
      if (!isObject(updates)) return;
      if (this.early !== undefined) this.early.push(updates);
      else this.apply(updates);
    });
    this.session.onClose((reason) => {
      const error = new OvsdbError("connection closed", reason);
      for (const waiter of this.waiters) waiter.reject(error);
      this.waiters.clear();
    });
    const content = await this.session.request("monitor_cond", [this.schema.name, id, requests]);
    if (!isObject(content)) throw new OvsdbError("protocol error", "monitor reply is no object");
    const { early = [] } = this;
    this.early = undefined;
    for (const updates of [content, ...early]) this.apply(updates);
  }

  /** How many updates were applied; the first one is the content itself. */
  get updates(): number {
    return this.count;
  }

  rows(table: string): ReadonlyMap<Uuid, CopiedRow> {
    return this.tables.get(table) ?? noRows;
  }

  /** Tables of which there is anything, in the order in which they came. */
  tableNames(): string[] {
    return [...this.arrival];
  }

  /** Puts the rows of a table in this order; rows that it does not name come last. */
  arrange(table: string, order: readonly Uuid[]): void {
    const rows = this.tables.get(table);
    if (rows === undefined) return;
    const arranged = new Map<Uuid, CopiedRow>();
    for (const uuid of [...order, ...rows.keys()]) {
      const row = rows.get(uuid);
      if (row !== undefined) arranged.set(uuid, row);
    }
    this.tables.set(table, arranged);
  }

  /** Resolves once more than `after` updates were applied; rejects if the session ends first. */
  async updated(after: number): Promise<void> {
    if (this.count > after) return;
    await new Promise<void>((resolve, reject) => {
      this.waiters.add({ after, resolve, reject });
    });
  }

  private apply(updates: JsonObject): void {
    for (const name of Object.keys(updates)) {
      const rows = this.tables.get(name);
      const schema = this.schema.tables.get(name);
      const changes = member(updates, name);
      if (rows === undefined || schema === undefined || !isObject(changes)) continue;
      this.arrival.add(name);
      for (const uuid of Object.keys(changes)) {
        const change = member(changes, uuid);
        if (isObject(change)) this.applyRow(rows, schema, uuid, change);
      }
    }
    this.count++;
    for (const waiter of this.waiters) {
      if (this.count <= waiter.after) continue;
      this.waiters.delete(waiter);
      waiter.resolve();
    }
  }

  private applyRow(
    rows: Map<Uuid, CopiedRow>,
    schema: TableSchema,
    uuid: Uuid,
    change: JsonObject,
  ): void {
    if (member(change, "delete") !== undefined) {
      rows.delete(uuid);
      return;
    }
    const modify = member(change, "modify");
    const columns = modify ?? member(change, "insert") ?? member(change, "initial");
    if (!isObject(columns)) throw new OvsdbError("protocol error", `bad update of row ${uuid}`);
    const old = modify === undefined ? undefined : rows.get(uuid)?.fields;
    const fields = schema.columnList.map((column) => {
      const before = old?.[column.index];
      const json = member(columns, column.name);
      if (json === undefined) return before ?? defaultDatum(column.type);
      const value = parseDatum(json, this.typeWithoutLimits(column));
      return before === undefined ? value : applyDifference(before, value, column.type);
    });
    rows.set(uuid, { uuid, fields });
  }

  /** A difference may have any number of members, and a newer schema may allow other values. */
  private typeWithoutLimits(column: Column): ColumnType {
    let type = this.unconstrained.get(column);
    if (type === undefined) {
      const { key, value } = column.type;
      type = {
        key: { type: key.type },
        ...(value === undefined ? {} : { value: { type: value.type } }),
        min: 0,
        max: UNLIMITED,
      };
      this.unconstrained.set(column, type);
    }
    return type;
  }
}

function requests(served: DatabaseSchema, wanted: WantedColumns): JsonObject {
  const requests: Record<string, Json> = {};
  for (const [name, columns] of wanted) {
    const table = served.tables.get(name);
    if (table === undefined) continue;
    requests[name] = [{ columns: [...columns].filter((column) => table.columns.has(column)) }];
  }
  return requests;
}
