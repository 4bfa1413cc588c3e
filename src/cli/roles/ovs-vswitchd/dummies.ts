/**
 * What `--enable-dummy` gives the switch in the place of a machine (ovs-vswitchd(8)): a datapath in
 * memory, devices that exist because the database names them, and a clock that `ovs-appctl` stops and
 * pushes forward.
 */
import { DummyNetwork } from "../../../fastpath/host-network.ts";
import { DummyNetdevs, dummyPortNumber } from "../../../fastpath/memory/netdevs.ts";
import { type MemoryDatapath, openMemoryDatapath } from "../../../fastpath/memory/datapath.ts";
import { VirtualClock } from "../../../slowpath/clock.ts";
import type { Loggers } from "../../../log/log.ts";
import type { DummyLevel } from "./options.ts";

/** Interface types that are dummies in any case; `internal` is the bridges' own. */
const ALWAYS = ["dummy", "dummy-internal", "dummy-pmd"];
const SYSTEM = ["system"];
/** Everything but patches: what Open vSwitch has when it is told to override. */
const OVERRIDDEN = ["system", "tap"];
const OTHER_INTERFACE_TYPES = (
  "bareudp erspan geneve gre gtpu internal ip6erspan ip6gre lisp patch stt system tap vxlan"
).split(" ");

export interface Dummies {
  /** Datapath ports that were given other numbers by hand, by name. */
  readonly renumbered: Map<string, number>;
  readonly datapath: MemoryDatapath;
  readonly netdevs: DummyNetdevs;
  /** Addresses that tests give to dummies. */
  readonly network: DummyNetwork;
  readonly clock: VirtualClock;
  /** What `Bridge.datapath_type` may be. */
  readonly datapathTypes: readonly string[];
  readonly interfaceTypes: readonly string[];
}

export function openDummies(level: DummyLevel, log: Loggers): Dummies {
  const clock = new VirtualClock();
  const overridden = level === "override" ? OVERRIDDEN : level === "system" ? SYSTEM : [];
  const logger = log.logger("netdev_dummy");
  const netdevs = new DummyNetdevs({
    types: new Set([...ALWAYS, ...overridden]),
    warn: (text) => logger.warn(text),
  });
  const renumbered = new Map<string, number>();
  const datapath = openMemoryDatapath({
    now: () => clock.now(),
    portNumber: (name, isTaken) => renumbered.get(name) ?? dummyPortNumber(name, isTaken),
  });
  netdevs.onReceive((name, packet) => {
    for (const port of datapath.ports().values()) {
      if (port.name === name) return datapath.inject(port.portNo, packet);
    }
  });
  datapath.onTransmit((portNo, packet) => {
    const port = datapath.ports().get(portNo);
    if (port) netdevs.transmitted(port.name, packet);
  });
  return {
    renumbered,
    datapath,
    netdevs,
    network: new DummyNetwork(),
    clock,
    datapathTypes: {
      none: ["dummy"],
      system: ["dummy", "system"],
      override: ["dummy", "netdev", "system"],
    }[level],
    interfaceTypes: [...new Set([...ALWAYS, ...OTHER_INTERFACE_TYPES])].sort(),
  };
}
