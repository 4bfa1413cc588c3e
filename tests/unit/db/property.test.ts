/**
 * Random transactions on the real database and on a simple model: the same ones must be refused, for
 * the same reason, and the content must be the same after each; also after a restart, and in a
 * replica that follows by `update2` differences.
 */
import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "../../../src/db/database.ts";
import { isObject, type Json, type JsonObject } from "../../../src/db/json.ts";
import { Monitor } from "../../../src/db/monitor.ts";
import { ReplicaTables } from "../../../src/db/replica-tables.ts";
import {
  database,
  integer,
  one,
  range,
  ref,
  set,
  table,
  text,
  weakRef,
} from "../../../src/db/schema/declare.ts";
import { openSqliteStorage } from "../../../src/db/storage/sqlite.ts";
import { type Storage, volatileStorage } from "../../../src/db/storage/storage.ts";
import { quietLogger, requester } from "./fixture.ts";
import {
  MAX_COUNT,
  MAX_ROOTS,
  Model,
  ModelError,
  type ModelOperation,
  type ModelRow,
  type ModelTable,
} from "./model.ts";

const columns = {
  name: one(text),
  children: set(ref("Node")),
  likes: set(weakRef("Node")),
  count: one(range(0, MAX_COUNT)),
  spare: one(integer),
};
const schema = database({
  name: "model",
  version: "1.0.0",
  cksum: "0 0",
  tables: {
    Root: table(columns, { isRoot: true, maxRows: MAX_ROOTS, indexes: [["name"]] }),
    Node: table(columns, { indexes: [["name"]] }),
  },
});

const uuidFor = (kind: string, i: number): string =>
  `${kind.repeat(8)}-0000-4000-8000-00000000000${i}`;
const roots = [0, 1, 2, 3].map((i) => uuidFor("a", i));
const nodes = [0, 1, 2, 3, 4].map((i) => uuidFor("b", i));

const name = fc.constantFrom("p", "q", "r", "s", "t", "u");
const someNodes = fc.subarray(nodes, { maxLength: 3 });
const row: fc.Arbitrary<Partial<ModelRow>> = fc.record({
  name,
  children: someNodes,
  likes: someNodes,
  count: fc.integer({ min: 0, max: MAX_COUNT + 1 }),
}, { requiredKeys: [] });
const target = (uuids: readonly string[]) =>
  fc.option(fc.constantFrom(...uuids), { nil: undefined, freq: 10 });

const operationOn = (on: ModelTable, uuids: readonly string[]): fc.Arbitrary<ModelOperation> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        op: fc.constant("insert" as const),
        table: fc.constant(on),
        uuid: fc.constantFrom(...uuids),
        row: fc.tuple(name, row).map(([name, row]) => ({ ...row, name })),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        op: fc.constant("update" as const),
        table: fc.constant(on),
        uuid: target(uuids),
        row,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant("mutate" as const),
        table: fc.constant(on),
        uuid: target(uuids),
        column: fc.constantFrom("children" as const, "likes" as const),
        mutator: fc.constantFrom("insert" as const, "delete" as const),
        value: someNodes,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant("mutate" as const),
        table: fc.constant(on),
        uuid: target(uuids),
        column: fc.constant("count" as const),
        mutator: fc.constant("+=" as const),
        value: fc.integer({ min: -3, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant("delete" as const),
        table: fc.constant(on),
        uuid: target(uuids),
      }),
    },
  );

/** A node, perhaps referring to itself, and a reference to it: most lone nodes would be garbage. */
const plant: fc.Arbitrary<ModelOperation[]> = fc.record({
  uuid: fc.constantFrom(...nodes),
  name,
  itself: fc.boolean(),
  from: fc.constantFrom("Root" as const, "Node" as const),
}).map(({ uuid, name, itself, from }) => [
  { op: "insert", table: "Node", uuid, row: { name, children: itself ? [uuid] : [] } },
  {
    op: "mutate",
    table: from,
    uuid: undefined,
    column: "children",
    mutator: "insert",
    value: [uuid],
  },
]);
const transaction = fc.array(
  fc.oneof(
    operationOn("Root", roots).map((operation) => [operation]),
    operationOn("Node", nodes).map((operation) => [operation]),
    plant,
  ),
  { minLength: 1, maxLength: 4 },
).map((parts) => parts.flat());

