/**
 * The database server against stock `ovsdb-server`: the same long script of stock clients' commands
 * on both (without a switch, so `--no-wait`), and the same output expected byte for byte, with UUIDs
 * numbered in the order in which they appear.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";
import { OVSDB_CLIENT, VSCTL } from "./db-stock-script.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const stockTools = ["ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovs-vsctl"];
const missing = stockTools.filter((tool) => Bun.which(tool) === null);

/** Numbers UUIDs in order of appearance; hides what differs by its nature. */
function normalise(text: string): string {
  const numbers = new Map<string, number>();
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (uuid) => {
      if (!numbers.has(uuid)) numbers.set(uuid, numbers.size);
      return `<${numbers.get(uuid)}>`;
    })
    .replace(/_(<\d+>|[0-9a-f]{8}(_[0-9a-f]{4}){3}_[0-9a-f]{12})/g, "_<row>")
    .replace(/\S+\/db\.sock/g, "SOCK")
    .replace(/^\d{4}-\d\d-\d\dT[^|]*\|\d+\|/gm, "")
    .replace(/timed out after \d+ ms/g, "timed out after N ms");
}

/** JSON with members in order, so that the order of hash tables does not show. */
function sortJson(output: string): string {
  const [text = "", ...rest] = output.split("\n");
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(sorted)
      : typeof value === "object" && value !== null
      ? Object.fromEntries(
        Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => [k, sorted(v)]),
      )
      : value;
  try {
    return [JSON.stringify(sorted(JSON.parse(text)), undefined, 1), ...rest].join("\n");
  } catch {
    return output;
  }
}

const sortLines = (output: string): string => output.split("\n").sort().join("\n");

/** Words, where double quotes keep spaces together and are kept themselves. */
const words = (line: string): string[] =>
  (line.match(/(?:\\.|"(?:\\.|[^"\\])*"|[^\s"\\])+/g) ?? []).map((word) =>
    word.replace(/^'|'$/g, "")
  );

describe.skipIf(missing.length > 0)("the same script on stock ovsdb-server and on ours", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-stock-"));
  const log: string[] = [];
  let service: DatabaseService;
  let stock: Background;
  const sockets = { ours: `${dir}/ours/db.sock`, stock: `${dir}/stock/db.sock` };

  beforeAll(async () => {
    await must(["mkdir", `${dir}/ours`, `${dir}/stock`]);
    service = startDatabaseService({
      dbFile: `${dir}/ours/conf.sqlite`,
      sockets: [`punix:${sockets.ours}`],
      // The script names managers; nobody is to be called up.
      followManagers: false,
      logger: new LogSink((line) => log.push(line)).logger("db"),
    });
    await must(["ovsdb-tool", "create", `${dir}/stock/conf.db`, SCHEMA]);
    stock = new Background([
      "ovsdb-server",
      `${dir}/stock/conf.db`,
      `--remote=punix:${sockets.stock}`,
      `--unixctl=${dir}/stock/ctl`,
    ]);
    await eventually(
      "stock server answers",
      async () => (await run(["ovsdb-client", "list-dbs", `unix:${sockets.stock}`])).code === 0,
    );
    await must(["ovs-vsctl", `--db=unix:${sockets.stock}`, "--no-wait", "init"]);
  });

  afterAll(async () => {
    service.close();
    await stock.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** `order` undoes what only reflects the order of a client's hash tables. */
  const both = async (
    argv: (socket: string) => readonly string[],
    order: (output: string) => string = (output) => output,
  ) => {
    const [ours, theirs] = await Promise.all(
      [sockets.ours, sockets.stock].map(async (socket) => {
        const { code, stdout, stderr } = await run(argv(`unix:${socket}`), {
          env: { OVS_RUNDIR: dir },
        });
        return order(normalise(`${stdout}\n${stderr}\nexit ${code}`));
      }),
    );
    expect(ours).toBe(theirs);
  };

  VSCTL.forEach((line, i) => {
    test(`${i}: ovs-vsctl ${line}`, async () => {
      await both(
        (socket) => ["ovs-vsctl", `--db=${socket}`, "--no-wait", "-t5", ...words(line)],
        line === "show" ? sortLines : undefined,
      );
    });
  });

  OVSDB_CLIENT.forEach(([command = "", ...args], i) => {
    test(`${i}: ovsdb-client ${command} ${args.join(" ")}`.slice(0, 150), async () => {
      await both(
        (socket) => ["ovsdb-client", "--timeout=5", command, socket, ...args],
        command === "transact" || command === "query"
          ? sortJson
          : command === "list-columns"
          ? sortLines
          : undefined,
      );
    });
  });

  test("get-schema is the same, byte for byte once sorted", async () => {
    await both((socket) => ["ovsdb-client", "get-schema", socket], sortJson);
    await both((socket) => ["ovsdb-client", "get-schema", socket, "_Server"], sortJson);
  });

  /** Starts a monitor on both, runs commands on both, and compares what the monitors printed. */
  const monitors = (args: readonly string[], commands: readonly string[]) => async () => {
    const outputs = await Promise.all([sockets.ours, sockets.stock].map(async (socket) => {
      const [verb = "", ...rest] = args;
      const monitor = new Background(["ovsdb-client", verb, `unix:${socket}`, ...rest]);
      try {
        await eventually("initial content", () => monitor.log.length > 0);
        for (const command of commands) {
          const before = monitor.log.length;
          await must(["ovs-vsctl", `--db=unix:${socket}`, "--no-wait", ...words(command)]);
          await eventually(`output for ${command}`, () => monitor.log.length > before);
        }
        await eventually("a whole line", () => monitor.log.endsWith("\n"));
        return normalise(monitor.log);
      } finally {
        monitor.killNow();
      }
    }));
    expect(outputs[0]).toBe(outputs[1] as string);
    expect(outputs[0]).not.toBe("");
  };

  const edits = [
    "set open_vswitch . external_ids:m=1 next_cfg=1",
    "set open_vswitch . external_ids:m=2",
    "remove open_vswitch . external_ids m",
    "set open_vswitch . ovs_version=1.2.3",
    "clear open_vswitch . ovs_version",
    "set open_vswitch . external_ids:big=9 next_cfg=9007199254740993",
  ];
  const columns = "external_ids,next_cfg,ovs_version";

  test("monitor", monitors(["monitor", "Open_vSwitch", "Open_vSwitch", columns], edits));
  test(
    "monitor, as CSV",
    monitors(["monitor", "--format=csv", "Open_vSwitch", "Open_vSwitch", columns], edits),
  );
  test(
    "monitor without initial and insert",
    monitors(["monitor", "Open_vSwitch", "Open_vSwitch", `${columns},!initial`].slice(0, 3), edits),
  );
  test(
    "monitor-cond",
    monitors(
      ["monitor-cond", "Open_vSwitch", '[["next_cfg",">",-5]]', "Open_vSwitch", columns],
      edits,
    ),
  );

  test("nothing went wrong in the server on the way", () => {
    expect(log.filter((line) => /\|(ERR|EMER|WARN)\|/.test(line))).toEqual([]);
  });
});
