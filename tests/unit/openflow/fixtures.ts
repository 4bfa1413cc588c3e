/** One record or more of each message, with the versions in which it can be said. */
import { anyMatch } from "../../../src/packet/key.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import type { FlowMod, FlowStats } from "../../../src/openflow/messages/types.ts";
import { setMatchExact } from "../../../src/openflow/match-set.ts";
import { parseActions } from "../../../src/openflow/text/actions-parse.ts";
import { ALL, type Fixture, from, match } from "./fixture.ts";
import { EXTENSION_FIXTURES } from "./fixtures-extensions.ts";
import { LATER_FIXTURES } from "./fixtures-groups.ts";
import { NESTED_FIXTURES } from "./fixtures-nested.ts";
import type { OfVersion } from "../../../src/openflow/version.ts";

const inPort = anyMatch();
setMatchExact(inPort, FIELDS.in_port_oxm, 3);
const echo = Uint8Array.of(1, 2, 0, 8, 0, 0, 0, 9);
const packet = Uint8Array.from({ length: 20 }, (_, i) => i);
const hwAddr = Uint8Array.of(2, 0, 0, 0, 0, 1);

const port = {
  port: 1,
  hwAddr,
  name: "p1",
  config: 0x21,
  state: 1,
  current: 0x840,
  advertised: 0x2000,
  supported: 0x40,
  peer: 0,
  currentSpeed: 10_000_000,
  maxSpeed: 10_000_000,
};

const flow: FlowStats = {
  table: 1,
  match,
  priority: 100,
  cookie: 0x1234n,
  durationSeconds: 3,
  durationNanoseconds: 5_000_000,
  idleTimeout: 10,
  hardTimeout: 0,
  importance: 0,
  flags: 0,
  packets: 5n,
  bytes: 300n,
  actions: parseActions("output:2,CONTROLLER:128,resubmit(,4)"),
};

const flowMod: FlowMod = {
  type: "flow_mod",
  command: "add",
  table: 1,
  match,
  priority: 9,
  cookie: 0n,
  cookieMask: 0n,
  newCookie: 7n,
  modifyCookie: false,
  idleTimeout: 1,
  hardTimeout: 2,
  importance: 0,
  flags: 1,
  outPort: 0xffff,
  outGroup: 0xffffffff,
  actions: parseActions("output:2,CONTROLLER:128"),
};

const request = {
  table: 0xff,
  match,
  outPort: 0xffff,
  outGroup: 0xffffffff,
  cookie: 0n,
  cookieMask: 0n,
} as const;

const removed = {
  type: "flow_removed",
  match,
  cookie: 1n,
  priority: 3,
  reason: "idle_timeout",
  table: 2,
  durationSeconds: 4,
  durationNanoseconds: 5,
  idleTimeout: 6,
  hardTimeout: 7,
  packets: 8n,
  bytes: 9n,
} as const;

const packetIn = {
  type: "packet_in",
  reason: "action",
  table: 1,
  cookie: 5n,
  totalLength: 60,
  packet,
  metadata: inPort,
} as const;

const portStats = {
  port: 0xfffe,
  rxPackets: 1n,
  txPackets: 2n,
  rxBytes: 3n,
  txBytes: 4n,
  rxDropped: 5n,
  txDropped: 6n,
  rxErrors: 7n,
  txErrors: 8n,
  rxFrameErrors: 9n,
  rxOverErrors: undefined,
  rxCrcErrors: 11n,
  collisions: 12n,
} as const;
const duration = { durationSeconds: 1, durationNanoseconds: 2 } as const;
const queueStats = { port: 1, queue: 2, txBytes: 1n, txPackets: 2n, txErrors: 3n } as const;
const masks = { primary: 7, secondary: 1 };
const fixedMasks = { packet_in: masks, port_status: masks, flow_removed: masks };

/** Fields that OpenFlow 1.0 lacks in what it decodes to. */
const resets = (version: OfVersion, message: FlowMod): FlowMod => ({
  ...message,
  flags: version < 3 ? message.flags | 8 : message.flags,
});

