import { describe, expect, spyOn, test } from "bun:test";
import { Exit } from "../../../src/cli/clients/fatal.ts";
import { directories } from "../../../src/cli/roles/directories.ts";
import { runRole } from "../../../src/cli/roles/role.ts";
import {
  parseServerOptions,
  type ServerOptions,
} from "../../../src/cli/roles/ovsdb-server/options.ts";
import { SystemLog } from "../../../src/cli/roles/syslog.ts";
import { Vlog } from "../../../src/cli/roles/vlog.ts";

const WHERE = { run: "/run/x", log: "/log/x", db: "/db/x" };

const parse = (...words: string[]): ServerOptions => {
  const system = new SystemLog("ovsdb-server", { OVS_SYSLOG_METHOD: "null" });
  return parseServerOptions(
    words,
    new Vlog("ovsdb-server", ["jsonrpc"], () => {}, system),
    WHERE,
  );
};

test("a name that is no role is left to others", async () => {
  expect(await runRole("/usr/bin/solovs", [])).toBeUndefined();
});

test("directories come from the environment, or are Open vSwitch's own", () => {
  expect(directories({ OVS_RUNDIR: "/r", OVS_LOGDIR: "/l", OVS_DBDIR: "/d" }))
    .toEqual({ run: "/r", log: "/l", db: "/d" });
  expect(directories({ OVS_SYSCONFDIR: "/s" }).db).toBe("/s/openvswitch");
  expect(directories({})).toEqual({
    run: "/var/run/openvswitch",
    log: "/var/log/openvswitch",
    db: "/etc/openvswitch",
  });
});

describe("ovsdb-server's options", () => {
  test("without any, the default database is served nowhere", () => {
    const { databases, remotes, daemon, log, unixctl, run } = parse();
    expect(databases).toEqual(["/db/x/conf.db"]);
    expect(remotes).toEqual([]);
    expect(daemon).toEqual({
      detach: false,
      monitor: false,
      noChdir: false,
      pidFile: undefined,
      overwritePidFile: false,
      selfConfined: true,
    });
    expect([log.file, unixctl, run]).toEqual([undefined, undefined, undefined]);
  });

  test("databases and remotes may stand between options, and count once", () => {
    const { databases, remotes } = parse(
      "one.db",
      "--remote=punix:a",
      "two.db",
      "--remote",
      "ptcp:0",
      "one.db",
      "--remote=punix:a",
    );
    expect(databases).toEqual(["one.db", "two.db"]);
    expect(remotes).toEqual(["punix:a", "ptcp:0"]);
    expect(parse("--no-dbs").databases).toEqual([]);
  });

  test("long options may be abbreviated", () => {
    expect(parse("--det", "--no-db", "--pidf=/a.pid").daemon)
      .toMatchObject({ detach: true, pidFile: "/a.pid" });
  });

  test("pid and log files have their places", () => {
    expect(parse("--pidfile").daemon.pidFile).toBe("/run/x/ovsdb-server.pid");
    expect(parse("--pidfile=b.pid").daemon.pidFile).toBe("/run/x/b.pid");
    expect(parse("--log-file").log.file).toBe("/log/x/ovsdb-server.log");
    expect(parse("--log-file=c.log").log.file).toBe("c.log");
  });

  test("TLS", () => {
    const { tls } = parse("-p", "k", "-cc", "-C", "a", "--peer-ca-cert=p", "--ssl-ciphers=X");
    expect(tls).toMatchObject({
      privateKey: "k",
      certificate: "c",
      caCert: "a",
      peerCaCert: "p",
      ciphers: "X",
    });
    const last = parse("-C", "a", "--bootstrap-ca-cert=b").tls;
    expect([last.caCert, last.bootstrapCaCert]).toEqual([undefined, "b"]);
  });

  test.each([
    [["--frob"], "unrecognized option '--frob'"],
    [["--remote"], "option '--remote' requires an argument"],
    [["-vnobody"], 'processing "nobody": no destination, level, or module "nobody"'],
    [["--sync-from=tcp:x:1"], "--sync-from is not supported"],
    [["--replay"], "--replay is not supported"],
    [["relay:OVN_Southbound:tcp:1.2.3.4:6642"], "relays are not supported"],
    [["--user=ovs"], "--user is not supported"],
    [["--syslog-method=tcp:1.2.3.4:5"], "unsupported syslog method 'tcp:1.2.3.4:5'"],
  ])("%p is refused", (words, message) => {
    expect(() => parse(...words)).toThrow(message);
  });

  test("--version prints Open vSwitch's", () => {
    let text = "";
    const write = spyOn(require("node:fs"), "writeSync").mockImplementation(
      ((_: number, bytes: Uint8Array) => {
        text += Buffer.from(bytes).toString();
        return bytes.length;
      }) as never,
    );
    try {
      expect(() => parse("--version")).toThrow(Exit);
    } finally {
      write.mockRestore();
    }
    if (text !== "") expect(text).toBe("ovsdb-server (Open vSwitch) 3.1.0\n");
  });
});
