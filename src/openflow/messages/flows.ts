/** Flow-mods, flow-removed, flow and aggregate statistics, in the standard's and Nicira's forms. */
import type { Match } from "../../packet/key.ts";
import { readInstructions, writeInstructions } from "../actions/instructions.ts";
import { OfError } from "../errors.ts";
import { readMatch, readMatch10, readNxMatch, writeMatch, writeNxMatch } from "../match.ts";
import { readPort, writePort } from "../ports.ts";
import {
  GROUP_ANY,
  OF10,
  OF11,
  OF12,
  OF13,
  OF14,
  type OfVersion,
  PORTS,
  TABLE_ALL,
} from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readOxs, writeOxs } from "./oxs.ts";
import { isNicira, isStandard, list, type MessageContext, type MessageRow, row } from "./rows.ts";
import {
  FLOW_FLAGS,
  type FlowCommand,
  type FlowMod,
  type FlowRemoved,
  type FlowStats,
  type FlowStatsReply,
  type FlowStatsRequest,
} from "./types.ts";

const COMMANDS: readonly FlowCommand[] = [
  "add",
  "modify",
  "modify_strict",
  "delete",
  "delete_strict",
];
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const NO_BUFFER = 0xffffffff;

const bufferId = (wire: number): { bufferId?: number } =>
  wire === NO_BUFFER ? {} : { bufferId: wire };

/** Wire bits of OFPFF_* by version ↔ `FLOW_FLAGS`. */
function flagTable(version: OfVersion): readonly (readonly [number, number])[] {
  const table: [number, number][] = [
    [1 << 0, FLOW_FLAGS.SEND_FLOW_REM],
    [1 << 1, FLOW_FLAGS.CHECK_OVERLAP],
  ];
  if (version === OF10) table.push([1 << 2, FLOW_FLAGS.EMERGENCY]);
  if (version >= OF12) table.push([1 << 2, FLOW_FLAGS.RESET_COUNTS]);
  if (version >= OF13) {
    table.push([1 << 3, FLOW_FLAGS.NO_PKT_COUNTS], [1 << 4, FLOW_FLAGS.NO_BYT_COUNTS]);
  }
  return table;
}

function readFlags(wire: number, version: OfVersion, at: number): number {
  let flags = 0;
  let rest = wire;
  for (const [bit, flag] of flagTable(version)) {
    if (rest & bit) flags |= flag;
    rest &= ~bit;
  }
  if (rest !== 0) {
    throw new OfError("OFPFMFC_BAD_FLAGS", at, `flags 0x${rest.toString(16)} are unknown`);
  }
  return flags;
}

function writeFlags(flags: number, version: OfVersion): number {
  let wire = 0;
  for (const [bit, flag] of flagTable(version)) if (flags & flag) wire |= bit;
  return wire;
}

function commandOf(number: number, at: number): FlowCommand {
  const command = COMMANDS[number];
  if (!command) throw new OfError("OFPFMFC_BAD_COMMAND", at, `flow command ${number} is unknown`);
  return command;
}

const isDelete = (command: FlowCommand): boolean => command.startsWith("delete");

/** In 1.0 and 1.1 an add always resets counters. Emergency flows do not exist in later versions. */
function finishFlags(flags: number, message: { command: FlowCommand }, version: OfVersion): number {
  return version < OF12 && message.command === "add" ? flags | FLOW_FLAGS.RESET_COUNTS : flags;
}

/** What follows the match in the 1.0 structures: from command to flags. */
interface Tail10 {
  readonly command: FlowCommand;
  readonly table: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly priority: number;
  readonly buffer: number;
  readonly outPort: number;
  readonly flags: number;
}

function readTail10(reader: Reader, { version, flowModTableId }: MessageContext): Tail10 {
  const at = reader.offset;
  const word = reader.u16();
  const command = commandOf(flowModTableId ? word & 0xff : word, at);
  const idleTimeout = reader.u16();
  const hardTimeout = reader.u16();
  const priority = reader.u16();
  const buffer = reader.u32();
  const outPort = reader.u16();
  const flagsAt = reader.offset;
  return {
    command,
    table: flowModTableId ? word >> 8 : TABLE_ALL,
    idleTimeout,
    hardTimeout,
    priority,
    buffer,
    outPort,
    flags: finishFlags(readFlags(reader.u16(), version, flagsAt), { command }, version),
  };
}

