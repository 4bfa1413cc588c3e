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
import type { OfVersion } from "../version.ts";
import type {
  CtFlush,
  CtFlushZone,
  IpfixReply,
  TlvTableMod,
  TlvTableReply,
} from "./types-extension.ts";
import type {
  AsyncConfig,
  Bare,
  BundleFeaturesReply,
  BundleFeaturesRequest,
  ControllerStatusMessage,
  ControllerStatusReply,
  DescReply,
  Echo,
  ErrorMessage,
  FeaturesReply,
  FlowModTableId,
  Hello,
  RoleMessage,
  RoleStatus,
  SetControllerId,
  SetFlowFormat,
  SetPacketInFormat,
  SwitchConfig,
  Unsupported,
} from "./types-session.ts";
import type {
  PortDescReply,
  PortDescRequest,
  PortMod,
  PortStatsReply,
  PortStatsRequest,
  PortStatus,
  QueueGetConfigReply,
  QueueGetConfigRequest,
  QueueStatsReply,
  QueueStatsRequest,
} from "./types-port.ts";
import type {
  AggregateStatsReply,
  FlowCountsReply,
  FlowMod,
  FlowRemoved,
  FlowStatsReply,
  FlowStatsRequest,
  PacketIn,
  PacketOut,
  Resume,
} from "./types-flow.ts";
import type {
  GroupDescReply,
  GroupFeaturesReply,
  GroupMod,
  GroupRequest,
  GroupStatsReply,
  MeterConfigReply,
  MeterFeaturesReply,
  MeterMod,
  MeterRequest,
  MeterStatsReply,
} from "./types-group.ts";
import type {
  BundleAdd,
  BundleControl,
  FlowMonitorCancel,
  FlowMonitorPause,
  FlowMonitorReply,
  FlowMonitorRequest,
  RequestForward,
  TableDescReply,
  TableFeaturesReply,
  TableFeaturesRequest,
  TableMod,
  TableStatsReply,
  TableStatus,
} from "./types-table.ts";

export * from "./types-session.ts";
export * from "./types-port.ts";
export * from "./types-flow.ts";
export * from "./types-group.ts";
export * from "./types-table.ts";
export * from "./types-extension.ts";

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
  | RoleStatus
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
  | TableDescReply
  | TableStatus
  | RequestForward
  | TableFeaturesRequest
  | TableFeaturesReply
  | BundleControl
  | BundleAdd
  | FlowMonitorRequest
  | FlowMonitorReply
  | FlowMonitorCancel
  | FlowMonitorPause
  | FlowCountsReply
  | ControllerStatusMessage
  | ControllerStatusReply
  | BundleFeaturesRequest
  | BundleFeaturesReply
  | TlvTableMod
  | TlvTableReply
  | CtFlushZone
  | CtFlush
  | IpfixReply
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
