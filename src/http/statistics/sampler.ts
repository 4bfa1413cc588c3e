/**
 * What moves through the switch: every READ_EVERY_MS the ports' counters are read, and their
 * differences become rates. Listeners get each reading; every tenth second's go into the rings.
 *
 * A counter that went back (a port that was attached anew) counts from zero; a reading that comes
 * late is divided by the time that has really passed.
 */
import type { Logger } from "../../log/log.ts";
import type { PortReading } from "../../slowpath/observe.ts";
import type { Vswitch } from "../../slowpath/vswitch.ts";
import { average, busiest, FINE, type Rings, type Sample, type Traffic } from "./ring.ts";

const READ_EVERY_MS = 2000;
/** Readings that a listener can go on from. */
const KEPT = 30;

export interface PortRates extends PortReading {
  readonly rxBps: number;
  readonly txBps: number;
  readonly rxPps: number;
  readonly txPps: number;
}

export interface Reading {
  /** For `Last-Event-ID`; ids of another run of the process mean nothing here. */
  readonly id: string;
  readonly timeMs: number;
  readonly ports: readonly PortRates[];
  readonly total: Traffic;
  /** Packets a second that the cache answered, that it did not, and that were dropped. */
  readonly hits: number;
  readonly misses: number;
  readonly drops: number;
  /** OpenFlow flows of all bridges; datapath flows now. */
  readonly flows: number;
  readonly datapathFlows: number;
}

type Counters = Readonly<Record<string, number>>;

const sumOf = (counters: Counters, test: (name: string) => boolean): number =>
  Object.entries(counters).reduce((sum, [name, value]) => test(name) ? sum + value : sum, 0);

export interface SamplerOptions {
  readonly vswitch: Pick<Vswitch, "observe" | "operate" | "bridges">;
  readonly rings: Rings;
  readonly logger: Logger;
  readonly now?: () => number;
}

export class Sampler {
  readonly rings: Rings;
  private readonly run = crypto.randomUUID().slice(0, 8);
  private readonly kept: Reading[] = [];
  private readonly listeners = new Set<(reading: Reading) => void>();
  private readonly now: () => number;
  private count = 0;
  private before: { timeMs: number; ports: Map<string, PortReading>; counters: Counters };
  private parts: Sample[] = [];
  private failed = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly options: SamplerOptions) {
    this.rings = options.rings;
    this.now = options.now ?? Date.now;
    this.before = this.readNow();
  }

  start(): void {
    this.timer = setInterval(() => this.read(), READ_EVERY_MS);
    this.timer.unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** Takes a reading and tells it. The timer calls this. */
  read(): Reading {
    const reading = this.measure();
    this.kept.push(reading);
    if (this.kept.length > KEPT) this.kept.shift();
    for (const listener of this.listeners) listener(reading);
    this.sample(reading);
    return reading;
  }

  get last(): Reading {
    return this.kept.at(-1) ?? this.read();
  }

  since(id: string): readonly Reading[] | undefined {
    const at = this.kept.findIndex((reading) => reading.id === id);
    return at < 0 ? undefined : this.kept.slice(at + 1);
  }

  listen(listener: (reading: Reading) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  private readNow() {
    const { vswitch } = this.options;
    const ports = vswitch.observe.ports();
    return {
      timeMs: this.now(),
      ports: new Map(ports.map((port) => [`${port.bridge}/${port.name}`, port])),
      counters: vswitch.operate.counters(),
    };
  }

  private measure(): Reading {
    const { before } = this;
    const now = this.readNow();
    this.before = now;
    const seconds = Math.max(0.1, (now.timeMs - before.timeMs) / 1000);
    const rate = (value: number, old: number): number =>
      Math.round((value >= old ? value - old : value) / seconds);
    const ports = [...now.ports].map(([key, port]): PortRates => {
      // What a new port has counted was not within this step alone.
      const old = before.ports.get(key) ?? port;
      return {
        ...port,
        rxBps: rate(port.rxBytes * 8, old.rxBytes * 8),
        txBps: rate(port.txBytes * 8, old.txBytes * 8),
        rxPps: rate(port.rxPackets, old.rxPackets),
        txPps: rate(port.txPackets, old.txPackets),
      };
    });
    // What crosses a patch was received from a device before: it is not counted twice.
    const real = ports.filter(({ kind }) => kind !== "patch");
    const sum = (key: "rxBps" | "txBps" | "rxPps" | "txPps"): number =>
      real.reduce((all, port) => all + port[key], 0);
    const counted = (test: (name: string) => boolean): number =>
      rate(sumOf(now.counters, test), sumOf(before.counters, test));
    return {
      id: `${this.run}-${++this.count}`,
      timeMs: now.timeMs,
      ports,
      total: [sum("rxBps"), sum("txBps"), sum("rxPps"), sum("txPps")],
      hits: counted((name) => name === "dp_exact_hit" || name === "dp_masked_hit"),
      misses: counted((name) => name === "dp_miss"),
      drops: counted((name) => name.startsWith("dp_drop_")),
      flows: this.options.vswitch.bridges().reduce((all, { flows }) => all + flows, 0),
      datapathFlows: now.counters["megaflow_now"] ?? 0,
    };
  }

  private sample({ timeMs, ports, total, hits, misses, drops }: Reading): void {
    const byPort = ports.map(({ bridge, name, rxBps, txBps, rxPps, txPps }) =>
      [`${bridge}/${name}`, [rxBps, txBps, rxPps, txPps]] as const
    );
    this.parts.push({ timeMs, total, ports: busiest(byPort), hits, misses, drops });
    if (this.parts.length * READ_EVERY_MS < FINE.stepSeconds * 1000) return;
    try {
      this.rings.add(average(this.parts.splice(0), timeMs));
      this.failed = false;
    } catch (error) {
      // A full disk: said once, not every minute.
      if (!this.failed) this.options.logger.warn(`statistics are not kept: ${String(error)}`);
      this.failed = true;
    }
  }
}
