/**
 * OpenFlow messages ↔ bytes, versions 1.0 to 1.5 with the Nicira and ONF extensions.
 *
 * What it is: `decode` takes one whole message (stream.ts cuts them) and gives a record of
 * messages/types.ts, the same for every version; `encode` and `encodeMany` go back. Bodies are
 * declared as rows in messages/*.ts, actions in actions/*.ts, match fields in src/packet/fields.ts.
 * This file knows the headers only:
 *
 *      0         8        16               32               64
 *     +---------+--------+----------------+----------------+
 *     | version | type   | length         | xid            |
 *     +---------+--------+----------------+----------------+
 *     | vendor (type 4) or, in a multipart message, type,  |  1.0: no padding after the flags;
 *     | flags, padding, and for vendors' then vendor and   |  1.1+: four bytes
 *     | subtype                                            |
 *
 * Invariants: bytes come from outside. Decoding reads nothing beyond a structure's own length,
 * never loops without progress, keeps no reference to its input, and throws `OfError` only, whose
 * `error` and `offset` the caller turns into an OFPT_ERROR with the beginning of the message.
 * Encoding writes every byte that it hands out.
 *
 * Limits: 65535 bytes a message. A multipart reply that needs more becomes several messages
 * (`encodeMany`), cut between items; an item that alone does not fit is left out and reported.
 * A message that is known by name but not taken apart decodes to `unsupported`.
 *
 * References: OpenFlow 1.0.1, 1.1, 1.2, 1.3.5, 1.4.1, 1.5.1; Open vSwitch 3.1
 * `include/openflow/nicira-ext.h`, `include/openvswitch/ofp-msgs.h`.
 */
import type { CodecCache } from "./codec-cache.ts";
import { type ErrorName, OfError } from "./errors.ts";
import { MESSAGE_ROWS, UNSUPPORTED_ROWS } from "./messages/all.ts";
import type { MessageContext, MessageRow } from "./messages/rows.ts";
import { KIND_VENDORS } from "./messages/session.ts";
import type { Decoded, MessageType, OfMessage } from "./messages/types.ts";
import { MAX_MESSAGE_BYTES } from "./stream.ts";
import type { TunnelFields } from "./tunnel-fields.ts";
import { isOfVersion, NX_VENDOR, OF10, OF15, type OfVersion, ONF_VENDOR } from "./version.ts";
import { parseVersions } from "./version-range.ts";
import { Reader, Writer } from "./wire.ts";

export interface CodecOptions {
  /** OpenFlow 1.0 with NXT_FLOW_MOD_TABLE_ID: flow-mods name their table. */
  readonly flowModTableId?: boolean;
  /** A client reading what a switch says: unknown match fields are skipped. */
  readonly loose?: boolean;
  /** Written into instead of a new one: saves the allocation when many messages are made. */
  readonly writer?: Writer;
  /** What the `tun_metadata` fields are; without it there are none. */
  readonly tunnelFields?: TunnelFields | undefined;
  /** What was decoded and encoded before: matches then share their masks, flows their actions. */
  readonly cache?: CodecCache | undefined;
  /** `encodeMany`: called for each item that is too long for any message. */
  readonly dropped?: (what: string) => void;
}

const TYPE_HELLO = 0;
const TYPE_VENDOR = 4;
const STATS_REQUEST_10 = 16;
const STATS_REPLY_10 = 17;
const STATS_REQUEST_11 = 18;
const STATS_REPLY_11 = 19;
const STAT_VENDOR = 0xffff;
const FLAG_MORE = 1;

type Shape = "message" | "request" | "reply";

/** Where a row's message stands on the wire. */
interface Place {
  readonly row: MessageRow | undefined;
  readonly name: string;
  readonly error: ErrorName;
  readonly shape: Shape;
  readonly vendor: number;
  readonly number: number;
}

const SHAPES: readonly Shape[] = ["message", "request", "reply"];
/** Vendors have a number of their own here, so that a place is one small number. */
const VENDORS: readonly number[] = [0, NX_VENDOR, ONF_VENDOR];

function placeKey(version: OfVersion, shape: Shape, vendor: number, number: number): number {
  const kind = (version * SHAPES.length + SHAPES.indexOf(shape)) * VENDORS.length;
  return (kind + VENDORS.indexOf(vendor)) * 0x1_0000_0000 + number;
}

