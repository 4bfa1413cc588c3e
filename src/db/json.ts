/**
 * JSON values as OVSDB has them. Integers are 64 bits wide in OVSDB: one beyond ±(2^53−1) is a
 * `bigint`, any other a `number`, so that equal integers are always `===`.
 */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [member: string]: Json;
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const isArray = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** An integer of 64 bits, as opposed to a real number. */
export const isInteger = (value: Json | undefined): value is number | bigint =>
  typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));

/** A member that the object itself has: never one inherited, such as `__proto__`. */
export const member = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/** An object that may hold any member name, `__proto__` included. */
export const emptyObject = (): { [member: string]: Json } => Object.create(null);

/** JSON text. `JSON.stringify` is used as far as it goes; it knows no `bigint`. */
export function stringify(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (error instanceof TypeError) return write(value, false);
    throw error;
  }
}

/** JSON text with members in order of their names: equal values give equal text. */
export const canonical = (value: Json): string => write(value, true);

function write(value: Json, sorted: boolean): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (isArray(value)) return `[${value.map((element) => write(element, sorted)).join(",")}]`;
  const object = value as JsonObject;
  const names = Object.keys(object);
  if (sorted) names.sort();
  const members = names.map((name) =>
    `${JSON.stringify(name)}:${write(object[name] as Json, sorted)}`
  );
  return `{${members.join(",")}}`;
}

export function equalJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  return canonical(a) === canonical(b);
}
