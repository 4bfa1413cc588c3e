/**
 * Hosts in namespaces of their own talk through the switch: over `netdev` and `internal` ports,
 * learning switch and OpenFlow pipeline, VLANs, patch ports, rewriting. TCP runs with the offloads
 * that the cards have and without any ethtool call (Open vSwitch in user space needs one).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, iperf, ping, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import {
  type RunningSwitch,
  startSwitch,
  SWITCH_TOOLS,
  underTestIsStock,
} from "../support/switch.ts";

const stock = underTestIsStock();
const TOOLS = [...SWITCH_TOOLS, "ping", "iperf3", ...(stock ? ["ethtool"] : [])];

/** A switch with bridge br0 and three hosts on p1, p2, p3. */
async function threeHosts(): Promise<{ sandbox: Sandbox; sw: RunningSwitch; hosts: Host[] }> {
  const sandbox = await Sandbox.create();
  const sw = await startSwitch(sandbox, await sandbox.netns("sw"));
  await sw.addBridge("br0");
  const hosts: Host[] = [];
  for (const n of [1, 2, 3]) {
    const host = await addHost(sandbox, sw.ns, n);
    if (stock) await host.ns.must(["ethtool", "-K", "eth0", "tx", "off"]);
    hosts.push(host);
    await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
  }
  return { sandbox, sw, hosts };
}

