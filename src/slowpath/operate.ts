/**
 * What the HTTP API reads of the running switch and does to its flows, in plain values and in the
 * text syntax of `ovs-ofctl`: whoever calls this knows no wire format and no classifier.
 *
 * - Errors that the caller's input causes are `OperateError`s; nothing has changed then.
 * - Several flow changes are one transaction of the bridge's tables: no packet sees half of them.
 * - A change resolves when it is in force for all later packets.
 */
import { OfError } from "../openflow/errors.ts";
import { FLOW_FLAGS, type FlowCommand, type FlowMod } from "../openflow/messages/types.ts";
import { readNxMatch, writeNxMatch } from "../openflow/match.ts";
import { formatActions } from "../openflow/text/actions-format.ts";
import { formatFlow, parseFlow, parseFlowRequest } from "../openflow/text/flow.ts";
import { formatMatch } from "../openflow/text/match.ts";
import { checkActions } from "../openflow/actions/check.ts";
import { VERSION_NAMES } from "../openflow/version.ts";
import { Reader, Writer } from "../openflow/wire.ts";
import { formatMac } from "../packet/address.ts";
import { type PortNames, TextError } from "../packet/text.ts";
import type { Backend } from "./bridge/backend.ts";
import type { Bridge } from "./bridge/bridge.ts";
import { macBytes } from "./bridge/learning.ts";
import { formatMegaflow } from "./cache/flow-text.ts";
import { describeRule } from "./control/requests/flows.ts";
import {
  changeGroup,
  changeMeter,
  type GroupCommand,
  groupsText,
  type GroupView,
  groupViews,
  type MeterCommand,
  metersText,
  type MeterView,
  meterViews,
} from "./operate-groups.ts";
import type { Rule } from "./pipeline/rule.ts";

/** What was asked for cannot be done; `message` says why. */
export class OperateError extends Error {
  override readonly name = "OperateError";

  /** `index`: of the flow at fault, counted from 0. */
  constructor(message: string, readonly index?: number) {
    super(message);
  }
}

export interface FlowView {
  readonly table: number;
  readonly priority: number;
  /** Hexadecimal, with 0x: 64 bits. */
  readonly cookie: string;
  /** As `ovs-ofctl` writes it, without the priority; "" matches everything. */
  readonly match: string;
  readonly actions: string;
  /** Seconds; 0: none. */
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly importance: number;
  readonly flags: readonly string[];
  readonly durationSeconds: number;
  /** Seconds since a packet hit it, or since it was made. */
  readonly idleAgeSeconds: number;
  /** Null where the flow does not count. */
  readonly packets: number | null;
  readonly bytes: number | null;
}

/** What tells a bridge's flows apart. */
export interface FlowName {
  readonly table: number;
  readonly priority: number;
  /** As in `FlowView`. */
  readonly match: string;
}

export interface MacView {
  readonly mac: string;
  readonly vlan: number;
  readonly port: number | null;
  readonly portName: string | null;
  /** Null: it does not age. */
  readonly ageSeconds: number | null;
  /** IP addresses that the host was heard to have. */
  readonly addresses: readonly string[];
}

export interface ConnectionView {
  readonly peer: string;
  readonly kind: string;
  /** As `OpenFlow13`. */
  readonly version: string;
  readonly role: string;
  readonly packetInsDropped: number;
  readonly badMessages: number;
}

export interface Operate {
  has(bridge: string): boolean;
  /** `filter`: as `ovs-ofctl dump-flows` takes it. */
  flows(bridge: string, filter: string): readonly FlowView[];
  /** Another one whenever the bridge's flows are others, whoever changed them. */
  flowsRevision(bridge: string): string;
  /** The text of `ovs-ofctl dump-flows`. */
  flowsText(bridge: string, filter: string): string;
  /** The flow as it would be added; an OperateError says why it would not. */
  checkFlow(bridge: string, flow: string): FlowName & { readonly actions: string };
  /** Returns how many flows the bridge has afterwards. */
  changeFlows(bridge: string, command: FlowCommand, flows: readonly string[]): Promise<number>;
  groups(bridge: string): readonly GroupView[];
  groupsText(bridge: string): string;
  /** One group, as `ovs-ofctl` takes it. */
  changeGroup(bridge: string, command: GroupCommand, group: string): Promise<void>;
  meters(bridge: string): readonly MeterView[];
  metersText(bridge: string): string;
  changeMeter(bridge: string, command: MeterCommand, meter: string): Promise<void>;
  macs(bridge: string): readonly MacView[];
  macsText(bridge: string): string;
  connections(bridge: string): readonly ConnectionView[];
  /** As `ovs-appctl dpctl/dump-flows` writes them; of one bridge or all, or made from one flow. */
  datapathFlows(bridge?: string, of?: FlowName): readonly string[];
  counters(): Readonly<Record<string, number>>;
}

