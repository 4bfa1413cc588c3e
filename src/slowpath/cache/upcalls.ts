/**
 * Packets that the datapath could not handle alone.
 *
 *     miss ──> known megaflow? ──yes──> its actions on this packet
 *                    │no
 *                    └──> translate ──> effects, the packet on its way ──> install the megaflow
 *     action ──> the punt of its number ──> packet-in
 *
 * - A miss is handled in the turn it arrives in, up to `BATCH` a turn; the rest waits, a queue a port
 *   (upcall-queue.ts), beyond which they are dropped and counted, so that a flood of new flows starves
 *   neither controllers nor the database, nor other ports' new flows.
 * - Of a burst of packets of one new flow all but the first find the megaflow already installed: they
 *   are sent by it and credited to its effects, without another translation.
 * - A packet from a datapath port that belongs to no bridge (one that is just coming or going) is
 *   dropped and counted. If it came through a tunnel that nobody has, a megaflow drops its like.
 * - Packet-ins that the packet as it came causes are handed over at once; those after a change to
 *   its headers come back from the datapath as action upcalls.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import { type Datapath, DatapathError, type Packet, type Upcall } from "../../fastpath/datapath.ts";
import type { Logger } from "../../log/log.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { formatMatch } from "../../openflow/text/match.ts";
import { matchOfKey } from "../../openflow/text/packet.ts";
import { PORTS } from "../../openflow/version.ts";
import { extract } from "../../packet/extract.ts";
import { Frame, VNET_BYTES } from "../../packet/frame.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { FIELDS, KEY_WORDS } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import { credit } from "../pipeline/effects.ts";
import type { FrozenState } from "../pipeline/frozen.ts";
import type { BridgeModel, PortModel } from "../pipeline/model.ts";
import { deliver, type Punt } from "../pipeline/punt.ts";
import type { Replays } from "../pipeline/replay.ts";
import { Scratch } from "../pipeline/xlate.ts";
import { decided, translate, type Translation } from "../pipeline/translate.ts";
import { type Megaflow, type Megaflows, toPipelineKey } from "./megaflows.ts";
import type { References } from "./references.ts";
import { UpcallQueue } from "./upcall-queue.ts";

const BATCH = 64;
const TCP_FLAGS = FIELDS.tcp_flags;
/** So many lines about packets that ran into something wrong are logged in so long. */
const MAX_COMPLAINTS = 5;
const COMPLAINTS_MS = 60_000;

export interface Attachment {
  readonly bridge: BridgeModel;
  readonly port: PortModel;
}

/** Packets that belong to no port of any bridge, and never will unless ports change. */
export interface Refusal {
  /** By which bits they are told. */
  readonly mask: FlowKey;
  count(packets: number): void;
}

/** A packet on its way out; either of the two is called, once. */
export interface PreparedPacketOut {
  send(): void;
  drop(): void;
}

export interface UpcallCounters {
  misses: number;
  translated: number;
  /** Sent by a megaflow that was already there. */
  joined: number;
  actions: number;
  /** Dropped: the queue was full. */
  overflow: number;
  /** Dropped: from a datapath port of no bridge. */
  unattached: number;
  /** Whose number or recirculation id nobody knows any more. */
  stale: number;
  /** Translations that ended in an error (a loop, too much work). */
  failed: number;
  /** Not installed: the flow limit was reached. */
  limited: number;
  packetOuts: number;
  /** Packets that controllers sent back to go on. */
  resumed: number;
  /** Dropped: the datapath cannot do what is to be done with it. */
  unsupported: number;
  /** Dropped: a fault of ours; the log says where. */
  crashed: number;
}

export class Upcalls {
  private readonly queue = new UpcallQueue();
  private budget = BATCH;
  private refilling = false;
  private complainedMs = -Infinity;
  private complained = 0;
  /** Somebody has got the key of the upcall that is being handled. */
  private delivered = false;
  private readonly frame = new Frame();
  private readonly scratch = new Scratch();
  private readonly key = new FlowKey();
  readonly counters: UpcallCounters = {
    misses: 0,
    translated: 0,
    joined: 0,
    actions: 0,
    overflow: 0,
    unattached: 0,
    stale: 0,
    failed: 0,
    limited: 0,
    packetOuts: 0,
    resumed: 0,
    unsupported: 0,
    crashed: 0,
  };

  constructor(
    private readonly datapath: Datapath,
    private readonly clock: Pick<Clock, "now">,
    private readonly log: Logger,
    private readonly flows: Megaflows,
    private readonly references: References,
    private readonly replays: Replays,
    /** The bridge and port behind a datapath port; which tunnel, the packet's metadata says. */
    private readonly attachment: (dpPort: number, key: FlowKey) => Attachment | undefined,
    /** Runs its argument in a later turn, soon. */
    private readonly defer: (run: () => void) => void,
    private readonly flowLimit: () => number,
    /** True while the megaflow waits to be translated again. */
    private readonly isStale: (flow: Megaflow) => boolean,
    /** Where it is said what is wrong with flow tables. */
    private readonly complaints: Logger,
    /** Of a packet without an attachment: which others share its fate. */
    private readonly refusal: (dpPort: number, key: FlowKey) => Refusal | undefined,
  ) {}

