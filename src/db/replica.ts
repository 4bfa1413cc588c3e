/**
 * A live, typed copy of chosen Open_vSwitch tables.
 *
 * The slow path sees the database only through this interface. It runs over any `OvsdbSession`:
 * the daemon's own database in process, or a JSON-RPC connection to any OVSDB server. A change is
 * seen through `rows()` first, then told to the listeners, once for each atomically applied update.
 */
import type { ColumnValuesOf, RowOf, TableNameOf, Uuid } from "./schema/declare.ts";
import type { OpenVSwitchSchema } from "./schema/openvswitch.ts";

export type { Uuid };

export type TableName = TableNameOf<OpenVSwitchSchema>;
/** A row as read: `_uuid` and each column; a column outside the replicated set is its default. */
export type Row<T extends TableName> = RowOf<OpenVSwitchSchema, T>;
/** Columns to write: those not named stay as they are (`update`) or get their default (`insert`). */
export type ColumnValues<T extends TableName> = ColumnValuesOf<OpenVSwitchSchema, T>;

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
  mutate<T extends TableName, C extends keyof ColumnValues<T> & string>(
    table: T,
    uuid: Uuid,
    column: C,
    mutator: Mutator,
    value:
      | NonNullable<ColumnValues<T>[C]>
      | readonly (string | number | boolean)[]
      | number,
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
