/**
 * What waits to be sent by one socket of a tunnel port: one message for each datagram, or, where the
 * kernel cuts (UDP_SEGMENT), one for all segments of a super-packet. A message is a list of pieces in
 * memory: headers, which this keeps, and payloads, which lie where they were received.
 *
 *     struct mmsghdr: see device-sender.ts. Its control messages are the tunnel's own
 *     (tunnel-port-headers.ts); a UDP_SEGMENT behind them needs a copy.
 *
 * DF and the absence of a UDP checksum are settings of the socket: a message that wants others than
 * those before it has them sent first.
 */
import { address, ERRNO, errno, MSG_DONTWAIT, raw, setsockopt } from "../../linux/libc.ts";
import { SOL_SOCKET } from "../../linux/af-packet.ts";
import {
  IP_MTU_DISCOVER,
  IPV6_MTU_DISCOVER,
  PMTUDISC_DO,
  PMTUDISC_DONT,
  SO_NO_CHECK,
  SOL_IP,
  SOL_IPV6,
  SOL_UDP,
  UDP_SEGMENT,
} from "../../linux/tunnel-socket.ts";
import type { PortCounters } from "./port.ts";
import type { Encapsulation } from "./tunnel-port-headers.ts";

const MESSAGES = 64;
const MMSGHDR_BYTES = 64;
const IOVEC_WORDS = 4;
/** Two for each segment. */
const PIECES = 1024;
const HEAD_BYTES = 96 << 10;
const CONTROL_BYTES = 192;
/** How long a tunnel whose path is too narrow for what is to be cut is left alone. */
const RETRY_MS = 10_000;

export class TunnelQueue {
  /** Headers of what waits. */
  readonly heads = new Uint8Array(new ArrayBuffer(HEAD_BYTES));
  private readonly headsAt = address(this.heads);
  private headUsed = 0;
  private readonly messages = new Uint8Array(new ArrayBuffer(MESSAGES * MMSGHDR_BYTES));
  private readonly words = new Uint32Array(this.messages.buffer);
  private readonly messagesAt = address(this.messages);
  private readonly iovecs = new Uint32Array(new ArrayBuffer(PIECES * IOVEC_WORDS * 4));
  private readonly iovecsAt = address(this.iovecs);
  private pieces = 0;
  private readonly controls = new Uint8Array(new ArrayBuffer(MESSAGES * CONTROL_BYTES));
  private readonly controlView = new DataView(this.controls.buffer);
  private readonly controlsAt = address(this.controls);
  /** One message, for segments that have to go one by one. */
  private readonly single = new Uint32Array(new ArrayBuffer(MMSGHDR_BYTES));
  private readonly singleAt = address(this.single);
  private readonly sizes = new Uint32Array(MESSAGES);
  private readonly segments = new Uint32Array(MESSAGES);
  private readonly of: (Encapsulation | undefined)[] = new Array<undefined>(MESSAGES);
  private queued = 0;
  private dontFragment: boolean | undefined;
  private checksum = true;

  constructor(
    private readonly fd: number,
    private readonly ipv4: boolean,
    private readonly udp: boolean,
    private readonly counters: PortCounters,
    private readonly now: () => number,
  ) {}

  get isEmpty(): boolean {
    return this.queued === 0;
  }

  /**
   * Begins a message of `segments` datagrams (each `segmentBytes`, but for the last) with so many pieces
   * and bytes of headers. `size`: what the port's statistics count.
   */
  begin(
    encapsulation: Encapsulation,
    segments: number,
    segmentBytes: number,
    size: number,
    headBytes: number,
  ): void {
    const checksum = !this.ipv4 || encapsulation.checksum || segments > 1;
    if (
      this.queued === MESSAGES || this.pieces + 2 * segments > PIECES ||
      this.headUsed + headBytes > HEAD_BYTES ||
      this.dontFragment !== encapsulation.dontFragment || this.checksum !== checksum
    ) {
      this.flush();
      this.configure(encapsulation.dontFragment, checksum);
    }
    const at = this.queued * (MMSGHDR_BYTES >> 2);
    const { name, nameAt, control, controlAt } = encapsulation;
    this.pointer(at, nameAt);
    this.words[at + 2] = name.length;
    this.pointer(at + 4, this.iovecsAt + this.pieces * IOVEC_WORDS * 4);
    this.words[at + 6] = 0;
    if (segments > 1) {
      const to = this.queued * CONTROL_BYTES;
      this.controls.set(control, to);
      const end = to + control.length;
      const { controlView } = this;
      controlView.setUint32(end, 18, true);
      controlView.setUint32(end + 4, 0);
      controlView.setInt32(end + 8, SOL_UDP, true);
      controlView.setInt32(end + 12, UDP_SEGMENT, true);
      controlView.setUint16(end + 16, segmentBytes, true);
      this.pointer(at + 8, this.controlsAt + to);
      this.words[at + 10] = control.length + 24;
    } else {
      this.pointer(at + 8, controlAt);
      this.words[at + 10] = control.length;
    }
    this.sizes[this.queued] = size;
    this.segments[this.queued] = segments;
    this.of[this.queued] = encapsulation;
    this.queued++;
  }

