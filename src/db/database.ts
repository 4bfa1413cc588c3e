/**
 * The database engine: one database in memory, its transactions, and the order in which their
 * effects become visible.
 *
 * A transaction runs at once against the tables in memory, so that the next one sees it; but nobody
 * is told before it is durable. All transactions of one turn of the event loop form a *group*: the
 * storage writes them together with one sync, then, commit by commit, monitors are told and the
 * requester gets its reply. So durability costs one sync a turn, not one a transaction.
 *
 * Invariants:
 * - Listeners see commits in order, each once, each only when durable.
 * - A reply never leaves before the updates that its transaction caused.
 * - If the storage refuses a group, the tables go back to where they were before it; transactions
 *   that had to be stored fail with `I/O error`, the others (reads, changes of ephemeral columns)
 *   run again. The engine goes on.
 * - A transaction whose `wait` does not hold yet is forgotten and run again from its start after
 *   each commit, until it succeeds, fails, times out, or is cancelled.
 *
 * Limits: everything is in memory; a row's count of references and each index cost a map entry.
 * The last `HISTORY_COMMITS` commits (at most `HISTORY_ROWS` row changes) are kept for clients that
 * reconnect (`monitor_cond_since`).
 *
 * References: RFC 7047 §4.1.3, §5.2; ovsdb-server(7).
 */
import type { Logger } from "../log/log.ts";
import { type Commit, isPersistent } from "./commit.ts";
import { convertTables } from "./convert.ts";
import { OvsdbError } from "./error.ts";
import {
  type Author,
  configurationOf,
  emptyRevision,
  type IsConfiguration,
  type NewRevision,
  revisionOf,
} from "./history/revision.ts";
import type { Json, JsonObject } from "./json.ts";
import { parseRows, storedRows, tablesOf } from "./load.ts";
import type { DatabaseDeclaration } from "./schema/declare.ts";
import { type DatabaseSchema, parseSchema, schemaToJson } from "./schema/schema.ts";
import type { HistoryStore } from "./storage/history-store.ts";
import type { SideTables } from "./storage/side-tables.ts";
import { type Storage, StorageError, type StoredRow } from "./storage/storage.ts";
import { applyDeltas, createTables, revertDeltas, type Tables } from "./table.ts";
import { Execution, NotYet } from "./transaction/execute.ts";
import { prepareCommit } from "./transaction/integrity.ts";
import { type Role, RoleRules } from "./transaction/roles.ts";
import { Transaction } from "./transaction/transaction.ts";

const HISTORY_COMMITS = 1000;
const HISTORY_ROWS = 100_000;
/** After work on so many rows, the garbage that it left is collected soon, not some day. */
const MUCH_WORK_ROWS = 5000;
const COLLECT_AFTER_MS = 500;

/** Whoever asks for transactions. */
export interface Requester {
  readonly who: string;
  /** For the history; `who` alone unless more is known. */
  readonly author?: Author | undefined;
  readonly readOnly: boolean;
  /** Which changes it may make; all unless set. */
  readonly role?: Role | undefined;
  holdsLock(name: string): boolean;
}

/** The `transact` reply: one element an operation, and an error more if the commit failed. */
export type TransactResult = readonly Json[];

interface Request {
  readonly operations: readonly Json[];
  readonly requester: Requester;
  readonly startedMs: number;
  done(result: TransactResult): void;
  cancelled: boolean;
  timer?: ReturnType<typeof setTimeout>;
}

/** A transaction that has run and now waits for its group to be durable. */
interface Executed {
  readonly request: Request;
  readonly result: Json[];
  readonly commit: Commit | undefined;
}

/** Lives as long as one commit is being told: listeners that compute the same share the result. */
export type SharedResults = Map<string, JsonObject | undefined>;
export type CommitListener = (commit: Commit, shared: SharedResults) => void;

export interface DatabaseOptions {
  readonly logger: Logger;
  /** Clients may only read; the server itself writes (`_Server`). */
  readonly reserved?: boolean;
}

