/**
 * `solovs config` against a running switch, with stock ovs-vsctl as the one who changes things; and
 * commit-confirm across `kill -9`.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";
import { ROOT, solovsCommand } from "../support/switch.ts";

let dir: string;
let daemon: Background;

async function start(): Promise<void> {
  const words = ["run", "--dummy", "--run-dir", dir, "--db", `${dir}/db`, "--http", "none"];
  const started = new Background([...solovsCommand(), ...words], { cwd: ROOT });
  daemon = started;
  await eventually("the switch is ready", () => {
    if (started.exitCode !== undefined) throw new Error(started.log);
    return started.log.includes("ready;");
  }, { timeoutMs: 15_000 });
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "solovs-config-"));
  await start();
});
afterEach(async () => {
  await daemon.stop();
  rmSync(dir, { recursive: true, force: true });
});

const env = (): Record<string, string> => ({ OVS_RUNDIR: dir });
const config = (...words: string[]) =>
  run([...solovsCommand(), "config", ...words], { env: env(), cwd: ROOT });
const ok = (...words: string[]): Promise<string> =>
  must([...solovsCommand(), "config", ...words], { env: env(), cwd: ROOT });
const vsctl = (...words: string[]): Promise<string> =>
  must([...solovsCommand(), "vsctl", "--no-wait", ...words], { env: env(), cwd: ROOT });

describe("history", () => {
  test("log, show, diff and rollback, as text and as JSON", async () => {
    await vsctl("add-br", "br0", "--", "set", "bridge", "br0", "other_config:a=1");
    await vsctl("add-port", "br0", "p1", "tag=5");
    await vsctl(
      "--",
      "set",
      "port",
      "p1",
      "tag=6",
      "--",
      "set",
      "interface",
      "p1",
      "mtu_request=1400",
    );
    const log = JSON.parse(await ok("log", "--json"));
    expect(log.newest).toBe(4);
    expect(log.revisions[0]).toMatchObject({
      revision: 4,
      author: { who: "unix", uid: process.getuid?.() },
    });
    expect(log.revisions[0].author.command).toContain("set port p1 tag=6");
    expect(log.revisions[1].comment).toContain("add-port br0 p1 tag=5");
    const lines = (await ok("log", "-n", "2")).trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^4 {2}20\d\d-.*\+0 ~2 -0 {2}.*vsctl/);

    const shown = await ok("show", "4");
    expect(shown).toContain("~ Port p1\n    tag: 5 -> 6\n");
    expect(shown).toContain("~ Interface p1\n    mtu_request: [] -> 1400\n");
    expect(shown).toContain("~ Interface p1");
    expect(await ok("diff", "2", "4")).toContain("+ Port p1\n");
    expect(await ok("diff", "4", "2")).toContain("- Port p1\n");
    expect(await ok("diff", "4")).toContain("have the same configuration");

    expect(await ok("rollback", "2", "--dry-run")).toContain("nothing was changed");
    const uuid = await vsctl("get", "port", "p1", "_uuid");
    expect(await ok("rollback", "2", "--comment", "too early")).toContain("by revision 5");
    expect(await vsctl("list-ports", "br0")).toBe("");
    expect(await ok("show", "5")).toContain("comment  too early\n");
    await ok("rollback", "4");
    expect(await vsctl("get", "port", "p1", "_uuid", "tag")).toBe(`${uuid}6\n`);
    expect(await ok("rollback", "4")).toContain("is that of revision 4 already");
  });

  test("the switch's own writing makes no revision", async () => {
    await vsctl("add-br", "br0");
    await must(
      [...solovsCommand(), "vsctl", "add-br", "br1"],
      { env: env(), cwd: ROOT },
    );
    const { newest } = JSON.parse(await ok("log", "--json"));
    expect(newest).toBe(3);
    await daemon.stop();
    await start();
    expect(JSON.parse(await ok("log", "--json")).newest).toBe(3);
  });

  test("mistakes say what is wrong and what to do", async () => {
    expect(await config("show", "77")).toMatchObject({
      code: 1,
      stderr: "solovs: revision 77 is not in the history, which has 1 to 1\n",
    });
    expect(await config("rollback", "HEAD")).toMatchObject({ code: 2 });
    const elsewhere = await config("log", "--run-dir", "/nonexistent");
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr).toContain("cannot reach the switch at unix:/nonexistent/db.sock");
    expect(await config("confirm")).toMatchObject({
      code: 1,
      stderr: "solovs: nothing waits for confirmation\n",
    });
  });
});

describe("commit-confirm", () => {
  const within = (time: string, ...words: string[]) => config("confirm-within", time, ...words);

  test("unconfirmed changes go; the command's own -- and exit code are left to it", async () => {
    await vsctl("add-br", "br0");
    const done = await within(
      "60s",
      "--",
      "vsctl",
      "--no-wait",
      "add-port",
      "br0",
      "p1",
      "--",
      "set",
      "port",
      "p1",
      "tag=9",
    );
    expect(done.code).toBe(0);
    expect(done.stderr).toContain("the configuration goes back to revision 2");
    expect(done.stderr).toContain("+ Port p1");
    expect(await vsctl("get", "port", "p1", "tag")).toBe("9\n");
    expect(await ok("status")).toContain("waiting for confirmation: goes back to revision 2");
    await within("1s", "--extend");
    await eventually("it went back", async () => (await vsctl("list-ports", "br0")) === "");
    expect(await ok("status")).toContain("were not confirmed in time: back to revision 2");
    expect((await within("60s", "--", "sh", "-c", "exit 7")).code).toBe(7);
    expect(await ok("status")).toContain("nothing waits");
  });

  test("confirm keeps, cancel takes back; one window at a time", async () => {
    await within("60s", "--", "vsctl", "--no-wait", "add-br", "br0");
    const second = await within("60s", "--", "vsctl", "--no-wait", "add-br", "br1");
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("changes since revision 1 wait for confirmation");
    expect(await vsctl("list-br")).toBe("br0\n");
    expect((await within("90s", "--extend", "--", "vsctl", "--no-wait", "add-br", "br2")).code)
      .toBe(0);
    expect(await ok("confirm")).toContain("confirmed");
    expect(await vsctl("list-br")).toBe("br0\nbr2\n");
    await within("60s", "--", "vsctl", "--no-wait", "del-br", "br0");
    expect(await ok("cancel")).toContain("back to revision 3, by revision 5");
    expect(await vsctl("list-br")).toBe("br0\nbr2\n");
  });

  test("kill -9 and a start after the deadline: back before anybody is served", async () => {
    await vsctl("add-br", "br0");
    await within("2s", "--", "vsctl", "--no-wait", "del-br", "br0");
    daemon.killNow();
    await daemon.ended(5000);
    await Bun.sleep(2100);
    await start();
    expect(await vsctl("list-br")).toBe("br0\n");
    expect(await ok("status")).toContain("were not confirmed in time: back to revision 2");
  });

  test("kill -9 and a start before the deadline: the window goes on", async () => {
    await vsctl("add-br", "br0");
    await within("60s", "--", "vsctl", "--no-wait", "del-br", "br0");
    daemon.killNow();
    await daemon.ended(5000);
    await start();
    expect(await ok("status")).toContain("waiting for confirmation: goes back to revision 2");
    expect(await vsctl("list-br")).toBe("");
    await within("1s", "--extend");
    await eventually("it went back", async () => (await vsctl("list-br")) === "br0\n");
  });
});

test("what a stock tool is and who ran it", async () => {
  if (Bun.which("ovs-vsctl") === null || !existsSync("/proc/self/cmdline")) return;
  await must(["ovs-vsctl", "--no-wait", "add-br", "br9"], { env: env() });
  const shown = JSON.parse(await ok("show", "2", "--json"));
  expect(shown.author).toMatchObject({ who: "unix", command: "ovs-vsctl --no-wait add-br br9" });
  expect(shown.changes.Bridge).toBeDefined();
});
