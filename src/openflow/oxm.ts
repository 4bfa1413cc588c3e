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
 * order in which `writeOxmFields` emits them is `ORDER`, prerequisites first.
 */
import { type FieldName, OXM_CLASSES, type OxmId } from "../packet/fields.ts";
import { type Field, FIELD_LIST, fieldByOxm, FIELDS } from "../packet/layout.ts";
import { anyMatch, type Match } from "../packet/key.ts";
import { type ErrorName, OfError } from "./errors.ts";
import { fieldIsFull, fieldIsZero, fullMask, isWholeSlot } from "./field-bits.ts";
import { prerequisiteMet, setMatchField, valueIsValid } from "./match-set.ts";
import { portFromWide, portToWide } from "./ports.ts";
import { OF15, type OfVersion } from "./version.ts";
import { hasTunnelOption, tunnelIndex, tunnelOptions } from "./tunnel-fields.ts";
import type { Reader, Writer } from "./wire.ts";

/** The wire version, or 0 where NXM numbers are preferred to standard ones. */
export type OxmVersion = OfVersion | 0;

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

/** A tunnel option as these bytes' table places it, with a value of `bytes` bytes. */
function placed(reader: Reader, field: Field, bytes: number, at: number): Field | undefined {
  if (!Number.isInteger(bytes) || bytes > field.bytes) return undefined;
  const found = reader.tunnelFields?.resolve(tunnelIndex(field), bytes);
  if (!found) {
    throw new OfError("NXFMFC_INVALID_TLV_FIELD", at, `${field.name} stands for no option`);
  }
  return found.bytes === bytes || bytes === 0 ? found : { ...found, bytes };
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
  const match = anyMatch();
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
      continue;
    }
    if (!field) {
      if (options.loose) continue;
      throw new OfError("OFPBMC_BAD_FIELD", at, `no field is known by ${header.text}`);
    }
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
    setMatchField(match, field, value, mask);
  }
  return { match, cookie, cookieMask };
}

/** Fields in the order in which entries are written. */
const ORDER: readonly Field[] = ([
  "packet_type",
  "dp_hash",
  "recirc_id",
  "conj_id",
  "in_port",
  "in_port_oxm",
  "actset_output",
  "eth_src",
  "eth_dst",
  "eth_type",
  "vlan_vid",
  "vlan_pcp",
  "vlan_tci",
  "mpls_tc",
  "mpls_bos",
  "mpls_ttl",
  "mpls_label",
  "pbb_isid",
  "pbb_uca",
  "ip_src",
  "ip_dst",
  "ipv6_src",
  "ipv6_dst",
  "ip_frag",
  "ip_dscp",
  "nw_tos",
  "nw_ecn",
  "nw_ttl",
  "ipv6_label",
  "ipv6_exthdr",
  "nw_proto",
  "tcp_src",
  "tcp_dst",
  "tcp_flags",
  "udp_src",
  "udp_dst",
  "sctp_src",
  "sctp_dst",
  "icmp_type",
  "icmp_code",
  "icmpv6_type",
  "icmpv6_code",
  "nd_reserved",
  "nd_target",
  "nd_options_type",
  "nd_sll",
  "nd_tll",
  "arp_op",
  "arp_spa",
  "arp_tpa",
  "arp_sha",
  "arp_tha",
  "tun_id",
  "tun_flags",
  "tun_src",
  "tun_dst",
  "tun_ipv6_src",
  "tun_ipv6_dst",
  "tun_gbp_id",
  "tun_gbp_flags",
  "tun_erspan_idx",
  "tun_erspan_ver",
  "tun_erspan_dir",
  "tun_erspan_hwid",
  "tun_gtpu_flags",
  "tun_gtpu_msgtype",
  "nsh_flags",
  "nsh_ttl",
  "nsh_mdtype",
  "nsh_np",
  "nsh_spi",
  "nsh_si",
  "nsh_c1",
  "nsh_c2",
  "nsh_c3",
  "nsh_c4",
  ...Array.from({ length: 16 }, (_, n) => `reg${n}` as FieldName),
  ...Array.from({ length: 8 }, (_, n) => `xreg${n}` as FieldName),
  "pkt_mark",
  "ct_state",
  "ct_zone",
  "ct_mark",
  "ct_label",
  "ct_nw_src",
  "ct_ipv6_src",
  "ct_nw_dst",
  "ct_ipv6_dst",
  "ct_nw_proto",
  "ct_tp_src",
  "ct_tp_dst",
  "metadata",
] satisfies FieldName[]).map((name) => FIELDS[name]);

