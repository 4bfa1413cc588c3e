/**
 * Who changed flows: a line in the log for each connection, ten seconds after its first change and at
 * most once in seventy, and when it ends (as Open vSwitch's connmgr writes it):
 *
 *     br0<->unix#3: 2 flow_mods in the last 0 s (1 adds, 1 deletes)
 */
import type { Logger } from "../../log/log.ts";
import type { FlowMod } from "../../openflow/messages/types.ts";
import type { Clock } from "../clock.ts";

const FIRST_REPORT_MS = 10_000;
const QUIET_MS = 60_000;

const KINDS = ["adds", "deletes", "modifications"] as const;
type Kind = (typeof KINDS)[number];

const KIND_OF: Readonly<Record<FlowMod["command"], Kind>> = {
  add: "adds",
  modify: "modifications",
  modify_strict: "modifications",
  delete: "deletes",
  delete_strict: "deletes",
};

export class FlowModLog {
  private counts: Record<Kind, number> = { adds: 0, deletes: 0, modifications: 0 };
  private firstMs = 0;
  private lastMs = 0;
  private notBeforeMs = 0;
  private cancel: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly name: () => string,
  ) {}

  count(command: FlowMod["command"]): void {
    this.counts[KIND_OF[command]]++;
    const now = this.clock.now();
    this.lastMs = now;
    if (this.cancel) return;
    this.firstMs = now;
    const dueMs = Math.max(now + FIRST_REPORT_MS, this.notBeforeMs);
    this.notBeforeMs = dueMs + QUIET_MS;
    this.cancel = this.clock.after(dueMs - now, () => this.report());
  }

  /** The connection has ended. */
  close(): void {
    this.cancel?.();
    this.report();
  }

  private report(): void {
    this.cancel = undefined;
    const { counts } = this;
    const total = counts.adds + counts.deletes + counts.modifications;
    if (total === 0) return;
    const agoSec = Math.floor((this.clock.now() - this.firstMs) / 1000);
    const spanSec = Math.floor((this.lastMs - this.firstMs) / 1000);
    const when = spanSec === agoSec
      ? `in the last ${agoSec} s`
      : spanSec > 0
      ? `in the ${spanSec} s starting ${agoSec} s ago`
      : `${agoSec} s ago`;
    const parts = KINDS.filter((kind) => counts[kind] > 0).map((kind) => `${counts[kind]} ${kind}`);
    this.log.info(`${this.name()}: ${total} flow_mods ${when} (${parts.join(", ")})`);
    this.counts = { adds: 0, deletes: 0, modifications: 0 };
  }
}
