/**
 * Values as people type them on a command line (`ovs-vsctl(8)`, "Database Values"): words, quoted
 * strings, sets in `[]`, maps in `{}`, ranges of integers, and `@names` of rows that other commands
 * of the same line create.
 */
import { OvsdbError } from "../../db/error.ts";
import type { Uuid } from "../../db/schema/declare.ts";
import {
  type BaseType,
  checkAtom,
  type ColumnType,
  isMap,
  typeToEnglish,
} from "../../db/schema/type.ts";
import {
  type Atom,
  compareAtoms,
  INT64_MAX,
  INT64_MIN,
  integerAtom,
  parseUuid,
} from "../../db/values/atom.ts";
import type { Datum } from "../../db/values/datum.ts";
import { Fatal } from "./fatal.ts";

const DELIMITERS = ":=, []{}!<>";
/** Members that one range may stand for. */
const LONGEST_RANGE = 4096;

export const isDelimiter = (character: string): boolean => DELIMITERS.includes(character);

/** A name of a row that is created in this transaction, or was found in it. */
export interface RowSymbol {
  uuid: Uuid;
  created: boolean;
  strongRef: boolean;
  weakRef: boolean;
}

export class Symbols {
  readonly table = new Map<string, RowSymbol>();

  get(name: string): RowSymbol {
    let symbol = this.table.get(name);
    if (symbol === undefined) {
      symbol = { uuid: crypto.randomUUID(), created: false, strongRef: false, weakRef: false };
      this.table.set(name, symbol);
    }
    return symbol;
  }

  /** Marks the name as that of a row; each may be one row's only. Throws `Fatal`. */
  create(name: string): RowSymbol {
    if (!name.startsWith("@")) throw new Fatal(`row id "${name}" does not begin with "@"`);
    const symbol = this.get(name);
    if (symbol.created) {
      throw new Fatal(`row id "${name}" may only be specified on one --id option`);
    }
    symbol.created = true;
    return symbol;
  }

  refer(name: string, base: BaseType): Uuid {
    const symbol = this.get(name);
    if (base.refType === "strong") symbol.strongRef = true;
    if (base.refType === "weak") symbol.weakRef = true;
    return symbol.uuid;
  }
}

export interface Token {
  readonly token: string;
  /** Where in the text it ends. */
  readonly end: number;
}

/**
 * The word that begins at `start`: up to a delimiter outside quotes. Quotes and what is escaped in
 * them stay; a backslash outside them goes, and what follows it counts as it is. Throws `Fatal`.
 */
export function parseToken(text: string, start: number): Token {
  let token = "";
  let quoted = false;
  let at = start;
  const refuse = (problem: string): never => {
    throw new Fatal(`${text.slice(start)}: ${problem}`);
  };
  while (at < text.length) {
    const character = text[at] as string;
    if (character === "\\") {
      const escaped = text[at + 1];
      if (escaped === undefined) return refuse("backslash at end of argument");
      token += quoted ? character + escaped : escaped;
      at += 2;
      continue;
    }
    if (!quoted && isDelimiter(character)) break;
    if (character === '"') quoted = !quoted;
    token += character;
    at++;
  }
  if (quoted) return refuse("quoted string extends past end of argument");
  return { token, end: at };
}

function parseInteger(text: string): bigint | undefined {
  if (!/^\s*[+-]?\d+$/.test(text)) return undefined;
  const value = BigInt(text.trim().replace(/^\+/, ""));
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

function parseReal(text: string): number | undefined {
  if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value + 0 : undefined;
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "0"].map((word) => [word, false] as const),
]);

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

function unescape(text: string): string {
  const refuse = (problem: string): never => {
    throw new Fatal(`"${text}": ${problem}`);
  };
  const unit = (at: number): number => {
    const digits = text.slice(at, at + 4);
    if (digits.length < 4) return refuse("quoted string ends within \\u escape");
    if (!/^[0-9a-f]{4}$/i.test(digits)) return refuse("malformed \\u escape");
    const value = Number.parseInt(digits, 16);
    return value === 0 ? refuse("null bytes not supported in quoted strings") : value;
  };
  let result = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    if (character === '"') return refuse('quoted string may not include unescaped "');
    if (character !== "\\") {
      result += character;
      continue;
    }
    const letter = text[++at];
    if (letter === undefined) return refuse("quoted string may not end with backslash");
    if (letter !== "u") {
      result += ESCAPES[letter] ?? refuse(`bad escape \\${letter}`);
      continue;
    }
    const first = unit(at + 1);
    at += 4;
    if (first < 0xd800 || first >= 0xdc00) {
      result += String.fromCharCode(first);
      continue;
    }
    if (text.slice(at + 1, at + 3) !== "\\u") return refuse("malformed escaped surrogate pair");
    const second = unit(at + 3);
    at += 6;
    if (second < 0xdc00 || second >= 0xe000) {
      return refuse("second half of escaped surrogate pair is not trailing surrogate");
    }
    result += String.fromCharCode(first, second);
  }
  return result;
}

function atomOf(text: string, base: BaseType, symbols: Symbols): Atom {
  switch (base.type) {
    case "integer": {
      const value = parseInteger(text);
      if (value === undefined) throw new Fatal(`"${text}" is not a valid integer or range`);
      return integerAtom(value);
    }
    case "real": {
      const value = parseReal(text);
      if (value === undefined) throw new Fatal(`"${text}" is not a valid real number`);
      return value;
    }
    case "boolean": {
      const value = BOOLEANS.get(text);
      if (value !== undefined) return value;
      throw new Fatal(`"${text}" is not a valid boolean (use "true" or "false")`);
    }
    case "string":
      if (text === "") {
        throw new Fatal(
          'An empty string is not valid as input; use "" to represent the empty string',
        );
      }
      if (!text.startsWith('"')) return text;
      if (text.length < 2 || !text.endsWith('"')) {
        throw new Fatal(`${text}: missing quote at end of quoted string`);
      }
      return unescape(text.slice(1, -1));
    case "uuid": {
      if (text.startsWith("@")) return symbols.refer(text, base);
      const uuid = parseUuid(text);
      if (uuid === undefined) throw new Fatal(`"${text}" is not a valid UUID`);
      return uuid;
    }
    default: {
      const never: never = base.type;
      return never;
    }
  }
}