function writeTail10(
  writer: Writer,
  message: FlowMod,
  { version, flowModTableId }: MessageContext,
): void {
  const command = COMMANDS.indexOf(message.command);
  writer.u16(flowModTableId ? (message.table << 8) | command : command);
  writer.u16(message.idleTimeout).u16(message.hardTimeout).u16(message.priority);
  writer.u32(message.bufferId ?? NO_BUFFER).u16(message.outPort);
  writer.u16(writeFlags(message.flags, version));
}

function readFlowMod10(reader: Reader, context: MessageContext): FlowMod {
  const exact = (reader.peek32() & 0x3fffff) === 0;
  const match = readMatch10(reader);
  const newCookie = reader.u64();
  const { buffer, ...tail } = readTail10(reader, context);
  return {
    type: "flow_mod",
    ...tail,
    // "Exact-match entries are always the highest priority" (OpenFlow 1.0 §3.4).
    priority: exact ? 0xffff : tail.priority,
    match,
    cookie: 0n,
    cookieMask: 0n,
    newCookie,
    modifyCookie: newCookie !== ALL_ONES,
    importance: 0,
    ...bufferId(buffer),
    outGroup: GROUP_ANY,
    actions: readInstructions(reader, context.version),
  };
}

function readNxFlowMod(reader: Reader, context: MessageContext): FlowMod {
  const newCookie = reader.u64();
  const { buffer, ...tail } = readTail10(reader, context);
  const matchLength = reader.u16();
  reader.skip(6);
  const at = reader.offset;
  const { match, cookie, cookieMask } = readNxMatch(reader, matchLength, { cookie: true });
  if (tail.command === "add" && cookieMask !== 0n) {
    throw new OfError("NXBRC_NXM_INVALID", at, "an added flow cannot match a cookie");
  }
  return {
    type: "flow_mod",
    form: "nicira",
    ...tail,
    match,
    cookie,
    cookieMask,
    newCookie,
    modifyCookie: newCookie !== ALL_ONES,
    importance: 0,
    ...bufferId(buffer),
    outGroup: GROUP_ANY,
    actions: readInstructions(reader, context.version),
  };
}

function readFlowMod11(reader: Reader, context: MessageContext): FlowMod {
  const { version } = context;
  const cookie = reader.u64();
  const cookieMask = reader.u64();
  const at = reader.offset;
  const table = reader.u8();
  const command = commandOf(reader.u8(), at + 1);
  const idleTimeout = reader.u16();
  const hardTimeout = reader.u16();
  const priority = reader.u16();
  const buffer = reader.u32();
  const outPort = readPort(reader, version);
  const outGroup = reader.u32();
  const flagsAt = reader.offset;
  const flags = reader.u16();
  const importance = reader.u16();
  const match = readMatch(reader, version);
  const actions = readInstructions(reader, version);
  if (table === TABLE_ALL && (version === OF11 || !isDelete(command))) {
    throw new OfError("OFPFMFC_BAD_TABLE_ID", at, "table 255 stands for all and only to delete");
  }
  // 1.1 alone: a modify that matches no cookie adds the flow when it finds none.
  const sets = command === "add" ||
    (version === OF11 && !isDelete(command) && cookieMask === 0n);
  return {
    type: "flow_mod",
    command,
    table,
    match,
    priority,
    cookie: sets ? 0n : cookie,
    cookieMask: sets ? 0n : cookieMask,
    newCookie: sets ? cookie : ALL_ONES,
    modifyCookie: false,
    idleTimeout,
    hardTimeout,
    importance: version >= OF14 && command === "add" ? importance : 0,
    flags: finishFlags(readFlags(flags, version, flagsAt), { command }, version),
    ...bufferId(buffer),
    outPort,
    outGroup: isDelete(command) ? outGroup : GROUP_ANY,
    actions,
  };
}

function writeFlowMod11(writer: Writer, message: FlowMod, { version }: MessageContext): void {
  const sets = message.command === "add" ||
    (version === OF11 && !isDelete(message.command) && message.cookieMask === 0n);
  writer.u64(sets ? message.newCookie : message.cookie & message.cookieMask);
  writer.u64(message.cookieMask);
  const all = message.table === TABLE_ALL && (version === OF11 || !isDelete(message.command));
  writer.u8(all ? 0 : message.table).u8(COMMANDS.indexOf(message.command));
  writer.u16(message.idleTimeout).u16(message.hardTimeout).u16(message.priority);
  writer.u32(message.bufferId ?? NO_BUFFER);
  writePort(writer, version, message.outPort);
  writer.u32(message.outGroup).u16(writeFlags(message.flags, version));
  writer.u16(version >= OF14 && message.command === "add" ? message.importance : 0);
  writeMatch(writer, version, message.match);
  writeInstructions(writer, version, message.actions, message.match.key);
}