export class Database {
  private tablesNow: Tables;
  private group: Executed[] = [];
  private flushScheduled = false;
  private flushing = false;
  private readonly whenSettled: (() => void)[] = [];
  private readonly waiting = new Set<Request>();
  private readonly listeners = new Set<CommitListener>();
  private readonly history: Commit[] = [];
  private historyRows = 0;
  private lastId: string = crypto.randomUUID();
  /** The state before `history[0]`. */
  private baseId = this.lastId;
  private closed = false;
  private collection: ReturnType<typeof setTimeout> | undefined;
  readonly isConfiguration: IsConfiguration;
  /** Since the start; `syncs` of groups of transactions, each group with one. */
  readonly counters = { transactions: 0, commits: 0, syncs: 0, failed_syncs: 0 };

  /** Loads what is stored. A storage that is empty gets `schema`; else the stored schema rules. */
  static open(
    schema: Json | DatabaseDeclaration,
    storage: Storage,
    options: DatabaseOptions,
  ): Database {
    const stored = storage.load();
    if (stored === undefined) {
      const parsed = parseSchema(schema);
      storage.replace(schemaToJson(parsed), []);
      return new Database(parsed, storage, options, []);
    }
    return new Database(parseSchema(stored.schema), storage, options, stored.rows);
  }

  /** As `open`, for a storage that must hold a database already. */
  static openExisting(storage: Storage, options: DatabaseOptions): Database {
    const stored = storage.load();
    if (stored === undefined) throw new OvsdbError("I/O error", "there is no database in the file");
    return new Database(parseSchema(stored.schema), storage, options, stored.rows);
  }

  private constructor(
    private schemaNow: DatabaseSchema,
    private readonly storage: Storage,
    private readonly options: DatabaseOptions,
    rows: Iterable<StoredRow>,
  ) {
    this.tablesNow = createTables(schemaNow);
    this.isConfiguration = configurationOf(schemaNow.name);
    this.load(rows);
  }

  get schema(): DatabaseSchema {
    return this.schemaNow;
  }

  get name(): string {
    return this.schema.name;
  }

  /** True if clients may only read it. */
  get reserved(): boolean {
    return this.options.reserved === true;
  }

  /** The record of revisions, if the storage keeps one. */
  get historyStore(): HistoryStore | undefined {
    return this.storage.history;
  }

  /** Room for tables of other parts of the daemon, if the storage has it. */
  get sideTables(): SideTables | undefined {
    return this.storage.side;
  }

  get tables(): Tables {
    return this.tablesNow;
  }

  /** The id of the last commit that everyone knows. */
  get lastTransactionId(): string {
    return this.lastId;
  }

  /** Stored rows go through the same checks as new ones: a file may have been made by others. */
  private load(rows: Iterable<StoredRow>): void {
    const parsed = parseRows(this.schemaNow, rows);
    this.collectLater(parsed.length);
    const tables = tablesOf(this.schemaNow, parsed);
    if (tables !== undefined) {
      this.tablesNow = tables;
      return;
    }
    const txn = new Transaction(this.tablesNow);
    for (const { table, uuid, fields } of parsed) txn.insert(txn.table(table), uuid, fields);
    applyDeltas(this.tablesNow, prepareCommit(txn));
  }

  /**
   * Puts the data under another schema of the same name, atomically. Throws `OvsdbError`, and then
   * nothing has changed. Whoever holds rows or tables of this database must let them go afterwards.
   */
  convert(schema: Json | DatabaseDeclaration): void {
    const next = parseSchema(schema);
    if (next.name !== this.name) {
      throw new OvsdbError(
        "invalid parameters",
        `new schema name (${next.name}) does not match database name (${this.name})`,
      );
    }
    this.flush();
    const tables = convertTables(this.tablesNow, next);
    const comment = `schema converted from version ${this.schema.version} to ${next.version}`;
    const revision = emptyRevision("convert", Date.now(), comment);
    this.storage.replace(schemaToJson(next), storedRows(tables), [revision]);
    this.tablesNow = tables;
    this.schemaNow = next;
    // What was changed under the old schema cannot be told to clients of the new one.
    this.history.length = 0;
    this.historyRows = 0;
    this.lastId = crypto.randomUUID();
    this.baseId = this.lastId;
  }

  /** Every row with its persistent columns, as it would be stored anew. */
  storedRows(): Iterable<StoredRow> {
    return storedRows(this.tablesNow);
  }

