import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  FLOW_MONITOR_FLAGS,
  type FlowMonitorRequest,
  type MessageOf,
  type OfMessage,
} from "../../../../src/openflow/messages/types.ts";
import {
  GROUP_ANY,
  OF10,
  OF13,
  OF14,
  type OfVersion,
  PORTS,
} from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { match } from "../pipeline/lab.ts";
import { AgentRig, error, flowMod, output } from "./agent-rig.ts";

const { INITIAL, ADD, DELETE, MODIFY, ACTIONS, OWN } = FLOW_MONITOR_FLAGS;
const EVERYTHING = INITIAL | ADD | DELETE | MODIFY | ACTIONS | OWN;

let rig: AgentRig;
beforeEach(async () => {
  rig = await AgentRig.create();
});
afterEach(() => rig.close());

function watch(version: OfVersion = OF14) {
  const connection = rig.connect(version);
  const form = version === OF10 ? { form: "nicira" } : version === OF13 ? { form: "onf" } : {};
  const request = (columns: object): OfMessage => ({
    type: "flow_monitor_request",
    ...form as { form?: "nicira" },
    monitors: [
      {
        id: 1,
        command: "add",
        flags: EVERYTHING,
        outPort: PORTS.ANY,
        outGroup: GROUP_ANY,
        table: 0xff,
        match: anyMatch(),
        ...columns,
      } satisfies FlowMonitorRequest["monitors"][number],
    ],
  });
  const told = () =>
    connection.stream.take()
      .filter((m): m is MessageOf<"flow_monitor_reply"> => m.type === "flow_monitor_reply")
      .map(({ updates }) =>
        updates.map((u) =>
          u.event === "abbrev"
            ? `abbrev ${u.xid}`
            : "priority" in u
            ? `${u.event} ${u.priority}`
            : u.event
        )
      );
  return { ...connection, request, told };
}

describe("a flow monitor", () => {
  for (const version of [OF10, OF13, OF14] as const) {
    test(`tells what is there and what changes (version ${version})`, () => {
      const other = rig.connect(OF14);
      other.ask(flowMod({ priority: 1, actions: [output(2)] }));
      const c = watch(version);
      const initial = version === OF14 ? "initial" : "added";
      expect(c.ask(c.request({}), 55)).toMatchObject([{
        updates: [{ event: initial, priority: 1, actions: [output(2)] }],
      }]);
      other.ask(flowMod({ priority: 2 }));
      other.ask(flowMod({ command: "modify_strict", priority: 2, actions: [output(1)] }));
      other.ask(flowMod({ command: "modify_strict", priority: 2, actions: [output(1)] }));
      other.ask(flowMod({ command: "delete" }));
      expect(c.told()).toEqual([["added 2"], ["modified 2"], ["deleted 2", "deleted 1"]]);
    });
  }

  test("sees what its match, table and port say", () => {
    const c = watch();
    c.ask(c.request({ table: 0, match: match({ in_port: 1 }), outPort: 2 }));
    const other = rig.connect(OF14);
    const one = match({ in_port: 1 });
    other.ask(flowMod({ priority: 1, match: one, actions: [output(2)] }));
    other.ask(flowMod({ priority: 2, match: one, actions: [output(1)] }));
    other.ask(flowMod({ priority: 3, actions: [output(2)] }));
    other.ask(flowMod({ priority: 4, table: 1, match: one, actions: [output(2)] }));
    // It went to the port before, so the change is told.
    other.ask(flowMod({ command: "modify_strict", priority: 1, match: one }));
    expect(c.told()).toEqual([["added 1"], ["modified 1"]]);
  });

  test("abbreviates what the connection did itself", () => {
    const c = watch();
    c.ask(c.request({ flags: ADD | DELETE }));
    c.stream.receive(OF14, flowMod({ priority: 1 }), 77);
    c.stream.receive(OF14, flowMod({ priority: 2 }), 78);
    c.stream.receive(OF14, flowMod({ command: "delete" }), 79);
    expect(c.told()).toEqual([["abbrev 77"], ["abbrev 78"], ["abbrev 79"]]);
  });

  test("ends when it is cancelled; numbers are given once", () => {
    const c = watch(OF10);
    expect(c.ask(c.request({}))).toHaveLength(1);
    expect(c.ask(c.request({}))).toMatchObject(error("OFPMOFC_MONITOR_EXISTS"));
    expect(c.ask({ type: "flow_monitor_cancel", form: "nicira", id: 9 }))
      .toMatchObject(error("OFPMOFC_UNKNOWN_MONITOR"));
    expect(c.ask({ type: "flow_monitor_cancel", form: "nicira", id: 1 })).toEqual([]);
    c.ask(flowMod({}));
    expect(c.told()).toEqual([]);
  });

  test("is modified and deleted by OpenFlow 1.4's commands", () => {
    const c = watch();
    expect(c.ask(c.request({ command: "modify" })))
      .toMatchObject(error("OFPMOFC_UNKNOWN_MONITOR"));
    c.ask(c.request({}));
    c.ask(c.request({ command: "modify", flags: DELETE | OWN }));
    c.ask(flowMod({ priority: 1 }));
    c.ask(flowMod({ priority: 1, command: "delete" }));
    c.ask(c.request({ command: "delete" }));
    c.ask(flowMod({ priority: 1 }));
    expect(c.agent.monitors.updates([], 0)).toEqual([]);
  });

  for (const version of [OF10, OF13, OF14] as const) {
    test(`pauses while nobody reads, and makes up for it (version ${version})`, () => {
      const c = watch(version);
      const other = rig.connect(OF13);
      c.ask(c.request({}));
      other.ask(flowMod({ priority: 1 }));
      c.told();
      const add = (priority: number, port = 2) =>
        other.ask(flowMod({ priority, actions: [output(port)] }));
      c.stream.stuck = true;
      let count = 0;
      for (; !c.agent.monitors.isPaused; count++) add(100 + count);
      const paused = c.stream.take();
      expect(JSON.stringify(paused.at(-1), (_, v) => typeof v === "bigint" ? 0 : v))
        .toContain("paused");
      // In the pause: a flow that was known goes, one comes and goes, one comes and changes.
      const waiting = c.stream.queuedBytes;
      other.ask(flowMod({ command: "delete_strict", priority: 100 }));
      add(60_001);
      other.ask(flowMod({ command: "delete_strict", priority: 60_001 }));
      add(60_002);
      add(60_002, 1);
      add(101, 1);
      expect(c.told()).toEqual([["deleted 100"]]);
      expect(c.stream.queuedBytes).toBeLessThan(waiting + 1000);
      c.stream.stuck = false;
      c.stream.drain();
      expect(c.agent.monitors.isPaused as boolean).toBe(false);
      const updates = c.told();
      expect(updates[0]).toEqual(["added 60002", "modified 101"]);
      expect(updates.length).toBe(version === OF14 ? 2 : 1);
      add(5);
      expect(c.told()).toEqual([["added 5"]]);
    });
  }
});
