/**
 * Which way tunnelled packets leave: the host's routing table, and routes that people add by
 * `ovs/route/add`, which win over the host's (Open vSwitch `lib/ovs-router.c`).
 *
 * A route leads to a device and perhaps a gateway; its source address is the device's address that
 * lies in the same network as the destination, or else as the gateway. A route whose source address
 * cannot be told is not taken in.
 */
import {
  contains,
  formatAddress,
  isMappedIpv4,
  isUnset,
  network,
  type Prefix,
  sameAddress,
} from "../../packet/prefix.ts";

export interface Route {
  readonly destination: Prefix;
  readonly device: string;
  /** Unset (all zero): the destination is a neighbour itself. */
  readonly gateway: Uint8Array;
  readonly source: Uint8Array;
  /** SO_MARK of packets that take it; 0: those without. */
  readonly mark: number;
  readonly origin: "user" | "host" | "local";
}

/** Addresses of a device, each with the length of its network. */
export type AddressesOf = (device: string) => readonly Prefix[];

export interface NewRoute {
  readonly destination: Prefix;
  readonly device: string;
  readonly gateway?: Uint8Array | undefined;
  readonly mark?: number;
  readonly origin: Route["origin"];
}

const UNSET = new Uint8Array(16);

export class RouteTable {
  private routes: Route[] = [];

  constructor(private readonly addressesOf: AddressesOf, private readonly changed: () => void) {}

  /** False if no source address can be told for it. A route to the same network is replaced. */
  add(route: NewRoute): boolean {
    const { destination, device, gateway = UNSET, mark = 0, origin } = route;
    const source = this.sourceFor(destination.address, device) ??
      (isUnset(gateway) ? undefined : this.sourceFor(gateway, device));
    if (!source) return false;
    const net = { address: network(destination), length: destination.length };
    this.take(net, mark, origin);
    this.routes.push({ destination: net, device, gateway, source, mark, origin });
    this.changed();
    return true;
  }

  /** Takes a user's route away; false if there was none. */
  remove(destination: Prefix, mark: number): boolean {
    const net = { address: network(destination), length: destination.length };
    const found = this.take(net, mark, "user");
    if (found) this.changed();
    return found;
  }

  /** The host's table as it is now. */
  replaceHost(routes: readonly NewRoute[]): void {
    this.routes = this.routes.filter(({ origin }) => origin === "user");
    for (const route of routes) this.add(route);
    this.changed();
  }

  /** The best way there. `source`: only if that is an address of this host, where one is asked for. */
  lookup(address: Uint8Array, mark: number, source?: Uint8Array): Route | undefined {
    if (source && !isUnset(source) && this.best(source, mark)?.origin !== "local") return undefined;
    return this.best(address, mark);
  }

  all(): readonly Route[] {
    return this.routes;
  }

  /** The device's own address in the network of `address`, the longest network first. */
  sourceFor(address: Uint8Array, device: string): Uint8Array | undefined {
    let best: Prefix | undefined;
    for (const own of this.addressesOf(device)) {
      if (isMappedIpv4(address) && !isMappedIpv4(own.address)) continue;
      if (contains(own, address) && own.length > (best?.length ?? -1)) best = own;
    }
    return best?.address;
  }

  private best(address: Uint8Array, mark: number): Route | undefined {
    let best: Route | undefined;
    for (const route of this.routes) {
      if (route.mark !== mark || !contains(route.destination, address)) continue;
      if (!best || rank(route) > rank(best)) best = route;
    }
    return best;
  }

  private take(net: Prefix, mark: number, origin: Route["origin"]): boolean {
    const before = this.routes.length;
    this.routes = this.routes.filter((route) =>
      !(route.origin === origin && route.mark === mark &&
        route.destination.length === net.length &&
        sameAddress(route.destination.address, net.address))
    );
    return this.routes.length < before;
  }
}

/** Longest prefix first, among local addresses, then what people added, then the host's others. */
function rank({ destination, origin }: Route): number {
  return destination.length + (origin === "local" ? 64 : origin === "user" ? 32 : 0);
}

/** A line of `ovs/route/show`. */
export function describeRoute(route: Route): string {
  const { destination, device, gateway, source, mark, origin } = route;
  const ipv4 = isMappedIpv4(destination.address);
  const length = ipv4 ? destination.length - 96 : destination.length;
  return `${origin === "user" ? "User" : "Cached"}: ${
    formatAddress(destination.address)
  }/${length}` +
    `${mark === 0 ? "" : ` MARK ${mark}`} dev ${device}` +
    `${isUnset(gateway) ? "" : ` GW ${formatAddress(gateway)}`} SRC ${formatAddress(source)}` +
    `${origin === "local" ? " local" : ""}`;
}
