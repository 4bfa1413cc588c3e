/**
 * Samples of traffic in rings: the last hour fine, in memory; the last day and month coarser, in the
 * database's file. A ring never grows: a new sample takes the oldest one's slot.
 *
 *     every 10 s, 1 h (memory)  ──average──>  every minute, 24 h  ──average──>  every 15 min, 30 days
 *
 * One row a minute is written; a write that fails is told to the caller and costs one sample.
 */
import { and, asc, eq, gt } from "drizzle-orm";
import type { SideTables } from "../../db/storage/side-tables.ts";
import { statisticsMigrations } from "./migrations.ts";
import { samples } from "./tables.ts";

/** Averages over a step: [received bits/s, sent bits/s, received packets/s, sent packets/s]. */
export type Traffic = readonly [rxBps: number, txBps: number, rxPps: number, txPps: number];

export interface Sample {
  /** Milliseconds since 1970: the step's end. */
  readonly timeMs: number;
  readonly total: Traffic;
  /** The busiest ports, `BRIDGE/PORT`. */
  readonly ports: Readonly<Record<string, Traffic>>;
  /** Packets a second that the cache answered, and that it did not. */
  readonly hits: number;
  readonly misses: number;
  readonly drops: number;
}

/** Ports in one sample: bounds what is stored. */
export const MOST_PORTS = 32;

interface Ring {
  readonly stepSeconds: number;
  readonly slots: number;
}
export const FINE: Ring = { stepSeconds: 10, slots: 360 };
const STORED: readonly Ring[] = [
  { stepSeconds: 60, slots: 1440 },
  { stepSeconds: 900, slots: 2880 },
];
/** The longest span that can be asked for, seconds. */
export const LONGEST_SPAN_S = 900 * 2880;

const mean = (values: readonly number[], over: number): number =>
  Math.round(values.reduce((sum, value) => sum + value, 0) / Math.max(1, over));

function meanTraffic(all: readonly Traffic[], over: number): Traffic {
  const column = (i: 0 | 1 | 2 | 3): number => mean(all.map((one) => one[i]), over);
  return [column(0), column(1), column(2), column(3)];
}

/** One sample for several. A port that was not among the busiest in a part counts as idle there. */
export function average(parts: readonly Sample[], timeMs: number): Sample {
  const byPort = new Map<string, Traffic[]>();
  for (const { ports } of parts) {
    for (const [name, traffic] of Object.entries(ports)) {
      const known = byPort.get(name);
      if (known === undefined) byPort.set(name, [traffic]);
      else known.push(traffic);
    }
  }
  const ports = [...byPort].map(([name, all]): [string, Traffic] => [
    name,
    meanTraffic(all, parts.length),
  ]);
  const numbers = (key: "hits" | "misses" | "drops"): number =>
    mean(parts.map((part) => part[key]), parts.length);
  return {
    timeMs,
    total: meanTraffic(parts.map(({ total }) => total), parts.length),
    ports: busiest(ports),
    hits: numbers("hits"),
    misses: numbers("misses"),
    drops: numbers("drops"),
  };
}

export function busiest(ports: readonly (readonly [string, Traffic])[]): Sample["ports"] {
  const sorted = [...ports].sort(([, a], [, b]) => b[0] + b[1] - a[0] - a[1]);
  return Object.fromEntries(sorted.slice(0, MOST_PORTS));
}

export class Rings {
  private readonly fine: Sample[] = [];
  /** What the next row of each stored ring is made of. */
  private readonly pending: Sample[][] = STORED.map(() => []);

  /** Throws `StorageError` when the table cannot be made. Without side tables: the last hour only. */
  constructor(private readonly side: SideTables | undefined) {
    side?.migrate(statisticsMigrations);
  }

  /** Takes a sample of the fine ring. Throws `StorageError` when a row could not be written. */
  add(sample: Sample): void {
    this.fine.push(sample);
    if (this.fine.length > FINE.slots) this.fine.shift();
    this.fold(0, sample, FINE.stepSeconds);
  }

  private fold(level: number, sample: Sample, partSeconds: number): void {
    const ring = STORED[level];
    const parts = this.pending[level];
    if (ring === undefined || parts === undefined) return;
    parts.push(sample);
    const step = ring.stepSeconds * 1000;
    // A step is full at its end by the clock; a clock that was set must not make it wait for ever.
    const slotOf = (timeMs: number): number => Math.floor(timeMs / step);
    const next = sample.timeMs + partSeconds * 1000;
    const full = slotOf(next) !== slotOf(sample.timeMs) ||
      parts.length * partSeconds >= ring.stepSeconds;
    if (!full) return;
    const whole = average(parts.splice(0), sample.timeMs);
    this.store(ring, whole);
    this.fold(level + 1, whole, ring.stepSeconds);
  }

  private store({ stepSeconds, slots }: Ring, { timeMs, ...data }: Sample): void {
    const { side } = this;
    if (side === undefined) return;
    const slot = Math.floor(timeMs / 1000 / stepSeconds) % slots;
    const row = { timeMs, data: JSON.stringify(data) };
    side.atomically(() => {
      side.db.insert(samples).values({ stepSeconds, slot, ...row })
        .onConflictDoUpdate({ target: [samples.stepSeconds, samples.slot], set: row }).run();
    });
  }

  /** Samples of the last `spanSeconds`, oldest first, from the finest ring that reaches so far. */
  read(spanSeconds: number, nowMs: number): { stepSeconds: number; samples: Sample[] } {
    const since = nowMs - spanSeconds * 1000;
    const { side } = this;
    const ring =
      [FINE, ...STORED].find(({ stepSeconds, slots }) => stepSeconds * slots >= spanSeconds) ??
        STORED.at(-1)!;
    if (ring === FINE || side === undefined) {
      return {
        stepSeconds: FINE.stepSeconds,
        samples: this.fine.filter(({ timeMs }) => timeMs > since),
      };
    }
    const rows = side.db.select().from(samples)
      .where(and(eq(samples.stepSeconds, ring.stepSeconds), gt(samples.timeMs, since)))
      .orderBy(asc(samples.timeMs)).all();
    return {
      stepSeconds: ring.stepSeconds,
      samples: rows.map(({ timeMs, data }) => ({ ...JSON.parse(data), timeMs }) as Sample),
    };
  }
}
