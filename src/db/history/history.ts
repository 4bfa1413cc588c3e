/**
 * The history of a database's configuration: what changed, when, by whom; and the way back.
 *
 * Each transaction that changes configuration is a *revision*. The engine works it out from the
 * commit (`revision.ts`) and the storage writes it in the same durable transaction, so there is a
 * revision for each change of the configuration and none for a change that was lost. Columns that
 * the switch writes (`schema/openvswitch-status.ts`) and ephemeral ones are no configuration.
 *
 * A revision's number stands for the configuration right after it. From a number and the newest one,
 * the difference is computed by joining the changes between them (`join.ts`). Going back applies
 * that difference, turned round, as an ordinary transaction: all constraints are checked, monitors
 * are told, and it is a new revision, which can itself be gone back from. Rows that were deleted come
 * back under their UUIDs. Status columns stay as they are.
 *
 * Invariants:
 * - Numbers grow by one and are never used again.
 * - The newest revision is always kept, and, while somebody may have to go back, the one to go to.
 * - Everything here runs when all that has been executed is durable (`Database.settled`), in one turn:
 *   no other transaction comes between looking and acting.
 *
 * Limits: `Retention` revisions, days and bytes, whichever comes first; set for Open_vSwitch by
 * `other_config:history-revisions`, `history-days` and `history-megabytes`. A conversion to another
 * schema cannot be gone back beyond. Only SQLite storage keeps a history.
 */
import type { Logger } from "../../log/log.ts";
import type { Database, Requester } from "../database.ts";
import { OvsdbError } from "../error.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import { defaultRetention, type HistoryStore, type Retention } from "../storage/history-store.ts";
import type { StoredRow } from "../storage/storage.ts";
import { invertChanges, joinChanges } from "./join.ts";
import { changesTowards, operationsFor } from "./operations.ts";
import type { HistoryClock } from "./clock.ts";
import { emptyRevision } from "./revision.ts";
import type { Author, Changes, Revision, RevisionSummary } from "./revision.ts";

const PRUNE_EVERY_MS = 3600_000;

/** Who goes back, and what is written beside it. */
export interface ChangeRequest {
  readonly author: Author;
  readonly readOnly: boolean;
  readonly comment: string;
}

export interface Difference {
  readonly from: number;
  readonly to: number;
  readonly changes: Changes;
}

