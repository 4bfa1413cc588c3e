/** Buckets of policing, and what main and workers see of each other. */
import { expect, test } from "bun:test";
import { SharedTraffic, TrafficView } from "../../../src/fastpath/userspace/port-traffic.ts";
import { SharedState } from "../../../src/fastpath/userspace/shared.ts";

test("no more comes in than the rate and the burst allow, by bytes and by packets", () => {
  const shared = new SharedState();
  const traffic = new SharedTraffic([{ shared }]);
  const view = new TrafficView(shared, 7);
  expect([view.polices, view.shaped]).toEqual([false, false]);
  const rate = { bytesPerSec: 100_000, burstBytes: 3000, packetsPerSec: 0, burstPackets: 0 };
  traffic.setPolicing(7, rate);
  traffic.setShaped(7, true);
  expect([view.polices, view.shaped]).toEqual([true, true]);
  expect(new TrafficView(shared, 8).polices).toBe(false);

  view.refill(1000);
  const admitted = (bytes: number): number => {
    let n = 0;
    while (n < 1000 && view.admits(bytes)) n++;
    return n;
  };
  expect(admitted(1000)).toBe(3);
  view.refill(1020);
  expect(admitted(1000)).toBe(2);
  view.refill(99_000);
  expect(admitted(1000)).toBe(3);

  traffic.setPolicing(7, { ...rate, bytesPerSec: 0, packetsPerSec: 1000, burstPackets: 5 });
  view.refill(200_000);
  expect(admitted(1_000_000)).toBe(5);
  view.refill(200_002);
  expect(admitted(1)).toBe(2);
  traffic.clear(7);
  expect([view.polices, view.shaped]).toEqual([false, false]);
});

test("a frame longer than the burst comes through a full bucket, and is paid for", () => {
  const shared = new SharedState();
  const rate = { bytesPerSec: 1000, burstBytes: 2000, packetsPerSec: 0, burstPackets: 0 };
  new SharedTraffic([{ shared }]).setPolicing(0, rate);
  const view = new TrafficView(shared, 0);
  view.refill(1);
  expect([view.admits(10_000), view.admits(1)]).toEqual([true, false]);
  view.refill(8_000);
  expect(view.admits(1)).toBe(false);
  view.refill(10_101);
  expect(view.admits(1)).toBe(true);
});

test("a worker that comes later sees the same", () => {
  const [first, second] = [new SharedState(), new SharedState()];
  const links = [{ shared: first }];
  const traffic = new SharedTraffic(links);
  traffic.setShaped(3, true);
  traffic.introduce(second, first, [3]);
  links.push({ shared: second });
  expect(new TrafficView(second, 3).shaped).toBe(true);
  traffic.setShaped(3, false);
  expect(new TrafficView(second, 3).shaped).toBe(false);
});
