/** Reading texts and files of texts. */
import { readFileSync } from "node:fs";
import { OfError } from "../../../openflow/errors.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import { TextError } from "../../../packet/text.ts";
import { errnoOf, errnoText, Fatal } from "../fatal.ts";

/**
 * Reads a text without knowing any names, and only if that fails with those that `names` gets from
 * the switch: most texts have none, and asking takes a connection. `tell` is told why a text cannot
 * be. Throws `Fatal`.
 */
export async function retryingNames<T>(
  read: (names: TextNames) => T,
  none: TextNames,
  names: (() => Promise<TextNames>) | undefined,
  tell: (error: OfError) => void,
): Promise<T> {
  const fail = (error: unknown): never => {
    if (!(error instanceof TextError)) throw error;
    if (error.cause instanceof OfError) tell(error.cause);
    throw new Fatal(error.message);
  };
  try {
    return read(none);
  } catch (error) {
    if (!names || !(error instanceof TextError)) return fail(error);
  }
  const known = await names();
  try {
    return read(known);
  } catch (error) {
    return fail(error);
  }
}

/** A file's text; `-` is standard input. Throws `Fatal`, ending in what the system says. */
export function readText(path: string, say = (why: string) => `${path}: open failed (${why})`) {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new Fatal(say(errnoText(errnoOf(error) ?? "EIO")));
  }
}

/** Lines with something on them, without comments, and their numbers. */
export function* significantLines(text: string): Generator<readonly [string, number]> {
  let number = 0;
  for (let at = 0; at < text.length;) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    number++;
    const raw = text.slice(at, end);
    at = end + 1;
    const comment = raw.indexOf("#");
    const line = comment < 0 ? raw : raw.slice(0, comment);
    if (/\S/.test(line)) yield [line, number];
  }
}

/** Reads each line of a file; errors name the file and the line. */
export function parseLines<T>(path: string, text: string, read: (line: string) => T): T[] {
  const all: T[] = [];
  for (const [line, number] of significantLines(text)) {
    try {
      all.push(read(line));
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      throw new TextError(`${path}:${number}: ${error.message}`, { cause: error.cause });
    }
  }
  return all;
}
