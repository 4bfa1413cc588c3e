/** Statistics of several workers, each in its own memory, added up. */
import type { DpFlowStats, DpPortStats } from "../datapath.ts";
import { counterIndex, COUNTERS, type SharedState } from "./shared.ts";

const PORT_STAT_NAMES = [
  "rxPackets",
  "txPackets",
  "rxBytes",
  "txBytes",
  "rxDropped",
  "txDropped",
  "rxErrors",
  "txErrors",
] as const;

interface Counting {
  readonly shared: SharedState;
}

export function portStatsOf(workers: readonly Counting[], portNo: number): DpPortStats {
  const sum = workers[0]!.shared.readPortStats(portNo);
  for (let i = 1; i < workers.length; i++) {
    const more = workers[i]!.shared.readPortStats(portNo);
    for (const name of PORT_STAT_NAMES) sum[name] += more[name];
  }
  return sum;
}

export function flowStatsOf(workers: readonly Counting[], id: number): DpFlowStats {
  const sum = workers[0]!.shared.readFlowStats(id);
  for (let i = 1; i < workers.length; i++) {
    const more = workers[i]!.shared.readFlowStats(id);
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.lastUsedMs = Math.max(sum.lastUsedMs, more.lastUsedMs);
    sum.tcpFlags |= more.tcpFlags;
  }
  return sum;
}

export function countersOf(workers: readonly Counting[]): Record<string, number> {
  const all: Record<string, number> = {};
  COUNTERS.forEach((name, i) => {
    all[name] = workers.reduce((sum, { shared }) => sum + shared.counters[i]!, 0);
  });
  // Every worker has all of them.
  for (const name of ["flows", "masks"] as const) {
    all[name] = workers[0]!.shared.counters[counterIndex(name)]!;
  }
  return all;
}
