/**
 * A soak: mixed traffic through one switch while ports, flows and MAC addresses churn, for as long as
 * one likes; then the books are checked.
 *
 *     h1 ──p1──┐           ┌──p2── h2     a counted stream h1 → h2 by a rule that is changed all the time;
 *     h3 ──p3──┤  switch   ├──p4── h4     frames from random addresses; connections through conntrack;
 *     cables c0…c3 that come and go        TCP h3 → h4; ports that are added, removed and unplugged
 *
 * What must hold at the end:
 *
 * - **No lost counter.** The stream's rule counted what was sent in the stream. The switch counted of
 *   p1 what h1's device sent, and of p2 what h2's device got. (Frames that a socket had no room for are
 *   counted as dropped; the sums are with them.)
 * - **No leak.** The resident memory towards the end is not above that after the first part by more
 *   than `growth`.
 * - **No stuck flow.** With all hosts silent the datapath's flow table becomes empty.
 * - **No error in the log**, and the switch ends by itself.
 */
import { readFileSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import { udp } from "../support/frames.ts";
import { addHost, type Host } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { RawPort } from "../support/raw-port.ts";
import { Seeded } from "../support/seeded.ts";
import { SolovsSwitch } from "../support/switch.ts";

export interface SoakOptions {
  readonly seconds: number;
  readonly datapath: "userspace" | "ebpf";
  /** Memory that may be added after the first part, in MiB. */
  readonly growthMiB: number;
  readonly say?: (line: string) => void;
}

export interface SoakReport {
  readonly datapath: string;
  readonly seconds: number;
  readonly streamSent: number;
  readonly streamCounted: number;
  /** Packets that were dropped on their way from the kernel to the process, under a name each. */
  readonly puntsDropped: number;
  readonly received: Books;
  readonly transmitted: Books;
  readonly rounds: number;
  readonly memoryMiB: { readonly early: number; readonly late: number; readonly peak: number };
  readonly flowsAtMost: number;
  readonly flowsLeft: number;
  readonly tcpMiB: number;
  readonly errors: readonly string[];
}

/** A device's count beside the switch's of the same frames, drops being the switch's own. */
export interface Books {
  readonly device: number;
  readonly port: number;
  readonly dropped: number;
}

const TICK_MS = 10;
const CHURN_MS = 400;
const SAMPLE_MS = 1000;
const STREAM_PORT = 7777;
const TRACKED_PORT = 7778;
const STREAM_PER_TICK = 10;
const OTHERS_PER_TICK = 3;
const CABLES = 4;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const sandbox = await Sandbox.create();
  try {
    const run = new Soak(sandbox, options);
    await run.begin();
    await run.go();
    return await run.end();
  } finally {
    await sandbox.dispose();
  }
}

/** What is wrong with the books; none: all is well. */
export function faults(report: SoakReport, growthMiB: number): string[] {
  const found = [...report.errors];
  const { streamSent, streamCounted, received, transmitted, memoryMiB, flowsLeft } = report;
  // A frame that the switch had no room for, or dropped on its way, never met the rule.
  const lost = streamSent - streamCounted;
  const unseen = received.device - received.port - received.dropped;
  if (lost < 0 || lost > received.dropped + report.puntsDropped) {
    found.push(`the stream's rule counted ${streamCounted} of ${streamSent} packets`);
  }
  if (unseen !== 0) {
    found.push(
      `h1 sent ${received.device}, p1 got ${received.port} and dropped ${received.dropped}`,
    );
  }
  if (transmitted.port !== transmitted.device) {
    found.push(`p2 sent ${transmitted.port}, h2 got ${transmitted.device}`);
  }
  const growth = memoryMiB.late - memoryMiB.early;
  if (growth > growthMiB) {
    found.push(`memory grew from ${memoryMiB.early} MiB to ${memoryMiB.late} MiB`);
  }
  if (flowsLeft > 0) found.push(`${flowsLeft} datapath flows are stuck`);
  return found;
}

class Soak {
  private readonly random = new Seeded(0x50a4);
  private readonly hosts: Host[] = [];
  private readonly memory: number[] = [];
  private readonly errors: string[] = [];
  private sw!: SolovsSwitch;
  private raw!: RawPort;
  private streamSent = 0;
  private rounds = 0;
  private flowsAtMost = 0;
  private tcpMiB = 0;
  private stopped = false;
  private deviceBase = { sent: 0, got: 0 };
  private portBase = { rx: 0, tx: 0, dropped: 0 };

  constructor(private readonly sandbox: Sandbox, private readonly options: SoakOptions) {}

