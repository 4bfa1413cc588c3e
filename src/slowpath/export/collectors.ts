/**
 * Where records go: collectors, by UDP. A datagram that the kernel would not take, or that the other
 * end refused (ICMP, heard of later), is lost and counted; nothing is kept to be sent again.
 *
 * A target is `IP`, `IP:PORT`, or `[IPV6]:PORT`; names are not looked up, for nothing here may wait.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";

/** A collector that cannot be reached is told of so often. */
const COMPLAIN_EVERY_MS = 60_000;
/** More targets than that are left out: each costs a datagram a record. */
const MAX_TARGETS = 64;

export interface CollectorTarget {
  readonly host: string;
  readonly port: number;
}

/** `defaultPort`: undefined where the target must name one. */
export function parseCollector(text: string, defaultPort?: number): CollectorTarget | undefined {
  const parts = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text) ??
    /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ??
    /^([0-9a-fA-F:.]+)()$/.exec(text);
  const host = parts?.[1] ?? "";
  const port = parts?.[2] ? Number(parts[2]) : defaultPort;
  if (isIP(host) === 0 || port === undefined || port < 1 || port > 0xffff) return undefined;
  return { host, port };
}

interface Collector {
  readonly name: string;
  readonly socket: Socket;
  complainedMs: number;
}

export interface CollectorsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly defaultPort?: number;
}

export class Collectors {
  /** Datagrams handed over, and those of which it turned out that they did not arrive. */
  readonly counters = { sent: 0, errors: 0 };

  private constructor(
    private readonly options: CollectorsOptions,
    private readonly collectors: Collector[] = [],
  ) {}

  /** Opens all that can be; the log says which cannot. Undefined: none. */
  static async open(
    targets: readonly string[],
    options: CollectorsOptions,
  ): Promise<Collectors | undefined> {
    const collectors = new Collectors(options);
    for (const [i, name] of [...new Set(targets)].sort().entries()) {
      const target = parseCollector(name, options.defaultPort);
      if (!target) collectors.refuse(name, "not an IP address and port");
      else if (i >= MAX_TARGETS) collectors.refuse(name, `more than ${MAX_TARGETS}`);
      else await collectors.add(name, target);
    }
    return collectors.size > 0 ? collectors : undefined;
  }

  get size(): number {
    return this.collectors.length;
  }

  /** The address that the host uses towards the first of them. */
  get localAddress(): string | undefined {
    return this.collectors[0]?.socket.address().address;
  }

  /** To each of them. */
  send(datagram: Uint8Array): void {
    for (const collector of this.collectors) {
      this.counters.sent++;
      collector.socket.send(datagram, (error) => {
        if (error) this.failed(collector, error);
      });
    }
  }

  close(): void {
    for (const { socket } of this.collectors.splice(0)) socket.close();
  }

  private async add(name: string, { host, port }: CollectorTarget): Promise<void> {
    const socket = createSocket(isIP(host) === 6 ? "udp6" : "udp4");
    const collector = { name, socket, complainedMs: -Infinity };
    socket.on("error", (error) => this.failed(collector, error));
    socket.unref();
    const failure = await new Promise<unknown>((resolve) => {
      socket.once("error", resolve);
      // The callback gets an error, too, though it is not declared so.
      socket.connect(port, host, (error?: unknown) => resolve(error));
    });
    if (failure) {
      this.refuse(name, describe(failure));
      socket.close();
    } else this.collectors.push(collector);
  }

  private refuse(name: string, why: string): void {
    this.options.log.warn(`couldn't open connection to collector ${name} (${why})`);
  }

  private failed(collector: Collector, error: Error): void {
    this.counters.errors++;
    const { clock, log } = this.options;
    const now = clock.now();
    if (now - collector.complainedMs < COMPLAIN_EVERY_MS) return;
    collector.complainedMs = now;
    log.warn(`${collector.name}: sending to collector failed (${describe(error)})`);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
