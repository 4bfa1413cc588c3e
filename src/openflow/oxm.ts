/**
 * OXM and NXM: matches and field references as type-length-value entries (OpenFlow 1.3.5 §7.2.3,
 * ovs-fields(7) "NXM and OXM").
 *
 *      31              16 15       9 8 7        0
 *     +------------------+----------+-+----------+
 *     | class            | field    |M| length   |  [experimenter id, 32 bits, in class 0xffff]
 *     +------------------+----------+-+----------+
 *     | value … [mask … when M is set]           |
 *
 * `length` counts everything after the first four bytes. Entries come from the field table; the
 * order in which `writeOxmFields` emits them is oxm-order.ts's, prerequisites first.
 */
import { OXM_CLASSES, type OxmId } from "../packet/fields.ts";
import { type Field, FIELD_LIST, fieldByOxm, FIELDS } from "../packet/layout.ts";
import { anyMatch, type FlowKey, type MaskTopic, type Match, SharedMask } from "../packet/key.ts";
import { type ErrorName, OfError } from "./errors.ts";
import { fieldIsFull, fieldIsZero, fullMask, isWholeSlot } from "./field-bits.ts";
import { prerequisiteMet, setMatchField, valueIsValid } from "./match-set.ts";
import { fieldsInOrder, type OxmVersion } from "./oxm-order.ts";
import { portFromWide, portToWide } from "./ports.ts";
import { OF15 } from "./version.ts";
import { hasTunnelOption, tunnelIndex, tunnelOptions } from "./tunnel-fields.ts";
import type { Reader, Writer } from "./wire.ts";

export type { OxmVersion };

const EXPERIMENTER_CLASS = 0xffff;
/** The flow cookie as a pseudo-field, in NXM flow mods and statistics requests only. */
const COOKIE = { class: 0x0001, number: 30 } as const;

export interface OxmHeader {
  /** Undefined: unknown, or the cookie pseudo-field. */
  readonly field: Field | undefined;
  readonly cookie: boolean;
  readonly masked: boolean;
  /** Bytes of value and mask together. */
  readonly payload: number;
  readonly text: string;
}

function versionMinor(version: OxmVersion): number {
  return version === 0 ? -1 : version - 1;
}

/** The numbers by which `version` knows the field, or undefined if OXM and NXM have none. */
export function oxmIdOf(field: Field, version: OxmVersion): OxmId | undefined {
  if (version >= OF15 && field.oxm15) return field.oxm15;
  const { nxm, oxm } = field;
  if (!oxm) return nxm;
  if (!nxm) return oxm;
  const since = Number((oxm[2] ?? "1.2").slice(2));
  return versionMinor(version) >= since ? oxm : nxm;
}

/** Fields by `class << 7 | number`, without those of experimenters: most headers are these. */
const SHORT_HEADERS: ReadonlyMap<number, Field> = new Map(
  FIELD_LIST.flatMap((field) =>
    [field.nxm, field.oxm, field.oxm15].flatMap((id) => {
      if (!id || OXM_CLASSES[id[0]].class === EXPERIMENTER_CLASS) return [];
      return [[(OXM_CLASSES[id[0]].class << 7) | id[1], field] as const];
    })
  ),
);

/** Fields whose bytes go into the key as they are, any value being good. */
const PLAIN: readonly boolean[] = FIELD_LIST.map((field) =>
  isWholeSlot(field) && !field.variable &&
  !["ct_state", "nsh_ttl", "nsh_mdtype", "in_port_oxm", "actset_output", "nw_tos"]
    .includes(field.name)
);

/**
 * Reads a header; a length that cannot be throws `OFPBMC_BAD_LEN`. Without `place`, a tunnel option is
 * the field of that name, as the field table has it: good for saying that there is such a field.
 */
