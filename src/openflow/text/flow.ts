/**
 * Whole flows in ovs-ofctl(8)'s syntax: the lines of `dump-flows`, the arguments of `add-flow`,
 * `mod-flows`, `del-flows` and `dump-flows`.
 *
 * `parseFlow` throws `TextError` with a message like Open vSwitch's. The text comes from users and
 * from the HTTP API; nothing is assumed about it.
 */
import { anyMatch, type Match } from "../../packet/key.ts";
import { formatPort, parsePort, TextError } from "../../packet/text.ts";
import { checkActions } from "../actions/check.ts";
import type { Action } from "../actions/types.ts";
import { OfError } from "../errors.ts";
import {
  FLOW_FLAGS,
  type FlowCommand,
  type FlowMod,
  type FlowStats,
  type FlowStatsRequest,
} from "../messages/types.ts";
import { GROUP_ALL, GROUP_ANY, OF10, OF11, type OfVersion, PORTS, TABLE_ALL } from "../version.ts";
import { formatActions } from "./actions-format.ts";
import { parseActions } from "./actions-parse.ts";
import { DEFAULT_PRIORITY, formatMatch } from "./match.ts";
import { parseMatchPart } from "./match-parse.ts";
import { formatTable, parseTableName, type TextNames } from "./names.ts";
import { PROTOCOLS, type Protocols, protocolsOfActions, protocolsOfIpv6 } from "./protocols.ts";
import { hex, keyValues, parseU16, parseU32, parseU64 } from "./scan.ts";

const FLAG_WORDS: readonly (readonly [number, string])[] = [
  [FLOW_FLAGS.SEND_FLOW_REM, "send_flow_rem"],
  [FLOW_FLAGS.CHECK_OVERLAP, "check_overlap"],
  [FLOW_FLAGS.RESET_COUNTS, "reset_counts"],
  [FLOW_FLAGS.NO_PKT_COUNTS, "no_packet_counts"],
  [FLOW_FLAGS.NO_BYT_COUNTS, "no_byte_counts"],
];

/** Flags that came with a version. */
const FLAG_PROTOCOLS: ReadonlyMap<number, Protocols> = new Map([
  [FLOW_FLAGS.RESET_COUNTS, PROTOCOLS.OF12_UP],
  [FLOW_FLAGS.NO_PKT_COUNTS, PROTOCOLS.OF13_UP],
  [FLOW_FLAGS.NO_BYT_COUNTS, PROTOCOLS.OF13_UP],
]);

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

export interface FormatFlowOptions {
  readonly names?: TextNames | undefined;
  /** False leaves out counters, ages and what is zero, as `dump-flows --no-stats` does. */
  readonly stats?: boolean;
  /** Texts of lists of actions, where flows share them. */
  readonly actionTexts?: WeakMap<readonly Action[], string> | undefined;
}

/** `3.005s`: no decimals, three, or as many as it takes. */
export function formatDuration(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return `${seconds}s`;
  if (nanoseconds % 1_000_000 === 0) {
    return `${seconds}.${String(nanoseconds / 1_000_000).padStart(3, "0")}s`;
  }
  return `${seconds}.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}s`;
}

/** A line of `ovs-ofctl dump-flows`, without its leading space. */
export function formatFlow(flow: FlowStats, options: FormatFlowOptions = {}): string {
  const stats = options.stats ?? true;
  let text = "";
  if (stats || flow.cookie !== 0n) text += `cookie=${hex(flow.cookie)}, `;
  if (stats) text += `duration=${formatDuration(flow.durationSeconds, flow.durationNanoseconds)}, `;
  if (stats || flow.table !== 0 || options.names?.tables?.nameOf(0) !== undefined) {
    text += `table=${formatTable(flow.table, options.names)}, `;
  }
  if (stats) text += `n_packets=${flow.packets ?? "?"}, n_bytes=${flow.bytes ?? "?"}, `;
  if (flow.idleTimeout !== 0) text += `idle_timeout=${flow.idleTimeout}, `;
  if (flow.hardTimeout !== 0) text += `hard_timeout=${flow.hardTimeout}, `;
  for (const [flag, word] of FLAG_WORDS) if (flow.flags & flag) text += `${word} `;
  if (flow.importance !== 0) text += `importance=${flow.importance}, `;
  if (stats && flow.idleAge !== undefined) text += `idle_age=${flow.idleAge}, `;
  if (stats && flow.hardAge !== undefined && flow.hardAge !== flow.durationSeconds) {
    text += `hard_age=${flow.hardAge}, `;
  }
  const match = formatMatch(flow.match, flow.priority, options.names);
  if (match !== "") text += `${match} `;
  return `${text}actions=${actionText(flow.actions, options)}`;
}

