/**
 * Command-line options as GNU `getopt_long` takes them: `--name`, `--name=value`, `--name value`,
 * unambiguous beginnings of names, `-n`, `-nvalue`, `-n value`, several letters in one word, and
 * `--` as the end of options. commander knows neither abbreviations nor optional values that must be
 * attached nor where such a tool stops, and scripts rely on these.
 */
import { Fatal } from "./fatal.ts";

export type OptionValue = "none" | "required" | "optional";

export interface OptionDeclaration<K extends string = string> {
  /** Without the dashes. */
  readonly name: string;
  /** One letter that means the same. */
  readonly letter?: string;
  readonly value: OptionValue;
  /** What the program calls it; several names may mean one thing. */
  readonly key: K;
}

export interface FoundOption<K extends string = string> {
  readonly option: OptionDeclaration<K>;
  readonly value: string | undefined;
}

/**
 * Calls `take` for each option in order, so that an error in an early one is told before one in a
 * later one; returns the other words. With `stopAtWord`, the first word that is no option ends the
 * options; else options may stand anywhere.
 */
export function getopt<K extends string>(
  words: readonly string[],
  options: readonly OptionDeclaration<K>[],
  stopAtWord: boolean,
  take: (found: FoundOption<K>) => void,
): string[] {
  const rest: string[] = [];
  const queue = [...words];
  const next = (missing: () => Fatal): string => {
    const word = queue.shift();
    if (word === undefined) throw missing();
    return word;
  };
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === "--") return [...rest, ...queue];
    if (word.startsWith("--")) {
      takeLong(word, options, next, take);
    } else if (word.startsWith("-") && word !== "-") {
      takeLetters(word.slice(1), options, next, take);
    } else if (stopAtWord) {
      return [word, ...queue];
    } else {
      rest.push(word);
    }
  }
  return rest;
}

type Next = (missing: () => Fatal) => string;

function takeLong<K extends string>(
  word: string,
  options: readonly OptionDeclaration<K>[],
  next: Next,
  take: (found: FoundOption<K>) => void,
): void {
  const equals = word.indexOf("=");
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  const option = findLong(word, name, options);
  if (attached !== undefined && option.value === "none") {
    throw new Fatal(`option '--${option.name}' doesn't allow an argument`);
  }
  const value = option.value === "required" && attached === undefined
    ? next(() => new Fatal(`option '--${option.name}' requires an argument`))
    : attached;
  take({ option, value });
}

function findLong<K extends string>(
  word: string,
  name: string,
  options: readonly OptionDeclaration<K>[],
): OptionDeclaration<K> {
  const exact = options.find((option) => option.name === name);
  if (exact !== undefined) return exact;
  const matches = options.filter((option) => option.name.startsWith(name));
  const [first] = matches;
  if (first === undefined) throw new Fatal(`unrecognized option '${word}'`);
  const same = matches.every(({ key, value }) => key === first.key && value === first.value);
  if (same) return first;
  const possibilities = matches.map((option) => `'--${option.name}'`).join(" ");
  throw new Fatal(`option '${word}' is ambiguous; possibilities: ${possibilities}`);
}

function takeLetters<K extends string>(
  letters: string,
  options: readonly OptionDeclaration<K>[],
  next: Next,
  take: (found: FoundOption<K>) => void,
): void {
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i] as string;
    const option = options.find((candidate) => candidate.letter === letter);
    if (option === undefined) throw new Fatal(`invalid option -- '${letter}'`);
    const attached = letters.slice(i + 1);
    if (option.value === "none") {
      take({ option, value: undefined });
      continue;
    }
    const value = attached !== ""
      ? attached
      : option.value === "optional"
      ? undefined
      : next(() => new Fatal(`option requires an argument -- '${letter}'`));
    take({ option, value });
    return;
  }
}
