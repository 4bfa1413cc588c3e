/**
 * Forwarding in the kernel outlives the process: it is killed and started again under traffic, and no
 * packet is lost. `SOLOVS_RESTARTS` says how often (20 for the issue's own figure).
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { findBpfFs } from "../../src/linux/bpf-fs.ts";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, parsePing, ping, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS, underTestIsStock } from "../support/switch.ts";

const RESTARTS = Number(process.env.SOLOVS_RESTARTS ?? "4");

/** Directories with pinned objects of the namespace's instances. */
function pins(ns: Namespace): string[] {
  const at = findBpfFs();
  if (at === undefined) return [];
  const number = ns.inside(() => readlinkSync("/proc/thread-self/ns/net")).replace(/\D/g, "");
  return readdirSync(at).filter((name) => name.startsWith(`solovs-${number}-`));
}

describePrivileged(
  "restarts with flows in the kernel",
  [...SWITCH_TOOLS, "nsenter", "ping"],
  () => {
    let sandbox: Sandbox;
    let ns: Namespace;
    let sw: SolovsSwitch;
    let hosts: [Host, Host];

    beforeEach(async () => {
      sandbox = await Sandbox.create();
      ns = await sandbox.netns("sw");
      hosts = [await addHost(sandbox, ns, 1), await addHost(sandbox, ns, 2)];
      for (const [i, host] of hosts.entries()) {
        // Nobody asks for addresses meanwhile: only the known flow's packets count.
        const other = hosts[1 - i]!;
        await host.ns.ip(`neigh replace ${other.ip} lladdr ${other.mac} dev eth0 nud permanent`);
      }
      sw = await SolovsSwitch.start(sandbox, ns, "ebpf");
      await sw.addBridge("br0");
      await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2");
      expect(await reaches(hosts[0].ns, hosts[1].ip)).toBe(true);
    });
    afterEach(() => sandbox.dispose());

    test.skipIf(underTestIsStock())("killed under load: no packet is lost", async () => {
      const [from, to] = hosts;
      const sender = from.ns.spawn(["ping", "-n", "-q", "-i", "0.001", to.ip]);
      const rx = async () =>
        Number((await sw.clients.vsctl("get interface p1 statistics:rx_packets")).trim());
      let before = 0;
      for (let i = 0; i < RESTARTS; i++) {
        await sw.killNow();
        await sw.restart();
        const now = await eventually("the port's counters", async () => {
          const packets = await rx();
          return packets > before && packets;
        });
        before = now;
      }
      sender.signal("SIGINT");
      await sender.ended(5000);
      const { sent, received, duplicates, text } = parsePing(sender.log);
      expect({ text, duplicates }).toMatchObject({ duplicates: 0 });
      expect(sent).toBeGreaterThan(RESTARTS * 100);
      // The last one may still have been under way.
      expect(sent - received).toBeLessThanOrEqual(1);
      expect(sw.log()).toContain("took over 3 port(s)");
      await sw.stop();
      expect(pins(ns)).toEqual([]);
      expect(existsSync(`${sw.runDir}/datapath.json`)).toBe(false);
    }, 60_000);

    test.skipIf(underTestIsStock())(
      "while no process runs, known flows are forwarded",
      async () => {
        const [from, to] = hosts;
        expect((await ping(from.ns, to.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
        await sw.killNow();
        const alone = await ping(from.ns, to.ip, { count: 50, intervalSec: 0.01 });
        expect(alone.received).toBe(50);
        expect(pins(ns)).toHaveLength(1);
        // What was configured away meanwhile is let go of.
        await ns.ip("link del p2");
        await sw.restart();
        expect(existsSync(`${sw.runDir}/datapath.json`)).toBe(true);
        await sw.stop();
        expect(pins(ns)).toEqual([]);
      },
      60_000,
    );
  },
);
