import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "../../../src/db/database.ts";
import { History } from "../../../src/db/history/history.ts";
import { canonical, type Json, type JsonObject } from "../../../src/db/json.ts";
import { openVSwitchSchema } from "../../../src/db/schema/openvswitch.ts";
import { openVSwitchStatus } from "../../../src/db/schema/openvswitch-status.ts";
import { defaultRetention } from "../../../src/db/storage/history-store.ts";
import { openSqliteStorage } from "../../../src/db/storage/sqlite.ts";
import { insert, mapOf, must, named, quietLogger, setOf, transact, zooSchema } from "./fixture.ts";
import { FakeClock } from "./history-clock.ts";

let dir: string;
let db: Database;
let history: History;
let clock: FakeClock;

const open = (schema: Parameters<typeof Database.open>[0], retention = defaultRetention): void => {
  const logger = quietLogger();
  db = Database.open(schema, openSqliteStorage(join(dir, "db")), { logger });
  const store = db.historyStore;
  if (store === undefined) throw new Error("no history in SQLite");
  history = new History(db, store, clock, logger, retention);
};
const close = (): void => {
  history.close();
  db.close();
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "solovs-history-"));
  clock = new FakeClock();
});
afterEach(() => {
  close();
  rmSync(dir, { recursive: true, force: true });
});

const request = { author: { who: "test" }, readOnly: false, comment: "back" };
const update = (table: string, row: JsonObject, where: Json = []): JsonObject => ({
  op: "update",
  table,
  where,
  row,
});

/** All configuration as text. */
const content = (): string =>
  canonical(
    [...db.storedRows()].map(({ table, uuid, columns }) => [table, uuid, columns] as Json)
      .sort((a, b) => canonical(a) < canonical(b) ? -1 : 1),
  );

describe("what makes a revision", () => {
  test("each transaction that changes configuration: who, when, why, and what", async () => {
    open(openVSwitchSchema);
    const before = Date.now();
    await must(
      db,
      insert("Bridge", { name: "br0", other_config: mapOf(["a", "1"]) }, "b"),
      insert("Open_vSwitch", { bridges: named("b"), next_cfg: 1 }),
      { op: "comment", comment: "made br0" },
    );
    await must(db, update("Bridge", { other_config: mapOf(["a", "2"]), fail_mode: "secure" }));
    const [second, first, baseline] = history.log(10);
    expect(baseline).toMatchObject({ number: 1, kind: "baseline" });
    expect(first).toMatchObject({
      number: 2,
      kind: "change",
      author: { who: "test" },
      comment: "made br0",
      inserted: 2,
      modified: 0,
    });
    expect(first?.timeMs).toBeGreaterThanOrEqual(before);
    expect(second).toMatchObject({ number: 3, modified: 1, inserted: 0, comment: undefined });
    const [bridge] = Object.values(history.show(3).changes["Bridge"] ?? {});
    expect(bridge).toEqual({
      name: "br0",
      old: { other_config: mapOf(["a", "1"]), fail_mode: setOf() },
      new: { other_config: mapOf(["a", "2"]), fail_mode: "secure" },
    });
    const [root] = Object.values(history.show(2).changes["Open_vSwitch"] ?? {});
    expect(Object.keys(root?.new ?? {})).toEqual(["bridges"]);
  });

  test("no status column of Open_vSwitch, ephemeral or stored, makes one", async () => {
    open(openVSwitchSchema);
    await must(
      db,
      insert("Interface", { name: "p" }, "i"),
      insert("Port", { name: "p", interfaces: named("i") }, "p"),
      insert("Bridge", { name: "b", ports: named("p") }, "b"),
      insert("Datapath", {}, "d"),
      insert("Open_vSwitch", { bridges: named("b"), datapaths: mapOf(["system", named("d")]) }),
    );
    const { newest } = history;
    for (const { schema } of db.tables.values()) {
      if (!["Interface", "Port", "Bridge", "Datapath", "Open_vSwitch"].includes(schema.name)) {
        continue;
      }
      const stored: readonly string[] =
        openVSwitchStatus[schema.name as keyof typeof openVSwitchStatus] ?? [];
      for (const column of schema.columnList) {
        if (column.persistent && !stored.includes(column.name)) continue;
        if (column.name.startsWith("_")) continue;
        const { type } = column;
        const atom: Json = type.key.enumeration?.[0] as string ??
          { integer: 7, real: 7, boolean: true, string: "x", uuid: "" }[type.key.type];
        const value = type.value === undefined
          ? atom
          : mapOf([atom, type.value.type === "integer" ? 7 : "x"]);
        await must(db, update(schema.name, { [column.name]: value }));
      }
    }
    expect(history.newest).toBe(newest);
    await must(db, update("Port", { tag: 3, bond_active_slave: "x" }));
    expect(history.newest).toBe(newest + 1);
    const [port] = Object.values(history.show(newest + 1).changes["Port"] ?? {});
    expect(port?.new).toEqual({ tag: 3 });
  });

  test("transactions that change nothing, fail, or cannot be stored make none", async () => {
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z" }));
    await must(db, update("Zoo", { byNumber: mapOf() }));
    await must(db, { op: "comment", comment: "nothing" });
    await transact(db, insert("Zoo", { name: "z" }));
    await transact(db, insert("Zoo", { name: "other" }), { op: "abort" });
    expect(history.log(10).map(({ number }) => number)).toEqual([2, 1]);
  });

  test("rows collected as garbage, and weak references that go with them, are part of it", async () => {
    open(zooSchema);
    await must(
      db,
      insert("Zoo", { name: "z", houses: named("h") }),
      insert("House", { name: "h", animals: setOf(named("a"), named("b")) }, "h"),
      insert("Animal", { name: "ant", friends: named("b") }, "a"),
      insert("Animal", { name: "bee" }, "b"),
    );
    const all = content();
    await must(db, {
      op: "mutate",
      table: "House",
      where: [],
      mutations: [["animals", "delete", setOf(...bee())]],
    });
    expect(history.show(3)).toMatchObject({ deleted: 1, modified: 2 });
    history.rollback(2, request);
    expect(content()).toBe(all);
  });

  const bee = (): Json[] =>
    [...db.tables.get("Animal")?.rows.values() ?? []]
      .filter(({ fields }) => fields.some(({ keys }) => keys[0] === "bee"))
      .map(({ uuid }) => ["uuid", uuid]);
});

