/**
 * Tunnel devices of the kernel in *collected metadata* mode: one device for all tunnels of a kind (and
 * UDP port). Where a packet goes, and with which key, is said with each packet (a `struct ip_tunnel_info`,
 * which programs set and read with bpf_skb_set_tunnel_key and bpf_skb_get_tunnel_key), not by the device.
 *
 * A device takes its UDP port when it is switched on, and gives it back when it is switched off or
 * deleted. It is no process's: it stays until somebody deletes it.
 *
 * References: linux/if_link.h (IFLA_VXLAN_*, IFLA_GENEVE_*), linux/if_tunnel.h (IFLA_GRE_*), bpf-helpers(7).
 */
import { existsSync } from "node:fs";
import { ERRNO, SystemError } from "./libc.ts";
import { type AttributeTable, encodeAttributes } from "./netlink.ts";
import { IFF_UP, IN6_ADDR_GEN_MODE_NONE, type RouteSocket } from "./rtnetlink.ts";

export type TunnelDeviceKind = "vxlan" | "geneve" | "gre";

export interface TunnelDeviceOptions {
  /** UDP port of those that have one. */
  readonly udpPort: number;
  /** A VXLAN device that reads and writes group policies. */
  readonly gbp?: boolean;
}

export interface TunnelDeviceRow {
  /** Its IFLA_INFO_KIND. */
  readonly link: string;
  /** Outer headers that it sends and receives. */
  readonly families: "ipv4" | "both";
  /** Bits of a key. */
  readonly keyBits: 24 | 32;
  /** IFLA_INFO_DATA. */
  readonly data: (options: TunnelDeviceOptions) => Uint8Array;
}

const VXLAN = {
  learning: [7, "u8"],
  port: [15, "u16be"],
  zeroChecksum6Rx: [20, "u8"],
  gbp: [23, "flag"],
  collectMetadata: [25, "u8"],
} as const satisfies AttributeTable;
const GENEVE = {
  port: [5, "u16be"],
  collectMetadata: [6, "flag"],
  zeroChecksum6Rx: [10, "u8"],
} as const satisfies AttributeTable;
const GRE = { collectMetadata: [18, "flag"] } as const satisfies AttributeTable;

export const TUNNEL_DEVICES: Readonly<Record<TunnelDeviceKind, TunnelDeviceRow>> = {
  vxlan: {
    link: "vxlan",
    families: "both",
    keyBits: 24,
    data: ({ udpPort, gbp }) =>
      encodeAttributes(VXLAN, {
        learning: 0,
        port: udpPort,
        zeroChecksum6Rx: 1,
        ...(gbp ? { gbp: true } : {}),
        collectMetadata: 1,
      }),
  },
  geneve: {
    link: "geneve",
    families: "both",
    keyBits: 24,
    data: ({ udpPort }) =>
      encodeAttributes(GENEVE, { port: udpPort, collectMetadata: true, zeroChecksum6Rx: 1 }),
  },
  gre: {
    link: "gretap",
    families: "ipv4",
    keyBits: 32,
    data: () => encodeAttributes(GRE, { collectMetadata: true }),
  },
};

/** As large as IP takes, less any header: what is sent is as long as it is, path MTU decides. */
const MTU = 65_000;

/**
 * Makes the device, switched off: packets come and go from `switchOn` on. Throws a SystemError: EEXIST
 * if a device of that name, or another with collected metadata and the same UDP port, is there;
 * EOPNOTSUPP if the kernel does not know the kind.
 */
export function addTunnelDevice(
  route: RouteSocket,
  kind: TunnelDeviceKind,
  name: string,
  options: TunnelDeviceOptions,
): number {
  const row = TUNNEL_DEVICES[kind];
  route.addLink({ name, mtu: MTU, linkInfo: { kind: row.link, data: row.data(options) } });
  const made = route.link(name);
  if (!made) throw new SystemError(`RTM_GETLINK ${name}`, ERRNO.ENODEV);
  return made.ifindex;
}

/** Throws a SystemError: EADDRINUSE if somebody has the UDP port. */
export function switchTunnelDeviceOn(route: RouteSocket, ifindex: number): void {
  // The host itself is to say nothing through it. A kernel without IPv6 would refuse the attribute.
  if (existsSync("/proc/sys/net/ipv6")) {
    route.setLink(ifindex, { families: { inet6: { addressMode: IN6_ADDR_GEN_MODE_NONE } } });
  }
  route.setLink(ifindex, {}, IFF_UP, IFF_UP);
}

/** The device of that name if it is one of the kind; its number. */
export function findTunnelDevice(
  route: RouteSocket,
  kind: TunnelDeviceKind,
  name: string,
): number | undefined {
  const link = route.link(name);
  return link?.linkInfo?.kind === TUNNEL_DEVICES[kind].link ? link.ifindex : undefined;
}

/**
 * Asks for a device that no kernel makes, for its MTU: the answer tells whether the kernel knows the
 * kind. Nothing is made. Throws the SystemError that says no; EPERM: it cannot be told.
 */
export function tryTunnelDevice(route: RouteSocket, kind: TunnelDeviceKind): void {
  const { link, data } = TUNNEL_DEVICES[kind];
  try {
    route.addLink({
      name: `solovs-try${process.pid % 10_000}`,
      mtu: 0x7fff_ffff,
      linkInfo: { kind: link, data: data({ udpPort: 1 }) },
    });
  } catch (error) {
    if (error instanceof SystemError && error.errno === ERRNO.EINVAL) return;
    throw error;
  }
}
