/**
 * The slow path's side of the datapath's flow table: each megaflow that is installed, with what its
 * translation said (effects, MAC lookups, punts) and how far its counters have been read.
 *
 *     upcall ──> install ──> [in the datapath] ──> credit … ──> remove ──barrier──> counters read a
 *                   └── replace (same id, new actions) ──┘                     last time, id free
 *
 * Invariants
 * - A megaflow's match is kept by the classifier alone, its mask shared with its like.
 * - At most one megaflow of a given match; the datapath's id is its slot number here.
 * - Statistics are read as totals; each difference is credited once, to the effects that were in
 *   force when it was read. A megaflow whose effects change is read first.
 * - An id is given out again only when the datapath has confirmed that the old flow is gone.
 */
import { type Datapath, DatapathError, type DpFlowStats } from "../../fastpath/datapath.ts";
import { type DpAction, sameActions } from "../../fastpath/actions.ts";
import type { Logger } from "../../log/log.ts";
import { FlowKey, MASK_WORDS, type Match, type SharedMask } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import { Classified, Classifier } from "../pipeline/classifier.ts";
import { credit, type Effect, end } from "../pipeline/effects.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { Translation } from "../pipeline/translate.ts";
import { withTags } from "../pipeline/wildcards.ts";
import type { MacDependency, SlowReason } from "../pipeline/xlate.ts";
import { formatPutFlow } from "./flow-text.ts";
import { PackedKeys } from "./packed-keys.ts";
import { type Held, NOTHING_HELD, type References } from "./references.ts";

const NOT_SEEN = -1;

export class Megaflow extends Classified {
  actions: readonly DpAction[] = [];
  effects: readonly Effect[] = [];
  macs: readonly MacDependency[] = [];
  held: Held = NOTHING_HELD;
  /** Why Open vSwitch's datapath would send its packets up; for text. */
  slow: readonly SlowReason[] = [];
  /** Totals as last read from the datapath. */
  packets = 0;
  bytes = 0;
  tcpFlags = 0;
  usedMs: number;
  /** When the counters were last read. */
  readMs: number;
  /** The key of the packet that brought it; NOT_SEEN: it is not kept. */
  seen = NOT_SEEN;
  /** Of `Megaflows`: its place among the others. */
  installed = false;
  before: Megaflow | undefined = undefined;
  after: Megaflow | undefined = undefined;

  constructor(
    readonly id: number,
    /** Where its packets come in. */
    readonly dpPort: number,
    /** Undefined: its packets belong to no port, and are dropped. */
    readonly bridge: BridgeModel | undefined,
    readonly ofport: number,
    nowMs: number,
  ) {
    super(0);
    this.usedMs = this.readMs = nowMs;
  }
}

export class Megaflows {
  private readonly byMatch = new Classifier<Megaflow>({ staged: false });
  /** The installed ones, oldest first, linked: a set of them would cost more than all else of a flow. */
  private first: Megaflow | undefined;
  private last: Megaflow | undefined;
  private count = 0;
  private readonly seen = new PackedKeys();
  /** Deleted in the datapath, their last packets not yet counted; in the order of deletion. */
  private leaving: Megaflow[] = [];
  /** How many were deleted, and of how many of them the datapath is known to have let go. */
  private deleted = 0;
  private released = 0;
  /** What the next flow matches. */
  private readonly key = new FlowKey();
  private readonly freeIds: number[] = [];
  private nextId = 0;
  /** Commands given that change what happens to packets, and how many of them are known to act. */
  private told = 0;
  private confirmed = 0;
  readonly counters = { installed: 0, replaced: 0, removed: 0, refused: 0 };
  /** The most that there were. */
  peak = 0;
  /** Each megaflow matches whole packets (`upcall/disable-megaflows`). */
  exact = false;

  constructor(
    private readonly datapath: Datapath,
    private readonly clock: Pick<Clock, "now">,
    private readonly references: References,
    /** The datapath's clock, milliseconds. */
    private readonly datapathNow: () => number,
    /** Where each flow that is put is told of, if anybody wants to know. */
    private readonly flowLog?: Logger,
  ) {}

