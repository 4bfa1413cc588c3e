/**
 * The flows that the kernel does: which they are, and their records in the maps.
 *
 *     put ──> can the programs read what it matches? ──> can they do its actions? ──> room?
 *              │ no                                      │ no                        │ no
 *              └─────────────────────────────────────────┴───────> userspace does it, and why
 *
 * Invariants
 * - A flow's record is right before its key is in the map, and stops to be found before its record
 *   means something else.
 * - A flow that looks at a slot that no other did makes a new key layout: new maps with all flows in
 *   them, a new main program, one write that puts it into force, and the old ones go.
 * - What is kept of a flow here is small: its mask is shared, its key has the words of its mask.
 */
import { loadTcProgram, programInfo } from "../../linux/bpf-program.ts";
import { close, SystemError } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { type DpAction, someAction } from "../actions.ts";
import type { DpFlow } from "../datapath.ts";
import {
  MAIN_SLOT,
  SETTINGS_HALF,
  SETTINGS_KEY_FORMAT,
  SETTINGS_LAYOUT,
  VERDICT_DROP,
  VERDICT_EGRESS,
  VERDICT_INGRESS,
  VERDICT_PROGRAM,
} from "./abi.ts";
import { type KernelActions, planActions, type PlanWorld, type PortTarget } from "./action-plan.ts";
import { pinned } from "./field-place.ts";
import { ActionPrograms, type LoadedPlan } from "./action-programs.ts";
import { FlowRecords } from "./flow-records.ts";
import { MAX_KEY_BYTES } from "./frame-stack.ts";
import { type KernelMask, KernelMasks, placesOf } from "./kernel-masks.ts";
import { demandOf, KEY_FORMAT, KeyLayout, maskShape, STATEFUL } from "./key-layout.ts";
import { assembleMain } from "./main-program.ts";
import type { ConnectionMaps } from "./ct-step.ts";
import { closeMaps, createLayoutMaps, type DatapathMaps, type LayoutMaps } from "./maps.ts";
import { MegaflowWriter } from "./megaflow-writer.ts";
import type { Pins } from "./pins.ts";
import { PortUsers } from "./port-users.ts";
import { machineShards, type Shards } from "./shards.ts";

interface Entry {
  readonly mask: KernelMask;
  /** The key's words, those of the mask. */
  readonly values: Uint32Array;
  readonly actions: readonly DpAction[];
  readonly plan: LoadedPlan | undefined;
}

export interface KernelFlowsOptions {
  readonly maps: DatapathMaps;
  readonly puntIfindex: number;
  readonly maxFlows: number;
  /** Half of the program slots, 0 or 1. */
  readonly half: number;
  /** Where the flows are pinned with their program. */
  readonly pins?: Pins | undefined;
  readonly alwaysExact: boolean;
  /** Another process's main program is in force until `takeOver`. */
  readonly held: boolean;
  /** True if a program receives what comes in by the port. */
  readonly receives: (port: number) => boolean;
  /** The maps of connections, made when they are asked for. */
  readonly connections?: () => ConnectionMaps;
  readonly targetOf: (port: number) => PortTarget | undefined;
  /** Absent: programs can enforce all meters. */
  readonly hasMeter?: (id: number) => boolean;
  readonly logger: Logger;
}

type Verdict = [kind: number, aux: number, target: number];

export class KernelFlows {
  readonly masks: KernelMasks;
  readonly records: FlowRecords;
  readonly programs: ActionPrograms;
  private readonly shards: Shards;
  private readonly entries = new Map<number, Entry>();
  /** Why a flow is not in the kernel. */
  private readonly reasons = new Map<number, string>();
  /** Which of them send to a port. */
  private readonly senders = new PortUsers();
  /** Flows that wait for a port, and which of them send to it. */
  private readonly waiting = new Map<number, DpFlow>();
  private readonly waitingSenders = new PortUsers();
  private readonly world: PlanWorld;
  private layout = KeyLayout.empty();
  private layoutMaps: LayoutMaps | undefined;
  private writer: MegaflowWriter | undefined;
  private vlanLimit: 1 | 2 = 2;
  private held: boolean;
  /** While held: the program that is to be in force. */
  private waitingProgram: number | undefined;
  /** Main programs made so far. */
  generations = 0;

