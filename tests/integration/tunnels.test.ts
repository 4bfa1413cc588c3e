/**
 * Tunnels between two switches in two namespaces, real packets: with itself, with stock Open vSwitch,
 * and with the VXLAN device of the Linux kernel. The tunnels' ends are addresses of a bridge's own
 * port; the cable between the namespaces is in that bridge.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { iperf, ping, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { STOCK_TOOLS, StockSwitch } from "../support/stock.ts";
import { SolovsSwitch, startSwitch, SWITCH_TOOLS, underTestIsStock } from "../support/switch.ts";
import { type End, makeEnd, makeKernelPeer, remote, setTunnel } from "./tunnels-ends.ts";

type Peer = "solovs" | "stock";

const KINDS: readonly (readonly [name: string, type: string, options: string, v6?: boolean])[] = [
  ["VXLAN", "vxlan", "options:key=42"],
  ["VXLAN over IPv6", "vxlan", "options:key=42", true],
  ["Geneve", "geneve", "options:key=7 options:csum=true"],
  ["GRE with key and checksum", "gre", "options:key=9 options:csum=true"],
  ["GRE without key", "gre", ""],
];

for (const peer of ["solovs", "stock"] satisfies Peer[]) {
  describePrivileged(`tunnels with ${peer}`, [...SWITCH_TOOLS, ...STOCK_TOOLS, "iperf3"], () => {
    let sandbox: Sandbox;
    let left: End;
    let right: End;

    beforeAll(async () => {
      sandbox = await Sandbox.create();
      const [one, two] = [await sandbox.netns("one"), await sandbox.netns("two")];
      await sandbox.veth({ ns: one, name: "cable" }, { ns: two, name: "cable" });
      // Its userspace datapath is not told of checksums and segments that are left to the device.
      if (peer === "stock") await one.must(["ethtool", "-K", "cable", "tx", "off"]);
      left = await makeEnd(sandbox, await startSwitch(sandbox, one), 1, "bridge");
      const other = peer === "stock"
        ? await StockSwitch.start(sandbox, two)
        : await SolovsSwitch.start(sandbox, two);
      right = await makeEnd(sandbox, other, 2, "bridge");
    }, 60_000);
    afterAll(async () => {
      for (const end of [left, right]) await end?.sw.stop();
      await sandbox?.dispose();
    }, 30_000);

    for (const [name, type, options, v6] of KINDS) {
      test(name, async () => {
        for (const [end, n] of [[left, 2], [right, 1]] as const) {
          await setTunnel(end, type, `options:remote_ip=${remote(n, v6)} ${options}`);
        }
        expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
        await eventually("a full packet passes, and its answer", async () => {
          const full = await ping(left.host, right.ip, { count: 3, sizeBytes: 1372 });
          return full.received === 3;
        });
        const { gbitPerSec } = await iperf({ ns: right.host, ip: right.ip }, left.host, {
          seconds: 1,
        });
        expect(gbitPerSec).toBeGreaterThan(0.005);
      }, 40_000);
    }
  });
}

describePrivileged("VXLAN with the kernel's device", [...SWITCH_TOOLS, "iperf3"], () => {
  let sandbox: Sandbox;
  let left: End;
  let other: Namespace;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    ({ left, other } = await makeKernelPeer(sandbox, "bridge"));
    // Segments of a tunnelled super-packet that crosses a veth pair cannot be told to user space.
    const inUserspace = process.env.SOLOVS_DATAPATH === "userspace" || underTestIsStock();
    if (inUserspace) await other.must(["ethtool", "-K", "vx", "tso", "off", "gso", "off"]);
  }, 60_000);
  afterAll(async () => {
    await left?.sw.stop();
    await sandbox?.dispose();
  }, 30_000);

  describe("both ways", () => {
    test("ping", async () => {
      expect(await reaches(left.host, "10.0.0.2", 10_000)).toBe(true);
      expect((await ping(other, left.ip, { count: 3, sizeBytes: 1372 })).received).toBe(3);
    }, 30_000);

    test("TCP", async () => {
      const out = await iperf({ ns: other, ip: "10.0.0.2" }, left.host);
      expect(out.gbitPerSec).toBeGreaterThan(0.005);
      const back = await iperf({ ns: left.host, ip: left.ip }, other);
      expect(back.gbitPerSec).toBeGreaterThan(0.005);
    }, 40_000);
  });
});