function actionText(
  actions: readonly Action[],
  { names, actionTexts }: FormatFlowOptions,
): string {
  const known = actionTexts?.get(actions);
  if (known !== undefined) return known;
  const text = formatActions(actions, names);
  actionTexts?.set(actions, text);
  return text;
}

const COMMAND_WORDS: Readonly<Record<FlowCommand, string>> = {
  add: "ADD",
  modify: "MOD",
  modify_strict: "MOD_STRICT",
  delete: "DEL",
  delete_strict: "DEL_STRICT",
};

export interface FormatFlowModOptions {
  readonly names?: TextNames | undefined;
  /** OpenFlow 1.0 and 1.1 imply a flag, which is not told then. */
  readonly version?: OfVersion;
  /** Told instead of the match, with the priority behind it. */
  readonly match?: string | undefined;
}

/** Nicira's form in a version after 1.0 has no place for a table, and is told so. */
const tellsTable = ({ form, table }: FlowMod, version: OfVersion = OF10): boolean =>
  form !== "nicira" || version === OF10 || table !== TABLE_ALL;

/** A flow-mod as `ovs-ofctl ofp-print` and `snoop` show it: ` ADD table:1 priority=9,ip actions=…`. */
export function formatFlowMod(message: FlowMod, options: FormatFlowModOptions = {}): string {
  const { names, version } = options;
  const parts = [COMMAND_WORDS[message.command]];
  if (
    tellsTable(message, version) && (message.table !== 0 || names?.tables?.nameOf(0) !== undefined)
  ) {
    parts.push(`table:${formatTable(message.table, names)}`);
  }
  const match = options.match ?? formatMatch(message.match, message.priority, names);
  if (match !== "") parts.push(match);
  if (message.newCookie !== 0n && message.newCookie !== ALL_ONES) {
    parts.push(`cookie:${hex(message.newCookie)}`);
  }
  if (message.cookieMask !== 0n) {
    parts.push(`cookie:${hex(message.cookie)}/${hex(message.cookieMask)}`);
  }
  if (message.idleTimeout !== 0) parts.push(`idle:${message.idleTimeout}`);
  if (message.hardTimeout !== 0) parts.push(`hard:${message.hardTimeout}`);
  if (message.importance !== 0) parts.push(`importance:${message.importance}`);
  if (options.match !== undefined && message.priority !== DEFAULT_PRIORITY) {
    parts.push(`pri:${message.priority}`);
  }
  if (message.bufferId !== undefined) parts.push(`buf:${hex(message.bufferId)}`);
  if (message.outPort !== PORTS.ANY) parts.push(`out_port:${formatPort(message.outPort, names)}`);
  const implied = version !== undefined && version <= OF11 ? FLOW_FLAGS.RESET_COUNTS : 0;
  for (const [flag, word] of FLAG_WORDS) if (message.flags & ~implied & flag) parts.push(word);
  parts.push(`actions=${formatActions(message.actions, names)}`);
  return ` ${parts.join(" ")}`;
}

/** What is asked of flows, as it stands in a request. */
export function formatFlowRequest(request: FlowStatsRequest, names?: TextNames): string {
  let text = "";
  if (request.table !== TABLE_ALL) text += ` table=${formatTable(request.table, names)}`;
  if (request.outPort !== PORTS.ANY) text += ` out_port=${formatPort(request.outPort, names)}`;
  return `${text} ${formatMatch(request.match, undefined, names)}`;
}

export interface ParseFlowOptions {
  /** Absent: the text's first word says it (`add`, `modify_strict` …), else it is an add. */
  readonly command?: FlowCommand;
  readonly names?: TextNames | undefined;
}

const COMMANDS: readonly FlowCommand[] = [
  "add",
  "delete",
  "delete_strict",
  "modify",
  "modify_strict",
];

/** Keys of `dump-flows` output that mean nothing to a flow-mod. */
const IGNORED: ReadonlySet<string> = new Set([
  "duration",
  "n_packets",
  "n_bytes",
  "idle_age",
  "hard_age",
  "no_readonly_table",
  "allow_hidden_fields",
]);

/** Takes `actions=…` off the end of a flow. */
export function splitActions(text: string): { head: string; actions: string | undefined } {
  const at = text.indexOf("action");
  if (at < 0) return { head: text, actions: undefined };
  const equals = text.indexOf("=", at + 1);
  return { head: text.slice(0, at), actions: equals < 0 ? undefined : text.slice(equals + 1) };
}

