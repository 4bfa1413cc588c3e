/** Actions that send the packet somewhere, and that run other tables or actions. */
import { OfError } from "../errors.ts";
import { readPort, writePort } from "../ports.ts";
import { PORTS } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, bare, integer, row } from "./rows.ts";
import {
  checkDestination,
  checkSubfield,
  hasShortHeader,
  ofsBits,
  readField32,
  readFieldHeader,
  readOfsBits,
  writeFieldHeader,
} from "./subfield.ts";
import type { ActionOf, HashFields, PacketInReason } from "./types.ts";

/** OFPR_* by number; 0 is called by what it means from OpenFlow 1.3 on only where it matters. */
export const REASONS: readonly PacketInReason[] = [
  "no_match",
  "action",
  "invalid_ttl",
  "action_set",
  "group",
  "packet_out",
  "explicit_miss",
  "implicit_miss",
];

/** NX_HASH_FIELDS_* by number. */
const HASH_FIELDS: readonly HashFields[] = [
  "eth_src",
  "symmetric_l4",
  "symmetric_l3l4",
  "symmetric_l3l4+udp",
  "nw_src",
  "nw_dst",
  "symmetric_l3",
];
const BUNDLE_ALGORITHMS = ["active_backup", "hrw"] as const;
const MULTIPATH_ALGORITHMS = ["modulo_n", "hash_threshold", "hrw", "iter_hash"] as const;
const SAMPLE_DIRECTIONS = ["default", "ingress", "egress"] as const;
/** NXM_OF_IN_PORT, the only member type of a bundle. */
const BUNDLE_MEMBER_TYPE = 0x00000002;
const MAX_BUNDLE_MEMBERS = 2048;
export const NO_METER = 0xffffffff;
const ETH_HEADER_BYTES = 14;

