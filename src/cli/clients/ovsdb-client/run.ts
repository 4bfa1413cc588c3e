/**
 * `ovsdb-client`: from the command line to the exit code. Options may stand anywhere; then comes a
 * command, and where it needs them a server and a database, which both may be left out.
 *
 * Reference: ovsdb-client(1) of Open vSwitch 3.1.
 */
import type { TlsSettings } from "../../../db/tls/settings.ts";
import { OvsdbError } from "../../../db/error.ts";
import {
  DAEMON_OPTIONS,
  daemonize,
  type DaemonKey,
  type DaemonOptions,
  noDaemonOptions,
  takeDaemonOption,
} from "../../roles/daemon.ts";
import { LOG_OPTIONS, type LogKey } from "../../roles/log-options.ts";
import { UnixctlServer } from "../../../slowpath/unixctl.ts";
import { OVS_VERSION } from "../../version.ts";
import { watchEndings } from "../endings.ts";
import { ClientLog } from "../client-log.ts";
import { runDir } from "../connect.ts";
import { Exit, Fatal } from "../fatal.ts";
import { getopt, type OptionDeclaration } from "../getopt.ts";
import { toStderr, toStdout } from "../output.ts";
import {
  applyTableOption,
  defaultTableStyle,
  type TableOptionKey,
  tableOptions,
  TablePrinter,
} from "../table.ts";
import { parseTimeout, type TlsOptionKey, tlsOptions } from "../vsctl/options.ts";
import type { ClientCommand, ClientOptions } from "./command.ts";
import { dataCommands } from "./data-commands.ts";
import { lockCommands } from "./lock-commands.ts";
import { monitorCommands } from "./monitor-commands.ts";
import { open } from "./requests.ts";
import { schemaCommands } from "./schema-commands.ts";

const PROGRAM = "ovsdb-client";

export const clientCommands: readonly ClientCommand[] = [
  ...schemaCommands,
  ...dataCommands,
  ...monitorCommands,
  ...lockCommands,
];

type OwnKey =
  | "help"
  | "version"
  | "timestamp"
  | "force"
  | "timeout"
  | "aware"
  | "unaware"
  | "cluster";
type Key = OwnKey | DaemonKey | LogKey | TableOptionKey | TlsOptionKey;

export const clientOptions: readonly OptionDeclaration<Key>[] = [
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "version", letter: "V", value: "none", key: "version" },
  { name: "timestamp", value: "none", key: "timestamp" },
  { name: "force", value: "none", key: "force" },
  { name: "timeout", letter: "t", value: "required", key: "timeout" },
  { name: "db-change-aware", value: "none", key: "aware" },
  { name: "no-db-change-aware", value: "none", key: "unaware" },
  { name: "leader-only", value: "none", key: "cluster" },
  { name: "no-leader-only", value: "none", key: "cluster" },
  ...LOG_OPTIONS,
  ...DAEMON_OPTIONS,
  ...tlsOptions.filter(({ name }) => name !== "peer-ca-cert"),
  ...tableOptions,
];

interface Parsed {
  readonly options: Omit<ClientOptions, "ready" | "control" | "exiting">;
  readonly daemon: DaemonOptions;
  readonly timeoutSeconds: number;
  readonly words: readonly string[];
}

/** Ends what was asked for besides running a command. */
class Information extends Error {
  constructor(readonly text: () => string) {
    super("information");
  }
}

function parse(words: readonly string[], log: ClientLog): Parsed {
  const tls: { -readonly [K in keyof TlsSettings]: TlsSettings[K] } = {};
  const daemon = noDaemonOptions();
  const style = { ...defaultTableStyle(), format: "table" as const };
  let [timestamp, force, timeoutSeconds] = [false, false, 0];
  let changeAware: boolean | undefined;
  const rest = getopt(words, clientOptions, false, ({ option: { key }, value }) => {
    switch (key) {
      case "help":
        throw new Information(help);
      case "version":
        throw new Information(() => `${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`);
      case "timestamp":
        timestamp = true;
        return;
      case "force":
        force = true;
        return;
      case "timeout":
        timeoutSeconds = parseTimeout(value ?? "");
        return;
      case "aware":
      case "unaware":
        changeAware = key === "aware";
        return;
      case "verbose":
      case "logFile":
      case "syslogMethod":
      case "syslogTarget":
        return log.take(key, value);
      case "format":
      case "data":
      case "no-headings":
      case "pretty":
      case "bare":
      case "column-width":
        applyTableOption(style, key, value ?? "");
        return;
      case "cluster":
        return;
      case "privateKey":
      case "certificate":
      case "caCert":
      case "protocols":
      case "ciphers":
      case "bootstrapCaCert":
      case "peerCaCert":
        tls[key] = value ?? "";
        return;
      default:
        takeDaemonOption(daemon, key, value, { program: PROGRAM, runDir: runDir(process.env) });
    }
  });
  const printer = new TablePrinter(style);
  const options = { printer, log, timestamp, force, changeAware, tls };
  return { options, daemon, timeoutSeconds, words: rest };
}

