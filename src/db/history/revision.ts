/** Revisions: what the history keeps of a commit that changed the configuration. */
import type { Commit } from "../commit.ts";
import type { Json, JsonObject } from "../json.ts";
import { type MemberChange, memberChange, type MemberChanges } from "./members.ts";
import { openVSwitchSchema } from "../schema/openvswitch.ts";
import { openVSwitchStatus } from "../schema/openvswitch-status.ts";
import type { Column, TableSchema } from "../schema/schema.ts";
import type { Row, RowDelta } from "../table.ts";
import { type Datum, datumToJson, isDefault } from "../values/datum.ts";

/** Who asked for a change, as far as it could be found out. */
export interface Author {
  /** `unix`, `tcp:ADDRESS:PORT`, or the name of a part of the daemon. */
  readonly who: string;
  /** Of the process at the other end of a Unix socket, when it connected. */
  readonly pid?: number;
  readonly uid?: number;
  readonly user?: string;
  readonly command?: string;
}

/**
 * What happened to one row: inserted (`new` alone), deleted (`old` alone), or modified (both, with
 * just the columns that differ). Of an inserted or deleted row, columns at their defaults are left
 * out. Values are in OVSDB's JSON notation.
 */
export interface RowChange {
  /** What people call the row: its `name`, `target` or `id`, or `.`. */
  readonly name?: string;
  readonly old?: JsonObject;
  readonly new?: JsonObject;
  /** Of a modified row: columns with many members, which are in neither `old` nor `new`. */
  readonly members?: MemberChanges;
}

/** Table → UUID → what happened to the row. */
export type Changes = { readonly [table: string]: { readonly [uuid: string]: RowChange } };

/**
 * `change`: a transaction. `baseline`: the history begins here. `convert`: the data was put under
 * another schema; what that dropped is not recorded, so nobody can go back beyond it.
 */
export type RevisionKind = "change" | "baseline" | "convert";

export interface NewRevision {
  readonly timeMs: number;
  readonly kind: RevisionKind;
  readonly author: Author;
  readonly comment: string | undefined;
  readonly inserted: number;
  readonly modified: number;
  readonly deleted: number;
  readonly changes: Changes;
}

export interface Revision extends NewRevision {
  readonly number: number;
}

/** A revision without its changes. */
export type RevisionSummary = Omit<Revision, "changes">;

/** True for a column that an operator sets and the history keeps. */
export type IsConfiguration = (table: TableSchema, column: Column) => boolean;

/** Which columns are configuration: of a schema that is not Open_vSwitch's, all that are stored. */
export function configurationOf(databaseName: string): IsConfiguration {
  const declared: { readonly [table: string]: readonly string[] | undefined } =
    databaseName === openVSwitchSchema.name ? openVSwitchStatus : {};
  const status = new Map(
    Object.entries(declared).map(([table, columns]) => [table, new Set<string>(columns)]),
  );
  return (table, { name, persistent }) =>
    persistent && !name.startsWith("_") && status.get(table.name)?.has(name) !== true;
}

/** The columns of a row that are configuration and not at their defaults. */
export function configurationColumns(
  table: TableSchema,
  row: Row,
  isConfiguration: IsConfiguration,
): JsonObject {
  const columns: Record<string, Json> = {};
  for (const column of table.columnList) {
    const value = row.fields[column.index] as Datum;
    if (value === table.defaults[column.index]) continue;
    if (isDefault(value, column.type) || !isConfiguration(table, column)) continue;
    columns[column.name] = datumToJson(value, column.type);
  }
  return columns;
}

const NAME_COLUMNS = ["name", "target", "id"];

/** What people call a row, if it has something of that kind; the only row of its table is `.`. */
export function rowName(table: TableSchema, row: Row): string | undefined {
  if (table.maxRows === 1) return ".";
  for (const name of NAME_COLUMNS) {
    const column = table.columns.get(name);
    if (column === undefined || column.type.value !== undefined || column.type.max !== 1) continue;
    const atom = row.fields[column.index]?.keys[0];
    if (atom !== undefined && atom !== "") return String(atom);
  }
  return undefined;
}

function rowChange(delta: RowDelta, isConfiguration: IsConfiguration): RowChange | undefined {
  const { table: { schema }, before, after, changed } = delta;
  const named = after ?? before;
  const label = named === undefined ? undefined : rowName(schema, named);
  const name = label === undefined ? {} : { name: label };
  if (before === undefined || after === undefined) {
    return {
      ...name,
      ...(before && { old: configurationColumns(schema, before, isConfiguration) }),
      ...(after && { new: configurationColumns(schema, after, isConfiguration) }),
    };
  }
  const columns = changed.filter((column) => isConfiguration(schema, column));
  if (columns.length === 0) return undefined;
  const old: Record<string, Json> = {};
  const now: Record<string, Json> = {};
  const members: Record<string, MemberChange> = {};
  for (const column of columns) {
    const [a, b] = [before.fields[column.index] as Datum, after.fields[column.index] as Datum];
    const change = memberChange(column, a, b);
    if (change !== undefined) members[column.name] = change;
    else {
      old[column.name] = datumToJson(a, column.type);
      now[column.name] = datumToJson(b, column.type);
    }
  }
  const some = Object.keys(members).length > 0;
  return { ...name, old, new: now, ...(some ? { members } : {}) };
}

/** The revision that a commit makes; undefined if it changes no configuration. */
export function revisionOf(
  commit: Commit,
  isConfiguration: IsConfiguration,
): NewRevision | undefined {
  const changes: { [table: string]: { [uuid: string]: RowChange } } = {};
  const counts = { inserted: 0, modified: 0, deleted: 0 };
  for (const delta of commit.deltas) {
    const change = rowChange(delta, isConfiguration);
    if (change === undefined) continue;
    (changes[delta.table.schema.name] ??= {})[delta.uuid] = change;
    if (change.old === undefined) counts.inserted++;
    else if (change.new === undefined) counts.deleted++;
    else counts.modified++;
  }
  if (counts.inserted + counts.modified + counts.deleted === 0) return undefined;
  const { timeMs, author, comment } = commit;
  return { timeMs, kind: "change", author, comment, ...counts, changes };
}

/** A revision that changes no row. */
export const emptyRevision = (
  kind: RevisionKind,
  timeMs: number,
  comment: string,
): NewRevision => ({
  timeMs,
  kind,
  author: { who: "solovs" },
  comment,
  inserted: 0,
  modified: 0,
  deleted: 0,
  changes: {},
});
