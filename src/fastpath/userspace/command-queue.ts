/**
 * The main thread's end of the command ring: a queue that never loses a command and never waits.
 *
 * What finds the ring full stays in a backlog, in order; while there is one, CTL_BACKLOG asks the
 * worker to wake the main thread when it has made room, and `drain` goes on. The worker is woken
 * through its eventfd, and only if it sleeps.
 */
import { write } from "../../linux/libc.ts";
import type { CommandRoom } from "./commands.ts";
import { RingWriter } from "./ring.ts";
import { CTL_BACKLOG, CTL_WORKER_SLEEPING, type SharedState } from "./shared.ts";

const MANY = 32;

export class CommandQueue implements CommandRoom {
  private readonly ring: RingWriter;
  private readonly ringBytes: Uint8Array;
  words: Int32Array;
  bytes: Uint8Array;
  at = 0;
  /** The room that was given last is not in the ring. */
  private apart = false;
  private readonly wakeWord = new Uint8Array(new BigUint64Array([1n]).buffer);
  private backlog: Int32Array[] = [];
  private holding = false;
  /** Commands since the worker was last woken. */
  private held = 0;

  constructor(private readonly shared: SharedState, private readonly eventfd: number) {
    this.ring = new RingWriter(shared.commands);
    const { words, bytes } = shared.commands;
    this.words = words;
    this.bytes = this.ringBytes = bytes;
  }

  /**
   * Room for a command of `count` words, to be filled at once and sent by `sent`. It is in the ring
   * itself, or in memory of its own if the ring is full.
   */
  room(count: number): CommandRoom {
    const at = this.backlog.length > 0 ? -1 : this.ring.reserve(count * 4);
    this.apart = at < 0;
    if (this.apart) {
      this.words = new Int32Array(count);
      this.bytes = new Uint8Array(this.words.buffer);
      this.at = 0;
    } else {
      this.words = this.ring.memory.words;
      this.bytes = this.ringBytes;
      this.at = at >> 2;
    }
    return this;
  }

  /** The room that was given last is filled. */
  sent(): void {
    if (this.apart) this.wait(this.words);
    else this.ring.commit();
    this.wakeSoon();
  }

  /**
   * More commands follow soon: the worker is woken when this has ended (`holds(false)`), or for every
   * MANY. Waking costs more than most commands do.
   */
  holds(on: boolean): void {
    this.holding = on;
    if (on || this.held === 0) return;
    this.held = 0;
    this.wake();
  }

  /** Could the ring ever take a command of `count` words? One that it cannot would hold up all others. */
  fits(count: number): boolean {
    return count * 4 <= this.ring.maxPayload;
  }

  /** Commands that wait for room. */
  get waiting(): number {
    return this.backlog.length;
  }

  /** The worker has carried out everything that was sent. */
  get isDone(): boolean {
    return this.backlog.length === 0 && this.ring.used() === 0;
  }

  send(command: Int32Array): void {
    if (this.backlog.length > 0 || !this.place(command)) this.wait(command);
    this.wakeSoon();
  }

  private wait(command: Int32Array): void {
    this.backlog.push(command);
    Atomics.store(this.shared.control, CTL_BACKLOG, 1);
    // Room may have come between the attempt and the flag, and nobody would tell.
    this.placeWaiting();
  }

  private wakeSoon(): void {
    if (this.holding && ++this.held < MANY) return;
    this.held = 0;
    this.wake();
  }

  /** Moves what waits into the ring, as far as it fits. */
  drain(): void {
    if (this.backlog.length === 0) return;
    this.placeWaiting();
    this.wake();
  }

  private placeWaiting(): void {
    let placed = 0;
    while (placed < this.backlog.length && this.place(this.backlog[placed]!)) placed++;
    if (placed > 0) this.backlog = this.backlog.slice(placed);
    if (this.backlog.length === 0) Atomics.store(this.shared.control, CTL_BACKLOG, 0);
  }

  private place(command: Int32Array): boolean {
    const at = this.ring.reserve(command.byteLength);
    if (at < 0) return false;
    this.ring.memory.words.set(command, at >> 2);
    this.ring.commit();
    return true;
  }

  private wake(): void {
    const { control } = this.shared;
    if (Atomics.compareExchange(control, CTL_WORKER_SLEEPING, 1, 0) === 1) {
      write(this.eventfd, this.wakeWord);
    }
  }
}
