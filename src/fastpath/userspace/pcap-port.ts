/**
 * A port whose wire is capture files: packets of one come in as if they had been received, packets
 * that leave are added to the other. Super-packets are recorded as the frames that they stand for.
 *
 * Recording is a write(2) a frame, in the worker. Of several workers the first one replays, all record.
 */
import { readMonotonicMs } from "../../linux/libc.ts";
import { TimerFd } from "../../linux/timer-fd.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { PcapError } from "../../packet/pcap.ts";
import { plainFrames, SegmentError } from "../../packet/vnet.ts";
import { DatapathError } from "../datapath.ts";
import { PcapFile } from "../pcap-file.ts";
import { type PcapPortOptions, Replay } from "../pcap-replay.ts";
import { type FrameMemory, HEADROOM_BYTES } from "./arena.ts";
import type { Forwarder } from "./forwarder.ts";
import type { PortCounters, WorkerPort } from "./port.ts";

/** Longest frame that is recorded. */
const SNAP_BYTES = 262_144;
const EIO = 5;

export class PcapPort implements WorkerPort {
  /** No device stands behind it. */
  readonly ifindex = 0;
  private readonly timer: TimerFd | undefined;
  private readonly replay: Replay | undefined;
  private readonly record: PcapFile | undefined;
  private readonly clock = new BigInt64Array(2);

  constructor(
    readonly portNo: number,
    readonly name: string,
    options: PcapPortOptions,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
    receives: boolean,
  ) {
    try {
      if (options.tx !== undefined) {
        this.record = new PcapFile(options.tx, { snapBytes: SNAP_BYTES, mode: 0o640 });
      }
      if (!receives || options.rx === undefined) return;
      this.replay = new Replay(options.rx, options, readMonotonicMs(this.clock));
    } catch (error) {
      this.record?.close();
      if (!(error instanceof Error)) throw error;
      const what = error instanceof PcapError ? `${options.rx}: ${error.message}` : error.message;
      throw new DatapathError("system", `cannot add pcap port ${name}: ${what}`);
    }
    this.timer = new TimerFd();
    this.timer.set(this.replay.nextMs);
  }

  /** Readable when a packet is due; -1: nothing is replayed here. */
  get fd(): number {
    return this.timer?.fd ?? -1;
  }

  receive(budget: number): number {
    const { forwarder, counters, replay } = this;
    if (!replay) return 0;
    const { arena, frame } = forwarder;
    const now = readMonotonicMs(this.clock);
    let n = 0;
    for (; n < budget; n++) {
      const packet = replay.take(now);
      if (!packet) break;
      forwarder.makeRoom(HEADROOM_BYTES + VNET_BYTES + packet.length);
      const at = arena.take(HEADROOM_BYTES + VNET_BYTES + packet.length);
      const into = at + HEADROOM_BYTES;
      arena.bytes.fill(0, into, into + VNET_BYTES);
      arena.bytes.set(packet, into + VNET_BYTES);
      frame.set(arena.bytes, into + VNET_BYTES, packet.length, true, at);
      counters.received(packet.length);
      forwarder.forward(arena, this.portNo);
    }
    if (n > 0) forwarder.flush();
    else this.timer!.set(replay.nextMs);
    return n;
  }

  transmit(memory: FrameMemory, at: number, length: number): void {
    const { record, counters } = this;
    const bytes = length - VNET_BYTES;
    if (!record) return counters.sentMany(1, bytes);
    try {
      const vnet = memory.bytes.subarray(at, at + VNET_BYTES);
      const data = memory.bytes.subarray(at + VNET_BYTES, at + length);
      for (const frame of plainFrames(data, vnet)) record.write(frame);
      counters.sentMany(1, bytes);
    } catch (error) {
      // The disk is full, or the offload header makes no sense: the packet is not recorded.
      if (!(error instanceof Error)) throw error;
      counters.sendFailed(error instanceof SegmentError ? 0 : EIO, 1);
    }
  }

  flush(): void {}

  keepHouse(): void {}

  failed(): string | undefined {
    return undefined;
  }

  end(): void {
    this.timer?.close();
    this.record?.close();
  }
}