function buildTables(): {
  byWire: ReadonlyMap<number, Place>;
  /** By version, then by record. */
  byType: readonly (ReadonlyMap<string, readonly Place[]> | undefined)[];
} {
  const byWire = new Map<number, Place>();
  const byType: Map<string, readonly Place[]>[] = [];
  const add = (
    id: string,
    row: MessageRow | undefined,
    name: string,
    error: ErrorName,
  ): void => {
    const parts = /^(OFPT|NXT|ONFT|OFPST|NXST|ONFST)(?:_(REQUEST|REPLY))? ([\d.+-]+)\((\d+)\)$/
      .exec(id);
    if (!parts) throw new Error(`message table: ${name} has a bad number "${id}"`);
    const shape = (parts[2]?.toLowerCase() ?? "message") as Shape;
    const place: Place = {
      row,
      name,
      error,
      shape,
      vendor: KIND_VENDORS[parts[1]!]!,
      number: Number(parts[4]),
    };
    for (const version of parseVersions(parts[3]!)) {
      const key = placeKey(version, shape, place.vendor, place.number);
      if (byWire.has(key)) throw new Error(`message table: ${id} is declared twice`);
      byWire.set(key, place);
      if (!row) continue;
      const types = byType[version] ??= new Map();
      types.set(row.type, [...types.get(row.type) ?? [], place]);
    }
  };
  for (const row of MESSAGE_ROWS) {
    for (const id of row.ids) add(id, row, row.type, "OFPBRC_BAD_TYPE");
  }
  for (const { id, name, error } of UNSUPPORTED_ROWS) add(id, undefined, name, error);
  return { byWire, byType };
}

const TABLES = buildTables();
const LIST_TYPES: ReadonlySet<string> = new Set(
  MESSAGE_ROWS.filter(({ items }) => items).map(({ type }) => type),
);

const isStats = (version: OfVersion, type: number): boolean =>
  version === OF10
    ? type === STATS_REQUEST_10 || type === STATS_REPLY_10
    : type === STATS_REQUEST_11 || type === STATS_REPLY_11;

interface Found {
  readonly place: Place;
  readonly more: boolean;
}

/** Reads the headers up to the body. */
function findPlace(reader: Reader, version: OfVersion, type: number): Found {
  let shape: Shape = "message";
  let vendor = 0;
  let number = type;
  let more = false;
  let unknown: ErrorName = "OFPBRC_BAD_TYPE";
  const at = reader.offset;
  if (type === TYPE_VENDOR) {
    vendor = knownVendor(reader);
    number = reader.u32();
    unknown = "OFPBRC_BAD_SUBTYPE";
  } else if (isStats(version, type)) {
    shape = type === (version === OF10 ? STATS_REQUEST_10 : STATS_REQUEST_11) ? "request" : "reply";
    unknown = "OFPBRC_BAD_STAT";
    number = reader.u16();
    more = (reader.u16() & FLAG_MORE) !== 0;
    if (version > OF10) reader.skip(4);
    if (number === STAT_VENDOR) {
      vendor = knownVendor(reader);
      number = reader.u32();
      if (version === OF10) reader.skip(4);
      unknown = "OFPBRC_BAD_SUBTYPE";
    }
  }
  const place = TABLES.byWire.get(placeKey(version, shape, vendor, number));
  if (!place) throw new OfError(unknown, at, `${shape} ${number} of vendor ${vendor} is unknown`);
  return { place, more };
}

function knownVendor(reader: Reader): number {
  const at = reader.offset;
  const vendor = reader.u32();
  if (vendor === NX_VENDOR || vendor === ONF_VENDOR) return vendor;
  throw new OfError("OFPBRC_BAD_VENDOR", at, `vendor 0x${vendor.toString(16)} is unknown`);
}

/**
 * Decodes one whole message. A hello of a version after 1.5 is one of 1.5 with `versions` telling
 * more; any other message of an unknown version throws `OFPBRC_BAD_VERSION`.
 */
