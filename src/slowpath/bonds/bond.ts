/**
 * A bond: the interfaces of one Port row, which NORMAL uses as one (ovs-vswitchd.conf.db(5), Port,
 * "Bonding Configuration"; behaviour and texts are Open vSwitch 3.1's).
 *
 * - *active-backup*: the active member carries everything; packets that come by others are dropped.
 * - *balance-slb*: each source address and VLAN, hashed to one of 256 buckets, goes by the bucket's
 *   member. The switch at the other end knows of nothing, so what was sent by one member may come
 *   back by another: `admits` tells such packets apart by where their source was learned.
 * - *balance-tcp*: each connection goes by its bucket's member; needs a partner that agreed (LACP).
 *   The datapath computes the hash and looks the packet up again; the bridge has a rule for each
 *   bucket (post-recirculation.ts), so a megaflow need not match addresses and ports.
 *
 * A member is enabled when its link is up and LACP, if there is any, lets it be used, for `updelayMs`;
 * disabled when that has not been so for `downdelayMs`. `run` is called after every event and when
 * `nextMs` has come, and tells whether flows must be looked at again.
 *
 * Buckets get their members when a packet first needs them, which is the one thing that translating
 * a packet changes; asked again, the answer is the same until an event.
 */
import { hashFiveTuple } from "../../fastpath/engine/flow-hash.ts";
import type { Logger } from "../../log/log.ts";
import { hashAdd, hashFinish } from "../../packet/hash.ts";
import type { FlowKey } from "../../packet/key.ts";
import { formatMac } from "../../packet/address.ts";
import type { Clock } from "../clock.ts";
import { AT } from "../pipeline/bits.ts";
import { lookHashFields } from "../pipeline/hash.ts";
import type { BondModel, BondVerdict, MemberChoice, PortModel } from "../pipeline/model.ts";
import type { LacpStatus } from "./lacp.ts";
import { rebalance } from "./rebalance.ts";
import type { BondSettings } from "./settings.ts";

export const BOND_BUCKETS = 256;

/** What a bond must know of a member's port. */
export interface BondPort extends PortModel {
  readonly mac: Uint8Array;
}

export class BondMember<P extends BondPort> {
  enabled = false;
  /** What other protocols think of it. */
  mayEnable = false;
  isPrimary = false;
  /** When `enabled` is to change; Infinity: not. */
  delayExpiresMs = Infinity;

  constructor(readonly port: P) {}
}

export interface BondBucket<P extends BondPort> {
  member: BondMember<P> | undefined;
  /** Bytes sent lately: half of them are forgotten each time that the bond is balanced. */
  bytes: number;
}

export class Bond<P extends BondPort> implements BondModel {
  settings: BondSettings;
  readonly members = new Map<P, BondMember<P>>();
  active: BondMember<P> | undefined;
  /** Address of the member that was active last; undefined: there was none. */
  activeMac: Uint8Array | undefined;
  lacpStatus: LacpStatus = "off";
  /** Undefined where everything goes by the active member. */
  buckets: BondBucket<P>[] | undefined;
  nextRebalanceMs = 0;
  /** Those behind other bundles should learn anew where addresses are. */
  private announces = false;
  private revalidates = true;
  /** Enabled members, in the order in which they are given to buckets. */
  private readonly enabled: BondMember<P>[] = [];

  constructor(
    private readonly clock: Pick<Clock, "now">,
    private readonly log: Logger,
    settings: BondSettings,
    /** What the datapath recirculates packets of balance-tcp with. */
    readonly recircId: number,
    /** The active member is another one. */
    private readonly activeChanged: () => void,
  ) {
    this.settings = settings;
    this.resetBuckets();
  }

  get name(): string {
    return this.settings.name;
  }

  /** New settings; returns true if flows must be looked at again. */
  configure(settings: BondSettings): boolean {
    const { settings: old } = this;
    this.settings = settings;
    const changed = old.mode !== settings.mode || old.basis !== settings.basis ||
      old.rebalanceMs !== settings.rebalanceMs || old.primary !== settings.primary ||
      old.lacpFallback !== settings.lacpFallback ||
      old.allMembersActive !== settings.allMembersActive;
    if (changed) this.resetBuckets();
    return changed;
  }

  register(port: P): void {
    let member = this.members.get(port);
    if (!member) {
      this.members.set(port, member = new BondMember(port));
      this.revalidates = true;
      this.enable(member, port.linkUp);
    }
    member.isPrimary = this.settings.primary === port.name;
  }

  unregister(port: P): void {
    const member = this.members.get(port);
    if (!member) return;
    this.revalidates = true;
    this.enable(member, false);
    for (const bucket of this.buckets ?? []) {
      if (bucket.member === member) bucket.member = undefined;
    }
    this.members.delete(port);
    if (this.active !== member) return;
    this.chooseActive();
    this.announces = true;
  }

  setMayEnable(port: P, mayEnable: boolean): void {
    const member = this.members.get(port);
    if (member) member.mayEnable = mayEnable;
  }

