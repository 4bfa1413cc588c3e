/**
 * What `ovs-appctl -t ovsdb-server` asks of a database server (ovsdb-server(8), "Runtime Management
 * Commands"): databases and remotes that come and go while it runs. Commands are plain functions
 * from arguments to text; whoever owns the control socket registers them there.
 */
import { existsSync, realpathSync } from "node:fs";
import type { Logger } from "../log/log.ts";
import { Database } from "./database.ts";
import { OvsdbError } from "./error.ts";
import type { Remotes } from "./remotes.ts";
import type { OvsdbServer } from "./server.ts";
import { openStorage } from "./storage/open.ts";
import type { Storage } from "./storage/storage.ts";

export interface ControlCommand {
  readonly usage: string;
  readonly minArguments: number;
  readonly maxArguments: number;
  /** Returns the text to print; throws `ControlError`. */
  readonly run: (args: readonly string[]) => string;
}

/** A command cannot be done; `message` is what the user sees. */
export class ControlError extends Error {
  override readonly name = "ControlError";
}

/** Takes a database file for this process alone; returns what gives it up. Throws `OvsdbError`. */
export type ClaimFile = (path: string) => () => void;

interface OpenFile {
  readonly database: Database;
  readonly release: () => void;
}

/** Serves existing database files of either kind, under the schemas that they hold. */
export class DatabaseFiles {
  /** Real path → database. */
  private readonly open = new Map<string, OpenFile>();

  constructor(
    private readonly server: OvsdbServer,
    private readonly logger: Logger,
    private readonly claim: ClaimFile = () => () => {},
  ) {}

  /** The files that are served, links resolved. */
  get paths(): string[] {
    return [...this.open.keys()];
  }

  /** Opens the file and serves what it holds. Throws `OvsdbError`. */
  add(file: string): Database {
    if (!existsSync(file)) {
      throw new OvsdbError(
        "I/O error",
        `${file}: open failed`,
        undefined,
        "No such file or directory",
      );
    }
    const path = realpathSync(file);
    if (this.open.has(path)) throw new OvsdbError("ovsdb error", `${file}: already open`);
    const release = this.claim(path);
    let storage: Storage | undefined;
    let database: Database;
    try {
      storage = openStorage(path, this.logger, "ovsdb-file", file);
      database = Database.openExisting(storage, { logger: this.logger });
      if (this.server.databases.has(database.name)) {
        throw new OvsdbError("ovsdb error", `${file}: duplicate database name`);
      }
    } catch (error) {
      storage?.close();
      release();
      throw error;
    }
    this.open.set(path, { database, release });
    this.server.addDatabase(database);
    return database;
  }

  /** Stops serving a database and lets its file go. */
  remove(name: string): void {
    this.server.removeDatabase(name);
    for (const [path, { database, release }] of this.open) {
      if (database.name !== name) continue;
      this.open.delete(path);
      release();
    }
  }
}

export interface ControlOptions {
  readonly server: OvsdbServer;
  readonly remotes: Remotes;
  readonly files: DatabaseFiles;
  /** Called when the set of remotes or databases has been changed by a command. */
  readonly changed?: () => void;
}

const lines = (names: Iterable<string>): string =>
  [...names].sort().map((name) => `${name}\n`).join("");

export function controlCommands(
  { server, remotes, files, changed = () => {} }: ControlOptions,
): ReadonlyMap<string, ControlCommand> {
  const commands = new Map<string, ControlCommand>();
  const command = (
    name: string,
    usage: string,
    [minArguments, maxArguments]: readonly [number, number],
    run: (...args: string[]) => string | void,
  ): void => {
    const reporting = (args: readonly string[]): string => {
      try {
        return run(...args) ?? "";
      } catch (error) {
        if (error instanceof OvsdbError) throw new ControlError(textOf(error));
        throw error;
      }
    };
    commands.set(`ovsdb-server/${name}`, { usage, minArguments, maxArguments, run: reporting });
  };
  const database = (name: string): Database => {
    const found = server.databases.get(name);
    if (found === undefined) throw new ControlError("Failed to find the database.");
    return found;
  };

  command("add-remote", "REMOTE", [1, 1], (remote = "") => {
    remotes.addLater(remote);
    changed();
  });
  command("remove-remote", "REMOTE", [1, 1], (remote = "") => {
    if (!remotes.remove(remote)) throw new ControlError("no such remote");
    changed();
  });
  command("list-remotes", "", [0, 0], () => lines(remotes.list()));
  command("add-db", "DB", [1, 1], (file = "") => {
    files.add(file);
    changed();
  });
  command("remove-db", "DB", [1, 1], (name = "") => {
    if (database(name).reserved) throw new ControlError("Cannot remove reserved database.");
    files.remove(name);
    changed();
  });
  command("list-dbs", "", [0, 0], () => lines(server.databases.keys()));
  command("get-db-storage-status", "DB", [1, 1], (name = "") => {
    database(name);
    return "status: ok";
  });
  command("compact", "[DB]", [0, 1], (name) => {
    if (name?.startsWith("_")) throw new ControlError("cannot compact built-in databases");
    const chosen = [...server.databases.values()].filter((candidate) =>
      name === undefined ? !candidate.reserved : candidate.name === name
    );
    if (chosen.length === 0) throw new ControlError("no database by that name");
    for (const each of chosen) {
      server.logger.info(`compacting ${each.name} database by user request`);
      each.compact();
    }
  });
  const disconnectAll = (reason: string): void => {
    for (const session of [...server.sessions]) session.disconnect(reason);
  };
  command("disable-monitor-cond", "", [0, 0], () => {
    server.hidesConditionalMonitors = true;
    disconnectAll("user ran ovsdb-server/disable-monitor-cond");
  });
  command("reconnect", "", [0, 0], () => disconnectAll("user ran ovsdb-server/reconnect"));
  return commands;
}

/** As stock prints it: bare details where the tag says nothing. */
const textOf = (error: OvsdbError): string =>
  error.tag === "bad remote" ? error.details ?? error.message : error.message;
