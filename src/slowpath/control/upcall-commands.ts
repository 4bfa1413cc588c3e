/** The commands about the flow cache: `upcall/…` and `revalidator/…` (ovs-vswitchd(8)). */
import type { Backend } from "../bridge/backend.ts";
import { CommandError, type UnixctlServer } from "../unixctl.ts";

export function registerUpcallCommands(
  server: UnixctlServer,
  backend: () => Backend | undefined,
): void {
  /** Open vSwitch can leave parts out of its dumps; here nothing depends on it. */
  let ufids = true;
  const add = (
    name: string,
    usage: string,
    args: number,
    run: (args: readonly string[]) => string | Promise<string>,
  ): void => server.register(name, { usage, minArguments: args, maxArguments: args, run });

  add("upcall/show", "", 0, () => {
    const there = backend();
    return there ? show(there, ufids) : "";
  });
  for (const on of [true, false]) {
    const [verb, done] = on ? ["enable", "enabled"] : ["disable", "disabled"];
    add(`upcall/${verb}-megaflows`, "", 0, () => {
      backend()?.cache.setMegaflows(on);
      return `megaflows ${done}`;
    });
    add(`upcall/${verb}-ufid`, "", 0, () => {
      ufids = on;
      return `Datapath dumping tersely using UFID ${done}${on ? " for supported datapaths" : ""}`;
    });
  }
  add("upcall/set-flow-limit", "flow-limit-number", 1, ([text = ""]) => {
    const limit = /^\d{1,9}$/.test(text) ? Number(text) : undefined;
    if (limit === undefined) throw new CommandError(`${text}: no number of flows`);
    const there = backend();
    if (!there) return "";
    there.cache.limits.flowLimit = limit;
    return `set flow_limit to ${limit}\n`;
  });
  add("revalidator/purge", "", 0, () => {
    backend()?.cache.purge();
    return "";
  });
  add("revalidator/wait", "", 0, async () => {
    const there = backend();
    if (!there) return "";
    await there.settle();
    await there.cache.round();
    return "";
  });
  for (const on of [true, false]) {
    add(`revalidator/${on ? "resume" : "pause"}`, "", 0, () => {
      const there = backend();
      if (there) there.cache.paused = !on;
      return "";
    });
  }
}

function show({ datapath, cache }: Backend, ufids: boolean): string {
  const { size, peak } = cache.flows;
  const limit = Math.min(cache.limits.flowLimit, datapath.maxFlows);
  return `${datapath.type}@ovs-${datapath.type}:\n` +
    `  flows         : (current ${size}) (avg ${size}) (max ${peak}) (limit ${limit})\n` +
    `  dump duration : ${Math.max(1, Math.round(cache.roundMs))}ms\n` +
    `  ufid enabled : ${ufids}\n\n` +
    `  1: (keys ${size})\n`;
}
