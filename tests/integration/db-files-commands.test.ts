/**
 * `solovs db import`, `export`, `backup` and `restore`: with stock ovsdb-tool and ovsdb-server at the
 * other end, into a running switch and into a file that nobody serves; and what they refuse.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";
import { ROOT, solovsCommand } from "../support/switch.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const missing = ["ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovs-vsctl"].filter((tool) =>
  Bun.which(tool) === null
);

describe.skipIf(missing.length > 0)("solovs db", () => {
  let dir: string;
  let daemon: Background | undefined;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-db-cmd-"));
  });
  afterEach(async () => {
    await daemon?.stop();
    daemon = undefined;
    rmSync(dir, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    const words = ["run", "--dummy", "--run-dir", dir, "--db", `${dir}/db`, "--http", "none"];
    const started = new Background([...solovsCommand(), ...words], { cwd: ROOT });
    daemon = started;
    await eventually("the switch is ready", () => {
      if (started.exitCode !== undefined) throw new Error(started.log);
      return started.log.includes("ready;");
    }, { timeoutMs: 15_000 });
  }
  const stop = async (): Promise<void> => {
    expect(await daemon?.stop(10_000)).toBe(0);
    daemon = undefined;
  };

  const db = (command: string, ...words: string[]) =>
    run(
      [...solovsCommand(), "db", command, "--run-dir", dir, "--db", `${dir}/db`, ...words],
      { cwd: ROOT },
    );
  const ok = async (command: string, ...words: string[]): Promise<string> => {
    const result = await db(command, ...words);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    return result.stdout;
  };
  const vsctl = (socket: string, ...words: string[]) =>
    must(["ovs-vsctl", `--db=unix:${socket}`, "--no-wait", ...words], { env: { OVS_RUNDIR: dir } });
  const ours = (...words: string[]) => vsctl(`${dir}/db.sock`, ...words);

  async function withStock<T>(file: string, use: (socket: string) => Promise<T>): Promise<T> {
    const socket = `${dir}/stock.sock`;
    const argv = ["ovsdb-server", file, `--remote=punix:${socket}`, `--unixctl=${dir}/stock.ctl`];
    const server = new Background(argv);
    try {
      await eventually(
        "stock server answers",
        async () => (await run(["ovsdb-client", "list-dbs", `unix:${socket}`])).code === 0,
      );
      return await use(socket);
    } finally {
      await server.stop();
    }
  }

  /** What people configure, as ovs-vsctl shows it. */
  const configuration = async (socket: string): Promise<string> => {
    const columns: [string, string][] = [
      ["Bridge", "_uuid,name,ports,other_config,fail_mode,controller"],
      ["Port", "_uuid,name,interfaces,tag,trunks,vlan_mode"],
      ["Interface", "_uuid,name,type,options,mtu_request"],
      ["Controller", "_uuid,target"],
      ["QoS", "_uuid,type,queues"],
    ];
    let text = "";
    for (const [table, names] of columns) {
      const rows = await vsctl(socket, "--format=csv", `--columns=${names}`, "list", table);
      text += rows.split("\n").sort().join("\n");
    }
    return text;
  };

  async function stockFile(): Promise<{ file: string; content: string }> {
    const file = `${dir}/conf.db`;
    await must(["ovsdb-tool", "create", file, SCHEMA]);
    const content = await withStock(file, async (socket) => {
      await vsctl(socket, "init", "--", "add-br", "br0", "--", "add-port", "br0", "p0", "tag=5");
      await vsctl(socket, "set-controller", "br0", "tcp:127.0.0.1:6653");
      await vsctl(socket, "set", "bridge", "br0", "other_config:a=ü", "fail_mode=secure");
      await vsctl(socket, "--", "--id=@q", "create", "qos", "type=linux-htb");
      return await configuration(socket);
    });
    return { file, content };
  }

  test("import into a running switch, refused where something is configured; export gives it back", async () => {
    const { file, content } = await stockFile();
    await start();
    const bytes = readFileSync(file);
    expect(await ok("import", file)).toMatch(
      /^imported 1 Bridge, 2 Port, 2 Interface, 1 Controller into the running switch .* as revision 2;/,
    );
    expect(Buffer.compare(readFileSync(file), bytes)).toBe(0);
    expect(await configuration(`${dir}/db.sock`)).toBe(content);
    const again = await db("import", file);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain("has this configuration already");
    await ours("add-br", "br1");
    const refused = await db("import", file);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("holds a configuration already");
    expect(refused.stderr).toContain("--force");
    expect(await ours("list-br")).toBe("br0\nbr1\n");
    expect(await ok("import", "--force", file)).toContain("as revision 4");
    expect(await ours("list-br")).toBe("br0\n");

    const exported = `${dir}/exported.db`;
    expect(await ok("export", exported)).toContain("a file for ovsdb-server");
    expect(await must(["ovsdb-tool", "db-name", exported])).toBe("Open_vSwitch\n");
    expect(await must(["ovsdb-tool", "db-version", exported])).toBe("8.3.1\n");
    expect(await withStock(exported, configuration)).toBe(content);
    const twice = await db("export", exported);
    expect(twice.code).toBe(1);
    expect(twice.stderr).toContain("exists already");
  });

  test("import, backup and export while no switch is running work on the file", async () => {
    const { file, content } = await stockFile();
    expect(await ok("import", file)).toContain(`the file ${dir}/db (no switch is running)`);
    expect(await ok("backup", `${dir}/backup`)).toContain("no switch is running");
    expect(await ok("export", `${dir}/exported`)).toContain("no switch is running");
    expect(await withStock(`${dir}/exported`, configuration)).toBe(content);
    await start();
    expect(await configuration(`${dir}/db.sock`)).toBe(content);
  });

  test(
    "backup while writers write is consistent; restore brings it back, and can be undone",
    async () => {
      await start();
      await ours("add-br", "br0");
      let writing = true;
      let bridges = 0;
      const writer = (async () => {
        for (; writing; bridges++) await ours("add-br", `w${bridges}`);
      })();
      await eventually("some writing", () => bridges > 2);
      const backup = `${dir}/backup`;
      await ok("backup", backup);
      writing = false;
      await writer;
      expect(statSync(backup).mode & 0o077).toBe(0);
      expect(existsSync(`${backup}-wal`)).toBe(false);
      const all = await ours("list-br");
      const restored = await ok("restore", backup);
      const [, number = ""] = /as revision (\d+);/.exec(restored) ?? [];
      const kept = (await ours("list-br")).split("\n");
      expect(kept).toContain("br0");
      expect(kept.length).toBeLessThanOrEqual(all.split("\n").length);
      // Each bridge came with its port and interface.
      expect((await ours("--columns=name", "--format=csv", "list", "port")).split("\n").length)
        .toBe(kept.length + 1);
      await must(
        [...solovsCommand(), "config", "rollback", String(Number(number) - 1), "--run-dir", dir],
        { cwd: ROOT },
      );
      expect(await ours("list-br")).toBe(all);
      // A backup is a whole database: it can take the file's place, history and all.
      await stop();
      await must(["cp", backup, `${dir}/db`]);
      await start();
      expect((await ours("list-br")).split("\n")).toEqual(kept);
      const log = await must([...solovsCommand(), "config", "log", "--run-dir", dir], {
        cwd: ROOT,
      });
      expect(log).toContain("add-br br0");
    },
    40_000,
  );

  test("what cannot be restored changes nothing, and says why", async () => {
    const { file } = await stockFile();
    await start();
    await ours("add-br", "mine");
    await ok("backup", `${dir}/backup`);
    const good = readFileSync(`${dir}/backup`);
    const cases: [string, Uint8Array | string, string][] = [
      ["empty", "", "damaged or not a database"],
      ["text", "hello\n".repeat(1000), "damaged or not a database"],
      ["half", good.subarray(0, good.length >> 1), "damaged or not a database"],
      ["scrambled", new Uint8Array(good).fill(0x5a, 4096, 12_000), "damaged or not a database"],
      ["cluster", "OVSDB CLUSTER 10 0\n", "cluster-to-standalone"],
      ["cut", readFileSync(file).subarray(0, 5000), "damaged or not a database"],
    ];
    for (const [name, bytes, message] of cases) {
      writeFileSync(`${dir}/${name}`, bytes);
      const result = await db("restore", `${dir}/${name}`);
      expect({ name, code: result.code }).toEqual({ name, code: 1 });
      expect(result.stderr).toContain(message);
    }
    expect((await db("restore", `${dir}/nowhere`)).stderr).toContain("cannot read");
    const other = { name: "other", tables: { T: { columns: { c: { type: "string" } } } } };
    writeFileSync(`${dir}/other.ovsschema`, JSON.stringify(other));
    await must(["ovsdb-tool", "create", `${dir}/other`, `${dir}/other.ovsschema`]);
    expect((await db("restore", `${dir}/other`)).stderr).toContain("holds the database other");
    const inUse = await db("restore", `${dir}/db`);
    expect(inUse.stderr).toContain("solovs db backup");
    expect(await ours("list-br")).toBe("mine\n");
    expect((await db("backup", `${dir}/nowhere/x`)).stderr).toContain("cannot write");
    expect((await db("backup", `${dir}/db`, "--force")).stderr).toContain("is the database itself");
  });

  test("a file that is in use elsewhere is named, with who has it", async () => {
    await start();
    const result = await run(
      [
        ...solovsCommand(),
        "db",
        "export",
        "--run-dir",
        "/nonexistent",
        "--db",
        `${dir}/db`,
        `${dir}/x`,
      ],
      { cwd: ROOT },
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`${dir}/db is in use by process ${daemon?.pid}`);
    expect(
      (await run([
        ...solovsCommand(),
        "db",
        "export",
        "--run-dir",
        "/nonexistent",
        "--db",
        "/nonexistent/db",
        `${dir}/x`,
      ], { cwd: ROOT })).stderr,
    )
      .toContain("no switch is running at unix:/nonexistent/db.sock, and there is no file");
  });
});
