/**
 * A disk that turns read-only under the database, as ext4 does when it meets an error; a database on
 * a disk that is read-only from the start; and a full disk at the moment when unconfirmed changes are
 * to be taken back.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonObject } from "../../src/db/json.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import type { OvsdbSession } from "../../src/db/session.ts";
import { LogSink } from "../../src/log/log.ts";
import { must, run } from "../support/exec.ts";
import { describePrivileged } from "../support/privileged.ts";
import { FakeClock } from "../unit/db/history-clock.ts";

let dir: string;
let mount: string;
let clock: FakeClock;
let log: string[];
let service: DatabaseService;
let session: OvsdbSession;

const open = (): void => {
  const logger = new LogSink((line) => log.push(line)).logger("db");
  service = startDatabaseService({
    dbFile: `${mount}/conf`,
    sockets: [],
    followManagers: false,
    logger,
    history: { clock },
  });
  session = service.openSession("test");
};

async function transact(...operations: Json[]): Promise<JsonObject> {
  const results = await session.request("transact", [
    "Open_vSwitch",
    ...operations,
  ]) as JsonObject[];
  return results.find((result) => "error" in result) ?? results[0] as JsonObject;
}
const add = (bytes = 10): Promise<JsonObject> =>
  transact({
    op: "insert",
    table: "Queue",
    row: { external_ids: ["map", [["k", "x".repeat(bytes)]]] },
  });
const count = async (): Promise<number> => {
  const selected = await transact({ op: "select", table: "Queue", where: [], columns: ["_uuid"] });
  return (selected["rows"] as Json[]).length;
};
const call = async (method: string, options: JsonObject = {}): Promise<JsonObject> =>
  await session.request(`solovs.${method}`, ["Open_vSwitch", options]) as JsonObject;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), `solovs-db-ro-${process.pid}-`));
  mount = `${dir}/mount`;
  mkdirSync(mount);
  clock = new FakeClock();
  log = [];
});
afterEach(async () => {
  // Lazily: SQLite closes its file when its statements have been collected as garbage.
  await run(["umount", "-l", mount]);
  rmSync(dir, { recursive: true, force: true });
});

describePrivileged("a read-only disk", ["mkfs.ext4", "e2fsck", "losetup"], () => {
  test("under a running database: writes fail clearly, reads go on, nothing is lost", async () => {
    const image = `${dir}/image`;
    await must(["truncate", "-s", "16m", image]);
    await must(["mkfs.ext4", "-q", image]);
    const mounted = await run(["mount", "-o", "loop,errors=remount-ro", image, mount]);
    if (mounted.code !== 0) {
      console.log(`not tried: no loop devices here (${mounted.stderr.trim()})`);
      return;
    }
    const source = (await must(["findmnt", "-n", "-o", "SOURCE", mount])).trim();
    const [, device = ""] = /^\/dev\/(loop\d+)$/.exec(source) ?? [];
    expect(device).not.toBe("");
    open();
    for (let i = 0; i < 5; i++) expect(await add()).not.toHaveProperty("error");

    // The file system sees an error, and does what such file systems do.
    writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, "1");
    const failure = await add();
    expect(failure).toMatchObject({ error: "I/O error" });
    expect(String(failure["details"])).toContain(`cannot store the transaction in ${mount}/conf`);
    expect(await count()).toBe(5);
    expect(await call("config_log")).toMatchObject({ newest: 6 });
    expect(await add()).toMatchObject({ error: "I/O error" });
    expect(await count()).toBe(5);
    expect(log.filter((line) => line.includes("|ERR|")).join("\n")).toContain("I/O error");
    service.close();

    await must(["umount", "-l", mount]);
    await run(["e2fsck", "-fy", image]);
    await must(["mount", "-o", "loop", image, mount]);
    open();
    expect(await count()).toBe(5);
    expect(await call("config_log")).toMatchObject({ newest: 6 });
    expect(await add()).not.toHaveProperty("error");
    service.close();
  }, 30_000);

  test("from the start: refused with the reason, and left as it is", async () => {
    await must(["mount", "-t", "tmpfs", "-o", "size=4m", "solovs-test", mount]);
    open();
    await add();
    service.close();
    Bun.gc(true);
    const before = readFileSync(`${mount}/conf`);
    // Another view of the same directory, through which nobody may write.
    const view = `${dir}/view`;
    mkdirSync(view);
    await must(["mount", "--bind", mount, view]);
    try {
      await must(["mount", "-o", "remount,bind,ro", view]);
      const start = () =>
        startDatabaseService({
          dbFile: `${view}/conf`,
          sockets: [],
          logger: new LogSink(() => {}, "off").logger("db"),
        });
      expect(start).toThrow(/cannot open .*view\/conf.*(read-?only|unable to open)/i);
      expect(Buffer.compare(readFileSync(`${mount}/conf`), before)).toBe(0);
    } finally {
      await run(["umount", "-l", view]);
    }
    open();
    expect(await count()).toBe(1);
    service.close();
  });
});

describePrivileged("a full disk", [], () => {
  test("when changes are to be taken back: tried again until it works", async () => {
    await must(["mount", "-t", "tmpfs", "-o", "size=4m", "solovs-test", mount]);
    writeFileSync(`${mount}/ballast`, new Uint8Array(2 << 20));
    open();
    expect(await add()).not.toHaveProperty("error");
    await call("config_confirm_within", { seconds: 60 });
    let added = 0;
    while (!("error" in await add(20_000))) added++;
    while (!("error" in await add(100))) added++;
    expect(added).toBeGreaterThan(5);
    await expect(call("config_cancel")).rejects.toThrow("cannot store the transaction");
    clock.pass(60_000);
    expect(await call("config_status")).toMatchObject({
      pending: true,
      problem: expect.stringContaining("cannot store the transaction"),
    });
    clock.pass(20_000);
    expect(await count()).toBe(added + 1);
    expect(log.filter((line) => line.includes("cannot go back to revision 2"))).toHaveLength(1);
    rmSync(`${mount}/ballast`);
    clock.pass(5000);
    expect(await call("config_status")).toMatchObject({ last: { state: "expired" } });
    expect(await count()).toBe(1);
    service.close();
    open();
    expect(await count()).toBe(1);
    service.close();
  }, 30_000);
});
