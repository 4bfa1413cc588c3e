/**
 * Advisory write locks on files, as fcntl(2) gives them: how a daemon says "this is mine", and how
 * others learn its process id (Open vSwitch's clients trust a pid file only while it is locked).
 *
 * Invariants
 * - The kernel releases the lock when the process ends, however it ends.
 * - Closing ANY descriptor of the file in this process releases the lock too. So the file must not be
 *   opened a second time while it is locked, not even to read it: write through `FileLock`.
 * - Locks are per process: a second attempt by the same process succeeds. Callers keep track.
 *
 * Limits: `struct flock` as on 64-bit Linux, below. A holder in another pid namespace shows as 0.
 *
 *    0       2       4       8               16              24      28
 *   +-------+-------+-------+---------------+---------------+-------+
 *   | type  |whence |  pad  | start i64     | len i64 (0=∞) | pid   |
 *   +-------+-------+-------+---------------+---------------+-------+
 *
 * References: fcntl(2), "Advisory record locking".
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { constants } from "node:fs";
import { address, ERRNO, errno, raw, SystemError } from "./libc.ts";

const F_GETLK = 5;
const F_SETLK = 6;
const F_WRLCK = 1;
const F_UNLCK = 2;
const FLOCK_BYTES = 32;

export interface FileLock {
  /** As the file is named now. */
  readonly path: string;
  /** Replaces the file's contents. */
  write(text: string): void;
  /** Gives the file another name, replacing whatever had it; the lock stays. */
  rename(path: string): void;
  /** Gives the lock up; `remove` unlinks the file first, so that nobody sees it unlocked. */
  release(options?: { remove?: boolean }): void;
}

export type LockAttempt =
  | { readonly lock: FileLock }
  /** Somebody else holds it. 0: a process that cannot be seen from here. */
  | { readonly holderPid: number };

/** Whole file, write lock; `command` is F_SETLK or F_GETLK. The structure as the kernel left it. */
function lockCall(fd: number, command: number): { ok: boolean; struct: DataView } {
  const struct = new DataView(new ArrayBuffer(FLOCK_BYTES));
  struct.setInt16(0, F_WRLCK, true);
  return { ok: raw.fcntl(fd, command, address(struct)) >= 0, struct };
}

/** True if `path` still names the file that `fd` has open (it may have been unlinked or replaced). */
function stillNamed(fd: number, path: string): boolean {
  const [opened, named] = [fstatSync(fd), statSync(path, { throwIfNoEntry: false })];
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

/**
 * Locks `path`, which is made (mode 0644) when it is missing, without waiting. Throws what the file
 * system says when the file cannot be opened, and `SystemError` when it cannot be locked.
 */
export function lockFile(path: string): LockAttempt {
  for (;;) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    if (!lockCall(fd, F_SETLK).ok) {
      const failure = errno();
      const { struct } = lockCall(fd, F_GETLK);
      closeSync(fd);
      if (failure !== ERRNO.EACCES && failure !== ERRNO.EAGAIN) {
        throw new SystemError("fcntl(F_SETLK)", failure, path);
      }
      // The holder may have ended between the two calls.
      if (struct.getInt16(0, true) === F_UNLCK) continue;
      return { holderPid: struct.getInt32(24, true) };
    }
    // A holder that stops unlinks its file: what we locked may have lost its name meanwhile.
    if (!stillNamed(fd, path)) {
      closeSync(fd);
      continue;
    }
    return { lock: heldLock(fd, path) };
  }
}

/**
 * The process that holds the file's lock; undefined if nobody does. Throws what the file system says
 * when the file cannot be opened for writing, and `SystemError` when its lock cannot be asked for. Not
 * for a file that this process has locked: looking releases it.
 */
export function lockHolder(path: string): number | undefined {
  const fd = openSync(path, constants.O_RDWR);
  try {
    const { ok, struct } = lockCall(fd, F_GETLK);
    if (!ok) throw new SystemError("fcntl(F_GETLK)", errno(), path);
    return struct.getInt16(0, true) === F_UNLCK ? undefined : struct.getInt32(24, true);
  } finally {
    closeSync(fd);
  }
}

function heldLock(fd: number, lockedPath: string): FileLock {
  let held = true;
  let path = lockedPath;
  return {
    get path() {
      return path;
    },
    rename(to) {
      renameSync(path, to);
      path = to;
    },
    write(text) {
      ftruncateSync(fd, 0);
      writeSync(fd, text, 0);
    },
    release(options = {}) {
      if (!held) return;
      held = false;
      if (options.remove === true && stillNamed(fd, path)) unlinkSync(path);
      closeSync(fd);
    },
  };
}
