/** A pcap port of the datapath in memory: see ../userspace/pcap-port.ts, whose behaviour it has. */
import { plainFrames, SegmentError } from "../../packet/vnet.ts";
import type { Packet } from "../datapath.ts";
import { PcapFile } from "../pcap-file.ts";
import { type PcapPortOptions, Replay } from "../pcap-replay.ts";

const SNAP_BYTES = 262_144;
/** Packets that come in one turn of the event loop. */
const BATCH = 64;

export class MemoryPcapPort {
  private readonly record: PcapFile | undefined;
  private readonly replay: Replay | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Throws `PcapError`, or what the system says of a file. */
  constructor(
    options: PcapPortOptions,
    private readonly now: () => number,
    private readonly received: (frame: Uint8Array) => void,
  ) {
    if (options.rx !== undefined) this.replay = new Replay(options.rx, options, now());
    if (options.tx !== undefined) this.record = new PcapFile(options.tx, { snapBytes: SNAP_BYTES });
    this.arm();
  }

  /** False: it could not be recorded. */
  transmit({ data, vnet }: Packet): boolean {
    try {
      for (const frame of plainFrames(data, vnet)) this.record?.write(frame);
      return true;
    } catch (error) {
      if (error instanceof SegmentError || error instanceof Error) return false;
      throw error;
    }
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.record?.close();
  }

  private arm(): void {
    const next = this.replay?.nextMs ?? Infinity;
    if (next === Infinity) return;
    this.timer = setTimeout(() => {
      for (let n = 0; n < BATCH; n++) {
        const frame = this.replay!.take(this.now());
        if (!frame) break;
        this.received(frame);
      }
      if (this.timer !== undefined) this.arm();
    }, Math.max(0, next - this.now()));
  }
}
