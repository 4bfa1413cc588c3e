/**
 * rtnetlink: addresses of the host's interfaces and its routes, read and watched (rtnetlink(7),
 * linux/if_addr.h, linux/rtnetlink.h).
 */
import { type Attributes, decodeAttributes, NLM_F_DUMP } from "./netlink.ts";
import { openRouteMulticast, type RouteSocket } from "./rtnetlink.ts";

const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;

const ADDRESS = {
  address: [1, "bytes"],
  local: [2, "bytes"],
} as const;

const ROUTE = {
  destination: [1, "bytes"],
  outputIfindex: [4, "u32"],
  gateway: [5, "bytes"],
  priority: [6, "u32"],
  preferredSource: [7, "bytes"],
  table: [15, "u32"],
  mark: [16, "u32"],
} as const;

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly family: number;
  readonly prefixLength: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
}

export interface KernelRoute extends Attributes<typeof ROUTE> {
  readonly family: number;
  readonly destinationLength: number;
  /** RT_TABLE_…, also above 255. */
  readonly table: number;
  /** RTN_…. */
  readonly routeType: number;
}

export function readAddresses(socket: RouteSocket): InterfaceAddress[] {
  const found: InterfaceAddress[] = [];
  // struct ifaddrmsg: family, prefixlen, flags, scope, index u32.
  for (const { type, payload } of socket.request("RTM_GETADDR", RTM_GETADDR, NLM_F_DUMP, zero(8))) {
    if (type !== RTM_NEWADDR || payload.length < 8) continue;
    const { address, local } = decodeAttributes(ADDRESS, payload.subarray(8));
    const own = local ?? address;
    if (!own) continue;
    found.push({
      family: payload[0]!,
      prefixLength: payload[1]!,
      ifindex: u32(payload, 4),
      address: own.slice(),
    });
  }
  return found;
}

export function readRoutes(socket: RouteSocket): KernelRoute[] {
  const found: KernelRoute[] = [];
  // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags u32.
  for (
    const { type, payload } of socket.request("RTM_GETROUTE", RTM_GETROUTE, NLM_F_DUMP, zero(12))
  ) {
    if (type !== RTM_NEWROUTE || payload.length < 12) continue;
    const attributes = decodeAttributes(ROUTE, payload.subarray(12));
    found.push({
      ...attributes,
      family: payload[0]!,
      destinationLength: payload[1]!,
      table: attributes.table ?? payload[4]!,
      routeType: payload[7]!,
    });
  }
  return found;
}

/** A socket for `watchRoute` on which changes of addresses and routes are told. */
export function openAddressEvents(): number {
  return openRouteMulticast(
    RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE,
  );
}

function zero(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** Host byte order, which netlink uses. */
function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}
