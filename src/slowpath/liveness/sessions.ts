/**
 * Whether the ports of one bridge reach anybody: BFD and CFM, by port. Gives the sessions their time,
 * sends what they have to send, hands them what comes in, and lets what comes of it happen (ports that
 * are live or not, the database).
 *
 *     event (configuration, message, by hand, timer) ──> run ──> each session ──> frames to send
 *                                                         ^                          │
 *                                                         └── again while anything is due
 *
 * Messages are taken out of the pipeline by `special.ts`, which asks `claims`; those that arrive while
 * a packet is being translated are answered when that is over. A port with both is live while either
 * of them says so, as in Open vSwitch.
 *
 * Whoever sends messages as fast as a cable carries them fills neither the log (`limitedLogger`) nor
 * the database, which is told at most every STATUS_MS.
 */
import type { FlowKey } from "../../packet/key.ts";
import { limitedLogger } from "../../log/limited.ts";
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import type { LivenessKind, LivenessModel, PortModel } from "../pipeline/model.ts";
import { Bfd } from "./bfd.ts";
import type { BfdSettings } from "./bfd-settings.ts";
import { Cfm } from "./cfm.ts";
import type { CfmSettings } from "./cfm-settings.ts";
import { claimsBfd, claimsCfm } from "./claims.ts";
import { Rounds } from "../rounds.ts";

/** A port as it is kept here. */
export interface WatchedPort extends PortModel {
  readonly mac: Uint8Array;
  sessions: PortSessions | undefined;
}

/** What is needed of the bridge around. */
export interface LivenessHost {
  readonly ports: ReadonlyMap<number, WatchedPort>;
  /** Sends a frame out of a port; `oam`: a tunnel's header is to say what it is. */
  transmit(port: PortModel, frame: Uint8Array, oam: boolean): void;
  /** Packets that came in by the port. */
  rxPackets(port: PortModel): number;
  /** The port may have become live, or no longer be. */
  livenessChanged(port: WatchedPort): void;
  /** Something that the database shows has changed. */
  statusChanged(): void;
}

export interface LivenessLogs {
  readonly bfd: Logger;
  readonly cfm: Logger;
}

const STATUS_MS = 100;
/** RFC 5881 §4: 49152 to 65535, another for each session if possible. */
const FIRST_UDP_PORT = 49152;
const UDP_PORTS = 16384;

/** The sessions of one port. */
export class PortSessions implements LivenessModel {
  bfd: Bfd | undefined;
  cfm: Cfm | undefined;

  constructor(private readonly happened: () => void) {}

  get isLive(): boolean {
    return this.bfd?.forwarding === true || this.cfm?.isUp === true;
  }

  get countsPackets(): boolean {
    return this.bfd?.settings.forwardingIfRx === true;
  }

  /** What translation is told here depends on, as text. */
  get terms(): string {
    const { bfd, cfm } = this;
    return [
      cfm && `${cfm.settings.extended} ${cfm.settings.checkTunnelKey}`,
      bfd && `${bfd.settings.remoteDstMac} ${bfd.settings.srcIp} ${bfd.settings.checkTunnelKey}`,
      this.countsPackets,
    ].join("/");
  }

  claims(key: FlowKey, mask: FlowKey): LivenessKind | undefined {
    if (this.cfm && claimsCfm(this.cfm.settings, key, mask)) return "cfm";
    if (this.bfd && claimsBfd(this.bfd.settings, key, mask)) return "bfd";
    return undefined;
  }

  receive(kind: LivenessKind, frame: Uint8Array): void {
    switch (kind) {
      case "bfd":
        this.bfd?.receive(frame);
        break;
      case "cfm":
        this.cfm?.receive(frame);
        break;
      default: {
        const never: never = kind;
        throw new Error(`liveness of ${never}`);
      }
    }
    this.happened();
  }

  counted(): void {
    this.bfd?.received();
    this.happened();
  }
}

export class Sessions {
  private readonly rounds: Rounds;
  private told = false;
  private nextUdpPort = 0;
  /** Defined while the database is not to be told again. */
  private cancelStatus: (() => void) | undefined;
  /** By port, whether it was live when it was last told of. */
  private readonly live = new Map<WatchedPort, boolean>();

