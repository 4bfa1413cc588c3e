/**
 * LACP, the Link Aggregation Control Protocol (IEEE 802.1AX-2008 §5.4), of one Port row, as Open
 * vSwitch speaks it: both ends of each link tell each other who they are, and links whose other ends
 * are one system and one key may carry traffic together.
 *
 * A member's partner is *current* while messages come; 3 periods without one and it is *expired*:
 * the member stops carrying, asks for fast messages, and 3 s later is *defaulted*: there is nobody.
 * *Attached* members belong to the group of the member that leads, the one of highest priority;
 * `mayEnable` is true of those whose partner says that it is ready, too.
 *
 * - Nothing here reads the time or sends by itself: `run` is called after every event and when
 *   `nextMs` has come; it sends what there is to send. Time comes from the clock that was passed in.
 * - What comes from the wire is checked by `parseLacpFrame` before it gets here.
 * - An active port talks first; a passive one answers.
 *
 * Reference: IEEE 802.1AX-2008; texts and numbers are those of Open vSwitch 3.1.
 */
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import { infoBytes, LACP_STATE, type LacpInfo, type LacpMessage, NO_INFO } from "./lacp-pdu.ts";

const FAST_MS = 1000;
const SLOW_MS = 30_000;
/** So many periods without a message, and a partner is no longer current. */
const MISSED = 3;
/** What must be told at once when it changes (§5.4.16). */
const TOLD = LACP_STATE.ACTIVITY | LACP_STATE.TIMEOUT | LACP_STATE.SYNCHRONIZED |
  LACP_STATE.AGGREGATION;

export interface LacpSettings {
  readonly name: string;
  readonly active: boolean;
  /** 6 bytes, not all zero. */
  readonly systemId: Uint8Array;
  readonly systemPriority: number;
  /** The partner is to send every second; otherwise every 30. */
  readonly fast: boolean;
  /** Without a partner the port is an active-backup bond instead of nothing. */
  readonly fallback: boolean;
}

export interface LacpMemberSettings {
  readonly name: string;
  readonly portId: number;
  readonly portPriority: number;
  /** 0: the number of the first member. */
  readonly key: number;
}

export type LacpMemberStatus = "current" | "expired" | "defaulted";

/** "configured": no partner agrees to anything. */
export type LacpStatus = "negotiated" | "configured" | "off";

export interface LacpCounters {
  txPdus: number;
  rxPdus: number;
  badPdus: number;
  markers: number;
  expired: number;
  defaulted: number;
  carrierChanges: number;
}

export class LacpMember {
  name = "";
  portId = 0;
  portPriority = 0;
  key = 0;
  status: LacpMemberStatus = "defaulted";
  attached = false;
  carrierUp = false;
  partner: LacpInfo = NO_INFO;
  /** What the partner believes of this end, or has just been told. */
  told: LacpInfo = NO_INFO;
  txAt = 0;
  rxAt = 0;
  readonly counters: LacpCounters = {
    txPdus: 0,
    rxPdus: 0,
    badPdus: 0,
    markers: 0,
    expired: 0,
    defaulted: 0,
    carrierChanges: 0,
  };
}

/** `P`: what identifies a member; its port. */
export class Lacp<P extends object> {
  name = "";
  active = false;
  fast = false;
  fallback = false;
  systemId: Uint8Array = new Uint8Array(6);
  systemPriority = 0;
  negotiated = false;
  readonly members = new Map<P, LacpMember>();
  private stale = false;
  private keyMember: LacpMember | undefined;

  constructor(private readonly clock: Pick<Clock, "now">, private readonly log: Logger) {}

  get status(): LacpStatus {
    return this.negotiated ? "negotiated" : "configured";
  }

  /** What says that members belong together; undefined without members. */
  get key(): number | undefined {
    return this.keyMember && (this.keyMember.key || this.keyMember.portId);
  }

  configure(settings: LacpSettings): void {
    const { systemId, systemPriority, fallback } = settings;
    const same = sameBytes(systemId, this.systemId) && systemPriority === this.systemPriority &&
      fallback === this.fallback;
    if (!same) this.stale = true;
    this.name = settings.name;
    this.active = settings.active;
    this.fast = settings.fast;
    this.fallback = fallback;
    this.systemId = systemId;
    this.systemPriority = systemPriority;
  }

