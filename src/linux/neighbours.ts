/**
 * rtnetlink: what the host knows of its neighbours' Ethernet addresses, and IPv4 addresses and the
 * default gateway given to devices (rtnetlink(7), linux/neighbour.h, linux/if_addr.h).
 */
import { AF_INET, AF_INET6, RT_TABLE_MAIN, RTN_UNICAST } from "./addresses.ts";
import { ERRNO, SystemError } from "./libc.ts";
import { decodeAttributes, encodeAttributes } from "./netlink.ts";
import type { RouteSocket } from "./rtnetlink.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_NEWROUTE = 24;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const RTPROT_BOOT = 3;
/** The address is known, or was a moment ago: PERMANENT, PROBE, DELAY, STALE, REACHABLE. */
const NUD_KNOWN = 0x80 | 0x10 | 0x08 | 0x04 | 0x02;

const NEIGHBOUR = { destination: [1, "bytes"], linkAddress: [2, "bytes"] } as const;
const ADDRESS = { address: [1, "bytes"], local: [2, "bytes"] } as const;
const GATEWAY = { gateway: [5, "bytes"] } as const;

/** The Ethernet address of a neighbour (4 or 16 bytes), if the host knows it. */
export function readNeighbour(
  socket: RouteSocket,
  ifindex: number,
  address: Uint8Array,
): Uint8Array | undefined {
  // struct ndmsg: family u8, pad, ifindex s32, state u16, flags u8, type u8.
  const header = new Uint8Array(12);
  header[0] = address.length === 4 ? AF_INET : AF_INET6;
  new DataView(header.buffer).setInt32(4, ifindex, true);
  try {
    const answers = socket.request(
      "RTM_GETNEIGH",
      RTM_GETNEIGH,
      0,
      header,
      encodeAttributes(NEIGHBOUR, { destination: address }),
    );
    for (const { type, payload } of answers) {
      if (type !== RTM_NEWNEIGH || payload.length < 12) continue;
      const state = payload[8]! | (payload[9]! << 8);
      const { linkAddress } = decodeAttributes(NEIGHBOUR, payload.subarray(12));
      if ((state & NUD_KNOWN) !== 0 && linkAddress?.length === 6) return linkAddress.slice();
    }
    return undefined;
  } catch (error) {
    if (error instanceof SystemError && error.errno === ERRNO.ENOENT) return undefined;
    throw error;
  }
}

/** Gives a device an IPv4 address; one that it has already stays. */
export function addIpv4(
  socket: RouteSocket,
  ifindex: number,
  address: Uint8Array,
  length: number,
): void {
  socket.request(
    "RTM_NEWADDR",
    RTM_NEWADDR,
    NLM_F_CREATE | NLM_F_REPLACE,
    addressHeader(ifindex, length),
    encodeAttributes(ADDRESS, { address, local: address }),
  );
}

/** Takes it away; nothing if it is not there. */
export function removeIpv4(
  socket: RouteSocket,
  ifindex: number,
  address: Uint8Array,
  length: number,
): void {
  try {
    socket.request(
      "RTM_DELADDR",
      RTM_DELADDR,
      0,
      addressHeader(ifindex, length),
      encodeAttributes(ADDRESS, { address, local: address }),
    );
  } catch (error) {
    if (!(error instanceof SystemError && error.errno === ERRNO.EADDRNOTAVAIL)) throw error;
  }
}

/** A default route by an IPv4 gateway; nothing if there is one like it. */
export function addDefaultGateway(socket: RouteSocket, gateway: Uint8Array): void {
  // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags u32.
  const header = new Uint8Array(12);
  header.set([AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]);
  try {
    socket.request(
      "RTM_NEWROUTE",
      RTM_NEWROUTE,
      NLM_F_CREATE | NLM_F_EXCL,
      header,
      encodeAttributes(GATEWAY, { gateway }),
    );
  } catch (error) {
    if (!(error instanceof SystemError && error.errno === ERRNO.EEXIST)) throw error;
  }
}

/** struct ifaddrmsg: family, prefixlen, flags, scope, index u32. */
function addressHeader(ifindex: number, length: number): Uint8Array {
  const header = new Uint8Array(8);
  header.set([AF_INET, length]);
  new DataView(header.buffer).setUint32(4, ifindex, true);
  return header;
}
