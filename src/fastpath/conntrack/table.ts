/**
 * The connection table: flat records in chunks that never move, found by the tuple of either
 * direction.
 *
 *     heads[hash] ──> entry ──next──> entry …       entry = 2 × connection + direction
 *
 *     record: | original tuple | reply tuple | hash ×2 | next ×2 | flags, mark, label, … |
 *
 * - The *original* tuple is that of the first packet as it came. The *reply* tuple is that of an
 *   answer as it comes: behind NAT it is not the reverse of the original one.
 * - Connections are numbers; nothing is allocated for one but chunks of CHUNK of them.
 * - An expired connection is not found any more, and removed by whoever finds it; `sweep` removes
 *   those that nobody looks for, some at a time.
 */
import { hashTuple, T_META, TUPLE_WORDS } from "./tuple.ts";

const CHUNK_BITS = 12;
const CHUNK = 1 << CHUNK_BITS;
const FIRST_HEADS = 1 << 14;

/** Words of a record. */
export const C_ORIGINAL = 0;
export const C_REPLY = TUPLE_WORDS;
const C_HASH = 2 * TUPLE_WORDS;
const C_NEXT = C_HASH + 2;
export const C_FLAGS = C_NEXT + 2;
export const C_MARK = C_FLAGS + 1;
export const C_LABEL = C_FLAGS + 2;
/** Timeout policy; -1: the defaults. */
export const C_POLICY = C_LABEL + 4;
/** Protocol state: TCP's two peers (tcp.ts), or a number. */
export const C_STATE = C_POLICY + 1;
/** By how much a helper lengthened what one side sent. */
export const C_SKEW = C_STATE + 6;
/** One more than its slot in the kernel (kernel-connections.ts); 0: it has none. */
export const C_SLOT = C_SKEW + 1;
const STRIDE = C_SLOT + 1;

/** Bits of C_FLAGS. */
export const CF_ALIVE = 1;
export const CF_SRC_NAT = 2;
export const CF_DST_NAT = 4;
export const CF_FTP = 8;
export const CF_TFTP = 16;
/** Expected by a helper: related to a parent. */
export const CF_EXPECTED = 32;
/** The skew is in what the reply direction sends. */
export const CF_SKEW_REPLY = 64;

const NONE = -1;

export class ConnTable {
  private readonly chunks: Int32Array[] = [];
  private readonly expiries: Float64Array[] = [];
  private heads = new Int32Array(FIRST_HEADS).fill(NONE);
  private free = NONE;
  /** Record numbers in use or free. */
  private used = 0;
  private cursor = 0;
  private readonly zones = new Int32Array(65536);
  count = 0;

  /** Called before a connection is forgotten. */
  onRemove: (conn: number) => void = () => {};
  /** Called before its expiry is believed: others may have seen packets of it. */
  onRefresh: (conn: number) => void = () => {};

  /** The array in which a connection's record lies, and where (`base`). */
  words(conn: number): Int32Array {
    return this.chunks[conn >> CHUNK_BITS]!;
  }

  base(conn: number): number {
    return (conn & (CHUNK - 1)) * STRIDE;
  }

  expiry(conn: number): number {
    return this.expiries[conn >> CHUNK_BITS]![conn & (CHUNK - 1)]!;
  }

  private isOver(conn: number, nowMs: number): boolean {
    if (this.expiry(conn) > nowMs) return false;
    this.onRefresh(conn);
    return this.expiry(conn) <= nowMs;
  }

  setExpiry(conn: number, atMs: number): void {
    this.expiries[conn >> CHUNK_BITS]![conn & (CHUNK - 1)] = atMs;
  }

  /** How many connections the zone has. */
  inZone(zone: number): number {
    return this.zones[zone]!;
  }

  /** The entry for the tuple at `tuple[at…]`: 2 × connection + direction, or -1. */
  lookup(tuple: Int32Array, at: number, nowMs: number): number {
    const hash = hashTuple(tuple, at);
    let entry = this.heads[hash & (this.heads.length - 1)]!;
    while (entry >= 0) {
      const conn = entry >> 1;
      const direction = entry & 1;
      const words = this.chunks[conn >> CHUNK_BITS]!;
      const base = (conn & (CHUNK - 1)) * STRIDE;
      if (words[base + C_HASH + direction] === hash) {
        const from = base + direction * TUPLE_WORDS;
        let i = 0;
        while (i < TUPLE_WORDS && words[from + i] === tuple[at + i]) i++;
        if (i === TUPLE_WORDS) {
          if (!this.isOver(conn, nowMs)) return entry;
          this.remove(conn);
          return NONE;
        }
      }
      entry = words[base + C_NEXT + direction]!;
    }
    return NONE;
  }

