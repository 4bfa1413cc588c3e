/**
 * Bidirectional Forwarding Detection (RFC 5880, asynchronous mode without authentication; RFC 5881)
 * on one interface, as Open vSwitch speaks it: each end sends messages and says how often it wants
 * the other's; when they stop, the path is down.
 *
 *           remote down              remote init or up
 *     down ─────────────> init ──────────────────────────> up
 *      │ └──────────────────── remote init ─────────────> ↑ │
 *      └<──── nothing in time, or remote down or admin_down ─┘
 *
 * `forwarding` is what others want to know: the session is up, and the other end has not said that
 * what lies behind it is broken. It counts how often it changes.
 *
 * - Nothing here reads the time or sends by itself: `due` and `run` are called after every event and
 *   when `wakeMs` has come. A change of intervals in a session that is up is agreed upon by a poll.
 * - `decay_min_rx`: a session whose interface carries nothing else asks for fewer messages.
 * - `forwarding_if_rx`: packets that come in keep it forwarding, as long as messages come now and then.
 * - An interface has one session; "your discriminator" is checked and not used to find it.
 *
 * Demand mode, echo and authentication are not there, as in Open vSwitch 3.1, whose texts these are.
 */
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import {
  BFD_DIAGNOSTIC,
  BFD_FLAG,
  BFD_MESSAGE_BYTES,
  BFD_TTL,
  BFD_VERSION,
  bfdFrame,
  type BfdMessage,
  type BfdState,
  diagnosticText,
  parseBfdFrame,
} from "./bfd-message.ts";
import type { BfdSettings } from "./bfd-settings.ts";
import { describeBfd, describeMessage } from "./bfd-text.ts";

const SLOW_TX_MS = 1000;
const LEAST_DECAY_MS = 2000;
const LEAST_RX_MS = 2000;
/** So many intervals without any message, and packets alone keep nothing forwarding. */
const MESSAGES_WITHIN = 100;
const DEFAULT_SRC_IP = Uint8Array.of(169, 254, 1, 1);
const DEFAULT_DST_IP = Uint8Array.of(169, 254, 1, 0);
const DEFAULT_DST_MAC = Uint8Array.of(0x00, 0x23, 0x20, 0, 0, 1);
/** What the other end may say of the path behind it. */
const BROKEN_BEHIND: ReadonlySet<number> = new Set([
  BFD_DIAGNOSTIC.PATH_DOWN,
  BFD_DIAGNOSTIC.CONCATENATED_DOWN,
  BFD_DIAGNOSTIC.REVERSE_DOWN,
]);

/** What a session needs of its surroundings. */
export interface BfdSurroundings {
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
  /** Packets that the interface has received. */
  readonly rxPackets: () => number;
  /** What the database shows may have changed. */
  readonly changed: () => void;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
}

export class Bfd {
  state: BfdState = "down";
  diagnostic: number = BFD_DIAGNOSTIC.NONE;
  flags = 0;
  remoteState: BfdState = "down";
  remoteDiagnostic: number = BFD_DIAGNOSTIC.NONE;
  remoteFlags = 0;
  remoteDiscriminator = 0;
  remoteMultiplier = 0;
  remoteMinRxMs = 1;
  remoteMinTxMs = 0;
  /** As in force; what is configured takes a poll. */
  minTxMs = SLOW_TX_MS;
  minRxMs = 0;
  lastTxMs = 0;
  /** 0: at once. */
  nextTxMs = 0;
  detectMs = 0;
  flaps = 0;
  /** By hand (`bfd/set-forwarding`). */
  private override: boolean | undefined;
  private lastForwarding = false;
  private pollMinTxMs = 0;
  private pollMinRxMs = 0;
  private rxUntilMs = 0;
  private messagesUntilMs = 0;
  private inDecay = false;
  private decayMessages = 0;
  private decayPackets = 0;
  private decayAtMs = 0;

  constructor(
    readonly name: string,
    readonly discriminator: number,
    private readonly udpSrc: number,
    public settings: BfdSettings,
    private readonly around: BfdSurroundings,
  ) {
    this.minTxMs = settings.minTxMs;
    this.minRxMs = settings.minRxMs;
    if (settings.pathDown) this.diagnostic = BFD_DIAGNOSTIC.CONCATENATED_DOWN;
    this.restartDecay();
    around.changed();
  }

