/** Messages of groups, meters, tables, bundles and flow monitors. */
import { FIELDS } from "../../../src/packet/layout.ts";
import type { TableAbility, TableFeatures } from "../../../src/openflow/messages/types.ts";
import { parseActions } from "../../../src/openflow/text/actions-parse.ts";
import { ALL, type Fixture, from, match } from "./fixture.ts";

const bucket = {
  id: 0,
  weight: 1,
  watchPort: 0xffff,
  watchGroup: 0xffffffff,
  actions: parseActions("output:2"),
} as const;

const ability: TableAbility = {
  nextTables: [1, 2, 3],
  instructions: ["goto_table", "write_metadata", "write_actions", "apply_actions", "clear_actions"],
  writeActions: ["output", "group"],
  applyActions: ["output", "set_field"],
  writeSetFields: [FIELDS.eth_dst],
  applySetFields: [FIELDS.eth_dst, FIELDS.eth_src],
};
const NO_ABILITY: TableAbility = {
  nextTables: [],
  instructions: [],
  writeActions: [],
  applyActions: [],
  writeSetFields: [],
  applySetFields: [],
};
const features: TableFeatures = {
  table: 0,
  command: "replace",
  name: "classifier",
  metadataMatch: 0xffff_ffff_ffff_ffffn,
  metadataWrite: 0xffn,
  maxEntries: 1_000_000,
  hasProperties: true,
  nonmiss: ability,
  miss: { ...ability, nextTables: [2] },
  match: [{ field: FIELDS.in_port_oxm, maskable: false }, {
    field: FIELDS.eth_dst,
    maskable: true,
  }],
  wildcards: [FIELDS.in_port_oxm],
};

const update = {
  event: "deleted",
  reason: "hard_timeout",
  priority: 5,
  idleTimeout: 1,
  hardTimeout: 2,
  table: 3,
  cookie: 4n,
  match,
  actions: [],
} as const;