  /** Called for each commit, once durable, in order. Returns what ends it. */
  onCommit(listener: CommitListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * The commits after the one named, oldest first; undefined if it is not known (any more), and the
   * client must start from the whole content.
   */
  commitsSince(id: string): readonly Commit[] | undefined {
    if (id === this.baseId) return this.history;
    const at = this.history.findIndex((commit) => commit.id === id);
    return at < 0 ? undefined : this.history.slice(at + 1);
  }

  /**
   * Runs a transaction. `done` is called exactly once, unless the returned function is called first,
   * which cancels a transaction that is still waiting (true) or comes too late (false).
   */
  transact(
    operations: readonly Json[],
    requester: Requester,
    done: (result: TransactResult) => void,
  ): () => boolean {
    this.counters.transactions++;
    const request: Request = {
      operations,
      requester,
      startedMs: performance.now(),
      done,
      cancelled: false,
    };
    this.attempt(request, 0);
    return () => {
      if (!this.waiting.has(request)) return false;
      this.forget(request);
      request.cancelled = true;
      return true;
    };
  }

  private forget(request: Request): void {
    this.waiting.delete(request);
    clearTimeout(request.timer);
  }

  private attempt(request: Request, elapsedMs: number): void {
    const txn = new Transaction(this.tablesNow);
    const { requester, operations } = request;
    const execution = new Execution({
      txn,
      elapsedMs,
      readOnly: requester.readOnly,
      rules: new RoleRules(requester.role, txn.tables),
      reserved: this.options.reserved === true ? this.name : undefined,
      holdsLock: (name) => requester.holdsLock(name),
    });
    const result: Json[] = [];
    try {
      operations.forEach((operation, i) => {
        result.push(execution.run(operation, i + 1, operations.length));
      });
    } catch (error) {
      if (error instanceof NotYet) {
        this.postpone(request, execution.timeoutMs);
        return;
      }
      result.push(this.errorJson(error));
      while (result.length < operations.length) result.push(null);
      this.enqueue({ request, result, commit: undefined });
      return;
    }
    this.enqueue({ request, result, commit: this.commit(txn, requester, result) });
  }

  /** Applies the transaction to the tables; a violated constraint goes into the result instead. */
  private commit(txn: Transaction, requester: Requester, result: Json[]): Commit | undefined {
    try {
      const deltas = prepareCommit(txn);
      if (deltas.length === 0) return undefined;
      applyDeltas(this.tablesNow, deltas);
      const { comment } = txn;
      const { who, author = { who } } = requester;
      return { id: crypto.randomUUID(), timeMs: Date.now(), who, author, comment, deltas };
    } catch (error) {
      result.push(this.errorJson(error));
      return undefined;
    }
  }

  private errorJson(error: unknown): JsonObject {
    if (error instanceof OvsdbError) return error.toJson();
    this.options.logger.err(
      `internal error in transaction: ${error instanceof Error ? error.stack : String(error)}`,
    );
    return new OvsdbError("internal error", String(error)).toJson();
  }

  private postpone(request: Request, timeoutMs: number | undefined): void {
    this.waiting.add(request);
    clearTimeout(request.timer);
    if (timeoutMs === undefined) return;
    const remaining = request.startedMs + timeoutMs - performance.now();
    // Timers take no more than 31 bits; a longer wait starts the timer again.
    request.timer = setTimeout(() => {
      const elapsed = performance.now() - request.startedMs;
      this.retry(request, remaining > 0x7fff_ffff ? elapsed : Math.max(elapsed, timeoutMs));
    }, Math.max(0, Math.min(remaining, 0x7fff_ffff)));
  }

  private retry(request: Request, elapsedMs: number): void {
    if (request.cancelled || this.closed) return;
    this.forget(request);
    this.attempt(request, Math.floor(elapsedMs));
  }

  private enqueue(executed: Executed): void {
    // Nothing to store and nothing pending before it: its reply need not wait.
    if (executed.commit === undefined && this.group.length === 0) {
      executed.request.done(executed.result);
      return;
    }
    this.group.push(executed);
    this.scheduleFlush();
  }

  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    setImmediate(() => {
      this.flushScheduled = false;
      this.flushGroup();
    });
  }

  /**
   * Makes everything that has run durable, and tells everyone. Within a listener it does nothing:
   * what is under way goes on when the listener returns.
   */
  flush(): void {
    while (!this.flushing && this.group.length > 0) this.flushGroup();
  }

