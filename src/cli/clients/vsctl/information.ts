/** What `vsctl` says about itself: help for people, lists for shell completion, versions. */
import { openVSwitchSchema } from "../../../db/schema/openvswitch.ts";
import { OVS_VERSION } from "../../version.ts";
import { defaultRemote } from "../connect.ts";
import { nameOrder } from "../hash-order.ts";
import type { CommandDeclaration } from "./command.ts";
import { commandGroups, commandsByName } from "./commands.ts";
import { globalOptions, type InformationAsked } from "./options.ts";

export function information(about: InformationAsked["about"]): string {
  switch (about) {
    case "help":
      return help();
    case "commands":
      return commandList();
    case "options":
      return optionList();
    case "version":
      return `ovs-vsctl (Open vSwitch) ${OVS_VERSION}\nDB Schema ${openVSwitchSchema.version}\n`;
    default: {
      const never: never = about;
      return never;
    }
  }
}

const OPTION_HELP: readonly (readonly [string, string])[] = [
  ["--db=REMOTE", `the database server (default: ${defaultRemote(process.env)})`],
  ["--no-wait", "do not wait until the switch has taken the change in"],
  ["--retry", "keep trying to connect to the server"],
  ["-t, --timeout=SECS", "give up after so many seconds"],
  ["--dry-run", "change nothing"],
  ["--oneline", "print the output of each command on one line"],
  ["-f, --format=FORMAT", "of tables: table, list, html, csv or json"],
  ["-d, --data=FORMAT", "of cells: string, bare or json"],
  ["--no-headings", "leave the headings out"],
  ["--pretty", "print JSON on many lines"],
  ["--bare", "the same as --format=list --data=bare --no-headings"],
  ["--max-column-width=N", "cut columns of tables after N bytes"],
  ["-v, --verbose[=SPEC]", "log more; SPEC: [MODULE:][DESTINATION:]LEVEL"],
  ["--log-file[=FILE]", "log to FILE"],
  ["-p, --private-key=FILE", "for ssl: remotes: the private key"],
  ["-c, --certificate=FILE", "the certificate"],
  ["-C, --ca-cert=FILE", "the certificate of the server's authority"],
  ["-h, --help", "print this help"],
  ["-V, --version", "print the version"],
];

function help(): string {
  const rows = (list: readonly (readonly [string, string])[]): string =>
    list.map(([left, right]) =>
      left.length > 38 ? `  ${left}\n${" ".repeat(42)}${right}\n` : `  ${left.padEnd(40)}${right}\n`
    ).join("");
  const groups = commandGroups.map(({ title, commands }) =>
    `\n${title}:\n` + rows(commands.map(({ name, args, options, help }) => {
      const given = options.map((option) => `[${option.replace(/=$/, "=X")}]`);
      return [[...given, name, args].filter((word) => word !== "").join(" "), help];
    }))
  );
  return "ovs-vsctl: reads and changes the configuration of Open vSwitch\n" +
    "usage: ovs-vsctl [OPTIONS] COMMAND [ARG...] [-- [OPTIONS] COMMAND [ARG...]]...\n" +
    `${groups.join("")}\nOptions:\n${rows(OPTION_HELP)}`;
}

/**
 * `args` as completion scripts read them: `!X` must be there, `?X` may, `*X` any number of times,
 * `+X` at least once.
 */
export function markArguments(args: string): string {
  return args.split(" ").filter((word) => word !== "").map((word) => {
    const repeated = word.endsWith("...");
    const plain = repeated ? word.slice(0, -3) : word;
    const whole = plain.startsWith("[") && endOfBracket(plain) === plain.length - 1;
    const inner = (whole ? plain.slice(1, -1) : plain).replaceAll("[", "?").replaceAll("]", "");
    return `${whole ? repeated ? "*" : "?" : repeated ? "+" : "!"}${inner}`;
  }).join(" ");
}

/** Where the bracket that opens the word is closed. */
function endOfBracket(word: string): number {
  let depth = 0;
  for (let i = 0; i < word.length; i++) {
    if (word[i] === "[") depth++;
    if (word[i] === "]" && --depth === 0) return i;
  }
  return -1;
}

function commandList(): string {
  const commands = commandsByName();
  return nameOrder(commands.keys()).map((name) => {
    const { args, options } = commands.get(name) as CommandDeclaration;
    const given = options.map((option) => `[${option}] `).join("");
    return `${given},${name},${markArguments(args)}\n`;
  }).join("");
}

function optionList(): string {
  return globalOptions.map(({ name, letter, value }) => {
    const takes = value !== "none";
    return `--${name}${takes ? "=ARG" : ""}\n` +
      (letter === undefined ? "" : `-${letter}${takes ? " ARG" : ""}\n`);
  }).join("");
}
