import { beforeEach, describe, expect, test } from "bun:test";
import type { Json } from "../../../src/db/json.ts";
import { OvsdbServer } from "../../../src/db/server.ts";
import type { OvsdbSession } from "../../../src/db/session.ts";
import { insert, mapOf, must, named, openZoo, quietLogger, setOf } from "./fixture.ts";
import type { Database } from "../../../src/db/database.ts";

let server: OvsdbServer;
let db: Database;
beforeEach(() => {
  server = new OvsdbServer(quietLogger());
  db = openZoo();
  server.addDatabase(db);
});

interface Client {
  readonly session: OvsdbSession;
  readonly heard: [string, ...Json[]][];
}

function client(who = "test"): Client {
  const session = server.openSession(who);
  const heard: [string, ...Json[]][] = [];
  session.onNotification((method, params) => heard.push([method, ...params]));
  return { session, heard };
}

const animal = (row: { [column: string]: Json }): readonly Json[] => [
  { ...insert("Animal", row, "a"), uuid: ANT },
  insert("House", { name: "h", animals: named("a") }, "h"),
  insert("Zoo", { name: "z", houses: named("h") }),
];
const ANT = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const update = (row: { [column: string]: Json }): Json => ({
  op: "update",
  table: "Animal",
  where: [["_uuid", "==", ["uuid", ANT]]],
  row,
});