function check(atom: Atom, base: BaseType): void {
  try {
    checkAtom(atom, base);
  } catch (error) {
    if (error instanceof OvsdbError) throw new Fatal(error.message);
    throw error;
  }
}

/** One value. Throws `Fatal` if it is none of this type. */
export function parseAtom(text: string, base: BaseType, symbols: Symbols): Atom {
  const atom = atomOf(text, base, symbols);
  check(atom, base);
  return atom;
}

/** The members that a word stands for: one, or all integers of a range. */
function parseMembers(text: string, base: BaseType, symbols: Symbols): readonly Atom[] {
  const [, first = "", last = ""] = base.type === "integer"
    ? /^(\s*[+-]?\d+)-(\s*[+-]?\d+)$/.exec(text) ?? []
    : [];
  const [low, high] = [parseInteger(first), parseInteger(last)];
  if (low === undefined || high === undefined) return [parseAtom(text, base, symbols)];
  if (high < low) {
    throw new Fatal(`"${text}" is not a valid range. Range end cannot be before start.`);
  }
  check(integerAtom(low), base);
  check(integerAtom(high), base);
  if (high - low >= BigInt(LONGEST_RANGE)) {
    throw new Fatal(
      `constraint violation: Range "${low}-${high}" is too big. ` +
        `Maximum allowed size is ${LONGEST_RANGE}.`,
    );
  }
  return Array.from({ length: Number(high - low) + 1 }, (_, i) => integerAtom(low + BigInt(i)));
}

const SPACE = /\s/;

/** A whole value, as `set` takes it. Throws `Fatal`. */
export function parseValue(text: string, type: ColumnType, symbols: Symbols): Datum {
  const reader = new ValueReader(text, type, symbols);
  return reader.read();
}

class ValueReader {
  private at = 0;
  private readonly members: { readonly key: Atom; readonly value: Atom | undefined }[] = [];

  constructor(
    private readonly text: string,
    private readonly type: ColumnType,
    private readonly symbols: Symbols,
  ) {}

  private refuse(problem: string): never {
    throw new Fatal(`${this.text}: ${problem}`);
  }

  private skipSpaces(): void {
    while (SPACE.test(this.text[this.at] ?? "")) this.at++;
  }

  read(): Datum {
    const map = isMap(this.type);
    this.skipSpaces();
    const start = this.text[this.at];
    if (start === undefined) {
      throw new Fatal(`use "${map ? "{}" : "[]"}" to specify the empty ${map ? "map" : "set"}`);
    }
    const bracketed = start === (map ? "{" : "[");
    const end = bracketed ? map ? "}" : "]" : undefined;
    if (bracketed) {
      this.at++;
      this.skipSpaces();
    }
    this.readMembers(end);
    if (this.text[this.at] !== end) this.refuse(`missing "${end}" at end of data`);
    if (end !== undefined) {
      this.at++;
      this.skipSpaces();
      if (this.at < this.text.length) this.refuse(`trailing garbage after "${end}"`);
    }
    return this.datum();
  }

  private readMembers(end: string | undefined): void {
    while (this.at < this.text.length && this.text[this.at] !== end) {
      const character = this.text[this.at] as string;
      if (isDelimiter(character)) {
        this.refuse(`unexpected "${character}" parsing ${typeToEnglish(this.type)}`);
      }
      this.readMember();
      this.skipSpaces();
      if (this.text[this.at] === ",") {
        this.at++;
        this.skipSpaces();
      }
    }
  }

  private word(): string {
    const { token, end } = parseToken(this.text, this.at);
    this.at = end;
    return token;
  }

  private readMember(): void {
    const start = this.at;
    const keys = parseMembers(this.word(), this.type.key, this.symbols);
    let value: Atom | undefined;
    if (this.type.value !== undefined) {
      this.skipSpaces();
      const character = this.text[this.at];
      if (character !== "=") {
        // At the end there is no character to show, and the message stops there.
        const rest = character === undefined ? "" : `${character}" expecting "="`;
        throw new Fatal(`${this.text.slice(start)}: syntax error at "${rest}`);
      }
      this.at++;
      this.skipSpaces();
      value = parseAtom(this.word(), this.type.value, this.symbols);
    }
    for (const key of keys) this.members.push({ key, value });
  }

  private datum(): Datum {
    const { members, type } = this;
    const what = isMap(type) ? "pair(s)" : "value(s)";
    if (members.length < type.min) {
      this.refuse(`${members.length} ${what} specified but the minimum number is ${type.min}`);
    }
    if (members.length > type.max) {
      this.refuse(`${members.length} ${what} specified but the maximum number is ${type.max}`);
    }
    members.sort((a, b) => compareAtoms(a.key, b.key));
    if (members.some(({ key }, i) => key === members[i + 1]?.key)) {
      this.refuse(isMap(type) ? "map contains duplicate key" : "set contains duplicate value");
    }
    const keys = members.map(({ key }) => key);
    return isMap(type) ? { keys, values: members.map(({ value }) => value as Atom) } : { keys };
  }
}
