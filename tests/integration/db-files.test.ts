/**
 * Moving over and back: a database file that `ovsdb-tool` made and stock `ovsdb-server` filled is
 * served by ours, changed, and served by stock `ovsdb-server` again. And other schemas than
 * Open_vSwitch's, converted online by `ovsdb-client convert`.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openVSwitchSchema } from "../../src/db/schema/openvswitch.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const missing = ["ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovs-vsctl"].filter((tool) =>
  Bun.which(tool) === null
);

describe.skipIf(missing.length > 0)("database files and schemas", () => {
  let dir: string;
  let socket: string;
  const log: string[] = [];
  const logger = new LogSink((line) => log.push(line)).logger("db");

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-db-files-"));
    socket = `${dir}/db.sock`;
    log.length = 0;
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const vsctl = (...args: string[]) =>
    must(["ovs-vsctl", `--db=unix:${socket}`, "--no-wait", ...args], { env: { OVS_RUNDIR: dir } });
  const ovsdbClient = (command: string, ...args: string[]) =>
    must(["ovsdb-client", command, `unix:${socket}`, ...args]);

  async function withStock<T>(file: string, use: () => Promise<T>): Promise<T> {
    const argv = ["ovsdb-server", file, `--remote=punix:${socket}`, `--unixctl=${dir}/ctl`];
    const server = new Background(argv);
    try {
      await eventually(
        "stock server answers",
        async () => (await run(["ovsdb-client", "list-dbs", `unix:${socket}`])).code === 0,
      );
      return await use();
    } finally {
      await server.stop();
    }
  }

  async function withOurs<T>(
    options: Omit<Parameters<typeof startDatabaseService>[0], "sockets" | "logger">,
    use: (service: DatabaseService) => Promise<T>,
  ): Promise<T> {
    const service = startDatabaseService({ ...options, sockets: [`punix:${socket}`], logger });
    try {
      return await use(service);
    } finally {
      service.close();
    }
  }

  const dump = () => ovsdbClient("dump", "Open_vSwitch");

  test("stock → ours → stock, on one file", async () => {
    const file = `${dir}/conf.db`;
    await must(["ovsdb-tool", "create", file, SCHEMA]);
    const filled = await withStock(file, async () => {
      await vsctl("init", "--", "add-br", "br0", "--", "add-port", "br0", "p0", "tag=5");
      await vsctl("set", "bridge", "br0", "other_config:a=1", "other_config:b=2");
      await vsctl("remove", "bridge", "br0", "other_config", "a");
      await vsctl("add", "port", "p0", "trunks", "3", "4");
      await vsctl("add-br", "br1", "--", "del-br", "br1");
      await vsctl("add-br", "br2");
      await vsctl("del-br", "br2");
      return await dump();
    });
    const changed = await withOurs({ dbFile: file }, async () => {
      expect(await dump()).toBe(filled);
      await vsctl("add-br", "br3", "--", "set", "bridge", "br3", "other_config:c=3");
      await vsctl("clear", "bridge", "br0", "other_config");
      await vsctl("remove", "port", "p0", "trunks", "3");
      await vsctl("set", "interface", "p0", "mtu_request=1400", "mtu=1400");
      await vsctl("del-port", "br0", "br0").catch(() => {});
      return await dump();
    });
    expect(changed).toContain("br3");
    const ephemeral = (text: string) => text.replace(/^.*$/gm, (line) => line.replace(/ +/g, " "));
    await withStock(file, async () => {
      // What is ephemeral is gone with the restart, as it should be.
      await vsctl("set", "interface", "p0", "mtu=1400");
      expect(ephemeral(await dump())).toBe(ephemeral(changed));
      await vsctl("del-br", "br3");
    });
    expect(await must(["ovsdb-tool", "show-log", file])).toContain("ovs-vsctl");
    await withOurs({ dbFile: file }, async () => {
      expect(await vsctl("list-br")).toBe("br0\n");
    });
    expect(log.filter((line) => /\|(ERR|WARN)\|/.test(line))).toEqual([]);
  });

  test("a new file of Open vSwitch's kind is one that ovsdb-tool reads", async () => {
    const file = `${dir}/new.db`;
    await withOurs({ dbFile: file, kindOfNewFile: "ovsdb-file" }, () => vsctl("add-br", "br0"));
    expect(await must(["ovsdb-tool", "db-name", file])).toBe("Open_vSwitch\n");
    expect(await must(["ovsdb-tool", "db-cksum", file])).toBe(`${openVSwitchSchema.cksum}\n`);
    const select =
      '["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]';
    expect(await must(["ovsdb-tool", "query", file, select])).toContain('"br0"');
  });

  /** A dump without what a restored row has anew. */
  const content = async (): Promise<string> =>
    (await dump()).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>");

  test("ovsdb-client backup of ours is a file that stock serves, and restore brings it back", async () => {
    const backup = `${dir}/backup.db`;
    await withOurs({ dbFile: `${dir}/conf.sqlite` }, async () => {
      await vsctl("add-br", "br0", "--", "set", "bridge", "br0", "external-ids:x=y");
      const before = await content();
      writeFileSync(backup, await ovsdbClient("backup"));
      await vsctl("del-br", "br0", "--", "add-br", "other");
      const restore = await run(["ovsdb-client", "restore", `unix:${socket}`], {
        stdin: readFileSync(backup, "utf8"),
      });
      expect(restore).toMatchObject({ code: 0, stderr: "" });
      expect(await content()).toBe(before);
    });
    await withStock(backup, async () => {
      expect(await vsctl("list-br")).toBe("br0\n");
    });
  });

  test("another schema, converted online; watching clients learn of it", async () => {
    const tables = (extra: object) => ({
      Book: { columns: { title: { type: "string" }, ...extra }, isRoot: true },
    });
    const schema = { name: "library", version: "1.0.0", tables: tables({}) };
    const next = {
      ...schema,
      version: "1.1.0",
      tables: tables({ pages: { type: { key: "integer", min: 0, max: 1 } } }),
    };
    writeFileSync(`${dir}/next.ovsschema`, JSON.stringify(next));
    await withOurs({ dbFile: `${dir}/library.sqlite`, schema }, async () => {
      const insert = { op: "insert", table: "Book", row: { title: "a" } };
      await ovsdbClient("transact", JSON.stringify(["library", insert]));
      expect(await ovsdbClient("needs-conversion", `${dir}/next.ovsschema`)).toBe("yes\n");
      const monitor = new Background([
        "ovsdb-client",
        "monitor",
        `unix:${socket}`,
        "library",
        "Book",
      ]);
      await eventually("it monitors", () => monitor.log.includes("initial"));
      await ovsdbClient("convert", `${dir}/next.ovsschema`);
      await eventually("the monitor ends", () => monitor.exitCode !== undefined);
      expect(await ovsdbClient("needs-conversion", `${dir}/next.ovsschema`)).toBe("no\n");
      expect(await ovsdbClient("dump", "library", "Book", "title", "pages")).toContain("[]    a");
    });
    // An older file is brought to the newer schema when it is opened; a newer one stays.
    const later = { ...next, version: "1.2.0", tables: tables({ year: { type: "integer" } }) };
    for (const given of [later, schema]) {
      await withOurs({ dbFile: `${dir}/library.sqlite`, schema: given }, async () => {
        expect(await ovsdbClient("get-schema-version", "library")).toBe("1.2.0\n");
        expect(await ovsdbClient("dump", "library", "Book", "title", "year")).toContain("a     0");
      });
    }
  });

  const vtep = "/usr/share/openvswitch/vtep.ovsschema";
  const ovn = ["/usr/share/ovn/ovn-nb.ovsschema", "/usr/share/ovn/ovn-sb.ovsschema"];
  for (const path of [vtep, ...ovn]) {
    test.skipIf(!existsSync(path))(`${path} is served as it is`, async () => {
      const schema = JSON.parse(readFileSync(path, "utf8"));
      await withOurs({ dbFile: `${dir}/any.sqlite`, schema }, async () => {
        expect(await ovsdbClient("needs-conversion", path)).toBe("no\n");
      });
    });
  }
});
