/**
 * A capture file as what a port receives. Its packets come as far apart as they were captured, or at a
 * given rate, once or over and over; the first one `START_MS` after the port was opened, when the rest
 * of a new configuration is there too.
 *
 * Limits: classic pcap (not pcapng), Ethernet, `MAX_BYTES`. What leaves through such a port is recorded
 * by pcap-file.ts.
 */
import { readFileSync, statSync } from "node:fs";
import { type CapturedPacket, PcapError, readPcap } from "../packet/pcap.ts";

export interface PcapPortOptions {
  /** Path of the file whose packets come in; undefined: nothing does. */
  readonly rx?: string | undefined;
  /** Path of the file that packets which leave are added to; undefined: they are only counted. */
  readonly tx?: string | undefined;
  /** Packets a second; "recorded": as they were captured; "max": as fast as they are taken. */
  readonly rate: number | "recorded" | "max";
  /** From the beginning again after the last one. */
  readonly repeats: boolean;
}

const START_MS = 1000;
const MAX_BYTES = 64 * 1024 * 1024;
/** A repetition of packets without any time between them would never end. */
const LEAST_ROUND_MS = 1;

export class Replay {
  private index = 0;
  private roundMs: number;
  private readonly packets: readonly CapturedPacket[];

  /** Throws `PcapError`, or what the system says of the file. */
  constructor(path: string, private readonly options: PcapPortOptions, nowMs: number) {
    if (statSync(path).size > MAX_BYTES) {
      throw new PcapError(`it is longer than ${MAX_BYTES} bytes`);
    }
    this.packets = [...readPcap(readFileSync(path))];
    this.roundMs = nowMs + START_MS;
  }

  /** When the next packet is due; Infinity: there is none any more. */
  get nextMs(): number {
    if (this.index < this.packets.length) return this.roundMs + this.offsetMs(this.index);
    return Infinity;
  }

  /** The next packet, if it is due. */
  take(nowMs: number): Uint8Array | undefined {
    if (this.nextMs > nowMs) return undefined;
    const { bytes } = this.packets[this.index]!;
    this.index++;
    if (this.index === this.packets.length && this.options.repeats) {
      this.roundMs += Math.max(LEAST_ROUND_MS, this.offsetMs(this.index));
      this.index = 0;
    }
    return bytes;
  }

  private offsetMs(index: number): number {
    const { rate } = this.options;
    if (rate === "max") return 0;
    if (rate !== "recorded") return index * 1000 / rate;
    // Captures of several cards may go back in time; that is no reason to wait for ever.
    const at = this.packets[Math.min(index, this.packets.length - 1)]!.milliseconds;
    return Math.max(0, at - this.packets[0]!.milliseconds);
  }
}
