/**
 * The database service as the daemon starts it: the Open_vSwitch database in one SQLite file, served
 * on sockets and to the daemon's own parts.
 */
import type { Logger } from "../log/log.ts";
import type { Commit } from "./commit.ts";
import { Database } from "./database.ts";
import { OvsdbServer } from "./server.ts";
import {
  defaultListenerLimits,
  listen,
  type Listener,
  type ListenerLimits,
} from "./rpc/listener.ts";
import { openVSwitchSchema } from "./schema/openvswitch.ts";
import type { OvsdbSession } from "./session.ts";
import { openSqliteStorage } from "./storage/sqlite.ts";

export interface DatabaseServiceOptions {
  /** The SQLite file; made if it is not there. */
  readonly dbFile: string;
  /** Where to listen: `punix:FILE`, `ptcp:[PORT][:HOST]`. */
  readonly sockets: readonly string[];
  readonly logger: Logger;
  readonly limits?: Partial<ListenerLimits>;
}

export interface DatabaseService {
  readonly server: OvsdbServer;
  readonly database: Database;
  readonly listeners: readonly Listener[];
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
  const server = new OvsdbServer(logger);
  const listeners: Listener[] = [];
  const close = (): void => {
    for (const listener of listeners) listener.close();
    server.close();
  };
  try {
    const database = Database.open(openVSwitchSchema, openSqliteStorage(dbFile), { logger });
    server.addDatabase(database);
    ensureRootRow(database);
    const limits = { ...defaultListenerLimits, ...options.limits };
    for (const remote of options.sockets) {
      listeners.push(listen(server, remote, logger, limits));
      logger.info(`${remote}: listening`);
    }
    return {
      server,
      database,
      listeners,
      openSession: (who) => server.openSession(who),
      onCommit: (listener) => database.onCommit(listener),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
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
