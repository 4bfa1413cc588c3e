/**
 * Monitors: what a client is told about, and how (RFC 7047 §4.1.5–§4.1.6; ovsdb-server(7) for
 * `monitor_cond` and `monitor_cond_since`).
 *
 * | version | request              | notification | a modified row carries            |
 * |---------|----------------------|--------------|-----------------------------------|
 * | 1       | `monitor`            | `update`     | old values and the whole new row  |
 * | 2       | `monitor_cond`       | `update2`    | differences of the changed columns|
 * | 3       | `monitor_cond_since` | `update3`    | the same, and a transaction id    |
 *
 * Versions 2 and 3 may have a condition for each table: a row that comes to match is an insertion
 * for the client, one that ceases to is a deletion.
 */
import type { Commit } from "./commit.ts";
import { syntaxError } from "./error.ts";
import { emptyObject, isArray, type Json, type JsonObject, member } from "./json.ts";
import { Members } from "./members.ts";
import { type Column, UUID_COLUMN } from "./schema/schema.ts";
import type { Row, Table, Tables } from "./table.ts";
import { AnyOf, parseCondition } from "./transaction/condition.ts";
import { type Datum, datumToJson, difference, equalDatums, isDefault } from "./values/datum.ts";

export type MonitorVersion = 1 | 2 | 3;

type Change = "initial" | "insert" | "delete" | "modify";

type Selection = Readonly<Record<Change, boolean>>;

interface MonitoredTable {
  readonly table: Table;
  /** Which changes some column wants. */
  select: Selection;
  readonly columns: { readonly column: Column; readonly select: Selection }[];
  condition: AnyOf;
}

const everything = new AnyOf([]);

/** A `<table-updates>` or `<table-updates2>` object; undefined if there is nothing to tell. */
export type Updates = JsonObject | undefined;

export class Monitor {
  private constructor(
    readonly version: MonitorVersion,
    private readonly tables: ReadonlyMap<Table, MonitoredTable>,
    /** Equal for monitors that always tell the same; undefined while a condition narrows it. */
    private readonly sharedKey: string,
  ) {}

  /** `requests` is the request's `<monitor-requests>` object. */
  static parse(tables: Tables, requests: JsonObject, version: MonitorVersion): Monitor {
    const monitored = new Map<Table, MonitoredTable>();
    for (const name of Object.keys(requests)) {
      const table = tables.get(name);
      if (table === undefined) throw syntaxError(undefined, `no table named ${name}`);
      const json = member(requests, name) as Json;
      const target: MonitoredTable = {
        table,
        select: { initial: false, insert: false, delete: false, modify: false },
        columns: [],
        condition: everything,
      };
      for (const request of isArray(json) ? json : [json]) addRequest(target, request, version);
      monitored.set(table, target);
    }
    return new Monitor(version, monitored, `${version} ${JSON.stringify(requests)}`);
  }

  private get conditional(): boolean {
    return [...this.tables.values()].some(({ condition }) => condition.condition.length > 0);
  }

  /** The whole content that matches. */
  initial(): JsonObject {
    return this.collect(function* (tables) {
      for (const target of tables.values()) {
        for (const row of target.table.rows.values()) {
          yield { target, uuid: row.uuid, before: undefined, after: row, initial: true };
        }
      }
    }) ?? {};
  }

  /** What one commit changed. `cache` serves all monitors of one commit. */
  updates(commit: Commit, cache: Map<string, Updates>): Updates {
    if (this.conditional) return this.compose([commit]);
    if (cache.has(this.sharedKey)) return cache.get(this.sharedKey);
    const updates = this.compose([commit]);
    cache.set(this.sharedKey, updates);
    return updates;
  }

  /** What several commits changed together: a row that came and went is not told at all. */
  compose(commits: readonly Commit[]): Updates {
    const rows = new Map<Table, Map<string, { before: Row | undefined; after: Row | undefined }>>();
    for (const { deltas } of commits) {
      for (const { table, uuid, before, after } of deltas) {
        if (!this.tables.has(table)) continue;
        const changes = rows.get(table) ?? new Map();
        rows.set(table, changes);
        const known = changes.get(uuid);
        if (known === undefined) changes.set(uuid, { before, after });
        else known.after = after;
      }
    }
    return this.collect(function* (tables) {
      for (const [table, changes] of rows) {
        const target = tables.get(table) as MonitoredTable;
        for (const [uuid, { before, after }] of changes) {
          yield { target, uuid, before, after, initial: false };
        }
      }
    });
  }

  /**
   * `monitor_cond_change`: new conditions for some tables. Returns what the client must be told so
   * that it has the rows of the new condition.
   */
  changeConditions(tables: Tables, requests: JsonObject): Updates {
    const changed: { target: MonitoredTable; condition: AnyOf }[] = [];
    for (const name of Object.keys(requests)) {
      const table = tables.get(name);
      if (table === undefined) throw syntaxError(undefined, `no table named ${name}`);
      const target = this.tables.get(table);
      if (target === undefined) {
        throw syntaxError(undefined, `no table named ${name} in monitor session`);
      }
      const json = member(requests, name) as Json;
      if (!isArray(json)) {
        throw syntaxError(undefined, `table ${name} no monitor-cond-change JSON array`);
      }
      for (const request of json) {
        const members = new Members(request, `table ${name}`);
        const columns = members.optional("columns", "array");
        const where = members.optional("where", "array");
        members.finish();
        if (columns !== undefined) throw syntaxError(request, "changing columns is unsupported");
        const condition = new AnyOf(parseCondition(table.schema, where ?? []));
        changed.push({ target, condition });
      }
    }
    const updates = emptyObject();
    for (const { target, condition } of changed) {
      const tableUpdates = emptyObject();
      for (const row of target.table.rows.values()) {
        const was = target.condition.matches(row.fields);
        const is = condition.matches(row.fields);
        if (was === is) continue;
        const update = rowUpdate(target, is ? "insert" : "delete", row, row, this.version);
        if (update !== undefined) tableUpdates[row.uuid] = update;
      }
      target.condition = condition;
      if (Object.keys(tableUpdates).length > 0) updates[target.table.schema.name] = tableUpdates;
    }
    return Object.keys(updates).length === 0 ? undefined : updates;
  }

