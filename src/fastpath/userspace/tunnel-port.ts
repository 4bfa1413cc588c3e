/**
 * A tunnel port: all tunnels of one kind (and UDP port), as sockets of the host's IP stack
 * (src/linux/tunnel-socket.ts). What is sent here has its outer headers described by the tunnel metadata
 * of its key; what is received has what its outer headers said there. Routes, next hops, fragments and
 * path MTU are the kernel's.
 *
 *     super-packet ──> headers of its segments ──> one message, UDP_SEGMENT ──> the kernel cuts
 *     UDP_GRO: several tunnelled packets in one ──> joined to a super-packet ──> the flow's actions
 *
 * - Payloads are not copied here: messages point at the frames.
 * - Inner checksums that are left to a card are finished, for no card looks so deep.
 * - Which source port a packet leaves by depends on the inner flow, so a flow keeps its order.
 * - Packets that leave through a bridge's own port do not pass here: they are `tnl_push`ed.
 *
 * Sockets were chosen over packet sockets on the routed device, for which routes, ARP, fragments and
 * reassembly would have to be done here once more, and which do not keep the host from answering "port
 * unreachable".
 */
import { Epoll } from "../../linux/epoll.ts";
import type { TunnelSockets } from "../../linux/tunnel-socket.ts";
import { fold, sumBytes, sumRange } from "../../packet/checksum.ts";
import { VNET_BYTES, VNET_F_NEEDS_CSUM } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { plainFrames, SegmentError } from "../../packet/vnet.ts";
import { readU16, writeU16 } from "../../packet/big-endian.ts";
import type { TunnelKind } from "../actions.ts";
import type { TunnelWire } from "../datapath.ts";
import { counterIndex, tunnelError } from "../engine/counters.ts";
import { hashFiveTuple } from "../engine/flow-hash.ts";
import { TUNNEL_WORD } from "../tunnel-key.ts";
import { adoptPartial, joinSegments } from "../tunnels/join.ts";
import { GRE_F_CSUM } from "../tunnels/header.ts";
import { clearTunnel, popPayload } from "../tunnels/pop.ts";
import { finishGtpu, numberGre } from "../tunnels/push.ts";
import { Segments } from "../tunnels/segments.ts";
import type { FrameMemory } from "./arena.ts";
import type { Forwarder } from "./forwarder.ts";
import type { PortCounters, WorkerPort } from "./port.ts";
import type { OpenedTunnelDevice } from "./tunnel-port-device.ts";
import { type Encapsulation, Encapsulations } from "./tunnel-port-headers.ts";
import { TunnelQueue } from "./tunnel-port-queue.ts";
import { TunnelReceiver } from "./tunnel-port-receiver.ts";

const NO_METADATA = counterIndex("drop_tunnel_no_metadata");
const CANNOT_CARRY = counterIndex("drop_tunnel_cannot_carry");
const TOO_BIG = counterIndex("drop_rx_too_big");
const PROTOCOL_GRE = 47;
/** Most that IP takes, with room for its header and UDP's (RFC 791 §3.1, RFC 8200 §3). */
const MOST_BYTES = 65535 - 20 - 8;
/** Linux' limit before 6.9. */
const MOST_SEGMENTS = 64;
/** A tunnel header with all options (Geneve: 8 and 252). */
const MOST_HEADER_BYTES = 264;
const W_METADATA = slot("packet_type").offset >> 2;

/** What a tunnel port needs, opened by the setup worker. */
export interface OpenedTunnel {
  readonly type: "tunnel";
  readonly kind: TunnelKind;
  readonly wire: TunnelWire;
  readonly sockets: TunnelSockets;
  /** What receives in the place of sockets, and punts what the kernel cannot forward. */
  readonly device?: OpenedTunnelDevice;
}