  /** Takes a member in, or its new settings. */
  register(port: P, settings: LacpMemberSettings): void {
    let member = this.members.get(port);
    if (!member) {
      this.members.set(port, member = new LacpMember());
      this.keyMember ??= member;
      this.default(member);
    }
    const { name, portId, portPriority, key } = settings;
    member.name = name;
    if (
      member.portId === portId && member.portPriority === portPriority && member.key === key
    ) return;
    member.portId = portId;
    member.portPriority = portPriority;
    member.key = key;
    this.stale = true;
    if (this.active || this.negotiated) this.expire(member);
  }

  unregister(port: P): void {
    const member = this.members.get(port);
    if (!member) return;
    this.members.delete(port);
    this.stale = true;
    if (this.keyMember === member) [this.keyMember] = this.members.values();
  }

  /** The link is there. */
  carrierSeen(port: P): void {
    const member = this.members.get(port);
    if (member) member.carrierUp = true;
  }

  /** The link has come or gone since. */
  carrierChanged(port: P, up: boolean): void {
    const member = this.members.get(port);
    if (!member) return;
    if (member.status === "current" || this.active) this.expire(member);
    if (member.carrierUp === up) return;
    member.carrierUp = up;
    member.counters.carrierChanges++;
  }

  /** A message came in. */
  receive(port: P, message: LacpMessage): void {
    const member = this.members.get(port);
    if (!member) return;
    member.counters.rxPdus++;
    switch (message.type) {
      case "marker":
        member.counters.markers++;
        return this.log.dbg(`${this.name}: received a LACP marker PDU.`);
      case "bad":
        member.counters.badPdus++;
        return this.log.warn(`${this.name}: received an unparsable LACP PDU.`);
      case "lacp":
        break;
      default: {
        const never: never = message;
        throw new Error(`LACP message ${never}`);
      }
    }
    // Some cards are slow to say that the link is up.
    if (!member.carrierUp) {
      return this.log.info(
        `${member.name}: carrier state is DOWN, dropping received LACP PDU.`,
      );
    }
    member.status = "current";
    member.rxAt = this.clock.now() + MISSED * (this.fast ? FAST_MS : SLOW_MS);
    member.told = message.partner;
    if (sameBytes(infoBytes(member.partner), infoBytes(message.actor))) return;
    this.stale = true;
    member.partner = message.actor;
  }

  /** True of a member that may carry traffic. */
  mayEnable(port: P): boolean {
    const member = this.members.get(port);
    return member !== undefined && this.mayCarry(member);
  }

  mayCarry({ attached, partner, status }: LacpMember): boolean {
    return attached && ((partner.state & LACP_STATE.SYNCHRONIZED) !== 0 ||
      (this.fallback && status === "defaulted"));
  }

  /** True while there is a partner, though it may have become silent. */
  isCurrent(port: P): boolean {
    const member = this.members.get(port);
    return member !== undefined && member.status !== "defaulted";
  }

  /** Does what has become due. Returns true if anything changed that others look at. */
  run(send: (port: P, actor: LacpInfo, partner: LacpInfo) => void): boolean {
    const now = this.clock.now();
    let changed = false;
    for (const member of this.members.values()) {
      if (now < member.rxAt) continue;
      if (member.status === "current") {
        this.expire(member);
        member.counters.expired++;
        changed = true;
      } else if (member.status === "expired") {
        this.default(member);
        member.counters.defaulted++;
        changed = true;
      }
    }
    if (this.stale) {
      this.attach();
      changed = true;
    }
    for (const [port, member] of this.members) {
      if (!this.mayTalk(member)) continue;
      const actor = this.actorOf(member);
      if (now < member.txAt && !mustTell(actor, member.told)) continue;
      member.told = actor;
      member.counters.txPdus++;
      const fast = (member.partner.state & LACP_STATE.TIMEOUT) !== 0;
      member.txAt = now + (fast ? FAST_MS : SLOW_MS);
      send(port, actor, member.partner);
    }
    return changed;
  }

