/**
 * Meters at work: token buckets, as Open vSwitch's userspace datapath has them.
 *
 * - A bucket holds bits (`kbps`) or thousandths of a packet (`pktps`), so that a rate times elapsed
 *   milliseconds is what flows in. It begins full. A packet that finds too little takes nothing out.
 * - Each band has its own bucket; of those that a packet exceeds, the one with the highest rate
 *   acts: it drops, or raises the drop precedence of the packet's DSCP (RFC 2597), which Open
 *   vSwitch's userspace datapath cannot.
 * - A super-packet counts as the segments that it stands for.
 *
 * Statistics stand in doubles that may be shared with another thread: packets in, bytes in, then
 * packets and bytes of each band.
 */
import type { Frame } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { setSlot } from "../../packet/rewrite.ts";
import type { DpMeter, DpMeterStats } from "../meters.ts";
import { DatapathError } from "../datapath.ts";

export const MAX_METERS = 4096;
export const MAX_METER_BANDS = 8;
/** Doubles of statistics a meter. */
export const METER_STATS = 2 + 2 * MAX_METER_BANDS;

const S_NW_TOS = slot("nw_tos").offset;

export const METER_PASS = 0;
export const METER_DROP = 1;
export const METER_REMARK = 2;

interface Band {
  readonly isDrop: boolean;
  readonly rate: number;
  readonly depth: number;
  readonly level: number;
  bucket: number;
}

class Meter {
  lastMs = -1;

  constructor(readonly isPackets: boolean, readonly bands: readonly Band[]) {}
}

/** Throws a DatapathError for a meter that cannot be. */
export function checkMeter(id: number, { bands }: DpMeter): void {
  if (!Number.isInteger(id) || id < 0 || id >= MAX_METERS) {
    throw new DatapathError("full", `meter id ${id}: this datapath has 0 to ${MAX_METERS - 1}`);
  }
  if (bands.length > MAX_METER_BANDS) {
    throw new DatapathError("not-supported", `a meter has at most ${MAX_METER_BANDS} bands`);
  }
}

export function readMeterStats(stats: Float64Array, id: number, bands: number): DpMeterStats {
  const at = id * METER_STATS;
  return {
    packetsIn: stats[at]!,
    bytesIn: stats[at + 1]!,
    bands: Array.from({ length: bands }, (_, i) => ({
      packets: stats[at + 2 + 2 * i]!,
      bytes: stats[at + 3 + 2 * i]!,
    })),
  };
}

/** Meters elsewhere that go before a table's own. */
export interface OtherMeters {
  has(id: number): boolean;
  run(id: number, packets: number, bytes: number, nowMs: number): number;
}

export class MeterTable {
  /** Those that programs in the kernel use, too (shared-meters.ts). */
  shared: OtherMeters | undefined;
  private readonly meters: (Meter | undefined)[] = [];
  /** After METER_REMARK: by how much the drop precedence grows. */
  level = 0;

  /** `stats`: METER_STATS doubles for each of MAX_METERS ids. */
  constructor(private readonly stats: Float64Array) {}

  set(id: number, meter: DpMeter): void {
    this.stats.fill(0, id * METER_STATS, (id + 1) * METER_STATS);
    const bands = meter.bands.map(({ type, rate, burst, precedenceLevel = 0 }): Band => {
      const depth = (burst || rate) * 1000;
      return { isDrop: type === "drop", rate, depth, level: precedenceLevel, bucket: depth };
    });
    this.meters[id] = new Meter(meter.unit === "pktps", bands);
  }

  delete(id: number): void {
    this.meters[id] = undefined;
  }

  /** What becomes of `packets` packets with `bytes` bytes together, on a millisecond clock. */
  run(id: number, packets: number, bytes: number, nowMs: number): number {
    if (this.shared?.has(id)) return this.shared.run(id, packets, bytes, nowMs);
    const meter = this.meters[id];
    if (!meter) return METER_PASS;
    const { stats } = this;
    const at = id * METER_STATS;
    stats[at]! += packets;
    stats[at + 1]! += bytes;
    const elapsedMs = meter.lastMs < 0 ? 0 : Math.max(0, nowMs - meter.lastMs);
    meter.lastMs = nowMs;
    const volume = meter.isPackets ? packets * 1000 : bytes * 8;
    const { bands } = meter;
    let exceeded = -1;
    for (let i = 0; i < bands.length; i++) {
      const band = bands[i]!;
      band.bucket = Math.min(band.depth, band.bucket + elapsedMs * band.rate);
      if (band.bucket >= volume) band.bucket -= volume;
      else if (exceeded < 0 || band.rate > bands[exceeded]!.rate) exceeded = i;
    }
    if (exceeded < 0) return METER_PASS;
    stats[at + 2 + 2 * exceeded]! += packets;
    stats[at + 3 + 2 * exceeded]! += bytes;
    const band = bands[exceeded]!;
    this.level = band.level;
    return band.isDrop ? METER_DROP : METER_REMARK;
  }
}

/** A value and a mask, for `setSlot`. */
function dscp(tos: number): Uint8Array {
  return Uint8Array.of(tos, 0xfc);
}

/** Raises the drop precedence of an IP packet; false for anything else. */
export function remark(frame: Frame, level: number): boolean {
  if (frame.l3Type !== 0x0800 && frame.l3Type !== 0x86dd) return false;
  const at = frame.offset + frame.l3;
  const { bytes } = frame;
  const tos = frame.l3Type === 0x0800
    ? bytes[at + 1]!
    : ((bytes[at]! & 15) << 4) | (bytes[at + 1]! >> 4);
  const raised = remarked(tos, level);
  if (raised !== tos) setSlot(frame, S_NW_TOS, dscp(raised), 0, 1);
  return raised !== tos;
}

/**
 * The type of service after its drop precedence grew by `level`: assured forwarding classes only
 * (RFC 2597 §6: class in the upper three bits of the DSCP, precedence 1 to 3 below).
 */
export function remarked(tos: number, level: number): number {
  const dscp = tos >> 2;
  const forwarding = dscp >> 3;
  const precedence = (dscp >> 1) & 3;
  if (forwarding < 1 || forwarding > 4 || precedence === 0 || (dscp & 1) !== 0) return tos;
  const raised = Math.min(3, precedence + level);
  return (((forwarding << 3) | (raised << 1)) << 2) | (tos & 3);
}
