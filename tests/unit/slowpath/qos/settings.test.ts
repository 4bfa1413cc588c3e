/** What QoS rows mean in bytes, and what a port does about them. */
import { expect, test } from "bun:test";
import type { Replica } from "../../../../src/db/replica.ts";
import { DummyDevices } from "../../../../src/fastpath/devices.ts";
import { queuePriority, type Shape } from "../../../../src/fastpath/shaping.ts";
import { polices, policingOf } from "../../../../src/slowpath/qos/policing.ts";
import { PortQueues } from "../../../../src/slowpath/qos/port-queues.ts";
import { classDetails, QosError, qosSettings } from "../../../../src/slowpath/qos/settings.ts";

type Config = Readonly<Record<string, string>>;

/** A database with one QoS row, "q", whose queues have numbers for UUIDs. */
function database(type: string, config: Config, queues: Readonly<Record<number, Config>>): Replica {
  const map = (from: Config) => new Map(Object.entries(from));
  const tables: Record<string, Map<string, unknown>> = {
    QoS: new Map([["q", {
      type,
      other_config: map(config),
      queues: new Map(Object.keys(queues).map((number) => [Number(number), number])),
    }]]),
    Queue: new Map(
      Object.entries(queues).map(([number, each]) => [number, { other_config: map(each) }]),
    ),
  };
  return { rows: (table: string) => tables[table] } as unknown as Replica;
}

const device = new DummyDevices().put("p1", { mtu: 1500 });

test("rates are bytes, within those of the port; a queue gets at least a frame a second", () => {
  const replica = database("linux-htb", { "max-rate": "8000000" }, {
    1: { "min-rate": "800000", "max-rate": "1600000", burst: "80000", priority: "3" },
    2: { "max-rate": "99999999999" },
    70000: {},
  });
  const { shape, problems } = qosSettings(replica, "q", device)!;
  expect(shape!.all.maxBytesPerSec).toBe(1_000_000);
  expect([...shape!.queues.keys()].sort()).toEqual([0, 1, 2]);
  expect(shape!.queues.get(1)).toEqual({
    minBytesPerSec: 100_000,
    maxBytesPerSec: 200_000,
    burst: 10_000,
    priority: 3,
    mtu: 1500,
  });
  expect(shape!.queues.get(2)).toMatchObject({
    minBytesPerSec: 1500,
    maxBytesPerSec: 1_000_000,
    burst: 1564,
  });
  expect(problems).toHaveLength(1);
  expect(classDetails(shape!.queues.get(1)!)).toEqual([
    ["min-rate", 800_000],
    ["max-rate", 1_600_000],
    ["burst", 80_000],
    ["priority", 3],
  ]);
});

test("a port without a rate has its link's, or 100 Mbit/s", () => {
  const replica = database("linux-htb", {}, {});
  expect(qosSettings(replica, "q", device)!.shape!.all.maxBytesPerSec).toBe(12_500_000);
  const fast = { ...device, linkSpeedBps: 10e9 };
  expect(qosSettings(replica, "q", fast)!.shape!.all.maxBytesPerSec).toBe(1_250_000_000);
});

test("types: none asks for nothing, noop leaves the device alone, others are refused by name", () => {
  expect(qosSettings(database("", {}, {}), "q", device)).toBeUndefined();
  expect(qosSettings(database("linux-htb", {}, {}), undefined, device)).toBeUndefined();
  expect(qosSettings(database("linux-noop", {}, {}), "q", device)!.shape).toBeUndefined();
  for (const type of ["linux-hfsc", "linux-sfq", "linux-codel", "linux-fq_codel", "linux-netem"]) {
    expect(() => qosSettings(database(type, {}, {}), "q", device)).toThrow(QosError);
    expect(() => qosSettings(database(type, {}, {}), "q", device)).toThrow(type);
  }
});

test("a port that cannot be shaped any more lets all through again", () => {
  const done: string[] = [];
  const counts = new Map([[0, { packets: 1, bytes: 2, drops: 3 }]]);
  let refuses = false;
  const shaper = {
    shape: (ifindex: number, { queues }: Shape) => {
      if (refuses) throw new Error("no");
      done.push(`shape ${ifindex} ${[...queues.keys()].sort().join()}`);
    },
    unshape: (ifindex: number) => void done.push(`unshape ${ifindex}`),
    counts: () => counts,
    close: () => {},
  };
  const traffic = {
    setShaped: (port: number, on: boolean) => void done.push(`port ${port} ${on}`),
    setPolicing: () => {},
  };
  const queues = new PortQueues(shaper, traffic, 4);
  expect(queues.counts().size).toBe(0);
  const settings = qosSettings(database("linux-htb", {}, { 3: {} }), "q", device);
  queues.apply(settings, device);
  expect(done.splice(0)).toEqual([`shape ${device.ifindex} 0,3`, "port 4 true"]);
  expect(queues.counts()).toBe(counts);
  refuses = true;
  expect(() => queues.apply(settings, device)).toThrow("no");
  expect(done.splice(0)).toEqual(["port 4 false", `unshape ${device.ifindex}`]);
  queues.release();
  expect(done).toEqual([]);
});

test("queues have the priorities by which the kernel's classes are found", () => {
  expect([queuePriority(0), queuePriority(5)]).toEqual([0x10001, 0x10006]);
  expect(queuePriority(0xeffe)).toBe(0x1efff);
  expect(queuePriority(0xf000)).toBeUndefined();
});

test("policing: bits of the database are bytes, with Open vSwitch's bursts", () => {
  const row = {
    ingress_policing_rate: 1000,
    ingress_policing_burst: 0,
    ingress_policing_kpkts_rate: 2,
    ingress_policing_kpkts_burst: 1,
  };
  expect([polices(row), polices(undefined)]).toEqual([true, false]);
  expect(policingOf(row)).toEqual({
    bytesPerSec: 125_000,
    burstBytes: 1_000_000,
    packetsPerSec: 2000,
    burstPackets: 1000,
  });
  expect(policingOf(undefined)).toMatchObject({ bytesPerSec: 0, packetsPerSec: 0 });
});