export function decode(bytes: Uint8Array, options: CodecOptions = {}): Decoded {
  const { reader, version, xid, place, more } = open(bytes, options);
  if (!place.row) {
    const { name, error } = place;
    const message: OfMessage = { type: "unsupported", name, error, bytes: bytes.slice() };
    return { version, xid, more, message };
  }
  const message = place.row.read(reader, makeContext(version, options, bytes)) as OfMessage;
  reader.finish(message.type);
  return { version, xid, more, message };
}

/** The items of a message that is a list, each decoded when it is asked for. */
export function* decodeItems(
  bytes: Uint8Array,
  options: CodecOptions = {},
): Generator<unknown, void> {
  const { reader, version, place } = open(bytes, options);
  const readItem = place.row?.readItem;
  if (!readItem) throw new Error(`${place.name} is no list`);
  const context = makeContext(version, options, bytes);
  while (reader.left > 0) yield readItem(reader, context);
}

/** Reads what comes before the body. */
function open(bytes: Uint8Array, options: CodecOptions) {
  const reader = new Reader(bytes, "OFPBRC_BAD_LEN");
  reader.tunnelFields = options.tunnelFields;
  reader.cache = options.cache;
  const wireVersion = reader.u8();
  const type = reader.u8();
  const length = reader.u16();
  const xid = reader.u32();
  if (length !== bytes.length) {
    throw new OfError("OFPBRC_BAD_LEN", 2, `says ${length} bytes, has ${bytes.length}`);
  }
  let version: OfVersion;
  if (isOfVersion(wireVersion)) version = wireVersion;
  else if (type === TYPE_HELLO && wireVersion > OF15) version = OF15;
  else throw new OfError("OFPBRC_BAD_VERSION", 0, `version 0x${wireVersion.toString(16)}`);
  const { place, more } = findPlace(reader, version, type);
  return { reader, version, xid, place, more };
}

function makeContext(
  version: OfVersion,
  options: CodecOptions,
  bytes: Uint8Array,
): MessageContext {
  return {
    version,
    flowModTableId: version === OF10 && options.flowModTableId === true,
    loose: options.loose === true,
    bytes,
  };
}

const NO_BYTES = new Uint8Array(0);

function placeOf(message: OfMessage, context: MessageContext): Place {
  for (const place of TABLES.byType[context.version]?.get(message.type) ?? []) {
    const { row } = place;
    if (!row?.when || row.when(message as never, context)) return place;
  }
  throw new OfError("OFPBRC_BAD_TYPE", 0, `${message.type} has no form in this version`);
}

/** Whether it may have to be said in several messages. */
export const isList = (message: OfMessage): boolean => LIST_TYPES.has(message.type);

/** Writes everything before the body; returns where the multipart flags are. */
function writeHeaders(writer: Writer, version: OfVersion, xid: number, place: Place): number {
  const { shape, vendor, number } = place;
  let type = number;
  if (shape === "request") type = version === OF10 ? STATS_REQUEST_10 : STATS_REQUEST_11;
  else if (shape === "reply") type = version === OF10 ? STATS_REPLY_10 : STATS_REPLY_11;
  else if (vendor !== 0) type = TYPE_VENDOR;
  writer.u8(version).u8(type).u16(0).u32(xid);
  if (shape === "message") {
    if (vendor !== 0) writer.u32(vendor).u32(number);
    return 0;
  }
  writer.u16(vendor === 0 ? number : STAT_VENDOR);
  const flagsAt = writer.length;
  writer.u16(0);
  if (version > OF10) writer.zeros(4);
  if (vendor !== 0) {
    writer.u32(vendor).u32(number);
    if (version === OF10) writer.zeros(4);
  }
  return flagsAt;
}

/** Hellos carry their sender's highest version, whatever the connection's will be. */
function versionFor(message: OfMessage, version: OfVersion): number {
  return message.type === "hello" ? 31 - Math.clz32(message.versions) : version;
}

