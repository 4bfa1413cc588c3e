/**
 * The flow cache: what stands between the bridges' OpenFlow pipelines and the one datapath that all
 * of them share. Bridges are added and removed by whoever keeps them; everything else happens here:
 *
 *     datapath ──upcalls──> Upcalls ──translate──> Megaflows ──putFlow──> datapath
 *                                                      ▲ │
 *              tables, MACs, ports change ──> Revalidator  counters ──> rules, MAC ages, timeouts
 *
 * - Tables and MAC tables of an added bridge report their own changes. Any other change to a model
 *   (ports, VLANs, OpenFlow configuration, connections' versions) is told by `changed()`.
 * - `settle()` resolves when the datapath obeys every change made before: await it before a barrier
 *   reply, and before removing a datapath port whose number may be reused.
 * - Once a second rules and MAC entries whose time is over are removed.
 *
 * Limits: one datapath; `limits` are Open vSwitch's defaults. Nothing here starts a thread.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Datapath, Packet } from "../../fastpath/datapath.ts";
import type { Logger } from "../../log/log.ts";
import type { Action } from "../../openflow/actions/types.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import type { Clock } from "../clock.ts";
import type { FrozenState } from "../pipeline/frozen.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import { Replays } from "../pipeline/replay.ts";
import { decided } from "../pipeline/translate.ts";
import { type InheritanceOptions, inheritFlows } from "./inheritance.ts";
import { Megaflow, Megaflows } from "./megaflows.ts";
import { DatapathMeters } from "./meters.ts";
import { Punts } from "./punts.ts";
import { RecirculationIds } from "./recirculation.ts";
import { References } from "./references.ts";
import { Revalidator, type RevalidatorLimits } from "./revalidator.ts";
import { type TraceResult, Tracing, type TracingInput } from "./tracing.ts";
import { type Attachment, type PreparedPacketOut, type Refusal, Upcalls } from "./upcalls.ts";

export const DEFAULT_LIMITS: Readonly<RevalidatorLimits> = {
  maxIdleMs: 1500,
  minRevalidatePps: 5,
  flowLimit: 200_000,
  maxRevalidatorMs: 500,
};
const EXPIRE_MS = 1000;

export interface FlowCacheOptions {
  readonly datapath: Datapath;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where each flow that is put is told of. */
  readonly flowLog?: Logger | undefined;
  /** Where it is said what is wrong with flow tables; `log` unless given. */
  readonly translationLog?: Logger | undefined;
  /** The bridge and port of a datapath port number; undefined: of none (yet). */
  readonly attachment: (dpPort: number, key: FlowKey) => Attachment | undefined;
  /** Of a packet without one: which others share its fate. */
  readonly refusal?: (dpPort: number, key: FlowKey) => Refusal | undefined;
  /** Runs its argument in a later turn, soon; `setImmediate` unless a test says otherwise. */
  readonly defer?: (run: () => void) => void;
  /** The clock of `DpFlowStats.lastUsedMs`; CLOCK_MONOTONIC unless the datapath has another. */
  readonly datapathNow?: () => number;
}

/** A flow that somebody asks for; `key` is a packet's, in the datapath's terms. */
export interface HandMade {
  readonly bridge: BridgeModel;
  readonly dpPort: number;
  readonly ofport: number;
  readonly key: FlowKey;
  readonly mask: FlowKey;
  readonly actions: readonly DpAction[];
}

export class FlowCache {
  readonly limits: RevalidatorLimits = { ...DEFAULT_LIMITS };
  readonly flows: Megaflows;
  /** How long the last round took. */
  roundMs = 0;
  private readonly references: References;
  private readonly replays = new Replays();
  private readonly meters: DatapathMeters;
  private readonly upcalls: Upcalls;
  private readonly tracing: Tracing;
  private readonly inheritance: Omit<InheritanceOptions, "flows" | "references">;
  private readonly revalidator: Revalidator;
  private readonly roundListeners = new Set<() => void>();
  private readonly bridges = new Map<BridgeModel, () => void>();
  private readonly clock: Clock;
  private readonly log: Logger;
  /** No rounds while it is (`revalidator/pause`). */
  paused = false;
  private stopTimers: (() => void)[] = [];
  private running = false;

