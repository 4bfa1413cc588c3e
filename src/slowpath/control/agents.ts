/**
 * All connections of one bridge, and what goes to several of them: packet-ins, port status,
 * flow-removed messages. The election of the primary controller is theirs together.
 */
import type {
  ControllerStatus,
  FlowRemoved,
  GroupMod,
  MeterMod,
  PortDescription,
  PortStatus,
  TableDesc,
  TableStatus,
} from "../../openflow/messages/types.ts";
import { OF12, OF13, OF14, OF15 } from "../../openflow/version.ts";
import type { PacketIn } from "../pipeline/model.ts";
import type { FlowTables, TablesChange } from "../pipeline/tables.ts";
import type { Agent } from "./agent.ts";
import {
  CONTROLLER_STATUS_BITS,
  flowRemovedBit,
  packetInBit,
  PORT_STATUS_BITS,
  REQUESTFORWARD_BITS,
  TABLE_STATUS_BITS,
} from "./async-config.ts";
import { deliverPacketIn } from "./packet-in.ts";
import { PacketMetadata } from "./packet-metadata.ts";
import { tellMonitors } from "./requests/monitors.ts";
import { TlvTable } from "./tlv-table.ts";
import { describeTable } from "./requests/tables.ts";

/** A configured controller, connected or not. */
export interface ControllerState {
  readonly target: string;
  readonly connected: boolean;
  readonly agent: Agent | undefined;
}

function describeController(
  { target, connected, agent }: ControllerState,
  reason: ControllerStatus["reason"],
): ControllerStatus {
  const role = agent?.role ?? "nochange";
  return { shortId: agent?.shortId ?? 0, role, reason, channelUp: connected, uri: target };
}

export class Agents {
  private readonly agents = new Set<Agent>();
  /** The newest generation id that any controller gave (OpenFlow 1.3.5 §6.3.6). */
  generationId: bigint | undefined;
  /** Which tunnel option each `tun_metadata` field is. */
  readonly tlvTable: TlvTable;
  /** What goes along with packets. */
  readonly metadata: PacketMetadata;
  /** OpenFlow 1.5: every controller that is configured, connected or not; the services tell. */
  controllers: () => readonly ControllerState[] = () => [];
  private missesWanted = false;

  /** `onChange` is called when translation could see it: controllers and `wantsMisses`. */
  constructor(
    private readonly onChange: () => void,
    usesTunnelField: (index: number) => boolean = () => false,
    tunnelOptionsChanged: () => void = onChange,
  ) {
    this.tlvTable = new TlvTable(usesTunnelField, tunnelOptionsChanged);
    this.metadata = new PacketMetadata(this.tlvTable);
  }

  [Symbol.iterator](): Iterator<Agent> {
    return this.agents[Symbol.iterator]();
  }

  add(agent: Agent): void {
    this.agents.add(agent);
    if (agent.kind === "primary") this.onChange();
    this.changed();
  }

  remove(agent: Agent): void {
    this.agents.delete(agent);
    agent.close();
    if (agent.kind === "primary") this.onChange();
    this.changed();
  }

  /** To be called when an agent's role, async configuration or miss_send_len changed. */
  changed(): void {
    const wanted = [...this.agents].some((agent) =>
      agent.version <= OF12 && agent.controllerId === 0 &&
      agent.wants("packet_in", packetInBit("implicit_miss", agent.version))
    );
    if (wanted === this.missesWanted) return;
    this.missesWanted = wanted;
    this.onChange();
  }

  /** True while some connection of a version before 1.3 takes packets that match nothing. */
  get wantsMisses(): boolean {
    return this.missesWanted;
  }

  /** False if `id` is older than one seen before; they wrap around. */
  acceptGeneration(id: bigint): boolean {
    if (this.generationId !== undefined && BigInt.asIntN(64, id - this.generationId) < 0n) {
      return false;
    }
    this.generationId = id;
    return true;
  }

  /** There is one primary: whoever was it becomes secondary. */
  demotePrimary(): void {
    const { generationId } = this;
    for (const agent of this.agents) {
      if (agent.role !== "primary") continue;
      agent.role = "secondary";
      this.controllerStatus(agent, "role");
      if (agent.version < OF13) continue;
      agent.notify({
        type: "role_status",
        ...(agent.version === OF13 && { form: "onf" }),
        role: "secondary",
        reason: "primary_request",
        ...(generationId !== undefined && { generationId }),
      });
    }
  }

