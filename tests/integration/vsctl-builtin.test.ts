/**
 * `solovs vsctl` against stock `ovs-vsctl`: the same command lines, each script on an empty database
 * of its own; equal output, error text and exit code, and equal content in the end. Both talk to our
 * database server. UUIDs are numbered in order of appearance.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { must, type Result, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";
import { type Script, scripts, words } from "./vsctl-cases.ts";

const missing = ["ovs-vsctl", "ovsdb-client"].filter((tool) => Bun.which(tool) === null);

/** What differs by its nature: UUIDs, times, sockets, and where the program lies. */
function normalise(text: string, uuids: Map<string, number> = new Map()): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (uuid) => {
      // Those that the lines themselves name; a random UUID does not start so.
      if (/^(0{8}|1{8}|11112222)-/.test(uuid)) return uuid;
      if (!uuids.has(uuid)) uuids.set(uuid, uuids.size);
      return `<${uuids.get(uuid)}>`;
    })
    .replace(/(?<=")row_?[0-9a-f]{8}_[0-9a-f_]{27}(?=")/g, "<row>")
    .replace(/#<(\d+)>">[0-9a-f]{8}</g, '#<$1>">UUID<')
    .replace(/name="<(\d+)>">[0-9a-f]{8}</g, 'name="<$1>">UUID<')
    .replace(/^\d{4}-\d\d-\d\dT[\d:]*Z\|/gm, "TIME|")
    .replace(/\S+\/(?:stock|ours)\/db\.sock/g, "SOCK");
}

interface Side {
  readonly name: "stock" | "ours";
  readonly service: DatabaseService;
  readonly remote: string;
  readonly command: readonly string[];
}

