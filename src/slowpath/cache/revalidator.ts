/**
 * Keeps the megaflows true, counted and few.
 *
 * **True.** A change (changes.ts) is answered at once: the megaflows that it concerns are translated
 * again, in slices of `SLICE` a turn. One whose actions came out different is replaced in the
 * datapath; one whose mask grew (its packets must now be told apart) is removed, and its packets
 * come up again. `settle()` resolves when that is done for every change made before the call and the
 * datapath obeys: this is what makes a barrier reply true.
 *
 * **Counted.** Every `maxRevalidatorMs` (500) a round reads all counters, in slices, and credits the
 * differences to rules, tables, patches and MAC entries. `readAll` does it in one go when somebody
 * asks for statistics, so that they are current.
 *
 * **Few.** In a round, a megaflow idle for `maxIdleMs` (1500) goes. When there are more than the flow
 * limit, idle ones go after 100 ms; when more than twice as many, all go.
 *
 * **In time.** When so many megaflows must be translated again that it would take longer than half of
 * `maxRevalidatorMs`, those with fewer packets than `minRevalidatePps` a second since their counters
 * were last read are removed instead, which costs little: if there are more packets, one of them
 * brings the megaflow back.
 *
 * MAC changes are answered at most so often that looking through the megaflows takes a quarter of
 * the time, since a scan of MAC addresses must not occupy the switch; `settle` does not wait for it.
 */
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { FlowTables, TablesChange } from "../pipeline/tables.ts";
import type { Replays } from "../pipeline/replay.ts";
import { translate } from "../pipeline/translate.ts";
import type { MacTable } from "../bridge/learning.ts";
import type { BundleModel } from "../pipeline/model.ts";
import { KEY_WORDS } from "../../packet/layout.ts";
import { FlowKey } from "../../packet/key.ts";
import { Scratch } from "../pipeline/xlate.ts";
import type { Megaflow, Megaflows } from "./megaflows.ts";
import { Changes } from "./changes.ts";
import type { References } from "./references.ts";
import type { Attachment } from "./upcalls.ts";

const SLICE = 256;
const READ_SLICE = 2048;
const CROWDED_IDLE_MS = 100;
/** Slices that the average cost of a translation is taken over. */
const COST_WEIGHT = 8;
const LEAST_SECONDS = 0.01;

export interface RevalidatorLimits {
  /** `other_config:max-idle`. */
  maxIdleMs: number;
  /** `other_config:flow-limit`. */
  flowLimit: number;
  /** `other_config:max-revalidator`: longest time between two rounds. */
  maxRevalidatorMs: number;
  /** `other_config:min-revalidate-pps`; 0: all are translated again. */
  minRevalidatePps: number;
}

export class Revalidator {
  private changes = new Changes();
  private readonly stale = new Set<Megaflow>();
  private readonly scratch = new Scratch();
  private readonly key = new FlowKey();
  private scheduled = false;
  private scanCostMs = 0;
  private scannedMs = -Infinity;
  /** What one translation takes, on the average of late. */
  private costMs = 0;
  /** More are to be translated again than there is time for. */
  private overloaded = false;
  readonly counters = {
    rounds: 0,
    scans: 0,
    retranslated: 0,
    expired: 0,
    invalidated: 0,
    /** Removed for want of time, being little used. */
    spared: 0,
  };

  constructor(
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly flows: Megaflows,
    private readonly references: References,
    private readonly replays: Replays,
    private readonly attachment: (dpPort: number, key: FlowKey) => Attachment | undefined,
    private readonly defer: (run: () => void) => void,
    readonly limits: RevalidatorLimits,
  ) {}

  /** Ports or configuration changed: any megaflow may be wrong. */
  everythingChanged(): void {
    this.replays.clear();
    this.changes.everything();
    this.schedule();
  }

  tablesChanged(tables: FlowTables, changes: readonly TablesChange[]): void {
    this.replays.clear();
    if (this.flows.size === 0) return;
    this.changes.tables(tables, changes);
    this.schedule();
  }

  macChanged(macs: MacTable<BundleModel>, vlan: number, mac: number): void {
    this.replays.clear();
    if (this.flows.size === 0) return;
    this.changes.mac(macs, vlan, mac);
    this.schedule();
  }

  /** True while some megaflow may have to be translated again. */
  get pending(): boolean {
    return this.stale.size > 0 || this.changes.any;
  }

  isStale(flow: Megaflow): boolean {
    return this.stale.has(flow) || (this.changes.any && this.changes.concern(flow));
  }

  /** Removes a bridge's megaflows: it is going. */
  dropBridge(bridge: BridgeModel): void {
    for (const flow of this.flows) {
      if (
        flow.bridge === bridge ||
        flow.effects.some((e) => e.type === "lookup" && e.tables === bridge.tables)
      ) {
        this.drop(flow);
      }
    }
  }

  /** Removes all megaflows (`dpctl/del-flows`, `revalidator/purge`), and what they were made of. */
  purge(): void {
    this.replays.clear();
    for (const flow of this.flows) this.drop(flow);
  }

