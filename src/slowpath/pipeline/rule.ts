/** A rule: one entry of an OpenFlow table, with its counters (OpenFlow 1.3.5 §5.2, §5.5). */
import type { Action } from "../../openflow/actions/types.ts";
import { FLOW_FLAGS } from "../../openflow/messages/types.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { Classified, type Home } from "./classifier.ts";
import { type Conjunction, conjunctionsOf } from "./conjunction.ts";
import { groupsOf, metersOf } from "./action-targets.ts";

/** Priorities above this are the switch's own rules: hidden from dumps and from flow-mods. */
export const MAX_PRIORITY = 0xffff;

export interface RuleSpec {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  /** Seconds; 0: none. */
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly importance: number;
  /** `FLOW_FLAGS`. */
  readonly flags: number;
  readonly actions: readonly Action[];
}

/** A match as the subtable had it that its rule was in. */
interface Left {
  readonly home: Home;
  readonly values: Uint32Array;
}

export class Rule extends Classified {
  readonly table: number;
  readonly cookie: bigint;
  /** Seconds; `fin_timeout` may shorten them. */
  idleTimeout: number;
  hardTimeout: number;
  readonly importance: number;
  readonly flags: number;
  readonly actions: readonly Action[];
  /** Groups that the actions name. */
  readonly groups: readonly number[];
  readonly meters: readonly number[];
  override readonly conjunctions: readonly Conjunction[] | undefined;
  /** Clock times. `modifiedMs` starts the hard timeout, `usedMs` the idle timeout. */
  createdMs: number;
  modifiedMs: number;
  usedMs: number;
  packets = 0;
  bytes = 0;
  /** The rule that took this one's place and its counters: late statistics go there. */
  successor: Rule | undefined = undefined;
  /** The counters are its, too; if not, only the time of last use is. */
  successorCounts = true;
  /** The match, kept here once the rule has left its table. */
  private left: Left | undefined = undefined;
  /** Matches every packet. */
  catchAll = false;

  constructor(spec: RuleSpec, nowMs: number) {
    super(spec.priority);
    this.table = spec.table;
    this.cookie = spec.cookie;
    this.idleTimeout = spec.idleTimeout;
    this.hardTimeout = spec.hardTimeout;
    this.importance = spec.importance;
    this.flags = spec.flags;
    this.actions = spec.actions;
    this.groups = groupsOf(spec.actions);
    this.meters = metersOf(spec.actions);
    this.conjunctions = conjunctionsOf(spec.actions);
    this.createdMs = this.modifiedMs = this.usedMs = nowMs;
  }

  /** A copy of the match; its mask is that of all rules like it. */
  match(): Match {
    return this.matchInto(new FlowKey());
  }

  /** The match, with `key` to hold its key. */
  matchInto(key: FlowKey): Match {
    const { home, left } = this;
    if (home) {
      home.keyInto(this.slot, key);
      return { key, mask: home.mask };
    }
    if (!left) throw new Error("rule: it was never in a table");
    left.home.unpack(left.values, 0, key);
    return { key, mask: left.home.mask };
  }

  /** Keeps the match for whoever reports the rule after its removal. Before `Classifier.remove`. */
  keepMatch(): void {
    const { home } = this;
    if (home) this.left = { home, values: home.pack(this.slot) };
  }

  /** When it would be removed, if it is not used any more. */
  get expiresMs(): number {
    return Math.min(
      this.hardTimeout ? this.modifiedMs + this.hardTimeout * 1000 : Infinity,
      this.idleTimeout ? this.usedMs + this.idleTimeout * 1000 : Infinity,
    );
  }

  get hidden(): boolean {
    return this.priority > MAX_PRIORITY;
  }

  /** OpenFlow 1.3.5 §5.4: wildcards everything at priority 0. */
  get isTableMiss(): boolean {
    return this.priority === 0 && this.catchAll;
  }

  get sendsFlowRemoved(): boolean {
    return (this.flags & FLOW_FLAGS.SEND_FLOW_REM) !== 0;
  }

  /** The last of the successors; the way there is made short for the next time. */
  private newest(): Rule {
    let last = this.successor!;
    while (last.successor) {
      this.successorCounts &&= last.successorCounts;
      last = last.successor;
    }
    this.successor = last;
    return last;
  }

  /** Counts packets that the rule handled. `usedMs` may lie in the past. */
  credit(packets: number, bytes: number, usedMs: number): void {
    if (this.successor) {
      const newest = this.newest();
      return this.successorCounts
        ? newest.credit(packets, bytes, usedMs)
        : newest.credit(0, 0, usedMs);
    }
    if (!(this.flags & FLOW_FLAGS.NO_PKT_COUNTS)) this.packets += packets;
    if (!(this.flags & FLOW_FLAGS.NO_BYT_COUNTS)) this.bytes += bytes;
    if (usedMs > this.usedMs) this.usedMs = usedMs;
  }
}
