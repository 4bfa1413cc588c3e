/**
 * Shards: each counter that packets write is there several times, and a CPU writes one of them. An
 * addition to memory that no other CPU writes needs no locked instruction: of what a packet cost in
 * the programs, seven of these were half (docs/ebpf.md).
 *
 * With no more CPUs than shards each has its own, and plain additions do: programs at tc are neither
 * moved to another CPU nor interrupted by one another (on a kernel with PREEMPT_RT, where they can
 * be, a count may be lost now and then). With more, several share one, and additions are atomic.
 */
import { readFileSync } from "node:fs";

const MOST = 8;

export interface Shards {
  /** A power of two. */
  readonly count: number;
  /** Each CPU has its own. */
  readonly own: boolean;
}

/** For the CPUs that this machine may ever have. */
export function machineShards(): Shards {
  return shardsFor(possibleCpus(readFileSync("/sys/devices/system/cpu/possible", "utf8")));
}

/** From a list as `0-3,8`: the highest number and one. */
export function possibleCpus(list: string): number {
  const numbers = list.match(/\d+/g) ?? ["0"];
  return Math.max(...numbers.map(Number)) + 1;
}

export function shardsFor(cpus: number): Shards {
  let count = 1;
  while (count < cpus && count < MOST) count *= 2;
  return { count, own: cpus <= count };
}
