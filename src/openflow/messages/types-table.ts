/** Records of tables, bundles and flow monitors. */
import type { Match } from "../../packet/key.ts";
import type { Action } from "../actions/types.ts";
import type { Form } from "./types-session.ts";

export interface TableStats {
  readonly table: number;
  /** OpenFlow 1.0 to 1.2. */
  readonly name: string;
  /** OpenFlow 1.0 to 1.2. */
  readonly maxEntries: number;
  /** OpenFlow 1.1 and 1.2, encoding only: what becomes of packets that no flow matches. */
  readonly miss?: TableMod["miss"];
  /** The same: wire numbers of actions as a bitmap; all that there are unless told. */
  readonly actions?: number;
  /** The same: no table comes after this one. */
  readonly last?: boolean;
  readonly active: number;
  readonly lookups: bigint;
  readonly matched: bigint;
}

export interface TableStatsReply {
  readonly type: "table_stats_reply";
  readonly tables: readonly TableStats[];
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

export interface TableDesc {
  readonly table: number;
  readonly eviction: boolean;
  /** OFPTMPEF_*: by what flows are chosen. */
  readonly evictionFlags?: number;
  /** Percent of the table that is free: thresholds and present value. Absent: no events. */
  readonly vacancy?: { readonly down: number; readonly up: number; readonly now: number };
}

export interface TableDescReply {
  readonly type: "table_desc_reply";
  readonly tables: readonly TableDesc[];
}

export interface TableStatus {
  readonly type: "table_status";
  readonly reason: "vacancy_down" | "vacancy_up";
  readonly desc: TableDesc;
}

/** Another controller's group-mod or meter-mod. */
export interface RequestForward extends Form {
  readonly type: "requestforward";
  /** The whole message. */
  readonly inner: Uint8Array;
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
  /** One's own changes are told in full; without it they are abbreviated. */
  OWN: 1 << 5,
  /** OpenFlow 1.4+: nobody else's changes. */
  ONLY_OWN: 1 << 6,
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
