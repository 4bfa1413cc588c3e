/**
 * A ring of variable-size records in shared memory: one producer thread, one consumer thread.
 *
 *     control (Int32):  [0] head   [1] tail   (byte counts since the start, modulo 2^32)
 *     data:   | size | payload … pad | size | payload … | -1 (rest of the ring is unused) |
 *
 * Invariants
 * - A record is contiguous and starts 8-byte aligned; its size word counts the payload. A size of -1
 *   sends the reader to the start of the data.
 * - Only the producer moves `head`, only the consumer moves `tail`; both by Atomics, so whoever sees
 *   the new position sees the bytes before it.
 * - `reserve` never waits: -1 says that the ring is full. What to do then is the producer's business.
 * - A record takes at most half of the ring, else wrapping could make it unplaceable for ever.
 */
const HEAD = 0;
const TAIL = 1;
const SIZE_BYTES = 4;
const WRAP = -1;

/** Words of control that a ring needs, padded so that head and tail have a cache line each. */
export const RING_CONTROL_WORDS = 32;
const TAIL_WORD = TAIL * 16;

/** The two halves share this view of the memory. */
export class RingMemory {
  readonly control: Int32Array;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly size: number;

  /** `dataBytes`: a power of two. */
  constructor(shared: SharedArrayBuffer, controlAt: number, dataAt: number, dataBytes: number) {
    if ((dataBytes & (dataBytes - 1)) !== 0) throw new RangeError("ring size: a power of two");
    this.control = new Int32Array(shared, controlAt, RING_CONTROL_WORDS);
    this.bytes = new Uint8Array(shared, dataAt, dataBytes);
    this.words = new Int32Array(shared, dataAt, dataBytes / 4);
    this.size = dataBytes;
  }
}

/** Payload bytes with the size word, padded to 8. */
function recordBytes(payloadBytes: number): number {
  return (payloadBytes + SIZE_BYTES + 7) & ~7;
}

export class RingWriter {
  private head: number;
  private pending = 0;

  /** Goes on where a producer before it ended. */
  constructor(readonly memory: RingMemory) {
    this.head = Atomics.load(memory.control, HEAD);
  }

  /** Largest payload that a record can carry. */
  get maxPayload(): number {
    return this.memory.size / 2 - 8;
  }

  /** Bytes not yet consumed. */
  used(): number {
    return (this.head - Atomics.load(this.memory.control, TAIL_WORD)) >>> 0;
  }

  /**
   * Room for a payload: the byte offset in `memory.bytes` where to write it (4-byte aligned), or
   * -1 if the ring is full. `commit` publishes it; another `reserve` without it abandons it.
   */
  reserve(payloadBytes: number): number {
    const { memory } = this;
    const need = recordBytes(payloadBytes);
    if (need > memory.size / 2) return -1;
    const free = memory.size - this.used();
    let at = this.head & (memory.size - 1);
    let skipped = 0;
    if (at + need > memory.size) {
      skipped = memory.size - at;
      if (skipped + need > free) return -1;
      memory.words[at >> 2] = WRAP;
      at = 0;
    } else if (need > free) return -1;
    memory.words[at >> 2] = payloadBytes;
    this.pending = skipped + need;
    return at + SIZE_BYTES;
  }

  /** Publishes the reserved record. */
  commit(): void {
    this.head = (this.head + this.pending) | 0;
    this.pending = 0;
    Atomics.store(this.memory.control, HEAD, this.head);
  }
}

export class RingReader {
  /** Payload of the record that `next` found: bytes and their offset in `memory.bytes`. */
  length = 0;
  private tail = 0;

  constructor(readonly memory: RingMemory) {}

  isEmpty(): boolean {
    return Atomics.load(this.memory.control, HEAD) === this.tail;
  }

  /** Offset of the oldest record's payload, or -1 if there is none. Valid until `release`. */
  next(): number {
    const { memory } = this;
    if (this.isEmpty()) return -1;
    let at = this.tail & (memory.size - 1);
    if (memory.words[at >> 2] === WRAP) {
      this.tail = (this.tail + memory.size - at) | 0;
      at = 0;
    }
    this.length = memory.words[at >> 2]!;
    return at + SIZE_BYTES;
  }

  /** Gives the record's room back. */
  release(): void {
    this.tail = (this.tail + recordBytes(this.length)) | 0;
    Atomics.store(this.memory.control, TAIL_WORD, this.tail);
  }
}
