/**
 * Cuts a byte stream into JSON values (RFC 7047 §4: JSON texts one after the other, with nothing or
 * white space between them) and parses them.
 *
 * Only objects and arrays are taken at the top level, for only those show where they end. Brackets
 * are matched while bytes arrive, so that depth and mismatches are known at once; the rest of the
 * grammar is checked when a value is complete. All input is hostile: length and depth are bounded,
 * UTF-8 must be well formed, texts must hold no NUL and no half of a surrogate pair.
 */
import { isArray, type Json, type JsonObject } from "../json.ts";
import { INT64_MAX, INT64_MIN } from "../values/atom.ts";

export interface StreamLimits {
  readonly messageBytes: number;
  readonly depth: number;
}

/** 256 MiB a message (a client may send a whole database in one), 1000 brackets deep. */
export const defaultStreamLimits: StreamLimits = { messageBytes: 256 << 20, depth: 1000 };

/** The stream is not JSON, or more of it than allowed. `offset`: bytes since it began. */
export class JsonStreamError extends Error {
  override readonly name = "JsonStreamError";
  constructor(readonly problem: string, readonly offset: number) {
    super(`${problem} (byte ${offset})`);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

/** From this many digits on, an integer may not be exact as a `number`. */
const LONG_INTEGER = 16;

export class JsonStream {
  /** Pieces of the value under way. */
  private pieces: Uint8Array[] = [];
  private pieceBytes = 0;
  /** The closing brackets to come, innermost last. */
  private readonly brackets: number[] = [];
  private inText = false;
  private escaped = false;
  private digits = 0;
  private longInteger = false;
  /** Bytes of the stream before the chunk being fed. */
  private offset = 0;
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(private readonly limits: StreamLimits = defaultStreamLimits) {}

  /** True in the middle of a value. */
  get partial(): boolean {
    return this.brackets.length > 0;
  }

  /** Takes the next bytes; gives the values that they complete. Throws `JsonStreamError`. */
  *feed(chunk: Uint8Array): Generator<Json> {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (this.inText) {
        if (this.escaped) this.escaped = false;
        else if (byte === BACKSLASH) this.escaped = true;
        else if (byte === QUOTE) this.inText = false;
        continue;
      }
      if (this.brackets.length === 0) {
        if (isSpace(byte)) continue;
        if (byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
          throw this.error("a JSON object or array must begin here", i);
        }
        start = i;
      }
      if (isDigit(byte)) {
        if (++this.digits >= LONG_INTEGER) this.longInteger = true;
        continue;
      }
      this.digits = 0;
      switch (byte) {
        case QUOTE:
          this.inText = true;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          if (this.brackets.length >= this.limits.depth) {
            throw this.error(`nested deeper than ${this.limits.depth}`, i);
          }
          this.brackets.push(byte === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET);
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.brackets.pop() !== byte) {
            throw this.error(`"${String.fromCharCode(byte)}" closes nothing`, i);
          }
          if (this.brackets.length === 0) {
            this.keep(chunk.subarray(start, i + 1), i);
            yield this.complete(i);
            start = i + 1;
          }
          break;
      }
    }
    if (this.partial) this.keep(chunk.slice(start), chunk.length);
    this.offset += chunk.length;
  }

  private error(problem: string, at: number): JsonStreamError {
    return new JsonStreamError(problem, this.offset + at);
  }

  private keep(piece: Uint8Array, at: number): void {
    this.pieceBytes += piece.length;
    if (this.pieceBytes > this.limits.messageBytes) {
      throw this.error(`message longer than ${this.limits.messageBytes} bytes`, at);
    }
    this.pieces.push(piece);
  }

  private complete(at: number): Json {
    const { pieces, longInteger } = this;
    const only = pieces.length === 1 ? pieces[0] : undefined;
    const bytes = only ?? Buffer.concat(pieces, this.pieceBytes);
    this.pieces = [];
    this.pieceBytes = 0;
    this.longInteger = false;
    let text: string;
    try {
      text = this.decoder.decode(bytes);
    } catch {
      throw this.error("a message that ends here is not valid UTF-8", at);
    }
    return this.parse(text, longInteger, at);
  }

  private parse(text: string, longInteger: boolean, at: number): Json {
    let value: Json;
    try {
      value = longInteger ? JSON.parse(text, exactInteger) : JSON.parse(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw this.error(`a message that ends here is not JSON: ${reason}`, at);
    }
    // Only an escape can bring a NUL or half a surrogate pair into a text.
    if (/\\u(0000|[dD][89a-fA-F])/.test(text)) this.checkTexts(value, at);
    return value;
  }

  private checkTexts(value: Json, at: number): void {
    if (typeof value === "string") {
      if (value.includes("\0")) {
        throw this.error("a message that ends here has a NUL in a text", at);
      }
      if (!value.isWellFormed()) {
        throw this.error("a message that ends here has half a surrogate pair in a text", at);
      }
    } else if (isArray(value)) {
      for (const element of value) this.checkTexts(element, at);
    } else if (typeof value === "object" && value !== null) {
      for (const [name, element] of Object.entries(value as JsonObject)) {
        this.checkTexts(name, at);
        this.checkTexts(element, at);
      }
    }
  }
}

/** `JSON.parse` reviver: integers of up to 64 bits keep every digit. */
function exactInteger(_name: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  if (source === undefined || !/^-?\d+$/.test(source)) return value;
  const integer = BigInt(source);
  return integer >= INT64_MIN && integer <= INT64_MAX ? integer : value;
}

/** Parses one text that must hold exactly one value. Throws `JsonStreamError`. */
export function parseJsonText(text: string, limits?: StreamLimits): Json {
  const stream = new JsonStream(limits);
  const values = [...stream.feed(new TextEncoder().encode(text))];
  const [value] = values;
  if (values.length !== 1 || value === undefined || stream.partial) {
    throw new JsonStreamError("exactly one complete JSON value expected", text.length);
  }
  return value;
}
