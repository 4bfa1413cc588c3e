/** Flow and aggregate statistics: requests and replies, in each version's structure and Nicira's. */
import type { Match } from "../../packet/key.ts";
import { readFlowActions, writeFlowActions } from "../actions/lists.ts";
import { OfError } from "../errors.ts";
import {
  readMatch,
  readMatch10,
  readNxMatch,
  readWholeMatch10,
  writeMatch,
  writeNxMatch,
} from "../match.ts";
import { readPort, writePort } from "../ports.ts";
import { GROUP_ANY, OF13, OF14 } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readOxs, writeOxs } from "./oxs.ts";
import { isNicira, isStandard, list, type MessageContext, type MessageRow, row } from "./rows.ts";
import type { FlowCountsReply, FlowStats, FlowStatsReply, FlowStatsRequest } from "./types.ts";
import { readFlags, writeFlags } from "./flow-mod.ts";

type RequestType = FlowStatsRequest["type"];

function makeRequest(
  type: RequestType,
  match: Match,
  table: number,
  outPort: number,
  rest: Partial<FlowStatsRequest> = {},
): never {
  const request: FlowStatsRequest = {
    type,
    table,
    match,
    outPort,
    outGroup: GROUP_ANY,
    cookie: 0n,
    cookieMask: 0n,
    ...rest,
  };
  return request as never;
}

/** The request of OpenFlow 1.1 and later. */
function modernRequest(type: RequestType, id: string): MessageRow {
  return row<typeof type>({
    type,
    ids: [id],
    when: isStandard,
    read: (reader, { version, loose }) => {
      const table = reader.u8();
      reader.skip(3);
      const outPort = readPort(reader, version);
      const outGroup = reader.u32();
      reader.skip(4);
      const cookie = reader.u64();
      const cookieMask = reader.u64();
      const match = readMatch(reader, version);
      // Open vSwitch looks no further; a switch should.
      if (loose) reader.skip(reader.left);
      return makeRequest(type, match, table, outPort, { outGroup, cookie, cookieMask });
    },
    write: (writer, message: FlowStatsRequest, { version }) => {
      writer.u8(message.table).zeros(3);
      writePort(writer, version, message.outPort);
      writer.u32(message.outGroup).zeros(4).u64(message.cookie).u64(message.cookieMask);
      writeMatch(writer, version, message.match);
    },
  });
}

function flowRequest(type: RequestType, number: number, nicira: number): MessageRow[] {
  return [
    row<typeof type>({
      type,
      ids: [`OFPST_REQUEST 1.0(${number})`],
      when: isStandard,
      read: (reader) => {
        const match = readMatch10(reader);
        const table = reader.u8();
        reader.skip(1);
        return makeRequest(type, match, table, reader.u16());
      },
      write: (writer, message: FlowStatsRequest, { version }) => {
        writeMatch(writer, version, message.match);
        writer.u8(message.table).zeros(1).u16(message.outPort);
      },
    }),
    modernRequest(type, `OFPST_REQUEST 1.1+(${number})`),
    row<typeof type>({
      type,
      ids: [`NXST_REQUEST 1.0(${nicira})`],
      when: isNicira,
      read: (reader) => {
        const outPort = reader.u16();
        const matchLength = reader.u16();
        const table = reader.u8();
        reader.skip(3);
        const { match, cookie, cookieMask } = readNxMatch(reader, matchLength, { cookie: true });
        reader.finish("flow statistics request");
        return makeRequest(type, match, table, outPort, { form: "nicira", cookie, cookieMask });
      },
      write: (writer, message: FlowStatsRequest) => {
        writer.u16(message.outPort);
        const lengthAt = writer.length;
        writer.u16(0).u8(message.table).zeros(3);
        const length = writeNxMatch(writer, message.match, message.cookie, message.cookieMask);
        writer.patch16(lengthAt, length);
      },
    }),
  ];
}

/** The next entry of a flow statistics reply, which begins with its own length. */
function entry(reader: Reader, minimum: number): Reader {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < minimum || length > reader.left) {
    throw new OfError("OFPBRC_BAD_LEN", at, `entry of ${length} bytes, ${reader.left} are left`);
  }
  const body = reader.sub(length);
  body.skip(2);
  return body;
}

function readFlow10(reader: Reader, { version }: MessageContext): FlowStats {
  const body = entry(reader, 88);
  const table = body.u8();
  body.skip(1);
  const match = readWholeMatch10(body);
  const durationSeconds = body.u32();
  const durationNanoseconds = body.u32();
  const priority = body.u16();
  const idleTimeout = body.u16();
  const hardTimeout = body.u16();
  body.skip(6);
  return {
    table,
    match,
    priority,
    durationSeconds,
    durationNanoseconds,
    idleTimeout,
    hardTimeout,
    cookie: body.u64(),
    packets: body.counter(),
    bytes: body.counter(),
    importance: 0,
    flags: 0,
    actions: readFlowActions(body, version),
  };
}

