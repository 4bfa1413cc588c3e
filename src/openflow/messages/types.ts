/**
 * OpenFlow messages as plain records, the same for every version.
 *
 * `OfMessage` is a union by `type`. What differs by version stays in the codec: 32-bit port numbers
 * become Open vSwitch's 16-bit ones, matches become `Match` (pipeline keys, with the OpenFlow port
 * number in `in_port`), errors become names. Where one thing has a standard and an extension form
 * on the wire, `form` says which (absent = the version's own), and a reply must repeat its
 * request's. Counters are bigints; undefined means "not known" (all ones on the wire).
 * Multipart parts carry `more` in the envelope (codec.ts), not in the record.
 */
import type { Match } from "../../packet/key.ts";
import type { Action, PacketInReason } from "../actions/types.ts";
import type { ErrorName } from "../errors.ts";
import type { OfVersion } from "../version.ts";

/** Which wire form of a message with several: the version's own (absent), Nicira's, or ONF's. */
export type WireForm = "nicira" | "onf";
interface Form {
  readonly form?: WireForm;
}

export interface Hello {
  readonly type: "hello";
  /** Bit N set: wire version N is supported. */
  readonly versions: number;
}

export interface ErrorMessage {
  readonly type: "error";
  /** The error's name, or the raw numbers of one this version does not define (decoding only). */
  readonly error: ErrorName | {
    readonly vendor: number;
    readonly type: number;
    readonly code: number;
  };
  /** At least the first 64 bytes of the message at fault; for a failed hello, a text. */
  readonly data: Uint8Array;
}

export interface Echo {
  readonly type: "echo_request" | "echo_reply";
  readonly data: Uint8Array;
}

/** Requests and replies with no content. */
export interface Bare {
  readonly type:
    | "features_request"
    | "get_config_request"
    | "barrier_request"
    | "barrier_reply"
    | "get_async_request"
    | "flow_age"
    | "desc_request"
    | "table_stats_request"
    | "table_desc_request"
    | "group_features_request"
    | "meter_features_request"
    | "tlv_table_request"
    | "ipfix_bridge_request"
    | "ipfix_flow_request";
}

/** Capability bits of a features reply, in OpenFlow 1.3's layout (1.0's own bits mapped). */
export const CAPABILITIES = {
  FLOW_STATS: 1 << 0,
  TABLE_STATS: 1 << 1,
  PORT_STATS: 1 << 2,
  /** OpenFlow 1.1+. */
  GROUP_STATS: 1 << 3,
  /** OpenFlow 1.0 only. */
  STP: 1 << 4,
  IP_REASM: 1 << 5,
  QUEUE_STATS: 1 << 6,
  /** OpenFlow 1.0 and 1.1. */
  ARP_MATCH_IP: 1 << 7,
  /** OpenFlow 1.2+. */
  PORT_BLOCKED: 1 << 8,
  BUNDLES: 1 << 9,
  FLOW_MONITORING: 1 << 10,
} as const;

export interface FeaturesReply {
  readonly type: "features_reply";
  readonly datapathId: bigint;
  readonly buffers: number;
  readonly tables: number;
  /** 0 for the main connection. */
  readonly auxiliaryId: number;
  /** `CAPABILITIES` bits; those that a version lacks are left out of its encoding. */
  readonly capabilities: number;
  /** OpenFlow 1.0 only: bitmap of action types, `SUPPORTED_ACTIONS_10` when encoding. */
  readonly actions: number;
  /** OpenFlow 1.0 to 1.2; empty in later versions, which have `port_desc`. */
  readonly ports: readonly PortDescription[];
}

export interface SwitchConfig {
  readonly type: "get_config_reply" | "set_config";
  readonly fragments: "normal" | "drop" | "reassemble" | "nx-match";
  /** OpenFlow 1.0 to 1.2: the OFPC_INVALID_TTL_TO_CONTROLLER bit. Undefined: version lacks it. */
  readonly invalidTtlToController?: boolean;
  readonly missSendLength: number;
}

