/** The numbers and ids that datapath actions hold: given to translations, given back by the cache. */
import type { BridgeModel } from "../pipeline/model.ts";
import type { Punts } from "./punts.ts";
import type { RecirculationIds } from "./recirculation.ts";

/** What a translation's actions hold. */
export interface Held {
  readonly punts: readonly number[];
  readonly recircs: readonly number[];
}

export const NOTHING_HELD: Held = { punts: [], recircs: [] };

export class References {
  constructor(readonly punts: Punts, readonly recirculations: RecirculationIds) {}

  release({ punts, recircs }: Held): void {
    if (punts.length > 0) this.punts.release(punts);
    if (recircs.length > 0) this.recirculations.release(recircs);
  }

  /** Frees what nobody has held for long enough. */
  reap(): void {
    this.punts.reap();
    this.recirculations.reap();
  }

  /** The bridge goes: nothing goes on there. */
  forget(bridge: BridgeModel): void {
    this.recirculations.forget(bridge);
  }
}
