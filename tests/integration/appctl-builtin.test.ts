/**
 * `solovs appctl` against stock `ovs-appctl`: the same command lines to the same daemon, which is this
 * test; equal output, error text and exit code.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileLock, lockFile } from "../../src/linux/lock.ts";
import { LogSink } from "../../src/log/log.ts";
import { CommandError, UnixctlServer } from "../../src/slowpath/unixctl.ts";
import { type Result, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";

const LINES: readonly string[] = [
  "",
  "version",
  "version extra",
  "say hello world",
  "say",
  "refuse",
  "nothing",
  "no-such-command",
  "-t ovs-vswitchd version",
  "--target=other version",
  "-t RUNDIR/ovs-vswitchd.PID.ctl version",
  "-t RUNDIR/absent.ctl version",
  "-t absent version",
  "-t stale version",
  "-t garbage version",
  "-t a -t b version",
  "-e version",
  "-e -e version",
  "-T 5 version",
  "-T 0 version",
  "-T soon version",
  "--timeout=7 say -t x",
  "--timeout",
  "--bogus version",
  "-x version",
  "-V",
  "-o",
  "-vjsonrpc:off version",
  "-vnonsense version",
];

describe.skipIf(Bun.which("ovs-appctl") === null)("appctl as ovs-appctl", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-appctl-"));
  const ours = [...solovsCommand(), "appctl"];
  const locks: FileLock[] = [];
  let server: UnixctlServer;

  beforeAll(() => {
    server = new UnixctlServer(
      join(dir, `ovs-vswitchd.${process.pid}.ctl`),
      new LogSink(() => {}).logger("unixctl"),
    );
    const add = (name: string, most: number, command: (args: readonly string[]) => string) =>
      server.register(name, { usage: "", minArguments: 0, maxArguments: most, run: command });
    add("version", 0, () => "a test 1.0\n");
    add("say", 9, (args) => `${args.join("|")}\n`);
    add("nothing", 0, () => "");
    add("refuse", 0, () => {
      throw new CommandError("I will not");
    });
    for (const name of ["ovs-vswitchd", "other"]) {
      const attempt = lockFile(join(dir, `${name}.pid`));
      if (!("lock" in attempt)) throw new Error("the pid file is locked");
      attempt.lock.write(`${process.pid}\n`);
      locks.push(attempt.lock);
    }
    symlinkSync(
      join(dir, `ovs-vswitchd.${process.pid}.ctl`),
      join(dir, `other.${process.pid}.ctl`),
    );
    writeFileSync(join(dir, "stale.pid"), "1\n");
    writeFileSync(join(dir, "garbage.pid"), "a process\n");
  });
  afterAll(() => {
    server.close();
    for (const lock of locks) lock.release();
    rmSync(dir, { recursive: true, force: true });
  });

  const clean = ({ code, stdout, stderr }: Result): Result => ({
    code,
    stdout,
    stderr: stderr.replace(/^\d{4}-\d\d-\d\dT[\d:]*Z\|/gm, "TIME|"),
  });

  for (const line of LINES) {
    test(line === "" ? "(nothing)" : line, async () => {
      const words = line.replaceAll("RUNDIR", dir).replaceAll("PID", String(process.pid))
        .split(" ").filter((word) => word !== "");
      const options = { env: { OVS_RUNDIR: dir, OVS_LOGDIR: dir } };
      const [stock, own] = await Promise.all([
        run(["ovs-appctl", ...words], options),
        run([...ours, ...words], options),
      ]);
      expect(clean(own)).toEqual(clean(stock));
    });
  }

  test("says what it takes", async () => {
    const { code, stdout } = await run([...ours, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("--target=TARGET");
  });
});