describe("going back", () => {
  test("brings rows back under their UUIDs, and is a revision that can be gone back from", async () => {
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z", houses: named("h") }), insert("House", {}, "h"));
    const before = content();
    await must(db, { op: "delete", table: "Zoo", where: [] });
    const empty = content();
    expect(history.rollback(2, request)).toBe(4);
    expect(content()).toBe(before);
    expect(history.show(4)).toMatchObject({ comment: "back", inserted: 2 });
    expect(history.rollback(3, request)).toBe(5);
    expect(content()).toBe(empty);
    expect(history.rollback(5, request)).toBeUndefined();
    expect(history.newest).toBe(5);
  });

  test("leaves status alone", async () => {
    open(openVSwitchSchema);
    await must(db, insert("Open_vSwitch", { next_cfg: 1 }));
    await must(db, update("Open_vSwitch", { external_ids: mapOf(["a", "b"]), next_cfg: 2 }));
    await must(db, update("Open_vSwitch", { cur_cfg: 2, ovs_version: "3.1.0" }));
    history.rollback(2, request);
    const [root] = [...db.storedRows()];
    expect(root?.columns).toEqual({ next_cfg: 2, cur_cfg: 2, ovs_version: "3.1.0" });
  });

  test("what is not there is refused with what is", () => {
    open(zooSchema);
    expect(() => history.rollback(2, request)).toThrow("revision 2 is not in the history");
    expect(() => history.show(0)).toThrow("which has 1 to 1");
    expect(() => history.diff(1, 9)).toThrow("revision 9");
  });

  test("a reader may not", async () => {
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z" }));
    expect(() => history.rollback(1, { ...request, readOnly: true })).toThrow("not allowed");
    expect(history.newest).toBe(2);
  });

  test("nobody goes back beyond another schema", async () => {
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z" }));
    db.convert({ ...zooSchema, version: "1.0.1" });
    expect(history.show(3)).toMatchObject({ kind: "convert" });
    await must(db, insert("Zoo", { name: "y" }));
    expect(() => history.rollback(2, request)).toThrow("with revision 3 the database got another");
    history.rollback(3, request);
    expect(db.tables.get("Zoo")?.rows.size).toBe(1);
  });

  test("after a restart too", async () => {
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z" }));
    const before = content();
    await must(db, update("Zoo", { houses: named("h") }), insert("House", { name: "h" }, "h"));
    close();
    open(zooSchema);
    expect(history.range()).toEqual({ oldest: 1, newest: 3 });
    history.rollback(2, request);
    expect(content()).toBe(before);
  });

  test("any revision can be reached from any other, and diffs say how", async () => {
    const names = ["a", "b", "c", "d"];
    const step = fc.oneof(
      fc.record({ do: fc.constant("insert"), name: fc.constantFrom(...names), legs: fc.nat(9) }),
      fc.record({ do: fc.constant("legs"), name: fc.constantFrom(...names), legs: fc.nat(9) }),
      fc.record({ do: fc.constant("delete"), name: fc.constantFrom(...names), legs: fc.nat(9) }),
      fc.record({ do: fc.constant("back"), name: fc.constant(""), legs: fc.nat(30) }),
    );
    open(zooSchema);
    await must(db, insert("Zoo", { name: "z", houses: named("h") }), insert("House", {}, "h"));
    const contents = new Map([[history.newest, content()]]);
    const numberAt = (n: number): number => [...contents.keys()][n % contents.size] as number;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.nat(), async (steps, target) => {
        for (const { do: what, name, legs } of steps) {
          const where = [["name", "==", name]];
          if (what === "back") history.rollback(numberAt(legs), request);
          else if (what === "legs") await transact(db, update("Animal", { legs }, where));
          else if (what === "insert") {
            await transact(db, insert("Animal", { name, legs, notes: mapOf([name, "x"]) }, "a"), {
              op: "mutate",
              table: "House",
              where: [],
              mutations: [["animals", "insert", setOf(named("a"))]],
            });
          } else {
            const [found] = await must(db, {
              op: "select",
              table: "Animal",
              where,
              columns: ["_uuid"],
            });
            const uuids = (found?.["rows"] as { _uuid: Json }[]).map(({ _uuid }) => _uuid);
            const mutations = [["animals", "delete", setOf(...uuids)]];
            await transact(db, { op: "mutate", table: "House", where: [], mutations });
          }
          contents.set(history.newest, content());
        }
        const number = numberAt(target);
        const start = history.newest;
        const forth = history.diff(start, number).changes;
        history.rollback(number, request);
        expect(content()).toBe(contents.get(number) ?? "");
        contents.set(history.newest, content());
        if (history.newest > start) {
          expect(canonical(history.diff(start, history.newest).changes as unknown as Json))
            .toBe(canonical(forth as unknown as Json));
        }
        expect(history.diff(number, history.newest).changes).toEqual({});
      }),
      { numRuns: 25 },
    );
  }, 30_000);

  test("large sets and maps are recorded by member, and add up all the same", async () => {
    open(zooSchema);
    await must(
      db,
      insert("Zoo", { name: "z", houses: named("h") }),
      insert("House", { animals: named("a") }, "h"),
      insert("Animal", { name: "ant" }, "a"),
    );
    const contents = new Map([[history.newest, content()]]);
    const entries = fc.uniqueArray(fc.nat(29), { maxLength: 30 });
    const step = fc.record({ numbers: entries, keys: entries, value: fc.nat(2), back: fc.nat(9) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        for (const { numbers, keys, value, back } of steps) {
          if (back === 0) history.rollback(2 + numbers.length % (history.newest - 1), request);
          else if (back === 1) history.rollback(1, request);
          else {
            const pairs = keys.map((key): [Json, Json] => [`k${key}`, `v${value * key % 3}`]);
            const row = { numbers: setOf(...numbers), notes: mapOf(...pairs) };
            await must(db, update("Animal", row));
          }
          contents.set(history.newest, content());
        }
        const [target = 2, other = 2] = steps.map(({ value, back }) =>
          2 + (value * 10 + back) % (history.newest - 1)
        );
        const diff = canonical(history.diff(target, other).changes as unknown as Json);
        history.rollback(target, request);
        expect(content()).toBe(contents.get(target) ?? content());
        contents.set(history.newest, content());
        const { newest } = history;
        history.rollback(other, request);
        contents.set(history.newest, content());
        expect(content()).toBe(contents.get(other) ?? content());
        if (history.newest > newest && !history.show(history.newest).inserted) {
          const joined = history.diff(newest, history.newest).changes;
          expect(Object.keys(joined).sort()).toEqual(Object.keys(JSON.parse(diff)).sort());
        }
      }),
      { numRuns: 25 },
    );
    expect([...contents.values()].length).toBeGreaterThan(20);
  }, 30_000);

  test("one more of many members is a small change", async () => {
    open(zooSchema);
    const many = Array.from({ length: 5000 }, (_, n) => n);
    await must(
      db,
      insert("Zoo", { name: "z", houses: named("h") }),
      insert("House", { animals: named("a") }, "h"),
      insert("Animal", { name: "ant", numbers: setOf(...many) }, "a"),
    );
    const before = content();
    await must(db, {
      op: "mutate",
      table: "Animal",
      where: [],
      mutations: [["numbers", "insert", 7000], ["numbers", "delete", 3]],
    });
    const [change] = Object.values(history.show(3).changes["Animal"] ?? {});
    expect(change).toEqual({
      name: "ant",
      old: {},
      new: {},
      members: { numbers: { removed: 3, added: 7000 } },
    });
    history.rollback(2, request);
    expect(content()).toBe(before);
    expect(history.diff(2, 4).changes).toEqual({});
  });
});

