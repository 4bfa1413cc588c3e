/**
 * Too much of what is allowed, at the limits that the server has by itself: many idle clients, a
 * transaction of 100,000 operations, clients that send without reading. Each is served or refused
 * with a reason, and other clients are answered meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/db/json.ts";
import { connectSession } from "../../src/db/rpc/client.ts";
import { MAX_OPERATIONS } from "../../src/db/server-session.ts";
import type { OvsdbSession } from "../../src/db/session.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background } from "../support/exec.ts";

const dir = mkdtempSync(join(tmpdir(), "solovs-db-load-"));
const path = `${dir}/db.sock`;
const logger = new LogSink(() => {}, "off").logger("test");
/** No speed is measured: just that an answer comes, on however busy a machine. */
const BOUND_MS = 30_000;
let daemon: Background;

beforeAll(async () => {
  daemon = new Background([process.execPath, join(import.meta.dir, "db-daemon.ts"), dir, "sqlite"]);
  await eventually("the database serves", () => daemon.log.includes("ready"), {
    timeoutMs: 20_000,
  });
}, 30_000);

afterAll(async () => {
  await daemon.stop().catch(() => {});
  rmSync(dir, { recursive: true, force: true });
});

async function raw(): Promise<Socket> {
  const socket = connect(path);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.on("error", () => socket.destroy());
  return socket;
}

async function withSession<T>(use: (session: OvsdbSession) => Promise<T>): Promise<T> {
  const session = await connectSession(`unix:${path}`, { who: "test", logger });
  try {
    return await use(session);
  } finally {
    session.close();
  }
}

const insert = (mark: string): Json => ({
  op: "insert",
  table: "Queue",
  row: { external_ids: ["map", [["mark", mark]]] },
});
const count = (session: OvsdbSession, mark: string): Promise<number> =>
  session.request("transact", ["Open_vSwitch", {
    op: "select",
    table: "Queue",
    where: [["external_ids", "includes", ["map", [["mark", mark]]]]],
    columns: ["_uuid"],
  }]).then((result) => (result as unknown as [{ rows: unknown[] }])[0].rows.length);

/** A client that has nothing to do with it reads and writes. */
const othersWork = (mark: string): Promise<void> =>
  withSession(async (session) => {
    expect(await session.request("echo", [mark])).toEqual([mark]);
    await session.request("transact", ["Open_vSwitch", insert(mark)]);
    expect(await count(session, mark)).toBe(1);
  });

test("1,000 idle clients, half of them in the middle of a message", async () => {
  const idle: Socket[] = [];
  for (let i = 0; i < 1000; i++) {
    const socket = await raw();
    if (i % 2 === 1) socket.write('{"id":0,"method":"tran');
    idle.push(socket);
  }
  await othersWork("idle");
  expect(idle.filter(({ destroyed }) => destroyed).length).toBe(0);
  // The last one is served like the first, and the half message can still be completed.
  const last = idle.at(-1) as Socket;
  const answer = new Promise<string>((resolve) =>
    last.once("data", (bytes) => resolve(`${bytes}`))
  );
  last.write('sact","params":["nosuch"]}');
  expect(await answer).toContain("unknown database");
  for (const socket of idle) socket.destroy();
  await othersWork("after idle");
}, BOUND_MS);

test("a transaction of 100,000 operations is served, and others are answered", async () => {
  await withSession(async (session) => {
    const operations = Array.from({ length: 100_000 }, () => insert("many"));
    const many = session.request("transact", ["Open_vSwitch", ...operations]);
    await othersWork("beside many");
    expect((await many as readonly unknown[]).length).toBe(100_000);
    expect(await count(session, "many")).toBe(100_000);
  });
}, 2 * BOUND_MS);

test("more operations than a transaction may have are refused, the session goes on", async () => {
  await withSession(async (session) => {
    const operations = Array.from({ length: MAX_OPERATIONS + 1 }, () => 0);
    const refusal = session.request("transact", ["Open_vSwitch", ...operations]);
    await expect(refusal).rejects.toThrow(
      `transact request has ${MAX_OPERATIONS + 1} operations, more than ${MAX_OPERATIONS}`,
    );
    expect(await session.request("echo", [])).toEqual([]);
  });
}, BOUND_MS);

describe("a client that sends and does not read", () => {
  test("is not read from either, and gets every answer once it reads", async () => {
    const socket = await raw();
    const text = `{"id":1,"method":"echo","params":["${"x".repeat(1000)}"]}`;
    const requests = 20_000;
    socket.pause();
    socket.write(text.repeat(requests));
    await othersWork("beside silence");
    // What it has been sent waits at its own end: about 20 MB of requests, not taken by the server.
    expect(socket.writableLength + socket.bytesWritten).toBeGreaterThan(text.length * requests / 2);
    expect(socket.writableLength).toBeGreaterThan(0);
    let answered = 0;
    let rest = "";
    socket.on("data", (bytes) => {
      const pieces = (rest + bytes.toString("latin1")).split('"error":null');
      answered += pieces.length - 1;
      rest = (pieces.at(-1) ?? "").slice(-20);
    });
    socket.resume();
    await eventually("all answers", () => answered === requests, { timeoutMs: BOUND_MS });
    socket.destroy();
  }, 2 * BOUND_MS);

  test("and never reads its updates: dropped at 64 MiB, with a log line", async () => {
    const socket = await raw();
    const monitor = { Open_vSwitch: { columns: ["external_ids"] } };
    socket.write(
      JSON.stringify({ id: 0, method: "monitor", params: ["Open_vSwitch", "m", monitor] }),
    );
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    await withSession(async (session) => {
      const isDropped = () => daemon.log.includes("does not read");
      for (let i = 0; i < 200 && !isDropped(); i++) {
        const row = { external_ids: ["map", [["k", `${i}${"x".repeat(500_000)}`]]] };
        const update = { op: "update", table: "Open_vSwitch", where: [], row };
        await session.request("transact", ["Open_vSwitch", update]);
      }
      await eventually("a log line", isDropped);
    });
    expect(daemon.log).toMatch(
      /unix#\d+: does not read: over 67108864 bytes of updates wait, disconnecting/,
    );
    socket.destroy();
    await othersWork("after the drop");
  }, 2 * BOUND_MS);
});

test(
  "a client that goes in the middle of a message, or resets, leaves nothing behind",
  async () => {
    for (let i = 0; i < 50; i++) {
      const socket = await raw();
      socket.write(
        `{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"ins`.slice(0, i + 1),
      );
      if (i % 2 === 0) socket.end();
      else socket.resetAndDestroy();
    }
    await othersWork("after the departures");
    expect(daemon.log).not.toContain("internal error");
  },
  BOUND_MS,
);