describePrivileged("a learning switch between netdev ports", TOOLS, () => {
  let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host, h3: Host;
  beforeAll(async () => {
    const made = await threeHosts();
    ({ sandbox, sw } = made);
    [h1, h2, h3] = made.hosts as [Host, Host, Host];
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("ping, without loss or duplicates", async () => {
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    const result = await ping(h1.ns, h2.ip, { count: 50, intervalSec: 0.01 });
    expect(result).toMatchObject({ received: 50, duplicates: 0 });
    expect(await reaches(h3.ns, h1.ip)).toBe(true);
  }, 20_000);

  test("TCP both ways", async () => {
    expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
    expect((await iperf(h2, h1.ns, { reverse: true })).gbitPerSec).toBeGreaterThan(0.05);
  }, 20_000);

  test("several TCP streams at once", async () => {
    const result = await iperf(h2, h1.ns, { extra: ["-P", "8"] });
    expect(result.gbitPerSec).toBeGreaterThan(0.05);
  }, 20_000);

  test("UDP at a modest rate", async () => {
    const result = await iperf(h2, h1.ns, { udp: true });
    expect(result.gbitPerSec).toBeGreaterThan(0.005);
    // A busy machine may lose some in its sockets; a switch that cannot do UDP loses all.
    expect(result.lostPercent).toBeLessThan(25);
  }, 20_000);

  test("fragments", async () => {
    const result = await ping(h1.ns, h2.ip, { count: 5, sizeBytes: 20_000 });
    expect(result.received).toBe(5);
  }, 20_000);

  test("IPv6, with its neighbour discovery", async () => {
    for (const [host, address] of [[h1, "fd00::1"], [h2, "fd00::2"]] as const) {
      await host.ns.must(["sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6"]);
      await host.ns.ip(`addr add ${address}/64 dev eth0 nodad`);
    }
    expect(await reaches(h1.ns, "fd00::2")).toBe(true);
    const result = await iperf({ ns: h2.ns, ip: "fd00::2" }, h1.ns);
    expect(result.gbitPerSec).toBeGreaterThan(0.05);
  }, 20_000);

  test("jumbo frames", async () => {
    for (const host of [h1, h2]) {
      await host.ns.ip("link set eth0 mtu 9000");
      await sw.ns.ip(`link set ${host.port} mtu 9000`);
    }
    await eventually(
      "the new MTU is in the database",
      async () => await sw.clients.vsctl("get interface p1 mtu") === "9000",
    );
    const result = await ping(h1.ns, h2.ip, { count: 5, sizeBytes: 8900, dontFragment: true });
    expect(result.received).toBe(5);
    expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
  }, 20_000);

  test("mtu_request is done to an internal port's device", async () => {
    await sw.clients.vsctl("add-port br0 in0 -- set interface in0 type=internal mtu_request=4000");
    await eventually("in0 has MTU 4000", async () => (await sw.ns.link("in0"))?.mtu === 4000);
    expect(await sw.clients.vsctl("get interface in0 mtu")).toBe("4000");
    await sw.clients.vsctl("del-port br0 in0");
  }, 20_000);

  test("counters: the interface's statistics and the flow's packets and bytes", async () => {
    const packets = async () => {
      const text = await sw.clients.ofctl("dump-flows br0");
      return Number(/n_packets=(\d+)/.exec(text)?.[1]);
    };
    const before = await packets();
    await ping(h1.ns, h2.ip, { count: 10, intervalSec: 0.01 });
    await eventually("20 more packets in the flow", async () => await packets() >= before + 20, {
      timeoutMs: 5000,
    });
    await eventually(
      "statistics of p1",
      async () => Number(await sw.clients.vsctl("get interface p1 statistics:rx_packets")) >= 10,
      {
        timeoutMs: 10_000,
      },
    );
    expect(await sw.clients.ofctl("dump-ports br0 p1")).toMatch(/rx pkts=[1-9]/);
  }, 20_000);

  test("fdb/show knows who sits where", async () => {
    await reaches(h1.ns, h2.ip);
    const table = await sw.clients.appctl("fdb/show br0");
    expect(table).toMatch(new RegExp(`^ +1 +0 +${h1.mac} `, "m"));
    expect(table).toMatch(new RegExp(`^ +2 +0 +${h2.mac} `, "m"));
  }, 20_000);
});

describePrivileged("internal ports", TOOLS, () => {
  let sandbox: Sandbox, sw: RunningSwitch, h1: Host;
  beforeAll(async () => {
    const made = await threeHosts();
    ({ sandbox, sw } = made);
    [h1] = made.hosts as [Host];
    await sw.clients.vsctl("add-port br0 in0 -- set interface in0 type=internal");
    await sw.ns.ip("addr add 10.0.0.50/24 dev in0");
    await sw.ns.ip("link set in0 up");
    if (stock) await sw.ns.must(["ethtool", "-K", "in0", "tx", "off"]);
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("ping and TCP between a host and the switch's own host, both ways", async () => {
    expect(await reaches(h1.ns, "10.0.0.50")).toBe(true);
    const local = { ns: sw.ns, ip: "10.0.0.50" };
    expect((await iperf(local, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
    expect((await iperf(h1, sw.ns)).gbitPerSec).toBeGreaterThan(0.05);
  }, 20_000);

  test.skipIf(stock)("internal ports handed to two namespaces", async () => {
    const ends = [];
    for (const [name, ip] of [["in1", "10.0.0.51"], ["in2", "10.0.0.52"]] as const) {
      const ns = await sandbox.netns(name);
      await sw.clients.vsctl(`add-port br0 ${name} -- set interface ${name} type=internal`);
      await sw.ns.ip(`link set ${name} netns ${ns.name}`);
      await ns.ip(`addr add ${ip}/24 dev ${name}`);
      await ns.ip(`link set ${name} up`);
      ends.push({ ns, ip });
    }
    const [a, b] = ends as [typeof ends[number], typeof ends[number]];
    expect(await reaches(a.ns, b.ip)).toBe(true);
    expect((await iperf(b, a.ns)).gbitPerSec).toBeGreaterThan(0.05);
    expect(await reaches(h1.ns, a.ip)).toBe(true);
  }, 20_000);
});

describePrivileged("bridges joined by patch ports, access VLANs at the ends", TOOLS, () => {
  let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host, h3: Host;
  beforeAll(async () => {
    const made = await threeHosts();
    ({ sandbox, sw } = made);
    [h1, h2, h3] = made.hosts as [Host, Host, Host];
    await sw.addBridge("br1");
    await sw.clients.vsctl(
      "del-port br0 p2 -- del-port br0 p3 -- add-port br1 p2 tag=10 -- add-port br1 p3 tag=20" +
        " -- set port p1 tag=10" +
        " -- add-port br0 j0 -- set interface j0 type=patch options:peer=j1" +
        " -- add-port br1 j1 -- set interface j1 type=patch options:peer=j0",
    );
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("ping and TCP across, tagged in between", async () => {
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
    expect(await sw.clients.appctl("fdb/show br1")).toMatch(new RegExp(` 10 +${h1.mac}`));
  }, 20_000);

  test("another VLAN's host is out of reach", async () => {
    expect((await ping(h1.ns, h3.ip, { count: 2, waitSec: 0.3 })).received).toBe(0);
  }, 20_000);

  test("a trunk that leaves the VLAN out cuts it", async () => {
    await sw.clients.vsctl("set port j0 trunks=20,30");
    await sw.clients.appctl("fdb/flush br0");
    expect((await ping(h1.ns, h2.ip, { count: 2, waitSec: 0.3 })).received).toBe(0);
    await sw.clients.vsctl("set port j0 trunks=10");
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
  }, 20_000);

  test("a patch port without its peer is an error in the database", async () => {
    await sw.clients.tryVsctl("add-port br0 lone -- set interface lone type=patch");
    await eventually(
      "the error",
      async () => (await sw.clients.vsctl("get interface lone error")) !== "[]",
    );
    await sw.clients.vsctl("del-port br0 lone");
  }, 20_000);
});

describePrivileged("an OpenFlow pipeline between TCP hosts", TOOLS, () => {
  let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host, h3: Host;
  const VIRTUAL = "10.0.0.99";
  beforeAll(async () => {
    const made = await threeHosts();
    ({ sandbox, sw } = made);
    [h1, h2, h3] = made.hosts as [Host, Host, Host];
    await sw.clients.ofctl("del-flows br0");
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("without flows nothing passes", async () => {
    expect((await ping(h1.ns, h2.ip, { count: 2, waitSec: 0.3 })).received).toBe(0);
  }, 20_000);

  test("tables with goto and resubmit", async () => {
    await sw.clients.addFlows(
      "br0",
      `table=0,priority=10,arp actions=resubmit(,3)
       table=0,priority=0 actions=goto_table:1
       table=1,ip,nw_dst=${h2.ip} actions=goto_table:2
       table=1,ip,nw_dst=${h1.ip} actions=resubmit(,2)
       table=2,in_port=1 actions=output:2
       table=2,in_port=2 actions=output:1
       table=3 actions=FLOOD`,
      "OpenFlow13",
    );
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
    expect((await ping(h1.ns, h3.ip, { count: 2, waitSec: 0.3 })).received).toBe(0);
  }, 20_000);

  test("addresses rewritten both ways, TCP checksums still right", async () => {
    await sw.clients.ofctl("del-flows br0");
    await h1.ns.ip(`neigh replace ${VIRTUAL} lladdr 02:00:00:00:00:99 dev eth0`);
    await sw.clients.addFlows(
      "br0",
      `priority=1 actions=NORMAL
       priority=9,ip,nw_dst=${VIRTUAL} actions=mod_dl_dst:${h2.mac},mod_nw_dst:${h2.ip},output:2
       priority=9,in_port=2,ip,nw_src=${h2.ip} actions=mod_nw_src:${VIRTUAL},output:1`,
    );
    expect(await reaches(h1.ns, VIRTUAL)).toBe(true);
    const served = { ns: h2.ns, ip: h2.ip };
    const listening = served.ns.spawn(["iperf3", "-s", "-1", "--forceflush"]);
    await eventually("iperf3 listens", () => listening.log.includes("listening"));
    const result = await h1.ns.run(["iperf3", "-c", VIRTUAL, "-t", "1", "-J"], {
      timeoutMs: 15_000,
    });
    const report = JSON.parse(result.stdout);
    expect(report.error).toBeUndefined();
    expect(report.end.sum_received.bits_per_second).toBeGreaterThan(50e6);
    await listening.stop();
  }, 30_000);

  test("ports rewritten, TCP checksums still right", async () => {
    await sw.clients.ofctl("del-flows br0");
    await sw.clients.addFlows(
      "br0",
      `priority=1 actions=NORMAL
       priority=9,tcp,in_port=1,tp_dst=7000 actions=mod_tp_dst:5201,output:2
       priority=9,tcp,in_port=2,tp_src=5201 actions=mod_tp_src:7000,output:1`,
    );
    const listening = h2.ns.spawn(["iperf3", "-s", "-1", "--forceflush"]);
    await eventually("iperf3 listens", () => listening.log.includes("listening"));
    const argv = ["iperf3", "-c", h2.ip, "-p", "7000", "-t", "1", "-J"];
    const report = JSON.parse((await h1.ns.run(argv, { timeoutMs: 15_000 })).stdout);
    expect(report.error).toBeUndefined();
    expect(report.end.sum_received.bits_per_second).toBeGreaterThan(50e6);
    await listening.stop();
  }, 30_000);

  test("a flow that appears or changes takes effect on traffic that already runs", async () => {
    await sw.clients.ofctl("del-flows br0");
    await sw.clients.ofctl("add-flow br0 priority=1,actions=NORMAL");
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    await sw.clients.ofctl("add-flow br0 priority=5,icmp,actions=drop");
    await eventually(
      "ping stops",
      async () => (await ping(h1.ns, h2.ip, { count: 1, waitSec: 0.3 })).received === 0,
    );
    await sw.clients.ofctl("--strict del-flows br0 priority=5,icmp");
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
  }, 20_000);
});
