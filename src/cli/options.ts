/** The options of `solovs run` and `solovs ovsdb`, as values that were checked. */
import { DATAPATH_CHOICES, type DatapathChoice } from "../fastpath/datapath-choice.ts";
import type { LogLevel } from "../log/log.ts";

/** Where a TCP server listens. An IPv6 host stands without brackets. */
export interface ListenAddress {
  readonly host: string;
  /** 0 asks the kernel for a free port. */
  readonly port: number;
}

export interface LevelChange {
  /** Undefined: all modules. */
  readonly module?: string;
  readonly level: LogLevel;
}

/** What `run` and `ovsdb` share: a database that is served, and the log. */
export interface ServerOptions {
  /** The database file. */
  readonly db: string;
  /** Places where the database is served (`run`: besides RUNDIR/db.sock), in OVSDB's notation. */
  readonly remote: readonly string[];
  readonly logLevel: readonly LevelChange[];
  /** For remotes and controllers over TLS; what is left open is read from the SSL table. */
  readonly privateKey?: string;
  readonly certificate?: string;
  readonly caCert?: string;
  readonly bootstrapCaCert?: string;
  readonly peerCaCert?: string;
  readonly sslProtocols?: string;
  readonly sslCiphers?: string;
}

export interface OvsdbOptions extends ServerOptions {
  /** File with the schema of a new database, and to which an older one is converted. */
  readonly schema?: string;
}

export interface RunOptions extends ServerOptions {
  /** Sockets and the pid file are made here. */
  readonly runDir: string;
  /** Where the HTTP API listens. */
  readonly http: ListenAddress | "none";
  /** HTTPS with a certificate made at the first start. */
  readonly httpTls?: boolean;
  /** HTTPS with this one. */
  readonly httpCertificate?: string;
  readonly httpPrivateKey?: string;
  /** Names under which browsers may reach the HTTP API, besides localhost and addresses. */
  readonly httpName?: readonly string[];
  /** Neither devices nor packets: the datapath in memory, which needs no privileges. */
  readonly dummy: boolean;
  /** Where flows are: in the kernel, or in this process. */
  readonly datapath: DatapathChoice;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `$OVS_RUNDIR`, else the directory in which stock clients look. */
export function defaultRunDir(environment: Environment): string {
  return environment["OVS_RUNDIR"] || "/var/run/openvswitch";
}

/** `$SOLOVS_DATAPATH`, else in the kernel where it allows that. */
export function defaultDatapath(environment: Environment): DatapathChoice {
  const chosen = environment["SOLOVS_DATAPATH"];
  return DATAPATH_CHOICES.find((each) => each === chosen) ?? "auto";
}

/**
 * The database is the machine's configuration: it outlives a reboot, so it is not in the run
 * directory. `$OVS_DBDIR` moves it, as it moves Open vSwitch's.
 */
export function defaultDatabase(environment: Environment): string {
  return `${environment["OVS_DBDIR"] || "/var/lib/solovs"}/solovs.db`;
}