/** Bits of `PortDescription.config`: Open vSwitch's, each version's own mapped. */
export const PORT_CONFIG = {
  PORT_DOWN: 1 << 0,
  NO_STP: 1 << 1,
  NO_RECV: 1 << 2,
  NO_RECV_STP: 1 << 3,
  NO_FLOOD: 1 << 4,
  NO_FWD: 1 << 5,
  NO_PACKET_IN: 1 << 6,
} as const;

export const PORT_STATE = {
  LINK_DOWN: 1 << 0,
  BLOCKED: 1 << 1,
  LIVE: 1 << 2,
  STP_LISTEN: 0 << 8,
  STP_LEARN: 1 << 8,
  STP_FORWARD: 2 << 8,
  STP_BLOCK: 3 << 8,
  STP_MASK: 3 << 8,
} as const;

/** Bits of current, advertised, supported and peer features, in OpenFlow 1.1+'s layout. */
export const PORT_FEATURES = {
  "10MB-HD": 1 << 0,
  "10MB-FD": 1 << 1,
  "100MB-HD": 1 << 2,
  "100MB-FD": 1 << 3,
  "1GB-HD": 1 << 4,
  "1GB-FD": 1 << 5,
  "10GB-FD": 1 << 6,
  "40GB-FD": 1 << 7,
  "100GB-FD": 1 << 8,
  "1TB-FD": 1 << 9,
  OTHER: 1 << 10,
  COPPER: 1 << 11,
  FIBER: 1 << 12,
  AUTO_NEG: 1 << 13,
  AUTO_PAUSE: 1 << 14,
  AUTO_PAUSE_ASYM: 1 << 15,
} as const;

export interface PortDescription {
  readonly port: number;
  /** Six bytes. */
  readonly hwAddr: Uint8Array;
  /** At most 15 bytes on the wire (63 in NXT/1.4+ long names do not exist): longer is cut. */
  readonly name: string;
  readonly config: number;
  readonly state: number;
  readonly current: number;
  readonly advertised: number;
  readonly supported: number;
  readonly peer: number;
  /** kbit/s; OpenFlow 1.1+. */
  readonly currentSpeed: number;
  readonly maxSpeed: number;
}

export interface PortStatus {
  readonly type: "port_status";
  readonly reason: "add" | "delete" | "modify";
  readonly description: PortDescription;
}

export interface PortMod {
  readonly type: "port_mod";
  readonly port: number;
  readonly hwAddr: Uint8Array;
  readonly config: number;
  readonly mask: number;
  /** `PORT_FEATURES` bits, 0 = leave. */
  readonly advertise: number;
}

export interface PacketIn {
  readonly type: "packet_in";
  /** Absent: the version's own. "nicira": NXT_PACKET_IN, "nicira2": NXT_PACKET_IN2. */
  readonly form?: "nicira" | "nicira2";
  readonly reason: PacketInReason;
  readonly table: number;
  /** All ones: none. */
  readonly cookie: bigint;
  /** Undefined: the packet is not buffered. */
  readonly bufferId?: number;
  /** Bytes of the whole packet, of which `packet` may be the beginning. */
  readonly totalLength: number;
  readonly packet: Uint8Array;
  /** in_port, tunnel, metadata and register fields as they were. */
  readonly metadata: Match;
  /** NXT_PACKET_IN2 only. */
  readonly userdata?: Uint8Array;
  /** NXT_PACKET_IN2 only: the opaque properties with which NXT_RESUME continues. */
  readonly continuation?: Uint8Array;
}

/** NXT_RESUME: the packet-in goes back, changed or not, and the pipeline goes on. */
export interface Resume {
  readonly type: "resume";
  readonly packet: Uint8Array;
  readonly metadata: Match;
  readonly continuation: Uint8Array;
  readonly reason: PacketInReason;
  readonly table: number;
  readonly cookie: bigint;
  readonly userdata?: Uint8Array;
}

export interface PacketOut {
  readonly type: "packet_out";
  /** Undefined: the packet is in `packet`. */
  readonly bufferId?: number;
  readonly inPort: number;
  /** in_port and, from OpenFlow 1.5 on, other pipeline fields. */
  readonly metadata: Match;
  readonly actions: readonly Action[];
  readonly packet: Uint8Array;
}

export type FlowCommand = "add" | "modify" | "modify_strict" | "delete" | "delete_strict";

