/**
 * A replica of a database that another process serves (the slow path's second way to the database):
 * it connects, follows, and when the connection is lost goes on with what it knows while it connects
 * again. A server that remembers recent changes is asked for what was missed only.
 *
 *     BACKOFF ──> CONNECTING ──> (schema, lock, content) ──> ACTIVE ──lost──> BACKOFF
 *
 * - Rows stay as they are while there is no connection; transactions are refused then.
 * - With a `lock`, nothing is seen until this process holds it: to its user the database is empty
 *   while another process has it (so that of two switch daemons on one database only one acts).
 * - After a new connection, listeners are told of what differs, as of any other change.
 * - An older server, which knows only `monitor_cond` or `monitor`, will do.
 * - Log lines are those of Open vSwitch's `reconnect` module, because people and scripts know them.
 *
 * References: RFC 7047; ovsdb-server(7) §4.1.12 and later (`monitor_cond_since`); ovsdb(7).
 */
import type { Logger } from "../log/log.ts";
import { OvsdbError } from "./error.ts";
import { isArray, isObject, type Json, type JsonObject, member } from "./json.ts";
import {
  OperationList,
  type Replica,
  requestsFor,
  type Row,
  type RowChange,
  type TableName,
  type TransactOptions,
  type Txn,
} from "./replica.ts";
import { ReplicaTables, type TypedChange } from "./replica-tables.ts";
import { connectSession } from "./rpc/client.ts";
import { openVSwitchSchema } from "./schema/openvswitch.ts";
import { parseSchema } from "./schema/schema.ts";
import type { OvsdbSession } from "./session.ts";
import type { Tls } from "./tls/tls.ts";

const MIN_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 8000;
/** After so many failures in a row the log is spared. */
const LOGGED_FAILURES = 4;
const PROBE_MS = 5000;
const NO_TRANSACTION = "00000000-0000-0000-0000-000000000000";
const NO_ROWS: ReadonlyMap<string, never> = new Map<string, never>();

export interface RemoteReplicaOptions {
  /** `unix:FILE`, `tcp:HOST:PORT`, `ssl:HOST:PORT`; several, separated by commas, are tried in turn. */
  readonly remote: string;
  /** As the server names this client. */
  readonly who: string;
  /** The lock to hold (RFC 7047 §4.1.8). */
  readonly lock?: string;
  readonly tables: readonly TableName[];
  /** What becomes of the connection. */
  readonly logger: Logger;
  readonly tls?: Tls;
  /** Another process has the lock: told again for each connection. */
  readonly contended?: () => void;
  /** The state, the last error or the lock has changed. */
  readonly changed?: () => void;
}

export interface RemoteReplica extends Replica {
  /** Resolves when content and lock were there for the first time. */
  readonly ready: Promise<void>;
}

/** Starts to connect at once, and goes on until `close()`. */
export function followRemote(options: RemoteReplicaOptions): RemoteReplica {
  return new Following(options);
}

class Following implements RemoteReplica {
  readonly ready: Promise<void>;
  private readonly schema = parseSchema(openVSwitchSchema);
  private readonly copy: ReplicaTables;
  private readonly listeners = new Set<(changes: readonly RowChange[]) => void>();
  private readonly remotes: readonly string[];
  private readonly monitorId: Json = ["solovs", "replica", crypto.randomUUID()];
  private readonly resolveReady: () => void;
  private session: OvsdbSession | undefined;
  private lastTransaction = NO_TRANSACTION;
  private hasContent = false;
  private hasLock: boolean;
  private visible = false;
  private failures = 0;
  private next = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(private readonly options: RemoteReplicaOptions) {
    this.copy = new ReplicaTables(this.schema, options.tables);
    this.hasLock = options.lock === undefined;
    this.remotes = options.remote.split(/,(?=[a-z]+:)/);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.resolveReady = resolve;
    void this.connect();
  }

  rows<T extends TableName>(table: T): ReadonlyMap<string, Row<T>> {
    const rows = this.visible ? this.copy.rows(table) : NO_ROWS;
    return rows as unknown as ReadonlyMap<string, Row<T>>;
  }

