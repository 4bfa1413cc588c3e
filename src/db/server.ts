/**
 * The OVSDB server, sockets apart: the databases it serves, their locks, the sessions of its
 * clients, and the `_Server` database that describes the others.
 */
import type { Logger } from "../log/log.ts";
import { Database, type Requester } from "./database.ts";
import type { Author } from "./history/revision.ts";
import { type Json, stringify } from "./json.ts";
import { LocalSession } from "./local-session.ts";
import { Locks } from "./locks.ts";
import { schemaToJson } from "./schema/schema.ts";
import { serverSchema } from "./schema/server.ts";
import { type Reply, ServerSession, type SessionOptions } from "./server-session.ts";
import type { OvsdbSession } from "./session.ts";
import { volatileStorage } from "./storage/storage.ts";

/** A method beyond OVSDB's own. It calls `reply` once, or throws `OvsdbError`. */
export type ExtensionMethod = (
  params: readonly Json[],
  caller: Requester,
  reply: (reply: Reply) => void,
) => void;

/** Tells who is at the other end of an accepted Unix socket; undefined if nobody can say. */
export type IdentifyPeer = (fd: number) => Omit<Author, "who"> | undefined;

export class OvsdbServer {
  /** What `get_server_id` answers: new with each start. */
  readonly id: string = crypto.randomUUID();
  readonly databases = new Map<string, Database>();
  readonly locks = new Locks();
  readonly sessions = new Set<ServerSession>();
  /** By name; a name begins with `solovs.`, so that it meets no method of the protocol. */
  readonly extensions = new Map<string, ExtensionMethod>();
  /** Where sockets are whose names are not absolute; unless set, in the working directory. */
  socketDirectory = "";
  /** Set to behave as a server of the RFC alone: `monitor_cond` and its kin are unknown methods. */
  hidesConditionalMonitors = false;
  /** The server writes `_Server` through this: clients may only read it. */
  private readonly serverDatabase: Database;
  private readonly internal: { reserved: boolean };
  /** Updates as texts, by method and monitor id: many clients may be told the same. */
  readonly updateTexts = new WeakMap<object, Map<string, string>>();

  constructor(readonly logger: Logger, readonly identifyPeer?: IdentifyPeer) {
    const options = { logger, reserved: true };
    this.internal = options;
    this.serverDatabase = Database.open(serverSchema, volatileStorage(), options);
    this.addDatabase(this.serverDatabase);
  }

  addDatabase(database: Database): void {
    this.databases.set(database.name, database);
    const { name } = database;
    this.writeServerDatabase([{
      op: "insert",
      table: "Database",
      row: {
        name,
        model: "standalone",
        connected: true,
        leader: true,
        schema: stringify(schemaToJson(database.schema)),
      },
    }]);
    this.dropUnaware(`adding ${name} database`);
  }

  removeDatabase(name: string): void {
    const database = this.databases.get(name);
    if (database === undefined || database === this.serverDatabase) return;
    for (const session of this.sessions) session.databaseRemoved(database);
    this.databases.delete(name);
    this.writeServerDatabase([
      { op: "delete", table: "Database", where: [["name", "==", name]] },
    ]);
    this.dropUnaware(`removing ${name} database`);
    database.close();
  }

  /** `convert`: throws `OvsdbError` if the data does not fit the schema. */
  convertDatabase(database: Database, schema: Json): void {
    database.convert(schema);
    for (const session of this.sessions) session.databaseRemoved(database);
    this.writeServerDatabase([{
      op: "update",
      table: "Database",
      where: [["name", "==", database.name]],
      row: { schema: stringify(schemaToJson(database.schema)) },
    }]);
    // After the reply to who asked for it has left.
    setImmediate(() => this.dropUnaware(`committed ${database.name} database schema conversion`));
  }

  private writeServerDatabase(operations: Parameters<Database["transact"]>[0]): void {
    this.internal.reserved = false;
    const requester = { who: "ovsdb-server", readOnly: false, holdsLock: () => false };
    this.serverDatabase.transact(operations, requester, () => {});
    this.internal.reserved = true;
  }

  /** Clients that do not watch `_Server` learn of a change in it by losing their connection. */
  private dropUnaware(reason: string): void {
    for (const session of [...this.sessions]) {
      if (!session.databaseChangeAware) session.disconnect(reason);
    }
  }

  /** Of all databases together, for `coverage/show`. */
  counters(): Readonly<Record<string, number>> {
    const sums: Record<string, number> = { db_sessions: this.sessions.size };
    for (const { counters } of this.databases.values()) {
      for (const [name, count] of Object.entries(counters)) {
        sums[`db_${name}`] = (sums[`db_${name}`] ?? 0) + count;
      }
    }
    return sums;
  }

  createSession(options: SessionOptions): ServerSession {
    const session = new ServerSession(this, options);
    this.sessions.add(session);
    return session;
  }

  /** A session without a socket, for the daemon's own parts. */
  openSession(who: string): OvsdbSession {
    return new LocalSession(this, who);
  }

  close(): void {
    for (const session of [...this.sessions]) session.disconnect("server stops");
    for (const database of this.databases.values()) database.close();
    this.databases.clear();
  }
}
