/** The memory datapath against the suite, and what only it has. Needs nothing. */
import { expect, test } from "bun:test";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { openMemoryDatapath } from "../../../src/fastpath/memory/datapath.ts";
import { frameOf, matchOf } from "./bench.ts";
import { superTcp } from "./offloads.ts";
import type { Implementation } from "./rig.ts";
import { datapathConformance } from "./suite.ts";

const memory: Implementation = {
  name: "memory",
  skips: { "a flood of one port's misses leaves room for another's": "all ports have one queue" },
  open() {
    const devices = new Set<string>();
    const datapath = openMemoryDatapath({ devices });
    return Promise.resolve({
      datapath,
      async plug(name, type = "device") {
        if (type === "device") devices.add(name);
        const port = await datapath.addPort({ name, type });
        const { portNo } = port;
        const pending: ReturnType<typeof datapath.transmitted> = [];
        return {
          port,
          send: (packet) => datapath.inject(portNo, packet),
          receive: () => {
            if (pending.length === 0) pending.push(...datapath.transmitted(portNo));
            return pending.shift();
          },
          lose: () => {
            devices.delete(name);
            datapath.loseDevice(portNo, "the device was removed");
            return Promise.resolve();
          },
        };
      },
      close: () => datapath.close(),
    });
  },
};

datapathConformance(memory);

test("a full table refuses new flows, not changes to old ones", () => {
  const datapath = openMemoryDatapath({ maxFlows: 1 });
  const flow = (id: number, type: string) => ({
    id,
    match: matchOf({ eth_type: type }),
    actions: [],
  });
  datapath.putFlow(flow(1, "0x800"));
  expect(() => datapath.putFlow(flow(2, "0x806"))).toThrow("1 flows already");
  datapath.putFlow(flow(1, "0x806"));
  datapath.deleteFlow(1);
  datapath.putFlow(flow(2, "0x800"));
  expect([...datapath.flows()].map(({ id }) => id)).toEqual([2]);
});

test("upcalls beyond the limit are dropped and counted", async () => {
  const datapath = openMemoryDatapath({ maxUpcalls: 2 });
  const seen: Packet[] = [];
  datapath.listen({ upcall: ({ packet }) => seen.push(packet), portLost: () => {} });
  const { portNo } = await datapath.addPort({ name: "a", type: "device" });
  for (let i = 0; i < 5; i++) datapath.inject(portNo, { data: frameOf() });
  expect(seen).toHaveLength(0);
  await datapath.barrier();
  expect(seen).toHaveLength(2);
  expect(datapath.counters()["drop_upcall_ring_full"]).toBe(3);
  datapath.inject(portNo, { data: frameOf() });
  await datapath.barrier();
  expect(seen).toHaveLength(3);
});

test("a super-packet that is cut becomes the beginning of a plain one", async () => {
  const datapath = openMemoryDatapath();
  const { portNo } = await datapath.addPort({ name: "a", type: "device" });
  datapath.execute(superTcp(5000, 1000), [
    { type: "trunc", maxLength: 100 },
    { type: "output", port: portNo },
  ], 0);
  const [packet] = datapath.transmitted(portNo);
  expect(packet!.vnet).toBeUndefined();
  expect(packet!.data).toHaveLength(100);
  expect((packet!.data[16]! << 8) | packet!.data[17]!).toBe(20 + 20 + 1000);
});