describe("monitors", () => {
  const columns = ["name", "legs", "numbers", "notes"];

  test("version 1: whole new rows, and the old values of what changed", async () => {
    const { session, heard } = client();
    const reply = await session.request("monitor", ["zoo", "m", { Animal: { columns } }]);
    expect(reply).toEqual({});
    const row = { name: "ant", legs: 6, numbers: setOf(), notes: mapOf() };
    await must(db, ...animal({ name: "ant", legs: 6 }));
    await must(db, update({ legs: 5 }));
    await must(db, update({ weight: 9 }));
    await must(db, { op: "delete", table: "Zoo", where: [] });
    expect(heard).toEqual([
      ["update", "m", { Animal: { [ANT]: { new: row } } }],
      ["update", "m", { Animal: { [ANT]: { old: { legs: 6 }, new: { ...row, legs: 5 } } } }],
      ["update", "m", { Animal: { [ANT]: { old: { ...row, legs: 5 } } } }],
    ]);
  });

  test("version 2: defaults left out, differences of sets and maps", async () => {
    const { session, heard } = client();
    await session.request("monitor_cond", ["zoo", "m", { Animal: [{ columns }] }]);
    await must(
      db,
      ...animal({ name: "ant", numbers: setOf(1, 2), notes: mapOf(["a", "1"], ["b", "2"]) }),
    );
    await must(
      db,
      update({ numbers: setOf(2, 3), notes: mapOf(["b", "9"], ["c", "3"]), legs: 1 }),
    );
    await must(db, { op: "delete", table: "Zoo", where: [] });
    const notes = mapOf(["a", "1"], ["b", "9"], ["c", "3"]);
    expect(heard.map(([, , updates]) => (updates as { Animal: { [ANT]: Json } }).Animal[ANT]))
      .toEqual([
        { insert: { name: "ant", numbers: setOf(1, 2), notes: mapOf(["a", "1"], ["b", "2"]) } },
        { modify: { numbers: setOf(1, 3), notes, legs: 1 } },
        { delete: null },
      ]);
  });

  test("select says which changes count, for each column", async () => {
    const { session, heard } = client();
    const select = { initial: false, insert: false, delete: false };
    await must(db, ...animal({ name: "ant", legs: 6 }));
    const requests = [
      { columns: ["legs"], select },
      { columns: ["name"], select: { ...select, modify: false } },
    ];
    expect(await session.request("monitor", ["zoo", "m", { Animal: requests }])).toEqual({});
    await must(db, update({ legs: 5, name: "bee" }));
    await must(db, { op: "delete", table: "Zoo", where: [] });
    expect(heard).toEqual([
      ["update", "m", { Animal: { [ANT]: { old: { legs: 6 }, new: { legs: 5 } } } }],
    ]);
  });

  test("a condition makes rows come and go; a new condition is told as updates", async () => {
    const { session, heard } = client();
    await must(db, ...animal({ name: "ant", legs: 6 }));
    const request = (where: Json) => ({ Animal: [{ columns: ["legs"], where }] });
    const many = [["legs", ">", 4], ["name", "==", "never"]];
    expect(await session.request("monitor_cond", ["zoo", "m", request(many)])).toEqual({
      Animal: { [ANT]: { initial: { legs: 6 } } },
    });
    await must(db, update({ legs: 2 }));
    await must(db, update({ legs: 3 }));
    await must(db, update({ legs: 7 }));
    const few = { Animal: [{ where: [["legs", "<", 4]] }] };
    expect(await session.request("monitor_cond_change", ["m", "n", few])).toEqual({});
    await must(db, update({ legs: 1 }));
    expect(heard.map(([, id, u]) => [id, (u as { Animal: { [ANT]: Json } }).Animal[ANT]])).toEqual([
      ["m", { delete: null }],
      ["m", { insert: { legs: 7 } }],
      ["n", { delete: null }],
      ["n", { insert: { legs: 1 } }],
    ]);
  });

  test("monitor_cond_since: a client that comes back gets what it missed, and no more", async () => {
    const requests = { Animal: [{ columns: ["legs"] }] };
    const zero = "00000000-0000-0000-0000-000000000000";
    const since = (session: OvsdbSession, id: Json) =>
      session.request("monitor_cond_since", ["zoo", "m", requests, id]) as Promise<Json[]>;
    const first = client();
    const [found, start, content] = await since(first.session, zero);
    expect([found, content]).toEqual([false, {}]);
    await must(db, ...animal({ name: "ant", legs: 6 }));
    const [method, , seen] = first.heard[0] ?? ["none"];
    expect(method).toBe("update3");
    first.session.close();
    await must(db, update({ legs: 5 }));
    await must(db, update({ legs: 4 }));
    const missed = { Animal: { [ANT]: { modify: { legs: 4 } } } };
    expect(await since(client().session, seen as Json)).toEqual([
      true,
      db.lastTransactionId,
      missed,
    ]);
    expect(await since(client().session, start as Json)).toEqual([
      true,
      db.lastTransactionId,
      { Animal: { [ANT]: { insert: { legs: 4 } } } },
    ]);
    expect(await since(client().session, db.lastTransactionId)).toEqual([
      true,
      db.lastTransactionId,
      {},
    ]);
    const [known] = await since(client().session, crypto.randomUUID());
    expect(known).toBe(false);
  });

  test("updates come before the reply to the transaction that caused them", async () => {
    const { session, heard } = client();
    await session.request("monitor", ["zoo", "m", { Zoo: {} }]);
    await session.request("transact", ["zoo", insert("Zoo", { name: "a" })]);
    expect(heard.length).toBe(1);
    await session.request("monitor_cancel", ["m"]);
    await session.request("transact", ["zoo", insert("Zoo", { name: "b" })]);
    expect(heard.length).toBe(1);
  });

  test("a monitor that starts between a change and its sync does not see it twice", async () => {
    const { session, heard } = client();
    const pending = session.request("transact", ["zoo", insert("Zoo", { name: "a" })]);
    const content = session.request("monitor", ["zoo", "m", { Zoo: { columns: ["name"] } }]);
    await pending;
    expect(Object.keys((await content as { Zoo: object }).Zoo).length).toBe(1);
    expect(heard).toEqual([]);
  });
});

