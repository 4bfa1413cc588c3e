/**
 * `appctl`: has a running daemon execute a command, and prints what it answers, as ovs-appctl(8) of
 * Open vSwitch 3.1 does: same options, texts and exit codes (1: not asked; 2: the daemon refuses).
 *
 * The daemon is found by its name: RUNDIR/NAME.pid holds its process id, and is locked by it as long
 * as it lives; RUNDIR/NAME.PID.ctl is its control socket. A target with `/` in front is the socket.
 */
import { readFileSync } from "node:fs";
import { lockHolder } from "../../../linux/lock.ts";
import { controlTransaction } from "../../unixctl.ts";
import { OVS_VERSION } from "../../version.ts";
import { ClientLog } from "../client-log.ts";
import { runDir } from "../connect.ts";
import { watchEndings } from "../endings.ts";
import { errnoOf, errnoText, Fatal } from "../fatal.ts";
import { getopt, type OptionDeclaration } from "../getopt.ts";
import { toStderr, toStdout } from "../output.ts";
import { LOG_OPTIONS, type LogKey } from "../../roles/log-options.ts";

const PROGRAM = "ovs-appctl";
const DEFAULT_TARGET = "ovs-vswitchd";

type OwnKey = "target" | "execute" | "help" | "option" | "version" | "timeout";
type Key = OwnKey | LogKey;

export const appctlOptions: readonly OptionDeclaration<Key>[] = [
  { name: "target", letter: "t", value: "required", key: "target" },
  { name: "execute", letter: "e", value: "none", key: "execute" },
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "option", letter: "o", value: "none", key: "option" },
  { name: "version", letter: "V", value: "none", key: "version" },
  { name: "timeout", letter: "T", value: "required", key: "timeout" },
  ...LOG_OPTIONS,
];

interface Parsed {
  readonly target: string;
  readonly timeoutSeconds: number;
  /** The command and its arguments. */
  readonly words: readonly string[];
}

/** The text that was asked for instead of running a command. */
class Information extends Error {}

function parse(given: readonly string[], log: ClientLog): Parsed {
  let target: string | undefined;
  let executes = 0;
  let timeoutSeconds = 0;
  const words = getopt(given, appctlOptions, true, ({ option: { key }, value }) => {
    switch (key) {
      case "target":
        if (target !== undefined) throw new Fatal("-t or --target may be specified only once");
        target = value ?? "";
        return;
      case "execute":
        // From a time when the command was its argument.
        if (executes++ > 0) throw new Fatal("-e or --execute may be speciifed only once");
        return;
      case "timeout": {
        const text = value ?? "";
        timeoutSeconds = /^\s*\+?\d+$/.test(text) ? Number(text) : 0;
        if (timeoutSeconds > 0 && timeoutSeconds <= 0xffff_ffff) return;
        throw new Fatal(`value ${text} on -T or --timeout is invalid`);
      }
      case "help":
        throw new Information(help());
      case "option":
        throw new Information(optionList());
      case "version":
        throw new Information(`${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`);
      case "verbose":
      case "logFile":
      case "syslogMethod":
      case "syslogTarget":
        return log.take(key, value);
      default: {
        const never: never = key;
        throw new Error(`option ${never}`);
      }
    }
  });
  if (words.length === 0) {
    throw new Fatal("at least one non-option argument is required (use --help for help)");
  }
  return { target: target ?? DEFAULT_TARGET, timeoutSeconds, words };
}

