/**
 * Netlink messages and attributes, declared as data.
 *
 *     struct nlmsghdr: length u32 @0 · type u16 @4 · flags u16 @6 · sequence u32 @8 · port u32 @12
 *     then a header that the family fixes (struct ifinfomsg …), then attributes:
 *     struct nlattr:   length u16 @0 (header included, padding not) · type u16 @2 · payload · pad to 4
 *
 * An attribute table names each attribute once, with its number and kind; encoder, decoder and the
 * TypeScript type of the record all come from it. A table inside a table is a nest. All integers
 * are in host order (little endian here, see libc.ts) except kinds that end in `be`.
 *
 * Decoders never read outside their bounds: a length that does not fit throws a NetlinkFormatError
 * with its offset. Attributes that a table does not name are skipped, as RFC 3549 §2.2 wants.
 */

/** Number and kind of an attribute; a table as kind is a nest. */
export type AttributeKind =
  | "u8"
  | "u16"
  | "u16be"
  | "u32"
  | "u64"
  | "string"
  | "bytes"
  | "flag"
  | AttributeTable;
export interface AttributeTable {
  readonly [name: string]: readonly [number, AttributeKind];
}

type ValueOf<K> = K extends "u8" | "u16" | "u16be" | "u32" ? number
  : K extends "u64" ? bigint
  : K extends "string" ? string
  : K extends "bytes" ? Uint8Array
  : K extends "flag" ? true
  : K extends AttributeTable ? Attributes<K>
  : never;
/** The record that a table describes; every attribute may be absent. */
export type Attributes<T extends AttributeTable> = {
  -readonly [K in keyof T]?: ValueOf<T[K][1]>;
};

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const HEADER_BYTES = 16;
const NEST_FLAG = 0x8000;
const TYPE_MASK = 0x3fff;

/** A message that contradicts its own lengths. */
export class NetlinkFormatError extends Error {
  constructor(readonly offset: number, what: string) {
    super(`netlink: ${what} at offset ${offset}`);
    this.name = "NetlinkFormatError";
  }
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Family header and attributes. */
  readonly payload: Uint8Array;
}

const align4 = (bytes: number): number => (bytes + 3) & ~3;

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A whole message with its header; `parts` are the family header and encoded attributes. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const body = concatenate(parts);
  const message = new Uint8Array(HEADER_BYTES + body.length);
  const v = view(message);
  v.setUint32(0, message.length, true);
  v.setUint16(4, type, true);
  v.setUint16(6, flags, true);
  v.setUint32(8, sequence, true);
  message.set(body, HEADER_BYTES);
  return message;
}

/** The messages of one datagram (or of several, one after the other). */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const v = view(bytes);
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < HEADER_BYTES) throw new NetlinkFormatError(at, "truncated header");
    const length = v.getUint32(at, true);
    if (length < HEADER_BYTES || length > bytes.length - at) {
      throw new NetlinkFormatError(at, `message length ${length}`);
    }
    messages.push({
      type: v.getUint16(at + 4, true),
      flags: v.getUint16(at + 6, true),
      sequence: v.getUint32(at + 8, true),
      payload: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += align4(length);
  }
  return messages;
}

/** Encodes the attributes present in `record`, in the table's order. */
export function encodeAttributes<T extends AttributeTable>(
  table: T,
  record: Attributes<T>,
): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, [number, kind]] of Object.entries(table)) {
    const value: unknown = (record as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const nest = typeof kind === "object";
    const payload = nest
      ? encodeAttributes(kind, value as Attributes<AttributeTable>)
      : encodeValue(kind, value, name);
    const attribute = new Uint8Array(align4(4 + payload.length));
    const v = view(attribute);
    v.setUint16(0, 4 + payload.length, true);
    v.setUint16(2, nest ? number | NEST_FLAG : number, true);
    attribute.set(payload, 4);
    parts.push(attribute);
  }
  return concatenate(parts);
}

function encodeValue(
  kind: Exclude<AttributeKind, AttributeTable>,
  value: unknown,
  name: string,
): Uint8Array {
  switch (kind) {
    case "u8":
      return new Uint8Array([value as number]);
    case "u16":
      return new Uint8Array(new Uint16Array([value as number]).buffer);
    case "u16be":
      return new Uint8Array([(value as number) >>> 8, value as number]);
    case "u32":
      return new Uint8Array(new Uint32Array([value as number]).buffer);
    case "u64":
      return new Uint8Array(new BigUint64Array([value as bigint]).buffer);
    case "string":
      if ((value as string).includes("\0")) throw new TypeError(`${name} contains NUL`);
      return new TextEncoder().encode(`${value as string}\0`);
    case "bytes":
      return value as Uint8Array;
    case "flag":
      return new Uint8Array(0);
    default: {
      const never: never = kind;
      throw new TypeError(String(never));
    }
  }
}

/** Decodes the attributes in `bytes` that the table names; the last one wins. Copies nothing. */
export function decodeAttributes<T extends AttributeTable>(
  table: T,
  bytes: Uint8Array,
): Attributes<T> {
  const byNumber = new Map<number, readonly [string, AttributeKind]>();
  for (const [name, [number, kind]] of Object.entries(table)) byNumber.set(number, [name, kind]);
  const record: Record<string, unknown> = {};
  const v = view(bytes);
  let at = 0;
  while (bytes.length - at >= 4) {
    const length = v.getUint16(at, true);
    if (length < 4 || length > bytes.length - at) {
      throw new NetlinkFormatError(at, `attribute length ${length}`);
    }
    const known = byNumber.get(v.getUint16(at + 2, true) & TYPE_MASK);
    if (known) {
      const [name, kind] = known;
      const payload = bytes.subarray(at + 4, at + length);
      record[name] = typeof kind === "object"
        ? decodeAttributes(kind, payload)
        : decodeValue(kind, payload, at);
    }
    at += align4(length);
  }
  return record as Attributes<T>;
}

const FIXED_BYTES = { u8: 1, u16: 2, u16be: 2, u32: 4, u64: 8 } as const;

function decodeValue(
  kind: Exclude<AttributeKind, AttributeTable>,
  payload: Uint8Array,
  at: number,
): unknown {
  if (kind === "bytes") return payload;
  if (kind === "flag") return true;
  if (kind === "string") {
    const end = payload.indexOf(0);
    return new TextDecoder().decode(end < 0 ? payload : payload.subarray(0, end));
  }
  if (payload.length < FIXED_BYTES[kind]) throw new NetlinkFormatError(at, `short ${kind}`);
  const v = view(payload);
  switch (kind) {
    case "u8":
      return v.getUint8(0);
    case "u16":
      return v.getUint16(0, true);
    case "u16be":
      return v.getUint16(0, false);
    case "u32":
      return v.getUint32(0, true);
    case "u64":
      return v.getBigUint64(0, true);
    default: {
      const never: never = kind;
      throw new TypeError(String(never));
    }
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
