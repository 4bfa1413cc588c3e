import { describe, expect, test } from "bun:test";
import { VirtualClock } from "../../../src/slowpath/clock.ts";
import { eventually } from "../../support/eventually.ts";

describe("the clock that can be stopped and pushed forward", () => {
  test("runs as others do until it is stopped", async () => {
    const clock = new VirtualClock();
    const start = clock.now();
    await eventually("time passes", () => clock.now() > start);
    let rang = 0;
    clock.after(1, () => rang++);
    clock.after(2, () => rang++);
    await eventually("both ring", () => rang === 2);
    clock.stop();
    const stopped = clock.now();
    clock.after(1, () => rang++);
    await Bun.sleep(20);
    expect([clock.now(), rang]).toEqual([stopped, 2]);
  });

  test("what falls due while it is pushed rings at once, in order, and sees the new time", () => {
    const clock = new VirtualClock();
    clock.stop();
    const start = clock.now();
    const order: [string, number][] = [];
    const note = (name: string) => () => order.push([name, clock.now() - start]);
    clock.after(5000, note("second"));
    clock.after(1000, note("first"));
    clock.after(1000, note("never"))();
    clock.after(5001, note("later"));
    // A timer may set the next one.
    clock.after(3000, () => clock.after(500, note("after the push")));
    clock.warp(5000);
    expect(order).toEqual([["first", 5000], ["second", 5000]]);
    clock.warp(500);
    expect(order.slice(2)).toEqual([["later", 5500], ["after the push", 5500]]);
  });

  test("pushed while it runs, it goes on", async () => {
    const clock = new VirtualClock();
    let rang = false;
    clock.after(60_000, () => rang = true);
    clock.warp(59_999);
    await eventually("the rest passes by itself", () => rang);
  });
});
