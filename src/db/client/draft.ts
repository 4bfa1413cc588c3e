/**
 * A transaction in the making, on a `DatabaseCopy`: what it has written is what it reads.
 *
 * Invariants: nothing leaves before `commit`. What a decision was based on is verified: `verify`
 * makes the commit fail as `stale` if someone else changed the column since it was read; whoever
 * gets `stale` waits for the copy to catch up and drafts again. A draft that changes nothing is not
 * sent at all. Rows are inserted under names that the server replaces by UUIDs of its own choice
 * (`inserted` tells which), unless a UUID is asked for.
 *
 * `write` replaces a whole column; `insertMember` and `removeMember` are merged by the server with
 * what it has then, and are not visible to `read`.
 *
 * Reference: RFC 7047 §5.2.
 */
import { OvsdbError } from "../error.ts";
import { canonical, isArray, isObject, type Json, type JsonObject, member } from "../json.ts";
import type { ColumnName, Row, TableName } from "../replica.ts";
import type { Uuid } from "../schema/declare.ts";
import type { Column, TableSchema } from "../schema/schema.ts";
import { isMap } from "../schema/type.ts";
import { typedValue, valueToDatum } from "../typed-row.ts";
import type { Atom } from "../values/atom.ts";
import { compareAtoms, parseUuid } from "../values/atom.ts";
import { type Datum, datumToJson, defaultDatum, equalDatums, findKey } from "../values/datum.ts";
import type { CopiedRow, DatabaseCopy } from "./copy.ts";

/** Column names of a declared table; any name of a table that is only known by its schema. */
type ColumnIn<T extends string> = T extends TableName ? ColumnName<T> : string;
type ValueIn<T extends string, C> = T extends TableName
  ? C extends ColumnName<T> ? Row<T>[C] : never
  : unknown;

export interface CommitOptions {
  /** Recorded with the change. */
  readonly comment?: string;
  /** Ask the server for everything but the change itself. */
  readonly dryRun?: boolean;
  /** Add 1 to this integer column if anything else changes. */
  readonly increment?: { readonly row: DraftRow; readonly column: string };
}

export type CommitOutcome =
  | { readonly kind: "unchanged" }
  | {
    readonly kind: "committed";
    /** The server's UUID for each inserted row's own. */
    readonly inserted: ReadonlyMap<Uuid, Uuid>;
    /** What `increment` gave. */
    readonly incremented: number | bigint | undefined;
  }
  /** Something that was verified is no longer so: draft again when the copy was updated. */
  | { readonly kind: "stale" }
  /** The server refuses one of the operations, or the whole request. */
  | { readonly kind: "failed"; readonly error: Json; readonly ofOperation: boolean };

export class DraftRow<T extends string = string> {
  readonly written = new Map<Column, Datum>();
  readonly verified = new Set<Column>();
  readonly inserted = new Map<Column, Map<Atom, Atom | undefined>>();
  readonly removed = new Map<Column, Set<Atom>>();
  deleted = false;

  constructor(
    private readonly draft: Draft,
    readonly table: TableSchema,
    readonly uuid: Uuid,
    /** As it was when the draft began; undefined for a row that the draft inserts. */
    readonly before: CopiedRow | undefined,
    readonly keepsUuid: boolean,
  ) {}

  private column(name: string): Column {
    const column = this.table.columns.get(name);
    if (column !== undefined) return column;
    throw new OvsdbError("unknown column", `No column ${name} in table ${this.table.name}.`);
  }

  read(column: Column): Datum {
    return this.written.get(column) ?? this.before?.fields[column.index] ??
      defaultDatum(column.type);
  }

  write(column: Column, datum: Datum): void {
    this.draft.touch(this);
    this.written.set(column, sortUnique(datum));
  }

  /** What was read was what the transaction is based on. */
  verify(column: Column): void {
    if (this.before === undefined || this.written.has(column)) return;
    this.draft.touch(this);
    this.verified.add(column);
  }

  get<C extends ColumnIn<T>>(name: C): ValueIn<T, C> {
    const column = this.column(name);
    return typedValue(this.read(column), column.type) as ValueIn<T, C>;
  }

