/** `ovs-appctl mdb/show` and `mdb/flush` (ovs-vswitchd(8), "BRIDGE COMMANDS"). */
import { formatPort } from "../../packet/text.ts";
import { commandAdder, CommandError, type UnixctlServer } from "../unixctl.ts";
import type { Snooping } from "./snooping.ts";

/** A bridge, as far as it is needed here. */
export interface SnoopingBridge {
  readonly snooping: Snooping;
}

export function registerMulticastCommands(
  server: UnixctlServer,
  bridges: () => ReadonlyMap<string, SnoopingBridge>,
): void {
  const add = commandAdder(server);
  const enabled = (name = ""): Snooping => {
    const bridge = bridges().get(name);
    if (!bridge) throw new CommandError("no such bridge");
    if (!bridge.snooping.isEnabled) throw new CommandError("multicast snooping is disabled");
    return bridge.snooping;
  };
  add(
    "mdb/show",
    "bridge",
    [1, 1],
    ([name]) => enabled(name).show(({ members }) => formatPort(members[0]?.ofport ?? 0)),
  );
  add("mdb/flush", "[bridge]", [0, 1], ([name]) => {
    if (name !== undefined) enabled(name).flush();
    else for (const { snooping } of bridges().values()) if (snooping.isEnabled) snooping.flush();
    return "table successfully flushed";
  });
}
