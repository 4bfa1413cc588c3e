/**
 * One client's session on the server's side: its monitors, locks and unfinished transactions, and
 * the methods it may call (RFC 7047 §4.1; ovsdb-server(7)). It knows nothing of sockets.
 */
import type { Database, Requester } from "./database.ts";
import { OvsdbError, syntaxError } from "./error.ts";
import type { Author } from "./history/revision.ts";
import { canonical, equalJson, isObject, type Json, type JsonObject } from "./json.ts";
import type { LockHolder } from "./locks.ts";
import { Monitor, type MonitorVersion } from "./monitor.ts";
import { schemaToJson } from "./schema/schema.ts";
import type { OvsdbServer } from "./server.ts";
import type { Role } from "./transaction/roles.ts";
import { isId, parseUuid, ZERO_UUID } from "./values/atom.ts";

/**
 * A transaction runs in one go, and whoever else wants an answer waits for it: some seconds at this
 * many operations. Open vSwitch itself has no limit.
 */
export const MAX_OPERATIONS = 250_000;

export type Reply =
  | { readonly result: Json; readonly error?: undefined }
  | { readonly error: Json; readonly result?: undefined };

export interface SessionOptions {
  /** Names the client in logs and in the record of changes. */
  readonly who: string;
  readonly readOnly?: boolean;
  /** Which changes the client may make; all unless set. */
  readonly role?: Role | undefined;
  /** More about the client, for the record of changes. */
  readonly author?: Author | undefined;
  /** Takes a notification to the client. */
  notify(method: string, params: readonly Json[]): void;
  /** The server wants the session to end; the owner closes it. */
  disconnect(reason: string): void;
}

interface ActiveMonitor {
  readonly id: Json;
  readonly monitor: Monitor;
  readonly database: Database;
  readonly stop: () => void;
}

/** A transaction that waits. */
interface Unfinished {
  readonly of: Database;
  /** Ends it with the error that RFC 7047 §4.1.4 has for that; `forget` without an answer. */
  readonly cancel: () => void;
  readonly forget: () => void;
}

export class ServerSession implements LockHolder, Requester {
  databaseChangeAware = false;
  readonly who: string;
  readonly readOnly: boolean;
  readonly role: Role | undefined;
  readonly author: Author;
  private readonly monitors = new Map<string, ActiveMonitor>();
  private readonly lockNames = new Set<string>();
  /** Unfinished ones, by request id. */
  private readonly transactions = new Map<string, Unfinished>();
  private closed = false;

  constructor(private readonly server: OvsdbServer, private readonly options: SessionOptions) {
    this.who = options.who;
    this.readOnly = options.readOnly ?? false;
    this.role = options.role;
    this.author = options.author ?? { who: options.who };
  }

  /** Handles a request; `reply` is called once, now or later, unless the session closes first. */
  request(method: string, params: readonly Json[], id: Json, reply: (reply: Reply) => void): void {
    const run = (): void => this.respond(method, params, id, reply);
    const database = this.mustBeSettled(method, params);
    if (database === undefined) run();
    else database.settled(run);
  }

  /** The database that must hold only what everyone knows before this request may be answered. */
  private mustBeSettled(method: string, params: readonly Json[]): Database | undefined {
    switch (method) {
      case "monitor":
      case "monitor_cond":
      case "monitor_cond_since":
      case "convert":
        return this.server.databases.get(String(params[0]));
      case "monitor_cond_change":
        return this.monitors.get(canonical(params[0] ?? null))?.database;
      default:
        return undefined;
    }
  }

  private respond(
    method: string,
    params: readonly Json[],
    id: Json,
    reply: (reply: Reply) => void,
  ): void {
    if (this.closed) return;
    try {
      const extension = this.server.extensions.get(method);
      if (extension !== undefined) {
        extension(params, this, (answer) => {
          if (!this.closed) reply(answer);
        });
      } else if (method === "transact") this.transact(params, id, reply);
      else reply({ result: this.answer(method, params) });
    } catch (error) {
      if (error instanceof OvsdbError) {
        reply({ error: error instanceof BareError ? error.tag : error.toJson() });
        return;
      }
      const { stack } = error as Error;
      this.server.logger.err(`${this.who}: internal error in ${method}: ${stack ?? String(error)}`);
      reply({ error: new OvsdbError("internal error", String(error)).toJson() });
    }
  }

  notification(method: string, params: readonly Json[]): void {
    if (method !== "cancel" || params.length !== 1) return;
    this.transactions.get(canonical(params[0] as Json))?.cancel();
  }

