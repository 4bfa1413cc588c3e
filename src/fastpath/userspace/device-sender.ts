/**
 * Sends on one network interface, in batches: small frames through a ring (linux/send-ring.ts), the
 * others, and all if there is no ring, by `sendmmsg` with iovecs that point straight at the frames.
 * A ring comes only when there is something to gain: opening and closing one takes the kernel long.
 *
 * Frames leave in the order in which they came: what is collected for one way is sent before the
 * first frame for the other way is. So either batch is empty at any time.
 *
 * While the kernel's queues hold back what leaves the port (port-traffic.ts), frames go through its
 * traffic control, by `sendmmsg` only, and the socket's priority is set before frames of another queue.
 *
 *     struct mmsghdr (64 bytes): msg_name u64 @0 · namelen u32 @8 · iov u64 @16 · iovlen u64 @24 ·
 *                                control u64 @32 · controllen u64 @40 · flags i32 @48 · len u32 @56
 *     struct iovec (16 bytes):   base u64 @0 · len u64 @8
 */
import { PACKET_QDISC_BYPASS, SO_PRIORITY, SOL_PACKET, SOL_SOCKET } from "../../linux/af-packet.ts";
import { address, ERRNO, errno, memoryAt, MSG_DONTWAIT, munmap, raw } from "../../linux/libc.ts";
import {
  SEND_RING_BYTES,
  type SendRingDescriptor,
  SLOT_AVAILABLE,
  SLOT_BYTES,
  SLOT_DATA,
  SLOT_SEND_REQUEST,
  SLOTS,
} from "../../linux/send-ring.ts";
import { VNET_BYTES, VNET_GSO_NONE } from "../../packet/frame.ts";
import type { FlowKey } from "../../packet/key.ts";
import { slot } from "../../packet/layout.ts";
import type { FrameMemory } from "./arena.ts";
import type { PortCounters } from "./port.ts";

/** Most frames in one system call. */
const BATCH = 64;
const MMSGHDR_BYTES = 64;
const IOVEC_WORDS = 4;
const SLOT_WORDS = SLOT_BYTES >> 2;
/** For fewer frames at a time `sendmmsg` is cheaper. Guessed from the time before. */
const RING_PAYS = 3;
/** So many flushes of that size show that the port is busy. */
const WANT_RING = 16;
/** Longest frame for a slot, with its virtio-net header. */
const SLOT_ROOM = SLOT_BYTES - SLOT_DATA;
const LENGTH_WORD = 1;
const PRIORITY = slot("skb_priority").offset;

export class DeviceSender {
  private readonly messages = new Uint8Array(BATCH * MMSGHDR_BYTES);
  private readonly messagesAt = address(this.messages);
  private readonly iovecs = new Uint32Array(BATCH * IOVEC_WORDS);
  private queued = 0;

  private ring: SendRingDescriptor | undefined;
  private ringWords = new Int32Array(0);
  private ringHalves = new Uint16Array(0);
  /** The slot that the next small frame goes into. */
  private slot = 0;
  private ringQueued = 0;
  private ringBytes = 0;
  /** Frames since the last flush, and whether there were enough then. */
  private added = 0;
  private useRing = false;
  /** Flushes of so many, while there is no ring. */
  private large = 0;
  /** Through the kernel's traffic control, and for what queue. */
  private shaped = false;
  private priority = 0;
  private readonly option = new Int32Array(1);

  constructor(
    private readonly fd: number,
    private readonly counters: PortCounters,
    /** Called once, when a ring would pay: who can opens one and gives it to `adoptRing`. */
    private readonly wantRing: () => void = () => {},
  ) {
    const v = new DataView(this.messages.buffer);
    const iovecsAt = address(this.iovecs);
    for (let i = 0; i < BATCH; i++) {
      v.setBigUint64(i * MMSGHDR_BYTES + 16, BigInt(iovecsAt + i * IOVEC_WORDS * 4), true);
      v.setBigUint64(i * MMSGHDR_BYTES + 24, 1n, true);
    }
  }

  /** From now on small frames go through this ring, which ends with the sender. */
  adoptRing(ring: SendRingDescriptor): void {
    const memory = memoryAt(ring.address, SEND_RING_BYTES);
    this.ring = ring;
    this.ringWords = new Int32Array(memory);
    this.ringHalves = new Uint16Array(memory);
  }

  /** Nothing waits to be sent. */
  get isEmpty(): boolean {
    return this.queued + this.ringQueued === 0;
  }

  /** Takes the frame whose virtio-net header is at `at` in `memory`; `length` counts both. */
  add(memory: FrameMemory, at: number, length: number, key: FlowKey): void {
    if (this.added++ === 0 && this.shaped !== this.counters.traffic.shaped) this.changeShaped();
    if (this.shaped) {
      const { bytes } = key;
      const priority = (bytes[PRIORITY]! << 24) | (bytes[PRIORITY + 1]! << 16) |
        (bytes[PRIORITY + 2]! << 8) | bytes[PRIORITY + 3]!;
      if (priority !== this.priority) this.changePriority(priority);
    } else if (
      this.useRing && length <= SLOT_ROOM && (at & 3) === 0 &&
      memory.bytes[at + 1] === VNET_GSO_NONE &&
      this.addToRing(memory.words, at >> 2, length)
    ) return;
    if (this.ringQueued > 0) this.flushRing();
    else if (this.queued === BATCH) this.flushMessages();
    const word = this.queued++ * IOVEC_WORDS;
    const { iovecs } = this;
    const from = memory.address + at;
    // Addresses have 48 bits: the low word modulo 2^32, the high word by division.
    iovecs[word] = from % 0x1_0000_0000;
    iovecs[word + 1] = from / 0x1_0000_0000;
    iovecs[word + 2] = length;
  }

