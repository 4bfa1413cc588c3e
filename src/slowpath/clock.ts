/**
 * The slow path's clock. Everything there that waits or measures time gets one passed in, so that
 * tests turn hours into microseconds and nothing depends on the machine's load.
 */
export interface Clock {
  /** Milliseconds of a clock that never goes back, fraction included; its zero means nothing. */
  now(): number;
  /** Calls `run` once, `ms` milliseconds from now; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

export function systemClock(): Clock {
  return {
    now: () => performance.now(),
    after(ms, run) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  };
}

/** A clock that moves only when told, for tests. */
export class ManualClock implements Clock {
  private time: number;
  private sequence = 0;
  private readonly pending = new Map<number, { at: number; run: () => void }>();

  constructor(startMs = 1_000_000) {
    this.time = startMs;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, run: () => void): () => void {
    const id = this.sequence++;
    this.pending.set(id, { at: this.time + Math.max(0, ms), run });
    return () => void this.pending.delete(id);
  }

  /** Moves time forward by `ms`, running what falls due in order of its time. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      let next: [number, { at: number; run: () => void }] | undefined;
      for (const entry of this.pending) {
        if (entry[1].at <= end && (!next || entry[1].at < next[1].at)) next = entry;
      }
      if (!next) break;
      this.pending.delete(next[0]);
      this.time = Math.max(this.time, next[1].at);
      next[1].run();
    }
    this.time = end;
  }
}