/** Bits of `FlowMod.flags` and `FlowStats.flags`. */
export const FLOW_FLAGS = {
  SEND_FLOW_REM: 1 << 0,
  CHECK_OVERLAP: 1 << 1,
  /** OpenFlow 1.0 only; refused by the switch. */
  EMERGENCY: 1 << 2,
  /** OpenFlow 1.2+; implied for add and modify in 1.0 and 1.1: `decode` sets it there. */
  RESET_COUNTS: 1 << 3,
  NO_PKT_COUNTS: 1 << 4,
  NO_BYT_COUNTS: 1 << 5,
} as const;

export interface FlowMod extends Form {
  readonly type: "flow_mod";
  readonly command: FlowCommand;
  /** 0xff: all tables when deleting; the switch's choice (table 0) when adding or modifying. */
  readonly table: number;
  readonly match: Match;
  readonly priority: number;
  /** modify and delete touch flows with `(flow.cookie & cookieMask) == cookie` only. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  /** The cookie given to added (and, with `modifyCookie`, modified) flows. */
  readonly newCookie: bigint;
  readonly modifyCookie: boolean;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  /** OpenFlow 1.4+. */
  readonly importance: number;
  readonly flags: number;
  readonly bufferId?: number;
  /** delete: only flows with an output to this port, ANY = do not care. */
  readonly outPort: number;
  readonly outGroup: number;
  readonly actions: readonly Action[];
}

export interface FlowRemoved extends Form {
  readonly type: "flow_removed";
  readonly match: Match;
  readonly cookie: bigint;
  readonly priority: number;
  readonly reason:
    | "idle_timeout"
    | "hard_timeout"
    | "delete"
    | "group_delete"
    | "meter_delete"
    | "eviction";
  readonly table: number;
  readonly durationSeconds: number;
  readonly durationNanoseconds: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
}

export interface DescReply {
  readonly type: "desc_reply";
  readonly manufacturer: string;
  readonly hardware: string;
  readonly software: string;
  readonly serial: string;
  readonly datapath: string;
}

export interface FlowStatsRequest extends Form {
  readonly type: "flow_stats_request" | "aggregate_stats_request";
  readonly table: number;
  readonly match: Match;
  readonly outPort: number;
  readonly outGroup: number;
  readonly cookie: bigint;
  readonly cookieMask: bigint;
}

export interface FlowStats {
  readonly table: number;
  readonly match: Match;
  readonly priority: number;
  readonly cookie: bigint;
  readonly durationSeconds: number;
  readonly durationNanoseconds: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  /** Seconds since last used / modified; undefined where the version cannot say. */
  readonly idleAge?: number;
  readonly hardAge?: number;
  readonly importance: number;
  readonly flags: number;
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
  readonly actions: readonly Action[];
}

export interface FlowStatsReply extends Form {
  readonly type: "flow_stats_reply";
  readonly flows: readonly FlowStats[];
}

export interface AggregateStatsReply extends Form {
  readonly type: "aggregate_stats_reply";
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
  readonly flows: number;
}

export interface TableStats {
  readonly table: number;
  /** OpenFlow 1.0 to 1.2. */
  readonly name: string;
  /** OpenFlow 1.0 to 1.2. */
  readonly maxEntries: number;
  readonly active: number;
  readonly lookups: bigint;
  readonly matched: bigint;
}

export interface TableStatsReply {
  readonly type: "table_stats_reply";
  readonly tables: readonly TableStats[];
}

export interface PortStatsRequest {
  readonly type: "port_stats_request";
  /** ANY: all ports. */
  readonly port: number;
}

export interface PortStats {
  readonly port: number;
  readonly rxPackets: bigint | undefined;
  readonly txPackets: bigint | undefined;
  readonly rxBytes: bigint | undefined;
  readonly txBytes: bigint | undefined;
  readonly rxDropped: bigint | undefined;
  readonly txDropped: bigint | undefined;
  readonly rxErrors: bigint | undefined;
  readonly txErrors: bigint | undefined;
  readonly rxFrameErrors: bigint | undefined;
  readonly rxOverErrors: bigint | undefined;
  readonly rxCrcErrors: bigint | undefined;
  readonly collisions: bigint | undefined;
  /** OpenFlow 1.3+; undefined: not known. */
  readonly durationSeconds?: number;
  readonly durationNanoseconds?: number;
}

