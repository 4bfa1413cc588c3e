/**
 * Queues and policing between namespaces, over both datapaths: what the kernel's classes counted says
 * which queue packets went by, and how long a transfer took says that they were held back.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, iperf, ping, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const TOOLS = [...SWITCH_TOOLS, "ping", "iperf3", "tc"];
const LIMIT_BPS = 10e6;

/** Packets that left by each queue of a port, as OpenFlow tells. */
async function sentByQueue(sw: SolovsSwitch, port: number): Promise<Map<number, number>> {
  const text = await sw.clients.ofctl(`queue-stats br0 ${port}`);
  const found = new Map<number, number>();
  for (const [, queue, packets] of text.matchAll(/queue (\d+): bytes=\d+, pkts=(\d+)/g)) {
    found.set(Number(queue), Number(packets));
  }
  return found;
}

for (const datapath of ["userspace", "ebpf"] as const) {
  describePrivileged(`queues and policing, datapath ${datapath}`, TOOLS, () => {
    let sandbox: Sandbox, sw: SolovsSwitch, h1: Host, h2: Host;
    beforeAll(async () => {
      sandbox = await Sandbox.create();
      sw = await SolovsSwitch.start(sandbox, await sandbox.netns("sw"), datapath);
      await sw.addBridge("br0");
      const hosts: Host[] = [];
      for (const n of [1, 2]) {
        hosts.push(await addHost(sandbox, sw.ns, n));
        await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
      }
      [h1, h2] = hosts as [Host, Host];
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
    }, 30_000);
    afterAll(async () => {
      await sw?.stop();
      await sandbox?.dispose();
    }, 30_000);

    describe("linux-htb", () => {
      beforeAll(async () => {
        await sw.clients.vsctl(
          "set port p2 qos=@qos -- --id=@qos create qos type=linux-htb other-config:max-rate=1000000000 " +
            "queues:0=@all queues:5=@slow -- --id=@all create queue other-config:min-rate=1000000 -- " +
            `--id=@slow create queue other-config:max-rate=${LIMIT_BPS}`,
        );
      }, 20_000);

      test("packets go by the queue that flows say, others by queue 0", async () => {
        await sw.clients.ofctl(
          "add-flow br0 priority=100,in_port=1,icmp,actions=set_queue:5,output:2",
        );
        const before = await sentByQueue(sw, 2);
        expect([...before.keys()]).toEqual([0, 5]);
        expect((await ping(h1.ns, h2.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
        await eventually("queue 5 has sent the pings", async () => {
          return (await sentByQueue(sw, 2)).get(5)! - before.get(5)! >= 20;
        });
        await sw.clients.ofctl("add-flow br0 priority=100,in_port=1,icmp,actions=enqueue:2:0");
        const then = await sentByQueue(sw, 2);
        expect((await ping(h1.ns, h2.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
        await eventually("queue 0 has sent the pings", async () => {
          return (await sentByQueue(sw, 2)).get(0)! - then.get(0)! >= 20;
        });
        expect((await sentByQueue(sw, 2)).get(5)).toBe(then.get(5)!);
      }, 30_000);

      test("a queue holds back to its rate, and another does not", async () => {
        const free = await iperf(h2, h1.ns);
        await sw.clients.ofctl(
          "add-flow br0 priority=100,in_port=1,tcp,actions=set_queue:5,output:2",
        );
        const held = await iperf(h2, h1.ns, { seconds: 2 });
        await sw.clients.ofctl("del-flows br0 tcp");
        expect(held.gbitPerSec * 1e9).toBeLessThan(2 * LIMIT_BPS);
        expect(held.gbitPerSec).toBeGreaterThan(0);
        expect(free.gbitPerSec).toBeGreaterThan(held.gbitPerSec);
      }, 40_000);

      test("the command shows it, and types that there are", async () => {
        const shown = await sw.clients.appctl("qos/show p2");
        expect(shown).toContain("QoS: p2 linux-htb\nmax-rate: 1000000000\n");
        expect(shown).toMatch(/\nQueue 5:\n {2}min-rate: \d+\n {2}max-rate: 10000000\n/);
        expect(await sw.clients.appctl("qos/show-types p2")).toBe(
          "QoS type: linux-htb\nQoS type: linux-noop",
        );
        expect(await sw.clients.ofctl("queue-get-config br0 2")).toMatch(/queue 0:.*\n.*queue 5:/);
      }, 20_000);

      test("other types are refused by name; without any the device is as it was", async () => {
        await sw.clients.vsctl("--no-wait set qos . type=linux-sfq");
        await eventually(
          "the refusal",
          async () => (await sw.clients.vsctl("get interface p2 error")).includes("linux-sfq"),
        );
        expect(await sw.ns.must(["tc", "qdisc", "show", "dev", "p2"])).not.toContain("htb");
        await sw.clients.vsctl("clear port p2 qos -- --all destroy qos -- --all destroy queue");
        expect(await sw.clients.vsctl("get interface p2 error")).toBe("[]");
        expect((await ping(h1.ns, h2.ip, { count: 3, intervalSec: 0.01 })).received).toBe(3);
      }, 20_000);
    });

    test("of what a policed port is sent, no more comes in than may", async () => {
      await sw.clients.vsctl(
        "set interface p1 ingress_policing_rate=5000 ingress_policing_burst=500",
      );
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
      const { gbitPerSec } = await iperf(h2, h1.ns, { seconds: 2 });
      expect(gbitPerSec * 1e9).toBeLessThan(10e6);
      const counters = await sw.clients.appctl("coverage/show");
      expect(counters).toMatch(/drop_rx_policed/);
      await sw.clients.vsctl("set interface p1 ingress_policing_rate=0");
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
      expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(gbitPerSec);
    }, 60_000);
  });
}
