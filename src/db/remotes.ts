/**
 * All remotes of a server: those given when it starts, and those that a database names, as
 * `db:DATABASE,TABLE,COLUMN` (ovsdb-server(1)). `db:Open_vSwitch,Open_vSwitch,manager_options` is
 * where `ovs-vsctl set-manager` puts managers. What a database names is followed as it changes, and
 * how each remote fares is written back to its row: `is_connected` and `status`.
 *
 * A remote that cannot be opened is an error in the log and is tried again at each status update.
 */
import type { Logger } from "../log/log.ts";
import type { Database } from "./database.ts";
import { OvsdbError } from "./error.ts";
import type { Json } from "./json.ts";
import { ActiveRemote } from "./rpc/active.ts";
import { listen, type Listener, type ListenerLimits } from "./rpc/listener.ts";
import { parseRemote } from "./rpc/remote.ts";
import { type Access, fullAccess } from "./rpc/serve.ts";
import type { OvsdbServer } from "./server.ts";
import type { Row, Table } from "./table.ts";
import { TlsError } from "./tls/settings.ts";
import type { Tls } from "./tls/tls.ts";
import type { Datum } from "./values/datum.ts";
import { equalDatums } from "./values/datum.ts";
import { parseDatum } from "./values/parse.ts";

const DEFAULT_MAX_BACKOFF_MS = 8000;

interface Configured {
  readonly maxBackoffMs: number;
  /** Undefined: as the limits say. */
  readonly probeMs: number | undefined;
  readonly access: Access;
}

interface Open {
  readonly configured: Configured;
  /** Undefined while it could not be opened. */
  readonly remote: Listener | ActiveRemote | undefined;
}

interface DatabaseRemote {
  readonly database: string;
  readonly table: string;
  readonly column: string;
}

function parseDatabaseRemote(spec: string): DatabaseRemote {
  const [database, table, column, ...rest] = spec.slice("db:".length).split(",");
  if (database === undefined || table === undefined || column === undefined || rest.length > 0) {
    throw new OvsdbError("bad remote", `"${spec}": invalid syntax`);
  }
  return { database, table, column };
}

