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

interface Pending {
  readonly at: number;
  readonly run: () => void;
}

/** What is due at its time, in order of the times. */
class Timers {
  private sequence = 0;
  private readonly pending = new Map<number, Pending>();

  add(timer: Pending): () => void {
    const id = this.sequence++;
    this.pending.set(id, timer);
    return () => void this.pending.delete(id);
  }

  /** The time of the next one; Infinity if there is none. */
  get next(): number {
    let at = Infinity;
    for (const timer of this.pending.values()) at = Math.min(at, timer.at);
    return at;
  }

  /** Takes out the first that is due until `end`. */
  take(end: number): Pending | undefined {
    let first: [number, Pending] | undefined;
    for (const entry of this.pending) {
      if (entry[1].at <= end && (!first || entry[1].at < first[1].at)) first = entry;
    }
    if (first) this.pending.delete(first[0]);
    return first?.[1];
  }
}

/** A clock that moves only when told, for tests. */
export class ManualClock implements Clock {
  private time: number;
  private readonly timers = new Timers();

  constructor(startMs = 1_000_000) {
    this.time = startMs;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, run: () => void): () => void {
    return this.timers.add({ at: this.time + Math.max(0, ms), run });
  }

  /** Moves time forward by `ms`, running what falls due in order of its time. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (let timer = this.timers.take(end); timer; timer = this.timers.take(end)) {
      this.time = Math.max(this.time, timer.at);
      timer.run();
    }
    this.time = end;
  }
}

/**
 * The system's clock, which `ovs-appctl time/warp` pushes forward and `time/stop` holds still
 * (ovs-vswitchd with `--enable-dummy`). Pushing it forward while it runs leaves it running.
 */
export class VirtualClock implements Clock {
  private readonly timers = new Timers();
  private readonly base = systemClock();
  private offsetMs = 0;
  private stoppedAt: number | undefined;
  private cancelWake = (): void => {};
  private wakeAt = Infinity;

  now(): number {
    return this.stoppedAt ?? this.base.now() + this.offsetMs;
  }

  after(ms: number, run: () => void): () => void {
    const at = this.now() + Math.max(0, ms);
    const cancel = this.timers.add({ at, run });
    if (at < this.wakeAt) this.arm();
    return cancel;
  }

  stop(): void {
    // Whole milliseconds: what is pushed forward by a second is then exactly a second later.
    this.stoppedAt ??= Math.ceil(this.now());
    this.arm();
  }

  /** Time jumps by `ms`; what falls due runs at once, and sees the time after the jump. */
  warp(ms: number): void {
    if (this.stoppedAt === undefined) this.offsetMs += ms;
    else this.stoppedAt += ms;
    this.runDue();
  }

  private runDue(): void {
    const end = this.now();
    for (let timer = this.timers.take(end); timer; timer = this.timers.take(end)) timer.run();
    this.arm();
  }

  private arm(): void {
    this.cancelWake();
    this.wakeAt = this.stoppedAt === undefined ? this.timers.next : Infinity;
    if (this.wakeAt === Infinity) {
      this.cancelWake = () => {};
      return;
    }
    // Fractions of a millisecond are lost on the way: a timer that is early is set again.
    this.cancelWake = this.base.after(Math.max(0, this.wakeAt - this.now()), () => this.runDue());
  }
}
