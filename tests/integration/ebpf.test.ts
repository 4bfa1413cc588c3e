/** The switch with its flows in the kernel: where flows are, devices that come and go, neighbours. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { tcxPrograms } from "../support/attachments.ts";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, ping, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const TOOLS = [...SWITCH_TOOLS, "nsenter", "ping"];

describePrivileged("the switch with flows in the kernel", TOOLS, () => {
  let sandbox: Sandbox;
  beforeEach(async () => {
    sandbox = await Sandbox.create();
  }, 60_000);
  afterEach(() => sandbox.dispose());

  /** A switch with two hosts on a bridge, in a namespace of its own. */
  async function start(name: string): Promise<[SolovsSwitch, Namespace, Host, Host]> {
    const ns = await sandbox.netns(name);
    const [a, b] = [await addHost(sandbox, ns, 1), await addHost(sandbox, ns, 2)];
    const sw = await SolovsSwitch.start(sandbox, ns, "ebpf");
    await sw.addBridge("br0");
    await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2");
    expect(await reaches(a.ns, b.ip)).toBe(true);
    return [sw, ns, a, b];
  }

  /** Lines of the datapath's flow table that have all these words. */
  async function flows(sw: SolovsSwitch, ...words: readonly string[]): Promise<string[]> {
    const text = await sw.clients.appctl("dpctl/dump-flows");
    return text.split("\n").filter((line) => words.every((word) => line.includes(word)));
  }

  async function counter(sw: SolovsSwitch, name: string): Promise<number> {
    const text = await sw.clients.appctl("coverage/show");
    return Number(new RegExp(`^dp_${name}\\s.*total: (\\d+)`, "m").exec(text)?.[1] ?? NaN);
  }

  test("known flows are in the kernel, and what it cannot do is in userspace", async () => {
    const [sw, , a, b] = await start("sw");
    expect((await ping(a.ns, b.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
    expect((await flows(sw, "eth_type(0x0800)", "dp:ebpf")).length).toBeGreaterThan(0);
    expect(await counter(sw, "kernel_hits")).toBeGreaterThan(30);
    // A copy to the controller is the process's; the ping works as before.
    await sw.clients.ofctl("add-flow", "br0", "priority=9,icmp,actions=controller,normal");
    expect((await ping(a.ns, b.ip, { count: 5, intervalSec: 0.01 })).received).toBe(5);
    expect((await flows(sw, "userspace(", "dp:user")).length).toBeGreaterThan(0);
    await sw.stop();
  }, 60_000);

  test("a bridge of datapath_type=netdev is forwarded in userspace", async () => {
    const [sw, ns, a, b] = await start("sw");
    await sw.clients.vsctl("set", "bridge", "br0", "datapath_type=netdev");
    await eventually("the bridge is there again", () => reaches(a.ns, b.ip));
    const before = await counter(sw, "kernel_hits");
    await eventually(
      "pings",
      async () => (await ping(a.ns, b.ip, { count: 10, intervalSec: 0.01 })).received === 10,
    );
    expect(await counter(sw, "kernel_hits")).toBe(before);
    expect(await flows(sw, "dp:ebpf")).toEqual([]);
    await sw.clients.vsctl("set", "bridge", "br0", "datapath_type=system");
    await eventually("the bridge is there again", () => reaches(a.ns, b.ip));
    await eventually("flows in the kernel", async () => {
      await ping(a.ns, b.ip, { count: 5, intervalSec: 0.01 });
      return await counter(sw, "kernel_hits") > before;
    });
    expect((await ns.links()).some(({ ifname }) => ifname === "br0")).toBe(true);
    await sw.stop();
  }, 60_000);

  test("a device vanishes under traffic and comes back", async () => {
    const [sw, ns, a, b] = await start("sw");
    const pinging = a.ns.spawn(["ping", "-n", "-q", "-i", "0.002", b.ip]);
    await eventually("traffic", async () => await counter(sw, "kernel_hits") > 100);
    await ns.ip("link del p2");
    await eventually(
      "the port is gone",
      async () => (await sw.clients.vsctl("get interface p2 ofport")).trim() === "-1",
    );
    await sandbox.veth({ ns: b.ns, name: "eth0", address: b.mac }, { ns, name: "p2" });
    await b.ns.ip(`addr add ${b.ip}/24 dev eth0`);
    await eventually("they reach each other again", () => reaches(a.ns, b.ip));
    pinging.signal("SIGINT");
    await pinging.ended(5000);
    await sw.stop();
    const p1 = (await ns.links()).find(({ ifname }) => ifname === "p1")!;
    expect(ns.inside(() => tcxPrograms(p1.ifindex))).toBe(0);
  }, 60_000);

  test("two instances in two namespaces do not disturb each other", async () => {
    const [one, , a, b] = await start("one");
    const [two, , c, d] = await start("two");
    await one.stop();
    expect((await ping(c.ns, d.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
    expect(await counter(two, "kernel_hits")).toBeGreaterThan(20);
    expect((await ping(a.ns, b.ip, { count: 1, waitSec: 0.2 })).received).toBe(0);
    await two.stop();
  }, 60_000);
});