  get size(): number {
    return this.count;
  }

  /** Oldest first. Flows may go while this is under way; those that come then may be left out. */
  *[Symbol.iterator](): IterableIterator<Megaflow> {
    // One that has gone still tells what came after it.
    for (let flow = this.first; flow; flow = flow.after) if (flow.installed) yield flow;
  }

  has(flow: Megaflow): boolean {
    return flow.installed;
  }

  private append(flow: Megaflow): void {
    flow.installed = true;
    flow.before = this.last;
    if (this.last) this.last.after = flow;
    else this.first = flow;
    this.last = flow;
    if (++this.count > this.peak) this.peak = this.count;
  }

  private unlink(flow: Megaflow): void {
    const { before, after } = flow;
    flow.installed = false;
    flow.before = undefined;
    if (before) before.after = after;
    else this.first = after;
    if (after) after.before = before;
    else this.last = before;
    this.count--;
  }

  /** The installed megaflow that a packet of this datapath key belongs to. */
  find(dpKey: FlowKey): Megaflow | undefined {
    return this.byMatch.lookup(dpKey);
  }

  /**
   * Installs what a translation said, or puts it in the place of the megaflow of equal match. The
   * translation's punts are the megaflow's from now on, or are released. Undefined: the datapath
   * would not take it.
   */
  install(
    bridge: BridgeModel | undefined,
    dpPort: number,
    ofport: number,
    dpKey: FlowKey,
    translation: Translation,
  ): Megaflow | undefined {
    if (this.exact) translation.mask.words.fill(0xffffffff, 0, DP_KEY_WORDS);
    withTags(dpKey, translation.mask);
    const mask = this.byMatch.share(translation.mask);
    const match: Match = { key: this.masked(dpKey, mask), mask };
    const old = this.byMatch.find(match, 0);
    if (old) {
      if (old.bridge === bridge && old.ofport === ofport) {
        this.replace(old, translation);
        return old.installed ? old : undefined;
      }
      this.remove(old);
    }
    const id = this.freeIds.pop() ?? this.nextId++;
    const flow = new Megaflow(id, dpPort, bridge, ofport, this.clock.now());
    try {
      this.datapath.putFlow({ id, match, actions: translation.actions });
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error;
      this.freeIds.push(id);
      this.references.release(translation);
      this.counters.refused++;
      return undefined;
    }
    this.adopt(flow, translation);
    flow.seen = this.seen.put(dpKey);
    this.byMatch.insert(flow, match);
    this.append(flow);
    this.counters.installed++;
    if (this.flowLog?.enabled("dbg")) this.flowLog.dbg(formatPutFlow(flow, match, dpKey));
    return flow;
  }

  /**
   * New actions and effects for an installed megaflow; its counters go on. It goes if the datapath would
   * not take them.
   */
  replace(flow: Megaflow, translation: Translation): void {
    this.read(flow);
    const { held, id } = flow;
    const { actions } = translation;
    if (!sameActions(flow.actions, actions)) {
      try {
        this.datapath.putFlow({ id, match: this.dpMatch(flow), actions });
      } catch (error) {
        if (!(error instanceof DatapathError)) throw error;
        this.references.release(translation);
        this.counters.refused++;
        return this.remove(flow);
      }
      this.told++;
      this.counters.replaced++;
    }
    this.adopt(flow, translation);
    this.references.release(held);
  }

  remove(flow: Megaflow): void {
    if (!this.has(flow)) return;
    this.unlink(flow);
    this.byMatch.remove(flow);
    this.seen.remove(flow.seen);
    flow.seen = NOT_SEEN;
    this.datapath.deleteFlow(flow.id);
    this.told++;
    this.leaving.push(flow);
    this.deleted++;
    this.counters.removed++;
  }

  /** Says that the datapath was told something for which a barrier has to wait. */
  commanded(): void {
    this.told++;
  }

  /** Resolves when the datapath obeys every command given before; at once if there is none. */
  async obeyed(): Promise<void> {
    if (this.leaving.length > 0) await this.collect();
    if (this.told === this.confirmed) return;
    const { told } = this;
    await this.datapath.barrier();
    this.confirmed = Math.max(this.confirmed, told);
  }

