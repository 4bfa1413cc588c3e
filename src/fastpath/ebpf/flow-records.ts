/** The flows' records and counts (abi.ts), read and written in place in mapped memory. */
import type { BpfMap } from "../../linux/bpf-map.ts";
import type { DpFlowStats } from "../datapath.ts";
import {
  FLOW_BASE_BYTES,
  FLOW_BASE_PACKETS,
  FLOW_BASE_TCP_FLAGS,
  FLOW_BYTES,
  FLOW_COUNTS_BYTES,
  FLOW_GENERATION,
  FLOW_PACKETS,
  FLOW_RECORD_BYTES,
  FLOW_TCP_FLAGS,
  FLOW_USED,
  FLOW_VERDICT,
  VERDICT_PUNT,
} from "./abi.ts";
import type { Shards } from "./shards.ts";

const WORDS = FLOW_RECORD_BYTES / 4;
const COUNT_WORDS = FLOW_COUNTS_BYTES / 4;
const HIGH = 0x1_0000_0000;

export class FlowRecords {
  private readonly words: Uint32Array;
  private readonly verdicts: BigUint64Array;
  private readonly counts: Uint32Array;

  constructor(flows: BpfMap, counts: BpfMap, private readonly shards: Shards) {
    const memory = flows.map();
    this.words = new Uint32Array(memory);
    this.verdicts = new BigUint64Array(memory);
    this.counts = new Uint32Array(counts.map());
  }

  /** Zeroes the statistics: the id is another flow's from now on. */
  clearStats(id: number): void {
    const { words, counts } = this;
    const stride = COUNT_WORDS * this.shards.count;
    const from = id * stride;
    for (let i = from; i < from + stride; i++) counts[i] = 0;
    const at = id * WORDS;
    words[at + FLOW_BASE_TCP_FLAGS / 4] = 0;
    for (let i = FLOW_BASE_PACKETS / 4; i < WORDS; i++) words[at + i] = 0;
  }

  /** What was counted elsewhere before. */
  setBase(id: number, { packets, bytes, tcpFlags }: DpFlowStats): void {
    const at = id * WORDS;
    this.words[at + FLOW_BASE_TCP_FLAGS / 4] = tcpFlags;
    this.writeLong(at + FLOW_BASE_PACKETS / 4, packets);
    this.writeLong(at + FLOW_BASE_BYTES / 4, bytes);
  }

  /** In one write: packets see the old verdict or the new one. */
  setVerdict(id: number, kind: number, aux: number, target: number): void {
    const { words } = this;
    const at = id * WORDS + FLOW_VERDICT / 4;
    if (words[at] === VERDICT_PUNT) {
      // What the target is does not matter yet, and two halves are quicker than a BigInt.
      words[at + 1] = target;
      Atomics.store(words, at, kind + aux * 0x10000);
      return;
    }
    const verdict = BigInt(kind + aux * 0x10000) | (BigInt(target) << 32n);
    Atomics.store(this.verdicts, at / 2, verdict);
  }

  /** What the exact-match cache knows of the id is void. */
  invalidate(id: number): void {
    Atomics.add(this.words, id * WORDS + FLOW_GENERATION / 4, 1);
  }

  /** No flow any more; the statistics stay. */
  retire(id: number): void {
    Atomics.store(this.words, id * WORDS + FLOW_VERDICT / 4, VERDICT_PUNT);
  }

  private writeLong(word: number, value: number): void {
    this.words[word] = value % HIGH;
    this.words[word + 1] = Math.floor(value / HIGH);
  }

  /** Packets of all CPUs. */
  packets(id: number): number {
    const { counts, shards: { count } } = this;
    let sum = readLong(this.words, id * WORDS + FLOW_BASE_PACKETS / 4);
    for (let shard = 0; shard < count; shard++) {
      sum += readLong(counts, (id * count + shard) * COUNT_WORDS + FLOW_PACKETS / 4);
    }
    return sum;
  }

  /** Of all CPUs. */
  read(id: number): DpFlowStats {
    const { words, counts, shards: { count } } = this;
    const record = id * WORDS;
    const stats = {
      packets: readLong(words, record + FLOW_BASE_PACKETS / 4),
      bytes: readLong(words, record + FLOW_BASE_BYTES / 4),
      lastUsedMs: 0,
      tcpFlags: words[record + FLOW_BASE_TCP_FLAGS / 4] ?? 0,
    };
    for (let shard = 0; shard < count; shard++) {
      const at = (id * count + shard) * COUNT_WORDS;
      const packets = readLong(counts, at + FLOW_PACKETS / 4);
      if (packets === 0) continue;
      stats.packets += packets;
      stats.bytes += readLong(counts, at + FLOW_BYTES / 4);
      stats.lastUsedMs = Math.max(stats.lastUsedMs, readLong(counts, at + FLOW_USED / 4) / 1e6);
      stats.tcpFlags |= counts[at + FLOW_TCP_FLAGS / 4]!;
    }
    return stats;
  }
}

/** A 64-bit number that others write: its halves must be of one moment. */
export function readLong(words: Uint32Array, at: number): number {
  for (;;) {
    const high = words[at + 1] ?? 0;
    const low = words[at] ?? 0;
    if ((words[at + 1] ?? 0) === high) return high * HIGH + low;
  }
}
