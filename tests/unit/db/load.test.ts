/** Rows that a file holds, though no transaction could have left them: mended, or refused. */
import { expect, test } from "bun:test";
import { Database } from "../../../src/db/database.ts";
import { schemaToJson } from "../../../src/db/schema/schema.ts";
import { type StoredRow, volatileStorage } from "../../../src/db/storage/storage.ts";
import { column, openZoo, quietLogger } from "./fixture.ts";

const schema = schemaToJson(openZoo().schema);
const id = (digit: number): string => `${`${digit}`.repeat(8)}-0000-4000-8000-000000000000`;
const ref = (digit: number) => ["uuid", id(digit)];

const open = (...rows: StoredRow[]): Database => {
  const storage = { ...volatileStorage(), load: () => ({ schema, rows }) };
  return Database.open(schema, storage, { logger: quietLogger() });
};
const zoo = { table: "Zoo", uuid: id(1), columns: { name: "z", houses: ref(2) } };
const house = { table: "House", uuid: id(2), columns: { name: "h", animals: ref(3) } };
const animal = { table: "Animal", uuid: id(3), columns: { name: "a", friends: ref(3) } };

test("rows that fit are all there, and references count", async () => {
  const db = open(zoo, house, animal);
  expect(await column(db, "Animal", "name")).toEqual(["a"]);
  expect(db.tables.get("Animal")?.strongReferences(id(3))).toBe(1);
  expect([...(db.tables.get("Animal")?.weakReferrers(id(3)) ?? [])].length).toBe(1);
  expect(db.tables.get("Zoo")?.indexes[0]?.size).toBe(1);
});

test("a row to which nothing refers is dropped", async () => {
  const db = open(zoo, house, animal, { table: "Animal", uuid: id(4), columns: { name: "b" } });
  expect(await column(db, "Animal", "name")).toEqual(["a"]);
});

test("a weak reference to nothing is dropped", async () => {
  const db = open(zoo, house, { ...animal, columns: { name: "a", friends: ref(9) } });
  expect(await column(db, "Animal", "friends")).toEqual([["set", []]]);
});

test("a column that is not in the schema is passed over", async () => {
  const db = open(zoo, house, { ...animal, columns: { name: "a", tail: 1 } });
  expect(await column(db, "Animal", "name")).toEqual(["a"]);
});

const twin = { table: "Animal", uuid: id(4), columns: { name: "a" } };
const refused: readonly [what: string, rows: readonly StoredRow[], reason: string][] = [
  ["a strong reference to nothing", [zoo, house], "referential integrity violation"],
  [
    "two rows with the values of an index",
    [zoo, { ...house, columns: { name: "h", animals: ["set", [ref(3), ref(4)]] } }, animal, twin],
    "constraint violation",
  ],
  [
    "too many rows",
    [1, 2, 3].map((n) => ({ table: "Zoo", uuid: id(n), columns: { name: `${n}` } })),
    "constraint violation",
  ],
  ["a table that is not in the schema", [{ ...zoo, table: "Circus" }], "unknown table"],
  [
    "a value of another type",
    [zoo, house, { ...animal, columns: { name: 5 } }],
    "syntax error",
  ],
];
for (const [what, rows, reason] of refused) {
  test(`${what}: refused`, () => expect(() => open(...rows)).toThrow(reason));
}