  /** A record of zeros that is not in the table yet. */
  allocate(): number {
    let conn = this.free;
    if (conn >= 0) {
      this.free = this.words(conn)[this.base(conn) + C_NEXT]!;
    } else {
      conn = this.used++;
      if (conn >> CHUNK_BITS === this.chunks.length) {
        this.chunks.push(new Int32Array(CHUNK * STRIDE));
        this.expiries.push(new Float64Array(CHUNK));
      }
    }
    const words = this.words(conn);
    const base = this.base(conn);
    // Quicker than `fill`.
    for (let i = base; i < base + STRIDE; i++) words[i] = 0;
    return conn;
  }

  /** Gives a record back that was never put into the table. */
  release(conn: number): void {
    this.words(conn)[this.base(conn) + C_NEXT] = this.free;
    this.free = conn;
  }

  /** Both tuples are there: the connection can be found from now on. */
  insert(conn: number): void {
    if ((this.count + 1) * 2 > this.heads.length) this.grow();
    const words = this.words(conn);
    const base = this.base(conn);
    words[base + C_FLAGS]! |= CF_ALIVE;
    // The original direction last, so that it is found first where both tuples are the same.
    for (let direction = 1; direction >= 0; direction--) {
      words[base + C_HASH + direction] = hashTuple(words, base + direction * TUPLE_WORDS);
      this.link(2 * conn + direction);
    }
    this.zones[words[base + T_META]! >>> 16]!++;
    this.count++;
  }

  remove(conn: number): void {
    const words = this.words(conn);
    const base = this.base(conn);
    if ((words[base + C_FLAGS]! & CF_ALIVE) === 0) return;
    this.onRemove(conn);
    this.unlink(2 * conn);
    this.unlink(2 * conn + 1);
    words[base + C_FLAGS] = 0;
    this.zones[words[base + T_META]! >>> 16]!--;
    this.count--;
    this.release(conn);
  }

  isAlive(conn: number): boolean {
    return (this.words(conn)[this.base(conn) + C_FLAGS]! & CF_ALIVE) !== 0;
  }

  /** Every connection from `from` on, by number, that has not expired. */
  *all(nowMs: number, from = 0): Generator<number> {
    for (let conn = from; conn < this.used; conn++) {
      if (this.isAlive(conn) && !this.isOver(conn, nowMs)) yield conn;
    }
  }

  /** Removes all that has expired; how many that were. */
  sweepAll(nowMs: number): number {
    return this.sweep(nowMs, this.used);
  }

  /** Looks at up to `budget` records and removes what has expired; how many that were. */
  sweep(nowMs: number, budget: number): number {
    let removed = 0;
    for (let n = Math.min(budget, this.used); n > 0; n--) {
      if (this.cursor >= this.used) this.cursor = 0;
      const conn = this.cursor++;
      if (!this.isAlive(conn) || !this.isOver(conn, nowMs)) continue;
      this.remove(conn);
      removed++;
    }
    return removed;
  }

  private link(entry: number): void {
    const conn = entry >> 1;
    const words = this.words(conn);
    const base = this.base(conn);
    const head = words[base + C_HASH + (entry & 1)]! & (this.heads.length - 1);
    words[base + C_NEXT + (entry & 1)] = this.heads[head]!;
    this.heads[head] = entry;
  }

  private unlink(entry: number): void {
    const conn = entry >> 1;
    const hash = this.words(conn)[this.base(conn) + C_HASH + (entry & 1)]!;
    const next = this.words(conn)[this.base(conn) + C_NEXT + (entry & 1)]!;
    const head = hash & (this.heads.length - 1);
    let at = this.heads[head]!;
    if (at === entry) {
      this.heads[head] = next;
      return;
    }
    while (at >= 0) {
      const words = this.words(at >> 1);
      const place = this.base(at >> 1) + C_NEXT + (at & 1);
      if (words[place] === entry) {
        words[place] = next;
        return;
      }
      at = words[place]!;
    }
  }

  private grow(): void {
    this.heads = new Int32Array(this.heads.length * 4).fill(NONE);
    for (let conn = 0; conn < this.used; conn++) {
      if (!this.isAlive(conn)) continue;
      this.link(2 * conn + 1);
      this.link(2 * conn);
    }
  }
}
