import { beforeEach, describe, expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { FailModeKeeper } from "../../../../src/slowpath/control/fail-mode.ts";
import type { PacketIn } from "../../../../src/slowpath/pipeline/model.ts";
import { FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";

describe("fail mode", () => {
  const health = { hasControllers: false, failureMs: 0, maxProbeMs: 5000, anyConnected: false };
  let clock: ManualClock;
  let tables: FlowTables;
  let packetIns: PacketIn[];
  let keeper: FailModeKeeper;

  beforeEach(() => {
    Object.assign(health, { hasControllers: false, failureMs: 0, anyConnected: false });
    clock = new ManualClock();
    tables = new FlowTables(clock);
    packetIns = [];
    keeper = new FailModeKeeper({
      bridge: "br0",
      tables,
      clock,
      log: new LogSink(() => {}, "off").logger("test"),
      health: () => health,
      packetIn: (packetIn) => packetIns.push(packetIn),
    });
  });

  const ANY = {
    table: TABLE_ALL,
    match: anyMatch(),
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    cookie: 0n,
    cookieMask: 0n,
  };
  const flows = (hidden: boolean): string[] =>
    [...tables.select(ANY, hidden)].map(({ priority, actions }) =>
      `${priority}:${actions.map((a) => a.type === "output" ? a.port : a.type).join()}`
    );
  const NORMAL = `:${PORTS.NORMAL}`;
  const addFlow = () =>
    tables.apply({
      ...ANY,
      command: "add",
      table: 0,
      priority: 5,
      newCookie: 0n,
      modifyCookie: false,
      idleTimeout: 0,
      hardTimeout: 0,
      importance: 0,
      flags: 0,
      actions: [],
    });

  test("standalone without controllers has one NORMAL flow that anyone may see", () => {
    keeper.configure("standalone");
    expect(flows(false)).toEqual([`0${NORMAL}`]);
    addFlow();
    keeper.configure("standalone");
    expect(flows(false)).toHaveLength(2);
  });

  test("secure without controllers has none", () => {
    keeper.configure("secure");
    expect(flows(true)).toEqual([]);
    keeper.configure("standalone");
    expect(flows(true)).toEqual([`0${NORMAL}`]);
    keeper.configure("secure");
    expect(flows(true)).toEqual([]);
  });

  test("the first controller and the loss of the last one empty the tables", () => {
    keeper.configure("standalone");
    addFlow();
    health.hasControllers = true;
    keeper.configure("standalone");
    expect(flows(true)).toEqual([]);
    addFlow();
    keeper.configure("standalone");
    expect(flows(true)).toHaveLength(1);
    health.hasControllers = false;
    keeper.configure("standalone");
    expect(flows(true)).toEqual([`0${NORMAL}`]);
  });

  test("three probe intervals without a controller open the switch with a hidden rule", () => {
    health.hasControllers = true;
    keeper.configure("standalone");
    addFlow();
    for (let second = 1; second < 15; second++) {
      health.failureMs = second * 1000;
      clock.advance(1000);
    }
    expect(keeper.isOpen).toBe(false);
    health.failureMs = 15_000;
    clock.advance(1000);
    expect(keeper.isOpen).toBe(true);
    expect(flows(false)).toEqual([]);
    expect(flows(true)).toEqual([`${0xf0f0f0}${NORMAL}`]);
  });

  test("a controller that is there but controls nothing is given an occasion every 2 s", () => {
    health.hasControllers = true;
    health.failureMs = 20_000;
    keeper.configure("standalone");
    clock.advance(5000);
    expect(packetIns).toEqual([]);
    health.anyConnected = true;
    for (let i = 0; i < 6; i++) clock.advance(1000);
    expect(packetIns).toHaveLength(3);
    expect(packetIns[0]).toMatchObject({ reason: "no_match", bufferable: false });
    health.failureMs = 0;
    clock.advance(1000);
    expect(keeper.isOpen).toBe(false);
    expect(flows(true)).toEqual([]);
  });

  test("secure never opens", () => {
    health.hasControllers = true;
    health.failureMs = 1e9;
    keeper.configure("secure");
    clock.advance(60_000);
    expect(keeper.isOpen).toBe(false);
    expect(flows(true)).toEqual([]);
  });

  test("secure closes a switch that was open", () => {
    health.hasControllers = true;
    health.failureMs = 20_000;
    keeper.configure("standalone");
    expect(keeper.isOpen).toBe(true);
    keeper.configure("secure");
    expect(flows(true)).toEqual([]);
  });
});