function named<T>(list: readonly T[], number: number, at: number, what: string): T {
  const found = list[number];
  if (found === undefined) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${what} ${number} is unknown`);
  }
  return found;
}

function checkOutput(port: number, at: number): number {
  if (port < PORTS.MAX || (port >= PORTS.IN_PORT && port <= PORTS.LOCAL)) return port;
  throw new OfError("OFPBAC_BAD_OUT_PORT", at, `no packet can be sent to port ${port}`);
}

/** Properties of NXAST_CONTROLLER2. */
const CONTROLLER2 = { MAX_LEN: 0, ID: 1, REASON: 2, USERDATA: 3, PAUSE: 4, METER: 5 } as const;

function needsController2(action: ActionOf<"controller">): boolean {
  return action.userdata.length > 0 || action.pause ||
    (action.meterId !== undefined && action.meterId !== NO_METER);
}

function readController2(reader: Reader): ActionOf<"controller"> {
  reader.zeros(6, "NXBRC_MUST_BE_ZERO");
  let maxLength = 0xffff;
  let controllerId = 0;
  let reason: PacketInReason = "action";
  let userdata = new Uint8Array(0);
  let pause = false;
  let meterId: number | undefined;
  // What is left after the last property is padding to eight bytes, less than a property's header.
  while (reader.left >= 4) {
    const at = reader.offset;
    const type = reader.peek16();
    const length = reader.peek16(2);
    if (length < 4 || length > reader.left) {
      throw new OfError("OFPBPC_BAD_LEN", at, `property of ${length} bytes`);
    }
    const body = reader.sub(Math.min(reader.left, (length + 7) & ~7), "OFPBPC_BAD_LEN");
    body.skip(4);
    const property = body.sub(length - 4);
    switch (type) {
      case CONTROLLER2.MAX_LEN:
        maxLength = property.u16();
        break;
      case CONTROLLER2.ID:
        controllerId = property.u16();
        break;
      case CONTROLLER2.REASON:
        reason = named(REASONS, property.u8(), at, "reason");
        break;
      case CONTROLLER2.USERDATA:
        userdata = property.rest() as Uint8Array<ArrayBuffer>;
        break;
      case CONTROLLER2.PAUSE:
        pause = true;
        break;
      case CONTROLLER2.METER:
        meterId = property.u32();
        break;
      default:
        throw new OfError("OFPBPC_BAD_TYPE", at, `controller property ${type} is unknown`);
    }
  }
  return {
    type: "controller",
    maxLength,
    controllerId,
    reason,
    userdata,
    pause,
    ...(meterId === undefined ? {} : { meterId }),
  };
}

function writeController2(writer: Writer, action: ActionOf<"controller">): void {
  writer.zeros(6);
  const property = (type: number, body: (w: Writer) => void): void => {
    const open = writer.open(2);
    writer.u16(type).u16(0);
    body(writer);
    writer.end(open);
    writer.pad8(open.start);
  };
  if (action.maxLength !== 0xffff) {
    property(CONTROLLER2.MAX_LEN, (w) => w.u16(action.maxLength));
  }
  if (action.controllerId !== 0) property(CONTROLLER2.ID, (w) => w.u16(action.controllerId));
  if (action.reason !== "action") {
    property(CONTROLLER2.REASON, (w) => w.u8(REASONS.indexOf(action.reason)));
  }
  if (action.userdata.length > 0) property(CONTROLLER2.USERDATA, (w) => w.put(action.userdata));
  if (action.pause) property(CONTROLLER2.PAUSE, () => {});
  const { meterId } = action;
  if (meterId !== undefined && meterId !== NO_METER) {
    property(CONTROLLER2.METER, (w) => w.u32(meterId));
  }
}

function readBundle(reader: Reader, load: boolean): ActionOf<"bundle"> {
  const at = reader.offset;
  const algorithm = named(BUNDLE_ALGORITHMS, reader.u16(), at, "bundle algorithm");
  const fields = named(HASH_FIELDS, reader.u16(), at, "hash fields");
  const basis = reader.u16();
  if (reader.u32() !== BUNDLE_MEMBER_TYPE) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, "bundle members must be of type NXM_OF_IN_PORT");
  }
  const count = reader.u16();
  if (count > MAX_BUNDLE_MEMBERS) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${count} members are too many`);
  }
  const run = readOfsBits(reader);
  const header = reader.sub(4);
  let destination: ActionOf<"bundle">["destination"];
  if (load) {
    destination = checkDestination({ field: readField32(header), ...run }, at);
    if (destination.bits < 16) {
      throw new OfError("OFPBAC_BAD_ARGUMENT", at, "bundle_load needs at least 16 bits");
    }
  } else if (run.start !== 0 || run.bits !== 1 || header.u32() !== 0) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, "bundle takes no destination");
  }
  reader.zeros(4, "OFPBAC_BAD_ARGUMENT");
  const members = Array.from({ length: count }, () => reader.u16());
  reader.skip(reader.left);
  return {
    type: "bundle",
    algorithm,
    fields,
    basis,
    members,
    ...(destination ? { destination } : {}),
  };
}

function writeBundle(writer: Writer, action: ActionOf<"bundle">): void {
  writer.u16(BUNDLE_ALGORITHMS.indexOf(action.algorithm));
  writer.u16(HASH_FIELDS.indexOf(action.fields)).u16(action.basis);
  writer.u32(BUNDLE_MEMBER_TYPE).u16(action.members.length);
  if (action.destination) {
    writer.u16(ofsBits(action.destination));
    writeFieldHeader(writer, action.destination.field);
  } else writer.u16(0).u32(0);
  writer.zeros(4);
  for (const member of action.members) writer.u16(member);
}

function readSample(reader: Reader, wide: boolean, directed: boolean): ActionOf<"sample"> {
  const at = reader.offset;
  const probability = reader.u16();
  if (probability === 0) throw new OfError("OFPBAC_BAD_ARGUMENT", at, "probability is zero");
  const collectorSet = reader.u32();
  const domain = reader.u32();
  const point = reader.u32();
  let samplingPort: number = PORTS.NONE;
  let direction: ActionOf<"sample">["direction"] = "default";
  if (wide) {
    samplingPort = reader.u16();
    const number = reader.u8();
    if (directed) direction = named(SAMPLE_DIRECTIONS, number, at, "sampling direction");
    reader.zeros(5, "NXBRC_MUST_BE_ZERO");
  }
  return { type: "sample", probability, collectorSet, domain, point, samplingPort, direction };
}

