/**
 * Commit-confirm: changes that take themselves back unless somebody confirms them. It saves an
 * operator who cuts off his own access to the switch.
 *
 * Opening a window notes the newest revision, the *base*, and a deadline, durably, before anything
 * is changed. Whatever changes after that, by whomever, is configuration as ever. `confirm` closes
 * the window; `cancel`, or the deadline, goes back to the base, and that too is a revision.
 *
 * Invariants:
 * - A window outlives the process: it is in the database file, and whoever opens the file next goes
 *   on with it, or goes back before it serves anybody if the deadline has passed.
 * - While the machine runs, the deadline is one of the clock that nobody can set (`boot`), so that a
 *   step of the wall clock neither shortens nor prolongs a window. After a reboot only the wall clock
 *   is left; then what remains is never more than the whole window.
 * - There is one window at a time. Another is refused, unless it extends the open one: that moves the
 *   deadline and leaves the base, for there can be only one configuration to go back to.
 * - Going back is idempotent: a crash between the way back and the note that it is done only makes
 *   the next start find nothing left to take back.
 *
 * If going back fails because the disk does, it is tried again every few seconds. If it fails for a
 * reason that will not pass, the window ends as `failed`, with an error in the log.
 */
import type { Logger } from "../../log/log.ts";
import { OvsdbError } from "../error.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import type { HistoryClock } from "./clock.ts";
import type { History } from "./history.ts";
import type { Author } from "./revision.ts";

export const LONGEST_WINDOW_S = 7 * 24 * 3600;
/** A timer runs no longer than this without looking at the clock: the machine may have slept. */
const LOOK_EVERY_MS = 5000;

interface Pending {
  readonly state: "pending";
  readonly base: number;
  readonly windowMs: number;
  readonly author: Author;
  readonly startedMs: number;
  /** By the wall clock, and by the clock of the boot with this id. */
  readonly deadlineMs: number;
  readonly bootId: string;
  readonly bootDeadlineMs: number;
}

interface Ended {
  readonly state: "confirmed" | "cancelled" | "expired" | "failed";
  readonly base: number;
  readonly endedMs: number;
  /** The revision that went back to the base, if there was anything to take back. */
  readonly revision: number | null;
  readonly problem?: string;
}

export class ConfirmWindow {
  private state: Pending | Ended | undefined;
  private stopTimer = (): void => {};
  private problem: string | undefined;

  /** Goes on with a window that is open in the file, or ends it if its time is over. */
  constructor(
    private readonly history: History,
    private readonly clock: HistoryClock,
    private readonly logger: Logger,
  ) {
    const stored = history.confirmation;
    this.state = isObject(stored) ? stored as unknown as Pending | Ended : undefined;
    const pending = this.pending;
    if (pending === undefined) return;
    history.keepFrom(pending.base);
    const remaining = this.remainingMs(pending);
    this.anchor(pending, remaining);
    if (remaining > 0) {
      this.logger.warn(
        `configuration not confirmed: goes back to revision ${pending.base} in ` +
          `${Math.ceil(remaining / 1000)} s unless 'solovs config confirm' is run`,
      );
    }
    this.look();
  }

  private get pending(): Pending | undefined {
    return this.state?.state === "pending" ? this.state : undefined;
  }

  /** After a reboot, the rest of the window is measured by this boot's clock. */
  private anchor(pending: Pending, remaining: number): void {
    const boot = this.clock.boot();
    if (boot.id === pending.bootId) return;
    const anchored = {
      ...pending,
      deadlineMs: this.clock.wallMs() + remaining,
      bootId: boot.id,
      bootDeadlineMs: boot.ms + remaining,
    };
    this.state = anchored;
    try {
      this.history.storeConfirmation(anchored as unknown as Json);
    } catch (error) {
      this.logger.warn(error instanceof Error ? error.message : String(error));
    }
  }

  private remainingMs({ bootId, bootDeadlineMs, deadlineMs, windowMs }: Pending): number {
    const boot = this.clock.boot();
    const remaining = boot.id === bootId
      ? bootDeadlineMs - boot.ms
      : deadlineMs - this.clock.wallMs();
    return Math.max(0, Math.min(remaining, windowMs));
  }