export interface PortStatsReply {
  readonly type: "port_stats_reply";
  readonly ports: readonly PortStats[];
}

export interface QueueStatsRequest {
  readonly type: "queue_stats_request";
  /** ANY: all ports. */
  readonly port: number;
  /** QUEUE_ALL: all queues. */
  readonly queue: number;
}

export interface QueueStats {
  readonly port: number;
  readonly queue: number;
  readonly txBytes: bigint | undefined;
  readonly txPackets: bigint | undefined;
  readonly txErrors: bigint | undefined;
  /** OpenFlow 1.3+; undefined: not known. */
  readonly durationSeconds?: number;
  readonly durationNanoseconds?: number;
}

export interface QueueStatsReply {
  readonly type: "queue_stats_reply";
  readonly queues: readonly QueueStats[];
}

export interface PortDescRequest {
  readonly type: "port_desc_request";
  /** ANY unless OpenFlow 1.5 names one. */
  readonly port: number;
}

export interface PortDescReply {
  readonly type: "port_desc_reply";
  readonly ports: readonly PortDescription[];
}

export interface QueueGetConfigRequest {
  readonly type: "queue_get_config_request";
  readonly port: number;
  readonly queue: number;
}

export interface QueueConfig {
  readonly port: number;
  readonly queue: number;
  /** Tenths of a percent; undefined: none. */
  readonly minRate?: number;
  readonly maxRate?: number;
}

export interface QueueGetConfigReply {
  readonly type: "queue_get_config_reply";
  readonly port: number;
  readonly queues: readonly QueueConfig[];
}

export type Role = "nochange" | "equal" | "primary" | "secondary";

export interface RoleMessage extends Form {
  readonly type: "role_request" | "role_reply";
  readonly role: Role;
  /** Undefined: not given (all ones in a reply). */
  readonly generationId?: bigint;
}

/** Kinds of asynchronous messages; each has a bitmap of reasons for each of two role groups. */
export type AsyncKind =
  | "packet_in"
  | "port_status"
  | "flow_removed"
  | "role_status"
  | "table_status"
  | "requestforward";

export interface AsyncMasks {
  /** Bit N: reason N of that kind is sent. */
  readonly primary: number;
  readonly secondary: number;
}

export interface AsyncConfig extends Form {
  readonly type: "set_async" | "get_async_reply";
  /** A kind that is absent is left as it is. */
  readonly masks: Readonly<Partial<Record<AsyncKind, AsyncMasks>>>;
}

export interface SetFlowFormat {
  readonly type: "set_flow_format";
  readonly format: "openflow10" | "nxm";
}

export interface FlowModTableId {
  readonly type: "flow_mod_table_id";
  readonly enabled: boolean;
}

export interface SetPacketInFormat {
  readonly type: "set_packet_in_format";
  readonly format: "standard" | "nicira" | "nicira2";
}

export interface SetControllerId {
  readonly type: "set_controller_id";
  readonly controllerId: number;
}

export type GroupType = "all" | "select" | "indirect" | "ff";

export interface Bucket {
  readonly id: number;
  readonly weight: number;
  readonly watchPort: number;
  readonly watchGroup: number;
  readonly actions: readonly Action[];
}

/** `selection_method` and its parameters (NTR extension, OpenFlow 1.5). */
export interface GroupSelection {
  readonly method: string;
  readonly parameter: bigint;
  readonly fields: Match;
}

export interface GroupMod extends Form {
  readonly type: "group_mod";
  readonly command: "add" | "modify" | "delete" | "add_or_mod" | "insert_bucket" | "remove_bucket";
  readonly groupType: GroupType;
  readonly group: number;
  readonly buckets: readonly Bucket[];
  /** OpenFlow 1.5 bucket commands. */
  readonly commandBucket?: number;
  readonly selection?: GroupSelection;
}

export interface GroupRequest extends Form {
  readonly type: "group_stats_request" | "group_desc_request";
  readonly group: number;
}

export interface GroupStats {
  readonly group: number;
  readonly references: number;
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
  readonly durationSeconds: number;
  readonly durationNanoseconds: number;
  readonly buckets: readonly {
    readonly packets: bigint | undefined;
    readonly bytes: bigint | undefined;
  }[];
}

