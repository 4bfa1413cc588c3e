/** Records of tables, bundles and flow monitors. */
import type { Match } from "../../packet/key.ts";
import type { Field } from "../../packet/layout.ts";
import type { Action, ActionType } from "../actions/types.ts";
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
  /** OFPTMPEF_*: by what the flows that go shall be chosen. */
  readonly evictionFlags?: number;
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
  /** Empty: only asks. Otherwise what the tables shall be. */
  readonly tables: readonly TableFeatures[];
}

export type InstructionName =
  | "goto_table"
  | "write_metadata"
  | "write_actions"
  | "apply_actions"
  | "clear_actions"
  | "meter"
  | "stat_trigger";

/** What entries of a table (or its miss entry) may do. */
export interface TableAbility {
  readonly nextTables: readonly number[];
  readonly instructions: readonly InstructionName[];
  /** Actions of the standard; others have no place here. */
  readonly writeActions: readonly ActionType[];
  readonly applyActions: readonly ActionType[];
  readonly writeSetFields: readonly Field[];
  readonly applySetFields: readonly Field[];
  /** OpenFlow 1.5: fields that copy_field reaches. */
  readonly writeCopyFields?: readonly Field[];
  readonly applyCopyFields?: readonly Field[];
}

export interface TableFeatures {
  readonly table: number;
  /** OpenFlow 1.5 requests; "replace" otherwise. */
  readonly command: "replace" | "modify" | "enable" | "disable";
  readonly name: string;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  /** OpenFlow 1.4+: OFPTC_EVICTION, OFPTC_VACANCY_EVENTS. Undefined: the version does not say. */
  readonly eviction?: boolean;
  readonly vacancyEvents?: boolean;
  readonly maxEntries: number;
  /** False when a request has no properties: "nothing but the name and the like". */
  readonly hasProperties: boolean;
  readonly nonmiss: TableAbility;
  readonly miss: TableAbility;
  /** Fields that may be matched, and whether with any mask. */
  readonly match: readonly { readonly field: Field; readonly maskable: boolean }[];
  /** Fields that may be left out of a match. */
  readonly wildcards: readonly Field[];
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

/** A flow as it is now, or as it was when it went. */
export interface FullFlowUpdate {
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

export type FlowUpdate =
  | FullFlowUpdate
  | { readonly event: "abbrev"; readonly xid: number }
  /** OpenFlow 1.4+; before, they are messages of their own. */
  | { readonly event: "paused" | "resumed" };

export interface FlowMonitorReply extends Form {
  readonly type: "flow_monitor_reply";
  readonly updates: readonly FlowUpdate[];
}

export interface FlowMonitorCancel extends Form {
  readonly type: "flow_monitor_cancel";
  readonly id: number;
}

/** Updates begin to be held back, and have been made up for. */
export interface FlowMonitorPause extends Form {
  readonly type: "flow_monitor_paused" | "flow_monitor_resumed";
}
