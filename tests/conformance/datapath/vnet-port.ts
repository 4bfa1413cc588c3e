/**
 * A packet socket on the far side of a cable that carries the virtio-net header both ways
 * (PACKET_VNET_HDR), so that a case can send offloaded packets and see what becomes of them. A
 * VLAN tag that the kernel took out of a received frame is put back, the header's offsets with it.
 */
import { ptr } from "bun:ffi";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { extract } from "../../../src/packet/extract.ts";
import { pushVlan } from "../../../src/packet/rewrite.ts";
import { Libc } from "../../support/libc.ts";
import type { Namespace } from "../../support/netns.ts";

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOL_PACKET = 263;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const ETH_P_ALL_BE = 0x0300;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const EAGAIN = 11;
/** Where a received virtio-net header goes: room for a tag below it. */
const AT = 16;

export class VnetPort {
  private readonly libc = new Libc();
  private readonly buffer = new Uint8Array(AT + VNET_BYTES + 70_000);
  private readonly control = new Uint8Array(128);
  private readonly iovec = new BigUint64Array(2);
  /** struct msghdr: iov @16, iovlen @24, control @32, controllen @40; see tests/support/raw-port.ts. */
  private readonly header = new Uint8Array(56);
  private readonly frame = new Frame();
  private readonly fd: number;

  constructor(ns: Namespace, device: string) {
    this.fd = ns.inside(() => {
      const fd = this.libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0);
      for (const option of [PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING, PACKET_AUXDATA]) {
        this.libc.setOption(fd, SOL_PACKET, option, 1);
      }
      const address = new Uint8Array(20);
      const view = new DataView(address.buffer);
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ETH_P_ALL_BE, true);
      view.setInt32(4, this.libc.interfaceIndex(device), true);
      this.libc.bind(fd, address);
      return fd;
    });
    this.iovec[0] = BigInt(ptr(this.buffer, AT));
    this.iovec[1] = BigInt(this.buffer.length - AT);
    const view = new DataView(this.header.buffer);
    view.setBigUint64(16, BigInt(ptr(this.iovec)), true);
    view.setBigUint64(24, 1n, true);
  }

  send({ data, vnet }: Packet): void {
    const whole = new Uint8Array(VNET_BYTES + data.length);
    if (vnet) whole.set(vnet, 0);
    whole.set(data, VNET_BYTES);
    if (this.libc.send(this.fd, whole) < 0) {
      throw new Error(`send of ${data.length} bytes: errno ${this.libc.errno}`);
    }
  }

  receive(): Packet | undefined {
    // Asked anew each time: a small array's memory moves when its `buffer` is first looked at.
    const view = new DataView(this.header.buffer);
    view.setBigUint64(32, BigInt(ptr(this.control)), true);
    view.setBigUint64(40, BigInt(this.control.length), true);
    const got = this.libc.recvmsg(this.fd, this.header);
    if (got < 0) {
      if (this.libc.errno === EAGAIN) return undefined;
      throw new Error(`recvmsg: errno ${this.libc.errno}`);
    }
    const { frame, buffer } = this;
    frame.set(buffer, AT + VNET_BYTES, got - VNET_BYTES, true, 0);
    const control = new DataView(this.control.buffer);
    const status = control.getUint32(16, true);
    if ((status & TP_STATUS_VLAN_VALID) !== 0) {
      const tpid = (status & TP_STATUS_VLAN_TPID_VALID) === 0
        ? 0x8100
        : control.getUint16(34, true);
      extract(frame, 0, 0, 0);
      pushVlan(frame, tpid, control.getUint16(32, true));
    }
    const { offset, length } = frame;
    return {
      data: buffer.slice(offset, offset + length),
      vnet: buffer.slice(offset - VNET_BYTES, offset),
    };
  }

  close(): void {
    this.libc.close(this.fd);
  }
}
