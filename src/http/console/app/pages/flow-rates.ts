/** Rates of flows, from their counters at two moments. */
import type { z } from "zod";
import type { flowSchema, flowsSchema } from "../../../routes/flows.ts";

export type Flow = z.infer<typeof flowSchema>;
export type FlowsJson = z.infer<typeof flowsSchema>;

export interface Rate {
  /** Packets a second, bits a second. */
  readonly pps: number;
  readonly bps: number;
}

/** What tells flows of one bridge apart. */
export const flowKey = ({ table, priority, match }: Pick<Flow, "table" | "priority" | "match">) =>
  `${table} ${priority} ${match}`;

interface Seen {
  readonly atMs: number;
  readonly packets: number;
  readonly bytes: number;
  readonly rate: Rate | undefined;
}

/** Counters are read back from the datapath about once a second: closer readings say nothing new. */
const LEAST_MS = 1500;

export class FlowRates {
  private readonly seen = new Map<string, Seen>();

  /** Takes a reading; undefined: not known yet. */
  of(key: string, flow: Pick<Flow, "packets" | "bytes">, nowMs = performance.now()) {
    const before = this.seen.get(key);
    const [packets, bytes] = [flow.packets ?? 0, flow.bytes ?? 0];
    if (before !== undefined && nowMs - before.atMs < LEAST_MS) return before.rate;
    const seconds = before === undefined ? 0 : (nowMs - before.atMs) / 1000;
    const rate: Rate | undefined = before === undefined ? undefined : {
      pps: Math.max(0, packets - before.packets) / seconds,
      bps: Math.max(0, bytes - before.bytes) * 8 / seconds,
    };
    this.seen.set(key, { atMs: nowMs, packets, bytes, rate });
    return rate;
  }
}
