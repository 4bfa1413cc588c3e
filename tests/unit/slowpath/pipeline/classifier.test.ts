import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FlowKey, type Match } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { Classified, Classifier } from "../../../../src/slowpath/pipeline/classifier.ts";
import { match } from "./lab.ts";

class Entry extends Classified {
  constructor(priority: number, readonly match: Match, readonly name: number) {
    super(priority);
  }
}

/** Few values of few fields, so that rules meet. */
const FIELD_NAMES = [
  ...["in_port", "eth_dst", "ip_src", "tcp_dst", "tcp_flags", "reg0", "ipv6_dst"] as const,
] as const;
const small = fc.nat({ max: 3 });
const masks = fc.constantFrom(0n, 0n, 1n, 3n, (1n << 16n) - 1n);
const anyMatch = fc.tuple(...FIELD_NAMES.map(() => fc.tuple(small, masks))).map((parts) =>
  match(Object.fromEntries(
    parts.flatMap(([value, mask], i) => mask ? [[FIELD_NAMES[i], [BigInt(value), mask]]] : []),
  ))
);
const anyKey = fc.tuple(...FIELD_NAMES.map(() => small)).map((values) => {
  const key = new FlowKey();
  values.forEach((value, i) => key.setBig(FIELDS[FIELD_NAMES[i]!], BigInt(value)));
  return key;
});
const anyRules = fc.array(fc.tuple(anyMatch, fc.nat({ max: 5 })), { maxLength: 40 });

function fits({ key, mask }: Match, packet: FlowKey): boolean {
  return packet.words.every((word, i) => ((word ^ key.words[i]!) & mask.words[i]!) === 0);
}

function fill(rules: readonly (readonly [Match, number])[]) {
  const classifier = new Classifier<Entry>({ narrow: true });
  classifier.setPrefixes([FIELDS.ip_src, FIELDS.ipv6_dst]);
  const model: Entry[] = [];
  for (const [index, [m, priority]] of rules.entries()) {
    if (classifier.find(m, priority)) continue;
    const entry = new Entry(priority, m, index);
    classifier.insert(entry, m);
    model.push(entry);
  }
  return { classifier, model };
}

