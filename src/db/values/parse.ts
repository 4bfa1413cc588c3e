/** JSON → atoms and datums (RFC 7047 §5.1 `<value>`), checking types and constraints. */
import { OvsdbError, syntaxError } from "../error.ts";
import { isArray, isInteger, type Json } from "../json.ts";
import { type BaseType, checkAtom, type ColumnType, isMap } from "../schema/type.ts";
import { type Atom, compareAtoms, isId, parseUuid } from "./atom.ts";
import type { Datum } from "./datum.ts";

/** Gives the UUID that a transaction's `uuid-name` stands for, whether inserted yet or not. */
export type ResolveName = (name: string) => string;

export function atomFromJson(json: Json, base: BaseType, resolve?: ResolveName): Atom {
  const atom = atomOfType(json, base, resolve);
  if (atom === undefined) throw syntaxError(json, `expected ${base.type}`);
  checkAtom(atom, base);
  return atom;
}

function atomOfType(json: Json, base: BaseType, resolve?: ResolveName): Atom | undefined {
  switch (base.type) {
    case "integer":
      return isInteger(json) ? (json === 0 ? 0 : json) : undefined;
    case "real":
      return typeof json === "number" || typeof json === "bigint" ? Number(json) : undefined;
    case "boolean":
      return typeof json === "boolean" ? json : undefined;
    case "string":
      return typeof json === "string" ? json : undefined;
    case "uuid":
      return uuidFromJson(json, resolve);
    default: {
      const never: never = base.type;
      return never;
    }
  }
}

function uuidFromJson(json: Json, resolve?: ResolveName): string {
  const [kind, text] = isArray(json) && json.length === 2 ? json : [];
  if (kind === "uuid" && typeof text === "string") {
    const uuid = parseUuid(text);
    if (uuid === undefined) throw syntaxError(json, `"${text}" is not a valid UUID`);
    return uuid;
  }
  if (kind === "named-uuid" && typeof text === "string" && resolve !== undefined) {
    if (!isId(text)) throw syntaxError(json, "named-uuid string is not a valid <id>");
    return resolve(text);
  }
  throw syntaxError(json, `expected ["uuid", <string>]`);
}

export function parseDatum(json: Json, type: ColumnType, resolve?: ResolveName): Datum {
  const map = isMap(type);
  if (!map && !(isArray(json) && json[0] === "set")) {
    return { keys: [atomFromJson(json, type.key, resolve)] };
  }
  const kind = map ? "map" : "set";
  const members = isArray(json) && json.length === 2 && json[0] === kind ? json[1] : undefined;
  if (!isArray(members)) throw syntaxError(json, `expected ["${kind}", <array>]`);
  checkCount(json, kind, members.length, type);
  return type.value === undefined
    ? parseSet(members, type.key, resolve)
    : parseMap(members, type.key, type.value, resolve);
}

function checkCount(json: Json, kind: string, n: number, type: ColumnType): void {
  if (n >= type.min && n <= type.max) return;
  throw syntaxError(
    json,
    type.min === 1 && type.max === 1
      ? `${kind} must have exactly one member but ${n} are present`
      : `${kind} must have ${type.min} to ${type.max} members but ${n} are present`,
  );
}

function parseSet(members: readonly Json[], base: BaseType, resolve?: ResolveName): Datum {
  const keys = members.map((element) => atomFromJson(element, base, resolve));
  keys.sort(compareAtoms);
  for (let i = 1; i < keys.length; i++) {
    if (keys[i] === keys[i - 1]) throw new OvsdbError("ovsdb error", "set contains duplicate");
  }
  return { keys };
}

function parseMap(
  members: readonly Json[],
  keyBase: BaseType,
  valueBase: BaseType,
  resolve?: ResolveName,
): Datum {
  const pairs = members.map((element): [Atom, Atom] => {
    if (!isArray(element) || element.length !== 2) {
      throw syntaxError(element, "expected 2-element array");
    }
    return [
      atomFromJson(element[0] as Json, keyBase, resolve),
      atomFromJson(element[1] as Json, valueBase, resolve),
    ];
  });
  pairs.sort((a, b) => compareAtoms(a[0], b[0]));
  for (let i = 1; i < pairs.length; i++) {
    if (pairs[i]?.[0] === pairs[i - 1]?.[0]) {
      throw new OvsdbError("ovsdb error", "map contains duplicate key");
    }
  }
  return { keys: pairs.map(([key]) => key), values: pairs.map(([, value]) => value) };
}
