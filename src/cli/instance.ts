/**
 * One daemon to a run directory, and one to a database.
 *
 * All is claimed by locking files: in the run directory `ovs-vswitchd.pid`, where stock clients look
 * for the switch's process id, and `ovsdb-server.pid`, for solovs is that too (so neither of Open
 * vSwitch's own daemons can be running there); and `DATABASE.lock` beside the database. (The database
 * itself is not locked this way: SQLite keeps locks of its own on it, which a second descriptor would
 * spoil.) The kernel gives the locks up with the process, so a crash leaves nothing that would block
 * the next start. Sockets that a crash left in the run directory are removed once it is claimed.
 */
import { accessSync, constants, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type FileLock, lockFile } from "../linux/lock.ts";
import { CommandError, reason } from "./exit.ts";

export interface Instance {
  readonly pidFile: string;
  /** Removes the pid file and gives both claims up. */
  release(): void;
}

function makeDirectory(path: string, option: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new CommandError(
      `cannot use the directory ${path}: ${reason(error)}.\n` +
        `Run solovs as root, or choose another directory with ${option}.`,
    );
  }
}

function claim(path: string, what: string, option: string): FileLock {
  let attempt;
  try {
    attempt = lockFile(path);
  } catch (error) {
    throw new CommandError(
      `cannot lock ${path}: ${reason(error)}.\n` +
        `Run solovs as the user who owns it, or choose another place with ${option}.`,
    );
  }
  if ("lock" in attempt) return attempt.lock;
  const holder = attempt.holderPid > 0
    ? `process ${attempt.holderPid}`
    : "a process of another container";
  throw new CommandError(
    `${what} is in use by ${holder} (it holds ${path}).\n` +
      `Stop that one first${attempt.holderPid > 0 ? ` (kill ${attempt.holderPid})` : ""}, ` +
      `or choose another with ${option}.`,
  );
}

/** Sockets that carry a bridge's name or a process id: nobody would replace them. */
const LEFTOVER = /\.(?:mgmt|snoop)$|^(?:ovs-vswitchd|ovsdb-server)\.\d+\.ctl$/;

function removeLeftovers(runDir: string): void {
  for (const entry of readdirSync(runDir, { withFileTypes: true })) {
    if (entry.isSocket() && LEFTOVER.test(entry.name)) rmSync(join(runDir, entry.name));
  }
}

/** Claims the database alone, or throws a `CommandError` that names the process in the way. */
export function claimDatabase(db: string): FileLock {
  const database = resolve(db);
  makeDirectory(dirname(database), "--db");
  return claim(`${database}.lock`, `the database ${db}`, "--db");
}

/** Claims both, or throws a `CommandError` that names the process in the way, holding nothing. */
export function claimInstance(runDir: string, db: string): Instance {
  const directory = resolve(runDir);
  makeDirectory(directory, "--run-dir");
  const pidFiles: FileLock[] = [];
  const releasePidFiles = () => pidFiles.forEach((lock) => lock.release({ remove: true }));
  let databaseLock: FileLock;
  try {
    for (const daemon of ["ovs-vswitchd", "ovsdb-server"]) {
      const path = join(directory, `${daemon}.pid`);
      pidFiles.push(claim(path, `the run directory ${runDir}`, "--run-dir"));
    }
    databaseLock = claimDatabase(db);
  } catch (error) {
    releasePidFiles();
    throw error;
  }
  for (const lock of pidFiles) lock.write(`${process.pid}\n`);
  removeLeftovers(directory);
  return {
    pidFile: pidFiles[0]!.path,
    release() {
      databaseLock.release();
      releasePidFiles();
    },
  };
}
