/**
 * Stock Open vSwitch 3.1 in a namespace: `ovsdb-server` and `ovs-vswitchd` with a run directory of
 * their own, forwarding in user space (`datapath_type=netdev`), which needs no kernel module.
 */
import { existsSync, rmSync } from "node:fs";
import { Clients } from "./clients.ts";
import { eventually } from "./eventually.ts";
import { type Background, must } from "./exec.ts";
import type { Namespace, Sandbox } from "./netns.ts";
import type { RunningSwitch } from "./switch.ts";

export const STOCK_TOOLS = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd"] as const;

export class StockSwitch implements RunningSwitch {
  readonly kind = "stock";
  readonly clients: Clients;
  private database: Background | undefined;
  private daemon: Background | undefined;
  private earlierLogs = "";

  private constructor(
    readonly ns: Namespace,
    readonly runDir: string,
    private readonly prefix: readonly string[],
  ) {
    this.clients = new Clients(runDir);
  }

  /** `prefix` goes before the daemon's command line: `taskset -c 1`, say. */
  static async start(
    sandbox: Sandbox,
    ns: Namespace,
    prefix: readonly string[] = [],
  ): Promise<StockSwitch> {
    const it = new StockSwitch(ns, sandbox.tempDir("stock"), prefix);
    await must([
      "ovsdb-tool",
      "create",
      `${it.runDir}/conf.db`,
      "/usr/share/openvswitch/vswitch.ovsschema",
    ]);
    await it.restart();
    return it;
  }

  get pid(): number {
    if (this.daemon === undefined) throw new Error("ovs-vswitchd is not running");
    return this.daemon.pid;
  }

  log(): string {
    return this.earlierLogs + (this.daemon?.log ?? "");
  }

  async addBridge(name: string, ...more: readonly string[]): Promise<void> {
    const type = ["--", "set", "bridge", name, "datapath_type=netdev"];
    await this.clients.vsctl("add-br", name, ...more, ...type);
  }

  async restart(): Promise<void> {
    this.earlierLogs = this.log();
    const env = { OVS_RUNDIR: this.runDir, OVS_DBDIR: this.runDir, OVS_LOGDIR: this.runDir };
    const socket = `${this.runDir}/db.sock`;
    this.database = this.ns.spawn(
      ["ovsdb-server", `${this.runDir}/conf.db`, `--remote=punix:${socket}`, "--pidfile"],
      { env },
    );
    await eventually("ovsdb-server answers", async () => {
      if (!existsSync(socket)) return false;
      return (await this.clients.tryOvsdbClient("list-dbs", `unix:${socket}`)).code === 0;
    });
    await this.clients.vsctl("--no-wait", "init");
    const argv = [...this.prefix, "ovs-vswitchd", `unix:${socket}`, "--pidfile"];
    this.daemon = this.ns.spawn(argv, { env });
    await eventually(
      "ovs-vswitchd answers",
      async () => (await this.clients.tryAppctl("version")).code === 0,
    );
  }

  async stop(): Promise<void> {
    await this.daemon?.stop();
    await this.database?.stop();
  }

  async killNow(): Promise<void> {
    for (const child of [this.daemon, this.database]) {
      child?.killNow();
      await child?.ended(5000);
    }
    rmSync(`${this.runDir}/ovs-vswitchd.pid`, { force: true });
  }
}
