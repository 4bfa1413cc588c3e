/** What the main thread has asked of a worker and not been answered yet. */
import { CTL_BARRIER, type SharedState } from "./shared.ts";

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Questions by their number. */
export class Pending<T> {
  private readonly waiting = new Map<number, Waiting<T>>();

  /** Resolves when `id` is answered; `send` asks. */
  ask(id: number, send: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      send();
    });
  }

  answer(id: number, value: T): void {
    this.waiting.get(id)?.resolve(value);
    this.waiting.delete(id);
  }

  refuse(id: number, error: Error): void {
    this.waiting.get(id)?.reject(error);
    this.waiting.delete(id);
  }

  refuseAll(error: Error): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

/** Barriers in their order; the worker says in shared memory which one it has passed last. */
export class Barriers {
  private readonly waiting: { readonly sequence: number; readonly done: Waiting<void> }[] = [];
  private last = 0;
  /** The barrier after which the newest packet to execute is sent. */
  private execute = 0;

  constructor(private readonly shared: SharedState) {}

  /** A packet to execute is on its way. */
  owe(): void {
    this.execute = (this.last + 1) | 0;
  }

  /** A packet of `execute` has left the ring with its command, but may not be sent yet. */
  isOwed(): boolean {
    return !this.passed(this.execute);
  }

  /** `send` puts the barrier of that number into the command ring. */
  wait(send: (sequence: number) => void): Promise<void> {
    const sequence = this.last = (this.last + 1) | 0;
    return new Promise((resolve, reject) => {
      this.waiting.push({ sequence, done: { resolve, reject } });
      send(sequence);
    });
  }

  /** Has the worker passed one that nobody has been told of? */
  get isPassed(): boolean {
    const [oldest] = this.waiting;
    return oldest !== undefined && this.passed(oldest.sequence);
  }

  /** Tells of all that were passed. */
  pass(): void {
    while (this.isPassed) this.waiting.shift()!.done.resolve();
  }

  refuseAll(error: Error): void {
    for (const { done } of this.waiting) done.reject(error);
    this.waiting.length = 0;
  }

  private passed(sequence: number): boolean {
    return ((Atomics.load(this.shared.control, CTL_BARRIER) - sequence) | 0) >= 0;
  }
}
