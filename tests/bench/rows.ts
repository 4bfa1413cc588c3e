/**
 * The rows of the bench, and how one value of each is measured on one forwarder. BENCHMARKS.md says
 * what each means.
 */
import { ping } from "../support/hosts.ts";
import type { Sandbox } from "../support/netns.ts";
import type { Forwarder } from "./forwarders.ts";
import { accessList, everyFlowIsNew, tracked, underRules } from "./rules.ts";
import { tunnelRates } from "./tunnels.ts";
import {
  busySeconds,
  floodRate,
  generate,
  processorMs,
  rate,
  receiverOf,
  tcpRate,
} from "./traffic.ts";

export interface Effort {
  /** Measured time of a packet-rate value, after a third of it as warm-up. */
  readonly packetSeconds: number;
  readonly tcpSeconds: number;
  readonly pings: number;
  readonly numbers: FlowNumbers;
  readonly sandbox: Sandbox;
}

/** Gives out numbers of new flows: those of earlier measurements never come again. */
export class FlowNumbers {
  private next = 0;

  take(count: number): number {
    this.next += count;
    return this.next - count;
  }
}

/** Of times less is better, of all others more. */
export type Unit = "kpps" | "Gbit/s" | "ms" | "µs" | "kflows/s" | "kconn/s" | "×";

export interface Row {
  /** What `--rows` selects by. */
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
}

/** What gives the values of one row or of several at once. */
export interface Whole {
  readonly rows: readonly Row[];
  /** Row name → value. A row that means nothing for this forwarder is left out. */
  measure(forwarder: Forwarder, effort: Effort): Promise<Readonly<Record<string, number>>>;
}

/**
 * Times so short that the machine's mood of the second decides: all forwarders are sampled in many short
 * turns, so that each meets the same moods, and a row is a quantile of all samples of a round.
 */
export interface Sampled {
  readonly rows: readonly (Row & { readonly quantile: number })[];
  sample(forwarder: Forwarder, effort: Effort, turns: number): Promise<readonly number[]>;
}

export type Measurement = Whole | Sampled;

/** Turns of a round that forwarders are sampled in. */
export const TURNS = 10;

/** Offered where processor time is compared: what every forwarder sustains. */
const OFFERED = 50_000;
/** Packets of new flows on their way at once. */
const WINDOW = 256;
/** Bursts before that of new flows which is measured: a switch runs for months, a compiler for seconds. */
const WARM_UPS = 3;
/** New flows a measurement at most: with those of the round before within the usual flow limit. */
const NEW_FLOWS = 80_000;

function packets(name: string, size: number, flows: number): Whole {
  const flowText = flows === 1 ? "1 flow" : `${flows.toLocaleString("en")} flows`;
  return {
    rows: [{ name, title: `${size} B, ${flowText}`, unit: "kpps" }],
    measure: async (forwarder, { packetSeconds }) => ({
      [name]: await floodRate({
        forwarder,
        job: { mode: "flood", flows, size },
        seconds: packetSeconds,
      }),
    }),
  };
}

function throughAccessList(name: string, flows: number, title: string): Whole {
  const plain = packets(name, 64, flows);
  return {
    rows: [{ name, title: `64 B, ${title}, 100 rules in 3 tables`, unit: "kpps" }],
    measure: (forwarder, effort) =>
      underRules(forwarder, accessList(), () => plain.measure(forwarder, effort)),
  };
}

