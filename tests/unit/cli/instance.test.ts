import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimInstance } from "../../../src/cli/instance.ts";

const ROOT = join(import.meta.dir, "../../..");

/** Holds the claim in another process until its standard input ends; its pid and a way to end it. */
async function holdElsewhere(
  runDir: string,
  db: string,
): Promise<{ pid: number; end(): Promise<void> }> {
  const script = `const { claimInstance } = await import(${
    JSON.stringify(join(ROOT, "src/cli/instance.ts"))
  });
    claimInstance(...${JSON.stringify([runDir, db])});
    console.log("held");
    await Bun.stdin.text();`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("held\n");
  return {
    pid: child.pid,
    async end() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

describe("claimInstance", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-instance-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test("writes the pid file, and removes it on release", () => {
    const instance = claimInstance(join(dir, "run/deep"), join(dir, "db/conf.db"));
    expect(instance.pidFile).toBe(join(dir, "run/deep/ovs-vswitchd.pid"));
    instance.release();
    expect(existsSync(instance.pidFile)).toBe(false);
    claimInstance(join(dir, "run/deep"), join(dir, "db/conf.db")).release();
  });

  test("refuses a run directory that another process holds, naming its pid", async () => {
    const other = await holdElsewhere(join(dir, "run"), join(dir, "a.db"));
    expect(() => claimInstance(join(dir, "run"), join(dir, "b.db")))
      .toThrow(`run is in use by process ${other.pid}`);
    // The refused attempt left the holder's pid file as it was.
    expect(readFileSync(join(dir, "run/ovs-vswitchd.pid"), "utf8")).toBe(`${other.pid}\n`);
    await other.end();
  });

  test("refuses a database that another process holds, and leaves nothing", async () => {
    const other = await holdElsewhere(join(dir, "run1"), join(dir, "a.db"));
    expect(() => claimInstance(join(dir, "run2"), join(dir, "a.db")))
      .toThrow(`a.db is in use by process ${other.pid}`);
    expect(existsSync(join(dir, "run2/ovs-vswitchd.pid"))).toBe(false);
    await other.end();
  });

  test("takes over from a process that was killed, and from a stale pid file", async () => {
    const other = await holdElsewhere(join(dir, "run"), join(dir, "a.db"));
    await other.end();
    const instance = claimInstance(join(dir, "run"), join(dir, "a.db"));
    instance.release();
    writeFileSync(join(dir, "run/ovs-vswitchd.pid"), "1\n");
    claimInstance(join(dir, "run"), join(dir, "a.db")).release();
  });

  test("removes the sockets that a crash left, and nothing else", () => {
    const run = join(dir, "run");
    const left = ["br0.mgmt", "br0.snoop", "ovs-vswitchd.7.ctl"];
    const other = ["other.sock", "x.ctl"];
    mkdirSync(run);
    const listeners = [...left, ...other].map((name) =>
      Bun.listen({ unix: join(run, name), socket: { data() {} } })
    );
    writeFileSync(join(run, "br1.mgmt"), "no socket");
    const instance = claimInstance(run, join(dir, "a.db"));
    expect(readdirSync(run).sort()).toEqual(
      ["br1.mgmt", "other.sock", "ovs-vswitchd.pid", "ovsdb-server.pid", "x.ctl"],
    );
    instance.release();
    for (const listener of listeners) listener.stop(true);
  });

  test("says which option helps when the directory cannot be made", () => {
    writeFileSync(join(dir, "file"), "");
    expect(() => claimInstance(join(dir, "file/run"), join(dir, "a.db"))).toThrow("--run-dir");
    expect(() => claimInstance(join(dir, "run"), join(dir, "file/a.db"))).toThrow("--db");
  });
});
