/**
 * When the protocols of ports do their work: soon after something happened, when the next of them is
 * due, and again at once while what they did to each other asks for it.
 */
import type { Clock } from "./clock.ts";

/** More turns than this in one go would be two ends that never agree. */
const MAX_TURNS = 16;

export interface Work {
  /** One turn over all of them. */
  turn(): void;
  /** Behind the last turn of a round. */
  ended?(): void;
  /** When the next is due, by the clock; `Infinity`: none. */
  nextMs(): number;
}

export class Rounds {
  private running = false;
  private again = false;
  private queued = false;
  private closed = false;
  private cancelTimer = (): void => {};

  constructor(private readonly clock: Clock, private readonly work: Work) {}

  /** Behind what runs now. */
  soon(): void {
    if (this.queued || this.closed) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      this.run();
    });
  }

  /** Now; within a turn, another one behind it. */
  run(): void {
    this.again = true;
    if (this.running || this.closed) return;
    this.running = true;
    try {
      for (let turn = 0; this.again && turn < MAX_TURNS; turn++) {
        this.again = false;
        this.work.turn();
      }
    } finally {
      this.running = false;
    }
    this.work.ended?.();
    this.arm();
  }

  close(): void {
    this.closed = true;
    this.cancelTimer();
  }

  private arm(): void {
    this.cancelTimer();
    const next = this.work.nextMs();
    if (next === Infinity) {
      this.cancelTimer = () => {};
      return;
    }
    this.cancelTimer = this.clock.after(Math.max(1, next - this.clock.now()), () => this.run());
  }
}