function takeCommand(text: string): { command: FlowCommand; rest: string } {
  const trimmed = text.trimStart();
  const word = /^[^, \t\r\n]*/.exec(trimmed)![0];
  // An abbreviation is a command too, the first that fits, as long as it is not empty.
  const command = word === "" ? undefined : COMMANDS.find((name) => name.startsWith(word));
  if (!command) return { command: "add", rest: trimmed };
  return { command, rest: trimmed.slice(word.length) };
}

/** Mutable while it is read. */
interface Draft {
  priority: number;
  table: number;
  cookie: bigint;
  cookieMask: bigint;
  newCookie: bigint;
  modifyCookie: boolean;
  idleTimeout: number;
  hardTimeout: number;
  importance: number;
  flags: number;
  outPort: number;
  outGroup: number;
  protocols: Protocols;
}

const FLAGS = FLAG_WORDS.map(([, word]) => word);
const TIMEOUTS = ["idle_timeout", "hard_timeout"];
const MODIFY_TAKES = new Set(["actions", "priority", ...TIMEOUTS, ...FLAGS]);
const DELETE_TAKES = new Set(["out_port", "out_group"]);

/** What each command takes besides a match. */
const TAKES: Readonly<Record<FlowCommand | "request", ReadonlySet<string>>> = {
  add: new Set(["actions", "priority", "importance", ...TIMEOUTS, ...FLAGS]),
  modify: MODIFY_TAKES,
  modify_strict: MODIFY_TAKES,
  delete_strict: new Set([...DELETE_TAKES, "priority"]),
  delete: DELETE_TAKES,
  request: DELETE_TAKES,
};

function parseGroup(text: string): number {
  const upper = text.toUpperCase();
  if (upper === "ANY") return GROUP_ANY;
  if (upper === "ALL") return GROUP_ALL;
  try {
    return parseU32(text);
  } catch {
    throw new TextError(`${text} is not a valid OpenFlow group`);
  }
}

function parseCookie(draft: Draft, command: FlowCommand | "request", text: string): void {
  const slash = text.indexOf("/");
  if (slash >= 0) {
    if (command === "add") throw new TextError("flow additions cannot use a cookie mask");
    draft.cookie = parseU64(text.slice(0, slash));
    draft.cookieMask = parseU64(text.slice(slash + 1));
    if (draft.cookieMask !== 0n) draft.protocols &= PROTOCOLS.NXM_OF11_UP;
    return;
  }
  if (command === "request" || command.startsWith("delete")) {
    throw new TextError(
      `cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=${text}/-1)`,
    );
  }
  draft.newCookie = parseU64(text);
  draft.modifyCookie = true;
}

function parseSetting(
  draft: Draft,
  command: FlowCommand | "request",
  key: string,
  value: string,
  names?: TextNames | undefined,
): void {
  const takes = TAKES[command];
  const flag = FLAG_WORDS.find(([, word]) => word === key);
  if (flag && takes.has(key)) {
    draft.flags |= flag[0];
    draft.protocols &= FLAG_PROTOCOLS.get(flag[0]) ?? PROTOCOLS.ANY;
    return;
  }
  if (key === "no_readonly_table" || key === "allow_hidden_fields") return;
  if (value === "") throw new TextError(`field ${key} missing value`);
  if (IGNORED.has(key)) return;
  if (key === "table") {
    const table = parseTableName(value, names);
    if (table === undefined) throw new TextError(`unknown table "${value}"`);
    draft.table = table;
    if (table !== TABLE_ALL) draft.protocols &= PROTOCOLS.TID;
  } else if (key === "cookie") parseCookie(draft, command, value);
  else if (!takes.has(key)) throw new TextError(`unknown keyword ${key}`);
  else if (key === "out_port") {
    const port = parsePort(value, names);
    if (port === undefined) throw new TextError(`${value} is not a valid OpenFlow port`);
    draft.outPort = port;
  } else if (key === "out_group") {
    draft.outGroup = parseGroup(value);
    draft.protocols &= PROTOCOLS.OF11_UP;
  } else if (key === "priority") draft.priority = parseU16(value, key);
  else if (key === "idle_timeout") draft.idleTimeout = parseU16(value, key);
  else if (key === "hard_timeout") draft.hardTimeout = parseU16(value, key);
  else if (key === "importance") draft.importance = parseU16(value, key);
  else throw new TextError(`unknown keyword ${key}`);
}

