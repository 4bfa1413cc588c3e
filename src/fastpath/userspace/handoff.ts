/**
 * Packets that only worker 0 may treat, on their way to it from the worker that received them.
 *
 * Connections and meters are state that all packets of a connection, or of a meter, must meet, and
 * either direction may come in by another worker. One owner costs those packets a copy, which a lock
 * around a table of a dozen linked structures would cost, too, in cache lines that go back and forth;
 * and the tracker stays what it is, one thread's. All other packets never leave their worker.
 *
 * Records of a ring, 32-bit words:
 *
 *     in port, frame bytes, recirculation id, k, then k words of metadata, then the virtio-net
 *     header (10 bytes) and the frame
 *
 * - The owner looks the packet up again: flows are in every worker, and its own is as new.
 * - A packet's commands reach the owner before the packet can: what the main thread gave it was in its
 *   ring before the other worker was told of the flow. So the owner runs its commands first, and the
 *   first packet of a flow, which comes by command, goes before those that come by this way.
 */
import { VNET_BYTES } from "../../packet/frame.ts";
import type { Frame } from "../../packet/frame.ts";
import { METADATA_WORD, slot } from "../../packet/layout.ts";
import { write } from "../../linux/libc.ts";
import { swap32 } from "../engine/metadata.ts";
import type { OwnerMemory } from "./commands.ts";
import { HEADROOM_BYTES } from "./arena.ts";
import type { Forwarder } from "./forwarder.ts";
import { RingReader, RingWriter } from "./ring.ts";
import { counterIndex, CTL_WORKER_SLEEPING, SharedState } from "./shared.ts";

const HEADER_WORDS = 4;
const W_IN_PORT = slot("in_port").offset >> 2;
const W_RECIRC = slot("recirc_id").offset >> 2;
const NO_ROOM = counterIndex("drop_no_room");

/** The side of a worker that is not the owner. */
export class Handoff {
  private readonly ring: RingWriter;
  private readonly control: Int32Array;
  private readonly eventfd: number;
  private readonly wakeWord = new Uint8Array(new BigUint64Array([1n]).buffer);
  private waiting = false;

  constructor({ shared, eventfd, from }: OwnerMemory) {
    const owner = new SharedState(shared);
    this.ring = new RingWriter(owner.handoff(from));
    this.control = owner.control;
    this.eventfd = eventfd;
  }

  /** Copies the packet as it is now; its key is up to date. False if the ring is full. */
  push(frame: Frame): boolean {
    const { ring } = this;
    const { key, length } = frame;
    const kept = Math.max(0, frame.keyWords - METADATA_WORD);
    const size = (HEADER_WORDS + kept) * 4 + VNET_BYTES + length;
    const at = ring.reserve(size);
    if (at < 0) return false;
    const { words, bytes } = ring.memory;
    let word = at >> 2;
    words[word++] = swap32(key.words[W_IN_PORT]!);
    words[word++] = length;
    words[word++] = key.words[W_RECIRC]!;
    words[word++] = kept;
    for (let i = 0; i < kept; i++) words[word++] = key.words[METADATA_WORD + i]!;
    const to = word << 2;
    if (frame.vnet) {
      const from = frame.offset - VNET_BYTES;
      bytes.set(frame.bytes.subarray(from, from + VNET_BYTES + length), to);
    } else {
      bytes.fill(0, to, to + VNET_BYTES);
      bytes.set(frame.bytes.subarray(frame.offset, frame.offset + length), to + VNET_BYTES);
    }
    ring.commit();
    this.waiting = true;
    return true;
  }

  /** Once a batch: wakes the owner if it sleeps and has been given something. */
  wake(): void {
    if (!this.waiting) return;
    this.waiting = false;
    if (Atomics.compareExchange(this.control, CTL_WORKER_SLEEPING, 1, 0) === 1) {
      write(this.eventfd, this.wakeWord);
    }
  }
}

/** The owner's side: from one of the others. */
export class HandoffReader {
  private readonly ring: RingReader;

  constructor(shared: SharedState, from: number) {
    this.ring = new RingReader(shared.handoff(from));
  }

  isEmpty(): boolean {
    return this.ring.isEmpty();
  }

  /** Forwards at most `budget` packets, sends done; how many there were. */
  receive(forwarder: Forwarder, budget: number): number {
    const { ring } = this;
    const { words, bytes } = ring.memory;
    const { arena, frame } = forwarder;
    let n = 0;
    for (; n < budget; n++) {
      const at = ring.next();
      if (at < 0) break;
      const word = at >> 2;
      const length = words[word + 1]!;
      const kept = words[word + 3]!;
      forwarder.makeRoom(HEADROOM_BYTES + VNET_BYTES + length);
      const to = arena.take(HEADROOM_BYTES + VNET_BYTES + length);
      if (to < 0) forwarder.count(NO_ROOM);
      else {
        const from = (word + HEADER_WORDS + kept) * 4;
        const into = to + HEADROOM_BYTES;
        arena.bytes.set(bytes.subarray(from, from + VNET_BYTES + length), into);
        frame.set(arena.bytes, into + VNET_BYTES, length, true, to);
        const inPort = words[word]!;
        const recircId = words[word + 2]!;
        forwarder.forwardOn(arena, inPort, recircId, words, word + HEADER_WORDS, kept);
      }
      ring.release();
    }
    if (n > 0) forwarder.flush();
    return n;
  }
}
