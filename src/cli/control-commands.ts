/**
 * What `ovs-appctl` may ask of `solovs run` about the process itself: its version, its end, its log.
 * (In a role, src/cli/roles/commands.ts answers, for the log there is Open vSwitch's.)
 */
import { LOG_LEVELS, type LogLevel, type LogSink } from "../log/log.ts";
import { CommandError, type UnixctlServer } from "../slowpath/unixctl.ts";
import { OVS_VERSION } from "./version.ts";

export interface ProcessContext {
  readonly log: LogSink;
  /** Events that were counted since the start, by name. */
  readonly counters: () => Readonly<Record<string, number>>;
  /** `cleanup`: nothing of it is to stay in the kernel. */
  readonly exit: (cleanup: boolean) => void;
}

const MANY_SPECS = 64;

export function registerProcessCommands(
  server: UnixctlServer,
  { log, counters, exit }: ProcessContext,
): void {
  const add = (
    name: string,
    usage: string,
    maxArguments: number,
    run: (args: readonly string[]) => string,
  ): void => server.register(name, { usage, minArguments: 0, maxArguments, run });
  add("version", "", 0, () => `ovs-vswitchd (Open vSwitch) ${OVS_VERSION}\n`);
  add("exit", "[--cleanup]", 1, ([option]) => {
    // The reply is to arrive before the socket goes.
    setTimeout(() => exit(option === "--cleanup"), 10);
    return "";
  });
  add("vlog/list", "", 0, () => listLevels(log));
  add("vlog/set", "{spec | PATTERN:facility:pattern}", MANY_SPECS, (specs) => {
    for (const spec of specs) setLevels(log, spec);
    return "";
  });
  add("coverage/show", "", 0, () => {
    const counted = Object.entries(counters()).sort(([a], [b]) => (a < b ? -1 : 1));
    const width = Math.max(0, ...counted.map(([name]) => name.length));
    return lines(counted.map(([name, value]) => `${name.padEnd(width)} total: ${value}`));
  });
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

function listLevels(log: LogSink): string {
  const rows = ["                 console", "                 -------"];
  for (const module of log.modules()) {
    rows.push(`${module.padEnd(17)}${log.level(module).toUpperCase().padStart(7)}`);
  }
  return lines(rows);
}

/** `[MODULE][:DESTINATION][:LEVEL]`, words in any order, as `vlog/set` takes them. There is one destination. */
function setLevels(log: LogSink, spec: string): void {
  let module: string | undefined;
  let level: LogLevel = "dbg";
  for (const word of spec.split(/[ ,:]+/).filter((part) => part !== "")) {
    const lower = word.toLowerCase();
    const found = LOG_LEVELS.find((each) => each === lower);
    if (found) level = found;
    else if (lower === "any" || ["console", "syslog", "file"].includes(lower)) continue;
    else if (log.modules().includes(word)) module = word;
    else throw new CommandError(`no destination, level, or module "${word}"`);
  }
  log.setLevel(level, module);
}
