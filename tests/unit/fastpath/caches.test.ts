import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ExactCache, hashWords } from "../../../src/fastpath/userspace/exact-cache.ts";
import { MegaflowTable } from "../../../src/fastpath/userspace/megaflows.ts";

const words = (...values: number[]): Int32Array => new Int32Array(values);

describe("exact-match cache", () => {
  const KEY_WORDS = 4;
  const make = () => {
    const generations = new Int32Array(100);
    return { generations, cache: new ExactCache(KEY_WORDS, 16, generations) };
  };

  test("finds what was inserted, and nothing else", () => {
    const { cache } = make();
    const key = words(1, 2, 3, 4);
    expect(cache.lookup(key, hashWords(key, KEY_WORDS))).toBe(-1);
    cache.insert(key, hashWords(key, KEY_WORDS), 42);
    expect(cache.lookup(key, hashWords(key, KEY_WORDS))).toBe(42);
    const other = words(1, 2, 3, 5);
    // The same hash by force: the whole key is compared.
    expect(cache.lookup(other, hashWords(key, KEY_WORDS))).toBe(-1);
  });

  test("a flow id of another generation is not found", () => {
    const { cache, generations } = make();
    const key = words(1, 2, 3, 4);
    cache.insert(key, 5, 42);
    generations[42]!++;
    expect(cache.lookup(key, 5)).toBe(-1);
    cache.insert(key, 5, 42);
    expect(cache.lookup(key, 5)).toBe(42);
  });

  test("two keys of one set live side by side; a third takes the place of one", () => {
    const { cache } = make();
    const keys = [words(1, 0, 0, 0), words(2, 0, 0, 0), words(3, 0, 0, 0)];
    const hashes = [1, 0x10000001, 1 | 0x20000000];
    keys.slice(0, 2).forEach((key, i) => cache.insert(key, hashes[i]!, i));
    expect(keys.slice(0, 2).map((key, i) => cache.lookup(key, hashes[i]!))).toEqual([0, 1]);
    cache.insert(keys[2]!, hashes[2]!, 2);
    const found = keys.map((key, i) => cache.lookup(key, hashes[i]!));
    expect(found[2]).toBe(2);
    expect(found.filter((flow) => flow >= 0).length).toBe(2);
  });
});

describe("megaflow table", () => {
  test("it is deep while lookups try many subtables", () => {
    const table = new MegaflowTable(100);
    for (let i = 0; i < 8; i++) table.put(i, words(0, 1), words(-1, 1 << i), words(i, 0));
    const look = (key: number): void => {
      for (let i = 0; i < 100; i++) table.lookup(words(key, 0));
      table.rank();
    };
    look(7);
    expect(table.isDeep).toBe(true);
    // Now the last subtable is the first that is tried.
    look(7);
    expect(table.isDeep).toBe(false);
  });

  test("subtables are tried until one hits; ids move with their match", () => {
    const table = new MegaflowTable(100);
    expect(table.put(1, words(0), words(-1), words(7))).toBe(true);
    expect(table.put(2, words(0, 1), words(0xff, -1), words(9, 5))).toBe(true);
    expect(table.masks).toBe(2);
    expect(table.lookup(words(7, 1))).toBe(1);
    expect(table.lookup(words(0x109, 5))).toBe(2);
    expect(table.lookup(words(8, 1))).toBe(-1);
    expect(table.put(1, words(0), words(-1), words(8))).toBe(false);
    expect(table.lookup(words(7, 1))).toBe(-1);
    expect(table.lookup(words(8, 1))).toBe(1);
    table.delete(2);
    expect(table.masks).toBe(1);
    expect(table.flows).toBe(1);
  });

  test("the empty mask catches everything", () => {
    const table = new MegaflowTable(10);
    table.put(3, words(), words(), words());
    expect(table.lookup(words(1, 2, 3))).toBe(3);
    table.delete(3);
    expect(table.lookup(words(1, 2, 3))).toBe(-1);
  });

  test("the generation moves on when a flow's keys change, not when it is put again as it was", () => {
    const table = new MegaflowTable(10);
    table.put(1, words(0), words(-1), words(7));
    const before = table.generations[1]!;
    table.put(1, words(0), words(-1), words(7));
    expect(table.generations[1]).toBe(before);
    table.put(1, words(0), words(-1), words(8));
    expect(table.generations[1]).not.toBe(before);
  });

  test("ranking puts the subtable that hits most first, and changes no answer", () => {
    const table = new MegaflowTable(10);
    table.put(1, words(0), words(-1), words(1));
    table.put(2, words(1), words(-1), words(2));
    for (let i = 0; i < 10; i++) table.lookup(words(0, 2));
    table.rank();
    expect(table.lookup(words(0, 2))).toBe(2);
    expect(table.lookup(words(1, 0))).toBe(1);
  });

  test("agrees with a plain map under any sequence of puts and deletes", () => {
    const step = fc.record({ id: fc.nat(30), value: fc.nat(40), remove: fc.boolean() });
    fc.assert(fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new MegaflowTable(31);
      const byValue = new Map<number, number>();
      const byId = new Map<number, number>();
      for (const { id, value, remove } of steps) {
        const old = byId.get(id);
        if (remove) {
          table.delete(id);
          byId.delete(id);
          if (old !== undefined) byValue.delete(old);
        } else if (!byValue.has(value) || byValue.get(value) === id) {
          table.put(id, words(0), words(-1), words(value));
          if (old !== undefined) byValue.delete(old);
          byId.set(id, value);
          byValue.set(value, id);
        }
      }
      for (let value = 0; value <= 40; value++) {
        expect(table.lookup(words(value))).toBe(byValue.get(value) ?? -1);
      }
      expect(table.flows).toBe(byId.size);
    }));
  });
});