  configure(settings: BfdSettings): void {
    const { settings: old } = this;
    this.settings = settings;
    const { minTxMs, minRxMs, decayMinRxMs, pathDown, forwardingIfRx, multiplier } = settings;
    const free = this.state !== "up" || !this.polls;
    let polls = false;
    if (old.minTxMs !== minTxMs) {
      if (this.state !== "up" || (free && minTxMs < this.minTxMs)) this.minTxMs = minTxMs;
      polls = true;
    }
    if (old.minRxMs !== minRxMs) {
      if (this.state !== "up" || (free && minRxMs > this.minRxMs)) this.minRxMs = minRxMs;
      polls = true;
    }
    if (old.decayMinRxMs !== decayMinRxMs || old.minRxMs !== minRxMs) {
      this.inDecay = false;
      this.restartDecay();
      polls = true;
    }
    if (old.pathDown !== pathDown) {
      this.become(this.state, BFD_DIAGNOSTIC.NONE);
      polls = true;
    }
    if (old.forwardingIfRx !== forwardingIfRx) {
      if (this.state === "up" && forwardingIfRx) this.prolong();
      else this.rxUntilMs = 0;
    } else if (this.state === "up" && forwardingIfRx && old.multiplier !== multiplier) {
      this.prolong();
    }
    if (polls) this.poll();
    this.check();
  }

  setForwarding(override: boolean | undefined): void {
    this.override = override;
    this.around.changed();
  }

  get forwarding(): boolean {
    return this.check();
  }

  /** When `due` and `run` are to be called again, if nothing happens before. */
  get wakeMs(): number {
    if (this.flags & BFD_FLAG.FINAL) return 0;
    return this.isAlive ? Math.min(this.detectMs, this.nextTxMs) : this.nextTxMs;
  }

  /** A frame that is to be sent now, from an interface of this address. */
  due(mac: Uint8Array): Uint8Array | undefined {
    const now = this.now();
    if (!(this.flags & BFD_FLAG.FINAL) && now < this.nextTxMs) return undefined;
    const { settings, polls } = this;
    const message: BfdMessage = {
      version: BFD_VERSION,
      diagnostic: this.diagnostic,
      state: this.state,
      flags: this.flags,
      multiplier: settings.multiplier,
      lengthBytes: BFD_MESSAGE_BYTES,
      myDiscriminator: this.discriminator,
      yourDiscriminator: this.remoteDiscriminator,
      minTxUs: (polls ? this.pollMinTxMs : this.sentMinTxMs) * 1000,
      minRxUs: (polls ? this.pollMinRxMs : this.minRxMs) * 1000,
      minEchoRxUs: 0,
    };
    this.flags &= ~BFD_FLAG.FINAL;
    this.tell("dbg", message, "Sending BFD Message");
    this.lastTxMs = now;
    this.scheduleTx();
    return bfdFrame({
      ethSrc: settings.localSrcMac ?? mac,
      ethDst: settings.localDstMac ?? DEFAULT_DST_MAC,
      ipSrc: settings.srcIp ?? DEFAULT_SRC_IP,
      ipDst: settings.dstIp ?? DEFAULT_DST_IP,
      udpSrc: this.udpSrc,
    }, message);
  }

  /** Does what has become due. */
  run(): void {
    const { settings, inDecay } = this;
    const now = this.now();
    if (this.isAlive && now >= this.detectMs) this.become("down", BFD_DIAGNOSTIC.EXPIRED);
    this.check();
    if (this.state === "up" && settings.decayMinRxMs > 0 && now >= this.decayAtMs) {
      // What the counter lags behind should not keep an idle session awake.
      const packets = this.around.rxPackets() - this.decayPackets;
      this.inDecay = packets <= 2 * Math.max(this.decayMessages, 1);
      this.restartDecay();
    }
    const { minTxMs, minRxMs, decayMinRxMs } = settings;
    if (
      this.minTxMs !== minTxMs || (this.minRxMs !== minRxMs && this.minRxMs !== decayMinRxMs) ||
      this.inDecay !== inDecay
    ) this.poll();
  }

  /** Packets came in by the interface. */
  received(): void {
    if (!this.settings.forwardingIfRx) return;
    this.check();
    this.prolong();
    this.check();
  }

