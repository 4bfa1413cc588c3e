/** The ports' records (../punts.ts) and counts (abi.ts), read in place in mapped memory. */
import type { BpfMap } from "../../linux/bpf-map.ts";
import { PORT_RECORD, PORT_RECORD_BYTES } from "../punts.ts";
import { PORT_COUNTS, PORT_COUNTS_BYTES } from "./abi.ts";
import { readLong } from "./flow-records.ts";
import type { Shards } from "./shards.ts";

const WORDS = PORT_RECORD_BYTES / 4;
const COUNT_WORDS = PORT_COUNTS_BYTES / 4;

export class PortRecords {
  private readonly words: Uint32Array;
  private readonly counts: Uint32Array;

  constructor(ports: BpfMap, counts: BpfMap, private readonly shards: Shards) {
    this.words = new Uint32Array(ports.map());
    this.counts = new Uint32Array(counts.map());
  }

  /** A new port has this number. */
  clear(portNo: number): void {
    const stride = COUNT_WORDS * this.shards.count;
    this.words.fill(0, portNo * WORDS, (portNo + 1) * WORDS);
    this.counts.fill(0, portNo * stride, (portNo + 1) * stride);
  }

  /** What was punted before this process began is nobody's. */
  forgetPunts(portNo: number): void {
    const { words } = this;
    const at = portNo * WORDS;
    for (let half = 0; half < 2; half++) {
      words[at + PORT_RECORD.read * 2 + half] = words[at + PORT_RECORD.punted * 2 + half]!;
    }
  }

  read(portNo: number, name: keyof typeof PORT_RECORD): number {
    return readLong(this.words, portNo * WORDS + PORT_RECORD[name] * 2);
  }

  /** Of all CPUs. */
  count(portNo: number, name: keyof typeof PORT_COUNTS): number {
    const { count } = this.shards;
    let sum = 0;
    for (let shard = 0; shard < count; shard++) {
      const at = (portNo * count + shard) * COUNT_WORDS + PORT_COUNTS[name] * 2;
      sum += readLong(this.counts, at);
    }
    return sum;
  }
}
