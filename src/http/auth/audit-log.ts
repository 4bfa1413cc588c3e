/**
 * The audit log on its way to the file. Whoever adds an entry waits until it is on the disk, so that
 * no answer goes out whose entry a crash could lose; entries that come at about the same time share
 * one transaction, and its one sync.
 *
 *     add ──> waiting ──(this turn of the event loop, or GATHER_MS in a flood)──> one write ──> all go on
 *
 * One client that changes one thing after another never waits for others: only when the last write
 * had several entries, and was just now, the next one gathers.
 *
 * Readers see what is not written yet, too. What cannot be written is told in the daemon's log: it was
 * done or refused already, and a full disk must not make the answer say otherwise.
 */
import type { Logger } from "../../log/log.ts";
import type { AccessStore, AuditEntry, NewAuditEntry } from "./store.ts";

const GATHER_MS = 5;
/** Entries that wait at most. */
const MOST_WAITING = 500;

export class AuditLog {
  private waiting: NewAuditEntry[] = [];
  /** Called when what waits now is written. */
  private told: (() => void)[] = [];
  private cancel: (() => void) | undefined;
  private last = { atMs: -Infinity, entries: 0 };
  private closed = false;

  constructor(
    private readonly store: AccessStore,
    private readonly logger: Pick<Logger, "err">,
  ) {}

  /** Fulfilled when it is on the disk, or the daemon's log has told that it could not be. */
  add(entry: NewAuditEntry): Promise<void> {
    const written = new Promise<void>((resolve) => this.told.push(resolve));
    this.waiting.push(entry);
    if (this.closed || this.waiting.length >= MOST_WAITING) this.write();
    else if (this.cancel === undefined) this.schedule();
    return written;
  }

  /** Newest first, those older than `before` if it is given. */
  read(limit: number, before?: number): AuditEntry[] {
    this.write();
    return this.store.audit(limit, before);
  }

  /** How many there are, older than `before` if it is given. */
  count(before?: number): number {
    this.write();
    return this.store.countAudit(before);
  }

  /** Writes what waits; what is added from now on is written at once. */
  close(): void {
    this.closed = true;
    this.write();
  }

  private schedule(): void {
    const write = (): void => this.write();
    if (this.last.entries > 1 && performance.now() - this.last.atMs < GATHER_MS) {
      const timer = setTimeout(write, GATHER_MS);
      this.cancel = () => clearTimeout(timer);
    } else {
      const turn = setImmediate(write);
      this.cancel = () => clearImmediate(turn);
    }
  }

  private write(): void {
    this.cancel?.();
    this.cancel = undefined;
    if (this.waiting.length === 0) return;
    const [entries, told] = [this.waiting, this.told];
    this.waiting = [];
    this.told = [];
    try {
      this.store.addAudit(entries);
    } catch (error) {
      for (const entry of entries) {
        this.logger.err(`the audit log lacks ${JSON.stringify(entry)}: ${String(error)}`);
      }
    }
    this.last = { atMs: performance.now(), entries: entries.length };
    for (const tell of told) tell();
  }
}
