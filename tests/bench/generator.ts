/**
 * The packet generator of the bench, on AF_PACKET sockets that bypass the queueing discipline.
 *
 *   bun generator.ts '{"device":"eth0","mac":"02:00:00:00:00:02","mode":"flood",…}'
 *
 * - `flood`: UDP frames of `flows` flows of `size` bytes as fast as it can, or `rate` a second. All
 *   frames and message headers are built beforehand, so the loop is one system call a batch.
 * - `fresh`: each frame is another flow than any before (its source address and port), numbered from
 *   `first` on: UDP, or TCP SYN with `tcp`. With `window` and `receiver` at most so many packets are
 *   under way, counted at the receiving device: the rate is what the switch can do without losses.
 * - `one`: as `fresh`, one packet after the other, `pauseMs` apart: how long each takes to `receiver`.
 *
 * Addresses are of 198.18.0.0/15 (RFC 2544). Sizes count from the destination address on, without
 * FCS. Prints one line of JSON at the end (`Report`).
 */
import { openSync, readSync } from "node:fs";
import { ptr } from "bun:ffi";
import { tcpSyn, udp } from "../support/frames.ts";
import { Libc } from "../support/libc.ts";
import { withinNamespace } from "../support/setns.ts";

export interface Receiver {
  /** Path of its network namespace. */
  readonly namespace: string;
  readonly device: string;
}

export interface Job {
  readonly device: string;
  readonly mac: string;
  readonly mode: "flood" | "fresh" | "one";
  readonly seconds: number;
  /** The sender's number: the last byte of its MAC address, and of its flows' destination. */
  readonly sender?: number;
  readonly size?: number;
  readonly flows?: number;
  readonly rate?: number;
  readonly tcp?: boolean;
  readonly first?: number;
  readonly window?: number;
  readonly receiver?: Receiver;
  /** Of `fresh`: no more than so many packets. Of `one`: how many. */
  readonly count?: number;
  readonly pauseMs?: number;
}

export interface Report {
  readonly sent: number;
  readonly seconds: number;
  /** Of `fresh` with a window: what came out at the other side, and how often that stood still. */
  readonly received?: number;
  readonly stalls?: number;
  /** Of `one`: milliseconds, of the packets that came. */
  readonly tookMs?: readonly number[];
}

const BATCH = 64;
/** struct mmsghdr: msghdr 56 bytes, msg_len u32, padding. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
/** Nothing came out for so long: what is missing is lost. */
const STALL_MS = 50;

class Sender {
  readonly libc = new Libc();
  private readonly fd: number;
  private readonly iovecs: Uint8Array;
  private readonly messages: Uint8Array;

  constructor(device: string, readonly frames: Uint8Array, readonly size: number) {
    const count = frames.length / size;
    this.iovecs = new Uint8Array(count * IOVEC_BYTES);
    this.messages = new Uint8Array(count * MMSGHDR_BYTES);
    const iovecView = new DataView(this.iovecs.buffer);
    const messageView = new DataView(this.messages.buffer);
    const framesAt = BigInt(ptr(frames));
    const iovecsAt = BigInt(ptr(this.iovecs));
    for (let i = 0; i < count; i++) {
      iovecView.setBigUint64(i * IOVEC_BYTES, framesAt + BigInt(i * size), true);
      iovecView.setBigUint64(i * IOVEC_BYTES + 8, BigInt(size), true);
      messageView.setBigUint64(i * MMSGHDR_BYTES + 16, iovecsAt + BigInt(i * IOVEC_BYTES), true);
      messageView.setBigUint64(i * MMSGHDR_BYTES + 24, 1n, true);
    }
    this.fd = packetSocket(this.libc, device);
    this.libc.setOption(this.fd, 263, 20, 1); // PACKET_QDISC_BYPASS
  }

