/**
 * The log of a client program, as Open vSwitch's tools have it: lines on standard error (and in a
 * file, if asked for) for messages of a module at a level, each destination with levels of its own.
 *
 * The system log is a destination too, and messages to it are numbered, but they are not sent:
 * a runtime without datagram sockets of the Unix kind cannot reach `/dev/log`.
 */
import { openSync, writeSync } from "node:fs";
import { errnoOf, errnoText, Fatal } from "./fatal.ts";

const LEVELS = ["off", "emer", "err", "warn", "info", "dbg"] as const;
export type ClientLogLevel = typeof LEVELS[number];

const DESTINATIONS = ["syslog", "console", "file"] as const;
type Destination = typeof DESTINATIONS[number];

/** Modules that the clients log as; the names are those of Open vSwitch's. */
const MODULES = [
  "db_ctl_base",
  "fatal_signal",
  "jsonrpc",
  "ovsdb_client",
  "ovsdb_cs",
  "ovsdb_idl",
  "reconnect",
  "stream_ssl",
  "stream_tcp",
  "vlog",
  "vsctl",
] as const;
export type ClientLogModule = typeof MODULES[number];

const DEFAULT_PATTERN = "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c|%p|%m";

const isOneOf = <T extends string>(list: readonly T[], word: string): T | undefined =>
  list.find((member) => member === word.toLowerCase());

export class ClientLog {
  private readonly levels = new Map<string, ClientLogLevel>();
  private readonly patterns = new Map<Destination, string>();
  private file: number | undefined;
  private count = 0;

  constructor(
    private readonly program: string,
    private readonly console: (line: string) => void,
    consoleLevel: ClientLogLevel,
  ) {
    this.setLevel(undefined, undefined, "info");
    this.setLevel(undefined, "console", consoleLevel);
  }

  /** Undefined stands for all modules, and for all destinations. */
  setLevel(
    module: ClientLogModule | undefined,
    destination: Destination | undefined,
    level: ClientLogLevel,
  ): void {
    for (const m of module === undefined ? MODULES : [module]) {
      for (const d of destination === undefined ? DESTINATIONS : [destination]) {
        this.levels.set(`${m} ${d}`, level);
      }
    }
  }

  private wants(module: ClientLogModule, destination: Destination, level: ClientLogLevel): boolean {
    if (destination === "file" && this.file === undefined) return false;
    const limit = this.levels.get(`${module} ${destination}`) ?? "off";
    return LEVELS.indexOf(level) <= LEVELS.indexOf(limit);
  }

  log(module: ClientLogModule, level: Exclude<ClientLogLevel, "off">, message: string): void {
    const wanting = DESTINATIONS.filter((to) => this.wants(module, to, level));
    if (wanting.length === 0) return;
    this.count++;
    for (const destination of wanting) {
      if (destination === "syslog") continue;
      const pattern = this.patterns.get(destination) ?? DEFAULT_PATTERN;
      const line = `${this.format(pattern, module, level, message)}\n`;
      if (destination === "console") this.console(line);
      else writeSync(this.file as number, line);
    }
  }

