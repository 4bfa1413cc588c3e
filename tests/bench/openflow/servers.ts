/** The two switches under test, each with a bridge between two hosts, forwarding in user space. */
import { readFileSync } from "node:fs";
import { addHost, type Host } from "../../support/hosts.ts";
import type { Sandbox } from "../../support/netns.ts";
import { StockSwitch } from "../../support/stock.ts";
import { type RunningSwitch, solovsCommand, SolovsSwitch } from "../../support/switch.ts";
import type { ServerName } from "../compare-servers.ts";
import { Wire } from "./wire.ts";

export const TITLES: Readonly<Record<ServerName, string>> = {
  solovs: "solovs",
  ovs: "ovs-vswitchd, ovs-ofctl",
};

export class SwitchUnderTest {
  private constructor(
    readonly name: ServerName,
    readonly sw: RunningSwitch,
    readonly hosts: readonly [Host, Host],
    private readonly directory: string,
  ) {}

  static async start(sandbox: Sandbox, name: ServerName): Promise<SwitchUnderTest> {
    const ns = await sandbox.netns(name);
    const hosts = [await addHost(sandbox, ns, 1), await addHost(sandbox, ns, 2)] as const;
    const [a, b] = hosts;
    await a.ns.ip(`neigh add ${b.ip} lladdr ${b.mac} dev eth0`);
    await b.ns.ip(`neigh add ${a.ip} lladdr ${a.mac} dev eth0`);
    const sw = name === "ovs"
      ? await StockSwitch.start(sandbox, ns)
      : await SolovsSwitch.start(sandbox, ns, "userspace");
    await sw.addBridge("br0");
    // Unless told, Open vSwitch numbers ports that come together in no order.
    for (const n of [1, 2]) {
      await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
    }
    return new SwitchUnderTest(name, sw, hosts, sandbox.tempDir("bench"));
  }

  get socket(): string {
    return `${this.sw.runDir}/br0.mgmt`;
  }

  connect(): Promise<Wire> {
    return Wire.connect(this.socket);
  }

  /** A place for a file. */
  file(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** Its own client, `ovs-ofctl` or `solovs ofctl`: how long it took, and its processor time, in ms. */
  async ofctl(words: readonly string[], output?: string): Promise<{ ms: number; cpuMs: number }> {
    const head = this.name === "ovs" ? ["ovs-ofctl"] : [...solovsCommand(), "ofctl"];
    const started = performance.now();
    const child = Bun.spawn([...head, ...words], {
      stdio: ["ignore", output === undefined ? "ignore" : Bun.file(output), "inherit"],
    });
    const code = await child.exited;
    const ms = performance.now() - started;
    if (code !== 0) throw new Error(`${head.join(" ")} ${words.join(" ")} ended with ${code}`);
    return { ms, cpuMs: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000 };
  }

  /** Processor time of all its threads so far, in ms (proc(5), `utime` and `stime` in ticks). */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.sw.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    return (fields[11]! + fields[12]!) * 10;
  }

  /** Resident memory in bytes (proc(5), `VmRSS`). */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.sw.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async stop(): Promise<void> {
    await this.sw.stop();
  }
}
