/** Column types (RFC 7047 §3.2 `<type>` and `<base-type>`): parse, print, check constraints. */
import { constraintViolation, type OvsdbError, syntaxError } from "../error.ts";
import { isInteger, isObject, type Json, type JsonObject } from "../json.ts";
import { Members } from "../members.ts";
import { type Atom, atomToJson, atomToText, compareAtoms, realToText } from "../values/atom.ts";
import { parseDatum } from "../values/parse.ts";
import type { AtomicTypeName } from "./declare.ts";

/** What "unlimited" is inside: also the number that messages show, as in other OVSDB servers. */
export const UNLIMITED = 0xffff_ffff;

export interface BaseType {
  readonly type: AtomicTypeName;
  /** The allowed atoms, sorted; no limit if undefined. */
  readonly enumeration?: readonly Atom[];
  readonly minInteger?: number | bigint;
  readonly maxInteger?: number | bigint;
  readonly minReal?: number;
  readonly maxReal?: number;
  /** In characters (code points). */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly refTable?: string;
  readonly refType?: "strong" | "weak";
}

export interface ColumnType {
  readonly key: BaseType;
  /** Present in a map. */
  readonly value?: BaseType;
  readonly min: number;
  readonly max: number;
}

export const isScalar = (type: ColumnType): boolean =>
  type.value === undefined && type.min === 1 && type.max === 1;
export const isOptionalScalar = (type: ColumnType): boolean =>
  type.value === undefined && type.min === 0 && type.max === 1;
export const isMap = (type: ColumnType): boolean => type.value !== undefined;
/** Neither a map nor a scalar. */
export const isSet = (type: ColumnType): boolean =>
  type.value === undefined && (type.min !== 1 || type.max !== 1);
/** Can hold more than one element, so that an update may carry a difference. */
export const isComposite = (type: ColumnType): boolean => type.max > 1;

export const uuidType: ColumnType = { key: { type: "uuid" }, min: 1, max: 1 };

const atomicTypes: readonly AtomicTypeName[] = ["integer", "real", "boolean", "string", "uuid"];

function parseAtomicType(json: Json): AtomicTypeName {
  if (typeof json !== "string") throw syntaxError(json, "atomic-type expected");
  const type = atomicTypes.find((name) => name === json);
  if (type === undefined) throw syntaxError(json, `"${json}" is not an atomic-type`);
  return type;
}

export function parseBaseType(json: Json): BaseType {
  if (typeof json === "string") return { type: parseAtomicType(json) };
  const members = new Members(json, "ovsdb type");
  const type = parseAtomicType(members.required("type", "string"));
  const base: { -readonly [K in keyof BaseType]: BaseType[K] } = { type };
  const enumeration = members.optional("enum", "any");
  if (enumeration !== undefined) {
    base.enumeration = parseDatum(enumeration, { key: { type }, min: 1, max: UNLIMITED }).keys;
  } else if (type === "integer") {
    const min = members.optional("minInteger", "integer");
    const max = members.optional("maxInteger", "integer");
    if (min !== undefined && max !== undefined && min > max) {
      throw syntaxError(json, "minInteger exceeds maxInteger");
    }
    if (min !== undefined) base.minInteger = min;
    if (max !== undefined) base.maxInteger = max;
  } else if (type === "real") {
    const min = members.optional("minReal", "number");
    const max = members.optional("maxReal", "number");
    if (min !== undefined && max !== undefined && min > max) {
      throw syntaxError(json, "minReal exceeds maxReal");
    }
    if (min !== undefined) base.minReal = Number(min);
    if (max !== undefined) base.maxReal = Number(max);
  } else if (type === "string") {
    const min = parseLength(members, "minLength", json);
    const max = parseLength(members, "maxLength", json);
    if (min !== undefined && max !== undefined && min > max) {
      throw syntaxError(json, "minLength exceeds maxLength");
    }
    if (min !== undefined && min !== 0) base.minLength = min;
    if (max !== undefined && max !== UNLIMITED) base.maxLength = max;
  } else if (type === "uuid") {
    const refTable = members.optional("refTable", "id");
    if (refTable !== undefined) {
      const refType = members.optional("refType", "id") ?? "strong";
      if (refType !== "strong" && refType !== "weak") {
        throw syntaxError(json, `refType must be "strong" or "weak" (not "${refType}")`);
      }
      base.refTable = refTable;
      base.refType = refType;
    }
  }
  members.finish();
  return base;
}

function parseLength(members: Members, name: string, json: Json): number | undefined {
  const value = members.optional(name, "integer");
  if (value !== undefined && (value < 0 || value > UNLIMITED)) {
    throw syntaxError(json, `${name} out of valid range 0 to ${UNLIMITED}`);
  }
  return value === undefined ? undefined : Number(value);
}