export function readOxmHeader(reader: Reader, place = true): OxmHeader {
  const at = reader.offset;
  if (reader.left < 4) reader.fail(`${reader.left} bytes are no OXM header`, "OFPBMC_BAD_LEN");
  const oxmClass = reader.u16();
  const rest = reader.u8();
  const length = reader.u8();
  const number = rest >> 1;
  const masked = (rest & 1) !== 0;
  let experimenter = 0;
  if (oxmClass === EXPERIMENTER_CLASS) {
    if (length < 4 || reader.left < 4) {
      reader.fail(`experimenter OXM of length ${length} has no id`, "OFPBMC_BAD_LEN", at);
    }
    experimenter = reader.u32();
  }
  const payload = length - (experimenter === 0 && oxmClass !== EXPERIMENTER_CLASS ? 0 : 4);
  const value = masked ? payload / 2 : payload;
  const found = experimenter === 0
    ? SHORT_HEADERS.get((oxmClass << 7) | number)
    : fieldByOxm(oxmClass, number, experimenter);
  const cookie = oxmClass === COOKIE.class && number === COOKIE.number && value === 8;
  return {
    field: found &&
      (found.variable && place ? placed(reader, found, value, at) : fitting(found, value)),
    cookie,
    masked,
    payload,
    text: `class ${oxmClass} field ${number} length ${length}`,
  };
}

const fitting = (field: Field, bytes: number): Field | undefined =>
  field.bytes === bytes ? field : undefined;

/**
 * A tunnel option as these bytes' table places it, with a value of `bytes` bytes: what a shorter one
 * leaves out is zero in front of it.
 */
function placed(reader: Reader, field: Field, bytes: number, at: number): Field | undefined {
  if (!Number.isInteger(bytes) || bytes > field.bytes) return undefined;
  const found = reader.tunnelFields?.resolve(tunnelIndex(field), bytes);
  if (!found) {
    throw new OfError("NXFMFC_INVALID_TLV_FIELD", at, `${field.name} stands for no option`);
  }
  return found.bytes === bytes ? found : { ...found, bytes };
}

/** The field that a header in an action names: `OFPBAC_BAD_SET_TYPE` or `_LEN` if it is none. */
export function readOxmField(reader: Reader, allowMask = false): { field: Field; masked: boolean } {
  const at = reader.offset;
  const first = reader.left >= 4 ? reader.peek32() : 0;
  const header = readOxmHeader(reader);
  if (!header.field) {
    const known = fieldByOxm(first >>> 16, (first >>> 9) & 0x7f) !== undefined;
    const error: ErrorName = known ? "OFPBAC_BAD_SET_LEN" : "OFPBAC_BAD_SET_TYPE";
    throw new OfError(error, at, `no field is known by ${header.text}`);
  }
  if (header.masked && !allowMask) {
    throw new OfError("OFPBMC_BAD_MASK", at, `a mask is not allowed in ${header.text}`);
  }
  return { field: header.field, masked: header.masked };
}

/** A field's value and mask as they stand in an entry's payload, ports converted. */
export interface OxmValue {
  readonly value: bigint;
  readonly mask: bigint;
}

/** What Open vSwitch's tools log of an entry whose value stands at `at`. */
function rejected(bytes: Uint8Array, at: number, field: Field): string {
  const ids = [field.nxm, field.oxm, field.oxm15];
  const isLong = ids.some((id) => id && OXM_CLASSES[id[0]].class === EXPERIMENTER_CLASS);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at - (isLong ? 8 : 4));
  const vendor = isLong ? `0x${view.getUint32(4).toString(16)}` : "0";
  const number = view.getUint8(2);
  const parts = [vendor, view.getUint16(0), number >> 1, number & 1, view.getUint8(3)];
  return `Rejecting NXM/OXM entry ${parts.join(":")} with 1-bits in value for bits wildcarded by ` +
    "the mask.";
}

