/**
 * What is measured: four ways to forward between two hosts, each in namespaces of its own on the
 * same kind of veth pair, set up together and measured in turn.
 */
import { readdirSync } from "node:fs";
import { addHost, type Host, reaches } from "../support/hosts.ts";
import type { Clients } from "../support/clients.ts";
import { Libc } from "../support/libc.ts";
import type { Namespace, Sandbox } from "../support/netns.ts";
import { StockSwitch } from "../support/stock.ts";
import { type RunningSwitch, SolovsSwitch } from "../support/switch.ts";

export const FORWARDERS = ["solovs-ebpf", "solovs", "ovs", "bridge"] as const;
export type ForwarderName = (typeof FORWARDERS)[number];

const PORTS = [1, 2, 3, 4];

export const TITLES: Readonly<Record<ForwarderName, string>> = {
  "solovs-ebpf": "solovs, in the kernel",
  solovs: "solovs, userspace",
  ovs: "Open vSwitch netdev",
  bridge: "Linux bridge",
};

export interface Forwarder {
  readonly name: ForwarderName;
  readonly from: Host;
  readonly to: Host;
  readonly switchNs: Namespace;
  /** Another pair of hosts, for a second sender. */
  readonly more: { readonly from: Host; readonly to: Host };
  /** Open vSwitch's clients; undefined for the bridge. */
  readonly clients: Clients | undefined;
  /** The process of the switch, also if flows are in the kernel. */
  readonly process: number | undefined;
  /** The process that forwards; undefined when the kernel does. */
  readonly pid: number | undefined;
  /** What the switch has logged; "" for the bridge. */
  log(): string;
  stop(): Promise<void>;
}

export async function startForwarder(sandbox: Sandbox, name: ForwarderName): Promise<Forwarder> {
  const ns = await sandbox.netns(name);
  const from = await addHost(sandbox, ns, 1);
  const to = await addHost(sandbox, ns, 2);
  const more = { from: await addHost(sandbox, ns, 3), to: await addHost(sandbox, ns, 4) };
  const sw = await connect(sandbox, name, ns);
  for (const pair of [{ from, to }, more]) {
    if (!(await reaches(pair.from.ns, pair.to.ip))) {
      throw new Error(`${name}: no ping between the hosts\n${sw?.log() ?? ""}`);
    }
  }
  return {
    name,
    from,
    to,
    more,
    switchNs: ns,
    clients: sw?.clients,
    process: sw?.pid,
    pid: name === "solovs-ebpf" ? undefined : sw?.pid,
    log: () => sw?.log() ?? "",
    stop: async () => await sw?.stop(),
  };
}

async function connect(
  sandbox: Sandbox,
  name: ForwarderName,
  ns: Namespace,
): Promise<RunningSwitch | undefined> {
  switch (name) {
    case "bridge":
      await ns.ip("link add br0 type bridge");
      await ns.ip("link set br0 up");
      for (const n of PORTS) await ns.ip(`link set p${n} master br0`);
      return undefined;
    case "ovs":
    case "solovs":
    case "solovs-ebpf": {
      const sw: RunningSwitch = name === "ovs"
        ? await StockSwitch.start(sandbox, ns)
        : await SolovsSwitch.start(sandbox, ns, name === "solovs" ? "userspace" : "ebpf");
      await sw.addBridge("br0");
      for (const n of PORTS) {
        await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
      }
      return sw;
    }
    default: {
      const never: never = name;
      throw new Error(never);
    }
  }
}

/** Lets every thread of a process run on these CPUs only. */
export function confine(pid: number, cpus: readonly number[]): void {
  const libc = new Libc();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    libc.setAffinity(Number(thread), cpus);
  }
}