  async begin(): Promise<void> {
    const ns = await this.sandbox.netns("sw");
    for (let n = 1; n <= 4; n++) this.hosts.push(await addHost(this.sandbox, ns, n));
    this.sw = await SolovsSwitch.start(this.sandbox, ns, this.options.datapath);
    await this.sw.addBridge("br0");
    for (const { port } of this.hosts) await this.sw.clients.vsctl(`add-port br0 ${port}`);
    await this.sw.clients.addFlows(
      "br0",
      [
        `cookie=5,priority=200,in_port=p1,udp,tp_dst=${STREAM_PORT} actions=output:p2`,
        `priority=190,udp,tp_dst=${TRACKED_PORT} actions=ct(commit,zone=7),NORMAL`,
        "",
      ].join("\n"),
    );
    await this.sw.clients.flowsInForce();
    this.raw = new RawPort(this.hosts[0]!.ns, this.hosts[0]!.device);
    this.sandbox.defer(() => this.raw.close());
    this.deviceBase = this.devices();
    this.portBase = await this.ports();
  }

  async go(): Promise<void> {
    const end = performance.now() + this.options.seconds * 1000;
    const until = async (everyMs: number, work: () => Promise<void> | void): Promise<void> => {
      while (performance.now() < end && !this.stopped) {
        const next = performance.now() + everyMs;
        await work();
        await Bun.sleep(Math.max(1, next - performance.now()));
      }
    };
    await Promise.all([
      until(TICK_MS, () => this.send()),
      until(CHURN_MS, () => this.churn()),
      until(SAMPLE_MS, () => this.sample()),
      this.tcp(),
    ]);
  }

  async end(): Promise<SoakReport> {
    // All silent: what is under way arrives, and flows that nobody uses go.
    for (const { ns, device } of this.hosts.slice(2)) await ns.ip(`link set ${device} down`);
    let books = await this.books();
    await eventually("the counters stand still", async () => {
      const now = await this.books();
      const same = JSON.stringify(now) === JSON.stringify(books);
      books = now;
      return same && now.streamCounted + now.received.dropped >= this.streamSent;
    }, { timeoutMs: 20_000, everyMs: 1100 }).catch(() => {});
    for (const { ns, device } of this.hosts.slice(0, 2)) await ns.ip(`link set ${device} down`);
    let flowsLeft = Infinity;
    await eventually("no flow is left", async () => {
      flowsLeft = await this.flows();
      return flowsLeft === 0;
    }, { timeoutMs: 30_000, everyMs: 500 }).catch(() => {});
    const third = Math.max(1, Math.floor(this.memory.length / 3));
    const report: SoakReport = {
      datapath: this.options.datapath,
      seconds: this.options.seconds,
      streamSent: this.streamSent,
      ...books,
      rounds: this.rounds,
      memoryMiB: {
        early: median(this.memory.slice(third, 2 * third)),
        late: median(this.memory.slice(-third)),
        peak: Math.max(...this.memory),
      },
      flowsAtMost: this.flowsAtMost,
      flowsLeft,
      tcpMiB: Math.round(this.tcpMiB),
      errors: this.errors,
    };
    await this.sw.stop();
    for (const line of this.sw.log().split("\n")) {
      if (/\|(ERR|EMER)\|/.test(line)) this.errors.push(line);
    }
    return report;
  }

  private send(): void {
    const [from, to] = this.hosts as [Host, Host];
    const frame = (destination: number, source: string, size: number): Uint8Array =>
      udp({
        srcMac: source,
        dstMac: to.mac,
        srcIp: from.ip,
        dstIp: to.ip,
        srcPort: 1024 + this.random.next(2000),
        dstPort: destination,
        payload: new Uint8Array(size),
      });
    for (let i = 0; i < STREAM_PER_TICK; i++) {
      if (this.raw.send(frame(STREAM_PORT, from.mac, this.random.next(1400)))) this.streamSent++;
    }
    for (let i = 0; i < OTHERS_PER_TICK; i++) {
      const hex = () => this.random.next(256).toString(16).padStart(2, "0");
      this.raw.send(frame(9, `02:77:${hex()}:${hex()}:${hex()}:${hex()}`, 64));
      this.raw.send(frame(TRACKED_PORT, from.mac, 32));
    }
  }

  /** One thing after the other, over and over. */
  private async churn(): Promise<void> {
    const { clients, ns } = this.sw;
    const n = this.rounds++;
    const cable = `c${n % CABLES}`;
    try {
      const marks = n % 2 === 0 ? "mod_nw_tos:32," : "";
      await clients.ofctl("mod-flows", "br0", `cookie=5/-1,actions=${marks}output:p2`);
      const rules = Array.from(
        { length: 20 },
        (_, i) => `cookie=6,priority=${10 + i},ip,nw_dst=192.0.2.${(n + i) % 256} actions=drop`,
      );
      await clients.addFlows("br0", `${rules.join("\n")}\n`);
      if (await this.hasLink(ns, cable)) {
        // One half is unplugged while it is a port, the other half taken off first.
        if (n % 8 < 4) await ns.ip(`link del ${cable}`);
        await clients.vsctl("--if-exists", "del-port", "br0", cable);
        if (n % 8 >= 4) await ns.ip(`link del ${cable}`);
      } else {
        await this.sandbox.veth({ ns: this.hosts[1]!.ns, name: `x${cable}` }, { ns, name: cable });
        await clients.vsctl("--may-exist", "add-port", "br0", cable);
      }
      await clients.ofctl("del-flows", "br0", "cookie=6/-1");
      if (n % 16 === 15) await clients.appctl("fdb/flush", "br0");
    } catch (error) {
      this.errors.push(error instanceof Error ? error.message : String(error));
      this.stopped = this.errors.length > 20;
    }
  }

