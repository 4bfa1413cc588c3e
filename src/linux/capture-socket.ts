/**
 * AF_PACKET sockets for looking on: copies of the frames of one interface, in and out, into a ring
 * that is read when its owner likes. What comes in is seen before anything else touches it.
 *
 * One frame of the ring, as packet-socket.ts draws it, without a virtio-net header. A VLAN tag that
 * the kernel or the card has taken out of a frame is put back (`tp_vlan_tci`).
 *
 * What the switch itself sends goes around the kernel's traffic control (PACKET_QDISC_BYPASS), and
 * with it around those who look on. So while somebody does, the switch's own sending sockets on the
 * interface go the common way (`showSent`): slower, but seen.
 */
import { readdirSync } from "node:fs";
import {
  AF_PACKET,
  PACKET_QDISC_BYPASS,
  PACKET_VERSION,
  SOCK_RAW,
  SOL_PACKET,
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
  raw,
  setsockopt,
  socket,
} from "./libc.ts";
import { sockaddrLl } from "./send-ring.ts";
import { attachFilter } from "./socket-filter.ts";

const FRAME_BYTES = 2048;
const FRAMES = 2048;
const BLOCK_BYTES = 16 * FRAME_BYTES;
/** Of each packet, at most: what fits into a frame of the ring beside the kernel's headers. */
export const MOST_SNAP_BYTES = 1900;

const ETH_P_ALL_BE = 0x0300;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_MR_PROMISC = 1;
const PACKET_OUTGOING = 4;
const TP_STATUS_KERNEL = 0;
const TP_STATUS_USER = 1;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ETH_VLAN = 0x8100;
/** Of `struct sockaddr_ll` behind the 32 bytes of tpacket2_hdr. */
const PACKET_TYPE_AT = 32 + 10;

export interface SeenFrame {
  /** Milliseconds since 1970, with a fraction. */
  readonly timeMs: number;
  /** The host or the switch sends it on this interface. */
  readonly outgoing: boolean;
  /** As long as it was; `data` may be less. */
  readonly wireBytes: number;
  readonly data: Uint8Array;
}

export class CaptureSocket {
  private next = 0;
  private closed = false;

  private constructor(
    private readonly ifindex: number,
    private readonly fd: number,
    private readonly ring: number,
  ) {}

  /** Needs CAP_NET_RAW. `filter`: a program that the kernel runs on each packet. */
  static open(ifindex: number, filter?: Uint8Array): CaptureSocket {
    const fd = socket(AF_PACKET, SOCK_RAW | O_CLOEXEC | O_NONBLOCK, 0);
    let ring = 0;
    try {
      setsockopt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
      if (filter !== undefined && filter.length > 0) attachFilter(fd, filter);
      const bytes = FRAMES * FRAME_BYTES;
      const request = new Uint32Array([BLOCK_BYTES, bytes / BLOCK_BYTES, FRAME_BYTES, FRAMES]);
      setsockopt(fd, SOL_PACKET, PACKET_RX_RING, new Uint8Array(request.buffer), "PACKET_RX_RING");
      ring = mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
      bind(fd, sockaddrLl(ifindex, ETH_P_ALL_BE));
      const membership = new Uint8Array(16);
      const view = new DataView(membership.buffer);
      view.setInt32(0, ifindex, true);
      view.setUint16(4, PACKET_MR_PROMISC, true);
      setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership, "PACKET_ADD_MEMBERSHIP");
      showSent(ifindex, true);
      return new CaptureSocket(ifindex, fd, ring);
    } catch (error) {
      if (ring !== 0) munmap(ring, FRAMES * FRAME_BYTES);
      close(fd);
      throw error;
    }
  }

  /** Frames that have come since; at most so many. */
  read(most: number): SeenFrame[] {
    const frames: SeenFrame[] = [];
    while (!this.closed && frames.length < most) {
      const frame = new Uint8Array(memoryAt(this.ring + this.next * FRAME_BYTES, FRAME_BYTES));
      const view = new DataView(frame.buffer);
      if ((view.getUint32(0, true) & TP_STATUS_USER) === 0) break;
      frames.push(takeFrame(frame, view));
      view.setUint32(0, TP_STATUS_KERNEL, true);
      this.next = (this.next + 1) % FRAMES;
    }
    return frames;
  }

  /** Frames lost since the last call because nobody read them in time. */
  takeDrops(): number {
    if (this.closed) return 0;
    const statistics = new Uint32Array(2);
    getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, new Uint8Array(statistics.buffer));
    return statistics[1]!;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    munmap(this.ring, FRAMES * FRAME_BYTES);
    close(this.fd);
    showSent(this.ifindex, false);
  }
}

function takeFrame(frame: Uint8Array, view: DataView): SeenFrame {
  const status = view.getUint32(0, true);
  const wire = view.getUint32(4, true);
  const at = view.getUint16(12, true);
  const length = Math.min(view.getUint32(8, true), FRAME_BYTES - at, MOST_SNAP_BYTES);
  const timeMs = view.getUint32(16, true) * 1000 + view.getUint32(20, true) / 1e6;
  const outgoing = frame[PACKET_TYPE_AT] === PACKET_OUTGOING;
  const tagged = (status & TP_STATUS_VLAN_VALID) !== 0 && length >= 12;
  if (!tagged) {
    return { timeMs, outgoing, wireBytes: wire, data: frame.slice(at, at + length) };
  }
  const data = new Uint8Array(length + 4);
  const tpid = status & TP_STATUS_VLAN_TPID_VALID ? view.getUint16(26, true) : ETH_VLAN;
  data.set(frame.subarray(at, at + 12));
  data.set([tpid >> 8, tpid & 0xff, view.getUint8(25), view.getUint8(24)], 12);
  data.set(frame.subarray(at + 12, at + length), 16);
  return { timeMs, outgoing, wireBytes: wire + 4, data };
}

/**
 * Sends of this process's packet sockets on the interface go where they are seen, or around it again.
 * Sending sockets are those bound to it that receive nothing (protocol 0).
 */
function showSent(ifindex: number, shown: boolean): void {
  const name = new Uint8Array(20);
  const view = new DataView(name.buffer);
  const length = new Uint32Array(1);
  for (const entry of readdirSync("/proc/self/fd")) {
    length[0] = name.length;
    // Descriptors that are no sockets, or gone by now, say so.
    if (raw.getsockname(Number(entry), name, length) !== 0) continue;
    if (view.getUint16(0, true) !== AF_PACKET || view.getInt32(4, true) !== ifindex) continue;
    if (view.getUint16(2, true) !== 0) continue;
    const bypass = new Int32Array([shown ? 0 : 1]);
    raw.setsockopt(Number(entry), SOL_PACKET, PACKET_QDISC_BYPASS, bypass, 4);
  }
}
