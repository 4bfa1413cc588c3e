import { expect, test } from "bun:test";
import { limitedLogger } from "../../../src/log/limited.ts";
import { LogSink } from "../../../src/log/log.ts";
import { ManualClock } from "../../../src/slowpath/clock.ts";

test("so many lines at once, then one a second, which says how many were left out", () => {
  const lines: string[] = [];
  const clock = new ManualClock();
  const log = limitedLogger(new LogSink((line) => lines.push(line)).logger("bfd"), clock);
  for (let i = 0; i < 1000; i++) log.info(`message ${i}`);
  expect(lines).toHaveLength(60);
  clock.advance(1000);
  log.warn("one");
  log.err("another");
  expect(lines).toHaveLength(61);
  expect(lines.at(-1)).toEndWith("|bfd|WARN|one (940 messages before this one were left out)");
  clock.advance(3600_000);
  for (let i = 0; i < 1000; i++) log.info("again");
  expect(lines).toHaveLength(121);
  expect(lines.at(-1)).toEndWith("again");
});