/** Encodes a message as one; throws `OFPBRC_BAD_LEN` if it is longer than 65535 bytes. */
export function encode(
  version: OfVersion,
  xid: number,
  message: OfMessage,
  more = false,
  options: CodecOptions = {},
): Uint8Array {
  if (message.type === "unsupported") return message.bytes;
  const context = makeContext(version, options, NO_BYTES);
  const place = placeOf(message, context);
  const row = place.row!;
  const writer = options.writer ?? new Writer();
  writer.tunnelFields = options.tunnelFields;
  writer.cache = options.cache;
  writer.truncate(0);
  const open = writer.open(2);
  const flagsAt = writeHeaders(writer, version, xid, place);
  row.write(writer, message as never, context);
  for (const item of row.items?.(message as never) ?? []) {
    row.writeItem!(writer, item as never, context);
  }
  if (more && flagsAt > 0) writer.patch16(flagsAt, FLAG_MORE);
  writer.end(open);
  const bytes = writer.finish();
  bytes[0] = versionFor(message, version);
  return bytes;
}

/**
 * Encodes a message as one or, where it is a list too long for that, several: all but the last say
 * that more follow. An empty list is one message.
 */
export function encodeMany(
  version: OfVersion,
  xid: number,
  message: OfMessage,
  options: CodecOptions = {},
): Uint8Array[] {
  return [...encodeParts(version, xid, message, options)];
}

/**
 * As `encodeMany`, each message made when it is asked for. `items`, if given, is the list instead of
 * the message's own: each is needed no longer than until the next is taken.
 */
export function* encodeParts(
  version: OfVersion,
  xid: number,
  message: OfMessage,
  options: CodecOptions = {},
  items?: Iterable<unknown>,
): Generator<Uint8Array, void> {
  const context = makeContext(version, options, NO_BYTES);
  const place = message.type === "unsupported" ? undefined : placeOf(message, context);
  const row = place?.row;
  if (!place || !row?.items || !row.writeItem) {
    yield encode(version, xid, message, false, options);
    return;
  }
  const writer = options.writer ?? new Writer(MAX_MESSAGE_BYTES + 1024);
  writer.tunnelFields = options.tunnelFields;
  writer.cache = options.cache;
  writer.truncate(0);
  const flagsAt = writeHeaders(writer, version, xid, place);
  row.write(writer, message as never, context);
  const headLength = writer.length;
  const finish = (more: boolean): Uint8Array => {
    writer.patch16(2, writer.length);
    writer.patch16(flagsAt, more ? FLAG_MORE : 0);
    return writer.finish();
  };
  for (const item of items ?? row.items(message as never)) {
    const before = writer.length;
    row.writeItem(writer, item as never, context);
    if (writer.length <= MAX_MESSAGE_BYTES) continue;
    writer.truncate(before);
    if (before > headLength) {
      yield finish(true);
      writer.truncate(headLength);
      row.writeItem(writer, item as never, context);
      if (writer.length <= MAX_MESSAGE_BYTES) continue;
      writer.truncate(headLength);
    }
    options.dropped?.(message.type);
  }
  yield finish(false);
}

/** What the headers alone say of a message, whether its body can be read or not. */
export interface MessageIdentity {
  readonly version: OfVersion;
  readonly xid: number;
  readonly shape: "message" | "request" | "reply";
  /** 0 for the standard's own. */
  readonly vendor: number;
  /** Message type, multipart type or the vendor's subtype. */
  readonly number: number;
  readonly more: boolean;
  /** The record's type, or the specification's name of a message that is not taken apart. */
  readonly name: string;
}

/** Reads the headers only; throws `OfError` for what they alone show to be wrong. */
export function identify(bytes: Uint8Array): MessageIdentity {
  const reader = new Reader(bytes, "OFPBRC_BAD_LEN");
  const wireVersion = reader.u8();
  const type = reader.u8();
  reader.skip(2);
  const xid = reader.u32();
  const isHello = type === TYPE_HELLO && wireVersion > OF15;
  const version = isOfVersion(wireVersion) ? wireVersion : isHello ? OF15 : undefined;
  if (version === undefined) {
    throw new OfError("OFPBRC_BAD_TYPE", 0, `version 0x${wireVersion.toString(16)}`);
  }
  const { place, more } = findPlace(reader, version, type);
  const { shape, vendor, number, row, name } = place;
  return { version, xid, shape, vendor, number, more, name: row?.type ?? name };
}

/** Whether records of `type` can be said in `version` at all. */
export function hasMessage(version: OfVersion, type: MessageType): boolean {
  return TABLES.byType[version]?.has(type) === true;
}