  /** From the datapath. */
  upcall(upcall: Upcall): void {
    if (this.budget > 0 && this.queue.size === 0) {
      this.budget--;
      this.handle(upcall);
    } else if (!this.queue.push(upcall)) this.counters.overflow++;
    this.refill();
  }

  /**
   * OpenFlow's packet-out: runs `actions` on the packet as if it came in by the OpenFlow port, over
   * the tables as they are now, with the pipeline fields of `metadata`; it leaves, and counts, when
   * it is sent.
   */
  packetOut(
    bridge: BridgeModel,
    packet: Packet,
    ofport: number,
    actions: readonly Action[],
    metadata?: Match,
  ): PreparedPacketOut {
    this.counters.packetOuts++;
    const port = bridge.ports.get(ofport);
    const dpPort = port?.dpPort ?? bridge.ports.get(PORTS.LOCAL)?.dpPort ?? 0;
    // What is sent from here may ask for another packet-out: the key is this one's own.
    const key = new FlowKey();
    toPipelineKey(this.keyOf(packet), ofport, key);
    if (metadata) {
      for (let i = 0; i < KEY_WORDS; i++) key.words[i]! |= metadata.key.words[i]!;
      key.set(FIELDS.in_port, ofport);
    }
    return this.prepare(bridge, packet, key, dpPort, { packetOut: actions });
  }

  /**
   * NXT_RESUME: a packet goes on where `controller(pause)` froze it. `metadata`: what the controller
   * says of the packet besides its headers.
   */
  resume(frozen: FrozenState, packet: Packet, metadata: Match): PreparedPacketOut {
    this.counters.resumed++;
    const { bridge } = frozen;
    const ofport = frozen.state.get(FIELDS.in_port);
    const dpPort = bridge.ports.get(ofport)?.dpPort ??
      bridge.ports.get(PORTS.LOCAL)?.dpPort ?? 0;
    const key = new FlowKey();
    toPipelineKey(this.keyOf(packet), ofport, key);
    for (let i = 0; i < KEY_WORDS; i++) key.words[i]! |= metadata.key.words[i]!;
    key.set(FIELDS.in_port, ofport);
    key.set(FIELDS.recirc_id, 0);
    return this.prepare(bridge, packet, key, dpPort, { resumes: frozen });
  }

  private prepare(
    bridge: BridgeModel,
    packet: Packet,
    key: FlowKey,
    dpPort: number,
    begin: { packetOut: readonly Action[] } | { resumes: FrozenState },
  ): PreparedPacketOut {
    const { references } = this;
    const { length } = packet.data;
    const translation = translate({
      bridge,
      key,
      ...references,
      learns: true,
      packetLength: length,
      packet: packet.data,
      ...begin,
    });
    this.tell(translation);
    return {
      send: () => {
        credit(translation.effects, 1, length, this.clock.now(), key.get(TCP_FLAGS));
        const dpKey = key.clone();
        dpKey.set(FIELDS.in_port, dpPort);
        this.send(packet, dpKey, translation.actions, dpPort);
        this.flows.commanded();
        references.release(translation);
      },
      drop: () => references.release(translation),
    };
  }

  private refill(): void {
    if (this.refilling) return;
    this.refilling = true;
    this.defer(() => {
      this.refilling = false;
      this.budget = BATCH;
      this.datapath.holds?.(true);
      while (this.budget > 0) {
        const upcall = this.queue.shift();
        if (!upcall) break;
        this.budget--;
        this.handle(upcall);
      }
      this.datapath.holds?.(false);
      if (this.queue.size > 0) this.refill();
    });
  }

  /** A fault in the handling of one packet costs that packet, not the switch. */
  private handle(upcall: Upcall): void {
    this.delivered = false;
    try {
      this.dispatch(upcall);
      // A packet-in may have the key.
      if (!this.delivered) upcall.keys?.give(upcall.key);
    } catch (error) {
      this.counters.crashed++;
      this.log.err(
        `upcall from datapath port ${upcall.key.get(FIELDS.in_port)}: ${describe(error)}`,
      );
    }
  }

  private dispatch(upcall: Upcall): void {
    switch (upcall.reason) {
      case "miss":
        return this.miss(upcall);
      case "action": {
        this.counters.actions++;
        const punt = this.references.punts.get(upcall.userdata);
        if (!punt) this.counters.stale++;
        else this.deliver(punt, upcall.packet, upcall.key);
        return;
      }
      default: {
        const never: never = upcall.reason;
        throw new Error(`upcall reason ${never}`);
      }
    }
  }

