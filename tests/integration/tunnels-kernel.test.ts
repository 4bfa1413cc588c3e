/**
 * VXLAN that a device of the kernel carries, with flows in the kernel: between two of ours, and with the
 * kernel's own device at the other end. (With stock Open vSwitch: tunnels.test.ts, tunnels-host.test.ts.)
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { iperf, pingMeanwhile, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS, underTestIsStock } from "../support/switch.ts";
import { type End, makeEnd, remote, setTunnel } from "./tunnels-ends.ts";

const DEVICE = "vxlan_sys_4789";
const TOOLS = [...SWITCH_TOOLS, "iperf3", "nsenter"];

const flowsOf = ({ sw }: End): Promise<string> => sw.clients.appctl("dpctl/dump-flows", "-m");
const counter = async ({ sw }: End, name: string): Promise<number> => {
  const text = await sw.clients.appctl("coverage/show");
  return Number(new RegExp(`^${name} +.*total: (\\d+)`, "m").exec(text)?.[1] ?? 0);
};

/** The flows of the ping that goes on, both ways: lines that end a tunnel or begin one. */
async function inKernel(end: End): Promise<boolean> {
  const lines = (await flowsOf(end)).split("\n").filter((line) =>
    line.includes("eth_type(0x0800)")
  );
  const out = lines.find((line) => line.includes("set(tunnel("));
  const back = lines.find((line) => line.includes(`in_port(${DEVICE})`));
  return [out, back].every((line) => line?.includes("dp:ebpf") === true);
}

function tests(): void {
  let sandbox: Sandbox;
  let left: End;
  let right: End;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    const [one, two] = [await sandbox.netns("one"), await sandbox.netns("two")];
    await sandbox.veth({ ns: one, name: "cable" }, { ns: two, name: "cable" });
    left = await makeEnd(sandbox, await SolovsSwitch.start(sandbox, one, "ebpf"), 1, "device");
    right = await makeEnd(sandbox, await SolovsSwitch.start(sandbox, two, "ebpf"), 2, "bridge");
    await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
    await setTunnel(right, "vxlan", `options:remote_ip=${remote(1)} options:key=42`);
    expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
  }, 60_000);
  afterAll(async () => {
    await sandbox?.dispose();
  }, 30_000);

  test(
    "its flows are in the kernel at both ends, also behind a bridge with the address",
    async () => {
      const pings = pingMeanwhile(left.host, right.ip);
      for (const end of [left, right]) await eventually("flows", () => inKernel(end));
      await pings.finish();
      const before = await counter(left, "dp_upcalls");
      const { gbitPerSec } = await iperf({ ns: right.host, ip: right.ip }, left.host, {
        seconds: 1,
      });
      expect(gbitPerSec).toBeGreaterThan(0.01);
      expect(await counter(left, "dp_upcalls") - before).toBeLessThan(200);
    },
    30_000,
  );

  test("packets of no tunnel: one upcall, then a flow drops and counts them", async () => {
    await setTunnel(right, "vxlan", `options:remote_ip=${remote(1)} options:key=43`);
    const name = "drop_tunnel_no_such_key";
    const [counted, upcalls] = [
      await counter(left, name),
      await counter(left, "upcall_unattached"),
    ];
    const pings = pingMeanwhile(right.host, left.ip);
    await eventually("they are counted", async () => await counter(left, name) >= counted + 10);
    await pings.finish();
    const drop = (await flowsOf(left)).split("\n").find((line) => line.includes("tun_id=0x2b"));
    expect(drop).toContain("dp:ebpf, actions:drop");
    // An idle flow may have gone in between.
    expect(await counter(left, "upcall_unattached") - upcalls).toBeLessThan(5);
    await setTunnel(right, "vxlan", `options:remote_ip=${remote(1)} options:key=42`);
    expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
  }, 40_000);

  test("forwarding goes on while the process is killed and started again", async () => {
    const pings = pingMeanwhile(left.host, right.ip, { intervalSec: 0.01 });
    await eventually("flows", () => inKernel(left));
    await left.sw.killNow();
    await pings.answered(20);
    await left.sw.restart();
    await eventually("its flows are in force", () => left.sw.log().includes("have given way"), {
      timeoutMs: 30_000,
    });
    await pings.answered(20);
    const { sent, received } = await pings.finish();
    expect(sent - received).toBeLessThanOrEqual(1);
    expect(await inKernel(left)).toBe(true);
  }, 60_000);

  test("a device that somebody deletes is made anew", async () => {
    const before = (await left.sw.ns.link(DEVICE))!.ifindex;
    await left.sw.ns.ip(`link del ${DEVICE}`);
    await eventually("another device", async () => {
      const link = await left.sw.ns.link(DEVICE);
      return link !== undefined && link.ifindex !== before;
    });
    expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
  }, 30_000);

  test("the UDP port is another's: sockets, bridges, or a word why not", async () => {
    await left.sw.clients.vsctl("del-port br-int tun");
    await eventually("no device", async () => await left.sw.ns.link(DEVICE) === undefined);
    await left.sw.ns.ip("link add theirs type vxlan external dstport 4789");
    await left.sw.ns.ip("link set theirs up");
    await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
    await eventually("a warning", () => /vxlan_sys_4789.*userspace/.test(left.sw.log()));
    expect(await left.sw.ns.link(DEVICE)).toBeUndefined();
    await left.sw.clients.vsctl("del-port br-int tun");
    await left.sw.ns.ip("link del theirs");
    await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
    expect(await reaches(left.host, right.ip, 10_000)).toBe(true);
  }, 40_000);

  test("nothing is left when it ends with --cleanup, also after a crash", async () => {
    await left.sw.stop();
    expect(await left.sw.ns.link(DEVICE)).toBeUndefined();
    await right.sw.killNow();
    expect(await right.sw.ns.link(DEVICE)).toBeDefined();
    await right.sw.restart();
    await right.sw.stop();
    expect(await right.sw.ns.link(DEVICE)).toBeUndefined();
  }, 60_000);
}

