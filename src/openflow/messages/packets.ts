/** Packet-in in its three forms and packet-out. */
import { anyMatch, type Match } from "../../packet/key.ts";
import { type Field, FIELD_LIST, FIELDS } from "../../packet/layout.ts";
import { writeActions } from "../actions/codec.ts";
import { readPacketActions } from "../actions/lists.ts";
import { REASONS } from "../actions/controller.ts";
import type { PacketInReason } from "../actions/types.ts";
import { OfError } from "../errors.ts";
import { fieldIsZero } from "../field-bits.ts";
import { readMatch, readNxMatch, writeMatch, writeNxMatch } from "../match.ts";
import { setMatchExact } from "../match-set.ts";
import { readOxmFields, writeOxmFields } from "../oxm.ts";
import { readPort, writePort } from "../ports.ts";
import { OF10, OF12, OF13, OF14, type OfVersion, PORTS } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, unknownProperty, writeProperty } from "./properties.ts";
import { type MessageContext, type MessageRow, row } from "./rows.ts";
import type { MessageOf, PacketIn, PacketOut, Resume } from "./types.ts";

const NO_BUFFER = 0xffffffff;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const isStandard = (message: PacketIn): boolean => message.form === undefined;

const bufferOf = (wire: number): { bufferId?: number } =>
  wire === NO_BUFFER ? {} : { bufferId: wire };

function reasonOf(number: number, at: number): PacketInReason {
  const reason = REASONS[number];
  if (!reason) throw new OfError("NXBRC_BAD_REASON", at, `packet-in reason ${number} is unknown`);
  return reason;
}

/** The number that stands for `reason`; versions that lack one use a coarser one. */
export function packetInReason(reason: PacketInReason, version: OfVersion): number {
  switch (reason) {
    case "no_match":
    case "implicit_miss":
      return 0;
    case "action":
      return 1;
    case "invalid_ttl":
      return 2;
    case "action_set":
    case "group":
    case "packet_out":
      return version < OF14 ? 1 : REASONS.indexOf(reason);
    case "explicit_miss":
      return version < OF13 ? 1 : 0;
    default: {
      const never: never = reason;
      return never;
    }
  }
}

/** A match on the input port, which is all that old packet-ins tell. */
export function portMatch(port: number): Match {
  const match = anyMatch();
  setMatchExact(match, FIELDS.in_port_oxm, port);
  return match;
}

const inPortOf = (match: Match): number => match.key.get(FIELDS.in_port_oxm);

const STANDARD_ROWS: readonly MessageRow[] = [
  row<"packet_in">({
    type: "packet_in",
    ids: ["OFPT 1.0(10)"],
    when: isStandard,
    read: (reader) => {
      const buffer = reader.u32();
      const totalLength = reader.u16();
      const metadata = portMatch(reader.u16());
      const at = reader.offset;
      const reason = reasonOf(reader.u8(), at);
      reader.skip(1);
      return {
        type: "packet_in",
        reason,
        table: 0,
        cookie: ALL_ONES,
        ...bufferOf(buffer),
        totalLength,
        packet: reader.rest(),
        metadata,
      };
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER).u16(message.totalLength);
      writer.u16(inPortOf(message.metadata)).u8(packetInReason(message.reason, version)).zeros(1);
      writer.put(message.packet);
    },
  }),
  row<"packet_in">({
    type: "packet_in",
    ids: ["OFPT 1.1(10)"],
    when: isStandard,
    read: (reader, { version }) => {
      const buffer = reader.u32();
      const metadata = portMatch(readPort(reader, version, "OFPBRC_BAD_PORT"));
      reader.skip(4);
      const totalLength = reader.u16();
      const at = reader.offset;
      const reason = reasonOf(reader.u8(), at);
      const table = reader.u8();
      return {
        type: "packet_in",
        reason,
        table,
        cookie: ALL_ONES,
        ...bufferOf(buffer),
        totalLength,
        packet: reader.rest(),
        metadata,
      };
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER);
      writePort(writer, version, inPortOf(message.metadata));
      writePort(writer, version, inPortOf(message.metadata));
      writer.u16(message.totalLength).u8(packetInReason(message.reason, version));
      writer.u8(message.table).put(message.packet);
    },
  }),
  row<"packet_in">({
    type: "packet_in",
    ids: ["OFPT 1.2+(10)"],
    when: isStandard,
    read: (reader, { version }) => {
      const buffer = reader.u32();
      const totalLength = reader.u16();
      const at = reader.offset;
      const reason = reasonOf(reader.u8(), at);
      const table = reader.u8();
      const cookie = version > OF12 ? reader.u64() : ALL_ONES;
      const metadata = readMatch(reader, version, { loose: true });
      reader.skip(2);
      return {
        type: "packet_in",
        reason,
        table,
        cookie,
        ...bufferOf(buffer),
        totalLength,
        packet: reader.rest(),
        metadata,
      };
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER).u16(message.totalLength);
      writer.u8(packetInReason(message.reason, version)).u8(message.table);
      if (version > OF12) writer.u64(message.cookie);
      writeMatch(writer, version, message.metadata);
      writer.zeros(2).put(message.packet);
    },
  }),
  row<"packet_in">({
    type: "packet_in",
    ids: ["NXT 1.0+(17)"],
    when: (message) => message.form === "nicira",
    read: (reader) => {
      const buffer = reader.u32();
      const totalLength = reader.u16();
      const at = reader.offset;
      const reason = reasonOf(reader.u8(), at);
      const table = reader.u8();
      const cookie = reader.u64();
      const matchLength = reader.u16();
      reader.skip(6);
      const { match } = readNxMatch(reader, matchLength, { loose: true });
      reader.skip(2);
      return {
        type: "packet_in",
        form: "nicira",
        reason,
        table,
        cookie,
        ...bufferOf(buffer),
        totalLength,
        packet: reader.rest(),
        metadata: match,
      };
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER).u16(message.totalLength);
      writer.u8(packetInReason(message.reason, version)).u8(message.table).u64(message.cookie);
      const lengthAt = writer.length;
      writer.u16(0).zeros(6);
      writer.patch16(lengthAt, writeNxMatch(writer, message.metadata));
      writer.zeros(2).put(message.packet);
    },
  }),
];

