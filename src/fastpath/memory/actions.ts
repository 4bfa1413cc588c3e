/**
 * The engine (../engine) over the memory datapath: outputs, upcalls and lookups are calls to it.
 */
import { type Frame, VNET_BYTES } from "../../packet/frame.ts";
import { plainStart } from "../../packet/vnet.ts";
import { Tracker } from "../conntrack/tracker.ts";
import type { Packet } from "../datapath.ts";
import { Executor, type Scratch } from "../engine/executor.ts";
import { MAX_METERS, METER_STATS, MeterTable } from "../engine/meters.ts";
import type { Program } from "../engine/opcodes.ts";

const SCRATCH_BYTES = 4 << 20;

class PlainScratch implements Scratch {
  readonly bytes = new Uint8Array(SCRATCH_BYTES);
  private mark = 0;

  take(length: number): number {
    const at = this.mark;
    if (at + length > SCRATCH_BYTES) return -1;
    this.mark = at + length;
    return at;
  }

  reset(): void {
    this.mark = 0;
  }
}

/** What the memory datapath does for its packets. */
export interface MemoryHost {
  output(portNo: number, limit: number): void;
  upcall(packet: Packet, userdata: number): void;
  classify(): void;
}

export class MemoryExecutor extends Executor {
  readonly meterStats: Float64Array;
  private readonly plain: PlainScratch;

  constructor(counters: Float64Array, private readonly host: MemoryHost) {
    const plain = new PlainScratch();
    const meterStats = new Float64Array(MAX_METERS * METER_STATS);
    super(plain, counters, new MeterTable(meterStats), new Tracker());
    this.plain = plain;
    this.meterStats = meterStats;
  }

  /** Between packets. */
  begin(nowMs: number): void {
    this.plain.reset();
    this.nowMs = nowMs;
    this.stale = false;
  }

  runProgram(program: Program): void {
    this.execute(program);
  }

  protected transmit(portNo: number, limit: number): void {
    this.host.output(portNo, limit);
  }

  protected userspace(userdata: number, limit: number): void {
    this.host.upcall(packetOf(this.frame, limit), userdata >>> 0);
  }

  protected classify(): void {
    this.host.classify();
  }

  /** Outputs copy at once. */
  protected finishSends(): void {}
}

/** A copy of the packet as it is now, cut to `limit` bytes; a cut one has its offloads ended. */
export function packetOf(frame: Frame, limit: number): Packet {
  const { bytes, offset, length, vnet } = frame;
  if (limit < length) return { data: plainStart(frame, limit).slice() };
  const data = bytes.slice(offset, offset + length);
  if (!vnet) return { data };
  const header = bytes.slice(offset - VNET_BYTES, offset);
  return header.some((byte) => byte !== 0) ? { data, vnet: header } : { data };
}
