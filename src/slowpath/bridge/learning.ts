/**
 * The MAC learning table of one bridge: (VLAN, Ethernet address) → the bundle (Port row) behind
 * which that address was last seen.
 *
 * - An entry ages out `agingMs` (300 s unless set) after a packet from its address was last seen.
 * - The table is bounded (8192 unless set). When it is full, the new entry takes the place of the
 *   least recently used entry of the bundle that has most entries: one port that floods addresses
 *   pushes out its own, not its neighbours'.
 * - A gratuitous ARP moves an address at once and locks it for 5 s against relearning through a
 *   bond that reflects the same broadcast.
 * - Static entries never age, never move and are never evicted.
 * - Whoever asked for an address hears of a change to it: `listen` reports the (VLAN, MAC) of every
 *   entry that appeared, moved or went, so that only the megaflows that looked at it are made again.
 *
 * Twelve VLAN bits and 48 address bits do not fit into one exact number, so there is a map per VLAN
 * keyed by the address as a 48-bit number. Everything is on the main thread; there are no locks.
 */
import type { Clock } from "../clock.ts";
import { UsageHeap } from "./usage-heap.ts";

export const MAC_AGING_MS = 300_000;
export const MAC_LIMIT = 8192;
/** How long a gratuitous ARP holds an address against relearning from a bond. */
export const GRATUITOUS_ARP_LOCK_MS = 5000;

/** What is learned: the identity of a bundle (compared by ===); the table never looks inside. */
export type Learnable = object;

export interface MacEntry<B extends Learnable = Learnable> {
  readonly vlan: number;
  /** The 48-bit address as a number, highest byte first. */
  readonly mac: number;
  bundle: B;
  /** Clock time when a packet from the address was last seen. */
  seenMs: number;
  /** Until when only a gratuitous ARP may move it. */
  lockedUntilMs: number;
  readonly static: boolean;
}

/** `mac` is the address as a number; `vlan` 0..4095. */
export type MacChange = (vlan: number, mac: number) => void;

/** Six bytes at `offset` as a 48-bit number. */
export function macNumber(bytes: Uint8Array, offset = 0): number {
  let value = 0;
  for (let i = 0; i < 6; i++) value = value * 256 + bytes[offset + i]!;
  return value;
}

