/**
 * A file of lines that only grows, until it is written anew: what kept flows (kept-flows.ts) are
 * stored in.
 *
 * - A line is whole or not there: an unfinished last one, left by a crash, is cut off when the file is
 *   opened again.
 * - What `append` was given is in the kernel's hands when `flush` returns, and so survives the end of
 *   the process, however it comes; `sync` every SYNC_MS puts it on the disk, against a loss of power.
 * - Writing anew goes to a file beside, which takes the place of the old one when it is complete.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../clock.ts";

const SYNC_MS = 1000;
/** Lines that wait are written after so long, if nobody asks before. */
const WRITE_MS = 20;
const NEWLINE = 0x0a;

export class FlowJournal {
  private descriptor: number;
  private waiting: string[] = [];
  private cancelWrite: (() => void) | undefined;
  private cancelSync: (() => void) | undefined;
  /** Lines in the file, those that wait included. */
  lines = 0;

  /** Throws an Error of the file system. `failed` is told of one that occurs later, in a timer. */
  constructor(
    private readonly path: string,
    private readonly clock: Clock,
    private readonly failed: (error: Error) => void,
  ) {
    mkdirSync(dirname(path), { recursive: true });
    this.descriptor = openSync(path, "a+", 0o600);
  }

  /** Every whole line that is there; cuts off what comes after the last one. */
  read(): string[] {
    const bytes = readFileSync(this.path);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end < bytes.length) ftruncateSync(this.descriptor, end);
    const lines = bytes.toString("utf8", 0, end).split("\n").slice(0, -1);
    this.lines = lines.length;
    return lines;
  }

  append(line: string): void {
    this.waiting.push(line);
    this.lines++;
    this.cancelWrite ??= this.clock.after(WRITE_MS, () => this.guard(() => this.flush()));
  }

  /** Hands everything to the kernel. */
  flush(): void {
    this.cancelWrite?.();
    this.cancelWrite = undefined;
    if (this.waiting.length === 0) return;
    writeLines(this.descriptor, this.waiting);
    this.waiting = [];
    this.cancelSync ??= this.clock.after(SYNC_MS, () => {
      this.cancelSync = undefined;
      fdatasync(this.descriptor, (error) => {
        if (error && error.code !== "EBADF") this.failed(error);
      });
    });
  }

  /** Puts `lines` in the place of all that is there. */
  rewrite(lines: readonly string[]): void {
    const beside = `${this.path}.new`;
    const descriptor = openSync(beside, "w", 0o600);
    writeLines(descriptor, lines);
    fdatasyncSync(descriptor);
    closeSync(descriptor);
    renameSync(beside, this.path);
    closeSync(this.descriptor);
    this.descriptor = openSync(this.path, "a+", 0o600);
    this.waiting = [];
    this.lines = lines.length;
  }

  close(): void {
    this.guard(() => this.flush());
    this.cancelSync?.();
    closeSync(this.descriptor);
  }

  /** The file is not wanted any more. */
  remove(): void {
    this.waiting = [];
    this.close();
    rmSync(this.path, { force: true });
  }

  private guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

export const journalExists = (path: string): boolean => existsSync(path);

function writeLines(descriptor: number, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const bytes = new TextEncoder().encode(`${lines.join("\n")}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
}
