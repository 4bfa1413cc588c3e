/**
 * Logging, as Open vSwitch's vlog does it: `TIME|NNNNN|module|LEVEL|message`, one line an event.
 *
 * A room never imports a global logger: the composition root makes one `LogSink`, and hands each
 * part the `Logger` of its module. Levels are per module and may change while running. Newlines in
 * messages are escaped, so that hostile input cannot forge a line.
 */
export const LOG_LEVELS = ["off", "emer", "err", "warn", "info", "dbg"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const rank = (level: LogLevel): number => LOG_LEVELS.indexOf(level);

export interface Logger {
  readonly module: string;
  emer(message: string): void;
  err(message: string): void;
  warn(message: string): void;
  info(message: string): void;
  dbg(message: string): void;
  /** True if a message of this level would be written: guards costly text. */
  enabled(level: LogLevel): boolean;
}

/** Where a part gets its loggers from, whatever becomes of the lines. */
export interface Loggers {
  logger(module: string): Logger;
}

export class LogSink implements Loggers {
  private sequence = 0;
  private readonly levels = new Map<string, LogLevel>();
  private readonly names = new Set<string>();
  private readonly listeners = new Set<(line: string) => void>();

  /** `write` gets whole lines without the newline. */
  constructor(
    private readonly write: (line: string) => void,
    private defaultLevel: LogLevel = "info",
  ) {}

  /** Sets the level of one module, or of all when `module` is undefined. */
  setLevel(level: LogLevel, module?: string): void {
    if (module !== undefined) this.levels.set(module, level);
    else {
      this.levels.clear();
      this.defaultLevel = level;
    }
  }

  level(module: string): LogLevel {
    return this.levels.get(module) ?? this.defaultLevel;
  }

  /** Calls back with each line that is written. Returns what ends it. A listener must not log. */
  listen(listener: (line: string) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Modules that have a logger, sorted. */
  modules(): readonly string[] {
    return [...this.names].sort();
  }

  logger(module: string): Logger {
    this.names.add(module);
    const log = (level: LogLevel) => (message: string): void => {
      if (rank(level) > rank(this.level(module))) return;
      this.sequence++;
      const text = message.replace(/[\r\n]+/g, "\\n");
      const number = String(this.sequence).padStart(5, "0");
      const time = new Date().toISOString();
      const line = `${time}|${number}|${module}|${level.toUpperCase()}|${text}`;
      this.write(line);
      for (const listener of this.listeners) listener(line);
    };
    return {
      module,
      emer: log("emer"),
      err: log("err"),
      warn: log("warn"),
      info: log("info"),
      dbg: log("dbg"),
      enabled: (level) => rank(level) <= rank(this.level(module)),
    };
  }
}
