/**
 * Changes of large sets and maps, by member: a bridge with thousands of ports that gets one more is
 * not worth recording all of them twice.
 */
import { type Json, type JsonObject, member } from "../json.ts";
import type { Column } from "../schema/schema.ts";
import { type ColumnType, isComposite, UNLIMITED } from "../schema/type.ts";
import { type Datum, datumToJson, subtract, union } from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";

/**
 * The members that a set or map lost and got, in RFC 7047 notation. A pair of a map whose value
 * changed is in both, with its old and its new value.
 */
export interface MemberChange {
  readonly removed: Json;
  readonly added: Json;
}

/** Column → its members. */
export type MemberChanges = { readonly [column: string]: MemberChange };

/** With so many members, before and after together, a change is recorded by member. */
const MANY = 16;

/** Undefined if the values are small, and better recorded whole. */
export function memberChange(
  { type }: Column,
  before: Datum,
  after: Datum,
): MemberChange | undefined {
  if (!isComposite(type) || before.keys.length + after.keys.length <= MANY) return undefined;
  return toJson(subtract(before, after), subtract(after, before), type);
}

const toJson = (removed: Datum, added: Datum, type: ColumnType): MemberChange => ({
  removed: datumToJson(removed, type),
  added: datumToJson(added, type),
});

/** Any number of members: parts of a value need not satisfy its type's limits. */
const parse = (json: Json, type: ColumnType): Datum =>
  parseDatum(json, { ...type, min: 0, max: UNLIMITED });

export const invertMember = ({ removed, added }: MemberChange): MemberChange => ({
  removed: added,
  added: removed,
});

/** The value after the change, given the one before. */
export function applyMember(value: Json, { removed, added }: MemberChange, column: Column): Json {
  const { type } = column;
  const kept = subtract(parse(value, type), parse(removed, type));
  return datumToJson(union(parse(added, type), kept), type);
}

/** Two changes, one after the other, as one; undefined if they cancel out. */
export function joinMember(
  earlier: MemberChange,
  later: MemberChange,
  { type }: Column,
): MemberChange | undefined {
  const [removedFirst, addedFirst, removedLast, addedLast] = [
    parse(earlier.removed, type),
    parse(earlier.added, type),
    parse(later.removed, type),
    parse(later.added, type),
  ];
  const removed = union(subtract(removedFirst, addedLast), subtract(removedLast, addedFirst));
  const added = union(subtract(addedLast, removedFirst), subtract(addedFirst, removedLast));
  return removed.keys.length + added.keys.length === 0 ? undefined : toJson(removed, added, type);
}

/** A `mutate` operation (RFC 7047 §5.2.4) that makes these changes to one row. */
export function mutationsFor(members: MemberChanges): Json[] {
  return Object.entries(members).flatMap(([column, { removed, added }]) => [
    ...(isEmpty(removed) ? [] : [[column, "delete", removed]]),
    ...(isEmpty(added) ? [] : [[column, "insert", added]]),
  ]);
}

const isEmpty = (json: Json): boolean =>
  Array.isArray(json) && Array.isArray(json[1]) && json[1].length === 0;

export const memberOf = (
  changes: MemberChanges | undefined,
  column: string,
): MemberChange | undefined =>
  changes === undefined
    ? undefined
    : member(changes as unknown as JsonObject, column) as unknown as MemberChange | undefined;