  /** By hand (`bond/enable-member`); holds until the link or LACP says otherwise. */
  enable(member: BondMember<P>, enabled: boolean): void {
    member.delayExpiresMs = Infinity;
    if (member.enabled === enabled) return;
    member.enabled = enabled;
    this.revalidates = true;
    if (enabled) this.enabled.push(member);
    else {
      this.announces = true;
      this.enabled.splice(this.enabled.indexOf(member), 1);
    }
    this.log.info(`member ${member.port.name}: ${enabled ? "enabled" : "disabled"}`);
  }

  /** By hand (`bond/set-active-member`). Returns false if it is. */
  setActive(member: BondMember<P>): boolean {
    if (this.active === member) return false;
    this.revalidates = true;
    this.active = member;
    this.announces = true;
    this.log.info(`bond ${this.name}: active member is now ${member.port.name}`);
    this.tellActive();
    return true;
  }

  /** By hand (`bond/migrate`). */
  migrate(bucket: number, member: BondMember<P>): void {
    this.buckets![bucket]!.member = member;
    this.revalidates = true;
  }

  /** Does what has become due; true: flows must be looked at again. */
  run(lacpStatus: LacpStatus): boolean {
    if (this.lacpStatus !== lacpStatus) {
      this.lacpStatus = lacpStatus;
      this.revalidates = true;
      if (this.fallsBack || !this.buckets) this.resetBuckets();
    }
    let primary: BondMember<P> | undefined;
    for (const member of this.members.values()) {
      this.updateLink(member);
      if (this.settings.mode === "active-backup" && member.isPrimary && member.enabled) {
        primary = member;
      }
    }
    if (!this.active?.enabled || (primary && this.active !== primary)) this.chooseActive();
    if (this.mayRecirculate) this.fillBuckets();
    const { revalidates } = this;
    this.revalidates = false;
    return revalidates;
  }

  /** When `run` is to be called again, if nothing happens before. */
  get nextMs(): number {
    let next = Infinity;
    for (const { delayExpiresMs } of this.members.values()) next = Math.min(next, delayExpiresMs);
    return next;
  }

  /** True once after members changed, where other switches know nothing of the bond. */
  shouldAnnounce(): boolean {
    const { announces, lacpStatus, settings: { mode, lacpFallback } } = this;
    this.announces = false;
    return announces && this.active !== undefined &&
      ((lacpStatus === "off" && mode !== "balance-tcp") ||
        (lacpFallback && lacpStatus === "configured"));
  }

  // For the pipeline

  admits(port: PortModel, isMulticast: boolean): BondVerdict {
    const member = this.members.get(port as P);
    if (!member) return "drop";
    const { mode, lacpFallback, allMembersActive } = this.settings;
    switch (this.lacpStatus) {
      case "negotiated":
        return member.enabled || member.mayEnable ? "accept" : "drop";
      case "configured":
        if (!lacpFallback) return "drop";
        break;
      case "off":
        if (mode === "balance-tcp") return "drop";
        break;
      default: {
        const never: never = this.lacpStatus;
        throw new Error(`LACP status ${never}`);
      }
    }
    const isActive = this.active === member;
    const admitsAll = mode === "balance-slb" && allMembersActive;
    if (isMulticast && !isActive && !admitsAll) return "drop";
    if (mode === "balance-slb") return "drop if moved";
    if (mode === "balance-tcp" && !lacpFallback) return "drop";
    return isActive ? "accept" : "drop";
  }

  get recirculation(): { readonly id: number; readonly basis: number } | undefined {
    if (!this.mayRecirculate) return undefined;
    return { id: this.recircId, basis: this.settings.basis };
  }

  choose(key: FlowKey, mask: FlowKey | undefined, vlan: number): MemberChoice | undefined {
    const { lacpStatus, active, buckets } = this;
    let { mode } = this.settings;
    if (lacpStatus === "configured") {
      if (!this.settings.lacpFallback) return undefined;
      mode = "active-backup";
    }
    if (mode === "active-backup" || !buckets) {
      return active && { port: active.port, bucket: undefined };
    }
    let hash: number;
    if (mode === "balance-tcp") {
      if (lacpStatus !== "negotiated") return undefined;
      if (mask) lookHashFields(key, mask, "symmetric_l3l4+udp");
      hash = hashFiveTuple(key, this.settings.basis);
    } else {
      if (mask) lookHashFields(key, mask, "eth_src");
      hash = hashAddress(key.bytes, AT.ethSrc, vlan, this.settings.basis);
    }
    const index = hash % BOND_BUCKETS;
    const bucket = buckets[index]!;
    if (!bucket.member?.enabled) bucket.member = this.nextEnabled();
    const { member } = bucket;
    if (!member) return undefined;
    // Patches end in this process: there is nothing to balance, and no datapath that would hash.
    if (mode === "balance-tcp" && member.port.dpPort === undefined && active) {
      return { port: active.port, bucket: undefined };
    }
    return { port: member.port, bucket: index };
  }