describe("from within a listener", () => {
  test("a monitor sees each change once, and a transaction comes after what is under way", async () => {
    const { session } = client();
    const late = client("late");
    const names: string[] = [];
    let content: Promise<Json> | undefined;
    let inner: Promise<Json> | undefined;
    session.onNotification(() => {
      if (content !== undefined) return;
      inner = session.request("transact", [
        "zoo",
        { op: "delete", table: "Zoo", where: [["name", "==", "a"]] },
        insert("Zoo", { name: "inner" }),
      ]);
      content = late.session.request("monitor_cond", ["zoo", "l", {
        Zoo: [{ columns: ["name"] }],
      }]);
    });
    late.session.onNotification((_, [, updates]) => names.push(JSON.stringify(updates)));
    await session.request("monitor", ["zoo", "m", { Zoo: {} }]);
    await Promise.all([
      session.request("transact", ["zoo", insert("Zoo", { name: "a" })]),
      session.request("transact", ["zoo", insert("Zoo", { name: "b" })]),
    ]);
    await inner;
    const initial = Object.keys((await content as { Zoo: object }).Zoo).length;
    const told = names.join();
    // Either all of it is in the content and nothing is told, or the rest is told, once.
    expect(initial).toBe(2);
    expect(told.match(/insert/g)?.length ?? 0).toBe(told === "" ? 0 : 1);
    expect(db.tables.get("Zoo")?.rows.size).toBe(2);
  });
});

describe("locks", () => {
  test("go to the next in line, or to who steals them", async () => {
    const [a, b, c] = [client("a"), client("b"), client("c")];
    const lock = (who: Client, how = "lock") => who.session.request(how, ["l"]);
    const holds = async (who: Client): Promise<boolean> => {
      const reply = await who.session.request("transact", ["zoo", { op: "assert", lock: "l" }]);
      return !JSON.stringify(reply).includes("not owner");
    };
    expect(await lock(a)).toEqual({ locked: true });
    expect(await lock(b)).toEqual({ locked: false });
    expect([await holds(a), await holds(b)]).toEqual([true, false]);
    expect(await lock(c, "steal")).toEqual({ locked: true });
    expect(a.heard).toEqual([["stolen", "l"]]);
    expect([await holds(a), await holds(c)]).toEqual([false, true]);
    await c.session.request("unlock", ["l"]);
    expect(a.heard.at(-1)).toEqual(["locked", "l"]);
    a.session.close();
    expect(b.heard).toEqual([["locked", "l"]]);
    await expect(lock(b)).rejects.toThrow('must issue "unlock" before new "lock"');
  });
});

describe("sessions", () => {
  test("cancel answers a waiting transaction with canceled", async () => {
    const { session } = client();
    const wait = { op: "wait", table: "Zoo", where: [], columns: [], until: "!=", rows: [] };
    const reply = session.request("transact", ["zoo", wait]);
    session.notify("cancel", [0]);
    await expect(reply).rejects.toThrow("canceled");
  });

  test("a read-only session reads", async () => {
    const session = server.createSession({
      who: "reader",
      readOnly: true,
      notify: () => {},
      disconnect: () => {},
    });
    const ask = (method: string, ...params: Json[]) =>
      new Promise((resolve) => session.request(method, params, 0, resolve));
    const select = { op: "select", table: "Zoo", where: [] };
    expect(await ask("transact", "zoo", select)).toEqual({ result: [{ rows: [] }] });
    expect(await ask("transact", "zoo", insert("Zoo", { name: "a" }))).toMatchObject({
      result: [{ error: "not allowed" }],
    });
    expect(await ask("lock", "l")).toHaveProperty("error");
  });

  test("_Server tells of the databases, and only the server writes it", async () => {
    const { session, heard } = client();
    await session.request("monitor_cond", ["_Server", "s", { Database: [{ columns: ["name"] }] }]);
    server.removeDatabase("zoo");
    expect(heard.length).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(JSON.stringify(heard)).toContain("delete");
    expect(await session.request("list_dbs", [])).toEqual(["_Server"]);
    const remove = { op: "delete", table: "Database", where: [] };
    expect(await session.request("transact", ["_Server", remove])).toMatchObject([{
      error: "not allowed",
    }]);
  });
});
