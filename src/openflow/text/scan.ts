/**
 * The syntax that flows and actions share: `key=value`, `key:value`, `key(value)` or `key`,
 * separated by commas and white space, parentheses in values balanced; and numbers as C reads them.
 */
import { integer, TextError } from "../../packet/text.ts";

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

const isBlank = (char: string | undefined): boolean =>
  char === "," || char === " " || char === "\t" || char === "\r" || char === "\n";

/** Length of a value that ends at one of `delimiters` outside any parentheses within it. */
function valueLength(text: string, at: number, delimiters: string): number {
  let depth = 0;
  let end = at;
  for (; end < text.length; end++) {
    const char = text[end]!;
    if (depth === 0 && delimiters.includes(char)) break;
    if (char === "(") depth++;
    else if (char === ")" && depth > 0) depth--;
  }
  return end - at;
}

/** Cuts `text` into its keys and values. */
export function* keyValues(text: string): Generator<KeyValue> {
  let at = 0;
  for (;;) {
    while (isBlank(text[at])) at++;
    if (at >= text.length) return;
    const start = at;
    while (at < text.length && !":=(, \t\r\n".includes(text[at]!)) at++;
    const key = text.slice(start, at);
    const delimiter = text[at];
    if (delimiter !== undefined) at++;
    if (delimiter === undefined || isBlank(delimiter)) {
      yield { key, value: "" };
      continue;
    }
    const plain = ", \t\r\n";
    let length = valueLength(text, at, delimiter === "(" ? ")" : plain);
    // `check_pkt_larger(1500)->reg0[0]`: what follows the parenthesis belongs to the value.
    if (delimiter === "(" && text.startsWith(")->", at + length)) {
      length += valueLength(text, at + length, plain);
    }
    yield { key, value: text.slice(at, at + length) };
    at += length + (at + length < text.length ? 1 : 0);
  }
}

function bounded(text: string, limit: bigint): bigint | undefined {
  const value = integer(text.trim());
  return value === undefined || value > limit ? undefined : value;
}

/** 0..255, or an error that names `what`. */
export function parseU8(text: string, what: string): number {
  return parseUpTo(text, what, 0xffn);
}

export function parseU16(text: string, what: string): number {
  return parseUpTo(text, what, 0xffffn);
}

function parseUpTo(text: string, what: string, limit: bigint): number {
  const value = bounded(text, limit);
  if (value === undefined) throw new TextError(`invalid ${what} "${text}"`);
  return Number(value);
}

export function parseU32(text: string): number {
  return Number(parseWide(text, 0xffffffffn));
}

export function parseU64(text: string): bigint {
  return parseWide(text, 0xffff_ffff_ffff_ffffn);
}

function parseWide(text: string, limit: bigint): bigint {
  if (text === "") throw new TextError("missing required numeric argument");
  // C's strtoul takes a sign and wraps: `cookie=1/-1` is the usual way to say all ones.
  const negative = text.startsWith("-");
  const value = bounded(negative ? text.slice(1) : text, limit);
  if (value === undefined) throw new TextError(`invalid numeric format ${text}`);
  return negative ? (limit + 1n - value) & limit : value;
}

/** 0..254, or 255 where it means all; undefined when it is no table. */
export function parseTable(text: string): number | undefined {
  const value = bounded(text, 0xffn);
  return value === undefined ? undefined : Number(value);
}

/** Bytes in hex, with blanks and dots between them ignored. */
export function parseHexBytes(text: string): Uint8Array | undefined {
  const digits = text.replace(/[\s.]/g, "");
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) return undefined;
  return Uint8Array.from(
    { length: digits.length / 2 },
    (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}

/** Bytes as `note` and `userdata` print them. */
export function formatHexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(".");
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** printf's `%#x`: zero has no prefix. */
export const alternateHex = (value: bigint | number): string =>
  BigInt(value) === 0n ? "0" : hex(value);
