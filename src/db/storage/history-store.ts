/**
 * The history's tables in the SQLite file. `append` runs within the transaction that writes the
 * commits, so that a commit and its revision become durable together or not at all.
 */
import type { Database as Sqlite } from "bun:sqlite";
import { and, asc, desc, eq, gt, lt, lte, min, sql, sum } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Author, Changes, NewRevision, Revision } from "../history/revision.ts";
import type { RevisionKind, RevisionSummary } from "../history/revision.ts";
import { type Json, stringify } from "../json.ts";
import { parseJsonText } from "../rpc/json-stream.ts";
import { bareStatement } from "./statements.ts";
import { withoutSideTables } from "./side-tables.ts";
import { confirmations, revisions } from "./tables.ts";

/** How much history is kept. The newest revision always is. */
export interface Retention {
  readonly revisions: number;
  readonly ageMs: number;
  /** Of the changes, as JSON. */
  readonly bytes: number;
}

export const defaultRetention: Retention = {
  revisions: 1000,
  ageMs: 90 * 24 * 3600 * 1000,
  bytes: 64 << 20,
};

export interface HistoryStore {
  /** Set from the configuration; what is beyond it goes when the next revision comes. */
  retention: Retention;
  /** The oldest revision that must stay, whatever the retention: somebody may want to go back. */
  keepFrom: number | undefined;
  /** Numbers of the oldest and the newest revision kept; undefined if there is none. */
  range(): { readonly oldest: number; readonly newest: number } | undefined;
  get(number: number): Revision | undefined;
  /** Newest first, those below `before` if it is given. */
  list(limit: number, before?: number): readonly RevisionSummary[];
  /** Those after `after` up to `upTo`, newest first. */
  between(after: number, upTo: number): Iterable<Revision>;
  /** Adds one revision by itself, durably. */
  add(revision: NewRevision): void;
  /** Removes what is older than the retention allows. */
  prune(nowMs: number): void;
  /** The whole file, history and all, as if it were closed now; but for tables of others. */
  snapshot(): Uint8Array<ArrayBuffer>;
  /** What `setConfirmation` stored last. */
  confirmation(): Json | undefined;
  setConfirmation(state: Json): void;
}

const summary = {
  number: revisions.number,
  timeMs: revisions.timeMs,
  kind: revisions.kind,
  author: revisions.author,
  comment: revisions.comment,
  inserted: revisions.inserted,
  modified: revisions.modified,
  deleted: revisions.deleted,
};

type SummaryRow = Omit<typeof revisions.$inferSelect, "changes" | "size">;

const toSummary = (row: SummaryRow): RevisionSummary => ({
  ...row,
  kind: row.kind as RevisionKind,
  author: parseJsonText(row.author) as unknown as Author,
  comment: row.comment ?? undefined,
});

const toRevision = ({ changes, size: _, ...row }: typeof revisions.$inferSelect): Revision => ({
  ...toSummary(row),
  changes: parseJsonText(changes) as unknown as Changes,
});

export class SqliteHistory implements HistoryStore {
  retention = defaultRetention;
  keepFrom: number | undefined;
  private readonly db;
  private readonly insert;
  /** Of all revisions kept; undefined: to be counted. */
  private bytes: number | undefined;
  /** No revision up to this number is left; there may be none after it either. */
  private removed = 0;

  /** `atomically` runs a change as one durable transaction. */
  constructor(
    private readonly sqlite: Sqlite,
    private readonly atomically: (what: string, change: () => void) => void,
  ) {
    this.db = drizzle({ client: sqlite });
    const insert = this.db.insert(revisions).values({
      timeMs: sql.placeholder("timeMs"),
      kind: sql.placeholder("kind"),
      author: sql.placeholder("author"),
      comment: sql.placeholder("comment"),
      inserted: sql.placeholder("inserted"),
      modified: sql.placeholder("modified"),
      deleted: sql.placeholder("deleted"),
      changes: sql.placeholder("changes"),
      size: sql.placeholder("size"),
    });
    this.insert = bareStatement(sqlite, insert);
  }

  range(): { oldest: number; newest: number } | undefined {
    const { oldest } = this.db.select({ oldest: min(revisions.number) }).from(revisions).get() ??
      { oldest: null };
    const newest = this.db.select({ number: revisions.number }).from(revisions)
      .orderBy(desc(revisions.number)).limit(1).get();
    return oldest === null || newest === undefined ? undefined : { oldest, newest: newest.number };
  }

