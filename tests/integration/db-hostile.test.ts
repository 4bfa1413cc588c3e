/**
 * Bad input to the database's sockets: each gets an answer or a closed connection and a log line
 * that says what and where; other clients notice nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OvsdbError } from "../../src/db/error.ts";
import { connectSession } from "../../src/db/rpc/client.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";

const dir = mkdtempSync(join(tmpdir(), "solovs-db-hostile-"));
const socketPath = `${dir}/db.sock`;
const log: string[] = [];
const sink = new LogSink((line) => log.push(line));
const quiet = new LogSink(() => {}, "off").logger("test");
let service: DatabaseService;

beforeAll(() => {
  service = startDatabaseService({
    dbFile: `${dir}/conf.sqlite`,
    sockets: [`punix:${socketPath}`, "ptcp:0:127.0.0.1"],
    logger: sink.logger("db"),
    limits: { messageBytes: 1 << 20, depth: 100, connections: 50, backlogBytes: 1 << 20 },
  });
});

afterAll(() => {
  service.close();
  rmSync(dir, { recursive: true, force: true });
});

class Raw {
  received = "";
  closed = false;
  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk) => this.received += chunk.toString("utf8"));
    socket.on("close", () => this.closed = true);
    socket.on("error", () => this.closed = true);
  }
  static async open(): Promise<Raw> {
    const socket = connect(socketPath);
    const raw = new Raw(socket);
    await new Promise((resolve) => socket.once("connect", resolve));
    return raw;
  }
}

const echoWorks = async (): Promise<void> => {
  const session = await connectSession(`unix:${socketPath}`, { who: "test", logger: quiet });
  expect(await session.request("echo", ["still", "here"])).toEqual(["still", "here"]);
  session.close();
};

const nul = String.fromCharCode(92) + "u0000";
const half = String.fromCharCode(92) + "ud800";

describe("a malformed stream loses its connection, and the log says why", () => {
  const cases: readonly [name: string, bytes: string | Uint8Array, reason: RegExp][] = [
    ["not JSON at all", "GET / HTTP/1.1\r\n\r\n", /must begin here \(byte 0\)/],
    ["a number at the top", " 5 ", /must begin here \(byte 1\)/],
    ["a bracket that closes nothing", '{"a":[1}', /"}" closes nothing \(byte 7\)/],
    ["wrong grammar", '{"id":0,"method" "echo"}', /is not JSON/],
    ["too deep", "[".repeat(101), /nested deeper than 100 \(byte 100\)/],
    ["too long", `{"a":"${"x".repeat(1 << 21)}"}`, /message longer than 1048576 bytes/],
    ["not UTF-8", new Uint8Array([0x5b, 0x22, 0xff, 0x22, 0x5d]), /not valid UTF-8/],
    ["a NUL", `{"id":0,"method":"echo","params":["${nul}"]}`, /NUL in a text/],
    ["half a pair", `{"id":0,"method":"echo","params":["${half}x"]}`, /surrogate pair/],
    ["an array", "[]", /message is not a JSON object/],
    ["no params", '{"id":0,"method":"echo"}', /request must have "params"/],
    ["params no array", '{"id":0,"method":"echo","params":{}}', /"params" must be JSON array/],
    ["method no text", '{"id":0,"method":1,"params":[]}', /method is not a JSON string/],
    ["an unknown member", '{"id":0,"method":"echo","params":[],"x":1}', /unexpected member "x"/],
    ["a reply to nothing", '{"id":0,"result":1,"error":null}', /unexpected reply/],
  ];
  for (const [name, bytes, reason] of cases) {
    test(name, async () => {
      const before = log.length;
      const raw = await Raw.open();
      raw.socket.write(bytes);
      await eventually("the connection closes", () => raw.closed);
      expect(log.slice(before).join("\n")).toMatch(reason);
      await echoWorks();
    });
  }
});

describe("a well-formed but wrong request gets a typed error, and the session goes on", () => {
  const cases: readonly [method: string, params: readonly (string | object)[], tag: string][] = [
    ["nosuch", [], "unknown method"],
    ["transact", [], "syntax error"],
    ["transact", ["nosuch"], "unknown database"],
    ["get_schema", [{}], "syntax error"],
    ["monitor", ["Open_vSwitch", "id", []], "syntax error"],
    ["monitor", ["Open_vSwitch", "id", { Nope: {} }], "syntax error"],
    ["monitor", ["Open_vSwitch", "id", { Bridge: { columns: ["nope"] } }], "syntax error"],
    ["monitor", ["Open_vSwitch", "id", { __proto__: null, toString: {} }], "syntax error"],
    ["monitor_cond", ["Open_vSwitch", "id"], "syntax error"],
    ["monitor_cond_since", ["Open_vSwitch", "id", {}, "zz"], "syntax error"],
    ["monitor_cond_change", ["id", "id", {}], "syntax error"],
    ["monitor_cancel", ["id"], "unknown monitor"],
    ["lock", ["not an id"], "syntax error"],
    ["unlock", ["x"], "syntax error"],
    ["set_db_change_aware", ["yes"], "syntax error"],
  ];
  for (const [method, params, tag] of cases) {
    test(`${method} ${JSON.stringify(params)}`, async () => {
      const session = await connectSession(`unix:${socketPath}`, { who: "test", logger: quiet });
      const error = await session.request(method, params as never).catch((error) => error);
      expect(error).toBeInstanceOf(OvsdbError);
      expect((error as OvsdbError).tag).toBe(tag);
      expect(await session.request("echo", [])).toEqual([]);
      session.close();
    });
  }

  test("column and table names that JavaScript objects inherit", async () => {
    const session = service.openSession("test");
    const row = JSON.parse('{"__proto__":"x","constructor":1}');
    const result = await session.request("transact", [
      "Open_vSwitch",
      { op: "insert", table: "Queue", row },
      { op: "select", table: "constructor", where: [] },
    ]);
    expect(result).toMatchObject([{ error: "unknown column" }, null]);
    session.close();
  });
});

test("a message cut into single bytes, and many in one piece", async () => {
  const raw = await Raw.open();
  const text = '{"id":1,"method":"echo","params":["ü"]}';
  for (const byte of Buffer.from(text)) raw.socket.write(new Uint8Array([byte]));
  raw.socket.write(text.repeat(20));
  await eventually("21 answers", () => raw.received.split('"result":["ü"]').length === 22);
  raw.socket.destroy();
});

test("one client too many is turned away, the others stay", async () => {
  const clients = await Promise.all(Array.from({ length: 51 }, () => Raw.open()));
  await eventually("one is closed", () => clients.some(({ closed }) => closed));
  expect(clients.filter(({ closed }) => !closed).length).toBe(50);
  for (const { socket } of clients) socket.destroy();
  await eventually("all gone", () => service.listeners[0]?.connections === 0);
  await echoWorks();
});

test("a client that never reads its updates is dropped, with a log line", async () => {
  const raw = await Raw.open();
  raw.socket.write(JSON.stringify({
    id: 0,
    method: "monitor",
    params: ["Open_vSwitch", "m", { Open_vSwitch: { columns: ["external_ids"] } }],
  }));
  await eventually("it monitors", () => raw.received.includes('"id":0'));
  raw.socket.pause();
  const session = service.openSession("writer");
  for (let i = 0; i < 80 && !log.join("\n").includes("does not read"); i++) {
    const ids = ["map", [["k", `${i}${"x".repeat(50_000)}`]]];
    const row = { external_ids: ids };
    const update = { op: "update", table: "Open_vSwitch", where: [], row };
    await session.request("transact", ["Open_vSwitch", update]);
  }
  expect(log.join("\n")).toMatch(/does not read: over 1048576 bytes of updates wait/);
  raw.socket.destroy();
  session.close();
  await echoWorks();
});

test("ptcp: serves too, on the port that the system chose", async () => {
  const port = service.listeners[1]?.port;
  const session = await connectSession(`tcp:127.0.0.1:${port}`, { who: "test", logger: quiet });
  expect(await session.request("list_dbs", [])).toEqual(["_Server", "Open_vSwitch"]);
  session.close();
});

test("a transaction with 10,000 operations", async () => {
  const session = service.openSession("test");
  const insert = { op: "insert", table: "Queue", row: {} };
  const result = await session.request("transact", [
    "Open_vSwitch",
    ...Array.from({ length: 10_000 }, () => insert),
    { op: "abort" },
  ]);
  expect((result as readonly unknown[]).length).toBe(10_001);
  expect(service.database.tables.get("Queue")?.rows.size).toBe(0);
  session.close();
});
