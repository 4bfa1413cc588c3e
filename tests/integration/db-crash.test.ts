/**
 * `kill -9` at random moments under concurrent writers. Afterwards, every time: the database opens
 * by itself, every acknowledged transaction is there, none is there by half, and the history has a
 * revision for each transaction that is there and for no other.
 *
 * Ten rounds for each kind of file; `SOLOVS_CRASH_ROUNDS` asks for another number (`npm run
 * test:crash`: 200).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isArray, isObject, type Json } from "../../src/db/json.ts";
import { connectSession } from "../../src/db/rpc/client.ts";
import type { OvsdbSession } from "../../src/db/session.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background } from "../support/exec.ts";

const rounds = Number(process.env["SOLOVS_CRASH_ROUNDS"] ?? 10);
const WRITERS = 4;
const ROWS_PER_TRANSACTION = 3;

const logger = new LogSink(() => {}, "off").logger("test");

describe.each(["sqlite", "ovsdb-file"])("%s", (kind) => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-crash-"));
  const acknowledged = new Set<string>();
  let attempted = 0;
  let daemon: Background | undefined;

  async function start(): Promise<Background> {
    const started = new Background([
      process.execPath,
      join(import.meta.dir, "db-daemon.ts"),
      dir,
      kind,
    ]);
    await eventually("the database serves", () => {
      if (started.log.includes("ready")) return true;
      throw new Error(started.exitCode === undefined ? "it is still starting" : started.log);
    }, { timeoutMs: 15_000 });
    return started;
  }

  /** Writes until the connection breaks. Each transaction makes several rows with one mark. */
  async function write(session: OvsdbSession): Promise<void> {
    for (;;) {
      const mark = `t${attempted++}`;
      const row = { external_ids: ["map", [["mark", mark]]] };
      const operations = Array.from({ length: ROWS_PER_TRANSACTION }, () => ({
        op: "insert",
        table: "Queue",
        row,
      }));
      const comment = { op: "comment", comment: mark };
      try {
        await session.request("transact", ["Open_vSwitch", ...operations, comment]);
        acknowledged.add(mark);
      } catch {
        return;
      }
    }
  }

  async function storedMarks(): Promise<Map<string, number>> {
    const session = await connectSession(`unix:${dir}/db.sock`, { who: "test", logger });
    const select = { op: "select", table: "Queue", where: [], columns: ["_uuid", "external_ids"] };
    const result = await session.request("transact", ["Open_vSwitch", select]);
    session.close();
    const first = isArray(result) ? result[0] : undefined;
    const rows = isObject(first) ? first["rows"] as readonly Json[] : [];
    const marks = new Map<string, number>();
    for (const row of rows) {
      const { external_ids: ids } = row as { external_ids: [string, [string, string][]] };
      const mark = ids[1][0]?.[1] ?? "";
      marks.set(mark, (marks.get(mark) ?? 0) + 1);
    }
    return marks;
  }

  /** The history agrees with the rows: one revision a mark, beside the one that made the database. */
  async function checkHistory(marks: ReadonlyMap<string, number>): Promise<void> {
    const session = await connectSession(`unix:${dir}/db.sock`, { who: "test", logger });
    const log = await session.request("solovs.config_log", ["Open_vSwitch", { limit: 1000 }]);
    session.close();
    const { newest, revisions } = log as unknown as {
      newest: number;
      revisions: { revision: number; comment: string; inserted: number }[];
    };
    expect(newest).toBe(1 + marks.size);
    for (const [i, { revision, comment, inserted }] of revisions.entries()) {
      expect(revision).toBe(newest - i);
      if (revision === 1) continue;
      expect({ comment, inserted, there: marks.has(comment) })
        .toEqual({ comment, inserted: ROWS_PER_TRANSACTION, there: true });
    }
  }

  beforeAll(async () => {
    daemon = await start();
  });

  afterAll(() => {
    daemon?.killNow();
    rmSync(dir, { recursive: true, force: true });
  });

  for (let round = 1; round <= rounds; round++) {
    test(`round ${round}: nothing acknowledged is lost, nothing is half there`, async () => {
      const before = acknowledged.size;
      const writers = Promise.all(
        Array.from({ length: WRITERS }, async (_, i) => {
          const session = await connectSession(`unix:${dir}/db.sock`, {
            who: `writer ${i}`,
            logger,
          });
          await write(session);
        }),
      );
      await eventually("some transactions", () => acknowledged.size > before + WRITERS);
      await Bun.sleep(Math.random() * 100);
      daemon?.killNow();
      await writers;
      daemon = await start();
      const marks = await storedMarks();
      expect([...acknowledged].filter((mark) => !marks.has(mark))).toEqual([]);
      expect([...marks].filter(([, rows]) => rows !== ROWS_PER_TRANSACTION)).toEqual([]);
      if (kind === "sqlite") await checkHistory(marks);
      // A log file may end in what the crash cut off: that is said, and nothing else is wrong.
      const complaints = daemon.log.split("\n").filter((line) => /\|(ERR|WARN)\|/.test(line));
      expect(complaints.filter((line) => !line.includes("dropped what a crash left"))).toEqual([]);
    }, 20_000);
  }
});
