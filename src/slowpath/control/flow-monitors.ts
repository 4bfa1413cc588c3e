/**
 * Flow monitors of one connection: it hears of each change to the flows that it watches
 * (`nicira-ext.h` "Flow Table Monitoring"; OpenFlow 1.4.1 §7.3.5.17).
 *
 * - The changes of one request, or of one bundle, come together in one message.
 * - What the connection did itself is abbreviated to the request's xid, unless it wants it in full
 *   (NXFMF_OWN, OFPFMF_NO_ABBREV; OFPFMF_ONLY_OWN is taken as that, as Open vSwitch does).
 * - A modification that changed neither actions nor cookie is not told.
 *
 * - A connection that does not keep up is *paused*: of the changes then, only the deletions of flows
 *   that it knows are told; when it has read everything, it hears how the flows that changed are now,
 *   and that it is *resumed*. So what waits for it never exceeds a message for each flow.
 */
import { OfError } from "../../openflow/errors.ts";
import {
  FLOW_MONITOR_FLAGS,
  type FlowMonitorRequest,
  type FlowUpdate,
  type FullFlowUpdate,
} from "../../openflow/messages/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { PORTS, TABLE_ALL } from "../../openflow/version.ts";
import type { Match } from "../../packet/key.ts";
import { KEY_WORDS } from "../../packet/layout.ts";
import { type FlowTables, TABLE_OWN, type TablesChange } from "../pipeline/tables.ts";
import type { Rule } from "../pipeline/rule.ts";
import { outputsTo } from "../pipeline/action-targets.ts";

type Monitor = FlowMonitorRequest["monitors"][number];
type Full = FullFlowUpdate;

const { INITIAL, ADD, DELETE, MODIFY, ACTIONS, OWN, ONLY_OWN } = FLOW_MONITOR_FLAGS;
const MAX_MONITORS = 4096;

export class FlowMonitors {
  private readonly monitors = new Map<number, Monitor>();
  /** While paused: rules that came or changed since, and whether the connection knew them before. */
  private missed: Map<Rule, "added" | "modified"> | undefined;

  /** `owner`: the connection, as a source of changes. */
  constructor(private readonly tables: FlowTables, private readonly owner: object) {}

  /** Carries out a request, all or nothing; the flows that are there to begin with. */
  request({ monitors }: FlowMonitorRequest): FlowUpdate[] {
    const before = new Map(this.monitors);
    const made: Monitor[] = [];
    try {
      for (const monitor of monitors) if (this.apply(monitor)) made.push(monitor);
    } catch (error) {
      this.monitors.clear();
      for (const [id, monitor] of before) this.monitors.set(id, monitor);
      throw error;
    }
    return this.initial(made);
  }

  cancel(id: number): void {
    if (this.monitors.delete(id)) return;
    throw new OfError("OFPMOFC_UNKNOWN_MONITOR", 0, `there is no flow monitor ${id}`);
  }

  clear(): void {
    this.monitors.clear();
    this.missed = undefined;
  }

  get isActive(): boolean {
    return this.monitors.size > 0;
  }

  get isPaused(): boolean {
    return this.missed !== undefined;
  }

  pause(): void {
    this.missed = new Map();
  }

  /** How the flows that changed in the pause are now. */
  resume(): FlowUpdate[] {
    const updates: FlowUpdate[] = [];
    for (const [rule, event] of this.missed ?? []) {
      const flags = this.flags(rule, event, undefined);
      if (flags !== 0) updates.push(describe(rule, event, "delete", (flags & ACTIONS) !== 0));
    }
    this.missed = undefined;
    return updates;
  }

  /** Keeps a change of the pause for later; true: it must be told at once all the same. */
  private defer({ rule, event, old }: Told): boolean {
    const missed = this.missed!;
    if (event === "deleted") {
      const known = missed.get(rule) !== "added";
      missed.delete(rule);
      return known;
    }
    const before = old && missed.get(old);
    if (old) missed.delete(old);
    missed.set(rule, event === "added" && !old ? "added" : before ?? "modified");
    return false;
  }

  /** What the connection is told of some changes; `ownXid` is that of its present request. */
  updates(changes: readonly TablesChange[], ownXid: number): FlowUpdate[] {
    if (this.monitors.size === 0) return [];
    const updates: FlowUpdate[] = [];
    let abbreviated = false;
    for (const change of changes) {
      const told = tell(change);
      if (!told) continue;
      if (this.missed && !this.defer(told)) continue;
      const { rule, event, old, reason } = told;
      const flags = this.flags(rule, event, old);
      if (flags === 0) continue;
      const own = told.source === this.owner && told.source !== undefined;
      if (!own || flags & (OWN | ONLY_OWN)) {
        updates.push(describe(rule, event, reason, (flags & ACTIONS) !== 0));
      } else if (!abbreviated) {
        abbreviated = true;
        updates.push({ event: "abbrev", xid: ownXid });
      }
    }
    return updates;
  }