  private async sample(): Promise<void> {
    this.memory.push(residentMiB(this.sw.pid));
    if (this.memory.length % 3 === 0) {
      this.flowsAtMost = Math.max(this.flowsAtMost, await this.flows());
    }
    if (this.memory.length % 30 === 0) {
      this.options.say?.(
        `${this.memory.length} s: ${this.memory.at(-1)} MiB, ${this.streamSent} packets, ` +
          `${this.rounds} rounds`,
      );
    }
  }

  private async tcp(): Promise<void> {
    const [, , from, to] = this.hosts as [Host, Host, Host, Host];
    const server = to.ns.spawn(["iperf3", "-s", "-B", to.ip, "--forceflush"]);
    await eventually("iperf3 listens", () => server.log.includes("listening"));
    const end = performance.now() + this.options.seconds * 1000 - 3000;
    while (performance.now() < end && !this.stopped) {
      const argv = ["iperf3", "-c", to.ip, "-t", "2", "-b", "200M", "-J"];
      const result = await from.ns.run([...argv, "--connect-timeout", "3000"], {
        timeoutMs: 30_000,
      });
      const report = JSON.parse(result.stdout || "{}") as {
        end?: { sum_received?: { bytes: number } };
      };
      this.tcpMiB += (report.end?.sum_received?.bytes ?? 0) / 2 ** 20;
      await Bun.sleep(200);
    }
    server.signal("SIGTERM");
  }

  private async flows(): Promise<number> {
    const text = await this.sw.clients.appctl("dpctl/dump-flows");
    return text.split("\n").filter((line) => line.includes("actions:")).length;
  }

  private async books() {
    const devices = this.devices();
    const ports = await this.ports();
    const dump = await this.sw.clients.ofctl("dump-flows", "br0", "cookie=5/-1");
    return {
      puntsDropped: await this.puntsDropped(),
      streamCounted: Number(/n_packets=(\d+)/.exec(dump)?.[1] ?? -1),
      received: {
        device: devices.sent - this.deviceBase.sent,
        port: ports.rx - this.portBase.rx,
        dropped: ports.dropped - this.portBase.dropped,
      },
      transmitted: {
        device: devices.got - this.deviceBase.got,
        port: ports.tx - this.portBase.tx,
        dropped: 0,
      },
    };
  }

  private async puntsDropped(): Promise<number> {
    const text = await this.sw.clients.appctl("coverage/show");
    const totals = [...text.matchAll(/^dp_drop_punt_\w+\s.*total: (\d+)/gm)];
    return totals.reduce((sum, [, total]) => sum + Number(total), 0);
  }

  private devices(): { sent: number; got: number } {
    const count = ({ ns, device }: Host, what: string): number =>
      Number(ns.inside(() => deviceCount(device, what)));
    const [h1, h2] = this.hosts as [Host, Host];
    return { sent: count(h1, "tx_packets"), got: count(h2, "rx_packets") };
  }

  private async ports(): Promise<{ rx: number; tx: number; dropped: number }> {
    const text = await this.sw.clients.ofctl("dump-ports", "br0");
    const of = (port: number): RegExpExecArray | null =>
      new RegExp(`port\\s+${port}: rx pkts=(\\d+).*?drop=(\\d+)[\\s\\S]*?tx pkts=(\\d+)`).exec(
        text,
      );
    const [p1, p2] = [of(1), of(2)];
    return { rx: Number(p1?.[1]), dropped: Number(p1?.[2]), tx: Number(p2?.[3]) };
  }

  private async hasLink(ns: Namespace, name: string): Promise<boolean> {
    return await ns.link(name) !== undefined;
  }
}

/** A line of /proc/net/dev, which is the namespace's of who reads it. */
function deviceCount(device: string, what: string): number {
  const line = readFileSync("/proc/thread-self/net/dev", "utf8").split("\n")
    .find((each) => each.trim().startsWith(`${device}:`));
  const numbers = line?.split(":")[1]?.trim().split(/\s+/).map(Number) ?? [];
  return numbers[what === "rx_packets" ? 1 : 9] ?? NaN;
}

function residentMiB(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Math.round(Number(found?.[1] ?? 0) / 1024);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
