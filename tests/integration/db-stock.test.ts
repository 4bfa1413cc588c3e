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

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const stockTools = ["ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovs-vsctl"];
const missing = stockTools.filter((tool) => Bun.which(tool) === null);

/** `ovs-vsctl --no-wait` command lines, in order; what one changes, the next sees. */
const VSCTL: readonly string[] = [
  "init",
  "show",
  "list-br",
  "add-br br0",
  "add-br br0",
  "--may-exist add-br br0",
  "br-exists br0",
  "br-exists nope",
  "add-port br0 p0 -- set interface p0 type=internal",
  "add-port br0 p0",
  "--may-exist add-port br0 p0",
  "add-port br0 p1 tag=5 -- set port p1 vlan_mode=access",
  "add-port br0 p2 trunks=1,2,10 -- set interface p2 ofport_request=7",
  "add-bond br0 bond0 e1 e2 lacp=active bond_mode=balance-slb",
  "--may-exist add-bond br0 bond0 e1 e2",
  "list-ports br0",
  "list-ifaces br0",
  "port-to-br p1",
  "iface-to-br e1",
  "port-to-br nope",
  "add-br fake br0 20",
  "add-port fake fp",
  "list-ports fake",
  "list-br",
  "--fake list-br",
  "--real list-br",
  "br-to-vlan fake",
  "br-to-parent fake",
  "br-set-external-id fake k v",
  "br-get-external-id fake k",
  "br-get-external-id fake",
  "br-set-external-id br0 k2 v2",
  "br-get-external-id br0",
  "get bridge br0 name fail_mode external_ids other_config",
  "set bridge br0 fail_mode=secure other_config:a=b other_config:c=d",
  "get bridge br0 other_config:a other_config",
  "get bridge br0 other_config:zz",
  "--if-exists get bridge br0 other_config:zz",
  "get bridge nope name",
  "--if-exists get bridge nope name",
  "set bridge br0 fail_mode=bogus",
  "set bridge br0 protocols=OpenFlow10,OpenFlow13",
  "get bridge br0 protocols",
  "set bridge br0 name=other",
  "set interface p2 ofport_request=70000",
  "set interface p2 mtu_request=0",
  "add bridge br0 other_config e=f",
  "add bridge br0 flood_vlans 1 2 3",
  "add bridge br0 flood_vlans 9999",
  "remove bridge br0 flood_vlans 2",
  "remove bridge br0 other_config a",
  "remove bridge br0 other_config c=nope",
  "get bridge br0 flood_vlans other_config",
  "clear bridge br0 flood_vlans",
  "clear bridge br0 name",
  "get bridge br0 flood_vlans",
  "list bridge br0",
  "list port p1",
  "list interface p2",
  "--columns=name,tag list port p1 p2",
  "--format=csv --columns=name,tag,trunks list port p1 p2",
  "--format=json --columns=name,other_config list bridge",
  "--format=html --columns=name list bridge",
  "--data=bare --no-headings --columns=name,protocols list bridge",
  "--bare --columns=name find port tag=5",
  "--columns=name find bridge fail_mode=secure",
  "--columns=name find interface ofport_request>=7",
  "find interface ofport_request{>=}7 name!=x",
  "--columns=name find bridge other_config:e=f",
  "set-controller br0 tcp:127.0.0.1:6633",
  "get-controller br0",
  "set controller br0 max_backoff=2000 connection_mode=out-of-band",
  "set controller br0 max_backoff=1",
  "get controller br0 target max_backoff connection_mode is_connected role",
  "del-controller br0",
  "get-controller br0",
  "set-fail-mode br0 standalone",
  "get-fail-mode br0",
  "del-fail-mode br0",
  "get-fail-mode br0",
  "set-manager ptcp:6640",
  "get-manager",
  "--inactivity-probe=30000 set-manager tcp:1.2.3.4:5",
  "get-manager",
  "list manager",
  "del-manager",
  "set-ssl /k /c /ca",
  "get-ssl",
  "--bootstrap set-ssl /k2 /c2 /ca2",
  "get-ssl",
  "del-ssl",
  "-- --id=@m create mirror name=m0 select_all=true output_port=@p " +
  "-- --id=@p get port p1 -- set bridge br0 mirrors=@m",
  "get mirror m0 name select_all",
  "--columns=name,select_all,output_vlan list mirror",
  "del-port p1",
  "get mirror m0 output_port",
  "clear bridge br0 mirrors",
  "list mirror",
  "set port p2 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate=1000000 " +
  "queues=0=@q0,1=@q1 -- --id=@q0 create queue other_config:min-rate=1 " +
  "-- --id=@q1 create queue dscp=5",
  "--columns=type,other_config list qos",
  "get port p2 qos",
  "--columns=dscp find queue dscp=5",
  "destroy port p2",
  "clear port p2 qos",
  "--all destroy qos",
  "--all destroy queue",
  "list queue",
  "destroy qos nope",
  "--if-exists destroy qos nope",
  "create bridge name=floating",
  "list-br",
  '--id=@n create netflow targets="1.2.3.4:5" -- set bridge br0 netflow=@n',
  "--columns=targets,active_timeout list netflow",
  "clear netflow br0 targets",
  "clear bridge br0 netflow",
  '--id=@s create sflow targets="1.2.3.4:6343" header=128 sampling=64 -- set bridge br0 sflow=@s',
  "list sflow",
  "add-aa-mapping br0 1000 10",
  "get-aa-mapping br0",
  "del-aa-mapping br0 1000 10",
  "set open_vswitch . external_ids:system-id=abc next_cfg=5",
  "get open_vswitch . external_ids next_cfg cur_cfg",
  "wait-until open_vswitch . next_cfg=5",
  "--timeout=1 wait-until open_vswitch . next_cfg=99",
  "wait-until bridge br0 name=br0",
  "--oneline list-ports br0",
  "--oneline -- list-br -- br-to-vlan fake",
  "--dry-run add-br dry",
  "list-br",
  'set bridge br0 other_config:x="quoted, value" other_config:y="\\""',
  "get bridge br0 other_config",
  'set interface p0 external-ids:attached-mac="52:54:00:D5:5C:AB"',
  "get interface p0 external_ids",
  "set interface p0 statistics:rx=9223372036854775807 statistics:tx=-9223372036854775808",
  "get interface p0 statistics",
  "set interface p0 options:remote_ip=1.2.3.4 options:key=flow",
  "get interface p0 options:remote_ip",
  "nosuchcommand",
  "get nosuchtable x y",
  "get bridge br0 nosuchcolumn",
  "list bridge zz",
  "add-br bra -- add-port bra pa -- add-br brb -- del-br bra -- list-br",
  "add-port br0 dup -- add-port brb dup",
  "del-port brb p0",
  "del-port br0 nope",
  "--if-exists del-port br0 nope",
  "--with-iface del-port br0 e1",
  "del-br fake",
  "del-br nope",
  "--if-exists del-br nope",
  "show",
  "emer-reset",
  "del-br br0",
  "del-br brb",
  "list port",
  "list interface",
  "show",
];

