/**
 * Every `ovs-vsctl` command: exit code, output and error text equal to those against stock Open
 * vSwitch; the command returns at once; and the switch fills the status columns that Open vSwitch
 * fills.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import type { Result } from "../support/exec.ts";
import { normalise, Pair } from "../support/pair.ts";
import { describePrivileged } from "../support/privileged.ts";
import { STOCK_TOOLS } from "../support/stock.ts";
import { SWITCH_TOOLS } from "../support/switch.ts";

/** Commands in order, each seen against both; what one changes, the next sees. */
const COMMANDS: readonly string[] = [
  "init",
  "br-exists br0",
  "br-exists nosuch",
  "list-br",
  "list-ports br0",
  "list-ifaces br0",
  "add-br br0",
  "--may-exist add-br br0",
  "del-br nosuch",
  "--if-exists del-br nosuch",
  "add-port br0 p1",
  "--may-exist add-port br0 p1",
  "add-port nosuch p9",
  "port-to-br p1",
  "iface-to-br p2",
  "port-to-br nosuch",
  "br-to-vlan br0",
  "br-to-parent br0",
  "br-set-external-id br0 a 1",
  "br-get-external-id br0",
  "br-get-external-id br0 a",
  // Fake bridges.
  "add-br fake20 br0 20",
  "list-br",
  "--fake list-br",
  "--real list-br",
  "br-to-vlan fake20",
  "br-to-parent fake20",
  "add-port fake20 f1 -- set interface f1 type=internal",
  "list-ports fake20",
  "list-ports br0",
  "get port f1 tag",
  "br-set-external-id fake20 b 2",
  "br-get-external-id fake20",
  "del-port fake20 f1",
  "del-br fake20",
  "list-br",
  // Database commands.
  "get bridge br0 name fail_mode",
  "get bridge br0 nosuchcolumn",
  "get bridge nosuch name",
  "--if-exists get bridge nosuch name",
  "set bridge br0 external-ids:x=1 external-ids:y=2",
  "get bridge br0 external_ids",
  "get bridge br0 external_ids:nosuch",
  "--if-exists get bridge br0 external_ids:nosuch",
  "add bridge br0 external_ids z=3",
  "remove bridge br0 external_ids x",
  "get bridge br0 external_ids",
  "clear bridge br0 external_ids",
  "get bridge br0 external_ids",
  "set bridge br0 fail_mode=sideways",
  "set bridge br0 nosuchcolumn=1",
  "set interface p1 ofport_request=99999999",
  "set interface p1 ofport_request=abc",
  "set bridge br0 protocols=OpenFlow99",
  "set port p1 tag=4096",
  "set port p1 tag=12",
  "get port p1 tag",
  "clear port p1 tag",
  "--columns=name,tag find port tag=[]",
  "--columns=name list port p1",
  "--format=json --columns=name,external_ids list bridge",
  "--format=csv --columns=name list port",
  "find nosuchtable",
  "list nosuchtable",
  "comment this is a comment",
  "wait-until bridge br0",
  // Controllers, managers, fail modes.
  "set-controller br0 tcp:127.0.0.1:6699 ptcp:6698:127.0.0.1",
  "get-controller br0",
  "del-controller br0",
  "get-controller br0",
  "set-fail-mode br0 secure",
  "get-fail-mode br0",
  "set-fail-mode br0 maybe",
  "del-fail-mode br0",
  "set-manager ptcp:6640:127.0.0.1",
  "get-manager",
  "del-manager",
  "get-ssl",
  "del-ssl",
  // Several commands in one transaction; all or nothing.
  "add-port br0 in5 -- set interface in5 type=internal -- set port in5 tag=5",
  "get port in5 tag -- get interface in5 type",
  "set bridge br0 external-ids:half=1 -- get bridge nosuch name",
  "get bridge br0 external_ids",
  "-- --id=@m create mirror name=m0 -- set bridge br0 mirrors=@m",
  "get mirror m0 name",
  "clear bridge br0 mirrors",
  "-- --id=@q create queue other-config:max-rate=1000 -- --id=@qos create qos type=linux-noop" +
  " queues:0=@q -- set port p1 qos=@qos",
  "clear port p1 qos",
  "-- destroy qos nosuch",
  "--if-exists del-port nosuch",
  "del-port nosuch",
  "del-port br0 in5",
  "list-ports br0",
  // Bad command lines.
  "nosuchcommand",
  "add-br",
  "add-port br0",
  "--nosuchoption show",
  "emer-reset",
];

function clean(result: Result): Result {
  const text = (from: string) =>
    normalise(from).replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "UUID");
  // Rows of a table come in no particular order.
  const stdout = text(result.stdout).split("\n").sort().join("\n");
  return { code: result.code, stdout, stderr: text(result.stderr) };
}

/** Filled by solovs; by Open vSwitch only when its start scripts do it. */
const OUR_OWN = ["ovs_version", "db_version", "system_type", "system_version"];

