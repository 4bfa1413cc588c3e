/**
 * The prefixes that a table's rules have for one field, in a tree: which lengths of prefix a packet's
 * value has rules for, and how many of its bits must be looked at to know that.
 *
 * A node stands for the bits that all prefixes below it share, from the first bit on; a node without
 * rules of its own has two children. Values are runs of 32-bit numbers, first bit first.
 *
 * So a table with a rule for 10.1.2.3/32 lets one megaflow serve all packets to 11.0.0.0/8: their
 * eighth bit tells that no prefix fits. (Open vSwitch `lib/classifier.c`, "a longest-prefix match
 * tree"; the answers are the same, the form is not.)
 *
 * Nodes are numbered and lie in one array, so that a rule costs a few words and no object:
 *
 *     node ──> length │ rules │ child for 0 │ child for 1 │ value, bits / 32 words
 *
 * Children are numbers of nodes, 0 for none; free ones hang together by their child for 0.
 */

const LENGTH = 0;
const RULES = 1;
const CHILD = 2;
const VALUE = 4;
const NONE = 0;
const FIRST_NODES = 4;

/** What `lookup` says; one may be filled again and again. */
export class TrieAnswer {
  /** How many bits of the value the answer depends on. */
  looked = 0;
  /** Bit n: a prefix of n bits fits the value. */
  private readonly lengths: Uint32Array;

  constructor(bits: number) {
    this.lengths = new Uint32Array((bits >> 5) + 1);
  }

  fits(length: number): boolean {
    return (this.lengths[length >> 5]! & (1 << (length & 31))) !== 0;
  }

  clear(): void {
    this.looked = 0;
    const { lengths } = this;
    for (let i = 0; i < lengths.length; i++) lengths[i] = 0;
  }

  add(length: number): void {
    this.lengths[length >> 5]! |= 1 << (length & 31);
  }
}

export class PrefixTrie {
  private readonly words: number;
  /** Numbers a node takes. */
  private readonly stride: number;
  private nodes: Int32Array;
  private root = NONE;
  private readonly answer: TrieAnswer;
  /** A place for a value that is inserted, removed or looked up: whoever calls may use it. */
  readonly scratch: Int32Array;
  /** Number 0 is nobody's. */
  private used = 1;
  private free = NONE;

  constructor(readonly bits: number) {
    this.words = bits >> 5;
    this.stride = VALUE + this.words;
    this.nodes = new Int32Array(FIRST_NODES * this.stride);
    this.answer = new TrieAnswer(bits);
    this.scratch = new Int32Array(this.words);
  }

  get isEmpty(): boolean {
    return this.root === NONE;
  }

  /** `value` is the `bits / 32` numbers from `from` on. */
  insert(value: ArrayLike<number>, length: number, from = 0): void {
    // Making a node may move all of them: places are found again afterwards.
    let parent = NONE;
    let branch = 0;
    let node = this.root;
    while (node !== NONE) {
      const base = node * this.stride;
      const its = this.nodes[base + LENGTH]!;
      const same = this.sameBits(base, value, from, Math.min(its, length));
      if (same < its) {
        // Some of the node's bits are not the value's: a node of the shared ones goes above it.
        const its0 = bitAt(this.nodes, base + VALUE, same);
        const above = this.make(value, from, same);
        this.nodes[above * this.stride + CHILD + its0] = node;
        this.link(parent, branch, above);
        if (same === length) this.nodes[above * this.stride + RULES] = 1;
        else {
          const leaf = this.make(value, from, length);
          this.nodes[leaf * this.stride + RULES] = 1;
          this.nodes[above * this.stride + CHILD + (1 - its0)] = leaf;
        }
        return;
      }
      if (length === its) {
        this.nodes[base + RULES]!++;
        return;
      }
      parent = node;
      branch = bitAt(value, from, its);
      node = this.nodes[base + CHILD + branch]!;
    }
    const leaf = this.make(value, from, length);
    this.nodes[leaf * this.stride + RULES] = 1;
    this.link(parent, branch, leaf);
  }

