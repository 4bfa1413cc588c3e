/** The rows of the bench, and how one value of each is measured on one forwarder. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { iperf, ping } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { confine, type Forwarder } from "./forwarders.ts";

const GENERATOR = resolve(import.meta.dir, "generator.ts");

export interface Effort {
  /** Measured time of a packet-rate value, after a third of it as warm-up. */
  readonly packetSeconds: number;
  readonly tcpSeconds: number;
  readonly pings: number;
}

export interface Row {
  /** What `--rows` selects by. */
  readonly name: string;
  readonly title: string;
  readonly unit: "kpps" | "Gbit/s" | "ms";
  /** Several values may come from one measurement: row name → value. */
  measure(forwarder: Forwarder, effort: Effort): Promise<Readonly<Record<string, number>>>;
}

const allCpus = (): number[] => cpus().map((_, index) => index);

/** Packets the device has received, as the kernel counts them. */
function received(ns: Namespace, device: string): { packets: number; at: number } {
  const text = ns.inside(() => readFileSync("/proc/thread-self/net/dev", "utf8"));
  const at = performance.now();
  const line = text.split("\n").find((each) => each.trim().startsWith(`${device}:`));
  if (line === undefined) throw new Error(`no ${device} in /proc/net/dev`);
  return { packets: Number(line.slice(line.indexOf(":") + 1).trim().split(/\s+/)[1]), at };
}

/** The sender is alone on CPU 0, a forwarder in user space on the others. */
async function packetRate(
  forwarder: Forwarder,
  flows: number,
  size: number,
  effort: Effort,
): Promise<number> {
  const { from, to, pid } = forwarder;
  const others = allCpus().filter((cpu) => cpu !== 0);
  if (pid !== undefined && others.length > 0) confine(pid, others);
  const warmUp = effort.packetSeconds / 3;
  const seconds = warmUp + effort.packetSeconds + 0.8;
  const sender = from.ns.spawn([
    ...["taskset", "-c", "0", process.execPath, GENERATOR, from.device, to.mac],
    ...[String(flows), String(size), String(seconds)],
  ]);
  try {
    const idle = received(to.ns, to.device).packets;
    const deadline = performance.now() + 5000;
    while (received(to.ns, to.device).packets < idle + 100) {
      if (performance.now() > deadline || sender.exitCode !== undefined) {
        throw new Error(`nothing comes through ${forwarder.name}: ${sender.log}`);
      }
      await Bun.sleep(10);
    }
    await Bun.sleep(warmUp * 1000);
    const first = received(to.ns, to.device);
    await Bun.sleep(effort.packetSeconds * 1000);
    const last = received(to.ns, to.device);
    return (last.packets - first.packets) / (last.at - first.at);
  } finally {
    await sender.stop();
    if (pid !== undefined) confine(pid, allCpus());
  }
}

function packets(name: string, size: number, flows: number): Row {
  const flowText = flows === 1 ? "1 flow" : `${flows.toLocaleString("en")} flows`;
  return {
    name,
    title: `${size} B, ${flowText}`,
    unit: "kpps",
    measure: async (forwarder, effort) => ({
      [name]: await packetRate(forwarder, flows, size, effort),
    }),
  };
}

/**
 * Open vSwitch in user space hands partial checksums on unfinished, and TCP fails; for this
 * row, and for Open vSwitch only, the hosts' transmit checksum offload (and with it segmentation)
 * is switched off.
 */
async function tcp(forwarder: Forwarder, effort: Effort): Promise<number> {
  const hosts = [forwarder.from, forwarder.to];
  const offload = async (state: "on" | "off") => {
    if (forwarder.name !== "ovs") return;
    for (const host of hosts) await host.ns.must(["ethtool", "-K", host.device, "tx", state]);
  };
  await offload("off");
  try {
    const result = await iperf(forwarder.to, forwarder.from.ns, { seconds: effort.tcpSeconds });
    return result.gbitPerSec;
  } finally {
    await offload("on");
  }
}

/** Of the values that are numbers, between neighbours by proportion; NaN when there is none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const place = q * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return below + (above - below) * (place - Math.floor(place));
}

async function roundTrip(
  forwarder: Forwarder,
  effort: Effort,
): Promise<Readonly<Record<string, number>>> {
  const { from, to } = forwarder;
  const result = await ping(from.ns, to.ip, { count: effort.pings, intervalSec: 0.003 });
  // The first finds no flow yet.
  const rtts = result.rttsMs.slice(1);
  return { "rtt-median": quantile(rtts, 0.5), "rtt-p99": quantile(rtts, 0.99) };
}

export const ROWS: readonly Row[] = [
  packets("64-1", 64, 1),
  packets("64-10k", 64, 10_000),
  packets("1500-1", 1500, 1),
  packets("1500-10k", 1500, 10_000),
  {
    name: "tcp",
    title: "TCP, one stream",
    unit: "Gbit/s",
    measure: async (forwarder, effort) => ({ tcp: await tcp(forwarder, effort) }),
  },
  { name: "rtt-median", title: "ping RTT, median", unit: "ms", measure: roundTrip },
  { name: "rtt-p99", title: "ping RTT, p99", unit: "ms", measure: () => Promise.resolve({}) },
];