/** Reads the value (and mask) of an entry of `field`, ports converted to 16 bits. */
export function readOxmValue(
  reader: Reader,
  field: Field,
  masked: boolean,
  badValue: ErrorName = "OFPBMC_BAD_VALUE",
): OxmValue {
  const at = reader.offset;
  let value = reader.big(field.bytes);
  let mask = fullMask(field);
  if (masked) {
    const wire = reader.big(field.bytes);
    if ((value & ~wire) !== 0n) {
      throw new OfError(
        "OFPBMC_BAD_WILDCARDS",
        at,
        `${field.name}: value has bits beyond its mask`,
        { module: "nx_match", text: () => rejected(reader.bytes, at, field) },
      );
    }
    const ones = (1n << BigInt(8 * field.bytes)) - 1n;
    if (!field.maskable && wire !== 0n && wire !== ones) {
      throw new OfError("OFPBMC_BAD_MASK", at, `${field.name} takes no mask`);
    }
    mask &= wire;
  }
  if (field.name === "in_port_oxm" || field.name === "actset_output") {
    const port = portFromWide(Number(value));
    if (port === undefined) throw new OfError(badValue, at, `${field.name}: no port ${value}`);
    value = BigInt(port);
  }
  if (mask !== 0n && !valueIsValid(field, value)) {
    throw new OfError(badValue, at, `${field.name} cannot be 0x${value.toString(16)}`);
  }
  return { value, mask };
}

export interface OxmOptions {
  /** Unknown fields are skipped and prerequisites not asked for: a client reading a switch's words. */
  readonly loose?: boolean;
  /** The match is done with before the next is read: its key may be that of all such. */
  readonly passing?: boolean;
  /** The cookie pseudo-field is allowed. */
  readonly cookie?: boolean;
}

export interface OxmMatch {
  readonly match: Match;
  readonly cookie: bigint;
  readonly cookieMask: bigint;
}

/** Reads entries to the end of `reader`. Errors: OFPBMC_*. */
export function readOxmFields(reader: Reader, options: OxmOptions = {}): OxmMatch {
  const { cache, bytes, offset: start } = reader;
  const end = start + reader.left;
  const loose = options.loose === true;
  const known = cache?.shapes.read(
    bytes,
    start,
    end,
    loose,
    options.passing ? cache.key : undefined,
  );
  if (known) {
    reader.skip(reader.left);
    return { match: known, cookie: 0n, cookieMask: 0n };
  }
  const match = anyMatch();
  const fields: Field[] = [];
  let unplaced = false;
  let cookie = 0n;
  let cookieMask = 0n;
  while (reader.left > 0) {
    const at = reader.offset;
    const header = readOxmHeader(reader);
    const body = reader.sub(header.payload, "OFPBMC_BAD_LEN");
    const { field } = header;
    if (header.cookie && options.cookie) {
      if (cookieMask !== 0n) throw new OfError("OFPBMC_DUP_FIELD", at, "cookie is given twice");
      cookie = body.u64();
      cookieMask = header.masked ? body.u64() : 0xffff_ffff_ffff_ffffn;
      unplaced = true;
      continue;
    }
    if (!field) {
      unplaced = true;
      if (options.loose) continue;
      throw new OfError("OFPBMC_BAD_FIELD", at, `no field is known by ${header.text}`);
    }
    fields.push(field);
    if (!header.masked && PLAIN[field.id]) {
      if (!options.loose && !prerequisiteMet(field.prerequisite, match.key, match.mask)) {
        throw new OfError(
          "OFPBMC_BAD_PREREQ",
          at,
          `${field.name} needs ${field.prerequisite} first`,
        );
      }
      if (!fieldIsZero(match.mask, field)) {
        throw new OfError("OFPBMC_DUP_FIELD", at, `${field.name} is given twice`);
      }
      body.copyInto(match.key.bytes, field.offset, field.bytes);
      match.mask.bytes.fill(0xff, field.offset, field.offset + field.bytes);
      continue;
    }
    const { value, mask } = readOxmValue(body, field, header.masked);
    if (!options.loose && !prerequisiteMet(field.prerequisite, match.key, match.mask)) {
      throw new OfError("OFPBMC_BAD_PREREQ", at, `${field.name} needs ${field.prerequisite} first`);
    }
    // A priority shares the tag's presence bit with the VLAN id; only its own bits count here.
    const twice = field.variable
      ? hasTunnelOption(match.mask, tunnelIndex(field))
      : !fieldIsZero(match.mask, field);
    if (twice) throw new OfError("OFPBMC_DUP_FIELD", at, `${field.name} is given twice`);
    if (mask === 0n && !field.variable && field.prerequisite !== undefined) {
      // It asks for nothing but that there be the Ethernet header that it needs.
      match.mask.set(FIELDS.packet_type, 0xffffffff);
    }
    setMatchField(match, field, value, mask);
  }
  if (!unplaced) cache?.shapes.learn(bytes, start, end, loose, fields, match);
  return { match, cookie, cookieMask };
}

