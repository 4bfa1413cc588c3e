/**
 * What is logged of requests that are answered with errors: a few a second of each connection, so that
 * one who floods the switch with bad requests does not flood its log too.
 */
import type { Clock } from "../clock.ts";

/** In a row; as many again each second. */
const BURST = 10;
const REFILL_MS = 1000;

export class ErrorLog {
  private left = BURST;
  private refilledMs: number;
  private unsaid = 0;

  constructor(private readonly clock: Clock) {
    this.refilledMs = clock.now();
  }

  /** `say` is called now or not at all, with what must stand behind its line. */
  tell(say: (behind: string) => void): void {
    const now = this.clock.now();
    if (now - this.refilledMs >= REFILL_MS) {
      this.refilledMs = now;
      this.left = BURST;
    }
    if (this.left === 0) {
      this.unsaid++;
      return;
    }
    this.left--;
    const { unsaid } = this;
    this.unsaid = 0;
    say(unsaid === 0 ? "" : ` (and ${unsaid} errors before it)`);
  }
}
