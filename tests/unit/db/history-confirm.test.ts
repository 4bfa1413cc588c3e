import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonObject } from "../../../src/db/json.ts";
import { type DatabaseService, startDatabaseService } from "../../../src/db/service.ts";
import type { OvsdbSession } from "../../../src/db/session.ts";
import { insert, named, quietLogger, setOf, zooSchema } from "./fixture.ts";
import { FakeClock } from "./history-clock.ts";

let dir: string;
let clock: FakeClock;
let service: DatabaseService;
let session: OvsdbSession;
let log: string[];

const start = (): void => {
  service = startDatabaseService({
    dbFile: join(dir, "db"),
    schema: zooSchema,
    sockets: [],
    logger: quietLogger("info", log),
    history: { clock },
  });
  session = service.openSession("operator");
};
const restart = (): void => {
  service.close();
  start();
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "solovs-confirm-"));
  clock = new FakeClock();
  log = [];
  start();
});
afterEach(() => {
  service.close();
  rmSync(dir, { recursive: true, force: true });
});

const call = async (method: string, options: JsonObject = {}): Promise<JsonObject> =>
  await session.request(`solovs.${method}`, ["zoo", options]) as JsonObject;

async function change(...operations: Json[]): Promise<void> {
  const results = await session.request("transact", ["zoo", ...operations]) as JsonObject[];
  for (const result of results) expect(result).not.toHaveProperty("error");
}
const addZoo = (name: string): Promise<void> => change(insert("Zoo", { name }));
const zoos = (): string[] =>
  [...service.database.tables.get("Zoo")?.rows.values() ?? []]
    .map(({ fields }) => String(fields[2]?.keys[0])).sort();
const within = (seconds: number, extend = false): Promise<JsonObject> =>
  call("config_confirm_within", { seconds, extend });

describe("a window", () => {
  test("unconfirmed, the configuration goes back to where it was, by a revision", async () => {
    await addZoo("old");
    expect(await within(60)).toMatchObject({ pending: true, base: 2, remaining_ms: 60_000 });
    await addZoo("new");
    await change({ op: "update", table: "Zoo", where: [], row: { houses: setOf() } });
    clock.pass(59_999);
    expect(zoos()).toEqual(["new", "old"]);
    clock.pass(1);
    expect(zoos()).toEqual(["old"]);
    expect(await call("config_status")).toMatchObject({
      pending: false,
      last: { state: "expired", base: 2, revision: 4 },
    });
    expect(await call("config_show", { revision: 4 })).toMatchObject({
      author: { who: "solovs" },
      comment: "solovs: not confirmed within 60 s, back to revision 2",
    });
    expect(log.join("\n")).toContain("not confirmed within 60 s, back to revision 2");
  });

  test("confirmed, it stays", async () => {
    await within(60);
    await addZoo("new");
    await call("config_confirm");
    clock.pass(1000_000);
    expect(zoos()).toEqual(["new"]);
    restart();
    expect(zoos()).toEqual(["new"]);
    await expect(call("config_confirm")).rejects.toThrow("the last changes were confirmed at");
  });

  test("cancelled, it goes back at once", async () => {
    await within(60);
    await addZoo("new");
    expect(await call("config_cancel")).toMatchObject({ base: 1, revision: 3 });
    expect(zoos()).toEqual([]);
    clock.pass(1000_000);
    expect(await call("config_status")).toMatchObject({ last: { state: "cancelled" } });
    await expect(call("config_cancel")).rejects.toThrow("nothing waits for confirmation");
  });

  test("in which nothing changed makes no revision", async () => {
    await within(5);
    clock.pass(5000);
    expect(await call("config_status")).toMatchObject({
      last: { state: "expired", revision: null },
    });
    expect(await call("config_log")).toMatchObject({ newest: 1 });
  });

  test("takes back everybody's changes, also a rollback", async () => {
    await addZoo("one");
    await within(60);
    await call("config_rollback", { revision: 1 });
    await service.openSession("another").request("transact", [
      "zoo",
      insert("Zoo", { name: "two", houses: named("h") }),
      insert("House", {}, "h"),
    ]);
    expect(zoos()).toEqual(["two"]);
    clock.pass(60_000);
    expect(zoos()).toEqual(["one"]);
  });

  test("a second one is refused; extending moves the deadline and keeps what to go back to", async () => {
    await within(60);
    await addZoo("one");
    await expect(within(60)).rejects.toThrow(
      /changes since revision 1 wait .* another 60 s.*--extend/s,
    );
    clock.pass(50_000);
    expect(await within(120, true)).toMatchObject({ base: 1, remaining_ms: 120_000 });
    await addZoo("two");
    clock.pass(119_999);
    expect(zoos()).toEqual(["one", "two"]);
    clock.pass(1);
    expect(zoos()).toEqual([]);
  });

  test.each([0, -5, 7 * 86_400 + 1])("of %d s is refused", async (seconds) => {
    await expect(within(seconds)).rejects.toThrow("a window lasts 1 s to 604800 s");
  });
});

