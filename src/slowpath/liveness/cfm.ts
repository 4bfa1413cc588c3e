/**
 * Connectivity Fault Management (IEEE 802.1ag) on one interface, as far as Open vSwitch speaks it:
 * each end sends a message every interval, and looks every 3.5 intervals whether messages came.
 *
 *     due: every interval a message        run: every 3.5 intervals, what has come since
 *                                               none ──> fault "recv"; a remote end that was not
 *                                               heard is forgotten, which our messages say (RDI)
 *
 * - Faults of the interval are collected while messages come in and are in force when it ends.
 * - Health: of how many messages came in six such intervals, when there is one remote end.
 * - Extended mode: MPIDs of 64 bits, any interval, and ends that say that they are out of operation.
 * - Demand mode: packets that come in do for messages, as long as messages come now and then.
 * - A message of another association is a fault; one of another interval or from an unexpected end is
 *   not, for anybody could bring the link down with it.
 *
 * Nothing here reads the time or sends by itself. Texts and numbers are Open vSwitch 3.1's.
 */
import type { Logger } from "../../log/log.ts";
import { formatMac } from "../../packet/address.ts";
import { hashBig } from "../../packet/hash.ts";
import type { Clock } from "../clock.ts";
import { type Ccm, CCM_OPCODE, ccmAddress, ccmFrame, ownMaid, parseCcmFrame } from "./ccm.ts";
import type { CfmSettings } from "./cfm-settings.ts";

export const CFM_FAULTS = ["recv", "rdi", "maid", "loopback", "overflow", "override"] as const;
export type CfmFault = (typeof CFM_FAULTS)[number];

const MAX_REMOTES = 256;
const LEAST_DEMAND_MS = 500;
/** Looked at so often, there is a new figure of health. */
const HEALTH_CHECKS = 6;
const MESSAGES_A_CHECK = 3.5;
/** So many intervals without any message, and packets alone are no proof. */
const MESSAGES_WITHIN = 100;
const PRIORITY_SHIFT = 13;

/** Another end of the association. */
export interface RemoteEnd {
  /** A message came since the last check. */
  heard: boolean;
  up: boolean;
  sequence: number;
  /** Messages without fault, for the figure of health. */
  good: number;
  lastMs: number;
}

export interface CfmSurroundings {
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
  /** Packets that the interface has received. */
  readonly rxPackets: () => number;
  /** What the database shows may have changed. */
  readonly changed: () => void;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
}

type Faults = ReadonlySet<CfmFault>;
const OVERRIDDEN: Faults = new Set(["override"]);
const NONE: Faults = new Set();

export class Cfm {
  readonly remotes = new Map<bigint, RemoteEnd>();
  /** Those that were heard when it was last looked. */
  heard: readonly bigint[] = [];
  remoteUp = true;
  /** Percent; undefined: not known, or there are several ends. */
  health: number | undefined;
  flaps = 0;
  nextTxMs = 0;
  checkAtMs: number;
  private current: Faults = NONE;
  private collected = new Set<CfmFault>();
  private override: boolean | undefined;
  private readonly maid = ownMaid();
  private sequence = 0;
  private booted = false;
  private checks = 0;
  private rxPackets = 0;
  private messagesUntilMs = 0;

  constructor(
    readonly name: string,
    public settings: CfmSettings,
    private readonly around: CfmSurroundings,
  ) {
    this.checkAtMs = around.clock.now() + this.checkMs;
    this.rxPackets = around.rxPackets();
    around.changed();
  }

  configure(settings: CfmSettings): void {
    const { settings: old } = this;
    this.settings = settings;
    if (settings.demand && !old.demand) this.rxPackets = this.around.rxPackets();
    if (old.interval === settings.interval && old.intervalMs === settings.intervalMs) return;
    this.nextTxMs = 0;
    this.checkAtMs = this.around.clock.now() + this.checkMs;
  }

  setFault(override: boolean | undefined): void {
    this.override = override;
    this.around.changed();
  }

  get isOverridden(): boolean {
    return this.override !== undefined;
  }

  get faults(): Faults {
    if (this.override === undefined) return this.current;
    return this.override ? OVERRIDDEN : NONE;
  }

  /** Undefined: nobody says, outside of extended mode. */
  get remoteState(): "up" | "down" | undefined {
    if (!this.settings.extended) return undefined;
    return this.remoteUp ? "up" : "down";
  }

