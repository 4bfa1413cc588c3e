/** Commands about flows. */
import type {
  FlowCommand,
  FlowMod,
  FlowStats,
  FlowStatsRequest,
} from "../../../openflow/messages/types.ts";
import { colorFlow } from "../../../openflow/text/color.ts";
import { formatFlow, parseFlowMod, parseFlowRequestText } from "../../../openflow/text/flow.ts";
import { hexDump } from "../../../openflow/text/hex-dump.ts";
import type { ParsedFlow } from "../../../openflow/text/flow.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import {
  DUMP_PROTOCOLS,
  formatProtocols,
  PROTOCOLS,
  type Protocols,
} from "../../../openflow/text/protocols.ts";
import { fieldIsZero } from "../../../openflow/field-bits.ts";
import { prerequisiteMet } from "../../../openflow/match-set.ts";
import { Fatal } from "../fatal.ts";
import { sendBundle } from "./bundle.ts";
import { command } from "./command.ts";
import type { SortCriterion } from "./options.ts";
import { parseLines, readText } from "./parsing.ts";
import type { Dialect, Session, Vconn } from "./session.ts";

const isNxm = (protocol: Protocols): boolean =>
  (protocol & (PROTOCOLS.NXM | PROTOCOLS.NXM_TID)) !== 0;

/** In the form that the connection's protocol has for it. */
export const flowModFor = (message: FlowMod, { protocol }: Dialect): FlowMod =>
  isNxm(protocol) ? { ...message, form: "nicira" } : message;

/** Agrees on the protocol that tells most of flows. */
export async function openForDump(
  session: Session,
  target: string,
  usable: Protocols,
): Promise<Vconn> {
  const allowed = session.options.protocols;
  const vconn = await session.open(target);
  for (const protocol of DUMP_PROTOCOLS) {
    if (!(protocol & usable & allowed)) continue;
    if (await session.setProtocol(vconn, protocol)) return vconn;
  }
  throw new Fatal(
    usable & allowed
      ? `switch does not support any of the usable flow formats (${formatProtocols(usable)})`
      : `none of the usable flow formats (${formatProtocols(usable)}) is among the ` +
        `allowed flow formats (${formatProtocols(allowed)})`,
  );
}

async function prepare(
  session: Session,
  [target = "", text = ""]: readonly string[],
  aggregate: boolean,
): Promise<{ vconn: Vconn; request: FlowStatsRequest }> {
  const { message, protocols } = await session.parse(
    target,
    (names) => parseFlowRequestText(text, { names, aggregate }),
  );
  const vconn = await openForDump(session, target, protocols);
  return { vconn, request: isNxm(vconn.protocol) ? { ...message, form: "nicira" } : message };
}

/** All flows that the request asks for, part by part. */
export async function fetchFlows(
  session: Session,
  vconn: Vconn,
  request: FlowStatsRequest,
): Promise<FlowStats[]> {
  const parts = await session.ask(vconn, request, "flow_stats_reply");
  const flows = parts.flatMap(({ message }) => message.flows);
  // Ages that Nicira's reply has are shown only where it is printed as it came.
  if (request.form !== "nicira") return flows;
  return flows.map(({ idleAge: _idle, hardAge: _hard, ...flow }) => flow);
}

async function dumpFlows(session: Session, args: readonly string[]): Promise<void> {
  const { options } = session;
  const [target = ""] = args;
  const { vconn, request } = await prepare(session, args, false);
  const names = await session.namesToShow(target);
  if (options.sort.length === 0 && !session.showsNames && options.stats && !options.color) {
    await session.dump(vconn, target, request);
  } else {
    const flows = await fetchFlows(session, vconn, request);
    if (options.sort.length > 0) sortFlows(flows, options.sort);
    const { stats, color } = options;
    const lines = flows.map((flow) => formatFlow(flow, { names, stats }));
    session.print(lines.map((line) => ` ${color ? colorFlow(line) : line}\n`).join(""));
  }
  vconn.client.close();
}

