/**
 * Tunnels that leave by a device that is in no bridge: the host's IP stack carries them. With itself, with
 * stock Open vSwitch (whose userspace datapath knows the way through a bridge only), and with the VXLAN
 * device of the Linux kernel, offloads as they come.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { iperf, ping, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { STOCK_TOOLS, StockSwitch } from "../support/stock.ts";
import { SolovsSwitch, startSwitch, SWITCH_TOOLS, underTestIsStock } from "../support/switch.ts";
import { type End, makeEnd, makeKernelPeer, remote, setTunnel } from "./tunnels-ends.ts";

const KINDS: readonly (readonly [name: string, type: string, options: string, v6?: boolean])[] = [
  ["VXLAN", "vxlan", "options:key=42"],
  ["VXLAN over IPv6", "vxlan", "options:key=42", true],
  ["Geneve with checksums", "geneve", "options:key=7 options:csum=true"],
  ["Geneve that may be fragmented", "geneve", "options:key=7 options:df_default=false"],
  ["GRE with key and checksum", "gre", "options:key=9 options:csum=true"],
  ["GRE over IPv6, without key", "gre", "", true],
];

async function full(from: Namespace, to: string): Promise<void> {
  await eventually("a full packet passes, and its answer", async () => {
    return (await ping(from, to, { count: 3, sizeBytes: 1372 })).received === 3;
  });
}

for (const peer of ["solovs", "stock"] as const) {
  const tools = [...SWITCH_TOOLS, ...STOCK_TOOLS, "iperf3"];
  if (underTestIsStock()) break;
  describePrivileged(`tunnels by the host's stack, with ${peer}`, tools, () => {
    let sandbox: Sandbox;
    let left: End;
    let right: End;

    beforeAll(async () => {
      sandbox = await Sandbox.create();
      const [one, two] = [await sandbox.netns("one"), await sandbox.netns("two")];
      await sandbox.veth({ ns: one, name: "cable" }, { ns: two, name: "cable" });
      left = await makeEnd(sandbox, await startSwitch(sandbox, one), 1, "device");
      // Its userspace datapath is not told of checksums that are left to the device.
      if (peer === "stock") await one.must(["ethtool", "-K", "cable", "tx", "off"]);
      right = peer === "stock"
        ? await makeEnd(sandbox, await StockSwitch.start(sandbox, two), 2, "bridge")
        : await makeEnd(sandbox, await SolovsSwitch.start(sandbox, two), 2, "device");
    }, 60_000);
    afterAll(async () => {
      for (const end of [left, right]) await end?.sw.stop();
      await sandbox?.dispose();
    }, 30_000);

    for (const [name, type, options, v6] of KINDS) {
      test(name, async () => {
        await setTunnel(left, type, `options:remote_ip=${remote(2, v6)} ${options}`);
        await setTunnel(right, type, `options:remote_ip=${remote(1, v6)} ${options}`);
        expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
        await full(left.host, right.ip);
        const back = name === "VXLAN" ? [[right, left] as const] : [];
        for (const [a, b] of [[left, right] as const, ...back]) {
          const { gbitPerSec } = await iperf({ ns: b.host, ip: b.ip }, a.host, { seconds: 1 });
          expect(gbitPerSec).toBeGreaterThan(0.005);
        }
      }, 60_000);
    }
  });
}

if (!underTestIsStock()) {
  describePrivileged(
    "VXLAN by the host's stack, with the kernel's device",
    [...SWITCH_TOOLS, "iperf3"],
    () => {
      let sandbox: Sandbox;
      let left: End;
      let other: Namespace;

      beforeAll(async () => {
        sandbox = await Sandbox.create();
        ({ left, other } = await makeKernelPeer(sandbox, "device"));
      }, 60_000);
      afterAll(async () => {
        await left?.sw.stop();
        await sandbox?.dispose();
      }, 30_000);

      test("ping", async () => {
        expect(await reaches(left.host, "10.0.0.2", 10_000)).toBe(true);
        await full(other, left.ip);
      }, 30_000);

      test("TCP, in super-packets both ways", async () => {
        const out = await iperf({ ns: other, ip: "10.0.0.2" }, left.host);
        expect(out.gbitPerSec).toBeGreaterThan(0.005);
        const back = await iperf({ ns: left.host, ip: left.ip }, other);
        expect(back.gbitPerSec).toBeGreaterThan(0.005);
      }, 40_000);

      test("who fills in the metadata: remote_ip and key by flow", async () => {
        await setTunnel(left, "vxlan", "options:remote_ip=flow options:key=flow");
        await left.sw.clients.ofctl("del-flows br-int");
        const out = "set_field:172.16.0.2->tun_dst,set_field:42->tun_id,output:tun";
        await left.sw.clients.ofctl("add-flow", "br-int", `in_port=p1,actions=${out}`);
        const match = "in_port=tun,tun_id=42,tun_src=172.16.0.2,tun_dst=172.16.0.1";
        await left.sw.clients.ofctl("add-flow", "br-int", `${match},actions=output:p1`);
        expect(await reaches(left.host, "10.0.0.2", 10_000)).toBe(true);
      }, 30_000);
    },
  );
}
