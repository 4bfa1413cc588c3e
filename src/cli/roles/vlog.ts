/**
 * Logging as Open vSwitch's daemons do it (ovs-appctl(8), "Common Commands"): three destinations
 * (console, system log, file), each with a level for each module and with a pattern for its lines.
 *
 * Modules are named as in Open vSwitch, because `-vMODULE:LEVEL` on command lines and in scripts must
 * not fail; a module that nothing here logs to is accepted and has no effect.
 *
 * Limits: warnings and errors that repeat (same text but for its numbers) are written at most `BURST` times
 * in a row and then about once a second, unless the module's rate limit is disabled.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { LOG_LEVELS, type Logger, type LogLevel } from "../../log/log.ts";
import { formatDate } from "../clients/dates.ts";
import { errnoOf, errnoText } from "../clients/fatal.ts";
import type { SystemLog } from "./syslog.ts";

const DESTINATIONS = ["syslog", "console", "file"] as const;
type Destination = (typeof DESTINATIONS)[number];

const DEFAULT_PATTERNS: Readonly<Record<Destination, string>> = {
  syslog: "ovs|%05N|%c%T|%p|%m",
  console: "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
  file: "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
};

/** Names of syslog(3); those with a number of their own are not all in its header. */
const FACILITIES = [
  ..."kern user mail daemon auth syslog lpr news uucp clock authpriv ftp ntp audit alert clock2"
    .split(" "),
  ...Array.from({ length: 8 }, (_, i) => `local${i}`),
];

/** RFC 5424 §6; the message begins with a byte order mark, to say that it is UTF-8 (§6.4). */
const RFC5424_PATTERN = "<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - \ufeff%m";

const BURST = 60;
const REFILL_MS = 1000;
const MAX_BUCKETS = 200;

/** A specification or a file cannot be used; `message` is for the user. */
export class VlogError extends Error {
  override readonly name = "VlogError";
}

type Levels = Record<Destination, LogLevel>;

interface Bucket {
  tokens: number;
  refilledMs: number;
  dropped: number;
  firstDroppedMs: number;
}

const rank = (level: LogLevel): number => LOG_LEVELS.indexOf(level);
const oneOf = <T extends string>(list: readonly T[], word: string): T | undefined =>
  list.find((member) => member === word.toLowerCase());

export class Vlog {
  private readonly modules = new Map<string, Levels>();
  private readonly patterns: Record<Destination, string> = { ...DEFAULT_PATTERNS };
  private readonly unlimited = new Set<string>();
  private readonly buckets = new Map<string, Bucket>();
  private count = 0;
  private facility = "local0";
  private facilityAsked = false;
  private file: { readonly path: string; fd: number | undefined } | undefined;
  private readonly own: Logger;

  /** `modules` are the names that may be used; `console` takes whole lines with their newline. */
  constructor(
    private readonly program: string,
    modules: readonly string[],
    private readonly console: (line: string) => void = writeConsole,
    private readonly system?: SystemLog,
  ) {
    for (const name of modules) this.add(name);
    this.own = this.logger("vlog");
  }

  private add(module: string): Levels {
    const levels: Levels = { syslog: "info", console: "info", file: "info" };
    this.modules.set(module, levels);
    return levels;
  }

  logger(module: string): Logger {
    const levels = this.modules.get(module) ?? this.add(module);
    const enabled = (level: LogLevel): boolean =>
      DESTINATIONS.some((to) => this.open(to) && rank(level) <= rank(levels[to]));
    const log = (level: LogLevel) => (message: string): void => {
      if (enabled(level)) this.log(module, levels, level, message);
    };
    return {
      module,
      emer: log("emer"),
      err: log("err"),
      warn: log("warn"),
      info: log("info"),
      dbg: log("dbg"),
      enabled,
    };
  }

  private open(to: Destination): boolean {
    if (to === "syslog") return this.system?.isOpen === true;
    return to !== "file" || this.file?.fd !== undefined;
  }

  private log(module: string, levels: Levels, level: LogLevel, message: string): void {
    if ((level === "warn" || level === "err") && !this.unlimited.has(module)) {
      if (!this.admit(module, levels, level, message)) return;
    }
    this.write(module, levels, level, message);
  }

  private write(module: string, levels: Levels, level: LogLevel, message: string): void {
    this.count++;
    for (const to of DESTINATIONS) {
      if (!this.open(to) || rank(level) > rank(levels[to])) continue;
      if (to === "syslog") {
        this.send(module, level, message);
        continue;
      }
      const line = `${this.format(this.patterns[to], module, level, withoutForgery(message))}\n`;
      if (to === "console") this.console(line);
      else this.append(line);
    }
  }