describePrivileged("ovs-vsctl", [...SWITCH_TOOLS, ...STOCK_TOOLS], () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create();
  }, 40_000);
  afterAll(async () => {
    await pair?.dispose();
  }, 30_000);

  describe("fills the status columns that Open vSwitch fills", () => {
    type Row = Record<string, unknown>;

    const rows = async (table: string): Promise<{ ours: Row[]; theirs: Row[] }> => {
      const { ours, theirs } = await pair.vsctl(`--format=json list ${table}`);
      const parse = (result: Result): Row[] => {
        const { headings, data } = JSON.parse(result.stdout) as {
          headings: string[];
          data: unknown[][];
        };
        return data.map((row) => Object.fromEntries(headings.map((h, i) => [h, row[i]])));
      };
      return { ours: parse(ours), theirs: parse(theirs) };
    };
    const empty = (value: unknown) =>
      JSON.stringify(value) === '["set",[]]' || value === "" ||
      JSON.stringify(value) === '["map",[]]';
    const filled = (row: Row) =>
      Object.keys(row).filter((name) => !empty(row[name]) && !OUR_OWN.includes(name)).sort();
    const byName = (list: Row[], name: string) => list.find((row) => row.name === name)!;
    const keys = (value: unknown) => (value as [string, [string, unknown][]])[1].map(([k]) => k);

    test("Open_vSwitch", async () => {
      const { ours, theirs } = await rows("Open_vSwitch");
      expect(filled(ours[0]!)).toEqual(filled(theirs[0]!));
      expect(ours[0]!.cur_cfg).toBe(ours[0]!.next_cfg);
      for (const type of ["system", "internal", "patch"]) {
        expect((ours[0]!.iface_types as [string, string[]])[1]).toContain(type);
      }
    }, 20_000);

    test("Bridge", async () => {
      const { ours, theirs } = await rows("Bridge");
      const type = (list: string[]) => list.filter((name) => name !== "datapath_type");
      expect(type(filled(ours[0]!))).toEqual(type(filled(theirs[0]!)));
      expect(ours[0]!.datapath_id).toBe(theirs[0]!.datapath_id);
    }, 20_000);

    test("Port", async () => {
      const { ours, theirs } = await rows("Port");
      for (const name of ["br0", "p1", "p2"]) {
        expect(filled(byName(ours, name))).toEqual(filled(byName(theirs, name)));
      }
    }, 20_000);

    for (const name of ["br0", "p1"]) {
      test(`Interface ${name}`, async () => {
        await eventually(
          "statistics are written",
          async () => !empty(byName((await rows("Interface")).ours, name).statistics),
          { timeoutMs: 8000 },
        );
        const { ours, theirs } = await rows("Interface");
        const [a, b] = [byName(ours, name), byName(theirs, name)];
        expect(filled(a)).toEqual(filled(b));
        const values = ["admin_state", "link_state", "mac_in_use", "mtu", "ofport", "duplex"];
        for (const column of [...values, "link_speed", "type", "ingress_policing_rate"]) {
          expect({ column, value: a[column] }).toEqual({ column, value: b[column] });
        }
        expect(keys(a.status)).toEqual(keys(b.status));
        const missing = keys(b.statistics).filter((key) => !keys(a.statistics).includes(key));
        expect(missing).toEqual([]);
      }, 20_000);
    }

    test("a missing device", async () => {
      await pair.vsctl("add-port br0 gone0");
      const { ours, theirs } = await rows("Interface");
      const [a, b] = [byName(ours, "gone0"), byName(theirs, "gone0")];
      expect(filled(a)).toEqual(filled(b));
      expect(a.error).toBe(b.error as string);
      expect(a.ofport).toBe(-1);
      await pair.vsctl("del-port br0 gone0");
    }, 20_000);

    test("admin_state and link_state follow the device", async () => {
      await pair.each((sw) => sw.ns.ip("link set p2 down"));
      await eventually("p2 is down in the database", async () => {
        const row = byName((await rows("Interface")).ours, "p2");
        return row.admin_state === "down" && row.link_state === "down";
      });
      await pair.each((sw) => sw.ns.ip("link set p2 up"));
      await eventually("p2 is up again", async () => {
        const row = byName((await rows("Interface")).ours, "p2");
        return row.admin_state === "up" && row.link_state === "up";
      });
    }, 20_000);
  });

  for (const [index, command] of COMMANDS.entries()) {
    test(`${index + 1}. ${command}`, async () => {
      const { ours, theirs } = await pair.vsctl(command);
      expect(clean(ours)).toEqual(clean(theirs));
    }, 20_000);
  }

  test("show", async () => {
    const { ours, theirs } = await pair.vsctl("show");
    const lines = (result: Result) =>
      clean(result).stdout.split("\n").filter((line) => !/datapath_type|ovs_version/.test(line));
    expect(lines(ours)).toEqual(lines(theirs));
  }, 20_000);

  test("a bridge name that cannot be says so", async () => {
    const { ours, theirs } = await pair.vsctl("add-br br/x");
    for (const result of [ours, theirs]) {
      expect(result.stderr).toContain("Error detected while setting up 'br/x'");
    }
    await pair.vsctl("del-br br/x");
  }, 20_000);

  test("wait-until ends when what it waits for comes", async () => {
    const sw = pair.ours;
    const waiting = sw.clients.tryVsctl("--timeout=8 wait-until bridge later");
    await Bun.sleep(200);
    await sw.addBridge("later");
    expect((await waiting).code).toBe(0);
    await sw.clients.vsctl("del-br later");
    const never = await sw.clients.tryVsctl("--timeout=1 wait-until bridge never");
    expect(never.code).not.toBe(0);
  }, 20_000);

  test("it does not wait for long: thirty changes, each waited for", async () => {
    const started = performance.now();
    for (let i = 0; i < 30; i++) {
      await pair.ours.clients.vsctl("--timeout=3", "set", "bridge", "br0", `external-ids:n=${i}`);
    }
    // Not a measurement: a switch that misses the wake-up would take seconds for each.
    expect(performance.now() - started).toBeLessThan(15_000);
  }, 40_000);
});