  /** The port may be used. */
  get isUp(): boolean {
    return this.faults.size === 0 && this.remoteState !== "down";
  }

  get wakeMs(): number {
    return Math.min(this.nextTxMs, this.checkAtMs);
  }

  /** A frame that is to be sent now, from an interface of this address. */
  due(mac: Uint8Array): Uint8Array | undefined {
    const now = this.around.clock.now();
    if (now < this.nextTxMs) return undefined;
    const { extended, mpid, interval, intervalMs, vlan, priority, up } = this.settings;
    this.nextTxMs = now + intervalMs;
    this.sequence = (this.sequence + 1) >>> 0;
    const vid = vlan === "random" ? Math.floor(this.around.random() * 4096) : vlan;
    const longMpid = BigInt(mpid);
    return ccmFrame({
      src: mac,
      dst: ccmAddress(extended),
      tci: vid | (priority << PRIORITY_SHIFT),
    }, {
      opcode: CCM_OPCODE,
      interval,
      rdi: this.booted && this.remotes.size === 0,
      sequence: this.sequence,
      mpid: (extended ? hashBig(longMpid) : mpid) & 0xffff,
      maid: this.maid,
      intervalMs: interval === 0 ? intervalMs : 0,
      longMpid: extended ? longMpid : 0n,
      isDown: extended && !up,
    });
  }

  /** Looks whether messages came, if it is time. */
  run(): void {
    const now = this.around.clock.now();
    if (now < this.checkAtMs) return;
    const { health, remoteUp, heard, flaps, current: old } = this;
    const faults = this.collected;
    this.collected = new Set();
    this.assess();
    const forgot = this.forget(now);
    if (this.remotes.size === 0) faults.add("recv");
    if (!sameFaults(old, faults)) {
      this.around.log.info(
        `${this.name}: CFM faults changed from [${faultText(old)}] to [${faultText(faults)}].`,
      );
      if (old.size === 0 || faults.size === 0) this.flaps++;
    }
    this.current = faults;
    if (
      health !== this.health || remoteUp !== this.remoteUp || forgot || flaps !== this.flaps ||
      heard.length !== this.heard.length || !sameFaults(old, faults)
    ) this.around.changed();
    this.booted = true;
    this.checkAtMs = now + this.checkMs;
    this.around.log.dbg(`${this.name}: new fault interval`);
  }

  /** A frame came in that `claimsCfm` has taken for a message. */
  receive(frame: Uint8Array): void {
    const { log } = this.around;
    const ccm = parseCcmFrame(frame);
    if (!ccm) return log.info(`${this.name}: Received an unparseable 802.1ag CCM heartbeat.`);
    if (ccm.opcode !== CCM_OPCODE) {
      return log.info(
        `${this.name}: Received an unsupported 802.1ag message. (opcode ${ccm.opcode})`,
      );
    }
    if (Buffer.compare(ccm.maid, this.maid) !== 0) {
      this.collected.add("maid");
      return log.warn(
        `${this.name}: Received unexpected remote MAID from MAC ${formatMac(frame, 6)}`,
      );
    }
    this.accept(ccm, frame);
  }

  private get checkMs(): number {
    const { intervalMs, demand } = this.settings;
    // Traffic is known by counters, which are not read that often.
    return Math.max(intervalMs, demand ? LEAST_DEMAND_MS : 0) * MESSAGES_A_CHECK;
  }

  /** Every sixth time a new figure of health. */
  private assess(): void {
    if (this.checks === HEALTH_CHECKS) {
      const [only] = this.remotes.values();
      if (this.remotes.size > 1) this.health = undefined;
      else if (!only) this.health = 0;
      else {
        const expected = HEALTH_CHECKS * MESSAGES_A_CHECK;
        this.health = Math.min(100, Math.floor((only.good * 100) / expected));
        only.good = 0;
      }
      this.checks = 0;
    }
    this.checks++;
  }

  /** Forgets those that were not heard; true if any. */
  private forget(now: number): boolean {
    let isProof = false;
    if (this.settings.demand) {
      const rxPackets = this.around.rxPackets();
      isProof = this.remotes.size === 1 && rxPackets > this.rxPackets &&
        now < this.messagesUntilMs;
      this.rxPackets = rxPackets;
    }
    let forgot = false;
    let anyUp = false;
    let anyDown = false;
    const heard: bigint[] = [];
    for (const [mpid, remote] of this.remotes) {
      if (remote.heard) {
        remote.heard = false;
        if (remote.up) anyUp = true;
        else anyDown = true;
        heard.push(mpid);
        continue;
      }
      this.around.log.info(
        `${this.name}: Received no CCM from RMP ${mpid} in the last ` +
          `${Math.round(now - remote.lastMs)}ms`,
      );
      if (isProof) continue;
      this.remotes.delete(mpid);
      forgot = true;
    }
    if (anyDown) this.remoteUp = false;
    else if (anyUp) this.remoteUp = true;
    this.heard = heard;
    return forgot;
  }

