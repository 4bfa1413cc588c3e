/**
 * The megaflow table: flows with masks, found by tuple space search.
 *
 * Flows with the same mask share a *subtable*: a hash table of keys reduced to the words where that
 * mask is not zero. A lookup tries the subtables one after the other, the ones that hit most first
 * (`rank` sorts them now and then). Flows do not overlap, so the first hit is the answer.
 *
 * - Keys, masks and hashes are 32-bit words as they lie in a `FlowKey`.
 * - Memory grows with the flows: a subtable doubles when it is three quarters full. Removing closes
 *   the gap (backward shift), so there are no tombstones and lookups stay short.
 * - `generations[id]` moves on whenever the keys that belong to a flow id may have changed: the
 *   exact-match cache compares it.
 */
const FREE = -1;
/** Subtables that a lookup tries on the average before a cache in front of them is quicker. */
const DEEP_TRIES = 4;
/** Lookups that tell something about the average. */
const ENOUGH_HITS = 64;

class Subtable {
  hits = 0;
  count = 0;
  private capacity = 16;
  private hashes = new Int32Array(this.capacity);
  private flows = new Int32Array(this.capacity).fill(FREE);
  private keys: Int32Array;

  /**
   * `indexes`: the words of the key that are looked at; `masks`: the mask's words there. `slots`, by
   * flow: where each flow is in its subtable.
   */
  constructor(
    readonly indexes: Int32Array,
    readonly masks: Int32Array,
    private readonly slots: Int32Array,
  ) {
    this.keys = new Int32Array(this.capacity * indexes.length);
  }

  isFor(indexes: Int32Array, masks: Int32Array): boolean {
    return sameWords(this.indexes, indexes) && sameWords(this.masks, masks);
  }

