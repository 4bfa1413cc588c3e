/**
 * An epoll set over descriptors that each carry a 32-bit tag.
 *
 * `struct epoll_event` is events u32 + data u64, packed to 12 bytes on x86-64 and 16 bytes (data at
 * 8) elsewhere. Level-triggered unless said otherwise. Reference: epoll(7).
 */
import { address, close, ERRNO, errno, O_CLOEXEC, raw, SystemError } from "./libc.ts";

export const EPOLLIN = 1;
export const EPOLLERR = 8;
export const EPOLLHUP = 0x10;
const EPOLLET = 1 << 31;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

const PACKED = process.arch === "x64";
const EVENT_WORDS = PACKED ? 3 : 4;
const DATA_WORD = PACKED ? 1 : 2;

export class Epoll {
  /** Readable when one of its descriptors has an event: a set may stand in another. */
  readonly fd: number;
  private readonly words: Uint32Array;
  private readonly wordsAt: number;
  private readonly one = new Uint32Array(EVENT_WORDS);

  constructor(private readonly capacity: number) {
    this.fd = raw.epoll_create1(O_CLOEXEC);
    if (this.fd < 0) throw new SystemError("epoll_create1", errno());
    this.words = new Uint32Array(capacity * EVENT_WORDS);
    this.wordsAt = address(this.words);
  }

  /** `edge`: tells once of each event, whether or not the descriptor is read. */
  add(fd: number, tag: number, edge = false): void {
    this.one.fill(0);
    this.one[0] = edge ? EPOLLIN | EPOLLET : EPOLLIN;
    this.one[DATA_WORD] = tag;
    if (raw.epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, this.one) < 0) {
      throw new SystemError("epoll_ctl(ADD)", errno());
    }
  }

  remove(fd: number): void {
    if (raw.epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.one) < 0) {
      throw new SystemError("epoll_ctl(DEL)", errno());
    }
  }

  /** Waits up to `timeoutMs` (-1: for ever); the number of events, 0 when interrupted. */
  wait(timeoutMs: number): number {
    const n = raw.epoll_wait(this.fd, this.wordsAt, this.capacity, timeoutMs);
    if (n >= 0) return n;
    if (errno() === ERRNO.EINTR) return 0;
    throw new SystemError("epoll_wait", errno());
  }

  /** EPOLL* bits of the i-th event of the last wait. */
  events(i: number): number {
    return this.words[i * EVENT_WORDS]!;
  }

  tag(i: number): number {
    return this.words[i * EVENT_WORDS + DATA_WORD]!;
  }

  close(): void {
    close(this.fd);
  }
}