  set<C extends ColumnIn<T>>(name: C, value: ValueIn<T, C>): void {
    const column = this.column(name);
    this.write(column, valueToDatum(value, column));
  }

  verifyColumns(...names: readonly ColumnIn<T>[]): void {
    for (const name of names) this.verify(this.column(name));
  }

  /** `insertMember` and `removeMember` by the column's name. */
  insertInto(name: ColumnIn<T>, key: Atom, value?: Atom): void {
    this.insertMember(this.column(name), key, value);
  }

  removeFrom(name: ColumnIn<T>, key: Atom): void {
    this.removeMember(this.column(name), key);
  }

  /** Adds one member to a set, or to a map, where it replaces that key's value. */
  insertMember(column: Column, key: Atom, value?: Atom): void {
    this.draft.touch(this);
    const members = this.inserted.get(column) ?? new Map<Atom, Atom | undefined>();
    this.inserted.set(column, members.set(key, value));
  }

  removeMember(column: Column, key: Atom): void {
    this.draft.touch(this);
    const members = this.removed.get(column) ?? new Set<Atom>();
    this.removed.set(column, members.add(key));
  }

  delete(): void {
    this.draft.touch(this);
    this.deleted = true;
  }
}

function sortUnique({ keys, values }: Datum): Datum {
  if (keys.length < 2) return values === undefined ? { keys } : { keys, values };
  const order = keys.map((_, i) => i).sort((i, j) =>
    compareAtoms(keys[i] as Atom, keys[j] as Atom) ||
    (values === undefined ? 0 : compareAtoms(values[i] as Atom, values[j] as Atom))
  ).filter((i, at, sorted) => at === 0 || keys[i] !== keys[sorted[at - 1] as number]);
  const sortedKeys = order.map((i) => keys[i] as Atom);
  return values === undefined
    ? { keys: sortedKeys }
    : { keys: sortedKeys, values: order.map((i) => values[i] as Atom) };
}

export class Draft {
  /** Rows read or inserted so far, by table. */
  private readonly seen = new Map<string, Map<Uuid, DraftRow>>();
  private readonly touched = new Set<DraftRow>();

  constructor(readonly copy: DatabaseCopy) {}

  private table(name: string): TableSchema {
    const table = this.copy.schema.tables.get(name);
    if (table !== undefined) return table;
    throw new OvsdbError("unknown table", `No table named ${name}.`);
  }

  private seenIn(table: string): Map<Uuid, DraftRow> {
    let rows = this.seen.get(table);
    if (rows === undefined) this.seen.set(table, rows = new Map());
    return rows;
  }

  touch(row: DraftRow): void {
    this.touched.add(row);
  }

  row<T extends string>(table: T, uuid: Uuid): DraftRow<T> | undefined {
    const seen = this.seenIn(table).get(uuid);
    if (seen !== undefined) return seen.deleted ? undefined : seen as DraftRow<T>;
    const before = this.copy.rows(table).get(uuid);
    if (before === undefined) return undefined;
    const row = new DraftRow(this, this.table(table), uuid, before, true);
    this.seenIn(table).set(uuid, row);
    return row as DraftRow<T>;
  }

  /** The rows as they are now: those of the copy first, then those inserted. */
  rows<T extends string>(table: T): DraftRow<T>[] {
    const rows = new Set<DraftRow<T>>();
    for (const uuid of this.copy.rows(table).keys()) {
      const row = this.row(table, uuid);
      if (row !== undefined) rows.add(row);
    }
    for (const row of this.seenIn(table).values()) {
      if (!row.deleted) rows.add(row as DraftRow<T>);
    }
    return [...rows];
  }

  /** Rows by reference, without those that are not there. */
  resolve<T extends string>(table: T, uuids: readonly Uuid[]): DraftRow<T>[] {
    return uuids.map((uuid) => this.row(table, uuid)).filter((row) => row !== undefined);
  }

  /** `uuid`: what the row is to be called; with `keepsUuid`, by the server too. */
  insert<T extends string>(
    table: T,
    uuid: Uuid = crypto.randomUUID(),
    keepsUuid = false,
  ): DraftRow<T> {
    const row = new DraftRow(this, this.table(table), uuid, undefined, keepsUuid);
    this.seenIn(table).set(uuid, row);
    this.touched.add(row);
    return row as DraftRow<T>;
  }