/** Of the values that are numbers, between neighbours by proportion; NaN when there is none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const place = q * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return below + (above - below) * (place - Math.floor(place));
}

async function roundTrips(
  { from, to }: Forwarder,
  { pings }: Effort,
  turns: number,
): Promise<readonly number[]> {
  const count = Math.ceil(pings / turns);
  const result = await ping(from.ns, to.ip, { count, intervalSec: 0.003 });
  // The first finds no flow yet.
  return result.rttsMs.slice(1);
}

async function machineTime(
  forwarder: Forwarder,
  { packetSeconds }: Effort,
): Promise<Readonly<Record<string, number>>> {
  const { from, to } = forwarder;
  const job = { mode: "flood", flows: 100, rate: OFFERED } as const;
  const { packets, around } = await rate(forwarder, [{ job, from, to, cpu: 0 }], {
    seconds: packetSeconds * 1.5,
    confined: true,
    begin: busySeconds,
    end: (begun) => {
      const now = busySeconds();
      return { at: now.at - begun.at, idle: now.idle - begun.idle };
    },
  });
  const busy = around.at * navigator.hardwareConcurrency - around.idle;
  if (packets < 0.95 * OFFERED * around.at) {
    throw new Error(`only ${Math.round(packets / around.at)} of ${OFFERED} packets/s came`);
  }
  return { "cpu-64": busy / packets * 1e6 };
}

async function twoSenders(
  forwarder: Forwarder,
  { packetSeconds }: Effort,
): Promise<Readonly<Record<string, number>>> {
  const job = { mode: "flood", flows: 1 } as const;
  const second = { ...job, sender: 3 };
  const none = () => undefined;
  const options = { seconds: packetSeconds, confined: false, begin: none, end: none };
  const { from, to, more } = forwarder;
  const one = await rate(forwarder, [{ job, from, to, cpu: 0 }], options);
  const both = [{ job, from, to, cpu: 0 }, { ...more, job: second, cpu: 1 }];
  const two = await rate(forwarder, both, options);
  return { "two-senders": two.perMs, "two-senders-scale": two.perMs / one.perMs };
}

async function newFlows(
  forwarder: Forwarder,
  { packetSeconds, numbers }: Effort,
): Promise<Readonly<Record<string, number>>> {
  const { clients, process } = forwarder;
  if (!clients || process === undefined) return {};
  return await underRules(forwarder, everyFlowIsNew(), async () => {
    const burst = async (seconds: number) => {
      const job = { mode: "fresh", seconds, window: WINDOW, count: NEW_FLOWS } as const;
      const first = numbers.take(NEW_FLOWS);
      return await generate(forwarder, { ...job, first, receiver: receiverOf(forwarder) });
    };
    for (let i = 0; i < WARM_UPS; i++) {
      await burst(packetSeconds);
      await clients.appctl("dpctl/del-flows");
    }
    const before = processorMs(process);
    const { received = 0, seconds } = await burst(packetSeconds);
    const spent = processorMs(process) - before;
    return {
      "new-flows": received / seconds / 1000,
      "new-flows-cpu": spent * 1000 / Math.max(1, received),
    };
  });
}

function firstPackets(
  forwarder: Forwarder,
  { pings, numbers }: Effort,
  turns: number,
): Promise<readonly number[]> {
  return underRules(forwarder, everyFlowIsNew(), async () => {
    const count = Math.ceil(pings / 2 / turns);
    const first = numbers.take(count);
    const job = { mode: "one", seconds: 0, count, pauseMs: 3, first } as const;
    const report = await generate(forwarder, { ...job, receiver: receiverOf(forwarder) });
    return report.tookMs ?? [];
  });
}

async function newConnections(
  forwarder: Forwarder,
  { packetSeconds, numbers }: Effort,
): Promise<Readonly<Record<string, number>>> {
  const { clients, process } = forwarder;
  if (!clients || process === undefined) return {};
  return await underRules(forwarder, tracked(), async () => {
    await clients.appctl("dpctl/flush-conntrack");
    const { from, to } = forwarder;
    const job = { mode: "fresh", tcp: true, first: numbers.take(4_000_000) } as const;
    const { packets, perMs, around } = await rate(forwarder, [{ job, from, to, cpu: 0 }], {
      seconds: packetSeconds,
      confined: true,
      begin: () => processorMs(process),
      end: (begun) => processorMs(process) - begun,
    });
    await clients.appctl("dpctl/flush-conntrack");
    return { "ct-new": perMs, "ct-new-cpu": around * 1000 / packets };
  });
}

async function trackedTcp(
  forwarder: Forwarder,
  { tcpSeconds }: Effort,
): Promise<Readonly<Record<string, number>>> {
  if (!forwarder.clients) return {};
  return await underRules(forwarder, tracked(), async () => ({
    "ct-tcp": await tcpRate(forwarder, tcpSeconds),
  }));
}

export const MEASUREMENTS: readonly Measurement[] = [
  packets("64-1", 64, 1),
  packets("64-10k", 64, 10_000),
  packets("1500-1", 1500, 1),
  packets("1500-10k", 1500, 10_000),
  throughAccessList("acl-1", 1, "1 flow"),
  throughAccessList("acl-10k", 10_000, "10,000 flows"),
  {
    rows: [
      { name: "two-senders", title: "64 B, two senders on two cores", unit: "kpps" },
      { name: "two-senders-scale", title: "two senders ÷ one sender", unit: "×" },
    ],
    measure: twoSenders,
  },
  {
    rows: [{ name: "cpu-64", title: "processor time a packet, whole machine", unit: "µs" }],
    measure: machineTime,
  },
  {
    rows: [{ name: "tcp", title: "TCP, one stream", unit: "Gbit/s" }],
    measure: async (forwarder, { tcpSeconds }) => ({ tcp: await tcpRate(forwarder, tcpSeconds) }),
  },
  {
    rows: [
      { name: "tcp-vxlan", title: "TCP through VXLAN, two switches", unit: "Gbit/s" },
      { name: "tcp-geneve", title: "TCP through Geneve, two switches", unit: "Gbit/s" },
    ],
    measure: ({ name }, { sandbox, tcpSeconds }) => tunnelRates(sandbox, name, tcpSeconds),
  },
  {
    rows: [
      { name: "rtt-median", title: "ping RTT, median", unit: "ms", quantile: 0.5 },
      { name: "rtt-p99", title: "ping RTT, p99", unit: "ms", quantile: 0.99 },
    ],
    sample: roundTrips,
  },
  {
    rows: [
      {
        name: "first-packet",
        title: "first packet of a flow, one way, median",
        unit: "ms",
        quantile: 0.5,
      },
      {
        name: "first-packet-p99",
        title: "first packet of a flow, one way, p99",
        unit: "ms",
        quantile: 0.99,
      },
    ],
    sample: firstPackets,
  },
  {
    rows: [
      { name: "new-flows", title: "new flows, every packet misses", unit: "kflows/s" },
      { name: "new-flows-cpu", title: "– the switch's processor time a flow", unit: "µs" },
    ],
    measure: newFlows,
  },
  {
    rows: [
      { name: "ct-new", title: "new connections through ct(commit)", unit: "kconn/s" },
      { name: "ct-new-cpu", title: "– the switch's processor time a connection", unit: "µs" },
    ],
    measure: newConnections,
  },
  {
    rows: [{ name: "ct-tcp", title: "TCP through ct(commit)", unit: "Gbit/s" }],
    measure: trackedTcp,
  },
];
