import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Commit } from "../../../src/db/commit.ts";
import { Database } from "../../../src/db/database.ts";
import { isObject, type Json } from "../../../src/db/json.ts";
import { parseSchema, schemaToJson } from "../../../src/db/schema/schema.ts";
import { openSqliteStorage } from "../../../src/db/storage/sqlite.ts";
import { type Storage, StorageError, volatileStorage } from "../../../src/db/storage/storage.ts";
import {
  column,
  errorOf,
  insert,
  must,
  named,
  openZoo,
  quietLogger,
  requester,
  transact,
  zooSchema,
} from "./fixture.ts";

/** A disk that counts its syncs and can be full. */
class TestStorage implements Storage {
  readonly writes: (readonly Commit[])[] = [];
  full = false;
  load = () => undefined;
  replace = () => {};
  close = () => {};
  wantsCompaction = () => false;
  write(commits: readonly Commit[]): void {
    if (this.full) throw new StorageError("cannot store the transaction", new Error("disk full"));
    this.writes.push(commits);
  }
}

const zoo = (name: string): Json => insert("Zoo", { name });

describe("group commit", () => {
  test("transactions of one turn share one sync; each sees the ones before it", async () => {
    const storage = new TestStorage();
    const db = openZoo(storage);
    const told: string[] = [];
    db.onCommit((commit) => told.push(commit.deltas[0]?.uuid ?? ""));
    const replies = await Promise.all([
      transact(db, zoo("a")),
      transact(db, { op: "select", table: "Zoo", where: [], columns: ["name"] }),
      transact(db, zoo("b")),
      errorOf(db, zoo("c")),
    ]);
    expect(storage.writes.map((commits) => commits.length)).toEqual([2]);
    expect(replies[1]).toEqual([{ rows: [{ name: "a" }] }]);
    expect(replies[3]).toContain("3 rows");
    expect(told.length).toBe(2);
  });

  test("listeners hear of a commit after it is stored and before its reply", async () => {
    const order: string[] = [];
    const storage = new TestStorage();
    storage.write = () => {
      order.push("stored");
    };
    const db = openZoo(storage);
    db.onCommit(() => order.push("told"));
    await transact(db, zoo("a")).then(() => order.push("replied"));
    expect(order).toEqual(["stored", "told", "replied"]);
  });

  test("a commit of ephemeral columns only does not touch the disk", async () => {
    const storage = new TestStorage();
    const db = openZoo(storage);
    await must(db, zoo("a"));
    await must(db, { op: "update", table: "Zoo", where: [], row: { status: "open" } });
    expect(storage.writes.length).toBe(1);
    expect(await column(db, "Zoo", "status")).toEqual(["open"]);
  });

  test("who, when and what are in the commit", async () => {
    const db = openZoo();
    const commits: Commit[] = [];
    db.onCommit((commit) => commits.push(commit));
    await must(db, zoo("a"), { op: "comment", comment: "first" }, { op: "comment", comment: "2" });
    await must(db, { op: "update", table: "Zoo", where: [], row: { status: "x" } });
    expect(commits.map(({ who, comment }) => [who, comment])).toEqual([
      ["test", "first\n2"],
      ["test", undefined],
    ]);
    expect(commits[1]?.deltas[0]?.changed.map(({ name }) => name)).toEqual(["status"]);
    expect(Math.abs(Date.now() - (commits[0]?.timeMs ?? 0))).toBeLessThan(60_000);
  });
});

describe("a disk that refuses", () => {
  test("fails what must be stored, leaves memory as it was, and serves on", async () => {
    const storage = new TestStorage();
    const db = openZoo(storage);
    await must(db, zoo("a"));
    storage.full = true;
    const told: Commit[] = [];
    db.onCommit((commit) => told.push(commit));
    const [write, status, read] = await Promise.all([
      transact(db, insert("Zoo", { name: "b", houses: named("h") }), insert("House", {}, "h")),
      transact(db, { op: "update", table: "Zoo", where: [], row: { status: "open" } }),
      transact(db, { op: "select", table: "Zoo", where: [], columns: ["name"] }),
    ]);
    expect(write.at(-1)).toEqual({
      error: "I/O error",
      details: "cannot store the transaction",
      "io-error": "disk full",
    });
    expect(status).toEqual([{ count: 1 }]);
    expect(read).toEqual([{ rows: [{ name: "a" }] }]);
    expect(told.length).toBe(1);
    expect(db.tables.get("House")?.rows.size).toBe(0);
    storage.full = false;
    await must(db, zoo("b"));
    expect(await column(db, "Zoo", "name")).toEqual(["a", "b"]);
    // Indexes and counts went back too.
    expect(await errorOf(db, { op: "delete", table: "Zoo", where: [] }, zoo("b"), zoo("b")))
      .toContain("identical values");
  });
});

