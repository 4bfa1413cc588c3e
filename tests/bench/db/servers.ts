/** The two database servers under test, each a process of its own on a database of its own. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "../../support/exec.ts";
import { ROOT, solovsCommand } from "../../support/switch.ts";
import type { ServerName } from "../compare-servers.ts";
import { Wire } from "./wire.ts";

export const TITLES: Readonly<Record<ServerName, string>> = {
  solovs: "solovs",
  ovs: "ovsdb-server",
};

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

/**
 * The command that serves a database of ours: the executable's own, if it has it; otherwise a small
 * program with nothing but the database service, compiled like the executable.
 */
export async function solovsServer(directory: string): Promise<readonly string[]> {
  const solovs = solovsCommand();
  if ((await run([...solovs, "ovsdb", "--help"])).code === 0) return [...solovs, "ovsdb"];
  const program = join(directory, "solovs-db");
  await must([
    join(ROOT, "node_modules/.bin/bun"),
    "build",
    "--compile",
    "--bytecode",
    "--format=esm",
    `--outfile=${program}`,
    join(import.meta.dir, "serve.ts"),
  ], { timeoutMs: 120_000 });
  return [program];
}

export class DatabaseServer {
  private child: Bun.Subprocess | undefined;
  readonly socket: string;
  private readonly file: string;

  /** `command` serves ours; stock's is known. */
  constructor(
    readonly name: ServerName,
    private readonly directory: string,
    private readonly command: readonly string[],
  ) {
    mkdirSync(directory, { recursive: true });
    this.socket = join(directory, "db.sock");
    this.file = join(directory, name === "ovs" ? "conf.db" : "conf.sqlite");
  }

  private argv(): readonly string[] {
    if (this.name === "ovs") {
      return [
        "ovsdb-server",
        this.file,
        `--remote=punix:${this.socket}`,
        `--unixctl=${join(this.directory, "ctl")}`,
        "-vconsole:warn",
      ];
    }
    return this.command.at(-1) === "ovsdb"
      ? [...this.command, "--schema", SCHEMA, "--db", this.file, "--remote", `punix:${this.socket}`]
      : [...this.command, this.file, this.socket];
  }

  /** Resolves to the milliseconds until it answered a transaction that reads the first row. */
  async start(): Promise<number> {
    if (this.name === "ovs" && !existsSync(this.file)) {
      await must(["ovsdb-tool", "create", this.file, SCHEMA]);
    }
    const started = performance.now();
    this.child = Bun.spawn([...this.argv()], { stdio: ["ignore", "ignore", "inherit"] });
    for (;;) {
      const wire = await this.connect().catch(() => undefined);
      if (wire !== undefined) {
        await wire.transact({ op: "select", table: "Open_vSwitch", where: [], columns: ["_uuid"] });
        const elapsed = performance.now() - started;
        wire.close();
        return elapsed;
      }
      if (this.child.exitCode !== null) throw new Error(`${this.name} ended at once`);
      if (performance.now() - started > 60_000) throw new Error(`${this.name} does not answer`);
      await Bun.sleep(1);
    }
  }

  connect(): Promise<Wire> {
    return Wire.connect(this.socket);
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Processor time of all its threads so far, in ms (proc(5), `utime` and `stime` in ticks). */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    return (fields[11]! + fields[12]!) * 10;
  }

  /** Resident memory in MiB (proc(5), `VmRSS`). */
  residentMib(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  async stop(): Promise<void> {
    this.child?.kill("SIGTERM");
    await this.child?.exited;
    this.child = undefined;
    rmSync(this.socket, { force: true });
  }

  /** Ends it however it is, and removes its files. */
  async dispose(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.child?.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
