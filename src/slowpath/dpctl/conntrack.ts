/** The connection tracker's commands: `dpctl/dump-conntrack`, `flush-conntrack`, `ct-…`, `ipf-…`. */
import type { Conntrack, CtEntry } from "../../fastpath/conntrack/types.ts";
import type { UnixctlServer } from "../unixctl.ts";
import { formatEntry, parseTuple, protocolName, tcpState, tupleFits } from "./conntrack-text.ts";
import {
  type DpctlContext,
  dpctlError,
  type DpctlOptions,
  ERRORS,
  openDatapath,
  parseOptions,
} from "./request.ts";

const MANY = 64;
/** Open vSwitch's, of fragments that are not the last: RFC 8200 §5 for IPv6. */
const LEAST_FRAGMENT = { v4: 400, v6: 400 };
const MOST_FRAGMENTS = 5000;

interface Request {
  readonly conntrack: Conntrack;
  readonly options: DpctlOptions;
  readonly args: readonly string[];
}

type Run = (request: Request) => string | Promise<string>;

/** Returns the names of the commands, without `dpctl/`, and their usages. */
export function registerConntrack(
  server: UnixctlServer,
  context: DpctlContext,
): [name: string, usage: string][] {
  const names: [string, string][] = [];
  /** `most`: with the datapath's name counted. */
  const add = (
    name: string,
    usage: string,
    [least, most]: readonly [number, number],
    run: Run,
  ): void => {
    names.push([name, usage]);
    server.register(`dpctl/${name}`, {
      usage,
      minArguments: least,
      maxArguments: MANY,
      run: (all) => {
        const { options, args } = parseOptions(all);
        const { backend, rest } = openDatapath(context, args, most + 1);
        if (rest.length < least) {
          throw dpctlError(`'${name}' command requires at least ${least} arguments`);
        }
        return run({ conntrack: backend.datapath.conntrack, options, args: rest });
      },
    });
  };

  add("dump-conntrack", "[-m] [-s] [dp] [zone=N]", [0, 2], dump);
  add("flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", [0, 4], flush);
  add("ct-stats-show", "[dp] [zone=N]", [0, 3], showStats);
  add("ct-bkts", "[dp] [gt=N]", [0, 2], showBuckets);
  add("ct-set-maxconns", "[dp] maxconns", [1, 2], ({ conntrack, args }) => {
    conntrack.setMaxConnections(number(args[0], 0xffffffff, "maxconns missing or malformed"));
    return "setting maxconns successful";
  });
  add(
    "ct-get-maxconns",
    "[dp]",
    [0, 1],
    async ({ conntrack }) => `${(await conntrack.stats()).maxConnections}\n`,
  );
  add(
    "ct-get-nconns",
    "[dp]",
    [0, 1],
    async ({ conntrack }) => `${(await conntrack.stats()).connections}\n`,
  );
  for (const [word, enabled] of [["enable", true], ["disable", false]] as const) {
    add(`ct-${word}-tcp-seq-chk`, "[dp]", [0, 1], ({ conntrack }) => {
      conntrack.setTcpSequenceChecks(enabled);
      return `${word.slice(0, -1)}ing TCP sequence checking successful`;
    });
    add(`ipf-set-${word}d`, "[dp] v4|v6", [1, 2], ({ conntrack, args }) => {
      const version = versionOf(args[0], "parameter missing: 'v4' for IPv4 or 'v6' for IPv6");
      conntrack.setFragments(version === "v4" ? { enabledV4: enabled } : { enabledV6: enabled });
      return `${word.slice(0, -1)}ing fragmentation reassembly successful`;
    });
  }
  add(
    "ct-get-tcp-seq-chk",
    "[dp]",
    [0, 1],
    ({ conntrack }) =>
      `TCP sequence checking: ${conntrack.tcpSequenceChecks ? "enabled" : "disabled"}\n`,
  );
  add("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", [1, MANY], setLimits);
  add("ct-del-limits", "[dp] zone=N1[,N2]...", [1, 2], ({ conntrack, args }) => {
    for (const zone of parseZones(args[0]!)) conntrack.setZoneLimit(zone, undefined);
    return "";
  });
  add("ct-get-limits", "[dp] [zone=N1[,N2]...]", [0, 2], getLimits);
  add("ipf-set-min-frag", "[dp] v4|v6 minfragment", [2, 3], ({ conntrack, args }) => {
    const version = versionOf(args[0], "parameter missing: v4 for IPv4 or v6 for IPv6");
    const size = number(args[1], 0xffffffff, "parameter missing for minimum fragment size");
    if (size < LEAST_FRAGMENT[version] || size > 0xffff) {
      throw dpctlError(
        "requested minimum fragment size too small; see documentation",
        ERRORS.invalid,
      );
    }
    conntrack.setFragments(version === "v4" ? { minSizeV4: size } : { minSizeV6: size });
    return "setting minimum fragment size successful";
  });
  add("ipf-set-max-nfrags", "[dp] maxfrags", [1, 2], ({ conntrack, args }) => {
    const count = number(args[0], 0xffffffff, "parameter missing for maximum fragments");
    if (count > MOST_FRAGMENTS) {
      throw dpctlError("setting maximum fragments failed", ERRORS.invalid);
    }
    conntrack.setFragments({ maxFragments: count });
    return "setting maximum fragments successful";
  });
  add("ipf-get-status", "[dp]", [0, 1], ({ conntrack }) => fragmentStatus(conntrack));
  return names;
}