export class TunnelPort implements WorkerPort {
  /** Of the kernel's device behind it; 0 without one. */
  readonly ifindex: number;
  readonly layer3 = true;
  readonly fd: number;
  private readonly epoll = new Epoll(2);
  private readonly receivers: readonly TunnelReceiver[];
  private readonly queues4: readonly TunnelQueue[];
  private readonly queues6: readonly TunnelQueue[];
  private readonly encapsulations: Encapsulations;
  private readonly segments = new Segments();
  private readonly sequence = { next: 0 };
  /** The tunnel header of the packet before it is taken off. */
  private readonly header = new Uint8Array(MOST_HEADER_BYTES);
  private readonly kind: TunnelKind;
  /** The header is the same for every packet of a tunnel. */
  private readonly fixed: boolean;
  private readonly overGre: boolean;
  private owes = false;

  constructor(
    readonly portNo: number,
    readonly name: string,
    { kind, wire, sockets, device }: OpenedTunnel,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
  ) {
    this.kind = kind;
    this.ifindex = device?.ifindex ?? 0;
    this.fixed = kind === "vxlan" || kind === "geneve" || kind === "lisp";
    this.overGre = sockets.protocol === PROTOCOL_GRE;
    this.encapsulations = new Encapsulations(kind, wire);
    const { ipv4, ipv6, udpPort } = sockets;
    this.receivers = [
      ...(ipv4 < 0 ? [] : [new TunnelReceiver(ipv4, true, udpPort)]),
      ...(ipv6 < 0 ? [] : [new TunnelReceiver(ipv6, false, udpPort)]),
    ];
    for (const fd of [ipv4, ipv6]) if (fd >= 0) this.epoll.add(fd, fd);
    this.fd = this.epoll.fd;
    const queue = (is4: boolean) => (fd: number): TunnelQueue =>
      new TunnelQueue(fd, is4, !this.overGre, counters, () => forwarder.nowMs);
    this.queues4 = sockets.sendIpv4.map(queue(true));
    this.queues6 = sockets.sendIpv6.map(queue(false));
  }

  receive(budget: number): number {
    let n = 0;
    for (const receiver of this.receivers) {
      const got = receiver.receive(budget);
      for (let i = 0; i < got; i++) this.take(receiver, i);
      if (got > 0) {
        this.forwarder.flush();
        n += got;
      }
    }
    return n;
  }

  /** Forwards datagram `i`, or each of those that are joined in it. */
  private take(receiver: TunnelReceiver, i: number): void {
    const { forwarder, counters, kind, header } = this;
    const { frame } = forwarder;
    const { bytes } = receiver.memory;
    const start = receiver.at(i);
    const end = start + receiver.length(i);
    if (receiver.isCut(i)) {
      counters.rxDropped(1);
      return forwarder.count(TOO_BIG);
    }
    const ip = this.overGre && receiver.ipv4 ? (bytes[start]! & 0xf) * 4 : 0;
    for (let at = start + ip; at < end;) {
      // An action may have changed the metadata.
      const { words } = frame.key;
      for (let word = W_METADATA; word < frame.keyWords; word++) words[word] = 0;
      clearTunnel(frame);
      receiver.describe(i, frame.key);
      const stride = receiver.segmentBytes;
      const joined = stride > 0 && stride < end - at;
      const next = joined ? at + stride : end;
      if (joined) { for (let k = 0; k < MOST_HEADER_BYTES; k++) header[k] = bytes[at + k]!; }
      bytes.fill(0, at - VNET_BYTES, at);
      frame.set(bytes, at, next - at, true, at - VNET_BYTES);
      frame.l3End = next - at;
      const result = popPayload(frame, kind, at, next);
      const first = at;
      at = next;
      counters.received(frame.length);
      if (result !== "ok") {
        forwarder.count(tunnelError(result));
        continue;
      }
      if (joined) {
        const more = joinSegments(frame, header, frame.offset - first, next, stride, end);
        if (more > 0) at = Math.min(end, next + more * stride);
        else adoptPartial(frame);
      } else adoptPartial(frame);
      forwarder.forwardInner(receiver.memory, this.portNo);
    }
  }

