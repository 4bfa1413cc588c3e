/**
 * Which meters programs enforce: all whose bands drop. Flows of one that remarks are userspace's, all of
 * them, since a bucket is either shared (../engine/shared-meters.ts) or the worker's.
 */
import { readMonotonicMs } from "../../linux/libc.ts";
import type { BpfMap } from "../../linux/bpf-map.ts";
import { SharedMeters } from "../engine/shared-meters.ts";
import type { DpMeter, DpMeterStats } from "../meters.ts";

export class KernelMeters {
  private readonly shared: SharedMeters;
  private readonly clock = new BigInt64Array(2);
  /** Those that programs cannot enforce. */
  private readonly others = new Set<number>();

  /** `changed`: flows of the meter belong in another place than before. */
  constructor(map: BpfMap, private readonly changed: (id: number) => void) {
    this.shared = new SharedMeters(map.map());
  }

  /** Also of a meter that is not there, which lets everything through. */
  canEnforce(id: number): boolean {
    return !this.others.has(id);
  }

  set(id: number, meter: DpMeter): void {
    const could = this.canEnforce(id);
    if (SharedMeters.canHold(meter)) {
      this.others.delete(id);
      this.shared.set(id, meter, readMonotonicMs(this.clock));
    } else {
      this.shared.delete(id);
      this.others.add(id);
    }
    if (this.canEnforce(id) !== could) this.changed(id);
  }

  delete(id: number): void {
    this.shared.delete(id);
    if (this.others.delete(id)) this.changed(id);
  }

  /** Undefined if it is not among those that programs enforce. */
  stats(id: number): DpMeterStats | undefined {
    return this.shared.has(id) ? this.shared.stats(id) : undefined;
  }
}