function number(text: string | undefined, limit: number, wrong: string): number {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= limit)) throw dpctlError(wrong, ERRORS.invalid);
  return value;
}

function versionOf(text: string | undefined, wrong: string): "v4" | "v6" {
  if (text?.startsWith("v4")) return "v4";
  if (text?.startsWith("v6")) return "v6";
  throw dpctlError(wrong, ERRORS.invalid);
}

/** `zone=N` at the front or the end of the arguments, and the others. */
function takeZone(args: readonly string[]): { zone: number | undefined; rest: string[] } {
  const rest = [...args];
  const at = rest.findIndex((arg) => arg.startsWith("zone="));
  if (at < 0) return { zone: undefined, rest };
  const [text] = rest.splice(at, 1);
  return { zone: number(text!.slice(5), 0xffff, "failed to parse zone"), rest };
}

async function dump({ conntrack, options, args }: Request): Promise<string> {
  const { zone } = takeZone(args);
  const entries = await conntrack.dump(zone === undefined ? {} : { zone });
  return entries.map((entry) => `${formatEntry(entry, options.verbose, options.statistics)}\n`)
    .join("");
}

async function flush({ conntrack, args }: Request): Promise<string> {
  const { zone, rest } = takeZone(args);
  const inZone = zone === undefined ? {} : { zone };
  if (rest.length > 2) throw dpctlError("invalid arguments", ERRORS.invalid);
  const [original, reply] = rest.map((text) => {
    const tuple = parseTuple(text);
    if (typeof tuple === "string") throw dpctlError(tuple, ERRORS.invalid);
    return tuple;
  });
  if (!original && !reply) {
    await conntrack.flush(inZone);
    return "";
  }
  // Some of a tuple, or one of the reply: the connections that fit are removed one by one.
  for (const entry of await conntrack.dump(inZone)) {
    if (original && !tupleFits(entry.original, original)) continue;
    if (reply && !tupleFits(entry.reply, reply)) continue;
    await conntrack.flush({ zone: entry.zone, tuple: entry.original });
  }
  return "";
}

/** As Open vSwitch orders them; others count together. */
const COUNTED = ["tcp", "udp", "udplite", "sctp", "icmp", "dccp", "igmp"] as const;

