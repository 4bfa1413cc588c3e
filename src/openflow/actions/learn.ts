/**
 * `learn`: an action that adds a flow made from the packet (NXAST_LEARN, NXAST_LEARN2).
 *
 * After a fixed part comes a list of specifications, each beginning with
 *
 *      15   14   13  12 11 10              0
 *     +-------+----+------+----------------+
 *     |   0   |src | dst  |     n_bits     |   src 1: immediate; dst 0 match, 1 load, 2 output
 *     +-------+----+------+----------------+
 *
 * and ending with a zero word or the action's end.
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionContext, type ActionRow, row } from "./rows.ts";
import { checkDestination, checkSubfield, readFieldHeader, writeFieldHeader } from "./subfield.ts";
import type { LearnAction, LearnSpec, Subfield } from "./types.ts";

const SEND_FLOW_REM = 1 << 0;
const DELETE_LEARNED = 1 << 1;
const WRITE_RESULT = 1 << 2;

const SRC_IMMEDIATE = 1 << 13;
const DST_SHIFT = 11;
const DST_MATCH = 0;
const DST_LOAD = 1;
const DST_OUTPUT = 2;
const WIDTH_MASK = 0x7ff;
const RESERVED = 0xc000;

function readSubfield(reader: Reader, bits: number): Subfield {
  const field = readFieldHeader(reader);
  return { field, start: reader.u16(), bits };
}

function readSpecs(reader: Reader): LearnSpec[] {
  const specs: LearnSpec[] = [];
  while (reader.left >= 2) {
    const at = reader.offset;
    const header = reader.u16();
    if (header === 0) break;
    const bits = header & WIDTH_MASK;
    const kind = (header >> DST_SHIFT) & 3;
    if (header & RESERVED || kind > DST_OUTPUT || bits === 0) {
      throw new OfError("OFPBAC_BAD_ARGUMENT", at, `specification 0x${header.toString(16)}`);
    }
    let source: LearnSpec["source"];
    if (header & SRC_IMMEDIATE) {
      source = { type: "value", value: reader.big(2 * Math.ceil(bits / 16)) };
    } else {
      source = { type: "field", subfield: checkSubfield(readSubfield(reader, bits), at) };
    }
    let destination: LearnSpec["destination"];
    if (kind === DST_OUTPUT) destination = { type: "output" };
    else {
      const subfield = readSubfield(reader, bits);
      if (kind === DST_MATCH) {
        checkSubfield(subfield, at);
        destination = { type: "match", subfield };
      } else destination = { type: "load", subfield: checkDestination(subfield, at) };
    }
    specs.push({ source, bits, destination });
  }
  reader.zeros(reader.left, "OFPBAC_BAD_ARGUMENT");
  return specs;
}

function readLearn(reader: Reader, second: boolean): LearnAction {
  const idleTimeout = reader.u16();
  const hardTimeout = reader.u16();
  const priority = reader.u16();
  const cookie = reader.u64();
  const at = reader.offset;
  const flags = reader.u16();
  const known = SEND_FLOW_REM | DELETE_LEARNED | (second ? WRITE_RESULT : 0);
  if (flags & ~known) throw new OfError("OFPBAC_BAD_ARGUMENT", at, `learn flags ${flags}`);
  const table = reader.u8();
  if (table === 0xff) throw new OfError("OFPBAC_BAD_ARGUMENT", at, "learn into table 255");
  reader.zeros(1, "OFPBAC_BAD_ARGUMENT");
  const finIdleTimeout = reader.u16();
  const finHardTimeout = reader.u16();
  let limit = 0;
  let result: Subfield | undefined;
  if (second) {
    limit = reader.u32();
    const start = reader.u16();
    reader.zeros(2, "OFPBAC_BAD_ARGUMENT");
    if (flags & WRITE_RESULT) {
      result = checkDestination({ field: readFieldHeader(reader), start, bits: 1 }, at);
    }
  }
  return {
    type: "learn",
    idleTimeout,
    hardTimeout,
    priority,
    cookie,
    table,
    finIdleTimeout,
    finHardTimeout,
    sendFlowRemoved: (flags & SEND_FLOW_REM) !== 0,
    deleteLearned: (flags & DELETE_LEARNED) !== 0,
    limit,
    ...(result ? { resultDestination: result } : {}),
    ...(second && limit === 0 && !result ? { form: "learn2" } : {}),
    specs: readSpecs(reader),
  };
}

function writeLearn(writer: Writer, action: LearnAction, second: boolean): void {
  const flags = (action.sendFlowRemoved ? SEND_FLOW_REM : 0) |
    (action.deleteLearned ? DELETE_LEARNED : 0) | (action.resultDestination ? WRITE_RESULT : 0);
  writer.u16(action.idleTimeout).u16(action.hardTimeout).u16(action.priority).u64(action.cookie);
  writer.u16(flags).u8(action.table).zeros(1);
  writer.u16(action.finIdleTimeout).u16(action.finHardTimeout);
  if (second) {
    writer.u32(action.limit).u16(action.resultDestination?.start ?? 0).zeros(2);
    if (action.resultDestination) writeFieldHeader(writer, action.resultDestination.field);
  }
  for (const { source, bits, destination } of action.specs) {
    const kind = destination.type === "match"
      ? DST_MATCH
      : destination.type === "load"
      ? DST_LOAD
      : DST_OUTPUT;
    writer.u16(bits | (kind << DST_SHIFT) | (source.type === "value" ? SRC_IMMEDIATE : 0));
    if (source.type === "value") writer.big(source.value, 2 * Math.ceil(bits / 16));
    else {
      writeFieldHeader(writer, source.subfield.field);
      writer.u16(source.subfield.start);
    }
    if (destination.type !== "output") {
      writeFieldHeader(writer, destination.subfield.field);
      writer.u16(destination.subfield.start);
    }
  }
}

const needsSecond = (action: LearnAction): boolean =>
  action.limit !== 0 || action.resultDestination !== undefined || action.form === "learn2";

export const LEARN_ROWS: readonly ActionRow[] = [
  row<"learn">({
    type: "learn",
    ids: "NX1.0+(16)",
    bytes: 32,
    variable: true,
    when: (action) => !needsSecond(action),
    read: (reader, _context: ActionContext) => readLearn(reader, false),
    write: (writer, action) => writeLearn(writer, action, false),
  }),
  row<"learn">({
    type: "learn",
    ids: "NX1.0+(45)",
    bytes: 40,
    variable: true,
    read: (reader) => readLearn(reader, true),
    write: (writer, action) => writeLearn(writer, action, true),
  }),
];
