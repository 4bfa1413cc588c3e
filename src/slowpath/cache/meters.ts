/** The bridges' meters in the datapath: numbers of one space, the lowest free one first. */
import type { Datapath } from "../../fastpath/datapath.ts";
import type { DpMeter, DpMeterStats } from "../../fastpath/meters.ts";
import { METER_FLAGS, type MeterConfig } from "../../openflow/messages/types.ts";
import type { MeterDatapath } from "../pipeline/meters.ts";

export class DatapathMeters implements MeterDatapath {
  private readonly used = new Set<number>();
  private lowest = 0;

  constructor(
    private readonly datapath: Pick<Datapath, "setMeter" | "deleteMeter" | "meterStats">,
  ) {}

  add(config: MeterConfig): number {
    let id = this.lowest;
    while (this.used.has(id)) id++;
    this.lowest = id + 1;
    this.used.add(id);
    this.set(id, config);
    return id;
  }

  set(id: number, config: MeterConfig): void {
    this.datapath.setMeter(id, meterOf(config));
  }

  remove(id: number): void {
    this.datapath.deleteMeter(id);
    this.used.delete(id);
    this.lowest = Math.min(this.lowest, id);
  }

  stats(id: number): DpMeterStats | undefined {
    return this.datapath.meterStats(id);
  }
}

function meterOf({ flags, bands }: MeterConfig): DpMeter {
  return {
    unit: flags & METER_FLAGS.PKTPS ? "pktps" : "kbps",
    bands: bands.map((band) => ({
      type: band.type === "dscp_remark" ? "dscp_remark" : "drop",
      rate: band.rate,
      burst: band.burst,
      ...(band.type === "dscp_remark" && { precedenceLevel: band.level }),
    })),
  };
}