  /** Does everything that is pending, in slices that let other work in between. */
  async finish(): Promise<void> {
    this.mark();
    let turn = 0;
    for (const flow of [...this.stale]) {
      if (this.stale.has(flow)) this.revalidate(flow);
      if (++turn % SLICE === 0) await new Promise<void>((resolve) => this.defer(resolve));
    }
  }

  /** One round: counters, idle megaflows. */
  async round(): Promise<void> {
    this.counters.rounds++;
    const { maxIdleMs, flowLimit } = this.limits;
    const crowded = this.flows.size > flowLimit;
    const purge = this.flows.size > 2 * flowLimit;
    const idleMs = crowded ? Math.min(CROWDED_IDLE_MS, maxIdleMs) : maxIdleMs;
    let turn = 0;
    let now = this.clock.now();
    for (const flow of this.flows) {
      this.flows.read(flow, now);
      if (purge || now - flow.usedMs >= idleMs) {
        this.drop(flow);
        this.counters.expired++;
      }
      if (++turn % READ_SLICE !== 0) continue;
      await new Promise<void>((resolve) => this.defer(resolve));
      now = this.clock.now();
    }
    await this.flows.collect();
    this.references.reap();
  }

  private schedule(): void {
    if (this.scheduled || !this.changes.any) return;
    this.scheduled = true;
    const wait = this.scannedMs + 4 * this.scanCostMs - this.clock.now();
    const run = (): void => {
      this.scheduled = false;
      this.mark();
      this.slice();
    };
    if (wait > 1) this.clock.after(wait, run);
    else this.defer(run);
  }

  /** Finds the megaflows that the changes concern. */
  private mark(): void {
    if (!this.changes.any) return;
    const started = this.clock.now();
    const { changes } = this;
    this.changes = new Changes();
    for (const flow of this.flows) if (changes.concern(flow)) this.stale.add(flow);
    this.counters.scans++;
    this.overloaded = this.stale.size * this.costMs > this.limits.maxRevalidatorMs / 2;
    this.scannedMs = this.clock.now();
    this.scanCostMs = this.scannedMs - started;
  }

  private slice(): void {
    const started = this.clock.now();
    const before = this.counters.retranslated;
    let turn = 0;
    for (const flow of this.stale) {
      this.revalidate(flow);
      if (++turn >= SLICE) break;
    }
    const translated = this.counters.retranslated - before;
    if (translated > 0) {
      const each = (this.clock.now() - started) / translated;
      this.costMs += (each - this.costMs) / COST_WEIGHT;
    }
    if (this.stale.size > 0) this.defer(() => this.slice());
    else void this.flows.collect().catch((error) => this.log.warn(`flow removal: ${error}`));
  }

  /** A fault in a translation costs that megaflow, whose packets then come up, not the switch. */
  private revalidate(flow: Megaflow): void {
    this.stale.delete(flow);
    if (!this.flows.has(flow)) return;
    try {
      this.translateAgain(flow);
    } catch (error) {
      this.log.err(`revalidation: ${error instanceof Error ? error.stack : error}`);
      this.invalidate(flow);
    }
  }

  /** Is the megaflow worth its translation, now that there is not enough time? */
  private isWorthwhile(flow: Megaflow): boolean {
    const { minRevalidatePps } = this.limits;
    if (!this.overloaded || minRevalidatePps === 0) return true;
    const { packets, readMs } = flow;
    this.flows.read(flow);
    // Too short a time says nothing.
    const seconds = (flow.readMs - readMs) / 1000;
    if (seconds < LEAST_SECONDS) return true;
    return (flow.packets - packets) / seconds >= minRevalidatePps;
  }

  private translateAgain(flow: Megaflow): void {
    if (!this.isWorthwhile(flow)) {
      this.counters.spared++;
      return this.drop(flow);
    }
    this.counters.retranslated++;
    const { key, scratch, references, replays } = this;
    // Of packets that belong to no port: they come up again and say so again.
    if (!flow.bridge) return this.invalidate(flow);
    this.flows.pipelineKey(flow, key);
    const from = this.attachment(flow.dpPort, key);
    if (!from || from.bridge !== flow.bridge || from.port.ofport !== flow.ofport) {
      return this.invalidate(flow);
    }
    const { bridge } = flow;
    const translation = replays.find(bridge, key) ??
      translate({ bridge, key, ...references, scratch, replays });
    if (translation.error === "no recirculation context" || translation.uncacheable) {
      references.release(translation);
      return this.invalidate(flow);
    }
    const { mask } = flow.home!;
    for (let i = 0; i < KEY_WORDS; i++) {
      if ((translation.mask.words[i]! & ~mask.words[i]!) !== 0) {
        references.release(translation);
        return this.invalidate(flow);
      }
    }
    this.flows.replace(flow, translation);
  }

  private invalidate(flow: Megaflow): void {
    this.counters.invalidated++;
    this.drop(flow);
  }

  private drop(flow: Megaflow): void {
    this.flows.read(flow);
    this.stale.delete(flow);
    this.flows.remove(flow);
  }
}
