/**
 * The connection tracker as the slow path and its commands see it. What it does to packets is the
 * `ct` action (../actions.ts); how it works is explained in tracker.ts.
 */

/** Bits of the `ct_state` slot. */
export const CS_NEW = 0x01;
export const CS_ESTABLISHED = 0x02;
export const CS_RELATED = 0x04;
export const CS_REPLY_DIR = 0x08;
export const CS_INVALID = 0x10;
export const CS_TRACKED = 0x20;
export const CS_SRC_NAT = 0x40;
export const CS_DST_NAT = 0x80;

/** One direction of a connection. Addresses are 4 or 16 bytes. */
export interface CtTuple {
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** IP protocol. */
  readonly protocol: number;
  readonly srcPort: number;
  readonly dstPort: number;
  /** In place of ports, for ICMP and ICMPv6. */
  readonly icmp?: { readonly id: number; readonly type: number; readonly code: number };
}

/** TCP states by the names that `dpctl/dump-conntrack` prints. */
export const TCP_STATES = [
  "CLOSED",
  "LISTEN",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "CLOSE_WAIT",
  "FIN_WAIT_1",
  "CLOSING",
  "LAST_ACK",
  "FIN_WAIT_2",
  "TIME_WAIT",
] as const;
export type TcpState = (typeof TCP_STATES)[number];

/** A connection at the moment of the dump. */
export interface CtEntry {
  readonly zone: number;
  readonly original: CtTuple;
  /** As packets of the other direction arrive: addresses and ports behind NAT. */
  readonly reply: CtTuple;
  readonly mark: number;
  /** 16 bytes. */
  readonly label: Uint8Array;
  /** Milliseconds until it expires. */
  readonly timeoutMs: number;
  /** TCP only: the states of the sender and of the receiver of the first packet. */
  readonly tcp?: { readonly original: TcpState; readonly reply: TcpState };
  readonly helper?: "ftp" | "tftp";
  /** The original tuple of the connection that this one was expected by. */
  readonly parent?: CtTuple;
}

export interface CtFilter {
  readonly zone?: number;
  /** Only the connection whose original direction this is. */
  readonly tuple?: Partial<CtTuple>;
}

/** Seconds by Open vSwitch's attribute names (CT_Timeout_Policy in ovs-vswitchd.conf.db(5)). */
export const CT_TIMEOUTS = [
  "tcp_syn_sent",
  "tcp_syn_recv",
  "tcp_established",
  "tcp_fin_wait",
  "tcp_close_wait",
  "tcp_last_ack",
  "tcp_time_wait",
  "tcp_close",
  "tcp_syn_sent2",
  "tcp_retransmit",
  "tcp_unack",
  "udp_first",
  "udp_single",
  "udp_multiple",
  "icmp_first",
  "icmp_reply",
] as const;
export type CtTimeoutName = (typeof CT_TIMEOUTS)[number];
export type CtTimeouts = Readonly<Partial<Record<CtTimeoutName, number>>>;

export interface CtZoneLimit {
  /** Undefined: the default for zones without a limit of their own. */
  readonly zone: number | undefined;
  /** Connections; 0 means no limit. */
  readonly limit: number;
  readonly count: number;
}

export interface CtFragmentSettings {
  /** Reassembly on, for IPv4 and IPv6. */
  readonly enabledV4: boolean;
  readonly enabledV6: boolean;
  /** Smallest size of a fragment that is not the last, in bytes. */
  readonly minSizeV4: number;
  readonly minSizeV6: number;
  /** Fragments waiting, in all. */
  readonly maxFragments: number;
}

export interface CtStats {
  readonly connections: number;
  readonly maxConnections: number;
  readonly byProtocol: Readonly<Record<string, number>>;
}

/** Requests take effect in their order with the datapath's other commands. */
export interface Conntrack {
  dump(filter?: CtFilter): Promise<CtEntry[]>;
  /** How many connections were removed. */
  flush(filter?: CtFilter): Promise<number>;
  stats(): Promise<CtStats>;
  setMaxConnections(limit: number): void;
  /** TCP sequence numbers outside the window make a packet invalid (default true). */
  setTcpSequenceChecks(enabled: boolean): void;
  readonly tcpSequenceChecks: boolean;
  /** `undefined` as zone: the default limit. `limit` undefined deletes it. */
  setZoneLimit(zone: number | undefined, limit: number | undefined): void;
  zoneLimits(): Promise<CtZoneLimit[]>;
  /** What is left out has Open vSwitch's default. `undefined` deletes the policy. */
  setTimeoutPolicy(id: number, timeouts: CtTimeouts | undefined): void;
  readonly fragments: CtFragmentSettings;
  setFragments(settings: Partial<CtFragmentSettings>): void;
}
