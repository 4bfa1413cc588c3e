/**
 * Fuzz target: the JSON-RPC server. Several clients send mutilated messages, cut anywhere, and stop
 * reading or leave when it pleases them; whatever comes, the server answers with typed errors or drops
 * the connection, logs no internal error, keeps no session of a client that is gone, and what another
 * client was told of the tables is what is in them.
 *
 * It runs for `FUZZ_SECONDS` (3 unless set) from the seed `FUZZ_SEED` (a new one unless set), which it
 * prints; when it fails, fast-check prints the shortest sequence that it found.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Json, stringify } from "../../src/db/json.ts";
import { defaultConnectionLimits } from "../../src/db/rpc/connection.ts";
import { serve, type Served } from "../../src/db/rpc/serve.ts";
import { OvsdbServer } from "../../src/db/server.ts";
import { insert, mapOf, must, named, openZoo, quietLogger, setOf } from "../unit/db/fixture.ts";

const seconds = Number(process.env["FUZZ_SECONDS"] ?? 3);
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

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
const mutilatedText = fc.tuple(
  fc.constantFrom(...seedTexts),
  fc.array(mutilation, { maxLength: 3 }),
).map(
  ([text, mutilations]) =>
    mutilations.reduce((text, { at, length, by }) => {
      const start = Math.floor(at * text.length);
      return text.slice(0, start) + by + text.slice(start + length);
    }, text),
);

/** A value that may stand in the wrong place. */
const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    null,
    true,
    0,
    -1,
    1e300,
    2 ** 53,
    "",
    "_uuid",
    "Animal",
    "==",
    "includes",
    [],
    {},
  ),
  fc.constantFrom(["set", []], ["set", [1, "a"]], ["map", [["k", "v"]]], ["named-uuid", "a"], uuid),
  fc.constantFrom([["legs", ">", 2]], [["_uuid", "==", uuid]], { name: "x" }, ["zoo"], "zoo"),
  fc.jsonValue({ maxDepth: 2 }),
);

type Tree = unknown[] | Record<string, unknown>;

/** Every place in a JSON value at which something stands. */
function* places(value: unknown): Generator<[parent: Tree, key: string]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    yield [value as Tree, key];
    yield* places(child);
  }
}

/** JSON-RPC as it should be, its parameters with something replaced, put twice, or left out. */
const mutatedTree = fc.tuple(
  fc.constantFrom(...seeds),
  fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      how: fc.constantFrom("replace", "replace", "double", "remove"),
      by: oddValue,
    }),
    { maxLength: 3 },
  ),
  fc.nat(4),
).map(([[method, params], changes, id]) => {
  const tree = { params: structuredClone(params) as unknown };
  for (const { at, how, by } of changes) {
    const all = [...places(tree.params)];
    const [parent, key] = all[Math.floor(at * all.length)] ?? [tree, "params"];
    if (how === "replace") (parent as Record<string, unknown>)[key] = structuredClone(by);
    else if (!Array.isArray(parent)) delete (parent as Record<string, unknown>)[key];
    else if (how === "double") parent.push(structuredClone(parent[Number(key)]));
    else parent.splice(Number(key), 1);
  }
  return JSON.stringify({ id, method, params: tree.params });
});

const message = fc.oneof(
  { weight: 1, arbitrary: mutilatedText },
  { weight: 6, arbitrary: mutatedTree },
);

const CLIENTS = 3;
const client = fc.nat(CLIENTS - 1);
/** A message with the places where it is cut into pieces. */
const send = fc.record({
  kind: fc.constant("send" as const),
  client,
  text: message,
  cuts: fc.array(fc.nat(200), { maxLength: 2 }),
});
const action = fc.oneof(
  { weight: 10, arbitrary: send },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("leave" as const, "stop reading" as const, "read on" as const),
      client,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("turn" as const), client }) },
);

/** A client's end: a socket that takes bytes or not. */
class Peer {
  reads = true;
  open = true;
  answered = 0;
  readonly served: Served;
  constructor(server: OvsdbServer, name: string) {
    const socket = {
      write: (bytes: Uint8Array) => {
        if (!this.reads) return 0;
        this.answered++;
        return bytes.length;
      },
      end: () => 0,
      terminate: () => {},
      pause: () => {},
      resume: () => {},
    };
    // Small limits are reached.
    const limits = {
      ...defaultConnectionLimits,
      backlogBytes: 2000,
      messageBytes: 1000,
      depth: 20,
    };
    this.served = serve(server, socket as never, { name, logger: quietLogger(), limits }, () => {
      this.open = false;
    });
  }

  send(text: string, cuts: readonly number[]): void {
    const bytes = Buffer.from(text);
    let from = 0;
    for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
      const to = Math.max(from, Math.min(cut, bytes.length));
      // Sockets lend their buffers: nobody may look at one later.
      const piece = Buffer.from(bytes.subarray(from, to));
      if (this.open) this.served.connection.received(piece);
      piece.fill(0xa5);
      from = to;
    }
  }
}

type Row = { readonly [column: string]: Json };

test(`JSON-RPC server, ${seconds} s from FUZZ_SEED=${seed}`, async () => {
  console.log(`fuzzing the JSON-RPC server for ${seconds} s, FUZZ_SEED=${seed}`);
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
  const told = new Map<string, Row>();
  const take = (tables: Json): void => {
    for (const rows of Object.values(tables as Record<string, Record<string, { new?: Row }>>)) {
      for (const [uuid, { new: row }] of Object.entries(rows)) {
        if (row === undefined) told.delete(uuid);
        else told.set(uuid, row);
      }
    }
  };
  const watcher = server.openSession("watcher");
  watcher.onNotification((method, params) => {
    if (method === "update") take(params[1] as Json);
  });
  const everything = Object.fromEntries([...db.tables.keys()].map((name) => [name, {}]));
  take(await watcher.request("monitor", ["zoo", "watch", everything]));
  let answered = 0;
  let dropped = 0;
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async (actions) => {
      runs++;
      const peers = Array.from({ length: CLIENTS }, (_, i) => new Peer(server, `fuzz${i}`));
      for (const step of actions) {
        const peer = peers[step.client] as Peer;
        switch (step.kind) {
          case "send":
            peer.send(step.text, step.cuts);
            break;
          case "leave":
            peer.served.connection.ended("gone");
            break;
          case "stop reading":
            peer.reads = false;
            break;
          case "read on":
            peer.reads = true;
            peer.served.connection.drain();
            break;
          case "turn":
            await new Promise((resolve) => setImmediate(resolve));
            break;
          default: {
            const never: never = step;
            throw new Error(String(never));
          }
        }
      }
      db.flush();
      await Promise.resolve();
      for (const peer of peers) {
        if (!peer.open) dropped++;
        answered += peer.answered;
        peer.served.connection.close("enough");
      }
      expect(log).toEqual([]);
      expect(server.sessions.size).toBe(1);
      const rows = new Map<string, Row>();
      for (const table of db.tables.keys()) {
        const [result] = await must(db, { op: "select", table, where: [] });
        for (const row of result?.["rows"] as unknown as ({ _uuid: [string, string] } & Row)[]) {
          const { _uuid: [, uuid], ...columns } = row;
          rows.set(uuid, columns);
        }
      }
      expect(new Map([...told].sort())).toEqual(new Map([...rows].sort()));
    }),
    { seed, numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 1000 },
  );
  console.log(`${runs} sequences, ${answered} answers, ${dropped} connections dropped`);
  expect(answered).toBeGreaterThan(0);
  expect(dropped).toBeGreaterThan(0);
}, (seconds + 60) * 1000);