  account(bucket: number, bytes: number): void {
    if (this.isBalanced && this.buckets) this.buckets[bucket]!.bytes += bytes;
  }

  // Balancing

  get isBalanced(): boolean {
    const { rebalanceMs, mode } = this.settings;
    return rebalanceMs > 0 && mode !== "active-backup" && !this.fallsBack;
  }

  get mayRecirculate(): boolean {
    return this.settings.mode === "balance-tcp" && !this.fallsBack;
  }

  /** Moves buckets from members that send much to those that send little, if it is time. */
  rebalance(): void {
    if (!this.isBalanced || !this.buckets || this.clock.now() < this.nextRebalanceMs) return;
    this.nextRebalanceMs = this.clock.now() + this.settings.rebalanceMs;
    if (rebalance(this.name, this.buckets, [...this.members.values()], this.log)) {
      this.revalidates = true;
    }
    for (const bucket of this.buckets) bucket.bytes = Math.floor(bucket.bytes / 2);
  }

  /** LACP failed, and the bond is to be active-backup as long as it does. */
  private get fallsBack(): boolean {
    const { lacpFallback, mode } = this.settings;
    return lacpFallback && mode !== "active-backup" && this.lacpStatus === "configured";
  }

  private resetBuckets(): void {
    if (this.settings.mode === "active-backup" || this.fallsBack) {
      this.buckets = undefined;
      return;
    }
    this.buckets = Array.from(
      { length: BOND_BUCKETS },
      () => ({ member: undefined, bytes: 0 }),
    );
    this.nextRebalanceMs = this.clock.now() + this.settings.rebalanceMs;
  }

  /** Each bucket gets a member that carries, as far as there is one. */
  private fillBuckets(): void {
    for (const bucket of this.buckets ?? []) {
      if (!bucket.member?.enabled) bucket.member = this.nextEnabled() ?? this.active;
    }
  }

  private nextEnabled(): BondMember<P> | undefined {
    const first = this.enabled.shift();
    if (first) this.enabled.push(first);
    return first;
  }

  private updateLink(member: BondMember<P>): void {
    const { port } = member;
    const now = this.clock.now();
    const up = port.linkUp && member.mayEnable;
    const waits = member.delayExpiresMs !== Infinity;
    if ((up === member.enabled) === waits) {
      this.log.info(`member ${port.name}: link state ${up ? "up" : "down"}`);
      if (up === member.enabled) {
        member.delayExpiresMs = Infinity;
        this.log.info(`member ${port.name}: will not be ${up ? "disabled" : "enabled"}`);
      } else {
        const delay = up ? this.settings.updelayMs : this.settings.downdelayMs;
        member.delayExpiresMs = now + delay;
        if (delay > 0) {
          this.log.info(
            `member ${port.name}: will be ${up ? "enabled" : "disabled"} if it stays ` +
              `${up ? "up" : "down"} for ${delay} ms`,
          );
        }
      }
    }
    if (now >= member.delayExpiresMs) this.enable(member, up);
  }

  private chooseActive(): void {
    const { active: old } = this;
    const active = this.active = this.bestMember();
    if (active) {
      const { name } = active.port;
      if (active.enabled) this.log.info(`bond ${this.name}: active member is now ${name}`);
      else {
        const left = Math.round(active.delayExpiresMs - this.clock.now());
        this.log.info(
          `bond ${this.name}: active member is now ${name}, skipping remaining ${left} ms ` +
            "updelay (since no member was enabled)",
        );
        this.enable(active, true);
      }
      this.announces = true;
      if (active !== old) this.tellActive();
    } else if (old) {
      this.tellActive();
      this.log.info(`bond ${this.name}: all members disabled`);
    }
  }

  /** The primary; else the one that was active last; else any; else the one enabled soonest. */
  private bestMember(): BondMember<P> | undefined {
    const members = [...this.members.values()];
    const enabled = members.filter((member) => member.enabled);
    const last = this.activeMac && formatMac(this.activeMac);
    return enabled.find(({ isPrimary }) => isPrimary) ??
      enabled.find(({ port }) => formatMac(port.mac) === last) ??
      enabled[0] ??
      members.filter(({ mayEnable, delayExpiresMs }) => mayEnable && delayExpiresMs !== Infinity)
        .sort((a, b) => a.delayExpiresMs - b.delayExpiresMs)[0];
  }

  private tellActive(): void {
    this.activeMac = this.active && Uint8Array.from(this.active.port.mac);
    this.revalidates = true;
    this.activeChanged();
  }
}

/** Hash of an Ethernet address in a VLAN (`bond/hash`). */
export function hashAddress(bytes: Uint8Array, at: number, vlan: number, basis: number): number {
  // As one number of 64 bits: the VLAN above the address.
  const high = ((vlan << 16) | (bytes[at]! << 8) | bytes[at + 1]!) >>> 0;
  const low = ((bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) |
    bytes[at + 5]!) >>> 0;
  return hashFinish(hashAdd(hashAdd(basis, low), high), 8);
}
