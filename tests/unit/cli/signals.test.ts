import { expect, test } from "bun:test";
import { StopSignals } from "../../../src/cli/signals.ts";

test("the first signal asks to stop, one right after it is the same wish, a later one forces", async () => {
  let now = 0;
  const forced: string[] = [];
  const signals = new StopSignals((cause) => forced.push(cause), () => now);
  try {
    expect(signals.stopping).toBe(false);
    process.emit("SIGINT", "SIGINT");
    expect(await signals.stopped).toBe("SIGINT");
    expect(signals.stopping).toBe(true);
    now = 100;
    process.emit("SIGINT", "SIGINT");
    expect(forced).toEqual([]);
    now = 5000;
    process.emit("SIGTERM", "SIGTERM");
    expect(forced).toEqual(["SIGTERM"]);
  } finally {
    signals.close();
  }
  expect(process.listenerCount("SIGINT")).toBe(0);
});

test("a stop that the program itself wishes counts as the first", async () => {
  let now = 0;
  const forced: string[] = [];
  const signals = new StopSignals((cause) => forced.push(cause), () => now);
  try {
    signals.stop("exit");
    signals.stop("exit");
    now = 5000;
    process.emit("SIGHUP", "SIGHUP");
    expect(await signals.stopped).toBe("exit");
    expect(forced).toEqual(["SIGHUP"]);
  } finally {
    signals.close();
  }
});
