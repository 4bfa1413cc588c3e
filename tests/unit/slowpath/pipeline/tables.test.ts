import { describe, expect, test } from "bun:test";
import { OfError } from "../../../../src/openflow/errors.ts";
import { FLOW_FLAGS } from "../../../../src/openflow/messages/types.ts";
import { PORTS } from "../../../../src/openflow/version.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { FlowTables, type TablesChange } from "../../../../src/slowpath/pipeline/tables.ts";
import { ALL, flowMod, type FlowOptions, match, out } from "./lab.ts";

function fresh() {
  const clock = new ManualClock();
  const tables = new FlowTables(clock);
  const changes: TablesChange[] = [];
  tables.listen((list) => void changes.push(...list));
  const apply = (options: FlowOptions) => tables.apply(flowMod(options));
  const list = () =>
    [...tables.select(ALL)].map((r) => `${r.table}/${r.priority}/${r.cookie}`).toSorted();
  return { clock, tables, changes, apply, list };
}

function errorOf(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (error instanceof OfError) return error.error;
    throw error;
  }
  return "none";
}

describe("adding", () => {
  test("the same match and priority replaces; counters stay unless reset", () => {
    const { tables, apply, changes, clock } = fresh();
    apply({ match: { in_port: 1 }, cookie: 1n, idleTimeout: 5 });
    const [first] = [...tables.select(ALL)];
    first!.credit(10, 1000, clock.now());
    clock.advance(3000);
    apply({ match: { in_port: 1 }, cookie: 2n, actions: [out(2)] });
    const [second, ...rest] = [...tables.select(ALL)];
    expect(rest).toEqual([]);
    expect([second!.cookie, second!.packets, second!.idleTimeout]).toEqual([2n, 10, 0]);
    expect(second!.createdMs).toBe(clock.now());
    // A megaflow that still knows the old rule credits the new one.
    first!.credit(1, 100, clock.now());
    expect(second!.packets).toBe(11);
    apply({ match: { in_port: 1 }, flags: FLOW_FLAGS.RESET_COUNTS });
    expect([...tables.select(ALL)][0]!.packets).toBe(0);
    expect(changes.map(({ event }) => event)).toEqual(["added", "modified", "modified"]);
  });

  test("overlap is refused when asked for, at equal priority only", () => {
    const { apply } = fresh();
    apply({ priority: 5, match: { in_port: 1 } });
    const flags = FLOW_FLAGS.CHECK_OVERLAP;
    expect(errorOf(() => apply({ priority: 5, match: { eth_type: 0x800 }, flags }))).toBe(
      "OFPFMFC_OVERLAP",
    );
    expect(errorOf(() => apply({ priority: 6, match: { eth_type: 0x800 }, flags }))).toBe("none");
    expect(errorOf(() => apply({ priority: 5, match: { in_port: 2 }, flags }))).toBe("none");
  });

  test("tables, limits and actions are checked", () => {
    const { tables, apply } = fresh();
    expect(errorOf(() => apply({ table: 254 }))).toBe("OFPBRC_EPERM");
    apply({ table: 255 });
    expect([...tables.select(ALL)][0]!.table).toBe(0);
    tables.setLimit(3, 2);
    apply({ table: 3, priority: 1 });
    apply({ table: 3, priority: 2 });
    expect(errorOf(() => apply({ table: 3, priority: 3 }))).toBe("OFPFMFC_TABLE_FULL");
    expect(errorOf(() => apply({ table: 3, priority: 2, actions: [out(1)] }))).toBe("none");
    expect(errorOf(() => apply({ actions: [{ type: "group", group: 7 }] })))
      .toBe("OFPBAC_BAD_OUT_GROUP");
    const nested = [{ type: "write_actions", actions: [{ type: "group", group: 7 }] }] as const;
    expect(errorOf(() => apply({ actions: nested }))).toBe("OFPBAC_BAD_OUT_GROUP");
    expect(errorOf(() => apply({ actions: [{ type: "meter", meter: 7 }] })))
      .toBe("OFPMMFC_INVALID_METER");
    const back = [{ type: "goto_table", table: 3 }] as const;
    expect(errorOf(() => apply({ table: 3, actions: back }))).toBe("OFPBIC_BAD_TABLE_ID");
  });
});