export class History {
  private readonly stopListening: () => void;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    readonly database: Database,
    private readonly store: HistoryStore,
    private readonly clock: HistoryClock,
    private readonly logger: Logger,
    private readonly retention: Retention = defaultRetention,
  ) {
    if (store.range() === undefined) {
      store.add(emptyRevision("baseline", clock.wallMs(), "solovs: the history begins here"));
    }
    this.followRetention();
    this.prune();
    this.stopListening = database.onCommit(({ deltas }) => {
      if (deltas.some(({ table, changed }) => isSettings(table.schema.name, changed))) {
        this.followRetention();
        this.prune();
      }
    });
    this.timer = setInterval(() => this.prune(), PRUNE_EVERY_MS);
    this.timer.unref();
  }

  get newest(): number {
    return this.range().newest;
  }

  range(): { readonly oldest: number; readonly newest: number } {
    const range = this.store.range();
    if (range === undefined) throw new OvsdbError("internal error", "the history is empty");
    return range;
  }

  /** Newest first. */
  log(limit: number, before?: number): readonly RevisionSummary[] {
    return this.store.list(limit, before);
  }

  show(number: number): Revision {
    this.check(number);
    return this.store.get(number) as Revision;
  }

  /** What turns the configuration after revision `from` into that after revision `to`. */
  diff(from: number, to: number): Difference {
    this.check(from);
    this.check(to);
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    const joined = joinChanges(this.database.schema, this.changesBetween(low, high));
    return { from, to, changes: from <= to ? joined : invertChanges(joined) };
  }

  private *changesBetween(low: number, high: number): Generator<Changes> {
    for (const { number, kind, changes } of this.store.between(low, high)) {
      if (kind === "convert") {
        throw new OvsdbError(
          "cannot go back",
          `with revision ${number} the database got another schema: revisions before it cannot be ` +
            "compared with or gone back to; restore a backup instead",
        );
      }
      yield changes;
    }
  }

  private check(number: number): void {
    const { oldest, newest } = this.range();
    if (number >= oldest && number <= newest) return;
    throw new OvsdbError(
      "no such revision",
      `revision ${number} is not in the history, which has ${oldest} to ${newest}`,
    );
  }

  /**
   * Makes the configuration what it was right after a revision, durably. Returns the revision that
   * this made, or undefined if there was nothing to change. Throws `OvsdbError`, and then nothing has
   * changed.
   */
  rollback(number: number, request: ChangeRequest): number | undefined {
    return this.apply(this.diff(this.newest, number).changes, request);
  }

  /** Makes this content all the configuration there is. Otherwise as `rollback`. */
  replace(content: Iterable<StoredRow>, request: ChangeRequest): number | undefined {
    const { tables, isConfiguration } = this.database;
    return this.apply(changesTowards(content, tables, isConfiguration), request);
  }

  /** True if `replace` with this content would change anything. */
  differsFrom(content: Iterable<StoredRow>): boolean {
    const { tables, isConfiguration } = this.database;
    const changes = changesTowards(content, tables, isConfiguration);
    return operationsFor(changes, tables, isConfiguration).length > 0;
  }

  private apply(changes: Changes, request: ChangeRequest): number | undefined {
    const { tables, isConfiguration } = this.database;
    const operations = operationsFor(changes, tables, isConfiguration);
    if (operations.length === 0) return undefined;
    operations.push({ op: "comment", comment: request.comment });
    const { author, readOnly } = request;
    const requester: Requester = { who: author.who, author, readOnly, holdsLock: () => false };
    const before = this.newest;
    let results: readonly Json[] = [];
    this.database.transact(operations, requester, (result) => results = result);
    this.database.flush();
    const failed = results.find((result) => isObject(result) && "error" in result);
    if (failed !== undefined) throw OvsdbError.fromJson(failed);
    const { newest } = this;
    return newest === before ? undefined : newest;
  }

  /** The whole database file as of the newest commit. */
  snapshot(): Uint8Array<ArrayBuffer> {
    return this.store.snapshot();
  }

  /** True if anything is configured: if any row has a column that is not at its default. */
  isConfigured(): boolean {
    const { tables, isConfiguration } = this.database;
    const changes = changesTowards([], tables, isConfiguration);
    return Object.values(changes).some((rows) =>
      Object.values(rows).some(({ old }) => Object.keys(old ?? {}).length > 0)
    );
  }

  /**
   * Keeps a revision and all after it, whatever the retention, until `undefined` is given: somebody
   * may have to go back to it.
   */
  keepFrom(number: number | undefined): void {
    this.store.keepFrom = number;
  }

  get confirmation(): Json | undefined {
    return this.store.confirmation();
  }

  storeConfirmation(state: Json): void {
    this.store.setConfirmation(state);
  }

  private followRetention(): void {
    const settings = new Map<string, string>();
    const table = this.database.tables.get(SETTINGS.table);
    const column = table?.schema.columns.get(SETTINGS.column);
    if (this.database.name === "Open_vSwitch" && table !== undefined && column !== undefined) {
      for (const { fields } of table.rows.values()) {
        const { keys = [], values = [] } = fields[column.index] ?? {};
        keys.forEach((key, i) => settings.set(String(key), String(values[i])));
      }
    }
    const number = (key: string, unset: number, lowest: number): number => {
      const text = settings.get(key);
      if (text === undefined) return unset;
      const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
      if (value >= lowest) return value;
      this.logger.warn(`other_config:${key}=${text}: not a number from ${lowest} on; ignored`);
      return unset;
    };
    const { revisions, ageMs, bytes } = this.retention;
    this.store.retention = {
      revisions: number("history-revisions", revisions, 1),
      ageMs: number("history-days", ageMs / DAY_MS, 1) * DAY_MS,
      bytes: number("history-megabytes", bytes / MEGABYTE, 1) * MEGABYTE,
    };
  }

  private prune(): void {
    try {
      this.store.prune(this.clock.wallMs());
    } catch (error) {
      this.logger.warn(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    clearInterval(this.timer);
    this.stopListening();
  }
}

const DAY_MS = 24 * 3600_000;
const MEGABYTE = 1 << 20;
const SETTINGS = { table: "Open_vSwitch", column: "other_config" } as const;

const isSettings = (table: string, changed: readonly { readonly name: string }[]): boolean =>
  table === SETTINGS.table && changed.some(({ name }) => name === SETTINGS.column);

/** Revisions as programs read them. */
export const summaryToJson = (revision: RevisionSummary): JsonObject => ({
  revision: revision.number,
  time_ms: revision.timeMs,
  kind: revision.kind,
  author: revision.author as unknown as JsonObject,
  comment: revision.comment ?? null,
  inserted: revision.inserted,
  modified: revision.modified,
  deleted: revision.deleted,
});
