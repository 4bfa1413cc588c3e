/**
 * The host's addresses and routes, as tunnels and in-band control need them: which device leads to a
 * tunnel's other end or a controller, and with which source address.
 *
 * - Two implementations: `openHostNetwork` (rtnetlink) and `DummyNetwork`, whose addresses somebody
 *   sets (`netdev-dummy/ip4addr`) and which has no routes of its own.
 * - Every change of an address or route calls the listeners once, after the view is up to date;
 *   changes that come together (a daemon that loads thousands of routes) are read together.
 */
import { close } from "../linux/libc.ts";
import {
  AF_INET,
  AF_INET6,
  openAddressEvents,
  readAddresses,
  readRoutes,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_LOCAL,
  RTN_UNICAST,
} from "../linux/addresses.ts";
import { addDefaultGateway, addIpv4, readNeighbour, removeIpv4 } from "../linux/neighbours.ts";
import { RouteSocket, type RouteWatch, watchRoute } from "../linux/rtnetlink.ts";
import type { Logger } from "../log/log.ts";
import { mapIpv4, narrow, type Prefix, sameAddress } from "../packet/prefix.ts";

export interface HostRoute {
  readonly destination: Prefix;
  readonly device: string;
  /** Absent: the destination is on the device's own network. */
  readonly gateway?: Uint8Array;
  /** An address of this host. */
  readonly local: boolean;
}

export interface HostNetwork {
  /** Addresses of a device with the length of their networks; 16 bytes, IPv4 mapped. */
  addressesOf(device: string): readonly Prefix[];
  routes(): readonly HostRoute[];
  /** The Ethernet address of a neighbour (16 bytes, IPv4 mapped), if the host knows it now. */
  neighbour(device: string, address: Uint8Array): Uint8Array | undefined;
  /** Gives a device an IPv4 address (mapped); one that it has already stays. Throws `SystemError`. */
  addAddress(device: string, address: Prefix): void;
  removeAddress(device: string, address: Prefix): void;
  /** A default route by an IPv4 gateway (mapped), if there is none like it. */
  addDefaultGateway(gateway: Uint8Array): void;
  /** Returns the function that ends it. */
  onChange(listener: () => void): () => void;
  close(): void;
}

abstract class Listened {
  private readonly listeners = new Set<() => void>();

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** Addresses that somebody sets. */
export class DummyNetwork extends Listened implements HostNetwork {
  private readonly addresses = new Map<string, Prefix[]>();

  addressesOf(device: string): readonly Prefix[] {
    return this.addresses.get(device) ?? [];
  }

  /** Replaces the device's address of the same family. */
  setAddress(device: string, prefix: Prefix): void {
    const isIpv4 = (other: Prefix): boolean => other.address[10] === 0xff;
    const others = this.addressesOf(device).filter((own) => isIpv4(own) !== isIpv4(prefix));
    this.addresses.set(device, [...others, prefix]);
    this.tell();
  }

  routes(): readonly HostRoute[] {
    return [];
  }

  neighbour(): undefined {}

  addAddress(device: string, prefix: Prefix): void {
    this.setAddress(device, prefix);
  }

  removeAddress(device: string, prefix: Prefix): void {
    const left = this.addressesOf(device).filter((own) =>
      !sameAddress(own.address, prefix.address)
    );
    this.addresses.set(device, left);
    this.tell();
  }

  addDefaultGateway(): void {}

  close(): void {}
}

/** How long changes are gathered before everything is read again. */
const GATHER_MS = 20;

/** `withoutRoutes`: only addresses are read (`--disable-system-route`). */
export async function openHostNetwork(
  logger: Logger,
  withoutRoutes = false,
): Promise<HostNetwork> {
  const network = new KernelNetwork(logger, withoutRoutes);
  await network.watch();
  return network;
}

class KernelNetwork extends Listened implements HostNetwork {
  private readonly events = openAddressEvents();
  private readonly socket = new RouteSocket();
  private addresses = new Map<string, Prefix[]>();
  private table: HostRoute[] = [];
  private current: RouteWatch | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(private readonly logger: Logger, private readonly withoutRoutes: boolean) {
    super();
  }

  async watch(): Promise<void> {
    const watch = await watchRoute(this.events, () => this.readSoon(), (reason) => {
      if (this.closed) return;
      this.logger.warn(`route events: ${reason}; reading all routes again`);
      void this.watch().catch((error: unknown) => {
        this.logger.err(`route changes are no longer seen: ${String(error)}`);
      });
    });
    if (this.closed) return watch.close();
    this.current = watch;
    this.read();
  }

  addressesOf(device: string): readonly Prefix[] {
    return this.addresses.get(device) ?? [];
  }

  routes(): readonly HostRoute[] {
    return this.table;
  }

  neighbour(device: string, address: Uint8Array): Uint8Array | undefined {
    const ifindex = this.socket.link(device)?.ifindex;
    return ifindex === undefined ? undefined : readNeighbour(this.socket, ifindex, narrow(address));
  }

  addAddress(device: string, { address, length }: Prefix): void {
    const ifindex = this.socket.link(device)?.ifindex;
    if (ifindex !== undefined) addIpv4(this.socket, ifindex, narrow(address), length - 96);
  }

  removeAddress(device: string, { address, length }: Prefix): void {
    const ifindex = this.socket.link(device)?.ifindex;
    if (ifindex !== undefined) removeIpv4(this.socket, ifindex, narrow(address), length - 96);
  }

  addDefaultGateway(gateway: Uint8Array): void {
    addDefaultGateway(this.socket, narrow(gateway));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    this.current?.close();
    close(this.events);
    this.socket.close();
  }

  private readSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (!this.closed) this.read();
    }, GATHER_MS);
    this.timer.unref();
  }

  private read(): void {
    const names = new Map<number, string>();
    for (const { ifindex, name } of this.socket.links()) {
      if (name !== undefined) names.set(ifindex, name);
    }
    this.addresses = new Map();
    for (const { ifindex, family, prefixLength, address } of readAddresses(this.socket)) {
      const name = names.get(ifindex);
      const prefix = prefixOf(family, address, prefixLength);
      if (name === undefined || !prefix) continue;
      const list = this.addresses.get(name);
      if (list) list.push(prefix);
      else this.addresses.set(name, [prefix]);
    }
    this.table = [];
    if (this.withoutRoutes) return this.tell();
    for (const route of readRoutes(this.socket)) {
      const { family, table, routeType, gateway } = route;
      const local = table === RT_TABLE_LOCAL && routeType === RTN_LOCAL;
      if (!local && !(table === RT_TABLE_MAIN && routeType === RTN_UNICAST)) continue;
      const device = names.get(route.outputIfindex ?? 0);
      const bytes = family === AF_INET ? 4 : 16;
      const to = route.destination ?? new Uint8Array(bytes);
      const destination = prefixOf(family, to, route.destinationLength);
      if (device === undefined || !destination) continue;
      const via = gateway && prefixOf(family, gateway, 0)?.address;
      this.table.push({ destination, device, local, ...(via ? { gateway: via } : {}) });
    }
    this.tell();
  }
}

function prefixOf(family: number, address: Uint8Array, length: number): Prefix | undefined {
  if (family === AF_INET && address.length === 4) {
    return { address: mapIpv4(address), length: length + 96 };
  }
  if (family === AF_INET6 && address.length === 16) return { address: address.slice(), length };
  return undefined;
}