function peerTests(): void {
  let sandbox: Sandbox;
  let left: End;
  let other: Namespace;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    const one = await sandbox.netns("one");
    other = await sandbox.netns("two");
    await sandbox.veth({ ns: one, name: "cable" }, { ns: other, name: "eth0" });
    left = await makeEnd(sandbox, await SolovsSwitch.start(sandbox, one, "ebpf"), 1, "device");
    await other.ip("addr add 172.16.0.2/24 dev eth0");
    await other.ip("link add vx type vxlan id 42 remote 172.16.0.1 dstport 4789 gbp");
    await other.ip("addr add 10.0.0.2/24 dev vx");
    await other.ip("link set vx mtu 1400 up");
  }, 60_000);
  afterAll(async () => {
    await left?.sw.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("remote_ip, local_ip and key by flow, a group policy", async () => {
    const options = "options:remote_ip=flow options:local_ip=flow options:key=flow";
    await setTunnel(left, "vxlan", `${options} options:exts=gbp`);
    const { clients } = left.sw;
    await clients.ofctl("del-flows", "br-int");
    const out = "set_field:172.16.0.2->tun_dst,set_field:172.16.0.1->tun_src," +
      "set_field:42->tun_id,set_field:7->tun_gbp_id,output:tun";
    await clients.ofctl("add-flow", "br-int", `in_port=p1,actions=${out}`);
    const match = "in_port=tun,tun_id=42,tun_src=172.16.0.2,tun_dst=172.16.0.1,tun_gbp_id=0";
    await clients.ofctl("add-flow", "br-int", `${match},actions=output:p1`);
    expect(await reaches(left.host, "10.0.0.2", 10_000)).toBe(true);
    const pings = pingMeanwhile(left.host, "10.0.0.2");
    await eventually("flows", () => inKernel(left));
    await pings.finish();
  }, 30_000);

  test("packets of controllers go through, too", async () => {
    await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
    const { clients } = left.sw;
    const received = async () =>
      Number(await other.must(["cat", "/sys/class/net/vx/statistics/rx_packets"]));
    const before = await received();
    const frame = `ffffffffffff020000000001${"88b5"}${"00".repeat(46)}`;
    await eventually("a packet-out arrives", async () => {
      await clients.ofctl(
        "packet-out",
        "br-int",
        `in_port=controller packet=${frame} actions=output:tun`,
      );
      return await received() > before;
    });
  }, 30_000);
}

function workerTests(): void {
  test("each of two workers sends by sockets of its own", async () => {
    const sandbox = await Sandbox.create();
    try {
      const [one, two] = [await sandbox.netns("one"), await sandbox.netns("two")];
      await sandbox.veth({ ns: one, name: "cable" }, { ns: two, name: "cable" });
      const ends: End[] = [];
      for (const [i, ns] of [one, two].entries()) {
        const sw = await SolovsSwitch.start(sandbox, ns, "userspace");
        await sw.clients.vsctl("set open_vswitch . other_config:n-rx-workers=2");
        ends.push(await makeEnd(sandbox, sw, i + 1, "device"));
      }
      const [left, right] = ends as [End, End];
      await setTunnel(left, "vxlan", `options:remote_ip=${remote(2)} options:key=42`);
      await setTunnel(right, "vxlan", `options:remote_ip=${remote(1)} options:key=42`);
      await eventually("two workers", () => left.sw.log().includes("2 forwarding worker(s)"));
      expect(await reaches(left.host, right.ip, 20_000)).toBe(true);
      // The host's port is the second worker's: nothing was handed to the first.
      expect(await counter(left, "dp_handoffs")).toBe(0);
      for (const { sw } of ends) await sw.stop();
    } finally {
      await sandbox.dispose();
    }
  }, 60_000);
}

if (!underTestIsStock()) {
  describePrivileged("VXLAN by a device of the kernel, between two of ours", TOOLS, tests);
  describePrivileged("VXLAN by a device of the kernel, with another one", TOOLS, peerTests);
  describePrivileged("VXLAN by sockets of several workers", TOOLS, workerTests);
}
