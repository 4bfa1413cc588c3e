import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checksum, pseudoSum } from "../../../../src/packet/checksum.ts";
import { buildFrame } from "../../../../src/packet/headers.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { parseGroupMessage } from "../../../../src/slowpath/multicast/messages.ts";
import { Snooping } from "../../../../src/slowpath/multicast/snooping.ts";
import { floodSettings, snoopingSettings } from "../../../../src/slowpath/multicast/settings.ts";
import { Lab } from "../pipeline/lab.ts";

const GROUP = Uint8Array.of(239, 1, 1, 1);
const GROUP6 = Uint8Array.fromHex("ff050000000000000000000000000077");
const DATA = { dst: "01:00:5e:01:01:01", src: "02:00:00:00:00:09" };

function igmp(type: number, rest: ArrayLike<number>, src = "10.0.0.1"): Uint8Array {
  const payload = Uint8Array.of(type, 0, 0, 0, ...Array.from(rest));
  const sum = checksum(payload, 0, payload.length);
  payload[2] = sum >> 8;
  payload[3] = sum;
  return buildFrame({ ...DATA, ipv4: { src, dst: "224.0.0.22", protocol: 2 }, payload });
}

/** RFC 3376 §4.2: one record of that type. */
const report3 = (type: number, sources: readonly number[] = []) =>
  igmp(0x22, [0, 0, 0, 1, type, 0, 0, sources.length / 4, ...GROUP, ...sources]);
const join = igmp(0x16, GROUP);
const leave = igmp(0x17, GROUP);
const query = igmp(0x11, [0, 0, 0, 0]);

function mld(type: number, rest: ArrayLike<number>, src = "fe80::1"): Uint8Array {
  const payload = Uint8Array.of(0x3a, 0, 5, 2, 0, 0, 1, 0, type, 0, 0, 0, ...Array.from(rest));
  const frame = buildFrame({
    dst: "33:33:00:00:00:77",
    ipv6: { src, dst: "ff05::77", protocol: 0 },
    payload,
  });
  const start = 14 + 40 + 8;
  const sum = checksum(
    frame,
    start,
    frame.length,
    pseudoSum(frame, 14 + 8, 16, 58, frame.length - start),
  );
  frame[start + 2] = sum >> 8;
  frame[start + 3] = sum;
  return frame;
}
const join6 = mld(131, [0, 0, 0, 0, ...GROUP6]);

describe("messages about groups", () => {
  const ROWS: readonly (readonly [string, Uint8Array, string])[] = [
    ["IGMPv1 report", igmp(0x12, GROUP), "membership true +ef010101"],
    ["IGMPv2 report", join, "membership true +ef010101"],
    ["IGMPv2 leave", leave, "membership true -ef010101"],
    ["IGMPv3 exclude", report3(4), "membership true +ef010101"],
    ["IGMPv3 include of nobody", report3(3), "membership true -ef010101"],
    ["IGMPv3 include of one", report3(1, [10, 0, 0, 9]), "membership true +ef010101"],
    ["IGMPv3 of no known type", report3(9), "membership true "],
    ["query", query, "query true "],
    ["query of nobody", igmp(0x11, [0, 0, 0, 0], "0.0.0.0"), "query false "],
    ["MLDv1 report", join6, `membership true +${GROUP6.toHex()}`],
    ["MLDv1 done", mld(132, [0, 0, 0, 0, ...GROUP6]), `membership true -${GROUP6.toHex()}`],
    [
      "MLDv2 report",
      mld(143, [0, 0, 0, 1, 4, 0, 0, 0, ...GROUP6]),
      `membership true +${GROUP6.toHex()}`,
    ],
    ["MLD query", mld(130, [0, 0, 0, 0, ...new Uint8Array(16)]), "query true "],
  ];
  for (const [name, frame, wanted] of ROWS) {
    test(name, () => {
      const found = parseGroupMessage(frame)!;
      const text = [
        ...found.joins.map((group) => `+${group.toHex()}`),
        ...found.leaves.map((group) => `-${group.toHex()}`),
      ].join();
      expect(`${found.kind} ${found.isBelieved} ${text}`).toBe(wanted);
      const wrong = Uint8Array.from(frame);
      wrong[wrong.length - 1]! ^= 1;
      expect(parseGroupMessage(wrong)?.isBelieved).toBe(false);
      for (let length = 0; length < frame.length; length++) {
        expect(parseGroupMessage(frame.subarray(0, length))?.isBelieved ?? false).toBe(false);
      }
    });
  }

  test("other packets and any bytes harm nobody", () => {
    expect(parseGroupMessage(buildFrame({ ipv4: { src: "1.1.1.1", dst: "2.2.2.2" } })))
      .toBeUndefined();
    fc.assert(fc.property(
      fc.constantFrom(...ROWS.map(([, frame]) => frame)),
      fc.array(fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 }))),
      (frame, changes) => {
        const hostile = Uint8Array.from(frame);
        for (const [at, value] of changes) if (at < hostile.length) hostile[at] = value;
        parseGroupMessage(hostile);
      },
    ));
  });
});

