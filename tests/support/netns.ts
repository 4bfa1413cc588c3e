/**
 * A sandbox of network namespaces, veth pairs, processes and directories, all of which it removes
 * again: at `dispose`, or when the test process exits without having called it.
 *
 * Names are `svt<pid>-<number>-<label>`, so that runs at the same time do not meet, and so that the
 * leavings of a run that was killed can be told from those of one that is alive: a new sandbox
 * removes the namespaces of dead owners. Nothing is ever made in the root namespace: veth pairs are
 * created with both ends already in their namespaces.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Background, must, type Result, run, type RunOptions } from "./exec.ts";
import { withinNamespace } from "./setns.ts";

const BPF_FS = "/sys/fs/bpf";

export class Namespace {
  constructor(private readonly sandbox: Sandbox, readonly name: string, readonly label: string) {}

  /** The command line that runs `argv` here. */
  wrap(argv: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...argv];
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(this.wrap(argv), options);
  }

  must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(this.wrap(argv), options);
  }

  /** `ip -n NAME words…`; one string, split on spaces. */
  ip(words: string): Promise<string> {
    return must(["ip", "-n", this.name, ...words.split(" ")]);
  }

  spawn(argv: readonly string[], options: RunOptions = {}): Background {
    return this.sandbox.spawn(this.wrap(argv), options);
  }

  /**
   * Starts a program in this network namespace and in everybody's mount namespace: what it mounts or
   * pins outlives it, which it does not behind `ip netns exec`.
   */
  spawnUnmounted(argv: readonly string[], options: RunOptions = {}): Background {
    return this.sandbox.spawn(["nsenter", `--net=/run/netns/${this.name}`, ...argv], options);
  }

  runUnmounted(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(["nsenter", `--net=/run/netns/${this.name}`, ...argv], options);
  }

  /** Calls `body` with this thread inside the namespace: sockets it opens stay there. */
  inside<T>(body: () => T): T {
    return withinNamespace(`/run/netns/${this.name}`, body);
  }

  async links(): Promise<LinkInfo[]> {
    const text = await must(["ip", "-n", this.name, "-j", "-d", "link", "show"]);
    return JSON.parse(text) as LinkInfo[];
  }

  /** One link, or undefined when there is none of this name. */
  async link(name: string): Promise<LinkInfo | undefined> {
    return (await this.links()).find((link) => link.ifname === name);
  }
}

/** The part of `ip -j -d link` that tests look at. */
export interface LinkInfo {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate: string;
  readonly address: string;
  readonly promiscuity: number;
  readonly linkinfo?: { readonly info_kind?: string };
}

export interface End {
  readonly ns: Namespace;
  readonly name: string;
  readonly address?: string;
}

export class Sandbox {
  private readonly namespaces: string[] = [];
  private readonly children: Background[] = [];
  private readonly directories: string[] = [];
  private readonly undo: (() => Promise<void> | void)[] = [];
  private readonly tag = Math.random().toString(36).slice(2, 6);
  private readonly onExit = (): void => this.disposeSync();

  private constructor() {
    process.once("exit", this.onExit);
  }

  static async create(): Promise<Sandbox> {
    await removeLeavings();
    return new Sandbox();
  }

  async netns(label: string): Promise<Namespace> {
    const name = `svt${process.pid}-${this.tag}${this.namespaces.length}-${label}`;
    await must(["ip", "netns", "add", name]);
    this.namespaces.push(name);
    const ns = new Namespace(this, name, label);
    await ns.ip("link set lo up");
    // Neighbour discovery and router solicitations would be traffic no test asked for.
    await ns.must([
      "sh",
      "-c",
      "for c in all default; do echo 1 > /proc/sys/net/ipv6/conf/$c/disable_ipv6; done",
    ]);
    return ns;
  }

  /** A veth pair with both ends up. */
  async veth(a: End, b: End): Promise<void> {
    const mac = (end: End) => end.address === undefined ? [] : ["address", end.address];
    await must([
      ...["ip", "-n", a.ns.name, "link", "add", "name", a.name, ...mac(a), "type", "veth"],
      ...["peer", "name", b.name, ...mac(b), "netns", b.ns.name],
    ]);
    await a.ns.ip(`link set dev ${a.name} up`);
    await b.ns.ip(`link set dev ${b.name} up`);
  }

  spawn(argv: readonly string[], options: RunOptions = {}): Background {
    const child = new Background(argv, options);
    this.children.push(child);
    return child;
  }

  tempDir(label: string): string {
    const path = mkdtempSync(join(tmpdir(), `solovs-${label}-`));
    this.directories.push(path);
    return path;
  }

  /** Has `action` called first thing in `dispose`, the last one added first. */
  defer(action: () => Promise<void> | void): void {
    this.undo.push(action);
  }

  async dispose(): Promise<void> {
    const errors: unknown[] = [];
    for (const action of this.undo.splice(0).reverse()) {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    }
    await Promise.all(this.children.map((child) => child.stop()));
    this.disposeSync();
    process.off("exit", this.onExit);
    if (errors.length > 0) throw new AggregateError(errors, String(errors[0]));
  }

  private disposeSync(): void {
    for (const child of this.children.splice(0)) child.killNow();
    for (const name of this.namespaces.splice(0)) {
      removePins(name);
      Bun.spawnSync(["ip", "netns", "del", name], { stdout: "ignore", stderr: "ignore" });
    }
    for (const path of this.directories.splice(0)) rmSync(path, { recursive: true, force: true });
  }
}

/** Removes what a killed solovs has pinned for a namespace (src/fastpath/ebpf/pins.ts). */
function removePins(namespace: string): void {
  const path = `/run/netns/${namespace}`;
  if (!existsSync(path) || !existsSync(BPF_FS)) return;
  const prefix = `solovs-${statSync(path).ino}-`;
  for (const name of readdirSync(BPF_FS).filter((each) => each.startsWith(prefix))) {
    rmSync(`${BPF_FS}/${name}`, { recursive: true, force: true });
  }
}

/** Removes namespaces of this naming scheme whose owner no longer lives. */
async function removeLeavings(): Promise<void> {
  const listed = await run(["ip", "netns", "list"]);
  for (const line of listed.stdout.split("\n")) {
    const match = /^(svt(\d+)-\S+)/.exec(line);
    if (match?.[1] === undefined || existsSync(`/proc/${match[2]}`)) continue;
    const pids = (await run(["ip", "netns", "pids", match[1]])).stdout.split("\n").filter(Boolean);
    for (const pid of pids) process.kill(Number(pid), "SIGKILL");
    await run(["ip", "netns", "del", match[1]]);
  }
}
