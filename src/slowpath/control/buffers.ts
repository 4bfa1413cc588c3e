/**
 * Packet buffers of one OpenFlow connection: a packet-in for a table miss carries only the head of
 * its packet, and the packet itself waits here until a flow-mod or packet-out with its buffer id
 * sends it on.
 *
 * - 256 buffers. When all are taken, the oldest is thrown away if it is over 5 s old and the new
 *   packet takes its place; otherwise the new packet is not buffered (`store` returns NO_BUFFER).
 * - A buffer is released once. Its id is a slot number in the low 8 bits and a generation above
 *   them, so that an id used too late is told apart from one never given out:
 *
 *        31                              8 7            0
 *       +---------------------------------+--------------+
 *       |           generation            |     slot     |
 *       +---------------------------------+--------------+
 *
 *   The generation's highest value is left out: no id is ever 0xffffffff, OpenFlow's "no buffer".
 * - Packets are kept whole, virtio-net header included; 256 of them are at most 16 MiB.
 *
 * Open vSwitch gave up buffering in 2.7 (so there is none in the role of its daemon); the ids and the errors here are those it had before.
 */
import type { Packet } from "../../fastpath/datapath.ts";
import type { Clock } from "../clock.ts";

export const BUFFER_COUNT = 256;
/** A buffer older than this may be thrown away for a new packet. */
export const BUFFER_OVERWRITE_MS = 5000;
/** OpenFlow's OFP_NO_BUFFER. */
export const NO_BUFFER = 0xffffffff;

const SLOT_BITS = 8;
/** Generations run from 1 to this; 0 marks a slot never used. */
const LAST_GENERATION = 0xfffffe;

export interface BufferedPacket {
  readonly packet: Packet;
  /** OpenFlow port that the packet came in by. */
  readonly inPort: number;
}

export type BufferResult =
  | { readonly ok: true; readonly buffered: BufferedPacket }
  /** `unknown`: never given out, or since overwritten. `empty`: already released. */
  | { readonly ok: false; readonly error: "unknown" | "empty" };

interface Slot {
  generation: number;
  held: BufferedPacket | undefined;
  storedAt: number;
}

export class PacketBuffers {
  private readonly slots: Slot[] = [];
  /** Free slots, the longest free first. */
  private readonly free: number[] = [];
  /** Slots in use, oldest first. */
  private readonly used = new Set<number>();
  readonly counters = { stored: 0, released: 0, overwritten: 0, full: 0, unknown: 0, empty: 0 };

  /** `count`: at most BUFFER_COUNT; 0 buffers nothing. */
  constructor(private readonly clock: Pick<Clock, "now">, readonly count = BUFFER_COUNT) {
    for (let i = 0; i < count; i++) {
      this.slots.push({ generation: 0, held: undefined, storedAt: 0 });
      this.free.push(i);
    }
  }

  get inUse(): number {
    return this.used.size;
  }

  /** Keeps the packet and returns its buffer id, or NO_BUFFER when there is no room for it. */
  store(buffered: BufferedPacket): number {
    const index = this.free.shift() ?? this.takeOldest();
    if (index === undefined) {
      this.counters.full++;
      return NO_BUFFER;
    }
    const slot = this.slots[index]!;
    slot.generation = slot.generation % LAST_GENERATION + 1;
    slot.held = buffered;
    slot.storedAt = this.clock.now();
    this.used.add(index);
    this.counters.stored++;
    return ((slot.generation << SLOT_BITS) | index) >>> 0;
  }

  /** Takes the packet of `id` out; a second time it is `empty`. */
  release(id: number): BufferResult {
    const index = id & (BUFFER_COUNT - 1);
    const slot = this.slots[index];
    if (id === NO_BUFFER || !slot?.generation || id >>> SLOT_BITS !== slot.generation) {
      this.counters.unknown++;
      return { ok: false, error: "unknown" };
    }
    const buffered = slot.held;
    if (!buffered) {
      this.counters.empty++;
      return { ok: false, error: "empty" };
    }
    slot.held = undefined;
    this.used.delete(index);
    this.free.push(index);
    this.counters.released++;
    return { ok: true, buffered };
  }

  private takeOldest(): number | undefined {
    for (const index of this.used) {
      if (this.clock.now() - this.slots[index]!.storedAt <= BUFFER_OVERWRITE_MS) return undefined;
      this.used.delete(index);
      this.counters.overwritten++;
      return index;
    }
    return undefined;
  }
}
