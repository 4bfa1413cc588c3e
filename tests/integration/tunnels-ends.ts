/** Ends of tunnels in two namespaces: a switch, and a host behind its bridge `br-int`. */
import type { Namespace, Sandbox } from "../support/netns.ts";
import { type RunningSwitch, startSwitch } from "../support/switch.ts";

export interface End {
  readonly sw: RunningSwitch;
  readonly host: Namespace;
  readonly ip: string;
}

/**
 * How the tunnel's packets leave: `bridge`: the cable is in a bridge `br-phy`, whose own port has the
 * address; `device`: the cable has the address itself and is in no bridge.
 */
export type WayOut = "bridge" | "device";

/** Addresses 172.16.0.N and fd00:172::N; the host 10.0.0.N. */
export async function makeEnd(
  sandbox: Sandbox,
  sw: RunningSwitch,
  n: number,
  way: WayOut,
): Promise<End> {
  const host = await sandbox.netns(`host${n}`);
  const device = way === "bridge" ? "br-phy" : "cable";
  if (way === "bridge") {
    await sw.addBridge("br-phy");
    await sw.clients.vsctl("add-port br-phy cable");
    // Behind stock's cable the host's stack is awake, and would answer for the bridge's address.
    if (sw.kind === "stock") {
      await sw.ns.must(["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"]);
    }
  }
  await sw.ns.ip(`addr add 172.16.0.${n}/24 dev ${device}`);
  await sw.ns.must(["sysctl", "-qw", `net.ipv6.conf.${device}.disable_ipv6=0`]);
  await sw.ns.ip(`addr add fd00:172::${n}/64 dev ${device} nodad`);
  await sw.ns.ip(`link set ${device} up`);
  await sandbox.veth({ ns: host, name: "eth0" }, { ns: sw.ns, name: "p1" });
  if (sw.kind === "stock") await host.must(["ethtool", "-K", "eth0", "tx", "off"]);
  await host.ip(`addr add 10.0.0.${n}/24 dev eth0`);
  await host.ip("link set eth0 mtu 1400");
  await sw.addBridge("br-int");
  await sw.clients.vsctl("add-port br-int p1");
  return { sw, host, ip: `10.0.0.${n}` };
}

/** The underlay's address of the other end. */
export function remote(n: number, ipv6 = false): string {
  return ipv6 ? `fd00:172::${n}` : `172.16.0.${n}`;
}

/** Replaces the end's port `tun`. */
export async function setTunnel({ sw }: End, type: string, options: string): Promise<void> {
  await sw.clients.vsctl(
    `--if-exists del-port br-int tun -- add-port br-int tun -- set interface tun type=${type} ${options}`
      .trim(),
  );
}

/** Our end with a tunnel to the VXLAN device of the Linux kernel, which has 10.0.0.2 in `other`. */
export async function makeKernelPeer(
  sandbox: Sandbox,
  way: WayOut,
): Promise<{ readonly left: End; readonly other: Namespace }> {
  const one = await sandbox.netns("one");
  const other = await sandbox.netns("two");
  await sandbox.veth({ ns: one, name: "cable" }, { ns: other, name: "eth0" });
  const left = await makeEnd(sandbox, await startSwitch(sandbox, one), 1, way);
  await other.ip("addr add 172.16.0.2/24 dev eth0");
  await other.ip("link add vx type vxlan id 42 remote 172.16.0.1 dstport 4789");
  await other.ip("addr add 10.0.0.2/24 dev vx");
  await other.ip("link set vx mtu 1400 up");
  await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
  return { left, other };
}
