/**
 * Multicast snooping of one bridge (RFC 4541): hosts and routers are overheard, and packets to a group
 * go where somebody has asked for it, not everywhere.
 *
 *     report ──> (VLAN, group) → bundles, for `agingMs` since they said so last
 *     query  ──> (VLAN, bundle): a router, for three minutes; it gets all groups and all reports
 *
 * - Bundles of `mcast-snooping-flood` get every group, those of `mcast-snooping-flood-reports` every
 *   report; behind the former nothing is learned.
 * - The table is bounded (`mcast-snooping-table-size`): the group that was asked for longest ago goes.
 * - A change of who gets what has megaflows looked at again.
 *
 * Queries are flooded and never made up here; a group that nobody asked for is flooded unless
 * `mcast-snooping-disable-flood-unregistered` is set. How packets are forwarded is in
 * pipeline/multicast.ts. Texts and numbers are Open vSwitch 3.1's.
 */
import { formatIpv4, formatIpv6 } from "../../packet/address.ts";
import type { Clock } from "../clock.ts";
import type { BundleModel, SnoopingModel } from "../pipeline/model.ts";
import { type GroupMessage, parseGroupMessage } from "./messages.ts";
import type { SnoopingSettings } from "./settings.ts";

const ROUTER_MS = 180_000;
/** A table whose entries end one by one is not gone through for each. */
const LEAST_WAIT_MS = 100;

interface Group {
  readonly vlan: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** When each asked for it last, least recently first. */
  readonly members: Map<BundleModel, number>;
}

interface Router {
  readonly vlan: number;
  readonly bundle: BundleModel;
  heardMs: number;
}

export class Snooping implements SnoopingModel {
  private settings: SnoopingSettings | undefined;
  /** By VLAN and address; least recently asked for first. */
  private readonly groups = new Map<string, Group>();
  /** Least recently heard first. */
  private routerList: Router[] = [];
  private readonly flooded = new Set<BundleModel>();
  private readonly reported = new Set<BundleModel>();
  private cancelTimer = (): void => {};
  /** When the timer is due; Infinity: there is none. */
  private wakeMs = Infinity;

  constructor(private readonly clock: Clock, private readonly changed: () => void) {}

  get isEnabled(): boolean {
    return this.settings !== undefined;
  }

  get floodsUnregistered(): boolean {
    return this.settings?.floodsUnregistered === true;
  }

  get floodBundles(): ReadonlySet<BundleModel> {
    return this.flooded;
  }

  get reportBundles(): ReadonlySet<BundleModel> {
    return this.reported;
  }

  /** Undefined: off. */
  configure(settings: SnoopingSettings | undefined): void {
    const { settings: old } = this;
    if (old === settings || (old && settings && sameSettings(old, settings))) return;
    this.settings = settings;
    if (!settings) this.flush();
    this.shrink();
    this.expire();
    this.changed();
  }

  /** What the Port row wants. */
  configureBundle(bundle: BundleModel, floods: boolean, floodsReports: boolean): void {
    let any = put(this.flooded, bundle, floods);
    any = put(this.reported, bundle, floodsReports) || any;
    if (any) this.changed();
  }

  members(vlan: number, address: Uint8Array): Iterable<BundleModel> | undefined {
    return this.groups.get(keyOf(vlan, address))?.members.keys();
  }

  *routers(vlan: number): Iterable<BundleModel> {
    for (const router of this.routerList) if (router.vlan === vlan) yield router.bundle;
  }

  parse(frame: Uint8Array): GroupMessage | undefined {
    return parseGroupMessage(frame);
  }

  /** The message came in by the bundle. */
  receive(bundle: BundleModel, vlan: number, message: GroupMessage): void {
    if (!message.isBelieved || !this.settings || this.flooded.has(bundle)) return;
    let any = false;
    if (message.kind === "query") any = this.heardRouter(bundle, vlan);
    for (const address of message.leaves) any = this.leave(bundle, vlan, address) || any;
    for (const address of message.joins) any = this.join(bundle, vlan, address) || any;
    // The table is gone through when the timer is due, not for each message.
    const { agingMs } = this.settings;
    if (this.clock.now() + Math.min(agingMs, ROUTER_MS) < this.wakeMs) this.arm();
    if (any) this.changed();
  }

  /** Forgets all. */
  flush(): void {
    this.groups.clear();
    this.routerList = [];
    this.arm();
    this.changed();
  }

  /** The bundle has other VLANs. */
  flushBundle(bundle: BundleModel): void {
    const routers = this.routerList.length;
    this.routerList = this.routerList.filter((router) => router.bundle !== bundle);
    let any = this.routerList.length !== routers;
    for (const group of [...this.groups.values()]) {
      any = this.leave(bundle, group.vlan, group.address) || any;
    }
    if (any) this.changed();
  }

