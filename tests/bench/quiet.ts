/** A quiet moment on a shared machine: how idle its CPUs are, and waiting until they are. */
import { readFileSync } from "node:fs";

const WINDOW_MS = 150;
/** Other work of less than this share of all CPUs is not waited for. */
const QUIET = 0.9;

/** Idle and total time of all CPUs together, in ticks (proc(5), /proc/stat: idle and iowait). */
function ticks(): { idle: number; total: number } {
  const numbers = readFileSync("/proc/stat", "utf8").split("\n")[0]!.trim().split(/\s+/).slice(1)
    .map(Number);
  return { idle: numbers[3]! + numbers[4]!, total: numbers.reduce((sum, n) => sum + n, 0) };
}

/** Waits for an idle machine, but not longer than `timeoutMs`; returns how idle it was, 0 to 1. */
export async function quietMoment(timeoutMs: number): Promise<number> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const before = ticks();
    await Bun.sleep(WINDOW_MS);
    const after = ticks();
    const idle = (after.idle - before.idle) / Math.max(1, after.total - before.total);
    if (idle >= QUIET || performance.now() >= end) return idle;
  }
}
