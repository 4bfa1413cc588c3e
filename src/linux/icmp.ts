/**
 * ICMP echo over a raw socket: a ping for machines that have no ping.
 *
 *    0       1       2               4               6               8
 *   +-------+-------+---------------+---------------+---------------+----------
 *   | type  | code  | checksum      | identifier    | sequence      | data …
 *   +-------+-------+---------------+---------------+---------------+----------
 *
 * Big endian. A raw IPv4 socket receives the IP header too, and every ICMP message of its namespace:
 * answers are told apart by identifier and sequence number. The call blocks its thread.
 *
 * References: RFC 792, raw(7).
 */
import { close, ERRNO, errno, poll, POLLIN, raw, recv, socket, SystemError } from "./libc.ts";

const AF_INET = 2;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
/** As the ping command sends: 56 bytes of data. */
const DATA_BYTES = 56;

/** RFC 1071, over an even number of bytes. */
function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function echoRequest(identifier: number, sequence: number): Uint8Array {
  const message = new Uint8Array(8 + DATA_BYTES);
  const view = new DataView(message.buffer);
  message[0] = ECHO_REQUEST;
  view.setUint16(4, identifier);
  view.setUint16(6, sequence);
  for (let i = 0; i < DATA_BYTES; i++) message[8 + i] = i;
  view.setUint16(2, internetChecksum(message));
  return message;
}

/** True if an IPv4 packet is the echo reply to that request. */
function isReply(packet: Uint8Array, identifier: number, sequence: number): boolean {
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
  if (packet.length < headerBytes + 8 || packet[headerBytes] !== ECHO_REPLY) return false;
  const view = new DataView(packet.buffer, packet.byteOffset + headerBytes, 8);
  return view.getUint16(4) === identifier && view.getUint16(6) === sequence;
}

export class Pinger {
  private readonly fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  private readonly identifier = process.pid & 0xffff;
  private sequence = 0;

  /** Round trip in milliseconds, or undefined if no answer came in time. `to` is 4 bytes. */
  ping(to: Uint8Array, timeoutMs: number): number | undefined {
    const sequence = ++this.sequence & 0xffff;
    const request = echoRequest(this.identifier, sequence);
    const sockaddr = new Uint8Array(16);
    new DataView(sockaddr.buffer).setUint16(0, AF_INET, true);
    sockaddr.set(to, 4);
    const sentAt = performance.now();
    if (raw.sendto(this.fd, request, request.length, 0, sockaddr, sockaddr.length) < 0) {
      // The kernel could not resolve the address yet: as good as no answer.
      if (errno() === ERRNO.EHOSTUNREACH) return undefined;
      throw new SystemError("sendto", errno(), to.join("."));
    }
    const pollfd = new Uint8Array(8);
    const view = new DataView(pollfd.buffer);
    view.setInt32(0, this.fd, true);
    view.setInt16(4, POLLIN, true);
    const packet = new Uint8Array(2048);
    for (;;) {
      const left = sentAt + timeoutMs - performance.now();
      if (left <= 0) return undefined;
      if (poll(pollfd, Math.ceil(left)) === 0) continue;
      const length = recv(this.fd, packet);
      if (isReply(packet.subarray(0, length), this.identifier, sequence)) {
        return performance.now() - sentAt;
      }
    }
  }

  close(): void {
    close(this.fd);
  }
}
