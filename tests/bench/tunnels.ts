/**
 * TCP through a tunnel between two switches of the same kind, each in a namespace of its own with a host,
 * joined by a cable. The bridge's tunnels are devices of the Linux kernel.
 *
 * Open vSwitch in user space finds the way out by a bridge that has the cable and the address; so does
 * solovs, which can also leave it to the host's own routes: that is asked for first.
 */
import { iperf, reaches } from "../support/hosts.ts";
import type { Namespace, Sandbox } from "../support/netns.ts";
import { StockSwitch } from "../support/stock.ts";
import { type RunningSwitch, SolovsSwitch } from "../support/switch.ts";
import type { ForwarderName } from "./forwarders.ts";

export const TUNNELS = ["vxlan", "geneve"] as const;
type Tunnel = (typeof TUNNELS)[number];

interface End {
  readonly ns: Namespace;
  readonly host: Namespace;
  readonly ip: string;
  readonly sw: RunningSwitch | undefined;
}

const KEY = 42;
const HOST_MTU = 1400;

async function makeEnd(
  sandbox: Sandbox,
  ns: Namespace,
  name: ForwarderName,
  n: number,
): Promise<End> {
  const host = await sandbox.netns(`t${n}`);
  await sandbox.veth({ ns: host, name: "eth0" }, { ns, name: "p1" });
  const ip = `10.1.0.${n}`;
  await host.ip(`addr add ${ip}/24 dev eth0`);
  await host.ip(`link set eth0 mtu ${HOST_MTU}`);
  if (name === "bridge") {
    await ns.ip("link add br0 type bridge");
    await ns.ip("link set br0 up");
    await ns.ip("link set p1 master br0");
    await ns.ip(`addr add 172.16.0.${n}/24 dev cable`);
    return { ns, host, ip, sw: undefined };
  }
  if (name === "ovs") await host.must(["ethtool", "-K", "eth0", "tx", "off"]);
  const sw: RunningSwitch = name === "ovs"
    ? await StockSwitch.start(sandbox, ns)
    : await SolovsSwitch.start(sandbox, ns, name === "solovs" ? "userspace" : "ebpf");
  await sw.addBridge("br-int");
  await sw.clients.vsctl("add-port br-int p1");
  if (name === "ovs") await useBridge(sw, n);
  else await ns.ip(`addr add 172.16.0.${n}/24 dev cable`);
  return { ns, host, ip, sw };
}

/** The cable and the tunnels' address in a bridge of their own. */
async function useBridge(sw: RunningSwitch, n: number): Promise<void> {
  await sw.ns.ip("addr flush dev cable");
  await sw.addBridge("br-phy");
  await sw.clients.vsctl("add-port br-phy cable");
  await sw.ns.ip(`addr add 172.16.0.${n}/24 dev br-phy`);
  await sw.ns.ip("link set br-phy up");
}

/** False if this kernel has no such tunnels, which matters to the bridge alone. */
async function connect({ ns, sw }: End, tunnel: Tunnel, peer: number): Promise<boolean> {
  const remote = `172.16.0.${peer}`;
  if (sw) {
    await sw.clients.vsctl(
      "--if-exists del-port br-int tun -- add-port br-int tun -- set interface tun " +
        `type=${tunnel} options:remote_ip=${remote} options:key=${KEY}`,
    );
    return true;
  }
  await ns.run(["ip", "link", "del", "tun"]);
  const port = tunnel === "vxlan" ? " dstport 4789" : "";
  const words = `link add tun type ${tunnel} id ${KEY} remote ${remote}${port}`.split(" ");
  const made = await ns.run(["ip", ...words]);
  if (made.stderr.includes("Unknown device type")) return false;
  if (made.code !== 0) throw new Error(`no ${tunnel} device: ${made.stderr}`);
  await ns.ip("link set tun up");
  await ns.ip("link set tun master br0");
  return true;
}

/** Gbit/s of one TCP stream through each kind of tunnel. */
export async function tunnelRates(
  sandbox: Sandbox,
  name: ForwarderName,
  seconds: number,
): Promise<Readonly<Record<string, number>>> {
  const [one, two] = [await sandbox.netns("one"), await sandbox.netns("two")];
  await sandbox.veth({ ns: one, name: "cable" }, { ns: two, name: "cable" });
  const ends: End[] = [];
  const rates: Record<string, number> = {};
  try {
    for (const [i, ns] of [one, two].entries()) {
      ends.push(await makeEnd(sandbox, ns, name, i + 1));
    }
    const [left, right] = ends as [End, End];
    for (const tunnel of TUNNELS) {
      if (!(await connect(left, tunnel, 2)) || !(await connect(right, tunnel, 1))) continue;
      if (!(await reaches(left.host, right.ip, 4000))) {
        if (!left.sw || !right.sw || name === "ovs") throw new Error(`no ping through ${tunnel}`);
        await useBridge(left.sw, 1);
        await useBridge(right.sw, 2);
        if (!(await reaches(left.host, right.ip))) throw new Error(`no ping through ${tunnel}`);
      }
      const result = await iperf({ ns: right.host, ip: right.ip }, left.host, { seconds });
      rates[`tcp-${tunnel}`] = result.gbitPerSec;
    }
  } finally {
    for (const { sw } of ends) await sw?.stop();
  }
  return rates;
}
