import { describe, expect, test } from "bun:test";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import { FLOW_FLAGS } from "../../../../src/openflow/messages/types.ts";
import { PORTS } from "../../../../src/openflow/version.ts";
import { parse, udp } from "../../../support/frames.ts";
import { ALL, flowMod, Lab, out, resubmit, set } from "../pipeline/lab.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const packet = (dstPort = 6, srcMac = A, dstMac = B) =>
  udp({ srcMac, dstMac, srcIp: "10.0.0.1", dstIp: "10.0.0.2", srcPort: 5, dstPort });

async function twoPorts(normal = false) {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, normal);
  const names = async (data = packet(), from = 1) => [...(await lab.send(br, from, data)).keys()];
  return { lab, br, names };
}

describe("upcalls", () => {
  test("one megaflow serves every packet that agrees with it", async () => {
    const { lab, br } = await twoPorts();
    br.add({ match: { in_port: 1 }, actions: [out(2)] });
    await lab.cache.settle();
    for (let port = 1; port <= 50; port++) {
      expect((await lab.send(br, 1, packet(port))).size).toBe(1);
    }
    expect(lab.cache.counters()).toMatchObject({ upcall_misses: 1, megaflow_now: 1 });
  });

  test("a burst of one new flow is translated once, and each packet is sent once", async () => {
    const { lab, br } = await twoPorts();
    br.add({ actions: [out(2)] });
    await lab.cache.settle();
    const dpPort = br.ports.get(1)!.dpPort!;
    for (let i = 0; i < 500; i++) lab.datapath.inject(dpPort, { data: packet() });
    for (let i = 0; i < 20; i++) await lab.idle();
    expect(lab.collect().get("br0:2")!.length).toBe(500);
    expect(lab.cache.counters()).toMatchObject({
      upcall_misses: 500,
      upcall_translated: 1,
      upcall_joined: 499,
      upcall_overflow: 0,
    });
    expect([...br.tables.select(ALL)][0]!.packets).toBe(500);
  });

  test("at the flow limit packets still go where they should", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ match: { eth_type: 0x800, nw_proto: 17, udp_dst: 1 }, actions: [out(3)] });
    br.add({ priority: 0, actions: [out(2)] });
    lab.cache.limits.flowLimit = 0;
    expect(await names()).toEqual(["br0:2"]);
    expect(await names(packet(1))).toEqual(["br0:3"]);
    expect(lab.cache.counters()).toMatchObject({ megaflow_now: 0, upcall_limited: 2 });
  });

  test("a datapath that refuses a flow changes nothing for the packets", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ actions: [out(2)] });
    const put = lab.datapath.putFlow.bind(lab.datapath);
    const { DatapathError } = await import("../../../../src/fastpath/datapath.ts");
    lab.datapath.putFlow = () => {
      throw new DatapathError("full", "full");
    };
    expect(await names()).toEqual(["br0:2"]);
    lab.datapath.putFlow = put;
    expect(await names()).toEqual(["br0:2"]);
    expect(lab.cache.counters()).toMatchObject({ megaflow_now: 1, megaflow_refused: 1 });
  });

  test("actions that the datapath cannot do drop the packet, whoever sends it", async () => {
    const { lab, br, names } = await twoPorts();
    br.tables.meters.add({ meter: 1, flags: 1, bands: [{ type: "drop", rate: 9, burst: 9 }] });
    const down = (table: number): Action => ({
      type: "clone",
      actions: [{ type: "meter", meter: 1 }, out(3), resubmit(table)],
    });
    for (let table = 0; table < 40; table++) {
      br.add({ table, actions: [down(table + 1), set("nw_ttl", table + 1), out(2)] });
    }
    expect(await names()).toEqual([]);
    lab.cache.packetOut(br, { data: packet() }, 1, [out(PORTS.TABLE)]).send();
    expect(lab.cache.counters()).toMatchObject({
      upcall_unsupported: 2,
      upcall_crashed: 0,
      megaflow_refused: 1,
    });
    // As those of a flow that is there: it goes.
    const first = { priority: 40_000, match: { in_port: 1 } };
    br.add({ ...first, actions: [set("nw_ttl", 1), out(2)] });
    expect(await names()).toEqual(["br0:2"]);
    const { megaflow_now, megaflow_refused } = lab.cache.counters();
    br.add({ ...first, actions: [down(1), set("nw_ttl", 1), out(2), out(PORTS.CONTROLLER)] });
    await lab.cache.settle();
    expect(lab.cache.counters()).toMatchObject({
      megaflow_now: megaflow_now! - 1,
      megaflow_refused: megaflow_refused! + 1,
      revalidator_invalidated: 0,
    });
    br.add({ ...first, actions: [out(3)] });
    expect(await names()).toEqual(["br0:3"]);
    lab.clock.advance(60_000);
    await lab.cache.round();
    expect(lab.cache.counters().punts_now).toBe(0);
  });

  test("what the datapath can do is asked anew after all flows were removed", async () => {
    const { lab, br } = await twoPorts();
    let explicit = true;
    Object.assign(br, { features: { on: () => explicit, number: () => 10 } });
    await lab.cache.settle();
    await lab.send(br, 1, packet());
    expect([...lab.cache.flows].map(({ actions }) => actions)).toEqual([
      [{ type: "drop", reason: "of_pipeline" }],
    ]);
    explicit = false;
    lab.cache.purge();
    await lab.send(br, 1, packet());
    expect([...lab.cache.flows].map(({ actions }) => actions)).toEqual([[]]);
  });
});