export function parseType(json: Json): ColumnType {
  if (typeof json === "string") return { key: parseBaseType(json), min: 1, max: 1 };
  if (!isObject(json)) throw syntaxError(json, "ovsdb type expected");
  const members = new Members(json, "ovsdb type");
  const key = members.required("key", "string or object");
  const value = members.optional("value", "string or object");
  const min = members.optional("min", "integer");
  const max = members.optional("max", "integer or string");
  members.finish();
  const type: ColumnType = {
    key: parseBaseType(key),
    ...(value === undefined ? {} : { value: parseBaseType(value) }),
    min: min === undefined ? 1 : parseCount(min),
    max: max === undefined ? 1 : max === "unlimited" ? UNLIMITED : parseCount(max),
  };
  if (type.min > 1 || type.max < 1) throw syntaxError(json, "ovsdb type fails constraint checks");
  return type;
}

function parseCount(json: Json): number {
  if (isInteger(json) && json >= 0 && json < UNLIMITED) return Number(json);
  throw syntaxError(json, "bad min or max value");
}

export function baseTypeToJson(base: BaseType): Json {
  const { type } = base;
  const json: { [member: string]: Json } = { type };
  if (base.enumeration !== undefined) {
    const atoms = base.enumeration.map((atom) => atomToJson(atom, type));
    json["enum"] = atoms.length === 1 ? atoms[0] as Json : ["set", atoms];
  }
  const constraints = [
    "minInteger",
    "maxInteger",
    "minReal",
    "maxReal",
    "minLength",
    "maxLength",
    "refTable",
  ] as const;
  for (const name of constraints) {
    const value = base[name];
    if (value !== undefined) json[name] = value;
  }
  if (base.refType === "weak") json["refType"] = "weak";
  return Object.keys(json).length === 1 ? type : json;
}

export function typeToJson(type: ColumnType): Json {
  const key = baseTypeToJson(type.key);
  if (isScalar(type) && typeof key === "string") return key;
  const json: { [member: string]: Json } = { key };
  if (type.value !== undefined) json["value"] = baseTypeToJson(type.value);
  if (type.min !== 1) json["min"] = type.min;
  if (type.max !== 1) json["max"] = type.max === UNLIMITED ? "unlimited" : type.max;
  return json satisfies JsonObject;
}

/** For messages: `set of up to 3 strings`, `map of (string, string) pairs`, `integer`. */
export function typeToEnglish(type: ColumnType): string {
  if (isScalar(type)) return type.key.type;
  const count = type.max === UNLIMITED
    ? type.min > 0 ? ` of ${type.min} or more` : " of"
    : type.min > 0
    ? ` of ${type.min} to ${type.max}`
    : ` of up to ${type.max}`;
  return type.value === undefined
    ? `set${count} ${type.key.type}s`
    : `map${count} (${type.key.type}, ${type.value.type}) pairs`;
}

/** Throws `constraint violation` if the atom is not allowed by its base type. */
export function checkAtom(atom: Atom, base: BaseType): void {
  const error = violation(atom, base);
  if (error !== undefined) throw error;
}

function violation(atom: Atom, base: BaseType): OvsdbError | undefined {
  if (base.enumeration !== undefined) {
    if (base.enumeration.some((allowed) => compareAtoms(allowed, atom) === 0)) return undefined;
    const allowed = base.enumeration.map((value) => atomToText(value, base.type)).join(", ");
    return constraintViolation(
      `${atomToText(atom, base.type)} is not one of the allowed values ([${allowed}])`,
    );
  }
  switch (base.type) {
    case "integer":
      return outside(atom, base.minInteger, base.maxInteger, String);
    case "real":
      return outside(atom, base.minReal, base.maxReal, (value) => realToText(Number(value)));
    case "string": {
      if (base.minLength === undefined && base.maxLength === undefined) return undefined;
      const length = [...atom as string].length;
      const [bound, which] = length < (base.minLength ?? 0)
        ? [base.minLength, "less than minimum"]
        : length > (base.maxLength ?? UNLIMITED)
        ? [base.maxLength, "greater than maximum"]
        : [undefined, ""];
      if (bound === undefined) return undefined;
      return constraintViolation(
        `"${String(atom)}" length ${length} is ${which} allowed length ${bound}`,
      );
    }
    case "boolean":
    case "uuid":
      return undefined;
    default: {
      const never: never = base.type;
      return never;
    }
  }
}

function outside(
  value: Atom,
  min: number | bigint | undefined,
  max: number | bigint | undefined,
  text: (value: Atom) => string,
): OvsdbError | undefined {
  const atom = value as number | bigint;
  if ((min === undefined || atom >= min) && (max === undefined || atom <= max)) return undefined;
  if (min === undefined) {
    return constraintViolation(
      `${text(atom)} is greater than maximum allowed value ${text(max as Atom)}`,
    );
  }
  if (max === undefined) {
    return constraintViolation(`${text(atom)} is less than minimum allowed value ${text(min)}`);
  }
  return constraintViolation(
    `${text(atom)} is not in the valid range ${text(min)} to ${text(max)} (inclusive)`,
  );
}
