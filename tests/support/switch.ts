/**
 * The switch under test, running in a namespace of its own.
 *
 * `SOLOVS_BIN` chooses the executable (default `dist/solovs`; words are split, so that
 * `SOLOVS_BIN="node_modules/.bin/bun main.ts"` works). `SWITCH_UNDER_TEST=stock` runs the same
 * tests against Open vSwitch itself, which is how the tests are tested.
 */
import { existsSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { tcxPrograms } from "./attachments.ts";
import { Clients } from "./clients.ts";
import { eventually } from "./eventually.ts";
import type { Background } from "./exec.ts";
import type { Namespace, Sandbox } from "./netns.ts";
import { StockSwitch } from "./stock.ts";

export const ROOT = resolve(import.meta.dir, "../..");

export interface RunningSwitch {
  readonly kind: "solovs" | "stock";
  readonly ns: Namespace;
  readonly runDir: string;
  readonly clients: Clients;
  /** Everything it logged so far. */
  log(): string;
  /** The pid of the process that owns the bridges. */
  readonly pid: number;
  /** `add-br`, with what this kind needs to run in user space. */
  addBridge(name: string, ...more: readonly string[]): Promise<void>;
  /** Ends it with all that it made; throws unless it ends by itself with code 0. */
  stop(): Promise<void>;
  /** SIGKILL to all of it. */
  killNow(): Promise<void>;
  /** Starts it again on the same run directory and database. */
  restart(): Promise<void>;
}

/** True when the tests run against Open vSwitch itself. */
export function underTestIsStock(): boolean {
  return process.env.SWITCH_UNDER_TEST === "stock";
}

export function solovsCommand(): string[] {
  const chosen = process.env.SOLOVS_BIN;
  if (chosen !== undefined && chosen !== "") {
    return chosen.split(" ").map((word) => existsSync(word) ? resolve(word) : word);
  }
  return [resolve(ROOT, "dist/solovs")];
}

/** The tools without which no switch test can run. */
export const SWITCH_TOOLS = ["ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovsdb-client"] as const;

export async function startSwitch(sandbox: Sandbox, ns: Namespace): Promise<RunningSwitch> {
  if (underTestIsStock()) return await StockSwitch.start(sandbox, ns);
  return await SolovsSwitch.start(sandbox, ns);
}

export class SolovsSwitch implements RunningSwitch {
  readonly kind = "solovs";
  readonly clients: Clients;
  private process: Background | undefined;
  private earlierLogs = "";

  private constructor(
    readonly ns: Namespace,
    readonly runDir: string,
    private readonly datapath: string | undefined,
  ) {
    this.clients = new Clients(runDir);
  }

  /** `datapath`: what `--datapath` says. */
  static async start(
    sandbox: Sandbox,
    ns: Namespace,
    datapath?: "ebpf" | "userspace",
  ): Promise<SolovsSwitch> {
    const it = new SolovsSwitch(ns, sandbox.tempDir("run"), datapath);
    await it.restart();
    return it;
  }

  /** The words after the executable. */
  arguments(): string[] {
    const db = `${this.runDir}/conf.sqlite`;
    const words = ["run", "--run-dir", this.runDir, "--db", db, "--http", "127.0.0.1:8080"];
    return this.datapath === undefined ? words : [...words, "--datapath", this.datapath];
  }

  /** What it forwards in the kernel outlives it unless it is told to clean up. */
  private get inKernel(): boolean {
    return (this.datapath ?? process.env.SOLOVS_DATAPATH ?? "auto") !== "userspace";
  }

  get pid(): number {
    if (this.process === undefined) throw new Error("solovs is not running");
    return this.process.pid;
  }

  log(): string {
    return this.earlierLogs + (this.process?.log ?? "");
  }

  async addBridge(name: string, ...more: readonly string[]): Promise<void> {
    await this.clients.vsctl("add-br", name, ...more);
  }

  async restart(): Promise<void> {
    if (this.process?.exitCode === undefined && this.process !== undefined) {
      throw new Error("solovs still runs");
    }
    this.earlierLogs = this.log();
    const words = [...solovsCommand(), ...this.arguments()];
    const child = this.datapath === "ebpf"
      ? this.ns.spawnUnmounted(words, { cwd: ROOT })
      : this.ns.spawn(words, { cwd: ROOT });
    this.process = child;
    await eventually("solovs answers on db.sock", async () => {
      if (child.exitCode !== undefined) return true;
      if (!existsSync(`${this.runDir}/db.sock`)) return false;
      return (await this.clients.tryOvsdbClient("list-dbs", `unix:${this.runDir}/db.sock`))
        .code === 0;
    }, { timeoutMs: 15_000 });
    if (child.exitCode !== undefined) {
      throw new Error(`solovs ended with code ${child.exitCode}:\n${child.log}`);
    }
  }

  async stop(): Promise<void> {
    const child = this.process;
    if (child === undefined) return;
    if (this.inKernel) {
      // Just started, it may not know the command yet.
      await eventually(
        "exit --cleanup",
        async () => (await this.clients.tryAppctl("exit", "--cleanup")).code === 0,
      );
    } else child.signal("SIGTERM");
    const code = await child.ended(10_000);
    if (code === undefined) {
      child.killNow();
      throw new Error(`solovs did not end within 10 s of SIGTERM:\n${lastLines(child.log)}`);
    }
    if (code !== 0) throw new Error(`solovs ended with code ${code}:\n${lastLines(child.log)}`);
    const left = await this.leftBehind(child.pid);
    if (left.length > 0) throw new Error(`solovs left behind: ${left.join("; ")}`);
  }

  async killNow(): Promise<void> {
    this.process?.killNow();
    await this.process?.ended(5000);
  }

  /**
   * What a stopped solovs must not leave: devices it made, attachments, sockets, pid files. Control
   * sockets are named after their process; those of one that was killed stay, as Open vSwitch's do.
   */
  private async leftBehind(pid: number): Promise<string[]> {
    const left: string[] = [];
    for (const link of await this.ns.links()) {
      if (link.linkinfo?.info_kind === "tun") left.push(`tap device ${link.ifname}`);
      if (/_sys(_\d+)?$/.test(link.ifname)) left.push(`tunnel device ${link.ifname}`);
      if (link.promiscuity > 0) left.push(`${link.ifname} is promiscuous`);
      const programs = this.ns.inside(() => tcxPrograms(link.ifindex));
      if (programs > 0) left.push(`${programs} tcx program(s) on ${link.ifname}`);
    }
    const qdiscs = await this.ns.run(["tc", "qdisc", "show"]);
    if (/clsact|qdisc ingress/.test(qdiscs.stdout)) left.push(`qdisc: ${qdiscs.stdout.trim()}`);
    for (const file of readdirSync(this.runDir)) {
      const ours = /\.(sock|mgmt|snoop|pid)$/.test(file) || file.endsWith(`.${pid}.ctl`);
      if (ours) left.push(`${this.runDir}/${file}`);
    }
    return left;
  }
}

export function lastLines(text: string, count = 40): string {
  return text.split("\n").slice(-count).join("\n");
}
