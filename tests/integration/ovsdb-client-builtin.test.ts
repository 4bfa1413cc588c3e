/**
 * `solovs ovsdb-client` against stock `ovsdb-client`: the same command lines on one server; equal
 * output, error text and exit code, byte for byte. What changes data runs on a server for each.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSchema, schemaToJson } from "../../src/db/schema/schema.ts";
import { openVSwitchSchema } from "../../src/db/schema/openvswitch.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, must, type Result, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";
import { words } from "./vsctl-cases.ts";

const missing = ["ovs-vsctl", "ovsdb-client"].filter((tool) => Bun.which(tool) === null);

/** `S` stands for the server, `FILE` for a schema in a file. */
const READING: readonly string[] = [
  "list-dbs S",
  "list-dbs",
  "list-dbs S x",
  "get-schema S",
  "get-schema S Open_vSwitch",
  "get-schema S _Server",
  "get-schema S nosuch",
  "--pretty get-schema S _Server",
  "get-schema-version S",
  "get-schema-version S _Server",
  "get-schema-cksum S Open_vSwitch",
  "list-tables S",
  "list-tables S _Server",
  "--format=csv list-tables S",
  "-f json list-tables S _Server",
  "--no-headings list-tables S Open_vSwitch",
  "list-columns S",
  "list-columns S Open_vSwitch",
  "list-columns S Open_vSwitch Bridge",
  "list-columns S Bridge",
  "list-columns S Open_vSwitch nosuch",
  "list-columns S _Server",
  "-f html list-columns S _Server",
  "-f json --pretty list-columns S _Server",
  "-d json list-columns S _Server",
  "dump S",
  "dump S Open_vSwitch",
  "dump S Open_vSwitch Port",
  "dump S Port",
  "dump S Open_vSwitch Port name tag",
  "dump S Open_vSwitch Port tag",
  "dump S Open_vSwitch nosuch",
  "dump S Open_vSwitch Port nosuch",
  "dump S Open_vSwitch Port name name",
  "dump S _Server Database name model",
  "-f list dump S Open_vSwitch Bridge",
  "-f csv dump S Open_vSwitch Bridge",
  "-f html dump S Open_vSwitch Controller",
  "-f json dump S Open_vSwitch Controller",
  "-f json --pretty dump S Open_vSwitch Controller",
  "-d bare dump S Open_vSwitch Bridge",
  "--data=json dump S Open_vSwitch Interface name type options statistics",
  "--bare dump S Open_vSwitch Bridge",
  "--max-column-width=10 dump S Open_vSwitch Bridge",
  "--no-headings dump S Open_vSwitch Bridge name",
  `transact S '["Open_vSwitch"]'`,
  `transact S '["Open_vSwitch",{"op":"select","table":"Bridge","where":[["name","==","br1"]]}]'`,
  `transact '["Open_vSwitch"]'`,
  `--pretty transact S '["Open_vSwitch",{"op":"select","table":"Bridge","where":[]},{"op":"x"}]'`,
  `transact S '["nosuch"]'`,
  `transact S '["_Server",{"op":"insert","table":"Database","row":{}}]'`,
  "transact S '[1]'",
  "transact S '{}'",
  "transact S '[]'",
  "transact S ''",
  "transact S '['",
  "transact S '[x'",
  "transact S '[tru]'",
  `transact S '["a'`,
  `transact S '["a\\q"]'`,
  `transact S '["a" 1]'`,
  `transact S '[1,]'`,
  `transact S '[,]'`,
  `transact S '{"a" 1}'`,
  `transact S '{"a":1 2}'`,
  `transact S '{a:1}'`,
  `transact S '{1:1}'`,
  `transact S '{"a":1,}'`,
  `transact S '[01]'`,
  `transact S '[1.]'`,
  `transact S '[1e]'`,
  `transact S '[-]'`,
  `transact S '[1+2]'`,
  `transact S '[1] x'`,
  `transact S '[1] [2]'`,
  `transact S '  [1] @'`,
  `transact S '"a"'`,
  `transact S '1'`,
  `transact S 'true'`,
  `query S '["Open_vSwitch",{"op":"insert","table":"QoS","row":{"type":"never"}}]' --no-headings`,
  `query S '["Open_vSwitch",{"op":"delete","table":"Bridge","where":[]},{"op":"x"}]'`,
  `query S '["Open_vSwitch"]'`,
  `query S '{}'`,
  "query S '[1]'",
  "transact S",
  "transact",
  "transact S '[]' x",
  "needs-conversion S FILE",
  "needs-conversion S FILE2",
  "needs-conversion S /nonexistent",
  "wait S Open_vSwitch connected",
  "wait S Open_vSwitch added",
  "wait S nosuch removed",
  "wait S Open_vSwitch nosuch",
  "wait S Open_vSwitch",
  "monitor S Open_vSwitch nosuch",
  "monitor S Open_vSwitch Bridge nosuch",
  "monitor S Open_vSwitch Bridge name,name",
  "monitor S Open_vSwitch Bridge name name",
  "monitor S Open_vSwitch",
  "monitor-cond S Open_vSwitch '[]'",
  "monitor-cond S Open_vSwitch '[]' nosuch",
  "monitor-cond S Open_vSwitch 'x' Bridge",
  `monitor-cond S Open_vSwitch '[["x","==",1]]' Bridge`,
  `monitor-cond S Open_vSwitch '[["name","~",1]]' Bridge`,
  `monitor-cond S Open_vSwitch '[["name","==",1]]' Bridge`,
  "nosuch",
  "nosuch S",
  "",
  "--nosuch list-dbs S",
  "-x list-dbs S",
  "--version",
  "-V",
  "--format=nosuch list-dbs",
  "--data=nosuch list-dbs",
  "-t x list-dbs S",
  "--timeout=5 list-dbs S",
  "list-dbs S --timeout=5",
  "list-dbs unix:/nonexistent",
  "list-dbs tcp:127.0.0.1:1",
  "list-dbs foo:bar",
  "get-schema unix:/nonexistent",
  "lock",
  "restore S < /dev/null",
];