  constructor(
    private readonly host: LivenessHost,
    private readonly clock: Clock,
    private readonly logs: LivenessLogs,
    private readonly random: () => number = Math.random,
  ) {
    this.rounds = new Rounds(clock, {
      turn: () => {
        for (const port of host.ports.values()) this.runPort(port);
      },
      ended: () => this.tellStatus(),
      nextMs: () => this.nextMs(),
    });
  }

  /**
   * What the database wants of a port; undefined: none of it. True if other packets than before are
   * messages now, or are to be told of: megaflows are to be looked at again.
   */
  configure(
    port: WatchedPort,
    bfd: BfdSettings | undefined,
    cfm: CfmSettings | undefined,
  ): boolean {
    if (!bfd && !cfm && !port.sessions) return false;
    const before = port.sessions?.terms;
    const sessions = port.sessions ??= new PortSessions(() => this.happened());
    if (!bfd) sessions.bfd = undefined;
    else if (sessions.bfd) sessions.bfd.configure(bfd);
    else sessions.bfd = this.openBfd(port, bfd);
    if (!cfm) sessions.cfm = undefined;
    else if (sessions.cfm) sessions.cfm.configure(cfm);
    else sessions.cfm = this.openCfm(port, cfm);
    if (!bfd && !cfm) this.end(port);
    this.changed();
    this.run();
    return port.sessions?.terms !== before;
  }

  /** The port has gone. */
  detached(port: WatchedPort): void {
    port.sessions = undefined;
    this.live.delete(port);
  }

  /** A message came, or something was done by hand. */
  happened(): void {
    this.rounds.soon();
  }

  close(): void {
    this.rounds.close();
    this.cancelStatus?.();
  }

  run(): void {
    this.rounds.run();
  }

  private tellStatus(): void {
    if (!this.told || this.cancelStatus) return;
    this.told = false;
    this.host.statusChanged();
    this.cancelStatus = this.clock.after(STATUS_MS, () => {
      this.cancelStatus = undefined;
      this.tellStatus();
    });
  }

  private runPort(port: WatchedPort): void {
    const { sessions } = port;
    if (!sessions) return;
    const { bfd, cfm } = sessions;
    const heartbeat = cfm?.due(port.mac);
    if (heartbeat) this.host.transmit(port, heartbeat, false);
    const message = bfd?.due(port.mac);
    if (message) this.host.transmit(port, message, bfd!.settings.oam);
    cfm?.run();
    bfd?.run();
    this.tell(port);
  }

  private tell(port: WatchedPort): void {
    const live = port.sessions?.isLive;
    if (this.live.get(port) === live) return;
    if (live === undefined) this.live.delete(port);
    else this.live.set(port, live);
    this.changed();
    this.host.livenessChanged(port);
  }

  private end(port: WatchedPort): void {
    port.sessions = undefined;
    this.tell(port);
  }

  private changed(): void {
    this.told = true;
  }

  private openBfd(port: WatchedPort, settings: BfdSettings): Bfd {
    const udpPort = FIRST_UDP_PORT + this.nextUdpPort;
    this.nextUdpPort = (this.nextUdpPort + 1) % UDP_PORTS;
    const discriminator = 1 + Math.floor(this.random() * 0xffffffff);
    return new Bfd(port.name, discriminator, udpPort, settings, {
      clock: this.clock,
      log: limitedLogger(this.logs.bfd, this.clock),
      rxPackets: () => this.host.rxPackets(port),
      changed: () => this.changed(),
      random: this.random,
    });
  }

  private openCfm(port: WatchedPort, settings: CfmSettings): Cfm {
    return new Cfm(port.name, settings, {
      clock: this.clock,
      log: limitedLogger(this.logs.cfm, this.clock),
      rxPackets: () => this.host.rxPackets(port),
      changed: () => this.changed(),
      random: this.random,
    });
  }

  private nextMs(): number {
    let next = Infinity;
    for (const { sessions } of this.host.ports.values()) {
      if (sessions?.bfd) next = Math.min(next, sessions.bfd.wakeMs);
      if (sessions?.cfm) next = Math.min(next, sessions.cfm.wakeMs);
    }
    return next;
  }
}
