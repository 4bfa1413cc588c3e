/**
 * The agent of one OpenFlow connection: its state, and an answer to each of its requests.
 *
 * - Every request gets its reply or exactly one error; a message that a switch never takes is
 *   OFPBRC_BAD_TYPE (BAD_STAT for a multipart one). The compiler checks that no message type is
 *   forgotten.
 * - A request that throws `OfError` changed nothing, and the error is its answer.
 * - Requests run in the order in which they came. Only a barrier takes time: its reply is sent when
 *   the datapath has caught up, and later requests wait for that.
 * - What is asked about what: requests/*.ts, one file a topic.
 *
 * Kinds of connections: a *primary* one belongs to a controller that the bridge depends on; a
 * *service* one (BRIDGE.mgmt, `type=service`, passive listeners) gets no asynchronous message until
 * it sets a miss_send_len.
 *
 * References: OpenFlow 1.0.1 §5.3–5.5, 1.3.5 §7; Open vSwitch `ofproto/ofproto.c`, `connmgr.c`.
 */
import type { Logger } from "../../log/log.ts";
import { decode, encode } from "../../openflow/codec.ts";
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type {
  AsyncKind,
  Decoded,
  OfMessage,
  Role,
  SetPacketInFormat,
} from "../../openflow/messages/types.ts";
import { OF13, type OfVersion } from "../../openflow/version.ts";
import type { Agents } from "./agents.ts";
import { type AsyncTable, defaultAsync, NO_ASYNC } from "./async-config.ts";
import { PacketBuffers } from "./buffers.ts";
import { ErrorLog } from "./error-log.ts";
import { FlowModLog } from "./flow-mod-log.ts";
import { FlowMonitors } from "./flow-monitors.ts";
import { Bundles } from "./bundles.ts";
import type { Connection } from "./connection.ts";
import { Multipart } from "./multipart.ts";
import { type RateLimit, RateLimits } from "./rate-limit.ts";
import { answerBundleAdd, answerBundleControl } from "./requests/bundles.ts";
import { answerFlowMod, answerFlowStats } from "./requests/flows.ts";
import { answerGroupFeatures, answerGroupRequest, applyGroupMod } from "./requests/groups.ts";
import { answerMeterFeatures, answerMeterRequest, applyMeterMod } from "./requests/meters.ts";
import { answerFlowMonitors } from "./requests/monitors.ts";
import { answerPacketOut, answerResume } from "./requests/packets.ts";
import { answerBundleFeatures, answerControllerStatus } from "./requests/controllers.ts";
import {
  answerFlush,
  answerFlushZone,
  answerIpfix,
  answerTlvMod,
  answerTlvTable,
} from "./requests/extensions.ts";
import { answerPortMod, answerPortRequest, answerQueueRequest } from "./requests/ports.ts";
import { answerGetAsync, answerRole, answerSetAsync, rejectSecondary } from "./requests/roles.ts";
import { answerDesc, answerFeatures, answerGetConfig, answerSetConfig } from "./requests/switch.ts";
import {
  answerTableDesc,
  answerTableFeatures,
  answerTableMod,
  answerTableStats,
} from "./requests/tables.ts";
import type { Switch } from "./switch.ts";

/** OFP_DEFAULT_MISS_SEND_LEN. */
export const DEFAULT_MISS_SEND_LENGTH = 128;

export type AgentKind = "primary" | "service";

export interface AgentOptions {
  readonly kind: AgentKind;
  readonly bridge: Switch;
  readonly agents: Agents;
  readonly connection: Connection;
  readonly version: OfVersion;
  readonly log: Logger;
  /** `Controller.enable_async_messages`. */
  readonly enableAsync: boolean;
  /** Packet-ins that may wait to be sent; more are dropped. */
  readonly packetInQueue: number;
  /** Packet-ins a second; undefined: as many as there are. */
  readonly rateLimit?: RateLimit | undefined;
}

export class Agent {
  readonly kind: AgentKind;
  readonly bridge: Switch;
  readonly agents: Agents;
  readonly connection: Connection;
  readonly version: OfVersion;
  readonly log: Logger;
  readonly packetInQueue: number;
  readonly buffers: PacketBuffers;
  readonly bundles: Bundles;
  readonly monitors: FlowMonitors;
  readonly rateLimits: RateLimits;
  readonly flowMods: FlowModLog;
  /** Of the request that is being answered. */
  requestXid = 0;
  role: Exclude<Role, "nochange"> = "equal";
  async: AsyncTable;
  missSendLength: number;
  packetInFormat: SetPacketInFormat["format"] = "standard";
  flowFormat: "openflow10" | "nxm" = "openflow10";
  controllerId = 0;
  /** OpenFlow 1.5: the number that the controller gave itself. */
  shortId: number | undefined;
  private readonly multipart: Multipart;
  private readonly errors: ErrorLog;