/** The control socket of the daemon. */
function socketOf(target: string, log: ClientLog): string {
  if (target.startsWith("/")) return target;
  const directory = runDir(process.env);
  const pidFile = `${directory}/${target}.pid`;
  const refuse = (why: string): Fatal => new Fatal(`cannot read pidfile "${pidFile}" (${why})`);
  let holder: number | undefined;
  let text: string;
  try {
    holder = lockHolder(pidFile);
    text = readFileSync(pidFile, "utf8");
  } catch (error) {
    const why = errnoText(errnoOf(error) ?? "EIO");
    log.log("daemon_unix", "warn", `${pidFile}: open: ${why}`);
    throw refuse(why);
  }
  if (holder === undefined) {
    log.log("daemon_unix", "dbg", `${pidFile}: pid file is stale`);
    throw refuse("No such process");
  }
  const pid = Number(/^\s*(\d+)/.exec(text)?.[1] ?? NaN);
  if (Number.isNaN(pid)) {
    log.log("daemon_unix", "warn", `${pidFile}: does not start with a process id`);
    throw refuse("Invalid argument");
  }
  // A holder in another process namespace shows as 0: the file is to be believed then.
  if (holder !== 0 && holder !== pid) {
    log.log(
      "daemon_unix",
      "warn",
      `${pidFile}: stale pidfile for pid ${pid} being locked by pid ${holder}`,
    );
    throw refuse("No such process");
  }
  return `${directory}/${target}.${pid}.ctl`;
}

async function ask(
  { target, words: [command = "", ...args] }: Parsed,
  log: ClientLog,
): Promise<number> {
  const path = socketOf(target, log);
  const socket = path.startsWith("/") ? path : `${runDir(process.env)}/${path}`;
  log.log(
    "jsonrpc",
    "dbg",
    `unix:${socket}: send request, method="${command}", params=${JSON.stringify(args)}, id=0`,
  );
  let reply: Awaited<ReturnType<typeof controlTransaction>>;
  try {
    reply = await controlTransaction(socket, command, args);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) {
      log.log("unixctl", "warn", `error communicating with unix:${socket}: End of file`);
      throw new Fatal(`${target}: transaction error (End of file)`);
    }
    log.log("unixctl", "warn", `failed to connect to ${path}`);
    throw new Fatal(`cannot connect to "${path}" (${errnoText(code)})`);
  }
  if ("result" in reply) {
    toStdout(reply.result);
    return 0;
  }
  toStderr(`${reply.error}${PROGRAM}: ${target}: server returned an error\n`);
  return 2;
}

/** Resolves with the exit code. */
export async function runAppctl(given: readonly string[]): Promise<number> {
  const log = new ClientLog(PROGRAM, toStderr, "info");
  let unwatch = (): void => {};
  try {
    const parsed = parse(given, log);
    unwatch = watchEndings(parsed.timeoutSeconds, log);
    return await ask(parsed, log);
  } catch (error) {
    if (error instanceof Information) {
      toStdout(error.message);
      return 0;
    }
    if (!(error instanceof Fatal)) throw error;
    toStderr(`${PROGRAM}: ${error.message}\n`);
    return error.exitCode;
  } finally {
    unwatch();
  }
}

/** The options by name, for completion in shells. */
function optionList(): string {
  return appctlOptions.map(({ name, letter, value }) => {
    const [long, short] = value === "none"
      ? ["", ""]
      : value === "required"
      ? ["=ARG", "ARG"]
      : ["=[ARG]", "[ARG]"];
    return `--${name}${long}\n${letter === undefined ? "" : `-${letter} ${short}\n`}`;
  }).join("");
}

function help(): string {
  return `${PROGRAM}: asks a daemon of Open vSwitch's kind for something\n` +
    `usage: ${PROGRAM} [OPTIONS] COMMAND [ARG...]\n\n` +
    "Options:\n" +
    `  -t, --target=TARGET    the daemon's name, or its control socket (${DEFAULT_TARGET})\n` +
    "  -T, --timeout=SECS     wait at most so many seconds for the answer\n" +
    "  -v, --verbose[=SPEC]   log more; SPEC: [MODULE:][DESTINATION:]LEVEL\n" +
    "  --log-file[=FILE]      log to FILE\n" +
    "  -h, --help             print this help\n" +
    "  -V, --version          print the version\n\n" +
    "Commands that every daemon has:\n" +
    "  list-commands          what else it can be asked\n" +
    "  version                its version\n" +
    "  vlog/list              how much it logs, by module\n" +
    "  vlog/set [SPEC]        changes that\n" +
    "  vlog/reopen            begins its log file anew\n" +
    "  exit                   ends it\n";
}
