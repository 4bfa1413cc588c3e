/** Mutations (RFC 7047 §5.1 `<mutation>`): changes of a column relative to its value. */
import { constraintViolation, syntaxError } from "../error.ts";
import { isArray, type Json } from "../json.ts";
import type { Column, TableSchema } from "../schema/schema.ts";
import {
  checkAtom,
  type ColumnType,
  isMap,
  isScalar,
  typeToEnglish,
  UNLIMITED,
} from "../schema/type.ts";
import { type ArithmeticMutator, type Atom, compareAtoms, mutateAtom } from "../values/atom.ts";
import { type Datum, subtract, union } from "../values/datum.ts";
import { parseDatum, type ResolveName } from "../values/parse.ts";

const mutators = ["+=", "-=", "*=", "/=", "%=", "insert", "delete"] as const;

export interface Mutation {
  readonly column: Column;
  readonly mutator: typeof mutators[number];
  readonly arg: Datum;
}

export function parseMutation(table: TableSchema, json: Json, resolve: ResolveName): Mutation {
  const [columnName, mutatorName, argJson] = isArray(json) && json.length === 3 ? json : [];
  if (typeof columnName !== "string" || typeof mutatorName !== "string") {
    throw syntaxError(json, "Parse error in mutation.");
  }
  const column = table.columns.get(columnName);
  if (column === undefined) {
    throw syntaxError(json, `No column ${columnName} in table ${table.name}.`, "unknown column");
  }
  if (!column.mutable) {
    throw syntaxError(
      json,
      `Cannot mutate immutable column ${columnName} in table ${table.name}.`,
      "constraint violation",
    );
  }
  const mutator = mutators.find((candidate) => candidate === mutatorName);
  if (mutator === undefined) {
    throw syntaxError(undefined, `No mutator named ${mutatorName}.`, "unknown mutator");
  }
  return { column, mutator, arg: parseArgument(json, column, mutator, argJson as Json, resolve) };
}

function parseArgument(
  json: Json,
  column: Column,
  mutator: Mutation["mutator"],
  argJson: Json,
  resolve: ResolveName,
): Datum {
  const { type } = column;
  const atomic = type.key.type;
  const mismatch = () =>
    syntaxError(
      json,
      `Type mismatch: "${mutator}" operator may not be applied to column ${column.name} of type ` +
        `${typeToEnglish(type)}.`,
    );
  if (mutator !== "insert" && mutator !== "delete") {
    const numeric = atomic === "integer" || (atomic === "real" && mutator !== "%=");
    if (!numeric || isMap(type)) throw mismatch();
    return parseDatum(argJson, { key: { type: atomic }, min: 1, max: 1 }, resolve);
  }
  if (isScalar(type)) throw mismatch();
  if (mutator === "insert") return parseDatum(argJson, { ...type, min: 0 }, resolve);
  const loose: ColumnType = { ...type, min: 0, max: UNLIMITED };
  if (!isMap(type)) return parseDatum(argJson, loose, resolve);
  try {
    return parseDatum(argJson, loose, resolve);
  } catch {
    // Not pairs: then keys, of which any value is to go.
    return parseDatum(argJson, { key: type.key, min: 0, max: UNLIMITED }, resolve);
  }
}

/** The column's new value; throws on overflow, division by zero, and violated constraints. */
export function mutate(mutation: Mutation, value: Datum): Datum {
  const { column: { type }, mutator, arg } = mutation;
  if (mutator === "insert" || mutator === "delete") {
    const result = mutator === "insert" ? union(value, arg) : subtract(value, arg);
    const n = result.keys.length;
    if (n < type.min || n > type.max) {
      throw constraintViolation(`Attempted to store ${n} elements in ${typeToEnglish(type)}.`);
    }
    return result;
  }
  return mutateAll(type, value, mutator, arg.keys[0] as Atom);
}

function mutateAll(
  type: ColumnType,
  value: Datum,
  mutator: ArithmeticMutator,
  operand: Atom,
): Datum {
  const atomic = type.key.type === "real" ? "real" : "integer";
  const keys = value.keys.map((atom) => mutateAtom(atom, mutator, operand, atomic));
  for (const key of keys) checkAtom(key, type.key);
  keys.sort(compareAtoms);
  if (keys.some((key, i) => i > 0 && key === keys[i - 1])) {
    throw constraintViolation(`Result of "${mutator}" operation contains duplicates.`);
  }
  return { keys };
}
