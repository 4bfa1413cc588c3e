/**
 * TLS with the tools that people have: keys made by ovs-pki, stock clients and servers at the other
 * end, in each direction, for the database and for OpenFlow.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectSession } from "../../src/db/rpc/client.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { connectTls } from "../../src/db/tls/connect.ts";
import { Tls } from "../../src/db/tls/tls.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { Background, must, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";

const TOOLS = ["ovs-vsctl", "ovsdb-client", "ovs-pki", "openssl", "ovsdb-server"] as const;
const OPENFLOW_TOOLS = ["ovs-ofctl", "ovs-testcontroller"] as const;
const missing = (tools: readonly string[]): boolean => tools.some((t) => Bun.which(t) === null);

/** A port that was free a moment ago. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

describe.skipIf(missing(TOOLS))("TLS with stock tools", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-tls-"));
  const log: string[] = [];
  const logger = new LogSink((line) => void log.push(line)).logger("tls");
  const SWITCH_CA = `${dir}/pki/switchca/cacert.pem`;
  const CONTROLLER_CA = `${dir}/pki/controllerca/cacert.pem`;
  const background: Background[] = [];
  let service: DatabaseService;

  const own = (name: string): { readonly privateKey: string; readonly certificate: string } => ({
    privateKey: `${dir}/${name}-privkey.pem`,
    certificate: `${dir}/${name}-cert.pem`,
  });
  const options = (name: string, ca: string): string[] => [
    `--private-key=${own(name).privateKey}`,
    `--certificate=${own(name).certificate}`,
    `--ca-cert=${ca}`,
  ];
  const start = (argv: readonly string[]): Background => {
    const started = new Background(argv, { env: { OVS_RUNDIR: dir }, cwd: dir });
    background.push(started);
    return started;
  };
  const vsctl = async (...args: string[]) =>
    (await must(["ovs-vsctl", `--db=unix:${dir}/db.sock`, "--no-wait", ...args])).trim();

  beforeAll(async () => {
    const pki = async (...args: string[]) =>
      await must(["ovs-pki", `--dir=${dir}/pki`, `--log=${dir}/pki.log`, "--force", ...args], {
        cwd: dir,
      });
    await pki("init");
    await pki("req+sign", "sw", "switch");
    await pki("req+sign", "ctl", "controller");
    service = startDatabaseService({
      dbFile: `${dir}/conf.sqlite`,
      sockets: [`punix:${dir}/db.sock`],
      logger,
      statusEveryMs: 50,
    });
    await vsctl("set-ssl", own("sw").privateKey, own("sw").certificate, CONTROLLER_CA);
  }, 60_000);
  afterAll(async () => {
    for (const one of background) await one.stop();
    service?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test("set-ssl, get-ssl, del-ssl", async () => {
    expect(await vsctl("get-ssl")).toBe(
      `Private key: ${own("sw").privateKey}\nCertificate: ${own("sw").certificate}\n` +
        `CA Certificate: ${CONTROLLER_CA}\nBootstrap: false`,
    );
    await vsctl("del-ssl");
    expect(await vsctl("get-ssl")).toBe("");
    await vsctl("set-ssl", own("sw").privateKey, own("sw").certificate, CONTROLLER_CA);
  });

  describe("set-manager pssl:", () => {
    let port: string;
    beforeAll(async () => {
      await vsctl("set-manager", "pssl:0:127.0.0.1");
      const uuid = await vsctl("--bare", "--columns=_uuid", "list", "manager");
      port = await eventually(
        "the port is shown",
        async () => /bound_port="(\d+)"/.exec(await vsctl("get", "manager", uuid, "status"))?.[1],
      );
    });
    afterAll(async () => void await vsctl("del-manager"));

    test("ovs-vsctl and ovsdb-client get in with a certificate, and are named", async () => {
      const ssl = `ssl:127.0.0.1:${port}`;
      const tool = options("ctl", SWITCH_CA);
      await must(["ovs-vsctl", `--db=${ssl}`, "--no-wait", ...tool, "add-br", "by-tls"]);
      expect(await must(["ovs-vsctl", `--db=${ssl}`, ...tool, "list-br"])).toBe("by-tls\n");
      expect(await must(["ovsdb-client", ...tool, "list-dbs", ssl])).toBe(
        "Open_vSwitch\n_Server\n",
      );
      const schema = await must(["ovsdb-client", ...tool, "get-schema-version", ssl]);
      expect(schema).toBe("8.3.1\n");
      expect(log.join("\n")).toMatch(/INFO\|ssl:127\.0\.0\.1:\d+: TLSv1\.3, "ctl id:/);
    });

    test("one of another CA, and one that does not speak TLS, are not let in", async () => {
      log.length = 0;
      const tool = options("sw", SWITCH_CA);
      const tls = await run(["ovsdb-client", ...tool, "list-dbs", `ssl:127.0.0.1:${port}`]);
      expect(tls.code).not.toBe(0);
      const plain = await run(["ovsdb-client", "list-dbs", `tcp:127.0.0.1:${port}`]);
      expect(plain.code).not.toBe(0);
      expect(log.join("\n")).toContain(`is not signed by the CA in ${CONTROLLER_CA}`);
      expect(log.join("\n")).toContain("does not speak TLS");
    });

    test("a stock client learns our CA with --bootstrap-ca-cert, from --peer-ca-cert", async () => {
      const other = startDatabaseService({
        dbFile: `${dir}/other.sqlite`,
        sockets: ["pssl:0:127.0.0.1"],
        tls: { ...own("sw"), caCert: CONTROLLER_CA, peerCaCert: SWITCH_CA },
        logger,
      });
      const tool = options("ctl", "").slice(0, 2);
      const learnt = `${dir}/learnt-by-stock.pem`;
      const argv = [...tool, `--bootstrap-ca-cert=${learnt}`, "list-dbs"];
      const remote = `ssl:127.0.0.1:${other.listeners[0]?.port}`;
      expect((await run(["ovsdb-client", ...argv, remote])).code).toBe(1);
      expect(existsSync(learnt)).toBe(true);
      expect(await must(["ovsdb-client", ...argv, remote])).toContain("Open_vSwitch");
      other.close();
    });

    test("a transaction and a table of 4 MB pass whole", async () => {
      const tls = new Tls(() => ({ ...own("ctl"), caCert: SWITCH_CA }), logger);
      const session = await connectSession(`ssl:127.0.0.1:${port}`, { who: "test", logger, tls });
      const value = "x".repeat(4000);
      const operations = Array.from({ length: 1000 }, (_, i) => ({
        op: "insert",
        table: "QoS",
        row: { type: String(i), other_config: ["map", [["k", value]]] },
      }));
      await session.request("transact", ["Open_vSwitch", ...operations]);
      const monitor = { QoS: [{ columns: ["type", "other_config"] }] };
      const got = await session.request("monitor", ["Open_vSwitch", null, monitor]);
      expect(Object.keys((got as { QoS: object }).QoS)).toHaveLength(1000);
      expect(JSON.stringify(got).length).toBeGreaterThan(4_000_000);
      session.close();
    });
  });

  test("one that does not read its updates is dropped, as over TCP", async () => {
    log.length = 0;
    const other = startDatabaseService({
      dbFile: `${dir}/slow.sqlite`,
      sockets: ["pssl:0:127.0.0.1"],
      tls: { ...own("sw"), caCert: CONTROLLER_CA },
      limits: { backlogBytes: 1 << 20, probeMs: 60_000 },
      logger,
    });
    const tls = new Tls(() => ({ ...own("ctl"), caCert: SWITCH_CA }), logger);
    let heard = "";
    let closed = false;
    const socket = await connectTls<undefined>(tls, {
      hostname: "127.0.0.1",
      port: other.listeners[0]?.port ?? 0,
      data: undefined,
      socket: {
        data: (_, bytes) => void (heard += bytes.toString()),
        close: () => void (closed = true),
      },
    });
    const params = ["Open_vSwitch", "m", { QoS: [{ columns: ["other_config"] }] }];
    socket.write(JSON.stringify({ id: 1, method: "monitor", params }));
    await eventually("it monitors", () => heard.includes('"result"'));
    socket.pause();
    const session = other.openSession("test");
    const row = { type: "x", other_config: ["map", [["k", "x".repeat(1 << 20)]]] };
    const isDropped = (): boolean => log.some((line) => line.includes("does not read"));
    for (let i = 0; i < 64 && !isDropped(); i++) {
      await session.request("transact", ["Open_vSwitch", { op: "insert", table: "QoS", row }]);
    }
    expect(isDropped()).toBe(true);
    expect(other.listeners[0]?.connections).toBe(0);
    socket.resume();
    await eventually("it is closed", () => closed);
    other.close();
  }, 30_000);

  test("set-manager ssl: calls a stock manager, which proves who it is", async () => {
    const port = freePort();
    const tool = options("ctl", SWITCH_CA);
    const manager = start(["ovsdb-client", ...tool, "list-dbs", `pssl:${port}:127.0.0.1`]);
    await vsctl("set-manager", `ssl:127.0.0.1:${port}`);
    expect(await manager.ended(10_000)).toBe(0);
    expect(manager.log).toContain("Open_vSwitch\n_Server\n");
    log.length = 0;
    const impostor = start([
      "ovsdb-client",
      ...options("sw", CONTROLLER_CA),
      "list-dbs",
      `pssl:${port}:127.0.0.1`,
    ]);
    await eventually(
      "it is not served",
      () => log.some((line) => line.includes(`not signed by the CA in ${CONTROLLER_CA}`)),
      { timeoutMs: 10_000 },
    );
    expect(impostor.log).not.toContain("Open_vSwitch");
    await vsctl("del-manager");
  }, 30_000);

  test("our client: a stock server, and its CA learnt", async () => {
    const port = freePort();
    await must([
      "ovsdb-tool",
      "create",
      `${dir}/stock.db`,
      "/usr/share/openvswitch/vswitch.ovsschema",
    ]);
    const tool = [...options("sw", CONTROLLER_CA), `--peer-ca-cert=${SWITCH_CA}`];
    const remote = `--remote=pssl:${port}:127.0.0.1`;
    start(["ovsdb-server", `${dir}/stock.db`, remote, ...tool, `--unixctl=${dir}/stock.ctl`]);
    const learnt = `${dir}/learnt-by-us.pem`;
    const tls = new Tls(() => ({ ...own("ctl"), bootstrapCaCert: learnt }), logger);
    const connect = () => connectSession(`ssl:127.0.0.1:${port}`, { who: "test", logger, tls });
    await eventually(
      "the CA is learnt",
      () => connect().then(() => false, (error) => String(error).includes("connecting again")),
    );
    const session = await connect();
    expect(await session.request("list_dbs", [])).toEqual(["Open_vSwitch", "_Server"]);
    session.close();
  });

  describe.skipIf(missing(OPENFLOW_TOOLS))("OpenFlow", () => {
    const runDir = `${dir}/run`;
    const switchctl = async (...args: string[]) =>
      (await must(["ovs-vsctl", `--db=unix:${runDir}/db.sock`, "--timeout=10", ...args])).trim();
    let daemon: Background;

    beforeAll(async () => {
      mkdirSync(runDir);
      const where = ["--run-dir", runDir, "--db", `${runDir}/conf.db`, "--http", "none"];
      daemon = start([...solovsCommand(), "run", "--dummy", ...where]);
      await eventually("it is ready", () => daemon.log.includes("|ready"), { timeoutMs: 20_000 });
      await switchctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy");
    }, 30_000);

    test(
      "a controller at ssl: waits for keys, is connected to, and can be lost and found",
      async () => {
        const port = freePort();
        const argv = ["ovs-testcontroller", `pssl:${port}:127.0.0.1`, ...options("ctl", SWITCH_CA)];
        const controller = start([...argv, `--unixctl=${dir}/controller.ctl`]);
        await switchctl("set-controller", "br0", `ssl:127.0.0.1:${port}`);
        const state = () => switchctl("get", "controller", "br0", "is_connected", "status");
        await eventually("it lacks a key", async () => (await state()).includes("no private key"));
        await switchctl("set-ssl", own("sw").privateKey, own("sw").certificate, CONTROLLER_CA);
        await eventually("it is connected", async () => (await state()).startsWith("true"), {
          timeoutMs: 15_000,
        });
        await eventually(
          "the controller gave its flows",
          async () => {
            const flows = await must(["ovs-ofctl", "dump-flows", `unix:${runDir}/br0.mgmt`]);
            return flows.includes("CONTROLLER");
          },
        );
        await controller.stop();
        await eventually("it is lost", async () => (await state()).startsWith("false"));
      },
      60_000,
    );

    test("ovs-ofctl at pssl: with a certificate, and none without", async () => {
      const port = freePort();
      await switchctl("set-controller", "br0", `pssl:${port}:127.0.0.1`);
      const remote = `ssl:127.0.0.1:${port}`;
      const ofctl = (name: string, ...args: string[]) =>
        run(["ovs-ofctl", "--timeout=5", ...options(name, SWITCH_CA), ...args]);
      const flows = Array.from({ length: 3000 }, (_, i) => `tcp,tp_dst=${i},actions=drop`);
      await eventually(
        "it answers",
        async () => (await ofctl("ctl", "show", remote)).stdout.includes("OFPT_FEATURES_REPLY"),
      );
      const input = { stdin: flows.join("\n") };
      const tool = options("ctl", SWITCH_CA);
      await must(["ovs-ofctl", ...tool, "add-flows", remote, "-"], input);
      const dump = await ofctl("ctl", "dump-flows", remote);
      expect(dump.stdout.match(/tp_dst=/g)).toHaveLength(3000);
      expect((await ofctl("sw", "show", remote)).code).not.toBe(0);
      expect(daemon.log).toContain("is not signed by the CA");
    }, 30_000);
  });
});
