/** Rates from counters, and the rings that keep them. */
import { expect, test } from "bun:test";
import { openSideFile } from "../../../src/db/storage/sqlite.ts";
import { average, MOST_PORTS, Rings, type Sample } from "../../../src/http/statistics/ring.ts";
import { Sampler } from "../../../src/http/statistics/sampler.ts";
import { LogSink } from "../../../src/log/log.ts";
import type { PortReading } from "../../../src/slowpath/observe.ts";
import { vswitchOf } from "./source.ts";

const sample = (timeMs: number, bps: number): Sample => ({
  timeMs,
  total: [bps, 0, 1, 0],
  ports: { "br0/p1": [bps, 0, 1, 0] },
  hits: 1,
  misses: 0,
  drops: 0,
});

test("averages are over all parts, and ports are bounded", () => {
  const parts = Array.from({ length: 4 }, (_, i): Sample => ({
    ...sample(i, 100),
    ports: Object.fromEntries(
      Array.from({ length: 50 }, (_, n) => [`br0/p${n}`, [n + 1, 0, 0, 0] as const]),
    ),
  }));
  const whole = average([...parts, sample(5, 0)], 9);
  expect(whole.total[0]).toBe(80);
  expect(Object.keys(whole.ports)).toHaveLength(MOST_PORTS);
  expect(whole.timeMs).toBe(9);
});

test("rings keep so much and no more, coarse ones over a restart", () => {
  const side = openSideFile(":memory:");
  const start = Date.UTC(2026, 0, 1);
  const rings = new Rings(side.tables);
  // Two days of samples, one every ten seconds.
  let now = start;
  for (let i = 0; i < 2 * 8640; i++) rings.add(sample(now += 10_000, i % 2 === 0 ? 200 : 0));
  expect(rings.read(3600, now)).toMatchObject({ stepSeconds: 10 });
  expect(rings.read(3600, now).samples).toHaveLength(360);
  const reopened = new Rings(side.tables);
  const day = reopened.read(24 * 3600, now);
  expect(day.stepSeconds).toBe(60);
  expect(day.samples.length).toBeGreaterThan(1430);
  expect(day.samples.length).toBeLessThanOrEqual(1440);
  for (const { total: [rx] } of day.samples) expect(rx).toBe(100);
  const month = reopened.read(30 * 24 * 3600, now);
  expect(month.stepSeconds).toBe(900);
  expect(month.samples.length).toBeGreaterThan(185);
  side.close();
});

test("rates are differences over the time that has passed", () => {
  const reading = (rxBytes: number): PortReading => ({
    bridge: "br0",
    name: "p1",
    ofport: 1,
    kind: "device",
    linkUp: true,
    linkSpeedBps: null,
    rxPackets: rxBytes / 100,
    txPackets: 0,
    rxBytes,
    txBytes: 0,
    drops: 0,
  });
  let [now, bytes] = [1000, 5000];
  const vswitch = vswitchOf();
  const sampler = new Sampler({
    vswitch: { ...vswitch, observe: { ...vswitch.observe, ports: () => [reading(bytes)] } },
    rings: new Rings(undefined),
    logger: new LogSink(() => {}).logger("statistics"),
    now: () => now,
  });
  now += 2000;
  bytes += 1000;
  const first = sampler.read();
  expect(first.ports[0]).toMatchObject({ rxBps: 4000, rxPps: 5, txBps: 0 });
  expect(first.total).toEqual([4000, 0, 5, 0]);
  // Attached anew: the counter begins at zero, and the rate does not become negative.
  now += 2000;
  bytes = 250;
  expect(sampler.read().ports[0]).toMatchObject({ rxBps: 1000 });
  expect(sampler.since(first.id)).toHaveLength(1);
  expect(sampler.since("another-1")).toBeUndefined();
});
