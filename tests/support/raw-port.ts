/**
 * A raw AF_PACKET socket on one device of a namespace: frames exactly as written, VLAN tags
 * included, without the 8021q module. The kernel takes the outer tag of a received frame out of the
 * bytes and reports it aside (PACKET_AUXDATA); `receive` puts it back, so that what a test sees is
 * what was on the wire.
 */
import { ptr } from "bun:ffi";
import { Libc } from "./libc.ts";
import type { Namespace } from "./netns.ts";

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOL_PACKET = 263;
const PACKET_AUXDATA = 8;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
const ETH_P_ALL_BE = 0x0300;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const EAGAIN = 11;

/**
 * ```text
 * struct msghdr (x86-64, arm64): name @0, namelen u32 @8, iov @16, iovlen @24, control @32,
 * controllen @40, flags u32 @48; 56 bytes. struct iovec: base @0, len @8.
 * ```
 */
export class RawPort {
  private readonly libc = new Libc();
  private readonly frame = new Uint8Array(65_536 + 64);
  private readonly control = new Uint8Array(128);
  private readonly iovec = new BigUint64Array(2);
  private readonly header = new Uint8Array(56);
  private readonly headerView = new DataView(this.header.buffer);
  private readonly fd: number;

  constructor(ns: Pick<Namespace, "inside">, device: string) {
    this.fd = ns.inside(() => {
      const fd = this.libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0);
      this.libc.setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
      this.libc.setOption(fd, SOL_PACKET, PACKET_AUXDATA, 1);
      this.libc.setOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
      const address = new Uint8Array(20);
      const view = new DataView(address.buffer);
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ETH_P_ALL_BE, true);
      view.setInt32(4, this.libc.interfaceIndex(device), true);
      this.libc.bind(fd, address);
      return fd;
    });
    this.iovec[0] = BigInt(ptr(this.frame));
    this.iovec[1] = BigInt(this.frame.length);
    this.headerView.setBigUint64(16, BigInt(ptr(this.iovec)), true);
    this.headerView.setBigUint64(24, 1n, true);
  }

  /** Sends one frame from its destination address on, without FCS. False when the queue is full. */
  send(frame: Uint8Array): boolean {
    if (this.libc.send(this.fd, frame) >= 0) return true;
    const errno = this.libc.errno;
    if (errno === EAGAIN || errno === 105) return false;
    throw new Error(`send of ${frame.length} bytes: errno ${errno}`);
  }

  /** The next frame that has come, or undefined. */
  receive(): Uint8Array | undefined {
    this.headerView.setBigUint64(32, BigInt(ptr(this.control)), true);
    this.headerView.setBigUint64(40, BigInt(this.control.length), true);
    const length = this.libc.recvmsg(this.fd, this.header);
    if (length < 0) {
      if (this.libc.errno === EAGAIN) return undefined;
      throw new Error(`recvmsg: errno ${this.libc.errno}`);
    }
    const control = new DataView(this.control.buffer);
    const status = control.getUint32(16, true);
    if ((status & TP_STATUS_VLAN_VALID) === 0) return this.frame.slice(0, length);
    const tpid = (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? 0x8100 : control.getUint16(34, true);
    const tagged = new Uint8Array(length + 4);
    tagged.set(this.frame.subarray(0, 12), 0);
    new DataView(tagged.buffer).setUint16(12, tpid);
    new DataView(tagged.buffer).setUint16(14, control.getUint16(32, true));
    tagged.set(this.frame.subarray(12, length), 16);
    return tagged;
  }

  /** Throws away what has come so far. */
  drain(): void {
    while (this.receive() !== undefined);
  }

  /** The first frame within `timeoutMs` that `wanted` accepts; others are passed over. */
  async expect(
    wanted: (frame: Uint8Array) => boolean,
    timeoutMs = 2000,
  ): Promise<Uint8Array | undefined> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const frame = this.receive();
      if (frame !== undefined && wanted(frame)) return frame;
      if (frame !== undefined) continue;
      if (performance.now() >= end) return undefined;
      await Bun.sleep(2);
    }
  }

  close(): void {
    this.libc.close(this.fd);
  }
}