  private format(
    pattern: string,
    module: ClientLogModule,
    level: ClientLogLevel,
    message: string,
  ): string {
    return pattern.replace(
      /%([-0]?)(\d*)(?:(d|D)\{([^}]*)\}|([A-Za-z%]))/g,
      (_, flag: string, width: string, dated?: string, date = "", letter = "") => {
        const text = dated !== undefined
          ? formatDate(date, new Date(), dated === "D")
          : this.field(letter, module, level, message);
        const size = Number(width);
        return flag === "-" ? text.padEnd(size) : text.padStart(size, flag === "0" ? "0" : " ");
      },
    );
  }

  private field(
    letter: string,
    module: ClientLogModule,
    level: ClientLogLevel,
    message: string,
  ): string {
    switch (letter) {
      case "A":
        return this.program;
      case "c":
        return module;
      case "d":
        return formatDate("%Y-%m-%d %H:%M:%S.###", new Date(), false);
      case "D":
        return formatDate("%Y-%m-%d %H:%M:%S.###", new Date(), true);
      case "m":
        return message;
      case "n":
        return "\n";
      case "N":
        return String(this.count);
      case "p":
        return level.toUpperCase();
      case "P":
        return String(process.pid);
      case "r":
        return String(Math.round(performance.now()));
      case "%":
        return "%";
      default:
        // The names of the thread and the subprogram: there is but the main one.
        return "";
    }
  }

  /** `-v`, `--verbose`: with nothing, everything is logged. Throws `Fatal`. */
  setVerbosity(text: string | undefined): void {
    if (text === undefined) {
      this.setLevel(undefined, undefined, "dbg");
      return;
    }
    const [first = "", second = ""] = text.split(/[ ,:\t]+/).filter((word) => word !== "");
    if (first.toLowerCase() === "pattern") {
      const destinations = second.toLowerCase() === "any"
        ? DESTINATIONS
        : [isOneOf(DESTINATIONS, second)];
      const pattern = text.replace(/^[^ ,:\t]+[ ,:\t]+[^ ,:\t]*[ ,:\t]?/, "");
      for (const destination of destinations) {
        if (destination === undefined) {
          const problem = second === "" ? "missing destination" : `unknown destination "${second}"`;
          throw new Fatal(`processing "${text}": ${problem}`);
        }
        this.patterns.set(destination, pattern);
      }
    } else if (first.toLowerCase() !== "facility") this.setLevels(text);
  }

  private setLevels(text: string): void {
    let module: ClientLogModule | undefined;
    let destination: Destination | undefined;
    let level: ClientLogLevel | undefined;
    const refuse = (problem: string): never => {
      throw new Fatal(`processing "${text}": ${problem}`);
    };
    for (const word of text.split(/[ ,:\t]+/)) {
      if (word === "" || word.toLowerCase() === "any") continue;
      const [d, l] = [isOneOf(DESTINATIONS, word), isOneOf(LEVELS, word)];
      const m = isOneOf(MODULES, word.replaceAll("-", "_"));
      if (d !== undefined) {
        if (destination !== undefined) refuse("cannot specify multiple destinations");
        destination = d;
      } else if (l !== undefined) {
        if (level !== undefined) refuse("cannot specify multiple levels");
        level = l;
      } else if (m !== undefined) {
        if (module !== undefined) refuse("cannot specify multiple modules");
        module = m;
      } else refuse(`no destination, level, or module "${word}"`);
    }
    this.setLevel(module, destination, level ?? "dbg");
  }

  /** `--log-file`: opened for appending. Throws `Fatal`. */
  openFile(path: string): void {
    try {
      this.file = openSync(path, "a", 0o660);
    } catch (error) {
      throw new Fatal(`opening log file ${path}: ${errnoText(errnoOf(error) ?? String(error))}`);
    }
    this.log("vlog", "info", `opened log file ${path}`);
  }
}

/** `strftime` as far as log patterns and time stamps use it; `#` is a digit of the fraction. */
export function formatDate(pattern: string, date: Date, utc: boolean): string {
  const shifted = utc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  const iso = shifted.toISOString();
  const parts: Readonly<Record<string, string>> = {
    "%Y": iso.slice(0, 4),
    "%m": iso.slice(5, 7),
    "%d": iso.slice(8, 10),
    "%H": iso.slice(11, 13),
    "%M": iso.slice(14, 16),
    "%S": iso.slice(17, 19),
    "%%": "%",
  };
  const fraction = iso.slice(20, 23);
  return pattern
    .replace(/%./g, (directive) => parts[directive] ?? directive)
    .replace(/#+/, (digits) => fraction.padEnd(digits.length, "0").slice(0, digits.length));
}
