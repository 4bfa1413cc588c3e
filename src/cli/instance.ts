/**
 * One daemon to a run directory, and one to a database.
 *
 * Both are claimed by locking a file: `RUNDIR/ovs-vswitchd.pid`, where stock clients look for the
 * switch's process id, and `DATABASE.lock` beside the database. (The database itself is not locked
 * this way: SQLite keeps locks of its own on it, which a second descriptor would spoil.) The kernel
 * gives the locks up with the process, so a crash leaves nothing that would block the next start.
 */
import { accessSync, constants, mkdirSync } from "node:fs";
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

/** Claims both, or throws a `CommandError` that names the process in the way, holding nothing. */
export function claimInstance(runDir: string, db: string): Instance {
  const database = resolve(db);
  makeDirectory(runDir, "--run-dir");
  makeDirectory(dirname(database), "--db");
  const pidFile = join(resolve(runDir), "ovs-vswitchd.pid");
  const runLock = claim(pidFile, `the run directory ${runDir}`, "--run-dir");
  let dbLock: FileLock;
  try {
    dbLock = claim(`${database}.lock`, `the database ${db}`, "--db");
  } catch (error) {
    // Remove: had the file been another's, it would have been locked.
    runLock.release({ remove: true });
    throw error;
  }
  runLock.write(`${process.pid}\n`);
  return {
    pidFile,
    release() {
      dbLock.release();
      runLock.release({ remove: true });
    },
  };
}