/** Writes the header of `field`; `payload` is the byte count of value and mask. */
export function writeOxmHeader(
  writer: Writer,
  field: Field,
  version: OxmVersion,
  masked: boolean,
  payload = masked ? 2 * field.bytes : field.bytes,
): void {
  const id = oxmIdOf(field, version);
  if (!id) throw new OfError("OFPBMC_BAD_FIELD", 0, `${field.name} has no OXM number`);
  const row: { class: number; experimenter?: number } = OXM_CLASSES[id[0]];
  writer.u16(row.class).u8((id[1] << 1) | (masked ? 1 : 0));
  if (row.experimenter === undefined) writer.u8(payload);
  else writer.u8(payload + 4).u32(row.experimenter);
}

function toWire(field: Field, value: bigint): bigint {
  return field.name === "in_port_oxm" || field.name === "actset_output"
    ? BigInt(portToWide(Number(value)))
    : value;
}

/** Writes one entry: header, value and, unless `mask` covers the field, or `always`, mask. */
export function writeOxmEntry(
  writer: Writer,
  field: Field,
  version: OxmVersion,
  value: bigint,
  mask: bigint = fullMask(field),
  always = false,
): void {
  const masked = always || mask !== fullMask(field);
  writeOxmHeader(writer, field, version, masked);
  writer.big(masked ? value : toWire(field, value), field.bytes);
  if (masked) writer.big(mask, field.bytes);
}

/**
 * Fields with bits in their bytes that nothing knows. Their entries always have a mask, as Open
 * vSwitch's have; without one Open vSwitch would take the value of an ERSPAN field for its mask.
 */
const NARROW: ReadonlyMap<Field, bigint> = new Map([
  [FIELDS.ct_state, 0xffn],
  ...[FIELDS.tun_erspan_ver, FIELDS.tun_erspan_dir, FIELDS.tun_erspan_hwid]
    .map((field) => [field, fullMask(field)] as const),
]);

/** Tunnel options come before it. */
const AFTER_TUNNEL = FIELDS.nsh_flags;

/** An option that is only asked to be there has an empty mask. */
function writeTunnelOptions(writer: Writer, version: OxmVersion, { key, mask }: Match): void {
  for (const index of tunnelOptions(mask)) {
    const field = writer.tunnelFields?.resolve(index);
    if (!field) continue;
    const bits = mask.getBig(field);
    const always = bits === 0n || writer.tunnelFields?.saysMask?.(mask, index) === true;
    writeOxmEntry(writer, field, version, key.getBig(field), bits, always);
  }
}

/** A field that all matches of some mask say something about. */
interface Written {
  readonly field: Field;
  /** What it begins with, if value and mask are written in the plain way; else 0. */
  readonly header: number;
  readonly masked: boolean;
  /** The value is written as a number, not as it stands in keys. */
  readonly number: boolean;
}

/** By version: what is written of the matches that have a mask. */
const WRITTEN: readonly MaskTopic<readonly Written[]>[] = ([0, 1, 2, 3, 4, 5, 6] as const).map(
  (version) => ({
    find: (mask) =>
      fieldsInOrder(version).filter((field) => field === AFTER_TUNNEL || !fieldIsZero(mask, field))
        .map((field) => writtenAs(field, version, mask)),
  }),
);

