/** The clock of flow statistics (`DpFlowStats.lastUsedMs`). */
import { readMonotonicMs } from "../linux/libc.ts";

/** A function that reads CLOCK_MONOTONIC in milliseconds, the fraction included. */
export function monotonicClock(): () => number {
  const scratch = new BigInt64Array(2);
  return () => readMonotonicMs(scratch);
}
