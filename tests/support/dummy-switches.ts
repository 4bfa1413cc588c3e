/**
 * A switch with dummy devices, without privileges: `ovs-vswitchd` (stock, or ours under that name)
 * beside stock `ovsdb-server`, in a directory of its own; asked through its control socket, without a
 * process for each question.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ControlReply, controlTransaction } from "../../src/cli/unixctl.ts";
import { eventually } from "./eventually.ts";
import { must } from "./exec.ts";

export const DUMMY_TOOLS = ["ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-ofctl"] as const;
export const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

const OPTIONS = [
  ...["--enable-dummy=override", "--disable-system", "--disable-system-route"],
  ...["--detach", "--no-chdir", "--pidfile", "--log-file"],
];

export class DummySwitch {
  private constructor(readonly dir: string) {}

  /** `executable` plays ovs-vswitchd. */
  static async start(executable: string): Promise<DummySwitch> {
    const dir = mkdtempSync(join(tmpdir(), "solovs-dummy-"));
    const it = new DummySwitch(dir);
    symlinkSync(executable, join(dir, "ovs-vswitchd"));
    await must(["ovsdb-tool", "create", join(dir, "conf.db"), SCHEMA]);
    const remote = `--remote=punix:${dir}/db.sock`;
    await it.must("ovsdb-server", "--detach", "--no-chdir", "--pidfile", remote);
    await it.vsctl("--no-wait", "init");
    await it.must(join(dir, "ovs-vswitchd"), ...OPTIONS);
    return it;
  }

  private async must(...argv: string[]): Promise<string> {
    const env = {
      OVS_RUNDIR: this.dir,
      OVS_LOGDIR: this.dir,
      OVS_DBDIR: this.dir,
      OVS_SYSLOG_METHOD: "null",
    };
    return await must(argv, { env, cwd: this.dir, timeoutMs: 30_000 });
  }

  vsctl(...words: string[]): Promise<string> {
    return this.must("ovs-vsctl", "--timeout=20", `--db=unix:${this.dir}/db.sock`, ...words);
  }

  ofctl(...words: string[]): Promise<string> {
    return this.must("ovs-ofctl", "--timeout=20", ...words);
  }

  /**
   * A bridge with dummy ports `p1`, `p2`, … that have the numbers 1, 2, … there; `first` is the number
   * in the first one's name, which is to be unlike all others'.
   */
  async addBridge(name: string, first: number, count: number, ...more: string[]): Promise<void> {
    await this.vsctl(
      ...["--", "add-br", name, "--", "set", "bridge", name, "datapath-type=dummy"],
      ...["fail-mode=secure", "other-config:hwaddr=aa:55:aa:55:00:00"],
      ...Array.from({ length: count }, (_, n) => [
        ...["--", "add-port", name, `p${first + n}`],
        ...["--", "set", "interface", `p${first + n}`, "type=dummy", `ofport_request=${n + 1}`],
      ]).flat(),
      ...more,
    );
  }

  /** A cable between two bridges, with these numbers at its ends. */
  async addPatch(a: string, aPort: number, b: string, bPort: number): Promise<void> {
    const [left, right] = [`${a}-${b}`, `${b}-${a}`];
    const end = (bridge: string, name: string, peer: string, port: number): string[] => [
      ...["--", "add-port", bridge, name, "--", "set", "interface", name, "type=patch"],
      ...[`options:peer=${peer}`, `ofport_request=${port}`],
    ];
    await this.vsctl(...end(a, left, right, aPort), ...end(b, right, left, bPort));
  }

  /** One command of the daemon. */
  ask(command: string, ...params: string[]): Promise<ControlReply> {
    const pid = readFileSync(join(this.dir, "ovs-vswitchd.pid"), "utf8").trim();
    return controlTransaction(join(this.dir, `ovs-vswitchd.${pid}.ctl`), command, params);
  }

  /** Its answer; throws what it has against it. */
  async text(command: string, ...params: string[]): Promise<string> {
    const reply = await this.ask(command, ...params);
    if ("result" in reply) return reply.result;
    throw new Error(`${command} ${params.join(" ")}: ${reply.error}`);
  }

  /** Ends both daemons, by their process ids, and removes what they left. */
  async stop(): Promise<void> {
    for (const name of ["ovs-vswitchd", "ovsdb-server"]) {
      const file = join(this.dir, `${name}.pid`);
      if (!existsSync(file)) continue;
      const pid = Number(readFileSync(file, "utf8"));
      process.kill(pid, "SIGKILL");
      await eventually(`${name} is gone`, () => hasEnded(pid), { timeoutMs: 20_000 });
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Whether the process does nothing any more; whoever adopted it may take its time to notice. */
function hasEnded(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
