/** Flows that a process before left in the kernel, taken over by one that starts from nothing. */
import { expect, test } from "bun:test";
import type { InheritedFlow } from "../../../../src/fastpath/datapath.ts";
import { udp } from "../../../support/frames.ts";
import { ALL, Lab, out } from "../pipeline/lab.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const packet = (srcMac: string, dstMac: string) =>
  udp({ srcMac, dstMac, srcIp: "10.0.0.1", dstIp: "10.0.0.2", srcPort: 5, dstPort: 6 });

/** A switch with three ports whose datapath still has these flows. */
async function heirOf(kept: readonly InheritedFlow[], normal: boolean) {
  const lab = new Lab();
  const inherited = new Map<number, number>();
  const stats = lab.datapath.flowStats.bind(lab.datapath);
  Object.assign(lab.datapath, {
    inherited: () => kept,
    inherit: (id: number, handle: number) => inherited.set(id, handle),
    flowStats: (id: number) => {
      const own = stats(id);
      const old = kept.find(({ handle }) => handle === inherited.get(id))?.stats.packets ?? 0;
      return { ...own, packets: own.packets + old };
    },
  });
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, normal);
  return { lab, br, inherited };
}

/** The flows of a learning switch for packets from A, behind port 1, to B, behind port 2, and back. */
async function learned(usedMs: readonly [number, number]): Promise<InheritedFlow[]> {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, true);
  for (let i = 0; i < 2; i++) {
    await lab.send(br, 1, packet(A, B));
    await lab.send(br, 2, packet(B, A));
    await lab.cache.settle();
  }
  const flows = [...lab.datapath.flows()];
  expect(flows).toHaveLength(2);
  return flows.map(({ match }, i) => ({
    match,
    handle: 100 + i,
    stats: { packets: 7, bytes: 700, lastUsedMs: usedMs[i]!, tcpFlags: 0 },
  }));
}

test("known flows do not miss, and go where what they teach together says", async () => {
  const { lab, br, inherited } = await heirOf(await learned([999_000, 999_500]), true);
  expect(await lab.cache.inherit()).toBe(2);
  expect([...inherited.values()].sort()).toEqual([100, 101]);
  expect([...(await lab.send(br, 1, packet(A, B))).keys()]).toEqual(["br0:2"]);
  expect([...(await lab.send(br, 2, packet(B, A))).keys()]).toEqual(["br0:1"]);
  expect(lab.cache.counters()).toMatchObject({ upcall_misses: 0, megaflow_now: 2 });
  // The rule has what it saw.
  lab.cache.readStats();
  expect([...br.tables.select(ALL)][0]!.packets).toBe(2);
});

test("a flow that was not used for long is nobody's", async () => {
  const { lab } = await heirOf(await learned([999_000, 940_000]), true);
  expect(await lab.cache.inherit()).toBe(1);
});

test("this process's rules decide, not those of then", async () => {
  const { lab, br } = await heirOf(await learned([999_000, 999_500]), false);
  br.add({ match: { in_port: 1 }, actions: [out(3)] });
  await lab.cache.inherit();
  expect([...(await lab.send(br, 1, packet(A, B))).keys()]).toEqual(["br0:3"]);
  expect((await lab.send(br, 2, packet(B, A))).size).toBe(0);
  expect(lab.cache.counters()).toMatchObject({ upcall_misses: 0 });
});

test("a flow whose packets must be told apart further comes up again", async () => {
  const { lab, br } = await heirOf(await learned([999_000, 999_500]), false);
  br.add({ match: { eth_type: 0x800, nw_proto: 17, udp_dst: 6 }, actions: [out(3)] });
  expect(await lab.cache.inherit()).toBe(0);
  expect([...(await lab.send(br, 1, packet(A, B))).keys()]).toEqual(["br0:3"]);
  expect(lab.cache.counters()).toMatchObject({ upcall_misses: 1 });
});