  private collect(
    changes: (tables: ReadonlyMap<Table, MonitoredTable>) => Iterable<RowChange>,
  ): Updates {
    const updates = emptyObject();
    let any = false;
    for (const { target, uuid, before, after, initial } of changes(this.tables)) {
      const change = classify(target.condition, before, after, initial);
      if (change === undefined) continue;
      const update = rowUpdate(target, change, before, after, this.version);
      if (update === undefined) continue;
      const { name } = target.table.schema;
      (updates[name] ??= emptyObject()) as JsonObject;
      (updates[name] as { [uuid: string]: Json })[uuid] = update;
      any = true;
    }
    return any ? updates : undefined;
  }
}

interface RowChange {
  readonly target: MonitoredTable;
  readonly uuid: string;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
  readonly initial: boolean;
}

function addRequest(target: MonitoredTable, request: Json, version: MonitorVersion): void {
  const { schema } = target.table;
  const members = new Members(request, `table ${schema.name}`);
  const where = version === 1 ? undefined : members.optional("where", "array");
  const columnsJson = members.optional("columns", "array");
  const selectJson = members.optional("select", "object");
  members.finish();
  const select = parseSelect(schema.name, selectJson);
  target.select = {
    initial: target.select.initial || select.initial,
    insert: target.select.insert || select.insert,
    delete: target.select.delete || select.delete,
    modify: target.select.modify || select.modify,
  };
  const columns = columnsJson?.map((name) => {
    if (typeof name !== "string") throw syntaxError(columnsJson, "array of column names expected");
    const column = schema.columns.get(name);
    if (column === undefined) throw syntaxError(columnsJson, `${name} is not a valid column name`);
    return column;
  }) ?? schema.columnList.filter(({ index }) => index !== UUID_COLUMN);
  for (const column of columns) {
    if (target.columns.some((known) => known.column === column)) {
      throw syntaxError(columnsJson, `column ${column.name} mentioned more than once`);
    }
    target.columns.push({ column, select });
  }
  if (where !== undefined) target.condition = new AnyOf(parseCondition(schema, where));
}

function parseSelect(table: string, json: JsonObject | undefined): Selection {
  if (json === undefined) return { initial: true, insert: true, delete: true, modify: true };
  const members = new Members(json, `table ${table} select`);
  const flag = (name: Change): boolean => members.optional(name, "boolean") ?? true;
  const select = {
    initial: flag("initial"),
    insert: flag("insert"),
    delete: flag("delete"),
    modify: flag("modify"),
  };
  members.finish();
  return select;
}

function classify(
  condition: AnyOf,
  before: Row | undefined,
  after: Row | undefined,
  initial: boolean,
): Change | undefined {
  const was = before !== undefined && condition.matches(before.fields);
  const is = after !== undefined && condition.matches(after.fields);
  if (was) return is ? "modify" : "delete";
  return is ? (initial ? "initial" : "insert") : undefined;
}

function rowUpdate(
  target: MonitoredTable,
  change: Change,
  before: Row | undefined,
  after: Row | undefined,
  version: MonitorVersion,
): Json | undefined {
  if (!target.select[change]) return undefined;
  const differs = ({ index }: Column): boolean =>
    !equalDatums(before?.fields[index] as Datum, after?.fields[index] as Datum);
  if (change === "modify" && !target.columns.some(({ column }) => differs(column))) {
    return undefined;
  }
  const columns = target.columns.filter(({ select }) => select[change]).map(({ column }) => column);
  if (version === 1) return rowUpdate1(columns, change, before, after, differs);
  if (change === "delete") return { delete: null };
  const values: Record<string, Json> = {};
  for (const column of columns) {
    const { name, index, type } = column;
    const now = after?.fields[index] as Datum;
    if (change !== "modify") {
      if (!isDefault(now, type)) values[name] = datumToJson(now, type);
    } else if (differs(column)) {
      values[name] = datumToJson(difference(before?.fields[index] as Datum, now, type), type);
    }
  }
  return { [change]: values };
}

function rowUpdate1(
  columns: readonly Column[],
  change: Change,
  before: Row | undefined,
  after: Row | undefined,
  differs: (column: Column) => boolean,
): Json {
  const values = (row: Row, which: readonly Column[]): JsonObject =>
    Object.fromEntries(
      which.map(({ name, index, type }) => [name, datumToJson(row.fields[index] as Datum, type)]),
    );
  const old = change === "delete" ? columns : change === "modify" ? columns.filter(differs) : [];
  return {
    ...(before === undefined || change === "insert" || change === "initial"
      ? {}
      : { old: values(before, old) }),
    ...(after === undefined || change === "delete" ? {} : { new: values(after, columns) }),
  };
}