  private accept(ccm: Ccm, frame: Uint8Array): void {
    const { settings, name } = this;
    const { log, clock } = this.around;
    const mpid = settings.extended ? ccm.longMpid : BigInt(ccm.mpid);
    if (ccm.interval !== settings.interval) {
      log.warn(
        `${name}: received a CCM with an unexpected interval (${ccm.interval}) from RMP ${mpid}`,
      );
    }
    if (settings.extended && ccm.interval === 0 && ccm.intervalMs !== settings.intervalMs) {
      log.warn(
        `${name}: received a CCM with an unexpected extended interval (${ccm.intervalMs}ms) from ` +
          `RMP ${mpid}`,
      );
    }
    const faults: CfmFault[] = [];
    let remote = this.remotes.get(mpid);
    if (!remote && this.remotes.size < MAX_REMOTES) {
      remote = { heard: false, up: false, sequence: 0, good: 0, lastMs: 0 };
      this.remotes.set(mpid, remote);
    }
    if (ccm.rdi) {
      faults.push("rdi");
      log.dbg(`${name}: RDI bit flagged from RMP ${mpid}`);
    }
    log.dbg(
      `${name}: received CCM (seq ${ccm.sequence}) (mpid ${mpid}) (interval ${ccm.interval}) ` +
        `(RDI ${ccm.rdi})`,
    );
    if (!remote) {
      this.collected.add("overflow");
      return log.warn(`${name}: dropped CCM with MPID ${mpid} from MAC ${formatMac(frame, 6)}`);
    }
    if (mpid === BigInt(settings.mpid)) {
      faults.push("loopback");
      log.warn(`${name}: received CCM with local MPID ${mpid}`);
    }
    if (remote.sequence !== 0 && ccm.sequence !== (remote.sequence + 1) >>> 0) {
      log.warn(
        `${name}: (mpid ${mpid}) detected sequence numbers which indicate possible connectivity ` +
          `problems (previous ${remote.sequence}) (current ${ccm.sequence})`,
      );
    }
    if (faults.length === 0) {
      remote.good++;
      if (settings.demand) {
        this.messagesUntilMs = clock.now() + MESSAGES_WITHIN * settings.intervalMs;
      }
    }
    for (const fault of faults) this.collected.add(fault);
    remote.heard = true;
    remote.sequence = ccm.sequence;
    remote.up = !(settings.extended && ccm.isDown);
    remote.lastMs = clock.now();
  }
}

/** In the order of their table. */
export function faultText(faults: Faults): string {
  return CFM_FAULTS.filter((fault) => faults.has(fault)).join(" ");
}

function sameFaults(a: Faults, b: Faults): boolean {
  return a.size === b.size && [...a].every((fault) => b.has(fault));
}

/** `ovs-appctl cfm/show`. */
export function describeCfm(session: Cfm, now: number): string {
  const { settings, faults, health } = session;
  const state = (up: boolean): string => up ? "up" : "down";
  const lines = [
    `---- ${session.name} ----`,
    `MPID ${settings.mpid}:${settings.extended ? " extended" : ""}` +
    `${session.isOverridden ? " fault_override" : ""}`,
    ...(faults.size > 0 ? [`  fault: ${faultText(faults)}`] : []),
    `  average health: ${health ?? "undefined"}`,
    `  opstate: ${state(settings.up)}`,
    `  remote_opstate: ${state(session.remoteUp)}`,
    `  interval: ${settings.intervalMs}ms`,
    `  next CCM tx: ${Math.round(session.nextTxMs - now)}ms`,
    `  next fault check: ${Math.round(session.checkAtMs - now)}ms`,
  ];
  for (const [mpid, remote] of session.remotes) {
    lines.push(
      `Remote MPID ${mpid}`,
      `  recv since check: ${remote.heard}`,
      `  opstate: ${state(remote.up)}`,
    );
  }
  return lines.map((line) => `${line}\n`).join("");
}