/** Properties of NXT_PACKET_IN2 and NXT_RESUME. */
const PIN2 = {
  PACKET: 0,
  FULL_LEN: 1,
  BUFFER_ID: 2,
  TABLE_ID: 3,
  COOKIE: 4,
  REASON: 5,
  METADATA: 6,
  USERDATA: 7,
  CONTINUATION: 8,
} as const;

interface Pin2 {
  reason: PacketInReason;
  table: number;
  cookie: bigint;
  bufferId?: number;
  totalLength: number;
  packet: Uint8Array;
  metadata: Match;
  userdata?: Uint8Array;
  continuation?: Uint8Array;
}

function readPin2(reader: Reader, { loose }: MessageContext): Pin2 {
  const pin: Pin2 = {
    reason: "no_match",
    table: 0,
    cookie: ALL_ONES,
    totalLength: 0,
    packet: new Uint8Array(0),
    metadata: anyMatch(),
  };
  readProperties(reader, (type, value, at) => {
    switch (type) {
      case PIN2.PACKET:
        pin.packet = value.rest();
        break;
      case PIN2.FULL_LEN:
        pin.totalLength = value.u32();
        break;
      case PIN2.BUFFER_ID:
        pin.bufferId = value.u32();
        break;
      case PIN2.TABLE_ID:
        pin.table = value.u8();
        break;
      case PIN2.COOKIE:
        value.skip(4);
        pin.cookie = value.u64();
        break;
      case PIN2.REASON:
        pin.reason = reasonOf(value.u8(), at);
        break;
      case PIN2.METADATA:
        pin.metadata = readOxmFields(value, { loose }).match;
        break;
      case PIN2.USERDATA:
        pin.userdata = value.rest();
        break;
      case PIN2.CONTINUATION:
        value.skip(4);
        pin.continuation = value.rest();
        break;
      default:
        if (!loose) unknownProperty(type, at);
    }
  });
  if (pin.packet.length === 0) reader.fail("there is no packet", "OFPBRC_BAD_LEN");
  if (pin.totalLength === 0) pin.totalLength = pin.packet.length;
  if (pin.totalLength < pin.packet.length) {
    reader.fail(`a packet of ${pin.totalLength} bytes is longer than that`, "OFPBRC_BAD_LEN");
  }
  return pin;
}

function writePin2(
  writer: Writer,
  message: PacketIn | Resume,
  { version }: MessageContext,
): void {
  const number = (type: number, value: number, bytes: 1 | 4): void =>
    writeProperty(writer, type, (w) => bytes === 1 ? w.u8(value) : w.u32(value));
  writeProperty(writer, PIN2.PACKET, (w) => w.put(message.packet));
  if (message.type === "packet_in") {
    if (message.totalLength !== message.packet.length) {
      number(PIN2.FULL_LEN, message.totalLength, 4);
    }
    if (message.bufferId !== undefined) number(PIN2.BUFFER_ID, message.bufferId, 4);
  }
  number(PIN2.TABLE_ID, message.table, 1);
  if (message.cookie !== ALL_ONES) {
    writeProperty(writer, PIN2.COOKIE, (w) => w.zeros(4).u64(message.cookie));
  }
  number(PIN2.REASON, packetInReason(message.reason, version), 1);
  writeProperty(writer, PIN2.METADATA, (w) => writeOxmFields(w, version, message.metadata));
  const { userdata, continuation } = message;
  if (userdata && userdata.length > 0) {
    writeProperty(writer, PIN2.USERDATA, (w) => w.put(userdata));
  }
  if (continuation) writeProperty(writer, PIN2.CONTINUATION, (w) => w.zeros(4).put(continuation));
}

