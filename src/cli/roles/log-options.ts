/** The options of logging that all daemons and clients take (ovs-vswitchd(8), "Logging Options"). */
import { Fatal } from "../clients/fatal.ts";
import type { OptionDeclaration } from "../clients/getopt.ts";
import { inDirectory } from "./directories.ts";
import { type Vlog, VlogError } from "./vlog.ts";

export type LogKey = "verbose" | "logFile" | "syslogMethod" | "syslogTarget";

export const LOG_OPTIONS: readonly OptionDeclaration<LogKey>[] = [
  { name: "verbose", letter: "v", value: "optional", key: "verbose" },
  { name: "log-file", value: "optional", key: "logFile" },
  { name: "syslog-method", value: "required", key: "syslogMethod" },
  { name: "syslog-target", value: "required", key: "syslogTarget" },
];

export const isLogKey = (key: string): key is LogKey =>
  LOG_OPTIONS.some((option) => option.key === key);

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
      return vlog.setSystemMethod(value ?? "");
    case "syslogTarget":
      return vlog.setSystemTarget(value ?? "");
    default: {
      const never: never = key;
      return never;
    }
  }
}
