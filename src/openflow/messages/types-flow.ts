/** Records of packets and flows. */
import type { Match } from "../../packet/key.ts";
import type { Action, PacketInReason } from "../actions/types.ts";
import type { Form } from "./types-session.ts";

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

export interface FlowStatsRequest extends Form {
  /** "flow_counts_request": OpenFlow 1.5's OFPMP_FLOW_STATS (its OFPMP_FLOW_DESC is the first). */
  readonly type: "flow_stats_request" | "aggregate_stats_request" | "flow_counts_request";
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
  readonly idleAge?: number | undefined;
  readonly hardAge?: number | undefined;
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

/** OpenFlow 1.5 OFPMP_FLOW_STATS: counters alone, without instructions. */
export interface FlowCountsReply {
  readonly type: "flow_counts_reply";
  readonly flows: readonly {
    readonly table: number;
    readonly reason: "request" | "trigger";
    readonly priority: number;
    readonly match: Match;
    readonly durationSeconds: number;
    readonly durationNanoseconds: number;
    readonly idleAge?: number;
    readonly packets: bigint | undefined;
    readonly bytes: bigint | undefined;
  }[];
}

export interface AggregateStatsReply extends Form {
  readonly type: "aggregate_stats_reply";
  readonly packets: bigint | undefined;
  readonly bytes: bigint | undefined;
  readonly flows: number;
}