describe("modifying", () => {
  test("strictly or loosely, with counters, times and the cookie kept", () => {
    const { tables, apply, clock } = fresh();
    apply({ priority: 5, match: { in_port: 1 }, cookie: 1n, idleTimeout: 9 });
    apply({ priority: 6, match: { in_port: 1, eth_type: 0x800 }, cookie: 2n });
    for (const rule of tables.select(ALL)) rule.credit(3, 30, clock.now());
    const created = clock.now();
    clock.advance(1000);
    const none = 0xffffffffffffffffn;
    apply({ command: "modify", match: { in_port: 1 }, newCookie: none, actions: [out(4)] });
    const rules = [...tables.select(ALL)].toSorted((a, b) => a.priority - b.priority);
    expect(rules.map((r) => [r.cookie, r.packets, r.idleTimeout, r.createdMs])).toEqual([
      [1n, 3, 9, created],
      [2n, 3, 0, created],
    ]);
    expect(rules.every((r) => r.modifiedMs === clock.now() && r.actions.length === 1)).toBe(true);
    apply({ command: "modify_strict", priority: 5, match: { in_port: 1 }, newCookie: none });
    expect([...tables.select(ALL)].filter((r) => r.actions.length === 0).length).toBe(1);
  });

  test("adds when there is nothing to modify only as OpenFlow 1.0 does", () => {
    const { apply, list } = fresh();
    apply({ command: "modify", newCookie: 0xffffffffffffffffn, priority: 1 });
    expect(list()).toEqual([]);
    apply({ command: "modify", newCookie: 7n, cookie: 7n, cookieMask: 1n, priority: 1 });
    expect(list()).toEqual([]);
    apply({ command: "modify_strict", newCookie: 7n, priority: 1 });
    expect(list()).toEqual(["0/1/7"]);
  });
});

describe("deleting", () => {
  const filled = () => {
    const made = fresh();
    made.apply({ priority: 1, cookie: 1n, actions: [out(1)] });
    made.apply({
      priority: 2,
      cookie: 2n,
      match: { in_port: 1 },
      actions: [out(PORTS.CONTROLLER)],
    });
    made.apply({ table: 1, priority: 3, cookie: 3n, match: { in_port: 1, eth_type: 0x800 } });
    return made;
  };
  const cases: [string, FlowOptions, string[]][] = [
    ["everything", { table: 255 }, []],
    ["one table", { table: 0 }, ["1/3/3"]],
    ["loosely", { table: 255, match: { in_port: 1 } }, ["0/1/1"]],
    ["strictly", { table: 255, command: "delete_strict", match: { in_port: 1 }, priority: 2 }, [
      "0/1/1",
      "1/3/3",
    ]],
    ["strictly needs the priority", {
      table: 255,
      command: "delete_strict",
      match: { in_port: 1 },
      priority: 3,
    }, ["0/1/1", "0/2/2", "1/3/3"]],
    ["by cookie", { table: 255, cookie: 2n, cookieMask: 2n }, ["0/1/1"]],
    ["by port", { table: 255, outPort: 1 }, ["0/2/2", "1/3/3"]],
    ["by controller", { table: 255, outPort: PORTS.CONTROLLER }, ["0/1/1", "1/3/3"]],
  ];
  for (const [name, options, left] of cases) {
    test(name, () => {
      const { apply, list } = filled();
      apply({ command: "delete", ...options });
      expect(list()).toEqual(left);
    });
  }

  test("tells why, and keeps the match for whoever reports it", () => {
    const { apply, changes } = filled();
    apply({ command: "delete", table: 1 });
    const gone = changes.at(-1)!;
    expect(gone).toMatchObject({ event: "removed", reason: "delete" });
    if (gone.event !== "removed") throw new Error(gone.event);
    expect(gone.rule.match().key.equals(match({ in_port: 1, eth_type: 0x800 }).key)).toBe(true);
  });
});

