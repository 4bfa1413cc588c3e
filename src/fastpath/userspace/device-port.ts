/**
 * A port on an existing network interface: a packet socket with a ring (linux/packet-socket.ts),
 * the sockets that send (device-sender.ts), and the tc program that keeps its frames from the host's
 * stack. Ring frames go back to the kernel only after the batch's sends are done.
 *
 * A device that is down reports ENETDOWN once; the socket works again when it comes up.
 */
import { ERRNO, MSG_DONTWAIT, MSG_TRUNC, raw, takeSocketError } from "../../linux/libc.ts";
import {
  type PacketDescriptors,
  PacketSocket,
  RING_FRAME_BYTES,
  RING_HEADROOM_FLOOR,
  TP_STATUS_COPY,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_TPID_VALID,
  TP_STATUS_VLAN_VALID,
} from "../../linux/packet-socket.ts";
import type { SendRingDescriptor } from "../../linux/send-ring.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { pushVlan } from "../../packet/rewrite.ts";
import { type FrameMemory, HEADROOM_BYTES } from "./arena.ts";
import { MAX_FRAME_BYTES } from "./commands.ts";
import { DeviceSender } from "./device-sender.ts";
import type { Forwarder } from "./forwarder.ts";
import { PortCounters, type WorkerPort } from "./port.ts";
import { BUSY_FRAMES } from "./setup.ts";
import { counterIndex } from "./shared.ts";

const RING_FULL = counterIndex("drop_rx_ring_full");
const RING_GROWN = counterIndex("ring_grown");
const NO_COPY = counterIndex("drop_rx_no_copy");
const TOO_BIG = counterIndex("drop_rx_too_big");

/** A port whose ring overflows gets a larger one, once; a single lost frame is no reason. */
const GROW_AT_DROPS = 32;

const VLAN_TPID = 0x8100;

/** What a port asks for, once each: somebody opens it and gives it to the port. */
export interface DeviceWishes {
  sendRing(): void;
  largerRing(): void;
}

export class DevicePort implements WorkerPort {
  readonly ifindex: number;
  private socket: PacketSocket;
  private readonly sender: DeviceSender;
  private ring!: FrameMemory;
  private ringHalves!: Uint16Array;
  /** The frame that the kernel fills next. */
  private next = 0;
  private askedForRoom = false;

  constructor(
    readonly portNo: number,
    readonly name: string,
    descriptors: PacketDescriptors,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
    private readonly wishes: DeviceWishes,
  ) {
    this.ifindex = descriptors.ifindex;
    this.socket = new PacketSocket(descriptors);
    this.sender = new DeviceSender(descriptors.sendFd, counters, wishes.sendRing);
    this.viewRing();
  }

  get fd(): number {
    return this.socket.fd;
  }

  receive(budget: number): number {
    const { forwarder, ring, ringHalves, counters } = this;
    const { bytes, words: ringWords } = ring;
    const { frames } = this.socket;
    const { frame } = forwarder;
    const first = this.next;
    const n = this.waiting(budget);
    const { polices } = counters.traffic;
    if (polices) counters.traffic.refill(performance.now());
    for (let i = 0; i < n; i++) {
      const at = this.next * RING_FRAME_BYTES;
      const status = ringWords[at >> 2]!;
      this.next = this.next + 1 === frames ? 0 : this.next + 1;
      const length = ringWords[(at >> 2) + 1]!;
      let memory = ring;
      if (length <= ringWords[(at >> 2) + 2]!) {
        frame.set(bytes, at + ringHalves[(at >> 1) + 6]!, length, true, at + RING_HEADROOM_FLOOR);
      } else {
        if (!this.receiveWhole(status, length)) continue;
        memory = forwarder.arena;
      }
      if (polices && !counters.admits(frame.length)) continue;
      if ((status & TP_STATUS_VLAN_VALID) !== 0) this.untag(at, status);
      counters.received(frame.length);
      forwarder.forward(memory, this.portNo);
    }
    if (n > 0) {
      forwarder.flush();
      for (let i = 0, at = first; i < n; i++, at = at + 1 === frames ? 0 : at + 1) {
        Atomics.store(ringWords, (at * RING_FRAME_BYTES) >> 2, TP_STATUS_KERNEL);
      }
    }
    return n;
  }

  /** Counts the frames that wait, up to `budget`. */
  private waiting(budget: number): number {
    const { frames } = this.socket;
    const { words } = this.ring;
    const most = Math.min(budget, frames);
    let n = 0;
    let last = 0;
    for (let at = this.next; n < most; n++) {
      const word = (at * RING_FRAME_BYTES) >> 2;
      if ((words[word]! & TP_STATUS_USER) === 0) break;
      last = word;
      at = at + 1 === frames ? 0 : at + 1;
    }
    // Once acquired, the last status word vouches for everything that the kernel wrote before it.
    if (n > 0) Atomics.load(words, last);
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

  transmit(memory: FrameMemory, at: number, length: number): void {
    const { sender } = this;
    if (sender.isEmpty) this.forwarder.owing.push(this);
    sender.add(memory, at, length, this.forwarder.frame.key);
  }

  flush(): void {
    this.sender.flush();
  }

  adoptSendRing(ring: SendRingDescriptor): void {
    this.sender.adoptRing(ring);
  }

  keepHouse(): void {
    const drops = this.takeDrops();
    if (drops < GROW_AT_DROPS || this.socket.frames >= BUSY_FRAMES || this.askedForRoom) return;
    this.askedForRoom = true;
    this.wishes.largerRing();
  }

  /** `next` receives from now on, and what is in its ring is newer than what is in the old one's. */
  adoptReceiver(next: PacketDescriptors): void {
    while (this.receive(this.socket.frames) > 0);
    this.takeDrops();
    this.socket.unmap();
    this.socket = new PacketSocket(next);
    this.viewRing();
    this.next = 0;
    this.forwarder.count(RING_GROWN);
  }

  private takeDrops(): number {
    const drops = this.socket.takeDrops();
    if (drops > 0) {
      this.forwarder.count(RING_FULL, drops);
      this.counters.rxDropped(drops);
    }
    return drops;
  }

  private viewRing(): void {
    const { ring, address } = this.socket;
    const words = new Int32Array(ring.buffer, ring.byteOffset, ring.byteLength / 4);
    this.ring = { bytes: ring, words, address };
    this.ringHalves = new Uint16Array(ring.buffer, ring.byteOffset, ring.byteLength / 2);
  }

  failed(): string | undefined {
    const error = takeSocketError(this.fd);
    // Going down is not going away: link events tell which it is.
    return error === 0 || error === ERRNO.ENETDOWN ? undefined : `socket error ${error}`;
  }

  end(): void {
    this.sender.end();
    this.socket.unmap();
  }
}
