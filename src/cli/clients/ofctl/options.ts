/** The command line of `ofctl` (ovs-ofctl(8), "OPTIONS"). */
import { isatty } from "node:tty";
import type { TlsSettings } from "../../../db/tls/settings.ts";
import { findField } from "../../../openflow/text/oxm-names.ts";
import {
  formatProtocols,
  formatVersions,
  parseProtocols,
  parseVersion,
  PROTOCOLS,
  type Protocols,
  protocolsOfVersions,
  versionsOfProtocols,
} from "../../../openflow/text/protocols.ts";
import type { SetPacketInFormat } from "../../../openflow/messages/types.ts";
import type { Field } from "../../../packet/layout.ts";
import { TextError } from "../../../packet/text.ts";
import {
  DAEMON_OPTIONS,
  type DaemonKey,
  type DaemonOptions,
  isDaemonKey,
  noDaemonOptions,
  takeDaemonOption,
} from "../../roles/daemon.ts";
import { isLogKey, LOG_OPTIONS, type LogKey } from "../../roles/log-options.ts";
import type { ClientLog } from "../client-log.ts";
import { runDir } from "../connect.ts";
import { Fatal } from "../fatal.ts";
import { getopt, type OptionDeclaration } from "../getopt.ts";
import { InformationAsked, parseTimeout } from "../vsctl/options.ts";
import { type TlsOptionKey, tlsOptions } from "../vsctl/options.ts";

export const PROGRAM = "ovs-ofctl";
const OPENFLOW10 = 1 << 1;
const OPENFLOW14 = 1 << 5;
const ALL_VERSIONS = 0b1111110;

/** By field, or by priority when there is none. */
export interface SortCriterion {
  readonly field: Field | undefined;
  readonly descending: boolean;
}

export interface OfctlOptions {
  timeoutSeconds: number;
  strict: boolean;
  readd: boolean;
  bundle: boolean;
  mayCreate: boolean;
  readOnly: boolean;
  timestamp: boolean;
  color: boolean;
  raw: boolean;
  pcap: boolean;
  stats: boolean;
  /** Undefined: names are accepted, and shown to people. */
  names: boolean | undefined;
  verbosity: number;
  unixctl: string | undefined;
  packetInFormat: SetPacketInFormat["format"] | undefined;
  readonly sort: SortCriterion[];
  readonly daemon: DaemonOptions;
  readonly tls: { -readonly [K in keyof TlsSettings]: TlsSettings[K] };
  /** Versions that may be spoken: bit N = wire version N. */
  versions: number;
  /** Protocols that may be used. */
  protocols: Protocols;
  /** No version was asked for, and the program may look for the right one. */
  findsVersion: boolean;
}

type Key =
  | "timeout"
  | "strict"
  | "readd"
  | "flowFormat"
  | "packetInFormat"
  | "more"
  | "timestamp"
  | "sort"
  | "rsort"
  | "names"
  | "noNames"
  | "stats"
  | "noStats"
  | "unixctl"
  | "help"
  | "option"
  | "bundle"
  | "color"
  | "mayCreate"
  | "pcap"
  | "raw"
  | "readOnly"
  | "version"
  | "protocols"
  | LogKey
  | DaemonKey
  | `tls ${TlsOptionKey}`;

export const ofctlOptions: readonly OptionDeclaration<Key>[] = [
  { name: "timeout", letter: "t", value: "required", key: "timeout" },
  { name: "strict", value: "none", key: "strict" },
  { name: "readd", value: "none", key: "readd" },
  { name: "flow-format", letter: "F", value: "required", key: "flowFormat" },
  { name: "packet-in-format", letter: "P", value: "required", key: "packetInFormat" },
  { name: "more", letter: "m", value: "none", key: "more" },
  { name: "timestamp", value: "none", key: "timestamp" },
  { name: "sort", value: "optional", key: "sort" },
  { name: "rsort", value: "optional", key: "rsort" },
  { name: "names", value: "none", key: "names" },
  { name: "no-names", value: "none", key: "noNames" },
  { name: "stats", value: "none", key: "stats" },
  { name: "no-stats", value: "none", key: "noStats" },
  { name: "unixctl", value: "required", key: "unixctl" },
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "option", letter: "o", value: "none", key: "option" },
  { name: "bundle", value: "none", key: "bundle" },
  { name: "color", value: "optional", key: "color" },
  { name: "may-create", value: "none", key: "mayCreate" },
  { name: "pcap", value: "none", key: "pcap" },
  { name: "raw", value: "none", key: "raw" },
  { name: "read-only", value: "none", key: "readOnly" },
  ...DAEMON_OPTIONS,
  { name: "version", letter: "V", value: "none", key: "version" },
  { name: "protocols", letter: "O", value: "required", key: "protocols" },
  ...LOG_OPTIONS,
  ...tlsOptions.map((option) => ({ ...option, key: `tls ${option.key}` as const })),
];

