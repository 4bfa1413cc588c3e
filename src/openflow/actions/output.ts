/** Actions that send the packet somewhere, and that run other tables or actions. */
import { OfError } from "../errors.ts";
import { readPort, writePort } from "../ports.ts";
import { OF10, PORTS } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, bare, integer, row } from "./rows.ts";
import {
  checkSubfield,
  hasShortHeader,
  ofsBits,
  readField32,
  readFieldHeader,
  readOfsBits,
  writeFieldHeader,
} from "./subfield.ts";
import type { ActionOf } from "./types.ts";

const ETH_HEADER_BYTES = 14;

function checkOutput(port: number, at: number): number {
  if (port < PORTS.MAX || (port >= PORTS.IN_PORT && port <= PORTS.LOCAL)) return port;
  throw new OfError("OFPBAC_BAD_OUT_PORT", at, `no packet can be sent to port ${port}`);
}

function readResubmit(reader: Reader, ct: boolean): ActionOf<"resubmit"> {
  const port = reader.u16();
  const table = reader.u8();
  reader.zeros(3, "OFPBAC_BAD_ARGUMENT");
  return { type: "resubmit", port, table, ct };
}

const writeResubmit = (writer: Writer, action: ActionOf<"resubmit">): void => {
  writer.u16(action.port).u8(action.table).zeros(3);
};

