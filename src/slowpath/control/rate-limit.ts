/**
 * How many packet-ins a second a connection gets: Controller `controller_rate_limit` and
 * `controller_burst_limit` (ovs-vswitchd.conf.db(5)). Packets that no flow matched and packets that an
 * action sends are counted apart.
 *
 * A bucket holds up to `burst` tokens and gets `rate` a second; each packet-in takes one. Without one
 * it waits in a queue of its input port, and queues take turns, so that a busy port does not starve
 * the others. At most `burst` wait; one more throws out the first of the longest queue.
 * (Open vSwitch `ofproto/pinsched.c`.)
 */
import type { Clock } from "../clock.ts";

const DEFAULT_RATE = 1000;

export interface RateLimit {
  /** Packet-ins a second. */
  readonly rate: number;
  /** A quarter of `rate` unless told. */
  readonly burst: number | undefined;
}

export class RateLimiter {
  readonly counters = { bypassed: 0, queued: 0, dropped: 0 };
  private rate = DEFAULT_RATE;
  private burst = 1;
  private tokens = 0;
  private filledAt: number;
  /** By port, whose turn it is first. */
  private readonly queues = new Map<number, (() => void)[]>();
  private waiting = 0;
  private cancelTimer: (() => void) | undefined;

  constructor(private readonly clock: Clock, limit: RateLimit) {
    this.filledAt = clock.now();
    this.configure(limit);
    this.tokens = this.burst;
  }

  get backlog(): number {
    return this.waiting;
  }

  configure({ rate, burst }: RateLimit): void {
    this.rate = rate > 0 ? rate : DEFAULT_RATE;
    this.burst = Math.max(1, burst !== undefined && burst > 0 ? burst : Math.floor(this.rate / 4));
    this.tokens = Math.min(this.tokens, this.burst);
    while (this.waiting > this.burst) this.dropOne();
  }

  /** Calls `send` now or later, or never. */
  submit(port: number, send: () => void): void {
    if (this.waiting === 0 && this.takeToken()) {
      this.counters.bypassed++;
      return send();
    }
    if (this.waiting >= this.burst) this.dropOne();
    const queue = this.queues.get(port);
    if (queue) queue.push(send);
    else this.queues.set(port, [send]);
    this.waiting++;
    this.counters.queued++;
    this.arm();
  }

  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.queues.clear();
    this.waiting = 0;
  }

  private takeToken(): boolean {
    const now = this.clock.now();
    this.tokens = Math.min(this.burst, this.tokens + (now - this.filledAt) * this.rate / 1000);
    this.filledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  private arm(): void {
    if (this.waiting === 0) return;
    this.cancelTimer ??= this.clock.after(Math.max(1, 1000 / this.rate), () => this.drain());
  }

  private drain(): void {
    this.cancelTimer = undefined;
    while (this.waiting > 0 && this.takeToken()) this.next()();
    this.arm();
  }

  /** Takes the first of the port whose turn it is; the port goes to the end. */
  private next(): () => void {
    const [port, queue] = this.queues.entries().next().value!;
    const send = queue.shift()!;
    this.queues.delete(port);
    if (queue.length > 0) this.queues.set(port, queue);
    this.waiting--;
    return send;
  }

  private dropOne(): void {
    let longest: number | undefined;
    let length = 0;
    for (const [port, queue] of this.queues) {
      if (queue.length > length) [longest, length] = [port, queue.length];
    }
    if (longest === undefined) return;
    const queue = this.queues.get(longest)!;
    queue.shift();
    if (queue.length === 0) this.queues.delete(longest);
    this.waiting--;
    this.counters.dropped++;
  }
}

/** Both limiters of a connection; without a limit there are none. */
export class RateLimits {
  private miss: RateLimiter | undefined;
  private action: RateLimiter | undefined;

  constructor(private readonly clock: Clock, limit: RateLimit | undefined) {
    this.configure(limit);
  }

  configure(limit: RateLimit | undefined): void {
    if (!limit) {
      this.close();
      return;
    }
    if (this.miss && this.action) {
      this.miss.configure(limit);
      this.action.configure(limit);
    } else {
      this.miss = new RateLimiter(this.clock, limit);
      this.action = new RateLimiter(this.clock, limit);
    }
  }

  submit(isMiss: boolean, port: number, send: () => void): void {
    const limiter = isMiss ? this.miss : this.action;
    if (limiter) limiter.submit(port, send);
    else send();
  }

  close(): void {
    this.miss?.close();
    this.action?.close();
    this.miss = this.action = undefined;
  }

  /** For `Controller.status`. */
  status(): [string, string][] {
    return ([["action", this.action], ["miss", this.miss]] as const).flatMap(([name, limiter]) => {
      if (!limiter) return [];
      const { bypassed, queued, dropped } = limiter.counters;
      const values = { backlog: limiter.backlog, bypassed, queued, dropped };
      return Object.entries(values)
        .map(([what, value]): [string, string] => [`packet-in-${name}-${what}`, String(value)]);
    });
  }
}
