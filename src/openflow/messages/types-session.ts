/** Records of the connection itself, and those that are not taken apart. */
import type { ErrorName } from "../errors.ts";
import type { PortDescription } from "./types-port.ts";

/** Which wire form of a message with several: the version's own (absent), Nicira's, or ONF's. */
export type WireForm = "nicira" | "onf";
export interface Form {
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
    | "controller_status_request"
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
  /** OpenFlow 1.0 (as Open vSwitch has it) to 1.2. Undefined: the version lacks the bit. */
  readonly invalidTtlToController?: boolean;
  readonly missSendLength: number;
}

export interface DescReply {
  readonly type: "desc_reply";
  readonly manufacturer: string;
  readonly hardware: string;
  readonly software: string;
  readonly serial: string;
  readonly datapath: string;
}

export type Role = "nochange" | "equal" | "primary" | "secondary";

export interface RoleMessage extends Form {
  readonly type: "role_request" | "role_reply";
  readonly role: Role;
  /** Undefined: not given (all ones in a reply). */
  readonly generationId?: bigint;
  /** OpenFlow 1.5; undefined: none. */
  readonly shortId?: number;
}

/** How a controller's connection is doing (OpenFlow 1.5.1 §7.3.5.20, §7.4.8). */
export interface ControllerStatus {
  /** 0: none. */
  readonly shortId: number;
  readonly role: Role;
  readonly reason:
    | "request"
    | "channel_status"
    | "role"
    | "controller_added"
    | "controller_removed"
    | "short_id"
    | "experimenter";
  readonly channelUp: boolean;
  /** Where the controller is: `tcp:10.0.0.1:6653`. */
  readonly uri: string;
}

export interface ControllerStatusMessage extends ControllerStatus {
  readonly type: "controller_status";
}

export interface ControllerStatusReply {
  readonly type: "controller_status_reply";
  readonly controllers: readonly ControllerStatus[];
}

/** OpenFlow 1.5.1 §7.3.5.21: which scheduled bundles are possible. */
export interface BundleFeaturesRequest {
  readonly type: "bundle_features_request";
  /** OFPBF_* of a bundle that is asked for, and of the features (timestamps, time ranges). */
  readonly features: number;
}

export interface BundleFeaturesReply {
  readonly type: "bundle_features_reply";
  /** OFPBF_*: what bundles can be. */
  readonly capabilities: number;
}

/** OpenFlow 1.4+ (ONF extension on 1.3): a controller's role is another now. */
export interface RoleStatus extends Form {
  readonly type: "role_status";
  readonly role: Role;
  readonly reason: "primary_request" | "config" | "experimenter";
  readonly generationId?: bigint;
}

/** Kinds of asynchronous messages; each has a bitmap of reasons for each of two role groups. */
export type AsyncKind =
  | "packet_in"
  | "port_status"
  | "flow_removed"
  | "role_status"
  | "table_status"
  | "requestforward"
  /** OpenFlow 1.5. */
  | "flow_stats"
  | "controller_status";

export interface AsyncMasks {
  /** Bit N: reason N of that kind is sent. */
  readonly primary: number;
  readonly secondary: number;
}

export interface AsyncConfig {
  readonly type: "set_async" | "get_async_reply";
  /** "nicira2": NXT_SET_ASYNC_CONFIG2, OpenFlow 1.4's properties for the versions before. */
  readonly form?: "nicira" | "nicira2";
  /** What is absent is left as it is (none of it, in the fixed structure). */
  readonly masks: Readonly<Partial<Record<AsyncKind, Partial<AsyncMasks>>>>;
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
