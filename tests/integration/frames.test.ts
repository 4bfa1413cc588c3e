/**
 * Frame by frame: what goes in at one port, and exactly what comes out where. VLAN modes of ports
 * (access, trunk, native) as ovs-vswitchd.conf.db(5) states them, and the actions that change a
 * frame. Frames are made and read by the test itself through raw sockets.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { arpRequest, parse, type Seen, type Tag, udp } from "../support/frames.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { type RunningSwitch, startSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const A = "02:aa:00:00:00:01";
const B = "02:bb:00:00:00:02";

/** Ports p1…pN of br0, each with the far end of its cable as a raw port. */
class Bench {
  readonly ports = new Map<number, RawPort>();
  private constructor(readonly sandbox: Sandbox, readonly sw: RunningSwitch) {}

  static async create(count: number): Promise<Bench> {
    const sandbox = await Sandbox.create();
    const sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    const bench = new Bench(sandbox, sw);
    const far = await sandbox.netns("far");
    await sw.addBridge("br0");
    for (let n = 1; n <= count; n++) {
      await sandbox.veth({ ns: far, name: `far${n}` }, { ns: sw.ns, name: `p${n}` });
      await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
      bench.ports.set(n, new RawPort(far, `far${n}`));
    }
    return bench;
  }

  async dispose(): Promise<void> {
    for (const port of this.ports.values()) port.close();
    await this.sw.stop();
    await this.sandbox.dispose();
  }

  /**
   * Sends a frame into port `from` and gathers what comes out of all ports: waits until every port
   * in `expected` has it, then a little longer for what should not be.
   */
  async through(
    from: number,
    frame: Uint8Array,
    marked: (seen: Seen) => boolean,
    expected: readonly number[],
  ): Promise<Map<number, Seen>> {
    for (const port of this.ports.values()) port.drain();
    const out = new Map<number, Seen>();
    const collect = () => {
      for (const [n, port] of this.ports) {
        for (let got = port.receive(); got !== undefined; got = port.receive()) {
          const seen = parse(got);
          if (!marked(seen)) continue;
          if (out.has(n)) throw new Error(`port ${n} got the frame twice`);
          out.set(n, seen);
        }
      }
    };
    if (!this.ports.get(from)!.send(frame)) throw new Error("the sending queue is full");
    const end = performance.now() + 2000;
    while (performance.now() < end && !expected.every((n) => out.has(n))) {
      collect();
      await Bun.sleep(2);
    }
    await Bun.sleep(40);
    collect();
    return out;
  }
}

const sortedKeys = (map: Map<number, Seen>) => [...map.keys()].sort((a, b) => a - b);
const tagsOf = (seen: Seen | undefined) => seen?.tags.map((tag) => tag.vid);

