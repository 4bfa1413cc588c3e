/**
 * Sending datagrams that may be lost: to a Unix socket, or over UDP. Nothing blocks: what the kernel
 * cannot take now is dropped, which suits logs.
 *
 * Limits: addresses are numbers, no names are looked up. References: unix(7), udp(7), send(2).
 */
import { isIPv4, isIPv6 } from "node:net";
import { close, connect, ERRNO, errno, raw, socket, SystemError } from "./libc.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** `sun_path` with its NUL. */
const UNIX_PATH_BYTES = 108;

export class DatagramSender {
  private constructor(private readonly fd: number) {}

  /** Throws `SystemError` if nobody listens there. */
  static toPath(path: string): DatagramSender {
    const name = new TextEncoder().encode(path);
    if (name.length >= UNIX_PATH_BYTES) throw new SystemError("connect", ERRNO.ENAMETOOLONG, path);
    const sockaddr = new Uint8Array(2 + name.length + 1);
    new DataView(sockaddr.buffer).setUint16(0, AF_UNIX, true);
    sockaddr.set(name, 2);
    return DatagramSender.open(AF_UNIX, sockaddr);
  }

  /** `host` is an address. Throws `SystemError`. */
  static toHost(host: string, port: number): DatagramSender {
    const v6 = isIPv6(host);
    if (!v6 && !isIPv4(host)) throw new SystemError("connect", ERRNO.EINVAL, host);
    const sockaddr = new Uint8Array(v6 ? 28 : 16);
    const view = new DataView(sockaddr.buffer);
    view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
    view.setUint16(2, port);
    sockaddr.set(v6 ? ipv6Bytes(host) : host.split(".").map(Number), v6 ? 8 : 4);
    return DatagramSender.open(v6 ? AF_INET6 : AF_INET, sockaddr);
  }

  private static open(family: number, sockaddr: Uint8Array): DatagramSender {
    const fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    try {
      connect(fd, sockaddr);
    } catch (error) {
      close(fd);
      throw error;
    }
    return new DatagramSender(fd);
  }

  /** An errno, or 0. A datagram that is too long is cut until it fits. */
  send(bytes: Uint8Array): number {
    for (let length = bytes.length;;) {
      if (raw.send(this.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
      const error = errno();
      if (error !== ERRNO.EMSGSIZE || length < 20) return error;
      length -= Math.floor(length / 20);
    }
  }

  close(): void {
    close(this.fd);
  }
}

/** Of an address that is one. */
function ipv6Bytes(address: string): Uint8Array {
  // The URL parser writes an embedded IPv4 address as groups.
  const text = new URL(`http://[${address.replace(/%.*/, "")}]/`).hostname.slice(1, -1);
  const [head = "", tail] = text.split("::");
  const groups = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  first.forEach((group, i) => view.setUint16(2 * i, group));
  last.forEach((group, i) => view.setUint16(16 - 2 * (last.length - i), group));
  return bytes;
}