describe.skipIf(missing.length > 0)("vsctl as ovs-vsctl", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-vsctl-"));
  let ours: readonly string[];
  let count = 0;

  beforeAll(async () => {
    ours = [...solovsCommand(), "vsctl"];
    await must([...ours, "--version"]);
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const side = (name: "stock" | "ours", command: readonly string[]): Side => {
    const own = join(dir, `${count++}`, name);
    mkdirSync(own, { recursive: true });
    const remote = `unix:${own}/db.sock`;
    const service = startDatabaseService({
      dbFile: `${own}/conf.sqlite`,
      sockets: [`p${remote}`],
      logger: new LogSink(() => {}).logger("db"),
    });
    return { name, service, remote, command };
  };

  const runLine = async ({ command, remote }: Side, line: string): Promise<Result> => {
    const argv = [...command, `--db=${remote}`, "--no-wait", ...words(line)];
    return await run(argv, { env: { OVS_RUNDIR: dir, OVS_LOGDIR: "/var/log/openvswitch" } });
  };

  const clean = ({ code, stdout, stderr }: Result): Result => {
    const uuids = new Map<string, number>();
    return { code, stdout: normalise(stdout, uuids), stderr: normalise(stderr, uuids) };
  };

  /** All rows, each with the rows that it refers to named by their own values. */
  const content = async ({ service }: Side): Promise<string[]> => {
    const session = service.openSession("test");
    const tables = [...service.database.schema.tables.values()];
    const select = tables.map(({ name }) => ({ op: "select", table: name, where: [] }));
    const results = await session.request("transact", ["Open_vSwitch", ...select]);
    const names = new Map<string, string>();
    const lines: { table: string; row: Record<string, unknown> }[] = [];
    for (const [i, result] of (results as unknown as { rows: never[] }[]).entries()) {
      for (const { _uuid, _version, ...row } of result.rows as Record<string, unknown>[]) {
        const table = tables[i]!.name;
        const own = JSON.stringify(row).replaceAll(/\["(uuid|set|map)",[^{}]*\]/g, "");
        names.set((_uuid as string[])[1]!, `${table} ${own}`);
        lines.push({ table, row });
      }
    }
    const sorted = (value: unknown): unknown => {
      if (!Array.isArray(value)) return value;
      if (value[0] === "uuid") return names.get(value[1]);
      const members = value.map(sorted);
      return value[0] === "set" || value[0] === "map"
        ? [value[0], (members[1] as unknown[]).map((member) => JSON.stringify(member)).sort()]
        : members;
    };
    return lines.map(({ table, row }) =>
      `${table} ${JSON.stringify(Object.entries(row).map(([key, value]) => [key, sorted(value)]))}`
    ).sort();
  };

  // Rows of a table come in no particular order: the two databases have different UUIDs.
  const sortLines = (result: Result): Result => ({
    ...result,
    stdout: result.stdout.split(/\\n|\n/).sort().join("\n"),
  });

  const compare = async ({ lines }: Script): Promise<void> => {
    const [theirs, mine] = [side("stock", ["ovs-vsctl"]), side("ours", ours)];
    try {
      const differences: unknown[] = [];
      for (const line of lines) {
        const results = await Promise.all([runLine(theirs, line), runLine(mine, line)]);
        const [expected, got] = results.map(clean) as [Result, Result];
        const same = Bun.deepEquals(expected, got) ||
          Bun.deepEquals(sortLines(expected), sortLines(got));
        if (!same) differences.push({ line, expected, got });
      }
      expect(differences).toEqual([]);
      expect(await content(mine)).toEqual(await content(theirs));
    } finally {
      theirs.service.close();
      mine.service.close();
    }
  };

  for (const script of scripts) test(script.name, () => compare(script), 240_000);

  test("reads one database byte for byte, in the same order", async () => {
    const mine = side("ours", ours);
    const theirs: Side = { ...mine, command: ["ovs-vsctl"] };
    try {
      const ports = Array.from({ length: 60 }, (_, i) => `-- add-port br${i % 7} p${i} tag=${i}`);
      const bridges = Array.from({ length: 7 }, (_, i) => `-- add-br br${i}`);
      expect((await runLine(theirs, [...bridges, ...ports].join(" "))).code).toBe(0);
      await runLine(theirs, "set-controller br0 tcp:1.1.1.1 tcp:2.2.2.2 tcp:3.3.3.3");
      await runLine(theirs, "set-manager ptcp:6640 ptcp:6641");
      await runLine(
        theirs,
        "-- --id=@a create qos type=a -- --id=@b create qos type=b -- create queue dscp=1 -- " +
          "create queue dscp=2 -- create queue dscp=3 -- set port p1 qos=@a -- set port p2 qos=@b",
      );
      const tables = [...mine.service.database.schema.tables.keys()];
      const lines = [
        "show",
        "--commands",
        "--options",
        "list-br",
        ...tables.map((table) => `list ${table}`),
        "-f table list port",
        "-f html list interface",
        "-f csv list bridge",
        "-f json list port",
        "-f json --pretty list port",
        "--bare list port",
        "-d json list port",
        "-f table --columns=_uuid,name,tag find port tag>20",
        "-- --columns=name list port -- --columns=name list interface -- list queue",
      ];
      for (const line of lines) {
        const [expected, got] = await Promise.all([runLine(theirs, line), runLine(mine, line)]);
        expect({ line, ...got }).toEqual({ line, ...expected });
      }
    } finally {
      mine.service.close();
    }
  }, 60_000);

  test("many at one time: each tries again until its change is made", async () => {
    const mine = side("ours", ours);
    try {
      await runLine(mine, "add-br br0");
      const names = Array.from({ length: 12 }, (_, i) => `p${i}`);
      const results = await Promise.all(names.map((name) => runLine(mine, `add-port br0 ${name}`)));
      expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
        names.map(() => ({ code: 0, stderr: "" })),
      );
      const { stdout } = await runLine(mine, "list-ports br0");
      expect(stdout.split("\n").sort().slice(1)).toEqual(names.sort());
    } finally {
      mine.service.close();
    }
  }, 60_000);

  test("an interface that could not be set up: why, and exit code 65", async () => {
    const mine = side("ours", ours);
    const session = mine.service.openSession("switch");
    // A switch that cannot set up anything but bridges.
    const stop = mine.service.onCommit(() => {
      void session.request("transact", ["Open_vSwitch", {
        op: "select",
        table: "Open_vSwitch",
        where: [],
        columns: ["next_cfg"],
      }]).then(async (results) => {
        const [{ rows: [{ next_cfg }] }] = results as unknown as [
          { rows: [{ next_cfg: number }] },
        ];
        const update = (where: unknown[], row: Record<string, unknown>) => ({
          op: "update",
          table: "Interface",
          where,
          row,
        });
        await session.request("transact", [
          "Open_vSwitch",
          update([["type", "==", "internal"]], { ofport: 1 }),
          update([["name", "==", "gone0"]], { ofport: -1, error: "no such device" }),
          update([["name", "==", "mute0"]], { ofport: -1 }),
          { op: "update", table: "Open_vSwitch", where: [], row: { cur_cfg: next_cfg } },
        ] as never[]);
      });
    });
    const wait = (line: string) =>
      run([...ours, `--db=${mine.remote}`, "--timeout=10", ...words(line)], {
        env: { OVS_LOGDIR: "/some/where" },
      });
    try {
      expect(await wait("add-br br0")).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(await wait("add-port br0 gone0 -- add-port br0 mute0 -- list-ports br0")).toEqual({
        code: 65,
        stdout: "gone0\nmute0\n",
        stderr: "ovs-vsctl: Error detected while setting up 'gone0': no such device.  " +
          "See ovs-vswitchd log for details.\n" +
          "ovs-vsctl: Error detected while setting up 'mute0'.  " +
          "See ovs-vswitchd log for details.\n" +
          'ovs-vsctl: The default log directory is "/some/where".\n',
      });
      expect(await wait("--dry-run add-port br0 dry0")).toEqual({
        code: 0,
        stdout: "",
        stderr: "",
      });
      expect((await wait("list-ports br0")).code).toBe(0);
    } finally {
      stop();
      session.close();
      mine.service.close();
    }
  }, 30_000);

  test("the time limit ends it by SIGALRM", async () => {
    const mine = side("ours", ours);
    const waiting = Bun.spawn([...ours, `--db=${mine.remote}`, "--timeout=1", "add-br", "br0"], {
      stderr: "pipe",
    });
    await waiting.exited;
    expect(waiting.signalCode).toBe("SIGALRM");
    expect(normalise(await new Response(waiting.stderr).text()))
      .toBe("TIME|00002|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n");
    mine.service.close();
  }, 10_000);

  test("called through a link named ovs-vsctl", async () => {
    const [program, ...args] = solovsCommand();
    if (args.length > 0 || program === undefined) return; // not an executable of its own
    const link = join(dir, "ovs-vsctl");
    symlinkSync(program, link);
    const mine = side("ours", [link]);
    expect(await runLine(mine, "add-br br0 -- list-br")).toEqual({
      code: 0,
      stdout: "br0\n",
      stderr: "",
    });
    expect((await runLine(mine, "nosuch")).stderr).toStartWith("ovs-vsctl: unknown command");
    mine.service.close();
  });
});
