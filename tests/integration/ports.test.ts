/**
 * What happens to devices while they are ports, over each datapath: added while down, cut off, too small
 * for a frame, unplugged under traffic and back under the same name, given back as they were. And ports
 * by libpcap.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { ethernet } from "../support/frames.ts";
import { addHost, type Host, iperf, ping, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const TOOLS = [...SWITCH_TOOLS, "nsenter", "ping"];

for (const datapath of ["userspace", "ebpf"] as const) {
  describePrivileged(`devices as ports: ${datapath}`, TOOLS, () => {
    let sandbox: Sandbox;
    let ns: Namespace;
    let sw: SolovsSwitch;
    const hosts: Host[] = [];

    beforeAll(async () => {
      sandbox = await Sandbox.create();
      ns = await sandbox.netns("sw");
      for (let n = 1; n <= 3; n++) hosts.push(await addHost(sandbox, ns, n));
      // The third one is down when it becomes a port.
      await ns.ip("link set p3 down");
      sw = await SolovsSwitch.start(sandbox, ns, datapath);
      await sw.addBridge("br0");
      await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2 -- add-port br0 p3");
    }, 60_000);
    afterAll(async () => {
      await sw?.stop();
      await sandbox?.dispose();
    }, 30_000);

    const column = (port: string, name: string) => sw.clients.vsctl("get", "interface", port, name);
    const becomes = (port: string, name: string, value: string) =>
      eventually(`${name} of ${port} is ${value}`, async () => await column(port, name) === value);

    test("a device that is down is a port like others, and forwards once it is up", async () => {
      const [h1, , h3] = hosts as [Host, Host, Host];
      expect(await column("p3", "ofport")).toBe("3");
      expect(await column("p3", "error")).toBe("[]");
      await becomes("p3", "admin_state", "down");
      expect(await column("p3", "link_state")).toBe("down");
      expect((await ping(h1.ns, h3.ip, { count: 1, waitSec: 0.2 })).received).toBe(0);
      await ns.ip("link set p3 up");
      expect(await reaches(h1.ns, h3.ip)).toBe(true);
      await becomes("p3", "link_state", "up");
    }, 30_000);

    test("without a link nothing is forwarded, and with it again everything is", async () => {
      const [h1, h2] = hosts as [Host, Host];
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
      await h2.ns.ip("link set eth0 down");
      await becomes("p2", "link_state", "down");
      expect(await column("p2", "admin_state")).toBe("up");
      expect((await ping(h1.ns, h2.ip, { count: 1, waitSec: 0.2 })).received).toBe(0);
      await h2.ns.ip("link set eth0 up");
      await becomes("p2", "link_state", "up");
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
    }, 30_000);

    test("others' packets go on while a device is unplugged and comes back", async () => {
      const [h1, h2, h3] = hosts as [Host, Host, Host];
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
      expect(await reaches(h3.ns, h1.ip)).toBe(true);
      const busy = h3.ns.spawn(["ping", "-n", "-q", "-i", "0.002", h1.ip]);
      // So slowly that a ring holds a second's worth: none may be missing.
      const others = ping(h1.ns, h2.ip, { count: 100, intervalSec: 0.01, waitSec: 10 });
      await ns.ip("link del p3");
      await becomes("p3", "ofport", "-1");
      await sandbox.veth({ ns: h3.ns, name: "eth0", address: h3.mac }, { ns, name: "p3" });
      await h3.ns.ip(`addr add ${h3.ip}/24 dev eth0`);
      expect(await reaches(h1.ns, h3.ip)).toBe(true);
      await becomes("p3", "ofport", "3");
      const { received, duplicates } = await others;
      expect([received, duplicates]).toEqual([100, 0]);
      busy.signal("SIGINT");
      await busy.ended(5000);
    }, 60_000);

    test("a device is promiscuous as long as it is a port", async () => {
      const promiscuity = async () => (await ns.link("p3"))!.promiscuity;
      expect(await promiscuity()).toBe(1);
      await sw.clients.vsctl("del-port br0 p3");
      await eventually("as before", async () => await promiscuity() === 0);
      await sw.clients.vsctl("add-port br0 p3");
      expect(await promiscuity()).toBe(1);
    }, 30_000);

    test("the MTU is what mtu_request says, and what is too long for it is counted", async () => {
      const [h1, h2] = hosts as [Host, Host];
      for (const device of ["p1", "p2"]) {
        await sw.clients.vsctl("set", "interface", device, "mtu_request=2000");
        await eventually("it is done", async () => (await ns.link(device))!.mtu === 2000);
        await becomes(device, "mtu", "2000");
      }
      for (const { ns: host } of [h1, h2]) await host.ip("link set eth0 mtu 2000");
      const large = { count: 2, sizeBytes: 1900, dontFragment: true };
      expect((await ping(h1.ns, h2.ip, large)).received).toBe(2);
      await sw.clients.vsctl("set interface p2 mtu_request=1500");
      await becomes("p2", "mtu", "1500");
      const dropped = async () => {
        const text = await sw.clients.appctl("coverage/show");
        return Number(/^dp_drop_tx_too_big\s.*total: (\d+)/m.exec(text)?.[1] ?? 0);
      };
      const before = await dropped();
      expect((await ping(h1.ns, h2.ip, { ...large, waitSec: 0.2 })).received).toBe(0);
      // With flows in the kernel it is the devices that drop, and count.
      if (datapath === "userspace") {
        await eventually("both are counted", async () => await dropped() >= before + 2);
      }
      expect(await reaches(h1.ns, h2.ip)).toBe(true);
    }, 30_000);

    if (datapath === "ebpf") return;

    test("devices by libpcap: ping, TCP with the hosts' offloads, tags of both kinds", async () => {
      const pair = [await addHost(sandbox, ns, 4), await addHost(sandbox, ns, 5)] as [Host, Host];
      const [h4, h5] = pair;
      await sw.addBridge("br1");
      await sw.clients.vsctl(
        "add-port br1 p4 -- set interface p4 options:io=libpcap -- " +
          "add-port br1 p5 -- set interface p5 options:io=libpcap",
      );
      expect((await ns.link("p4"))!.promiscuity).toBe(1);
      expect(await reaches(h4.ns, h5.ip)).toBe(true);
      expect((await iperf(h5, h4.ns)).gbitPerSec).toBeGreaterThan(0.001);
      const [from, to] = pair.map((host) => new RawPort(host.ns, host.device)) as [
        RawPort,
        RawPort,
      ];
      for (const tpid of [0x8100, 0x88a8]) {
        const frame = ethernet(h5.mac, h4.mac, 0x88b6, new Uint8Array(50), [{ tpid, vid: 7 }]);
        from.send(frame);
        const seen = await to.expect((each) => each[16] === 0x88 && each[17] === 0xb6, 5000);
        expect(seen).toEqual(frame);
      }
      for (const port of [from, to]) port.close();
      await sw.clients.vsctl("del-br br1");
      expect((await ns.link("p4"))!.promiscuity).toBe(0);
    }, 30_000);
  });
}
