/**
 * A live, typed copy of chosen Open_vSwitch tables.
 *
 * The slow path sees the database only through this interface. It runs over any `OvsdbSession`:
 * the daemon's own database in process, or a JSON-RPC connection to any OVSDB server. A change is
 * seen through `rows()` first, then told to the listeners, once for each atomically applied update.
 */
import { OvsdbError } from "./error.ts";
import { isArray, isObject, type Json, type JsonObject } from "./json.ts";
import { ReplicaTables, type TypedChange } from "./replica-tables.ts";
import type { ColumnsOf, ColumnValuesOf, RowOf, TableNameOf, Uuid } from "./schema/declare.ts";
import { type OpenVSwitchSchema, openVSwitchSchema } from "./schema/openvswitch.ts";
import { type Column, type DatabaseSchema, parseSchema } from "./schema/schema.ts";
import { isMap } from "./schema/type.ts";
import type { OvsdbSession } from "./session.ts";
import { keysToJson, valueToJson } from "./typed-row.ts";

export type { Uuid };

export type TableName = TableNameOf<OpenVSwitchSchema>;
/** A row as read: `_uuid` and each column; a column outside the replicated set is its default. */
export type Row<T extends TableName> = RowOf<OpenVSwitchSchema, T>;
/** Columns to write: those not named stay as they are (`update`) or get their default (`insert`). */
export type ColumnValues<T extends TableName> = ColumnValuesOf<OpenVSwitchSchema, T>;

export type ColumnName<T extends TableName> = keyof ColumnsOf<OpenVSwitchSchema, T> & string;

/** What happened to one row: inserted (no `old`), modified (both), deleted (no `new`). */
export type RowChange = {
  [T in TableName]: {
    readonly table: T;
    readonly uuid: Uuid;
    readonly old?: Row<T>;
    readonly new?: Row<T>;
  };
}[TableName];

/** RFC 7047 §5.1 mutators. `insert` and `delete` work on sets and maps, the others on numbers. */
export type Mutator = "+=" | "-=" | "*=" | "/=" | "%=" | "insert" | "delete";

/** The operations of one transaction. References may name rows inserted earlier in the same one. */
export interface Txn {
  /** Adds a row. The UUID is final: usable as a reference inside the transaction and after it. */
  insert<T extends TableName>(table: T, columns: ColumnValues<T>): Uuid;
  update<T extends TableName>(table: T, uuid: Uuid, columns: ColumnValues<T>): void;
  /**
   * RFC 7047 §5.2.4: changes a column relative to its value at commit time, so that it cannot
   * overwrite someone else's change to another member. For `delete` on a map, keys alone will do.
   */
  mutate<T extends TableName, C extends ColumnName<T>>(
    table: T,
    uuid: Uuid,
    column: C,
    mutator: Mutator,
    value: Exclude<Row<T>[C], undefined> | readonly (string | number | boolean)[] | number,
  ): void;
  delete<T extends TableName>(table: T, uuid: Uuid): void;
  /** Fails the transaction (`timed out`) unless the row's columns have these values now. */
  verify<T extends TableName>(table: T, uuid: Uuid, columns: ColumnValues<T>): void;
}

export interface TransactOptions {
  /** Recorded with the change, as `ovs-vsctl` records its command line. */
  readonly comment?: string;
}

export interface Replica {
  rows<T extends TableName>(table: T): ReadonlyMap<Uuid, Row<T>>;
  /** Returns the function that ends the subscription. A listener that throws stops no other. */
  onChange(listener: (changes: readonly RowChange[]) => void): () => void;
  /**
   * Commits atomically; resolves when the change is durable *and* visible in `rows()`. Rejects with
   * `OvsdbError`, and then nothing changed. An empty transaction resolves at once.
   */
  transact(build: (txn: Txn) => void, options?: TransactOptions): Promise<void>;
  close(): void;
}

/**
 * Starts a replica of these tables and waits for their content. It lives as long as the session: it
 * neither reconnects nor closes it. Tables or columns that an older server's schema lacks stay
 * empty.
 */
export async function openReplica(
  session: OvsdbSession,
  tables: readonly TableName[],
): Promise<Replica> {
  const schema = parseSchema(openVSwitchSchema);
  const known = parseSchema(await session.request("get_schema", [schema.name]));
  const copy = new ReplicaTables(schema, tables);
  const replica = new LiveReplica(session, schema, copy);
  await replica.start(requestsFor(copy, tables, known));
  return replica;
}

/** The `<monitor-cond-requests>` for these tables, as far as the server knows them. */
export function requestsFor(
  copy: ReplicaTables,
  tables: readonly TableName[],
  known: DatabaseSchema,
): JsonObject {
  const requests: Record<string, Json> = {};
  for (const name of tables) {
    const served = known.tables.get(name);
    if (served === undefined) continue;
    const columns = [...copy.schema(name).columns.keys()];
    requests[name] = [{
      columns: columns.filter((column) => !column.startsWith("_") && served.columns.has(column)),
    }];
  }
  return requests;
}

class LiveReplica implements Replica {
  private readonly listeners = new Set<(changes: readonly RowChange[]) => void>();
  private readonly monitorId = ["solovs", "replica", crypto.randomUUID()];
  private stopNotifications = (): void => {};
  /** Updates that overtook the content they change: they arrive while its reply is awaited. */
  private early: JsonObject[] | undefined = [];

