/** Advisory locks (RFC 7047 §4.1.8–§4.1.10): first come, first served, unless stolen. */

export interface LockHolder {
  /** Tells the client `locked` or `stolen`. */
  lockChanged(name: string, event: "locked" | "stolen"): void;
}

interface Waiter {
  readonly holder: LockHolder;
  readonly mode: "wait" | "steal";
}

export class Locks {
  /** The first waiter owns the lock. */
  private readonly queues = new Map<string, Waiter[]>();

  owns(name: string, holder: LockHolder): boolean {
    return this.queues.get(name)?.[0]?.holder === holder;
  }

  /** Returns true if the lock is the holder's at once. */
  acquire(name: string, holder: LockHolder, mode: Waiter["mode"]): boolean {
    const queue = this.queues.get(name) ?? [];
    this.queues.set(name, queue);
    if (mode === "wait") {
      queue.push({ holder, mode });
    } else {
      const victim = queue[0];
      // Who stole it has no place in the queue to fall back to; who queued for it keeps his.
      if (victim?.mode === "steal") queue.shift();
      queue.unshift({ holder, mode });
      victim?.holder.lockChanged(name, "stolen");
    }
    return this.owns(name, holder);
  }

  release(name: string, holder: LockHolder): void {
    const queue = this.queues.get(name);
    if (queue === undefined) return;
    const owned = queue[0]?.holder === holder;
    const rest = queue.filter((waiter) => waiter.holder !== holder);
    if (rest.length === 0) this.queues.delete(name);
    else this.queues.set(name, rest);
    if (owned) rest[0]?.holder.lockChanged(name, "locked");
  }
}