describe("retention", () => {
  const legs = (n: number): Promise<unknown> => must(db, update("Animal", { legs: n }));
  const start = async (retention: Partial<typeof defaultRetention>): Promise<void> => {
    open(zooSchema, { ...defaultRetention, ...retention });
    await must(
      db,
      insert("Zoo", { name: "z", houses: named("h") }),
      insert("House", { animals: named("a") }, "h"),
      insert("Animal", { name: "ant" }, "a"),
    );
  };

  test("so many revisions are kept", async () => {
    await start({ revisions: 5 });
    for (let i = 1; i <= 20; i++) await legs(i);
    expect(history.range()).toEqual({ oldest: 18, newest: 22 });
    expect(() => history.rollback(17, request)).toThrow("which has 18 to 22");
    history.rollback(18, request);
    expect(history.range()).toEqual({ oldest: 19, newest: 23 });
  });

  test("so many bytes, but always the newest", async () => {
    await start({ bytes: 400 });
    for (let i = 1; i <= 20; i++) await legs(i);
    const { oldest, newest } = history.range();
    expect(newest).toBe(22);
    expect(oldest).toBeGreaterThan(18);
    await must(db, update("Animal", { notes: mapOf(["long", "x".repeat(1000)]) }));
    expect(history.range()).toEqual({ oldest: 23, newest: 23 });
  });

  test("for so long; numbers are not used again", async () => {
    await start({});
    clock.wall = Date.now() + 91 * 24 * 3600_000;
    close();
    open(zooSchema);
    expect(history.range()).toEqual({ oldest: 2, newest: 2 });
    await legs(4);
    expect(history.newest).toBe(3);
  });

  test("what somebody may have to go back to stays", async () => {
    await start({ revisions: 2 });
    history.keepFrom(2);
    for (let i = 1; i <= 10; i++) await legs(i);
    expect(history.range()).toEqual({ oldest: 2, newest: 12 });
    history.keepFrom(undefined);
    await legs(0);
    expect(history.range()).toEqual({ oldest: 12, newest: 13 });
  });

  test("Open_vSwitch's other_config sets it", async () => {
    open(openVSwitchSchema);
    await must(db, insert("Open_vSwitch", {}));
    for (let i = 0; i < 10; i++) {
      await must(db, update("Open_vSwitch", { external_ids: mapOf(["n", String(i)]) }));
    }
    await must(
      db,
      update("Open_vSwitch", { other_config: mapOf(["history-revisions", "3"]) }),
    );
    expect(history.range()).toEqual({ oldest: 11, newest: 13 });
    await must(
      db,
      update("Open_vSwitch", { other_config: mapOf(["history-revisions", "lots"]) }),
    );
    await must(db, update("Open_vSwitch", { external_ids: mapOf() }));
    expect(history.range().oldest).toBe(12);
  });
});
