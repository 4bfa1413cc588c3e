/** The ports' records (../punts.ts), read in place in mapped memory. */
import type { BpfMap } from "../../linux/bpf-map.ts";
import { PORT_RECORD, PORT_RECORD_BYTES } from "../punts.ts";

const WORDS = PORT_RECORD_BYTES / 4;
const HIGH = 0x1_0000_0000;

export class PortRecords {
  private readonly words: Uint32Array;

  constructor(ports: BpfMap) {
    this.words = new Uint32Array(ports.map());
  }

  /** A new port has this number. */
  clear(portNo: number): void {
    this.words.fill(0, portNo * WORDS, (portNo + 1) * WORDS);
  }

  /** What was punted before this process began is nobody's. */
  forgetPunts(portNo: number): void {
    const { words } = this;
    const at = portNo * WORDS;
    for (let half = 0; half < 2; half++) {
      words[at + PORT_RECORD.read * 2 + half] = words[at + PORT_RECORD.punted * 2 + half]!;
    }
  }

  /** A 64-bit number that programs count up: its halves must be of one moment. */
  read(portNo: number, name: keyof typeof PORT_RECORD): number {
    const { words } = this;
    const at = portNo * WORDS + PORT_RECORD[name] * 2;
    for (;;) {
      const high = words[at + 1] ?? 0;
      const low = words[at] ?? 0;
      if ((words[at + 1] ?? 0) === high) return high * HIGH + low;
    }
  }
}
