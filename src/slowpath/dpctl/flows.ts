/**
 * The datapath's flow table by hand: `dpctl/dump-flows`, `add-flow`, `mod-flow`, `get-flow`,
 * `del-flow`, `del-flows` and `dpif/dump-flows`.
 *
 * A flow that somebody adds lives as the others do: it goes when it is idle, and when something that
 * its packets depend on changes, it becomes what the bridge's tables say.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import { DatapathError } from "../../fastpath/datapath.ts";
import { parseDpActions } from "../../fastpath/text/actions-parse.ts";
import { parseDpFlow } from "../../fastpath/text/flow-parse.ts";
import { parseMatch } from "../../openflow/text/match-parse.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS, KEY_WORDS } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { flowId, formatFlowCounts, formatMegaflow } from "../cache/flow-text.ts";
import type { Megaflow } from "../cache/megaflows.ts";
import {
  type DpctlContext,
  dpctlError,
  type DpctlOptions,
  ERRORS,
  openDatapath,
  portNames,
  portNumber,
} from "./request.ts";

const TYPES: ReadonlySet<string> = new Set([
  "ovs",
  "tc",
  "dpdk",
  "offloaded",
  "non-offloaded",
  "partially-offloaded",
  "all",
]);
/** Those that flows here are: of the datapath itself, in no card. */
const OURS: ReadonlySet<string> = new Set(["ovs", "non-offloaded", "all"]);

/** `dpctl/dump-flows [-m] [--names] [dp] [filter=..] [type=..] [pmd=..]`. */
export function dumpFlows(
  context: DpctlContext,
  options: DpctlOptions,
  all: readonly string[],
): string {
  const args = [...all];
  let filter: string | undefined;
  let types: string | undefined;
  let titled = true;
  for (;;) {
    const last = args.at(-1);
    if (last?.startsWith("filter=") && filter === undefined) filter = last.slice(7);
    else if (last?.startsWith("type=") && types === undefined) types = last.slice(5);
    else if (last?.startsWith("pmd=")) titled = false;
    else break;
    args.pop();
  }
  const { backend } = openDatapath(context, args, 1);
  const wanted = filter === undefined ? undefined : parseFilter(backend, filter);
  for (const type of types?.split(",") ?? []) {
    if (!TYPES.has(type)) throw dpctlError(`Failed to parse type (${type})`, ERRORS.invalid);
  }
  if (types !== undefined && !types.split(",").some((type) => OURS.has(type))) return "";
  const rows = rowsOf(backend, options, () => true, wanted, ", ");
  if (rows.length === 0) return "";
  return (titled ? "flow-dump from the main thread:\n" : "") + rows.join("");
}

/** `dpif/dump-flows`: those that packets of one bridge's ports hit. */
export function dumpBridgeFlows(
  backend: Backend | undefined,
  options: DpctlOptions,
  bridge: Bridge,
): string {
  if (!backend) return "";
  return rowsOf(backend, options, (flow) => flow.bridge === bridge, undefined, " ").join("");
}

function rowsOf(
  backend: Backend,
  { verbose, names }: DpctlOptions,
  wanted: (flow: Megaflow) => boolean,
  filter: Match | undefined,
  behindId: string,
): string[] {
  const { cache } = backend;
  cache.readStats();
  const portName = names ? portNames(backend) : undefined;
  const now = backend.clock.now();
  const rows: string[] = [];
  for (const flow of cache.flows) {
    if (!wanted(flow)) continue;
    const match = cache.flows.dpMatch(flow);
    if (filter && !overlaps(filter, match)) continue;
    const ufid = verbose ? `${flowId(match)}${behindId}` : "";
    const seen = cache.flows.seenKey(flow);
    const layer = cache.flows.layer(flow) ?? (verbose && behindId === ", " ? "ovs" : undefined);
    const form = { verbose, portName, ufid, seen, layer };
    rows.push(`${formatMegaflow(flow, match, now, form)}\n`);
  }
  return rows;
}

/** A filter says fields of OpenFlow, with ports by their datapath numbers. */
function parseFilter(backend: Backend, text: string): Match {
  try {
    const numberOf = portNumber(backend);
    return parseMatch(text, { nameOf: () => undefined, numberOf });
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw dpctlError(`Failed to parse filter (${error.message})`);
  }
}

/** Do the two agree where both look? */
function overlaps(filter: Match, flow: Match): boolean {
  for (let i = 0; i < DP_KEY_WORDS; i++) {
    const both = filter.mask.words[i]! & flow.mask.words[i]!;
    if (((filter.key.words[i]! ^ flow.key.words[i]!) & both) !== 0) return false;
  }
  return true;
}

interface Parsed {
  /** Masked. */
  readonly match: Match;
  /** A packet of the flow. */
  readonly whole: FlowKey;
}

function parseFlow(backend: Backend, text: string, what: string): Parsed {
  try {
    const { key: whole, mask } = parseDpFlow(text, portNumber(backend));
    const key = new FlowKey();
    for (let i = 0; i < KEY_WORDS; i++) key.words[i] = whole.words[i]! & mask.words[i]!;
    return { match: { key, mask }, whole };
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw dpctlError(what.replace("%s", error.message), ERRORS.invalid);
  }
}

