/**
 * What is measured: four ways to forward between two hosts, each in namespaces of its own on the
 * same kind of veth pair, set up together and measured in turn.
 */
import { readdirSync } from "node:fs";
import { addHost, type Host, reaches } from "../support/hosts.ts";
import { Libc } from "../support/libc.ts";
import type { Namespace, Sandbox } from "../support/netns.ts";
import { StockSwitch } from "../support/stock.ts";
import { type RunningSwitch, SolovsSwitch } from "../support/switch.ts";

export const FORWARDERS = ["solovs-ebpf", "solovs", "ovs", "bridge"] as const;
export type ForwarderName = (typeof FORWARDERS)[number];

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
  /** The process that forwards; undefined when the kernel does. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

export async function startForwarder(sandbox: Sandbox, name: ForwarderName): Promise<Forwarder> {
  const ns = await sandbox.netns(name);
  const from = await addHost(sandbox, ns, 1);
  const to = await addHost(sandbox, ns, 2);
  const sw = await connect(sandbox, name, ns);
  if (!(await reaches(from.ns, to.ip))) {
    throw new Error(`${name}: no ping between the hosts\n${sw?.log() ?? ""}`);
  }
  const pid = name === "solovs-ebpf" ? undefined : sw?.pid;
  return { name, from, to, pid, stop: async () => await sw?.stop() };
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
      await ns.ip("link set p1 master br0");
      await ns.ip("link set p2 master br0");
      return undefined;
    case "ovs":
    case "solovs":
    case "solovs-ebpf": {
      const sw: RunningSwitch = name === "ovs"
        ? await StockSwitch.start(sandbox, ns)
        : await SolovsSwitch.start(sandbox, ns, name === "solovs" ? "userspace" : "ebpf");
      await sw.addBridge("br0");
      await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2");
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
