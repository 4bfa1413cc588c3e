/** Arithmetic of changes: several in a row become one, and one is turned round. */
import { OvsdbError } from "../error.ts";
import { equalJson, type Json, type JsonObject, member } from "../json.ts";
import type { Column, DatabaseSchema, TableSchema } from "../schema/schema.ts";
import { datumToJson, defaultDatum } from "../values/datum.ts";
import {
  applyMember,
  invertMember,
  joinMember,
  type MemberChange,
  type MemberChanges,
  memberOf,
} from "./members.ts";
import type { Changes, RowChange } from "./revision.ts";

export type MutableChanges = { [table: string]: { [uuid: string]: RowChange } };

function tableOf(schema: DatabaseSchema, name: string): TableSchema {
  const table = schema.tables.get(name);
  if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
  return table;
}

function columnOf(table: TableSchema, name: string): Column {
  const column = table.columns.get(name);
  if (column !== undefined) return column;
  throw new OvsdbError("unknown column", `No column ${name} in table ${table.name}.`);
}

/** What a column holds when nobody has set it; an unknown one holds nothing. */
export function defaultJson(table: TableSchema, column: string): Json {
  const known = table.columns.get(column);
  return known === undefined ? ["set", []] : datumToJson(defaultDatum(known.type), known.type);
}

export function withoutDefaults(table: TableSchema, columns: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(columns).filter(([name, value]) => !equalJson(value, defaultJson(table, name))),
  );
}

/** What turns one complete row into another, where columns left out are at their defaults. */
export function rowDifference(
  table: TableSchema,
  name: { readonly name?: string },
  before: JsonObject,
  after: JsonObject,
): RowChange | undefined {
  const draft = new Modification();
  for (const column of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const value = (row: JsonObject): Json => member(row, column) ?? defaultJson(table, column);
    draft.whole(column, value(before), value(after));
  }
  return draft.change(name);
}

/** A modification being put together from columns that really differ. */
class Modification {
  private readonly old: Record<string, Json> = {};
  private readonly now: Record<string, Json> = {};
  private readonly members: Record<string, MemberChange> = {};

  whole(column: string, old: Json, now: Json): void {
    if (equalJson(old, now)) return;
    this.old[column] = old;
    this.now[column] = now;
  }

  byMember(column: string, change: MemberChange | undefined): void {
    if (change !== undefined) this.members[column] = change;
  }

  change(name: { readonly name?: string }): RowChange | undefined {
    const { old, now, members } = this;
    const some = Object.keys(members).length > 0;
    if (!some && Object.keys(now).length === 0) return undefined;
    return { ...name, old, new: now, ...(some ? { members } : {}) };
  }
}

/** A row's columns after a modification of some of them. */
function modified(
  table: TableSchema,
  row: JsonObject,
  columns: JsonObject,
  members: MemberChanges | undefined,
): JsonObject {
  const result: Record<string, Json> = { ...row, ...columns };
  for (const [name, change] of Object.entries(members ?? {})) {
    const value = member(row, name) ?? defaultJson(table, name);
    result[name] = applyMember(value, change, columnOf(table, name));
  }
  return withoutDefaults(table, result);
}

const inverted = (members: MemberChanges | undefined): MemberChanges =>
  Object.fromEntries(
    Object.entries(members ?? {}).map(([column, change]) => [column, invertMember(change)]),
  );

function joinModifications(
  table: TableSchema,
  name: { readonly name?: string },
  earlier: Required<Pick<RowChange, "old" | "new">> & Pick<RowChange, "members">,
  later: Required<Pick<RowChange, "old" | "new">> & Pick<RowChange, "members">,
): RowChange | undefined {
  const draft = new Modification();
  const columns = [earlier, later].flatMap((change) => [
    ...Object.keys(change.new),
    ...Object.keys(change.members ?? {}),
  ]);
  for (const column of new Set(columns)) {
    const [first, between] = [member(earlier.old, column), member(earlier.new, column)];
    const [beforeLast, last] = [member(later.old, column), member(later.new, column)];
    const a = memberOf(earlier.members, column);
    const b = memberOf(later.members, column);
    const known = (): Column => columnOf(table, column);
    if (first !== undefined && between !== undefined) {
      draft.whole(column, first, b ? applyMember(between, b, known()) : last ?? between);
    } else if (beforeLast !== undefined && last !== undefined) {
      const old = a ? applyMember(beforeLast, invertMember(a), known()) : beforeLast;
      draft.whole(column, old, last);
    } else draft.byMember(column, a && b ? joinMember(a, b, known()) : a ?? b);
  }
  return draft.change(name);
}

/** Two changes of one row, one after the other, as one; undefined if they cancel out. */
function join(table: TableSchema, earlier: RowChange, later: RowChange): RowChange | undefined {
  const label = later.name ?? earlier.name;
  const name = label === undefined ? {} : { name: label };
  const { old: first, new: between } = earlier;
  const { old: beforeLast, new: last } = later;
  if (between !== undefined && beforeLast !== undefined) {
    if (first === undefined && last === undefined) return undefined;
    if (first === undefined) {
      return { ...name, new: modified(table, between, last as JsonObject, later.members) };
    }
    if (last === undefined) {
      return { ...name, old: modified(table, beforeLast, first, inverted(earlier.members)) };
    }
    return joinModifications(
      table,
      name,
      { old: first, new: between, ...(earlier.members && { members: earlier.members }) },
      { old: beforeLast, new: last, ...(later.members && { members: later.members }) },
    );
  }
  // Deleted, and later made again under its old UUID.
  if (first !== undefined && last !== undefined) return rowDifference(table, name, first, last);
  throw new OvsdbError("internal error", `the history of table ${table.name} contradicts itself`);
}

/** All these changes as one. They come newest first. */
export function joinChanges(schema: DatabaseSchema, newestFirst: Iterable<Changes>): Changes {
  const result: MutableChanges = {};
  for (const changes of newestFirst) {
    for (const [tableName, rows] of Object.entries(changes)) {
      const table = tableOf(schema, tableName);
      const known = result[tableName] ??= {};
      for (const [uuid, earlier] of Object.entries(rows)) {
        const later = known[uuid];
        const joined = later === undefined ? earlier : join(table, earlier, later);
        if (joined === undefined) delete known[uuid];
        else known[uuid] = joined;
      }
    }
  }
  return Object.fromEntries(
    Object.entries(result).filter(([, rows]) => Object.keys(rows).length > 0),
  );
}

/** What takes these changes back. */
export function invertChanges(changes: Changes): Changes {
  const invert = ({ name, old, new: now, members }: RowChange): RowChange => ({
    ...(name === undefined ? {} : { name }),
    ...(now === undefined ? {} : { old: now }),
    ...(old === undefined ? {} : { new: old }),
    ...(members === undefined ? {} : { members: inverted(members) }),
  });
  return Object.fromEntries(
    Object.entries(changes).map(([table, rows]) => [
      table,
      Object.fromEntries(Object.entries(rows).map(([uuid, change]) => [uuid, invert(change)])),
    ]),
  );
}
