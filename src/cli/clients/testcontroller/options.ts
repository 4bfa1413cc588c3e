/** The command line of `testcontroller` (ovs-testcontroller(8)). */
import type { TlsSettings } from "../../../db/tls/settings.ts";
import { type ParsedFlow, parseFlowMod } from "../../../openflow/text/flow.ts";
import { parseVersion } from "../../../openflow/text/protocols.ts";
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
import { parseLines, readText } from "../ofctl/parsing.ts";
import { InformationAsked, type TlsOptionKey, tlsOptions } from "../vsctl/options.ts";

export const PROGRAM = "ovs-testcontroller";
const ALL_VERSIONS = 0b1111110;
const DEFAULT_IDLE_SECONDS = 60;
/** In OpenFlow 1.0's wildcards: what `-w` alone means. */
const AS_WILD_AS_CAN_BE = 0xffffffff;

export interface ControllerOptions {
  /** False: a hub. */
  learns: boolean;
  setsUpFlows: boolean;
  normal: boolean;
  mute: boolean;
  /** OpenFlow 1.0's wildcard bits for the flows. */
  wildcards: number;
  /** 0: for ever. */
  idleSeconds: number;
  queue: number | undefined;
  /** By the name of the port that packets come in by. */
  readonly portQueues: Map<string, number>;
  flows: readonly ParsedFlow[];
  versions: number;
  unixctl: string | undefined;
  readonly daemon: DaemonOptions;
  readonly tls: { -readonly [K in keyof TlsSettings]: TlsSettings[K] };
}

type Key =
  | "hub"
  | "noflow"
  | "normal"
  | "wildcards"
  | "maxIdle"
  | "mute"
  | "queue"
  | "portQueue"
  | "withFlows"
  | "unixctl"
  | "help"
  | "version"
  | "protocols"
  | LogKey
  | DaemonKey
  | `tls ${TlsOptionKey}`;

export const controllerOptions: readonly OptionDeclaration<Key>[] = [
  { name: "hub", letter: "H", value: "none", key: "hub" },
  { name: "noflow", letter: "n", value: "none", key: "noflow" },
  { name: "normal", letter: "N", value: "none", key: "normal" },
  { name: "wildcards", letter: "w", value: "optional", key: "wildcards" },
  { name: "max-idle", value: "required", key: "maxIdle" },
  { name: "mute", value: "none", key: "mute" },
  { name: "queue", letter: "q", value: "required", key: "queue" },
  { name: "port-queue", letter: "Q", value: "required", key: "portQueue" },
  { name: "with-flows", value: "required", key: "withFlows" },
  { name: "unixctl", value: "required", key: "unixctl" },
  { name: "help", letter: "h", value: "none", key: "help" },
  { name: "version", letter: "V", value: "none", key: "version" },
  { name: "protocols", letter: "O", value: "required", key: "protocols" },
  ...LOG_OPTIONS,
  ...DAEMON_OPTIONS,
  ...tlsOptions.map((option) => ({ ...option, key: `tls ${option.key}` as const })),
];

/** Throws `Fatal`, or `InformationAsked`. */
export function parseOptions(
  words: readonly string[],
  log: ClientLog,
): { readonly options: ControllerOptions; readonly methods: readonly string[] } {
  const options: ControllerOptions = {
    learns: true,
    setsUpFlows: true,
    normal: false,
    mute: false,
    wildcards: 0,
    idleSeconds: DEFAULT_IDLE_SECONDS,
    queue: undefined,
    portQueues: new Map(),
    flows: [],
    versions: ALL_VERSIONS,
    unixctl: undefined,
    daemon: noDaemonOptions(),
    tls: {},
  };
  const methods = getopt(words, controllerOptions, false, ({ option, value }) => {
    takeOption(options, option.key, value, log);
  });
  if (methods.length === 0) {
    throw new Fatal("at least one vconn argument required; use --help for usage");
  }
  return { options, methods };
}

const loose = (text: string): number => parseInt(text, 10) || 0;

function parseIdle(text: string): number {
  if (text === "permanent") return 0;
  const seconds = loose(text);
  if (seconds >= 1 && seconds <= 65535) return seconds;
  throw new Fatal("--max-idle argument must be between 1 and 65535 or the word 'permanent'");
}

function readFlows(path: string): readonly ParsedFlow[] {
  try {
    return parseLines(path, readText(path), (line) => parseFlowMod(line, { command: "add" }));
  } catch (error) {
    if (error instanceof TextError) throw new Fatal(error.message);
    throw error;
  }
}

function parseVersions(text: string): number {
  return text.split(/[\s,]+/).filter((word) => word !== "").reduce((versions, word) => {
    const version = parseVersion(word);
    if (version === undefined) throw new Fatal(`Unknown OpenFlow version: "${word}"`);
    return versions | (1 << version);
  }, 0);
}

function takeOption(
  options: ControllerOptions,
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
    case "hub":
      options.learns = false;
      return;
    case "noflow":
      options.setsUpFlows = false;
      return;
    case "normal":
    case "mute":
      options[key] = true;
      return;
    case "wildcards":
      options.wildcards = value === undefined ? AS_WILD_AS_CAN_BE : parseInt(text, 16) >>> 0;
      return;
    case "maxIdle":
      options.idleSeconds = parseIdle(text);
      return;
    case "queue":
      options.queue = loose(text) >>> 0;
      return;
    case "portQueue": {
      const parts = /^([^:]+):(\d+)$/.exec(text);
      if (!parts) {
        throw new Fatal('argument to -Q or --port-queue should take the form "PORT-NAME:QUEUE-ID"');
      }
      options.portQueues.set(parts[1]!, Number(parts[2]));
      return;
    }
    case "withFlows":
      options.flows = readFlows(text);
      return;
    case "unixctl":
      options.unixctl = text;
      return;
    case "protocols":
      options.versions = parseVersions(text);
      return;
    case "help":
    case "version":
      throw new InformationAsked(key);
    default:
      options.tls[key.slice("tls ".length) as TlsOptionKey] = text;
  }
}