  transmit(memory: FrameMemory, at: number, length: number): void {
    const { forwarder } = this;
    const { frame } = forwarder;
    if (frame.keyWords <= TUNNEL_WORD) return this.refuse(NO_METADATA);
    const encapsulation = this.encapsulations.find(frame);
    if (!encapsulation) return this.refuse(CANNOT_CARRY);
    const queues = encapsulation.ipv4 ? this.queues4 : this.queues6;
    const hash = queues.length === 1 ? 0 : hashFiveTuple(frame.key, 0) >>> 0;
    const queue = queues[hash % queues.length];
    if (!queue) return this.refuse(CANNOT_CARRY);
    if (!this.owes) {
      this.owes = true;
      forwarder.owing.push(this);
    }
    const start = at + VNET_BYTES;
    const size = length - VNET_BYTES;
    if (memory.bytes[at + 1] !== 0) this.cut(queue, encapsulation, memory, at, size);
    else if ((memory.bytes[at]! & VNET_F_NEEDS_CSUM) !== 0) {
      this.finished(queue, encapsulation, memory, at, size);
    } else this.plain(queue, encapsulation, memory, start, size);
  }

  private refuse(counter: number): void {
    this.forwarder.count(counter);
    this.counters.txDropped(1);
  }

  /** A packet that goes as it is. */
  private plain(
    queue: TunnelQueue,
    encapsulation: Encapsulation,
    memory: FrameMemory,
    start: number,
    size: number,
  ): void {
    const { header, headerAt } = encapsulation;
    queue.begin(encapsulation, 1, 0, size, header.length);
    if (this.fixed) queue.piece(headerAt, header.length);
    else {
      const head = queue.head(header.length);
      queue.heads.set(header, head);
      const sum = this.sums(header) ? sumRange(memory.bytes, memory.words, start, start + size) : 0;
      this.finishHeader(queue.heads, head, header.length, size, sum);
    }
    queue.piece(memory.address + start, size);
  }

  /** A packet whose checksum is left to be finished: what stands up to it is copied. */
  private finished(
    queue: TunnelQueue,
    encapsulation: Encapsulation,
    memory: FrameMemory,
    vnet: number,
    size: number,
  ): void {
    const { bytes, words } = memory;
    const start = vnet + VNET_BYTES;
    const from = bytes[vnet + 6]! | (bytes[vnet + 7]! << 8);
    const field = from + (bytes[vnet + 8]! | (bytes[vnet + 9]! << 8));
    const copied = field + 2;
    if (copied > size || copied > 512) return this.plain(queue, encapsulation, memory, start, size);
    const { header } = encapsulation;
    queue.begin(encapsulation, 1, 0, size, header.length + copied);
    const head = queue.head(header.length + copied);
    const inner = head + header.length;
    const { heads } = queue;
    heads.set(header, head);
    for (let i = 0; i < copied; i++) heads[inner + i] = bytes[start + i]!;
    const sum = sumRange(bytes, words, start + from, start + size);
    writeU16(heads, inner + field, (~sum & 0xffff) || 0xffff);
    if (!this.fixed) {
      const whole = this.sums(header)
        ? fold(
          sumBytes(heads, inner, inner + copied) +
            odd(copied, sumRange(bytes, words, start + copied, start + size)),
        )
        : 0;
      this.finishHeader(heads, head, header.length, size, whole);
    }
    if (size > copied) queue.piece(memory.address + start + copied, size - copied);
  }

