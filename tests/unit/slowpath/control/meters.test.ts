import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import {
  METER_FLAGS,
  type MeterBand,
  type MeterMod,
  type OfMessage,
} from "../../../../src/openflow/messages/types.ts";
import { OF13 } from "../../../../src/openflow/version.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { METER_ALL, METER_CONTROLLER, Meters } from "../../../../src/slowpath/pipeline/meters.ts";
import { AgentRig, error, flowMod } from "./agent-rig.ts";

const { KBPS, PKTPS, BURST } = METER_FLAGS;
const drop = (rate: number, burst = 0): MeterBand => ({ type: "drop", rate, burst });
const meterMod = (columns: Partial<MeterMod>): MeterMod => ({
  type: "meter_mod",
  command: "add",
  meter: 1,
  flags: PKTPS,
  bands: [drop(10)],
  ...columns,
});

describe("meters", () => {
  function meter(flags: number, ...bands: MeterBand[]) {
    const clock = new ManualClock();
    const meters = new Meters(clock);
    meters.add({ meter: 5, flags, bands });
    const burst = (count: number, bytes = 100) => {
      let passed = 0;
      for (let i = 0; i < count; i++) if (meters.admit(5, bytes)) passed++;
      return passed;
    };
    return { clock, meters, burst };
  }

  test("let through as many packets as their rate and burst allow", () => {
    const { clock, burst, meters } = meter(PKTPS | BURST, drop(10, 20));
    expect(burst(100)).toBe(20);
    clock.advance(1000);
    expect(burst(100)).toBe(10);
    clock.advance(100_000);
    expect(burst(100)).toBe(20);
    const [it] = meters.select(5);
    expect([it!.packets, it!.buckets[0]!.packets, it!.buckets[0]!.bytes]).toEqual([
      300,
      250,
      25000,
    ]);
  });

  test("count kilobits, too", () => {
    const { clock, burst } = meter(KBPS, drop(8));
    // 8 kbit: ten packets of 100 bytes.
    expect(burst(100)).toBe(10);
    clock.advance(500);
    expect(burst(100)).toBe(5);
  });

  test("the band of the highest rate that is exceeded counts the packet", () => {
    const { burst, meters } = meter(PKTPS, drop(2), drop(5));
    expect(burst(7)).toBe(2);
    const counts = meters.select(5)[0]!.buckets.map(({ packets }) => packets);
    expect(counts).toEqual([3, 2]);
  });

  test("of another number, or none, let everything through", () => {
    const { meters, burst } = meter(PKTPS, drop(1));
    expect(meters.admit(9, 100)).toBe(true);
    burst(10);
    expect(meters.admit(undefined, 100)).toBe(true);
    meters.add({ meter: METER_CONTROLLER, flags: PKTPS, bands: [drop(1)] });
    expect(meters.admit(undefined, 100)).toBe(true);
    expect(meters.admit(0xffffffff, 100)).toBe(false);
  });
});

describe("an agent", () => {
  let rig: AgentRig;
  beforeEach(async () => {
    rig = await AgentRig.create();
  });
  afterEach(() => rig.close());

  test("adds, changes, tells and deletes meters", () => {
    const c = rig.connect(OF13);
    expect(c.ask(meterMod({}))).toEqual([]);
    expect(c.ask({ type: "meter_config_request", meter: METER_ALL })).toMatchObject([{
      meters: [{ meter: 1, flags: PKTPS, bands: [drop(10, 10)] }],
    }]);
    expect(c.ask(meterMod({ command: "modify", bands: [] }))).toEqual([]);
    rig.clock.advance(2500);
    expect(c.ask({ type: "meter_stats_request", meter: 1 })).toMatchObject([{
      meters: [{ meter: 1, flows: 0, durationSeconds: 2, bands: [] }],
    }]);
    expect(c.ask({ type: "meter_features_request" })).toMatchObject([{ maxBands: 8 }]);
    expect(c.ask(meterMod({ command: "delete", meter: METER_ALL, bands: [] }))).toEqual([]);
    expect(c.ask({ type: "meter_stats_request", meter: 1 }))
      .toMatchObject(error("OFPMMFC_UNKNOWN_METER"));
  });

  test.each(
    [
      ["a number that no meter has", { meter: 0 }, "OFPMMFC_INVALID_METER"],
      ["a number beyond the last", { meter: 0xffff0001 }, "OFPMMFC_INVALID_METER"],
      ["a change of what is not there", { command: "modify" }, "OFPMMFC_UNKNOWN_METER"],
      ["a rate of nothing", { bands: [drop(0)] }, "OFPMMFC_BAD_RATE"],
      ["too many bands", { bands: Array(9).fill(drop(1)) }, "OFPMMFC_OUT_OF_BANDS"],
      [
        "bands that do not drop",
        { bands: [{ type: "dscp_remark", rate: 1, burst: 1, level: 1 }] },
        "OFPMMFC_BAD_BAND",
      ],
      ["two units", { flags: KBPS | PKTPS }, "OFPMMFC_BAD_FLAGS"],
    ] satisfies [string, Partial<MeterMod>, string][],
  )("refuses %s", (_, columns, name) => {
    expect(rig.connect(OF13).ask(meterMod(columns))).toMatchObject(error(name));
  });

  test("refuses flows with meters, which are not metered", () => {
    const c = rig.connect(OF13);
    c.ask(meterMod({}));
    expect(c.ask(flowMod({ actions: [{ type: "meter", meter: 1 }] })))
      .toMatchObject(error("OFPBIC_UNSUP_INST"));
  });

  test("sends controllers no more packets than their meter lets through", async () => {
    const c = rig.connect(OF13);
    c.ask(meterMod({ bands: [drop(1, 3)], meter: METER_CONTROLLER }));
    const action: Action = { type: "output", port: 0xfffd, maxLength: 0xffff };
    c.ask(flowMod({ actions: [action] }));
    const sent: OfMessage[] = [];
    for (let i = 0; i < 6; i++) {
      await rig.arrive(new Uint8Array(60));
      sent.push(...c.stream.take());
    }
    expect(sent.filter(({ type }) => type === "packet_in")).toHaveLength(3);
  });

  test("tells other controllers of meter-mods and group-mods, if they want to know", () => {
    const a = rig.connect(OF13);
    const b = rig.connect(OF13);
    b.agent.async = { ...b.agent.async, requestforward: { primary: 3, secondary: 0 } };
    a.ask(meterMod({}));
    a.ask({ type: "group_mod", command: "add", groupType: "all", group: 1, buckets: [] });
    a.ask({ type: "group_mod", command: "add", groupType: "all", group: 1, buckets: [] });
    expect(b.stream.take().map(({ type }) => type)).toEqual(["requestforward", "requestforward"]);
    expect(a.stream.take()).toEqual([]);
  });
});