function emptyDraft(): Draft {
  return {
    priority: DEFAULT_PRIORITY,
    table: TABLE_ALL,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: 0n,
    modifyCookie: false,
    idleTimeout: 0,
    hardTimeout: 0,
    importance: 0,
    flags: 0,
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    protocols: PROTOCOLS.ANY,
  };
}

/** A flow-mod, and in which protocols it can be said. */
export interface ParsedFlow {
  readonly message: FlowMod;
  readonly protocols: Protocols;
}

function checkAgainstMatch(actions: readonly Action[], match: Match, table: number): Protocols {
  const check = (lenient: boolean): void => {
    try {
      checkActions(actions, match, { table, tables: 255, lenient });
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      const text = `actions are invalid with specified match (${error.error})`;
      throw new TextError(text, { cause: error });
    }
  };
  check(true);
  try {
    check(false);
    return PROTOCOLS.ANY;
  } catch (error) {
    if (error instanceof TextError) return PROTOCOLS.OF10;
    throw error;
  }
}

/** A flow-mod from ovs-ofctl's syntax, with the protocols that can say it. Throws `TextError`. */
export function parseFlowMod(text: string, options: ParseFlowOptions = {}): ParsedFlow {
  const { command, rest } = options.command
    ? { command: options.command, rest: text }
    : takeCommand(text);
  const { names } = options;
  const draft = emptyDraft();
  const modifies = command === "modify" || command === "modify_strict";
  if (modifies) draft.newCookie = ALL_ONES;
  const takesActions = command === "add" || modifies;
  const { head, actions: actionText } = takesActions
    ? splitActions(rest)
    : { head: rest, actions: undefined };
  if (takesActions && actionText === undefined) throw new TextError("must specify an action");
  const match = parseHead(draft, command, head, names);
  // A modify that matches no cookie adds the flow when there is none: with cookie 0 then.
  if (modifies && draft.cookieMask === 0n && draft.newCookie === ALL_ONES) draft.newCookie = 0n;
  const { protocols, ...flow } = draft;
  const parsed = { type: "flow_mod" as const, command, match, ...flow };
  if (actionText === undefined) return { message: { ...parsed, actions: [] }, protocols };
  const actions = parseActions(actionText, names);
  let usable = protocols & protocolsOfActions(actions);
  usable &= checkAgainstMatch(actions, match, draft.table);
  if (usable === 0) {
    throw new TextError("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)");
  }
  return { message: { ...parsed, actions }, protocols: usable };
}

/** A flow-mod from ovs-ofctl's syntax. Throws `TextError`. */
export const parseFlow = (text: string, options: ParseFlowOptions = {}): FlowMod =>
  parseFlowMod(text, options).message;

function parseHead(
  draft: Draft,
  command: FlowCommand | "request",
  text: string,
  names: TextNames | undefined,
): Match {
  const match = anyMatch();
  const said = { match, protocols: draft.protocols };
  for (const { key, value } of keyValues(text)) {
    const flag = FLAG_WORDS.some(([, word]) => word === key);
    if (flag || !parseMatchPart(said, key, value, names)) {
      parseSetting(draft, command, key, value, names);
    }
  }
  draft.protocols &= said.protocols & protocolsOfIpv6(match);
  return match;
}

/** The request of `dump-flows` or `dump-aggregate`, with the protocols that can say it. */
export function parseFlowRequestText(
  text: string,
  options: { readonly names?: TextNames | undefined; readonly aggregate?: boolean } = {},
): { readonly message: FlowStatsRequest; readonly protocols: Protocols } {
  const draft = emptyDraft();
  const match = parseHead(draft, "request", text, options.names);
  const { table, outPort, outGroup, cookie, cookieMask } = draft;
  const type = options.aggregate ? "aggregate_stats_request" : "flow_stats_request";
  // A table that is asked for is in the request, whatever flow-mods can say.
  let { protocols } = draft;
  if (protocols & PROTOCOLS.STD_TID) protocols |= PROTOCOLS.STD;
  if (protocols & PROTOCOLS.NXM_TID) protocols |= PROTOCOLS.NXM;
  const message = { type, table, match, outPort, outGroup, cookie, cookieMask } as const;
  return { message, protocols };
}

/** The request of `dump-flows` or `dump-aggregate` from its argument. Throws `TextError`. */
export const parseFlowRequest = (
  text: string,
  options: { readonly names?: TextNames | undefined; readonly aggregate?: boolean } = {},
): FlowStatsRequest => parseFlowRequestText(text, options).message;