  async commit(options: CommitOptions = {}): Promise<CommitOutcome> {
    const operations = new Operations(this.copy, this.touched);
    if (!operations.changes) return { kind: "unchanged" };
    if (options.increment !== undefined) operations.increment(options.increment);
    const { list } = operations;
    if (options.comment !== undefined) list.push({ op: "comment", comment: options.comment });
    if (options.dryRun === true) list.push({ op: "abort" });
    let results: Json;
    try {
      const params = [this.copy.schema.name, ...list];
      results = await this.copy.session.request("transact", params);
    } catch (error) {
      // The database was converted or taken away: what was drafted may not fit what comes back.
      if (error instanceof OvsdbError && error.tag === "canceled") return { kind: "stale" };
      if (error instanceof OvsdbError && error.tag !== "connection closed") {
        const json = error.details === undefined ? error.tag : error.toJson();
        return { kind: "failed", error: json, ofOperation: false };
      }
      throw error;
    }
    return operations.outcome(results);
  }
}

/** The operations of one draft, and what their results say. */
class Operations {
  readonly list: JsonObject[] = [];
  changes = false;
  private readonly inserts: { readonly row: DraftRow; readonly at: number }[] = [];
  private readonly names = new Map<Uuid, string>();
  private incrementAt: number | undefined;

  constructor(private readonly copy: DatabaseCopy, rows: ReadonlySet<DraftRow>) {
    for (const row of rows) {
      if (row.before === undefined && !row.deleted && !row.keepsUuid) {
        this.names.set(row.uuid, `row${row.uuid.replaceAll("-", "_")}`);
      }
    }
    for (const row of rows) this.expect(row);
    this.expectFirstRows(rows);
    for (const row of rows) this.change(row);
  }

  private where(row: DraftRow): Json {
    return [["_uuid", "==", this.named(["uuid", row.uuid])]];
  }

  /** References to rows of this transaction, by the name that it gives them. */
  private named(json: Json): Json {
    if (!isArray(json)) return json;
    const [kind, uuid] = json;
    if (kind === "uuid" && typeof uuid === "string" && json.length === 2) {
      const name = this.names.get(uuid);
      return name === undefined ? json : ["named-uuid", name];
    }
    return json.map((element) => this.named(element));
  }

  private value(datum: Datum, column: Column): Json {
    const json = datumToJson(datum, column.type);
    const { key, value } = column.type;
    return key.type === "uuid" || value?.type === "uuid" ? this.named(json) : json;
  }

  private expect(row: DraftRow): void {
    const { before } = row;
    if (before === undefined || row.verified.size === 0) return;
    const columns = [...row.verified];
    this.list.push({
      op: "wait",
      table: row.table.name,
      timeout: 0,
      where: this.where(row),
      until: "==",
      columns: columns.map(({ name }) => name),
      rows: [Object.fromEntries(columns.map((column) => [
        column.name,
        datumToJson(before.fields[column.index] as Datum, column.type),
      ]))],
    });
  }

  /** The first row of a table that may have only one: nobody else may have made it meanwhile. */
  private expectFirstRows(rows: ReadonlySet<DraftRow>): void {
    for (const { table, before, deleted } of rows) {
      if (before !== undefined || deleted || table.maxRows !== 1) continue;
      if (this.copy.rows(table.name).size > 0) continue;
      this.list.push({
        op: "wait",
        table: table.name,
        where: [],
        timeout: 0,
        until: "==",
        rows: [],
      });
    }
  }