function writeSample(writer: Writer, action: ActionOf<"sample">, wide: boolean): void {
  writer.u16(action.probability).u32(action.collectorSet).u32(action.domain).u32(action.point);
  if (!wide) return;
  writer.u16(action.samplingPort).u8(SAMPLE_DIRECTIONS.indexOf(action.direction)).zeros(5);
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
  row<"controller">({
    type: "controller",
    ids: "NX1.0+(20)",
    bytes: 16,
    when: (action) => !needsController2(action),
    read: (reader) => {
      const maxLength = reader.u16();
      const controllerId = reader.u16();
      const at = reader.offset;
      const reason = named(REASONS, reader.u8(), at, "reason");
      reader.skip(1);
      const userdata = new Uint8Array(0);
      return { type: "controller", maxLength, controllerId, reason, userdata, pause: false };
    },
    write: (writer, action) => {
      writer.u16(action.maxLength).u16(action.controllerId);
      writer.u8(REASONS.indexOf(action.reason)).u8(0);
    },
  }),
  row<"controller">({
    type: "controller",
    ids: "NX1.0+(37)",
    bytes: 16,
    variable: true,
    read: readController2,
    write: writeController2,
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
  row<"bundle">({
    type: "bundle",
    ids: "NX1.0+(12)",
    bytes: 32,
    variable: true,
    when: (action) => action.destination === undefined,
    read: (reader) => readBundle(reader, false),
    write: writeBundle,
  }),
  row<"bundle">({
    type: "bundle",
    ids: "NX1.0+(13)",
    bytes: 32,
    variable: true,
    read: (reader) => readBundle(reader, true),
    write: writeBundle,
  }),
  row<"multipath">({
    type: "multipath",
    ids: "NX1.0+(10)",
    bytes: 32,
    read: (reader) => {
      const at = reader.offset;
      const fields = named(HASH_FIELDS, reader.u16(), at, "hash fields");
      const basis = reader.u16();
      reader.skip(2);
      const algorithm = named(MULTIPATH_ALGORITHMS, reader.u16(), at, "multipath algorithm");
      const maxLink = reader.u16();
      const argument = reader.u32();
      reader.skip(2);
      const run = readOfsBits(reader);
      const destination = checkDestination({ field: readField32(reader), ...run }, at);
      if (destination.bits < 16 && maxLink >= 1 << destination.bits) {
        throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${maxLink} does not fit in the destination`);
      }
      return { type: "multipath", fields, basis, algorithm, maxLink, argument, destination };
    },
    write: (writer, action) => {
      writer.u16(HASH_FIELDS.indexOf(action.fields)).u16(action.basis).zeros(2);
      writer.u16(MULTIPATH_ALGORITHMS.indexOf(action.algorithm)).u16(action.maxLink);
      writer.u32(action.argument).zeros(2).u16(ofsBits(action.destination));
      writeFieldHeader(writer, action.destination.field);
    },
  }),
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
  row<"sample">({
    type: "sample",
    ids: "NX1.0+(29)",
    bytes: 24,
    when: (action) => action.samplingPort === PORTS.NONE && action.direction === "default",
    read: (reader) => readSample(reader, false, false),
    write: (writer, action) => writeSample(writer, action, false),
  }),
  row<"sample">({
    type: "sample",
    ids: "NX1.0+(38)",
    bytes: 32,
    when: (action) => action.direction === "default",
    read: (reader) => readSample(reader, true, false),
    write: (writer, action) => writeSample(writer, action, true),
  }),
  row<"sample">({
    type: "sample",
    ids: "NX1.0+(41)",
    bytes: 32,
    read: (reader) => readSample(reader, true, true),
    write: (writer, action) => writeSample(writer, action, true),
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
    ids: "NX1.0(22)",
    bytes: 32,
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
];

/** Which actions OpenFlow 1.0 counts in a features reply: OFPAT_OUTPUT … OFPAT_ENQUEUE. */
export const SUPPORTED_ACTIONS_10 = 0xfff;