  /** True if the monitor is there afterwards. */
  private apply(monitor: Monitor): boolean {
    const { id, command, table } = monitor;
    if (table !== TABLE_ALL && table > TABLE_OWN) {
      throw new OfError("OFPBRC_BAD_TABLE_ID", 0, `there is no table ${table}`);
    }
    if (command === "add") {
      if (this.monitors.has(id)) {
        throw new OfError("OFPMOFC_MONITOR_EXISTS", 0, `there is a flow monitor ${id}`);
      }
      if (this.monitors.size >= MAX_MONITORS) {
        throw new OfError("OFPMOFC_UNKNOWN", 0, `there are ${MAX_MONITORS} flow monitors`);
      }
    } else this.cancel(id);
    if (command === "delete") return false;
    this.monitors.set(id, monitor);
    return true;
  }

  private initial(monitors: readonly Monitor[]): FlowUpdate[] {
    const found = new Map<Rule, number>();
    for (const { flags, table, match, outPort, outGroup } of monitors) {
      if (!(flags & INITIAL)) continue;
      const filter = { table, match, outPort, outGroup, cookie: 0n, cookieMask: 0n };
      for (const rule of this.tables.select(filter)) {
        found.set(rule, (found.get(rule) ?? 0) | flags);
      }
    }
    return [...found].map(([rule, flags]) =>
      describe(rule, "initial", "delete", (flags & ACTIONS) !== 0)
    );
  }

  /** Flags of all monitors that watch such a change of the rule; 0: none does. */
  private flags(rule: Rule, event: Told["event"], old: Rule | undefined): number {
    const wanted = event === "added" ? ADD : event === "deleted" ? DELETE : MODIFY;
    let flags = 0;
    let match: Match | undefined;
    for (const monitor of this.monitors.values()) {
      if (!(monitor.flags & wanted)) continue;
      if (monitor.table !== TABLE_ALL && monitor.table !== rule.table) continue;
      const { outPort, outGroup } = monitor;
      const goes = outputsTo(rule.actions, outPort, outGroup) ||
        (old !== undefined && outPort !== PORTS.ANY && outputsTo(old.actions, outPort, outGroup));
      if (goes && within(match ??= rule.match(), monitor.match)) flags |= monitor.flags;
    }
    return flags;
  }
}

interface Told {
  readonly event: "added" | "deleted" | "modified";
  readonly rule: Rule;
  readonly old: Rule | undefined;
  readonly reason: Full["reason"];
  readonly source: object | undefined;
}

/** A change as monitors see it; undefined: they do not. */
function tell(change: TablesChange): Told | undefined {
  switch (change.event) {
    case "added":
      return visible({ ...change, event: "added", old: undefined, reason: "delete" });
    case "removed":
      return visible({ ...change, event: "deleted", old: undefined });
    case "modified": {
      const { rule, old, command, source } = change;
      // An add that takes another's place is told as one.
      if (command === "add") {
        return visible({ event: "added", rule, old, reason: "delete", source });
      }
      const same = rule.cookie === old.cookie &&
        formatActions(rule.actions) === formatActions(old.actions);
      return same ? undefined : visible({ event: "modified", rule, old, reason: "delete", source });
    }
    case "group":
    case "settings":
    case "vacancy":
      return undefined;
    default: {
      const never: never = change;
      throw new Error(`tables change ${never}`);
    }
  }
}

function visible(told: Told): Told | undefined {
  return told.rule.hidden ? undefined : told;
}

function describe(
  rule: Rule,
  event: Full["event"],
  reason: Full["reason"],
  actions: boolean,
): FullFlowUpdate {
  return {
    event,
    reason,
    priority: rule.priority,
    idleTimeout: rule.idleTimeout,
    hardTimeout: rule.hardTimeout,
    table: rule.table,
    cookie: rule.cookie,
    match: rule.match(),
    actions: actions ? rule.actions : [],
  };
}

/** Does every packet that fits `match` fit `criteria`? */
function within(match: Match, criteria: Match): boolean {
  for (let i = 0; i < KEY_WORDS; i++) {
    const wanted = criteria.mask.words[i]!;
    if ((wanted & ~match.mask.words[i]!) !== 0) return false;
    if (((match.key.words[i]! ^ criteria.key.words[i]!) & wanted) !== 0) return false;
  }
  return true;
}
