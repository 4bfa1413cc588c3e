/** Who is at the other end of a Unix socket (unix(7), SO_PEERCRED; proc(5)). */
import { readFileSync } from "node:fs";
import { getsockopt } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const LONGEST_COMMAND = 2000;

/** A process as it was when it connected. */
export interface UnixPeer {
  readonly pid: number;
  readonly uid: number;
  readonly user?: string;
  /** Its command line; absent if the process ended in the meantime, or lives where we cannot see. */
  readonly command?: string;
}

/** `struct ucred`: pid, uid, gid, 32 bits each. Undefined if the kernel does not tell. */
export function unixPeer(fd: number): UnixPeer | undefined {
  const credentials = new Int32Array(3);
  try {
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(credentials.buffer));
  } catch {
    return undefined;
  }
  const [pid = 0, signedUid = 0] = credentials;
  const uid = signedUid >>> 0;
  const user = userName(uid);
  // The pid is 0 for a process of a namespace that we cannot see into.
  const command = pid > 0 ? commandLine(pid) : undefined;
  return {
    pid,
    uid,
    ...(user === undefined ? {} : { user }),
    ...(command === undefined ? {} : { command }),
  };
}

function commandLine(pid: number): string | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (words.at(-1) === "") words.pop();
    const text = words.map(quoted).join(" ");
    return text === "" ? undefined : text.slice(0, LONGEST_COMMAND);
  } catch {
    return undefined;
  }
}

/** A word as one would type it in a shell. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** From the local password file only: asking a directory service could block. */
function userName(uid: number): string | undefined {
  try {
    const line = readFileSync("/etc/passwd", "utf8").split("\n")
      .find((entry) => entry.split(":")[2] === String(uid));
    return line?.split(":")[0];
  } catch {
    return undefined;
  }
}
