/**
 * Meters whose buckets stand in memory that several write: programs in the kernel (ebpf/step-meter.ts) and
 * this process, each packet by packet. A meter's record, all numbers 64 bits:
 *
 *      0 bands + 1, 0: no such meter    8 packets?     16 packets in     24 bytes in
 *     32 and every 40 bytes, by band:   rate    depth    emptied    packets    bytes
 *
 * A bucket is one number, so that it can be exchanged at once. With units of bits, or of thousandths of a
 * packet, and a clock t of CLOCK_MONOTONIC in whole milliseconds,
 *
 *     fill = min(depth, rate × t − emptied)           what a packet takes is added to `emptied`
 *
 * which is the bucket of engine/meters.ts: `emptied` / rate is when it was empty. Differences are taken
 * modulo 2^64: right as long as a bucket does not rest for 2^63 / rate milliseconds, 106 days at 1 Tbit/s.
 *
 * Only meters all of whose bands drop are here: programs do not remark.
 */
import type { DpMeter, DpMeterStats } from "../meters.ts";
import { MAX_METER_BANDS, MAX_METERS, METER_DROP, METER_PASS } from "./meters.ts";

export const SHARED_METER = { bands: 0, packets: 8, packetsIn: 16, bytesIn: 24 } as const;
export const SHARED_BANDS = 32;
export const SHARED_BAND = { rate: 0, depth: 8, emptied: 16, packets: 24, bytes: 32 } as const;
export const SHARED_BAND_BYTES = 40;
export const SHARED_METER_BYTES = SHARED_BANDS + MAX_METER_BANDS * SHARED_BAND_BYTES;

const WORDS = SHARED_METER_BYTES / 8;
const BAND_WORDS = SHARED_BAND_BYTES / 8;

export class SharedMeters {
  private readonly words: BigInt64Array;

  /** SHARED_METER_BYTES for each of MAX_METERS. */
  constructor(memory: ArrayBuffer) {
    this.words = new BigInt64Array(memory, 0, MAX_METERS * WORDS);
  }

  static canHold({ bands }: DpMeter): boolean {
    return bands.every(({ type }) => type === "drop");
  }

  has(id: number): boolean {
    return this.words[id * WORDS] !== 0n;
  }

  /** Begun anew, its buckets full. */
  set(id: number, { unit, bands }: DpMeter, nowMs: number): void {
    const { words } = this;
    const at = id * WORDS;
    this.delete(id);
    words.fill(0n, at, at + WORDS);
    words[at + SHARED_METER.packets / 8] = unit === "pktps" ? 1n : 0n;
    bands.forEach(({ rate, burst }, i) => {
      const band = at + SHARED_BANDS / 8 + i * BAND_WORDS;
      const depth = BigInt(burst || rate) * 1000n;
      words[band] = BigInt(rate);
      words[band + SHARED_BAND.depth / 8] = depth;
      words[band + SHARED_BAND.emptied / 8] = BigInt(Math.floor(nowMs)) * BigInt(rate) - depth;
    });
    Atomics.store(words, at, BigInt(bands.length + 1));
  }

  delete(id: number): void {
    Atomics.store(this.words, id * WORDS, 0n);
  }

  stats(id: number): DpMeterStats {
    const { words } = this;
    const at = id * WORDS;
    const bands = Math.max(0, Number(words[at]!) - 1);
    return {
      packetsIn: Number(words[at + SHARED_METER.packetsIn / 8]!),
      bytesIn: Number(words[at + SHARED_METER.bytesIn / 8]!),
      bands: Array.from({ length: bands }, (_, i) => {
        const band = at + SHARED_BANDS / 8 + i * BAND_WORDS;
        return {
          packets: Number(words[band + SHARED_BAND.packets / 8]!),
          bytes: Number(words[band + SHARED_BAND.bytes / 8]!),
        };
      }),
    };
  }

  /** As `MeterTable.run`, of a meter that is here. */
  run(id: number, packets: number, bytes: number, nowMs: number): number {
    const { words } = this;
    const at = id * WORDS;
    const bands = Number(words[at]!) - 1;
    const volume = BigInt(words[at + SHARED_METER.packets / 8] === 0n ? bytes * 8 : packets * 1000);
    const now = BigInt(Math.floor(nowMs));
    Atomics.add(words, at + SHARED_METER.packetsIn / 8, BigInt(packets));
    Atomics.add(words, at + SHARED_METER.bytesIn / 8, BigInt(bytes));
    let exceeded = -1;
    for (let i = 0; i < bands; i++) {
      const band = at + SHARED_BANDS / 8 + i * BAND_WORDS;
      if (this.take(band, volume, now)) continue;
      if (exceeded < 0 || words[band]! > words[exceeded]!) exceeded = band;
    }
    if (exceeded < 0) return METER_PASS;
    Atomics.add(words, exceeded + SHARED_BAND.packets / 8, BigInt(packets));
    Atomics.add(words, exceeded + SHARED_BAND.bytes / 8, BigInt(bytes));
    return METER_DROP;
  }

  /** Takes so much out of the bucket, if there is so much. */
  private take(band: number, volume: bigint, now: bigint): boolean {
    const { words } = this;
    const [rate, depth] = [words[band]!, words[band + SHARED_BAND.depth / 8]!];
    const place = band + SHARED_BAND.emptied / 8;
    for (;;) {
      const emptied = Atomics.load(words, place);
      const flown = rate * now;
      let fill = BigInt.asIntN(64, flown - emptied);
      if (fill > depth) fill = depth;
      if (fill < volume) return false;
      const next = BigInt.asIntN(64, flown - fill + volume);
      if (Atomics.compareExchange(words, place, emptied, next) === emptied) return true;
    }
  }
}
