/**
 * What must hold when a transaction commits (RFC 7047 §3.2, §4.1.3), in this order:
 *
 * 1. Rows that did not really change drop out.
 * 2. Strong references: each must name a row; a row that is referred to cannot be deleted.
 * 3. Garbage: a row outside root tables to which nothing refers is deleted, and so on.
 * 4. `maxRows`.
 * 5. Weak references to rows that are not there disappear; a column must not fall below its `min`.
 * 6. Indexes: no two rows with the same values.
 * 7. Changed rows get a new `_version`.
 *
 * Nothing here touches the tables; the outcome is the list of deltas to apply, or an error.
 */
import { constraintViolation, OvsdbError } from "../error.ts";
import { type Column, VERSION_COLUMN } from "../schema/schema.ts";
import { forEachReferenceChange, indexKey, type Row, type RowDelta, type Table } from "../table.ts";
import { ZERO_UUID } from "../values/atom.ts";
import { compareDatums, type Datum, datumToText, equalDatums, scalar } from "../values/datum.ts";
import type { PendingRow, Transaction } from "./transaction.ts";

export function prepareCommit(txn: Transaction): RowDelta[] {
  dropUnchanged(txn);
  if (txn.pending.size === 0) return [];
  const counts = countReferences(txn);
  collectGarbage(txn, counts);
  checkMaxRows(txn);
  dropDanglingReferences(txn);
  checkIndexes(txn);
  return [...deltas(txn)];
}

const sameFields = (columns: readonly Column[], a: Row, b: Row): boolean =>
  columns.every(({ index }) => equalDatums(a.fields[index] as Datum, b.fields[index] as Datum));

function dropUnchanged(txn: Transaction): void {
  for (const [table, rows] of txn.pending) {
    for (const [uuid, { before, after }] of rows) {
      const unchanged = before === after ||
        (before !== undefined && after !== undefined &&
          sameFields(table.schema.columnList, before, after));
      if (unchanged) rows.delete(uuid);
    }
    if (rows.size === 0) txn.pending.delete(table);
  }
}

/** Strong references to each row in the transaction, as they will be after it. */
type Counts = Map<PendingRow, number>;

const currentCount = (counts: Counts, row: PendingRow): number =>
  counts.get(row) ?? row.table.strongReferences(row.uuid);

function countReferences(txn: Transaction): Counts {
  const counts: Counts = new Map();
  for (const { table, uuid, before, after } of [...txn.allPending()]) {
    forEachReferenceChange(
      table.schema.strongRefs,
      "strong",
      before,
      after,
      (column, refTable, to, delta) => {
        if (to === uuid) return;
        const target = txn.touch(txn.table(refTable), to);
        if (target === undefined) {
          throw new OvsdbError(
            "referential integrity violation",
            `Table ${table.schema.name} column ${column.name} row ${uuid} references ` +
              `nonexistent row ${to} in table ${refTable}.`,
          );
        }
        counts.set(target, currentCount(counts, target) + delta);
      },
    );
  }
  for (const row of txn.allPending()) {
    const count = currentCount(counts, row);
    if (row.after === undefined && count > 0) {
      throw new OvsdbError(
        "referential integrity violation",
        `cannot delete ${row.table.schema.name} row ${row.uuid} because of ` +
          `${count} remaining reference(s)`,
      );
    }
  }
  return counts;
}

function collectGarbage(txn: Transaction, counts: Counts): void {
  const candidates = [...txn.allPending()];
  for (let row = candidates.pop(); row !== undefined; row = candidates.pop()) {
    const { table, uuid, after } = row;
    if (after === undefined || table.schema.isRoot || currentCount(counts, row) > 0) continue;
    row.after = undefined;
    forEachReferenceChange(
      table.schema.strongRefs,
      "strong",
      after,
      undefined,
      (_, refTable, to, delta) => {
        const target = to === uuid ? undefined : txn.touch(txn.table(refTable), to);
        if (target === undefined) return;
        counts.set(target, currentCount(counts, target) + delta);
        candidates.push(target);
      },
    );
  }
}

function checkMaxRows(txn: Transaction): void {
  for (const [{ schema, rows: { size } }, rows] of txn.pending) {
    let n = size;
    for (const { before, after } of rows.values()) {
      n += Number(after !== undefined) - Number(before !== undefined);
    }
    if (n > schema.maxRows) {
      throw constraintViolation(
        `transaction causes "${schema.name}" table to contain ${n} rows, greater than the ` +
          `schema-defined limit of ${schema.maxRows} row(s)`,
      );
    }
  }
}

function dropDanglingReferences(txn: Transaction): void {
  for (const { table, uuid, before, after } of [...txn.allPending()]) {
    if (before === undefined || after !== undefined) continue;
    for (const referrer of table.weakReferrers(uuid)) txn.touch(referrer.table, referrer.uuid);
  }
  for (const row of txn.allPending()) {
    for (const column of row.table.schema.weakRefs) dropFromColumn(txn, row, column);
  }
}

