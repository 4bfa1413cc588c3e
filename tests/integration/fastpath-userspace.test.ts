/**
 * The userspace datapath by itself, on real devices: flows put by hand between hosts in network
 * namespaces. What only a kernel can show: offloads, VLAN tags that the kernel strips, the host's
 * stack kept away, TAP devices, devices that go and come back.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { DpAction } from "../../src/fastpath/actions.ts";
import type { Datapath, DpPort, Upcall } from "../../src/fastpath/datapath.ts";
import { openUserspaceDatapath } from "../../src/fastpath/userspace/datapath.ts";
import { LogSink } from "../../src/log/log.ts";
import { FlowKey, maskField, type Match } from "../../src/packet/key.ts";
import { FIELDS } from "../../src/packet/layout.ts";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, iperf, ping, reaches } from "../support/hosts.ts";
import { macBytes } from "../support/frames.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";

interface Fixture {
  readonly sandbox: Sandbox;
  readonly sw: Namespace;
  readonly h1: Host;
  readonly h2: Host;
  readonly dp: Datapath;
  readonly upcalls: Upcall[];
  readonly lost: number[];
  readonly log: string[];
}

const ETH_TYPES = [0x0800, 0x0806, 0x86dd, 0x8100] as const;

/** in_port and eth_type: the least that the slow path ever matches. */
function matchPort(inPort: number, ethType: number): Match {
  const key = new FlowKey();
  const mask = new FlowKey();
  key.set(FIELDS.in_port_oxm, inPort);
  maskField(mask, FIELDS.in_port_oxm);
  key.set(FIELDS.eth_type, ethType);
  maskField(mask, FIELDS.eth_type);
  return { key, mask };
}

/** All that comes in at `from` goes through `actions`. Uses ids from 8 × port number on. */
function connect(dp: Datapath, from: DpPort, actions: readonly DpAction[]): void {
  ETH_TYPES.forEach((type, i) => {
    dp.putFlow({ id: from.portNo * 8 + i, match: matchPort(from.portNo, type), actions });
  });
}

const output = (port: DpPort): DpAction => ({ type: "output", port: port.portNo });