function writeFlow10(writer: Writer, flow: FlowStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).u8(flow.table).zeros(1);
  writeMatch(writer, version, flow.match);
  writer.u32(flow.durationSeconds).u32(flow.durationNanoseconds).u16(flow.priority);
  writer.u16(flow.idleTimeout).u16(flow.hardTimeout).zeros(6).u64(flow.cookie);
  writer.u64(flow.packets ?? 0n).u64(flow.bytes ?? 0n);
  writeFlowActions(writer, version, flow.actions, flow.match.key);
  writer.end(open);
}

function readFlow11(reader: Reader, { version, loose }: MessageContext): FlowStats {
  const body = entry(reader, 48);
  const table = body.u8();
  body.skip(1);
  const durationSeconds = body.u32();
  const durationNanoseconds = body.u32();
  const priority = body.u16();
  const idleTimeout = body.u16();
  const hardTimeout = body.u16();
  const at = body.offset;
  const flags = body.u16();
  const importance = body.u16();
  body.skip(2);
  const cookie = body.u64();
  const packets = body.counter();
  const bytes = body.counter();
  const match = readMatch(body, version, { loose, passing: true });
  return {
    table,
    match,
    priority,
    cookie,
    durationSeconds,
    durationNanoseconds,
    idleTimeout,
    hardTimeout,
    importance: version >= OF14 ? importance : 0,
    flags: version >= OF13 ? readFlags(flags, version, at) : 0,
    packets,
    bytes,
    actions: readFlowActions(body, version),
  };
}

function writeFlow11(writer: Writer, flow: FlowStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).u8(flow.table).zeros(1);
  writer.u32(flow.durationSeconds).u32(flow.durationNanoseconds).u16(flow.priority);
  writer.u16(flow.idleTimeout).u16(flow.hardTimeout);
  writer.u16(version >= OF13 ? writeFlags(flow.flags, version) : 0);
  writer.u16(version >= OF14 ? flow.importance : 0).zeros(2).u64(flow.cookie);
  writer.u64(flow.packets ?? 0n).u64(flow.bytes ?? 0n);
  writeMatch(writer, version, flow.match);
  writeFlowActions(writer, version, flow.actions, flow.match.key);
  writer.end(open);
}

function readFlow15(reader: Reader, { version, loose }: MessageContext): FlowStats {
  const body = entry(reader, 32);
  body.skip(2);
  const table = body.u8();
  body.skip(1);
  const priority = body.u16();
  const idleTimeout = body.u16();
  const hardTimeout = body.u16();
  const at = body.offset;
  const flags = readFlags(body.u16(), version, at);
  const importance = body.u16();
  const cookie = body.u64();
  const match = readMatch(body, version, { loose, passing: true });
  const stats = readOxs(body);
  return {
    table,
    match,
    priority,
    cookie,
    durationSeconds: stats.durationSeconds ?? 0,
    durationNanoseconds: stats.durationNanoseconds ?? 0,
    idleTimeout,
    hardTimeout,
    idleAge: stats.idleSeconds,
    importance,
    flags,
    packets: stats.packets,
    bytes: stats.bytes,
    actions: readFlowActions(body, version),
  };
}

function writeFlow15(writer: Writer, flow: FlowStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).zeros(2).u8(flow.table).zeros(1).u16(flow.priority);
  writer.u16(flow.idleTimeout).u16(flow.hardTimeout).u16(writeFlags(flow.flags, version));
  writer.u16(flow.importance).u64(flow.cookie);
  writeMatch(writer, version, flow.match);
  writeOxs(writer, {
    durationSeconds: flow.durationSeconds,
    durationNanoseconds: flow.durationNanoseconds,
    idleSeconds: flow.idleAge,
    packets: flow.packets,
    bytes: flow.bytes,
  });
  writeFlowActions(writer, version, flow.actions, flow.match.key);
  writer.end(open);
}

/** Ages are sent as one more than they are; zero says that the switch does not know. */
const ageFromWire = (wire: number): number | undefined => wire === 0 ? undefined : wire - 1;
const ageToWire = (age: number | undefined): number =>
  age === undefined ? 0 : Math.min(age + 1, 0xffff);

function readNxFlow(reader: Reader, { version, loose }: MessageContext): FlowStats {
  const body = entry(reader, 48);
  const table = body.u8();
  body.skip(1);
  const durationSeconds = body.u32();
  const durationNanoseconds = body.u32();
  const priority = body.u16();
  const idleTimeout = body.u16();
  const hardTimeout = body.u16();
  const matchLength = body.u16();
  const idleAge = ageFromWire(body.u16());
  const hardAge = ageFromWire(body.u16());
  const cookie = body.u64();
  const packets = body.counter();
  const bytes = body.counter();
  const { match } = readNxMatch(body, matchLength, { loose, passing: true });
  return {
    table,
    match,
    priority,
    cookie,
    durationSeconds,
    durationNanoseconds,
    idleTimeout,
    hardTimeout,
    idleAge,
    hardAge,
    importance: 0,
    flags: 0,
    packets,
    bytes,
    actions: readFlowActions(body, version),
  };
}

