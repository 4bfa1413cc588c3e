/**
 * Column values as the API writes them, and back to OVSDB's notation (RFC 7047 §5.1):
 *
 *     scalar → 5, "x", true        at most one → value or null        set → [1, 2]
 *     map → {"key": value}         UUID → "b1c0…"                     beyond ±(2^53−1) → "9223372036854775807"
 *
 * A change of a row is a JSON merge patch (RFC 7396): `null` empties a column; in a map, members are
 * set one by one and `null` removes a key; a set is replaced whole.
 */
import { OvsdbError } from "../../db/error.ts";
import type { Json } from "../../db/json.ts";
import type { Column, TableSchema } from "../../db/schema/schema.ts";
import {
  type BaseType,
  type ColumnType,
  isMap,
  isOptionalScalar,
  isScalar,
} from "../../db/schema/type.ts";
import type { Row } from "../../db/table.ts";
import type { Atom } from "../../db/values/atom.ts";
import { type Datum, datumToJson, defaultDatum } from "../../db/values/datum.ts";
import { parseDatum } from "../../db/values/parse.ts";
import { HttpProblem } from "../problem.ts";

const shownAtom = (atom: Atom | undefined): Json =>
  typeof atom === "bigint" ? String(atom) : atom ?? null;

export function shownValue(datum: Datum, type: ColumnType): Json {
  if (type.value !== undefined) {
    const entries = datum.keys.map((key, i) => [String(key), shownAtom(datum.values?.[i])]);
    return Object.fromEntries(entries) as Json;
  }
  if (isScalar(type) || isOptionalScalar(type)) return shownAtom(datum.keys[0]);
  return datum.keys.map(shownAtom);
}

/** `_uuid` and the columns: all, or those named. */
export function shownRow(
  { columnList }: TableSchema,
  row: Row,
  only?: ReadonlySet<string>,
): Record<string, Json> {
  const shown: Record<string, Json> = { _uuid: row.uuid };
  for (const { name, index, type } of columnList) {
    if (name.startsWith("_") || (only !== undefined && !only.has(name))) continue;
    shown[name] = shownValue(row.fields[index] as Datum, type);
  }
  return shown;
}

/** What an `@name` of a batch stands for; undefined if there is none of that name. */
export type Named = (name: string) => string | undefined;

function takenAtom(value: Json, base: BaseType, named: Named): Json {
  if (base.type === "uuid" && typeof value === "string") {
    if (!value.startsWith("@")) return ["uuid", value];
    const uuid = named(value.slice(1));
    if (uuid === undefined) {
      throw new OvsdbError("syntax error", `nothing earlier in the batch is named ${value}`);
    }
    return ["uuid", uuid];
  }
  if (base.type === "integer" && typeof value === "string" && /^-?\d{1,19}$/.test(value)) {
    return Number.isSafeInteger(Number(value)) ? value : BigInt(value);
  }
  return value;
}

const takenKey = (key: string, base: BaseType, named: Named): Json =>
  base.type === "integer" && /^-?\d{1,15}$/.test(key)
    ? Number(key)
    : base.type === "boolean"
    ? key === "true" ? true : key === "false" ? false : key
    : base.type === "real"
    ? Number(key)
    : takenAtom(key, base, named);

const isRecord = (value: Json): value is { readonly [name: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A whole value in OVSDB's notation, checked. Throws a problem that names the column. */
export function takenValue(value: Json, column: Column, named: Named): Json {
  return naming(column, () => {
    const { type } = column;
    if (value === null) return datumToJson(defaultDatum(type), type);
    const json = toNotation(value, type, named);
    parseDatum(json, type);
    return json;
  });
}

function toNotation(value: Json, type: ColumnType, named: Named): Json {
  if (type.value !== undefined) {
    const { key, value: base } = type;
    if (!isRecord(value)) throw new OvsdbError("syntax error", "an object is wanted");
    return [
      "map",
      Object.entries(value).map(([name, member]) => [
        takenKey(name, key, named),
        takenAtom(member, base, named),
      ]),
    ];
  }
  if (Array.isArray(value)) {
    return ["set", value.map((member) => takenAtom(member as Json, type.key, named))];
  }
  return takenAtom(value, type.key, named);
}

/** What changes a column to a value of a merge patch: a new value, or mutations of a map. */
export type ColumnChange =
  | { readonly value: Json }
  | { readonly mutations: readonly (readonly [string, Json])[] };

export function columnChange(value: Json, column: Column, named: Named): ColumnChange {
  const { type } = column;
  if (!isMap(type) || !isRecord(value)) return { value: takenValue(value, column, named) };
  const set = Object.entries(value).filter(([, member]) => member !== null);
  return naming(column, () => {
    const keys = Object.keys(value).map((key) => takenKey(key, type.key, named));
    // A map is put in place of nothing, so that each member can be checked by itself.
    const added = takenValue(Object.fromEntries(set) as Json, {
      ...column,
      type: { ...type, min: 0 },
    }, named);
    parseDatum(["set", keys], { key: type.key, min: 0, max: type.max });
    return { mutations: [["delete", ["set", keys]], ["insert", added]] };
  });
}

function naming<T>({ name }: Column, take: () => T): T {
  try {
    return take();
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    throw new HttpProblem(400, `${name}: ${error.details ?? error.message}`, {
      members: { errors: [{ where: name, message: error.details ?? error.message }] },
    });
  }
}
