/** Extensions, OpenFlow 1.5's own messages, and what is told in asynchronous ones. */
import { type Rfc2819, RFC2819_COUNTERS } from "../../../src/openflow/messages/types.ts";
import { ALL, type Fixture, from, match } from "./fixture.ts";

const rfc2819 = Object.fromEntries(
  RFC2819_COUNTERS.map((name, i) => [name, BigInt(i)]),
) as unknown as Rfc2819;
const mapping = { optionClass: 0x102, optionType: 0x80, optionLength: 4, index: 0 };
const v4 = (last: number): bigint => 0xffff_0a00_0000n + BigInt(last);
const controller = {
  shortId: 7,
  role: "primary",
  channelUp: true,
  uri: "tcp:127.0.0.1:6653",
} as const;
const ipfix = {
  totalFlows: 10n,
  currentFlows: 2n,
  packets: 100n,
  ipv4Packets: 60n,
  ipv6Packets: 40n,
  errorPackets: 3n,
  ipv4ErrorPackets: 2n,
  ipv6ErrorPackets: 1n,
  sentPackets: 9n,
  sendErrors: 1n,
  collectorSet: 0,
};

export const EXTENSION_FIXTURES: readonly Fixture[] = [
  {
    name: "TLV table mod",
    message: {
      type: "tlv_table_mod",
      command: "add",
      mappings: [mapping, { ...mapping, optionType: 1, optionLength: 124, index: 63 }],
    },
    versions: ALL,
  },
  {
    name: "TLV table clear",
    message: { type: "tlv_table_mod", command: "clear", mappings: [] },
    versions: ALL,
  },
  { name: "TLV table request", message: { type: "tlv_table_request" }, versions: ALL },
  {
    name: "TLV table reply",
    message: { type: "tlv_table_reply", maxSpace: 256, maxFields: 64, mappings: [mapping] },
    versions: ALL,
  },
  { name: "ct flush zone", message: { type: "ct_flush_zone", zone: 5 }, versions: ALL },
  {
    name: "ct flush",
    message: {
      type: "ct_flush",
      protocol: 17,
      zone: 5,
      original: { source: v4(1), destination: v4(2), sourcePort: 1, destinationPort: 2 },
      reply: {},
    },
    versions: ALL,
  },
  {
    name: "ct flush of ICMP",
    message: {
      type: "ct_flush",
      protocol: 1,
      original: {},
      reply: { source: v4(1), destination: v4(2), icmpId: 9, icmpType: 0, icmpCode: 0 },
    },
    versions: ALL,
  },
  { name: "IPFIX of the bridge", message: { type: "ipfix_bridge_request" }, versions: ALL },
  {
    name: "IPFIX of the bridge, reply",
    message: { type: "ipfix_bridge_reply", stats: [ipfix] },
    versions: ALL,
  },
  { name: "IPFIX of flows", message: { type: "ipfix_flow_request" }, versions: ALL },
  {
    name: "IPFIX of flows, reply",
    message: { type: "ipfix_flow_reply", stats: [ipfix, { ...ipfix, collectorSet: 2 }] },
    versions: ALL,
  },
  ...(["flow_monitor_paused", "flow_monitor_resumed"] as const).flatMap((type): Fixture[] => [
    { name: `${type}, nicira`, message: { type, form: "nicira" }, versions: [1, 2, 3] },
    { name: `${type}, ONF`, message: { type, form: "onf" }, versions: [4] },
  ]),
  {
    name: "flow monitor paused and resumed",
    message: { type: "flow_monitor_reply", updates: [{ event: "paused" }, { event: "resumed" }] },
    versions: from(5),
  },
  {
    name: "controller status",
    message: { type: "controller_status", ...controller, reason: "role" },
    versions: [6],
    opaque: true,
  },
  {
    name: "controller status request",
    message: { type: "controller_status_request" },
    versions: [6],
    opaque: true,
  },
  {
    name: "controller status reply",
    message: {
      type: "controller_status_reply",
      controllers: [
        { ...controller, reason: "request" },
        { ...controller, shortId: 0, reason: "request", role: "nochange", channelUp: false },
      ],
    },
    versions: [6],
    opaque: true,
  },
  {
    name: "bundle features request",
    message: { type: "bundle_features_request", features: 1 },
    versions: [6],
    opaque: true,
  },
  {
    name: "bundle features reply",
    message: { type: "bundle_features_reply", capabilities: 3 },
    versions: [6],
    opaque: true,
  },
  {
    name: "flow counts request",
    message: {
      type: "flow_counts_request",
      table: 0xff,
      match,
      outPort: 0xffff,
      outGroup: 0xffffffff,
      cookie: 0n,
      cookieMask: 0n,
    },
    versions: [6],
    opaque: true,
  },
  {
    name: "flow counts reply",
    message: {
      type: "flow_counts_reply",
      flows: [{
        table: 1,
        reason: "request",
        priority: 5,
        match,
        durationSeconds: 3,
        durationNanoseconds: 4000,
        idleAge: 2,
        packets: 7n,
        bytes: 700n,
      }],
    },
    versions: [6],
    opaque: true,
  },
  {
    name: "role request with a short id",
    message: { type: "role_request", role: "primary", generationId: 4n, shortId: 9 },
    versions: [6],
  },
  {
    name: "set async, second of Nicira",
    message: {
      type: "set_async",
      form: "nicira2",
      masks: {
        packet_in: { primary: 7, secondary: 1 },
        table_status: { primary: 0x18, secondary: 0 },
        requestforward: { primary: 3, secondary: 3 },
      },
    },
    versions: [1, 2, 3, 4],
  },
  {
    name: "set async of 1.5",
    message: {
      type: "set_async",
      masks: { controller_status: { primary: 0x3f, secondary: 0 } },
    },
    versions: [6],
    opaque: true,
  },
  {
    name: "port statistics with Intel's",
    message: {
      type: "port_stats_reply",
      ports: [{
        port: 1,
        rxPackets: 1n,
        txPackets: 2n,
        rxBytes: 3n,
        txBytes: 4n,
        rxDropped: 5n,
        txDropped: undefined,
        rxErrors: 6n,
        txErrors: 7n,
        rxFrameErrors: 8n,
        rxOverErrors: 9n,
        rxCrcErrors: 10n,
        collisions: 11n,
        durationSeconds: 20,
        durationNanoseconds: 5_000_000,
        rfc2819,
        custom: [{ name: "rx_tunnelled", value: 12n }, { name: "odd", value: undefined }],
      }],
    },
    versions: from(5),
  },
];