  /** Sends `count` frames from number `at` on; how many were taken. */
  send(at: number, count: number): number {
    return Math.max(0, this.libc.sendmmsg(this.fd, this.messages, at * MMSGHDR_BYTES, count));
  }
}

function packetSocket(libc: Libc, device: string): number {
  const fd = libc.socket(17, 3, 0);
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, 17, true);
  view.setUint16(2, 0x0300, true); // ETH_P_ALL
  view.setInt32(4, libc.interfaceIndex(device), true);
  libc.bind(fd, address);
  return fd;
}

/** A frame whose source address and port are still those of flow 0. */
function template({ mac, sender = 1, size = 64, tcp = false }: Job): Uint8Array {
  const common = {
    srcMac: `02:00:00:00:00:0${sender}`,
    dstMac: mac,
    srcIp: "198.18.0.0",
    dstIp: `198.19.0.${sender}`,
    srcPort: 0,
  };
  return tcp
    ? tcpSyn({ ...common, dstPort: 80 })
    : udp({ ...common, dstPort: 2048, payload: new Uint8Array(size - 42) });
}

/** `flows` frames and more, up to a whole batch. */
function floodFrames(job: Job): { frames: Uint8Array; size: number; count: number } {
  const { flows = 1, size = 64, sender = 1 } = job;
  const count = Math.ceil(flows / BATCH) * BATCH;
  const frames = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) {
    const flow = i % flows;
    frames.set(
      udp({
        srcMac: `02:00:00:00:00:0${sender}`,
        dstMac: job.mac,
        srcIp: `198.18.${(flow >>> 8) & 0xff}.${flow & 0xff}`,
        dstIp: `198.19.0.${sender}`,
        srcPort: 1024 + (flow % 60_000),
        dstPort: 2048 + (flow & 0xff),
        payload: new Uint8Array(size - 42),
      }),
      i * size,
    );
  }
  return { frames, size, count };
}

function flood(job: Job): Report {
  const { frames, size, count } = floodFrames(job);
  const sender = new Sender(job.device, frames, size);
  const { rate } = job;
  // At a fixed rate smaller batches, so that queues stay short.
  const batch = rate === undefined ? BATCH : 16;
  let sent = 0;
  const started = performance.now();
  const end = started + job.seconds * 1000;
  for (let at = 0, now = started; now < end; now = performance.now()) {
    if (rate !== undefined) {
      const ahead = sent / rate * 1000 - (now - started);
      if (ahead > 0) {
        sender.libc.sleep(Math.max(ahead * 1000, 200));
        continue;
      }
    }
    // A batch cut short (the peer's queue is full) is not sent again: the next one follows.
    sent += rate === undefined ? sender.send(at, batch) : (sender.send(at, batch), batch);
    at = at + batch >= count ? 0 : at + batch;
  }
  return { sent, seconds: (performance.now() - started) / 1000 };
}

/** A batch of frames in which the flow is exchanged before each is sent, checksums kept right. */
class FreshFrames {
  readonly frames: Uint8Array;
  readonly size: number;
  private readonly checksumAt: number;
  private readonly baseIp: number;
  private readonly baseL4: number;

  constructor(job: Job, private next: number) {
    const one = template(job);
    this.size = one.length;
    this.frames = new Uint8Array(BATCH * one.length);
    for (let i = 0; i < BATCH; i++) this.frames.set(one, i * one.length);
    this.checksumAt = job.tcp === true ? 50 : 40;
    this.baseIp = (one[24]! << 8) | one[25]!;
    this.baseL4 = (one[this.checksumAt]! << 8) | one[this.checksumAt + 1]!;
  }

  /** Makes the first `count` frames new flows. */
  renew(count: number): void {
    const { frames, size, checksumAt } = this;
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const flow = this.next++;
      const port = 1024 + (flow % 60_000);
      const host = Math.floor(flow / 60_000) & 0xffff;
      frames[at + 28] = host >>> 8;
      frames[at + 29] = host;
      frames[at + 34] = port >>> 8;
      frames[at + 35] = port;
      put(frames, at + 24, this.baseIp, host);
      put(frames, at + checksumAt, this.baseL4, host + port);
    }
  }
}

