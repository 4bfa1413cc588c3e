/**
 * Mutilated messages: whatever bytes come, the server answers with typed errors or drops the
 * connection, logs no internal error, and what another client has is as it was.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { stringify } from "../../../src/db/json.ts";
import { Connection, defaultConnectionLimits } from "../../../src/db/rpc/connection.ts";
import { serve } from "../../../src/db/rpc/serve.ts";
import { OvsdbServer } from "../../../src/db/server.ts";
import { column, insert, mapOf, must, named, openZoo, quietLogger, setOf } from "./fixture.ts";

const uuid = ["uuid", "11111111-1111-4111-8111-111111111111"];
const where = [["name", "==", "x"]];
const columns = ["name", "legs"];
const wait = {
  op: "wait",
  timeout: 0,
  table: "Zoo",
  where,
  columns: ["name"],
  until: "==",
  rows: [],
};
const mutations = [["numbers", "insert", setOf(1, 2)], ["legs", "+=", 1]];
const seeds = [
  ["list_dbs", []],
  ["get_schema", ["zoo"]],
  ["echo", [1, { a: null }]],
  ["monitor", ["zoo", "m", { Animal: { columns, select: { initial: true } } }]],
  ["monitor_cond", ["zoo", "n", { Animal: [{ columns, where: [["legs", "<", 5]] }] }]],
  ["monitor_cond_since", ["zoo", "o", { Zoo: {} }, "00000000-0000-0000-0000-000000000000"]],
  ["monitor_cond_change", ["n", "p", { Animal: [{ where: [true] }] }]],
  ["monitor_cancel", ["m"]],
  ["lock", ["l"]],
  ["steal", ["l"]],
  ["unlock", ["l"]],
  ["cancel", [3]],
  ["set_db_change_aware", [true]],
  ["transact", ["zoo", { op: "insert", table: "Animal", row: { name: "y", legs: 3 } }, wait]],
  ["transact", ["zoo", { op: "select", table: "Animal", where, columns, sort: ["legs"] }]],
  ["transact", ["zoo", {
    op: "update",
    table: "Animal",
    where,
    row: { notes: mapOf(["a", "b"]) },
  }]],
  ["transact", ["zoo", { op: "mutate", table: "Animal", where, mutations }, { op: "commit" }]],
  ["transact", ["zoo", { op: "delete", table: "Animal", where: [["_uuid", "==", uuid]] }]],
  ["transact", ["zoo", { op: "assert", lock: "l" }, { op: "comment", comment: "c" }]],
] as const;
const seedTexts = seeds.map(([method, params], id) => stringify({ id, method, params } as never));

/** A piece cut out, doubled, or replaced. */
const mutilation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat(12),
  by: fc.oneof(
    fc.constant(""),
    fc.string({ maxLength: 6 }),
    fc.constantFrom('"', "[", "]", "{", "}", ",", ":", "null", "-1", "1e999", '"_uuid"', '"set"'),
    fc.constantFrom("99999999999999999999", '"__proto__"', '{"":[]}', '["named-uuid","x"]', "[[]]"),
  ),
});
const message = fc.tuple(fc.constantFrom(...seedTexts), fc.array(mutilation, { maxLength: 3 })).map(
  ([text, mutilations]) =>
    mutilations.reduce((text, { at, length, by }) => {
      const start = Math.floor(at * text.length);
      return text.slice(0, start) + by + text.slice(start + length);
    }, text),
);

test("mutilated messages", async () => {
  const log: string[] = [];
  const server = new OvsdbServer(quietLogger("err", log));
  const db = openZoo();
  server.addDatabase(db);
  await must(
    db,
    insert("Zoo", { name: "kept", houses: named("h") }),
    insert("House", { name: "h", animals: named("a") }, "h"),
    insert("Animal", { name: "ant" }, "a"),
  );
  let answered = 0;
  let dropped = 0;
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), (messages) => {
      let open = true;
      const socket = {
        write: (data: unknown) => {
          answered++;
          return (data as Uint8Array).length;
        },
        end: () => 0,
        terminate: () => {},
        pause: () => {},
        resume: () => {},
      };
      const options = { name: "fuzz", logger: server.logger, limits: defaultConnectionLimits };
      const { connection } = serve(server, socket as never, options, () => {
        open = false;
        dropped++;
      });
      expect(connection).toBeInstanceOf(Connection);
      for (const text of messages) if (open) connection.received(Buffer.from(text));
      db.flush();
      connection.close("enough");
      expect(server.sessions.size).toBe(0);
    }),
    { numRuns: 3000 },
  );
  expect(log).toEqual([]);
  expect(await column(db, "Zoo", "name", [["name", "==", "kept"]])).toEqual(["kept"]);
  expect(answered).toBeGreaterThan(100);
  expect(dropped).toBeGreaterThan(100);
}, 60_000);