describe("a restart", () => {
  test("before the deadline: the window goes on", async () => {
    await within(60);
    await addZoo("new");
    clock.pass(30_000);
    restart();
    expect(log.join("\n")).toContain("goes back to revision 1 in 30 s unless");
    expect(await call("config_status")).toMatchObject({ pending: true, remaining_ms: 30_000 });
    clock.pass(30_000);
    expect(zoos()).toEqual([]);
  });

  test("after it: the way back is done before anybody is served", async () => {
    await within(60);
    await addZoo("new");
    service.close();
    clock.pass(61_000);
    start();
    expect(zoos()).toEqual([]);
    expect(await call("config_status")).toMatchObject({ last: { state: "expired", revision: 3 } });
    restart();
    expect(await call("config_log")).toMatchObject({ newest: 3 });
  });

  test("between the way back and the note of it: it is not done twice", async () => {
    await within(60);
    const state = service.database.historyStore?.confirmation() as Json;
    await addZoo("new");
    clock.pass(60_000);
    service.database.historyStore?.setConfirmation(state);
    restart();
    expect(await call("config_status")).toMatchObject({
      last: { state: "expired", revision: null },
    });
    expect(await call("config_log")).toMatchObject({ newest: 3 });
  });

  test.each([-86_400_000, 86_400_000])(
    "with the wall clock set by %d ms: what counts is the time that passed",
    async (step) => {
      await within(60);
      await addZoo("new");
      clock.wall += step;
      restart();
      clock.pass(59_000);
      expect(zoos()).toEqual(["new"]);
      clock.pass(1000);
      expect(zoos()).toEqual([]);
    },
  );

  test("of the machine: the wall clock counts", async () => {
    await within(60);
    await addZoo("new");
    service.close();
    clock.reboot();
    clock.wall += 40_000;
    start();
    expect(await call("config_status")).toMatchObject({ pending: true, remaining_ms: 20_000 });
    service.close();
    clock.reboot();
    clock.wall += 20_000;
    start();
    expect(zoos()).toEqual([]);
  });

  test("of a machine that lost its clock: at most the whole window again", async () => {
    await within(60);
    await addZoo("new");
    service.close();
    clock.reboot();
    clock.wall = 0;
    start();
    expect(await call("config_status")).toMatchObject({ pending: true, remaining_ms: 60_000 });
    clock.pass(60_000);
    expect(zoos()).toEqual([]);
  });
});

test("a conversion in the window cannot be taken back: it ends as failed, and says so", async () => {
  await addZoo("one");
  await within(60);
  service.database.convert({ ...zooSchema, version: "1.0.1" });
  clock.pass(60_000);
  expect(await call("config_status")).toMatchObject({ pending: false, last: { state: "failed" } });
  expect(log.join("\n")).toContain("|ERR|cannot go back to revision 2");
  await within(60);
});

describe("the methods", () => {
  test.each([
    ["config_show", {}, "Required 'revision'"],
    ["config_show", { revision: "1" }, "Type mismatch"],
    ["config_log", { limit: 0 }, "limit of 1 to"],
    ["config_log", { nonsense: 1 }, "not allowed here"],
    ["config_rollback", { revision: 1, comment: 5 }, "Type mismatch"],
    ["config_confirm", {}, "nothing waits"],
    ["db_replace", { rows: [["Zoo", "x", {}]] }, "[table, UUID, columns]"],
    ["db_replace", { rows: 5 }, "Type mismatch"],
  ])("%s %p is refused: %s", async (method, options, message) => {
    await expect(call(method as string, options as JsonObject)).rejects.toThrow(message as string);
  });

  test("an unknown database, and one that only the server writes", async () => {
    await expect(session.request("solovs.config_log", ["none"])).rejects.toThrow(
      "unknown database",
    );
    await expect(session.request("solovs.config_log", ["_Server"])).rejects.toThrow("no history");
    await expect(session.request("solovs.config_log", [])).rejects.toThrow("[database, options]");
  });

  test("replace: only over an empty configuration, unless forced; what is unknown is named", async () => {
    const uuid = crypto.randomUUID();
    const rows = [["Zoo", uuid, { name: "imported", colour: "red" }], ["Tree", uuid, {}]];
    await addZoo("mine");
    await expect(call("db_replace", { rows })).rejects.toThrow("holds a configuration already");
    expect(await call("db_replace", { rows, force: true })).toEqual({
      revision: 3,
      dropped: ["Zoo.colour", "Tree"],
    });
    expect(zoos()).toEqual(["imported"]);
    await call("config_rollback", { revision: 2 });
    expect(zoos()).toEqual(["mine"]);
  });

  test("replace: all constraints hold, or nothing changes", async () => {
    await addZoo("mine");
    const rows = [1, 2, 3].map((n) => ["Zoo", crypto.randomUUID(), { name: `z${n}` }]);
    await expect(call("db_replace", { rows, force: true })).rejects.toThrow("limit of 2 row(s)");
    const [row] = rows;
    const bad = [[...row?.slice(0, 2) ?? [], { name: "z", houses: ["uuid", crypto.randomUUID()] }]];
    await expect(call("db_replace", { rows: bad, force: true })).rejects.toThrow("nonexistent row");
    expect(zoos()).toEqual(["mine"]);
  });
});
