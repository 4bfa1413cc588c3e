/**
 * A port on an existing network interface: a packet socket with a ring (linux/packet-socket.ts),
 * and the tc program that keeps its frames from the host's stack.
 *
 * Sends are collected, up to `BATCH`, as `struct mmsghdr`s whose
 * iovecs point straight at the frames; one sendmmsg sends them. Ring frames go back to the kernel
 * only after the batch's sends are done.
 *
 *     struct mmsghdr (64 bytes): msg_name u64 @0 · namelen u32 @8 · iov u64 @16 · iovlen u64 @24 ·
 *                                control u64 @32 · controllen u64 @40 · flags i32 @48 · len u32 @56
 *     struct iovec (16 bytes):   base u64 @0 · len u64 @8
 *
 * A device that is down reports ENETDOWN once; the socket works again when it comes up.
 */
import {
  address,
  ERRNO,
  errno,
  MSG_DONTWAIT,
  MSG_TRUNC,
  raw,
  takeSocketError,
} from "../../linux/libc.ts";
import {
  type PacketSocket,
  RING_FRAME_BYTES,
  RING_HEADROOM_FLOOR,
  TP_STATUS_COPY,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_TPID_VALID,
  TP_STATUS_VLAN_VALID,
} from "../../linux/packet-socket.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { pushVlan } from "../../packet/rewrite.ts";
import { HEADROOM_BYTES } from "./arena.ts";
import { MAX_FRAME_BYTES } from "./commands.ts";
import type { Forwarder } from "./forwarder.ts";
import { PortCounters, type WorkerPort } from "./port.ts";
import { counterIndex } from "./shared.ts";

const RING_FULL = counterIndex("drop_rx_ring_full");
const RING_GROWN = counterIndex("ring_grown");
const NO_COPY = counterIndex("drop_rx_no_copy");
const TOO_BIG = counterIndex("drop_rx_too_big");

/**
 * Frames of a port's ring, 2 KiB each: an idle port costs 256 KiB. One whose ring overflows gets a
 * larger one, once; a single lost frame is no reason, since the change stops this worker for some
 * milliseconds.
 */
const BUSY_FRAMES = 1024;
const GROW_AT_DROPS = 32;

/** Most sends in one sendmmsg. */
const BATCH = 64;
const MMSGHDR_BYTES = 64;
const IOVEC_WORDS = 4;
const VLAN_TPID = 0x8100;

export class DevicePort implements WorkerPort {
  readonly fd: number;
  readonly ifindex: number;
  private ringWords = new Int32Array(0);
  private ringHalves = new Uint16Array(0);
  /** The frame that the kernel fills next. */
  private next = 0;

  private readonly messages = new Uint8Array(BATCH * MMSGHDR_BYTES);
  private readonly messagesAt = address(this.messages);
  private readonly iovecs = new Uint32Array(BATCH * IOVEC_WORDS);
  private queued = 0;

  constructor(
    readonly portNo: number,
    readonly name: string,
    private readonly socket: PacketSocket,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
  ) {
    this.fd = socket.fd;
    this.ifindex = socket.ifindex;
    this.viewRing();
    const v = new DataView(this.messages.buffer);
    const iovecsAt = address(this.iovecs);
    for (let i = 0; i < BATCH; i++) {
      v.setBigUint64(i * MMSGHDR_BYTES + 16, BigInt(iovecsAt + i * IOVEC_WORDS * 4), true);
      v.setBigUint64(i * MMSGHDR_BYTES + 24, 1n, true);
    }
  }

  receive(budget: number): number {
    const { forwarder, ringWords, ringHalves, counters } = this;
    const { ring, address: ringAt, frames } = this.socket;
    const { frame } = forwarder;
    const first = this.next;
    let n = 0;
    while (n < budget && n < frames) {
      const at = this.next * RING_FRAME_BYTES;
      const status = Atomics.load(ringWords, at >> 2);
      if ((status & TP_STATUS_USER) === 0) break;
      n++;
      this.next = this.next + 1 === frames ? 0 : this.next + 1;
      const length = ringWords[(at >> 2) + 1]!;
      let base = ringAt;
      if (length <= ringWords[(at >> 2) + 2]!) {
        frame.set(ring, at + ringHalves[(at >> 1) + 6]!, length, true, at + RING_HEADROOM_FLOOR);
      } else {
        if (!this.receiveWhole(status, length)) continue;
        base = forwarder.arena.address;
      }
      if ((status & TP_STATUS_VLAN_VALID) !== 0) this.untag(at, status);
      counters.received(frame.length);
      forwarder.forward(base, this.portNo);
    }
    if (n > 0) {
      forwarder.flush();
      for (let i = 0, at = first; i < n; i++, at = at + 1 === frames ? 0 : at + 1) {
        Atomics.store(ringWords, (at * RING_FRAME_BYTES) >> 2, TP_STATUS_KERNEL);
      }
    }
    return n;
  }

