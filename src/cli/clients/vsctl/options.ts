/** The options of `vsctl` itself, which stand before the first command among that one's own. */
import type { TlsSettings } from "../../../db/tls/settings.ts";
import { LOG_OPTIONS, type LogKey } from "../../roles/log-options.ts";
import type { ClientLog } from "../client-log.ts";
import { Fatal } from "../fatal.ts";
import { getopt, type OptionDeclaration } from "../getopt.ts";
import {
  applyTableOption,
  defaultTableStyle,
  type TableOptionKey,
  tableOptions,
  type TableStyle,
} from "../table.ts";
import type { CommandDeclaration } from "./command.ts";

/** Keys are those of `TlsSettings`. */
export type TlsOptionKey =
  | "privateKey"
  | "certificate"
  | "caCert"
  | "protocols"
  | "ciphers"
  | "bootstrapCaCert"
  | "peerCaCert";

export const tlsOptions: readonly OptionDeclaration<TlsOptionKey>[] = [
  { name: "private-key", letter: "p", value: "required", key: "privateKey" },
  { name: "certificate", letter: "c", value: "required", key: "certificate" },
  { name: "ca-cert", letter: "C", value: "required", key: "caCert" },
  { name: "ssl-protocols", value: "required", key: "protocols" },
  { name: "ssl-ciphers", value: "required", key: "ciphers" },
  { name: "bootstrap-ca-cert", value: "required", key: "bootstrapCaCert" },
  { name: "peer-ca-cert", value: "required", key: "peerCaCert" },
];

type OwnKey =
  | "db"
  | "no-syslog"
  | "no-wait"
  | "dry-run"
  | "oneline"
  | "timeout"
  | "retry"
  | "help"
  | "commands"
  | "options"
  | "cluster"
  | "version";

/** In this order `--options` prints them. */
export const globalOptions: readonly OptionDeclaration<
  OwnKey | LogKey | TableOptionKey | TlsOptionKey
>[] = [
  { name: "db", value: "required", key: "db" },
  { name: "no-syslog", value: "none", key: "no-syslog" },
  { name: "no-wait", value: "none", key: "no-wait" },
  { name: "dry-run", value: "none", key: "dry-run" },
  { name: "oneline", value: "none", key: "oneline" },
  { name: "timeout", letter: "t", value: "required", key: "timeout" },
  { name: "retry", value: "none", key: "retry" },
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "commands", value: "none", key: "commands" },
  { name: "options", value: "none", key: "options" },
  // Of servers in a cluster; a server alone is always the one that is wanted.
  { name: "leader-only", value: "none", key: "cluster" },
  { name: "no-leader-only", value: "none", key: "cluster" },
  { name: "shuffle-remotes", value: "none", key: "cluster" },
  { name: "no-shuffle-remotes", value: "none", key: "cluster" },
  { name: "version", letter: "V", value: "none", key: "version" },
  ...LOG_OPTIONS,
  ...tableOptions,
  ...tlsOptions,
];

export interface VsctlOptions {
  db: string | undefined;
  oneline: boolean;
  dryRun: boolean;
  waitForSwitch: boolean;
  timeoutSeconds: number;
  retry: boolean;
  readonly table: TableStyle;
  readonly tls: { -readonly [K in keyof TlsSettings]: TlsSettings[K] };
  /** Options of the first command, with dashes. */
  readonly local: Map<string, string | undefined>;
}

/** Something about the program is to be printed instead of running commands. */
export class InformationAsked extends Error {
  override readonly name = "InformationAsked";
  constructor(readonly about: "help" | "commands" | "options" | "version") {
    super(about);
  }
}

/** The value of `-t`: whole seconds, at least one. Throws `Fatal`. */
export function parseTimeout(text: string): number {
  const seconds = /^\s*\+?\d+$/.test(text) ? Number(text) : 0;
  if (seconds > 0 && seconds <= 0xffff_ffff) return seconds;
  throw new Fatal(`value ${text} on -t or --timeout is invalid`);
}

type LocalKey = `local ${string}`;

/** What the commands' declarations say about their options, each name once. */
function localOptions(commands: Iterable<CommandDeclaration>): OptionDeclaration<LocalKey>[] {
  const options = new Map<string, OptionDeclaration<LocalKey>>();
  for (const command of commands) {
    for (const option of command.options) {
      const name = option.replace(/^--|=$/g, "");
      const value = option.endsWith("=") ? "required" : "none";
      options.set(name, { name, value, key: `local ${name}` });
    }
  }
  return [...options.values()];
}

export interface ParsedOptions {
  readonly options: VsctlOptions;
  /** The commands. */
  readonly words: readonly string[];
}

/** Throws `Fatal`, or `InformationAsked`: what follows that is not looked at. */
export function parseOptions(
  words: readonly string[],
  commands: Iterable<CommandDeclaration>,
  log: ClientLog,
): ParsedOptions {
  const options: VsctlOptions = {
    db: undefined,
    oneline: false,
    dryRun: false,
    waitForSwitch: true,
    timeoutSeconds: 0,
    retry: false,
    table: defaultTableStyle(),
    tls: {},
    local: new Map(),
  };
  const declared = [...globalOptions, ...localOptions(commands)];
  const rest = getopt(words, declared, true, (found) => {
    const { key } = found.option;
    // Given twice, the last one counts; only those of later commands are refused.
    if (isLocal(key)) options.local.set(`--${found.option.name}`, found.value);
    else takeGlobal(options, key, found.value, log);
  });
  return { options, words: rest };
}

const isLocal = (key: GlobalKey | LocalKey): key is LocalKey => key.startsWith("local ");

type GlobalKey = typeof globalOptions[number]["key"];

function takeGlobal(
  options: VsctlOptions,
  key: GlobalKey,
  value: string | undefined,
  log: ClientLog,
): void {
  const text = value ?? "";
  switch (key) {
    case "db":
      options.db = text;
      return;
    case "no-syslog":
      log.setLevel("vsctl", "syslog", "warn");
      return;
    case "no-wait":
      options.waitForSwitch = false;
      return;
    case "dry-run":
      options.dryRun = true;
      return;
    case "oneline":
      options.oneline = true;
      return;
    case "timeout":
      options.timeoutSeconds = parseTimeout(text);
      return;
    case "retry":
      options.retry = true;
      return;
    case "help":
    case "commands":
    case "options":
    case "version":
      throw new InformationAsked(key);
    case "verbose":
    case "logFile":
    case "syslogMethod":
    case "syslogTarget":
      return log.take(key, value);
    case "cluster":
      return;
    case "privateKey":
    case "certificate":
    case "caCert":
    case "protocols":
    case "ciphers":
    case "bootstrapCaCert":
    case "peerCaCert":
      options.tls[key] = text;
      return;
    default:
      applyTableOption(options.table, key, text);
  }
}
