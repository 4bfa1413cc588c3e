/**
 * Sockets of the host's own IP stack that carry tunnels: UDP (VXLAN, Geneve, GTP-U, LISP) and raw ones of
 * IP protocol 47 (GRE, ERSPAN). The kernel routes, resolves next hops, fragments and reassembles, and
 * checks outer checksums; nobody answers "port unreachable", because somebody listens.
 *
 * - One socket a family receives. Each datagram comes with what its outer header said: IP_PKTINFO (the
 *   address it was sent to), TTL, TOS.
 * - UDP tunnels send from sockets of their own, bound to ports that the kernel picks: the source port is
 *   what routers spread flows by (RFC 7348 §5, RFC 8926 §3.3), so each inner flow keeps to one of them.
 *   They receive nothing, by a filter.
 * - UDP_GRO: datagrams of one flow and size may come joined, with their size in a control message;
 *   UDP_SEGMENT is the way back. Linux joins and cuts only what has a checksum (udp(7)).
 *
 * Beside a tunnel device of the kernel (tunnel-device.ts), which has the UDP port, sockets only send.
 *
 * References: ip(7), ipv6(7), udp(7), raw(7), RFC 3542.
 */
import { bind, close, O_CLOEXEC, O_NONBLOCK, setsockopt, socket, SystemError } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./addresses.ts";
import { SO_SNDBUFFORCE, SOL_SOCKET } from "./af-packet.ts";
import { attachFilter, encodeFilter, type FilterInstruction } from "./socket-filter.ts";

export const SOL_IP = 0;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_PKTINFO = 50;
export const IPV6_HOPLIMIT = 52;
export const IPV6_TCLASS = 67;
/** DF clear: too large a packet is fragmented. */
export const PMTUDISC_DONT = 0;
/** DF set: too large a packet is refused with EMSGSIZE. */
export const PMTUDISC_DO = 2;
export const SO_NO_CHECK = 11;
export const SO_MARK = 36;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const IPPROTO_UDP = 17;
const IPPROTO_GRE = 47;
const SO_RCVBUFFORCE = 33;
const IP_RECVTTL = 12;
const IP_RECVTOS = 13;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_RECVTCLASS = 66;
const UDP_NO_CHECK6_RX = 102;

const QUEUE_BYTES = 8 << 20;
/** Source ports, a family: so many ways flows can be spread over. */
const SOURCE_PORTS = 8;

/** Descriptors of one tunnel kind's sockets: plain numbers, valid in every thread of the process. */
export interface TunnelSockets {
  /** IPPROTO_UDP or IPPROTO_GRE. */
  readonly protocol: number;
  /** UDP port that is listened on, and sent to unless a flow says otherwise; 0 for GRE. */
  readonly udpPort: number;
  /** They receive; -1 where the host has no such family, or a device of the kernel receives. */
  readonly ipv4: number;
  readonly ipv6: number;
  readonly sendIpv4: readonly number[];
  readonly sendIpv6: readonly number[];
}

/**
 * Which packets of IP protocol 47 a socket gets: those of GRE proper, or those of ERSPAN; `bare-gre`:
 * of GRE proper those that carry no Ethernet frame.
 */
export type GreSelection = "gre" | "bare-gre" | "erspan";

/** Which families a tunnel has, and which of them a device of the kernel receives. */
export interface TunnelFamilies {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly byDevice?: "none" | "ipv4" | "both";
  /** Nothing is received: others do that. */
  readonly sendOnly?: boolean;
}

/**
 * Opens the sockets in the thread's namespace. `udpPort` 0: raw sockets for what `select` says. Throws
 * a SystemError: EADDRINUSE where another program (or a tunnel device of the kernel) has the port.
 */
export function openTunnelSockets(
  udpPort: number,
  select: GreSelection,
  families: TunnelFamilies,
): TunnelSockets {
  const opened: number[] = [];
  const keep = (fd: number): number => {
    if (fd >= 0) opened.push(fd);
    return fd;
  };
  const protocol = udpPort === 0 ? IPPROTO_GRE : IPPROTO_UDP;
  const { byDevice = "none", sendOnly = false } = families;
  const receiver = (family: number): number => {
    if (sendOnly) return -1;
    const other = byDevice === "both" || (byDevice === "ipv4" && family === AF_INET);
    if (udpPort !== 0) return other ? -1 : keep(udpReceiver(family, udpPort));
    return keep(rawReceiver(family, other && select === "gre" ? "bare-gre" : select));
  };
  const senders = (family: number): number[] => {
    const count = udpPort === 0 ? 1 : SOURCE_PORTS;
    return Array.from({ length: count }, () => keep(sender(family, protocol)));
  };
  const none = { receiver: -1, senders: [] };
  const open = (family: number) => ({ receiver: receiver(family), senders: senders(family) });
  try {
    const ipv4 = families.ipv4 ? open(AF_INET) : none;
    const ipv6 = families.ipv6 && ifPresent(() => open(AF_INET6)) || none;
    return {
      protocol,
      udpPort,
      ipv4: ipv4.receiver,
      ipv6: ipv6.receiver,
      sendIpv4: ipv4.senders,
      sendIpv6: ipv6.senders,
    };
  } catch (error) {
    for (const fd of opened) close(fd);
    throw error;
  }
}

