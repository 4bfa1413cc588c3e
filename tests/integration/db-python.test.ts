/**
 * Python's own OVSDB client (`ovs.db.idl`) against stock ovsdb-server and against ours: the same
 * script, the same output.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
// Debian's package is for Debian's Python, not for another that may come first in the path.
const PYTHON = "/usr/bin/python3";
const absent = ["ovsdb-server", "ovsdb-tool", "ovs-vsctl", PYTHON]
  .filter((tool) => Bun.which(tool) === null);
const importable = async (): Promise<boolean> =>
  (await run([PYTHON, "-c", "import ovs.db.idl"])).code === 0;
const reason = absent.length > 0
  ? ` [skipped: not installed: ${absent.join(", ")}]`
  : await importable()
  ? ""
  : " [skipped: not installed: python3-openvswitch]";

describe.skipIf(reason !== "")(`Python's IDL${reason}`, () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-python-"));
  const log: string[] = [];
  let service: DatabaseService;
  let stock: Background;

  beforeAll(async () => {
    for (const name of ["ours", "stock"]) mkdirSync(`${dir}/${name}`);
    service = startDatabaseService({
      dbFile: `${dir}/ours/conf.sqlite`,
      sockets: [`punix:${dir}/ours/db.sock`],
      logger: new LogSink((line) => log.push(line)).logger("db"),
    });
    await must(["ovsdb-tool", "create", `${dir}/stock/conf.db`, SCHEMA]);
    stock = new Background([
      "ovsdb-server",
      `${dir}/stock/conf.db`,
      `--remote=punix:${dir}/stock/db.sock`,
      `--unixctl=${dir}/stock/ctl`,
    ]);
    const remote = `unix:${dir}/stock/db.sock`;
    await eventually(
      "stock server answers",
      async () => (await run(["ovsdb-client", "list-dbs", remote])).code === 0,
    );
    await must(["ovs-vsctl", `--db=${remote}`, "--no-wait", "init"]);
  }, 20_000);

  afterAll(async () => {
    service.close();
    await stock.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test("the same script gives the same output on both", async () => {
    const [ours, theirs] = await Promise.all(["ours", "stock"].map(async (name) => {
      const script = join(import.meta.dir, "db_python_idl.py");
      const argv = [PYTHON, script, `unix:${dir}/${name}/db.sock`];
      const { code, stdout, stderr } = await run(argv, { timeoutMs: 60_000 });
      return `${stdout}\n${stderr}\nexit ${code}`;
    }));
    expect(ours).toBe(theirs as string);
    expect(ours).toContain("in the end");
    expect(ours).toEndWith("exit 0");
    expect(log.filter((line) => /\|(ERR|EMER|WARN)\|/.test(line))).toEqual([]);
  }, 90_000);
});