function writeNxFlow(writer: Writer, flow: FlowStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).u8(flow.table).zeros(1);
  writer.u32(flow.durationSeconds).u32(flow.durationNanoseconds).u16(flow.priority);
  writer.u16(flow.idleTimeout).u16(flow.hardTimeout);
  const lengthAt = writer.length;
  writer.u16(0).u16(ageToWire(flow.idleAge)).u16(ageToWire(flow.hardAge)).u64(flow.cookie);
  writer.counter(flow.packets).counter(flow.bytes);
  writer.patch16(lengthAt, writeNxMatch(writer, flow.match));
  writeFlowActions(writer, version, flow.actions, flow.match.key);
  writer.end(open);
}

function flowReply(
  id: string,
  form: "nicira" | undefined,
  readItem: (reader: Reader, context: MessageContext) => FlowStats,
  writeItem: (writer: Writer, flow: FlowStats, context: MessageContext) => void,
): MessageRow {
  return list<"flow_stats_reply", FlowStats>("flow_stats_reply", [id], {
    when: form ? isNicira : isStandard,
    make: (flows): FlowStatsReply => ({
      type: "flow_stats_reply",
      ...(form ? { form } : {}),
      flows,
    }),
    items: (message) => message.flows,
    readItem,
    writeItem,
  });
}

function aggregateReply(id: string, form: "nicira" | undefined): MessageRow {
  return row<"aggregate_stats_reply">({
    type: "aggregate_stats_reply",
    ids: [id],
    when: form ? isNicira : isStandard,
    read: (reader) => {
      const packets = reader.counter();
      const bytes = reader.counter();
      const flows = reader.u32();
      reader.skip(4);
      return { type: "aggregate_stats_reply", ...(form ? { form } : {}), packets, bytes, flows };
    },
    write: (writer, message) => {
      const unknown = form ? 0xffff_ffff_ffff_ffffn : 0n;
      writer.u64(message.packets ?? unknown).u64(message.bytes ?? unknown);
      writer.u32(message.flows).zeros(4);
    },
  });
}

/** OpenFlow 1.5.1 §7.3.5.3: `ofp_flow_stats`. */
type FlowCounts = FlowCountsReply["flows"][number];
const COUNT_REASONS: readonly FlowCounts["reason"][] = ["request", "trigger"];

function readCounts(reader: Reader, { version, loose }: MessageContext): FlowCounts {
  const at = reader.offset;
  const body = entry(reader, 16);
  body.skip(2);
  const table = body.u8();
  const reason = COUNT_REASONS[body.u8()];
  if (!reason) throw new OfError("OFPBPC_BAD_VALUE", at, "no such reason for statistics");
  const priority = body.u16();
  const match = readMatch(body, version, { loose, passing: true });
  const stats = readOxs(body);
  return {
    table,
    reason,
    priority,
    match,
    durationSeconds: stats.durationSeconds ?? 0,
    durationNanoseconds: stats.durationNanoseconds ?? 0,
    ...(stats.idleSeconds !== undefined && { idleAge: stats.idleSeconds }),
    packets: stats.packets,
    bytes: stats.bytes,
  };
}

function writeCounts(writer: Writer, flow: FlowCounts, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).zeros(2).u8(flow.table).u8(COUNT_REASONS.indexOf(flow.reason)).u16(flow.priority);
  writeMatch(writer, version, flow.match);
  writeOxs(writer, { ...flow, idleSeconds: flow.idleAge });
  writer.end(open);
}

export const FLOW_STATS_ROWS: readonly MessageRow[] = [
  // The rows of the three kinds of request differ in their numbers only.
  modernRequest("flow_counts_request", "OFPST_REQUEST 1.5(17)"),
  list<"flow_counts_reply", FlowCounts>("flow_counts_reply", ["OFPST_REPLY 1.5(17)"], {
    make: (flows) => ({ type: "flow_counts_reply", flows }),
    items: (message) => message.flows,
    readItem: readCounts,
    writeItem: writeCounts,
  }),
  ...flowRequest("flow_stats_request", 1, 0),
  ...flowRequest("aggregate_stats_request", 2, 1),
  flowReply("OFPST_REPLY 1.0(1)", undefined, readFlow10, writeFlow10),
  flowReply("OFPST_REPLY 1.1-1.4(1)", undefined, readFlow11, writeFlow11),
  flowReply("OFPST_REPLY 1.5(1)", undefined, readFlow15, writeFlow15),
  flowReply("NXST_REPLY 1.0(0)", "nicira", readNxFlow, writeNxFlow),
  aggregateReply("OFPST_REPLY 1.0-1.4(2)", undefined),
  aggregateReply("NXST_REPLY 1.0(1)", "nicira"),
  row<"aggregate_stats_reply">({
    type: "aggregate_stats_reply",
    ids: ["OFPST_REPLY 1.5(2)"],
    when: isStandard,
    read: (reader) => {
      const { packets, bytes, flows } = readOxs(reader);
      return { type: "aggregate_stats_reply", packets, bytes, flows: flows ?? 0 };
    },
    write: (writer, { packets, bytes, flows }) => writeOxs(writer, { packets, bytes, flows }),
  }),
];