  constructor(options: AgentOptions) {
    this.kind = options.kind;
    this.bridge = options.bridge;
    this.agents = options.agents;
    this.connection = options.connection;
    this.version = options.version;
    this.log = options.log;
    this.packetInQueue = options.packetInQueue;
    this.buffers = new PacketBuffers(options.bridge.clock, options.bridge.packetBuffers);
    this.bundles = new Bundles(
      options.bridge.clock,
      (bytes) => decode(bytes, { tunnelFields: this.agents.tlvTable }).message,
      (opening) => this.connection.sendError(opening, "OFPBFC_TIMEOUT"),
      () => options.bridge.bundleIdleMs,
    );
    this.flowMods = new FlowModLog(options.bridge.clock, options.log, () => this.name);
    this.errors = new ErrorLog(options.bridge.clock);
    this.rateLimits = new RateLimits(options.bridge.clock, options.rateLimit);
    this.monitors = new FlowMonitors(options.bridge.tables, this);
    this.missSendLength = options.kind === "primary" ? DEFAULT_MISS_SEND_LENGTH : 0;
    this.async = options.enableAsync ? defaultAsync(this.version) : NO_ASYNC;
    this.multipart = new Multipart(options.bridge.clock, (part, error) => {
      this.connection.sendError(part, error);
    });
  }

  get name(): string {
    return `${this.bridge.name}<->${this.connection.peer}`;
  }

  /** The connection is gone. */
  close(): void {
    this.bundles.clear();
    this.monitors.clear();
    this.multipart.clear();
    this.rateLimits.close();
    this.flowMods.close();
  }

  /** True if the connection wants asynchronous messages of this kind and reason. */
  wants(kind: AsyncKind, reasonBit: number): boolean {
    if (!this.connection.isOpen) return false;
    if (this.kind === "service" && this.missSendLength === 0) return false;
    const masks = this.async[kind];
    return ((this.role === "secondary" ? masks.secondary : masks.primary) & reasonBit) !== 0;
  }

  /** Sends a reply; throws OfError if the connection's version cannot say it. */
  send(message: OfMessage, xid: number): void {
    this.connection.send(message, xid);
  }

  /** Sends an asynchronous message; one that the version cannot say is left out. Its xid is 0. */
  notify(message: OfMessage): void {
    try {
      this.connection.send(message, 0);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.log.dbg(`${this.name}: cannot send a ${message.type}: ${error.message}`);
    }
  }

  /** A message as the connection's version says it; undefined if that cannot. */
  encode(message: OfMessage, xid: number): Uint8Array | undefined {
    try {
      const { tlvTable: tunnelFields } = this.agents;
      return encode(this.version, xid, message, false, { tunnelFields });
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      return undefined;
    }
  }

  /** Answers one request. Never throws for anything that a peer can cause. */
  handle(decoded: Decoded, bytes: Uint8Array): void | Promise<void> {
    try {
      return this.dispatch(decoded, bytes)?.catch((error: unknown) => this.refuse(error, bytes));
    } catch (error) {
      this.refuse(error, bytes);
    }
  }

  private refuse(error: unknown, bytes: Uint8Array): void {
    if (!(error instanceof OfError)) throw error;
    this.sendError(bytes, error);
  }

  /** Answers `request` with an error. */
  sendError(request: Uint8Array, error: OfError): void {
    this.errors.tell((behind) =>
      this.log.info(
        `${this.name}: sending ${error.error} error reply: ${error.message}${behind}`,
      )
    );
    this.connection.sendError(request, error.error);
  }

