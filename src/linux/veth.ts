/**
 * veth pairs, and IPv4 addresses on links: what it takes to plug a host into a switch by rtnetlink.
 *
 * The peer's part of a veth request is a whole link message inside an attribute:
 *
 *     IFLA_LINKINFO { IFLA_INFO_KIND "veth", IFLA_INFO_DATA { VETH_INFO_PEER: ifinfomsg, attributes } }
 *
 * References: linux/veth.h, linux/if_addr.h, rtnetlink(7).
 */
import { encodeAttributes, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink.ts";
import { encodeLinkHeader, LINK, type RouteSocket } from "./rtnetlink.ts";

const VETH_PEER = { peer: [1, "bytes"] } as const;
const ADDRESS = { address: [1, "bytes"], local: [2, "bytes"] } as const;
const RTM_NEWADDR = 20;
const AF_INET = 2;

export interface VethEnd {
  readonly name: string;
  /** The process in whose network namespace this end is made; by default in the socket's own. */
  readonly namespacePid?: number;
}

/** Makes a pair of connected Ethernet devices, both switched off. Throws `SystemError`. */
export function addVeth(route: RouteSocket, end: VethEnd, peer: VethEnd): void {
  const attributes = ({ name, namespacePid }: VethEnd) => ({
    name,
    ...(namespacePid === undefined ? {} : { netNsPid: namespacePid }),
  });
  const header = encodeLinkHeader();
  const peerAttributes = encodeAttributes(LINK, attributes(peer));
  const peerLink = new Uint8Array(header.length + peerAttributes.length);
  peerLink.set(header);
  peerLink.set(peerAttributes, header.length);
  route.addLink({
    ...attributes(end),
    linkInfo: { kind: "veth", data: encodeAttributes(VETH_PEER, { peer: peerLink }) },
  });
}

/**
 * Gives a link an IPv4 address of 4 bytes. `struct ifaddrmsg`: family u8 @0 · prefix length u8 @1 ·
 * flags u8 @2 · scope u8 @3 · ifindex u32 @4.
 */
export function addIpv4Address(
  route: RouteSocket,
  ifindex: number,
  address: Uint8Array,
  prefixLength: number,
): void {
  const header = new Uint8Array(8);
  header[0] = AF_INET;
  header[1] = prefixLength;
  new DataView(header.buffer).setUint32(4, ifindex, true);
  route.request(
    `RTM_NEWADDR ${address.join(".")}`,
    RTM_NEWADDR,
    NLM_F_CREATE | NLM_F_REPLACE,
    header,
    encodeAttributes(ADDRESS, { address, local: address }),
  );
}
