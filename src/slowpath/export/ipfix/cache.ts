/**
 * Flows of sampled packets that wait to be exported (RFC 7011 §2, "Metering Process"). A flow is what
 * has the same template and the same key part of its record; it is exported `activeTimeoutMs` after
 * its first packet, or, the oldest first, when there are more than `maxFlows`.
 *
 * Flows are kept in the order in which they began, so that both find theirs at the front.
 */
import { addCounts, type Counts } from "./sample.ts";

/** More flows than that are not kept, whatever the database allows: a flow takes about 1 kB. */
const MOST_FLOWS = 65_536;

/** RFC 5102 §5.11.3. */
export const END_REASON = { ACTIVE_TIMEOUT: 2, FORCED_END: 4, LACK_OF_RESOURCES: 5 } as const;
export type EndReason = (typeof END_REASON)[keyof typeof END_REASON];

export interface CachedFlow {
  readonly domainId: number;
  readonly templateId: number;
  /** The key part of its records. */
  readonly key: Uint8Array;
  /** Wall clock, milliseconds. */
  readonly startMs: number;
  endMs: number;
  readonly delta: Counts;
  total: Readonly<Counts>;
  /** Bytes of its IP packets; 0: not IP. */
  shortest: number;
  longest: number;
}

export interface CacheLimits {
  readonly activeTimeoutMs: number;
  readonly maxFlows: number;
}

export class FlowsToExport {
  private readonly flows = new Map<string, CachedFlow>();

  constructor(private limits: CacheLimits) {}

  get size(): number {
    return this.flows.size;
  }

  configure(limits: CacheLimits): void {
    this.limits = limits;
  }

  /** Adds a packet's worth. True: it is a new flow. */
  add(flow: CachedFlow): boolean {
    const id = `${flow.domainId}/${flow.templateId}/${flow.key.toHex()}`;
    const old = this.flows.get(id);
    if (!old) {
      this.flows.set(id, flow);
      return true;
    }
    old.endMs = Math.max(old.endMs, flow.endMs);
    addCounts(old.delta, flow.delta);
    old.total = flow.total;
    if (old.shortest === 0 || (flow.shortest > 0 && flow.shortest < old.shortest)) {
      old.shortest = flow.shortest;
    }
    old.longest = Math.max(old.longest, flow.longest);
    return false;
  }

  get crowded(): boolean {
    return this.flows.size > Math.min(this.limits.maxFlows, MOST_FLOWS);
  }

  /** Takes out what is due, or with `all` whatever is there, with the reason. */
  *expire(nowMs: number, all: boolean): Iterable<[CachedFlow, EndReason]> {
    for (const [id, flow] of this.flows) {
      const reason = all
        ? END_REASON.FORCED_END
        : flow.startMs <= nowMs - this.limits.activeTimeoutMs
        ? END_REASON.ACTIVE_TIMEOUT
        : this.crowded
        ? END_REASON.LACK_OF_RESOURCES
        : undefined;
      if (reason === undefined) return;
      this.flows.delete(id);
      yield [flow, reason];
    }
  }
}
