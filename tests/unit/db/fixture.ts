/** A small schema with every kind of constraint, a database in memory, and short ways to use it. */
import { Database, type Requester } from "../../../src/db/database.ts";
import { isArray, isObject, type Json, type JsonObject } from "../../../src/db/json.ts";
import {
  database,
  ephemeral,
  immutable,
  integer,
  map,
  nonEmptySet,
  one,
  oneOf,
  optional,
  range,
  real,
  ref,
  set,
  table,
  text,
  weakRef,
} from "../../../src/db/schema/declare.ts";
import { type Storage, volatileStorage } from "../../../src/db/storage/storage.ts";
import { type LogLevel, LogSink } from "../../../src/log/log.ts";

export const zooSchema = database({
  name: "zoo",
  version: "1.0.0",
  cksum: "1 1",
  tables: {
    Zoo: table({
      name: immutable(one(text)),
      houses: set(ref("House")),
      byNumber: map(integer, ref("House")),
      status: ephemeral(optional(text)),
    }, { isRoot: true, maxRows: 2, indexes: [["name"]] }),
    House: table({
      name: one(text),
      animals: set(ref("Animal")),
      sibling: optional(ref("House")),
    }),
    Animal: table({
      name: one(text),
      legs: one(range(0, 100)),
      weight: one(real),
      kind: optional(oneOf("bird", "fish", "mammal")),
      numbers: set(integer),
      notes: map(text, text),
      friends: set(weakRef("Animal")),
    }, { indexes: [["name"]] }),
    Keeper: table({
      name: one(text),
      feeds: nonEmptySet(weakRef("Animal")),
      favourites: map(text, weakRef("Animal")),
    }, { isRoot: true }),
  },
});

export const quietLogger = (level: LogLevel = "off", lines: string[] = []) =>
  new LogSink((line) => lines.push(line), level).logger("test");

export const requester: Requester = { who: "test", readOnly: false, holdsLock: () => false };

export const openZoo = (storage: Storage = volatileStorage()): Database =>
  Database.open(zooSchema, storage, { logger: quietLogger() });

/** Runs a transaction and waits for its answer. */
export const transact = (db: Database, ...operations: Json[]): Promise<readonly Json[]> =>
  new Promise((resolve) => db.transact(operations, requester, resolve));

/** As `transact`, and throws what the first failed operation says. */
export async function must(db: Database, ...operations: Json[]): Promise<readonly JsonObject[]> {
  const results = await transact(db, ...operations);
  for (const result of results) {
    if (!isObject(result)) throw new Error(`unexpected result ${JSON.stringify(result)}`);
    if ("error" in result) throw new Error(`${result["error"]}: ${result["details"]}`);
  }
  return results as readonly JsonObject[];
}

/** The tag of the one error that the transaction gives. */
export async function errorOf(db: Database, ...operations: Json[]): Promise<string> {
  const errors = (await transact(db, ...operations)).filter((result) =>
    isObject(result) && "error" in result
  ) as JsonObject[];
  return errors.map((error) => `${error["error"]}: ${error["details"]}`).join("; ");
}

export const insert = (table: string, row: JsonObject, name?: string): JsonObject => ({
  op: "insert",
  table,
  row,
  ...(name === undefined ? {} : { "uuid-name": name }),
});
export const named = (name: string): Json => ["named-uuid", name];
export const setOf = (...elements: Json[]): Json => ["set", elements];
export const mapOf = (...pairs: [Json, Json][]): Json => ["map", pairs];

export function uuidOf(result: JsonObject | undefined): string {
  const uuid = result?.["uuid"];
  if (!isArray(uuid)) throw new Error("no insert result");
  return uuid[1] as string;
}

/** One column of every row of a table that matches, in order of the column. */
export async function column(
  db: Database,
  table: string,
  name: string,
  where: Json = [],
): Promise<Json[]> {
  const [result] = await must(db, { op: "select", table, where, columns: [name], sort: [name] });
  return (result?.["rows"] as JsonObject[]).map((row) => row[name] as Json);
}
