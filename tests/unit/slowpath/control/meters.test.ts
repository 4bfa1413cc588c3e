import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import {
  FLOW_FLAGS,
  METER_FLAGS,
  type MeterBand,
  type MeterMod,
  type OfMessage,
} from "../../../../src/openflow/messages/types.ts";
import { OF13, OF14 } from "../../../../src/openflow/version.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import type { DpMeter } from "../../../../src/fastpath/meters.ts";
import { DatapathMeters } from "../../../../src/slowpath/cache/meters.ts";
import {
  METER_ALL,
  METER_CONTROLLER,
  type Meters,
} from "../../../../src/slowpath/pipeline/meters.ts";
import { FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";
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
  test("are the datapath's, by numbers of its own, the lowest free one first", () => {
    const set = new Map<number, DpMeter>();
    const datapath = new DatapathMeters({
      setMeter: (id, meter) => void set.set(id, meter),
      deleteMeter: (id) => void set.delete(id),
      meterStats: (id) => ({ packetsIn: id + 1, bytesIn: 100, bands: [{ packets: 1, bytes: 60 }] }),
    });
    const bridges = [new FlowTables(new ManualClock()), new FlowTables(new ManualClock())];
    const [one, other] = bridges.map(({ meters }) => meters) as [Meters, Meters];
    one.add({ meter: 5, flags: PKTPS | BURST, bands: [drop(10, 20)] });
    for (const meters of [one, other]) meters.attach(datapath);
    other.add({ meter: 5, flags: KBPS, bands: [drop(8)] });
    expect([one.inDatapath(5), other.inDatapath(5), one.inDatapath(6)]).toEqual([0, 1, undefined]);
    expect(set.get(0)).toEqual({
      unit: "pktps",
      bands: [{ type: "drop", rate: 10, burst: 20 }],
    });
    other.modify({ meter: 5, flags: PKTPS, bands: [drop(7)] });
    expect(set.get(1)).toMatchObject({ unit: "pktps", bands: [{ rate: 7, burst: 0 }] });
    const [it] = other.select(5);
    expect([it!.packets, it!.bytes, it!.buckets]).toEqual([2, 100, [{ packets: 1, bytes: 60 }]]);
    one.delete(5);
    other.add({ meter: METER_CONTROLLER, flags: PKTPS, bands: [drop(1)] });
    expect([other.forControllers(undefined), other.forControllers(5)]).toEqual([0, 1]);
    expect(one.forControllers(undefined)).toBeUndefined();
    other.attach(undefined);
    expect(set.size).toBe(0);
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
      meters: [{ meter: 1, flags: PKTPS, bands: [drop(10)] }],
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
      ["two units", { flags: KBPS | PKTPS }, "OFPMMFC_BAD_FLAGS"],
    ] satisfies [string, Partial<MeterMod>, string][],
  )("refuses %s", (_, columns, name) => {
    expect(rig.connect(OF13).ask(meterMod(columns))).toMatchObject(error(name));
  });

  test("takes flows with a meter that is there, and removes them with it", () => {
    const c = rig.connect(OF14);
    const flow = flowMod({
      flags: FLOW_FLAGS.SEND_FLOW_REM,
      actions: [{ type: "meter", meter: 1 }],
    });
    expect(c.ask(flow)).toMatchObject(error("OFPMMFC_INVALID_METER"));
    c.ask(meterMod({}));
    expect(c.ask(flow)).toEqual([]);
    expect(c.ask({ type: "meter_stats_request", meter: 1 })).toMatchObject([{
      meters: [{ flows: 1 }],
    }]);
    expect(c.ask(meterMod({ command: "delete", bands: [] }))).toMatchObject([
      { type: "flow_removed", reason: "meter_delete" },
    ]);
    expect(rig.bridge.tables.size).toBe(0);
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