describePrivileged("userspace datapath", ["ping", "iperf3"], () => {
  let f: Fixture;

  beforeEach(async () => {
    const sandbox = await Sandbox.create();
    const sw = await sandbox.netns("sw");
    const h1 = await addHost(sandbox, sw, 1);
    const h2 = await addHost(sandbox, sw, 2);
    const log: string[] = [];
    const logger = new LogSink((line) => log.push(line), "dbg").logger("datapath");
    const dp = await sw.inside(() => openUserspaceDatapath({ logger }));
    const upcalls: Upcall[] = [];
    const lost: number[] = [];
    dp.listen({
      upcall: (upcall) => void upcalls.push(upcall),
      portLost: (portNo) => void lost.push(portNo),
    });
    f = { sandbox, sw, h1, h2, dp, upcalls, lost, log };
  });

  afterEach(async () => {
    await f.dp.close();
    await f.sandbox.dispose();
  });

  async function twoPorts(): Promise<[DpPort, DpPort]> {
    const p1 = await f.dp.addPort({ name: "p1", type: "device" });
    const p2 = await f.dp.addPort({ name: "p2", type: "device" });
    return [p1, p2];
  }

  test("hosts ping each other, and the flow's statistics tell of it", async () => {
    const [p1, p2] = await twoPorts();
    connect(f.dp, p1, [output(p2)]);
    connect(f.dp, p2, [output(p1)]);
    await f.dp.barrier();
    const result = await ping(f.h1.ns, f.h2.ip, { count: 5 });
    expect(result).toMatchObject({ received: 5, duplicates: 0 });
    const flow = f.dp.flowStats(p1.portNo * 8);
    expect(flow.packets).toBe(5);
    expect(flow.bytes).toBe(5 * 98);
    expect(flow.lastUsedMs).toBeGreaterThan(0);
    expect(f.dp.portStats(p2.portNo)!.txPackets).toBeGreaterThanOrEqual(5);
    expect(f.upcalls).toEqual([]);
  });

  test("the host's own stack sees nothing of what arrives on a port", async () => {
    // The switch's namespace has the second host's address: its stack would answer too.
    await f.sw.ip(`addr add ${f.h2.ip}/24 dev p1`);
    const [p1, p2] = await twoPorts();
    connect(f.dp, p1, [output(p2)]);
    connect(f.dp, p2, [output(p1)]);
    await f.dp.barrier();
    const result = await ping(f.h1.ns, f.h2.ip, { count: 5 });
    expect(result).toMatchObject({ received: 5, duplicates: 0 });
    expect(await f.h1.ns.ip("neigh show")).toContain(f.h2.mac);
  });

  test("TCP passes with the hosts' offloads on, in segments larger than the wire's", async () => {
    const [p1, p2] = await twoPorts();
    connect(f.dp, p1, [output(p2)]);
    connect(f.dp, p2, [output(p1)]);
    await f.dp.barrier();
    expect((await iperf(f.h2, f.h1.ns)).gbitPerSec).toBeGreaterThan(0);
    const { rxPackets, rxBytes } = f.dp.portStats(p1.portNo)!;
    expect(rxBytes / rxPackets).toBeGreaterThan(4000);
    expect(f.dp.flowStats(p1.portNo * 8).tcpFlags & 0x03).toBe(0x03);
  });

  test("VLAN tags are pushed, and popped behind a cable that carries them, with TCP", async () => {
    // p1 --push--> t1 ===cable=== t2 --pop--> p2: what arrives at t2 has its tag stripped by the
    // kernel, and is a segmentation super-packet where TCP made one.
    await f.sandbox.veth({ ns: f.sw, name: "t1" }, { ns: f.sw, name: "t2" });
    const [p1, p2] = await twoPorts();
    const t1 = await f.dp.addPort({ name: "t1", type: "device" });
    const t2 = await f.dp.addPort({ name: "t2", type: "device" });
    const push: DpAction = { type: "push_vlan", tpid: 0x8100, tci: 7 };
    connect(f.dp, p1, [push, output(t1)]);
    connect(f.dp, t2, [{ type: "pop_vlan" }, output(p2)]);
    connect(f.dp, p2, [push, output(t2)]);
    connect(f.dp, t1, [{ type: "pop_vlan" }, output(p1)]);
    await f.dp.barrier();
    expect((await ping(f.h1.ns, f.h2.ip, { count: 3 })).received).toBe(3);
    expect((await iperf(f.h2, f.h1.ns)).gbitPerSec).toBeGreaterThan(0.2);
    const stats = f.dp.portStats(t2.portNo)!;
    expect(stats.rxBytes / stats.rxPackets).toBeGreaterThan(4000);
  });

  test("tags that the kernel strips are in the key and on the wire", async () => {
    const [p1, p2] = await twoPorts();
    const from = new RawPort(f.h1.ns, "eth0");
    const to = new RawPort(f.h2.ns, "eth0");
    const frame = new Uint8Array(64);
    frame.set(macBytes(f.h2.mac), 0);
    frame.set(macBytes(f.h1.mac), 6);
    frame.set([0x88, 0xa8, 0xb0, 0x09, 0x81, 0x00, 0x00, 0x05, 0x12, 0x34], 12);
    from.send(frame);
    await eventually("a miss", () => f.upcalls.length > 0);
    const { key, packet } = f.upcalls[0]!;
    expect(key.get(FIELDS.vlan_tci)).toBe(0xb009);
    expect(packet.data).toEqual(frame);
    f.dp.putFlow({ id: 0, match: matchPort(p1.portNo, 0x1234), actions: [output(p2)] });
    await f.dp.barrier();
    from.send(frame);
    expect(await to.expect((seen) => seen[13] === 0xa8)).toEqual(frame);
    from.close();
    to.close();
  });

  test("headers are rewritten without disturbing other copies; TCP checksums stay right", async () => {
    const h3 = await addHost(f.sandbox, f.sw, 3);
    const [p1, p2] = await twoPorts();
    const p3 = await f.dp.addPort({ name: "p3", type: "device" });
    // Host 1 speaks to 10.0.0.9, which is host 2 behind an address rewritten both ways.
    const set = (slot: "nw_dst" | "nw_src", last: number): DpAction => ({
      type: "set",
      slot,
      value: new Uint8Array([10, 0, 0, last]),
      mask: new Uint8Array(4).fill(0xff),
    });
    await f.h1.ns.ip(`neigh add 10.0.0.9 lladdr ${f.h2.mac} dev eth0`);
    connect(f.dp, p1, [output(p3), set("nw_dst", 2), output(p2)]);
    connect(f.dp, p2, [set("nw_src", 9), output(p1)]);
    f.dp.putFlow({ id: 200, match: matchPort(p2.portNo, 0x0806), actions: [output(p1)] });
    f.dp.deleteFlow(p2.portNo * 8 + 1);
    await f.h2.ns.ip(`neigh add ${f.h1.ip} lladdr ${f.h1.mac} dev eth0`);
    await f.dp.barrier();
    expect((await ping(f.h1.ns, "10.0.0.9", { count: 3 })).received).toBe(3);
    const server = f.h2.ns.spawn(["iperf3", "-s", "-1", "--forceflush"]);
    await eventually("iperf3 listens", () => server.log.includes("listening"));
    await f.h1.ns.must(["iperf3", "-c", "10.0.0.9", "-t", "1"]);
    expect(f.dp.portStats(p3.portNo)!.txPackets).toBeGreaterThan(3);
    expect(h3.port).toBe("p3");
  });

  test("an internal port is a device of the host, and goes with its port", async () => {
    const p1 = await f.dp.addPort({ name: "p1", type: "device" });
    const mac = new Uint8Array([2, 0, 0, 0, 0xaa, 1]);
    const internal = await f.dp.addPort({ name: "br0", type: "internal", mac });
    expect(await f.sw.link("br0")).toMatchObject({
      ifindex: internal.ifindex,
      address: "02:00:00:00:aa:01",
    });
    await f.sw.ip("addr add 10.0.0.100/24 dev br0");
    await f.sw.ip("link set br0 up");
    connect(f.dp, p1, [output(internal)]);
    connect(f.dp, internal, [output(p1)]);
    await f.dp.barrier();
    expect((await ping(f.h1.ns, "10.0.0.100", { count: 3 })).received).toBe(3);
    const server = { ns: f.sw, ip: "10.0.0.100" };
    expect((await iperf(server, f.h1.ns)).gbitPerSec).toBeGreaterThan(0.2);
    expect((await iperf(server, f.h1.ns, { reverse: true })).gbitPerSec).toBeGreaterThan(0.2);
    const stats = f.dp.portStats(internal.portNo)!;
    expect(stats.rxBytes / stats.rxPackets).toBeGreaterThan(2000);
    await f.dp.removePort(internal.portNo);
    expect(await f.sw.link("br0")).toBeUndefined();
  });

  test("a port survives its device going down and up", async () => {
    const [p1, p2] = await twoPorts();
    connect(f.dp, p1, [output(p2)]);
    connect(f.dp, p2, [output(p1)]);
    await f.sw.ip("link set p2 down");
    await ping(f.h1.ns, f.h2.ip, { count: 1, waitSec: 0.2 });
    await f.sw.ip("link set p2 up");
    expect(await reaches(f.h1.ns, f.h2.ip)).toBe(true);
    expect(f.lost).toEqual([]);
  });

  test("a device that vanishes ends its port; when it is back it can be added again", async () => {
    const [p1, p2] = await twoPorts();
    connect(f.dp, p1, [output(p2)]);
    connect(f.dp, p2, [output(p1)]);
    expect(await reaches(f.h1.ns, f.h2.ip)).toBe(true);
    await f.sw.ip("link del p2");
    await eventually("portLost", () => f.lost.includes(p2.portNo));
    expect([...f.dp.ports().keys()]).toEqual([p1.portNo]);
    await f.sandbox.veth({ ns: f.h2.ns, name: "eth0", address: f.h2.mac }, {
      ns: f.sw,
      name: "p2",
    });
    await f.h2.ns.ip(`addr add ${f.h2.ip}/24 dev eth0`);
    const again = await f.dp.addPort({ name: "p2", type: "device" });
    expect(again.portNo).toBe(p2.portNo);
    expect(await reaches(f.h1.ns, f.h2.ip)).toBe(true);
  });

  test("a TAP that is deleted from outside ends its port", async () => {
    const internal = await f.dp.addPort({ name: "br0", type: "internal" });
    await f.sw.ip("link del br0");
    await eventually("portLost", () => f.lost.includes(internal.portNo));
  });

  test("misses and to-userspace packets come up; executed packets go out", async () => {
    const [p1, p2] = await twoPorts();
    void ping(f.h1.ns, f.h2.ip, { count: 1 });
    await eventually("a miss", () => f.upcalls.length > 0);
    const miss = f.upcalls[0]!;
    expect(miss.reason).toBe("miss");
    expect(miss.key.get(FIELDS.in_port_oxm)).toBe(p1.portNo);
    expect(miss.key.get(FIELDS.eth_type)).toBe(0x0806);
    f.dp.putFlow({
      id: 1,
      match: matchPort(p1.portNo, 0x0806),
      actions: [{ type: "userspace", userdata: 0xdeadbeef }],
    });
    const before = f.dp.portStats(p2.portNo)!.txPackets;
    f.dp.execute(miss.packet, [output(p2)], p1.portNo);
    await f.dp.barrier();
    expect(f.dp.portStats(p2.portNo)!.txPackets).toBe(before + 1);
    f.upcalls.length = 0;
    void ping(f.h1.ns, f.h2.ip, { count: 1 });
    const action = await eventually(
      "an action upcall",
      () => f.upcalls.find((upcall) => upcall.reason === "action"),
    );
    expect(action.userdata).toBe(0xdeadbeef);
  });

  test("errors say what to do", async () => {
    // Not `expect(promise).rejects`: it waits without running the worker's messages.
    const code = (attempt: Promise<unknown>): Promise<unknown> =>
      attempt.then(() => "none", (error: unknown) => (error as { code?: unknown }).code);
    await f.dp.addPort({ name: "p1", type: "device" });
    expect(await code(f.dp.addPort({ name: "p1", type: "device" }))).toBe("exists");
    expect(await code(f.dp.addPort({ name: "nope", type: "device" }))).toBe("no-device");
    expect(await code(f.dp.addPort({ name: "p2", type: "internal" }))).toBe("exists");
    expect(await code(f.dp.removePort(77))).toBe("no-such-port");
    expect(f.dp.ports().size).toBe(1);
  });

  test("nothing moves while nothing happens, and nothing is left behind", async () => {
    await twoPorts();
    await f.dp.barrier();
    const before = f.dp.counters()["rounds"]!;
    await Bun.sleep(300);
    expect(f.dp.counters()["rounds"]! - before).toBeLessThan(10);
    await f.dp.close();
    expect((await f.sw.link("p1"))?.promiscuity).toBe(0);
    expect(await f.sw.must(["tc", "filter", "show", "dev", "p1", "ingress"])).toBe("");
  });
});
