/** `COLUMN[:KEY]`, `COLUMN[:KEY]=VALUE`, and the conditions of `find` and `wait-until`. */
import type { DraftRow } from "../../../db/client/draft.ts";
import type { Column, TableSchema } from "../../../db/schema/schema.ts";
import { UNLIMITED } from "../../../db/schema/type.ts";
import {
  compareDatums,
  type Datum,
  excludesAll,
  findKey,
  includesAll,
} from "../../../db/values/datum.ts";
import { Fatal } from "../fatal.ts";
import { parseAtom, parseToken, parseValue, type Symbols } from "../value-text.ts";
import type { Wanted } from "./command.ts";
import { findColumn } from "./names.ts";

const OPERATORS = [
  "=",
  "!=",
  "<",
  ">",
  "<=",
  ">=",
  "{=}",
  "{!=}",
  "{<}",
  "{>}",
  "{<=}",
  "{>=}",
  "{in}",
  "{not-in}",
] as const;
type Operator = typeof OPERATORS[number];

export interface ColumnArgument {
  readonly column: Column;
  readonly key: string | undefined;
  /** Where the key, or the column without one, ends. */
  readonly end: number;
}

function parseColumnName(arg: string): { readonly name: string; readonly end: number } {
  const { token, end } = parseToken(arg, 0);
  if (token === "") throw new Fatal(`${arg}: missing column name`);
  return { name: token, end };
}

/** Asks for the column that the argument begins with. */
export function wantColumn(wanted: Wanted, table: TableSchema, arg: string): void {
  wanted.add(table.name, findColumn(table, parseColumnName(arg).name).name);
}

function parseColumn(table: TableSchema, arg: string): ColumnArgument {
  const { name, end } = parseColumnName(arg);
  const column = findColumn(table, name);
  if (arg[end] !== ":") return { column, key: undefined, end };
  const key = parseToken(arg, end + 1);
  return { column, key: key.token, end: key.end };
}

/** `COLUMN[:KEY]` and nothing after it. Throws `Fatal`. */
export function parseColumnKey(table: TableSchema, arg: string): ColumnArgument {
  const parsed = parseColumn(table, arg);
  if (parsed.end === arg.length) return parsed;
  throw new Fatal(`${arg}: trailing garbage "${arg.slice(parsed.end)}" in argument`);
}

interface Assignment<O extends string> extends ColumnArgument {
  readonly operator: O;
  readonly value: string;
}

function parseOperation<O extends string>(
  table: TableSchema,
  arg: string,
  operators: readonly O[],
): Assignment<O> {
  const parsed = parseColumn(table, arg);
  const rest = arg.slice(parsed.end);
  const operator = operators
    .filter((candidate) => rest.startsWith(candidate) && rest.length > candidate.length)
    .reduce<O | undefined>(
      (longest, candidate) => candidate.length > (longest?.length ?? 0) ? candidate : longest,
      undefined,
    );
  if (operator === undefined) {
    const quoted = operators.map((name) => `"${name}"`);
    const last = quoted.pop() as string;
    const list = quoted.length === 0 ? last : `${quoted.join(", ")}, or ${last}`;
    throw new Fatal(`${arg}: argument does not end in ${list} followed by a value.`);
  }
  return { ...parsed, operator, value: rest.slice(operator.length) };
}

/** `COLUMN[:KEY]=VALUE`. Throws `Fatal`. */
export const parseAssignment = (table: TableSchema, arg: string): Assignment<"="> =>
  parseOperation(table, arg, ["="]);

/** True if the row is as the condition says. Throws `Fatal` if it makes no sense. */
export function satisfies(row: DraftRow, arg: string, symbols: Symbols): boolean {
  const { column, key, operator, value } = parseOperation(row.table, arg, OPERATORS);
  const { type } = column;
  const have = row.read(column);
  if (key === undefined) return compare(have, parseValue(value, type, symbols), operator);
  if (type.value === undefined) {
    throw new Fatal(`cannot specify key to check for non-map column ${column.name}`);
  }
  const wantedKey = parseAtom(key, type.key, symbols);
  const valueType = { key: type.value, min: type.min, max: UNLIMITED };
  const want = parseValue(value, valueType, symbols);
  const at = findKey(have.keys, wantedKey);
  const found = at < 0 ? undefined : have.values?.[at];
  if (found === undefined && !operator.startsWith("{")) return false;
  return compare({ keys: found === undefined ? [] : [found] }, want, operator);
}

function compare(a: Datum, b: Datum, operator: Operator): boolean {
  switch (operator) {
    case "=":
    case "{=}":
      return compareDatums(a, b) === 0;
    case "!=":
    case "{!=}":
      return compareDatums(a, b) !== 0;
    case "<":
      return compareDatums(a, b) < 0;
    case ">":
      return compareDatums(a, b) > 0;
    case "<=":
      return compareDatums(a, b) <= 0;
    case ">=":
      return compareDatums(a, b) >= 0;
    case "{<}":
      return b.keys.length > a.keys.length && includesAll(b, a);
    case "{>}":
      return a.keys.length > b.keys.length && includesAll(a, b);
    case "{<=}":
    case "{in}":
      return includesAll(b, a);
    case "{>=}":
      return includesAll(a, b);
    case "{not-in}":
      return excludesAll(b, a);
    default: {
      const never: never = operator;
      return never;
    }
  }
}

/** Writes what `COLUMN[:KEY]=VALUE` says; with `merge`, one key is left to the server to merge. */
export function assign(row: DraftRow, arg: string, symbols: Symbols, merge: boolean): void {
  const { column, key, value } = parseAssignment(row.table, arg);
  checkMutable(row, column);
  const { type } = column;
  if (key === undefined) {
    row.write(column, parseValue(value, type, symbols));
    return;
  }
  if (type.value === undefined) {
    throw new Fatal(`cannot specify key to set for non-map column ${column.name}`);
  }
  const keyAtom = parseAtom(key, type.key, symbols);
  const valueAtom = parseAtom(value, type.value, symbols);
  if (merge) {
    row.insertMember(column, keyAtom, valueAtom);
    return;
  }
  const { keys, values = [] } = row.read(column);
  const others = keys.map((_, i) => i).filter((i) => keys[i] !== keyAtom);
  row.verify(column);
  row.write(column, {
    keys: [...others.map((i) => keys[i] ?? ""), keyAtom],
    values: [...others.map((i) => values[i] ?? ""), valueAtom],
  });
}

/** Some columns are fixed once their row is there. Throws `Fatal`. */
export function checkMutable(row: DraftRow, column: Column): void {
  if (column.mutable || row.before === undefined) return;
  throw new Fatal(`cannot modify read-only column ${column.name} in table ${row.table.name}`);
}
