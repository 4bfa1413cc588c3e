/**
 * Group commit, seen from the outside: strace counts the syncs of a database server. The server is
 * stopped while many clients send, so that it finds all their transactions at once when it goes on.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectSession } from "../../src/db/rpc/client.ts";
import type { OvsdbSession } from "../../src/db/session.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, run } from "../support/exec.ts";

const CLIENTS = 32;
const ROUNDS = 10;

const logger = new LogSink(() => {}, "off").logger("test");
// Containers may forbid tracing.
const untraceable = Bun.which("strace") === null
  ? " [skipped: not installed: strace]"
  : (await run(["strace", "-f", "-o", "/dev/null", "true"])).code !== 0
  ? " [skipped: strace may not trace here]"
  : "";

describe.skipIf(untraceable !== "").each([
  ["sqlite", "conf-wal"],
  ["ovsdb-file", "conf"],
])(`%s${untraceable}`, (kind, synced) => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-group-"));
  let daemon: Background;
  let pid = 0;
  const sessions: OvsdbSession[] = [];

  /** Syncs of the file that makes commits durable. */
  const syncs = (): number =>
    readFileSync(`${dir}/trace`, "utf8").split("\n").filter((line) =>
      /\b(fsync|fdatasync)\(/.test(line) && line.includes(`/${synced}>`)
    ).length;

  const write = (session: OvsdbSession, mark: string): Promise<unknown> =>
    session.request("transact", [
      "Open_vSwitch",
      { op: "insert", table: "Queue", row: { external_ids: ["map", [["mark", mark]]] } },
    ]);

  beforeAll(async () => {
    daemon = new Background([
      ...["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", `${dir}/trace`],
      ...[process.execPath, join(import.meta.dir, "db-daemon.ts"), dir, kind],
    ]);
    await eventually("the database serves", () => daemon.log.includes("ready"), {
      timeoutMs: 20_000,
    });
    pid = Number(/^pid (\d+)$/m.exec(daemon.log)?.[1]);
    for (let i = 0; i < CLIENTS; i++) {
      sessions.push(await connectSession(`unix:${dir}/db.sock`, { who: "test", logger }));
    }
  }, 30_000);

  afterAll(async () => {
    for (const session of sessions) session.close();
    if (pid > 0) process.kill(pid, "SIGKILL");
    await daemon.stop().catch(() => {});
    rmSync(dir, { recursive: true, force: true });
  });

  test("one client after the other: a sync for each transaction, before its reply", async () => {
    for (const [i, session] of sessions.entries()) {
      const before = syncs();
      await write(session, `single ${i}`);
      expect(syncs()).toBeGreaterThan(before);
    }
  });

  test("transactions that arrive together share one sync", async () => {
    const before = syncs();
    for (let round = 0; round < ROUNDS; round++) {
      process.kill(pid, "SIGSTOP");
      const replies = sessions.map((session, i) => write(session, `together ${round} ${i}`));
      // The requests leave this process before the server goes on.
      await Bun.sleep(20);
      process.kill(pid, "SIGCONT");
      const results = await Promise.all(replies) as [{ uuid?: unknown }][];
      expect(results.filter(([{ uuid }]) => uuid !== undefined).length).toBe(CLIENTS);
    }
    // One a round, and some to spare: checkpoints of SQLite, rounds that came in parts.
    const together = syncs() - before;
    expect(together).toBeGreaterThanOrEqual(ROUNDS);
    expect(together).toBeLessThanOrEqual((ROUNDS * CLIENTS) / 4);
  });
});
