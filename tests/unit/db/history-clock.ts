/** Clocks that stand still until they are moved. */
import type { HistoryClock } from "../../../src/db/history/clock.ts";

export class FakeClock implements HistoryClock {
  wall = Date.now();
  uptime = 1000;
  bootId = "first boot";
  private timers: { at: number; run: () => void }[] = [];

  wallMs(): number {
    return this.wall;
  }

  boot(): { id: string; ms: number } {
    return { id: this.bootId, ms: this.uptime };
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.uptime + delayMs, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  /** Both clocks go on, and what falls due runs. */
  pass(ms: number): void {
    const end = this.uptime + ms;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.wall += next.at - this.uptime;
      this.uptime = next.at;
      next.run();
    }
    this.wall += end - this.uptime;
    this.uptime = end;
  }

  /** The machine starts again: its uptime begins anew. */
  reboot(): void {
    this.bootId = `boot ${crypto.randomUUID()}`;
    this.uptime = 10;
    this.timers = [];
  }
}
