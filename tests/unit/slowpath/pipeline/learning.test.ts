import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { macBytes, macNumber, MacTable } from "../../../../src/slowpath/bridge/learning.ts";

const P = { name: "p" };
const Q = { name: "q" };

function fresh(limit?: number) {
  const clock = new ManualClock();
  const macs = new MacTable<{ name: string }>(clock);
  if (limit !== undefined) macs.setLimit(limit);
  const changes: string[] = [];
  macs.listen((vlan, mac) => void changes.push(`${vlan}/${mac}`));
  return { clock, macs, changes };
}

describe("MAC table", () => {
  test("keeps VLANs apart, tells of changes only", () => {
    const { macs, changes } = fresh();
    expect(macs.learn(1, 10, P)).toBe(true);
    expect(macs.learn(1, 10, P)).toBe(false);
    expect(macs.lookup(2, 10)).toBeUndefined();
    expect(macs.learn(1, 10, Q)).toBe(true);
    expect(macs.lookup(1, 10)?.bundle).toBe(Q);
    expect(changes).toEqual(["1/10", "1/10"]);
  });

  test("ages out after 300 s without a packet", () => {
    const { clock, macs, changes } = fresh();
    macs.learn(0, 1, P);
    clock.advance(299_999);
    macs.learn(0, 1, P);
    clock.advance(299_999);
    expect(macs.lookup(0, 1)).toBeDefined();
    clock.advance(1);
    expect(macs.lookup(0, 1)).toBeUndefined();
    expect(macs.expire()).toBe(1);
    expect(changes.length).toBe(2);
    // Packets counted late do not bring it back.
    expect(macs.learn(0, 1, P, { seenMs: clock.now() - 300_000 })).toBe(false);
    expect(macs.size).toBe(0);
  });

  test("never learns a group address", () => {
    const { macs } = fresh();
    macs.learn(0, 0x0100_5e00_0001, P);
    macs.learn(0, 0xffff_ffff_ffff, P);
    expect(macs.size).toBe(0);
  });

  test("a full table takes room from the port that has most", () => {
    const { macs } = fresh(10);
    for (let mac = 1; mac <= 3; mac++) macs.learn(0, mac, P);
    for (let mac = 100; mac < 200; mac++) macs.learn(0, mac, Q);
    expect(macs.size).toBe(10);
    for (let mac = 1; mac <= 3; mac++) expect(macs.lookup(0, mac)?.bundle).toBe(P);
    expect(macs.lookup(0, 199)).toBeDefined();
    expect(macs.lookup(0, 100)).toBeUndefined();
  });

  test("a gratuitous ARP locks an address against a bond's reflection for 5 s", () => {
    const { clock, macs } = fresh();
    macs.learn(0, 1, P, { gratuitousArp: true });
    expect(macs.learn(0, 1, Q, { fromBond: true })).toBe(false);
    clock.advance(5000);
    expect(macs.learn(0, 1, Q, { fromBond: true })).toBe(true);
  });

  test("an older packet, counted late, does not move an address back", () => {
    const { clock, macs } = fresh();
    macs.learn(0, 1, P);
    clock.advance(100);
    macs.learn(0, 1, Q);
    expect(macs.learn(0, 1, P, { seenMs: clock.now() - 50 })).toBe(false);
    expect(macs.lookup(0, 1)?.bundle).toBe(Q);
  });

  test("static entries neither age, move, get evicted nor flushed", () => {
    const { clock, macs } = fresh(10);
    macs.addStatic(0, 1, P);
    for (let mac = 100; mac < 200; mac++) macs.learn(0, mac, P);
    expect(macs.learn(0, 1, Q)).toBe(false);
    clock.advance(1e9);
    macs.expire();
    macs.flush();
    expect([...macs.entries()].map(({ mac }) => mac)).toEqual([1]);
    expect(macs.removeStatic(0, 1)).toBe(true);
    expect(macs.size).toBe(0);
  });

  test("a bundle's entries go with it", () => {
    const { macs } = fresh();
    macs.learn(0, 1, P);
    macs.learn(5, 2, P);
    macs.learn(0, 3, Q);
    macs.flushBundle(P);
    expect([...macs.entries()].map(({ mac }) => mac)).toEqual([3]);
  });

  test("addresses and numbers", () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      expect(macBytes(macNumber(bytes))).toEqual(bytes);
    }));
  });
});
