/**
 * Keys of packets that come up, used again and again: one is large, and making it costs more than to
 * fill it. Who has read a key may give it back; one that is never given back is nobody's loss.
 */
import { FlowKey } from "../packet/key.ts";

/** More than wait at once are not kept. */
const MAX_KEPT = 1024;

export class KeyPool {
  private readonly free: FlowKey[] = [];

  /** A key that is all zero. */
  take(): FlowKey {
    return this.free.pop() ?? new FlowKey();
  }

  /** Nobody looks at the key any more. */
  give(key: FlowKey): void {
    if (this.free.length >= MAX_KEPT) return;
    key.words.fill(0);
    this.free.push(key);
  }
}
