/**
 * A transaction in progress: the rows that it has changed, laid over the tables, which stay as
 * they are until it commits. Giving it up is forgetting it.
 */
import { UUID_COLUMN, VERSION_COLUMN } from "../schema/schema.ts";
import type { Row, Table, Tables } from "../table.ts";
import { type Datum, scalar } from "../values/datum.ts";
import { type Condition, matchesAll, pinnedUuid } from "./condition.ts";

/** A row in the transaction. Both undefined: inserted and deleted again. */
export interface PendingRow {
  readonly table: Table;
  readonly uuid: string;
  readonly before: Row | undefined;
  after: Row | undefined;
}

export class Transaction {
  /** In the order in which rows were first touched. */
  readonly pending = new Map<Table, Map<string, PendingRow>>();
  private readonly comments: string[] = [];

  constructor(readonly tables: Tables) {}

  get comment(): string | undefined {
    return this.comments.length === 0 ? undefined : this.comments.join("\n");
  }

  addComment(text: string): void {
    this.comments.push(text);
  }

  table(name: string): Table {
    return this.tables.get(name) as Table;
  }

  /** The row as the transaction sees it. */
  get(table: Table, uuid: string): Row | undefined {
    const pending = this.pending.get(table)?.get(uuid);
    return pending === undefined ? table.rows.get(uuid) : pending.after;
  }

  /** Draws a row into the transaction; undefined if there is none and never was in it. */
  touch(table: Table, uuid: string): PendingRow | undefined {
    const found = this.pending.get(table)?.get(uuid);
    if (found !== undefined) return found;
    const row = table.rows.get(uuid);
    return row === undefined ? undefined : this.add({ table, uuid, before: row, after: row });
  }

  private add(row: PendingRow): PendingRow {
    const rows = this.pending.get(row.table) ?? new Map<string, PendingRow>();
    this.pending.set(row.table, rows.set(row.uuid, row));
    return row;
  }

  /** A row's UUID must be new in its table, also within this transaction. */
  mayInsert(table: Table, uuid: string): boolean {
    return !table.rows.has(uuid) && this.pending.get(table)?.has(uuid) !== true;
  }

  /** `fields` are complete but for `_uuid` and `_version`. */
  insert(table: Table, uuid: string, fields: readonly Datum[]): void {
    const after = [...fields];
    after[UUID_COLUMN] = scalar(uuid);
    after[VERSION_COLUMN] = scalar(crypto.randomUUID());
    this.add({ table, uuid, before: undefined, after: { uuid, fields: after } });
  }

  replace(table: Table, uuid: string, fields: readonly Datum[]): void {
    const row = this.touch(table, uuid);
    if (row?.after !== undefined) row.after = { uuid, fields };
  }

  delete(table: Table, uuid: string): void {
    const row = this.touch(table, uuid);
    if (row === undefined) return;
    if (row.before === undefined) this.pending.get(table)?.delete(uuid);
    else row.after = undefined;
  }

  /** The rows that match, found before any of them is changed. */
  select(table: Table, condition: Condition): Row[] {
    const uuid = pinnedUuid(condition);
    if (uuid !== undefined) {
      const row = this.get(table, uuid);
      return row !== undefined && matchesAll(condition, row.fields) ? [row] : [];
    }
    const pending = this.pending.get(table);
    const rows: Row[] = [];
    for (const row of table.rows.values()) {
      if (pending?.has(row.uuid) !== true && matchesAll(condition, row.fields)) rows.push(row);
    }
    for (const { after } of pending?.values() ?? []) {
      if (after !== undefined && matchesAll(condition, after.fields)) rows.push(after);
    }
    return rows;
  }

  *allPending(): Generator<PendingRow> {
    for (const rows of this.pending.values()) yield* rows.values();
  }
}
