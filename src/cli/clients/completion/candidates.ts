/**
 * What could stand where the cursor is in a command line, from the declarations of the commands and,
 * for bridges, ports and records, from the database.
 */
import { DatabaseCopy } from "../../../db/client/copy.ts";
import { Draft } from "../../../db/client/draft.ts";
import { openVSwitchSchema } from "../../../db/schema/openvswitch.ts";
import { type DatabaseSchema, parseSchema, type TableSchema } from "../../../db/schema/schema.ts";
import { connect, defaultRemote } from "../connect.ts";
import { ClientLog } from "../client-log.ts";
import { Fatal } from "../fatal.ts";
import type { OptionDeclaration } from "../getopt.ts";
import { clientCommands, clientOptions } from "../ovsdb-client/run.ts";
import type { CommandDeclaration } from "../vsctl/command.ts";
import { Wanted } from "../vsctl/command.ts";
import { commandsByName } from "../vsctl/commands.ts";
import { BridgeModel, wantModel } from "../vsctl/model.ts";
import { findTable, ownColumns } from "../vsctl/names.ts";
import { globalOptions } from "../vsctl/options.ts";
import { RECORD_NAMES, wantRecords } from "../vsctl/records.ts";

/** A server that does not answer must not make a shell wait. */
const LONGEST_WAIT_MS = 700;

/** A command of `solovs` itself. */
export interface OwnCommand {
  readonly name: string;
  /** With dashes. */
  readonly options: readonly string[];
  /** What its arguments may be, where that is known. */
  readonly values: readonly string[];
  readonly subcommands: readonly OwnCommand[];
}

