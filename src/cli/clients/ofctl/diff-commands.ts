/** `replace-flows` and `diff-flows`: what two sources of flows have, and have not, in common. */
import { existsSync } from "node:fs";
import type { FlowMod } from "../../../openflow/messages/types.ts";
import { FLOW_FLAGS } from "../../../openflow/messages/types.ts";
import type { Action } from "../../../openflow/actions/types.ts";
import { formatActions } from "../../../openflow/text/actions-format.ts";
import { formatMatch } from "../../../openflow/text/match.ts";
import { parseFlowMod } from "../../../openflow/text/flow.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import { PROTOCOLS, type Protocols } from "../../../openflow/text/protocols.ts";
import { hex } from "../../../openflow/text/scan.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../../openflow/version.ts";
import { anyMatch, type Match } from "../../../packet/key.ts";
import { sendBundle } from "./bundle.ts";
import { command } from "./command.ts";
import { fetchFlows, flowModFor, openForDump } from "./flow-commands.ts";
import { parseLines, readText } from "./parsing.ts";
import type { Session, Vconn } from "./session.ts";

interface Version {
  readonly cookie: bigint;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly importance: number;
  readonly flags: number;
  readonly actions: readonly Action[];
}

/** One flow in either source or both. */
interface Entry {
  readonly table: number;
  readonly priority: number;
  readonly match: Match;
  readonly versions: [Version | undefined, Version | undefined];
}

type Side = 0 | 1;

/** By table, priority and match; in the order in which they came, tables ascending. */
class FlowTables {
  private readonly entries = new Map<string, Entry>();

  put(side: Side, table: number, priority: number, match: Match, version: Version): void {
    const { key, mask } = match;
    const id = `${table}/${priority}/${key.words.join()}/${mask.words.join()}`;
    const entry = this.entries.get(id) ??
      { table, priority, match, versions: [undefined, undefined] };
    entry.versions[side] = version;
    this.entries.set(id, entry);
  }

  all(): Entry[] {
    return [...this.entries.values()].sort((a, b) => a.table - b.table);
  }
}

const sameVersion = (a: Version, b: Version): boolean =>
  a.cookie === b.cookie && a.idleTimeout === b.idleTimeout && a.hardTimeout === b.hardTimeout &&
  a.importance === b.importance && formatActions(a.actions) === formatActions(b.actions);

function putFile(
  tables: FlowTables,
  side: Side,
  path: string,
  text: string,
  names: TextNames | undefined,
): Protocols {
  const flows = parseLines(path, text, (line) => parseFlowMod(line, { command: "add", names }));
  let usable: Protocols = PROTOCOLS.ANY;
  for (const { message, protocols } of flows) {
    usable &= protocols;
    tables.put(
      side,
      message.table === TABLE_ALL ? 0 : message.table,
      message.priority,
      message.match,
      {
        cookie: message.newCookie,
        idleTimeout: message.idleTimeout,
        hardTimeout: message.hardTimeout,
        importance: message.importance,
        flags: message.flags & (FLOW_FLAGS.SEND_FLOW_REM | FLOW_FLAGS.EMERGENCY),
        actions: message.actions,
      },
    );
  }
  return usable;
}

async function putSwitch(
  session: Session,
  tables: FlowTables,
  side: Side,
  vconn: Vconn,
): Promise<void> {
  const nxm = (vconn.protocol & (PROTOCOLS.NXM | PROTOCOLS.NXM_TID)) !== 0;
  const flows = await fetchFlows(session, vconn, {
    type: "flow_stats_request",
    ...(nxm ? { form: "nicira" as const } : {}),
    table: TABLE_ALL,
    match: anyMatch(),
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    cookie: 0n,
    cookieMask: 0n,
  });
  for (const flow of flows) {
    tables.put(side, flow.table, flow.priority, flow.match, { ...flow, flags: 0 });
  }
}

function flowMod(entry: Entry, version: Version, flowCommand: "add" | "delete_strict"): FlowMod {
  const { table, priority, match } = entry;
  return {
    type: "flow_mod",
    command: flowCommand,
    table,
    match,
    priority,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: version.cookie,
    modifyCookie: true,
    idleTimeout: version.idleTimeout,
    hardTimeout: version.hardTimeout,
    importance: version.importance,
    flags: version.flags,
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    actions: flowCommand === "add" ? version.actions : [],
  };
}

