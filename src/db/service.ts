/**
 * The database service as the daemon starts it: one database in one file, served on sockets and to
 * the daemon's own parts. Unless told otherwise the database is Open_vSwitch and a new file SQLite;
 * an existing file may also be one of Open vSwitch's own, which then stays one.
 */
import type { Logger } from "../log/log.ts";
import type { Commit } from "./commit.ts";
import { Database } from "./database.ts";
import { OvsdbError } from "./error.ts";
import { type HistoryOptions, startHistories } from "./history/attach.ts";
import type { Json } from "./json.ts";
import { Remotes } from "./remotes.ts";
import { type IdentifyPeer, OvsdbServer } from "./server.ts";
import { defaultListenerLimits, type Listener, type ListenerLimits } from "./rpc/listener.ts";
import type { DatabaseDeclaration } from "./schema/declare.ts";
import { parseSchema } from "./schema/schema.ts";
import { openVSwitchSchema } from "./schema/openvswitch.ts";
import type { OvsdbSession } from "./session.ts";
import { openStorage, type StorageKind } from "./storage/open.ts";
import type { SideTables } from "./storage/side-tables.ts";
import { openSideFile } from "./storage/sqlite.ts";
import { openVSwitchSettings, resolveSettings, settingsOver } from "./tls/settings.ts";
import type { TlsSettings } from "./tls/settings.ts";
import { Tls } from "./tls/tls.ts";

const MANAGERS = "db:Open_vSwitch,Open_vSwitch,manager_options";

export interface DatabaseServiceOptions {
  /** The database file; made if it is not there. */
  readonly dbFile: string;
  /** What kind of file a new one is; `sqlite` unless set. */
  readonly kindOfNewFile?: StorageKind;
  /**
   * The schema of a new file, and the one to which an older file of the same database is converted;
   * Open_vSwitch's unless set.
   */
  readonly schema?: Json | DatabaseDeclaration;
  /**
   * Where to listen and what to connect to: `punix:FILE`, `ptcp:[PORT][:HOST]`, `unix:FILE`,
   * `tcp:HOST[:PORT]`, `db:DATABASE,TABLE,COLUMN`; `pssl:` and `ssl:` as `ptcp:` and `tcp:`.
   */
  readonly sockets: readonly string[];
  /** Also the managers that `ovs-vsctl set-manager` names; true unless set. */
  readonly followManagers?: boolean;
  /** How often the state of managers is written to their rows, in milliseconds; 2500 unless set. */
  readonly statusEveryMs?: number;
  /** For the record of changes: who is at the other end of a Unix socket. */
  readonly identifyPeer?: IdentifyPeer;
  readonly history?: HistoryOptions;
  /**
   * For `pssl:` and `ssl:`; a setting may be `db:DATABASE,TABLE,COLUMN`. What it leaves open is what
   * the SSL row of Open_vSwitch says.
   */
  readonly tls?: TlsSettings;
  /** What TLS has to say; `logger` unless set. */
  readonly tlsLogger?: Logger;
  readonly logger: Logger;
  readonly limits?: Partial<ListenerLimits>;
}

export interface DatabaseService {
  readonly server: OvsdbServer;
  readonly database: Database;
  /** What it listens on and connects to; may be changed while it runs. */
  readonly remotes: Remotes;
  readonly listeners: readonly Listener[];
  /** As configured, for other connections of this daemon. */
  readonly tls: Tls;
  /**
   * Room for tables of other parts of the daemon: in the database's file, or, if that is one of Open
   * vSwitch's own, in FILE.side. Throws `StorageError`.
   */
  sideTables(): SideTables;
  /** A session for a part of the daemon; `who` names it in the record of changes. */
  openSession(who: string): OvsdbSession;
  /** Each commit once it is durable: for the record of changes. Returns what ends it. */
  onCommit(listener: (commit: Commit) => void): () => void;
  /** Stores what is pending, ends all sessions, lets file and sockets go. */
  close(): void;
}

/** Throws `OvsdbError` (or its `StorageError`) if the file or a socket cannot be had. */
export function startDatabaseService(options: DatabaseServiceOptions): DatabaseService {
  const { logger, dbFile } = options;
  const server = new OvsdbServer(logger, options.identifyPeer);
  const limits = { ...defaultListenerLimits, ...options.limits };
  const tls = tlsOf(server, options);
  const remotes = new Remotes(server, logger, limits, options.statusEveryMs, tls);
  const histories = startHistories(server, logger, options.history);
  let sideFile: ReturnType<typeof openSideFile> | undefined;
  const close = (): void => {
    sideFile?.close();
    histories.close();
    remotes.close();
    server.close();
  };
  try {
    const schema = options.schema ?? openVSwitchSchema;
    const storage = openStorage(dbFile, logger, options.kindOfNewFile ?? "sqlite");
    const database = Database.open(schema, storage, { logger });
    upgrade(database, schema, logger);
    server.addDatabase(database);
    if (database.name === "Open_vSwitch") ensureRootRow(database);
    histories.attach(database);
    for (const remote of options.sockets) remotes.add(remote);
    if (database.name === "Open_vSwitch" && options.followManagers !== false) {
      remotes.add(MANAGERS);
    }
    return {
      server,
      database,
      remotes,
      tls,
      get listeners() {
        return remotes.listeners;
      },
      sideTables: () => database.sideTables ?? (sideFile ??= openSideFile(`${dbFile}.side`)).tables,
      openSession: (who) => server.openSession(who),
      onCommit: (listener) => database.onCommit(listener),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The options first, then the SSL row. */
function tlsOf(server: OvsdbServer, options: DatabaseServiceOptions): Tls {
  return new Tls(() => {
    const given = resolveSettings(options.tls ?? {}, server.databases);
    const database = server.databases.get("Open_vSwitch");
    return database === undefined ? given : settingsOver(given, openVSwitchSettings(database));
  }, options.tlsLogger ?? options.logger);
}

/** Brings data that an older version left to this version's schema; never a newer one's back. */
function upgrade(database: Database, schema: Json | DatabaseDeclaration, logger: Logger): void {
  const wanted = parseSchema(schema);
  const { name, version } = database.schema;
  if (wanted.name !== name) {
    throw new OvsdbError("wrong database", `the file holds ${name}, not ${wanted.name}`);
  }
  if (compareVersions(version, wanted.version) >= 0) return;
  logger.info(`${name}: converting from schema version ${version} to ${wanted.version}`);
  database.convert(schema);
}

function compareVersions(a: string, b: string): number {
  const parts = (version: string): number[] => version.split(".").map(Number);
  const [x, y] = [parts(a), parts(b)];
  return [0, 1, 2].map((i) => (x[i] ?? 0) - (y[i] ?? 0)).find((order) => order !== 0) ?? 0;
}

/** Clients expect the one Open_vSwitch row to be there: `ovs-vsctl init` makes it, and so do we. */
function ensureRootRow(database: Database): void {
  if (database.tables.get("Open_vSwitch")?.rows.size !== 0) return;
  const requester = { who: "solovs", readOnly: false, holdsLock: () => false };
  database.transact(
    [{ op: "insert", table: "Open_vSwitch", row: {} }, { op: "comment", comment: "solovs: init" }],
    requester,
    () => {},
  );
  database.flush();
}