  private change(row: DraftRow): void {
    const table = row.table.name;
    if (row.deleted) {
      // Rows that are not roots go when nothing refers to them any more.
      if (row.before === undefined || !row.table.isRoot) return;
      this.list.push({ op: "delete", table, where: this.where(row) });
      this.changes = true;
      return;
    }
    const columns: Record<string, Json> = {};
    for (const [column, datum] of row.written) {
      const old = row.before?.fields[column.index];
      if (old === undefined && equalDatums(datum, defaultDatum(column.type))) continue;
      columns[column.name] = this.value(datum, column);
      if (old !== undefined && !equalDatums(old, datum)) this.changes = true;
    }
    if (row.before === undefined) {
      const name = this.names.get(row.uuid);
      this.inserts.push({ row, at: this.list.length });
      this.list.push({
        op: "insert",
        table,
        ...(name === undefined ? { uuid: row.uuid } : { "uuid-name": name }),
        row: columns,
      });
      this.changes = true;
    } else if (row.written.size > 0) {
      this.list.push({ op: "update", table, where: this.where(row), row: columns });
    }
    const mutations = this.mutations(row);
    if (mutations.length === 0) return;
    this.list.push({ op: "mutate", table, where: this.where(row), mutations });
    this.changes = true;
  }

  private mutations(row: DraftRow): Json[] {
    const mutations: Json[] = [];
    for (const [column, members] of row.inserted) {
      const { type } = column;
      const current = row.read(column);
      if (!isMap(type)) {
        mutations.push([column.name, "insert", this.setOf([...members.keys()], column)]);
        continue;
      }
      const changed = [...members].filter(([key, value]) => {
        const at = findKey(current.keys, key);
        return at < 0 || current.values?.[at] !== value;
      });
      const replaced = changed.map(([key]) => key)
        .filter((key) => findKey(current.keys, key) >= 0);
      if (replaced.length > 0) {
        mutations.push([column.name, "delete", this.setOf(replaced, column)]);
      }
      if (changed.length > 0) {
        const map = {
          keys: changed.map(([key]) => key),
          values: changed.map(([, v]) => v as Atom),
        };
        mutations.push([column.name, "insert", this.value(map, column)]);
      }
    }
    for (const [column, keys] of row.removed) {
      mutations.push([column.name, "delete", this.setOf([...keys], column)]);
    }
    return mutations;
  }

  private setOf(keys: readonly Atom[], column: Column): Json {
    const elements = keys.map((key) =>
      datumToJson({ keys: [key] }, { key: column.type.key, min: 1, max: 1 })
    );
    return this.named(["set", elements]);
  }

  increment({ row, column }: { readonly row: DraftRow; readonly column: string }): void {
    this.incrementAt = this.list.length;
    const [table, where] = [row.table.name, this.where(row)];
    this.list.push({ op: "mutate", table, where, mutations: [[column, "+=", 1]] });
    this.list.push({ op: "select", table, where, columns: [column] });
  }

  outcome(results: Json): CommitOutcome {
    if (!isArray(results)) return { kind: "failed", error: results, ofOperation: false };
    let stale = false;
    for (const result of results) {
      if (result === null) {
        stale = true; // an operation before it failed
        continue;
      }
      const error = isObject(result) ? member(result, "error") : result;
      if (error === undefined || error === "aborted") continue;
      if (error !== "timed out") return { kind: "failed", error: result, ofOperation: true };
      stale = true;
    }
    if (stale) return { kind: "stale" };
    const inserted = new Map<Uuid, Uuid>();
    for (const { row, at } of this.inserts) inserted.set(row.uuid, insertedUuid(results[at]));
    return { kind: "committed", inserted, incremented: this.incremented(results) };
  }

  private incremented(results: readonly Json[]): number | bigint | undefined {
    if (this.incrementAt === undefined) return undefined;
    const selected = results[this.incrementAt + 1];
    const rows = isObject(selected) ? member(selected, "rows") : undefined;
    const [row] = isArray(rows) ? rows : [];
    const [value] = isObject(row) ? Object.values(row) : [];
    if (typeof value === "number" || typeof value === "bigint") return value;
    throw new OvsdbError("protocol error", `no incremented value in ${canonical(results)}`);
  }
}

function insertedUuid(result: Json | undefined): Uuid {
  const json = isObject(result) ? member(result, "uuid") : undefined;
  const [, text] = isArray(json) ? json : [];
  const uuid = typeof text === "string" ? parseUuid(text) : undefined;
  if (uuid !== undefined) return uuid;
  throw new OvsdbError("protocol error", "insert reply has no UUID");
}
