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
 */

export interface TrieAnswer {
  /** Lengths of the prefixes that fit the value: bit n - 1 of the list, as numbers. */
  readonly fits: ReadonlySet<number>;
  /** How many bits of the value the answer depends on. */
  readonly looked: number;
}

interface Node {
  readonly value: readonly number[];
  readonly length: number;
  /** Prefixes of just this length. */
  rules: number;
  readonly children: [Node | undefined, Node | undefined];
}

export class PrefixTrie {
  private root: Node | undefined;

  constructor(readonly bits: number) {}

  get isEmpty(): boolean {
    return this.root === undefined;
  }

  insert(value: readonly number[], length: number): void {
    this.root = insert(this.root, value, length);
  }

  /** Takes away what `insert` put there; throws if it is not there. */
  remove(value: readonly number[], length: number): void {
    this.root = remove(this.root, value, length);
  }

  lookup(value: readonly number[]): TrieAnswer {
    const fits = new Set<number>();
    let last: Node | undefined;
    for (let node = this.root; node; node = node.children[bitAt(value, node.length)]) {
      const same = sameBits(node.value, value, node.length);
      if (same < node.length) return { fits, looked: same + 1 };
      if (node.rules > 0) fits.add(node.length);
      if (node.length >= this.bits) return { fits, looked: this.bits };
      last = node;
    }
    if (!last) return { fits, looked: 0 };
    // The other branch, if there is one, is told from the value's by one more bit.
    const isLeaf = !last.children[0] && !last.children[1];
    return { fits, looked: isLeaf ? last.length : last.length + 1 };
  }
}

function leaf(value: readonly number[], length: number): Node {
  return { value, length, rules: 1, children: [undefined, undefined] };
}

function insert(node: Node | undefined, value: readonly number[], length: number): Node {
  if (!node) return leaf(value, length);
  const same = sameBits(node.value, value, Math.min(node.length, length));
  if (same < node.length) {
    // Some of the node's bits are not the value's: a node of the shared ones goes above it.
    const above: Node = { value, length: same, rules: 0, children: [undefined, undefined] };
    above.children[bitAt(node.value, same)] = node;
    if (same === length) above.rules = 1;
    else above.children[bitAt(value, same)] = leaf(value, length);
    return above;
  }
  if (length === node.length) node.rules++;
  else {
    const branch = bitAt(value, node.length);
    node.children[branch] = insert(node.children[branch], value, length);
  }
  return node;
}

function remove(
  node: Node | undefined,
  value: readonly number[],
  length: number,
): Node | undefined {
  if (!node || node.length > length || sameBits(node.value, value, node.length) < node.length) {
    throw new Error("prefix trie: no such prefix");
  }
  if (node.length === length) {
    if (node.rules === 0) throw new Error("prefix trie: no such prefix");
    node.rules--;
  } else {
    const branch = bitAt(value, node.length);
    node.children[branch] = remove(node.children[branch], value, length);
  }
  if (node.rules > 0) return node;
  const [zero, one] = node.children;
  // A node that stands for nothing itself is needed to part two branches only.
  return zero && one ? node : zero ?? one;
}

function bitAt(value: readonly number[], at: number): 0 | 1 {
  return ((value[at >> 5]! >>> (31 - (at & 31))) & 1) as 0 | 1;
}

/** Leading bits that the two share, at most `limit`. */
function sameBits(a: readonly number[], b: readonly number[], limit: number): number {
  for (let i = 0; 32 * i < limit; i++) {
    const differ = a[i]! ^ b[i]!;
    if (differ !== 0) return Math.min(limit, 32 * i + Math.clz32(differ));
  }
  return limit;
}
