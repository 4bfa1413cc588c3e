/**
 * Ethernet addresses of the next hops of tunnels, by bridge: learned from ARP replies and neighbour
 * advertisements that pass through the bridge, or set by `tnl/neigh/set` (Open vSwitch
 * `lib/tnl-neigh-cache.c`). An entry that is not used for `agingMs` is forgotten.
 */
import { formatMac } from "../../packet/address.ts";
import { formatAddress } from "../../packet/prefix.ts";
import type { Clock } from "../clock.ts";

const DEFAULT_AGING_MS = 15 * 60 * 1000;
export const MAX_AGING_SEC = 3600;
/** Anybody on the wire can send ARP replies. */
const LIMIT = 4096;

export interface Neighbour {
  readonly bridge: string;
  readonly address: Uint8Array;
  readonly mac: Uint8Array;
  expiresMs: number;
}

export class Neighbours {
  private readonly entries = new Map<string, Neighbour>();
  private aging = DEFAULT_AGING_MS;
  /** Learned beyond the limit. */
  refused = 0;

  constructor(
    private readonly clock: Pick<Clock, "now">,
    private readonly changed: () => void,
  ) {}

  get agingSec(): number {
    return this.aging / 1000;
  }

  /** Entries that would stay longer than the new time are shortened to it. */
  setAging(seconds: number): void {
    this.aging = seconds * 1000;
    const latest = this.clock.now() + this.aging;
    for (const entry of this.entries.values()) {
      entry.expiresMs = Math.min(entry.expiresMs, latest);
    }
  }

  /** Finding an entry keeps it alive. */
  lookup(bridge: string, address: Uint8Array): Uint8Array | undefined {
    const entry = this.entries.get(id(bridge, address));
    const now = this.clock.now();
    if (!entry || entry.expiresMs <= now) return undefined;
    entry.expiresMs = now + this.aging;
    return entry.mac;
  }

  set(bridge: string, address: Uint8Array, mac: Uint8Array): void {
    const key = id(bridge, address);
    const now = this.clock.now();
    const old = this.entries.get(key);
    const known = old !== undefined && old.expiresMs > now && old.mac.every((b, i) => b === mac[i]);
    if (!old && this.entries.size >= LIMIT) {
      this.refused++;
      return;
    }
    if (known) old.expiresMs = now + this.aging;
    else {
      this.entries.delete(key);
      this.entries.set(key, {
        bridge,
        address: address.slice(),
        mac: mac.slice(),
        expiresMs: now + this.aging,
      });
      this.changed();
    }
  }

  /** Forgets what has expired; called every now and then. */
  expire(): void {
    const now = this.clock.now();
    this.drop((entry) => entry.expiresMs <= now);
  }

  flush(bridge?: string): void {
    this.drop((entry) => bridge === undefined || entry.bridge === bridge);
  }

  /** The text of `tnl/neigh/show`. */
  show(): string {
    const now = this.clock.now();
    const rows = [...this.entries.values()].map(({ address, mac, bridge, expiresMs }) =>
      `${formatAddress(address).padEnd(46)}${formatMac(mac)}   ${bridge}` +
      `${expiresMs <= now ? " STALE" : ""}\n`
    );
    return `${"IP".padEnd(46)}${"MAC".padEnd(20)}Bridge\n${"=".repeat(74)}\n${rows.join("")}`;
  }

  private drop(test: (entry: Neighbour) => boolean): void {
    let any = false;
    for (const [key, entry] of this.entries) if (test(entry)) any = this.entries.delete(key);
    if (any) this.changed();
  }
}

function id(bridge: string, address: Uint8Array): string {
  return `${bridge} ${address.toHex()}`;
}
