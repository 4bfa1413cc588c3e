/**
 * The executable under the name `ovs-vswitchd` beside stock `ovsdb-server`, with dummy devices and a
 * clock that obeys: it starts as Open vSwitch's suite starts it, forwards what `netdev-dummy/receive`
 * gives it, forgets addresses and flows when time is warped, gives way to another one that has the
 * lock, and stops. Needs no privileges.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { must, type Result, run } from "../support/exec.ts";
import { solovsCommand } from "../support/switch.ts";

const [executable = "", ...otherWords] = solovsCommand();
/** A link has no place for further words: only the executable alone can play a role. */
const playable = otherWords.length === 0 && existsSync(executable);
const tools = ["ovsdb-tool", "ovsdb-server", "ovs-appctl", "ovs-vsctl", "ovs-ofctl"];
const installed = tools.every((tool) => Bun.which(tool) !== null);
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const DUMMY = ["--enable-dummy", "--disable-system", "--disable-system-route"];
const DETACHED = ["--detach", "--no-chdir", "--pidfile", "--log-file"];
/** An untagged frame of 14 bytes between two hosts, and its answer. */
const REQUEST = "50540000000a505400000009" + "1234";
const ANSWER = "50540000000950540000000a" + "1234";

/** Whether the process does nothing any more; whoever adopted it may take its time to notice. */
function hasEnded(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

describe.skipIf(!playable || !installed || !existsSync(SCHEMA))("as ovs-vswitchd", () => {
  let dir = "";
  let daemon = "";
  /** Pid files of what is to be gone afterwards. */
  let pidFiles: string[] = [];
  const env = (): Record<string, string> => ({
    OVS_RUNDIR: dir,
    OVS_LOGDIR: dir,
    OVS_DBDIR: dir,
    OVS_SYSLOG_METHOD: "null",
  });
  const options = () => ({ env: env(), cwd: dir, timeoutMs: 20_000 });
  const start = (...words: string[]): Promise<Result> => run([daemon, ...words], options());
  const appctl = (...words: string[]): Promise<string> =>
    must(["ovs-appctl", "--timeout=20", ...words], options());
  const vsctl = (...words: string[]): Promise<string> =>
    must(["ovs-vsctl", "--timeout=20", `--db=unix:${dir}/db.sock`, ...words], options());
  const ofctl = (...words: string[]): Promise<string> =>
    must(["ovs-ofctl", "--timeout=20", ...words], options());
  const log = (name = "ovs-vswitchd.log"): string => readFileSync(join(dir, name), "utf8");
  const sent = async (port: string): Promise<number> =>
    Number(/tx pkts=(\d+)/.exec(await ofctl("dump-ports", "br0", port))?.[1]);

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "role-"));
    daemon = join(dir, "ovs-vswitchd");
    pidFiles = [join(dir, "ovs-vswitchd.pid"), join(dir, "ovsdb-server.pid")];
    symlinkSync(executable, daemon);
    await must(["ovsdb-tool", "create", join(dir, "conf.db"), SCHEMA]);
    const remote = `--remote=punix:${dir}/db.sock`;
    await must(["ovsdb-server", "--detach", "--no-chdir", "--pidfile", remote], options());
    await vsctl("--no-wait", "init");
  });
  afterEach(async () => {
    for (const file of pidFiles) {
      if (!existsSync(file)) continue;
      const pid = Number(readFileSync(file, "utf8"));
      process.kill(pid, "SIGKILL");
      await eventually("the daemon is gone", () => hasEnded(pid));
    }
    rmSync(dir, { recursive: true });
  });

  const bridge = (...more: string[]): Promise<string> =>
    vsctl(
      ...["--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy"],
      ...["other-config:hwaddr=aa:55:aa:55:00:00", "other-config:datapath-id=fedcba9876543210"],
      ...[1, 2, 3].flatMap((n) => [
        ...["--", "add-port", "br0", `p${n}`],
        ...["--", "set", "interface", `p${n}`, "type=dummy", `ofport_request=${n}`],
      ]),
      ...more,
    );

  test("forwards between dummy ports, learns, and forgets when time is warped", async () => {
    const started = await start(...DUMMY, ...DETACHED);
    expect([started.code, started.stdout]).toEqual([0, ""]);
    expect(started.stderr).not.toMatch(/\|(?:WARN|ERR|EMER)\|/);
    await bridge("--", "set", "interface", "p1", "options:tx_pcap=p1.pcap");
    expect(await appctl("dpif/show")).toBe(
      "dummy@ovs-dummy: hit:0 missed:0\n" +
        "  br0:\n    br0 65534/100: (dummy-internal)\n" +
        "    p1 1/1: (dummy)\n    p2 2/2: (dummy)\n    p3 3/3: (dummy)\n",
    );
    expect(await ofctl("show", "br0")).toContain("dpid:fedcba9876543210");

    await appctl("time/stop");
    // Unknown: to everybody else. Its answer: to where the first came from, and nowhere else.
    await appctl("netdev-dummy/receive", "p1", REQUEST);
    await eventually("the frame is flooded", async () => await sent("p3") === 1);
    await appctl("netdev-dummy/receive", "p2", ANSWER);
    await eventually("the answer arrives", async () => await sent("p1") === 1);
    expect([await sent("p2"), await sent("p3")]).toEqual([1, 1]);
    expect(await appctl("fdb/show", "br0")).toBe(
      " port  VLAN  MAC                Age\n" +
        "    1     0  50:54:00:00:00:09    0\n    2     0  50:54:00:00:00:0a    0\n",
    );
    const capture = readFileSync(join(dir, "p1.pcap"));
    expect(capture.subarray(24 + 16).toString("hex")).toBe(ANSWER);

    await appctl("time/warp", "299000", "1000");
    expect(await appctl("fdb/show", "br0")).toMatch(/50:54:00:00:00:09 +299\n/);
    await appctl("time/warp", "20000", "1000");
    expect(await appctl("fdb/show", "br0")).toBe(" port  VLAN  MAC                Age\n");
  });

  test("flows time out by the clock that is warped; frames come as flows, too", async () => {
    expect((await start(...DUMMY, ...DETACHED)).code).toBe(0);
    await bridge("--", "set", "bridge", "br0", "fail-mode=secure");
    await appctl("time/stop");
    await ofctl("add-flow", "br0", "idle_timeout=10,in_port=1,udp,tp_dst=53,actions=2");
    const flow = "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x0800)," +
      "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=9,dst=53)";
    await appctl("time/warp", "6000", "1000");
    await appctl("netdev-dummy/receive", "p1", flow, "--len", "100");
    await eventually("it is forwarded", async () => await sent("p2") === 1);
    await appctl("time/warp", "7000", "1000");
    const dump = async () => await ofctl("dump-flows", "br0");
    expect(await dump()).toMatch(/n_packets=1, n_bytes=100, idle_timeout=10, /);
    await appctl("time/warp", "6000", "1000");
    expect(await dump()).not.toContain("in_port=1");
    await appctl("netdev-dummy/set-admin-state", "p2", "down");
    await eventually("the port is down", async () => /PORT_DOWN/.test(await ofctl("show", "br0")));
  });

  test("goes on without its database, and catches up when it is back", async () => {
    expect((await start(...DUMMY, ...DETACHED)).code).toBe(0);
    await bridge();
    await must(["ovs-appctl", "--timeout=20", "-t", "ovsdb-server", "exit"], options());
    await eventually("the loss is told", () => log().includes("connection closed by peer"));
    expect(await ofctl("show", "br0")).toContain("3(p3)");
    const remote = `--remote=punix:${dir}/db.sock`;
    await must(["ovsdb-server", "--detach", "--no-chdir", "--pidfile", remote], options());
    // This waits until the switch has done it.
    await vsctl(
      "del-port",
      "p3",
      "--",
      "add-port",
      "br0",
      "p4",
      "--",
      "set",
      "interface",
      "p4",
      "type=dummy",
    );
    const ports = await ofctl("show", "br0");
    expect([ports.includes("(p3)"), ports.includes("(p4)")]).toEqual([false, true]);
  });

  test("one at a time: the second waits for the lock, and takes over", async () => {
    expect((await start(...DUMMY, ...DETACHED)).code).toBe(0);
    await bridge();
    const second = ["--pidfile=second.pid", "--log-file=second.log", "--unixctl=second.ctl"];
    pidFiles.unshift(join(dir, "second.pid"));
    const waiting = start(...DUMMY, "--detach", "--no-chdir", ...second);
    await eventually("it says that it waits", () =>
      existsSync(join(dir, "second.log")) &&
      /\|bridge\|ERR\|another ovs-vswitchd process is running, disabling this process \(pid \d+\)/
        .test(log("second.log")));
    await appctl("exit", "--cleanup");
    await eventually("the first is gone", () => !existsSync(join(dir, "ovs-vswitchd.pid")));
    expect((await waiting).code).toBe(0);
    expect(log("second.log")).toContain("bridge br0: added interface p1 on port 1");
    await must(["ovs-appctl", "--timeout=20", "-t", join(dir, "second.ctl"), "exit"], options());
    await eventually("it ends", () => !existsSync(join(dir, "second.pid")));
    // Nothing was wrong, so nothing was said.
    expect(log()).not.toMatch(/\|(?:WARN|ERR|EMER)\|/);
  });

  test("says what is wrong with its command line, and what it is", async () => {
    const wrong = await start("--enable-dummy=nonsense");
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      "ovs-vswitchd: nonsense: unknown dummy level\n",
    ]);
    const version = await start("--version");
    expect(version.stdout).toBe("ovs-vswitchd (Open vSwitch) 3.1.0\n");
    expect((await start("--help")).stdout).toContain("--enable-dummy[=system|override]");
  });
});
