/** Actions that choose by a hash or by chance: `bundle`, `multipath`, `sample`. */
import { OfError } from "../errors.ts";
import { PORTS } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, row } from "./rows.ts";
import {
  checkDestination,
  ofsBits,
  readField32,
  readOfsBits,
  writeFieldHeader,
} from "./subfield.ts";
import type { ActionOf, HashFields } from "./types.ts";

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
/** The entry of a list of names, or `OFPBAC_BAD_ARGUMENT`. */
export function named<T>(list: readonly T[], number: number, at: number, what: string): T {
  const found = list[number];
  if (found === undefined) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${what} ${number} is unknown`);
  }
  return found;
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

export const CHOICE_ROWS: readonly ActionRow[] = [
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
];
