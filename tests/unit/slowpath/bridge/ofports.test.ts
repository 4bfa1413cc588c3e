import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { OfportAllocator } from "../../../../src/slowpath/bridge/ofports.ts";

describe("OpenFlow port numbers", () => {
  test("count up from 1, and a wanted free number is given", () => {
    const ports = new OfportAllocator(new ManualClock());
    expect([ports.allocate(), ports.allocate(100), ports.allocate(), ports.allocate(40000)])
      .toEqual([1, 100, 2, 40000]);
  });

  test("a wanted number that is taken or no port number is replaced", () => {
    const ports = new OfportAllocator(new ManualClock());
    expect(ports.allocate(1)).toBe(1);
    expect([ports.allocate(1), ports.allocate(0), ports.allocate(0xff00)]).toEqual([2, 3, 4]);
  });

  test("a number given back rests for an hour, unless asked for", () => {
    const clock = new ManualClock();
    const ports = new OfportAllocator(clock);
    for (let i = 0; i < 3; i++) ports.allocate();
    ports.release(2);
    expect(ports.allocate()).toBe(4);
    expect(ports.allocate(2)).toBe(2);
    ports.release(2);
    clock.advance(60 * 60 * 1000 + 1);
    const all = new Set<number>();
    for (let i = 0; i < 32767 - 3; i++) all.add(ports.allocate()!);
    expect(all.has(2)).toBe(true);
    expect(all.size).toBe(32764);
    expect(ports.allocate()).toBeUndefined();
  });

  test("when only resting numbers are left, the one that rested longest is given", () => {
    const clock = new ManualClock();
    const ports = new OfportAllocator(clock);
    for (let i = 1; i < 32768; i++) ports.allocate();
    ports.release(9);
    clock.advance(10);
    ports.release(5);
    expect([ports.allocate(), ports.allocate(), ports.allocate()]).toEqual([9, 5, undefined]);
  });
});