  private send(module: string, level: LogLevel, message: string): void {
    const format = (pattern: string): string => this.format(pattern, module, level, message);
    this.system?.send({
      priority: Number(format("%B")),
      hasFacility: this.facilityAsked,
      message: format(this.patterns.syslog),
      stamp: format("%d{%h %e %T}"),
      modern: () => format(RFC5424_PATTERN),
    });
  }

  private append(line: string): void {
    try {
      writeSync(this.file?.fd as number, line);
    } catch {
      // A full disk must not stop the daemon.
    }
  }

  /** A token bucket for each text; what was dropped is told with the next line that is let through. */
  private admit(module: string, levels: Levels, level: LogLevel, message: string): boolean {
    const now = performance.now();
    const key = `${module} ${message.replace(/\d+/g, "#").slice(0, 100)}`;
    let bucket = this.buckets.get(key);
    if (bucket === undefined) {
      if (this.buckets.size >= MAX_BUCKETS) this.buckets.clear();
      bucket = { tokens: BURST, refilledMs: now, dropped: 0, firstDroppedMs: 0 };
      this.buckets.set(key, bucket);
    }
    const refill = Math.floor((now - bucket.refilledMs) / REFILL_MS);
    bucket.tokens = Math.min(BURST, bucket.tokens + refill);
    bucket.refilledMs += refill * REFILL_MS;
    if (bucket.tokens === 0) {
      if (bucket.dropped++ === 0) bucket.firstDroppedMs = now;
      return false;
    }
    bucket.tokens--;
    if (bucket.dropped > 0) {
      const seconds = Math.round((now - bucket.firstDroppedMs) / 1000);
      const text = `Dropped ${bucket.dropped} log messages in last ${seconds} seconds`;
      bucket.dropped = 0;
      this.write(module, levels, level, `${text} due to excessive rate`);
    }
    return true;
  }

