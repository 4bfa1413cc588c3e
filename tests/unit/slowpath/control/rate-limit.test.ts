/** How many packet-ins a connection gets, and whose turn it is when there are too many. */
import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { RateLimiter } from "../../../../src/slowpath/control/rate-limit.ts";

function limiter(rate: number, burst: number) {
  const clock = new ManualClock();
  const sent: string[] = [];
  const limit = new RateLimiter(clock, { rate, burst });
  const submit = (port: number, name: string) => limit.submit(port, () => sent.push(name));
  return { clock, sent, limit, submit };
}

describe("a rate limit", () => {
  test("lets a burst through at once and the rest at the rate", () => {
    const { clock, sent, limit, submit } = limiter(100, 5);
    for (let i = 0; i < 10; i++) submit(1, `p${i}`);
    expect(sent).toEqual(["p0", "p1", "p2", "p3", "p4"]);
    expect(limit.backlog).toBe(5);
    clock.advance(20);
    expect(sent).toHaveLength(7);
    clock.advance(1000);
    expect(sent).toEqual(Array.from({ length: 10 }, (_, i) => `p${i}`));
    expect(limit.counters).toEqual({ bypassed: 5, queued: 5, dropped: 0 });
  });

  test("ports take turns, and the longest queue loses its first", () => {
    const { clock, sent, limit, submit } = limiter(100, 4);
    for (let i = 0; i < 4; i++) submit(9, "x");
    sent.length = 0;
    for (const name of ["a1", "a2", "a3"]) submit(1, name);
    submit(2, "b1");
    // Four wait: one more throws out the first of port 1.
    submit(2, "b2");
    expect(limit.counters.dropped).toBe(1);
    clock.advance(1000);
    expect(sent).toEqual(["a2", "b1", "a3", "b2"]);
  });

  test("a lower limit drops what is too much of what waits", () => {
    const { limit, submit } = limiter(100, 10);
    for (let i = 0; i < 20; i++) submit(1, `p${i}`);
    expect(limit.backlog).toBe(10);
    limit.configure({ rate: 10, burst: 2 });
    expect(limit.backlog).toBe(2);
  });
});
