import { expect, test } from "bun:test";
import fc from "fast-check";
import { HashCounts } from "../../../../src/slowpath/pipeline/hash-counts.ts";

// Few different low bits, so that hashes get into each other's way.
const hash = fc.integer({ min: -40, max: 40 }).map((n) => (n * 0x10000) | (n & 3));

test("hashes are there as often as they were put in and not taken out", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(hash, fc.boolean()), { maxLength: 200 }), (steps) => {
      const counts = new HashCounts();
      const model = new Map<number, number>();
      for (const [n, adds] of steps) {
        const before = model.get(n) ?? 0;
        if (adds) counts.add(n);
        else if (before > 0) counts.remove(n);
        else expect(() => counts.remove(n)).toThrow();
        const after = Math.max(0, before + (adds ? 1 : -1));
        if (after > 0) model.set(n, after);
        else model.delete(n);
        expect(counts.size).toBe(model.size);
        for (const [each] of steps) expect(counts.has(each)).toBe(model.has(each));
      }
    }),
    { numRuns: 100 },
  );
});