describe("faults", () => {
  test("in the handling of one packet cost that packet only", async () => {
    const { lab, br, names } = await twoPorts(true);
    const { bundles } = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(br));
    Object.defineProperty(br, "bundles", {
      configurable: true,
      get() {
        throw new Error("broken");
      },
    });
    expect(await names()).toEqual([]);
    Object.defineProperty(br, "bundles", bundles!);
    expect(await names()).toEqual(["br0:2", "br0:3"]);
    expect(lab.cache.counters().upcall_crashed).toBe(1);
  });

  test("in a revalidation cost that megaflow only", async () => {
    const { lab, br, names } = await twoPorts(true);
    await names();
    const { bundles } = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(br));
    Object.defineProperty(br, "bundles", {
      configurable: true,
      get() {
        throw new Error("broken");
      },
    });
    lab.cache.changed();
    await lab.cache.settle();
    Object.defineProperty(br, "bundles", bundles!);
    expect(lab.cache.counters()).toMatchObject({ megaflow_now: 0, revalidator_invalidated: 1 });
    expect(await names()).toEqual(["br0:2", "br0:3"]);
  });

  test("a flood reaches thousands of ports", async () => {
    const { lab, br } = await twoPorts(true);
    for (let n = 4; n <= 5000; n++) await lab.port(br, n);
    await lab.cache.settle();
    expect((await lab.send(br, 1, packet())).size).toBe(4999);
  });
});