export function closeTunnelSockets({ ipv4, ipv6, sendIpv4, sendIpv6 }: TunnelSockets): void {
  for (const fd of [ipv4, ipv6, ...sendIpv4, ...sendIpv6]) if (fd >= 0) close(fd);
}

/** Undefined where the kernel has no IPv6. */
function ifPresent<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === "EAFNOSUPPORT" || error.code === "EADDRNOTAVAIL") return undefined;
    throw error;
  }
}

function udpReceiver(family: number, port: number): number {
  return configured(family, SOCK_DGRAM, IPPROTO_UDP, (fd) => {
    receiveMetadata(fd, family);
    if (family === AF_INET6) setsockopt(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX");
    try {
      setsockopt(fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
    } catch (error) {
      // Linux before 5.0: datagrams come one by one.
      if (!(error instanceof SystemError)) throw error;
    }
    bind(fd, anyAddress(family, port));
  });
}

function rawReceiver(family: number, select: GreSelection): number {
  return configured(family, SOCK_RAW, IPPROTO_GRE, (fd) => {
    attachFilter(fd, encodeFilter(greFilter(family === AF_INET, select)));
    receiveMetadata(fd, family);
  });
}

function sender(family: number, protocol: number): number {
  const type = protocol === IPPROTO_UDP ? SOCK_DGRAM : SOCK_RAW;
  return configured(family, type, protocol, (fd) => {
    attachFilter(fd, encodeFilter([[BPF_RET, 0, 0, 0]]));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, QUEUE_BYTES, "SO_SNDBUFFORCE");
    if (protocol === IPPROTO_UDP) bind(fd, anyAddress(family, 0));
  });
}

function configured(
  family: number,
  type: number,
  protocol: number,
  configure: (fd: number) => void,
): number {
  const fd = socket(family, type | O_CLOEXEC | O_NONBLOCK, protocol);
  try {
    if (family === AF_INET6 && type === SOCK_DGRAM) {
      setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    }
    configure(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function receiveMetadata(fd: number, family: number): void {
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES, "SO_RCVBUFFORCE");
  const [level, options] = family === AF_INET
    ? [SOL_IP, [IP_PKTINFO, IP_RECVTTL, IP_RECVTOS]] as const
    : [SOL_IPV6, [IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS]] as const;
  for (const option of options) setsockopt(fd, level, option, 1);
}

/** `struct sockaddr_in` or `sockaddr_in6` of the unspecified address. */
function anyAddress(family: number, port: number): Uint8Array {
  const sockaddr = new Uint8Array(family === AF_INET ? 16 : 28);
  sockaddr[0] = family;
  sockaddr[2] = port >> 8;
  sockaddr[3] = port;
  return sockaddr;
}

const BPF_LDX_MSH = 0xb1;
const BPF_LD_H_ABS = 0x28;
const BPF_LD_H_IND = 0x48;
const BPF_JEQ = 0x15;
const BPF_RET = 0x06;
const ALL = 0x40000;
const ETH_ERSPAN_1 = 0x88be;
const ETH_ERSPAN_2 = 0x22eb;
const ETH_TEB = 0x6558;

/** By the Ethernet type in the GRE header, which over IPv4 stands behind the IP header. */
function greFilter(ipv4: boolean, select: GreSelection): FilterInstruction[] {
  const [match, other] = select === "erspan" ? [ALL, 0] : [0, ALL];
  const third = select === "bare-gre" ? ETH_TEB : ETH_ERSPAN_2;
  const load: FilterInstruction[] = ipv4
    ? [[BPF_LDX_MSH, 0, 0, 0], [BPF_LD_H_IND, 0, 0, 2]]
    : [[BPF_LD_H_ABS, 0, 0, 2]];
  return [
    ...load,
    [BPF_JEQ, 2, 0, ETH_ERSPAN_1],
    [BPF_JEQ, 1, 0, ETH_ERSPAN_2],
    [BPF_JEQ, 0, 1, third],
    [BPF_RET, 0, 0, match],
    [BPF_RET, 0, 0, other],
  ];
}
