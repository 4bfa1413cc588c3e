/**
 * The executable under the name `ovsdb-server`, on a file that stock `ovsdb-tool` made, asked by
 * stock clients: it starts, detaches, is found by its pid file, is controlled, and stops, as Open
 * vSwitch's own does. Needs no privileges.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { must, type Result, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";

const [executable = "", ...otherWords] = solovsCommand();
/** A link has no place for further words: only the executable alone can play a role. */
const playable = otherWords.length === 0 && existsSync(executable);
const tools = ["ovsdb-tool", "ovsdb-client", "ovs-appctl", "ovs-vsctl"];
const installed = tools.every((tool) => Bun.which(tool) !== null);
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

describe.skipIf(!playable || !installed || !existsSync(SCHEMA))("as ovsdb-server", () => {
  let dir = "";
  let server = "";
  const env = (): Record<string, string> => ({
    OVS_RUNDIR: dir,
    OVS_LOGDIR: dir,
    OVS_DBDIR: dir,
    OVS_SYSLOG_METHOD: "null",
  });
  const start = (...words: string[]): Promise<Result> =>
    run([server, ...words], { env: env(), cwd: dir, timeoutMs: 10_000 });
  const appctl = (...words: string[]): Promise<Result> =>
    run(["ovs-appctl", "--timeout=5", "-t", "ovsdb-server", ...words], { env: env() });
  const vsctl = (...words: string[]): Promise<Result> =>
    run(["ovs-vsctl", "--timeout=5", `--db=unix:${dir}/db.sock`, "--no-wait", ...words], {
      env: env(),
    });
  const pidFile = (): string => join(dir, "ovsdb-server.pid");
  const pid = (): number => Number(readFileSync(pidFile(), "utf8"));
  const DETACHED = ["--detach", "--no-chdir", "--pidfile", "--log-file"];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "role-"));
    server = join(dir, "ovsdb-server");
    symlinkSync(executable, server);
    await must(["ovsdb-tool", "create", join(dir, "conf.db"), SCHEMA]);
  });
  afterEach(async () => {
    if (existsSync(pidFile())) {
      const last = pid();
      process.kill(last, "SIGKILL");
      await eventually("the daemon is gone", () => !existsSync(`/proc/${last}`));
    }
    rmSync(dir, { recursive: true });
  });

  test("detaches when it serves, keeps what it was told, and goes when it is told to", async () => {
    const started = await start(...DETACHED, "--remote=punix:db.sock");
    expect([started.code, started.stdout]).toEqual([0, ""]);
    // No waiting: pid file, control socket and remote are there.
    expect(readFileSync(`/proc/${pid()}/comm`, "utf8")).toBe("ovsdb-server\n");
    expect((await appctl("version")).stdout).toBe("ovsdb-server (Open vSwitch) 3.1.0\n");
    expect((await vsctl("--", "init", "--", "add-br", "br0")).code).toBe(0);
    expect((await appctl("ovsdb-server/list-dbs")).stdout).toBe("Open_vSwitch\n_Server\n");
    expect((await appctl("ovsdb-server/list-remotes")).stdout).toBe("punix:db.sock\n");
    expect((await appctl("exit")).code).toBe(0);
    await eventually("it ends", () => !existsSync(pidFile()));
    expect(existsSync(join(dir, "db.sock"))).toBe(false);
    const log = readFileSync(join(dir, "ovsdb-server.log"), "utf8");
    expect(log).toMatch(/^\S+Z\|00001\|vlog\|INFO\|opened log file /);
    expect(log).toMatch(/\|ovsdb_server\|INFO\|ovsdb-server \(Open vSwitch\) 3\.1\.0\n/);
    expect(log).not.toMatch(/\|(?:WARN|ERR|EMER)\|/);

    // Stock tools read the file, and another start finds the bridge.
    const dump = await must([
      "ovsdb-tool",
      "query",
      join(dir, "conf.db"),
      '["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]',
    ]);
    expect(dump).toContain('"br0"');
    expect((await start(...DETACHED, "--remote=punix:db.sock")).code).toBe(0);
    expect((await vsctl("list-br")).stdout).toBe("br0\n");
  });

  test("relative names of sockets are in the run directory, wherever the daemon was started", async () => {
    const words = ["--detach", "--pidfile", "--remote=punix:db.sock"];
    const started = await run([server, ...words], { env: env(), cwd: tmpdir() });
    expect(started.code).toBe(0);
    expect(readlinkSync(`/proc/${pid()}/cwd`)).toBe("/");
    expect((await vsctl("show")).code).toBe(0);
    expect((await appctl("exit")).code).toBe(0);
    await eventually("it ends", () => !existsSync(pidFile()));
    expect(existsSync(join(dir, "db.sock"))).toBe(false);
  });

  test("a start that fails says why, exits 1, and leaves nothing", async () => {
    const failed = await start(...DETACHED, "--unixctl=none/x.ctl");
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("could not initialize control socket");
    expect(existsSync(pidFile())).toBe(false);
    const missing = await start(...DETACHED, "no-such.db");
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("No such file or directory");
    expect(existsSync(pidFile())).toBe(false);
  });

  test("neither the run directory nor the database is used twice", async () => {
    expect((await start(...DETACHED)).code).toBe(0);
    const first = pid();
    const again = await start(...DETACHED);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(`already running as pid ${first}, aborting`);
    const elsewhere = await start("--detach", "--no-chdir", "--pidfile=other.pid");
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr).toContain("failed to lock lockfile");
    expect(pid()).toBe(first);
  });

  test("under --monitor a crash is repaired, with the remotes that were added", async () => {
    expect((await start(...DETACHED, "--monitor", "--remote=punix:db.sock")).code).toBe(0);
    expect((await appctl("ovsdb-server/add-remote", "punix:more.sock")).code).toBe(0);
    const first = pid();
    process.kill(first, "SIGABRT");
    const second = await eventually(
      "another daemon",
      () => existsSync(pidFile()) && pid() !== first && pid() > 0 ? pid() : undefined,
      { timeoutMs: 10_000 },
    );
    await eventually("it answers", async () => (await appctl("version")).code === 0);
    expect((await appctl("ovsdb-server/list-remotes")).stdout)
      .toBe("punix:db.sock\npunix:more.sock\n");
    process.kill(second, "SIGTERM");
    await eventually("both are gone", () => !existsSync(pidFile()));
    const log = (): string => readFileSync(join(dir, "ovsdb-server.log"), "utf8");
    expect(log()).toContain(`|ERR|1 crashes: pid ${first} died, killed (SIGABRT), restarting\n`);
    await eventually(
      "the monitor's last words",
      () => log().includes(`pid ${second} died, killed`),
    );
  });

  test("--run ends with the command, and with its failure", async () => {
    const client = `ovsdb-client list-dbs unix:${dir}/db.sock`;
    const good = await start("--remote=punix:db.sock", `--run=${client}`);
    expect([good.code, good.stdout]).toEqual([0, "Open_vSwitch\n_Server\n"]);
    const bad = await start("--remote=punix:db.sock", "--run=exit 3");
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("exit 3: child exited, exit status 3");
  });

  test("the log can be turned up, turned down and rotated", async () => {
    expect((await start(...DETACHED)).code).toBe(0);
    expect((await appctl("vlog/set", "nobody")).stderr)
      .toContain('no destination, level, or module "nobody"');
    expect((await appctl("vlog/set", "ovsdb_server:file:dbg")).code).toBe(0);
    expect((await appctl("vlog/list")).stdout)
      .toMatch(/^ovsdb_server +OFF +INFO +DBG$/m);
    rmSync(join(dir, "ovsdb-server.log"));
    expect((await appctl("vlog/reopen")).code).toBe(0);
    expect(existsSync(join(dir, "ovsdb-server.log"))).toBe(true);
  });
});
