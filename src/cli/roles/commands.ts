/** The commands that `ovs-appctl` can give to any daemon (ovs-appctl(8), "Common Commands"). */
import { CommandError, type UnixctlServer } from "../../slowpath/unixctl.ts";
import { OVS_VERSION } from "../version.ts";
import { type Vlog, VlogError } from "./vlog.ts";

export interface CommonContext {
  readonly program: string;
  readonly vlog: Vlog;
  /** Name → number, as `memory/show` shows them. */
  readonly memory: () => Readonly<Record<string, number>>;
  /** Events that were counted since the start, by name. */
  readonly counters: () => Readonly<Record<string, number>>;
}

const MANY = 1000;

export function registerCommonCommands(server: UnixctlServer, context: CommonContext): void {
  const { vlog } = context;
  const add = (
    name: string,
    usage: string,
    [minArguments, maxArguments]: readonly [number, number],
    run: (args: readonly string[]) => string | void,
  ): void =>
    server.register(name, {
      usage,
      minArguments,
      maxArguments,
      run: (args) => {
        try {
          return run(args) ?? "";
        } catch (error) {
          if (error instanceof VlogError) throw new CommandError(error.message);
          throw error;
        }
      },
    });

  add("version", "", [0, 0], () => `${context.program} (Open vSwitch) ${OVS_VERSION}\n`);
  add("vlog/set", "{spec | PATTERN:destination:pattern}", [0, MANY], (specs) => {
    for (const spec of specs.length === 0 ? [undefined] : specs) vlog.set(spec);
  });
  add("vlog/list", "", [0, 0], () => vlog.listLevels());
  add("vlog/list-pattern", "", [0, 0], () => vlog.listPatterns());
  add("vlog/enable-rate-limit", "[module]...", [0, MANY], (names) => {
    vlog.setRateLimits(names, true);
  });
  add("vlog/disable-rate-limit", "[module]...", [0, MANY], (names) => {
    vlog.setRateLimits(names, false);
  });
  add("vlog/reopen", "", [0, 0], () => vlog.reopenFile());
  add("vlog/close", "", [0, 0], () => vlog.closeFile());
  add("memory/show", "", [0, 0], () => {
    const parts = Object.entries(context.memory()).map(([name, count]) => `${name}:${count}`);
    return `${parts.sort().join(" ")}\n`;
  });
  add("coverage/show", "", [0, 0], () => {
    const lines = Object.entries(context.counters())
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${name.padEnd(24)} total: ${count}\n`);
    return `Event coverage, totals since the start:\n${lines.sort().join("")}`;
  });
  add("coverage/read-counter", "COUNTER", [1, 1], ([name = ""]) => {
    const counters = context.counters();
    if (!Object.hasOwn(counters, name)) throw new CommandError("No such counter");
    return String(counters[name]);
  });
}