  /** The bundle has gone. */
  detached(bundle: BundleModel): void {
    this.flushBundle(bundle);
    this.flooded.delete(bundle);
    this.reported.delete(bundle);
  }

  close(): void {
    this.cancelTimer();
  }

  /** `ovs-appctl mdb/show`; `port` is how a bundle is called. */
  show(port: (bundle: BundleModel) => string): string {
    const now = this.clock.now();
    const age = (sinceMs: number): string => `${Math.floor((now - sinceMs) / 1000)}`.padStart(3);
    const place = (bundle: BundleModel, vlan: number): string =>
      `${port(bundle).padStart(5)}  ${String(vlan).padStart(4)}  `;
    const lines = [" port  VLAN  GROUP                Age"];
    for (const { vlan, address, members } of this.groups.values()) {
      const text = address.length === 4 ? formatIpv4(address) : formatIpv6(address);
      for (const [bundle, askedMs] of members) {
        lines.push(`${place(bundle, vlan)}${text}         ${age(askedMs)}`);
      }
    }
    for (const { vlan, bundle, heardMs } of this.routerList) {
      lines.push(`${place(bundle, vlan)}querier             ${age(heardMs)}`);
    }
    return lines.map((line) => `${line}\n`).join("");
  }

  private heardRouter(bundle: BundleModel, vlan: number): boolean {
    const at = this.routerList.findIndex((each) => each.bundle === bundle && each.vlan === vlan);
    const heardMs = this.clock.now();
    if (at >= 0) this.routerList.splice(at, 1);
    this.routerList.push({ vlan, bundle, heardMs });
    return at < 0;
  }

  private join(bundle: BundleModel, vlan: number, address: Uint8Array): boolean {
    // A router gets it anyway.
    if (this.routerList.some((each) => each.bundle === bundle && each.vlan === vlan)) return false;
    const key = keyOf(vlan, address);
    const group = this.groups.get(key) ?? { vlan, address, members: new Map() };
    const isNew = !group.members.has(bundle);
    group.members.delete(bundle);
    group.members.set(bundle, this.clock.now());
    this.groups.delete(key);
    this.groups.set(key, group);
    this.shrink();
    return isNew;
  }

  private leave(bundle: BundleModel, vlan: number, address: Uint8Array): boolean {
    const key = keyOf(vlan, address);
    const group = this.groups.get(key);
    if (!group?.members.delete(bundle)) return false;
    if (group.members.size === 0) this.groups.delete(key);
    return true;
  }

  private shrink(): void {
    const limit = this.settings?.tableSize ?? 0;
    for (const key of this.groups.keys()) {
      if (this.groups.size <= limit) break;
      this.groups.delete(key);
    }
  }

  /** Forgets those that have not been heard of for too long. */
  private expire(): void {
    const now = this.clock.now();
    const { agingMs } = this.settings ?? { agingMs: 0 };
    let any = false;
    for (const [key, { members }] of this.groups) {
      for (const [bundle, askedMs] of members) {
        if (now - askedMs < agingMs) continue;
        members.delete(bundle);
        any = true;
      }
      if (members.size === 0) this.groups.delete(key);
    }
    const left = this.routerList.filter(({ heardMs }) => now - heardMs < ROUTER_MS);
    any ||= left.length !== this.routerList.length;
    this.routerList = left;
    this.arm();
    if (any) this.changed();
  }

  private arm(): void {
    this.cancelTimer();
    let next = Infinity;
    const agingMs = this.settings?.agingMs ?? 0;
    for (const { members } of this.groups.values()) {
      const [oldest = Infinity] = members.values();
      next = Math.min(next, oldest + agingMs);
    }
    const [oldest] = this.routerList;
    if (oldest) next = Math.min(next, oldest.heardMs + ROUTER_MS);
    const now = this.clock.now();
    this.wakeMs = Math.max(next, now + LEAST_WAIT_MS);
    this.cancelTimer = next === Infinity
      ? () => {}
      : this.clock.after(this.wakeMs - now, () => this.expire());
  }
}

const keyOf = (vlan: number, address: Uint8Array): string => `${vlan}/${address.toHex()}`;

function put<T>(set: Set<T>, item: T, wanted: boolean): boolean {
  if (set.has(item) === wanted) return false;
  if (wanted) set.add(item);
  else set.delete(item);
  return true;
}

function sameSettings(a: SnoopingSettings, b: SnoopingSettings): boolean {
  return a.floodsUnregistered === b.floodsUnregistered && a.agingMs === b.agingMs &&
    a.tableSize === b.tableSize;
}