  /** Opens a window of so many seconds, or moves the deadline of the open one. */
  start(seconds: number, extend: boolean, author: Author): void {
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_WINDOW_S) {
      throw new OvsdbError("bad time", `a window lasts 1 s to ${LONGEST_WINDOW_S} s (7 days)`);
    }
    const open = this.pending;
    if (open !== undefined && !extend) {
      throw new OvsdbError(
        "already pending",
        `changes since revision ${open.base} wait for confirmation for another ` +
          `${Math.ceil(this.remainingMs(open) / 1000)} s; 'solovs config confirm' or ` +
          "'solovs config cancel' them first, or extend that window with --extend",
      );
    }
    const windowMs = seconds * 1000;
    const boot = this.clock.boot();
    const now = this.clock.wallMs();
    const base = open?.base ?? this.history.newest;
    this.store({
      state: "pending",
      base,
      windowMs,
      author: open?.author ?? author,
      startedMs: open?.startedMs ?? now,
      deadlineMs: now + windowMs,
      bootId: boot.id,
      bootDeadlineMs: boot.ms + windowMs,
    });
    this.history.keepFrom(base);
    this.logger.info(`unless confirmed within ${seconds} s, goes back to revision ${base}`);
    this.look();
  }

  confirm(): void {
    const { base } = this.mustBePending();
    this.end({ state: "confirmed", base, endedMs: this.clock.wallMs(), revision: null });
    this.logger.info(`the changes since revision ${base} are confirmed`);
  }

  /** Goes back now. Throws `OvsdbError` if that fails; the window then stays as it is. */
  cancel(author: Author, readOnly: boolean): number | undefined {
    const pending = this.mustBePending();
    const comment = `solovs: cancelled, back to revision ${pending.base}`;
    return this.goBack(pending, "cancelled", { author, readOnly, comment });
  }

  private mustBePending(): Pending {
    if (this.pending !== undefined) return this.pending;
    throw new OvsdbError("not pending", `nothing waits for confirmation${this.lastOutcome()}`);
  }

  private lastOutcome(): string {
    const { state } = this;
    if (state === undefined || state.state === "pending") return "";
    const at = new Date(state.endedMs).toISOString();
    const back = state.revision === null ? "" : ` by revision ${state.revision}`;
    switch (state.state) {
      case "confirmed":
        return `: the last changes were confirmed at ${at}`;
      case "cancelled":
        return `: the last changes were cancelled at ${at}${back}`;
      case "expired":
        return `: the last changes were not confirmed in time and were taken back at ${at}${back}`;
      case "failed":
        return `: the last changes could not be taken back at ${at}: ${state.problem ?? ""}`;
      default: {
        const never: never = state;
        return never;
      }
    }
  }

  private goBack(
    { base }: Pending,
    state: "cancelled" | "expired",
    request: Parameters<History["rollback"]>[1],
  ): number | undefined {
    const revision = this.history.rollback(base, request);
    this.end({ state, base, endedMs: this.clock.wallMs(), revision: revision ?? null });
    return revision;
  }

  private end(state: Ended): void {
    this.store(state);
    this.stopTimer();
    this.problem = undefined;
    this.history.keepFrom(undefined);
  }

  private store(state: Pending | Ended): void {
    this.history.storeConfirmation(state as unknown as Json);
    this.state = state;
  }

  /** Goes back if it is time, else looks again later. */
  private look(): void {
    this.stopTimer();
    const { pending } = this;
    if (pending === undefined) return;
    const remaining = this.remainingMs(pending);
    if (remaining > 0) this.lookIn(Math.min(remaining, LOOK_EVERY_MS));
    else this.history.database.settled(() => this.expire());
  }

  private lookIn(delayMs: number): void {
    this.stopTimer = this.clock.after(delayMs, () => this.look());
  }

  private expire(): void {
    const { pending } = this;
    // Confirmed, cancelled or extended while the database settled.
    if (pending === undefined || this.remainingMs(pending) > 0) return;
    const { base, windowMs } = pending;
    const comment = `solovs: not confirmed within ${windowMs / 1000} s, back to revision ${base}`;
    try {
      const request = { author: { who: "solovs" }, readOnly: false, comment };
      const revision = this.goBack(pending, "expired", request);
      this.logger.warn(`${comment} (revision ${revision ?? base})`);
    } catch (error) {
      this.failed(pending, error);
    }
  }

  private failed({ base }: Pending, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (problem !== this.problem) this.logger.err(`cannot go back to revision ${base}: ${problem}`);
    this.problem = problem;
    if (!(error instanceof OvsdbError) || error.tag === "I/O error") {
      this.lookIn(LOOK_EVERY_MS);
      return;
    }
    this.end({ state: "failed", base, endedMs: this.clock.wallMs(), revision: null, problem });
  }

  status(): JsonObject {
    const { pending } = this;
    if (pending === undefined) return { pending: false, last: (this.state ?? null) as Json };
    const remaining = this.remainingMs(pending);
    return {
      pending: true,
      base: pending.base,
      newest: this.history.newest,
      remaining_ms: remaining,
      deadline_ms: this.clock.wallMs() + remaining,
      author: pending.author as unknown as JsonObject,
      ...(this.problem === undefined ? {} : { problem: this.problem }),
    };
  }

  close(): void {
    this.stopTimer();
    this.state = undefined;
  }
}
