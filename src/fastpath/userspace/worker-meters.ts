/** The main thread's side of meters: the worker enforces them, their statistics are shared. */
import { checkMeter, readMeterStats } from "../engine/meters.ts";
import type { DpMeter, DpMeterStats } from "../meters.ts";
import type { Control } from "./commands.ts";

export class WorkerMeters {
  /** How many bands each meter has. */
  private readonly live = new Map<number, number>();

  constructor(
    private readonly shared: Float64Array,
    private readonly send: (control: Control) => void,
  ) {}

  /** Throws a DatapathError for a meter that cannot be. */
  set(id: number, meter: DpMeter): void {
    checkMeter(id, meter);
    this.live.set(id, meter.bands.length);
    this.send({ type: "setMeter", id, meter });
  }

  delete(id: number): void {
    if (this.live.delete(id)) this.send({ type: "deleteMeter", id });
  }

  stats(id: number): DpMeterStats | undefined {
    const bands = this.live.get(id);
    return bands === undefined ? undefined : readMeterStats(this.shared, id, bands);
  }
}
