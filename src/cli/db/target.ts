/** Which database a `db` command works on: that of the running switch, or a file that nobody serves. */
import { existsSync, mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, resolve } from "node:path";
import { OvsdbError } from "../../db/error.ts";
import { startDatabaseService } from "../../db/service.ts";
import { LogSink } from "../../log/log.ts";
import {
  type ConnectionOptions,
  DaemonConnection,
  remoteOf,
  tryConnect,
  writeErrorLine,
} from "../config/connection.ts";
import { CommandError, reason } from "../exit.ts";

export interface DatabaseOptions extends ConnectionOptions {
  /** The file to use when no switch is running. */
  readonly db: string;
}

export interface Target {
  readonly daemon: DaemonConnection;
  /** For people: `the running switch (unix:…)` or `the file …`. */
  readonly where: string;
}

/** Uses the running switch if it answers, else the file. `mayCreate`: also one that is not there. */
export async function withTarget<T>(
  options: DatabaseOptions,
  mayCreate: boolean,
  use: (target: Target) => Promise<T>,
): Promise<T> {
  const daemon = await tryConnect(options);
  if (daemon !== undefined) {
    try {
      return await use({ daemon, where: `the running switch (${remoteOf(options)})` });
    } finally {
      daemon.close();
    }
  }
  if (options.remote !== undefined) {
    throw new CommandError(`cannot reach a switch at ${options.remote}`);
  }
  return await withFile(options, mayCreate, use);
}

async function withFile<T>(
  options: DatabaseOptions,
  mayCreate: boolean,
  use: (target: Target) => Promise<T>,
): Promise<T> {
  const file = resolve(options.db);
  if (!existsSync(file) && !mayCreate) {
    throw new CommandError(
      `no switch is running at ${remoteOf(options)}, and there is no file ${file}.\n` +
        "Say where with --run-dir DIR or --db FILE.",
    );
  }
  const logger = new LogSink(writeErrorLine, "warn").logger("db");
  let service;
  try {
    mkdirSync(dirname(file), { recursive: true });
    service = startDatabaseService({ dbFile: file, sockets: [], followManagers: false, logger });
  } catch (error) {
    if (!(error instanceof OvsdbError)) {
      throw new CommandError(`cannot use ${file}: ${reason(error)}`);
    }
    throw new CommandError(error.message);
  }
  try {
    const session = service.openSession(`${userInfo().username}, while the switch was stopped`);
    const daemon = new DaemonConnection(session, options.database);
    return await use({ daemon, where: `the file ${file} (no switch is running)` });
  } finally {
    service.close();
  }
}
