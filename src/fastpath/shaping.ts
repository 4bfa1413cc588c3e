/**
 * Queues of the host's devices: what leaves a device is held back by the kernel (linux/htb.ts). Queue
 * N's packets are those whose priority is `queuePriority(N)`.
 *
 *            create    change        read      destroy
 *   shape    shape     shape         counts    unshape
 *
 * - `shape` makes the device's traffic control what is wanted, changing only what differs, so that
 *   packets that wait in other queues go on waiting.
 * - Whoever sends must not go around traffic control (`PortTraffic.setShaped`).
 */
import { classHandle, type HtbClass, HtbControl, MAX_CLASS } from "../linux/htb.ts";

export type { HtbClass } from "../linux/htb.ts";
export { SystemError } from "../linux/libc.ts";

/** Queues beyond cannot be named to the kernel. */
export const MAX_QUEUE = MAX_CLASS - 1;

export interface Shape {
  readonly all: HtbClass;
  /** By queue number. Packets of no queue of these go by queue 0. */
  readonly queues: ReadonlyMap<number, HtbClass>;
}

export interface QueueCounts {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

export interface Shaper {
  /** Throws an error with the kernel's words. */
  shape(ifindex: number, shape: Shape): void;
  unshape(ifindex: number): void;
  /** Read from the kernel now. */
  counts(ifindex: number): ReadonlyMap<number, QueueCounts>;
  close(): void;
}

/** `skb->priority` of the packets of a queue; undefined: there can be no such queue. */
export function queuePriority(queue: number): number | undefined {
  return queue <= MAX_QUEUE ? classHandle(queue + 1) : undefined;
}

export class HostShaper implements Shaper {
  /** Opened with the first device that has queues. */
  private opened: HtbControl | undefined;
  private readonly shapes = new Map<number, Shape>();

  private get htb(): HtbControl {
    return this.opened ??= new HtbControl();
  }

  shape(ifindex: number, shape: Shape): void {
    const { htb } = this;
    let old = this.shapes.get(ifindex);
    if (old && !htb.isInstalled(ifindex)) old = undefined;
    this.shapes.delete(ifindex);
    if (!old) htb.install(ifindex, shape.all);
    else if (!sameClass(old.all, shape.all)) htb.setAll(ifindex, shape.all);
    for (const queue of old?.queues.keys() ?? []) {
      if (!shape.queues.has(queue)) htb.deleteClass(ifindex, queue + 1);
    }
    for (const [queue, spec] of shape.queues) {
      const before = old?.queues.get(queue);
      if (!before || !sameClass(before, spec)) htb.setClass(ifindex, queue + 1, spec);
    }
    this.shapes.set(ifindex, shape);
  }

  unshape(ifindex: number): void {
    if (!this.shapes.delete(ifindex)) return;
    this.htb.remove(ifindex);
  }

  counts(ifindex: number): ReadonlyMap<number, QueueCounts> {
    if (!this.shapes.has(ifindex)) return new Map();
    return new Map([...this.htb.counts(ifindex)].map(([number, counts]) => [number - 1, counts]));
  }

  close(): void {
    this.opened?.close();
    this.opened = undefined;
  }
}

function sameClass(a: HtbClass, b: HtbClass): boolean {
  return a.minBytesPerSec === b.minBytesPerSec && a.maxBytesPerSec === b.maxBytesPerSec &&
    a.burst === b.burst && a.priority === b.priority && a.mtu === b.mtu;
}
