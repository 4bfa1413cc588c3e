/**
 * The commands that `ovs-appctl` can give the switch (ovs-vswitchd(8), "Runtime Management
 * Commands"): those that are about the switch. Those about the process (`version`, `exit`, `vlog/…`)
 * belong to whoever made the process. Texts are laid out as Open vSwitch lays them out, because
 * scripts read them.
 */
import type { Devices } from "../../fastpath/devices.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { formatMatch } from "../../openflow/text/match.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import { anyMatch } from "../../packet/key.ts";
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { registerBondCommands } from "../bonds/commands.ts";
import { registerLivenessCommands } from "../liveness/commands.ts";
import { registerMulticastCommands } from "../multicast/commands.ts";
import { registerDpctl } from "../dpctl/commands.ts";
import { TABLE_OWN } from "../pipeline/tables.ts";
import { registerQosCommands } from "../qos/commands.ts";
import { registerTrace } from "../trace/commands.ts";
import { registerTunnelCommands } from "../tunnels/commands.ts";
import { commandAdder, CommandError, type UnixctlServer } from "../unixctl.ts";
import { registerFdbCommands } from "./fdb-commands.ts";
import { registerFeatureCommands } from "./feature-commands.ts";
import { registerUpcallCommands } from "./upcall-commands.ts";

export interface AppctlContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly backend: () => Backend | undefined;
  readonly devices: Devices;
}

export function registerCommands(server: UnixctlServer, context: AppctlContext): void {
  const add = commandAdder(server);
  const bridge = (name: string | undefined): Bridge => {
    const found = context.bridges().get(name ?? "");
    if (!found) throw new CommandError("no such bridge");
    return found;
  };
  const some = (name: string | undefined): Bridge[] =>
    name === undefined ? [...context.bridges().values()] : [bridge(name)];

  registerTrace(server, context);
  registerDpctl(server, context);
  registerUpcallCommands(server, context.backend);
  registerTunnelCommands(server, () => context.backend()?.tunnels);
  registerFdbCommands(server, context.bridges);
  registerBondCommands(server, context.bridges);
  registerLivenessCommands(server, context.bridges);
  registerMulticastCommands(server, context.bridges);
  registerQosCommands(server, context.bridges);
  registerFeatureCommands(server, context);
  add("ofproto/list", "", [0, 0], () => lines([...context.bridges().keys()].sort()));
  add("bridge/reconnect", "[bridge]", [0, 1], ([name]) => {
    for (const each of some(name)) each.services.reconnect();
    return "";
  });
  add("bridge/dump-flows", "[--offload-stats] bridge", [1, 2], (args) => {
    const offload = args[0] === "--offload-stats";
    return dumpRules(bridge(args[offload ? 1 : 0]), offload);
  });
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

/** All rules of a bridge, those of the switch itself too, which `ovs-ofctl` does not see. */
function dumpRules(bridge: Bridge, offload: boolean): string {
  const now = bridge.clock.now();
  const rows: string[] = [];
  for (const table of [TABLE_ALL, TABLE_OWN]) {
    const filter = { table, match: anyMatch(), outPort: PORTS.ANY, outGroup: GROUP_ANY };
    for (const rule of bridge.tables.select({ ...filter, cookie: 0n, cookieMask: 0n }, true)) {
      const seconds = Math.max(0, Math.floor((now - rule.createdMs) / 1000));
      const where = rule.table === 0 ? "" : `table_id=${rule.table}, `;
      // No card carries flows here: nothing is offloaded.
      const offloaded = offload ? "n_offload_packets=0, n_offload_bytes=0, " : "";
      rows.push(
        `${where}duration=${seconds}s, n_packets=${rule.packets}, n_bytes=${rule.bytes}, ` +
          `${offloaded}${formatMatch(rule.match(), rule.priority)},` +
          `actions=${formatActions(rule.actions)}`,
      );
    }
  }
  return lines(rows);
}
