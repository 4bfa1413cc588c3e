/**
 * Several forwarding threads (`other_config:n-rx-workers`, `options:n_rxq`): packets keep their order,
 * counters add up, connections are known to all; and what a switch costs that has nothing to do.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import { udp } from "../support/frames.ts";
import { addHost, type Host, iperf, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const FLOWS = 6;
const PACKETS = 300;

/** Processor time of all threads of a process so far, in ms (proc(5), ticks of 10 ms). */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  return (fields[11]! + fields[12]!) * 10;
}

describePrivileged("forwarding workers", [...SWITCH_TOOLS, "iperf3"], () => {
  let sandbox: Sandbox;
  let sw: SolovsSwitch;
  const hosts: Host[] = [];

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    const ns = await sandbox.netns("sw");
    for (const n of [1, 2, 3]) hosts.push(await addHost(sandbox, ns, n));
    sw = await SolovsSwitch.start(sandbox, ns, "userspace");
    await sw.addBridge("br0");
    await sw.clients.vsctl(
      "add-port br0 p1 -- set interface p1 ofport_request=1 options:n_rxq=3 -- " +
        "add-port br0 p2 -- set interface p2 ofport_request=2 -- " +
        "add-port br0 p3 -- set interface p3 ofport_request=3",
    );
    for (const from of hosts.slice(0, 2)) {
      expect(await reaches(from.ns, hosts[2]!.ip, 10_000)).toBe(true);
    }
  }, 60_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  const workers = (count: number) =>
    sw.clients.vsctl(`set Open_vSwitch . other_config:n-rx-workers=${count}`);
  const saidSo = (count: number) =>
    eventually(
      `${count} workers`,
      () =>
        sw.log().split("\n").filter((line) => line.includes("forwarding worker")).at(-1)
          ?.includes(`${count} forwarding worker`),
      { timeoutMs: 20_000 },
    );

  /**
   * Sends numbered packets of several flows from two hosts; how many came to the third. Each flow's
   * first packet comes before the second is sent: those that wait for a decision may be overtaken by
   * those that come when it has been made.
   */
  async function inOrder(): Promise<number> {
    const senders = hosts.slice(0, 2).map(({ ns, device }) => new RawPort(ns, device));
    const to = new RawPort(hosts[2]!.ns, hosts[2]!.device);
    const next = new Map<string, number>();
    let count = 0;
    const drain = () => {
      for (let frame = to.receive(); frame; frame = to.receive()) {
        const view = new DataView(frame.buffer, frame.byteOffset);
        if (frame.length < 46 || view.getUint16(36) !== 4242) continue;
        const flow = `${frame[29]}:${view.getUint16(34)}`;
        const number = view.getUint32(42);
        expect(number).toBeGreaterThanOrEqual(next.get(flow) ?? 0);
        next.set(flow, number + 1);
        count++;
      }
    };
    for (let number = 0; number < PACKETS; number++) {
      const payload = new Uint8Array(22);
      new DataView(payload.buffer).setUint32(0, number);
      senders.forEach((sender, from) => {
        for (let flow = 0; flow < FLOWS; flow++) {
          sender.send(udp({
            srcMac: hosts[from]!.mac,
            dstMac: hosts[2]!.mac,
            srcIp: hosts[from]!.ip,
            dstIp: hosts[2]!.ip,
            srcPort: 1000 + flow,
            dstPort: 4242,
            payload,
          }));
        }
      });
      // Not more under way than the smallest ring takes.
      if (number % 5 !== 0 && number !== PACKETS - 1) continue;
      await eventually(`number ${number} of each flow comes`, () => {
        drain();
        return next.size === 2 * FLOWS && [...next.values()].every((each) => each === number + 1);
      });
    }
    for (const port of [...senders, to]) port.close();
    return count;
  }

  test("packets of a flow keep their order, and none comes twice", async () => {
    expect(await inOrder()).toBe(2 * FLOWS * PACKETS);
    await workers(3);
    await saidSo(3);
    expect(await inOrder()).toBe(2 * FLOWS * PACKETS);
  }, 60_000);

  test("packets of tracked flows keep their order, and counters add up", async () => {
    await sw.clients.addFlows(
      "br0",
      [
        "priority=10,udp,tp_dst=4242,ct_state=-trk,actions=ct(table=1)",
        "table=1,udp,ct_state=+trk+new,actions=ct(commit),3",
        "table=1,udp,ct_state=+trk+est,actions=3",
      ].join("\n"),
    );
    const sent = await inOrder();
    expect(sent).toBe(2 * FLOWS * PACKETS);
    await eventually("all are counted", async () => {
      const rule = await sw.clients.ofctl("dump-flows br0 table=1");
      const counts = [...rule.matchAll(/n_packets=(\d+)/g)].map((match) => Number(match[1]));
      return counts.reduce((sum, each) => sum + each, 0) === sent;
    });
    await sw.clients.ofctl(
      "--strict",
      "del-flows",
      "br0",
      "priority=10,udp,tp_dst=4242,ct_state=-trk",
    );
  }, 60_000);

  test("TCP through connection tracking, either end by another worker", async () => {
    await sw.clients.addFlows(
      "br0",
      [
        "priority=10,tcp,ct_state=-trk,actions=ct(table=2)",
        "table=2,tcp,ct_state=+trk+new,actions=ct(commit),NORMAL",
        "table=2,tcp,ct_state=+trk+est,actions=NORMAL",
      ].join("\n"),
    );
    const result = await iperf(hosts[1]!, hosts[0]!.ns, { seconds: 1 });
    expect(result.gbitPerSec).toBeGreaterThan(0.01);
    expect(await sw.clients.appctl("dpctl/dump-conntrack")).toContain("protoinfo=(state=");
  }, 60_000);

  test("fewer workers again: what they received, the others do", async () => {
    await workers(2);
    await saidSo(2);
    expect(await inOrder()).toBe(2 * FLOWS * PACKETS);
    await workers(1);
    await saidSo(1);
    expect(await reaches(hosts[0]!.ns, hosts[2]!.ip)).toBe(true);
  }, 60_000);

  test("a switch that has nothing to do sleeps, a busy one does not", async () => {
    await sw.clients.vsctl("set Open_vSwitch . other_config:max-idle=600000");
    await sw.clients.addFlows(
      "br0",
      "priority=20,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],NORMAL",
    );
    const from = new RawPort(hosts[0]!.ns, hosts[0]!.device);
    const { mac: srcMac, ip: srcIp } = hosts[0]!;
    const { mac: dstMac, ip: dstIp } = hosts[2]!;
    for (let flow = 0; flow < 1000; flow++) {
      from.send(udp({ srcMac, srcIp, dstMac, dstIp, srcPort: 10_000 + flow }));
      if (flow % 50 === 49) await Bun.sleep(20);
    }
    from.close();
    await eventually("a thousand flows", async () => {
      const shown = await sw.clients.appctl("dpctl/show");
      return Number(/flows: (\d+)/.exec(shown)?.[1]) >= 900;
    });
    // A slow machine may still be compiling what it just learned.
    await eventually("less than 5 % of a core", async () => {
      const before = processorMs(sw.pid);
      await Bun.sleep(2000);
      return processorMs(sw.pid) - before < 100;
    }, { timeoutMs: 30_000 });
    await sw.clients.vsctl("set Open_vSwitch . other_config:rx-mode=busy");
    await eventually("it is busy", async () => {
      const before = processorMs(sw.pid);
      await Bun.sleep(500);
      return processorMs(sw.pid) - before > 100;
    }, { timeoutMs: 20_000 });
    expect(await reaches(hosts[0]!.ns, hosts[2]!.ip)).toBe(true);
    await sw.clients.vsctl("set Open_vSwitch . other_config:rx-mode=poll");
    await eventually("it sleeps again", async () => {
      const before = processorMs(sw.pid);
      await Bun.sleep(500);
      return processorMs(sw.pid) - before < 100;
    }, { timeoutMs: 20_000 });
  }, 90_000);
});
