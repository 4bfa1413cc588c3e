import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "../../../src/db/database.ts";
import { openStorage } from "../../../src/db/storage/open.ts";
import { decodeRecords, encodeRecord } from "../../../src/db/storage/record.ts";
import {
  column,
  errorOf,
  insert,
  mapOf,
  must,
  named,
  quietLogger,
  setOf,
  zooSchema,
} from "./fixture.ts";

let dir: string;
let file: string;
let log: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "solovs-db-file-"));
  file = join(dir, "zoo.db");
  log = [];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = (schema: Parameters<typeof Database.open>[0] = zooSchema): Database => {
  const logger = quietLogger("warn", log);
  return Database.open(schema, openStorage(file, logger, "ovsdb-file"), { logger });
};

async function fill(): Promise<Database> {
  const db = open();
  await must(
    db,
    insert("Zoo", { name: "z", houses: named("h"), status: "open" }),
    insert("House", { name: "h", animals: named("a") }, "h"),
    insert("Animal", { name: "ant", numbers: setOf(1, 2), notes: mapOf(["k", "ü\n"]) }, "a"),
    { op: "comment", comment: "first" },
  );
  await must(db, { op: "update", table: "Animal", where: [], row: { legs: 6, numbers: setOf() } });
  return db;
}

test("keeps what is committed, columns back at their defaults and deletions included", async () => {
  (await fill()).close();
  let db = open();
  expect(await column(db, "Animal", "legs")).toEqual([6]);
  expect(await column(db, "Animal", "numbers")).toEqual([setOf()]);
  expect(await column(db, "Animal", "notes")).toEqual([mapOf(["k", "ü\n"])]);
  expect(await column(db, "Zoo", "status")).toEqual([setOf()]);
  await must(db, { op: "delete", table: "Zoo", where: [] });
  db.close();
  db = open();
  expect([...db.tables.values()].map(({ rows }) => rows.size)).toEqual([0, 0, 0, 0]);
  db.close();
  expect(log).toEqual([]);
});

test("differences, as newer servers write them, are understood", async () => {
  (await fill()).close();
  const { records } = decodeRecords(readFileSync(file));
  const [uuid = ""] = Object.keys(records[1]?.["Animal"] as object);
  const row = { numbers: setOf(7, 8), notes: mapOf(["k", "new"], ["l", "1"]), legs: 3 };
  appendFileSync(file, encodeRecord({ Animal: { [uuid]: row }, _is_diff: true, _date: 1 }));
  appendFileSync(file, encodeRecord({ Animal: { [uuid]: { numbers: 7 } }, _is_diff: true }));
  const db = open();
  expect(await column(db, "Animal", "numbers")).toEqual([8]);
  expect(await column(db, "Animal", "notes")).toEqual([mapOf(["k", "new"], ["l", "1"])]);
  expect(await column(db, "Animal", "legs")).toEqual([3]);
  db.close();
});

describe("a file that does not end well", () => {
  test.each([1, 10, 60])(
    "%d bytes short: the last transaction goes, the rest stays",
    async (cut) => {
      (await fill()).close();
      const whole = readFileSync(file);
      writeFileSync(file, whole.subarray(0, whole.length - cut));
      let db = open();
      expect(await column(db, "Animal", "legs")).toEqual([0]);
      expect(log.join()).toContain("dropped what a crash left unfinished");
      await must(db, { op: "update", table: "Animal", where: [], row: { legs: 8 } });
      db.close();
      db = open();
      expect(await column(db, "Animal", "legs")).toEqual([8]);
      expect(log.length).toBe(1);
      db.close();
    },
  );

  test("damage in the middle: refused, and left as it is", async () => {
    (await fill()).close();
    const bytes = readFileSync(file);
    const at = bytes.indexOf("first");
    bytes[at] = 0x46;
    writeFileSync(file, bytes);
    expect(() => open()).toThrow(/is damaged .* and was left as it is: restore a backup/);
    expect(Buffer.compare(readFileSync(file), bytes)).toBe(0);
  });

  test("a clustered database is refused with what to do", () => {
    writeFileSync(file, "OVSDB CLUSTER 5 0000\n");
    expect(() => open()).toThrow("cluster-to-standalone");
  });
});

test("compaction keeps content and mode, and makes the file short", async () => {
  const db = await fill();
  for (let i = 0; i < 50; i++) {
    await must(db, { op: "update", table: "Animal", where: [], row: { legs: i } });
  }
  const before = statSync(file);
  db.compact();
  const after = statSync(file);
  expect(after.size).toBeLessThan(before.size / 2);
  expect(after.mode).toBe(before.mode);
  await must(db, { op: "update", table: "Animal", where: [], row: { legs: 77 } });
  db.close();
  const again = open();
  expect(await column(again, "Animal", "legs")).toEqual([77]);
  again.close();
});

test("conversion: what fits is kept, what does not fit is refused", async () => {
  const db = await fill();
  const { Zoo, House, Animal } = zooSchema.tables;
  const { weight: _, ...columns } = Animal.columns;
  const next = {
    ...zooSchema,
    version: "2.0.0",
    tables: {
      Zoo: { ...Zoo, columns: { ...Zoo.columns, town: { type: { key: "string" } } } },
      House,
      Animal: { ...Animal, columns },
    },
  } as const;
  const legless = {
    ...next,
    tables: {
      ...next.tables,
      Animal: {
        ...Animal,
        columns: { ...columns, legs: { type: { key: { type: "integer", maxInteger: 5 } } } },
      },
    },
  } as const;
  expect(() => db.convert(legless)).toThrow("6 is greater than maximum allowed value 5");
  expect(db.schema.version).toBe("1.0.0");
  const uuids = await column(db, "Animal", "_uuid");
  db.convert(next);
  expect(db.schema.version).toBe("2.0.0");
  expect(await column(db, "Animal", "_uuid")).toEqual(uuids);
  expect(await column(db, "Zoo", "town")).toEqual([""]);
  expect(await errorOf(db, { op: "select", table: "Keeper", where: [] })).toContain("No table");
  await must(db, { op: "update", table: "Zoo", where: [], row: { town: "Ulm" } });
  db.close();
  const again = open();
  expect(again.schema.version).toBe("2.0.0");
  expect(await column(again, "Zoo", "town")).toEqual(["Ulm"]);
  again.close();
});
