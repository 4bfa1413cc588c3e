/** The connection tracker's handle for the slow path: asks whoever holds the tracker. */
import {
  type CtAnswer,
  type CtChange,
  type CtQuestion,
  tupleOf,
  type WireEntry,
  wireFilter,
} from "./questions.ts";
import type {
  Conntrack,
  CtEntry,
  CtFilter,
  CtFragmentSettings,
  CtStats,
  CtTimeouts,
  CtZoneLimit,
} from "./types.ts";
import { DEFAULT_FRAGMENTS } from "./settings.ts";

export class RemoteConntrack implements Conntrack {
  tcpSequenceChecks = true;
  fragments: CtFragmentSettings = DEFAULT_FRAGMENTS;

  constructor(
    private readonly change: (change: CtChange) => void,
    private readonly ask: (question: CtQuestion) => Promise<CtAnswer>,
  ) {}

  async dump(filter: CtFilter = {}): Promise<CtEntry[]> {
    const entries: CtEntry[] = [];
    for (let from = 0; from >= 0;) {
      const answer = await this.ask({ type: "dump", filter: wireFilter(filter), from });
      if (answer.type !== "dump") break;
      for (const entry of answer.entries) entries.push(entryOf(entry));
      from = answer.next;
    }
    return entries;
  }

  async flush(filter: CtFilter = {}): Promise<number> {
    const answer = await this.ask({ type: "flush", filter: wireFilter(filter) });
    return answer.type === "flush" ? answer.removed : 0;
  }

  async stats(): Promise<CtStats> {
    const answer = await this.ask({ type: "stats" });
    if (answer.type !== "stats") return { connections: 0, maxConnections: 0, byProtocol: {} };
    const { connections, maxConnections, byProtocol } = answer;
    return { connections, maxConnections, byProtocol };
  }

  setMaxConnections(limit: number): void {
    this.change({ type: "maxConnections", limit });
  }

  setTcpSequenceChecks(enabled: boolean): void {
    this.tcpSequenceChecks = enabled;
    this.change({ type: "sequenceChecks", enabled });
  }

  setZoneLimit(zone: number | undefined, limit: number | undefined): void {
    this.change({ type: "zoneLimit", zone: zone ?? -1, limit: limit ?? -1 });
  }

  async zoneLimits(): Promise<CtZoneLimit[]> {
    const answer = await this.ask({ type: "zoneLimits" });
    if (answer.type !== "zoneLimits") return [];
    return answer.limits.map(({ zone, limit, count }) => ({
      zone: zone < 0 ? undefined : zone,
      limit,
      count,
    }));
  }

  setTimeoutPolicy(id: number, timeouts: CtTimeouts | undefined): void {
    this.change({ type: "timeoutPolicy", id, timeouts: timeouts ?? null });
  }

  setFragments(settings: Partial<CtFragmentSettings>): void {
    this.fragments = { ...this.fragments, ...settings };
    this.change({ type: "fragments", settings });
  }
}

function entryOf({ original, reply, label, parent, ...rest }: WireEntry): CtEntry {
  return {
    ...rest,
    original: tupleOf(original),
    reply: tupleOf(reply),
    label: Uint8Array.fromHex(label),
    ...(parent ? { parent: tupleOf(parent) } : {}),
  };
}
