/** The log of a client program: as a daemon's, but with few modules, and little on the console. */
import { Vlog, VlogError } from "../roles/vlog.ts";
import type { Logger, LogLevel } from "../../log/log.ts";
import { type LogKey, takeLogOption } from "../roles/log-options.ts";
import { SystemLog } from "../roles/syslog.ts";
import { logDir } from "./connect.ts";
import { Fatal } from "./fatal.ts";

/** What the clients log as, and what scripts set levels of; the names are those of Open vSwitch's. */
const MODULES = [
  "daemon_unix",
  "db_ctl_base",
  "fatal_signal",
  "jsonrpc",
  "learning_switch",
  "meta_flow",
  "nx_match",
  "ofctl",
  "ofp_actions",
  "ofp_bundle",
  "ofp_connection",
  "ofp_errors",
  "ofp_flow",
  "ofp_group",
  "ofp_match",
  "ofp_msgs",
  "ofp_packet",
  "ofp_port",
  "ofp_prop",
  "ofp_protocol",
  "ofp_util",
  "ovsdb_client",
  "ovsdb_cs",
  "ovsdb_idl",
  "poll_loop",
  "rconn",
  "reconnect",
  "stream",
  "stream_ssl",
  "stream_tcp",
  "stream_unix",
  "testcontroller",
  "unixctl",
  "unixctl_server",
  "vconn",
  "vconn_stream",
  "vlog",
  "vsctl",
] as const;
export type ClientLogModule = typeof MODULES[number];

export class ClientLog {
  private readonly vlog: Vlog;

  readonly logDir = logDir(process.env);

  constructor(readonly program: string, console: (line: string) => void, consoleLevel: LogLevel) {
    this.vlog = new Vlog(program, MODULES, console, new SystemLog(program, process.env));
    // A client says each thing once.
    this.vlog.setRateLimits([], false);
    this.vlog.setLevel(undefined, "console", consoleLevel);
  }

  logger(module: ClientLogModule): Logger {
    return this.vlog.logger(module);
  }

  log(module: ClientLogModule, level: Exclude<LogLevel, "off">, message: string): void {
    this.vlog.logger(module)[level](message);
  }

  setLevel(module: ClientLogModule, to: "syslog" | "console" | "file", level: LogLevel): void {
    this.vlog.setLevel(module, to, level);
  }

  /** One of LOG_OPTIONS; a file is opened at once. Throws `Fatal`. */
  take(key: LogKey, value: string | undefined): void {
    if (key === "logFile") this.openFile(value ?? `${this.logDir}/${this.program}.log`);
    else takeLogOption({ file: undefined }, key, value, this.vlog, this);
  }

  /** `-v`, `--verbose`: with nothing, everything is logged. Throws `Fatal`. */
  setVerbosity(spec: string | undefined): void {
    try {
      this.vlog.set(spec);
    } catch (error) {
      if (!(error instanceof VlogError)) throw error;
      throw new Fatal(`processing "${spec}": ${error.message}`);
    }
  }

  /** `--log-file`: opened for appending. Without it the program goes on, with a warning. */
  openFile(path: string): void {
    try {
      this.vlog.openFile(path);
    } catch (error) {
      if (!(error instanceof VlogError)) throw error;
    }
  }
}