  private miss({ packet, key: dpKey }: Upcall): void {
    this.counters.misses++;
    const dpPort = dpKey.get(FIELDS.in_port);
    const now = this.clock.now();
    const tcpFlags = dpKey.get(TCP_FLAGS);
    const found = this.flows.find(dpKey);
    if (found && !this.isStale(found)) {
      this.counters.joined++;
      credit(found.effects, 1, packet.data.length, now, tcpFlags);
      found.usedMs = now;
      return this.send(packet, dpKey, found.actions, dpPort);
    }
    const from = this.attachment(dpPort, dpKey);
    if (!from) return this.refuse(dpPort, dpKey, packet.data.length);
    const recircId = dpKey.get(FIELDS.recirc_id);
    if (recircId !== 0 && !this.references.recirculations.find(recircId)) {
      this.counters.stale++;
      return;
    }
    this.counters.translated++;
    const { bridge, port } = from;
    const { key, scratch, references, replays } = this;
    toPipelineKey(dpKey, port.ofport, key);
    const translation = replays.find(bridge, key) ?? translate({
      bridge,
      key,
      punts: references.punts,
      recirculations: references.recirculations,
      replays,
      scratch,
      learns: true,
      packetLength: packet.data.length,
      packet: packet.data,
    });
    this.tell(translation);
    // The packet goes first: it should not wait for the flow. Later ones of its flow cannot overtake
    // it, commands to the datapath act in order.
    this.send(packet, dpKey, translation.actions, dpPort);
    if (this.flows.size >= this.flowLimit()) {
      this.counters.limited++;
      this.references.release(translation);
    } else if (translation.taught || translation.uncacheable) {
      // The next packet finds the rule that this one taught, and may go another way.
      this.references.release(translation);
    } else this.flows.install(bridge, dpPort, port.ofport, dpKey, translation);
    // Last, because what is learned here makes megaflows stale: the new one is then among them.
    credit(translation.effects, 1, packet.data.length, now, tcpFlags);
  }

  private refuse(dpPort: number, dpKey: FlowKey, bytes: number): void {
    this.counters.unattached++;
    const refusal = this.refusal(dpPort, dpKey);
    if (!refusal) return;
    const effects = [{ type: "refused", count: (n: number) => refusal.count(n) } as const];
    credit(effects, 1, bytes, this.clock.now(), 0);
    if (this.flows.size >= this.flowLimit()) this.counters.limited++;
    else {
      this.flows.install(undefined, dpPort, 0, dpKey, decided([], refusal.mask, effects));
    }
  }

  /** The packet through the actions; what goes to controllers unchanged goes there directly. */
  private send(packet: Packet, dpKey: FlowKey, actions: readonly DpAction[], dpPort: number): void {
    if (!asksForUserspace(actions)) {
      return this.execute(packet, dpKey, actions, dpPort);
    }
    let changed = false;
    const rest: DpAction[] = [];
    for (const action of actions) {
      if (action.type === "userspace" && !changed) {
        const punt = this.references.punts.get(action.userdata);
        if (punt) this.deliver(punt, packet, dpKey);
        continue;
      }
      if (action.type !== "output") changed = true;
      rest.push(action);
    }
    this.execute(packet, dpKey, rest, dpPort);
  }

  /** What a datapath refuses is no fault: a list may be too long for it, or too deep. */
  private execute(
    packet: Packet,
    dpKey: FlowKey,
    actions: readonly DpAction[],
    dpPort: number,
  ): void {
    if (actions.length === 0) return;
    try {
      this.datapath.execute(packet, actions, dpPort, dpKey);
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error;
      this.counters.unsupported++;
    }
  }

  private deliver(punt: Punt, packet: Packet, dpKey: FlowKey): void {
    this.delivered = true;
    deliver(punt, packet, dpKey);
  }

  private keyOf({ data, vnet }: Packet): FlowKey {
    const { frame } = this;
    if (vnet) {
      // The header stands in front of the frame, where the extractor looks for it.
      const whole = new Uint8Array(VNET_BYTES + data.length);
      whole.set(vnet);
      whole.set(data, VNET_BYTES);
      frame.set(whole, VNET_BYTES, data.length, true, 0);
    } else frame.set(data, 0, data.length, false, 0);
    extract(frame, 0, 0, 0);
    return frame.key;
  }

  /** Counts a packet that was dropped, and logs what it came upon, a few times in some minutes. */
  private tell({ error, complaints }: Translation): void {
    if (error) this.counters.failed++;
    for (const { bridge, text, flow } of complaints) {
      const now = this.clock.now();
      if (now - this.complainedMs > COMPLAINTS_MS) {
        this.complainedMs = now;
        this.complained = 0;
      }
      if (++this.complained > MAX_COMPLAINTS) return;
      const processed = formatMatch(matchOfKey(flow));
      this.complaints.warn(`${text} on bridge ${bridge} while processing ${processed}`);
    }
  }
}

function asksForUserspace(actions: readonly DpAction[]): boolean {
  for (let i = 0; i < actions.length; i++) if (actions[i]!.type === "userspace") return true;
  return false;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
