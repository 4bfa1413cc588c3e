/** What became of the datapath's lookups, as Open vSwitch tells it. */
import type { Datapath } from "../../fastpath/datapath.ts";

export interface Lookups {
  /** Packets that a flow was found for, that none was, and that were lost on the way up. */
  readonly hit: number;
  readonly missed: number;
  readonly lost: number;
}

export function lookupsOf(
  datapath: Pick<Datapath, "counters">,
  cache: { counters(): Readonly<Record<string, number>> },
): Lookups {
  const counters = datapath.counters();
  const count = (name: string): number => counters[name] ?? 0;
  return {
    hit: count("exact_hit") + count("masked_hit"),
    missed: count("miss"),
    lost: count("drop_upcall_ring_full") + (cache.counters()["upcall_overflow"] ?? 0),
  };
}
