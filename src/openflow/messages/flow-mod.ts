/** Flow-mods in each version's structure and in Nicira's. */
import { readFlowActions, writeFlowActions } from "../actions/lists.ts";
import { OfError } from "../errors.ts";
import { readMatch, readMatch10, readNxMatch, writeMatch, writeNxMatch } from "../match.ts";
import { readPort, writePort } from "../ports.ts";
import { GROUP_ANY, OF10, OF11, OF12, OF13, OF14, type OfVersion, TABLE_ALL } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { isNicira, isStandard, type MessageContext, type MessageRow, row } from "./rows.ts";
import { FLOW_FLAGS, type FlowCommand, type FlowMod } from "./types.ts";

const COMMANDS: readonly FlowCommand[] = [
  "add",
  "modify",
  "modify_strict",
  "delete",
  "delete_strict",
];
/** A switch that takes a flow-mod keeps what its match says, not the record. */
const PASSING = { passing: true } as const;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const NO_BUFFER = 0xffffffff;

const bufferId = (wire: number): { bufferId?: number } =>
  wire === NO_BUFFER ? {} : { bufferId: wire };

/** By version: wire bits of OFPFF_* ↔ `FLOW_FLAGS`. */
const FLAGS: readonly (readonly (readonly [number, number])[])[] = ([0, 1, 2, 3, 4, 5, 6] as const)
  .map((version) => version === 0 ? [] : flagsOf(version));

function flagsOf(version: OfVersion): readonly (readonly [number, number])[] {
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

export function readFlags(wire: number, version: OfVersion, at: number): number {
  let flags = 0;
  let rest = wire;
  for (const [bit, flag] of FLAGS[version]!) {
    if (rest & bit) flags |= flag;
    rest &= ~bit;
  }
  if (rest !== 0) {
    throw new OfError("OFPFMFC_BAD_FLAGS", at, `flags 0x${rest.toString(16)} are unknown`);
  }
  return flags;
}

export function writeFlags(flags: number, version: OfVersion): number {
  let wire = 0;
  for (const [bit, flag] of FLAGS[version]!) if (flags & flag) wire |= bit;
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
    actions: readFlowActions(reader, context.version),
  };
}

function readNxFlowMod(reader: Reader, context: MessageContext): FlowMod {
  const newCookie = reader.u64();
  const { buffer, ...tail } = readTail10(reader, context);
  const matchLength = reader.u16();
  reader.skip(6);
  const at = reader.offset;
  const { match, cookie, cookieMask } = readNxMatch(reader, matchLength, {
    cookie: true,
    passing: true,
  });
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
    actions: readFlowActions(reader, context.version),
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
  const match = readMatch(reader, version, PASSING);
  const actions = readFlowActions(reader, version);
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
  writeFlowActions(writer, version, message.actions, message.match.key);
}

export const FLOW_MOD_ROWS: readonly MessageRow[] = [
  row<"flow_mod">({
    type: "flow_mod",
    ids: ["OFPT 1.0(14)"],
    when: isStandard,
    read: readFlowMod10,
    write: (writer, message, context) => {
      writeMatch(writer, context.version, message.match);
      writer.u64(message.newCookie);
      writeTail10(writer, message, context);
      writeFlowActions(writer, context.version, message.actions, message.match.key);
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
      writeFlowActions(writer, context.version, message.actions, message.match.key);
    },
  }),
];
