/**
 * Scratch memory for frames that are not in a receive ring: super-packets, frames from TAP devices,
 * private copies. Handing out is moving a mark; everything is given back at once, between packets,
 * when all sends that point here are done.
 */
import { address } from "../../linux/libc.ts";

/** Memory in which frames lie, seen in the ways in which it is used. */
export interface FrameMemory {
  readonly bytes: Uint8Array;
  /** The same as 32-bit words: `bytes` starts and ends on a word. */
  readonly words: Int32Array;
  /** Address of `bytes[0]`, which never moves. */
  readonly address: number;
}

/** Headroom in front of each frame's virtio-net header, for pushed headers. */
export const HEADROOM_BYTES = 64;
const ARENA_BYTES = 1 << 20;
/**
 * Between packets more than this is not kept waiting for sends: what was just received is then still
 * in the second-level cache when the kernel copies it out again, which TCP's super-packets feel.
 */
const HOT_BYTES = 192 << 10;

export class Arena implements FrameMemory {
  readonly bytes = new Uint8Array(ARENA_BYTES);
  readonly words = new Int32Array(this.bytes.buffer);
  readonly address = address(this.bytes);
  private mark = 0;

  /** Offset of `length` bytes, 64-byte aligned, or -1 if so much is not left. */
  take(length: number): number {
    const at = this.mark;
    if (at + length > ARENA_BYTES) return -1;
    this.mark = (at + length + 63) & ~63;
    return at;
  }

  /** Gives back what the newest `take` got beyond `end`. */
  trim(end: number): void {
    this.mark = (end + 63) & ~63;
  }

  /** True if the next packet may take `length` bytes without growing cold. */
  isHot(length: number): boolean {
    return this.mark + length <= HOT_BYTES;
  }

  reset(): void {
    this.mark = 0;
  }
}