function dropFromColumn(txn: Transaction, row: PendingRow, column: Column): void {
  if (row.after === undefined) return;
  const value = row.after.fields[column.index] as Datum;
  const sides = column.weak;
  const kept = value.keys.map((_, i) => i).filter((i) =>
    sides.every(({ base, side }) =>
      txn.get(txn.table(base.refTable as string), value[side]?.[i] as string) !== undefined
    )
  );
  const dropped = value.keys.length - kept.length;
  if (dropped === 0) return;
  const { table, uuid } = row;
  if (kept.length < column.type.min) {
    const inserted = row.before === undefined;
    const zero = sides.some(({ side }) => value[side]?.includes(ZERO_UUID) === true);
    throw constraintViolation(
      inserted && zero
        ? `Weak reference column "${column.name}" in "${table.schema.name}" row ${uuid} ` +
          "(inserted within this transaction) contained all-zeros UUID (probably as the default " +
          "value for this column) but deleting this value caused a constraint volation because " +
          "this column is not allowed to be empty."
        : `Deletion of ${dropped} weak reference(s) to deleted (or never-existing) rows from ` +
          `column "${column.name}" in "${table.schema.name}" row ${uuid} ` +
          (inserted ? "(inserted within this transaction) " : "") +
          "caused this column to become empty, but constraints on this column disallow an empty " +
          "column.",
    );
  }
  const pick = (atoms: Datum["keys"]) => kept.map((i) => atoms[i] as typeof atoms[number]);
  const fields = [...row.after.fields];
  fields[column.index] = {
    keys: pick(value.keys),
    ...(value.values === undefined ? {} : { values: pick(value.values) }),
  };
  row.after = { uuid, fields };
}

function checkIndexes(txn: Transaction): void {
  for (const [table, rows] of txn.pending) {
    table.schema.indexes.forEach((index, i) => {
      const seen = new Map<string, Row>();
      for (const { after } of rows.values()) {
        if (after === undefined) continue;
        const key = indexKey(index, after);
        const committed = table.indexes[i]?.get(key);
        const other = seen.get(key) ??
          (committed !== undefined && !rows.has(committed.uuid) ? committed : undefined);
        if (other !== undefined) throw duplicate(txn, table, index, other, after);
        seen.set(key, after);
      }
    });
  }
}

function duplicate(
  txn: Transaction,
  table: Table,
  index: readonly Column[],
  a: Row,
  b: Row,
): OvsdbError {
  // An order that does not depend on UUIDs, which are random.
  const order = table.schema.columnList
    .filter(({ name }) => !name.startsWith("_"))
    .map(({ index: i }) => compareDatums(a.fields[i] as Datum, b.fields[i] as Datum))
    .find((result) => result !== 0) ?? 0;
  const [first, second] = order < 0 ? [b, a] : [a, b];
  const names = index.map((column) => `"${column.name}"`);
  return constraintViolation(
    `Transaction causes multiple rows in "${table.schema.name}" table to have identical values ` +
      `(${indexValues(index, first)}) for index on column${names.length > 1 ? "s" : ""} ` +
      `${englishList(names)}.  ${originOf(txn, table, index, first, "First")}  ` +
      originOf(txn, table, index, second, "Second"),
  );
}

const indexValues = (index: readonly Column[], row: Row): string =>
  englishList(index.map(({ index: i, type }) => datumToText(row.fields[i] as Datum, type)));

const englishList = (items: readonly string[]): string =>
  items.length <= 2
    ? items.join(" and ")
    : `${items.slice(0, -1).join(", ")}, and ${items.at(-1) ?? ""}`;

function originOf(
  txn: Transaction,
  table: Table,
  index: readonly Column[],
  row: Row,
  title: string,
): string {
  const pending = txn.pending.get(table)?.get(row.uuid);
  const { before } = pending ?? {};
  const origin = pending === undefined || before === row
    ? "existed in the database before this transaction and was not modified by the transaction."
    : before === undefined
    ? "was inserted by this transaction."
    : sameFields(index, before, row)
    ? "existed in the database before this transaction, which modified some of the row's columns " +
      "but not any columns in this index."
    : `had the following index values before the transaction: ${indexValues(index, before)}.`;
  return `${title} row, with UUID ${row.uuid}, ${origin}`;
}

function* deltas(txn: Transaction): Generator<RowDelta> {
  for (const { table, uuid, before, after } of txn.allPending()) {
    if (before === after) continue;
    if (before === undefined || after === undefined) {
      yield { table, uuid, before, after, changed: table.schema.columnList };
      continue;
    }
    const changed = table.schema.columnList.filter(({ index }) =>
      !equalDatums(before.fields[index] as Datum, after.fields[index] as Datum)
    );
    if (changed.length === 0) continue;
    const fields = [...after.fields];
    fields[VERSION_COLUMN] = scalar(crypto.randomUUID());
    yield { table, uuid, before, after: { uuid, fields }, changed };
  }
}