describe("batches", () => {
  test("are all or nothing", () => {
    const { tables, apply, changes, list, clock } = fresh();
    apply({ priority: 1, cookie: 1n, hardTimeout: 1 });
    apply({ priority: 2, cookie: 2n });
    const [old] = [...tables.select({ ...ALL, cookie: 1n, cookieMask: 1n })];
    old!.credit(5, 50, clock.now());
    changes.length = 0;
    const before = list();
    expect(errorOf(() =>
      tables.transaction(() => {
        tables.apply(flowMod({ command: "delete", cookie: 2n, cookieMask: 2n }));
        tables.apply(flowMod({ priority: 1, cookie: 9n }));
        tables.apply(flowMod({ priority: 3 }));
        tables.apply(flowMod({ command: "delete" }));
        tables.apply(flowMod({ priority: 4, actions: [{ type: "meter", meter: 7 }] }));
      })
    )).toBe("OFPMMFC_INVALID_METER");
    expect(list()).toEqual(before);
    expect(changes).toEqual([]);
    old!.credit(1, 10, clock.now());
    expect(old!.packets).toBe(6);
    clock.advance(1100);
    expect(tables.expire()).toBe(1);
    expect(list()).toEqual(["0/2/2"]);
  });
});

describe("timeouts", () => {
  test("idle counts from the last packet, hard from the last change", () => {
    const { tables, apply, changes, clock, list } = fresh();
    apply({ priority: 1, idleTimeout: 2 });
    apply({ priority: 2, hardTimeout: 3 });
    apply({ priority: 3 });
    clock.advance(1900);
    for (const rule of tables.select(ALL)) rule.credit(1, 1, clock.now());
    clock.advance(1000);
    expect(tables.expire()).toBe(0);
    clock.advance(200);
    expect(tables.expire()).toBe(1);
    clock.advance(1000);
    expect(tables.expire()).toBe(1);
    clock.advance(1e9);
    expect(tables.expire()).toBe(0);
    expect(list()).toEqual(["0/3/0"]);
    expect(changes.flatMap((c) => c.event === "removed" ? [c.reason] : [])).toEqual([
      "hard_timeout",
      "idle_timeout",
    ]);
  });

  test("fin_timeout only shortens", () => {
    const { tables, apply } = fresh();
    apply({ priority: 1, idleTimeout: 5 });
    const [rule] = [...tables.select(ALL)];
    tables.reduceTimeouts(rule!, 10, 7);
    expect([rule!.idleTimeout, rule!.hardTimeout]).toEqual([5, 7]);
    tables.reduceTimeouts(rule!, 2, 0);
    expect([rule!.idleTimeout, rule!.hardTimeout]).toEqual([2, 7]);
  });
});

describe("the switch's own rules", () => {
  test("are matched but neither seen nor touched", () => {
    const { tables, apply, list } = fresh();
    const own = { table: 0, priority: 0xf0f0ff, cookie: 0n, idleTimeout: 0, hardTimeout: 0 };
    const rule = tables.addOwn({ ...own, importance: 0, flags: 0, actions: [] }, match({}));
    apply({ priority: 1 });
    expect(list()).toEqual(["0/1/0"]);
    expect([...tables.select(ALL, true)].length).toBe(2);
    apply({ command: "delete" });
    expect(tables.lookup(0, match({}).key)).toBe(rule);
    tables.removeOwn(rule);
    tables.removeOwn(rule);
    expect(tables.size).toBe(0);
  });
});

test("NO_PKT_COUNTS and NO_BYT_COUNTS leave out what they name", () => {
  const { tables, apply, clock } = fresh();
  apply({ flags: FLOW_FLAGS.NO_PKT_COUNTS });
  const [rule] = [...tables.select(ALL)];
  rule!.credit(2, 200, clock.now());
  expect([rule!.packets, rule!.bytes]).toEqual([0, 200]);
  expect(tables.aggregate(ALL)).toEqual({ packets: 0, bytes: 200, flows: 1 });
});