  get(number: number): Revision | undefined {
    const row = this.db.select().from(revisions).where(eq(revisions.number, number)).get();
    return row === undefined ? undefined : toRevision(row);
  }

  list(limit: number, before = Number.MAX_SAFE_INTEGER): readonly RevisionSummary[] {
    return this.db.select(summary).from(revisions).where(lt(revisions.number, before))
      .orderBy(desc(revisions.number)).limit(limit).all().map(toSummary);
  }

  *between(after: number, upTo: number): Generator<Revision> {
    const wanted = and(gt(revisions.number, after), lte(revisions.number, upTo));
    const numbers = this.db.select({ number: revisions.number }).from(revisions).where(wanted)
      .orderBy(desc(revisions.number)).all();
    // One at a time: all together may be large.
    for (const { number } of numbers) yield this.get(number) as Revision;
  }

  add(revision: NewRevision): void {
    this.atomically("cannot store a revision", () => this.append([revision]));
  }

  /** Within a transaction. */
  append(added: readonly NewRevision[]): void {
    let newest: number | undefined;
    let bytes = this.bytes ?? this.storedBytes();
    for (const { author, changes, comment, ...counts } of added) {
      const text = stringify(changes as unknown as Json);
      const { lastInsertRowid } = this.insert.run(
        counts.timeMs,
        counts.kind,
        stringify(author as unknown as Json),
        comment ?? null,
        counts.inserted,
        counts.modified,
        counts.deleted,
        text,
        text.length,
      );
      newest = Number(lastInsertRowid);
      bytes += text.length;
    }
    this.bytes = newest === undefined ? bytes : this.trim(newest, bytes);
  }

  /** The transaction with the last changes was rolled back. */
  rolledBack(): void {
    this.bytes = undefined;
    this.removed = 0;
  }

  private storedBytes(): number {
    const { bytes } = this.db.select({ bytes: sum(revisions.size) }).from(revisions).get() ??
      { bytes: null };
    return Number(bytes ?? 0);
  }

  /**
   * Removes the oldest while they are too many or too large. Returns what is left, in bytes.
   * A few more than the retention says may stay, so that not every transaction has some to remove.
   */
  private trim(newest: number, bytes: number): number {
    let left = bytes;
    const last = this.lastToGo(newest);
    const surplus = newest - this.retention.revisions;
    if (surplus - this.removed > this.retention.revisions >> 4) {
      left -= this.removeUpTo(Math.min(surplus, last));
    }
    while (left > this.retention.bytes) {
      const oldest = this.db.select({ number: revisions.number }).from(revisions)
        .orderBy(asc(revisions.number)).limit(1).get();
      if (oldest === undefined || oldest.number > last) break;
      left -= this.removeUpTo(oldest.number);
    }
    return left;
  }

  /** The newest revision that may be removed at all. */
  private lastToGo(newest: number): number {
    return Math.min(newest, this.keepFrom ?? newest) - 1;
  }

  /** Returns how many bytes went. */
  private removeUpTo(number: number): number {
    if (number <= this.removed) return 0;
    this.removed = number;
    const removed = this.db.delete(revisions).where(lte(revisions.number, number))
      .returning({ size: revisions.size }).all();
    return removed.reduce((total, { size }) => total + size, 0);
  }

  prune(nowMs: number): void {
    const range = this.range();
    if (range === undefined) return;
    const young = this.db.select({ number: min(revisions.number) }).from(revisions)
      .where(gt(revisions.timeMs, nowMs - this.retention.ageMs)).get()?.number;
    const aged = Math.min((young ?? range.newest) - 1, this.lastToGo(range.newest));
    this.atomically("cannot remove old revisions", () => {
      this.removeUpTo(aged);
      this.bytes = this.trim(range.newest, this.storedBytes());
    });
  }

  snapshot(): Uint8Array<ArrayBuffer> {
    return withoutSideTables(this.sqlite.serialize()) as Uint8Array<ArrayBuffer>;
  }

  confirmation(): Json | undefined {
    const row = this.db.select().from(confirmations).get();
    return row === undefined ? undefined : parseJsonText(row.state);
  }

  setConfirmation(state: Json): void {
    this.atomically("cannot store the confirmation", () => {
      const row = { id: 1, state: stringify(state) };
      this.db.insert(confirmations).values(row)
        .onConflictDoUpdate({ target: confirmations.id, set: { state: row.state } }).run();
    });
  }
}
