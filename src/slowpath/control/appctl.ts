/**
 * The commands that `ovs-appctl` can give the switch (ovs-vswitchd(8), "Runtime Management
 * Commands"): those that are about the switch. Those about the process (`version`, `exit`, `vlog/…`)
 * belong to whoever made the process. Texts are laid out as Open vSwitch lays them out, because
 * scripts read them.
 */
import { formatActions } from "../../openflow/text/actions-format.ts";
import { formatMatch } from "../../openflow/text/match.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import { anyMatch } from "../../packet/key.ts";
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { BridgePort } from "../bridge/ports.ts";
import { formatMegaflow } from "../cache/flow-text.ts";
import { TABLE_OWN } from "../pipeline/tables.ts";
import { registerTrace } from "../trace/commands.ts";
import { registerTunnelCommands } from "../tunnels/commands.ts";
import { type Command, CommandError, type UnixctlServer } from "../unixctl.ts";
import { registerFdbCommands } from "./fdb-commands.ts";
import { registerFeatureCommands } from "./feature-commands.ts";

export interface AppctlContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly backend: () => Backend | undefined;
}

export function registerCommands(server: UnixctlServer, context: AppctlContext): void {
  const add = (
    name: string,
    usage: string,
    [minArguments, maxArguments]: readonly [number, number],
    run: Command["run"],
  ): void => server.register(name, { usage, minArguments, maxArguments, run });
  const bridge = (name: string | undefined): Bridge => {
    const found = context.bridges().get(name ?? "");
    if (!found) throw new CommandError("no such bridge");
    return found;
  };
  const some = (name: string | undefined): Bridge[] =>
    name === undefined ? [...context.bridges().values()] : [bridge(name)];

  registerTrace(server, context);
  registerTunnelCommands(server, () => context.backend()?.tunnels);
  registerFdbCommands(server, context.bridges);
  registerFeatureCommands(server, context);
  add("ofproto/list", "", [0, 0], () => lines([...context.bridges().keys()].sort()));
  add("bridge/reconnect", "[bridge]", [0, 1], ([name]) => {
    for (const each of some(name)) each.services.reconnect();
    return "";
  });
  add("bridge/dump-flows", "[--offload-stats] bridge", [1, 2], (args) => {
    return dumpRules(bridge(args.findLast((arg) => !arg.startsWith("-"))));
  });
  add("dpif/show", "", [0, 0], () => showDatapath(context));
  add("dpif/dump-dps", "", [0, 0], () => {
    const backend = context.backend();
    if (!backend) return "";
    return lines([...context.bridges().keys()].sort().map((n) => `${backend.datapath.type}@${n}`));
  });
  add("dpctl/dump-flows", "[-m] [dp]", [0, 3], () => dumpFlows(context, undefined));
  add("dpif/dump-flows", "[-m] bridge", [1, 3], (args) => {
    return dumpFlows(context, bridge(args.findLast((arg) => !arg.startsWith("-"))));
  });
  add("revalidator/purge", "", [0, 0], () => {
    context.backend()?.cache.purge();
    return "";
  });
  add("revalidator/wait", "", [0, 0], async () => {
    await context.backend()?.settle();
    return "";
  });
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

/** All rules of a bridge, those of the switch itself too, which `ovs-ofctl` does not see. */
function dumpRules(bridge: Bridge): string {
  const now = bridge.clock.now();
  const rows: string[] = [];
  for (const table of [TABLE_ALL, TABLE_OWN]) {
    const filter = { table, match: anyMatch(), outPort: PORTS.ANY, outGroup: GROUP_ANY };
    for (const rule of bridge.tables.select({ ...filter, cookie: 0n, cookieMask: 0n }, true)) {
      const seconds = Math.max(0, Math.floor((now - rule.createdMs) / 1000));
      const where = rule.table === 0 ? "" : `table_id=${rule.table}, `;
      const match = formatMatch(rule.match());
      rows.push(
        `${where}duration=${seconds}s, n_packets=${rule.packets}, n_bytes=${rule.bytes}, ` +
          `priority=${rule.priority}${match === "" ? "" : `,${match}`},` +
          `actions=${formatActions(rule.actions)}`,
      );
    }
  }
  return lines(rows);
}

/** Every port with both its numbers: OpenFlow's of its bridge, and the datapath's. */
function showDatapath(context: AppctlContext): string {
  const backend = context.backend();
  if (!backend) return "";
  const { datapath } = backend;
  const counters = datapath.counters();
  const hit = (counters["exact_hit"] ?? 0) + (counters["masked_hit"] ?? 0);
  const missed = counters["miss"] ?? 0;
  const rows = [`${datapath.type}@ovs-${datapath.type}: hit:${hit} missed:${missed}`];
  const sorted = [...context.bridges()].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, bridge] of sorted) {
    rows.push(`  ${name}:`);
    const ports = [...bridge.ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const port of ports) rows.push(`    ${describePort(port)}`);
  }
  return lines(rows);
}

/** The flows that the datapath holds; of one bridge, or all. */
function dumpFlows(context: AppctlContext, bridge: Bridge | undefined): string {
  const backend = context.backend();
  if (!backend) return "";
  const { cache } = backend;
  cache.readStats();
  const rows: string[] = [];
  for (const flow of cache.flows) {
    if (bridge && flow.bridge !== bridge) continue;
    rows.push(formatMegaflow(flow, cache.flows.dpMatch(flow), backend.clock.now()));
  }
  return lines(rows);
}

function describePort(port: BridgePort): string {
  const config = port.peerName === undefined ? "" : `: peer=${port.peerName}`;
  return `${port.name} ${port.ofport}/${port.dpPort ?? "none"}: (${port.typeName}${config})`;
}
