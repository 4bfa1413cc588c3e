/** Actions that change the packet or its metadata. */
import type { FieldName } from "../../packet/fields.ts";
import type { Field } from "../../packet/layout.ts";
import { OfError } from "../errors.ts";
import { fullMask } from "../field-bits.ts";
import { readOxmField, readOxmValue, writeOxmEntry } from "../oxm.ts";
import type { Reader } from "../wire.ts";
import { readMove, stack, writeMove } from "./copy.ts";
import { type ActionRow, bare, integer, row } from "./rows.ts";
import {
  checkDestination,
  hasShortHeader,
  loadSegments,
  ofsBits,
  ownWidth,
  readField32,
  readFieldHeader,
  readOfsBits,
  readOnly,
  subfieldMask,
  writeFieldHeader,
} from "./subfield.ts";
import { OF13 } from "../version.ts";
import type { ActionOf, ActionType } from "./types.ts";

function inRange(value: number, limit: number, at: number, what: string): number {
  if (value > limit) {
    throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${what} ${value} is more than ${limit}`);
  }
  return value;
}

const isVlanType = (ethType: number): boolean => ethType === 0x8100 || ethType === 0x88a8;
const isPbbType = (ethType: number): boolean => ethType === 0x88e7;
const isMplsType = (ethType: number): boolean => ethType === 0x8847 || ethType === 0x8848;

function checkEthType(ethType: number, at: number, good: (ethType: number) => boolean): number {
  if (good(ethType)) return ethType;
  throw new OfError("OFPBAC_BAD_ARGUMENT", at, `0x${ethType.toString(16)} cannot be pushed`);
}

/** OFPAT_SET_DL_SRC and _DST: an address and six bytes of padding. */
function address<T extends "set_eth_src" | "set_eth_dst">(type: T, ids: string): ActionRow {
  return row<T>({
    type,
    ids,
    bytes: 16,
    read: (reader) => {
      const result = { type, address: reader.copy(6) } as unknown as ActionOf<T>;
      reader.skip(6);
      return result;
    },
    write: (writer, action) => {
      writer.put((action as { address: Uint8Array }).address).zeros(6);
    },
  });
}

/** One declaration for each version range that numbers the action differently. */
function each(ids: readonly string[], make: (ids: string) => ActionRow): ActionRow[] {
  return ids.map(make);
}

/**
 * Fields that Open vSwitch sets in no way, and the standard's set-field does: every header field can
 * be set (OpenFlow 1.3.5 §7.2.5).
 */
const HEADER_FIELDS: ReadonlySet<FieldName> = new Set(["eth_type", "nw_proto", "mpls_bos"]);

function readSetField(reader: Reader, mayMask: boolean): ActionOf<"set_field"> {
  const at = reader.offset;
  const { field, masked } = readSetHeader(reader, mayMask);
  const { value, mask } = readOxmValue(reader, field, masked, "OFPBAC_BAD_SET_ARGUMENT");
  reader.zeros(reader.left, "OFPBAC_BAD_SET_ARGUMENT");
  if (field.name === "in_port_oxm") {
    throw new OfError("OFPBAC_BAD_SET_ARGUMENT", at, "in_port_oxm cannot be set");
  }
  if (!(field.writable || HEADER_FIELDS.has(field.name))) throw readOnly(field, at, "ofp_actions");
  if (field.name === "vlan_vid" && ((value & 0x1000n) === 0n || (mask & 0x1000n) === 0n)) {
    throw new OfError("OFPBAC_BAD_SET_ARGUMENT", at, "vlan_vid lacks the present bit", {
      module: "ofp_actions",
      text: () => `Invalid value for set field vlan_vid: ${value & 0xfffn}`,
    });
  }
  return { type: "set_field", field: ownWidth(field, reader), value, mask, form: "set_field" };
}

function readSetHeader(reader: Reader, mayMask: boolean): { field: Field; masked: boolean } {
  const at = reader.offset;
  const header = readOxmField(reader, true);
  if (header.masked && !mayMask) {
    throw new OfError("OFPBAC_BAD_SET_MASK", at, `set_field of ${header.field.name} has a mask`);
  }
  return header;
}

const isWhole = (action: ActionOf<"set_field">): boolean => action.mask === fullMask(action.field);

/** Numbers of the actions of OpenFlow 1.0 that 1.1 renumbered and 1.2 deprecated. */
function legacy<T extends ActionType>(
  type: T,
  ids: readonly string[],
  size: 1 | 2 | 4,
  make: (value: number, at: number) => ActionOf<T>,
  value: (action: ActionOf<T>) => number,
  when?: (action: ActionOf<T>) => boolean,
): ActionRow[] {
  return each(ids, (id) => integer<T>(type, id, size, make, value, when));
}

export const SET_ROWS: readonly ActionRow[] = [
  row<"set_field">({
    type: "set_field",
    ids: "OF1.2-1.4(25)",
    bytes: 8,
    variable: true,
    when: (action) => isWhole(action) && action.form === "set_field",
    read: (reader) => readSetField(reader, false),
    write: (writer, { field, value }, { version }) => writeOxmEntry(writer, field, version, value),
  }),
  row<"set_field">({
    type: "set_field",
    ids: "OF1.5(25)",
    bytes: 8,
    variable: true,
    read: (reader) => readSetField(reader, true),
    write: (writer, { field, value, mask }, { version }) =>
      writeOxmEntry(writer, field, version, value & mask, mask),
  }),
  row<"set_field">({
    type: "set_field",
    ids: "NX1.0-1.4(7)",
    bytes: 24,
    when: ({ field, value, mask }) =>
      hasShortHeader(field) && loadSegments(field, value, mask).length === 1,
    read: (reader) => {
      const at = reader.offset;
      const run = readOfsBits(reader);
      const subfield = checkDestination({ field: readField32(reader), ...run }, at);
      const value = reader.u64();
      if (run.bits < 64 && value >> BigInt(run.bits) !== 0n) {
        throw new OfError("OFPBAC_BAD_ARGUMENT", at, `${value} has more than ${run.bits} bits`);
      }
      return {
        type: "set_field",
        field: subfield.field,
        value: value << BigInt(run.start),
        mask: subfieldMask(subfield),
        form: "load",
      };
    },
    write: (writer, { field, value, mask }) => {
      const { subfield, value: part } = loadSegments(field, value, mask)[0]!;
      writer.u16(ofsBits(subfield));
      writeFieldHeader(writer, field);
      writer.u64(part);
    },
  }),
  row<"set_field">({
    type: "set_field",
    ids: "NX1.0-1.4(33)",
    bytes: 16,
    variable: true,
    read: (reader) => {
      const at = reader.offset;
      const { field, masked } = readOxmField(reader, true);
      const { value, mask } = readOxmValue(reader, field, masked, "OFPBAC_BAD_SET_ARGUMENT");
      reader.zeros(reader.left, "OFPBAC_BAD_SET_ARGUMENT");
      if (!field.writable) throw readOnly(field, at, "ofp_actions");
      const own = ownWidth(field, reader);
      return { type: "set_field", field: own, value, mask, form: "set_field" };
    },
    write: (writer, { field, value, mask }) => writeOxmEntry(writer, field, 0, value & mask, mask),
  }),
  row<"move">({
    type: "move",
    ids: "OF1.5(28)",
    bytes: 16,
    variable: true,
    read: (reader) => readMove(reader, 2),
    write: (writer, action, { version }) => writeMove(writer, action, 2, version),
  }),
  row<"move">({
    type: "move",
    ids: "NX1.0-1.4(6)",
    bytes: 16,
    variable: true,
    when: (action, version) => action.form !== "onf" || version < OF13,
    read: (reader) => readMove(reader, 0),
    write: (writer, action) => writeMove(writer, action, 0, 0),
  }),
  row<"move">({
    type: "move",
    ids: "ONF1.3-1.4(3200)",
    bytes: 24,
    variable: true,
    read: (reader) => {
      reader.skip(2);
      return { ...readMove(reader, 2), form: "onf" };
    },
    write: (writer, action, { version }) => {
      writer.zeros(2);
      writeMove(writer, action, 2, version);
    },
  }),
  stack("stack_push", "NX1.0+(27)"),
  stack("stack_pop", "NX1.0+(28)"),

  ...legacy<"set_vlan_vid">(
    "set_vlan_vid",
    ["OF1.0(1)"],
    2,
    (vid, at) => ({ type: "set_vlan_vid", vid: inRange(vid, 4095, at, "VLAN"), pushIfNone: true }),
    (action) => action.vid,
  ),
  ...legacy<"set_vlan_vid">(
    "set_vlan_vid",
    ["OF1.1+(1)"],
    2,
    (vid, at) => ({ type: "set_vlan_vid", vid: inRange(vid, 4095, at, "VLAN"), pushIfNone: false }),
    (action) => action.vid,
  ),
  ...legacy<"set_vlan_pcp">(
    "set_vlan_pcp",
    ["OF1.0(2)"],
    1,
    (pcp, at) => ({ type: "set_vlan_pcp", pcp: inRange(pcp, 7, at, "priority"), pushIfNone: true }),
    (action) => action.pcp,
  ),
  ...legacy<"set_vlan_pcp">(
    "set_vlan_pcp",
    ["OF1.1+(2)"],
    1,
    (pcp, at) => ({
      type: "set_vlan_pcp",
      pcp: inRange(pcp, 7, at, "priority"),
      pushIfNone: false,
    }),
    (action) => action.pcp,
  ),
  integer<"push_vlan">(
    "push_vlan",
    "OF1.1+(17)",
    2,
    (ethType, at) => ({ type: "push_vlan", ethType: checkEthType(ethType, at, isVlanType) }),
    (action) => action.ethType,
  ),
  bare<"pop_vlan">("pop_vlan", "OF1.0(3)", { type: "pop_vlan", strip: true }),
  bare<"pop_vlan">("pop_vlan", "OF1.1+(18)", { type: "pop_vlan" }),
  ...each(["OF1.0(4)", "OF1.1+(3)"], (ids) => address("set_eth_src", ids)),
  ...each(["OF1.0(5)", "OF1.1+(4)"], (ids) => address("set_eth_dst", ids)),
  ...legacy<"set_ipv4_src">(
    "set_ipv4_src",
    ["OF1.0(6)", "OF1.1+(5)"],
    4,
    (value) => ({ type: "set_ipv4_src", address: value }),
    (action) => action.address,
  ),
  ...legacy<"set_ipv4_dst">(
    "set_ipv4_dst",
    ["OF1.0(7)", "OF1.1+(6)"],
    4,
    (value) => ({ type: "set_ipv4_dst", address: value }),
    (action) => action.address,
  ),
  ...legacy<"set_ip_dscp">(
    "set_ip_dscp",
    ["OF1.0(8)", "OF1.1+(7)"],
    1,
    (tos, at) => {
      if (tos & 3) throw new OfError("OFPBAC_BAD_ARGUMENT", at, `TOS ${tos} has ECN bits`);
      return { type: "set_ip_dscp", tos };
    },
    (action) => action.tos,
  ),
  integer<"set_ip_ecn">(
    "set_ip_ecn",
    "OF1.1+(8)",
    1,
    (ecn, at) => ({ type: "set_ip_ecn", ecn: inRange(ecn, 3, at, "ECN") }),
    (action) => action.ecn,
  ),
  integer<"set_ip_ttl">(
    "set_ip_ttl",
    "OF1.1+(23)",
    1,
    (ttl) => ({ type: "set_ip_ttl", ttl }),
    (action) => action.ttl,
  ),
  ...legacy<"set_tp_src">(
    "set_tp_src",
    ["OF1.0(9)", "OF1.1+(9)"],
    2,
    (port) => ({ type: "set_tp_src", port }),
    (action) => action.port,
  ),
  ...legacy<"set_tp_dst">(
    "set_tp_dst",
    ["OF1.0(10)", "OF1.1+(10)"],
    2,
    (port) => ({ type: "set_tp_dst", port }),
    (action) => action.port,
  ),
  row<"dec_ttl">({
    type: "dec_ttl",
    ids: "OF1.1+(24)",
    bytes: 8,
    when: isPlainDecTtl,
    read: readPlainDecTtl,
    write: (writer) => {
      writer.zeros(4);
    },
  }),
  row<"dec_ttl">({
    type: "dec_ttl",
    ids: "NX1.0(18)",
    bytes: 16,
    when: isPlainDecTtl,
    read: readPlainDecTtl,
    write: (writer) => {
      writer.zeros(6);
    },
  }),
  row<"dec_ttl">({
    type: "dec_ttl",
    ids: "NX1.0+(21)",
    bytes: 16,
    variable: true,
    read: (reader) => {
      const count = reader.u16();
      reader.zeros(4, "NXBRC_MUST_BE_ZERO");
      const controllerIds = Array.from({ length: count }, () => reader.u16());
      reader.skip(reader.left);
      return { type: "dec_ttl", controllerIds, explicitIds: true };
    },
    write: (writer, action) => {
      writer.u16(action.controllerIds.length).zeros(4);
      for (const id of action.controllerIds) writer.u16(id);
    },
  }),
  ...legacy<"set_mpls_label">(
    "set_mpls_label",
    ["OF1.1+(13)", "NX1.0(30)"],
    4,
    (label) => ({ type: "set_mpls_label", label }),
    (action) => action.label,
  ),
  ...legacy<"set_mpls_tc">(
    "set_mpls_tc",
    ["OF1.1+(14)", "NX1.0(31)"],
    1,
    (tc, at) => ({ type: "set_mpls_tc", tc: inRange(tc, 7, at, "traffic class") }),
    (action) => action.tc,
  ),
  ...legacy<"set_mpls_ttl">(
    "set_mpls_ttl",
    ["OF1.1+(15)", "NX1.0(25)"],
    1,
    (ttl) => ({ type: "set_mpls_ttl", ttl }),
    (action) => action.ttl,
  ),
  bare<"copy_ttl_out">("copy_ttl_out", "OF1.1+(11)", { type: "copy_ttl_out" }),
  bare<"copy_ttl_in">("copy_ttl_in", "OF1.1+(12)", { type: "copy_ttl_in" }),
  integer<"push_pbb">(
    "push_pbb",
    "OF1.3+(26)",
    2,
    (ethType, at) => ({ type: "push_pbb", ethType: checkEthType(ethType, at, isPbbType) }),
    (action) => action.ethType,
  ),
  bare<"pop_pbb">("pop_pbb", "OF1.3+(27)", { type: "pop_pbb" }),
  bare<"dec_mpls_ttl">("dec_mpls_ttl", "OF1.1+(16)", { type: "dec_mpls_ttl" }),
  bare<"dec_mpls_ttl">("dec_mpls_ttl", "NX1.0(26)", { type: "dec_mpls_ttl" }),
  ...legacy<"push_mpls">(
    "push_mpls",
    ["OF1.1+(19)", "NX1.0(23)"],
    2,
    (ethType, at) => ({ type: "push_mpls", ethType: checkEthType(ethType, at, isMplsType) }),
    (action) => action.ethType,
  ),
  ...legacy<"pop_mpls">(
    "pop_mpls",
    ["OF1.1+(20)", "NX1.0(24)"],
    2,
    (ethType) => ({ type: "pop_mpls", ethType }),
    (action) => action.ethType,
  ),
  integer<"set_tunnel">(
    "set_tunnel",
    "NX1.0+(2)",
    4,
    (id) => ({ type: "set_tunnel", id: BigInt(id), wide: false }),
    (action) => Number(action.id),
    (action) => !action.wide && action.id <= 0xffffffffn,
  ),
  row<"set_tunnel">({
    type: "set_tunnel",
    ids: "NX1.0+(9)",
    bytes: 24,
    read: (reader) => {
      reader.skip(6);
      return { type: "set_tunnel", id: reader.u64(), wide: true };
    },
    write: (writer, action) => {
      writer.zeros(6).u64(action.id);
    },
  }),
  row<"check_pkt_larger">({
    type: "check_pkt_larger",
    ids: "NX1.0+(49)",
    bytes: 24,
    read: (reader) => {
      const at = reader.offset;
      const length = reader.u16();
      const start = reader.u16();
      const field = readFieldHeader(reader);
      reader.zeros(reader.left, "NXBRC_MUST_BE_ZERO");
      const destination = checkDestination({ field, start, bits: 1 }, at);
      return { type: "check_pkt_larger", length, destination };
    },
    write: (writer, { length, destination }) => {
      writer.u16(length).u16(destination.start);
      const start = writer.length;
      writeFieldHeader(writer, destination.field);
      writer.zeros(10 - (writer.length - start));
    },
  }),
  row<"delete_field">({
    type: "delete_field",
    ids: "NX1.0+(50)",
    bytes: 24,
    read: (reader) => {
      const field = readFieldHeader(reader);
      reader.skip(reader.left);
      return { type: "delete_field", field };
    },
    write: (writer, action) => {
      const start = writer.length;
      writeFieldHeader(writer, action.field);
      writer.zeros(14 - (writer.length - start));
    },
  }),
  bare<"dec_nsh_ttl">("dec_nsh_ttl", "NX1.3+(48)", { type: "dec_nsh_ttl" }),
];

function isPlainDecTtl(action: ActionOf<"dec_ttl">): boolean {
  return !action.explicitIds && action.controllerIds.length === 1 && action.controllerIds[0] === 0;
}

function readPlainDecTtl(reader: Reader): ActionOf<"dec_ttl"> {
  reader.skip(reader.left);
  return { type: "dec_ttl", controllerIds: [0] };
}
