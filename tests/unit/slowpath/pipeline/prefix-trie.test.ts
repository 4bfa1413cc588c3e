import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PrefixTrie, type TrieAnswer } from "../../../../src/slowpath/pipeline/prefix-trie.ts";

const BITS = 32;
const prefix = fc.record({
  // Few different bits, so that prefixes share beginnings.
  value: fc.integer({ min: 0, max: 15 }).map((n) => ((n << 28) | (n << 10)) >>> 0),
  length: fc.integer({ min: 1, max: BITS }),
});
const cut = (value: number, length: number) =>
  length === 0 ? 0 : (value & (0xffffffff << (BITS - length))) >>> 0;

const lengths = (answer: TrieAnswer): number[] =>
  Array.from({ length: 129 }, (_, n) => n).filter((n) => n >> 5 < 5 && answer.fits(n));
const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

describe("a tree of prefixes", () => {
  test("knows all that fit, and looks at no bit that does not matter", () => {
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 12 }),
        fc.array(fc.nat(100), { maxLength: 6 }),
        fc.integer({ min: 0, max: 15 }).map((n) => ((n << 28) | (n << 10) | 3) >>> 0),
        (added, removed, value) => {
          const trie = new PrefixTrie(BITS);
          const rules = added.map(({ value, length }) => ({ value: cut(value, length), length }));
          for (const rule of rules) trie.insert([rule.value], rule.length);
          for (const at of removed) {
            if (rules.length === 0) break;
            const [gone] = rules.splice(at % rules.length, 1);
            trie.remove([gone!.value], gone!.length);
          }
          expect(trie.isEmpty).toBe(rules.length === 0);
          const fitting = (v: number) =>
            new Set(rules.filter((r) => cut(v, r.length) === r.value).map((r) => r.length));
          const answer = trie.lookup([value]);
          const fits = lengths(answer);
          expect(fits).toEqual(sorted(fitting(value)));
          // Whatever the bits behind those it looked at: the answer is the same.
          for (let bit = answer.looked; bit < BITS; bit++) {
            const other = (value ^ (1 << (BITS - 1 - bit))) >>> 0;
            expect(sorted(fitting(other))).toEqual(fits);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("takes away only what is there", () => {
    const trie = new PrefixTrie(BITS);
    trie.insert([0x0a000000], 8);
    expect(() => trie.remove([0x0b000000], 8)).toThrow();
    trie.remove([0x0a000000], 8);
    const answer = trie.lookup([0x0a000001]);
    expect(lengths(answer)).toEqual([]);
    expect(answer.looked).toBe(0);
  });

  test("tells values of several numbers apart", () => {
    const trie = new PrefixTrie(128);
    const address = (last: number): number[] => [0x20010db8, 0, 0, last];
    for (let n = 0; n < 64; n++) trie.insert(address(n), 128);
    trie.insert([0x20010db8, 0, 0, 0], 48);
    expect(lengths(trie.lookup(address(7)))).toEqual([48, 128]);
    expect(lengths(trie.lookup(address(64)))).toEqual([48]);
    expect(trie.lookup([0x20020000, 0, 0, 0]).looked).toBe(15);
    for (let n = 0; n < 64; n++) trie.remove(address(n), 128);
    trie.remove([0x20010db8, 0, 0, 0], 48);
    expect(trie.isEmpty).toBe(true);
  });
});