  constructor(options: FlowCacheOptions) {
    const { datapath, clock, log, attachment } = options;
    const defer = options.defer ?? ((run) => void setImmediate(run));
    const datapathNow = options.datapathNow ?? monotonicNow;
    this.clock = clock;
    this.log = log;
    this.inheritance = { datapath, attachment, defer, datapathNow, now: () => clock.now() };
    this.references = new References(new Punts(clock), new RecirculationIds(clock));
    const { replays } = this;
    this.meters = new DatapathMeters(datapath);
    this.flows = new Megaflows(datapath, clock, this.references, datapathNow, options.flowLog);
    this.revalidator = new Revalidator(
      clock,
      log,
      this.flows,
      this.references,
      replays,
      attachment,
      defer,
      this.limits,
    );
    this.tracing = new Tracing(datapath, clock, this.references);
    this.upcalls = new Upcalls(
      datapath,
      clock,
      log,
      this.flows,
      this.references,
      replays,
      attachment,
      defer,
      () => Math.min(this.limits.flowLimit, datapath.maxFlows),
      (flow) => this.revalidator.isStale(flow),
      options.translationLog ?? log,
      options.refusal ?? (() => undefined),
    );
  }

  /**
   * The datapath's listener is the caller's (it also hears of lost ports); it passes upcalls on:
   * `datapath.listen({ upcall: cache.upcall, portLost: … })`.
   */
  readonly upcall: Upcalls["upcall"] = (upcall) => this.upcalls.upcall(upcall);

  /** Begins the rounds. */
  start(): void {
    if (this.running) return;
    this.running = true;
    this.every(() => this.limits.maxRevalidatorMs, async () => {
      if (!this.paused) await this.round();
    });
    // deno-lint-ignore require-await -- a throw becomes a rejection, which `every` reports
    this.every(() => EXPIRE_MS, async () => this.expire());
  }

  /** Ends the rounds and removes all megaflows. */
  async stop(): Promise<void> {
    this.running = false;
    for (const stop of this.stopTimers) stop();
    this.stopTimers = [];
    this.revalidator.purge();
    await this.flows.collect();
  }

  addBridge(bridge: BridgeModel): void {
    const { tables, macs } = bridge;
    const ends = [
      tables.listen((changes) => this.revalidator.tablesChanged(tables, changes)),
      macs.listen((vlan, mac) => this.revalidator.macChanged(macs, vlan, mac)),
    ];
    tables.onRead(() => this.flows.readAll());
    tables.meters.attach(this.meters);
    this.bridges.set(bridge, () => {
      for (const end of ends) end();
      tables.onRead(undefined);
      tables.meters.attach(undefined);
      this.references.forget(bridge);
    });
    this.changed();
  }

  removeBridge(bridge: BridgeModel): void {
    this.revalidator.dropBridge(bridge);
    this.bridges.get(bridge)?.();
    this.bridges.delete(bridge);
    this.changed();
  }

  /** Something in a model changed other than tables and MACs. */
  changed(): void {
    this.revalidator.everythingChanged();
  }

  /** Resolves when the datapath obeys every change made before the call. */
  async settle(): Promise<void> {
    if (this.revalidator.pending) await this.revalidator.finish();
    await this.flows.obeyed();
  }

  /** Takes over the flows of a process before; how many. See inheritance.ts. */
  async inherit(): Promise<number> {
    const { flows, references, inheritance } = this;
    const count = await inheritFlows({ ...inheritance, flows, references });
    await this.settle();
    return count;
  }

  /** Reads the datapath's counters into rules, tables, patches and MAC entries, at once. */
  readStats(): void {
    this.flows.readAll();
  }