async function runCommand(words: readonly string[], options: ClientOptions): Promise<void> {
  const [name, ...args] = words;
  if (name === undefined) throw new Fatal("missing command name; use --help for help");
  if (name === "help") throw new Information(help);
  const command = clientCommands.find((candidate) => candidate.name === name);
  if (command === undefined) throw new Fatal(`unknown command '${name}'; use --help for help`);
  const check = (given: readonly string[]): void => {
    if (given.length >= command.min && given.length <= command.max) return;
    throw new Fatal(`invalid syntax for '${name}' (use --help for help)`);
  };
  if (command.need === "nothing") {
    check(args);
    await command.run({ args, options });
    return;
  }
  const { session, remote, database, used } = await open(
    args,
    options,
    command.min,
    command.need,
  );
  try {
    const own = args.slice(used);
    check(own);
    await command.run({ args: own, options, session, remote, database });
  } finally {
    session.close();
  }
}

/** Runs the command here, or in a process in the background. Resolves with the exit code. */
async function inItsPlace(
  { options, daemon, words }: Parsed,
  given: readonly string[],
): Promise<number> {
  const logger = options.log.logger("ovsdb_client");
  if (!daemon.detach && !daemon.monitor && daemon.pidFile === undefined) {
    const forever = new Promise<void>(() => {});
    await runCommand(words, { ...options, ready() {}, control() {}, exiting: forever });
    return 0;
  }
  const context = { program: PROGRAM, arguments: given, options: daemon, logger };
  const outcome = await daemonize({ ...context, keepsOutput: true });
  if ("exitCode" in outcome) return outcome.exitCode;
  const { daemon: own } = outcome;
  own.claimPidFile();
  const { promise: exiting, resolve: exit } = Promise.withResolvers<void>();
  const path = `${runDir(process.env)}/${PROGRAM}.${process.pid}.ctl`;
  const unixctl = new UnixctlServer(path, options.log.logger("unixctl"));
  const control: ClientOptions["control"] = (name, usage, args, run) =>
    unixctl.register(name, { usage, minArguments: args, maxArguments: args, run });
  control("exit", "", 0, () => {
    exit();
    return "";
  });
  try {
    await runCommand(words, { ...options, ready: () => own.ready(), control, exiting });
    return 0;
  } finally {
    // The reply to `exit` leaves first.
    await Bun.sleep(0);
    unixctl.close();
    own.release();
  }
}

/** Resolves with the exit code. */
export async function runOvsdbClient(words: readonly string[]): Promise<number> {
  const log = new ClientLog(PROGRAM, toStderr, "info");
  let unwatch = (): void => {};
  try {
    const parsed = parse(words, log);
    unwatch = watchEndings(parsed.timeoutSeconds, log);
    return await inItsPlace(parsed, words);
  } catch (error) {
    if (error instanceof Information) {
      toStdout(error.text());
      return 0;
    }
    if (error instanceof Exit) return error.exitCode;
    if (!(error instanceof Fatal || error instanceof OvsdbError)) throw error;
    toStderr(`${PROGRAM}: ${error.message}\n`);
    return 1;
  } finally {
    unwatch();
  }
}

function help(): string {
  const rows = clientCommands.map(({ name, args, help }) => `  ${name} ${args}\n      ${help}\n`);
  return "ovsdb-client: talks to an Open vSwitch database server\n" +
    "usage: ovsdb-client [OPTIONS] COMMAND [ARG...]\n\n" +
    `Commands:\n${rows.join("")}\n` +
    "Options:\n" +
    "  -f, --format=FORMAT       of tables: table, list, html, csv or json\n" +
    "  -d, --data=FORMAT         of cells: string, bare or json\n" +
    "  --no-headings             leave the headings out\n" +
    "  --pretty                  print JSON on many lines\n" +
    "  --bare                    the same as --format=list --data=bare --no-headings\n" +
    "  --timestamp               print the time before each update\n" +
    "  --force                   restore also when the schemas differ\n" +
    "  -t, --timeout=SECS        give up after so many seconds\n" +
    "  -v, --verbose[=SPEC]      log more; SPEC: [MODULE:][DESTINATION:]LEVEL\n" +
    "  --log-file[=FILE]         log to FILE\n" +
    "  -h, --help                print this help\n" +
    "  -V, --version             print the version\n";
}