export interface GroupStatsReply extends Form {
  readonly type: "group_stats_reply";
  readonly groups: readonly GroupStats[];
}

export interface GroupDesc {
  readonly group: number;
  readonly groupType: GroupType;
  readonly buckets: readonly Bucket[];
  readonly selection?: GroupSelection;
}

export interface GroupDescReply extends Form {
  readonly type: "group_desc_reply";
  readonly groups: readonly GroupDesc[];
}

export interface GroupFeaturesReply extends Form {
  readonly type: "group_features_reply";
  readonly types: number;
  readonly capabilities: number;
  /** One for each of all, select, indirect, ff. */
  readonly maxGroups: readonly number[];
  /** Bitmaps of wire action types, likewise. */
  readonly actions: readonly number[];
}

export type MeterBand =
  | { readonly type: "drop"; readonly rate: number; readonly burst: number }
  | {
    readonly type: "dscp_remark";
    readonly rate: number;
    readonly burst: number;
    readonly level: number;
  };

/** Bits of `MeterMod.flags`. */
export const METER_FLAGS = { KBPS: 1 << 0, PKTPS: 1 << 1, BURST: 1 << 2, STATS: 1 << 3 } as const;

export interface MeterConfig {
  readonly meter: number;
  readonly flags: number;
  readonly bands: readonly MeterBand[];
}

export interface MeterMod extends MeterConfig {
  readonly type: "meter_mod";
  readonly command: "add" | "modify" | "delete";
}

export interface MeterRequest {
  readonly type: "meter_stats_request" | "meter_config_request";
  /** 0xffffffff: all. */
  readonly meter: number;
}

export interface MeterStats {
  readonly meter: number;
  readonly flows: number;
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
  readonly durationSeconds: number;
  readonly durationNanoseconds: number;
  readonly bands: readonly {
    readonly packets: bigint | undefined;
    readonly bytes: bigint | undefined;
  }[];
}

export interface MeterStatsReply {
  readonly type: "meter_stats_reply";
  readonly meters: readonly MeterStats[];
}

export interface MeterConfigReply {
  readonly type: "meter_config_reply";
  readonly meters: readonly MeterConfig[];
}

export interface MeterFeaturesReply {
  readonly type: "meter_features_reply";
  readonly maxMeters: number;
  readonly bandTypes: number;
  readonly capabilities: number;
  readonly maxBands: number;
  readonly maxColor: number;
}

export interface TableMod {
  readonly type: "table_mod";
  /** 0xff: all tables. */
  readonly table: number;
  /** OpenFlow 1.1 and 1.2: what happens to a packet that no flow matches. */
  readonly miss: "default" | "controller" | "continue" | "drop";
  /** OpenFlow 1.4+. */
  readonly eviction?: boolean;
  readonly vacancyEvents?: boolean;
  readonly vacancyDown?: number;
  readonly vacancyUp?: number;
}

export interface TableFeaturesRequest {
  readonly type: "table_features_request";
  /** Undefined when the body is empty: only asks. Otherwise the raw bodies that would set. */
  readonly tables: readonly TableFeatures[];
}

/** What entries of a table (or its miss entry) may do; bitmaps by wire number. */
export interface TableAbility {
  readonly nextTables: readonly number[];
  /** Wire instruction types. */
  readonly instructions: readonly number[];
  /** Wire action types. */
  readonly writeActions: readonly number[];
  readonly applyActions: readonly number[];
  /** OXM headers (32 bits, payload length included). */
  readonly writeSetFields: readonly number[];
  readonly applySetFields: readonly number[];
}

export interface TableFeatures {
  readonly table: number;
  readonly name: string;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  readonly config: number;
  readonly maxEntries: number;
  readonly nonmiss: TableAbility;
  readonly miss: TableAbility;
  /** OXM headers of fields that may be matched, with the has-mask bit where maskable. */
  readonly match: readonly number[];
  /** OXM headers of fields that may be left out of a match. */
  readonly wildcards: readonly number[];
}

export interface TableFeaturesReply {
  readonly type: "table_features_reply";
  readonly tables: readonly TableFeatures[];
}