  /** How each controller is doing (OpenFlow 1.5). */
  controllerStatuses(): ControllerStatus[] {
    return this.controllers().map((state) => describeController(state, "request"));
  }

  /** Tells who wants to know that something about a controller is another now. */
  controllerStatus(agent: Agent, reason: ControllerStatus["reason"]): void {
    const state = this.controllers().find((controller) => controller.agent === agent);
    if (state) this.controllerChanged(state, reason);
  }

  controllerChanged(state: ControllerState, reason: ControllerStatus["reason"]): void {
    const bit = CONTROLLER_STATUS_BITS[reason];
    for (const agent of this.agents) {
      if (agent.version < OF15 || !agent.wants("controller_status", bit)) continue;
      agent.notify({ type: "controller_status", ...describeController(state, reason) });
    }
  }

  /** Tells the other connections that want to know of a group-mod or meter-mod (OpenFlow 1.4). */
  forwardRequest(message: GroupMod | MeterMod, xid: number, source: Agent): void {
    const reason = REQUESTFORWARD_BITS[message.type];
    for (const agent of this.agents) {
      if (agent === source || !agent.wants("requestforward", reason)) continue;
      const { version } = agent;
      const form = version < OF13 ? "nicira" : version === OF13 ? "onf" : undefined;
      const inner = agent.encode(message, xid);
      if (inner) agent.notify({ type: "requestforward", ...(form && { form }), inner });
    }
  }

  /** So much or so little of a table is free that it has to be told (OpenFlow 1.4.1 §7.4.5). */
  tableStatus(reason: TableStatus["reason"], desc: TableDesc): void {
    for (const agent of this.agents) {
      if (agent.version >= OF14 && agent.wants("table_status", TABLE_STATUS_BITS[reason])) {
        agent.notify({ type: "table_status", reason, desc });
      }
    }
  }

  /** Told of every packet-in, beside the connections: for people who watch. */
  readonly packetInListeners = new Set<(packetIn: PacketIn) => void>();

  packetIn(packetIn: PacketIn): void {
    for (const listener of this.packetInListeners) listener(packetIn);
    for (const agent of this.agents) deliverPacketIn(agent, packetIn);
  }

  portStatus(reason: "add" | "delete", description: PortDescription): void {
    for (const agent of this.agents) {
      if (agent.wants("port_status", PORT_STATUS_BITS[reason])) {
        agent.notify({ type: "port_status", reason, description });
      }
    }
  }

  /**
   * `source` is the connection whose port-mod caused the change: before OpenFlow 1.5 it is not told
   * what it did itself. A change that an agent's version cannot show is not told to it.
   */
  portModified(before: PortDescription, now: PortDescription, source?: object): void {
    const status = (description: PortDescription): PortStatus => ({
      type: "port_status",
      reason: "modify",
      description,
    });
    for (const agent of this.agents) {
      if (agent === source && agent.version < OF15) continue;
      if (!agent.wants("port_status", PORT_STATUS_BITS.modify)) continue;
      const [old, message] = [agent.encode(status(before), 0), agent.encode(status(now), 0)];
      if (!old || !message || Buffer.compare(old, message) !== 0) agent.notify(status(now));
    }
  }

  /** Rules that went, those of them that said OFPFF_SEND_FLOW_REM. */
  tablesChanged(tables: FlowTables, changes: readonly TablesChange[], nowMs: number): void {
    if (this.agents.size === 0) return;
    for (const agent of this.agents) tellMonitors(agent, changes);
    for (const change of changes) {
      if (change.event === "vacancy") {
        this.tableStatus(change.reason, describeTable(tables, change.table));
      }
      if (change.event !== "removed" || !change.rule.sendsFlowRemoved || change.rule.hidden) {
        continue;
      }
      const { rule, reason } = change;
      const ageMs = Math.max(0, Math.floor(nowMs - rule.createdMs));
      const message: FlowRemoved = {
        type: "flow_removed",
        match: rule.match(),
        cookie: rule.cookie,
        priority: rule.priority,
        reason,
        table: rule.table,
        durationSeconds: Math.floor(ageMs / 1000),
        durationNanoseconds: (ageMs % 1000) * 1e6,
        idleTimeout: rule.idleTimeout,
        hardTimeout: rule.hardTimeout,
        packets: BigInt(rule.packets),
        bytes: BigInt(rule.bytes),
      };
      for (const agent of this.agents) {
        if (!agent.wants("flow_removed", flowRemovedBit(reason))) continue;
        agent.notify(agent.flowFormat === "nxm" ? { ...message, form: "nicira" } : message);
      }
    }
  }
}