  /** A super-packet: its segments in as few messages as the kernel takes. */
  private cut(
    queue: TunnelQueue,
    encapsulation: Encapsulation,
    memory: FrameMemory,
    vnet: number,
    size: number,
  ): void {
    const { segments, forwarder } = this;
    if (!segments.begin(forwarder.frame, memory.words)) {
      return this.cutAway(encapsulation, memory, vnet, size);
    }
    const { header } = encapsulation;
    const { count, headBytes } = segments;
    const head = header.length + headBytes;
    const stride = head + segments.payloadBytes(0);
    const together = this.overGre || forwarder.nowMs < encapsulation.plainUntilMs
      ? 1
      : Math.max(1, Math.min(MOST_SEGMENTS, Math.floor(MOST_BYTES / stride)));
    for (let i = 0; i < count;) {
      const n = Math.min(together, count - i);
      let bytes = 0;
      for (let k = i; k < i + n; k++) bytes += headBytes + segments.payloadBytes(k);
      queue.begin(encapsulation, n, stride, bytes, n * head);
      for (const last = i + n; i < last; i++) {
        const at = queue.head(head);
        queue.heads.set(header, at);
        segments.writeHead(i, queue.heads, at + header.length);
        const payload = segments.payloadBytes(i);
        if (!this.fixed) {
          const inner = at + header.length;
          const sum = this.sums(header)
            ? fold(
              sumBytes(queue.heads, inner, inner + headBytes) + odd(headBytes, segments.payloadSum),
            )
            : 0;
          this.finishHeader(queue.heads, at, header.length, headBytes + payload, sum);
        }
        queue.piece(memory.address + segments.payloadAt(i), payload);
      }
    }
  }

  /** What no hot path cuts: in memory of its own, sent at once. */
  private cutAway(
    encapsulation: Encapsulation,
    { bytes }: FrameMemory,
    vnet: number,
    size: number,
  ): void {
    const start = vnet + VNET_BYTES;
    let frames: Uint8Array[];
    try {
      frames = plainFrames(bytes.subarray(start, start + size), bytes.subarray(vnet, start));
    } catch (error) {
      if (!(error instanceof SegmentError) && !(error instanceof RangeError)) throw error;
      return this.refuse(CANNOT_CARRY);
    }
    const queue = (encapsulation.ipv4 ? this.queues4 : this.queues6)[0]!;
    for (const plain of frames) {
      const { header } = encapsulation;
      const all = header.length + plain.length;
      queue.begin(encapsulation, 1, 0, plain.length, all);
      const head = queue.head(all);
      queue.heads.set(header, head);
      queue.heads.set(plain, head + header.length);
      if (this.fixed) continue;
      const sum = this.sums(header) ? fold(sumBytes(plain, 0, plain.length)) : 0;
      this.finishHeader(queue.heads, head, header.length, plain.length, sum);
    }
  }

  /** Whether the tunnel's header has a checksum over what it carries. */
  private sums(header: Uint8Array): boolean {
    return this.overGre && (readU16(header, 0) & GRE_F_CSUM) !== 0;
  }

  /** `sum`: of the inner packet, where the header has a checksum over it. */
  private finishHeader(
    heads: Uint8Array,
    at: number,
    headerBytes: number,
    inner: number,
    sum: number,
  ): void {
    if (this.kind === "gtpu") return finishGtpu(heads, at, inner, this.sequence);
    if (!this.overGre) return;
    numberGre(heads, at, this.sequence);
    if ((readU16(heads, at) & GRE_F_CSUM) === 0) return;
    writeU16(heads, at + 4, ~fold(sumBytes(heads, at, at + headerBytes) + sum));
  }

  flush(): void {
    this.owes = false;
    for (const queue of this.queues4) if (!queue.isEmpty) queue.flush();
    for (const queue of this.queues6) if (!queue.isEmpty) queue.flush();
    this.encapsulations.release();
  }

  keepHouse(): void {}

  failed(): undefined {
    return undefined;
  }

  end(): void {
    this.epoll.close();
  }
}

/** The sum of what follows an odd number of bytes, as it counts behind them. */
function odd(before: number, sum: number): number {
  return (before & 1) === 0 ? sum : ((sum & 0xff) << 8) | (sum >>> 8);
}