export interface OperateContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly backend: () => Backend | undefined;
  readonly counters: () => Readonly<Record<string, number>>;
}

const FLAGS: readonly (readonly [number, string])[] = [
  [FLOW_FLAGS.SEND_FLOW_REM, "send_flow_rem"],
  [FLOW_FLAGS.CHECK_OVERLAP, "check_overlap"],
  [FLOW_FLAGS.RESET_COUNTS, "reset_counts"],
  [FLOW_FLAGS.NO_PKT_COUNTS, "no_packet_counts"],
  [FLOW_FLAGS.NO_BYT_COUNTS, "no_byte_counts"],
];

export function openOperate(context: OperateContext): Operate {
  const find = (name: string): Bridge => {
    const bridge = context.bridges().get(name);
    if (bridge !== undefined) return bridge;
    throw new OperateError(`bridge ${JSON.stringify(name)} is not running`);
  };
  // A bridge that is made anew, or by another process, begins to count again.
  const marks = new WeakMap<Bridge, string>();
  const markOf = (bridge: Bridge): string => {
    const mark = marks.get(bridge) ?? crypto.randomUUID();
    marks.set(bridge, mark);
    return mark;
  };
  return {
    has: (name) => context.bridges().has(name),
    flowsRevision(name) {
      const bridge = find(name);
      return `${markOf(bridge)} ${bridge.tables.revision}`;
    },
    flows(name, filter) {
      const bridge = find(name);
      const now = bridge.clock.now();
      return select(bridge, filter).map((rule) => viewOf(rule, now));
    },
    flowsText(name, filter) {
      const bridge = find(name);
      const now = bridge.clock.now();
      // What ovs-ofctl gets over OpenFlow 1.0 with Nicira's extensions, which carry no flags.
      const lines = select(bridge, filter).map((rule) =>
        ` ${formatFlow({ ...describeRule(rule, now), flags: 0, importance: 0 })}\n`
      );
      return `NXST_FLOW reply (xid=0x4):\n${lines.join("")}`;
    },
    async changeFlows(name, command, texts) {
      const bridge = find(name);
      const names = namesOf(bridge);
      const mods = texts.map((text, i) => guarded(i, () => parseFlow(text, { command, names })));
      bridge.tables.transaction(() => {
        mods.forEach((mod, i) => guarded(i, () => apply(bridge, mod)));
      });
      await bridge.settle();
      return bridge.tables.shown;
    },
    checkFlow(name, text) {
      const names = namesOf(find(name));
      const mod = guarded(undefined, () => parseFlow(text, { command: "add", names }));
      guarded(undefined, () => verify(mod));
      const { table, priority, match, actions } = mod;
      return {
        // A flow without a table goes into the first.
        table: table === 0xff ? 0 : table,
        priority,
        match: formatMatch(match),
        actions: formatActions(actions),
      };
    },
    groups: (name) => groupViews(find(name)),
    groupsText: (name) => groupsText(find(name)),
    async changeGroup(name, command, text) {
      const bridge = find(name);
      guarded(undefined, () => changeGroup(bridge, command, text, namesOf(bridge)));
      await bridge.settle();
    },
    meters: (name) => meterViews(find(name)),
    metersText: (name) => metersText(find(name)),
    async changeMeter(name, command, text) {
      const bridge = find(name);
      guarded(undefined, () => changeMeter(bridge, command, text));
      await bridge.settle();
    },
    macs: (name) => macsOf(find(name)),
    macsText(name) {
      const rows = macsOf(find(name)).map(({ port, vlan, mac, ageSeconds }) =>
        `${String(port ?? "LOCAL").padStart(5)}  ${String(vlan).padStart(4)}  ${mac}  ${
          ageSeconds === null ? "static" : String(ageSeconds).padStart(3)
        }\n`
      );
      return ` port  VLAN  MAC                Age\n${rows.join("")}`;
    },
    connections: (name) =>
      [...find(name).agents].map((agent) => ({
        peer: agent.connection.peer,
        kind: agent.kind,
        version: VERSION_NAMES[agent.version],
        role: agent.role,
        packetInsDropped: agent.connection.counters.packetInsDropped,
        badMessages: agent.connection.counters.badMessages,
      })),
    datapathFlows(name, of) {
      const only = name === undefined ? undefined : find(name);
      const maker = only === undefined || of === undefined ? undefined : ruleOf(only, of);
      if (of !== undefined && maker === undefined) {
        throw new OperateError("there is no such flow (any more)");
      }
      const backend = context.backend();
      if (backend === undefined) return [];
      const { cache, clock } = backend;
      cache.readStats();
      const lines: string[] = [];
      for (const flow of cache.flows) {
        if (maker !== undefined) {
          // Through patches, a flow of one bridge makes datapath flows of another.
          const uses = flow.effects.some((each) => each.type === "rule" && each.rule === maker);
          if (!uses) continue;
        } else if (only !== undefined && flow.bridge !== only) continue;
        const layer = cache.flows.layer(flow);
        lines.push(formatMegaflow(flow, cache.flows.dpMatch(flow), clock.now(), { layer }));
      }
      return lines;
    },
    counters: () => context.counters(),
  };
}