export const FIXTURES: readonly Fixture[] = [
  { name: "hello", message: { type: "hello", versions: 0x12 }, versions: [4] },
  { name: "hello 1.0", message: { type: "hello", versions: 0x02 }, versions: [1] },
  {
    name: "error",
    message: { type: "error", error: "OFPBAC_BAD_OUT_PORT", data: echo },
    versions: ALL,
  },
  {
    name: "error, vendor's",
    message: { type: "error", error: "NXBRC_NXM_BAD_TYPE", data: echo },
    versions: ALL,
  },
  { name: "echo request", message: { type: "echo_request", data: packet }, versions: ALL },
  { name: "echo reply", message: { type: "echo_reply", data: new Uint8Array(0) }, versions: ALL },
  { name: "features request", message: { type: "features_request" }, versions: ALL },
  {
    name: "features reply",
    message: {
      type: "features_reply",
      datapathId: 0x1234567890abcdefn,
      buffers: 256,
      tables: 254,
      auxiliaryId: 0,
      capabilities: 0x47,
      actions: 0xfff,
      ports: [port],
    },
    versions: ALL,
    back: (version) => ({
      type: "features_reply",
      datapathId: 0x1234567890abcdefn,
      buffers: 256,
      tables: 254,
      auxiliaryId: 0,
      capabilities: 0x47,
      actions: version === 1 ? 0xfff : 0,
      ports: version < 4 ? [port] : [],
    }),
  },
  { name: "get config request", message: { type: "get_config_request" }, versions: ALL },
  {
    name: "get config reply",
    message: { type: "get_config_reply", fragments: "normal", missSendLength: 128 },
    versions: [4, 5, 6],
  },
  {
    name: "set config",
    message: {
      type: "set_config",
      fragments: "drop",
      invalidTtlToController: true,
      missSendLength: 0xffff,
    },
    versions: [1, 2, 3],
  },
  {
    name: "port status",
    message: { type: "port_status", reason: "modify", description: port },
    versions: ALL,
  },
  {
    name: "port mod",
    message: { type: "port_mod", port: 1, hwAddr, config: 1, mask: 0x21, advertise: 0x2040 },
    versions: ALL,
  },
  {
    name: "packet in",
    message: { ...packetIn, bufferId: 0x111 },
    versions: ALL,
    back: (version) => ({
      ...packetIn,
      bufferId: 0x111,
      table: version === 1 ? 0 : 1,
      cookie: version < 4 ? 0xffff_ffff_ffff_ffffn : 5n,
    }),
  },
  { name: "packet in, nicira", message: { ...packetIn, form: "nicira" }, versions: ALL },
  {
    name: "packet in, nicira2",
    message: { ...packetIn, form: "nicira2", bufferId: 9, userdata: Uint8Array.of(1, 2, 3) },
    versions: ALL,
  },
  {
    name: "resume",
    message: {
      type: "resume",
      reason: "action",
      table: 3,
      cookie: 5n,
      packet,
      metadata: inPort,
      continuation: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    },
    opaque: true,
    versions: ALL,
  },
  {
    name: "packet out",
    message: {
      type: "packet_out",
      inPort: 3,
      metadata: inPort,
      actions: parseActions("output:2,FLOOD"),
      packet,
    },
    versions: ALL,
  },
  {
    name: "packet out of a buffer",
    message: {
      type: "packet_out",
      bufferId: 7,
      inPort: 3,
      metadata: inPort,
      actions: [],
      packet: new Uint8Array(0),
    },
    versions: ALL,
  },
  {
    name: "flow mod",
    message: flowMod,
    versions: ALL,
    back: (version) =>
      version === 1
        ? resets(version, { ...flowMod, table: 0xff, modifyCookie: true })
        : resets(version, flowMod),
  },
  {
    name: "flow mod, nicira",
    message: {
      ...flowMod,
      form: "nicira",
      table: 0xff,
      command: "modify_strict",
      cookie: 3n,
      cookieMask: 0xffn,
      modifyCookie: true,
      bufferId: 0x55,
    },
    versions: ALL,
  },
  {
    name: "flow mod, delete",
    message: {
      ...flowMod,
      command: "delete",
      table: 0xff,
      newCookie: 0xffff_ffff_ffff_ffffn,
      cookie: 1n,
      cookieMask: 3n,
      flags: 0,
      outPort: 4,
      outGroup: 5,
      actions: [],
    },
    versions: from(3),
  },
  {
    name: "flow mod, instructions",
    message: {
      ...flowMod,
      actions: parseActions(
        "meter:3,output:1,clear_actions,write_actions(output:2,group:4)," +
          "write_metadata:0x5/0xf,goto_table:7",
      ),
    },
    versions: [4, 5],
  },
  {
    name: "flow removed",
    message: removed,
    versions: ALL,
    back: (version) => version === 1 ? { ...removed, table: 0xff, hardTimeout: 0 } : removed,
  },
  {
    name: "flow removed, nicira",
    message: { ...removed, form: "nicira", hardTimeout: 0, packets: undefined },
    versions: ALL,
  },
  { name: "barrier request", message: { type: "barrier_request" }, versions: ALL },
  { name: "barrier reply", message: { type: "barrier_reply" }, versions: ALL },
  { name: "desc request", message: { type: "desc_request" }, versions: ALL },
  {
    name: "desc reply",
    message: {
      type: "desc_reply",
      manufacturer: "m",
      hardware: "h",
      software: "s",
      serial: "n",
      datapath: "d",
    },
    versions: ALL,
  },
  { name: "flow request", message: { type: "flow_stats_request", ...request }, versions: ALL },
  {
    name: "flow request, nicira",
    message: {
      type: "flow_stats_request",
      form: "nicira",
      ...request,
      cookie: 4n,
      cookieMask: 0xffff_ffff_ffff_ffffn,
    },
    versions: [1],
  },
  {
    name: "aggregate request",
    message: { type: "aggregate_stats_request", ...request, table: 3 },
    versions: ALL,
  },
  {
    name: "flow reply",
    message: { type: "flow_stats_reply", flows: [flow, { ...flow, priority: 0x8000 }] },
    versions: ALL,
  },
  { name: "flow reply, empty", message: { type: "flow_stats_reply", flows: [] }, versions: ALL },
  {
    name: "flow reply, nicira",
    message: {
      type: "flow_stats_reply",
      form: "nicira",
      flows: [{ ...flow, idleAge: 2, hardAge: 3 }],
    },
    versions: [1],
  },
  {
    name: "aggregate reply",
    message: { type: "aggregate_stats_reply", packets: 1n, bytes: 2n, flows: 3 },
    versions: ALL,
  },
  { name: "table request", message: { type: "table_stats_request" }, versions: ALL },
  {
    name: "table reply",
    message: {
      type: "table_stats_reply",
      tables: [{
        table: 0,
        name: "classifier",
        maxEntries: 1_000_000,
        active: 1,
        lookups: 3n,
        matched: 2n,
      }],
    },
    versions: ALL,
    back: (version) => ({
      type: "table_stats_reply",
      tables: [{
        table: 0,
        name: version < 4 ? "classifier" : "",
        maxEntries: version < 4 ? 1_000_000 : 0,
        active: 1,
        lookups: 3n,
        matched: 2n,
      }],
    }),
  },
  { name: "port request", message: { type: "port_stats_request", port: 0xffff }, versions: ALL },
  {
    name: "port reply",
    message: { type: "port_stats_reply", ports: [portStats] },
    versions: ALL,
  },
  {
    name: "port reply with duration",
    message: { type: "port_stats_reply", ports: [{ ...portStats, ...duration }] },
    versions: from(4),
  },
  {
    name: "queue request",
    message: { type: "queue_stats_request", port: 1, queue: 0xffffffff },
    versions: ALL,
  },
  {
    name: "queue reply",
    message: { type: "queue_stats_reply", queues: [queueStats] },
    versions: from(1, 3),
  },
  {
    name: "queue reply with duration",
    message: { type: "queue_stats_reply", queues: [{ ...queueStats, ...duration }] },
    versions: from(4),
  },
  {
    name: "port desc request",
    message: { type: "port_desc_request", port: 0xffff },
    versions: ALL,
  },
  {
    name: "port desc reply",
    message: { type: "port_desc_reply", ports: [port, { ...port, port: 0xfffe, name: "br0" }] },
    versions: ALL,
  },
  {
    name: "queue config request",
    message: { type: "queue_get_config_request", port: 1, queue: 0xffffffff },
    versions: ALL,
  },
  {
    name: "queue config reply",
    message: {
      type: "queue_get_config_reply",
      port: 1,
      queues: [{ port: 1, queue: 3, minRate: 100, maxRate: 500 }],
    },
    versions: ALL,
  },
  {
    name: "role request",
    message: { type: "role_request", role: "primary", generationId: 4n },
    versions: from(3),
  },
  { name: "role reply", message: { type: "role_reply", role: "equal" }, versions: from(3) },
  {
    name: "role request, nicira",
    message: { type: "role_request", form: "nicira", role: "secondary" },
    versions: ALL,
  },
  { name: "get async request", message: { type: "get_async_request" }, versions: from(4) },
  {
    name: "get async reply",
    message: { type: "get_async_reply", masks: fixedMasks },
    versions: from(4),
  },
  { name: "set async", message: { type: "set_async", masks: fixedMasks }, versions: from(4) },
  {
    name: "set async, nicira",
    message: { type: "set_async", form: "nicira", masks: fixedMasks },
    versions: ALL,
  },
  {
    name: "set flow format",
    message: { type: "set_flow_format", format: "nxm" },
    versions: [1],
  },
  {
    name: "flow mod table id",
    message: { type: "flow_mod_table_id", enabled: true },
    versions: ALL,
  },
  {
    name: "set packet-in format",
    message: { type: "set_packet_in_format", format: "nicira2" },
    versions: ALL,
  },
  { name: "flow age", message: { type: "flow_age" }, versions: ALL },
  {
    name: "set controller id",
    message: { type: "set_controller_id", controllerId: 5 },
    versions: ALL,
  },
  ...LATER_FIXTURES,
  ...NESTED_FIXTURES,
  ...EXTENSION_FIXTURES,
];