  constructor(private readonly options: KernelFlowsOptions) {
    const { maps, puntIfindex, half } = options;
    this.held = options.held;
    this.world = { targetOf: options.targetOf, hasMeter: options.hasMeter ?? (() => true) };
    this.masks = new KernelMasks(options.alwaysExact);
    this.shards = machineShards();
    const { connections } = options;
    const actionMaps = {
      ...maps,
      ifindex: puntIfindex,
      shards: this.shards,
      ...(connections && { connections }),
    };
    this.programs = new ActionPrograms(actionMaps, maps.arguments, maps.programs, half);
    this.records = new FlowRecords(maps.flows, maps.counts, this.shards);
    this.rebuild(this.layout);
  }

  get size(): number {
    return this.entries.size;
  }

  /** Bytes of the key that the main program builds. */
  get keyBytes(): number {
    return this.layout.bytes;
  }

  /** Undefined if the kernel does the flow, else why not. */
  reason(id: number): string | undefined {
    return this.entries.has(id) ? undefined : this.reasons.get(id) ?? "there is no such flow";
  }

  /** Takes the flow in, or makes sure that the kernel does not have it. */
  put(flow: DpFlow): void {
    const { id, match, actions } = flow;
    this.waitNoMore(id);
    const shape = maskShape(match);
    if (!shape) return this.refuse(id, "matches a field that programs do not read");
    const inPort = pinned(match, "in_port");
    if (inPort !== undefined && !this.options.receives(inPort)) {
      return this.refuse(id, "userspace receives what comes in by its port");
    }
    const planned = planActions(actions, match, this.world);
    if (planned.kind === "userspace") {
      if (planned.missingPort !== undefined) {
        // The key is the caller's, who uses it again.
        this.waiting.set(id, { id, actions, match: { ...match, key: match.key.clone() } });
        this.waitingSenders.add(id, actions);
      }
      return this.refuse(id, planned.reason);
    }
    const mask = this.masks.acquire(shape);
    if (!mask) return this.refuse(id, "there are more masks than programs try");
    let plan: LoadedPlan | undefined;
    try {
      if (planned.kind === "plan") plan = this.programs.acquire(planned);
      // A mask with flows before this one is covered, but for metadata.
      const demand = demandOf(match, shape);
      let wider = mask.flows > 1 && demand === shape.headers || this.layout.covers(demand)
        ? this.layout
        : this.layout.with(demand);
      if (plan?.program.recirculates && !wider.isStateful) wider = wider.with(STATEFUL);
      if (wider.bytes > MAX_KEY_BYTES) {
        this.dropReferences({ mask, plan });
        return this.refuse(id, "with what it looks at the key would be too long");
      }
      if (wider !== this.layout) this.rebuild(wider);
    } catch (error) {
      this.dropReferences({ mask, plan });
      if (!(error instanceof SystemError)) throw error;
      this.options.logger.warn(`a flow stays in userspace: ${error.message}`);
      return this.refuse(id, error.message);
    }
    if (planned.kind === "plan" && !plan) {
      this.masks.release(mask);
      return this.refuse(id, "there are more kinds of action lists than programs fit");
    }
    const { bits, words } = shape;
    const values = new Uint32Array(words.length);
    for (let n = 0; n < words.length; n++) {
      const word = words[n]!;
      values[n] = match.key.words[word]! & bits[word]!;
    }
    this.replace(id, { mask, values, actions, plan }, verdictOf(planned, plan));
  }

  delete(id: number): void {
    if (this.reasons.size > 0) this.reasons.delete(id);
    this.waitNoMore(id);
    this.remove(id);
  }

  /** Puts into force what was asked for; it is in a moment in any case. */
  flush(): void {
    this.writer?.flush();
  }

