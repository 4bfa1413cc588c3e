/**
 * `solovs ovsdb`: the database server alone, with OVN's northbound schema and vtep's, driven by their
 * own stock clients.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";

const NORTHBOUND = "/usr/share/ovn/ovn-nb.ovsschema";
const VTEP = "/usr/share/openvswitch/vtep.ovsschema";
const missing = ["ovn-nbctl", "vtep-ctl", "ovsdb-client"].filter((tool) => !Bun.which(tool));
const why = missing.length > 0 ? ` (needs ${missing.join(", ")})` : "";

describe.skipIf(missing.length > 0)(`solovs ovsdb${why}`, () => {
  let dir: string;
  let server: Background | undefined;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-ovsdb-"));
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
    rmSync(dir, { recursive: true, force: true });
  });

  const command = (...args: string[]) => [...solovsCommand(), "ovsdb", ...args];
  const served = () => `unix:${dir}/sock`;
  const options = (schema: string) =>
    command("--schema", schema, "--db", `${dir}/db`, "--remote", `punix:${dir}/sock`);

  async function start(schema: string): Promise<Background> {
    const started = new Background(options(schema));
    server = started;
    await eventually("the server answers", async () => {
      if (started.exitCode !== undefined) throw new Error(started.log);
      return (await run(["ovsdb-client", "list-dbs", served()])).code === 0;
    });
    return started;
  }

  test("OVN's northbound database: ovn-nbctl works, and all is there after kill -9", async () => {
    const nbctl = (...args: string[]) => must(["ovn-nbctl", `--db=${served()}`, ...args]);
    const first = await start(NORTHBOUND);
    expect(await must(["ovsdb-client", "list-dbs", served()])).toBe("OVN_Northbound\n_Server\n");
    await nbctl("ls-add", "sw0", "--", "lsp-add", "sw0", "p0");
    await nbctl("lsp-set-addresses", "p0", "02:00:00:00:00:01 10.0.0.1");
    await nbctl("acl-add", "sw0", "from-lport", "1000", "ip4.src == 10.0.0.1", "drop");
    const before = await nbctl("show");
    expect(before).toContain("port p0");
    const refused = await run(["ovn-nbctl", `--db=${served()}`, "lsp-add", "nowhere", "p1"]);
    expect(refused).toMatchObject({ code: 1 });
    first.signal("SIGKILL");
    await first.stop();
    await start(NORTHBOUND);
    expect(await nbctl("show")).toBe(before);
    expect(await nbctl("acl-list", "sw0")).toContain("ip4.src == 10.0.0.1");
  }, 30_000);

  test("vtep's database: vtep-ctl works", async () => {
    const vtep = (...args: string[]) => must(["vtep-ctl", `--db=${served()}`, ...args]);
    await start(VTEP);
    await vtep("add-ps", "ps0", "--", "add-port", "ps0", "eth0", "--", "add-ls", "ls0");
    expect(await vtep("list-ps")).toBe("ps0\n");
    expect(await vtep("list-ports", "ps0")).toBe("eth0\n");
  }, 30_000);

  test("stops cleanly, and a second one names the first", async () => {
    const first = await start(NORTHBOUND);
    const second = await run(options(NORTHBOUND));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`in use by process ${first.pid}`);
    first.signal("SIGTERM");
    await eventually("it ends", () => Promise.resolve(first.exitCode !== undefined));
    expect(first.exitCode).toBe(0);
    expect(first.log).toContain("|INFO|stopped");
  }, 30_000);

  test("says what is wrong with its command line or its schema", async () => {
    const lonely = await run(command("--db", `${dir}/db`));
    expect(lonely.code).toBe(2);
    expect(lonely.stderr).toContain("--remote");
    const nowhere = await run(options(`${dir}/none`));
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toContain(`cannot read the schema ${dir}/none`);
    writeFileSync(`${dir}/broken`, '{"name":');
    expect((await run(options(`${dir}/broken`))).stderr).toContain("is not JSON");
    writeFileSync(`${dir}/wrong`, '{"name":"X","version":"1.0.0","tables":{"T":{}}}');
    const wrong = await run(options(`${dir}/wrong`));
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/\|EMER\|.*columns/);
  }, 30_000);
});
