/** A cursor over datapath-flow text. Whatever does not fit throws TextError, at its place. */
import { parseIpv4, parseIpv6, parseMac } from "../../packet/address.ts";
import { TextError } from "../../packet/text.ts";

const DELIMITERS = ", \t\r\n";
/** How deep lists of actions and `encap` may nest. */
const MAX_DEPTH = 32;

export class Scanner {
  at = 0;
  private depth = 0;

  constructor(readonly text: string) {}

  get atEnd(): boolean {
    return this.at >= this.text.length;
  }

  get rest(): string {
    return this.text.slice(this.at);
  }

  fail(): never {
    throw new TextError(`syntax error at ${this.rest}`);
  }

  /** Is this next? */
  sees(word: string): boolean {
    return this.text.startsWith(word, this.at);
  }

  /** Goes past the word if it is next. */
  take(word: string): boolean {
    if (!this.sees(word)) return false;
    this.at += word.length;
    return true;
  }

  expect(word: string): void {
    if (!this.take(word)) this.fail();
  }

  skipDelimiters(): void {
    while (this.at < this.text.length && DELIMITERS.includes(this.text[this.at]!)) this.at++;
  }

  /** What the sticky pattern matches here; undefined: nothing. */
  match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return undefined;
    this.at += found[0].length;
    return found;
  }

  /** A C integer (decimal, 0x hexadecimal, 0 octal) of at most `limit`. */
  big(limit: bigint): bigint {
    const found = this.match(/0[xX][0-9a-fA-F]+|[0-9]+/y)?.[0];
    if (found === undefined) this.fail();
    let value: bigint;
    if (/^0[0-7]+$/.test(found)) value = BigInt(`0o${found.slice(1)}`);
    else if (/^0\d/.test(found)) this.fail();
    else value = BigInt(found);
    if (value > limit) this.fail();
    return value;
  }

  number(limit = 0xffffffff): number {
    return Number(this.big(BigInt(limit)));
  }

  seesNumber(): boolean {
    const next = this.text[this.at];
    return next !== undefined && next >= "0" && next <= "9";
  }

  mac(): Uint8Array {
    return this.address(/[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}/y, parseMac);
  }

  ipv4(): Uint8Array {
    return this.address(/\d{1,3}(?:\.\d{1,3}){3}/y, parseIpv4);
  }

  ipv6(): Uint8Array {
    return this.address(/[0-9a-fA-F:.]+/y, parseIpv6);
  }

  /** `/` and a second value, if it is next; undefined: exact. */
  mask<T>(read: () => T): T | undefined {
    return this.take("/") ? read() : undefined;
  }

  /** One level deeper for `body`. */
  nested<T>(body: () => T): T {
    if (this.depth >= MAX_DEPTH) this.fail();
    this.depth++;
    const result = body();
    this.depth--;
    return result;
  }

  private address(
    pattern: RegExp,
    parse: (text: string) => Uint8Array | undefined,
  ): Uint8Array {
    const start = this.at;
    const found = this.match(pattern)?.[0];
    const bytes = found === undefined ? undefined : parse(found);
    if (bytes) return bytes;
    this.at = start;
    return this.fail();
  }
}
