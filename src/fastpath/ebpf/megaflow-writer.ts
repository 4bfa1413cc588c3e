/**
 * Keys of flows on their way into the map of megaflows, or out of it: many by one system call.
 *
 * A miss puts one flow and a revalidator's round removes thousands. They are written when `flush` is
 * called, at the latest in the microtask after the first of them: all that one turn of the event loop
 * has put, or removed, goes at once. Until then a flow's packets are punted, as before the flow was
 * there, or find a record that says so.
 *
 * Puts and removals of one key keep their order: what waits is of one kind, and to ask for the other kind
 * writes it.
 */
import type { BpfMap } from "../../linux/bpf-map.ts";
import { errno, errnoName } from "../../linux/libc.ts";

const MANY = 128;

export class MegaflowWriter {
  private readonly keys: Uint32Array;
  private readonly keyBytes: Uint8Array;
  private readonly ids = new Uint32Array(MANY);
  private readonly idBytes = new Uint8Array(this.ids.buffer);
  private readonly keyWords: number;
  private count = 0;
  private removes = false;
  private scheduled = false;
  private closed = false;

  /**
   * `refused`: the kernel does not take the flow, and why. `removed`: no packet finds the flow by that key
   * any more.
   */
  constructor(
    private readonly map: BpfMap,
    private readonly refused: (id: number, reason: string) => void,
    private readonly removed: (id: number) => void,
  ) {
    this.keyWords = map.spec.keyBytes / 4;
    this.keys = new Uint32Array(MANY * this.keyWords);
    this.keyBytes = new Uint8Array(this.keys.buffer);
  }

  /**
   * The words `values` of a key, at the indexes `places` in it, and its last word; the others are zero.
   * A word whose place is negative is left out.
   */
  put(id: number, values: Uint32Array, places: Int32Array, last: number): void {
    this.add(false, id, values, places, last);
  }

  /** As `put`: the key's flow is no more. */
  remove(id: number, values: Uint32Array, places: Int32Array, last: number): void {
    this.add(true, id, values, places, last);
  }

  private add(
    removes: boolean,
    id: number,
    values: Uint32Array,
    places: Int32Array,
    last: number,
  ): void {
    if (this.count === MANY || removes !== this.removes) this.flush();
    this.removes = removes;
    const { keys, keyWords, count } = this;
    const from = count * keyWords;
    for (let i = from; i < from + keyWords; i++) keys[i] = 0;
    for (let n = 0; n < places.length; n++) {
      const place = places[n]!;
      if (place >= 0) keys[from + place] = values[n]!;
    }
    keys[from + keyWords - 1] = last;
    this.ids[count] = id;
    this.count = count + 1;
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  flush(): void {
    const { count, map } = this;
    if (count === 0 || this.closed) return;
    this.count = 0;
    if (this.removes) {
      map.deleteMany(this.keyBytes, count);
      for (let i = 0; i < count; i++) this.removed(this.ids[i]!);
      return;
    }
    const { keyBytes, valueBytes } = map.spec;
    const refused: [id: number, reason: string][] = [];
    for (let done = 0; done < count; done++) {
      const keys = this.keyBytes.subarray(done * keyBytes);
      const ids = this.idBytes.subarray(done * valueBytes);
      done += map.tryUpdateMany(keys, ids, count - done);
      if (done < count) refused.push([this.ids[done]!, errnoName(errno())]);
    }
    for (const [id, reason] of refused) this.refused(id, reason);
  }

  /** What waits is not written any more. */
  close(): void {
    this.closed = true;
  }
}
