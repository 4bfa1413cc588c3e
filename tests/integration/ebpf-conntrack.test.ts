/** Connections through the kernel: what is opened, carries data and closes is tracked all the while. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { addHost, ping } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const TOOLS = [...SWITCH_TOOLS, "nsenter", "ping", "iperf3"];

/** What the first host shows its packets under, and what it knows the second by. */
const [SHOWN, SERVICE] = ["10.0.0.100", "10.0.0.200"];
const FLOWS = [
  "priority=1,arp,actions=normal",
  "priority=9,ip,ct_state=-trk,actions=ct(table=1,zone=7,nat)",
  `table=1,priority=9,ip,ct_state=+new,in_port=p1,nw_dst=${SERVICE},` +
  "actions=ct(commit,zone=7,nat(dst=10.0.0.2)),p2",
  "table=1,priority=8,ip,ct_state=+new,in_port=p1," +
  `actions=ct(commit,zone=7,nat(src=${SHOWN})),p2`,
  "table=1,priority=7,ip,ct_state=+est+trk,in_port=p1,actions=mod_dl_dst:02:00:00:00:00:02,p2",
  "table=1,priority=7,ip,ct_state=+est+trk,in_port=p2,actions=p1",
];

describePrivileged("connections with flows in the kernel", TOOLS, () => {
  let sandbox: Sandbox;
  beforeEach(async () => {
    sandbox = await Sandbox.create();
  }, 60_000);
  afterEach(() => sandbox.dispose());

  test("ICMP, UDP and TCP, translated both ways, through a restart", async () => {
    const ns = await sandbox.netns("sw");
    const [a, b] = [await addHost(sandbox, ns, 1), await addHost(sandbox, ns, 2)];
    await a.ns.ip(`neigh replace ${SERVICE} lladdr ${b.mac} dev eth0 nud permanent`);
    await b.ns.ip(`neigh replace ${SHOWN} lladdr ${a.mac} dev eth0 nud permanent`);
    const sw = await SolovsSwitch.start(sandbox, ns, "ebpf");
    await sw.addBridge("br0");
    await sw.clients.vsctl(
      ...["set-fail-mode", "br0", "secure", "--", "set", "bridge", "br0"],
      "other_config:persist-flows=true",
    );
    await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2");
    for (const flow of FLOWS) await sw.clients.ofctl("add-flow", "br0", flow);

    const counter = async (name: string): Promise<number> => {
      const { stdout } = await sw.clients.tryAppctl("coverage/show");
      return Number(new RegExp(`^dp_${name}\\s.*total: (\\d+)`, "m").exec(stdout)?.[1] ?? NaN);
    };
    const dump = async (...words: readonly string[]): Promise<string[]> => {
      const { stdout } = await sw.clients.tryAppctl("dpctl/dump-conntrack");
      return stdout.split("\n").filter((line) => words.every((word) => line.includes(word)));
    };
    const used = async (more: number): Promise<void> => {
      const now = async () => (await counter("ct_kernel_hits")) >= 0;
      await eventually("the switch answers", now, { timeoutMs: 30_000 });
      const before = await counter("ct_kernel_hits");
      await eventually(
        "packets in the kernel",
        async () => await counter("ct_kernel_hits") > before + more,
        { timeoutMs: 30_000 },
      );
    };

    // The source is translated; flows with `ct` are in the kernel, and known packets stay there.
    await eventually("echoes in the kernel", async () => {
      expect((await ping(a.ns, b.ip, { count: 20, intervalSec: 0.01 })).received).toBe(20);
      return await counter("ct_kernel_hits") > 20;
    }, { timeoutMs: 30_000 });
    expect((await dump("icmp", `dst=${SHOWN}`)).length).toBeGreaterThan(0);
    const flows = (await sw.clients.appctl("dpctl/dump-flows")).split("\n")
      .filter((line) => line.includes("ct("));
    expect(flows.length).toBeGreaterThan(1);
    for (const line of flows) expect(line).toContain("dp:ebpf");

    const serve = b.ns.spawn(["iperf3", "-s", "--forceflush"]);
    await eventually("iperf3 listens", () => serve.log.includes("listening"));
    const client = (...more: string[]) =>
      a.ns.spawn(["iperf3", "-c", SERVICE, "--forceflush", ...more]);

    // UDP, with a connection of TCP beside it that reports.
    const datagrams = client("-u", "-b", "2M", "-l", "200", "-t", "1");
    await used(20);
    expect(await dump("udp", `dst=${SERVICE}`, `reply=(src=${b.ip}`)).toHaveLength(1);
    expect(await datagrams.ended(20_000)).toBe(0);

    // TCP for long, through the end of the process.
    const stream = client("-b", "4M", "-t", "600");
    await used(20);
    const open = ["tcp", `dst=${SERVICE}`, `reply=(src=${b.ip}`, "state=ESTABLISHED"];
    const before = await dump(...open);
    expect(before).toHaveLength(2);
    await sw.killNow();
    await sw.restart();
    await eventually(
      "the next process knows the connections",
      async () => (await dump(...open)).length === 2,
      { timeoutMs: 30_000 },
    );
    await used(20);
    expect((await dump(...open)).sort()).toEqual(before.sort());

    // Closed: the states that follow are the tracker's, and the kernel lets go.
    stream.signal("SIGINT");
    await stream.ended(10_000);
    await eventually("the connections are closed", async () => (await dump(...open)).length === 0);
    expect((await dump("tcp", `dst=${SERVICE}`)).length).toBeGreaterThan(1);
    // What somebody flushes is gone at once.
    await sw.clients.appctl("dpctl/flush-conntrack");
    expect(await counter("ct_kernel_entries")).toBe(0);
    await serve.stop();
    await sw.stop();
  }, 120_000);
});
