/**
 * The audit log on its way to the file: the first entry after a quiet time is written at once, those
 * that come within WRITE_EVERY_MS after it together. So a lone change is recorded when it is
 * answered, and a flood of them costs a few transactions a second; what a crash can lose is the last
 * WRITE_EVERY_MS of a flood.
 *
 * Readers see what is not written yet, too. What cannot be written is told in the daemon's log: it was
 * done or refused already, and a full disk must not make the answer say otherwise.
 */
import type { Logger } from "../../log/log.ts";
import type { AccessStore, AuditEntry, NewAuditEntry } from "./store.ts";

const WRITE_EVERY_MS = 250;
/** Entries that wait at most. */
const MOST_WAITING = 500;

export class AuditLog {
  private waiting: NewAuditEntry[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly store: AccessStore,
    private readonly logger: Pick<Logger, "err">,
  ) {}

  add(entry: NewAuditEntry): void {
    this.waiting.push(entry);
    if (this.timer === undefined) {
      this.write();
      this.timer = setTimeout(() => this.pause(), WRITE_EVERY_MS);
      this.timer.unref();
    } else if (this.waiting.length >= MOST_WAITING) this.write();
  }

  /** Newest first, those older than `before` if it is given. */
  read(limit: number, before?: number): AuditEntry[] {
    this.write();
    return this.store.audit(limit, before);
  }

  /** Writes what waits. */
  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.write();
  }

  private pause(): void {
    this.timer = undefined;
    if (this.waiting.length === 0) return;
    this.write();
    this.timer = setTimeout(() => this.pause(), WRITE_EVERY_MS);
    this.timer.unref();
  }

  private write(): void {
    if (this.waiting.length === 0) return;
    const entries = this.waiting;
    this.waiting = [];
    try {
      this.store.addAudit(entries);
    } catch (error) {
      for (const entry of entries) {
        this.logger.err(`the audit log lacks ${JSON.stringify(entry)}: ${String(error)}`);
      }
    }
  }
}