  /**
   * Calls back when the tables hold nothing that is not durable and told: at once if called from
   * outside listeners. Only then may somebody who will be told of changes read the tables.
   */
  settled(callback: () => void): void {
    if (this.flushing) {
      this.whenSettled.push(callback);
      return;
    }
    this.flush();
    callback();
  }

  /** One group. What its listeners start belongs to the next, in another turn. */
  private flushGroup(): void {
    if (this.flushing) return;
    this.flushing = true;
    try {
      const group = this.group;
      this.group = [];
      if (this.store(group)) this.announce(group);
    } finally {
      this.flushing = false;
      if (this.group.length > 0) this.scheduleFlush();
    }
    for (const callback of this.whenSettled.splice(0)) this.settled(callback);
    if (this.storage.wantsCompaction()) this.tryCompact();
  }

  private announce(group: readonly Executed[]): void {
    for (const { commit, request, result } of group) {
      if (commit !== undefined) this.publish(commit);
      request.done(result);
    }
    if (group.some(({ commit }) => commit !== undefined)) this.retryWaiting();
  }

  /** Writes the storage anew, as short as it can be. If it throws, it stays as it is. */
  compact(): void {
    this.flush();
    this.storage.replace(schemaToJson(this.schemaNow), this.storedRows());
  }

  private tryCompact(): void {
    try {
      this.compact();
    } catch (error) {
      this.options.logger.warn(`${this.name}: cannot compact: ${String(error)}`);
    }
  }

  private store(group: readonly Executed[]): boolean {
    const commits = group.flatMap(({ commit }) => commit === undefined ? [] : [commit]);
    const toStore = commits.filter(isPersistent);
    if (toStore.length === 0) return true;
    try {
      this.storage.write(toStore, this.revisionsOf(toStore));
      this.counters.syncs++;
      return true;
    } catch (error) {
      this.counters.failed_syncs++;
      const failure = error instanceof OvsdbError
        ? error
        : new StorageError("cannot store the transaction", error);
      this.options.logger.err(`${this.name}: ${failure.message}`);
      for (const { deltas } of commits.toReversed()) revertDeltas(this.tablesNow, deltas);
      for (const { request, result, commit } of group) {
        if (commit !== undefined && isPersistent(commit)) {
          request.done([...result, failure.toJson()]);
        } else this.attempt(request, performance.now() - request.startedMs);
      }
      return false;
    }
  }

  /** Where nobody keeps a history, none is made. */
  private revisionsOf(commits: readonly Commit[]): NewRevision[] {
    if (this.storage.history === undefined) return [];
    return commits.flatMap((commit) => revisionOf(commit, this.isConfiguration) ?? []);
  }

  private collectLater(rows: number): void {
    if (rows < MUCH_WORK_ROWS) return;
    clearTimeout(this.collection);
    this.collection = setTimeout(() => Bun.gc(true), COLLECT_AFTER_MS);
    this.collection.unref();
  }

  private publish(commit: Commit): void {
    this.counters.commits++;
    this.collectLater(commit.deltas.length);
    this.lastId = commit.id;
    this.history.push(commit);
    this.historyRows += commit.deltas.length;
    while (
      this.history.length > HISTORY_COMMITS ||
      (this.historyRows > HISTORY_ROWS && this.history.length > 1)
    ) {
      const oldest = this.history.shift() as Commit;
      this.baseId = oldest.id;
      this.historyRows -= oldest.deltas.length;
    }
    const shared: SharedResults = new Map();
    for (const listener of [...this.listeners]) {
      try {
        listener(commit, shared);
      } catch (error) {
        this.options.logger.err(`${this.name}: a listener failed: ${String(error)}`);
      }
    }
  }

  private retryWaiting(): void {
    for (const request of [...this.waiting]) {
      this.retry(request, performance.now() - request.startedMs);
    }
  }

  /** Stores what is pending and lets the storage go. Waiting transactions get no answer. */
  close(): void {
    if (this.closed) return;
    this.flush();
    this.closed = true;
    clearTimeout(this.collection);
    for (const request of [...this.waiting]) this.forget(request);
    this.storage.close();
  }
}
