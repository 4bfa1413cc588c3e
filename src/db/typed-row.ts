/** Between datums and the TypeScript values that rows show (`schema/declare.ts`, `ValueOf`). */
import { OvsdbError } from "./error.ts";
import { isArray, type Json } from "./json.ts";
import type { Column, TableSchema } from "./schema/schema.ts";
import { type ColumnType, isOptionalScalar, isScalar } from "./schema/type.ts";
import { type Atom, parseUuid } from "./values/atom.ts";
import { type Datum, datumToJson } from "./values/datum.ts";

/** 64-bit integers that a `number` cannot hold exactly are rounded: they are counters at most. */
const shown = (atom: Atom | undefined): Atom | undefined =>
  typeof atom === "bigint" ? Number(atom) : atom;

/** A datum as a row shows it. */
export function typedValue(datum: Datum, type: ColumnType): unknown {
  if (type.value !== undefined) {
    return new Map(datum.keys.map((key, i) => [shown(key), shown(datum.values?.[i])]));
  }
  if (isScalar(type) || isOptionalScalar(type)) return shown(datum.keys[0]);
  return datum.keys.map(shown);
}

/** A written value as JSON for an operation. Throws `OvsdbError` if it cannot be one. */
export function valueToJson(value: unknown, column: Column): Json {
  return datumToJson(valueToDatum(value, column), column.type);
}

/** Members stay in the order given: whoever compares or stores the datum sorts them. */
export function valueToDatum(value: unknown, column: Column): Datum {
  const { type } = column;
  const atom = (given: unknown, base: ColumnType["key"]): Atom => {
    const fits = base.type === "integer"
      ? typeof given === "bigint" || Number.isSafeInteger(given)
      : base.type === "real"
      ? typeof given === "number"
      : base.type === "boolean"
      ? typeof given === "boolean"
      : base.type === "uuid"
      ? typeof given === "string" && parseUuid(given) !== undefined
      : typeof given === "string";
    if (fits) return given as Atom;
    throw new OvsdbError("syntax error", `${column.name}: expected ${base.type}, not ${given}`);
  };
  if (type.value !== undefined) {
    const { value: base } = type;
    if (!(value instanceof Map)) throw new OvsdbError("syntax error", `${column.name}: no Map`);
    const entries = [...value as Map<unknown, unknown>];
    return {
      keys: entries.map(([key]) => atom(key, type.key)),
      values: entries.map(([, element]) => atom(element, base)),
    };
  }
  if (value === undefined) return { keys: [] };
  const elements = Array.isArray(value) ? value : [value];
  return { keys: elements.map((element) => atom(element, type.key)) };
}

/** The keys of a map, to delete by key alone: a set of the key's type. */
export function keysToJson(keys: readonly unknown[], column: Column): Json {
  const { type } = column;
  const json = valueToJson(keys, { ...column, type: { key: type.key, min: 0, max: type.max } });
  return isArray(json) && json[0] === "set" ? json : ["set", [json]];
}

export type TypedRow = { readonly _uuid: string; readonly [column: string]: unknown };

/**
 * A row object with the values of all its columns. Values that did not change since `previous` are
 * the same objects, so that they can be compared with `===`.
 */
export function typedRow(
  schema: TableSchema,
  uuid: string,
  fields: readonly Datum[],
  previous?: { readonly row: TypedRow; readonly fields: readonly Datum[] },
): TypedRow {
  const row: Record<string, unknown> = { _uuid: uuid };
  for (const { name, index, type } of schema.columnList) {
    if (name.startsWith("_")) continue;
    const datum = fields[index] as Datum;
    row[name] = previous !== undefined && previous.fields[index] === datum
      ? previous.row[name]
      : typedValue(datum, type);
  }
  return row as TypedRow;
}