describePrivileged("VLAN modes of ports", SWITCH_TOOLS, () => {
  let bench: Bench;
  let ip = 0;
  beforeAll(async () => {
    bench = await Bench.create(5);
    await bench.sw.clients.vsctl(
      "set port p1 tag=10 -- set port p2 tag=20 -- set port p3 trunks=10,20" +
        " -- set port p4 tag=10 vlan_mode=native-untagged trunks=10,20" +
        " -- set port p5 tag=20 vlan_mode=native-tagged trunks=10,20",
    );
  }, 30_000);
  afterAll(async () => {
    await bench?.dispose();
  }, 30_000);

  /** A broadcast in from `from`; which ports give it out with which tags. */
  const flood = async (from: number, tags: readonly Tag[], expected: readonly number[]) => {
    const frame = arpRequest(A, `10.1.0.${++ip}`, "10.1.0.200", tags);
    const out = await bench.through(from, frame, (s) => s.srcMac === A, expected);
    return Object.fromEntries([...out].map(([n, seen]) => [n, tagsOf(seen)]));
  };

  test("access: untagged in, its VLAN's ports only", async () => {
    expect(await flood(1, [], [3, 4, 5])).toEqual({ 3: [10], 4: [], 5: [10] });
    expect(await flood(2, [], [3, 4, 5])).toEqual({ 3: [20], 4: [20], 5: [20] });
  }, 20_000);

  test("access: a tagged frame is dropped", async () => {
    expect(await flood(1, [{ vid: 20 }], [])).toEqual({});
    expect(await flood(1, [{ vid: 10 }], [])).toEqual({});
  }, 20_000);

  test("access: a priority tag counts as untagged", async () => {
    const out = await flood(1, [{ vid: 0, pcp: 5 }], [3, 4, 5]);
    expect(Object.keys(out)).toEqual(["3", "4", "5"]);
    expect(out[3]).toEqual([10]);
  }, 20_000);

  test("trunk: tagged in, tagged out on trunks, untagged on access", async () => {
    expect(await flood(3, [{ vid: 10 }], [1, 4, 5])).toEqual({ 1: [], 4: [], 5: [10] });
    expect(await flood(3, [{ vid: 20 }], [2, 4, 5])).toEqual({ 2: [], 4: [20], 5: [20] });
  }, 20_000);

  test("trunk: a VLAN it does not carry is dropped, so is untagged", async () => {
    expect(await flood(3, [{ vid: 30 }], [])).toEqual({});
    expect(await flood(3, [], [])).toEqual({});
  }, 20_000);

  test("native-untagged: untagged in is the native VLAN", async () => {
    expect(await flood(4, [], [1, 3, 5])).toEqual({ 1: [], 3: [10], 5: [10] });
    expect(await flood(4, [{ vid: 20 }], [2, 3, 5])).toEqual({ 2: [], 3: [20], 5: [20] });
  }, 20_000);

  test("native-tagged: in as native-untagged, out with its tag", async () => {
    expect(await flood(5, [], [2, 3, 4])).toEqual({ 2: [], 3: [20], 4: [20] });
    expect(await flood(5, [{ vid: 10 }], [1, 3, 4])).toEqual({ 1: [], 3: [10], 4: [] });
  }, 20_000);

  test("a learned address is used in its own VLAN only", async () => {
    await bench.sw.clients.appctl("fdb/flush br0");
    await flood(3, [{ vid: 10 }], [1, 4, 5]); // A is at p3 in VLAN 10 now.
    const to = (srcMac: string) =>
      udp({ srcMac, dstMac: A, srcIp: "10.1.0.2", dstIp: "10.1.0.1", srcPort: 4321 });
    const same = await bench.through(1, to(B), (s) => s.srcPort === 4321, [3]);
    expect(sortedKeys(same)).toEqual([3]);
    expect(tagsOf(same.get(3))).toEqual([10]);
    const other = await bench.through(2, to(B), (s) => s.srcPort === 4321, [3, 4, 5]);
    expect(sortedKeys(other)).toEqual([3, 4, 5]);
  }, 20_000);
});