const PACKET_IN_FORMATS: ReadonlyMap<string, SetPacketInFormat["format"]> = new Map([
  ["standard", "standard"],
  ["openflow10", "standard"],
  ["nxt_packet_in", "nicira"],
  ["nxm", "nicira"],
  ["nxt_packet_in2", "nicira2"],
]);

const asFatal = <T>(parse: () => T): T => {
  try {
    return parse();
  } catch (error) {
    if (error instanceof TextError) throw new Fatal(error.message);
    throw error;
  }
};

function parseVersions(text: string): number {
  let versions = 0;
  for (const word of text.split(/[\s,]+/).filter((part) => part !== "")) {
    const version = parseVersion(word);
    if (version === undefined) {
      throw new Fatal(`Unknown OpenFlow version: "${word}"`);
    }
    versions |= 1 << version;
  }
  return versions;
}

function sortCriterion(name: string | undefined, descending: boolean): SortCriterion {
  if (name === undefined || name.toLowerCase() === "priority") {
    return { field: undefined, descending };
  }
  const field = findField(name);
  if (!field) throw new Fatal(`${name}: unknown field name`);
  return { field, descending };
}

function wantsColor(text: string | undefined): boolean {
  switch (text?.toLowerCase()) {
    case "always":
    case "yes":
    case "force":
      return true;
    case "never":
    case "no":
    case "none":
      return false;
    case undefined:
    case "auto":
    case "tty":
    case "if-tty":
      return isatty(1);
    default:
      throw new Fatal(`incorrect value \`${text}' for --color`);
  }
}

/** `isStock`: as ovs-ofctl, only OpenFlow 1.0 is spoken unless told. Throws `Fatal`. */
export function parseOptions(
  words: readonly string[],
  log: ClientLog,
  isStock: boolean,
): { readonly options: OfctlOptions; readonly words: readonly string[] } {
  const options: OfctlOptions = {
    timeoutSeconds: 0,
    strict: false,
    readd: false,
    bundle: false,
    mayCreate: false,
    readOnly: false,
    timestamp: false,
    color: false,
    raw: false,
    pcap: false,
    stats: true,
    names: undefined,
    verbosity: 0,
    unixctl: undefined,
    packetInFormat: undefined,
    sort: [],
    daemon: noDaemonOptions(),
    tls: {},
    versions: isStock ? OPENFLOW10 : ALL_VERSIONS,
    protocols: PROTOCOLS.ANY,
    findsVersion: !isStock,
  };
  const rest = getopt(words, ofctlOptions, false, ({ option, value }) => {
    takeOption(options, option.key, value, log);
  });
  if (options.sort.length > 0) options.sort.push({ field: undefined, descending: true });
  const bundles = versionsOfProtocols(PROTOCOLS.OF13_UP);
  if (options.bundle && !(options.versions & bundles)) options.versions |= OPENFLOW14;
  if (options.bundle) options.versions &= bundles;
  const offered = protocolsOfVersions(options.versions);
  if ((options.protocols & offered) === 0) {
    throw new Fatal(
      `None of the enabled OpenFlow versions (${formatVersions(options.versions)}) supports ` +
        `any of the enabled flow formats (${formatProtocols(options.protocols)}).  (Use -O to ` +
        "enable additional OpenFlow versions or -F to enable additional flow formats.)",
    );
  }
  options.protocols &= offered;
  options.versions &= versionsOfProtocols(options.protocols);
  return { options, words: rest };
}

function takeOption(
  options: OfctlOptions,
  key: Key,
  value: string | undefined,
  log: ClientLog,
): void {
  const text = value ?? "";
  if (isLogKey(key)) return log.take(key, value);
  if (isDaemonKey(key)) {
    const where = { program: PROGRAM, runDir: runDir(process.env) };
    return takeDaemonOption(options.daemon, key, value, where);
  }
  switch (key) {
    case "timeout":
      options.timeoutSeconds = parseTimeout(text);
      return;
    case "strict":
    case "readd":
    case "bundle":
    case "mayCreate":
    case "readOnly":
    case "timestamp":
    case "raw":
    case "pcap":
    case "stats":
      options[key] = true;
      return;
    case "noStats":
      options.stats = false;
      return;
    case "names":
    case "noNames":
      options.names = key === "names";
      return;
    case "flowFormat":
      options.protocols = asFatal(() => parseProtocols(text));
      return;
    case "packetInFormat":
      options.packetInFormat = PACKET_IN_FORMATS.get(text);
      if (!options.packetInFormat) throw new Fatal(`unknown packet-in format \`${text}'`);
      return;
    case "more":
      options.verbosity++;
      return;
    case "sort":
    case "rsort":
      options.sort.push(sortCriterion(value, key === "rsort"));
      return;
    case "unixctl":
      options.unixctl = text;
      return;
    case "color":
      options.color = wantsColor(value);
      return;
    case "protocols":
      options.versions = parseVersions(text);
      options.findsVersion = false;
      return;
    case "help":
      throw new InformationAsked("help");
    case "option":
      throw new InformationAsked("options");
    case "version":
      throw new InformationAsked("version");
    default:
      options.tls[key.slice("tls ".length) as TlsOptionKey] = text;
  }
}
