/**
 * What ports do to traffic besides forwarding it, kept in the memory that main and workers share:
 * whether the kernel's queues hold back what leaves a port (shaping.ts), and how much may come in
 * (Interface.ingress_policing_rate and its like).
 *
 *     a port's record, doubles: shaped | bytes/ms | burst, bytes | packets/ms | burst, packets
 *
 * Main writes, workers read at each batch; a rate of 0 is no limit. A port whose queues are received
 * by several workers has a bucket in each.
 */
import type { Policing, PortTraffic } from "../datapath.ts";
import type { SharedState } from "./shared.ts";

export const TRAFFIC_DOUBLES = 5;
const SHAPED = 0;
const BYTES_PER_MS = 1;
const BURST_BYTES = 2;
const PACKETS_PER_MS = 3;
const BURST_PACKETS = 4;

export class SharedTraffic implements PortTraffic {
  constructor(private readonly links: Iterable<{ readonly shared: SharedState }>) {}

  setShaped(portNo: number, shaped: boolean): void {
    for (const { shared } of this.links) recordOf(shared, portNo)[SHAPED] = shaped ? 1 : 0;
  }

  setPolicing(portNo: number, { bytesPerSec, burstBytes, packetsPerSec, burstPackets }: Policing) {
    for (const { shared } of this.links) {
      const record = recordOf(shared, portNo);
      record[BURST_BYTES] = burstBytes;
      record[BURST_PACKETS] = burstPackets;
      record[BYTES_PER_MS] = bytesPerSec / 1000;
      record[PACKETS_PER_MS] = packetsPerSec / 1000;
    }
  }

  /** A port's number is given to another. */
  clear(portNo: number): void {
    for (const { shared } of this.links) {
      shared.clearPortStats(portNo);
      recordOf(shared, portNo).fill(0);
    }
  }

  /** A worker comes to those that are there. */
  introduce(shared: SharedState, from: SharedState, ports: Iterable<number>): void {
    for (const portNo of ports) {
      shared.clearPortStats(portNo);
      recordOf(shared, portNo).set(recordOf(from, portNo));
    }
  }
}

function recordOf({ traffic }: SharedState, portNo: number): Float64Array {
  return traffic.subarray(portNo * TRAFFIC_DOUBLES, (portNo + 1) * TRAFFIC_DOUBLES);
}

/** A worker's view of one port's record, and the buckets of its policing. */
export class TrafficView {
  private readonly record: Float64Array;
  private bytes = 0;
  private packets = 0;
  private filledMs = 0;

  constructor(shared: SharedState, portNo: number) {
    this.record = recordOf(shared, portNo);
  }

  get shaped(): boolean {
    return this.record[SHAPED] !== 0;
  }

  get polices(): boolean {
    return this.record[BYTES_PER_MS] !== 0 || this.record[PACKETS_PER_MS] !== 0;
  }

  /** Before a batch: what has come into the buckets since the last one. */
  refill(nowMs: number): void {
    const { record } = this;
    const since = this.filledMs === 0 ? Infinity : nowMs - this.filledMs;
    this.filledMs = nowMs;
    this.bytes = fill(this.bytes, since, record[BYTES_PER_MS]!, record[BURST_BYTES]!);
    this.packets = fill(this.packets, since, record[PACKETS_PER_MS]!, record[BURST_PACKETS]!);
  }

  /** May a frame of that many bytes come in? */
  admits(bytes: number): boolean {
    const { record } = this;
    const countsBytes = record[BYTES_PER_MS] !== 0;
    const countsPackets = record[PACKETS_PER_MS] !== 0;
    // A super-packet longer than the burst would never come through: it may overdraw a full bucket.
    if (countsBytes && this.bytes < Math.min(bytes, record[BURST_BYTES]!)) return false;
    if (countsPackets && this.packets < 1) return false;
    if (countsBytes) this.bytes -= bytes;
    if (countsPackets) this.packets--;
    return true;
  }
}

function fill(now: number, sinceMs: number, perMs: number, burst: number): number {
  return perMs === 0 ? burst : Math.min(burst, now + sinceMs * perMs);
}
