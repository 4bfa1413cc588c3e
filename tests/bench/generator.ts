/**
 * The packet generator of the bench: sends UDP frames on one device as fast as it can, in batches
 * of 64 through `sendmmsg` on an AF_PACKET socket that bypasses the queueing discipline. All frames
 * and message headers are built beforehand, so the loop is one system call a batch.
 *
 *   bun generator.ts DEVICE DESTINATION-MAC FLOWS FRAME-BYTES SECONDS
 *
 * Flows differ in source address and ports (198.18.0.0/15, RFC 2544). Frame bytes are counted from
 * the destination address on, without FCS. Prints {"sent":N,"seconds":S} at the end.
 */
import { ptr } from "bun:ffi";
import { udp } from "../support/frames.ts";
import { Libc } from "../support/libc.ts";

const BATCH = 64;
/** struct mmsghdr: msghdr 56 bytes, msg_len u32, padding. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;

const [device, destination, flowsText, sizeText, secondsText] = process.argv.slice(2);
if (device === undefined || destination === undefined || secondsText === undefined) {
  throw new Error("usage: generator.ts DEVICE DESTINATION-MAC FLOWS FRAME-BYTES SECONDS");
}
const flows = Number(flowsText);
const size = Number(sizeText);
const seconds = Number(secondsText);

function frameOf(flow: number): Uint8Array {
  return udp({
    srcMac: "02:00:00:00:00:01",
    dstMac: destination!,
    srcIp: `198.18.${(flow >>> 8) & 0xff}.${flow & 0xff}`,
    dstIp: "198.19.0.1",
    srcPort: 1024 + flow,
    dstPort: 2048 + (flow & 0xff),
    payload: new Uint8Array(size - 42),
  });
}

const count = Math.ceil(flows / BATCH) * BATCH;
const frames = new Uint8Array(count * size);
const iovecs = new Uint8Array(count * IOVEC_BYTES);
const messages = new Uint8Array(count * MMSGHDR_BYTES);
const iovecView = new DataView(iovecs.buffer);
const messageView = new DataView(messages.buffer);
const framesAt = BigInt(ptr(frames));
const iovecsAt = BigInt(ptr(iovecs));
for (let i = 0; i < count; i++) {
  frames.set(frameOf(i % flows), i * size);
  iovecView.setBigUint64(i * IOVEC_BYTES, framesAt + BigInt(i * size), true);
  iovecView.setBigUint64(i * IOVEC_BYTES + 8, BigInt(size), true);
  messageView.setBigUint64(i * MMSGHDR_BYTES + 16, iovecsAt + BigInt(i * IOVEC_BYTES), true);
  messageView.setBigUint64(i * MMSGHDR_BYTES + 24, 1n, true);
}

const libc = new Libc();
const fd = libc.socket(17, 3, 0);
libc.setOption(fd, 263, 20, 1); // PACKET_QDISC_BYPASS
const address = new Uint8Array(20);
const addressView = new DataView(address.buffer);
addressView.setUint16(0, 17, true);
addressView.setInt32(4, libc.interfaceIndex(device), true);
libc.bind(fd, address);

let sent = 0;
const started = performance.now();
const end = started + seconds * 1000;
for (let at = 0; performance.now() < end; at = at + BATCH === count ? 0 : at + BATCH) {
  const done = libc.sendmmsg(fd, messages, at * MMSGHDR_BYTES, BATCH);
  // A batch cut short (the peer's queue is full) is not sent again: the next one follows.
  if (done > 0) sent += done;
}
console.log(JSON.stringify({ sent, seconds: (performance.now() - started) / 1000 }));
