/** The commands of `ovs-appctl` about BFD and CFM (ovs-vswitchd(8), "BFD COMMANDS", "CFM COMMANDS"). */
import { commandAdder, CommandError, type UnixctlServer } from "../unixctl.ts";
import type { Bfd } from "./bfd.ts";
import { describeBfd } from "./bfd-text.ts";
import { type Cfm, describeCfm } from "./cfm.ts";
import type { Sessions, WatchedPort } from "./sessions.ts";

/** A bridge, as far as it is needed here. */
export interface WatchedBridge {
  readonly ports: ReadonlyMap<number, WatchedPort>;
  readonly liveness: Sessions;
  readonly clock: { now(): number };
}

const OVERRIDES: ReadonlyMap<string, boolean | undefined> = new Map([
  ["true", true],
  ["false", false],
  ["normal", undefined],
]);

export function registerLivenessCommands(
  server: UnixctlServer,
  bridges: () => ReadonlyMap<string, WatchedBridge>,
): void {
  const add = commandAdder(server);

  function* all<T extends Bfd | Cfm>(
    pick: (port: WatchedPort) => T | undefined,
  ): Iterable<{ session: T; bridge: WatchedBridge }> {
    for (const bridge of bridges().values()) {
      for (const port of bridge.ports.values()) {
        const session = pick(port);
        if (session) yield { session, bridge };
      }
    }
  }
  const chosen = <T extends Bfd | Cfm>(
    pick: (port: WatchedPort) => T | undefined,
    name: string | undefined,
    missing: string,
  ) => {
    const found = [...all(pick)].filter(({ session }) =>
      name === undefined || session.name === name
    );
    if (name !== undefined && found.length === 0) throw new CommandError(missing);
    return found;
  };
  const override = (text = ""): boolean | undefined => {
    const word = text.toLowerCase();
    if (!OVERRIDES.has(word)) throw new CommandError("unknown fault string");
    return OVERRIDES.get(word);
  };
  const bfd = ({ sessions }: WatchedPort): Bfd | undefined => sessions?.bfd;
  const cfm = ({ sessions }: WatchedPort): Cfm | undefined => sessions?.cfm;

  add(
    "bfd/show",
    "[interface]",
    [0, 1],
    ([name]) =>
      chosen(bfd, name, "no such bfd object").map(({ session, bridge }) =>
        (name === undefined ? `---- ${session.name} ----\n` : "") +
        describeBfd(session, bridge.clock.now())
      ).join(""),
  );
  add("bfd/set-forwarding", "[interface] normal|false|true", [1, 2], (args) => {
    const forwarding = override(args.at(-1));
    const name = args.length > 1 ? args[0] : undefined;
    for (const { session, bridge } of chosen(bfd, name, "no such BFD object")) {
      session.setForwarding(forwarding);
      bridge.liveness.happened();
    }
    return "OK";
  });
  add(
    "cfm/show",
    "[interface]",
    [0, 1],
    ([name]) =>
      chosen(cfm, name, "no such CFM object").map(({ session, bridge }) =>
        describeCfm(session, bridge.clock.now())
      ).join(""),
  );
  add("cfm/set-fault", "[interface] normal|false|true", [1, 2], (args) => {
    const fault = override(args.at(-1));
    const name = args.length > 1 ? args[0] : undefined;
    for (const { session, bridge } of chosen(cfm, name, "no such CFM object")) {
      session.setFault(fault);
      bridge.liveness.happened();
    }
    return "OK";
  });
}