describe("classifier", () => {
  test("finds the same priority as a linear scan, through insertions and removals", () => {
    fc.assert(fc.property(anyRules, fc.array(anyKey), fc.array(fc.nat()), (rules, keys, gone) => {
      const { classifier, model } = fill(rules);
      for (const n of gone) {
        if (model.length === 0) break;
        classifier.remove(model.splice(n % model.length, 1)[0]!);
      }
      expect(classifier.size).toBe(model.length);
      expect([...classifier].length).toBe(model.length);
      for (const key of keys) {
        const best = Math.max(
          -1,
          ...model.filter((e) => fits(e.match, key)).map((e) => e.priority),
        );
        const found = classifier.lookup(key);
        expect(found?.priority ?? -1).toBe(best);
        if (found) expect(fits(found.match, key)).toBe(true);
      }
    }));
  });

  test("a packet that agrees on the bits looked at finds the same rule", () => {
    fc.assert(fc.property(anyRules, anyKey, anyKey, (rules, key, other) => {
      const { classifier } = fill(rules);
      const wildcards = new FlowKey();
      const found = classifier.lookup(key, wildcards);
      const mixed = new FlowKey();
      mixed.words.forEach((_, i) => {
        const bits = wildcards.words[i]!;
        mixed.words[i] = (key.words[i]! & bits) | (other.words[i]! & ~bits);
      });
      expect(classifier.lookup(mixed)).toBe(found);
    }));
  });

  test("keeps and returns the whole match", () => {
    fc.assert(fc.property(anyRules, (rules) => {
      for (const entry of fill(rules).classifier) {
        const kept = entry.home!.match(entry.slot);
        expect(kept.key.equals(entry.match.key) && kept.mask.equals(entry.match.mask)).toBe(true);
      }
    }));
  });

  test("finds what lies within a match, and what overlaps it, as a linear scan does", () => {
    fc.assert(fc.property(anyRules, anyMatch, fc.nat({ max: 5 }), (rules, criteria, priority) => {
      const { classifier, model } = fill(rules);
      const within = model.filter(({ match: m }) =>
        criteria.mask.words.every((word, i) =>
          (word & ~m.mask.words[i]!) === 0 &&
          ((m.key.words[i]! ^ criteria.key.words[i]!) & word) === 0
        )
      );
      expect(new Set(classifier.within(criteria))).toEqual(new Set(within));
      const overlaps = model.some(({ match: m, priority: p }) =>
        p === priority &&
        m.mask.words.every((word, i) =>
          ((m.key.words[i]! ^ criteria.key.words[i]!) & word & criteria.mask.words[i]!) === 0
        )
      );
      expect(classifier.overlaps(criteria, priority)).toBe(overlaps);
    }));
  });

  test("does not look at transport ports for packets whose input port has no such rule", () => {
    const classifier = new Classifier<Entry>();
    const acl = match({ in_port: 1, eth_type: 0x800, nw_proto: 6, tcp_dst: 80 });
    classifier.insert(new Entry(10, acl, 0), acl);
    const key = new FlowKey();
    key.set(FIELDS.in_port, 2);
    const wildcards = new FlowKey();
    expect(classifier.lookup(key, wildcards)).toBeUndefined();
    expect(wildcards.get(FIELDS.in_port)).toBe(0xffff);
    expect(wildcards.get(FIELDS.tcp_dst)).toBe(0);
  });

  test("does not probe masks that cannot win", () => {
    const classifier = new Classifier<Entry>();
    const high = match({ in_port: 1 });
    const low = match({ eth_dst: 5 });
    classifier.insert(new Entry(10, high, 0), high);
    classifier.insert(new Entry(5, low, 1), low);
    const key = new FlowKey();
    key.set(FIELDS.in_port, 1);
    const wildcards = new FlowKey();
    expect(classifier.lookup(key, wildcards)?.priority).toBe(10);
    expect(wildcards.getBig(FIELDS.eth_dst)).toBe(0n);
  });

  test("rules about headers are about frames, unless they name a packet type", () => {
    const classifier = new Classifier<Entry>();
    const BARE_IPV4 = 0x10800;
    const rules = [
      match({ eth_type: 0x800 }),
      match({ packet_type: BARE_IPV4, eth_type: 0x800 }),
      match({ in_port: 1 }),
    ];
    for (const [i, m] of rules.entries()) classifier.insert(new Entry(10 - i, m, i), m);
    const key = new FlowKey();
    key.set(FIELDS.in_port, 1);
    key.set(FIELDS.eth_type, 0x800);
    expect(classifier.lookup(key)?.name).toBe(0);
    key.set(FIELDS.packet_type, BARE_IPV4);
    expect(classifier.lookup(key)?.name).toBe(1);
    classifier.remove(classifier.lookup(key)!);
    expect(classifier.lookup(key)?.name).toBe(2);
  });

  test("refuses a second rule of equal match and priority", () => {
    const classifier = new Classifier<Entry>();
    const m = match({ in_port: 1 });
    classifier.insert(new Entry(10, m, 0), m);
    classifier.insert(new Entry(11, m, 0), m);
    expect(() => classifier.insert(new Entry(10, m, 1), m)).toThrow("already");
  });

  test("holds 20,000 rules of 50 masks", () => {
    const classifier = new Classifier<Entry>();
    const entries: Entry[] = [];
    for (let n = 0; n < 20_000; n++) {
      const mask = ((1n << 32n) - 1n) ^ BigInt(n % 50);
      const m = match({ reg0: [BigInt(n * 64) & mask, mask], in_port: n % 7 });
      if (classifier.find(m, n % 100)) continue;
      const entry = new Entry(n % 100, m, n);
      classifier.insert(entry, m);
      entries.push(entry);
    }
    expect(classifier.subtables).toBe(50);
    for (const entry of entries) expect(classifier.find(entry.match, entry.priority)).toBe(entry);
    for (const entry of entries) classifier.remove(entry);
    expect(classifier.subtables).toBe(0);
  }, 60_000);
});
