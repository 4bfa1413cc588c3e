/**
 * AF_PACKET sockets with a receive ring: frames of one interface, in and out, below the host's
 * protocol stack.
 *
 * One frame of the ring (TPACKET_V2; all host order):
 *
 *     0          32          52            mac - 10     mac            mac + snaplen   2048
 *     | tpacket2 | sockaddr  | headroom ... | virtio-net | Ethernet ... |              |
 *     | header   | _ll       |              | header     |              |              |
 *
 *     tpacket2_hdr: status u32 @0 · len u32 @4 · snaplen u32 @8 · mac u16 @12 · net u16 @14 ·
 *                   sec u32 @16 · nsec u32 @20 · vlan_tci u16 @24 · vlan_tpid u16 @26
 *
 * Why it is set up as it is (measured, see shared design notes):
 * - TPACKET_V2, not V3: V3 hands over blocks on a timer of a millisecond or more.
 * - Small frames (2 KiB) and PACKET_COPY_THRESH. A frame that does not fit (a segmentation
 *   super-packet of up to 64 KB, a jumbo frame) has its start in the ring with TP_STATUS_COPY set,
 *   and waits whole in the socket's queue for `recv`, in ring order. So a port costs
 *   `frames` × 2 KiB, not × 128 KiB, and one `recv` per 64 KB is not felt.
 * - PACKET_VNET_HDR: the virtio-net header stands before each frame in both directions, so
 *   segmentation and partial checksums survive.
 * - A second socket for sending, outside every poll set: on a socket that somebody polls, the kernel
 *   looks for sleepers to wake after each frame sent (a seventh of the cost of a small one). A busy
 *   interface gets a third with a ring for small frames (send-ring.ts).
 * - PACKET_RESERVE: headroom, so that VLAN tags can be pushed in place.
 * - PACKET_IGNORE_OUTGOING: what the host or we send is not received again. PACKET_QDISC_BYPASS:
 *   sends go to the driver directly, so a full queue is a drop and never a wait.
 * - Promiscuous mode by membership: it ends with the socket.
 *
 * The kernel fills frames in order and sets TP_STATUS_USER last; the owner gives a frame back by
 * storing 0 in its status. Reference: packet(7), Documentation/networking/packet_mmap.rst.
 */
import {
  AF_PACKET,
  PACKET_QDISC_BYPASS,
  PACKET_VERSION,
  PACKET_VNET_HDR,
  SO_SNDBUFFORCE,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
  TPACKET_V2,
} from "./af-packet.ts";
import {
  bind,
  close,
  getsockopt,
  MAP_SHARED,
  memoryAt,
  mmap,
  munmap,
  O_CLOEXEC,
  O_NONBLOCK,
  PROT_READ,
  PROT_WRITE,
  setsockopt,
  socket,
} from "./libc.ts";
import { sockaddrLl } from "./send-ring.ts";
import { attachFilter, encodeFilter, filterProgram } from "./socket-filter.ts";

export const RING_FRAME_BYTES = 2048;
const BLOCK_BYTES = 16 * RING_FRAME_BYTES;
/**
 * Room for two VLAN tags and some, in front of the virtio-net header, which thereby starts on a word:
 * the kernel aligns what would follow the Ethernet header without it.
 */
const RESERVE_BYTES = 34;
/** First byte of a ring frame that may be overwritten once its tpacket2_hdr has been read. */
export const RING_HEADROOM_FLOOR = 32;

export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;
/** The frame did not fit: `recv` has it whole. */
export const TP_STATUS_COPY = 2;
/** `vlan_tci` is a tag that was taken out of the frame. */
export const TP_STATUS_VLAN_VALID = 0x10;
export const TP_STATUS_VLAN_TPID_VALID = 0x40;

const ETH_P_ALL_BE = 0x0300;
const SO_RCVBUFFORCE = 33;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_COPY_THRESH = 7;
const PACKET_RESERVE = 12;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;
const PACKET_FANOUT = 18;
const PACKET_FANOUT_HASH = 0;
const PACKET_FANOUT_CBPF = 6;
const PACKET_FANOUT_DATA = 22;
const PACKET_FANOUT_FLAG_UNIQUEID = 0x2000;
/** Since Linux 5.17 or so; before, a group receives what is sent, too: hence NOT_OUTGOING. */
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000;
const PACKET_OUTGOING = 4;
const SKF_AD_PKTTYPE = 0xfffff004;
/** Classic BPF: ret #0. */
const NOTHING = encodeFilter([[0x06, 0, 0, 0]]);
/** As the program of a group: which of its sockets gets a packet. */
const FIRST_OF_GROUP = NOTHING;
const SECOND_OF_GROUP = encodeFilter([[0x06, 0, 0, 1]]);
/** ld [type of packet]; jeq #PACKET_OUTGOING; ret #0; ret #all */
const NOT_OUTGOING = encodeFilter([
  [0x20, 0, 0, SKF_AD_PKTTYPE],
  [0x15, 0, 1, PACKET_OUTGOING],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0x40000],
]);

