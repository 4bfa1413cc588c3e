/** What people call the rows that changes mention: UUIDs tell nobody anything. */
import { isArray, isObject, type Json } from "../json.ts";
import type { Tables } from "../table.ts";
import { type Changes, rowName } from "./revision.ts";

const MOST_NAMES = 10_000;

/**
 * `Table name` for each row that is changed, or referred to in a changed value, and has a name, now
 * or in these changes.
 */
export function namesIn(changes: Changes, tables: Tables): Record<string, string> {
  const names: Record<string, string> = {};
  for (const [table, rows] of Object.entries(changes)) {
    for (const [uuid, { name }] of Object.entries(rows)) {
      if (name !== undefined) names[uuid] = `${table} ${name}`;
    }
  }
  const mentioned = new Set<string>();
  for (const rows of Object.values(changes)) {
    for (const { old, new: now, members } of Object.values(rows)) {
      for (const { removed, added } of Object.values(members ?? {})) {
        collectUuids(removed, mentioned);
        collectUuids(added, mentioned);
      }
      for (const columns of [old, now]) {
        for (const value of Object.values(columns ?? {})) collectUuids(value, mentioned);
      }
    }
    for (const uuid of Object.keys(rows)) mentioned.add(uuid);
  }
  let count = 0;
  for (const uuid of mentioned) {
    if (Object.hasOwn(names, uuid)) continue;
    if (count++ > MOST_NAMES) break;
    for (const { schema, rows } of tables.values()) {
      const row = rows.get(uuid);
      const name = row === undefined ? undefined : rowName(schema, row);
      if (name !== undefined) names[uuid] = `${schema.name} ${name}`;
    }
  }
  return names;
}

function collectUuids(value: Json, into: Set<string>): void {
  if (isObject(value) || !isArray(value)) return;
  const [kind, content] = value;
  if (kind === "uuid" && typeof content === "string") into.add(content);
  else for (const element of value) collectUuids(element, into);
}