/**
 * How long a tunnel option is, a text does not tell, and a switch tells with its flows: reads again
 * until all flows are read with the same lengths, or they would not compare.
 */
async function settled<T>(session: Session, read: () => Promise<T>): Promise<T> {
  for (;;) {
    const before = session.tunnelFields.moves;
    const result = await read();
    if (session.tunnelFields.moves === before) return result;
  }
}

async function replaceFlows(session: Session, [target = "", path = ""]: readonly string[]) {
  const text = readText(path, (why) => `${path}: open (${why})`);
  let opened: Vconn | undefined;
  const { tables, vconn } = await settled(session, async () => {
    const { tables, usable } = await session.parse(target, (names) => {
      const fresh = new FlowTables();
      return { tables: fresh, usable: putFile(fresh, 0, path, text, names) };
    });
    opened ??= await openForDump(session, target, usable);
    await putSwitch(session, tables, 1, opened);
    return { tables, vconn: opened };
  });
  const changes: FlowMod[] = [];
  for (const entry of tables.all()) {
    const [wanted, present] = entry.versions;
    if (!wanted) changes.push(flowMod(entry, present!, "delete_strict"));
    else if (session.options.readd || !present || !sameVersion(present, wanted)) {
      changes.push(flowMod(entry, wanted, "add"));
    }
  }
  // In each table, what goes goes first.
  const order = (a: FlowMod, b: FlowMod): number =>
    a.table - b.table || Number(a.command === "add") - Number(b.command === "add");
  const messages = changes.sort(order).map((message) => flowModFor(message, vconn));
  if (session.options.bundle) await sendBundle(session, vconn, target, messages);
  else await session.transact(vconn, target, messages);
  vconn.client.close();
}

async function putSource(
  session: Session,
  tables: FlowTables,
  side: Side,
  source: string,
): Promise<TextNames | undefined> {
  const isFile = /^[/.]/.test(source) || (!source.includes(":") && existsSync(source));
  if (isFile) {
    const text = readText(source, (why) => `${source}: open (${why})`);
    await session.parse(source, (names) => putFile(tables, side, source, text, names), true);
    return undefined;
  }
  const vconn = await openForDump(session, source, PROTOCOLS.ANY);
  await putSwitch(session, tables, side, vconn);
  vconn.client.close();
  return await session.namesToShow(source);
}

function formatVersion(entry: Entry, version: Version, names: TextNames | undefined): string {
  const parts: string[] = [];
  if (entry.table !== 0) parts.push(`table=${entry.table}`);
  const match = formatMatch(entry.match, entry.priority, names);
  let text = [...parts, match].join(" ");
  if (version.cookie !== 0n) text += ` cookie=${hex(version.cookie)}`;
  if (version.idleTimeout !== 0) text += ` idle_timeout=${version.idleTimeout}`;
  if (version.hardTimeout !== 0) text += ` hard_timeout=${version.hardTimeout}`;
  if (version.importance !== 0) text += ` importance=${version.importance}`;
  return `${text} actions=${formatActions(version.actions, names)}\n`;
}

const DIFFERENT = 2;

async function diffFlows(session: Session, [first = "", second = ""]: readonly string[]) {
  const { tables, names } = await settled(session, async () => {
    const tables = new FlowTables();
    const firstNames = await putSource(session, tables, 0, first);
    const names = await putSource(session, tables, 1, second) ?? firstNames ?? session.noNames;
    return { tables, names };
  });
  let text = "";
  for (const entry of tables.all()) {
    const [a, b] = entry.versions;
    if (a && b && sameVersion(a, b)) continue;
    if (a) text += `-${formatVersion(entry, a, names)}`;
    if (b) text += `+${formatVersion(entry, b, names)}`;
  }
  session.print(text);
  return text === "" ? 0 : DIFFERENT;
}

export const diffCommands = [
  command("replace-flows", "switch file", [2, 2], "rw", replaceFlows),
  command("diff-flows", "source1 source2", [2, 2], "rw", diffFlows),
];