const uuidSet = (uuids: readonly string[]): Json => ["set", uuids.map((uuid) => ["uuid", uuid])];
const rowJson = (row: Partial<ModelRow>): JsonObject =>
  Object.fromEntries(
    Object.entries(row).map((
      [name, value],
    ) => [name, Array.isArray(value) ? uuidSet(value) : value]),
  );

function toJson(operation: ModelOperation): JsonObject {
  const { op, table } = operation;
  if (op === "insert") return { op, table, uuid: operation.uuid, row: rowJson(operation.row) };
  const where = operation.uuid === undefined ? [] : [["_uuid", "==", ["uuid", operation.uuid]]];
  if (op === "update") return { op, table, where, row: rowJson(operation.row) };
  if (op === "delete") return { op, table, where };
  const { column, mutator, value } = operation;
  const arg = typeof value === "number" ? value : uuidSet(value);
  return { op, table, where, mutations: [[column, mutator, arg]] };
}

type Content = Record<string, Record<string, unknown>>;

function contentOf(db: Database): Content {
  const content: Content = {};
  for (const [name, { rows, schema }] of db.tables) {
    content[name] = {};
    for (const { uuid, fields } of rows.values()) {
      const keys = (column: string) => fields[schema.columns.get(column)?.index ?? -1]?.keys ?? [];
      content[name][uuid] = {
        name: keys("name")[0],
        children: keys("children"),
        likes: keys("likes"),
        count: keys("count")[0],
      };
    }
  }
  return content;
}

function contentOfModel({ state }: Model): Content {
  const content: Content = {};
  for (const [name, rows] of Object.entries(state)) {
    content[name] = {};
    for (const [uuid, row] of rows) {
      content[name][uuid] = {
        ...row,
        children: row.children.toSorted(),
        likes: row.likes.toSorted(),
      };
    }
  }
  return content;
}

function errorOf(db: Database, operations: readonly ModelOperation[]): string | undefined {
  let tag: string | undefined;
  db.transact(operations.map(toJson), requester, (results) => {
    const failed = results.find((result) => isObject(result) && "error" in result);
    tag = isObject(failed) ? String(failed["error"]) : undefined;
  });
  db.flush();
  return tag;
}

function errorOfModel(model: Model, operations: readonly ModelOperation[]): string | undefined {
  try {
    model.transact(operations);
    return undefined;
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
}

const dir = mkdtempSync(join(tmpdir(), "solovs-db-property-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const open = (storage: Storage): Database =>
  Database.open(schema, storage, { logger: quietLogger() });

test("the database and the model agree, transaction by transaction", () => {
  let committed = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.array(transaction, { minLength: 1, maxLength: 12 }), (transactions) => {
      const db = open(volatileStorage());
      const model = new Model();
      const replica = new ReplicaTables(db.schema, ["Root", "Node"]);
      const columns = ["name", "children", "likes", "count"];
      const requests = { Root: [{ columns }], Node: [{ columns }] };
      const monitor = Monitor.parse(db.tables, requests, 2);
      db.onCommit((commit, shared) => {
        const updates = monitor.updates(commit, shared);
        if (updates !== undefined) replica.apply(updates);
      });
      for (const operations of transactions) {
        const error = errorOfModel(model, operations);
        expect(errorOf(db, operations) ?? "committed").toBe(error ?? "committed");
        expect(contentOf(db)).toEqual(contentOfModel(model));
        if (error === undefined) committed++;
        else refused++;
      }
      for (const [name, rows] of Object.entries(contentOfModel(model))) {
        const seen: Record<string, unknown> = Object.fromEntries(
          [...replica.rows(name)].map(([uuid, { name, children, likes, count }]) => [
            uuid,
            { name, children, likes, count },
          ]),
        );
        expect(seen).toEqual(rows);
      }
    }),
    { numRuns: 600 },
  );
  // The generator is of use only if both happen often.
  expect(committed).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
}, 60_000);

test("what SQLite gives back after a restart is what the model has", () => {
  let run = 0;
  fc.assert(
    fc.property(fc.array(transaction, { minLength: 3, maxLength: 12 }), (transactions) => {
      const file = join(dir, `${run++}.sqlite`);
      const model = new Model();
      let db = open(openSqliteStorage(file));
      for (const operations of transactions) {
        errorOfModel(model, operations);
        errorOf(db, operations);
      }
      db.close();
      db = open(openSqliteStorage(file));
      expect(contentOf(db)).toEqual(contentOfModel(model));
      db.close();
    }),
    { numRuns: 10 },
  );
}, 60_000);
