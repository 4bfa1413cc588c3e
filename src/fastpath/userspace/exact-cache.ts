/**
 * The exact-match cache: whole flow keys in front of the megaflows, as Open vSwitch's EMC.
 *
 * Two-way set associative, in one flat array: an entry of `stride` words holds
 *
 *     | hash | flow id | generation of that id | key words … |
 *
 * and the two entries of a set are neighbours. With 12 key words an entry is one cache line.
 *
 * - Keys longer than `keyWords` do not belong here: the caller picks the cache by the number of
 *   words that a packet fills.
 * - Nothing is ever removed: an entry counts only while its flow id still has the generation that
 *   was current at insertion (deleting or changing a flow's match moves the generation on).
 */
const HASH = 0;
const FLOW = 1;
const GENERATION = 2;
const KEY = 3;

export class ExactCache {
  private readonly entries: Int32Array;
  private readonly stride: number;
  private readonly sets: number;

  /** `entries`: a power of two. `generations`: by flow id, owned by the flow table. */
  constructor(
    readonly keyWords: number,
    entries: number,
    private readonly generations: Int32Array,
  ) {
    this.stride = (keyWords + KEY + 3) & ~3;
    this.sets = entries / 2;
    this.entries = new Int32Array(entries * this.stride).fill(-1);
  }

  /** The flow id for `key` with its `hashWords` hash, or -1. */
  lookup(key: Int32Array, hash: number): number {
    const { entries, stride, keyWords } = this;
    let at = (hash & (this.sets - 1)) * 2 * stride;
    for (let way = 0; way < 2; way++, at += stride) {
      if (entries[at + HASH] !== hash) continue;
      const flow = entries[at + FLOW]!;
      if (flow < 0 || this.generations[flow] !== entries[at + GENERATION]) continue;
      let i = 0;
      while (i < keyWords && entries[at + KEY + i] === key[i]) i++;
      if (i === keyWords) return flow;
    }
    return -1;
  }

  /** Remembers that `key` belongs to `flow`, in place of a stale entry or of either one. */
  insert(key: Int32Array, hash: number, flow: number): void {
    const { entries, stride, keyWords } = this;
    let at = (hash & (this.sets - 1)) * 2 * stride;
    // A free or stale way if there is one; else a bit of the hash that does not choose the set.
    if (this.isLive(at) && (!this.isLive(at + stride) || (hash & 0x40000000) !== 0)) at += stride;
    entries[at + HASH] = hash;
    entries[at + FLOW] = flow;
    entries[at + GENERATION] = this.generations[flow]!;
    for (let i = 0; i < keyWords; i++) entries[at + KEY + i] = key[i]!;
  }

  private isLive(at: number): boolean {
    const flow = this.entries[at + FLOW]!;
    return flow >= 0 && this.generations[flow] === this.entries[at + GENERATION];
  }
}

/** Hash of the first `n` words, 32 bits, every bit usable. */
export function hashWords(words: Int32Array, n: number): number {
  let h = n;
  for (let i = 0; i < n; i++) {
    h = Math.imul(h ^ words[i]!, 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0x85ebca6b);
  return h ^ (h >>> 16);
}