  private answer(method: string, params: readonly Json[]): Json {
    if (this.server.hidesConditionalMonitors && method.startsWith("monitor_cond")) {
      throw new BareError("unknown method");
    }
    switch (method) {
      case "list_dbs":
        return [...this.server.databases.keys()];
      case "get_schema":
        return schemaToJson(this.database(method, params).schema);
      case "convert":
        return this.convert(params);
      case "get_server_id":
        return this.server.id;
      case "monitor":
        return this.monitor(method, params, 1);
      case "monitor_cond":
        return this.monitor(method, params, 2);
      case "monitor_cond_since":
        return this.monitor(method, params, 3);
      case "monitor_cond_change":
        return this.changeConditions(params);
      case "monitor_cancel":
        return this.cancelMonitor(params);
      case "lock":
        return this.lock(method, params, "wait");
      case "steal":
        return this.lock(method, params, "steal");
      case "unlock":
        return this.unlock(params);
      case "set_db_change_aware": {
        const [aware] = params;
        if (params.length !== 1 || typeof aware !== "boolean") {
          throw syntaxError(params, `${method}: true or false parameter expected`);
        }
        this.databaseChangeAware = aware;
        return {};
      }
      case "echo":
        return params;
      default:
        throw new BareError("unknown method");
    }
  }

  private database(method: string, params: readonly Json[]): Database {
    const [name] = params;
    if (typeof name !== "string") {
      throw syntaxError(params, `${method} request params must begin with <db-name>`);
    }
    const database = this.server.databases.get(name);
    if (database === undefined) {
      throw syntaxError(
        params,
        `${method} request specifies unknown database ${name}`,
        "unknown database",
      );
    }
    return database;
  }

  private transact(params: readonly Json[], id: Json, reply: (reply: Reply) => void): void {
    const database = this.database("transact", params);
    if (params.length - 1 > MAX_OPERATIONS) {
      throw new OvsdbError(
        "resources exhausted",
        `transact request has ${params.length - 1} operations, more than ${MAX_OPERATIONS}`,
      );
    }
    const key = canonical(id);
    if (this.transactions.has(key)) {
      throw syntaxError(params, "transact: duplicate request ID");
    }
    let finished = false;
    const cancelWait = database.transact(params.slice(1), this, (result) => {
      finished = true;
      this.transactions.delete(key);
      if (!this.closed) reply({ result });
    });
    if (finished) return;
    const forget = (): boolean => cancelWait() && this.transactions.delete(key);
    const cancel = (): void => {
      if (forget() && !this.closed) reply({ error: "canceled" });
    };
    this.transactions.set(key, { of: database, cancel, forget });
  }

  private convert(params: readonly Json[]): Json {
    const database = this.database("convert", params);
    const [, schema] = params;
    if (params.length !== 2 || schema === undefined) throw syntaxError(params, "array expected");
    if (this.readOnly || this.role !== undefined || database.reserved) {
      throw new OvsdbError("not allowed", `database ${database.name} cannot be converted`);
    }
    this.server.convertDatabase(database, schema);
    return {};
  }

  private monitor(method: string, params: readonly Json[], version: MonitorVersion): Json {
    const database = this.database(method, params);
    const [, id = null, requests, lastId] = params;
    if ((version === 2 && params.length !== 3) || (version === 3 && params.length !== 4)) {
      throw syntaxError(params, "invalid parameters");
    }
    if (!isObject(requests)) throw syntaxError(requests, "monitor-requests must be object");
    if (this.monitors.has(canonical(id))) throw syntaxError(id, "duplicate monitor ID");
    const monitor = Monitor.parse(database.tables, requests, version);
    const since = version === 3 ? lastTransaction(lastId as Json) : ZERO_UUID;
    const missed = since === ZERO_UUID ? undefined : database.commitsSince(since);
    const content = missed === undefined ? monitor.initial() : monitor.compose(missed) ?? {};
    this.follow(id, monitor, database);
    if (version !== 3) return content;
    return [missed !== undefined, database.lastTransactionId, content];
  }

  private tell({ id, monitor }: ActiveMonitor, updates: JsonObject, transaction: string): void {
    switch (monitor.version) {
      case 1:
        return this.options.notify("update", [id, updates]);
      case 2:
        return this.options.notify("update2", [id, updates]);
      case 3:
        return this.options.notify("update3", [id, transaction, updates]);
      default: {
        const never: never = monitor.version;
        return never;
      }
    }
  }