  /** A piece of the message that was begun last. */
  piece(at: number, length: number): void {
    const word = this.pieces++ * IOVEC_WORDS;
    const { iovecs } = this;
    iovecs[word] = at % 0x1_0000_0000;
    iovecs[word + 1] = at / 0x1_0000_0000;
    iovecs[word + 2] = length;
    this.words[(this.queued - 1) * (MMSGHDR_BYTES >> 2) + 6]!++;
  }

  /** Room in `heads` for a piece; its offset there. Counted by `begin`. */
  head(length: number): number {
    const at = this.headUsed;
    this.headUsed += length;
    this.piece(this.headsAt + at, length);
    return at;
  }

  flush(): void {
    const { queued, counters } = this;
    let done = 0;
    while (done < queued) {
      const at = this.messagesAt + done * MMSGHDR_BYTES;
      const sent = raw.sendmmsg(this.fd, at, queued - done, MSG_DONTWAIT);
      const error = sent > 0 ? 0 : errno();
      for (let i = 0; i < sent; i++, done++) {
        counters.sentMany(this.segments[done]!, this.sizes[done]!);
      }
      if (sent > 0 || error === ERRNO.EINTR) continue;
      if (this.segments[done]! > 1 && error !== ERRNO.EAGAIN) this.oneByOne(done);
      else counters.sendFailed(error, this.segments[done]!);
      done++;
    }
    this.queued = 0;
    this.pieces = 0;
    this.headUsed = 0;
  }

  /** The kernel does not cut this one (its segments are longer than the path takes, say). */
  private oneByOne(message: number): void {
    const { single, words, counters, of } = this;
    const at = message * (MMSGHDR_BYTES >> 2);
    const encapsulation = of[message]!;
    encapsulation.plainUntilMs = this.now() + RETRY_MS;
    for (let i = 0; i < 16; i++) single[i] = words[at + i]!;
    single[6] = 2;
    single[10] = encapsulation.control.length;
    const first = words[at + 4]! + words[at + 5]! * 0x1_0000_0000;
    const segments = this.segments[message]!;
    for (let i = 0; i < segments; i++) {
      const iov = first + i * 2 * IOVEC_WORDS * 4;
      single[4] = iov % 0x1_0000_0000;
      single[5] = iov / 0x1_0000_0000;
      if (raw.sendmmsg(this.fd, this.singleAt, 1, MSG_DONTWAIT) === 1) {
        counters.sentMany(1, Math.floor(this.sizes[message]! / segments));
      } else counters.sendFailed(errno(), 1);
    }
  }

  private configure(dontFragment: boolean, checksum: boolean): void {
    if (this.dontFragment !== dontFragment) {
      const level = this.ipv4 ? SOL_IP : SOL_IPV6;
      const option = this.ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
      setsockopt(this.fd, level, option, dontFragment ? PMTUDISC_DO : PMTUDISC_DONT);
      this.dontFragment = dontFragment;
    }
    if (this.udp && this.checksum !== checksum) {
      setsockopt(this.fd, SOL_SOCKET, SO_NO_CHECK, checksum ? 0 : 1);
    }
    this.checksum = checksum;
  }

  private pointer(word: number, at: number): void {
    this.words[word] = at % 0x1_0000_0000;
    this.words[word + 1] = at / 0x1_0000_0000;
  }
}
