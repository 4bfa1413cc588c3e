/** The flows' records (abi.ts), read and written in place in mapped memory. */
import type { BpfMap } from "../../linux/bpf-map.ts";
import type { DpFlowStats } from "../datapath.ts";
import {
  FLOW_BYTES,
  FLOW_GENERATION,
  FLOW_PACKETS,
  FLOW_RECORD_BYTES,
  FLOW_TCP_FLAGS,
  FLOW_USED,
  FLOW_VERDICT,
  VERDICT_PUNT,
} from "./abi.ts";

const WORDS = FLOW_RECORD_BYTES / 4;
const HIGH = 0x1_0000_0000;

export class FlowRecords {
  private readonly words: Uint32Array;
  private readonly verdicts: BigUint64Array;

  constructor(flows: BpfMap) {
    const memory = flows.map();
    this.words = new Uint32Array(memory);
    this.verdicts = new BigUint64Array(memory);
  }

  /** Zeroes the statistics: the id is another flow's from now on. */
  clearStats(id: number): void {
    const at = id * WORDS;
    this.words[at + FLOW_TCP_FLAGS / 4] = 0;
    this.words.fill(0, at + FLOW_PACKETS / 4, at + (FLOW_USED + 8) / 4);
  }

  /** In one write: packets see the old verdict or the new one. */
  setVerdict(id: number, kind: number, aux: number, target: number): void {
    const verdict = BigInt(kind + aux * 0x10000) | (BigInt(target) << 32n);
    Atomics.store(this.verdicts, (id * FLOW_RECORD_BYTES + FLOW_VERDICT) / 8, verdict);
  }

  /** What the exact-match cache knows of the id is void. */
  invalidate(id: number): void {
    Atomics.add(this.words, id * WORDS + FLOW_GENERATION / 4, 1);
  }

  /** No flow any more; the statistics stay. */
  retire(id: number): void {
    this.setVerdict(id, VERDICT_PUNT, 0, 0);
  }

  read(id: number): DpFlowStats {
    const at = id * WORDS;
    return {
      packets: this.long(at + FLOW_PACKETS / 4),
      bytes: this.long(at + FLOW_BYTES / 4),
      lastUsedMs: this.long(at + FLOW_USED / 4) / 1e6,
      tcpFlags: this.words[at + FLOW_TCP_FLAGS / 4] ?? 0,
    };
  }

  /** A 64-bit number that others write: its halves must be of one moment. */
  private long(word: number): number {
    const { words } = this;
    for (;;) {
      const high = words[word + 1] ?? 0;
      const low = words[word] ?? 0;
      if ((words[word + 1] ?? 0) === high) return high * HIGH + low;
    }
  }
}