describe("revalidation", () => {
  test("after settle() the datapath obeys a flow-mod", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ priority: 1, actions: [out(2)] });
    expect(await names()).toEqual(["br0:2"]);
    br.add({ priority: 2, match: { in_port: 1 }, actions: [out(3)] });
    await lab.cache.settle();
    expect(await names()).toEqual(["br0:3"]);
    br.tables.apply(
      flowMod({ command: "modify", match: { in_port: 1 }, actions: [out(2), out(3)] }),
    );
    await lab.cache.settle();
    expect(await names()).toEqual(["br0:2", "br0:3"]);
    br.tables.apply(flowMod({ command: "delete" }));
    await lab.cache.settle();
    expect(await names()).toEqual([]);
    expect(lab.cache.counters().upcall_translated).toBe(1);
  });

  test("a change is obeyed soon without settle()", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ actions: [out(2)] });
    await names();
    br.tables.apply(flowMod({ command: "delete" }));
    await lab.idle();
    expect(await names()).toEqual([]);
  });

  test("a rule that tells packets apart splits the megaflow", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ priority: 1, actions: [out(2)] });
    await names();
    const web = { eth_type: 0x800, nw_proto: 17, udp_dst: 80 } as const;
    br.add({ priority: 2, match: web, actions: [out(3)] });
    await lab.cache.settle();
    expect(lab.cache.counters()).toMatchObject({ megaflow_now: 0, revalidator_invalidated: 1 });
    expect(await names(packet(80))).toEqual(["br0:3"]);
    expect(await names(packet(81))).toEqual(["br0:2"]);
  });

  test("only concerned megaflows are looked at again", async () => {
    const { lab, br, names } = await twoPorts();
    for (const port of [1, 2, 3]) br.add({ match: { in_port: port }, actions: [resubmit(1)] });
    br.add({ table: 1, actions: [out(PORTS.FLOOD)] });
    for (const port of [1, 2, 3]) await names(packet(), port);
    const before = lab.cache.counters().revalidator_retranslated!;
    br.add({ priority: 40000, match: { in_port: 2, eth_type: 0x806 }, actions: [] });
    br.add({ priority: 1, actions: [] });
    br.add({ table: 7, actions: [] });
    await lab.cache.settle();
    expect(lab.cache.counters().revalidator_retranslated).toBe(before);
    br.add({ priority: 40000, match: { in_port: 2, eth_type: 0x800 }, actions: [] });
    await lab.cache.settle();
    expect(lab.cache.counters().revalidator_retranslated).toBe(before + 1);
    expect(await names(packet(), 2)).toEqual([]);
    br.add({ table: 1, priority: 40000, match: { in_port: 1 }, actions: [] });
    await lab.cache.settle();
    expect(await names(packet(), 1)).toEqual([]);
    expect(await names(packet(), 3)).toEqual(["br0:1", "br0:2"]);
  });

  test("a rule behind a rewrite is found all the same", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ actions: [set("eth_dst", 5), { type: "goto_table", table: 1 }] });
    br.add({ table: 1, priority: 1, actions: [out(2)] });
    expect(await names()).toEqual(["br0:2"]);
    br.add({ table: 1, priority: 2, match: { eth_dst: 5 }, actions: [out(3)] });
    await lab.cache.settle();
    expect(await names()).toEqual(["br0:3"]);
  });

  test("a port that goes or changes takes its megaflows along", async () => {
    const { lab, br, names } = await twoPorts(true);
    await names(packet(6, B, A), 2);
    expect(await names()).toEqual(["br0:2"]);
    const port = br.ports.get(2)!;
    br.ports.delete(2);
    br.macs.flushBundle(port.bundle);
    lab.cache.changed();
    await lab.cache.settle();
    expect(await names()).toEqual(["br0:3"]);
    lab.cache.readStats();
    expect([...br.macs.entries()].every(({ bundle }) => bundle !== port.bundle)).toBe(true);
  });

  test("a bridge that goes leaves nothing behind", async () => {
    const { lab, br, names } = await twoPorts(true);
    await names();
    lab.cache.removeBridge(br);
    await lab.cache.settle();
    expect([...lab.datapath.flows()]).toEqual([]);
  });
});