/** Flows without a field stand behind all others, whichever way the sorting goes. */
function sortFlows(flows: FlowStats[], criteria: readonly SortCriterion[]): void {
  flows.sort((a, b) => {
    for (const { field, descending } of criteria) {
      let order: number;
      if (!field) order = a.priority - b.priority;
      else {
        const [hasA, hasB] = [a, b].map(({ match }) =>
          prerequisiteMet(field.prerequisite, match.key) && !fieldIsZero(match.mask, field)
        );
        if (hasA !== hasB) return hasA ? -1 : 1;
        const [x, y] = [a.match.key.getBig(field), b.match.key.getBig(field)];
        order = x < y ? -1 : x > y ? 1 : 0;
      }
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  });
}

async function dumpAggregate(session: Session, args: readonly string[]): Promise<void> {
  const { vconn, request } = await prepare(session, args, true);
  await session.dump(vconn, args[0] ?? "", request);
  vconn.client.close();
}

/** Stock logs what a switch would leave out of a match, and sends all of it. */
export function parseAndTell(
  session: Session,
  text: string,
  options: { readonly command?: FlowCommand; readonly names?: TextNames | undefined },
): ParsedFlow {
  const parsed = parseFlowMod(text, options);
  session.tellNormalization(parsed.message.match);
  return parsed;
}

async function sendFlowMods(
  session: Session,
  target: string,
  flows: readonly ParsedFlow[],
): Promise<void> {
  let usable = flows.reduce((set, { protocols }) => set & protocols, PROTOCOLS.ANY as Protocols);
  const { bundle, verbosity } = session.options;
  if (bundle) usable &= PROTOCOLS.OF13_UP;
  const vconn = await session.openFor(target, usable);
  if (bundle) {
    await sendBundle(session, vconn, target, flows.map(({ message }) => message));
  } else {
    const messages = flows.map(({ message }) => flowModFor(message, vconn));
    if (verbosity >= 5) {
      for (const message of messages) {
        const bytes = session.encode(vconn, 0, message);
        session.print(verbosity === 5 ? hexDump(bytes, true) : `${bytes.toHex()}\n`);
      }
    }
    await session.transact(vconn, target, messages);
  }
  vconn.client.close();
}

/** Lines of a file; an `add` may begin with another command. */
async function modFlowsFrom(
  session: Session,
  target: string,
  path: string,
  flowCommand: FlowCommand,
): Promise<void> {
  const text = readText(path);
  const given = flowCommand === "add" ? {} : { command: flowCommand };
  const flows = await session.parse(
    target,
    (names) => parseLines(path, text, (line) => parseAndTell(session, line, { ...given, names })),
  );
  await sendFlowMods(session, target, flows);
}

const modFlow =
  (which: (session: Session) => FlowCommand) =>
  async (session: Session, [target = "", text = ""]: readonly string[]): Promise<void> => {
    const flowCommand = which(session);
    if (text === "-") return await modFlowsFrom(session, target, text, flowCommand);
    const flow = await session.parse(
      target,
      (names) => parseAndTell(session, text, { command: flowCommand, names }),
    );
    await sendFlowMods(session, target, [flow]);
  };

export const flowCommands = [
  command("dump-flows", "switch", [1, 2], "ro", dumpFlows),
  command("dump-aggregate", "switch", [1, 2], "ro", dumpAggregate),
  command("add-flow", "switch flow", [2, 2], "rw", modFlow(() => "add")),
  command(
    "add-flows",
    "switch file",
    [2, 2],
    "rw",
    (session, [target = "", file = ""]) => modFlowsFrom(session, target, file, "add"),
  ),
  command(
    "mod-flows",
    "switch flow",
    [2, 2],
    "rw",
    modFlow(({ options }) => options.strict ? "modify_strict" : "modify"),
  ),
  command(
    "del-flows",
    "switch [flow]",
    [1, 2],
    "rw",
    modFlow(({ options }) => options.strict ? "delete_strict" : "delete"),
  ),
];