  /** A port has come, gone or changed: flows that send to it are looked at again. */
  portChanged(port: number): void {
    for (const id of this.senders.of(port)) {
      const entry = this.entries.get(id);
      if (entry) this.put({ id, match: this.matchOf(entry), actions: entry.actions });
    }
    // Nothing has waited for it to go.
    if (!this.world.targetOf(port)) return;
    for (const id of this.waitingSenders.of(port)) {
      const flow = this.waiting.get(id);
      if (flow) this.put(flow);
    }
  }

  /**
   * Programs can enforce a meter that they could not, or not any more. Flows that went to userspace
   * for it stay there until they are put again.
   */
  meterChanged(meter: number): void {
    const uses = (actions: readonly DpAction[]): boolean =>
      someAction(actions, (action) => action.type === "meter" && action.id === meter);
    for (const [id, entry] of [...this.entries]) {
      if (uses(entry.actions)) this.put({ id, match: this.matchOf(entry), actions: entry.actions });
    }
  }

  get isHeld(): boolean {
    return this.held;
  }

  /** Puts this process's flows in the place of another's; false if they are there already. */
  takeOver(): boolean {
    if (!this.held) return false;
    this.held = false;
    this.putIntoForce(this.waitingProgram!, this.layoutMaps!);
    this.programs.clearOther();
    return true;
  }

  /** Packets may have metadata from here on, as those of tunnels: the main program is to know that. */
  demandState(): void {
    if (!this.layout.isStateful) this.rebuild(this.layout.with(STATEFUL));
  }

  setVlanLimit(limit: 1 | 2): void {
    if (limit === this.vlanLimit) return;
    this.vlanLimit = limit;
    this.rebuild(this.layout);
  }

  close(): void {
    if (this.waitingProgram !== undefined) close(this.waitingProgram);
    this.writer?.flush();
    this.writer?.close();
    this.entries.clear();
    if (this.layoutMaps) closeMaps(this.layoutMaps);
    this.layoutMaps = undefined;
  }

  private replace(id: number, entry: Entry, verdict: Verdict): void {
    const old = this.entries.get(id);
    const same = old?.mask === entry.mask &&
      old.values.every((value, i) => value === entry.values[i]);
    if (old && !same) this.forgetKey(id, old);
    // First, since it writes removals that wait: no key leads here when the record changes its meaning.
    if (!same) {
      const { mask, values } = entry;
      this.writer!.put(id, values, placesOf(mask, this.layout), mask.id);
    }
    this.records.setVerdict(id, ...verdict);
    this.entries.set(id, entry);
    if (old) this.senders.remove(id, old.actions);
    this.senders.add(id, entry.actions);
    if (this.reasons.size > 0) this.reasons.delete(id);
    if (old) this.dropReferences(old);
  }

  private waitNoMore(id: number): void {
    const flow = this.waiting.size > 0 ? this.waiting.get(id) : undefined;
    if (!flow) return;
    this.waiting.delete(id);
    this.waitingSenders.remove(id, flow.actions);
  }

  private refuse(id: number, reason: string): void {
    this.remove(id);
    this.reasons.set(id, reason);
  }

  private remove(id: number): void {
    const entry = this.entries.get(id);
    if (!entry) return;
    this.entries.delete(id);
    this.senders.remove(id, entry.actions);
    this.records.retire(id);
    this.forgetKey(id, entry);
    this.dropReferences(entry);
  }

  private forgetKey(id: number, { mask, values }: Entry): void {
    // What the exact-match cache has of it is void when that is done: until then it may learn it anew.
    this.writer!.remove(id, values, placesOf(mask, this.layout), mask.id);
  }

  private dropReferences({ mask, plan }: Pick<Entry, "mask" | "plan">): void {
    this.masks.release(mask);
    if (plan) this.programs.release(plan);
  }

  private matchOf({ mask, values }: Entry): Match {
    const match = { key: new FlowKey(), mask: new FlowKey() };
    const { bits, words } = mask.shape;
    words.forEach((word, i) => {
      match.key.words[word] = values[i]!;
      match.mask.words[word] = bits[word]!;
    });
    return match;
  }

