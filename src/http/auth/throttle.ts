/**
 * Slows guessing down. Failures are counted by the name that was tried and by the address they came
 * from; after FREE of them, each further one closes the door for twice as long as the one before, up
 * to LONGEST_MS. A success clears both. In memory: a restart forgets, which an attacker cannot cause.
 *
 * Limit: MOST_KEYS keys; the one that failed longest ago goes.
 */
const FREE = 5;
const FIRST_MS = 1000;
const LONGEST_MS = 15 * 60_000;
/** A key that has not failed for this long starts anew. */
const FORGET_MS = 60 * 60_000;
const MOST_KEYS = 4096;

interface Failures {
  readonly count: number;
  readonly lastMs: number;
}

export class Throttle {
  /** Oldest failure first. */
  private readonly failures = new Map<string, Failures>();

  constructor(private readonly now: () => number) {}

  /** How long these keys have to wait; 0: go ahead. */
  waitMs(keys: readonly string[]): number {
    const now = this.now();
    return Math.max(
      0,
      ...keys.map((key) => {
        const found = this.failures.get(key);
        if (found === undefined || found.count < FREE) return 0;
        const closedMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(30, found.count - FREE));
        return found.lastMs + closedMs - now;
      }),
    );
  }

  /** To be called before a try is judged, so that tries at the same time count too. */
  failed(keys: readonly string[]): void {
    const now = this.now();
    for (const key of keys) {
      const found = this.failures.get(key);
      const known = found !== undefined && now - found.lastMs < FORGET_MS ? found.count : 0;
      this.failures.delete(key);
      this.failures.set(key, { count: known + 1, lastMs: now });
    }
    for (const key of this.failures.keys()) {
      if (this.failures.size <= MOST_KEYS) break;
      this.failures.delete(key);
    }
  }

  succeeded(keys: readonly string[]): void {
    for (const key of keys) this.failures.delete(key);
  }
}