  lookup(key: Int32Array): number {
    const { indexes, masks, flows, hashes, keys } = this;
    const n = indexes.length;
    let hash = n;
    for (let i = 0; i < n; i++) {
      hash = Math.imul(hash ^ (key[indexes[i]!]! & masks[i]!), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const wrap = this.capacity - 1;
    for (let slot = hash & wrap; flows[slot] !== FREE; slot = (slot + 1) & wrap) {
      if (hashes[slot] !== hash) continue;
      let i = 0;
      while (i < n && keys[slot * n + i] === (key[indexes[i]!]! & masks[i]!)) i++;
      if (i === n) return flows[slot]!;
    }
    return FREE;
  }

  /** Has the flow these values? */
  holds(flow: number, values: Int32Array): boolean {
    const { keys } = this;
    const n = values.length;
    const at = this.slots[flow]! * n;
    for (let i = 0; i < n; i++) if (keys[at + i] !== values[i]) return false;
    return true;
  }

  /** `values`: the masked key's words at `indexes`. */
  insert(values: Int32Array, flow: number): void {
    if ((this.count + 1) * 4 > this.capacity * 3) this.grow();
    this.place(values, 0, hashValues(values, 0, values.length), flow);
    this.count++;
  }

  /** Takes a free slot; the values begin at `from`. */
  private place(values: Int32Array, from: number, hash: number, flow: number): void {
    const { flows, keys } = this;
    const n = this.indexes.length;
    const wrap = this.capacity - 1;
    let slot = hash & wrap;
    while (flows[slot] !== FREE) slot = (slot + 1) & wrap;
    this.hashes[slot] = hash;
    flows[slot] = flow;
    this.slots[flow] = slot;
    for (let i = 0; i < n; i++) keys[slot * n + i] = values[from + i]!;
  }

  remove(flow: number): void {
    const { flows, hashes, keys, slots } = this;
    const wrap = this.capacity - 1;
    const n = this.indexes.length;
    let slot = slots[flow]!;
    let hole = slot;
    for (;;) {
      slot = (slot + 1) & wrap;
      const other = flows[slot]!;
      if (other === FREE) break;
      const home = hashes[slot]! & wrap;
      // An entry may fill the hole unless its home lies behind the hole.
      if (((slot - home) & wrap) < ((slot - hole) & wrap)) continue;
      hashes[hole] = hashes[slot]!;
      flows[hole] = other;
      slots[other] = hole;
      for (let i = 0; i < n; i++) keys[hole * n + i] = keys[slot * n + i]!;
      hole = slot;
    }
    flows[hole] = FREE;
    this.count--;
  }

  private grow(): void {
    const { capacity, flows, hashes, keys } = this;
    const n = this.indexes.length;
    this.capacity = capacity * 2;
    this.hashes = new Int32Array(this.capacity);
    this.flows = new Int32Array(this.capacity).fill(FREE);
    this.keys = new Int32Array(this.capacity * n);
    for (let slot = 0; slot < capacity; slot++) {
      if (flows[slot] !== FREE) this.place(keys, slot * n, hashes[slot]!, flows[slot]!);
    }
  }
}

function hashValues(values: Int32Array, at: number, n: number): number {
  let hash = n;
  for (let i = 0; i < n; i++) {
    hash = Math.imul(hash ^ values[at + i]!, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

export class MegaflowTable {
  /** Best first. */
  private readonly subtables: Subtable[] = [];
  /** Subtables by a hash of their words and masks. */
  private readonly byMask = new Map<number, Subtable[]>();
  /** Successful lookups since the last `rank`, and the subtables that they looked into. */
  private hits = 0;
  private tries = 0;
  /** A lookup takes many tries, so that a cache in front of it pays. */
  isDeep = false;
  /** By flow id: its subtable, and its place there. */
  private readonly placed: (Subtable | undefined)[] = [];
  private readonly slots: Int32Array;
  private count = 0;
  /** The subtable that a flow was put into last, if it is there. */
  private latest: Subtable | undefined;
  readonly generations: Int32Array;

  constructor(maxFlows: number) {
    this.generations = new Int32Array(maxFlows);
    this.slots = new Int32Array(maxFlows);
  }

  get flows(): number {
    return this.count;
  }

  get masks(): number {
    return this.subtables.length;
  }

  /** The id of the flow that `key` belongs to, or -1. */
  lookup(key: Int32Array): number {
    const { subtables } = this;
    for (let i = 0; i < subtables.length; i++) {
      const subtable = subtables[i]!;
      const flow = subtable.lookup(key);
      if (flow !== FREE) {
        subtable.hits++;
        this.hits++;
        this.tries += i + 1;
        return flow;
      }
    }
    return -1;
  }

  /**
   * Adds the flow, or gives the flow of that id another match. `indexes` ascend; `values` are
   * masked. True if the id was new.
   */
  put(flow: number, indexes: Int32Array, masks: Int32Array, values: Int32Array): boolean {
    const old = this.placed[flow];
    if (old && old.isFor(indexes, masks) && old.holds(flow, values)) return false;
    // Deleting may take the subtable away with its last flow: look for it only afterwards.
    if (old) this.delete(flow);
    const subtable = this.subtableFor(indexes, masks);
    subtable.insert(values, flow);
    this.placed[flow] = subtable;
    this.count++;
    return !old;
  }

  private subtableFor(indexes: Int32Array, masks: Int32Array): Subtable {
    // Many flows of one mask come one after the other.
    if (this.latest?.isFor(indexes, masks)) return this.latest;
    const hash = hashMask(indexes, masks);
    const alike = this.byMask.get(hash);
    let subtable = alike?.find((each) => each.isFor(indexes, masks));
    if (!subtable) {
      subtable = new Subtable(indexes.slice(), masks.slice(), this.slots);
      if (alike) alike.push(subtable);
      else this.byMask.set(hash, [subtable]);
      this.subtables.push(subtable);
    }
    return this.latest = subtable;
  }

  delete(flow: number): void {
    const subtable = this.placed[flow];
    if (!subtable) return;
    this.placed[flow] = undefined;
    this.count--;
    this.generations[flow]!++;
    subtable.remove(flow);
    if (subtable.count > 0) return;
    this.latest = undefined;
    this.subtables.splice(this.subtables.indexOf(subtable), 1);
    const hash = hashMask(subtable.indexes, subtable.masks);
    const rest = this.byMask.get(hash)!.filter((each) => each !== subtable);
    if (rest.length > 0) this.byMask.set(hash, rest);
    else this.byMask.delete(hash);
  }

  /** Orders the subtables by their hits since the last time. Cheap; call it once a second or so. */
  rank(): void {
    if (this.hits >= ENOUGH_HITS) {
      this.isDeep = this.tries > DEEP_TRIES * this.hits;
      this.hits = 0;
      this.tries = 0;
    }
    this.subtables.sort((a, b) => b.hits - a.hits);
    for (const subtable of this.subtables) subtable.hits = Math.floor(subtable.hits / 2);
  }
}

function sameWords(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function hashMask(indexes: Int32Array, masks: Int32Array): number {
  return hashValues(indexes, 0, indexes.length) ^ hashValues(masks, 0, masks.length) * 31;
}
