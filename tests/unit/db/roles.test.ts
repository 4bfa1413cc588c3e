/** Roles: what a client may change is what its role's permissions say, for rows that carry its name. */
import { beforeEach, describe, expect, test } from "bun:test";
import { Database, type Requester } from "../../../src/db/database.ts";
import { isObject, type Json } from "../../../src/db/json.ts";
import {
  boolean,
  database,
  integer,
  map,
  one,
  ref,
  set,
  table,
  text,
  weakRef,
} from "../../../src/db/schema/declare.ts";
import { OvsdbServer } from "../../../src/db/server.ts";
import { volatileStorage } from "../../../src/db/storage/storage.ts";
import { insert, mapOf, must, named, quietLogger, setOf } from "./fixture.ts";

const colour = table({
  owner: one(text),
  creators: map(text, text),
  name: one(text),
  value: one(integer),
}, {
  isRoot: true,
});
const schema = database({
  name: "colours",
  version: "1.0.0",
  cksum: "1 1",
  tables: {
    RBAC_Role: table({ name: one(text), permissions: map(text, weakRef("RBAC_Permission")) }, {
      isRoot: true,
    }),
    RBAC_Permission: table({
      table: one(text),
      authorization: set(text),
      insert_delete: one(boolean),
      update: set(text),
    }, { isRoot: true }),
    Fixed: colour,
    Own: colour,
    Keyed: colour,
    Shared: colour,
    Holder: table({ own: set(ref("Own")) }, { isRoot: true }),
  },
});

let db: Database;

beforeEach(async () => {
  db = Database.open(schema, volatileStorage(), { logger: quietLogger() });
  const permission = (name: string, authorization: string, insertDelete: boolean) =>
    insert("RBAC_Permission", {
      table: name,
      authorization: setOf(authorization),
      insert_delete: insertDelete,
      update: setOf("name", "value"),
    }, name);
  const tables = ["Own", "Keyed", "Shared"];
  await must(
    db,
    insert("RBAC_Role", {
      name: "painter",
      permissions: mapOf(...tables.map((name): [Json, Json] => [name, named(name)])),
    }),
    permission("Own", "owner", true),
    permission("Keyed", "creators:main", true),
    permission("Shared", "", false),
    ...["Fixed", ...tables].flatMap((name) =>
      ["ann", "bob"].map((owner) =>
        insert(name, { owner, creators: mapOf(["main", owner]), name: `${owner}'s` })
      )
    ),
  );
});

const client = (id: string | undefined, name = "painter"): Requester => ({
  who: "test",
  readOnly: false,
  role: { name, id },
  holdsLock: () => false,
});

/** What one operation gives: its `error`, or its details, or undefined if it went well. */
async function refusal(requester: Requester, operation: Json): Promise<string | undefined> {
  const results = await new Promise<readonly Json[]>((resolve) =>
    void db.transact([operation], requester, resolve)
  );
  const failed = results.find((result) => isObject(result) && "error" in result);
  return failed === undefined ? undefined : `${(failed as { details?: string }).details}`;
}

const where = (owner: string): Json => [["owner", "==", owner]];
const update = (name: string, owner: string, row: Json = { value: 7 }): Json => ({
  op: "update",
  table: name,
  where: where(owner),
  row,
});
const mutate = (name: string, owner: string, column = "value"): Json => ({
  op: "mutate",
  table: name,
  where: where(owner),
  mutations: [[column, "+=", 1]],
});
const remove = (name: string, owner: string): Json => ({
  op: "delete",
  table: name,
  where: where(owner),
});

const ann = client("ann");

describe("what a role permits", () => {
  test.each<[string, Json]>([
    ["a row of one's own is inserted", insert("Own", { owner: "ann" })],
    ["… by a key of a map", insert("Keyed", { creators: mapOf(["main", "ann"]) })],
    ["… updated", update("Own", "ann")],
    ["… updated, by a key of a map", update("Keyed", "ann")],
    ["… mutated", mutate("Own", "ann")],
    ["… deleted", remove("Own", "ann")],
    ["anybody's row, where that is so", update("Shared", "bob")],
    ["no row at all", update("Own", "nobody")],
    ["reading", { op: "select", table: "Fixed", where: [] }],
  ])("%s", async (_, operation) => {
    expect(await refusal(ann, operation)).toBeUndefined();
  });

  const prohibits = (what: string) =>
    `RBAC rules for client "ann" role "painter" prohibit ${what}.`;
  test.each<[string, Json, string]>([
    ["a table without permissions", insert("Fixed", {}), 'row insertion into table "Fixed"'],
    ["somebody else's name", insert("Own", { owner: "bob" }), 'row insertion into table "Own"'],
    ["updating others' rows", update("Own", "bob"), 'modification of table "Own"'],
    ["mutating others' rows", mutate("Keyed", "bob"), 'mutate operation on table "Keyed"'],
    ["deleting others' rows", remove("Own", "bob"), 'row deletion from table "Own"'],
    [
      "a column that is not listed",
      update("Own", "ann", { owner: "bob" }),
      'modification of table "Own"',
    ],
    [
      "inserting where only updates are allowed",
      insert("Shared", {}),
      'row insertion into table "Shared"',
    ],
    ["deleting there", remove("Shared", "ann"), 'row deletion from table "Shared"'],
    [
      "the rules themselves",
      { op: "delete", table: "RBAC_Role", where: [] },
      'row deletion from table "RBAC_Role"',
    ],
    [
      "mine and others' at once",
      { op: "delete", table: "Own", where: [] },
      'row deletion from table "Own"',
    ],
  ])("it refuses %s", async (_, operation, what) => {
    expect(await refusal(ann, operation)).toBe(prohibits(what));
  });

  test("a client without a name, or with an unknown role, may change nothing", async () => {
    expect(await refusal(client(undefined), update("Shared", "ann"))).toContain("prohibit");
    expect(await refusal(client("ann", "nosuch"), update("Shared", "ann"))).toContain("prohibit");
  });

  test("refused operations leave nothing behind", async () => {
    await new Promise((resolve) =>
      db.transact([update("Own", "ann"), update("Own", "bob")], ann, resolve)
    );
    const rows = await must(db, {
      op: "select",
      table: "Own",
      where: [],
      columns: ["_uuid", "value"],
    });
    expect(rows).toMatchObject([{ rows: [{ value: 0 }, { value: 0 }] }]);
  });
});

test("a session with a role may not convert the database", async () => {
  const server = new OvsdbServer(quietLogger());
  server.addDatabase(db);
  const session = server.createSession({
    who: "test",
    role: { name: "painter", id: "ann" },
    notify() {},
    disconnect() {},
  });
  const answer = await new Promise<unknown>((resolve) =>
    session.request("convert", ["colours", { name: "colours" } as Json], 1, resolve)
  );
  expect(JSON.stringify(answer)).toContain("cannot be converted");
  server.close();
});
