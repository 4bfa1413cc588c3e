/** The one error of this room: what RFC 7047 §3.1 calls an `<error>`. */
import { canonical, isObject, type Json, type JsonObject, member } from "./json.ts";

export class OvsdbError extends Error {
  override readonly name = "OvsdbError";

  /**
   * `tag` is the RFC's short string (`constraint violation`, `timed out`, …) that programs compare;
   * `details` is for people; `syntax` is the JSON that was at fault; `ioError` the system's words.
   */
  constructor(
    readonly tag: string,
    readonly details?: string,
    readonly syntax?: string,
    readonly ioError?: string,
  ) {
    super(
      (syntax === undefined ? "" : `syntax "${syntax}": `) + tag +
        (details === undefined ? "" : `: ${details}`) +
        (ioError === undefined ? "" : ` (${ioError})`),
    );
  }

  toJson(): JsonObject {
    return {
      error: this.tag,
      ...(this.details === undefined ? {} : { details: this.details }),
      ...(this.syntax === undefined ? {} : { syntax: this.syntax }),
      ...(this.ioError === undefined ? {} : { "io-error": this.ioError }),
    };
  }

  /** Reads an `<error>` that some server sent; anything else becomes a `protocol error`. */
  static fromJson(json: Json): OvsdbError {
    if (!isObject(json)) {
      return typeof json === "string"
        ? new OvsdbError(json)
        : new OvsdbError("protocol error", `not an error object: ${canonical(json)}`);
    }
    const text = (name: string): string | undefined => {
      const value = member(json, name);
      return typeof value === "string" ? value : undefined;
    };
    return new OvsdbError(
      text("error") ?? "unknown error",
      text("details"),
      text("syntax"),
      text("io-error"),
    );
  }
}

/** An error that quotes the JSON at fault, as far as a reader can use it. */
export function syntaxError(json: Json | undefined, details: string, tag = "syntax error") {
  return new OvsdbError(tag, details, json === undefined ? undefined : canonical(json));
}

export const constraintViolation = (details: string): OvsdbError =>
  new OvsdbError("constraint violation", details);