function writtenAs(field: Field, version: OxmVersion, mask: FlowKey): Written {
  const masked = field.maskable === true && !fieldIsFull(mask, field);
  const number = !PLAIN[field.id] && !masked && field.bits <= 32;
  const id = oxmIdOf(field, version);
  const isOther = field === AFTER_TUNNEL || field === FIELDS.packet_type ||
    field === FIELDS.ct_state || field === FIELDS.nw_tos || !(PLAIN[field.id] || number);
  if (!id || isOther || OXM_CLASSES[id[0]].class === EXPERIMENTER_CLASS) {
    return { field, header: 0, masked, number };
  }
  const payload = masked ? 2 * field.bytes : field.bytes;
  const header = (OXM_CLASSES[id[0]].class << 16) | (id[1] << 9) | (masked ? 0x100 : 0) | payload;
  return { field, header: header >>> 0, masked, number };
}

function writeWritten(
  writer: Writer,
  version: OxmVersion,
  match: Match,
  { field, header, masked, number }: Written,
): void {
  if (header === 0) return writeField(writer, version, match, field);
  const { key, mask } = match;
  if (!prerequisiteMet(field.prerequisite, key, mask)) return;
  writer.u32(header);
  if (number) return writeNumber(writer, field, key.get(field));
  writer.putPart(key.bytes, field.offset, field.bytes);
  if (masked) writer.putPart(mask.bytes, field.offset, field.bytes);
}

function writeNumber(writer: Writer, { name, bytes }: Field, value: number): void {
  const isPort = name === "in_port_oxm" || name === "actset_output";
  const wire = isPort ? portToWide(value) : value;
  for (let shift = 8 * (bytes - 1); shift >= 0; shift -= 8) writer.u8((wire >>> shift) & 0xff);
}

/** Packets are Ethernet frames where something is matched that only those have. */
function isImplied(packetType: Field, { key, mask }: Match, version: OxmVersion): boolean {
  if (key.get(packetType) !== 0) return false;
  return fieldsInOrder(version).some((field) =>
    field.prerequisite !== undefined && !fieldIsZero(mask, field) &&
    prerequisiteMet(field.prerequisite, key, mask)
  );
}

/** Writes the entry of a field, if the match says something about it. */
function writeField(writer: Writer, version: OxmVersion, match: Match, field: Field): void {
  const { key, mask } = match;
  if (field === AFTER_TUNNEL) writeTunnelOptions(writer, version, match);
  if (fieldIsZero(mask, field) || !prerequisiteMet(field.prerequisite, key, mask)) return;
  if (field === FIELDS.packet_type && isImplied(field, match, version)) return;
  if (isWholeSlot(field) && fieldIsFull(mask, field) && !NARROW.has(field)) {
    writeOxmHeader(writer, field, version, false);
    if (field.name === "actset_output") writer.u32(portToWide(key.get(field)));
    else if (field.name === "in_port_oxm") writer.u32(portToWide(key.get(field)));
    // Its byte holds ECN too, which is a field of its own.
    else if (field.name === "nw_tos") writer.u8(key.get(field) & 0xfc);
    else writer.putPart(key.bytes, field.offset, field.bytes);
    return;
  }
  let bits = mask.getBig(field);
  // Open vSwitch's own masks of fields without masks are wider than the field; so be it.
  if (!field.maskable) bits = fullMask(field);
  const known = NARROW.get(field);
  if (known !== undefined) bits &= known;
  writeOxmEntry(writer, field, version, key.getBig(field), bits, known !== undefined);
}

/** Writes the entries of a match, and the cookie pseudo-field when its mask is not zero. */
export function writeOxmFields(
  writer: Writer,
  version: OxmVersion,
  match: Match,
  cookie = 0n,
  cookieMask = 0n,
): void {
  const { mask } = match;
  if (mask instanceof SharedMask) {
    for (const written of mask.about(WRITTEN[version]!)) {
      writeWritten(writer, version, match, written);
    }
  } else for (const field of fieldsInOrder(version)) writeField(writer, version, match, field);
  if (cookieMask !== 0n) {
    const masked = cookieMask !== 0xffff_ffff_ffff_ffffn;
    writer.u16(COOKIE.class).u8((COOKIE.number << 1) | (masked ? 1 : 0)).u8(masked ? 16 : 8);
    writer.u64(cookie & cookieMask);
    if (masked) writer.u64(cookieMask);
  }
}
