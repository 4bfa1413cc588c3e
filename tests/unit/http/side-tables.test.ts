/** Users are in the database's file, but for its owner alone and in no backup of it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Database as Sqlite } from "bun:sqlite";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDatabaseService } from "../../../src/db/service.ts";
import { AccessStore } from "../../../src/http/auth/store.ts";
import { LogSink } from "../../../src/log/log.ts";

const logger = new LogSink(() => {}).logger("db");
const user = {
  name: "ann",
  role: "admin",
  passwordHash: "$argon2id$secret",
  createdMs: 0,
} as const;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "solovs-side-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test.each(["sqlite", "ovsdb-file"] as const)("kept beside a database in %s", (kind) => {
  const dbFile = join(directory, `${kind}.db`);
  const open = () => startDatabaseService({ dbFile, kindOfNewFile: kind, sockets: [], logger });
  const first = open();
  new AccessStore(first.sideTables()).addUser(user);
  first.close();
  const second = open();
  expect(new AccessStore(second.sideTables()).users()).toEqual([user]);
  second.close();
  const file = kind === "sqlite" ? dbFile : `${dbFile}.side`;
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a backup has the configuration and nothing of the users", () => {
  const service = startDatabaseService({ dbFile: join(directory, "b.db"), sockets: [], logger });
  new AccessStore(service.sideTables()).addUser(user);
  const bytes = service.database.historyStore!.snapshot();
  service.close();
  expect(Buffer.from(bytes).includes("argon2id")).toBe(false);
  const copy = join(directory, "copy.db");
  writeFileSync(copy, bytes);
  const sqlite = new Sqlite(copy);
  const tables = sqlite.query<{ name: string }, []>("SELECT name FROM sqlite_master").all();
  sqlite.close();
  expect(tables.map(({ name }) => name)).toContain("rows");
  expect(tables.filter(({ name }) => name.startsWith("side_"))).toEqual([]);
  const restored = startDatabaseService({ dbFile: copy, sockets: [], logger });
  expect(new AccessStore(restored.sideTables()).users()).toEqual([]);
  expect(restored.database.tables.get("Open_vSwitch")!.rows.size).toBe(1);
  restored.close();
});

test("a change that fails leaves nothing behind", () => {
  const service = startDatabaseService({ dbFile: join(directory, "c.db"), sockets: [], logger });
  const side = service.sideTables();
  const store = new AccessStore(side);
  const change = () =>
    side.atomically(() => {
      side.db.run("DELETE FROM side_users");
      throw new Error("no");
    });
  store.addUser(user);
  expect(change).toThrow("no");
  expect(store.users()).toHaveLength(1);
  service.close();
});