export const LATER_FIXTURES: readonly Fixture[] = [
  {
    name: "table desc reply",
    message: {
      type: "table_desc_reply",
      tables: [
        { table: 0, eviction: true, evictionFlags: 7 },
        { table: 1, eviction: false, vacancy: { down: 20, up: 80, now: 50 } },
      ],
    },
    versions: from(5),
  },
  {
    name: "table status",
    message: {
      type: "table_status",
      reason: "vacancy_down",
      desc: { table: 1, eviction: false, vacancy: { down: 20, up: 80, now: 10 } },
    },
    versions: from(5),
  },
  {
    name: "role status",
    message: { type: "role_status", role: "secondary", reason: "config", generationId: 5n },
    versions: from(5),
  },
  {
    name: "role status, ONF",
    message: { type: "role_status", form: "onf", role: "equal", reason: "primary_request" },
    versions: [4],
  },
  {
    name: "group mod",
    message: {
      type: "group_mod",
      command: "add",
      groupType: "select",
      group: 5,
      buckets: [bucket, { ...bucket, id: 1, weight: 2 }],
    },
    versions: from(2, 5),
  },
  {
    name: "group mod, 1.5",
    message: {
      type: "group_mod",
      command: "add",
      groupType: "select",
      group: 5,
      buckets: [{ ...bucket, id: 9 }],
      commandBucket: 0xffffffff,
      selection: {
        method: "hash",
        parameter: 3n,
        fields: [{ field: FIELDS.ip_dst, mask: 0xffff0000n }],
      },
    },
    versions: [6],
  },
  {
    name: "group mod, nicira",
    message: {
      type: "group_mod",
      form: "nicira",
      command: "add",
      groupType: "ff",
      group: 5,
      buckets: [{ ...bucket, id: 9, weight: 0, watchPort: 4 }],
      commandBucket: 0xffffffff,
    },
    versions: [1],
  },
  {
    name: "group requests",
    message: { type: "group_stats_request", group: 0xfffffffc },
    versions: from(2),
  },
  {
    name: "group desc request",
    message: { type: "group_desc_request", group: 0xfffffffc },
    versions: from(2),
  },
  {
    name: "group desc request, nicira",
    message: { type: "group_desc_request", form: "nicira", group: 3 },
    versions: [1],
  },
  {
    name: "group desc reply",
    message: {
      type: "group_desc_reply",
      groups: [{ group: 5, groupType: "all", buckets: [{ ...bucket, weight: 0 }] }],
    },
    versions: from(2),
  },
  {
    name: "group reply",
    message: {
      type: "group_stats_reply",
      groups: [{
        group: 5,
        references: 1,
        packets: 2n,
        bytes: 3n,
        durationSeconds: 0,
        durationNanoseconds: 0,
        buckets: [{ packets: 4n, bytes: 5n }],
      }],
    },
    versions: from(2),
  },
  { name: "group features request", message: { type: "group_features_request" }, versions: ALL },
  {
    name: "group features reply",
    message: {
      type: "group_features_reply",
      types: 15,
      capabilities: 7,
      maxGroups: [1, 2, 3, 4],
      actions: [1, 1, 1, 1],
    },
    versions: from(3),
  },
  {
    name: "meter mod",
    message: {
      type: "meter_mod",
      command: "add",
      meter: 3,
      flags: 1,
      bands: [
        { type: "drop", rate: 100, burst: 5 },
        { type: "dscp_remark", rate: 200, burst: 6, level: 1 },
      ],
    },
    versions: from(4),
  },
  {
    name: "meter request",
    message: { type: "meter_stats_request", meter: 0xffffffff },
    versions: from(4),
  },
  {
    name: "meter config request",
    message: { type: "meter_config_request", meter: 3 },
    versions: from(4),
  },
  {
    name: "meter reply",
    message: {
      type: "meter_stats_reply",
      meters: [{
        meter: 3,
        flows: 1,
        packets: 2n,
        bytes: 3n,
        durationSeconds: 4,
        durationNanoseconds: 5,
        bands: [{ packets: 6n, bytes: 7n }],
      }],
    },
    versions: from(4),
  },
  {
    name: "meter config reply",
    message: {
      type: "meter_config_reply",
      meters: [{ meter: 3, flags: 2, bands: [{ type: "drop", rate: 9, burst: 8 }] }],
    },
    versions: from(4),
  },
  {
    name: "meter features request",
    message: { type: "meter_features_request" },
    versions: from(4),
  },
  {
    name: "meter features reply",
    message: {
      type: "meter_features_reply",
      maxMeters: 100,
      bandTypes: 2,
      capabilities: 15,
      maxBands: 4,
      maxColor: 0,
    },
    versions: from(4),
  },
  {
    name: "table mod",
    message: { type: "table_mod", table: 3, miss: "drop" },
    versions: [2, 3],
  },
  {
    name: "table mod, 1.4",
    message: {
      type: "table_mod",
      table: 3,
      miss: "default",
      eviction: true,
      vacancyEvents: true,
      vacancyDown: 20,
      vacancyUp: 80,
    },
    versions: from(5),
  },
  {
    // Stock ovs-ofctl takes the flags of the property for the switch itself.
    name: "table mod with eviction flags",
    message: {
      type: "table_mod",
      table: 3,
      miss: "default",
      eviction: true,
      evictionFlags: 2,
      vacancyEvents: false,
    },
    versions: from(5),
    opaque: true,
  },
  {
    name: "table features request",
    message: { type: "table_features_request", tables: [] },
    versions: from(4),
  },
  {
    name: "table features reply",
    message: { type: "table_features_reply", tables: [features] },
    versions: [4],
  },
  {
    name: "table features reply, 1.4",
    message: {
      type: "table_features_reply",
      tables: [{ ...features, eviction: true, vacancyEvents: false }],
    },
    versions: from(5),
  },
  {
    name: "table features request, names only",
    message: {
      type: "table_features_request",
      tables: [{
        ...features,
        command: "modify",
        eviction: false,
        vacancyEvents: false,
        hasProperties: false,
        nonmiss: NO_ABILITY,
        miss: NO_ABILITY,
        match: [],
        wildcards: [],
      }],
    },
    versions: [6],
  },
  { name: "table desc request", message: { type: "table_desc_request" }, versions: from(5) },
  {
    name: "bundle control",
    message: { type: "bundle_control", bundle: 7, control: "commit_request", flags: 3 },
    versions: from(5),
  },
  {
    name: "bundle control, ONF",
    message: { type: "bundle_control", form: "onf", bundle: 7, control: "open_request", flags: 1 },
    versions: [4],
  },
  {
    name: "flow monitor request",
    message: {
      type: "flow_monitor_request",
      monitors: [{
        id: 1,
        command: "add",
        flags: 0x1f,
        outPort: 0xffff,
        outGroup: 0xffffffff,
        table: 0xff,
        match,
      }],
    },
    versions: from(5),
  },
  {
    name: "flow monitor request, nicira",
    message: {
      type: "flow_monitor_request",
      form: "nicira",
      monitors: [{
        id: 1,
        command: "add",
        flags: 0x3f,
        outPort: 0xffff,
        outGroup: 0xffffffff,
        table: 2,
        match,
      }],
    },
    versions: from(1, 3),
  },
  {
    name: "flow monitor reply, nicira",
    message: {
      type: "flow_monitor_reply",
      form: "nicira",
      updates: [update, { event: "abbrev", xid: 9 }],
    },
    versions: from(1, 3),
  },
  {
    name: "flow monitor request, ONF",
    message: {
      type: "flow_monitor_request",
      form: "onf",
      monitors: [{
        id: 1,
        command: "add",
        flags: 0x3f,
        outPort: 0xffff,
        outGroup: 0xffffffff,
        table: 2,
        match,
      }],
    },
    versions: [4],
  },
  {
    name: "flow monitor reply, ONF",
    message: {
      type: "flow_monitor_reply",
      form: "onf",
      updates: [
        { ...update, event: "modified", reason: "delete", actions: parseActions("output:2") },
        { event: "abbrev", xid: 9 },
      ],
    },
    versions: [4],
  },
  {
    name: "flow monitor reply with actions, nicira",
    message: {
      type: "flow_monitor_reply",
      form: "nicira",
      updates: [{ ...update, actions: parseActions("output:2") }],
    },
    versions: from(1, 3),
  },
  {
    name: "flow monitor reply",
    message: { type: "flow_monitor_reply", updates: [update, { event: "abbrev", xid: 9 }] },
    versions: from(5),
  },
  {
    name: "flow monitor cancel",
    message: { type: "flow_monitor_cancel", form: "nicira", id: 4 },
    versions: from(1, 3),
  },
];
