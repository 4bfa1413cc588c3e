/** The command line of `ovs-vswitchd` (ovs-vswitchd(8)): the options, their meaning, and `--help`. */
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
import type { Directories } from "../directories.ts";
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

export const PROGRAM = "ovs-vswitchd";

/** What dummies stand in for: nothing but themselves, `system` too, or everything. */
export type DummyLevel = "none" | "system" | "override";

export interface SwitchOptions {
  /** The database server. */
  readonly remote: string;
  readonly unixctl: string | undefined;
  readonly daemon: DaemonOptions;
  readonly log: LogOptions;
  readonly tls: TlsSettings;
  readonly lockMemory: boolean;
  /** Undefined: there are no dummies. */
  readonly dummy: DummyLevel | undefined;
  readonly disableSystem: boolean;
  /** The host's routing table is left alone. */
  readonly disableSystemRoute: boolean;
  /** Asked for, and without effect. */
  readonly dummyNuma: boolean;
}

type Key =
  | DaemonKey
  | LogKey
  | TlsKey
  | "unixctl"
  | "help"
  | "version"
  | "mlockall"
  | "enableDummy"
  | "disableSystem"
  | "disableSystemRoute"
  | "dummyNuma"
  | "dpdk";

const OPTIONS: readonly OptionDeclaration<Key>[] = [
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "version", letter: "V", value: "none", key: "version" },
  { name: "mlockall", value: "none", key: "mlockall" },
  { name: "unixctl", value: "required", key: "unixctl" },
  ...DAEMON_OPTIONS,
  ...LOG_OPTIONS,
  ...TLS_OPTIONS,
  PEER_CA_OPTION,
  BOOTSTRAP_CA_OPTION,
  { name: "enable-dummy", value: "optional", key: "enableDummy" },
  { name: "disable-system", value: "none", key: "disableSystem" },
  { name: "disable-system-route", value: "none", key: "disableSystemRoute" },
  { name: "dpdk", value: "optional", key: "dpdk" },
  { name: "dummy-numa", value: "required", key: "dummyNuma" },
];

/**
 * Sets the levels that the options ask for in `vlog`; opens no file. Throws `Fatal` for a wrong
 * command line, and `Exit` after printing what `--help` and `--version` print.
 */
export function parseSwitchOptions(
  words: readonly string[],
  vlog: Vlog,
  where: Directories,
): SwitchOptions {
  const daemon = noDaemonOptions();
  const log: LogOptions = { file: undefined };
  const tls: TlsOptions = {};
  let unixctl: string | undefined;
  let lockMemory = false;
  let dummy: DummyLevel | undefined;
  let disableSystem = false;
  let disableSystemRoute = false;
  let dummyNuma = false;
  const remotes = getopt<Key>(words, OPTIONS, false, ({ option: { key }, value = "" }) => {
    const given = value === "" ? undefined : value;
    switch (key) {
      case "help":
        toStdout(usage(where));
        throw new Exit(0);
      case "version":
        toStdout(`${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`);
        throw new Exit(0);
      case "mlockall":
        lockMemory = true;
        return;
      case "unixctl":
        unixctl = value;
        return;
      case "privateKey":
      case "certificate":
      case "caCertificate":
      case "bootstrapCaCertificate":
      case "peerCaCertificate":
      case "protocols":
      case "ciphers":
        return takeTlsOption(tls, key, value);
      case "enableDummy":
        dummy = dummyLevel(value);
        return;
      case "disableSystem":
        disableSystem = true;
        return;
      case "disableSystemRoute":
        disableSystemRoute = true;
        return;
      case "dummyNuma":
        dummyNuma = true;
        return;
      case "dpdk":
        throw new Fatal("Using --dpdk to configure DPDK is not supported.");
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
  if (remotes.length > 1) {
    throw new Fatal("at most one non-option argument accepted; use --help for usage");
  }
  const remote = remotes[0] ?? `unix:${where.run}/db.sock`;
  return {
    remote,
    unixctl,
    daemon,
    log,
    tls,
    lockMemory,
    dummy,
    disableSystem,
    disableSystemRoute,
    dummyNuma,
  };
}

function dummyLevel(value: string): DummyLevel {
  if (value === "" || value === "system" || value === "override") return value || "none";
  throw new Fatal(`${value}: unknown dummy level`);
}

const usage = ({ run, log }: Directories): string =>
  `${PROGRAM}: the switch of solovs, in the role of Open vSwitch's daemon
usage: ${PROGRAM} [OPTIONS] [DATABASE]
where DATABASE is a socket on which ovsdb-server is listening
      (default: "unix:${run}/db.sock"):
  unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT; several, separated by commas

TLS:
  -p, --private-key=FILE  private key of this program
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
  --no-self-confinement   controllers' sockets may be anywhere

Logging options:
  -vSPEC, --verbose=SPEC  set levels
  -v, --verbose           log everything
  --log-file[=FILE]       log to a file (default: ${log}/${PROGRAM}.log)
  --syslog-method=(libc|unix:FILE|udp:IP:PORT|null)
                          how to reach the system log (default: libc)
  --syslog-target=IP:PORT also log to there, as RFC 5424 says

Other options:
  --unixctl=SOCKET        control socket, or 'none'
  --mlockall              keep all memory in RAM
  --enable-dummy[=system|override]
                          dummy datapath and devices, for tests without privileges
  --disable-system        no datapath but the dummy one
  -h, --help              display this help message
  -V, --version           display version information
`;