  /** Makes maps and main program for a layout and puts them into force. */
  private rebuild(layout: KeyLayout): void {
    const { maps, puntIfindex, maxFlows, logger } = this.options;
    const startedMs = performance.now();
    this.flush();
    const fresh = createLayoutMaps(layout, maxFlows);
    const before = this.layoutMaps;
    const oldLayout = this.layout;
    try {
      this.layout = layout;
      this.fill(fresh);
      const { bytes } = assembleMain(
        layout,
        { ...maps, ...fresh, ifindex: puntIfindex, shards: this.shards },
        this.vlanLimit,
      );
      const program = loadTcProgram(bytes, "solovs_main");
      this.masks.use(layout, fresh);
      this.describe(layout, fresh);
      this.generations++;
      const { jitBytes, verifiedInstructions } = programInfo(program);
      logger.dbg(
        `main program ${this.generations}: key of ${layout.bytes} bytes, ${bytes.length / 8} ` +
          `instructions, ${jitBytes} bytes of code, ${verifiedInstructions} verified, ` +
          `${(performance.now() - startedMs).toFixed(1)} ms`,
      );
      this.putIntoForce(program, fresh);
    } catch (error) {
      this.layout = oldLayout;
      closeMaps(fresh);
      throw error;
    }
    this.layoutMaps = fresh;
    // What waits there has nothing to be removed from any more.
    this.writer?.close();
    this.writer = new MegaflowWriter(
      fresh.megaflows,
      (id, reason) => this.refuse(id, reason),
      (id) => this.records.invalidate(id),
    );
    if (before) closeMaps(before);
  }

  /** The descriptor is closed, or kept until `takeOver`. */
  private putIntoForce(program: number, layoutMaps: LayoutMaps): void {
    if (this.waitingProgram !== undefined && this.waitingProgram !== program) {
      close(this.waitingProgram);
    }
    this.waitingProgram = this.held ? program : undefined;
    if (this.held) return;
    const { pins, maps } = this.options;
    try {
      const { id } = programInfo(program);
      pins?.pinFlows(id, { ...maps, ...layoutMaps });
      this.programs.install(MAIN_SLOT, program);
      pins?.unpinOtherFlows(id);
    } finally {
      close(program);
    }
  }

  /** Tells a process after this one what the keys are. */
  private describe(layout: KeyLayout, { settings }: LayoutMaps): void {
    const words = new Uint32Array(settings.map());
    words[SETTINGS_HALF / 4] = this.options.half;
    words[SETTINGS_KEY_FORMAT / 4] = KEY_FORMAT;
    for (const word of layout.words) words[SETTINGS_LAYOUT / 4 + word] = layout.bitsOf(word);
  }

  private fill({ megaflows }: LayoutMaps): void {
    const { layout, entries } = this;
    const keyWords = layout.bytes / 4;
    const keys = new Uint32Array(entries.size * keyWords);
    const ids = new Uint32Array(entries.size);
    let i = 0;
    for (const [id, { mask, values }] of entries) {
      const places = placesOf(mask, layout);
      const from = i * keyWords;
      for (let n = 0; n < places.length; n++) {
        const place = places[n]!;
        if (place >= 0) keys[from + place] = values[n]!;
      }
      keys[from + layout.idAt / 4] = mask.id;
      ids[i++] = id;
    }
    const bytes = (words: Uint32Array) => new Uint8Array(words.buffer);
    megaflows.updateMany(bytes(keys), bytes(ids), ids.length);
  }
}

function verdictOf(
  planned: Exclude<KernelActions, { kind: "userspace" }>,
  plan: LoadedPlan | undefined,
): Verdict {
  switch (planned.kind) {
    case "drop":
      return [VERDICT_DROP, 0, 0];
    case "output": {
      const { ifindex, ingress } = planned.target;
      return [ingress ? VERDICT_INGRESS : VERDICT_EGRESS, planned.port, ifindex];
    }
    case "plan":
      return [VERDICT_PROGRAM, plan!.program.slot, plan!.arguments];
    default: {
      const never: never = planned;
      throw new Error(`unknown plan ${String(never)}`);
    }
  }
}
