/** Which connections the table takes, and for how long: limits and timeout policies. */
import { DEFAULT_MAX_CONNECTIONS, timeoutPolicy } from "./settings.ts";
import type { ConnTable } from "./table.ts";
import type { CtTimeouts } from "./types.ts";

export const ADMITTED = 0;
export const ZONE_FULL = 1;
export const TABLE_FULL = 2;

/** A full table is searched for expired connections no more often than this. */
const SWEEP_EVERY_MS = 1000;

export class Admission {
  maxConnections = DEFAULT_MAX_CONNECTIONS;
  /** For zones without a limit of their own; 0: none. */
  defaultLimit = 0;
  readonly zoneLimits = new Map<number, number>();
  private readonly policies = new Map<number, Float64Array>();
  private readonly defaults = timeoutPolicy({});
  private sweptMs = -SWEEP_EVERY_MS;
  /** Expired connections that were removed to make room, since somebody last looked. */
  expired = 0;

  constructor(private readonly table: ConnTable) {}

  /** May the zone have one more? */
  ask(zone: number, nowMs: number): number {
    const { table } = this;
    const limit = this.zoneLimits.get(zone) ?? this.defaultLimit;
    for (;;) {
      const isZoneFull = limit > 0 && table.inZone(zone) >= limit;
      if (!isZoneFull && table.count < this.maxConnections) return ADMITTED;
      // What has expired and nobody has looked at since still counts.
      if (nowMs - this.sweptMs < SWEEP_EVERY_MS) return isZoneFull ? ZONE_FULL : TABLE_FULL;
      this.sweptMs = nowMs;
      this.expired += table.sweepAll(nowMs);
    }
  }

  /** Milliseconds of a timeout (settings.ts, TIMEOUT_INDEX) under a policy. */
  timeoutMs(policy: number, timeout: number): number {
    return (this.policies.get(policy) ?? this.defaults)[timeout]!;
  }

  /** `zone` below 0: the default. `limit` below 0: none of its own. */
  setZoneLimit(zone: number, limit: number): void {
    if (zone < 0) this.defaultLimit = Math.max(0, limit);
    else if (limit < 0) this.zoneLimits.delete(zone);
    else this.zoneLimits.set(zone, limit);
  }

  setPolicy(id: number, timeouts: CtTimeouts | null): void {
    if (timeouts === null) this.policies.delete(id);
    else this.policies.set(id, timeoutPolicy(timeouts));
  }
}
