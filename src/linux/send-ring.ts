/**
 * A ring of small frames to send on one interface: AF_PACKET's PACKET_TX_RING.
 *
 * One system call sends any number of frames, without the message headers, address checks and copies
 * from user memory that `sendmmsg` does for each: of a 64-byte frame's way through the kernel that is
 * a third.
 *
 * One slot of the ring (TPACKET_V2; host order):
 *
 *     0          32           42                        512
 *     | tpacket2 | virtio-net | Ethernet ...            |
 *     | header   | header     |                         |
 *
 * - The owner writes frame and length, then SEND_REQUEST into the status word. `send` takes slots in
 *   order, as far as they are SEND_REQUEST; each is SENDING until its driver is done with it (a veth
 *   is at once), then AVAILABLE.
 * - The first `hdr_len` bytes are copied into the packet, the rest would be given out as references
 *   into the ring, which costs a small frame a page: the owner sets `hdr_len` to the frame's length.
 *   Segmentation needs hdr_len for itself, so super-packets do not belong here.
 * - An error of one slot leaves it at the kernel's head with SEND_REQUEST. Length 0 makes the kernel
 *   pass over it, because of PACKET_LOSS.
 * - A socket with such a ring sends nothing else: it is one of its own.
 *
 * Reference: packet(7), Documentation/networking/packet_mmap.rst.
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
  MAP_SHARED,
  mmap,
  munmap,
  O_CLOEXEC,
  O_NONBLOCK,
  PROT_READ,
  PROT_WRITE,
  setsockopt,
  socket,
} from "./libc.ts";

export const SLOT_BYTES = 512;
/** More than a batch, for drivers that finish later. */
export const SLOTS = 128;
export const SEND_RING_BYTES = SLOTS * SLOT_BYTES;
/** Offset in the slot of the virtio-net header. */
export const SLOT_DATA = 32;

export const SLOT_AVAILABLE = 0;
export const SLOT_SEND_REQUEST = 1;

const BLOCK_BYTES = 16384;
const PACKET_TX_RING = 13;
const PACKET_LOSS = 14;
const SEND_BYTES = 1 << 20;

/** struct sockaddr_ll: family u16 · protocol u16 (network order) · ifindex i32 · … */
export function sockaddrLl(ifindex: number, protocolBe: number): Uint8Array {
  const sockaddr = new Uint8Array(20);
  const v = new DataView(sockaddr.buffer);
  v.setUint16(0, AF_PACKET, true);
  v.setUint16(2, protocolBe, true);
  v.setInt32(4, ifindex, true);
  return sockaddr;
}

/** Plain numbers, valid in every thread of the process. */
export interface SendRingDescriptor {
  readonly fd: number;
  readonly address: number;
}

/** Opens one on an interface of the thread's namespace. Takes some milliseconds, as closing does. */
export function openSendRing(ifindex: number): SendRingDescriptor {
  const fd = socket(AF_PACKET, SOCK_RAW | O_CLOEXEC | O_NONBLOCK, 0);
  try {
    setsockopt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
    setsockopt(fd, SOL_PACKET, PACKET_LOSS, 1, "PACKET_LOSS");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES, "SO_SNDBUFFORCE");
    const blocks = SEND_RING_BYTES / BLOCK_BYTES;
    const request = new Uint8Array(
      new Uint32Array([BLOCK_BYTES, blocks, SLOT_BYTES, SLOTS]).buffer,
    );
    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, request, "PACKET_TX_RING");
    const address = mmap(SEND_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    try {
      // Protocol 0: it receives nothing.
      bind(fd, sockaddrLl(ifindex, 0));
    } catch (error) {
      munmap(address, SEND_RING_BYTES);
      throw error;
    }
    return { fd, address };
  } catch (error) {
    close(fd);
    throw error;
  }
}