  /** Points the frame at the socket's whole copy of a frame that did not fit into the ring. */
  private receiveWhole(status: number, length: number): boolean {
    const { forwarder } = this;
    if ((status & TP_STATUS_COPY) === 0) {
      forwarder.count(NO_COPY);
      this.counters.rxDropped(1);
      return false;
    }
    const { arena, frame } = forwarder;
    const room = VNET_BYTES + Math.min(length, MAX_FRAME_BYTES);
    forwarder.makeRoom(HEADROOM_BYTES + room);
    const at = arena.take(HEADROOM_BYTES + room);
    const into = at + HEADROOM_BYTES;
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    const got = raw.recv(this.fd, arena.address + into, room, flags);
    if (got > room || got < VNET_BYTES) {
      forwarder.count(TOO_BIG);
      this.counters.rxDropped(1);
      return false;
    }
    frame.set(arena.bytes, into + VNET_BYTES, got - VNET_BYTES, true, at);
    return true;
  }

  /** Puts a VLAN tag that the kernel took out back into the frame. */
  private untag(at: number, status: number): void {
    const { frame } = this.forwarder;
    const tci = this.ringHalves[(at >> 1) + 12]!;
    const tpid = (status & TP_STATUS_VLAN_TPID_VALID) !== 0
      ? this.ringHalves[(at >> 1) + 13]!
      : VLAN_TPID;
    if (pushVlan(frame, tpid, tci)) frame.bytes[frame.offset + 14]! |= (tci >> 8) & 0x10;
  }

  transmit(at: number, length: number): void {
    if (this.queued === BATCH) this.flush();
    if (this.queued === 0) this.forwarder.owing.push(this);
    const word = this.queued++ * IOVEC_WORDS;
    const { iovecs } = this;
    // Addresses have 48 bits: the low word modulo 2^32, the high word by division.
    iovecs[word] = at % 0x1_0000_0000;
    iovecs[word + 1] = at / 0x1_0000_0000;
    iovecs[word + 2] = length;
  }

  flush(): void {
    const { queued, messagesAt, counters, iovecs } = this;
    this.queued = 0;
    let done = 0;
    while (done < queued) {
      const at = messagesAt + done * MMSGHDR_BYTES;
      const sent = raw.sendmmsg(this.socket.sendFd, at, queued - done, MSG_DONTWAIT);
      const error = sent > 0 ? 0 : errno();
      for (let i = 0; i < sent; i++, done++) {
        counters.sent(iovecs[done * IOVEC_WORDS + 2]! - VNET_BYTES);
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

  keepHouse(): void {
    const drops = this.socket.takeDrops();
    if (drops === 0) return;
    this.forwarder.count(RING_FULL, drops);
    this.counters.rxDropped(drops);
    if (drops < GROW_AT_DROPS || this.socket.frames >= BUSY_FRAMES) return;
    this.socket.resize(BUSY_FRAMES);
    this.viewRing();
    this.next = 0;
    this.forwarder.count(RING_GROWN);
  }

  private viewRing(): void {
    const { ring } = this.socket;
    this.ringWords = new Int32Array(ring.buffer, ring.byteOffset, ring.byteLength / 4);
    this.ringHalves = new Uint16Array(ring.buffer, ring.byteOffset, ring.byteLength / 2);
  }

  failed(): string | undefined {
    const error = takeSocketError(this.fd);
    // Going down is not going away: link events tell which it is.
    return error === 0 || error === ERRNO.ENETDOWN ? undefined : `socket error ${error}`;
  }

  end(): void {
    this.queued = 0;
    this.socket.unmap();
  }
}
