/** Records of groups and meters. */
import type { Field } from "../../packet/layout.ts";
import type { Action } from "../actions/types.ts";
import type { Form } from "./types-session.ts";

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
  /** Fields to hash, and which of their bits. */
  readonly fields: readonly { readonly field: Field; readonly mask: bigint }[];
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