const REMOVED_REASONS: readonly FlowRemoved["reason"][] = [
  "idle_timeout",
  "hard_timeout",
  "delete",
  "group_delete",
  "meter_delete",
  "eviction",
];
/** Reasons that a version lacks become "delete" (the later ones), as in Open vSwitch. */
function removedReason(reason: FlowRemoved["reason"], version: OfVersion): number {
  const number = REMOVED_REASONS.indexOf(reason);
  const known = version >= OF14 ? 5 : version >= OF11 ? 3 : 2;
  return number <= known ? number : 2;
}

function readRemovedReason(reader: Reader): FlowRemoved["reason"] {
  const at = reader.offset;
  const reason = REMOVED_REASONS[reader.u8()];
  if (!reason) throw new OfError("NXBRC_BAD_REASON", at, "flow removed reason is unknown");
  return reason;
}

const FLOW_REMOVED_ROWS: readonly MessageRow[] = [
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.0(11)"],
    when: isStandard,
    read: (reader) => {
      const match = readMatch10(reader);
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      reader.skip(1);
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      reader.skip(2);
      const packets = reader.counter();
      const bytes = reader.counter();
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table: TABLE_ALL,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout: 0,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writeMatch(writer, version, message.match);
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).zeros(1);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout).zeros(2).u64(message.packets ?? 0n).u64(message.bytes ?? 0n);
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.1-1.4(11)"],
    when: isStandard,
    read: (reader, { version, loose }) => {
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      const table = reader.u8();
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      const hardTimeout = reader.u16();
      const packets = reader.counter();
      const bytes = reader.counter();
      const match = readMatch(reader, version, { loose });
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).u8(message.table);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout).u16(message.hardTimeout);
      writer.u64(message.packets ?? 0n).u64(message.bytes ?? 0n);
      writeMatch(writer, version, message.match);
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.5(11)"],
    when: isStandard,
    read: (reader, { version, loose }) => {
      const table = reader.u8();
      const reason = readRemovedReason(reader);
      const priority = reader.u16();
      const idleTimeout = reader.u16();
      const hardTimeout = reader.u16();
      const cookie = reader.u64();
      const match = readMatch(reader, version, { loose });
      const stats = readOxs(reader);
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds: stats.durationSeconds ?? 0,
        durationNanoseconds: stats.durationNanoseconds ?? 0,
        idleTimeout,
        hardTimeout,
        packets: stats.packets,
        bytes: stats.bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u8(message.table).u8(removedReason(message.reason, version)).u16(message.priority);
      writer.u16(message.idleTimeout).u16(message.hardTimeout).u64(message.cookie);
      writeMatch(writer, version, message.match);
      const { durationSeconds, durationNanoseconds, packets, bytes } = message;
      writeOxs(writer, { durationSeconds, durationNanoseconds, packets, bytes });
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["NXT 1.0+(14)"],
    when: isNicira,
    read: (reader, { loose }) => {
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      // Zero from switches that do not say, else one more than the table.
      const table = (reader.u8() - 1) & 0xff;
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      const matchLength = reader.u16();
      const packets = reader.counter();
      const bytes = reader.counter();
      const { match } = readNxMatch(reader, matchLength, { loose });
      return {
        type: "flow_removed",
        form: "nicira",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout: 0,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).u8((message.table + 1) & 0xff);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout);
      const lengthAt = writer.length;
      writer.u16(0).counter(message.packets).counter(message.bytes);
      writer.patch16(lengthAt, writeNxMatch(writer, message.match));
    },
  }),
];

