/** Where a client program's text goes: written before it returns, in order, whatever ends it. */
import { writeSync } from "node:fs";

function writeAll(fd: number, text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") return; // nobody reads
      // The other end of a non-blocking pipe is slow: a client has nothing else to do.
      Bun.sleepSync(1);
    }
  }
}

export const toStdout = (text: string): void => writeAll(1, text);
export const toStderr = (text: string): void => writeAll(2, text);