function checkInPort(port: number, at: number): number {
  const good = port < PORTS.MAX || port === PORTS.LOCAL || port === PORTS.NONE ||
    port === PORTS.CONTROLLER;
  if (!good) throw new OfError("OFPBRC_BAD_PORT", at, `a packet cannot come from port ${port}`);
  return port;
}

/** Fields that the packet itself does not tell (OpenFlow 1.5.1 §7.2.3.9). */
const isPipelineField = ({ name }: Field): boolean =>
  /^(?:tun_|x{0,2}reg|metadata$|in_port|packet_type$)/.test(name);

function checkPipelineOnly({ mask }: Match, at: number): void {
  for (const field of FIELD_LIST) {
    if (isPipelineField(field) || fieldIsZero(mask, field)) continue;
    const detail = `${field.name} is of the packet itself`;
    throw new OfError("OFPBRC_PIPELINE_FIELDS_ONLY", at, detail);
  }
}

function packetOut(
  buffer: number,
  metadata: Match,
  actions: PacketOut["actions"],
  reader: Reader,
): MessageOf<"packet_out"> {
  const packet = reader.rest();
  return {
    type: "packet_out",
    ...bufferOf(buffer),
    inPort: inPortOf(metadata),
    metadata,
    actions,
    // With a buffer, bytes here mean nothing.
    packet: buffer === NO_BUFFER ? packet : new Uint8Array(0),
  };
}

const PACKET_OUT_ROWS: readonly MessageRow[] = [
  row<"packet_out">({
    type: "packet_out",
    ids: ["OFPT 1.0-1.4(13)"],
    read: (reader, { version }) => {
      const buffer = reader.u32();
      const at = reader.offset;
      const metadata = portMatch(checkInPort(readPort(reader, version, "OFPBRC_BAD_PORT"), at));
      const length = reader.u16();
      if (version > OF10) reader.skip(6);
      return packetOut(buffer, metadata, readPacketActions(reader, version, length), reader);
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER);
      writePort(writer, version, message.inPort);
      const lengthAt = writer.length;
      writer.u16(0);
      if (version > OF10) writer.zeros(6);
      const start = writer.length;
      writeActions(writer, version, message.actions);
      writer.patch16(lengthAt, writer.length - start);
      writer.put(message.packet);
    },
  }),
  row<"packet_out">({
    type: "packet_out",
    ids: ["OFPT 1.5(13)"],
    read: (reader, { version }) => {
      const buffer = reader.u32();
      const length = reader.u16();
      reader.skip(2);
      const at = reader.offset;
      const metadata = readMatch(reader, version, { loose: true });
      if (metadata.mask.get(FIELDS.in_port_oxm) === 0) {
        throw new OfError("OFPBRC_BAD_PORT", at, "there is no input port");
      }
      checkInPort(inPortOf(metadata), at);
      checkPipelineOnly(metadata, at);
      return packetOut(buffer, metadata, readPacketActions(reader, version, length), reader);
    },
    write: (writer, message, { version }) => {
      writer.u32(message.bufferId ?? NO_BUFFER);
      const lengthAt = writer.length;
      writer.u16(0).zeros(2);
      const metadata = message.metadata.mask.get(FIELDS.in_port_oxm) === 0
        ? portMatch(message.inPort)
        : message.metadata;
      writeMatch(writer, version, metadata);
      const start = writer.length;
      writeActions(writer, version, message.actions);
      writer.patch16(lengthAt, writer.length - start);
      writer.put(message.packet);
    },
  }),
];

export const PACKET_ROWS: readonly MessageRow[] = [
  ...STANDARD_ROWS,
  row<"packet_in">({
    type: "packet_in",
    ids: ["NXT 1.0+(30)"],
    read: (reader, context) => ({
      type: "packet_in",
      form: "nicira2",
      ...readPin2(reader, context),
    }),
    write: writePin2,
  }),
  row<"resume">({
    type: "resume",
    ids: ["NXT 1.0+(28)"],
    read: (reader, context) => {
      const { bufferId: _buffer, totalLength: _length, continuation, ...pin } = readPin2(
        reader,
        context,
      );
      if (!continuation && !context.loose) {
        return reader.fail("there is nothing to resume", "NXR_STALE");
      }
      return { type: "resume", ...pin, continuation: continuation ?? new Uint8Array(0) };
    },
    write: writePin2,
  }),
  ...PACKET_OUT_ROWS,
];