describe("statistics", () => {
  test("reach rules, tables and MAC entries, once", async () => {
    const { lab, br, names } = await twoPorts(true);
    for (let i = 0; i < 5; i++) await names();
    lab.cache.readStats();
    lab.cache.readStats();
    const { packets, bytes } = br.tables.aggregate(ALL);
    expect([packets, bytes]).toEqual([5, 5 * packet().length]);
    expect(br.tables.stats()[0]).toMatchObject({ matched: 5, lookups: 5, active: 1 });
    lab.clock.advance(200_000);
    await names();
    lab.cache.readStats();
    lab.clock.advance(200_000);
    lab.cache.expire();
    expect(br.macs.size).toBe(1);
  });

  test("of packets that passed before a change belong to the rules of then", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ priority: 1, cookie: 1n, actions: [out(2)] });
    for (let i = 0; i < 4; i++) await names();
    br.add({ priority: 2, cookie: 2n, actions: [out(3)] });
    await lab.cache.settle();
    for (let i = 0; i < 3; i++) await names();
    const counts = [...br.tables.select(ALL)].map(({ cookie, packets }) => [cookie, packets]);
    expect(counts.toSorted()).toEqual([[1n, 4], [2n, 3]]);
  });

  test("are complete in flow-removed, whatever the megaflow still held", async () => {
    const { br, names } = await twoPorts();
    const removed: number[] = [];
    br.tables.listen((changes) => {
      for (const c of changes) if (c.event === "removed") removed.push(c.rule.packets);
    });
    br.add({ flags: FLOW_FLAGS.SEND_FLOW_REM, actions: [out(2)] });
    for (let i = 0; i < 4; i++) await names();
    br.tables.apply(flowMod({ command: "delete" }));
    expect(removed).toEqual([4]);
  });

  test("are not counted twice by packets for controllers", async () => {
    const { br, names } = await twoPorts();
    br.add({ actions: [set("nw_ttl", 9), out(PORTS.CONTROLLER, 0xffff), out(2)] });
    for (let i = 0; i < 3; i++) await names();
    expect(br.tables.aggregate(ALL).packets).toBe(3);
    expect(br.packetIns.map(({ packet: { data } }) => parse(data).ttl)).toEqual([9, 9, 9]);
  });
});

describe("time", () => {
  test("an idle megaflow goes after 1.5 s, one in use stays", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ actions: [out(2)] });
    lab.cache.start();
    await names();
    for (let i = 0; i < 6; i++) {
      lab.clock.advance(500);
      await names();
    }
    expect([...lab.datapath.flows()].length).toBe(1);
    for (let i = 0; i < 4; i++) {
      lab.clock.advance(500);
      await lab.idle();
    }
    expect([...lab.datapath.flows()].length).toBe(0);
    expect(br.tables.aggregate(ALL).packets).toBe(7);
    await lab.cache.stop();
  });

  test("traffic in the fast path keeps a rule from its idle timeout", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ idleTimeout: 2, actions: [out(2)] });
    lab.cache.start();
    for (let i = 0; i < 10; i++) {
      await names();
      lab.clock.advance(900);
      await lab.idle();
    }
    expect(br.tables.size).toBe(1);
    for (let i = 0; i < 4; i++) {
      lab.clock.advance(1000);
      await lab.idle();
    }
    expect(br.tables.size).toBe(0);
    await lab.cache.stop();
  });

  test("fin_timeout acts when a FIN passes in the fast path", async () => {
    const { lab, br } = await twoPorts();
    const fin: Action = { type: "fin_timeout", idle: 3, hard: 0 };
    br.add({ actions: [fin, out(2)] });
    const tcp = (flags: number) => {
      const frame = packet();
      frame[14 + 9] = 6;
      frame[14 + 20 + 12] = 0x50;
      frame[14 + 20 + 13] = flags;
      return frame;
    };
    await lab.send(br, 1, tcp(0x10));
    await lab.send(br, 1, tcp(0x10));
    lab.cache.readStats();
    expect([...br.tables.select(ALL)][0]!.idleTimeout).toBe(0);
    await lab.send(br, 1, tcp(0x11));
    lab.cache.readStats();
    expect([...br.tables.select(ALL)][0]!.idleTimeout).toBe(3);
  });

  test("numbers of packets for controllers are given back", async () => {
    const { lab, br, names } = await twoPorts();
    br.add({ actions: [out(PORTS.CONTROLLER, 64)] });
    lab.cache.start();
    await names();
    expect(lab.cache.counters().punts_now).toBe(1);
    for (let i = 0; i < 10; i++) {
      lab.clock.advance(500);
      await lab.idle();
    }
    expect(lab.cache.counters()).toMatchObject({ punts_now: 0, megaflow_now: 0 });
    await names();
    expect(br.packetIns.length).toBe(2);
    await lab.cache.stop();
  });
});