/** A checksum to which `more` was added in the sum that it is the complement of (RFC 1624). */
function put(frames: Uint8Array, at: number, checksum: number, more: number): void {
  let sum = (~checksum & 0xffff) + more;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  const result = ~sum & 0xffff;
  frames[at] = result >>> 8;
  frames[at + 1] = result;
}

/** How many packets a device has received, read again and again. */
class Arrivals {
  private readonly fd: number;
  private readonly buffer = Buffer.alloc(8192);

  constructor(private readonly receiver: Receiver) {
    this.fd = withinNamespace(
      receiver.namespace,
      () => openSync("/proc/thread-self/net/dev", "r"),
    );
  }

  count(): number {
    const length = readSync(this.fd, this.buffer, 0, this.buffer.length, 0);
    const text = this.buffer.toString("latin1", 0, length);
    const from = text.indexOf(`${this.receiver.device}:`) + this.receiver.device.length + 1;
    return Number(text.slice(from).trimStart().split(/\s+/, 2)[1]);
  }
}

function fresh(job: Job): Report {
  const frames = new FreshFrames(job, job.first ?? 0);
  const sender = new Sender(job.device, frames.frames, frames.size);
  const { window, receiver, count = Infinity } = job;
  const arrivals = window !== undefined && receiver ? new Arrivals(receiver) : undefined;
  const before = arrivals?.count() ?? 0;
  let [sent, lost, stalls, seen] = [0, 0, 0, 0];
  const started = performance.now();
  const end = started + job.seconds * 1000;
  let movedMs = started;
  for (let now = started; now < end && sent < count; now = performance.now()) {
    if (arrivals) {
      const received = arrivals.count() - before;
      if (received > seen) movedMs = now;
      seen = received;
      if (sent - lost - received > window! - BATCH) {
        if (now - movedMs > STALL_MS) {
          lost = sent - received;
          stalls++;
          movedMs = now;
        } else sender.libc.sleep(50);
        continue;
      }
    }
    frames.renew(BATCH);
    sent += sender.send(0, BATCH);
  }
  const seconds = (performance.now() - started) / 1000;
  return arrivals
    ? { sent, seconds, received: arrivals.count() - before, stalls }
    : { sent, seconds };
}

/** One packet at a time, each of a flow that nobody has seen. */
function one(job: Job): Report {
  const frames = new FreshFrames(job, job.first ?? 0);
  const sender = new Sender(job.device, frames.frames, frames.size);
  const { receiver, count = 100, pauseMs = 5 } = job;
  if (!receiver) throw new Error("mode one needs a receiver");
  const { libc } = sender;
  const fd = withinNamespace(receiver.namespace, () => packetSocket(libc, receiver.device));
  libc.setReceiveTimeout(fd, 200);
  const buffer = new Uint8Array(2048);
  const tookMs: number[] = [];
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    Bun.sleepSync(pauseMs);
    frames.renew(1);
    const sentAt = performance.now();
    sender.send(0, 1);
    for (;;) {
      const got = libc.recv(fd, buffer);
      if (got < 0) break;
      const ours = buffer[30] === 198 && buffer[34] === frames.frames[34] &&
        buffer[35] === frames.frames[35];
      if (!ours) continue;
      tookMs.push(performance.now() - sentAt);
      break;
    }
  }
  return { sent: count, seconds: (performance.now() - started) / 1000, tookMs };
}

if (import.meta.main) {
  const job = JSON.parse(process.argv[2] ?? "null") as Job | null;
  if (job === null) throw new Error("usage: generator.ts JOB");
  const run = { flood, fresh, one }[job.mode];
  console.log(JSON.stringify(run(job)));
}