/** Of two forms of one thing, the one that this version does not use. */
function isOtherForm(name: FieldName, version: OxmVersion): boolean {
  switch (name) {
    case "in_port":
    case "vlan_tci":
    case "nw_tos":
      return version !== 0;
    case "in_port_oxm":
    case "vlan_vid":
    case "vlan_pcp":
    case "ip_dscp":
      return version === 0;
    default:
      if (name.startsWith("reg")) return version >= OF15;
      return name.startsWith("xreg") && version < OF15;
  }
}

/** For NXM, for OXM before 1.5, and from 1.5 on: the fields that are written, in order. */
const ORDERS: readonly (readonly Field[])[] = ([0, 4, 6] as const).map((version) =>
  ORDER.filter((field) => !isOtherForm(field.name, version))
);

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

/** Writes one entry: header, value and, unless `mask` covers the field, mask. */
export function writeOxmEntry(
  writer: Writer,
  field: Field,
  version: OxmVersion,
  value: bigint,
  mask: bigint = fullMask(field),
): void {
  const masked = mask !== fullMask(field);
  writeOxmHeader(writer, field, version, masked);
  writer.big(masked ? value : toWire(field, value), field.bytes);
  if (masked) writer.big(mask, field.bytes);
}

/** Tunnel options come before it. */
const AFTER_TUNNEL = FIELDS.nsh_flags;

/** An option that is only asked to be there has an empty mask. */
function writeTunnelOptions(writer: Writer, version: OxmVersion, { key, mask }: Match): void {
  for (const index of tunnelOptions(mask)) {
    const field = writer.tunnelFields?.resolve(index);
    if (field) writeOxmEntry(writer, field, version, key.getBig(field), mask.getBig(field));
  }
}

/** Writes the entries of a match, and the cookie pseudo-field when its mask is not zero. */
export function writeOxmFields(
  writer: Writer,
  version: OxmVersion,
  match: Match,
  cookie = 0n,
  cookieMask = 0n,
): void {
  const { key, mask } = match;
  for (const field of ORDERS[version === 0 ? 0 : version < OF15 ? 1 : 2]!) {
    if (field === AFTER_TUNNEL) writeTunnelOptions(writer, version, match);
    if (fieldIsZero(mask, field) || !prerequisiteMet(field.prerequisite, key, mask)) continue;
    if (isWholeSlot(field) && fieldIsFull(mask, field)) {
      writeOxmHeader(writer, field, version, false);
      if (field.name === "actset_output") writer.u32(portToWide(key.get(field)));
      else if (field.name === "in_port_oxm") writer.u32(portToWide(key.get(field)));
      else writer.put(key.bytes.subarray(field.offset, field.offset + field.bytes));
    } else {
      let bits = mask.getBig(field);
      // Open vSwitch's own masks of fields without masks are wider than the field; so be it.
      if (!field.maskable) bits = fullMask(field);
      writeOxmEntry(writer, field, version, key.getBig(field), bits);
    }
  }
  if (cookieMask !== 0n) {
    const masked = cookieMask !== 0xffff_ffff_ffff_ffffn;
    writer.u16(COOKIE.class).u8((COOKIE.number << 1) | (masked ? 1 : 0)).u8(masked ? 16 : 8);
    writer.u64(cookie & cookieMask);
    if (masked) writer.u64(cookieMask);
  }
}