  private changeConditions(params: readonly Json[]): Json {
    if (params.length !== 3) throw syntaxError(params, "invalid parameters");
    const [id = null, newId = null, requests] = params;
    const active = this.monitors.get(canonical(id));
    if (active === undefined) throw syntaxError(id, "unknown monitor session");
    const renamed = !equalJson(id, newId);
    if (renamed && this.monitors.has(canonical(newId))) {
      throw syntaxError(newId, "duplicate monitor ID");
    }
    if (!isObject(requests)) {
      throw syntaxError(undefined, "monitor-cond-change-requests must be object");
    }
    const updates = active.monitor.changeConditions(active.database.tables, requests);
    if (renamed) {
      active.stop();
      this.monitors.delete(canonical(id));
    }
    const current = renamed ? this.follow(newId, active.monitor, active.database) : active;
    if (updates !== undefined) this.tell(current, updates, active.database.lastTransactionId);
    return {};
  }

  /** Tells the client each commit from now on, under this monitor id. */
  private follow(id: Json, monitor: Monitor, database: Database): ActiveMonitor {
    const stop = database.onCommit((commit, shared) => {
      const updates = monitor.updates(commit, shared);
      if (updates !== undefined) this.tell(active, updates, commit.id);
    });
    const active: ActiveMonitor = { id, monitor, database, stop };
    this.monitors.set(canonical(id), active);
    return active;
  }

  private cancelMonitor(params: readonly Json[]): Json {
    const [id] = params;
    if (params.length !== 1 || id === undefined) throw new BareError("invalid parameters");
    const active = this.monitors.get(canonical(id));
    if (active === undefined) throw new BareError("unknown monitor");
    active.stop();
    this.monitors.delete(canonical(id));
    return {};
  }

  private lock(method: string, params: readonly Json[], mode: "wait" | "steal"): Json {
    const name = this.lockName(method, params);
    if (this.lockNames.has(name)) {
      throw syntaxError(params, `must issue "unlock" before new "${method}"`);
    }
    this.lockNames.add(name);
    return { locked: this.server.locks.acquire(name, this, mode) };
  }

  private unlock(params: readonly Json[]): Json {
    const name = this.lockName("unlock", params);
    if (!this.lockNames.delete(name)) {
      throw syntaxError(params, 'unlock: "unlock" without "lock" or "steal"');
    }
    this.server.locks.release(name, this);
    return {};
  }

  private lockName(method: string, params: readonly Json[]): string {
    if (this.readOnly) {
      throw new BareError("lock and unlock methods not allowed, DB server is read only.");
    }
    const [name] = params;
    if (params.length !== 1 || typeof name !== "string" || !isId(name)) {
      throw syntaxError(params, `${method} request params must be <id>`);
    }
    return name;
  }

  holdsLock(name: string): boolean {
    return this.server.locks.owns(name, this);
  }

  get locksHeld(): string[] {
    return [...this.lockNames].filter((name) => this.holdsLock(name));
  }

  get locksWaiting(): string[] {
    return [...this.lockNames].filter((name) => !this.holdsLock(name));
  }

  lockChanged(name: string, event: "locked" | "stolen"): void {
    this.options.notify(event, [name]);
  }

  /**
   * A database goes away or gets another schema: its monitors and transactions end, and an aware
   * client is told. One that is not aware learns of it by losing its connection: nothing is said.
   */
  databaseRemoved(database: Database): void {
    for (const [key, active] of this.monitors) {
      if (active.database !== database) continue;
      active.stop();
      this.monitors.delete(key);
      if (this.databaseChangeAware) this.options.notify("monitor_canceled", [active.id]);
    }
    for (const { cancel, forget, of } of [...this.transactions.values()]) {
      if (of !== database) continue;
      if (this.databaseChangeAware) cancel();
      else forget();
    }
  }

  disconnect(reason: string): void {
    this.options.disconnect(reason);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.server.sessions.delete(this);
    for (const { stop } of this.monitors.values()) stop();
    this.monitors.clear();
    for (const { cancel } of [...this.transactions.values()]) cancel();
    for (const name of this.lockNames) this.server.locks.release(name, this);
    this.lockNames.clear();
  }
}

/** An error that the protocol has as a plain string, not as an `<error>` object. */
class BareError extends OvsdbError {}

function lastTransaction(json: Json): string {
  if (typeof json !== "string") throw syntaxError(json, "last-txn-id must be string");
  const uuid = parseUuid(json);
  if (uuid === undefined) throw syntaxError(json, "last-txn-id must be UUID format.");
  return uuid;
}
