/**
 * JSON given on a command line or in a file, with the messages of Open vSwitch's parser for text that
 * is none: they name the place, and scripts and tests know them.
 */
import type { Json } from "../../db/json.ts";
import { parseJsonText } from "../../db/rpc/json-stream.ts";

export class JsonArgumentError extends Error {
  override readonly name = "JsonArgumentError";
}

/** Throws `JsonArgumentError`. Only an object or an array may stand at the top. */
export function parseJsonArgument(text: string): Json {
  try {
    return parseJsonText(text);
  } catch (error) {
    const found = new Diagnosis(text).problem;
    const reason = error instanceof Error ? error.message : String(error);
    throw new JsonArgumentError(found ?? reason);
  }
}

const DEEPEST = 1000;

type Token = "{" | "}" | "[" | "]" | ":" | "," | "string" | "value";

type Expecting =
  | "start"
  | "end"
  | "member or }"
  | "member"
  | "colon"
  | "member value"
  | "more members"
  | "element or ]"
  | "element"
  | "more elements";

/** Reads the text as far as the first error. */
class Diagnosis {
  problem: string | undefined;
  private line = 0;
  private column = 0;
  private at = 0;
  private expecting: Expecting = "start";
  private readonly open: ("{" | "[")[] = [];

  constructor(private readonly text: string) {
    while (this.problem === undefined && this.at < text.length) this.token();
    if (this.expecting === "start") this.fail("empty input stream");
    if (this.expecting !== "end") this.fail("unexpected end of input");
  }

  private fail(problem: string): void {
    this.problem ??= `line ${this.line}, column ${this.column}, byte ${this.at}: ${problem}`;
  }

  private take(count: number): void {
    for (const character of this.text.slice(this.at, this.at + count)) {
      this.at++;
      if (character === "\n") {
        this.line++;
        this.column = 0;
      } else this.column++;
    }
  }

  private token(): void {
    const rest = this.text.slice(this.at);
    const character = rest[0] as string;
    if (/[ \t\n\r]/.test(character)) this.take(1);
    else if (/[[\]{}:,]/.test(character)) {
      this.accept(character as Token);
      this.take(1);
    } else if (/[a-z]/.test(character)) this.keyword(/^[a-zA-Z]+/.exec(rest)?.[0] ?? "");
    else if (/[-\d]/.test(character)) this.number(/^[-+.\deE]+/.exec(rest)?.[0] ?? "");
    else if (character === '"') this.string(rest);
    else this.fail(`invalid character '${character}'`);
  }

  private keyword(word: string): void {
    this.take(word.length);
    if (["true", "false", "null"].includes(word)) this.accept("value");
    else this.fail(`invalid keyword '${word}'`);
  }

  private number(word: string): void {
    this.take(word.length);
    if (/^-?0\d/.test(word)) this.fail("leading zeros not allowed");
    else if (!/^-?\d/.test(word)) this.fail("'-' must be followed by digit");
    else if (/^-?\d+\.(?!\d)/.test(word)) this.fail("decimal point must be followed by digit");
    else if (/^-?\d+(\.\d+)?[eE][-+]?(?!\d)/.test(word)) {
      this.fail("exponent must contain at least one digit");
    } else if (!/^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(word)) this.fail("syntax error in number");
    else this.accept("value");
  }

  private string(rest: string): void {
    const [whole] = /^"(?:[^"\\]|\\[^])*"?/.exec(rest) ?? [""];
    const control = [...whole].findIndex((character) => character < " ");
    if (control >= 0) {
      this.take(control);
      const code = whole.charCodeAt(control).toString(16).toUpperCase().padStart(4, "0");
      this.fail(`U+${code} must be escaped in quoted string`);
    } else if (whole.length < 2 || !/[^\\](\\\\)*"$/.test(whole)) {
      this.take(rest.length);
      this.fail("unexpected end of input in quoted string");
    } else {
      this.take(whole.length - 1);
      const bad = /(?:^|[^\\])(?:\\\\)*\\([^"\\/bfnrtu])/.exec(whole.slice(1, -1));
      if (bad?.[1] !== undefined) this.fail(`bad escape \\${bad[1]}`);
      this.accept("string");
      this.take(1);
    }
  }

  private accept(token: Token): void {
    const { expecting } = this;
    switch (expecting) {
      case "start":
        if (token === "{" || token === "[") this.push(token);
        else this.fail("syntax error at beginning of input");
        return;
      case "end":
        this.fail("trailing garbage at end of input");
        return;
      case "member or }":
      case "member":
        if (token === "}" && expecting === "member or }") this.pop();
        else if (token === "string") this.expecting = "colon";
        else this.fail("syntax error parsing object expecting string");
        return;
      case "colon":
        if (token === ":") this.expecting = "member value";
        else this.fail("syntax error parsing object expecting ':'");
        return;
      case "member value":
        this.value(token, "more members");
        return;
      case "more members":
        if (token === ",") this.expecting = "member";
        else if (token === "}") this.pop();
        else this.fail("syntax error expecting '}' or ','");
        return;
      case "element or ]":
      case "element":
        if (token === "]" && expecting === "element or ]") this.pop();
        else this.value(token, "more elements");
        return;
      case "more elements":
        if (token === ",") this.expecting = "element";
        else if (token === "]") this.pop();
        else this.fail("syntax error expecting ']' or ','");
        return;
      default: {
        const never: never = expecting;
        return never;
      }
    }
  }

  private value(token: Token, then: Expecting): void {
    if (token === "{" || token === "[") this.push(token);
    else if (token === "string" || token === "value") this.expecting = then;
    else this.fail("syntax error expecting value");
  }

  private push(bracket: "{" | "["): void {
    if (this.open.length >= DEEPEST) {
      this.fail(`input exceeds maximum nesting depth ${DEEPEST}`);
      return;
    }
    this.open.push(bracket);
    this.expecting = bracket === "{" ? "member or }" : "element or ]";
  }

  private pop(): void {
    this.open.pop();
    const outer = this.open.at(-1);
    this.expecting = outer === undefined ? "end" : outer === "{" ? "more members" : "more elements";
  }
}
