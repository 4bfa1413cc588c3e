/**
 * A disk that fills up, and one that turns read-only, for real: a small file system in memory. The
 * client gets a clear error, reads go on, and nothing acknowledged is lost once there is space.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonObject } from "../../src/db/json.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import type { OvsdbSession } from "../../src/db/session.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { must } from "../support/exec.ts";
import { describePrivileged } from "../support/privileged.ts";

for (const kindOfNewFile of ["sqlite", "ovsdb-file"] as const) {
  describePrivileged(`a full disk under ${kindOfNewFile}`, [], () => {
    const dir = mkdtempSync(join(tmpdir(), `solovs-db-disk-${process.pid}-`));
    const dbFile = `${dir}/conf.db`;
    const ballast = `${dir}/ballast`;
    const log: string[] = [];
    let service: DatabaseService;
    let session: OvsdbSession;
    let acknowledged = 0;

    const open = (): void => {
      const logger = new LogSink((line) => log.push(line)).logger("db");
      service = startDatabaseService({ dbFile, sockets: [], logger, kindOfNewFile });
      session = service.openSession("test");
    };
    beforeAll(async () => {
      await must(["mount", "-t", "tmpfs", "-o", "size=4m", "solovs-test", dir]);
      writeFileSync(ballast, new Uint8Array(2 << 20));
      open();
    });
    afterAll(async () => {
      service.close();
      // Lazily: SQLite closes its file when its statements have been collected as garbage.
      await must(["umount", "-l", dir]);
      rmSync(dir, { recursive: true, force: true });
    });

    /** Adds one row of 20 kB; returns the error, if any. */
    const add = async (): Promise<JsonObject | undefined> => {
      const row = { external_ids: ["map", [["k", "x".repeat(20_000)]]] };
      const insert = { op: "insert", table: "Queue", row };
      const results = await session.request("transact", ["Open_vSwitch", insert]) as Json[];
      const failed = results.find((result) => "error" in (result as JsonObject));
      if (failed === undefined) acknowledged++;
      return failed as JsonObject | undefined;
    };
    const count = async (): Promise<number> => {
      const select = { op: "select", table: "Queue", where: [], columns: ["_uuid"] };
      const [result] = await session.request("transact", ["Open_vSwitch", select]) as Json[];
      return ((result as JsonObject)["rows"] as Json[]).length;
    };

    test("writes fail with a clear error; reads go on; space makes writes work again", async () => {
      let failure: JsonObject | undefined;
      for (let i = 0; i < 400 && failure === undefined; i++) failure = await add();
      expect(failure?.["error"]).toBe("I/O error");
      expect(String(failure?.["details"])).toContain("cannot store the transaction");
      expect(log.join("\n")).toContain("I/O error: cannot store the transaction");
      expect(acknowledged).toBeGreaterThan(10);
      expect(await count()).toBe(acknowledged);
      expect((await add())?.["error"]).toBe("I/O error");
      rmSync(ballast);
      for (let i = 0; i < 10; i++) expect(await add()).toBeUndefined();
      expect(await count()).toBe(acknowledged);
    });

    test("after a restart everything acknowledged is there, and nothing else", async () => {
      service.close();
      // SQLite gives the file up when its statements have been collected; a process that ends does.
      Bun.gc(true);
      await eventually("the file is free", () => {
        open();
        return true;
      });
      expect(await count()).toBe(acknowledged);
    });
  });
}

test("a file that may not be written is refused at the start, with its name", async () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-disk-"));
  const sink = new LogSink(() => {}, "off");
  const start = () =>
    startDatabaseService({ dbFile: `${dir}/none/conf`, sockets: [], logger: sink.logger("db") });
  expect(start).toThrow(`cannot open ${dir}/none/conf`);
  await must(["rm", "-r", dir]);
});
