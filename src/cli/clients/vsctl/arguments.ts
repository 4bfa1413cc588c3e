/** A vsctl command line taken apart: commands separated by `--`, each with options before its name. */
import { Fatal } from "../fatal.ts";
import { nameOrder } from "../hash-order.ts";
import type { CommandDeclaration } from "./command.ts";

/** Words as one line, quoted where a reader needs it. */
export function escapeArguments(words: readonly string[]): string {
  return words.map((word) =>
    /[ \t\r\n\v\\'"]/.test(word) ? `"${word.replace(/[\\"]/g, "\\$&")}"` : word
  ).join(" ");
}

export interface ParsedCommand {
  readonly declaration: CommandDeclaration;
  readonly args: readonly string[];
  /** With dashes; undefined: given without a value. */
  readonly options: ReadonlyMap<string, string | undefined>;
}

const NO_COMMAND = "missing command name (use --help for help)";

/** `firstOptions`: those that stood among the program's own. Throws `Fatal`. */
export function parseCommands(
  words: readonly string[],
  firstOptions: ReadonlyMap<string, string | undefined>,
  declarations: ReadonlyMap<string, CommandDeclaration>,
): ParsedCommand[] {
  const commands: ParsedCommand[] = [];
  let options: Map<string, string | undefined> = new Map(firstOptions);
  let start = 0;
  for (let at = 0; at <= words.length; at++) {
    if (at < words.length && words[at] !== "--") continue;
    if (at > start) {
      commands.push(parseCommand(words.slice(start, at), options, declarations));
      options = new Map();
    } else if (options.size > 0) throw new Fatal(NO_COMMAND);
    start = at + 1;
  }
  if (commands.length === 0) throw new Fatal(NO_COMMAND);
  return commands;
}

function parseCommand(
  words: readonly string[],
  options: Map<string, string | undefined>,
  declarations: ReadonlyMap<string, CommandDeclaration>,
): ParsedCommand {
  let at = 0;
  for (; words[at]?.startsWith("-") === true; at++) {
    const word = words[at] as string;
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    if (options.has(name)) throw new Fatal(`'${word}' option specified multiple times`);
    options.set(name, equals < 0 ? undefined : word.slice(equals + 1));
  }
  const [name, ...args] = words.slice(at);
  if (name === undefined) throw new Fatal(NO_COMMAND);
  const declaration = declarations.get(name);
  if (declaration === undefined) {
    throw new Fatal(`unknown command '${name}'; use --help for help`);
  }
  for (const option of nameOrder(options.keys())) {
    checkOption(declaration, option, options.get(option));
  }
  checkCount(declaration, args);
  return { declaration, args, options };
}

function checkOption(
  { name, options }: CommandDeclaration,
  option: string,
  value: string | undefined,
): void {
  const takesValue = options.includes(`${option}=`);
  if (!takesValue && !options.includes(option)) {
    throw new Fatal(`'${name}' command has no '${option}' option`);
  }
  if (takesValue === (value !== undefined)) return;
  throw new Fatal(
    takesValue
      ? `missing argument to '${option}' option on '${name}' command`
      : `'${option}' option on '${name}' does not accept an argument`,
  );
}

function checkCount({ name, min, max }: CommandDeclaration, args: readonly string[]): void {
  if (args.length < min) {
    throw new Fatal(`'${name}' command requires at least ${min} arguments`);
  }
  if (args.length <= max) return;
  const hint = args.some((arg) => arg.startsWith("-"))
    ? ' (note that options must precede command names and follow a "--" argument)'
    : "";
  throw new Fatal(`'${name}' command takes at most ${max} arguments${hint}`);
}