  onChange(listener: (changes: readonly RowChange[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async transact(build: (txn: Txn) => void, options: TransactOptions = {}): Promise<void> {
    const { session } = this;
    if (!session || !this.visible) {
      throw new OvsdbError("connection closed", "there is no connection to the database now");
    }
    const txn = new OperationList(this.schema);
    build(txn);
    await txn.send(session, options, this.options.lock);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.listeners.clear();
    this.session?.close();
  }

  // The connection

  private async connect(): Promise<void> {
    const { logger, who, tls, lock } = this.options;
    const remote = this.remotes[this.next++ % this.remotes.length]!;
    const quiet = this.failures >= LOGGED_FAILURES;
    if (!quiet) logger.info(`${remote}: connecting...`);
    let session: OvsdbSession;
    try {
      const probeMs = remote.startsWith("unix:") ? 0 : PROBE_MS;
      session = await connectSession(remote, { who, logger, limits: { probeMs }, tls });
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      if (!quiet) {
        logger.info(`${remote}: connection attempt failed (${error.ioError ?? error.message})`);
      }
      return this.again(remote);
    }
    if (this.closed) return session.close();
    logger.info(`${remote}: connected`);
    this.session = session;
    session.onClose((why) => {
      if (this.session !== session) return;
      this.session = undefined;
      if (this.closed) return;
      logger.info(
        `${remote}: connection closed by peer${
          why === "connection closed by peer" ? "" : ` (${why})`
        }`,
      );
      this.hasLock = lock === undefined;
      this.again(remote);
    });
    try {
      await this.follow(session);
      this.failures = 0;
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      if (error.tag !== "connection closed") logger.warn(`${remote}: ${error.message}`);
      session.close();
    }
  }

  private again(remote: string): void {
    if (this.closed) return;
    const { logger } = this.options;
    const backoffMs = Math.min(MIN_BACKOFF_MS << Math.min(this.failures, 10), MAX_BACKOFF_MS);
    this.failures++;
    if (this.failures < LOGGED_FAILURES) {
      logger.info(`${remote}: waiting ${backoffMs / 1000} seconds before reconnect`);
    } else if (this.failures === LOGGED_FAILURES) {
      logger.info(
        `${remote}: continuing to reconnect in the background but suppressing further logging`,
      );
    }
    this.timer = setTimeout(() => void this.connect(), this.failures === 1 ? 0 : backoffMs);
  }

  /** Schema, lock and content, in one go: the server answers in order. */
  private async follow(session: OvsdbSession): Promise<void> {
    const { lock } = this.options;
    session.onNotification((method, params) => this.notified(session, method, params));
    const known = parseSchema(await session.request("get_schema", [this.schema.name]));
    const locking = lock === undefined ? undefined : session.request("lock", [lock]);
    const requests = requestsFor(this.copy, this.options.tables, known);
    const { found, updates, transaction } = await this.monitor(session, requests);
    const changes = found ? this.copy.apply(updates) : this.copy.replace(updates);
    this.hasContent = true;
    this.lastTransaction = transaction;
    if (this.visible) this.tell(changes);
    if (locking !== undefined) {
      const reply = await locking;
      this.hasLock = isObject(reply) && member(reply, "locked") === true;
      if (!this.hasLock) this.options.contended?.();
    }
    this.updateVisibility();
  }

  /** By the best of the three methods that the server knows. */
  private async monitor(session: OvsdbSession, requests: JsonObject): Promise<Content> {
    const params = [this.schema.name, this.monitorId, requests];
    const since = await known(
      session.request("monitor_cond_since", [...params, this.lastTransaction]),
    );
    if (isArray(since)) {
      const [found, transaction, updates] = since;
      if (typeof transaction === "string" && isObject(updates)) {
        return { found: found === true, transaction, updates };
      }
    }
    const whole = { found: false, transaction: NO_TRANSACTION };
    const conditional = since === undefined
      ? await known(session.request("monitor_cond", params))
      : since;
    if (isObject(conditional)) return { ...whole, updates: conditional };
    const plain = conditional === undefined ? await session.request("monitor", params) : undefined;
    if (isObject(plain)) return { ...whole, updates: asUpdates2(plain) };
    throw new OvsdbError("protocol error", "the reply to a monitor request makes no sense");
  }

  private notified(session: OvsdbSession, method: string, params: readonly Json[]): void {
    if (session !== this.session) return;
    switch (method) {
      case "update3": {
        const [, transaction, updates] = params;
        if (typeof transaction !== "string" || !isObject(updates)) return session.close();
        return this.apply(session, updates, transaction);
      }
      case "update2":
        return isObject(params[1]) ? this.apply(session, params[1]) : session.close();
      case "update":
        return isObject(params[1]) ? this.apply(session, asUpdates2(params[1])) : session.close();
      case "locked":
      case "stolen":
        if (params[0] !== this.options.lock) return;
        this.hasLock = method === "locked";
        if (!this.hasLock) this.options.contended?.();
        return this.updateVisibility();
      default:
        return;
    }
  }

  private apply(session: OvsdbSession, updates: JsonObject, transaction = NO_TRANSACTION): void {
    try {
      this.lastTransaction = transaction;
      const changes = this.copy.apply(updates);
      if (this.visible) this.tell(changes);
    } catch (error) {
      // What cannot be followed is fetched anew.
      this.lastTransaction = NO_TRANSACTION;
      session.close();
      throw error;
    }
  }

  /** Without the lock there is nothing to see; a lost connection alone hides nothing. */
  private updateVisibility(): void {
    const visible = this.hasContent && this.hasLock;
    if (visible === this.visible) return;
    this.visible = visible;
    if (visible) this.resolveReady();
    const changes: TypedChange[] = [];
    for (const table of this.options.tables) {
      for (const [uuid, row] of this.copy.rows(table)) {
        changes.push({ table, uuid, ...(visible ? { new: row } : { old: row }) });
      }
    }
    this.tell(changes);
  }

  private tell(changes: readonly TypedChange[]): void {
    if (changes.length === 0) return;
    for (const listener of [...this.listeners]) listener(changes as unknown as RowChange[]);
  }
}

interface Content {
  /** The updates are what was missed; else they are all there is. */
  readonly found: boolean;
  readonly transaction: string;
  readonly updates: JsonObject;
}

/** Undefined if the server does not know the method. */
async function known(reply: Promise<Json>): Promise<Json | undefined> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof OvsdbError && error.tag === "unknown method") return undefined;
    throw error;
  }
}

/** A `<table-updates>` (RFC 7047 §4.1.6) as its successor, in which a whole row is an initial one. */
function asUpdates2(updates: JsonObject): JsonObject {
  const ofRow = (update: Json): Json => {
    const now = isObject(update) ? member(update, "new") : undefined;
    return now === undefined ? { delete: null } : { initial: now };
  };
  const ofTable = (rows: Json): Json =>
    isObject(rows)
      ? Object.fromEntries(Object.entries(rows).map(([uuid, row]) => [uuid, ofRow(row as Json)]))
      : rows;
  return Object.fromEntries(
    Object.entries(updates).map(([table, rows]) => [table, ofTable(rows as Json)]),
  );
}
