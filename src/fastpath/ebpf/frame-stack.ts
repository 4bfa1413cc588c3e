/**
 * Where the main program keeps what on its stack, below the frame pointer. Offsets are negative.
 *
 *     0          -K           -2K                        -2K - 88
 *     | key      | masked key | locals, 8 bytes each ... |
 *
 * A key of which two do not fit has its masked copy in memory of this CPU (packet-state.ts).
 */
import type { Assembler } from "./assembler.ts";
import { R10, R7, R8 } from "./instructions.ts";
import type { CountPlaces } from "./counting.ts";
import type { KeyLayout } from "./key-layout.ts";

export const LOCALS = [
  /** Bytes of the packet, a VLAN tag out of band counted. */
  "bytes",
  /** Pointer to the port's record. */
  "port",
  /** Offset of the layer 3 header, u32. */
  "l3",
  /** Offset of the layer 4 header, u32; 0 without one. */
  "l4",
  /** IP protocol of layer 4, u32; 0 without one. */
  "protocol",
  /** u32. */
  "tcpFlags",
  /** Not zero once the headers were made linear, u32. */
  "pulled",
  /** A key or value for a helper; the flow's id after the lookup. */
  "scratch",
  /** This CPU's counters (shards.ts), u32. */
  "shard",
  /** Another key. */
  "key2",
  /** Pointer to the memory in which the masked key is, if it is not on the stack. */
  "masked",
] as const;
export type Local = (typeof LOCALS)[number];

const STACK_BYTES = 512;
const LOCAL_BYTES = 8 * LOCALS.length;
/** The longest key of which one fits. */
export const MAX_KEY_BYTES = STACK_BYTES - LOCAL_BYTES;

export class FrameStack {
  readonly key: number;
  /** Two keys do not fit: the masked one is elsewhere. */
  readonly isWide: boolean;
  private readonly locals: number;

  /** Throws a RangeError for a key that is too long. */
  constructor(readonly layout: KeyLayout) {
    const { bytes } = layout;
    if (bytes > MAX_KEY_BYTES) throw new RangeError(`a key of ${bytes} bytes does not fit`);
    this.key = -bytes;
    this.isWide = 2 * bytes > MAX_KEY_BYTES;
    this.locals = this.isWide ? -bytes : -2 * bytes;
  }

  local(name: Local): number {
    return this.locals - 8 * (LOCALS.indexOf(name) + 1);
  }

  /** The masked key, from the frame pointer or, of a wide one, from what \`masked\` points at. */
  get maskedKey(): number {
    return this.isWide ? 0 : -2 * this.layout.bytes;
  }

  get counting(): CountPlaces {
    return {
      shard: this.local("shard"),
      key: this.local("key2"),
      bytes: this.local("bytes"),
      tcpFlags: this.local("tcpFlags"),
    };
  }

  /** Zeroes key and locals. */
  clear(asm: Assembler): void {
    for (let at = this.key; at < 0; at += 8) asm.store(64, R10, at, 0);
    for (const name of LOCALS) asm.store(64, R10, this.local(name), 0);
  }
}

/** `if (data + n > data_end) goto short;` data is in r7, data_end in r8; r2 is lost. */
export function need(asm: Assembler, bytes: number): void {
  asm.mov(2, { register: R7 }).op("add", 2, bytes).jumpIf("gt", 2, { register: R8 }, "short");
}