  /** Takes away what `insert` put there; throws if it is not there. */
  remove(value: ArrayLike<number>, length: number, from = 0): void {
    const { nodes, stride } = this;
    let above = NONE;
    let branchAbove = 0;
    let parent = NONE;
    let branch = 0;
    let node = this.root;
    for (;;) {
      const base = node * stride;
      const its = nodes[base + LENGTH]!;
      const fits = node !== NONE && its <= length &&
        this.sameBits(base, value, from, its) === its;
      if (!fits || (its === length && nodes[base + RULES] === 0)) {
        throw new Error("prefix trie: no such prefix");
      }
      if (its === length) break;
      above = parent;
      branchAbove = branch;
      parent = node;
      branch = bitAt(value, from, its);
      node = nodes[base + CHILD + branch]!;
    }
    const base = node * stride;
    if (--nodes[base + RULES]! > 0) return;
    const child = this.onlyChild(base);
    // A node that stands for nothing itself is needed to part two branches only.
    if (child === undefined) return;
    this.link(parent, branch, child);
    this.drop(node);
    if (child !== NONE || parent === NONE || nodes[parent * stride + RULES]! > 0) return;
    const other = this.onlyChild(parent * stride);
    if (other === undefined) return;
    this.link(above, branchAbove, other);
    this.drop(parent);
  }

  /** The prefixes that fit the value. What it returns is good until the next lookup, unless given. */
  lookup(value: ArrayLike<number>, answer = this.answer): TrieAnswer {
    const { nodes, stride } = this;
    answer.clear();
    let last = NONE;
    for (let node = this.root; node !== NONE;) {
      const base = node * stride;
      const length = nodes[base + LENGTH]!;
      const same = this.sameBits(base, value, 0, length);
      if (same < length) {
        answer.looked = same + 1;
        return answer;
      }
      if (nodes[base + RULES]! > 0) answer.add(length);
      if (length >= this.bits) {
        answer.looked = this.bits;
        return answer;
      }
      last = base;
      node = nodes[base + CHILD + bitAt(value, 0, length)]!;
    }
    if (last === NONE) return answer;
    // The other branch, if there is one, is told from the value's by one more bit.
    const isLeaf = nodes[last + CHILD] === NONE && nodes[last + CHILD + 1] === NONE;
    answer.looked = nodes[last + LENGTH]! + (isLeaf ? 0 : 1);
    return answer;
  }

  /** The node that can stand for the one at `base`, or `NONE`; undefined: it has two children. */
  private onlyChild(base: number): number | undefined {
    const zero = this.nodes[base + CHILD]!;
    const one = this.nodes[base + CHILD + 1]!;
    return zero !== NONE && one !== NONE ? undefined : zero | one;
  }

  private link(parent: number, branch: number, node: number): void {
    if (parent === NONE) this.root = node;
    else this.nodes[parent * this.stride + CHILD + branch] = node;
  }

  /** A node without rules and children. */
  private make(value: ArrayLike<number>, from: number, length: number): number {
    let node = this.free;
    if (node !== NONE) this.free = this.nodes[node * this.stride + CHILD]!;
    else {
      node = this.used++;
      if (this.used * this.stride > this.nodes.length) {
        const more = new Int32Array(this.nodes.length + (this.nodes.length >> 1) + this.stride);
        more.set(this.nodes);
        this.nodes = more;
      }
    }
    const base = node * this.stride;
    this.nodes[base + LENGTH] = length;
    this.nodes[base + RULES] = 0;
    this.nodes[base + CHILD] = NONE;
    this.nodes[base + CHILD + 1] = NONE;
    for (let i = 0; i < this.words; i++) this.nodes[base + VALUE + i] = value[from + i]!;
    return node;
  }

  private drop(node: number): void {
    this.nodes[node * this.stride + CHILD] = this.free;
    this.free = node;
  }

  /** Leading bits that a value shares with the node at `base`, at most `limit`. */
  private sameBits(base: number, value: ArrayLike<number>, from: number, limit: number): number {
    const { nodes } = this;
    for (let i = 0; 32 * i < limit; i++) {
      const differ = nodes[base + VALUE + i]! ^ value[from + i]!;
      if (differ !== 0) return Math.min(limit, 32 * i + Math.clz32(differ));
    }
    return limit;
  }
}

function bitAt(value: ArrayLike<number>, from: number, at: number): 0 | 1 {
  return ((value[from + (at >> 5)]! >>> (31 - (at & 31))) & 1) as 0 | 1;
}
