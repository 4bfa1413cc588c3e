/** The options of logging that all daemons take (ovs-vswitchd(8), "Logging Options"). */
import { Fatal } from "../clients/fatal.ts";
import type { OptionDeclaration } from "../clients/getopt.ts";
import { inDirectory } from "./daemon.ts";
import { type Vlog, VlogError } from "./vlog.ts";

export type LogKey = "verbose" | "logFile" | "syslogMethod" | "syslogTarget";

export const LOG_OPTIONS: readonly OptionDeclaration<LogKey>[] = [
  { name: "verbose", letter: "v", value: "optional", key: "verbose" },
  { name: "log-file", value: "optional", key: "logFile" },
  { name: "syslog-method", value: "required", key: "syslogMethod" },
  { name: "syslog-target", value: "required", key: "syslogTarget" },
];

export interface LogOptions {
  /** To be opened by the daemon itself. */
  file: string | undefined;
}

/** Sets levels at once. Throws `Fatal`. */
export function takeLogOption(
  options: LogOptions,
  key: LogKey,
  value: string | undefined,
  vlog: Vlog,
  { program, logDir }: { readonly program: string; readonly logDir: string },
): void {
  switch (key) {
    case "verbose":
      try {
        vlog.set(value);
      } catch (error) {
        if (!(error instanceof VlogError)) throw error;
        throw new Fatal(`processing "${value}": ${error.message}`);
      }
      return;
    case "logFile":
      options.file = value ?? inDirectory(logDir, `${program}.log`);
      return;
    case "syslogMethod":
      // Nothing goes to the system log, so saying how to reach it through the C library is harmless.
      if (value === "null" || value === "libc") return;
      throw new Fatal(`unsupported syslog method '${value}': solovs logs to a file or the console`);
    case "syslogTarget":
      throw new Fatal("--syslog-target is not supported: solovs logs to a file or the console");
    default: {
      const never: never = key;
      return never;
    }
  }
}
