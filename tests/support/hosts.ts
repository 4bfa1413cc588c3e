/** Hosts beside the switch: namespaces with an address, a cable to the switch, ping and iperf3. */
import { eventually } from "./eventually.ts";
import type { Namespace, Sandbox } from "./netns.ts";

export interface Host {
  readonly ns: Namespace;
  /** The host's end of the cable. */
  readonly device: string;
  /** The switch's end, in the switch's namespace. */
  readonly port: string;
  readonly ip: string;
  readonly mac: string;
}

/**
 * A host with address 10.0.0.N/24 and MAC 02:00:00:00:00:N on `eth0`, whose cable ends at `pN` in
 * the switch's namespace (MAC 02:00:00:00:01:N).
 */
export async function addHost(sandbox: Sandbox, sw: Namespace, n: number): Promise<Host> {
  const ns = await sandbox.netns(`h${n}`);
  const hex = n.toString(16).padStart(2, "0");
  const mac = `02:00:00:00:00:${hex}`;
  const port = `p${n}`;
  await sandbox.veth({ ns, name: "eth0", address: mac }, {
    ns: sw,
    name: port,
    address: `02:00:00:00:01:${hex}`,
  });
  const ip = `10.0.0.${n}`;
  await ns.ip(`addr add ${ip}/24 dev eth0`);
  return { ns, device: "eth0", port, ip, mac };
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  readonly rttsMs: readonly number[];
  /** Highest sequence number that an answer came for; 0: none did. */
  readonly lastAnswered: number;
  readonly text: string;
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalSec?: number;
  readonly sizeBytes?: number;
  readonly dontFragment?: boolean;
  /** Seconds to wait for the answer to each. */
  readonly waitSec?: number;
}

function pingArguments(to: string, options: PingOptions): string[] {
  const { count = 3, intervalSec = 0.05, sizeBytes = 56, waitSec = 1 } = options;
  return [
    ...["ping", "-n", "-c", String(count), "-i", String(intervalSec), "-s", String(sizeBytes)],
    ...["-W", String(waitSec), ...(options.dontFragment === true ? ["-M", "do"] : []), to],
  ];
}

export function parsePing(text: string): PingResult {
  const totals = /(\d+) packets transmitted, (\d+) received/.exec(text);
  const rttsMs = [...text.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]));
  const sequence = [...text.matchAll(/icmp_seq=(\d+) ttl/g)].map((match) => Number(match[1]));
  return {
    sent: Number(totals?.[1] ?? 0),
    received: Number(totals?.[2] ?? 0),
    duplicates: [...text.matchAll(/DUP!/g)].length,
    rttsMs,
    lastAnswered: Math.max(0, ...sequence),
    text,
  };
}

export async function ping(
  from: Namespace,
  to: string,
  options: PingOptions = {},
): Promise<PingResult> {
  const result = await from.run(pingArguments(to, options), { timeoutMs: 60_000 });
  return parsePing(result.stdout + result.stderr);
}

/** A ping in the background while something else happens; `finish` gives its result. */
export function pingMeanwhile(from: Namespace, to: string, options: PingOptions = {}): {
  /** Resolves when so many more than now have been answered. */
  answered(more: number): Promise<void>;
  finish(): Promise<PingResult>;
} {
  const child = from.spawn(pingArguments(to, { ...options, count: 100_000 }));
  return {
    async answered(more) {
      const wanted = parsePing(child.log).rttsMs.length + more;
      await eventually(
        `${more} more pings are answered`,
        () => parsePing(child.log).rttsMs.length >= wanted,
        { timeoutMs: 30_000 },
      );
    },
    async finish() {
      child.signal("SIGINT");
      await child.ended(5000);
      return parsePing(child.log);
    },
  };
}

/** True as soon as one echo comes back. */
export async function reaches(from: Namespace, to: string, timeoutMs = 5000): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (performance.now() < end) {
    if ((await ping(from, to, { count: 1 })).received === 1) return true;
  }
  return false;
}

export interface IperfOptions {
  readonly seconds?: number;
  readonly udp?: boolean;
  readonly reverse?: boolean;
  readonly extra?: readonly string[];
}

export interface IperfResult {
  readonly gbitPerSec: number;
  readonly retransmits: number;
  readonly lostPercent: number;
}

/** One iperf3 run; the rate is what the receiver counted. Throws with iperf3's own error text. */
export async function iperf(
  server: Host | { ns: Namespace; ip: string },
  client: Namespace,
  options: IperfOptions = {},
): Promise<IperfResult> {
  const listening = server.ns.spawn(["iperf3", "-s", "-1", "--forceflush", "-B", server.ip]);
  try {
    await eventually("iperf3 listens", () => listening.log.includes("listening"));
    const seconds = options.seconds ?? 1;
    const argv = [
      ...["iperf3", "-c", server.ip, "-t", String(seconds), "-J", "--connect-timeout", "3000"],
      ...(options.udp === true ? ["-u", "-b", "10M", "-l", "1200"] : []),
      ...(options.reverse === true ? ["-R"] : []),
      ...(options.extra ?? []),
    ];
    const result = await client.run(argv, { timeoutMs: (seconds + 15) * 1000 });
    const report = JSON.parse(result.stdout) as {
      error?: string;
      end?: {
        sum_received?: { bits_per_second: number };
        sum_sent?: { retransmits?: number };
        sum?: { lost_percent: number; bits_per_second: number };
      };
    };
    if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`);
    return {
      gbitPerSec: (report.end?.sum_received?.bits_per_second ??
        report.end?.sum?.bits_per_second ?? 0) / 1e9,
      retransmits: report.end?.sum_sent?.retransmits ?? 0,
      lostPercent: report.end?.sum?.lost_percent ?? 0,
    };
  } finally {
    await listening.stop();
  }
}
