/** Buckets in shared memory do what those of a table do. */
import { expect, test } from "bun:test";
import {
  MAX_METERS,
  METER_STATS,
  MeterTable,
  readMeterStats,
} from "../../../src/fastpath/engine/meters.ts";
import { SHARED_METER_BYTES, SharedMeters } from "../../../src/fastpath/engine/shared-meters.ts";
import type { DpMeter } from "../../../src/fastpath/meters.ts";
import { Seeded } from "../../support/seeded.ts";

const ID = 7;
const drop = (rate: number, burst: number) => ({ type: "drop", rate, burst }) as const;
const METERS: readonly DpMeter[] = [
  { unit: "pktps", bands: [drop(3, 0)] },
  { unit: "kbps", bands: [drop(100, 40)] },
  { unit: "kbps", bands: [drop(50, 80), drop(200, 5), drop(200, 9)] },
  { unit: "pktps", bands: [] },
];

const make = () => new SharedMeters(new ArrayBuffer(MAX_METERS * SHARED_METER_BYTES));

test("the same packets pass, and the same is counted", () => {
  const r = new Seeded();
  for (const meter of METERS) {
    const stats = new Float64Array(METER_STATS * MAX_METERS);
    const table = new MeterTable(stats);
    const shared = make();
    let nowMs = 1_000_000;
    table.set(ID, meter);
    shared.set(ID, meter, nowMs);
    for (let i = 0; i < 2000; i++) {
      nowMs += r.next(4) === 0 ? r.next(700) : 0;
      const packets = r.next(8) === 0 ? 1 + r.next(40) : 1;
      const bytes = packets * (60 + r.next(1440));
      expect(shared.run(ID, packets, bytes, nowMs)).toBe(table.run(ID, packets, bytes, nowMs));
    }
    expect(shared.stats(ID)).toEqual(readMeterStats(stats, ID, meter.bands.length));
  }
});

test("a bucket that rested for months at a high rate is full, not more", () => {
  const shared = make();
  shared.set(ID, { unit: "kbps", bands: [drop(100_000_000, 1)] }, 5);
  const laterMs = 100 * 86_400_000;
  expect(shared.run(ID, 1, 126, laterMs)).toBe(1);
  expect(shared.run(ID, 1, 125, laterMs)).toBe(0);
  expect(shared.run(ID, 1, 1, laterMs)).toBe(1);
});

test("a table asks for shared meters first, and only for those that are there", () => {
  const table = new MeterTable(new Float64Array(METER_STATS * MAX_METERS));
  const shared = make();
  table.shared = shared;
  table.set(ID, { unit: "pktps", bands: [drop(0, 1)] });
  shared.set(ID, { unit: "pktps", bands: [drop(0, 2)] }, 0);
  expect([0, 1, 2].map(() => table.run(ID, 1, 60, 1))).toEqual([0, 0, 1]);
  shared.delete(ID);
  expect([0, 1].map(() => table.run(ID, 1, 60, 1))).toEqual([0, 1]);
});

test("only meters that drop can be shared", () => {
  expect(SharedMeters.canHold(METERS[2]!)).toBe(true);
  expect(SharedMeters.canHold({
    unit: "kbps",
    bands: [drop(1, 1), { type: "dscp_remark", rate: 1, burst: 1 }],
  })).toBe(false);
});