  /** When `run` is to be called again, if nothing happens before; Infinity: not at all. */
  get nextMs(): number {
    let next = Infinity;
    for (const member of this.members.values()) {
      if (this.mayTalk(member)) next = Math.min(next, member.txAt);
      if (member.status !== "defaulted") next = Math.min(next, member.rxAt);
    }
    return next;
  }

  /** What this end says of itself on the member's link. */
  actorOf(member: LacpMember): LacpInfo {
    let state = 0;
    if (this.active) state |= LACP_STATE.ACTIVITY;
    if (this.fast) state |= LACP_STATE.TIMEOUT;
    if (member.attached) state |= LACP_STATE.SYNCHRONIZED;
    if (member.status === "defaulted") state |= LACP_STATE.DEFAULTED;
    if (member.status === "expired") state |= LACP_STATE.EXPIRED;
    if (this.members.size > 1) state |= LACP_STATE.AGGREGATION;
    if (member.attached || !this.negotiated) {
      state |= LACP_STATE.COLLECTING | LACP_STATE.DISTRIBUTING;
    }
    return {
      systemPriority: this.systemPriority,
      systemId: this.systemId,
      key: this.key ?? 0,
      portPriority: member.portPriority,
      portId: member.portId,
      state,
    };
  }

  private mayTalk(member: LacpMember): boolean {
    return member.carrierUp && (this.active || member.status !== "defaulted");
  }

  private default(member: LacpMember): void {
    member.partner = NO_INFO;
    member.status = "defaulted";
    this.stale = true;
  }

  private expire(member: LacpMember): void {
    const state = (member.partner.state | LACP_STATE.TIMEOUT) & ~LACP_STATE.SYNCHRONIZED;
    member.status = "expired";
    member.partner = { ...member.partner, state };
    member.rxAt = this.clock.now() + MISSED * FAST_MS;
  }

  /** Decides anew which members belong together. */
  private attach(): void {
    this.stale = false;
    let working: LacpMember | undefined;
    let lead: LacpMember | undefined;
    let leadCarries = false;
    let leadPriority: Uint8Array | undefined;
    // A link that works keeps the lead.
    for (const member of this.members.values()) {
      if (member.status !== "current" || !member.attached) continue;
      const priority = this.priorityOf(member);
      if (leadPriority && Buffer.compare(priority, leadPriority) >= 0) continue;
      working = lead = member;
      leadPriority = priority;
      leadCarries = true;
    }
    for (const member of this.members.values()) {
      member.attached = false;
      if (sameBytes(member.partner.systemId, this.systemId)) {
        this.log.warn(
          `member ${member.name}: Loopback detected. Interface is connected to its own bond`,
        );
        continue;
      }
      if (member.status === "defaulted") {
        member.attached = this.fallback;
        continue;
      }
      const carries = this.mayCarry(member);
      const priority = this.priorityOf(member);
      member.attached = !working ||
        sameBytes(member.partner.systemId, working.partner.systemId);
      if (!member.attached) continue;
      const better = !lead || (carries && !leadCarries) ||
        (carries === leadCarries && Buffer.compare(priority, leadPriority!) < 0);
      if (!better) continue;
      lead = member;
      leadCarries = carries;
      leadPriority = priority;
    }
    this.negotiated = lead !== undefined;
    if (!lead) return;
    for (const member of this.members.values()) {
      const together = lead.partner.key === member.partner.key &&
        sameBytes(lead.partner.systemId, member.partner.systemId);
      if (!together || (this.fallback && member.status === "defaulted")) member.attached = false;
    }
  }

  /** The priority of the member's link: what the system of higher priority says of it. */
  private priorityOf(member: LacpMember): Uint8Array {
    const { partner } = member;
    const order = this.systemPriority - partner.systemPriority ||
      Buffer.compare(this.systemId, partner.systemId);
    const info = order < 0 ? this.actorOf(member) : partner;
    return infoBytes({ ...info, key: 0, state: 0 });
  }
}

function mustTell(a: LacpInfo, b: LacpInfo): boolean {
  return ((a.state ^ b.state) & TOLD) !== 0 || a.portId !== b.portId ||
    a.portPriority !== b.portPriority || a.key !== b.key ||
    a.systemPriority !== b.systemPriority || !sameBytes(a.systemId, b.systemId);
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
