/**
 * The bonds and the LACP of one bridge: makes them what the configuration says, tells them of links,
 * gives them their time, and lets what comes of it happen (flows looked at again, messages sent,
 * neighbours told, ports that are live or not).
 *
 *     event (configuration, link, LACP message, timer) ──> run ──> LACP of each bundle ──> bond
 *                                                            ^                              │
 *                                                            └── again while anything changes
 *
 * Events that come while a packet is being translated (an LACP message) are answered when that is
 * over. A bundle has a bond while two or more of its interfaces are attached.
 */
import { limitedLogger } from "../../log/limited.ts";
import type { Logger } from "../../log/log.ts";
import { FlowKey } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import { PORTS } from "../../openflow/version.ts";
import { macBytes, type MacTable } from "../bridge/learning.ts";
import type { Clock } from "../clock.ts";
import type { FrozenState } from "../pipeline/frozen.ts";
import type { BridgeModel, BundleModel, PortModel } from "../pipeline/model.ts";
import { type FlowTables, TABLE_OWN } from "../pipeline/tables.ts";
import { Bond, type BondPort } from "./bond.ts";
import { Lacp, type LacpMemberSettings, type LacpSettings } from "./lacp.ts";
import { lacpFrame, parseLacpFrame } from "./lacp-pdu.ts";
import { learningPacket } from "./learning-packet.ts";
import { PostRecirculation } from "./post-recirculation.ts";
import type { BondSettings } from "./settings.ts";
import { Rounds } from "../rounds.ts";

/** A member's port as it is kept here. */
export interface BondablePort extends BondPort {
  /** Times that its link went or came. */
  readonly linkResets: number;
  /** Link, LACP and whoever else has a say let it be used. */
  readonly mayEnable: boolean;
}

/** A bundle as it is kept here. */
export interface BondableBundle extends BundleModel {
  readonly members: readonly BondablePort[];
  bond: Bond<BondablePort> | undefined;
  lacp: BundleLacp | undefined;
}

/** What is needed of the bridge around. */
export interface BondHost extends BridgeModel {
  readonly tables: FlowTables;
  readonly macs: MacTable<BundleModel>;
  readonly bundles: Iterable<BondableBundle>;
  /** Sends a frame out of a port. */
  transmit(port: PortModel, frame: Uint8Array): void;
  /** The port's `mayEnable` may be another. */
  refresh(port: BondablePort): void;
  /** Megaflows are to be looked at again. */
  bondsChanged(): void;
  /** Something that the database shows has changed. */
  statusChanged(): void;
  /** A recirculation id for a state of its own, until it is released. */
  reserve(state: FrozenState): number;
  release(recircId: number): void;
}

/** LACP of one bundle; also where its messages go in. */
export class BundleLacp {
  constructor(
    readonly protocol: Lacp<BondablePort>,
    private readonly bundle: BondableBundle,
    private readonly happened: () => void,
  ) {}

  receive(port: PortModel, frame: Uint8Array): void {
    const member = port as BondablePort;
    this.protocol.receive(member, parseLacpFrame(frame));
    // What follows the partner's word should not be dropped until the next turn.
    if (this.protocol.mayEnable(member)) this.bundle.bond?.setMayEnable(member, true);
    this.happened();
  }

  mayEnable(port: PortModel): boolean {
    return this.protocol.mayEnable(port as BondablePort);
  }
}

export class Bonds {
  private readonly rules = new Map<Bond<BondablePort>, PostRecirculation>();
  private readonly resets = new WeakMap<BondablePort, number>();
  private readonly rounds: Rounds;

  constructor(
    private readonly host: BondHost,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly lacpLog: Logger,
  ) {
    this.rounds = new Rounds(clock, {
      turn: () => {
        for (const bundle of host.bundles) this.runBundle(bundle);
      },
      nextMs: () => this.nextMs(),
    });
  }

  /** What the database wants of a bundle; `lacp` undefined: none. */
  configure(
    bundle: BondableBundle,
    bond: BondSettings,
    lacp: LacpSettings | undefined,
    memberSettings: (port: BondablePort) => LacpMemberSettings,
  ): void {
    if (lacp) {
      bundle.lacp ??= new BundleLacp(
        new Lacp<BondablePort>(this.clock, limitedLogger(this.lacpLog, this.clock)),
        bundle,
        () => this.happened(),
      );
      const { protocol } = bundle.lacp;
      protocol.configure(lacp);
      for (const port of bundle.members) protocol.register(port, memberSettings(port));
    } else if (bundle.lacp) {
      bundle.lacp = undefined;
      this.host.bondsChanged();
    }
    if (bundle.members.length > 1) {
      if (!bundle.bond) this.open(bundle, bond);
      else if (bundle.bond.configure(bond)) this.host.bondsChanged();
      for (const port of bundle.members) bundle.bond!.register(port);
    } else this.end(bundle);
    this.run();
  }