describe.skipIf(missing.length > 0)("ovsdb-client as ovsdb-client", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-ovsdb-client-"));
  const services: DatabaseService[] = [];
  let ours: readonly string[];

  const start = (name: string): string => {
    mkdirSync(join(dir, name));
    const remote = `unix:${dir}/${name}/db.sock`;
    services.push(startDatabaseService({
      dbFile: `${dir}/${name}/conf.sqlite`,
      sockets: [`p${remote}`],
      logger: new LogSink(() => {}).logger("db"),
    }));
    return remote;
  };
  const vsctl = (remote: string, ...args: string[]) =>
    must(["ovs-vsctl", `--db=${remote}`, "--no-wait", ...args]);

  let server: string;
  beforeAll(async () => {
    ours = [...solovsCommand(), "ovsdb-client"];
    server = start("server");
    for (let i = 0; i < 5; i++) await vsctl(server, "add-br", `br${i}`);
    const ports = Array.from({ length: 12 }, (_, i) => ["--", "add-port", `br${i % 5}`, `p${i}`]);
    await vsctl(server, ...ports.flat());
    await vsctl(server, "set-controller", "br1", "tcp:1.2.3.4", "ssl:5.6.7.8");
    await vsctl(server, "set", "bridge", "br1", 'external-ids:x="a, b & <c>"', "flood_vlans=1,2");
    const schema = schemaToJson(parseSchema(openVSwitchSchema));
    writeFileSync(join(dir, "schema"), JSON.stringify(schema));
    writeFileSync(join(dir, "schema2"), JSON.stringify({ ...schema, version: "8.4.0" }));
  });
  afterAll(() => {
    for (const service of services) service.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const argv = (command: readonly string[], remote: string, line: string): string[] => [
    ...command,
    ...words(line).map((word) =>
      word === "S"
        ? remote
        : word === "FILE"
        ? join(dir, "schema")
        : word === "FILE2"
        ? join(dir, "schema2")
        : word
    ),
  ];

  /** Times, and the UUID of a row that is only inserted for a moment. */
  const clean = (result: Result): Result => ({
    ...result,
    stdout: result.stdout.replace(/(?<=^\[\{"uuid":\["uuid",")[0-9a-f-]{36}/, "UUID"),
    stderr: result.stderr.replace(/^\d{4}-\d\d-\d\dT[\d:]*Z\|/gm, "TIME|"),
  });

  for (const line of READING) {
    test(line === "" ? "(nothing)" : line, async () => {
      const env = { OVS_RUNDIR: join(dir, "server") };
      const [expected, got] = await Promise.all(
        [["ovsdb-client"], ours].map(async (command) =>
          clean(await run(argv(command, server, line), { env, timeoutMs: 10_000 }))
        ),
      );
      expect(got).toEqual(expected!);
    }, 15_000);
  }

  /** Follows with both, does things, and compares what they printed. */
  const follow = async (line: string, things: readonly string[][], settle: RegExp) => {
    const remote = start(`follow${services.length}`);
    await vsctl(remote, "add-br", "br0");
    const both = [["ovsdb-client"], ours].map((command) =>
      new Background(argv(command, remote, line))
    );
    try {
      await eventually("both have begun", () => both.every(({ log }) => log !== ""));
      for (const args of things) await vsctl(remote, ...args);
      await eventually("both have seen all", () => both.every(({ log }) => settle.test(log)));
      const logs = () => both.map(({ log }) => log.replace(/\d\d:\d\d:\d\d\.\d+/g, "TIME"));
      // The last update may have come in part.
      for (let i = 0; i < 40 && (i < 4 || logs()[0] !== logs()[1]); i++) await Bun.sleep(25);
      const [expected, got] = logs();
      expect(got).toBe(expected!);
    } finally {
      for (const program of both) await program.stop();
    }
  };

  const THINGS = [
    ["add-br", "br1"],
    ["set", "bridge", "br0", "external-ids:a=b", "flood_vlans=5,6"],
    ["set", "bridge", "br0", "flood_vlans=6"],
    ["del-br", "br0"],
    ["add-br", "last"],
  ];
  for (
    const line of [
      "monitor S Open_vSwitch Bridge name,external_ids,flood_vlans",
      "monitor S Bridge name !initial,flood_vlans,!modify",
      "-f csv monitor S Open_vSwitch Bridge name",
      "-f json monitor S Open_vSwitch Bridge name",
      "--timestamp -f list monitor S Open_vSwitch Bridge name",
      "--no-db-change-aware monitor S Open_vSwitch Bridge name",
      "monitor S Open_vSwitch ALL",
      "monitor-cond S Open_vSwitch '[]' Bridge name,external_ids,flood_vlans",
      `monitor-cond S Open_vSwitch '[["name","!=","br1"]]' Bridge name,flood_vlans`,
      "monitor-cond S '[true]' Bridge name",
      "monitor-cond-since S Open_vSwitch '[]' Bridge name,external_ids",
      "monitor-cond-since S Open_vSwitch 00000000-0000-0000-0000-000000000001 '[]' Bridge name",
    ]
  ) test(`follow: ${line}`, () => follow(line, THINGS, /last/), 20_000);

  test("locks", async () => {
    const logs: string[] = [];
    for (const command of [["ovsdb-client"], ours]) {
      const remote = start(`lock${services.length}`);
      const follow = (line: string) => new Background(argv(command, remote, line));
      const holder = follow("lock S main");
      await eventually("the first holds it", () => holder.log.includes("true"));
      const waiter = follow("lock S main");
      await eventually("the second waits", () => waiter.log.includes("false"));
      const thief = follow("steal S main");
      await eventually("the thief has it", () => thief.log.includes("true"));
      await eventually("the first has lost it", () => holder.log.includes("stolen"));
      await thief.stop();
      await eventually("the first has it again", () => holder.log.includes("\nlocked\n"));
      logs.push(
        [holder, waiter, thief].map(({ log }) => log.replace(/\d{4}-\d\d-\d\dT[\d:]*Z/, "TIME"))
          .join("|"),
      );
      for (const program of [holder, waiter]) await program.stop();
    }
    expect(logs[1]).toBe(logs[0]!);
  }, 20_000);

  test("backup, restore, convert", async () => {
    const target = start("target");
    const backups: string[] = [];
    for (const [i, command] of [["ovsdb-client"], [...ours]].entries()) {
      const file = join(dir, `backup${i}`);
      writeFileSync(file, await must(argv(command, server, "backup S")));
      backups.push(readFileSync(file, "utf8"));
    }
    const dump = (remote: string) => must(["ovsdb-client", "dump", remote, "Open_vSwitch"]);
    const withoutUuids = (text: string) => text.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "UUID");
    // Each one's backup, restored by the other.
    for (
      const [backup, command] of [[backups[1]!, ["ovsdb-client"]], [backups[0]!, ours]] as const
    ) {
      await vsctl(target, "add-br", "goes");
      const result = await run(argv(command, target, "restore S"), { stdin: backup });
      expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(withoutUuids(await dump(target)).split("\n").sort())
        .toEqual(withoutUuids(await dump(server)).split("\n").sort());
    }
    expect(await must(argv(ours, target, "needs-conversion S FILE2"))).toBe("yes\n");
    await must(argv(ours, target, "convert S FILE2"));
    expect(await must(argv(ours, target, "needs-conversion S FILE2"))).toBe("no\n");
    expect(await must(argv(ours, target, "get-schema-version S"))).toBe("8.4.0\n");
    const refused = await Promise.all(
      [["ovsdb-client"], ours].map((command) =>
        run(argv(command, target, "restore S"), { stdin: backups[0]! })
      ),
    );
    expect(refused[1]).toEqual(refused[0]!);
    expect(refused[1]!.code).toBe(1);
    await must(argv(ours, target, "--force restore S"), { stdin: backups[0]! });
  }, 30_000);

  test("transact changes data", async () => {
    const insert = JSON.stringify([
      "Open_vSwitch",
      { op: "insert", table: "QoS", row: { type: "made" }, "uuid-name": "q" },
      { op: "select", table: "QoS", where: [], columns: ["type"] },
    ]);
    const result = JSON.parse(await must([...ours, "transact", start("transact"), insert]));
    expect(result[1]).toEqual({ rows: [{ type: "made" }] });
  });

  test("the server goes away", async () => {
    const remote = start("going");
    const service = services.at(-1)!;
    await vsctl(remote, "add-br", "br0");
    const both = [["ovsdb-client"], ours].map((command) =>
      new Background(argv(command, remote, "monitor S Open_vSwitch Bridge name"))
    );
    await eventually("both have begun", () => both.every(({ log }) => log !== ""));
    service.close();
    const codes = await Promise.all(both.map((program) => program.ended(5000)));
    expect(codes).toEqual([1, 1]);
    expect(both[1]!.log).toBe(both[0]!.log);
  }, 15_000);

  test("in the background, told what to do by ovs-appctl", async () => {
    const remote = start("detached");
    await vsctl(remote, "add-br", "br0");
    const outputs: string[] = [];
    for (const [i, command] of [["ovsdb-client"], [...ours]].entries()) {
      const [pidFile, out] = [join(dir, `detached${i}.pid`), join(dir, `detached${i}.out`)];
      const env = { ...process.env, OVS_RUNDIR: dir };
      const line =
        `--detach --no-chdir --pidfile=${pidFile} monitor-cond S Open_vSwitch [] Bridge name`;
      const started = Bun.spawn(argv(command, remote, line), {
        env,
        stdin: "ignore",
        stdout: Bun.file(out),
        stderr: Bun.file(out),
        timeout: 10_000,
      });
      expect(await started.exited).toBe(0);
      const pid = readFileSync(pidFile, "utf8").trim();
      const control = async (...words: string[]) => {
        const result = await run(["ovs-appctl", "-t", `${dir}/ovsdb-client.${pid}.ctl`, ...words]);
        outputs[i] = `${outputs[i] ?? ""}${result.stdout}${result.stderr}`;
        expect(result.code).toBe(0);
      };
      const seen = () => readFileSync(out, "utf8");
      await control("ovsdb-client/block");
      await control("ovsdb-client/block");
      await vsctl(remote, "add-br", "later");
      await Bun.sleep(100);
      expect(seen()).not.toContain("later");
      await control("ovsdb-client/unblock");
      await eventually("the update is there", () => seen().includes("later"));
      await control("ovsdb-client/cond_change", "Bridge", '[["name","==","br0"]]');
      await eventually("the row is gone", () => seen().includes("delete"));
      await control("exit");
      await eventually("it has ended", () => !existsSync(pidFile));
      outputs[i] += seen().replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "UUID");
      await vsctl(remote, "del-br", "later");
    }
    expect(outputs[1]).toBe(outputs[0]!);
  }, 30_000);

  test("called through a link named ovsdb-client", async () => {
    const [program, ...args] = solovsCommand();
    if (args.length > 0 || program === undefined) return;
    const link = join(dir, "ovsdb-client");
    symlinkSync(program, link);
    expect(await must([link, "list-dbs", server])).toBe("Open_vSwitch\n_Server\n");
  });
});
