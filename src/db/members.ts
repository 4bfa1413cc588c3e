/**
 * Takes a JSON object apart by declared members. A member that is missing, of the wrong type, or
 * not known is an error that names it.
 */
import { type OvsdbError, syntaxError } from "./error.ts";
import { isArray, isInteger, isObject, type Json, type JsonObject, member } from "./json.ts";
import { isId } from "./values/atom.ts";

interface Kinds {
  any: Json;
  array: readonly Json[];
  boolean: boolean;
  id: string;
  integer: number | bigint;
  "integer or string": number | bigint | string;
  number: number | bigint;
  object: JsonObject;
  string: string;
  "string or object": string | JsonObject;
}

const isString = (json: Json): boolean => typeof json === "string";

const matches: { readonly [K in keyof Kinds]: (json: Json) => boolean } = {
  any: () => true,
  array: (json) => isArray(json),
  boolean: (json) => typeof json === "boolean",
  id: (json) => typeof json === "string" && isId(json),
  integer: (json) => isInteger(json),
  "integer or string": (json) => isInteger(json) || isString(json),
  number: (json) => typeof json === "number" || typeof json === "bigint",
  object: (json) => isObject(json),
  string: isString,
  "string or object": (json) => isString(json) || isObject(json),
};

export class Members {
  private readonly object: JsonObject;
  /** Names taken, each once. */
  private readonly used: string[] = [];

  /** `what` names the object in messages. */
  constructor(json: Json | undefined, private readonly what: string) {
    if (!isObject(json)) throw syntaxError(undefined, `Parsing ${what} failed: Object expected.`);
    this.object = json;
  }

  error(problem: string): OvsdbError {
    return syntaxError(this.object, `Parsing ${this.what} failed: ${problem}`);
  }

  /** An error about the object that is not one of parsing it. */
  fault(details: string, tag: string): OvsdbError {
    return syntaxError(this.object, details, tag);
  }

  optional<K extends keyof Kinds>(name: string, kind: K): Kinds[K] | undefined {
    const value = member(this.object, name);
    if (value === undefined) return undefined;
    if (!matches[kind](value)) throw this.error(`Type mismatch for member '${name}'.`);
    this.used.push(name);
    return value as Kinds[K];
  }

  required<K extends keyof Kinds>(name: string, kind: K): Kinds[K] {
    const value = this.optional(name, kind);
    if (value === undefined) throw this.error(`Required '${name}' member is missing.`);
    return value;
  }

  /** Call last: no member may be left over. */
  finish(): void {
    const names = Object.keys(this.object);
    if (names.length === this.used.length) return;
    const unused = names.filter((name) => !this.used.includes(name));
    const first = unused[0];
    if (first === undefined) return;
    const others = unused.length - 1;
    throw this.error(
      others === 0
        ? `Member '${first}' is present but not allowed here.`
        : `Member '${first}' and ${others} other member${others > 1 ? "s" : ""} ` +
          "are present but not allowed here.",
    );
  }
}