  private dispatch(decoded: Decoded, bytes: Uint8Array): void | Promise<void> {
    const whole = decoded.version >= OF13 && isMultipart(bytes)
      ? this.multipart.add(decoded, bytes)
      : decoded;
    if (!whole) return;
    const { message, xid } = whole;
    this.requestXid = xid;
    switch (message.type) {
      case "features_request":
        return answerFeatures(this, xid);
      case "get_config_request":
        return answerGetConfig(this, xid);
      case "set_config":
        return answerSetConfig(this, message);
      case "desc_request":
        return answerDesc(this, xid);

      case "flow_mod":
        rejectSecondary(this);
        return answerFlowMod(this, message, bytes);
      case "flow_stats_request":
      case "flow_counts_request":
      case "aggregate_stats_request":
        return answerFlowStats(this, message, xid);

      case "table_stats_request":
        return answerTableStats(this, xid);
      case "table_features_request":
        return answerTableFeatures(this, message, xid);
      case "table_desc_request":
        return answerTableDesc(this, xid);
      case "table_mod":
        rejectSecondary(this);
        return answerTableMod(this, message);

      case "port_mod":
        rejectSecondary(this);
        return answerPortMod(this, message);
      case "port_stats_request":
      case "port_desc_request":
        return answerPortRequest(this, message, xid);
      case "queue_stats_request":
      case "queue_get_config_request":
        return answerQueueRequest(this, message, xid);

      case "packet_out":
        rejectSecondary(this);
        return answerPacketOut(this, message);

      case "barrier_request":
        return this.bridge.settle().then(() => this.send({ type: "barrier_reply" }, xid));

      case "role_request":
        return answerRole(this, message, xid);
      case "set_async":
        return answerSetAsync(this, message);
      case "get_async_request":
        return answerGetAsync(this, xid);

      case "set_flow_format":
        this.flowFormat = message.format;
        return;
      case "flow_mod_table_id":
        this.connection.flowModTableId = message.enabled;
        return;
      case "set_packet_in_format":
        this.packetInFormat = message.format;
        return;
      case "set_controller_id":
        this.controllerId = message.controllerId;
        return;
      case "flow_age":
        return;

      case "error":
        this.log.info(`${this.name}: received an error message: ${describeError(message.error)}`);
        return;

      case "bundle_control":
        return answerBundleControl(this, message, xid, bytes);
      case "bundle_add":
        return answerBundleAdd(this, message, bytes);

      case "group_mod":
        rejectSecondary(this);
        applyGroupMod(this, message);
        return this.agents.forwardRequest(message, xid, this);
      case "group_stats_request":
      case "group_desc_request":
        return answerGroupRequest(this, message, xid);
      case "group_features_request":
        return answerGroupFeatures(this, xid);

      case "flow_monitor_request":
        return answerFlowMonitors(this, message, xid);
      case "flow_monitor_cancel":
        return this.monitors.cancel(message.id);

      case "meter_mod":
        rejectSecondary(this);
        applyMeterMod(this, message);
        this.bridge.keptFlows.metersChanged();
        return this.agents.forwardRequest(message, xid, this);
      case "meter_stats_request":
      case "meter_config_request":
        return answerMeterRequest(this, message, xid);
      case "meter_features_request":
        return answerMeterFeatures(this, xid);

      case "ipfix_bridge_request":
      case "ipfix_flow_request":
        return answerIpfix(this, message.type === "ipfix_flow_request" ? "flow" : "bridge", xid);
      case "tlv_table_mod":
        return answerTlvMod(this, message);
      case "tlv_table_request":
        return answerTlvTable(this, xid);
      case "ct_flush_zone":
        return answerFlushZone(this, message);
      case "ct_flush":
        return answerFlush(this, message);
      case "resume":
        rejectSecondary(this);
        return answerResume(this, message);
      case "controller_status_request":
        return answerControllerStatus(this, xid);
      case "bundle_features_request":
        return answerBundleFeatures(this, xid);
      case "unsupported":
        throw refused(message.error, message.name);

      case "desc_reply":
      case "flow_stats_reply":
      case "aggregate_stats_reply":
      case "table_stats_reply":
      case "port_stats_reply":
      case "queue_stats_reply":
      case "port_desc_reply":
      case "group_stats_reply":
      case "group_desc_reply":
      case "group_features_reply":
      case "meter_stats_reply":
      case "meter_config_reply":
      case "meter_features_reply":
      case "table_features_reply":
      case "table_desc_reply":
      case "flow_monitor_reply":
      case "flow_counts_reply":
      case "controller_status_reply":
      case "bundle_features_reply":
      case "ipfix_bridge_reply":
      case "ipfix_flow_reply":
        throw refused("OFPBRC_BAD_STAT", message.type);
      case "hello":
      case "echo_request":
      case "echo_reply":
      case "features_reply":
      case "get_config_reply":
      case "port_status":
      case "packet_in":
      case "flow_removed":
      case "barrier_reply":
      case "queue_get_config_reply":
      case "role_reply":
      case "role_status":
      case "table_status":
      case "requestforward":
      case "get_async_reply":
      case "flow_monitor_paused":
      case "flow_monitor_resumed":
      case "controller_status":
      case "tlv_table_reply":
        throw refused("OFPBRC_BAD_TYPE", message.type);
      default: {
        const never: never = message;
        throw new Error(`message ${JSON.stringify(never)}`);
      }
    }
  }
}

/** A request or reply of OFPT_MULTIPART; 1.0 calls it statistics, and has no parts. */
const MULTIPART_REQUEST = 18;
function isMultipart(bytes: Uint8Array): boolean {
  return bytes[1] === MULTIPART_REQUEST;
}

function refused(error: ErrorName, what: string): OfError {
  return new OfError(error, 1, `${what.replaceAll("_", " ")} is not supported`);
}

function describeError(error: Extract<OfMessage, { type: "error" }>["error"]): string {
  return typeof error === "string"
    ? error
    : `vendor ${error.vendor} type ${error.type} code ${error.code}`;
}