function flowRequest(type: FlowStatsRequest["type"], number: number, nicira: number): MessageRow[] {
  const make = (
    match: Match,
    table: number,
    outPort: number,
    rest: Partial<FlowStatsRequest> = {},
  ): never =>
    ({
      type,
      table,
      match,
      outPort,
      outGroup: GROUP_ANY,
      cookie: 0n,
      cookieMask: 0n,
      ...rest,
    }) as never;
  return [
    row<typeof type>({
      type,
      ids: [`OFPST_REQUEST 1.0(${number})`],
      when: isStandard,
      read: (reader) => {
        const match = readMatch10(reader);
        const table = reader.u8();
        reader.skip(1);
        return make(match, table, reader.u16());
      },
      write: (writer, message: FlowStatsRequest, { version }) => {
        writeMatch(writer, version, message.match);
        writer.u8(message.table).zeros(1).u16(message.outPort);
      },
    }),
    row<typeof type>({
      type,
      ids: [`OFPST_REQUEST 1.1+(${number})`],
      when: isStandard,
      read: (reader, { version }) => {
        const table = reader.u8();
        reader.skip(3);
        const outPort = readPort(reader, version);
        const outGroup = reader.u32();
        reader.skip(4);
        const cookie = reader.u64();
        const cookieMask = reader.u64();
        const match = readMatch(reader, version);
        return make(match, table, outPort, { outGroup, cookie, cookieMask });
      },
      write: (writer, message: FlowStatsRequest, { version }) => {
        writer.u8(message.table).zeros(3);
        writePort(writer, version, message.outPort);
        writer.u32(message.outGroup).zeros(4).u64(message.cookie).u64(message.cookieMask);
        writeMatch(writer, version, message.match);
      },
    }),
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
        return make(match, table, outPort, { form: "nicira", cookie, cookieMask });
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
  const match = readMatch10(body);
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
    actions: readInstructions(body, version),
  };
}

function writeFlow10(writer: Writer, flow: FlowStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).u8(flow.table).zeros(1);
  writeMatch(writer, version, flow.match);
  writer.u32(flow.durationSeconds).u32(flow.durationNanoseconds).u16(flow.priority);
  writer.u16(flow.idleTimeout).u16(flow.hardTimeout).zeros(6).u64(flow.cookie);
  writer.u64(flow.packets ?? 0n).u64(flow.bytes ?? 0n);
  writeInstructions(writer, version, flow.actions, flow.match.key);
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
  const match = readMatch(body, version, { loose });
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
    actions: readInstructions(body, version),
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
  writeInstructions(writer, version, flow.actions, flow.match.key);
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
  const match = readMatch(body, version, { loose });
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
    ...(stats.idleSeconds === undefined ? {} : { idleAge: stats.idleSeconds }),
    importance,
    flags,
    packets: stats.packets,
    bytes: stats.bytes,
    actions: readInstructions(body, version),
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
  writeInstructions(writer, version, flow.actions, flow.match.key);
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
  const { match } = readNxMatch(body, matchLength, { loose });
  return {
    table,
    match,
    priority,
    cookie,
    durationSeconds,
    durationNanoseconds,
    idleTimeout,
    hardTimeout,
    ...(idleAge === undefined ? {} : { idleAge }),
    ...(hardAge === undefined ? {} : { hardAge }),
    importance: 0,
    flags: 0,
    packets,
    bytes,
    actions: readInstructions(body, version),
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
  writeInstructions(writer, version, flow.actions, flow.match.key);
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

export const FLOW_ROWS: readonly MessageRow[] = [
  row<"flow_mod">({
    type: "flow_mod",
    ids: ["OFPT 1.0(14)"],
    when: isStandard,
    read: readFlowMod10,
    write: (writer, message, context) => {
      writeMatch(writer, context.version, message.match);
      writer.u64(message.newCookie);
      writeTail10(writer, message, context);
      writeInstructions(writer, context.version, message.actions, message.match.key);
    },
  }),
  row<"flow_mod">({
    type: "flow_mod",
    ids: ["OFPT 1.1+(14)"],
    when: isStandard,
    read: readFlowMod11,
    write: writeFlowMod11,
  }),
  row<"flow_mod">({
    type: "flow_mod",
    ids: ["NXT 1.0+(13)"],
    when: isNicira,
    read: readNxFlowMod,
    write: (writer, message, context) => {
      writer.u64(message.newCookie);
      writeTail10(writer, message, context);
      const lengthAt = writer.length;
      writer.u16(0).zeros(6);
      const length = writeNxMatch(writer, message.match, message.cookie, message.cookieMask);
      writer.patch16(lengthAt, length);
      writeInstructions(writer, context.version, message.actions, message.match.key);
    },
  }),
  ...FLOW_REMOVED_ROWS,
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

export const ANY_REQUEST = { outPort: PORTS.ANY, outGroup: GROUP_ANY, table: TABLE_ALL } as const;
