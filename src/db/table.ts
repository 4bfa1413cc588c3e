/**
 * Tables in memory, with what makes commits cheap: for each row the count of strong references to
 * it and the rows that refer to it weakly, and for each declared index a map from values to row.
 *
 * Rows never change: a modified row is a new `Row`. So a transaction, a monitor and the table can
 * hold the same row without copies, and undoing a commit is putting the old rows back.
 */
import type { Column, DatabaseSchema, TableSchema } from "./schema/schema.ts";
import type { Atom } from "./values/atom.ts";
import { type Datum, datumKey, emptySet, forEachChange } from "./values/datum.ts";

export interface Row {
  readonly uuid: string;
  /** By column index; `_uuid` and `_version` are the first two. */
  readonly fields: readonly Datum[];
}

/** What a commit did to one row: `before` alone means deleted, `after` alone inserted. */
export interface RowDelta {
  readonly table: Table;
  readonly uuid: string;
  readonly before?: Row | undefined;
  readonly after?: Row | undefined;
  /** The columns whose values differ, `_version` apart; for an insertion or deletion, all. */
  readonly changed: readonly Column[];
}

export const indexKey = (index: readonly Column[], row: Row): string =>
  index.map((column) => datumKey(row.fields[column.index] as Datum)).join("\n");

export class Table {
  readonly rows = new Map<string, Row>();
  readonly indexes: readonly Map<string, Row>[];
  /** How many strong references there are to a row, its own apart. */
  private readonly strong = new Map<string, number>();
  /** Which rows refer weakly to a row of this table: table → UUID → how often. */
  private readonly weak = new Map<string, Map<Table, Map<string, number>>>();

  constructor(readonly schema: TableSchema) {
    this.indexes = schema.indexes.map(() => new Map<string, Row>());
  }

  strongReferences(uuid: string): number {
    return this.strong.get(uuid) ?? 0;
  }

  addStrongReferences(uuid: string, delta: number): void {
    const count = this.strongReferences(uuid) + delta;
    if (count === 0) this.strong.delete(uuid);
    else this.strong.set(uuid, count);
  }

  /** The rows that refer weakly to a row of this table. */
  *weakReferrers(uuid: string): Generator<{ readonly table: Table; readonly uuid: string }> {
    for (const [table, sources] of this.weak.get(uuid) ?? []) {
      for (const source of sources.keys()) yield { table, uuid: source };
    }
  }

  addWeakReference(uuid: string, table: Table, source: string, delta: 1 | -1): void {
    const tables = this.weak.get(uuid) ?? new Map<Table, Map<string, number>>();
    const sources = tables.get(table) ?? new Map<string, number>();
    const count = (sources.get(source) ?? 0) + delta;
    if (count > 0) {
      this.weak.set(uuid, tables.set(table, sources.set(source, count)));
      return;
    }
    sources.delete(source);
    if (sources.size === 0) tables.delete(table);
    if (tables.size === 0) this.weak.delete(uuid);
  }
}

export type Tables = ReadonlyMap<string, Table>;

export const createTables = (schema: DatabaseSchema): Tables =>
  new Map([...schema.tables.values()].map((table) => [table.name, new Table(table)]));

/**
 * Tells how the references of one kind differ between two states of a row. `delta` is −1 for one
 * that was, +1 for one that is.
 */
export function forEachReferenceChange(
  columns: readonly Column[],
  strength: "strong" | "weak",
  before: Row | undefined,
  after: Row | undefined,
  visit: (column: Column, refTable: string, uuid: string, delta: 1 | -1) => void,
): void {
  for (const column of columns) {
    const old = before?.fields[column.index] ?? emptySet;
    const now = after?.fields[column.index] ?? emptySet;
    if (old === now) continue;
    for (const { base, side } of column[strength]) {
      const uuidAt = (datum: Datum, i: number): string => (datum[side]?.[i] as Atom) as string;
      forEachChange(
        old,
        now,
        (i) => visit(column, base.refTable as string, uuidAt(old, i), -1),
        (i) => visit(column, base.refTable as string, uuidAt(now, i), 1),
      );
    }
  }
}

/** Puts one row's new state in place of its old one, and keeps indexes and references in step. */
function replaceRow(tables: Tables, table: Table, uuid: string, before?: Row, after?: Row): void {
  if (after === undefined) table.rows.delete(uuid);
  else table.rows.set(uuid, after);
  const { schema } = table;
  forEachReferenceChange(schema.strongRefs, "strong", before, after, (_, refTable, to, delta) => {
    if (to !== uuid) tables.get(refTable)?.addStrongReferences(to, delta);
  });
  forEachReferenceChange(schema.weakRefs, "weak", before, after, (_, refTable, to, delta) => {
    tables.get(refTable)?.addWeakReference(to, table, uuid, delta);
  });
}

/** Makes the tables what the deltas say. Cannot fail: everything was checked before. */
export function applyDeltas(tables: Tables, deltas: readonly RowDelta[]): void {
  // Old index entries go before new ones come: two rows may have exchanged their values.
  for (const { table, before } of deltas) {
    if (before === undefined) continue;
    table.schema.indexes.forEach((index, i) => table.indexes[i]?.delete(indexKey(index, before)));
  }
  for (const { table, uuid, before, after } of deltas) {
    replaceRow(tables, table, uuid, before, after);
    if (after === undefined) continue;
    table.schema.indexes.forEach((index, i) =>
      table.indexes[i]?.set(indexKey(index, after), after)
    );
  }
}

/** Takes back what `applyDeltas` did with the same deltas, if nothing has been applied since. */
export function revertDeltas(tables: Tables, deltas: readonly RowDelta[]): void {
  applyDeltas(
    tables,
    deltas.map(({ table, uuid, before, after, changed }) => ({
      table,
      uuid,
      before: after,
      after: before,
      changed,
    })),
  );
}
