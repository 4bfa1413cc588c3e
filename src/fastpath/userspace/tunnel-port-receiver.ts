/**
 * Takes tunnelled datagrams from one socket of a tunnel port, several a system call, with what their
 * outer IP header said.
 *
 *     slot: | headroom | datagram, or several of one size (UDP_GRO) |
 *
 *     struct cmsghdr: length u64 @0 · level i32 @8 · type i32 @12 · data @16; the next one 8-aligned
 */
import { address, MSG_DONTWAIT, raw } from "../../linux/libc.ts";
import {
  IP_PKTINFO,
  IP_TOS,
  IP_TTL,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  SOL_IP,
  SOL_IPV6,
  SOL_UDP,
  UDP_GRO,
} from "../../linux/tunnel-socket.ts";
import type { FlowKey } from "../../packet/key.ts";
import { slot } from "../../packet/layout.ts";
import { HEADROOM_BYTES } from "../engine/executor.ts";
import type { FrameMemory } from "./arena.ts";

/** Datagrams a call. */
const SLOTS = 16;
/** IP's longest packet fits, and the inner frame begins on a half-word boundary, as devices' do. */
const SLOT_BYTES = HEADROOM_BYTES + (64 << 10) + 64;
const MMSGHDR_BYTES = 64;
const NAME_BYTES = 32;
const CONTROL_BYTES = 192;
const LENGTH_AT = 56;
const FLAGS_AT = 48;
const MSG_TRUNC = 0x20;

const AT = {
  src: slot("tun_src").offset,
  dst: slot("tun_dst").offset,
  ipv6Src: slot("tun_ipv6_src").offset,
  ipv6Dst: slot("tun_ipv6_dst").offset,
  tos: slot("tun_tos").offset,
  ttl: slot("tun_ttl").offset,
  tpSrc: slot("tun_tp_src").offset,
  tpDst: slot("tun_tp_dst").offset,
} as const;

export class TunnelReceiver {
  readonly memory: FrameMemory;
  private readonly messages = new Uint8Array(new ArrayBuffer(SLOTS * MMSGHDR_BYTES));
  private readonly view = new DataView(this.messages.buffer);
  private readonly messagesAt = address(this.messages);
  private readonly iovecs = new BigUint64Array(new ArrayBuffer(SLOTS * 16));
  private readonly names = new Uint8Array(new ArrayBuffer(SLOTS * NAME_BYTES));
  private readonly controls = new Uint8Array(new ArrayBuffer(SLOTS * CONTROL_BYTES));
  private readonly controlView = new DataView(this.controls.buffer);
  /** Of the datagram that was read last: the size of those joined in it; 0: it is one. */
  segmentBytes = 0;

  constructor(
    private readonly fd: number,
    readonly ipv4: boolean,
    private readonly udpPort: number,
  ) {
    const bytes = new Uint8Array(new ArrayBuffer(SLOTS * SLOT_BYTES));
    this.memory = { bytes, words: new Int32Array(bytes.buffer), address: address(bytes) };
    const iovecsAt = address(this.iovecs);
    const { view } = this;
    for (let i = 0; i < SLOTS; i++) {
      const at = i * MMSGHDR_BYTES;
      view.setBigUint64(at, BigInt(address(this.names) + i * NAME_BYTES), true);
      view.setBigUint64(at + 16, BigInt(iovecsAt + i * 16), true);
      view.setBigUint64(at + 24, 1n, true);
      view.setBigUint64(at + 32, BigInt(address(this.controls) + i * CONTROL_BYTES), true);
      this.iovecs[i * 2] = BigInt(this.memory.address + this.at(i));
      this.iovecs[i * 2 + 1] = BigInt(SLOT_BYTES - HEADROOM_BYTES);
    }
  }

  /** How many datagrams came, at most `budget`; their memory is overwritten by the next call. */
  receive(budget: number): number {
    const { view } = this;
    const most = Math.min(budget, SLOTS);
    for (let i = 0; i < most; i++) {
      view.setUint32(i * MMSGHDR_BYTES + 8, NAME_BYTES, true);
      view.setUint32(i * MMSGHDR_BYTES + 40, CONTROL_BYTES, true);
    }
    return raw.recvmmsg(this.fd, this.messagesAt, most, MSG_DONTWAIT, null);
  }

  /** First byte of datagram `i`. */
  at(i: number): number {
    return i * SLOT_BYTES + HEADROOM_BYTES;
  }

  length(i: number): number {
    return this.view.getUint32(i * MMSGHDR_BYTES + LENGTH_AT, true);
  }

  isCut(i: number): boolean {
    return (this.view.getUint32(i * MMSGHDR_BYTES + FLAGS_AT, true) & MSG_TRUNC) !== 0;
  }

  /** Writes what the outer headers of datagram `i` said into the tunnel metadata of `key`. */
  describe(i: number, key: FlowKey): void {
    const { names, controlView, controls, ipv4, view, udpPort } = this;
    const { bytes } = key;
    const name = i * NAME_BYTES;
    const addressBytes = ipv4 ? 4 : 16;
    copy(names, name + (ipv4 ? 4 : 8), bytes, ipv4 ? AT.src : AT.ipv6Src, addressBytes);
    if (udpPort !== 0) {
      bytes[AT.tpSrc] = names[name + 2]!;
      bytes[AT.tpSrc + 1] = names[name + 3]!;
      bytes[AT.tpDst] = udpPort >> 8;
      bytes[AT.tpDst + 1] = udpPort;
    }
    this.segmentBytes = 0;
    const first = i * CONTROL_BYTES;
    const end = first + Math.min(view.getUint32(i * MMSGHDR_BYTES + 40, true), CONTROL_BYTES);
    for (let at = first; at + 16 <= end;) {
      const length = controlView.getUint32(at, true);
      if (length < 16 || at + length > end) return;
      const level = controlView.getInt32(at + 8, true);
      const type = controlView.getInt32(at + 12, true);
      if (level === SOL_IP) {
        if (type === IP_PKTINFO) copy(controls, at + 24, bytes, AT.dst, 4);
        else if (type === IP_TTL) bytes[AT.ttl] = controls[at + 16]!;
        else if (type === IP_TOS) bytes[AT.tos] = controls[at + 16]!;
      } else if (level === SOL_IPV6) {
        if (type === IPV6_PKTINFO) copy(controls, at + 16, bytes, AT.ipv6Dst, 16);
        else if (type === IPV6_HOPLIMIT) bytes[AT.ttl] = controls[at + 16]!;
        else if (type === IPV6_TCLASS) bytes[AT.tos] = controls[at + 16]!;
      } else if (level === SOL_UDP && type === UDP_GRO) {
        this.segmentBytes = controlView.getInt32(at + 16, true);
      }
      at += (length + 7) & ~7;
    }
  }
}

function copy(from: Uint8Array, at: number, to: Uint8Array, into: number, length: number): void {
  for (let i = 0; i < length; i++) to[into + i] = from[at + i]!;
}