  constructor(
    private readonly session: OvsdbSession,
    private readonly schema: DatabaseSchema,
    private readonly copy: ReplicaTables,
  ) {}

  async start(requests: JsonObject): Promise<void> {
    this.stopNotifications = this.session.onNotification((method, params) => {
      const [id, updates] = params;
      const mine = isArray(id) && id[2] === this.monitorId[2];
      if (method !== "update2" || !mine || !isObject(updates)) return;
      if (this.early) {
        this.early.push(updates);
        return;
      }
      const changes = this.applyOrClose(updates);
      if (changes.length > 0) this.tell(changes);
    });
    const params = [this.schema.name, this.monitorId, requests];
    const content = await this.session.request("monitor_cond", params);
    if (!isObject(content)) throw new OvsdbError("protocol error", "monitor reply is no object");
    this.copy.apply(content);
    const early = this.early ?? [];
    this.early = undefined;
    for (const updates of early) this.copy.apply(updates);
  }

  /** A server whose updates make no sense cannot be followed: the session ends. */
  private applyOrClose(updates: JsonObject): readonly RowChange[] {
    try {
      return this.copy.apply(updates) as readonly TypedChange[] as unknown as readonly RowChange[];
    } catch (error) {
      this.session.close();
      throw error;
    }
  }

  private tell(changes: readonly RowChange[]): void {
    const failures: unknown[] = [];
    for (const listener of [...this.listeners]) {
      try {
        listener(changes);
      } catch (error) {
        failures.push(error);
      }
    }
    // One listener's failure is not another's; the session logs it.
    if (failures.length > 0) throw failures[0];
  }

  rows<T extends TableName>(table: T): ReadonlyMap<Uuid, Row<T>> {
    return this.copy.rows(table) as unknown as ReadonlyMap<Uuid, Row<T>>;
  }

  onChange(listener: (changes: readonly RowChange[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async transact(build: (txn: Txn) => void, options: TransactOptions = {}): Promise<void> {
    const txn = new OperationList(this.schema);
    build(txn);
    await txn.send(this.session, options);
  }

  close(): void {
    this.stopNotifications();
    this.listeners.clear();
    this.session.request("monitor_cancel", [this.monitorId]).catch(() => {
      // The session is closing too: then the monitor is gone anyway.
    });
  }
}

/** The operations of a transaction as RFC 7047 §5.2 writes them. */
export class OperationList implements Txn {
  private readonly operations: JsonObject[] = [];

  constructor(private readonly schema: DatabaseSchema) {}

  /** Has the server do them all, or none; only while this client holds `lock`, if one is named. */
  async send(session: OvsdbSession, options: TransactOptions, lock?: string): Promise<void> {
    if (this.operations.length === 0) return;
    const operations: JsonObject[] = lock === undefined ? [] : [{ op: "assert", lock }];
    operations.push(...this.operations);
    if (options.comment !== undefined) {
      operations.push({ op: "comment", comment: options.comment });
    }
    const results = await session.request("transact", [this.schema.name, ...operations]);
    if (!isArray(results)) throw new OvsdbError("protocol error", "transact reply is no array");
    const failed = results.find((result) => isObject(result) && "error" in result);
    if (failed !== undefined) throw OvsdbError.fromJson(failed);
  }

  private column(table: string, name: string): Column {
    const column = this.schema.tables.get(table)?.columns.get(name);
    if (column === undefined) {
      throw new OvsdbError("unknown column", `No column ${name} in table ${table}.`);
    }
    return column;
  }

  private row(table: string, values: object): JsonObject {
    return Object.fromEntries(
      Object.entries(values).map((
        [name, value],
      ) => [name, valueToJson(value, this.column(table, name))]),
    );
  }

  insert<T extends TableName>(table: T, columns: ColumnValues<T>): Uuid {
    const uuid = crypto.randomUUID();
    this.operations.push({ op: "insert", table, uuid, row: this.row(table, columns) });
    return uuid;
  }

  update<T extends TableName>(table: T, uuid: Uuid, columns: ColumnValues<T>): void {
    const row = this.row(table, columns);
    this.operations.push({ op: "update", table, where: whereUuid(uuid), row });
  }

  mutate<T extends TableName, C extends ColumnName<T>>(
    table: T,
    uuid: Uuid,
    name: C,
    mutator: Mutator,
    value: Exclude<Row<T>[C], undefined> | readonly (string | number | boolean)[] | number,
  ): void {
    const column = this.column(table, name);
    const keysOnly = mutator === "delete" && isMap(column.type) && Array.isArray(value);
    const arithmetic = mutator !== "insert" && mutator !== "delete";
    const arg = arithmetic
      ? value as number
      : keysOnly
      ? keysToJson(value as readonly unknown[], column)
      : valueToJson(value, column);
    this.operations.push({
      op: "mutate",
      table,
      where: whereUuid(uuid),
      mutations: [[name, mutator, arg]],
    });
  }

  delete<T extends TableName>(table: T, uuid: Uuid): void {
    this.operations.push({ op: "delete", table, where: whereUuid(uuid) });
  }

  verify<T extends TableName>(table: T, uuid: Uuid, columns: ColumnValues<T>): void {
    const row = this.row(table, columns);
    this.operations.push({
      op: "wait",
      table,
      where: whereUuid(uuid),
      columns: Object.keys(row),
      until: "==",
      rows: [row],
      timeout: 0,
    });
  }
}

const whereUuid = (uuid: Uuid): Json => [["_uuid", "==", ["uuid", uuid]]];