/** Kernel memory that whole copies of super-packets may take while they wait: not used when idle. */
const QUEUE_BYTES = 4 << 20;
const SEND_BYTES = 8 << 20;

/** An interface's open sockets and rings: plain numbers, valid in every thread of the process. */
export interface PacketDescriptors {
  readonly ifindex: number;
  /** Receives; readable when the ring has frames. -1: does not receive. */
  readonly fd: number;
  readonly sendFd: number;
  /** The mapped receive ring. */
  readonly address: number;
  readonly frames: number;
}

/**
 * Opens the sockets on an interface of the thread's namespace, with a ring of `frames` (a multiple
 * of 16). Takes some milliseconds (the kernel waits for readers of its tables), and so does closing
 * the descriptors: keep both off threads that move packets. With `sender`, a socket that sends is
 * there, and what comes in is dropped until `joinFanout`.
 */
export function openPacketSocket(
  ifindex: number,
  frames: number,
  sender?: number,
): PacketDescriptors {
  // Protocol 0: nothing is received before bind.
  const fd = socket(AF_PACKET, SOCK_RAW | O_CLOEXEC | O_NONBLOCK, 0);
  let sendFd = -1;
  let ringAt = 0;
  const set = (option: number, value: number | Uint8Array, name: string): void =>
    setsockopt(fd, SOL_PACKET, option, value, name);
  try {
    set(PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    set(PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    set(PACKET_RESERVE, RESERVE_BYTES, "PACKET_RESERVE");
    set(PACKET_COPY_THRESH, 1, "PACKET_COPY_THRESH");
    set(PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES, "SO_RCVBUFFORCE");
    ringAt = mapRing(fd, frames);
    if (sender === undefined) sendFd = openSender(ifindex);
    else attachFilter(fd, NOTHING);
    bind(fd, sockaddrLl(ifindex, ETH_P_ALL_BE));
    joinPromiscuous(fd, ifindex);
    return { ifindex, fd, sendFd: sender ?? sendFd, address: ringAt, frames };
  } catch (error) {
    if (ringAt !== 0) munmap(ringAt, frames * RING_FRAME_BYTES);
    if (sendFd >= 0) close(sendFd);
    close(fd);
    throw error;
  }
}

/**
 * Opens `count` receiving sockets on one interface that share its packets flow by flow
 * (PACKET_FANOUT_HASH, packet(7)): packets of one flow, either direction, go to the same socket, in
 * order. Fragments go by their addresses alone, so those of one datagram stay together. All send
 * through the first one's `sendFd`.
 */
export function openPacketQueues(
  ifindex: number,
  frames: number,
  count: number,
): PacketDescriptors[] {
  const first = openPacketSocket(ifindex, frames);
  const queues = [first];
  try {
    const group = joinFanout(first.fd, -1, PACKET_FANOUT_HASH);
    while (queues.length < count) {
      const queue = openPacketSocket(ifindex, frames, first.sendFd);
      queues.push(queue);
      joinFanout(queue.fd, group, PACKET_FANOUT_HASH);
    }
    return queues;
  } catch (error) {
    closeQueues(queues);
    throw error;
  }
}

function closeQueues(queues: readonly PacketDescriptors[]): void {
  for (const queue of queues) {
    munmap(queue.address, queue.frames * RING_FRAME_BYTES);
    close(queue.fd);
  }
  close(queues[0]!.sendFd);
}

/**
 * Another receiving socket in the place of `old`, which was opened with `openPacketSocket`, with a ring
 * of `frames`. Each packet comes by one of the two, none by both; when this returns, `old` gets no more
 * of them, and what is in its ring is older than what is in the new one's. May take some milliseconds.
 *
 * Both become a group, whose program (one number) says which of them gets a packet: changing it is one
 * write, and the kernel waits until nobody runs the old one. Only where `old` enters the group, the
 * kernel has it off its list for some hundred nanoseconds.
 */
export function replacePacketSocket(old: PacketDescriptors, frames: number): PacketDescriptors {
  const group = joinFanout(old.fd, -1, PACKET_FANOUT_CBPF);
  choose(old.fd, FIRST_OF_GROUP);
  const next = openPacketSocket(old.ifindex, frames, old.sendFd);
  try {
    joinFanout(next.fd, group, PACKET_FANOUT_CBPF);
    choose(old.fd, SECOND_OF_GROUP);
    return next;
  } catch (error) {
    munmap(next.address, frames * RING_FRAME_BYTES);
    close(next.fd);
    throw error;
  }
}

/** Who of the group that the socket is in gets packets. */
function choose(fd: number, program: Uint8Array): void {
  setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, filterProgram(program), "PACKET_FANOUT_DATA");
}

/** Adds a bound socket to a group, or makes one (`group` below 0); the group's number. */
function joinFanout(fd: number, group: number, mode: number): number {
  const flags = PACKET_FANOUT_FLAG_IGNORE_OUTGOING | (group < 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
  const value = (Math.max(group, 0) | ((mode | flags) << 16)) >>> 0;
  setsockopt(fd, SOL_PACKET, PACKET_FANOUT, value, "PACKET_FANOUT");
  const got = new Uint32Array(1);
  getsockopt(fd, SOL_PACKET, PACKET_FANOUT, new Uint8Array(got.buffer));
  // What it got before it was in the group, the group got, too.
  attachFilter(fd, NOT_OUTGOING);
  return got[0]! & 0xffff;
}

function mapRing(fd: number, frames: number): number {
  if (frames <= 0 || frames % 16 !== 0) throw new RangeError("ring frames: a multiple of 16");
  const bytes = frames * RING_FRAME_BYTES;
  const request = new Uint32Array([BLOCK_BYTES, bytes / BLOCK_BYTES, RING_FRAME_BYTES, frames]);
  setsockopt(fd, SOL_PACKET, PACKET_RX_RING, new Uint8Array(request.buffer), "PACKET_RX_RING");
  return mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
}

/** The use of them by the one thread that moves the interface's packets. */
export class PacketSocket {
  readonly fd: number;
  readonly ifindex: number;
  /** Frames in the ring. */
  frames: number;
  /** The ring, and its address in memory. */
  ring: Uint8Array<ArrayBuffer>;
  address: number;
  private readonly statistics = new Uint32Array(2);

  constructor(descriptors: PacketDescriptors) {
    ({
      fd: this.fd,
      ifindex: this.ifindex,
      address: this.address,
      frames: this.frames,
    } = descriptors);
    this.ring = new Uint8Array(memoryAt(this.address, this.frames * RING_FRAME_BYTES));
  }

  /** Frames that the kernel dropped since the last call because the ring was full. */
  takeDrops(): number {
    // struct tpacket_stats: packets u32 (dropped ones too), drops u32; reading resets both.
    const bytes = new Uint8Array(this.statistics.buffer);
    getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, bytes);
    return this.statistics[1]!;
  }

  /** Ends the use of the ring; the descriptors are closed elsewhere. */
  unmap(): void {
    if (this.frames > 0) munmap(this.address, this.frames * RING_FRAME_BYTES);
    this.frames = 0;
    this.ring = new Uint8Array(0);
  }
}

/** Makes the interface promiscuous as long as the socket is open. */
function joinPromiscuous(fd: number, ifindex: number): void {
  const membership = new Uint8Array(16);
  const v = new DataView(membership.buffer);
  v.setInt32(0, ifindex, true);
  v.setUint16(4, PACKET_MR_PROMISC, true);
  setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership, "PACKET_ADD_MEMBERSHIP");
}

/** Descriptors for an interface whose frames somebody else receives: `fd` is -1, there is no ring. */
export function openSendingSocket(ifindex: number): PacketDescriptors {
  const sendFd = openSender(ifindex);
  try {
    joinPromiscuous(sendFd, ifindex);
    return { ifindex, fd: -1, sendFd, address: 0, frames: 0 };
  } catch (error) {
    close(sendFd);
    throw error;
  }
}

/** A socket that only sends: protocol 0 receives nothing. */
function openSender(ifindex: number): number {
  const fd = socket(AF_PACKET, SOCK_RAW | O_CLOEXEC | O_NONBLOCK, 0);
  try {
    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES, "SO_SNDBUFFORCE");
    bind(fd, sockaddrLl(ifindex, 0));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}