export class Remotes {
  private readonly specs = new Set<string>();
  private readonly open = new Map<string, Open>();
  private readonly unfollow = new Map<Database, () => void>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly server: OvsdbServer,
    private readonly logger: Logger,
    private readonly limits: ListenerLimits,
    private readonly statusEveryMs = 2500,
    private readonly tls?: Tls,
  ) {}

  /**
   * Adds a remote. A passive one that cannot be had now is an error (`OvsdbError`); but not for lack
   * of keys and certificates, which clients of the other remotes may still configure.
   */
  add(spec: string): void {
    if (this.specs.has(spec)) return;
    try {
      if (!spec.startsWith("db:")) this.open.set(spec, this.start(spec, defaults));
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
    }
    this.addLater(spec);
  }

  /** As `add`; but one that cannot be opened now is logged, and tried again with each status. */
  addLater(spec: string): void {
    if (spec.startsWith("db:")) this.checkDatabaseRemote(spec);
    this.specs.add(spec);
    this.reconfigure();
    if (spec.startsWith("db:")) this.writeStatus(spec);
  }

  private checkDatabaseRemote(spec: string): void {
    const { database, table, column } = parseDatabaseRemote(spec);
    const fail = (problem: string): never => {
      throw new OvsdbError("bad remote", `"${spec}": ${problem}`);
    };
    const tables = this.server.databases.get(database)?.tables ??
      fail(`no database named ${database}`);
    const { columns } = tables.get(table)?.schema ?? fail(`no table named ${table}`);
    if (!columns.has(column)) fail(`table "${table}" has no column "${column}"`);
  }

  remove(spec: string): boolean {
    const known = this.specs.delete(spec);
    this.reconfigure();
    return known;
  }

  list(): string[] {
    return [...this.specs].sort();
  }

  /** The listeners that are open now. */
  get listeners(): Listener[] {
    return [...this.open.values()].flatMap(({ remote }) =>
      remote === undefined || remote instanceof ActiveRemote ? [] : [remote]
    );
  }

  private start(target: string, configured: Configured): Open {
    const limits = configured.probeMs === undefined
      ? this.limits
      : { ...this.limits, probeMs: configured.probeMs };
    const remote = parseRemote(target).passive
      ? listen(this.server, target, this.logger, limits, this.tls, configured.access)
      : new ActiveRemote(
        this.server,
        target,
        this.logger,
        limits,
        configured.maxBackoffMs,
        this.tls,
        configured.access,
      );
    this.announce(target, remote);
    return { configured, remote };
  }

  /** A port that the system chose is worth a line: nobody could know it otherwise. */
  private announce(target: string, remote: Listener | ActiveRemote): void {
    const chosen = /^p(?:tcp|ssl):0(?::|$)/.test(target) && "port" in remote;
    if (chosen) this.logger.info(`${target}: listening on port ${remote.port}`);
    else this.logger.dbg(`${target}: ${"connections" in remote ? "listening" : "connecting"}`);
  }

  /** Opens and closes remotes so that they are the configured ones. */
  private reconfigure(): void {
    const wanted = new Map<string, Configured>();
    this.follow();
    for (const spec of this.specs) {
      if (!spec.startsWith("db:")) wanted.set(spec, defaults);
      else for (const [target, configured] of this.named(spec)) wanted.set(target, configured);
    }
    const failed = new Set<string>();
    for (const [target, { configured, remote }] of this.open) {
      if (remote === undefined) failed.add(target);
      const now = wanted.get(target);
      const same = now !== undefined && now.maxBackoffMs === configured.maxBackoffMs &&
        now.probeMs === configured.probeMs &&
        now.access.readOnly === configured.access.readOnly &&
        now.access.role === configured.access.role;
      if (same && remote !== undefined) continue;
      if (now === undefined) this.logger.info(`${target}: remote deconfigured`);
      remote?.close();
      this.open.delete(target);
    }
    for (const [target, configured] of wanted) {
      if (this.open.has(target)) continue;
      try {
        this.open.set(target, this.start(target, configured));
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error;
        if (!failed.has(target)) this.logger.err(error.message);
        this.open.set(target, { configured, remote: undefined });
      }
    }
    const named = [...this.specs].some((spec) => spec.startsWith("db:")) ||
      [...this.open.values()].some(({ remote }) => remote === undefined);
    if (named && this.timer === undefined) {
      this.timer = setInterval(() => this.tick(), this.statusEveryMs);
      this.timer.unref();
    } else if (!named) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
  }

  /** Watches the databases that `db:` remotes name. */
  private follow(): void {
    for (const spec of this.specs) {
      if (!spec.startsWith("db:")) continue;
      const { database: name, table, column } = parseDatabaseRemote(spec);
      const database = this.server.databases.get(name);
      if (database === undefined || this.unfollow.has(database)) continue;
      const stop = database.onCommit(({ deltas }) => {
        const refTable = database.tables.get(table)?.schema.columns.get(column)?.type.key.refTable;
        const relevant = deltas.some((delta) =>
          [table, refTable].includes(delta.table.schema.name) &&
          delta.changed.some((changed) => changed.persistent)
        );
        if (relevant) setImmediate(() => this.reconfigure());
      });
      this.unfollow.set(database, stop);
    }
  }

  /** The remotes that a `db:` remote stands for, each with its row if it has one. */
  private *rows(spec: string): Generator<{ target: string; table?: Table; row?: Row }> {
    const { database, table: tableName, column: columnName } = parseDatabaseRemote(spec);
    const tables = this.server.databases.get(database)?.tables;
    const table = tables?.get(tableName);
    const column = table?.schema.columns.get(columnName);
    if (tables === undefined || table === undefined || column === undefined) {
      this.logger.warn(`${spec}: no such database, table or column`);
      return;
    }
    const { refTable } = column.type.key;
    for (const { fields } of table.rows.values()) {
      for (const key of fields[column.index]?.keys ?? []) {
        if (refTable === undefined) yield { target: String(key) };
        else {
          const named = tables.get(refTable) as Table;
          const row = named.rows.get(String(key));
          const target = row === undefined ? undefined : value(named, row, "target");
          if (row !== undefined && target !== undefined) {
            yield { target: String(target), table: named, row };
          }
        }
      }
    }
  }

  private *named(spec: string): Generator<[string, Configured]> {
    for (const { target, table, row } of this.rows(spec)) {
      if (table === undefined || row === undefined) yield [target, defaults];
      else {
        const number = (column: string): number | undefined => {
          const atom = value(table, row, column);
          return atom === undefined ? undefined : Number(atom);
        };
        yield [target, {
          maxBackoffMs: number("max_backoff") ?? DEFAULT_MAX_BACKOFF_MS,
          probeMs: number("inactivity_probe"),
          access: {
            readOnly: value(table, row, "read_only") === true,
            role: String(value(table, row, "role") ?? "") || undefined,
          },
        }];
      }
    }
  }

  private tick(): void {
    if ([...this.open.values()].some(({ remote }) => remote === undefined)) this.reconfigure();
    for (const spec of this.specs) if (spec.startsWith("db:")) this.writeStatus(spec);
  }

  private writeStatus(spec: string): void {
    const database = this.server.databases.get(parseDatabaseRemote(spec).database);
    if (database === undefined) return;
    const operations: Json[] = [];
    for (const { target, table, row } of this.rows(spec)) {
      if (table === undefined || row === undefined) continue;
      const update = changedColumns(table, row, this.status(target));
      if (Object.keys(update).length === 0) continue;
      const where = [["_uuid", "==", ["uuid", row.uuid]]];
      operations.push({ op: "update", table: table.schema.name, where, row: update });
    }
    if (operations.length === 0) return;
    const requester = { who: "remote status", readOnly: false, holdsLock: () => false };
    database.transact(operations, requester, () => {});
  }

  /** The columns that tell how a remote fares. */
  private status(target: string): { is_connected: boolean; status: Json } {
    const remote = this.open.get(target)?.remote;
    const pairs: [string, string][] = [];
    const add = (key: string, text: string | number | undefined): void => {
      if (text !== undefined && text !== "") pairs.push([key, String(text)]);
    };
    if (remote instanceof ActiveRemote) {
      add("state", remote.state);
      add("sec_since_connect", remote.secondsSinceConnect);
      add("sec_since_disconnect", remote.secondsSinceDisconnect);
      add("last_error", remote.lastError);
      add("locks_held", remote.session?.locksHeld.join(" "));
      add("locks_waiting", remote.session?.locksWaiting.join(" "));
      return { is_connected: remote.state === "ACTIVE", status: ["map", pairs] };
    }
    const connections = remote?.connections ?? 0;
    if (connections > 1) add("n_connections", connections);
    add("bound_port", remote?.port);
    return { is_connected: connections > 0, status: ["map", pairs] };
  }

  close(): void {
    clearInterval(this.timer);
    for (const stop of this.unfollow.values()) stop();
    this.unfollow.clear();
    this.specs.clear();
    for (const { remote } of this.open.values()) remote?.close();
    this.open.clear();
  }
}

const defaults: Configured = {
  maxBackoffMs: DEFAULT_MAX_BACKOFF_MS,
  probeMs: undefined,
  access: fullAccess,
};

/** The one atom of a column, if there is such a column and it is not empty. */
function value(table: Table, row: Row, name: string): Datum["keys"][number] | undefined {
  const column = table.schema.columns.get(name);
  return column === undefined ? undefined : row.fields[column.index]?.keys[0];
}

function changedColumns(
  table: Table,
  row: Row,
  wanted: { readonly [column: string]: Json },
): Record<string, Json> {
  const changed: Record<string, Json> = {};
  for (const [name, json] of Object.entries(wanted)) {
    const column = table.schema.columns.get(name);
    if (column === undefined) continue;
    const now = row.fields[column.index] as Datum;
    if (!equalDatums(now, parseDatum(json, column.type))) changed[name] = json;
  }
  return changed;
}