describe("wait", () => {
  const waitFor = (names: string[], timeout?: number): Json => ({
    op: "wait",
    table: "Zoo",
    where: [],
    columns: ["name"],
    until: "==",
    rows: names.map((name) => ({ name })),
    ...(timeout === undefined ? {} : { timeout }),
  });

  test("truly waits, for as many commits as it takes, then goes on with the rest", async () => {
    const db = openZoo();
    let done: readonly Json[] | undefined;
    db.transact(
      [waitFor(["a", "b"]), { op: "delete", table: "Zoo", where: [] }],
      requester,
      (r) => {
        done = r;
      },
    );
    await must(db, zoo("a"));
    expect(done).toBeUndefined();
    await must(db, zoo("b"));
    db.flush();
    expect(done).toEqual([{}, { count: 2 }]);
    expect(db.tables.get("Zoo")?.rows.size).toBe(0);
  });

  test("gives up after its timeout, and at once if that is 0", async () => {
    const db = openZoo();
    expect(await errorOf(db, waitFor(["a"], 0))).toBe('timed out: "where" clause test failed');
    expect(await errorOf(db, waitFor(["a"], 20))).toMatch(/^timed out: "wait" timed out after \d+/);
  });

  test("can be cancelled, but not when it is over", async () => {
    const db = openZoo();
    const cancel = db.transact([waitFor(["a"])], requester, () => {
      throw new Error("answered");
    });
    expect(cancel()).toBe(true);
    expect(cancel()).toBe(false);
    await must(db, zoo("a"));
  });
});

describe("the SQLite file", () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-db-unit-"));
    file = join(dir, "zoo.sqlite");
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const open = () => openZoo(openSqliteStorage(file));

  test("keeps rows and the schema, but not ephemeral columns", async () => {
    const db = open();
    await must(
      db,
      insert("Zoo", { name: "z", houses: named("h"), status: "open" }),
      insert("House", { name: "h", animals: named("a") }, "h"),
      insert("Animal", { name: "ant", numbers: ["set", [2n ** 60n, 1]], weight: 1.5 }, "a"),
    );
    const uuids = await column(db, "Animal", "_uuid");
    db.close();
    const again = Database.open({ ...zooSchema, tables: {} }, openSqliteStorage(file), {
      logger: quietLogger(),
    });
    expect(schemaToJson(again.schema)).toEqual(schemaToJson(parseSchema(zooSchema)));
    expect(await column(again, "Animal", "_uuid")).toEqual(uuids);
    expect(await column(again, "Animal", "numbers")).toEqual([["set", [1, 2n ** 60n]]]);
    expect(await column(again, "Zoo", "status")).toEqual([["set", []]]);
    await must(again, { op: "delete", table: "Zoo", where: [] });
    again.close();
    const last = open();
    expect(last.tables.get("Animal")?.rows.size).toBe(0);
    last.close();
  });

  test("is opened by one process at a time; the other is told which", () => {
    const first = openSqliteStorage(file);
    const script = `
      import { openSqliteStorage } from ${
      JSON.stringify(join(import.meta.dir, "../../../src/db/storage/sqlite.ts"))
    };
      try { openSqliteStorage(${JSON.stringify(file)}); console.log("opened"); }
      catch (error) { console.log(error.message); }`;
    const tryOpen = () =>
      Bun.spawnSync([process.execPath, "-e", script], { cwd: join(import.meta.dir, "../../..") })
        .stdout.toString();
    expect(tryOpen()).toContain(`is in use by process ${process.pid}`);
    first.close();
    expect(tryOpen()).toContain("opened");
  });

  test.each<[string, Uint8Array]>([
    ["not a database", Buffer.from("this is not a database, but it is longer than a header\n")],
    ["cut short", new Uint8Array(0)],
  ])("%s: refused, and left as it is", async (name, content) => {
    if (name === "cut short") {
      const db = open();
      const animals = Array.from({ length: 500 }, (_, i) => insert("Keeper", { name: `k${i}` }));
      await transact(db, ...animals);
      db.close();
      content = readFileSync(file).subarray(0, 6000);
    }
    writeFileSync(file, content);
    expect(() => open()).toThrow(
      /damaged or not a solovs database, and was left as it is: restore/,
    );
    expect(Buffer.compare(readFileSync(file), content)).toBe(0);
  });

  test("a directory that is not there is an error that says so", () => {
    expect(() => openSqliteStorage(join(dir, "no", "x"))).toThrow(StorageError);
  });
});

test("an error within the engine is answered, not lost", async () => {
  const db = openZoo(volatileStorage());
  const [result] = await transact(db, { op: "select", table: "Zoo", where: [["name", "==", 5]] });
  expect(isObject(result) && result["error"]).toBe("syntax error");
});
