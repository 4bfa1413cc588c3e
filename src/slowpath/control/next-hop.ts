/** Who a packet to an IPv4 address is handed to first, by the host's routes. */
import type { HostNetwork, HostRoute } from "../../fastpath/host-network.ts";
import { contains } from "../../packet/prefix.ts";

export interface NextHop {
  readonly device: string;
  /** 16 bytes, mapped: a gateway, or the address itself. */
  readonly address: Uint8Array;
}

/** By the longest prefix; undefined for the host itself, and for what it has no route to. */
export function nextHop(network: HostNetwork, address: Uint8Array): NextHop | undefined {
  let best: HostRoute | undefined;
  for (const route of network.routes()) {
    if (!contains(route.destination, address)) continue;
    if (route.local) return undefined;
    if (!best || route.destination.length > best.destination.length) best = route;
  }
  return best && { device: best.device, address: best.gateway ?? address };
}