  private changeShaped(): void {
    this.shaped = this.counters.traffic.shaped;
    this.setOption(SOL_PACKET, PACKET_QDISC_BYPASS, this.shaped ? 0 : 1);
  }

  /** What waits is of another queue, and goes first. */
  private changePriority(priority: number): void {
    if (this.ringQueued > 0) this.flushRing();
    if (this.queued > 0) this.flushMessages();
    this.priority = priority;
    this.setOption(SOL_SOCKET, SO_PRIORITY, priority);
  }

  private setOption(level: number, name: number, value: number): void {
    this.option[0] = value;
    raw.setsockopt(this.fd, level, name, this.option, 4);
  }

  /** False if there is no ring, or its next slot is still with the driver. */
  private addToRing(from: Int32Array, word: number, length: number): boolean {
    const { ringWords } = this;
    const at = this.slot * SLOT_WORDS;
    if (!this.ring || Atomics.load(ringWords, at) !== SLOT_AVAILABLE) return false;
    if (this.queued > 0) this.flushMessages();
    else if (this.ringQueued === BATCH) this.flushRing();
    const words = (length + 3) >> 2;
    const to = at + (SLOT_DATA >> 2);
    for (let i = 0; i < words; i++) ringWords[to + i] = from[word + i]!;
    // hdr_len: all of it is to be copied.
    this.ringHalves[(to << 1) + 1] = length - VNET_BYTES;
    ringWords[at + LENGTH_WORD] = length;
    Atomics.store(ringWords, at, SLOT_SEND_REQUEST);
    this.slot = this.slot + 1 === SLOTS ? 0 : this.slot + 1;
    this.ringQueued++;
    this.ringBytes += length - VNET_BYTES;
    return true;
  }

  flush(): void {
    this.useRing = this.added >= RING_PAYS;
    this.added = 0;
    if (this.useRing && !this.ring && ++this.large === WANT_RING) this.wantRing();
    if (this.ringQueued > 0) this.flushRing();
    if (this.queued > 0) this.flushMessages();
  }

  private flushRing(): void {
    const { ringWords, counters } = this;
    const { fd } = this.ring!;
    let left = this.ringQueued;
    let at = (this.slot - left + SLOTS) % SLOTS;
    const last = ((this.slot + SLOTS - 1) % SLOTS) * SLOT_WORDS;
    this.ringQueued = 0;
    while (left > 0) {
      const result = raw.send(fd, 0, 0, MSG_DONTWAIT);
      const error = result < 0 ? errno() : 0;
      if (Atomics.load(ringWords, last) !== SLOT_SEND_REQUEST) {
        counters.sentMany(left, this.ringBytes);
        break;
      }
      let taken = 0;
      while (Atomics.load(ringWords, at * SLOT_WORDS) !== SLOT_SEND_REQUEST) {
        const bytes = ringWords[at * SLOT_WORDS + LENGTH_WORD]! - VNET_BYTES;
        counters.sentMany(1, bytes);
        this.ringBytes -= bytes;
        at = at + 1 === SLOTS ? 0 : at + 1;
        taken++;
      }
      left -= taken;
      if (taken > 0 || error === ERRNO.EINTR) continue;
      if (error === ERRNO.ENETDOWN || error === ERRNO.ENXIO) {
        counters.sendFailed(error, left);
        this.takeBack(at, left);
        break;
      }
      // The kernel passes over the first one left at the next call.
      counters.sendFailed(error === 0 ? ERRNO.EAGAIN : error, 1);
      this.ringBytes -= ringWords[at * SLOT_WORDS + LENGTH_WORD]! - VNET_BYTES;
      ringWords[at * SLOT_WORDS + LENGTH_WORD] = 0;
      at = at + 1 === SLOTS ? 0 : at + 1;
      left--;
    }
    this.ringBytes = 0;
  }

  /** The kernel has not taken these: it and we go on at the first of them. */
  private takeBack(at: number, count: number): void {
    this.slot = at;
    for (let i = 0; i < count; i++) {
      Atomics.store(this.ringWords, ((at + i) % SLOTS) * SLOT_WORDS, SLOT_AVAILABLE);
    }
  }

  private flushMessages(): void {
    const { queued, messagesAt, counters, iovecs } = this;
    this.queued = 0;
    let done = 0;
    while (done < queued) {
      const at = messagesAt + done * MMSGHDR_BYTES;
      const sent = raw.sendmmsg(this.fd, at, queued - done, MSG_DONTWAIT);
      const error = sent > 0 ? 0 : errno();
      for (let i = 0; i < sent; i++, done++) {
        counters.sentMany(1, iovecs[done * IOVEC_WORDS + 2]! - VNET_BYTES);
      }
      if (sent > 0 || error === ERRNO.EINTR) continue;
      // The first one left cannot be sent. Down means down for all of them.
      if (error === ERRNO.ENETDOWN || error === ERRNO.ENXIO) {
        counters.sendFailed(error, queued - done);
        return;
      }
      counters.sendFailed(error, 1);
      done++;
    }
  }

  end(): void {
    this.queued = 0;
    this.ringQueued = 0;
    if (this.ring) munmap(this.ring.address, SEND_RING_BYTES);
  }
}
