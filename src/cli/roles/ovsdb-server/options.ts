/** The command line of `ovsdb-server` (ovsdb-server(1)): the options, their meaning, and `--help`. */
import type { TlsSettings } from "../../../db/tls/settings.ts";
import { Exit, Fatal } from "../../clients/fatal.ts";
import { getopt, type OptionDeclaration } from "../../clients/getopt.ts";
import { toStdout } from "../../clients/output.ts";
import { OVS_VERSION } from "../../version.ts";
import {
  DAEMON_OPTIONS,
  type DaemonKey,
  type DaemonOptions,
  noDaemonOptions,
  takeDaemonOption,
} from "../daemon.ts";
import { type Directories, inDirectory } from "../directories.ts";
import { LOG_OPTIONS, type LogKey, type LogOptions, takeLogOption } from "../log-options.ts";
import {
  BOOTSTRAP_CA_OPTION,
  PEER_CA_OPTION,
  takeTlsOption,
  TLS_OPTIONS,
  type TlsKey,
  type TlsOptions,
} from "../tls-options.ts";
import type { Vlog } from "../vlog.ts";

export const PROGRAM = "ovsdb-server";

export interface ServerOptions {
  readonly databases: readonly string[];
  readonly remotes: readonly string[];
  readonly unixctl: string | undefined;
  /** A shell command, with whose end the server ends. */
  readonly run: string | undefined;
  readonly daemon: DaemonOptions;
  readonly log: LogOptions;
  /** Files, or `db:DATABASE,TABLE,COLUMN` that name them. */
  readonly tls: TlsSettings;
}

type Key =
  | DaemonKey
  | LogKey
  | TlsKey
  | "remote"
  | "unixctl"
  | "run"
  | "help"
  | "version"
  | "noDatabases"
  | "noColumnDifferences"
  | "replication"
  | "replay";

const OPTIONS: readonly OptionDeclaration<Key>[] = [
  { name: "remote", value: "required", key: "remote" },
  { name: "unixctl", value: "required", key: "unixctl" },
  { name: "run", value: "required", key: "run" },
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "version", letter: "V", value: "none", key: "version" },
  ...DAEMON_OPTIONS,
  ...LOG_OPTIONS,
  BOOTSTRAP_CA_OPTION,
  PEER_CA_OPTION,
  ...TLS_OPTIONS,
  { name: "record", value: "optional", key: "replay" },
  { name: "replay", value: "optional", key: "replay" },
  { name: "sync-from", value: "required", key: "replication" },
  { name: "sync-exclude-tables", value: "required", key: "replication" },
  { name: "active", value: "none", key: "replication" },
  { name: "no-dbs", value: "none", key: "noDatabases" },
  { name: "disable-file-column-diff", value: "none", key: "noColumnDifferences" },
];

/**
 * Sets the levels that the options ask for in `vlog`; opens no file. Throws `Fatal` for a wrong
 * command line, and `Exit` after printing what `--help` and `--version` print.
 */
export function parseServerOptions(
  words: readonly string[],
  vlog: Vlog,
  where: Directories,
): ServerOptions {
  const daemon = noDaemonOptions();
  const log: LogOptions = { file: undefined };
  const tls: TlsOptions = {};
  const remotes = new Set<string>();
  let unixctl: string | undefined;
  let run: string | undefined;
  let defaultDatabase = true;
  const files = getopt<Key>(words, OPTIONS, false, ({ option: { name, key }, value = "" }) => {
    const given = value === "" ? undefined : value;
    switch (key) {
      case "remote":
        remotes.add(value);
        return;
      case "unixctl":
        unixctl = value;
        return;
      case "run":
        run = value;
        return;
      case "help":
        toStdout(usage(where));
        throw new Exit(0);
      case "version":
        toStdout(`${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`);
        throw new Exit(0);
      case "privateKey":
      case "certificate":
      case "caCertificate":
      case "bootstrapCaCertificate":
      case "peerCaCertificate":
      case "protocols":
      case "ciphers":
        return takeTlsOption(tls, key, value);
      case "noDatabases":
        defaultDatabase = false;
        return;
      case "noColumnDifferences":
        // Records hold whole columns in any case, which every version of ovsdb-server reads.
        return;
      case "replication":
      case "replay":
        throw new Fatal(`--${name} is not supported: solovs neither replicates nor replays`);
      case "verbose":
      case "logFile":
      case "syslogMethod":
      case "syslogTarget":
        return takeLogOption(log, key, given, vlog, { program: PROGRAM, logDir: where.log });
      case "detach":
      case "monitor":
      case "noChdir":
      case "pidFile":
      case "overwritePidFile":
      case "user":
      case "noSelfConfinement":
        return takeDaemonOption(daemon, key, given, { program: PROGRAM, runDir: where.run });
      default: {
        const never: never = key;
        return never;
      }
    }
  });
  const relay = files.find((file) => file.startsWith("relay:"));
  if (relay !== undefined) throw new Fatal(`${relay}: relays are not supported by solovs`);
  const databases = files.length > 0
    ? [...new Set(files)]
    : defaultDatabase
    ? [inDirectory(where.db, "conf.db")]
    : [];
  return {
    databases,
    remotes: [...remotes],
    unixctl,
    run,
    daemon,
    log,
    tls,
  };
}

const usage = ({ run, log, db }: Directories): string =>
  `${PROGRAM}: the database server of solovs, in the role of Open vSwitch's
usage: ${PROGRAM} [OPTIONS] [DATABASE...]
Each DATABASE is a database file; the default is ${db}/conf.db.

Where clients are served (any number of times):
  --remote=REMOTE         punix:FILE, ptcp:PORT[:IP], pssl:PORT[:IP]: listen there
                          unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT: connect there
                          db:DATABASE,TABLE,COLUMN: what that column names

TLS (each may be db:DATABASE,TABLE,COLUMN):
  -p, --private-key=FILE  private key of this server
  -c, --certificate=FILE  certificate for the private key
  -C, --ca-cert=FILE      certificate authority of the peers
  --bootstrap-ca-cert=FILE  the same, made from what the first peer shows if it is missing
  --peer-ca-cert=FILE     certificate authority to show to peers
  --ssl-protocols=PROTOS  TLS versions to use
  --ssl-ciphers=CIPHERS   ciphers to use

Daemon options:
  --detach                run in the background
  --monitor               start again after a crash
  --no-chdir              stay in the working directory
  --pidfile[=FILE]        write the process id (default: ${run}/${PROGRAM}.pid)
  --overwrite-pidfile     replace the pid file of another process

Logging options:
  -vSPEC, --verbose=SPEC  set levels
  -v, --verbose           log everything
  --log-file[=FILE]       log to a file (default: ${log}/${PROGRAM}.log)
  --syslog-method=(libc|unix:FILE|udp:IP:PORT|null)
                          how to reach the system log (default: libc)
  --syslog-target=IP:PORT also log to there, as RFC 5424 says

Other options:
  --run COMMAND           run COMMAND, and end with it
  --unixctl=SOCKET        control socket, or 'none'
  --no-dbs                no default database
  --disable-file-column-diff
                          write whole columns to database files
  -h, --help              display this help message
  -V, --version           display version information
`;