  /** Frees the removed megaflows' ids once the datapath has let go of them. */
  async collect(): Promise<void> {
    if (this.leaving.length === 0) return;
    const { told, deleted } = this;
    await this.datapath.barrier();
    this.confirmed = Math.max(this.confirmed, told);
    // Somebody who waited for a later barrier may have been here.
    const count = deleted - this.released;
    if (count <= 0) return;
    this.released = deleted;
    const now = this.clock.now();
    const { leaving } = this;
    this.leaving = leaving.slice(count);
    for (let i = 0; i < count; i++) {
      const flow = leaving[i]!;
      this.read(flow, now);
      end(flow.effects);
      this.references.release(flow.held);
      this.freeIds.push(flow.id);
    }
  }

  /** What forwards the flow's packets, where there is a choice: `ebpf`, or `user`. */
  layer(flow: Megaflow): string | undefined {
    return this.datapath.flowPlace?.(flow.id).place;
  }

  /** Reads one megaflow's counters and credits the difference. */
  read(flow: Megaflow, now = this.clock.now()): void {
    // Of many megaflows most are idle: they cost no more than this.
    if (this.datapath.flowPackets?.(flow.id) === flow.packets) {
      flow.readMs = now;
      return;
    }
    const stats = this.datapath.flowStats(flow.id);
    const packets = stats.packets - flow.packets;
    const bytes = stats.bytes - flow.bytes;
    if (packets > 0) {
      flow.packets = stats.packets;
      flow.bytes = stats.bytes;
      flow.usedMs = this.lastUsed(flow, stats, now);
      credit(flow.effects, packets, bytes, flow.usedMs, stats.tcpFlags);
      flow.tcpFlags |= stats.tcpFlags;
    }
    flow.readMs = now;
  }

  readAll(): void {
    const now = this.clock.now();
    for (const flow of this) this.read(flow, now);
    for (const flow of this.leaving) this.read(flow, now);
  }

  /** Its packets' key in the pipeline's terms, zero where it does not matter. */
  pipelineKey(flow: Megaflow, into: FlowKey): void {
    flow.home!.keyInto(flow.slot, into);
    into.set(FIELDS.in_port, flow.ofport);
  }

  /** Datapath match of an installed megaflow. */
  dpMatch(flow: Megaflow): Match {
    return flow.home!.match(flow.slot);
  }

  /** The key of the packet that brought the megaflow. */
  seenKey({ seen }: Megaflow): FlowKey {
    const key = new FlowKey();
    if (seen !== NOT_SEEN) this.seen.read(seen, key);
    return key;
  }

  /** The datapath's time of last use in ours; it lies between the last reading and now. */
  private lastUsed(flow: Megaflow, { lastUsedMs }: DpFlowStats, now: number): number {
    const used = now - (this.datapathNow() - lastUsedMs);
    return Math.min(now, Math.max(flow.readMs, used));
  }

  /** Until the next call. */
  private masked({ words }: FlowKey, mask: SharedMask): FlowKey {
    const { key } = this;
    const at = mask.about(MASK_WORDS);
    key.words.fill(0);
    for (let n = 0; n < at.length; n++) {
      const i = at[n]!;
      key.words[i] = words[i]! & mask.words[i]!;
    }
    return key;
  }

  private adopt(flow: Megaflow, translation: Translation): void {
    const { actions, effects, macs, punts, recircs, slow } = translation;
    flow.held = punts.length + recircs.length > 0 ? { punts, recircs } : NOTHING_HELD;
    flow.slow = slow;
    flow.actions = actions;
    flow.effects = effects;
    flow.macs = macs;
  }
}

/** Makes `into` a datapath key in the pipeline's terms: OpenFlow's input port, an empty state. */
export function toPipelineKey(dpKey: FlowKey, ofport: number, into: FlowKey): void {
  into.words.set(dpKey.words);
  into.words.fill(0, DP_KEY_WORDS);
  into.set(FIELDS.in_port, ofport);
}