export function macBytes(mac: number): Uint8Array {
  const bytes = new Uint8Array(6);
  for (let i = 5, rest = mac; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

export class MacTable<B extends Learnable = Learnable> {
  private readonly vlans = new Map<number, Map<number, MacEntry<B>>>();
  /** Entries of each bundle, least recently used first (insertion order of the set). */
  private readonly byBundle = new Map<B, Set<MacEntry<B>>>();
  private readonly usage = new UsageHeap<B>();
  /** All entries, least recently learned first. */
  private readonly order = new Set<MacEntry<B>>();
  private readonly listeners = new Set<MacChange>();
  private agingMs = MAC_AGING_MS;
  private limit = MAC_LIMIT;
  /** Goes up with every entry that appears, moves or goes. */
  generation = 0;
  readonly counters = { learned: 0, expired: 0, evicted: 0, moved: 0, staticKept: 0 };

  constructor(private readonly clock: Pick<Clock, "now">) {}

  get size(): number {
    return this.order.size;
  }

  get staticEntries(): number {
    let count = 0;
    for (const entry of this.order) if (entry.static) count++;
    return count;
  }

  /** Calls `listener` after each change of a (VLAN, MAC); the returned function ends that. */
  listen(listener: MacChange): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** `mac-aging-time` of the bridge, in seconds; Open vSwitch holds it between 15 and 3600. */
  setAging(seconds: number): void {
    this.agingMs = Math.min(3600, Math.max(15, seconds)) * 1000;
  }

  get agingSeconds(): number {
    return this.agingMs / 1000;
  }

  /** `mac-table-size`; between 10 and 1,000,000. Entries above the new limit go at once. */
  setLimit(entries: number): void {
    this.limit = Math.min(1_000_000, Math.max(10, entries));
    while (this.size > this.limit && this.evict()) { /* one at a time */ }
  }

  get maxEntries(): number {
    return this.limit;
  }

  /** Where packets to `mac` go, or undefined: flood. */
  lookup(vlan: number, mac: number): MacEntry<B> | undefined {
    const entry = this.vlans.get(vlan)?.get(mac);
    return entry && this.isAlive(entry) ? entry : undefined;
  }

  /**
   * Would `learn` change where packets to `mac` go? Refreshing the age alone is no change.
   */
  wouldChange(vlan: number, mac: number, bundle: B, fromBond: boolean): boolean {
    const entry = this.lookup(vlan, mac);
    if (!entry) return true;
    if (entry.static || entry.bundle === bundle) return false;
    return !(fromBond && this.clock.now() < entry.lockedUntilMs);
  }

  /**
   * A packet from `mac` in `vlan` came in through `bundle` at `seenMs` (now unless told). Returns
   * true if the table now sends packets to `mac` elsewhere than before. Multicast source addresses
   * are never learned.
   */
  learn(
    vlan: number,
    mac: number,
    bundle: B,
    how: { gratuitousArp?: boolean; fromBond?: boolean; seenMs?: number } = {},
  ): boolean {
    if (Math.floor(mac / 2 ** 40) & 1) return false;
    const now = this.clock.now();
    const seenMs = how.seenMs ?? now;
    let entry = this.vlans.get(vlan)?.get(mac);
    if (entry && !this.isAlive(entry)) {
      this.counters.expired++;
      this.remove(entry);
      entry = undefined;
    }
    if (!entry) {
      // A packet counted late must not bring back an address that has aged out since.
      if (now - seenMs >= this.agingMs) return false;
      while (this.size >= this.limit) if (!this.evict()) return false;
      this.insert({ vlan, mac, bundle, seenMs, lockedUntilMs: 0, static: false });
      this.counters.learned++;
      if (how.gratuitousArp) this.vlans.get(vlan)!.get(mac)!.lockedUntilMs = now + LOCK;
      return true;
    }
    if (entry.static) {
      if (entry.bundle !== bundle) this.counters.staticKept++;
      return false;
    }
    if (how.gratuitousArp && !how.fromBond) entry.lockedUntilMs = now + LOCK;
    else if (how.fromBond && entry.bundle !== bundle && now < entry.lockedUntilMs) return false;
    const moved = entry.bundle !== bundle;
    if (moved && seenMs < entry.seenMs) return false;
    // Within a second nothing is told apart, as in Open vSwitch.
    if (moved || wholeSeconds(seenMs) > wholeSeconds(entry.seenMs)) {
      this.order.delete(entry);
      this.order.add(entry);
    }
    entry.seenMs = Math.max(entry.seenMs, seenMs);
    if (!moved) {
      const set = this.byBundle.get(bundle)!;
      set.delete(entry);
      set.add(entry);
      return false;
    }
    this.unlink(entry);
    entry.bundle = bundle;
    this.link(entry);
    this.counters.moved++;
    this.changed(vlan, mac);
    return true;
  }

  /** A fixed entry (`fdb/add`); replaces a learned one. */
  addStatic(vlan: number, mac: number, bundle: B): void {
    const old = this.vlans.get(vlan)?.get(mac);
    if (old) this.remove(old);
    const now = this.clock.now();
    this.insert({ vlan, mac, bundle, seenMs: now, lockedUntilMs: 0, static: true });
  }

  /** Forgets a fixed entry (`fdb/del`); true if it was there. */
  removeStatic(vlan: number, mac: number): boolean {
    const entry = this.vlans.get(vlan)?.get(mac);
    if (!entry?.static) return false;
    this.remove(entry);
    return true;
  }

  /**
   * Forgets everything learned behind one bundle: its port went away or changed its VLANs. `each`
   * hears of what is forgotten.
   */
  flushBundle(bundle: B, each?: MacChange): void {
    for (const entry of [...(this.byBundle.get(bundle) ?? [])]) {
      this.remove(entry);
      each?.(entry.vlan, entry.mac);
    }
  }

  /** Forgets one address. */
  forget(vlan: number, mac: number): void {
    const entry = this.vlans.get(vlan)?.get(mac);
    if (entry) this.remove(entry);
  }

  /** `fdb/flush`: forgets all learned entries; static ones stay. */
  flush(): void {
    for (const entry of [...this.entries()]) if (!entry.static) this.remove(entry);
  }

  /** Removes what has aged out. Called about once a second; returns how many went. */
  expire(): number {
    let gone = 0;
    for (const set of [...this.byBundle.values()]) {
      for (const entry of set) {
        // The set is in order of use, so the first live one ends it.
        if (entry.static) continue;
        if (this.isAlive(entry)) break;
        this.remove(entry);
        gone++;
      }
    }
    this.counters.expired += gone;
    return gone;
  }

  /** Least recently learned first. */
  entries(): Iterable<MacEntry<B>> {
    return this.order;
  }

  private isAlive(entry: MacEntry<B>): boolean {
    return entry.static || this.clock.now() - entry.seenMs < this.agingMs;
  }

  /** Makes room: the least recently used entry of the fullest bundle goes. */
  private evict(): boolean {
    const { first } = this.usage;
    for (const entry of (first && this.byBundle.get(first)) ?? []) {
      if (entry.static) continue;
      this.counters.evicted++;
      this.remove(entry);
      return true;
    }
    // The fullest bundle holds static entries only: take any learned one.
    for (const entry of this.entries()) {
      if (entry.static) continue;
      this.counters.evicted++;
      this.remove(entry);
      return true;
    }
    return false;
  }

  private insert(entry: MacEntry<B>): void {
    let macs = this.vlans.get(entry.vlan);
    if (!macs) this.vlans.set(entry.vlan, macs = new Map());
    macs.set(entry.mac, entry);
    this.order.add(entry);
    this.link(entry);
    this.changed(entry.vlan, entry.mac);
  }

  private remove(entry: MacEntry<B>): void {
    const macs = this.vlans.get(entry.vlan)!;
    macs.delete(entry.mac);
    if (macs.size === 0) this.vlans.delete(entry.vlan);
    this.order.delete(entry);
    this.unlink(entry);
    this.changed(entry.vlan, entry.mac);
  }

  private link(entry: MacEntry<B>): void {
    let set = this.byBundle.get(entry.bundle);
    if (!set) this.byBundle.set(entry.bundle, set = new Set());
    set.add(entry);
    this.usage.add(entry.bundle);
  }

  private unlink(entry: MacEntry<B>): void {
    const set = this.byBundle.get(entry.bundle)!;
    set.delete(entry);
    this.usage.remove(entry.bundle);
    if (set.size === 0) this.byBundle.delete(entry.bundle);
  }

  private changed(vlan: number, mac: number): void {
    this.generation++;
    for (const listener of this.listeners) listener(vlan, mac);
  }
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000);
const LOCK = GRATUITOUS_ARP_LOCK_MS;
