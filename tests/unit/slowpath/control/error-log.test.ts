import { expect, test } from "bun:test";
import { ErrorLog } from "../../../../src/slowpath/control/error-log.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";

test("a flood of errors is told a few times a second, and how many there were", () => {
  const clock = new ManualClock();
  const log = new ErrorLog(clock);
  const said: string[] = [];
  const flood = (count: number): void => {
    for (let i = 0; i < count; i++) log.tell((behind) => said.push(`error${behind}`));
  };
  flood(1000);
  expect(said).toEqual(Array.from({ length: 10 }, () => "error"));
  clock.advance(1000);
  flood(1);
  expect(said.at(-1)).toBe("error (and 990 errors before it)");
  flood(1);
  expect(said.at(-1)).toBe("error");
});
