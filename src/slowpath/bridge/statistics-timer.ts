/** When statistics are written to the database (`other_config:stats-update-interval`). */
import type { Clock } from "../clock.ts";

const MIN_INTERVAL_MS = 5000;

export class StatisticsTimer {
  private intervalMs = MIN_INTERVAL_MS;
  private cancel = (): void => {};

  /** `due` is called again and again, from `start` on. */
  constructor(private readonly clock: Clock, private readonly due: () => void) {}

  start(): void {
    this.cancel = this.clock.after(this.intervalMs, () => {
      this.due();
      this.start();
    });
  }

  /** Takes the configured interval, in milliseconds; another one than before counts at once. */
  configure(text: string | undefined): void {
    const wanted = Number(text ?? 0);
    const intervalMs = Math.max(MIN_INTERVAL_MS, Number.isFinite(wanted) ? wanted : 0);
    if (intervalMs === this.intervalMs) return;
    this.intervalMs = intervalMs;
    this.stop();
    this.due();
    this.start();
  }

  stop(): void {
    this.cancel();
  }
}