function parseActions(text: string): DpAction[] {
  try {
    return parseDpActions(text);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw dpctlError("parsing actions", ERRORS.invalid);
  }
}

/** The installed flow of this match; else that which packets with the key hit. */
function findFlow({ cache }: Backend, { match, whole }: Parsed): Megaflow | undefined {
  for (const flow of cache.flows) {
    const other = cache.flows.dpMatch(flow);
    if (sameWords(other.key, match.key) && sameWords(other.mask, match.mask)) return flow;
  }
  return cache.flows.find(whole);
}

function sameWords(a: FlowKey, b: FlowKey): boolean {
  for (let i = 0; i < DP_KEY_WORDS; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}

export type PutCommand = "add" | "mod";

/** Adds or changes one flow; with `-s`, returns its counters. */
export function putFlow(
  context: DpctlContext,
  backend: Backend,
  options: DpctlOptions,
  command: PutCommand,
  flowText: string,
  actionsText: string,
): string {
  const parsed = parseFlow(backend, flowText, "parsing flow key (%s)");
  const actions = parseActions(actionsText);
  const old = findFlow(backend, parsed);
  if (old && command === "add") throw dpctlError("updating flow table", ERRORS.exists);
  if (!old && command === "mod" && !options.mayCreate) {
    throw dpctlError("updating flow table", ERRORS.missing);
  }
  const dpPort = parsed.match.key.get(FIELDS.in_port);
  const owner = ownerOf(context, dpPort);
  if (!owner) throw dpctlError("updating flow table", ERRORS.noDevice);
  const mask = old ? backend.cache.flows.dpMatch(old).mask : parsed.match.mask;
  try {
    const flow = backend.cache.putFlow({ ...owner, dpPort, key: parsed.whole, mask, actions });
    if (!flow) throw dpctlError("updating flow table", ERRORS.unsupported);
    return options.statistics ? `${formatFlowCounts(old ?? flow, backend.clock.now())}\n` : "";
  } catch (error) {
    if (error instanceof DatapathError) throw dpctlError("updating flow table", error.message);
    throw error;
  }
}

/** The bridge that a flow counts as one of. */
function ownerOf(
  context: DpctlContext,
  dpPort: number,
): { bridge: Bridge; ofport: number } | undefined {
  const bridges = [...context.bridges().values()];
  for (const bridge of bridges) {
    for (const port of bridge.ports.values()) {
      if (port.dpPort === dpPort) return { bridge, ofport: port.ofport };
    }
  }
  return bridges[0] && { bridge: bridges[0], ofport: 0 };
}

export function deleteFlow(backend: Backend, options: DpctlOptions, text: string): string {
  const flow = findFlow(backend, parseFlow(backend, text, "%s"));
  if (!flow) {
    throw dpctlError(
      `deleting flow (${ERRORS.missing})\nPerhaps you need to specify a UFID?`,
    );
  }
  backend.cache.flows.read(flow);
  const counts = formatFlowCounts(flow, backend.clock.now());
  backend.cache.flows.remove(flow);
  return options.statistics ? `${counts}\n` : "";
}

/** `dpctl/get-flow [dp] ufid`. */
export function getFlow(backend: Backend, options: DpctlOptions, text: string): string {
  const { verbose, names } = options;
  if (!/^ufid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/.test(text)) {
    throw dpctlError("parsing flow ufid");
  }
  for (const flow of backend.cache.flows) {
    const match = backend.cache.flows.dpMatch(flow);
    if (flowId(match) !== text.slice(0, 41).toLowerCase()) continue;
    backend.cache.flows.read(flow);
    const portName = names ? portNames(backend) : undefined;
    const ufid = verbose ? `${flowId(match)}, ` : "";
    const seen = backend.cache.flows.seenKey(flow);
    const layer = backend.cache.flows.layer(flow);
    const form = { verbose, portName, ufid, seen, layer };
    return `${formatMegaflow(flow, match, backend.clock.now(), form)}\n`;
  }
  throw dpctlError("getting flow", ERRORS.missing);
}

/** What to do with a line of a file, where the line does not say. */
export type FileCommand = PutCommand | "del";

const WORDS: readonly (readonly [string, FileCommand])[] = [
  ["add", "add"],
  ["delete", "del"],
  ["modify", "mod"],
];

/** Lines `[add|modify|delete] FLOW [ACTIONS]`; what cannot be done is told, and the rest done. */
export function processFlows(
  context: DpctlContext,
  backend: Backend,
  options: DpctlOptions,
  otherwise: FileCommand,
  text: string,
): string {
  let output = "";
  for (const [i, line] of text.split("\n").entries()) {
    const words = line.replace(/#.*/, "").trim().split(/\s+/).filter((word) => word !== "");
    if (words.length === 0) continue;
    const named = WORDS.find(([word]) => word === words[0]!.replace(/,$/, ""));
    if (named) words.shift();
    const command = named?.[1] ?? otherwise;
    const [flow, ...rest] = words;
    const actions = rest.join(" ");
    if (flow === undefined || (command === "del") !== (actions === "")) {
      output += `ovs-vswitchd: Failed parsing line number ${i + 1}, skipped!\n`;
      continue;
    }
    try {
      output += command === "del"
        ? deleteFlow(backend, options, flow)
        : putFlow(context, backend, options, command, flow, actions);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      output += error.message;
    }
  }
  return output;
}
