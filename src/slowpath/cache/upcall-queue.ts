/**
 * Packets that wait for the slow path: a queue a datapath port, served in turn, so that a flood of one
 * port's misses neither drops nor delays another's by more than a turn. A port may have `PORT_LIMIT`
 * packets waiting, all together `TOTAL_LIMIT`; what is more is the caller's to drop.
 */
import type { Upcall } from "../../fastpath/datapath.ts";
import { FIELDS } from "../../packet/layout.ts";

const PORT_LIMIT = 1024;
const TOTAL_LIMIT = 8192;

export class UpcallQueue {
  /** Ports with packets waiting, the next one first: a map keeps the order of insertion. */
  private readonly waiting = new Map<number, Upcall[]>();
  private total = 0;

  get size(): number {
    return this.total;
  }

  /** False: there is no room, for this port or at all. */
  push(upcall: Upcall): boolean {
    const port = upcall.key.get(FIELDS.in_port);
    let queue = this.waiting.get(port);
    if (this.total >= TOTAL_LIMIT || (queue && queue.length >= PORT_LIMIT)) return false;
    if (!queue) this.waiting.set(port, queue = []);
    queue.push(upcall);
    this.total++;
    return true;
  }

  /** One packet of the port whose turn it is. */
  shift(): Upcall | undefined {
    for (const [port, queue] of this.waiting) {
      this.waiting.delete(port);
      const upcall = queue.shift();
      if (queue.length > 0) this.waiting.set(port, queue);
      this.total--;
      return upcall;
    }
    return undefined;
  }
}