const SETTINGS = { floodsUnregistered: true, agingMs: 300_000, tableSize: 10 };

async function scene(settings = SETTINGS) {
  const lab = new Lab();
  const bridge = await lab.bridge("br0", { 1: {}, 2: {}, 3: {}, 4: {} }, true);
  const snooping = new Snooping(lab.clock, () => lab.cache.changed());
  snooping.configure(settings);
  bridge.snooping = snooping;
  const at = (ofport: number) => bridge.ports.get(ofport)!.bundle;
  const send = async (ofport: number, frame: Uint8Array) =>
    [...(await lab.send(bridge, ofport, frame)).keys()].map((name) => Number(name.slice(4)));
  const show = () => snooping.show(({ members }) => String(members[0]!.ofport)).split("\n");
  const data = buildFrame({
    ...DATA,
    ipv4: { src: "10.0.0.9", dst: "239.1.1.1" },
    udp: { src: 1, dst: 2 },
  });
  return { lab, snooping, at, send, show, data };
}

describe("a bridge that snoops", () => {
  test("sends a group to those that asked for it, and to routers", async () => {
    const { send, data, lab, show } = await scene();
    expect(await send(1, data)).toEqual([2, 3, 4]);
    // To no host: one that hears it would keep quiet about itself.
    expect(await send(2, join)).toEqual([]);
    await lab.cache.settle();
    expect(await send(1, data)).toEqual([2]);
    expect(await send(4, query)).toEqual([1, 2, 3]);
    await lab.cache.settle();
    expect(await send(1, data)).toEqual([2, 4]);
    expect(await send(3, join)).toEqual([4]);
    await lab.cache.settle();
    expect(await send(1, data)).toEqual([2, 3, 4]);
    expect(show()).toEqual([
      " port  VLAN  GROUP                Age",
      "    2     0  239.1.1.1           0",
      "    3     0  239.1.1.1           0",
      "    4     0  querier               0",
      "",
    ]);
    await send(2, leave);
    await lab.cache.settle();
    expect(await send(1, data)).toEqual([3, 4]);
  });

  test("in IPv6 too; what is of one link goes everywhere", async () => {
    const { send, lab } = await scene({ ...SETTINGS, floodsUnregistered: false });
    const to = (dst: string) =>
      buildFrame({
        dst: "33:33:00:00:00:01",
        ipv6: { src: "fd00::1", dst },
        udp: { src: 1, dst: 2 },
      });
    expect(await send(1, to("ff05::77"))).toEqual([]);
    await send(2, join6);
    await lab.cache.settle();
    expect(await send(1, to("ff05::77"))).toEqual([2]);
    expect(await send(1, to("ff02::1"))).toEqual([2, 3, 4]);
    const link = buildFrame({
      ...DATA,
      ipv4: { src: "10.0.0.9", dst: "224.0.0.251" },
      udp: { src: 1, dst: 2 },
    });
    expect(await send(1, link)).toEqual([2, 3, 4]);
  });

  test("ports that are to get all groups, or all reports", async () => {
    const { send, data, snooping, at, show } = await scene({
      ...SETTINGS,
      floodsUnregistered: false,
    });
    snooping.configureBundle(at(3), true, false);
    snooping.configureBundle(at(4), false, true);
    expect(await send(1, data)).toEqual([3]);
    expect(await send(2, join)).toEqual([4]);
    // Behind the first nothing is learned.
    await send(3, igmp(0x16, [239, 2, 2, 2]));
    expect(show()).toHaveLength(3);
  });

  test("forgets who is silent, who goes, and what is too much", async () => {
    const { send, lab, snooping, at, show } = await scene();
    await send(2, join);
    await send(4, query);
    lab.clock.advance(179_000);
    expect(show()).toHaveLength(4);
    lab.clock.advance(1000);
    expect(show()).toHaveLength(3);
    lab.clock.advance(120_000);
    expect(show()).toHaveLength(2);
    for (let n = 0; n < 20; n++) await send(2, igmp(0x16, [239, 3, 3, n]));
    expect(show()).toHaveLength(12);
    expect(show()[1]).toContain("239.3.3.10 ");
    snooping.detached(at(2));
    expect(show()).toHaveLength(2);
    await send(2, join);
    snooping.configure(undefined);
    expect(show()).toHaveLength(2);
  });

  test("goes through its table when something ends, not for each message", async () => {
    const clock = new ManualClock();
    let timers = 0;
    const counted = {
      now: () => clock.now(),
      after: (ms: number, run: () => void) => {
        timers++;
        return clock.after(ms, run);
      },
    };
    const snooping = new Snooping(counted, () => {});
    snooping.configure({ floodsUnregistered: true, agingMs: 15_000, tableSize: 1000 });
    const bridge = await new Lab().bridge("br0", { 1: {}, 2: {} }, true);
    const bundle = (ofport: number) => bridge.ports.get(ofport)!.bundle;
    const left = () => snooping.show(() => "").split("\n").length - 2;
    // A router's three minutes are longer than a group's time.
    snooping.receive(bundle(2), 0, parseGroupMessage(query)!);
    for (let n = 0; n < 500; n++) {
      const group = [239, 9, n >> 8, n & 0xff];
      snooping.receive(bundle(1), 0, parseGroupMessage(igmp(0x16, group))!);
      clock.advance(1);
    }
    expect(timers).toBeLessThan(5);
    expect(left()).toBe(501);
    clock.advance(15_000 - 500);
    expect(left()).toBe(500);
    clock.advance(1000);
    expect(left()).toBe(1);
    expect(timers).toBeLessThan(20);
    snooping.close();
  });

  test("a message that is wrong teaches nothing", async () => {
    const { send, show } = await scene();
    const wrong = Uint8Array.from(join);
    wrong[wrong.length - 1]! ^= 1;
    await send(2, wrong);
    expect(show()).toHaveLength(2);
  });
});

test("settings are Open vSwitch's", () => {
  const said: string[] = [];
  const row = (enable: boolean, config: Record<string, string> = {}) =>
    snoopingSettings(
      {
        name: "br0",
        mcast_snooping_enable: enable,
        other_config: new Map(Object.entries(config)),
      } as never,
      (text) => said.push(text),
    );
  expect(row(false)).toBeUndefined();
  expect(row(true)).toEqual({ floodsUnregistered: true, agingMs: 300_000, tableSize: 2048 });
  expect(row(true, {
    "mcast-snooping-aging-time": "1",
    "mcast-snooping-table-size": "1",
    "mcast-snooping-disable-flood-unregistered": "true",
  })).toEqual({ floodsUnregistered: false, agingMs: 15_000, tableSize: 10 });
  expect(said).toEqual([]);
  expect(row(true, { "mcast-snooping-aging-time": "-1" })?.agingMs).toBe(300_000);
  expect(said).toEqual([
    'br0: other_config:mcast-snooping-aging-time="-1" is no number, 300 is used',
  ]);
  expect(floodSettings(new Map([["mcast-snooping-flood", "true"]])))
    .toEqual({ groups: true, reports: false });
});
