/**
 * A timer as a descriptor (timerfd_create(2)): readable from the time on that it was set to, so that
 * a loop that sleeps on descriptors can sleep until then.
 */
import { dlopen } from "bun:ffi";
import { close, SystemError } from "./libc.ts";

const SYMBOLS = {
  timerfd_create: { args: ["i32", "i32"], returns: "i32" },
  timerfd_settime: { args: ["i32", "i32", "ptr", "ptr"], returns: "i32" },
} as const;

const CLOCK_MONOTONIC = 1;
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const ABSOLUTE = 1;
/** struct itimerspec: interval and value, each seconds and nanoseconds of 64 bits. */
const ITIMERSPEC_WORDS = 4;

export class TimerFd {
  private readonly libc = dlopen("libc.so.6", SYMBOLS).symbols;
  private readonly spec = new BigInt64Array(ITIMERSPEC_WORDS);
  readonly fd: number;

  constructor() {
    this.fd = this.libc.timerfd_create(CLOCK_MONOTONIC, NONBLOCK_CLOEXEC);
    if (this.fd < 0) throw new SystemError("timerfd_create", 0);
  }

  /** Readable from `atMs` of CLOCK_MONOTONIC on; Infinity: not any more. */
  set(atMs: number): void {
    // Zero would switch it off.
    const us = atMs === Infinity ? 0n : BigInt(Math.max(1, Math.ceil(atMs * 1000)));
    this.spec[2] = us / 1_000_000n;
    this.spec[3] = (us % 1_000_000n) * 1000n;
    this.libc.timerfd_settime(this.fd, ABSOLUTE, this.spec, null);
  }

  close(): void {
    close(this.fd);
  }
}