async function showStats({ conntrack, options, args }: Request): Promise<string> {
  const verbose = options.verbose || args.some((arg) => arg.startsWith("verbose"));
  const { zone } = takeZone(args);
  const entries = await conntrack.dump(zone === undefined ? {} : { zone });
  const counts = new Map<string, number>();
  for (const { original } of entries) {
    const name = protocolName(original.protocol);
    // ICMPv6 is counted by Open vSwitch, and not shown.
    const key = (COUNTED as readonly string[]).includes(name)
      ? name
      : name === "icmpv6"
      ? "icmpv6"
      : "other";
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  let text = `Connections Stats:\n    Total: ${entries.length}\n`;
  for (const name of COUNTED) {
    const count = counts.get(name);
    if (count === undefined) continue;
    text += `  ${name.toUpperCase()}: ${count}\n`;
    if (name === "tcp" && verbose) text += `    Conn per TCP states:\n${tcpStates(entries)}`;
  }
  const other = counts.get("other");
  return other === undefined ? text : `${text}  Other: ${other}\n`;
}

function tcpStates(entries: readonly CtEntry[]): string {
  const counts = new Map<string, number>();
  for (const { tcp } of entries) {
    if (tcp) counts.set(tcpState(tcp), (counts.get(tcpState(tcp)) ?? 0) + 1);
  }
  return [...counts].map(([state, count]) => `\t  [${state}]=${count}\n`).join("");
}

/** There is one bucket: connections are in one table. */
async function showBuckets({ conntrack, args }: Request): Promise<string> {
  const { connections } = await conntrack.stats();
  const text = `Total Buckets: 1\nCurrent Connections: ${connections}\n\n`;
  if (connections === 0) return text;
  const rule = `+-----------+${"-".repeat(41)}+`;
  const least = Number(/^gt=(\d+)$/.exec(args.at(-1) ?? "")?.[1] ?? 0);
  const shown = connections > least ? String(connections) : ".";
  return `${text}${rule}\n|  Buckets  |         Connections per Buckets         |\n${rule}` +
    `\n   0..  7   | ${shown.padStart(5)}\n\n`;
}

function setLimits({ conntrack, args }: Request): string {
  const rest = [...args];
  if (rest[0]?.startsWith("default=")) {
    const text = rest.shift()!.slice(8);
    conntrack.setZoneLimit(undefined, number(text, 0xffffffff, "invalid default limit"));
  }
  const limits = rest.map((text) => {
    const found = /^zone=(\d+),limit=(\d+)$/.exec(text);
    if (!found) {
      const wrong = text.startsWith("zone=")
        ? text.includes(",limit=") ? "invalid zone limit" : "failed to parse zone limit"
        : `invalid argument ${text}`;
      throw dpctlError(wrong, ERRORS.invalid);
    }
    const zone = number(found[1], 0xffff, "invalid zone");
    return { zone, limit: number(found[2], 0xffffffff, "invalid zone limit") };
  });
  for (const { zone, limit } of limits) conntrack.setZoneLimit(zone, limit);
  return "";
}

function parseZones(text: string): number[] {
  if (!text.startsWith("zone=")) throw dpctlError(`invalid argument ${text}`, ERRORS.invalid);
  return text.slice(5).split(",").map((zone) => number(zone, 0xffff, "invalid zone"));
}

async function getLimits({ conntrack, args }: Request): Promise<string> {
  const wanted = args[0] === undefined ? undefined : parseZones(args[0]);
  const limits = await conntrack.zoneLimits();
  const general = limits.find(({ zone }) => zone === undefined);
  const rows = [`default limit=${general?.limit ?? 0}`];
  const own = limits.filter(({ zone }) => zone !== undefined);
  const shown = wanted === undefined
    ? own
    : wanted.map((zone) =>
      own.find((each) => each.zone === zone) ?? { zone, limit: general?.limit ?? 0, count: 0 }
    );
  for (const { zone, limit, count } of shown) {
    rows.push(`zone=${zone},limit=${limit},count=${count}`);
  }
  return rows.map((row) => `${row}\n`).join("");
}

function fragmentStatus({ fragments }: Conntrack): string {
  const { enabledV4, enabledV6, maxFragments, minSizeV4, minSizeV6 } = fragments;
  const rows = [
    "Fragmentation Module Status",
    "---------------------------",
    `v4 enabled: ${enabledV4 ? 1 : 0}`,
    `v6 enabled: ${enabledV6 ? 1 : 0}`,
    `max num frags (v4/v6): ${maxFragments}`,
    `min v4 frag size: ${minSizeV4}`,
    `min v6 frag size: ${minSizeV6}`,
  ];
  return rows.map((row) => `        ${row}\n`).join("");
}