describePrivileged("actions on frames", SWITCH_TOOLS, () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.create(3);
  }, 30_000);
  beforeEach(async () => {
    await bench.sw.clients.ofctl("del-flows br0");
  });
  afterAll(async () => {
    await bench?.dispose();
  }, 30_000);

  const base = { srcMac: A, dstMac: B, srcIp: "10.0.0.1", dstIp: "10.0.0.2", dstPort: 2000 };

  interface Case {
    readonly name: string;
    readonly flows: string;
    readonly tags?: readonly Tag[];
    readonly ttl?: number;
    /** Port → what the frame that comes out of it must contain. */
    readonly out: Readonly<Record<number, Partial<Seen> & { vids?: readonly number[] }>>;
  }

  const cases: readonly Case[] = [
    { name: "output", flows: "in_port=1 actions=output:2", out: { 2: { checksumsHold: true } } },
    { name: "output to two ports", flows: "in_port=1 actions=2,3", out: { 2: {}, 3: {} } },
    { name: "drop", flows: "in_port=1 actions=drop", out: {} },
    { name: "output to its own port does nothing", flows: "actions=output:1", out: {} },
    { name: "IN_PORT", flows: "in_port=1 actions=IN_PORT", out: { 1: {} } },
    { name: "FLOOD", flows: "in_port=1 actions=FLOOD", out: { 2: {}, 3: {} } },
    { name: "ALL", flows: "in_port=1 actions=ALL", out: { 2: {}, 3: {} } },
    { name: "NORMAL floods the unknown", flows: "actions=NORMAL", out: { 2: {}, 3: {} } },
    {
      name: "set Ethernet addresses",
      flows: "in_port=1 actions=mod_dl_src:02:01:01:01:01:01,mod_dl_dst:02:02:02:02:02:02,2",
      out: { 2: { srcMac: "02:01:01:01:01:01", dstMac: "02:02:02:02:02:02" } },
    },
    {
      name: "set IPv4 addresses: checksums follow",
      flows: "ip,in_port=1 actions=mod_nw_src:192.0.2.1,mod_nw_dst:192.0.2.2,2",
      out: { 2: { srcIp: "192.0.2.1", dstIp: "192.0.2.2", checksumsHold: true } },
    },
    {
      name: "set DSCP",
      flows: "ip,in_port=1 actions=mod_nw_tos:184,2",
      out: { 2: { tos: 184, checksumsHold: true } },
    },
    {
      name: "set UDP ports",
      flows: "udp,in_port=1 actions=mod_tp_src:53,mod_tp_dst:54,2",
      out: { 2: { srcPort: 53, dstPort: 54, checksumsHold: true } },
    },
    {
      name: "dec_ttl",
      flows: "ip,in_port=1 actions=dec_ttl,2",
      ttl: 9,
      out: { 2: { ttl: 8, checksumsHold: true } },
    },
    {
      name: "set_field",
      flows: "ip,in_port=1 actions=set_field:198.51.100.7->ip_dst,2",
      out: { 2: { dstIp: "198.51.100.7", checksumsHold: true } },
    },
    {
      name: "each output sees the changes made before it only",
      flows: "udp,in_port=1 actions=2,mod_tp_dst:54,3",
      out: { 2: { dstPort: 2000 }, 3: { dstPort: 54, checksumsHold: true } },
    },
    {
      name: "mod_vlan_vid pushes",
      flows: "in_port=1 actions=mod_vlan_vid:77,2",
      out: { 2: { vids: [77], checksumsHold: true } },
    },
    {
      name: "push_vlan and set the tag",
      flows: "in_port=1 actions=push_vlan:0x8100,set_field:4173->vlan_vid,2",
      out: { 2: { vids: [77] } },
    },
    {
      name: "push_vlan over a tag",
      flows: "in_port=1 actions=push_vlan:0x8100,set_field:4173->vlan_vid,2",
      tags: [{ vid: 5 }],
      out: { 2: { vids: [77, 5] } },
    },
    {
      name: "strip_vlan",
      flows: "in_port=1,dl_vlan=5 actions=strip_vlan,2",
      tags: [{ vid: 5, pcp: 3 }],
      out: { 2: { vids: [], checksumsHold: true } },
    },
    {
      name: "a tag passes as it came",
      flows: "in_port=1 actions=2",
      tags: [{ vid: 5, pcp: 3 }],
      out: { 2: { tags: [{ tpid: 0x8100, vid: 5, pcp: 3 }] } },
    },
    {
      name: "two tags pass as they came",
      flows: "in_port=1 actions=2",
      tags: [{ vid: 6, tpid: 0x88a8 }, { vid: 5 }],
      out: { 2: { vids: [6, 5] } },
    },
    {
      name: "set the VLAN's id of a tagged frame",
      flows: "in_port=1,dl_vlan=5 actions=mod_vlan_vid:8,2",
      tags: [{ vid: 5, pcp: 3 }],
      out: { 2: { tags: [{ tpid: 0x8100, vid: 8, pcp: 3 }] } },
    },
    {
      name: "match on the VLAN: no tag, no match",
      flows: "in_port=1,dl_vlan=5 actions=2\nin_port=1,vlan_tci=0 actions=3",
      out: { 3: {} },
    },
    {
      name: "the higher priority wins",
      flows: "priority=5,udp,tp_dst=2000 actions=3\npriority=4,in_port=1 actions=2",
      out: { 3: {} },
    },
    {
      name: "masked match",
      flows: "ip,nw_dst=10.0.0.0/30 actions=3\npriority=1 actions=2",
      out: { 3: {} },
    },
    {
      name: "resubmit to another table, then go on",
      flows: "table=0,in_port=1 actions=resubmit(,4),3\ntable=4,udp actions=mod_tp_dst:54,2",
      out: { 2: { dstPort: 54 }, 3: { dstPort: 54 } },
    },
    {
      name: "resubmit as if from another port",
      flows: "in_port=1 actions=resubmit:3\nin_port=3 actions=2",
      out: { 2: {} },
    },
    {
      name: "write_actions happen at the end",
      flows: "table=0,in_port=1 actions=write_actions(output:2),goto_table:1\n" +
        "table=1,udp actions=mod_tp_dst:54",
      out: { 2: { dstPort: 54 } },
    },
    {
      name: "clear_actions takes them back",
      flows: "table=0,in_port=1 actions=write_actions(output:2),goto_table:1\n" +
        "table=1 actions=clear_actions",
      out: {},
    },
  ];

  for (const [index, c] of cases.entries()) {
    test(c.name, async () => {
      await bench.sw.clients.addFlows("br0", c.flows, "OpenFlow13");
      await bench.sw.clients.flowsInForce();
      const frame = udp({
        ...base,
        srcPort: 3000 + index,
        payload: new TextEncoder().encode(`solovs case ${index}`),
        ...(c.tags === undefined ? {} : { tags: c.tags }),
        ...(c.ttl === undefined ? {} : { ttl: c.ttl }),
      });
      const ports = Object.keys(c.out).map(Number);
      const out = await bench.through(1, frame, (s) => s.type === 0x0800, ports);
      expect(sortedKeys(out)).toEqual(ports);
      for (const port of ports) {
        const { vids, ...rest } = c.out[port]!;
        expect(out.get(port)).toMatchObject(rest as Record<string, unknown>);
        if (vids !== undefined) expect(tagsOf(out.get(port))).toEqual([...vids]);
      }
    }, 20_000);
  }

  test("no flow, fail mode standalone without a controller: dropped", async () => {
    await bench.sw.clients.flowsInForce();
    const out = await bench.through(1, udp(base), (s) => s.type === 0x0800, []);
    expect(sortedKeys(out)).toEqual([]);
  }, 20_000);

  test("mod-port no-forward and no-flood keep frames back", async () => {
    await bench.sw.clients.ofctl("add-flow br0 in_port=1,actions=FLOOD");
    await bench.sw.clients.ofctl("mod-port br0 3 no-flood");
    await bench.sw.clients.flowsInForce();
    const some = await bench.through(1, udp(base), (s) => s.type === 0x0800, [2]);
    expect(sortedKeys(some)).toEqual([2]);
    await bench.sw.clients.ofctl("mod-port br0 3 flood");
    await bench.sw.clients.ofctl("mod-port br0 2 no-forward");
    await bench.sw.clients.flowsInForce();
    const other = await bench.through(1, udp(base), (s) => s.type === 0x0800, [3]);
    expect(sortedKeys(other)).toEqual([3]);
    await bench.sw.clients.ofctl("mod-port br0 2 forward");
  }, 20_000);
});