  /** A frame came in that `Sessions.claims` has taken for a message. RFC 5880 §6.8.6. */
  receive(frame: Uint8Array): void {
    const found = parseBfdFrame(frame);
    if (!found) return;
    this.decayMessages++;
    this.check();
    if (found.ttl === BFD_TTL) {
      if (found.message) this.accept(found.message, found.payloadBytes);
      else {
        this.around.log.info(
          `${this.name}: Received too-short BFD control message (only ${found.payloadBytes} ` +
            `bytes long, at least ${BFD_MESSAGE_BYTES} required).`,
        );
      }
    }
    this.check();
  }

  /** A poll is under way. */
  get polls(): boolean {
    return (this.flags & BFD_FLAG.POLL) !== 0;
  }

  /** RFC 5880 §6.8.3: a session that is not up sends once a second at most. */
  get sentMinTxMs(): number {
    return this.state === "up" ? this.minTxMs : Math.max(this.minTxMs, SLOW_TX_MS);
  }

  get txIntervalMs(): number {
    return Math.max(this.sentMinTxMs, this.remoteMinRxMs);
  }

  get rxIntervalMs(): number {
    return Math.max(this.minRxMs, this.remoteMinTxMs);
  }

  /** There is a neighbour. */
  private get isAlive(): boolean {
    return this.state === "init" || this.state === "up";
  }

  private now(): number {
    return this.around.clock.now();
  }

  /** What is wrong with a message, so that it must be discarded. */
  private fault(message: BfdMessage, payloadBytes: number): string | undefined {
    const { flags, myDiscriminator, yourDiscriminator, state, lengthBytes } = message;
    if (message.version !== BFD_VERSION) return "Incorrect version";
    if (flags & BFD_FLAG.AUTHENTICATION) {
      return "Authenticated control message with authentication disabled";
    }
    if (lengthBytes < BFD_MESSAGE_BYTES || lengthBytes > payloadBytes) return "Unexpected length";
    if (message.multiplier === 0) return "Zero multiplier";
    if (flags & BFD_FLAG.MULTIPOINT) return "Unsupported multipoint flag";
    if (myDiscriminator === 0) return "NULL my_disc";
    if (yourDiscriminator !== 0) {
      return yourDiscriminator === this.discriminator ? undefined : "Incorrect your_disc";
    }
    return state === "init" || state === "up" ? "Null your_disc" : undefined;
  }

  private accept(message: BfdMessage, payloadBytes: number): void {
    this.tell("dbg", message, "Received BFD control message");
    const fault = this.fault(message, payloadBytes);
    if (fault !== undefined) return this.tell("warn", message, fault);
    if (message.lengthBytes !== BFD_MESSAGE_BYTES) this.tell("warn", message, "Unexpected length");
    const { state, flags, multiplier } = message;
    if (this.remoteState !== state) this.around.changed();
    this.remoteDiscriminator = message.myDiscriminator;
    this.remoteState = state;
    this.remoteFlags = flags;
    this.remoteDiagnostic = message.diagnostic;
    if (flags & BFD_FLAG.FINAL && this.polls) {
      this.minTxMs = this.pollMinTxMs;
      this.minRxMs = this.pollMinRxMs;
      this.flags &= ~BFD_FLAG.POLL;
      this.tell("info", message, "Poll sequence terminated");
    }
    // Never both (§6.5): who is polled answers first.
    if (flags & BFD_FLAG.POLL) this.flags = (this.flags & ~BFD_FLAG.POLL) | BFD_FLAG.FINAL;
    if (this.remoteMultiplier !== multiplier) {
      this.around.log.info(
        `Interface ${this.name} remote mult value ${this.remoteMultiplier} changed to ${multiplier}`,
      );
      this.remoteMultiplier = multiplier;
    }
    const minRxMs = Math.max(Math.floor(message.minRxUs / 1000), 1);
    if (this.remoteMinRxMs !== minRxMs) {
      this.remoteMinRxMs = minRxMs;
      if (this.nextTxMs !== 0) this.scheduleTx();
      this.tell("info", message, "New remote min_rx");
    }
    this.remoteMinTxMs = Math.max(Math.floor(message.minTxUs / 1000), 1);
    this.detectMs = this.rxIntervalMs * multiplier + this.now();
    this.follow(message);
    if (this.settings.forwardingIfRx) {
      this.messagesUntilMs = this.now() + MESSAGES_WITHIN * this.settings.minRxMs;
    }
  }

