/** `where` clauses (RFC 7047 §5.1 `<condition>`, and `true`/`false` of `monitor_cond`). */
import { syntaxError } from "../error.ts";
import { isArray, type Json } from "../json.ts";
import { type Column, type TableSchema, UUID_COLUMN } from "../schema/schema.ts";
import {
  type ColumnType,
  isOptionalScalar,
  isScalar,
  typeToEnglish,
  UNLIMITED,
} from "../schema/type.ts";
import { type Atom, compareAtoms } from "../values/atom.ts";
import { type Datum, datumKey, equalDatums, excludesAll, includesAll } from "../values/datum.ts";
import { parseDatum, type ResolveName } from "../values/parse.ts";

const functions = ["<", "<=", "==", "!=", ">", ">=", "includes", "excludes"] as const;
type ConditionFunction = typeof functions[number];

export interface Clause {
  readonly column: Column;
  readonly function: ConditionFunction;
  readonly arg: Datum;
}

/** A clause, or a constant. */
export type Condition = readonly (Clause | boolean)[];

export function parseCondition(
  table: TableSchema,
  json: readonly Json[],
  resolve?: ResolveName,
): Condition {
  return json.map((clause) =>
    typeof clause === "boolean" ? clause : parseClause(table, clause, resolve)
  );
}

function parseClause(table: TableSchema, json: Json, resolve?: ResolveName): Clause {
  const [columnName, functionName, argJson] = isArray(json) && json.length === 3 ? json : [];
  if (typeof columnName !== "string" || typeof functionName !== "string") {
    throw syntaxError(json, "Parse error in condition.");
  }
  const column = table.columns.get(columnName);
  if (column === undefined) {
    throw syntaxError(json, `No column ${columnName} in table ${table.name}.`, "unknown column");
  }
  const name = functions.find((candidate) => candidate === functionName);
  if (name === undefined) {
    throw syntaxError(undefined, `No function named ${functionName}.`, "unknown function");
  }
  const arg = parseDatum(argJson as Json, argumentType(json, column, name), resolve);
  return { column, function: name, arg };
}

/** The type that a function's argument must have: the column's, made looser or stricter. */
function argumentType(json: Json, column: Column, name: ConditionFunction): ColumnType {
  const { type } = column;
  switch (name) {
    case "<":
    case "<=":
    case ">":
    case ">=": {
      const numeric = type.key.type === "integer" || type.key.type === "real";
      if (!numeric || !(isScalar(type) || isOptionalScalar(type))) {
        throw syntaxError(
          json,
          `Type mismatch: "${name}" operator may not be applied to column ${column.name} of type ` +
            `${typeToEnglish(type)}.`,
        );
      }
      return { ...type, min: 1 };
    }
    case "==":
    case "!=":
      return type;
    case "excludes":
      return isScalar(type) ? type : { ...type, min: 0, max: UNLIMITED };
    case "includes":
      return isScalar(type) ? type : { ...type, min: 0 };
    default: {
      const never: never = name;
      return never;
    }
  }
}

export function evaluateClause(clause: Clause | boolean, fields: readonly Datum[]): boolean {
  if (typeof clause === "boolean") return clause;
  const field = fields[clause.column.index] as Datum;
  const { arg } = clause;
  switch (clause.function) {
    case "==":
      return equalDatums(field, arg);
    case "!=":
      return !equalDatums(field, arg);
    case "includes":
      return includesAll(field, arg);
    case "excludes":
      return excludesAll(field, arg);
    case "<":
    case "<=":
    case ">":
    case ">=": {
      if (field.keys.length === 0) return false;
      const order = compareAtoms(field.keys[0] as Atom, arg.keys[0] as Atom);
      if (clause.function === "<") return order < 0;
      if (clause.function === "<=") return order <= 0;
      return clause.function === ">" ? order > 0 : order >= 0;
    }
    default: {
      const never: never = clause.function;
      return never;
    }
  }
}

/** `transact`: a row matches when every clause holds. */
export const matchesAll = (condition: Condition, fields: readonly Datum[]): boolean =>
  condition.every((clause) => evaluateClause(clause, fields));

/** The UUID that a condition pins down, if it does: then no scan is needed. */
export function pinnedUuid(condition: Condition): string | undefined {
  for (const clause of condition) {
    if (
      typeof clause !== "boolean" && clause.column.index === UUID_COLUMN &&
      clause.function === "=="
    ) return clause.arg.keys[0] as string;
  }
  return undefined;
}

/**
 * `monitor_cond`: a row matches when any clause holds; a condition without clauses matches all.
 * Equality clauses, of which a client may send thousands, are looked up in a hash.
 */
export class AnyOf {
  private readonly equal = new Map<Column, Set<string>>();
  private readonly others: (Clause | boolean)[] = [];

  constructor(readonly condition: Condition) {
    for (const clause of condition) {
      if (typeof clause === "boolean" || clause.function !== "==") this.others.push(clause);
      else {
        const values = this.equal.get(clause.column) ?? new Set();
        this.equal.set(clause.column, values.add(datumKey(clause.arg)));
      }
    }
  }

  matches(fields: readonly Datum[]): boolean {
    if (this.condition.length === 0) return true;
    for (const [column, values] of this.equal) {
      if (values.has(datumKey(fields[column.index] as Datum))) return true;
    }
    return this.others.some((clause) => evaluateClause(clause, fields));
  }
}