function select(bridge: Bridge, filter: string): Rule[] {
  return guarded(undefined, () => {
    const request = parseFlowRequest(filter, { names: namesOf(bridge) });
    return [...bridge.tables.select(request)];
  });
}

function ruleOf(bridge: Bridge, { table, priority, match }: FlowName): Rule | undefined {
  return select(bridge, `table=${table}`).find((rule) =>
    rule.priority === priority && formatMatch(rule.match()) === match
  );
}

function apply(bridge: Bridge, mod: FlowMod): void {
  verify(mod);
  bridge.tables.apply(mod);
}

/** Throws unless the flow can be one. */
function verify(mod: FlowMod): void {
  if (mod.flags & FLOW_FLAGS.EMERGENCY) throw new OperateError("there is no emergency flow table");
  // The text says matches that no message can carry (tp_dst without a protocol): as a message, each
  // field is checked for what it needs.
  const writer = new Writer();
  const length = writeNxMatch(writer, mod.match);
  const { match } = readNxMatch(new Reader(writer.finish(), "OFPBMC_BAD_LEN"), length);
  if (Buffer.compare(match.mask.bytes, mod.match.mask.bytes) !== 0) {
    throw new OperateError(
      `${formatMatch(mod.match)}: a field needs another one that says what kind of packet it is ` +
        "in (tp_dst needs tcp, udp or sctp; nw_src needs ip or arp)",
    );
  }
  checkActions(mod.actions, mod.match, { table: mod.table, lenient: false });
}

function guarded<T>(index: number | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof OperateError && error.index === undefined && index !== undefined) {
      throw new OperateError(error.message, index);
    }
    if (error instanceof TextError) throw new OperateError(error.message, index);
    if (error instanceof OfError) {
      throw new OperateError(`${error.error}: ${error.message}`, index);
    }
    throw error;
  }
}

function namesOf(bridge: Bridge): PortNames {
  return {
    nameOf: (port) => bridge.ports.get(port)?.name,
    numberOf: (name) => bridge.portByName(name)?.ofport,
  };
}

function viewOf(rule: Rule, now: number): FlowView {
  const stats = describeRule(rule, now);
  return {
    table: stats.table,
    priority: stats.priority,
    cookie: `0x${stats.cookie.toString(16)}`,
    match: formatMatch(stats.match),
    actions: formatActions(stats.actions),
    idleTimeout: stats.idleTimeout,
    hardTimeout: stats.hardTimeout,
    importance: stats.importance,
    flags: FLAGS.filter(([bit]) => stats.flags & bit).map(([, word]) => word),
    durationSeconds: stats.durationSeconds,
    idleAgeSeconds: stats.idleAge ?? 0,
    packets: stats.packets === undefined ? null : Number(stats.packets),
    bytes: stats.bytes === undefined ? null : Number(stats.bytes),
  };
}

function macsOf(bridge: Bridge): MacView[] {
  const now = bridge.clock.now();
  return [...bridge.macs.entries()].map((entry) => {
    const port = entry.bundle.members[0]?.ofport;
    const mac = formatMac(macBytes(entry.mac));
    return {
      mac,
      addresses: bridge.backend.addresses.of(mac),
      vlan: entry.vlan,
      port: port ?? null,
      portName: port === undefined ? null : bridge.ports.get(port)?.name ?? null,
      ageSeconds: entry.static ? null : Math.max(0, Math.floor((now - entry.seenMs) / 1000)),
    };
  });
}