const transact = (...operations: unknown[]): readonly string[] => [
  "transact",
  JSON.stringify(["Open_vSwitch", ...operations]),
];
const insertBridge = (name: string, more: object = {}) => ({
  op: "insert",
  table: "Bridge",
  row: { name, ...more },
});
const comment = { op: "comment", comment: "x" };

/** `ovsdb-client` command lines; the server's address is put behind the first word. */
const OVSDB_CLIENT: readonly (readonly string[])[] = [
  ["list-tables"],
  ["list-columns", "Open_vSwitch", "Bridge"],
  ["get-schema-version"],
  ["get-schema-cksum"],
  transact(insertBridge("a")),
  transact(insertBridge("a", { "uuid-name": "b" })),
  transact({ op: "select", table: "Bridge", where: [] }),
  transact({ op: "select", table: "Open_vSwitch", where: [], columns: ["next_cfg"] }),
  transact({ op: "select", table: "Nope", where: [] }),
  transact({ op: "select", table: "Open_vSwitch", where: [["nope", "==", 1]] }),
  transact({ op: "select", table: "Open_vSwitch", where: [["next_cfg", "~", 1]] }),
  transact({ op: "select", table: "Open_vSwitch", where: [["next_cfg", "==", "x"]] }),
  transact({ op: "select", table: "Bridge", where: [["name", "<", "x"]] }),
  transact({ op: "select", table: "Open_vSwitch", where: [], columns: ["_uuid", "nope"] }),
  transact({ op: "select", table: "Open_vSwitch" }),
  transact({ op: "frobnicate" }),
  transact({ nop: "frobnicate" }),
  transact("x"),
  transact({ op: "comment", comment: 5 }),
  transact({ op: "comment", comment: "x", extra: 1 }),
  transact(comment, { op: "abort" }, comment),
  transact({ op: "assert", lock: "l" }),
  transact({ op: "commit", durable: true }),
  transact({ op: "update", table: "Open_vSwitch", where: [], row: { next_cfg: 7 } }),
  transact({ op: "update", table: "Open_vSwitch", where: [], row: { nope: 7 } }),
  transact({ op: "update", table: "Open_vSwitch", where: [], row: { next_cfg: 1.5 } }),
  transact({ op: "update", table: "Open_vSwitch", where: [], row: { ovs_version: ["set", [1]] } }),
  transact({
    op: "update",
    table: "Open_vSwitch",
    where: [],
    row: { ovs_version: ["set", ["a", "b"]] },
  }),
  transact({
    op: "mutate",
    table: "Open_vSwitch",
    where: [],
    mutations: [["next_cfg", "+=", 3], ["next_cfg", "*=", 2], ["next_cfg", "%=", 7]],
  }),
  transact({ op: "mutate", table: "Open_vSwitch", where: [], mutations: [["next_cfg", "/=", 0]] }),
  transact({ op: "mutate", table: "Open_vSwitch", where: [], mutations: [["next_cfg", "^=", 0]] }),
  transact({
    op: "mutate",
    table: "Open_vSwitch",
    where: [],
    mutations: [["ovs_version", "+=", 1]],
  }),
  transact({
    op: "mutate",
    table: "Open_vSwitch",
    where: [],
    mutations: [["external_ids", "insert", ["map", [["a", "1"], ["b", "2"]]]]],
  }),
  transact({
    op: "mutate",
    table: "Open_vSwitch",
    where: [],
    mutations: [["external_ids", "delete", ["set", ["a"]]]],
  }),
  transact({ op: "select", table: "Open_vSwitch", where: [], columns: ["external_ids"] }),
  transact({ op: "insert", table: "Open_vSwitch", row: {} }),
  transact({ op: "insert", table: "Bridge", row: { name: "r", ports: [["uuid", "x"]] } }),
  transact(
    {
      op: "insert",
      table: "QoS",
      "uuid-name": "q",
      row: { queues: ["map", [[0, ["named-uuid", "w"]]]] },
    },
  ),
  transact({
    op: "insert",
    table: "Port",
    row: { name: "r", interfaces: ["named-uuid", "nosuch"] },
  }),
  transact(
    { op: "insert", table: "Queue", "uuid-name": "w", row: {} },
    { op: "insert", table: "QoS", row: { queues: ["map", [[0, ["named-uuid", "w"]]]] } },
    { op: "delete", table: "Queue", where: [["_uuid", "==", ["named-uuid", "w"]]] },
  ),
  transact({ op: "insert", table: "Interface", "uuid-name": "1x", row: { name: "r" } }),
  transact({ op: "insert", table: "Port", row: { name: "r" } }),
  transact({
    op: "insert",
    table: "Queue",
    uuid: "11111111-1111-4111-8111-111111111111",
    row: { dscp: 64 },
  }),
  transact({
    op: "insert",
    table: "Queue",
    uuid: "11111111-1111-4111-8111-111111111111",
    row: { dscp: 3, external_ids: ["map", [["a", "b"], ["a", "c"]]] },
  }),
  transact({
    op: "insert",
    table: "Queue",
    uuid: "11111111-1111-4111-8111-111111111111",
    row: { dscp: 3 },
  }),
  transact({
    op: "insert",
    table: "Queue",
    uuid: "11111111-1111-4111-8111-111111111111",
    row: { dscp: 3 },
  }),
  transact({ op: "update", table: "Bridge", where: [], row: { name: "x" } }),
  transact({
    op: "wait",
    table: "Queue",
    where: [],
    columns: ["dscp"],
    until: "==",
    rows: [{ dscp: 3 }],
    timeout: 0,
  }),
  transact({
    op: "wait",
    table: "Queue",
    where: [],
    columns: ["dscp"],
    until: "!=",
    rows: [{ dscp: 3 }],
    timeout: 0,
  }),
  transact({ op: "wait", table: "Queue", where: [], until: "=", rows: [], timeout: 0 }),
  transact({ op: "wait", table: "Queue", where: [], until: "==", rows: [], timeout: -1 }),
  ["transact", '["nosuch"]'],
  ["transact", '["_Server",{"op":"delete","table":"Database","where":[]}]'],
  ["transact", "[]"],
  ["query", '["Open_vSwitch",{"op":"select","table":"Queue","where":[],"columns":["dscp"]}]'],
  ["query", '["Open_vSwitch",{"op":"delete","table":"Queue","where":[]}]'],
  ["list-dbs"],
  ["dump", "Open_vSwitch", "Queue", "dscp", "external_ids"],
  ["dump", "Open_vSwitch"],
  ["dump", "_Server", "Database", "name", "model", "connected", "leader", "sid", "cid", "index"],
];

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