  /** Reads the counters and removes what is idle, as happens by itself now and then. */
  async round(): Promise<void> {
    const started = this.clock.now();
    await this.revalidator.round();
    this.roundMs = this.clock.now() - started;
    for (const listener of this.roundListeners) listener();
  }

  /** Calls `listener` after each round, when counters are fresh; the returned function ends that. */
  onRound(listener: () => void): () => void {
    this.roundListeners.add(listener);
    return () => void this.roundListeners.delete(listener);
  }

  /** Megaflows off: each flow matches whole packets. Those that are there go. */
  setMegaflows(on: boolean): void {
    this.flows.exact = !on;
    this.purge();
  }

  /**
   * Installs a flow by hand. It lives as those do that packets bring: it goes when idle, and comes to
   * what the tables say when something changes. Undefined: the datapath would not take it.
   */
  putFlow({ bridge, dpPort, ofport, key, mask, actions }: HandMade): Megaflow | undefined {
    return this.flows.install(bridge, dpPort, ofport, key, decided(actions, mask.clone(), []));
  }

  /** See `Upcalls.packetOut`. */
  packetOut(
    bridge: BridgeModel,
    packet: Packet,
    inPort: number,
    actions: readonly Action[],
    metadata?: Match,
  ): PreparedPacketOut {
    return this.upcalls.packetOut(bridge, packet, inPort, actions, metadata);
  }

  /** See `Tracing`. */
  trace(input: TracingInput): TraceResult {
    return this.tracing.trace(input);
  }

  /** See `Upcalls.resume`. */
  resume(frozen: FrozenState, packet: Packet, metadata: Match): PreparedPacketOut {
    return this.upcalls.resume(frozen, packet, metadata);
  }

  /** The frozen state of a recirculation id. */
  frozen(recircId: number): FrozenState | undefined {
    return this.references.recirculations.find(recircId);
  }

  /** A recirculation id of its own for a state, held until it is released. */
  reserve(frozen: FrozenState): number {
    return this.references.recirculations.reserve(frozen);
  }

  release(recircId: number): void {
    this.references.recirculations.release([recircId]);
  }

  /** Removes rules and MAC entries whose time is over; once a second by itself. */
  expire(): void {
    const timed = [...this.bridges.keys()].filter(({ tables }) => tables.hasTimeouts);
    if (timed.length > 0) this.flows.readAll();
    for (const { tables } of timed) tables.expire();
    for (const { macs } of this.bridges.keys()) macs.expire();
  }

  /** Removes all megaflows; traffic brings them back. */
  purge(): void {
    this.revalidator.purge();
    void this.flows.collect().catch((error) => this.log.warn(`flow removal: ${error}`));
  }

  counters(): Readonly<Record<string, number>> {
    const named = (prefix: string, counters: object): [string, number][] =>
      Object.entries(counters).map(([name, value]) => [`${prefix}_${name}`, value as number]);
    return Object.fromEntries([
      ...named("upcall", this.upcalls.counters),
      ...named("megaflow", this.flows.counters),
      ...named("revalidator", this.revalidator.counters),
      ...named("replay", this.replays.counters),
      ["megaflow_now", this.flows.size],
      ["punts_now", this.references.punts.size],
      ["recirculations_now", this.references.recirculations.size],
    ]);
  }

  /** Runs again `ms` after each run has ended, while started. */
  private every(ms: () => number, run: () => Promise<void>): void {
    const slot = this.stopTimers.length;
    const arm = (): void => {
      if (!this.running) return;
      this.stopTimers[slot] = this.clock.after(ms(), () => {
        run().catch((error) => this.log.warn(`round: ${error}`)).finally(arm);
      });
    };
    this.stopTimers[slot] = () => {};
    arm();
  }
}

export type { Attachment, Megaflow, PreparedPacketOut };

function monotonicNow(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
