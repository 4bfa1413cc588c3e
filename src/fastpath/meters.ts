/** Meters as the slow path sets and reads them. What enforces them is in engine/meters.ts. */

export interface DpMeterBand {
  readonly type: "drop" | "dscp_remark";
  /** kbit/s, or packets/s: see `DpMeter.unit`. */
  readonly rate: number;
  /** Depth of the bucket in kbit or packets; 0 means what the rate gives in one second. */
  readonly burst: number;
  /** `dscp_remark`: by how much the drop precedence grows (OpenFlow 1.3.5 §5.7.1). */
  readonly precedenceLevel?: number;
}

export interface DpMeter {
  readonly unit: "kbps" | "pktps";
  /** Of the bands that a packet exceeds, the one with the highest rate acts. */
  readonly bands: readonly DpMeterBand[];
}

export interface DpMeterBandStats {
  packets: number;
  bytes: number;
}

export interface DpMeterStats {
  packetsIn: number;
  bytesIn: number;
  /** In the order of the meter's bands. */
  readonly bands: readonly DpMeterBandStats[];
}
