/** Traffic between a forwarder's hosts, and what is counted of it. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import type { Background } from "../support/exec.ts";
import { type Host, iperf } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { confine, type Forwarder } from "./forwarders.ts";
import type { Job, Receiver, Report } from "./generator.ts";

const GENERATOR = resolve(import.meta.dir, "generator.ts");

export const allCpus = (): number[] => cpus().map((_, index) => index);

/** Packets the device has received, as the kernel counts them. */
export function received(ns: Namespace, device: string): { packets: number; at: number } {
  const text = ns.inside(() => readFileSync("/proc/thread-self/net/dev", "utf8"));
  const at = performance.now();
  const line = text.split("\n").find((each) => each.trim().startsWith(`${device}:`));
  if (line === undefined) throw new Error(`no ${device} in /proc/net/dev`);
  return { packets: Number(line.slice(line.indexOf(":") + 1).trim().split(/\s+/)[1]), at };
}

export interface Offered {
  readonly job: Omit<Job, "device" | "mac" | "seconds">;
  readonly from: Host;
  readonly to: Host;
  /** The CPU of the sender. */
  readonly cpu: number;
}

export interface Taken<T> {
  /** Packets that came, a millisecond. */
  readonly perMs: number;
  readonly packets: number;
  /** What `around` measured in the same time. */
  readonly around: T;
}

/**
 * What comes through while senders send, each on its CPU; a third of the time before is for warming
 * up. With `confined` a forwarder in user space has the other CPUs for itself.
 */
export async function rate<T>(
  forwarder: Forwarder,
  senders: readonly Offered[],
  { seconds, confined, begin, end }: {
    readonly seconds: number;
    readonly confined: boolean;
    readonly begin: () => T;
    readonly end: (begun: T) => T;
  },
): Promise<Taken<T>> {
  const { pid } = forwarder;
  const others = allCpus().filter((cpu) => !senders.some((each) => each.cpu === cpu));
  if (confined && pid !== undefined && others.length > 0) confine(pid, others);
  const warmUp = seconds / 3;
  const count = () => senders.map(({ to }) => received(to.ns, to.device));
  const idle = count();
  const running = senders.map(({ job, from, to, cpu }) => {
    const whole = { ...job, device: from.device, mac: to.mac, seconds: seconds + warmUp + 0.8 };
    return from.ns.spawn([
      ...["taskset", "-c", String(cpu), process.execPath, GENERATOR, JSON.stringify(whole)],
    ]);
  });
  try {
    const deadline = performance.now() + 5000;
    while (count().some(({ packets }, i) => packets < idle[i]!.packets + 100)) {
      const ended = running.find(({ exitCode }) => exitCode !== undefined);
      if (ended || performance.now() > deadline) {
        throw new Error(`nothing comes through ${forwarder.name}: ${ended?.log ?? ""}`);
      }
      await Bun.sleep(10);
    }
    await Bun.sleep(warmUp * 1000);
    const begun = begin();
    const first = count();
    await Bun.sleep(seconds * 1000);
    const last = count();
    const around = end(begun);
    let [packets, perMs] = [0, 0];
    last.forEach((each, i) => {
      const more = each.packets - first[i]!.packets;
      packets += more;
      perMs += more / (each.at - first[i]!.at);
    });
    return { packets, perMs, around };
  } finally {
    await Promise.all(running.map((each) => each.stop()));
    if (confined && pid !== undefined) confine(pid, allCpus());
  }
}

/** `rate` of one sender on CPU 0, in packets a millisecond. */
export async function floodRate(
  { forwarder, job, seconds }: {
    readonly forwarder: Forwarder;
    readonly job: Offered["job"];
    readonly seconds: number;
  },
): Promise<number> {
  const { from, to } = forwarder;
  const none = () => undefined;
  const options = { seconds, confined: true, begin: none, end: none };
  return (await rate(forwarder, [{ job, from, to, cpu: 0 }], options)).perMs;
}

export function receiverOf({ to }: Forwarder): Receiver {
  return { namespace: `/run/netns/${to.ns.name}`, device: to.device };
}

/** Starts the generator. */
export function spawnGenerator(
  { from, to }: Forwarder,
  job: Omit<Job, "device" | "mac">,
): Background {
  const whole: Job = { ...job, device: from.device, mac: to.mac };
  return from.ns.spawn([process.execPath, GENERATOR, JSON.stringify(whole)]);
}

/** Runs the generator to its end. */
export async function generate(
  { from, to }: Forwarder,
  job: Omit<Job, "device" | "mac">,
): Promise<Report> {
  const whole: Job = { ...job, device: from.device, mac: to.mac };
  const text = await from.ns.must([process.execPath, GENERATOR, JSON.stringify(whole)], {
    timeoutMs: job.seconds * 1000 + 30_000,
  });
  return JSON.parse(text) as Report;
}

/**
 * Open vSwitch in user space hands partial checksums on unfinished, and TCP fails; for Open vSwitch
 * only, the hosts' transmit checksum offload (and with it segmentation) is switched off meanwhile.
 */
export async function tcpRate(forwarder: Forwarder, seconds: number): Promise<number> {
  const hosts = [forwarder.from, forwarder.to];
  const offload = async (state: "on" | "off") => {
    if (forwarder.name !== "ovs") return;
    for (const host of hosts) await host.ns.must(["ethtool", "-K", host.device, "tx", state]);
  };
  await offload("off");
  try {
    const result = await iperf(forwarder.to, forwarder.from.ns, { seconds });
    return result.gbitPerSec;
  } finally {
    await offload("on");
  }
}

/**
 * Seconds that all CPUs together were busy so far. Idle time is counted exactly (proc(5), /proc/stat),
 * busy time by samples: so it is what is left of the time that passed.
 */
export function busySeconds(): { readonly at: number; readonly idle: number } {
  const fields = readFileSync("/proc/stat", "utf8").split("\n")[0]!.trim().split(/\s+/).map(Number);
  return { at: performance.now() / 1000, idle: (fields[4]! + fields[5]!) / 100 };
}

/** Processor time of all threads of a process so far, in milliseconds (schedstat: nanoseconds). */
export function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  return (fields[11]! + fields[12]!) * 10;
}