/** Bits of `BundleControl.flags`. */
export const BUNDLE_FLAGS = { ATOMIC: 1 << 0, ORDERED: 1 << 1 } as const;

export interface BundleControl extends Form {
  readonly type: "bundle_control";
  readonly bundle: number;
  readonly control:
    | "open_request"
    | "open_reply"
    | "close_request"
    | "close_reply"
    | "commit_request"
    | "commit_reply"
    | "discard_request"
    | "discard_reply";
  readonly flags: number;
}

export interface BundleAdd extends Form {
  readonly type: "bundle_add";
  readonly bundle: number;
  readonly flags: number;
  /** The whole inner message, header included. */
  readonly inner: Uint8Array;
}

/** Bits of `FlowMonitorRequest.flags` (NXFMF_*). */
export const FLOW_MONITOR_FLAGS = {
  INITIAL: 1 << 0,
  ADD: 1 << 1,
  DELETE: 1 << 2,
  MODIFY: 1 << 3,
  ACTIONS: 1 << 4,
  OWN: 1 << 5,
} as const;

export interface FlowMonitorRequest extends Form {
  readonly type: "flow_monitor_request";
  readonly monitors: readonly {
    readonly id: number;
    readonly command: "add" | "modify" | "delete";
    readonly flags: number;
    readonly outPort: number;
    readonly outGroup: number;
    readonly table: number;
    readonly match: Match;
  }[];
}

export type FlowUpdate =
  | {
    readonly event: "added" | "deleted" | "modified" | "initial";
    readonly reason:
      | "idle_timeout"
      | "hard_timeout"
      | "delete"
      | "group_delete"
      | "meter_delete"
      | "eviction";
    readonly priority: number;
    readonly idleTimeout: number;
    readonly hardTimeout: number;
    readonly table: number;
    readonly cookie: bigint;
    readonly match: Match;
    readonly actions: readonly Action[];
  }
  | { readonly event: "abbrev"; readonly xid: number };

export interface FlowMonitorReply extends Form {
  readonly type: "flow_monitor_reply";
  readonly updates: readonly FlowUpdate[];
}

export interface FlowMonitorCancel extends Form {
  readonly type: "flow_monitor_cancel";
  readonly id: number;
}

/**
 * A message the specifications or Open vSwitch know by `name`, which this codec does not take
 * apart. A switch answers a request of this kind with `error`; it is never dropped silently.
 */
export interface Unsupported {
  readonly type: "unsupported";
  readonly name: string;
  readonly error: ErrorName;
  /** The whole message. */
  readonly bytes: Uint8Array;
}

export type OfMessage =
  | Hello
  | ErrorMessage
  | Echo
  | Bare
  | FeaturesReply
  | SwitchConfig
  | PortStatus
  | PortMod
  | PacketIn
  | Resume
  | PacketOut
  | FlowMod
  | FlowRemoved
  | DescReply
  | FlowStatsRequest
  | FlowStatsReply
  | AggregateStatsReply
  | TableStatsReply
  | PortStatsRequest
  | PortStatsReply
  | QueueStatsRequest
  | QueueStatsReply
  | PortDescRequest
  | PortDescReply
  | QueueGetConfigRequest
  | QueueGetConfigReply
  | RoleMessage
  | AsyncConfig
  | SetFlowFormat
  | FlowModTableId
  | SetPacketInFormat
  | SetControllerId
  | GroupMod
  | GroupRequest
  | GroupStatsReply
  | GroupDescReply
  | GroupFeaturesReply
  | MeterMod
  | MeterRequest
  | MeterStatsReply
  | MeterConfigReply
  | MeterFeaturesReply
  | TableMod
  | TableFeaturesRequest
  | TableFeaturesReply
  | BundleControl
  | BundleAdd
  | FlowMonitorRequest
  | FlowMonitorReply
  | FlowMonitorCancel
  | Unsupported;

export type MessageType = OfMessage["type"];
export type MessageOf<T extends MessageType> = Extract<OfMessage, { type: T }>;

/** A decoded message with its envelope. */
export interface Decoded {
  readonly version: OfVersion;
  readonly xid: number;
  /** More parts of this multipart message follow. */
  readonly more: boolean;
  readonly message: OfMessage;
}
