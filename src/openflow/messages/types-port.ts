/** Records about ports and their queues. */
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
  /** OpenFlow 1.4+, Intel's properties: counters of RFC 2819, and others by name. */
  readonly rfc2819?: Rfc2819;
  readonly custom?: readonly { readonly name: string; readonly value: bigint | undefined }[];
}

/** RMON's counters, in the order in which the wire has them. */
export const RFC2819_COUNTERS = [
  "rx_1_to_64_packets",
  "rx_65_to_127_packets",
  "rx_128_to_255_packets",
  "rx_256_to_511_packets",
  "rx_512_to_1023_packets",
  "rx_1024_to_1522_packets",
  "rx_1523_to_max_packets",
  "tx_1_to_64_packets",
  "tx_65_to_127_packets",
  "tx_128_to_255_packets",
  "tx_256_to_511_packets",
  "tx_512_to_1023_packets",
  "tx_1024_to_1522_packets",
  "tx_1523_to_max_packets",
  "tx_multicast_packets",
  "rx_broadcast_packets",
  "tx_broadcast_packets",
  "rx_undersized_errors",
  "rx_oversize_errors",
  "rx_fragmented_errors",
  "rx_jabber_errors",
] as const;
export type Rfc2819 = Readonly<Record<(typeof RFC2819_COUNTERS)[number], bigint | undefined>>;

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
