/**
 * A frame being worked on: where it lies in memory, what it is (its flow key) and where its layers
 * start. The hot path keeps one `Frame` per worker and points it at one packet after the other;
 * nothing is allocated per packet.
 *
 *     bytes:   ... headroom ... | virtio-net header | Ethernet header … payload | ...
 *                               ^ offset - 10       ^ offset                    ^ offset + length
 *                                 (if `vnet`)
 *
 * - `l3`, `l4` and the other layer offsets count from the start of the frame (`offset`), so they
 *   survive a copy into another buffer. -1 means: not there, or not valid.
 * - The virtio-net header, when there is one, always stands directly before the frame, as the
 *   kernel wants it on an AF_PACKET socket with PACKET_VNET_HDR. Layout (virtio 1.2 §5.1.6, little
 *   endian): flags u8 @0, gso_type u8 @1, hdr_len u16 @2, gso_size u16 @4, csum_start u16 @6,
 *   csum_offset u16 @8.
 * - `key` and `keyWords` are written by `extract` (extract.ts): words from `keyWords` on are zero.
 *   Whoever writes metadata (pkt_mark, ct_state …) raises `keyWords` over it; `extract` clears it
 *   again, `extractAgain` keeps it.
 */
import { FlowKey } from "./key.ts";

/** Length of `struct virtio_net_hdr` in bytes. */
export const VNET_BYTES = 10;
/** flags: the checksum field holds only the pseudo-header's sum; finish it from csum_start on. */
export const VNET_F_NEEDS_CSUM = 1;
/** flags: the checksum has been verified by the sender's side. */
export const VNET_F_DATA_VALID = 2;
/** gso_type: kinds, to be compared after masking off VNET_GSO_ECN. */
export const VNET_GSO_NONE = 0;
export const VNET_GSO_TCPV4 = 1;
export const VNET_GSO_UDP = 3;
export const VNET_GSO_TCPV6 = 4;
export const VNET_GSO_UDP_L4 = 5;
export const VNET_GSO_ECN = 0x80;

export class Frame {
  bytes: Uint8Array = new Uint8Array(0);
  /** Index in `bytes` of the Ethernet header. */
  offset = 0;
  /** Bytes of the frame, without FCS and without the virtio-net header. */
  length = 0;
  /** A virtio-net header stands at `offset - VNET_BYTES`. */
  vnet = false;
  /** Lowest index of `bytes` that may be overwritten: headroom for pushed headers starts here. */
  floor = 0;

  /** 0: an Ethernet frame. Otherwise the packet has none, and begins with (namespace << 16 | type). */
  packetType = 0;

  readonly key: FlowKey;
  /** Words of `key` that may be non-zero (a prefix). */
  keyWords = 0;

  /** An entry of EXTRACT_RESULTS: 0 = well formed. */
  result = 0;
  /** VLAN tags that stand in the frame itself, 0..2 (a tag given out of band is not counted). */
  vlans = 0;
  /** Offset of the first MPLS label stack entry, or of an NSH header or PBB I-TAG. */
  l25 = -1;
  /** The Ethernet type behind `l25` (0x8847, 0x8848, 0x894f, 0x88e7), 0 without one. */
  l25Type = 0;
  /** Offset of a valid IPv4, IPv6 or Ethernet/IPv4 ARP header; -1 for everything else. */
  l3 = -1;
  /** Offset of a valid TCP, UDP, SCTP, ICMP, IGMP or ICMPv6 header; -1 in later fragments. */
  l4 = -1;
  /** First byte after the network layer's payload: Ethernet padding follows. */
  l3End = 0;
  /** The Ethernet type behind `l3` (0x800, 0x86dd, 0x806, 0x8035), 0 without one. */
  l3Type = 0;
  /** IP protocol of `l4`, 0 without one. */
  l4Type = 0;
  /** An IPv6 routing header has segments left: the L4 checksum covers another destination. */
  ipv6Routing = false;

  /** `vlanLimit`: tags that are parsed (Open vSwitch's `other_config:vlan-limit`), 1 or 2. */
  constructor(key: FlowKey = new FlowKey(), public vlanLimit: 1 | 2 = 2) {
    this.key = key;
  }

  /**
   * Points at a frame in place. Layer offsets are stale until `extract`. `floor` is where headroom
   * begins: pushing headers writes down to there and no further.
   */
  set(bytes: Uint8Array, offset: number, length: number, vnet: boolean, floor: number): void {
    this.bytes = bytes;
    this.offset = offset;
    this.length = length;
    this.vnet = vnet;
    this.floor = floor;
    this.packetType = 0;
  }

  /**
   * Copies the frame (and its virtio-net header) so that the frame starts at `at` in `target`, and
   * points there. Layer offsets stay right. `at` must leave VNET_BYTES and whatever headroom later
   * pushes need above `floor`. False if it does not fit: nothing is changed then.
   */
  moveTo(target: Uint8Array, at: number, floor = 0): boolean {
    const head = this.vnet ? VNET_BYTES : 0;
    if (at - head < floor || at + this.length > target.length) return false;
    const { bytes, offset, length } = this;
    if (length > 512) target.set(bytes.subarray(offset - head, offset + length), at - head);
    else for (let i = -head; i < length; i++) target[at + i] = bytes[offset + i]!;
    this.bytes = target;
    this.offset = at;
    this.floor = floor;
    return true;
  }
}
