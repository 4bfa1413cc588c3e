/**
 * When the flows of a process before are to give way: when this process's OpenFlow tables are what
 * they were, as far as anybody can tell. Until then the kernel goes on by the old flows.
 *
 * - `other_config:flow-restore-wait=true` at start: not before it is taken away, as with Open vSwitch,
 *   and no controller is connected to before. Only the value at start and its end count.
 * - A bridge without controllers has its rules at once: those of its fail mode, those that were kept
 *   (`persist-flows`).
 * - A bridge with controllers has none yet. It waits for the first rule (a controller's, or fail
 *   mode's), then for `QUIET_MS` without a change, `BUSY_MS` at most; and `ALONE_MS` if no rule comes.
 *   Open vSwitch forgets the kernel's flows at once, and traffic stops until its controllers are back.
 */
import type { Clock } from "../clock.ts";
import type { Bridge } from "./bridge.ts";

const QUIET_MS = 1000;
const BUSY_MS = 10_000;
const ALONE_MS = 30_000;
const LOOK_MS = 50;

export interface RestoringOptions {
  readonly clock: Clock;
  /** `flow-restore-wait` is in force. */
  readonly waits: () => boolean;
  readonly bridges: () => Iterable<Bridge>;
}

/** Resolves then; `signal` ends the wait. */
export async function tablesRestored(
  options: RestoringOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, waits, bridges } = options;
  const pause = () => new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
  while (waits() && !signal.aborted) await pause();
  const watched = new Map<Bridge, Watch>();
  const started = clock.now();
  const ready = (bridge: Bridge): boolean => {
    if (bridge.services.overview().length === 0) return true;
    let watch = watched.get(bridge);
    if (!watch) watched.set(bridge, watch = new Watch(bridge, clock));
    return watch.isQuiet(clock.now(), started);
  };
  while (!signal.aborted && ![...bridges()].map(ready).every((each) => each)) await pause();
  for (const watch of watched.values()) watch.end();
}

class Watch {
  private firstMs: number | undefined;
  private lastMs = 0;
  readonly end: () => void;

  constructor(private readonly bridge: Bridge, private readonly clock: Clock) {
    const { tables } = bridge;
    // Those that were there before the first look, too.
    if (tables.stats().some(({ active }) => active > 0)) this.see();
    this.end = tables.listen((changes) => {
      if (changes.some((each) => each.event === "added" && !each.rule.hidden)) this.see();
      else if (this.firstMs !== undefined) this.see();
    });
  }

  private see(): void {
    this.lastMs = this.clock.now();
    this.firstMs ??= this.lastMs;
  }

  isQuiet(now: number, started: number): boolean {
    if (this.bridge.services.failMode.isOpen) return true;
    if (this.firstMs === undefined) return now - started >= ALONE_MS;
    return now - this.lastMs >= QUIET_MS || now - this.firstMs >= BUSY_MS;
  }
}