  private format(pattern: string, module: string, level: LogLevel, message: string): string {
    return pattern.replace(
      /%([-0]?)(\d*)(?:(d|D)(?:\{([^}]*)\})?|([AcmnNpPrtTBE%]))(?:\{[^}]*\})?/g,
      (_, flag: string, width: string, dated?: string, date?: string, letter = "") => {
        const text = dated !== undefined
          ? formatDate(date ?? "%Y-%m-%d %H:%M:%S.###", new Date(), dated === "D")
          : this.field(letter, module, level, message);
        const size = Number(width);
        return flag === "-" ? text.padEnd(size) : text.padStart(size, flag === "0" ? "0" : " ");
      },
    );
  }

  private field(letter: string, module: string, level: LogLevel, message: string): string {
    switch (letter) {
      case "A":
        return this.program;
      case "B": {
        const severity = { off: 1, emer: 1, err: 3, warn: 4, info: 5, dbg: 7 }[level];
        return String(FACILITIES.indexOf(this.facility) * 8 + severity);
      }
      case "c":
        return module;
      case "E":
        return hostname();
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
        // The names of the thread and of the subprogram: there is but the main one.
        return "";
    }
  }

  /** Undefined stands for all modules, and for all destinations. */
  setLevel(module: string | undefined, to: Destination | undefined, level: LogLevel): void {
    const chosen = module === undefined ? [...this.modules.values()] : [this.modules.get(module)];
    for (const levels of chosen) {
      for (const destination of to === undefined ? DESTINATIONS : [to]) {
        if (levels !== undefined) levels[destination] = level;
      }
    }
  }

  /** What `-v` and `vlog/set` take; undefined: log everything. Throws `VlogError`. */
  set(spec: string | undefined): void {
    if (spec === undefined) {
      this.setLevel(undefined, undefined, "dbg");
      return;
    }
    const [first = "", second] = words(spec);
    switch (first.toLowerCase()) {
      case "pattern":
        return this.setPattern(spec, second);
      case "facility": {
        const facility = oneOf(FACILITIES, second ?? "");
        if (facility === undefined) throw new VlogError("invalid facility");
        this.facility = facility;
        this.facilityAsked = true;
        return;
      }
      default:
        return this.setLevels(words(spec));
    }
  }

  private setPattern(spec: string, destination: string | undefined): void {
    if (destination === undefined) throw new VlogError("missing destination");
    const to = oneOf(DESTINATIONS, destination);
    if (to === undefined && destination.toLowerCase() !== "any") {
      throw new VlogError(`unknown destination "${destination}"`);
    }
    const pattern = spec.replace(/^[ ,:\t]*[^ ,:\t]+[ ,:\t]+[^ ,:\t]+[ ,:\t]?/, "");
    for (const each of to === undefined ? DESTINATIONS : [to]) this.patterns[each] = pattern;
  }

  private setLevels(list: readonly string[]): void {
    let module: string | undefined;
    let to: Destination | undefined;
    let level: LogLevel | undefined;
    for (const word of list) {
      if (word.toLowerCase() === "any") continue;
      const [destination, named] = [oneOf(DESTINATIONS, word), oneOf(LOG_LEVELS, word)];
      const known = this.moduleNamed(word);
      if (destination !== undefined) {
        if (to !== undefined) throw new VlogError("cannot specify multiple destinations");
        to = destination;
      } else if (named !== undefined) {
        if (level !== undefined) throw new VlogError("cannot specify multiple levels");
        level = named;
      } else if (known !== undefined) {
        if (module !== undefined) throw new VlogError("cannot specify multiple modules");
        module = known;
      } else throw new VlogError(`no destination, level, or module "${word}"`);
    }
    this.setLevel(module, to, level ?? "dbg");
  }

  private moduleNamed(word: string): string | undefined {
    return this.modules.has(word.toLowerCase()) ? word.toLowerCase() : undefined;
  }

  /** No names: all modules. Throws `VlogError`. */
  setRateLimits(names: readonly string[], enabled: boolean): void {
    const set = (module: string): void => {
      if (enabled) this.unlimited.delete(module);
      else this.unlimited.add(module);
    };
    for (const name of names.length === 0 ? ["any"] : names) {
      if (name.toLowerCase() === "any") {
        for (const module of this.modules.keys()) set(module);
        continue;
      }
      const module = this.moduleNamed(name);
      if (module === undefined) throw new VlogError("unknown module");
      set(module);
    }
  }

  /** Opens the log file for appending, closing another one. Throws `VlogError`. */
  openFile(path: string): void {
    let fd: number;
    try {
      fd = openSync(path, "a", 0o660);
    } catch (error) {
      const reason = errnoText(errnoOf(error) ?? String(error));
      this.own.warn(`failed to open ${path} for logging: ${reason}`);
      throw new VlogError(reason);
    }
    const old = this.file?.fd;
    if (old !== undefined && sameFile(old, fd)) {
      closeSync(fd);
      return;
    }
    if (old !== undefined) {
      this.own.info("closing log file");
      closeSync(old);
    }
    this.file = { path, fd };
    this.own.info(`opened log file ${path}`);
  }

  /** `--syslog-method`, of which the first counts. Throws `Fatal`. */
  setSystemMethod(method: string): void {
    this.system?.setMethod(method);
  }

  /** `--syslog-target`. Throws `Fatal`. */
  setSystemTarget(target: string): void {
    this.system?.setTarget(target);
    this.own.warn("--syslog-target flag is deprecated, use --syslog-method instead");
  }

  /** After the file has been moved away. Throws `VlogError`. */
  reopenFile(): void {
    if (this.file === undefined) throw new VlogError("Logging to file not configured");
    this.openFile(this.file.path);
  }

  closeFile(): void {
    if (this.file?.fd !== undefined) closeSync(this.file.fd);
    if (this.file !== undefined) this.file.fd = undefined;
  }

  listLevels(): string {
    const lines = [...this.modules].sort(([a], [b]) => (a < b ? -1 : 1)).map(
      ([name, { console, syslog, file }]) => {
        const [c, s, f] = [console, syslog, file].map((level) => level.toUpperCase().padStart(4));
        const note = this.unlimited.has(name) ? "    (rate limiting disabled)" : "";
        return `${name.padEnd(16)}  ${c}       ${s}       ${f}${note}\n`;
      },
    );
    const indent = " ".repeat(17);
    return `${indent}console    syslog    file\n${indent}-------    ------    ------\n` +
      lines.join("");
  }

  listPatterns(): string {
    const row = (name: string, prefix: string, pattern: string): string =>
      `${name.padEnd(7)}  ${prefix.padEnd(32)}  ${pattern}\n`;
    return "         prefix                            format\n" +
      "         ------                            ------\n" +
      row("SYSLOG", this.system?.prefix ?? "", this.patterns.syslog) +
      row("CONSOLE", "none", this.patterns.console) +
      row("FILE", "none", this.patterns.file);
  }
}

const words = (spec: string): string[] => spec.split(/[ ,:\t]+/).filter((word) => word !== "");

/**
 * Hostile input must not forge entries: what follows in lines of its own has no bars (of which an
 * entry has several), or stands in the same line.
 */
const withoutForgery = (message: string): string => message.replace(/\r?\n(?=[^\n]*\|)/g, "\\n");

function sameFile(a: number, b: number): boolean {
  const [x, y] = [fstatSync(a), fstatSync(b)];
  return x.ino === y.ino && x.dev === y.dev;
}

function writeConsole(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // Nobody reads.
  }
}