  /** The state machine (§6.8.6, last part). */
  private follow(message: BfdMessage): void {
    const remote = message.state;
    switch (this.state) {
      case "admin_down":
        return;
      case "down":
        if (remote === "down") this.become("init", this.diagnostic);
        else if (remote === "init") this.become("up", this.diagnostic);
        return;
      case "init":
        if (remote === "init" || remote === "up") this.become("up", this.diagnostic);
        else if (remote === "admin_down") this.become("down", BFD_DIAGNOSTIC.REMOTE_DOWN);
        return;
      case "up":
        if (remote !== "down" && remote !== "admin_down") return;
        this.become("down", BFD_DIAGNOSTIC.REMOTE_DOWN);
        if (remote === "down") this.tell("info", message, "Remote signaled STATE_DOWN");
        return;
      default: {
        const never: never = this.state;
        throw new Error(`BFD state ${never}`);
      }
    }
  }

  private become(state: BfdState, wanted: number): void {
    const diagnostic = this.settings.pathDown ? BFD_DIAGNOSTIC.CONCATENATED_DOWN : wanted;
    if (this.state === state && this.diagnostic === diagnostic) return;
    this.around.log.info(
      `${this.name}: BFD state change: ${this.state}->${state} ` +
        `"${diagnosticText(this.diagnostic)}"->"${diagnosticText(diagnostic)}".\n` +
        describeBfd(this, this.now()),
    );
    this.state = state;
    this.diagnostic = diagnostic;
    if (!this.isAlive) {
      this.remoteState = "down";
      this.remoteDiagnostic = BFD_DIAGNOSTIC.NONE;
      this.remoteMinRxMs = 1;
      this.remoteFlags = 0;
      this.remoteDiscriminator = 0;
      this.remoteMinTxMs = 0;
      if (this.inDecay) {
        this.minRxMs = this.settings.minRxMs;
        this.inDecay = false;
      }
    }
    if (state === "up" && this.settings.decayMinRxMs > 0) this.restartDecay();
    this.around.changed();
  }

  /** Whether it forwards; notices when that has changed. */
  private check(): boolean {
    if (this.override !== undefined) return this.override;
    const now = this.now();
    const byPackets = this.settings.forwardingIfRx && this.rxUntilMs > now &&
      this.messagesUntilMs > now;
    const forwarding = (this.state === "up" || byPackets) &&
      !BROKEN_BEHIND.has(this.remoteDiagnostic);
    if (forwarding !== this.lastForwarding) {
      this.lastForwarding = forwarding;
      this.flaps++;
      this.around.changed();
    }
    return forwarding;
  }

  /** New intervals are in force when the other end has answered. */
  private poll(): void {
    if (!this.isAlive || this.polls || this.flags & BFD_FLAG.FINAL) return;
    const { minTxMs, minRxMs, decayMinRxMs } = this.settings;
    this.pollMinTxMs = minTxMs;
    this.pollMinRxMs = this.inDecay ? decayMinRxMs : minRxMs;
    this.flags |= BFD_FLAG.POLL;
    this.nextTxMs = 0;
    this.around.log.info(`${this.name}: Initiating poll sequence`);
  }

  /** A quarter early at most, so that sessions do not beat together (§6.8.7). */
  private scheduleTx(): void {
    const interval = this.txIntervalMs;
    const { random } = this.around;
    const early = this.settings.multiplier === 1
      ? 10 + Math.floor(random() * 16)
      : Math.floor(random() * 26);
    this.nextTxMs = this.lastTxMs + interval - Math.floor((interval * early) / 100);
  }

  private prolong(): void {
    const interval = this.rxIntervalMs * this.settings.multiplier;
    this.rxUntilMs = Math.max(interval, LEAST_RX_MS) + this.now();
  }

  private restartDecay(): void {
    this.decayPackets = this.around.rxPackets();
    this.decayMessages = 0;
    this.decayAtMs = Math.max(this.settings.decayMinRxMs, LEAST_DECAY_MS) + this.now();
  }

  private tell(level: "dbg" | "info" | "warn", message: BfdMessage, what: string): void {
    const { log } = this.around;
    if (!log.enabled(level)) return;
    log[level](describeMessage(this, message, what) + describeBfd(this, this.now()));
  }
}

/** As `Interface.bfd_status` shows it. */
export function bfdStatus(session: Bfd): ReadonlyMap<string, string> {
  return new Map([
    ["forwarding", String(session.forwarding)],
    ["state", session.state],
    ["diagnostic", diagnosticText(session.diagnostic)],
    ["flap_count", String(session.flaps)],
    ["remote_state", session.remoteState],
    ["remote_diagnostic", diagnosticText(session.remoteDiagnostic)],
  ]);
}