export const OUTPUT_ROWS: readonly ActionRow[] = [
  row<"output">({
    type: "output",
    ids: "OF1.0(0)",
    bytes: 8,
    read: (reader) => {
      const at = reader.offset;
      return { type: "output", port: checkOutput(reader.u16(), at), maxLength: reader.u16() };
    },
    write: (writer, action) => {
      writer.u16(action.port).u16(action.maxLength);
    },
  }),
  row<"output">({
    type: "output",
    ids: "OF1.1+(0)",
    bytes: 16,
    read: (reader, { version }) => {
      const at = reader.offset;
      const port = checkOutput(readPort(reader, version), at);
      const maxLength = reader.u16();
      reader.skip(6);
      return { type: "output", port, maxLength };
    },
    write: (writer, action, { version }) => {
      writePort(writer, version, action.port);
      writer.u16(action.maxLength).zeros(6);
    },
  }),
  row<"output_reg">({
    type: "output_reg",
    ids: "NX1.0+(15)",
    bytes: 24,
    when: (action) => hasShortHeader(action.source.field),
    read: (reader) => {
      const at = reader.offset;
      const run = readOfsBits(reader);
      const source = checkSubfield({ field: readField32(reader), ...run }, at);
      const maxLength = reader.u16();
      reader.zeros(6, "OFPBAC_BAD_ARGUMENT");
      return { type: "output_reg", source, maxLength };
    },
    write: (writer, action) => {
      writer.u16(ofsBits(action.source));
      writeFieldHeader(writer, action.source.field);
      writer.u16(action.maxLength).zeros(6);
    },
  }),
  row<"output_reg">({
    type: "output_reg",
    ids: "NX1.0+(32)",
    bytes: 24,
    read: (reader) => {
      const at = reader.offset;
      const run = readOfsBits(reader);
      const maxLength = reader.u16();
      const source = checkSubfield({ field: readFieldHeader(reader), ...run }, at);
      reader.zeros(reader.left, "NXBRC_MUST_BE_ZERO");
      return { type: "output_reg", source, maxLength };
    },
    write: (writer, action) => {
      writer.u16(ofsBits(action.source)).u16(action.maxLength);
      const start = writer.length;
      writeFieldHeader(writer, action.source.field);
      writer.zeros(10 - (writer.length - start));
    },
  }),
  row<"output_trunc">({
    type: "output_trunc",
    ids: "NX1.0+(39)",
    bytes: 16,
    read: (reader) => {
      const at = reader.offset;
      const port = reader.u16();
      const maxLength = reader.u32();
      if (maxLength < ETH_HEADER_BYTES) {
        throw new OfError("OFPBAC_BAD_ARGUMENT", at, `max_len ${maxLength} cuts the header`);
      }
      return { type: "output_trunc", port, maxLength };
    },
    write: (writer, action) => {
      writer.u16(action.port).u32(action.maxLength);
    },
  }),
  row<"enqueue">({
    type: "enqueue",
    ids: "OF1.0(11)",
    bytes: 16,
    read: (reader) => {
      const at = reader.offset;
      const port = reader.u16();
      if (port >= PORTS.MAX && port !== PORTS.IN_PORT && port !== PORTS.LOCAL) {
        throw new OfError("OFPBAC_BAD_OUT_PORT", at, `no queue can be on port ${port}`);
      }
      reader.skip(6);
      return { type: "enqueue", port, queue: reader.u32() };
    },
    write: (writer, action) => {
      writer.u16(action.port).zeros(6).u32(action.queue);
    },
  }),
  integer<"group">(
    "group",
    "OF1.1+(22)",
    4,
    (group) => ({ type: "group", group }),
    (action) => action.group,
  ),
  integer<"group">(
    "group",
    "NX1.0(40)",
    4,
    (group) => ({ type: "group", group }),
    (action) => action.group,
  ),
  integer<"resubmit">(
    "resubmit",
    "NX1.0+(1)",
    2,
    (port) => ({ type: "resubmit", port, table: 0xff, ct: false }),
    (action) => action.port,
    (action) => action.table === 0xff && !action.ct && action.port !== PORTS.IN_PORT,
  ),
  row<"resubmit">({
    type: "resubmit",
    ids: "NX1.0+(14)",
    bytes: 16,
    when: (action) => !action.ct,
    read: (reader) => readResubmit(reader, false),
    write: writeResubmit,
  }),
  row<"resubmit">({
    type: "resubmit",
    ids: "NX1.0+(44)",
    bytes: 16,
    read: (reader) => readResubmit(reader, true),
    write: writeResubmit,
  }),
  row<"clone">({
    type: "clone",
    ids: "NX1.0+(42)",
    bytes: 16,
    variable: true,
    read: (reader, context) => {
      reader.skip(6);
      return { type: "clone", actions: context.readActions(reader) };
    },
    write: (writer, action, context) => {
      writer.zeros(6);
      context.writeActions(writer, action.actions);
    },
  }),
  bare<"exit">("exit", "NX1.0+(17)", { type: "exit" }),
  row<"note">({
    type: "note",
    ids: "NX1.0+(8)",
    bytes: 16,
    variable: true,
    read: (reader) => ({ type: "note", data: reader.rest() }),
    write: (writer, action) => {
      writer.put(action.data);
    },
  }),
  row<"fin_timeout">({
    type: "fin_timeout",
    ids: "NX1.0+(19)",
    bytes: 16,
    read: (reader) => {
      const idle = reader.u16();
      const hard = reader.u16();
      reader.skip(2);
      return { type: "fin_timeout", idle, hard };
    },
    write: (writer, action) => {
      writer.u16(action.idle).u16(action.hard).zeros(2);
    },
  }),
  row<"conjunction">({
    type: "conjunction",
    ids: "NX1.0+(34)",
    bytes: 16,
    read: (reader) => {
      const at = reader.offset;
      const clause = reader.u8();
      const clauses = reader.u8();
      const id = reader.u32();
      if (clauses < 2 || clauses > 64 || clause >= clauses) {
        throw new OfError("NXBAC_BAD_CONJUNCTION", at, `clause ${clause + 1} of ${clauses}`);
      }
      return { type: "conjunction", id, clause, clauses };
    },
    write: (writer, action) => {
      writer.u8(action.clause).u8(action.clauses).u32(action.id);
    },
  }),
  row<"write_metadata">({
    type: "write_metadata",
    ids: "NX1.0+(22)",
    bytes: 32,
    // Later versions have an instruction for it, and take this too.
    when: (_action, version) => version === OF10,
    read: (reader) => {
      reader.zeros(6, "NXBRC_MUST_BE_ZERO");
      return { type: "write_metadata", metadata: reader.u64(), mask: reader.u64() };
    },
    write: (writer, action) => {
      writer.zeros(6).u64(action.metadata).u64(action.mask);
    },
  }),
  integer<"meter">(
    "meter",
    "OF1.5(29)",
    4,
    (meter) => ({ type: "meter", meter }),
    (action) => action.meter,
  ),
  integer<"set_queue">(
    "set_queue",
    "OF1.1+(21)",
    4,
    (queue) => ({ type: "set_queue", queue }),
    (action) => action.queue,
  ),
  integer<"set_queue">(
    "set_queue",
    "NX1.0(4)",
    4,
    (queue) => ({ type: "set_queue", queue }),
    (action) => action.queue,
  ),
  bare<"pop_queue">("pop_queue", "NX1.0+(5)", { type: "pop_queue" }),
  bare<"debug_recirc">("debug_recirc", "NX1.0+(255)", { type: "debug_recirc" }),
  bare<"debug_slow">("debug_slow", "NX1.0+(254)", { type: "debug_slow" }),
];

/** Which actions OpenFlow 1.0 counts in a features reply: OFPAT_OUTPUT … OFPAT_ENQUEUE. */
export const SUPPORTED_ACTIONS_10 = 0xfff;
