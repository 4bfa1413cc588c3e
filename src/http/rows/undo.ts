/**
 * Taking a commit back: the operations that undo its changes of the configuration and nothing else.
 * Sets and maps are undone member by member, so that what others did to them since stays.
 */
import type { Commit } from "../../db/commit.ts";
import type { Database } from "../../db/database.ts";
import { configurationColumns } from "../../db/history/revision.ts";
import type { Json, JsonObject } from "../../db/json.ts";
import type { Column } from "../../db/schema/schema.ts";
import { isComposite, isMap } from "../../db/schema/type.ts";
import type { Row, RowDelta } from "../../db/table.ts";
import {
  type Datum,
  datumToJson,
  equalDatums,
  excludesAll,
  forEachChange,
  includesAll,
} from "../../db/values/datum.ts";

const whereUuid = (uuid: string): Json => [["_uuid", "==", ["uuid", uuid]]];

/** Undefined if somebody has changed the same configuration since: then it cannot be undone. */
export function undoing(database: Database, { deltas }: Commit): JsonObject[] | undefined {
  const operations: JsonObject[] = [];
  for (const delta of deltas) {
    const undone = undoRow(database, delta);
    if (undone === undefined) return undefined;
    operations.push(...undone);
  }
  return operations;
}

function undoRow(database: Database, delta: RowDelta): JsonObject[] | undefined {
  const { table: { schema, rows }, uuid, before, after, changed } = delta;
  const table = schema.name;
  const now = rows.get(uuid);
  const columns = changed.filter((column) => database.isConfiguration(schema, column));
  if (before === undefined) {
    // Made by the commit: it goes, unless somebody has changed it since.
    if (now === undefined) return [];
    const same = columns.every(({ index }) =>
      equalDatums(now.fields[index] as Datum, (after as Row).fields[index] as Datum)
    );
    return same ? [{ op: "delete", table, where: whereUuid(uuid) }] : undefined;
  }
  if (after === undefined) {
    if (now !== undefined) return undefined;
    const row = configurationColumns(schema, before, database.isConfiguration);
    return [{ op: "insert", table, uuid, row }];
  }
  if (columns.length === 0) return [];
  if (now === undefined) return undefined;
  const update: Record<string, Json> = {};
  const mutations: Json[] = [];
  for (const column of columns) {
    const { name, index, type } = column;
    const [old, left, current] = [before, after, now].map(({ fields }) =>
      fields[index] as Datum
    ) as [Datum, Datum, Datum];
    if (!isComposite(type)) {
      if (!equalDatums(current, left)) return undefined;
      update[name] = datumToJson(old, type);
      continue;
    }
    const undone = undoMembers(column, old, left, current);
    if (undone === undefined) return undefined;
    mutations.push(...undone);
  }
  const where = whereUuid(uuid);
  return [
    ...(Object.keys(update).length > 0 ? [{ op: "update", table, where, row: update }] : []),
    ...(mutations.length > 0 ? [{ op: "mutate", table, where, mutations }] : []),
  ];
}

function undoMembers(
  { name, type }: Column,
  old: Datum,
  left: Datum,
  current: Datum,
): Json[] | undefined {
  const [removed, added]: [number[], number[]] = [[], []];
  forEachChange(old, left, (i) => removed.push(i), (i) => added.push(i));
  const pick = (from: Datum, indexes: readonly number[]): Datum => ({
    keys: indexes.map((i) => from.keys[i]!),
    ...(isMap(type) && { values: indexes.map((i) => from.values![i]!) }),
  });
  const [back, gone] = [pick(old, removed), pick(left, added)];
  if (!includesAll(current, gone) || !excludesAll(current, back)) return undefined;
  const members = (datum: Datum): Json => {
    const json = datumToJson(datum, type);
    return Array.isArray(json) && (json[0] === "set" || json[0] === "map") ? json : ["set", [json]];
  };
  return [
    ...(added.length > 0 ? [[name, "delete", members(gone)]] : []),
    ...(removed.length > 0 ? [[name, "insert", members(back)]] : []),
  ];
}