/** The words of a line up to the cursor; the last one is the one to complete, perhaps empty. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let [word, quote, begun] = ["", "", false];
  for (let i = 0; i < line.length; i++) {
    const character = line[i] as string;
    if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === '"' || character === "'") {
      [quote, begun] = [character, true];
    } else if (character === "\\" && i + 1 < line.length) word += line[++i];
    else if (/\s/.test(character)) {
      if (word !== "" || begun) words.push(word);
      [word, begun] = ["", false];
    } else word += character;
  }
  return [...words, word];
}

/** Candidates for the last of `words`, of which the first is the program's name, sorted. */
export async function candidates(
  words: readonly string[],
  own: readonly OwnCommand[],
): Promise<string[]> {
  const [program = "", ...rest] = words;
  const current = words.at(-1) ?? "";
  const found = await allCandidates(program.replace(/^.*\//, ""), rest, own);
  return [...new Set(found)].filter((word) => word.startsWith(current)).sort();
}

async function allCandidates(
  program: string,
  words: readonly string[],
  own: readonly OwnCommand[],
): Promise<readonly string[]> {
  if (program === "ovs-vsctl") return await ofVsctl(words);
  if (program === "ovsdb-client") return ofOvsdbClient(words);
  const [first = "", ...rest] = words;
  if (rest.length === 0) return own.map(({ name }) => name);
  if (first === "vsctl") return await ofVsctl(rest);
  if (first === "ovsdb-client") return ofOvsdbClient(rest);
  return ofOwn(own.find(({ name }) => name === first), rest);
}

function ofOwn(command: OwnCommand | undefined, words: readonly string[]): readonly string[] {
  if (command === undefined) return [];
  const [first = "", ...rest] = words;
  const below = command.subcommands.find(({ name }) => name === first);
  if (below !== undefined && rest.length > 0) return ofOwn(below, rest);
  return [...command.options, ...command.values, ...command.subcommands.map(({ name }) => name)];
}

const optionWords = (options: readonly OptionDeclaration[]): string[] =>
  options.map(({ name, value }) => `--${name}${value === "required" ? "=" : ""}`);

const VALUES_OF_OPTIONS: readonly string[] = [
  ...["table", "list", "html", "csv", "json"].map((format) => `--format=${format}`),
  ...["string", "bare", "json"].map((format) => `--data=${format}`),
];

function ofOvsdbClient(words: readonly string[]): readonly string[] {
  const current = words.at(-1) ?? "";
  if (current.startsWith("-")) return [...optionWords(clientOptions), ...VALUES_OF_OPTIONS];
  const given = words.slice(0, -1).filter((word) => !word.startsWith("-"));
  if (given.length === 0) return clientCommands.map(({ name }) => name);
  return clientCommands.find(({ name }) => name === given[0])?.args.includes("DATABASE") === true
    ? ["Open_vSwitch", "_Server"]
    : [];
}

async function ofVsctl(words: readonly string[]): Promise<readonly string[]> {
  const commands = commandsByName();
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const start = before.lastIndexOf("--") + 1;
  const segment = before.slice(start);
  const at = segment.findIndex((word) => !word.startsWith("-"));
  if (at < 0) {
    if (!current.startsWith("-")) return [...commands.keys()];
    const local = [...commands.values()].flatMap(({ options }) => options);
    return start > 0 ? local : [...local, ...optionWords(globalOptions), ...VALUES_OF_OPTIONS];
  }
  const command = commands.get(segment[at] as string);
  if (command === undefined || segment.length - at - 1 >= command.max) return ["--"];
  const remote = before.find((word) => word.startsWith("--db="))?.slice("--db=".length);
  const lookup = new Lookup(remote ?? defaultRemote(process.env));
  return await ofArgument(command, segment.slice(at + 1), current, lookup);
}

/** The form of the argument after so many, as the declaration has it, without brackets. */
function formOf({ args }: CommandDeclaration, given: readonly string[]): string {
  const forms = args.split(" ").filter((word) => word !== "");
  const form = forms[given.length] ?? forms.findLast((word) => word.endsWith("...")) ?? "";
  return form.replace(/\.\.\.$/, "").replace(/^\[([^[]*|.*\].*)\]$/, "$1");
}

const TARGETS = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"];

async function ofArgument(
  command: CommandDeclaration,
  given: readonly string[],
  current: string,
  lookup: Lookup,
): Promise<readonly string[]> {
  const form = formOf(command, given);
  const [first = "", second = ""] = given;
  // `del-port [BRIDGE] PORT` and the like: the first may be either.
  if (form === "BRIDGE" && command.args.startsWith("[BRIDGE]")) {
    return [...await lookup.bridges(), ...await lookup.ports()];
  }
  switch (form) {
    case "BRIDGE":
    case "PARENT":
      return await lookup.bridges();
    case "PORT":
    case "PORT|IFACE":
    case "BOND":
      return await lookup.ports(given.length > 0 ? first : undefined);
    case "IFACE":
      return await lookup.interfaces();
    case "TABLE":
      return [...lookup.schema.tables.keys()];
    case "RECORD":
      return await lookup.records(first);
    case "MODE":
      return ["standalone", "secure"];
    case "TARGET":
      return TARGETS;
    default: {
      if (!form.startsWith("COLUMN")) return [];
      const isOfPort = command.args.startsWith("BRIDGE");
      const suffix = form.includes("=") ? "=" : "";
      return await lookup.columns(isOfPort ? "Port" : first, second, current, suffix);
    }
  }
}

/** Names in the database, and in its schema. What cannot be had is left out. */
class Lookup {
  readonly schema: DatabaseSchema = parseSchema(openVSwitchSchema);

  constructor(private readonly remote: string) {}

  private table(name: string): TableSchema | undefined {
    try {
      return findTable(this.schema, name);
    } catch (error) {
      if (error instanceof Fatal) return undefined;
      throw error;
    }
  }

  private async draft(want: (wanted: Wanted) => void): Promise<Draft | undefined> {
    const wanted = new Wanted();
    want(wanted);
    const opened = (async () => {
      const session = await connect(this.remote, "solovs completion");
      const copy = await DatabaseCopy.open(session, this.schema, wanted.columns);
      session.close();
      return new Draft(copy);
    })().catch(() => undefined);
    return await Promise.race([opened, Bun.sleep(LONGEST_WAIT_MS).then(() => undefined)]);
  }

  private async model(): Promise<BridgeModel | undefined> {
    const draft = await this.draft((wanted) => wantModel(wanted));
    const root = draft?.rows("Open_vSwitch")[0];
    if (draft === undefined || root === undefined) return undefined;
    return new BridgeModel(draft, root, new ClientLog("solovs", () => {}, "off")).populate();
  }

  async bridges(): Promise<string[]> {
    return [...(await this.model())?.bridges.keys() ?? []];
  }

  async ports(bridge?: string): Promise<string[]> {
    const model = await this.model();
    const of = bridge === undefined ? undefined : model?.bridges.get(bridge);
    return [...model?.ports.values() ?? []]
      .filter(({ bridge, row }) =>
        (of === undefined || bridge === of) && row.get("name") !== bridge.name
      )
      .map(({ row }) => row.get("name"));
  }

  async interfaces(): Promise<string[]> {
    return [...(await this.model())?.interfaces.keys() ?? []];
  }

  async records(tableName: string): Promise<string[]> {
    const table = this.table(tableName);
    if (table === undefined) return [];
    const how =
      (RECORD_NAMES as Readonly<Record<string, { of: string; name: string }>>)[table.name];
    if (how === undefined) return table.maxRows === 1 ? ["."] : [];
    const draft = await this.draft((wanted) => wantRecords(wanted, table));
    return (draft?.rows<string>(how.of) ?? []).map((row) => String(row.get(how.name) ?? ""));
  }

  /** Columns; keys of a map column once its name and a colon are there. */
  async columns(
    tableName: string,
    record: string,
    current: string,
    suffix: string,
  ): Promise<string[]> {
    const table = this.table(tableName);
    if (table === undefined) return [];
    const [name = "", key] = current.split(":");
    const column = table.columns.get(name.replaceAll("-", "_"));
    if (key === undefined || column === undefined) {
      return ownColumns(table).map(({ name, type }) =>
        type.value === undefined ? `${name}${suffix}` : `${name}:`
      );
    }
    const draft = await this.draft((wanted) => {
      wantRecords(wanted, table);
      wanted.add(table.name, column.name);
    });
    const rows = (draft?.rows(table.name) ?? []).filter((row) =>
      record === "" || table.columns.get("name") === undefined || row.get("name") === record
    );
    return rows.flatMap((row) => row.read(column).keys.map((atom) => `${name}:${atom}${suffix}`));
  }
}