  /** A port of the bundle has gone. */
  detached(bundle: BondableBundle, port: BondablePort): void {
    bundle.lacp?.protocol.unregister(port);
    bundle.bond?.unregister(port);
    if (bundle.members.length < 2) this.end(bundle);
    if (bundle.members.length === 0) bundle.lacp = undefined;
    this.happened();
  }

  /** What was sent has just been counted: a good time to balance. */
  counted(): void {
    let due = false;
    for (const { bond } of this.host.bundles) {
      if (!bond?.isBalanced || this.clock.now() < bond.nextRebalanceMs) continue;
      this.rules.get(bond)?.account(bond);
      bond.rebalance();
      due = true;
    }
    if (due) this.run();
  }

  /** A link came or went, or something was done by hand. */
  happened(): void {
    this.rounds.soon();
  }

  close(): void {
    this.rounds.close();
    for (const bundle of this.host.bundles) this.end(bundle);
  }

  run(): void {
    this.rounds.run();
  }

  private runBundle(bundle: BondableBundle): void {
    const { bond } = bundle;
    const lacp = bundle.lacp?.protocol;
    if (!bond && !lacp) return;
    for (const port of bundle.members) {
      if (lacp) this.tellCarrier(lacp, port);
      this.host.refresh(port);
    }
    const changed = lacp?.run((port, actor, partner) => {
      this.host.transmit(port, lacpFrame(port.mac, actor, partner));
    });
    if (changed) {
      // Within a turn: one more.
      this.run();
      this.host.statusChanged();
    }
    if (!bond) return;
    for (const port of bundle.members) bond.setMayEnable(port, port.mayEnable);
    const rules = this.rules.get(bond)!;
    const revalidates = bond.run(lacp?.status ?? "off");
    rules.update(bond);
    if (revalidates) this.host.bondsChanged();
    if (bond.shouldAnnounce()) this.announce(bundle, bond);
  }

  private tellCarrier(lacp: Lacp<BondablePort>, port: BondablePort): void {
    const known = this.resets.get(port);
    this.resets.set(port, port.linkResets);
    if (known !== undefined && known !== port.linkResets) lacp.carrierChanged(port, port.linkUp);
    if (port.linkUp) lacp.carrierSeen(port);
  }

  /** Other switches send to addresses by the link that last sent from them: it may be another now. */
  private announce(bundle: BondableBundle, bond: Bond<BondablePort>): void {
    let count = 0;
    const key = new FlowKey();
    for (const { bundle: behind, mac, vlan } of [...this.host.macs.entries()]) {
      if (behind === bundle) continue;
      const bytes = macBytes(mac);
      key.setBig(FIELDS.eth_src, BigInt(mac));
      const chosen = bond.choose(key, undefined, vlan);
      if (!chosen) continue;
      count++;
      this.host.transmit(chosen.port, learningPacket(bytes, vlan));
    }
    this.log.dbg(`bond ${bond.name}: sent ${count} gratuitous learning packets`);
  }

  private open(bundle: BondableBundle, settings: BondSettings): void {
    const state = new FlowKey();
    state.set(FIELDS.in_port, PORTS.NONE);
    const recircId = this.host.reserve({
      bridge: this.host,
      table: TABLE_OWN,
      state,
      stack: [],
      mirrors: 0,
      conntracked: false,
      hashed: true,
      actions: [],
      actionSet: [],
      userdata: undefined,
    });
    const bond = new Bond<BondablePort>(
      this.clock,
      limitedLogger(this.log, this.clock),
      settings,
      recircId,
      () => this.host.statusChanged(),
    );
    bundle.bond = bond;
    this.rules.set(bond, new PostRecirculation(this.host.tables, recircId));
    this.host.bondsChanged();
  }

  private end(bundle: BondableBundle): void {
    const { bond } = bundle;
    if (!bond) return;
    bundle.bond = undefined;
    this.rules.get(bond)?.remove();
    this.rules.delete(bond);
    this.host.release(bond.recircId);
    this.host.bondsChanged();
  }

  private nextMs(): number {
    let next = Infinity;
    for (const { bond, lacp } of this.host.bundles) {
      if (lacp) next = Math.min(next, lacp.protocol.nextMs);
      if (bond) next = Math.min(next, bond.nextMs);
    }
    return next;
  }
}
