/** What other_config:max-idle, max-revalidator, flow-limit and min-revalidate-pps do. */
import { describe, expect, test } from "bun:test";
import { udp } from "../../../support/frames.ts";
import { ALL, Lab, out } from "../pipeline/lab.ts";

const packet = (dstPort: number) =>
  udp({
    srcMac: "02:00:00:00:00:0a",
    dstMac: "02:00:00:00:00:0b",
    srcIp: "10.0.0.1",
    dstIp: "10.0.0.2",
    srcPort: 5,
    dstPort,
  });

/** A bridge with a megaflow for each UDP port, of which there are `flows`. */
async function rig(flows: number) {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} });
  br.add({ match: { eth_type: 0x800, nw_proto: 17, udp_dst: 60_000 }, actions: [out(3)] });
  br.add({ match: { eth_type: 0x800, nw_proto: 17, udp_dst: 1 }, actions: [out(3)] });
  br.add({ priority: 0, actions: [out(2)] });
  await lab.cache.settle();
  const dpPort = br.ports.get(1)!.dpPort!;
  const send = async (dstPort: number, times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) lab.datapath.inject(dpPort, { data: packet(dstPort) });
    await lab.idle();
  };
  const { limits } = lab.cache;
  // Exact matches: a megaflow for each.
  lab.cache.setMegaflows(false);
  for (let port = 1; port <= flows; port++) await send(port);
  return { lab, br, limits, send, now: () => lab.cache.flows.size };
}

describe("limits of the flow cache", () => {
  test("max-idle: a flow goes when it was idle for so long, and no sooner", async () => {
    const { lab, limits, send, now } = await rig(3);
    limits.maxIdleMs = 400;
    await lab.cache.round();
    expect(now()).toBe(3);
    lab.clock.advance(300);
    await send(1);
    await lab.cache.round();
    expect(now()).toBe(3);
    lab.clock.advance(200);
    await lab.cache.round();
    expect(now()).toBe(1);
    lab.clock.advance(400);
    await lab.cache.round();
    expect(now()).toBe(0);
  });

  test("max-revalidator: rounds are so far apart", async () => {
    const { lab, limits } = await rig(0);
    const rounds = () => lab.cache.counters().revalidator_rounds!;
    limits.maxRevalidatorMs = 200;
    lab.cache.start();
    // The round that is due was set under the old limit.
    lab.clock.advance(500);
    await lab.idle();
    const before = rounds();
    for (let i = 0; i < 10; i++) {
      lab.clock.advance(100);
      await lab.idle();
    }
    expect(rounds() - before).toBe(5);
  });

  test("flow-limit: above it idle flows go after 100 ms, far above it all go", async () => {
    const { lab, limits, send, now } = await rig(6);
    limits.flowLimit = 5;
    lab.clock.advance(150);
    await send(1);
    await lab.cache.round();
    expect(now()).toBe(1);
    for (let port = 2; port <= 5; port++) await send(port);
    limits.flowLimit = 2;
    await lab.cache.round();
    expect(now()).toBe(0);
    await send(1, 3);
    expect(lab.collect().get("br0:3")!.length).toBeGreaterThan(0);
  });

  test("min-revalidate-pps: with too little time, flows of little use go untranslated", async () => {
    for (const minRevalidatePps of [5, 0]) {
      const { lab, br, limits, send, now } = await rig(20);
      limits.minRevalidatePps = minRevalidatePps;
      limits.maxIdleMs = 60_000;
      await lab.cache.round();
      lab.clock.advance(1000);
      await send(1, 10);
      // As if each search took a second.
      const search = br.tables.lookup.bind(br.tables);
      br.tables.lookup = (...args) => {
        lab.clock.advance(1000);
        return search(...args);
      };
      const modify = async (port: number): Promise<void> => {
        br.add({ command: "modify", actions: [out(port)] });
        for (let i = 0; i < 10; i++) await lab.idle();
      };
      await modify(2);
      await send(1, 400);
      const before = now();
      await modify(3);
      const spared = lab.cache.counters().revalidator_spared!;
      if (minRevalidatePps === 0) expect([spared, now()]).toEqual([0, before]);
      else {
        expect(spared).toBeGreaterThan(0);
        expect(now()).toBe(before - spared);
      }
      expect([...br.tables.select(ALL)].length).toBe(3);
    }
  });
});
