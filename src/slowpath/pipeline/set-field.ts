/** Actions that write fields of the key: which packets have them, and what goes into the mask. */
import type { ActionOf, Subfield } from "../../openflow/actions/types.ts";
import { formatSubfield } from "../../openflow/text/subfield.ts";
import { clearTunnelOption, setTunnelOption, tunnelIndex } from "../../openflow/tunnel-fields.ts";
import type { Prerequisite } from "../../packet/fields.ts";
import { DP_KEY_BYTES, type Field, slot } from "../../packet/layout.ts";
import { formatField } from "../../packet/text.ts";
import {
  AT,
  FRAG_LATER,
  has,
  isIp,
  isNumeric,
  look16,
  lookSubfield,
  readNumber,
  readSubfield,
  setU16,
  u16,
  VLAN_CFI,
  writeMasked,
  writeNumber,
  writeSubfield,
} from "./bits.ts";
import { setKind } from "./commit.ts";
import type { Xlate } from "./xlate.ts";

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
const TPID_8021Q = 0x8100;

/** Sets a field if the packet has it; the written bits count as looked at (commit.ts). */
export function setField(
  x: Xlate,
  field: Field,
  value: bigint,
  bits: bigint,
  needs: Prerequisite | undefined = field.prerequisite,
): void {
  const place = placeOf(x, field);
  if (!place || !has(x.key, x.mask, needs)) {
    return x.tracer?.report(
      "warn",
      `unmet prerequisites for ${field.name}, set_field ignored`,
    );
  }
  if (field.name === "eth_type" || field.name === "nw_proto") {
    return setKind(x, field.name, value);
  }
  writeMasked(x.mask, place, bits, bits);
  writeMasked(x.key, place, value, bits);
  finish(x, field);
}

export function setNumber(x: Xlate, field: Field, value: number): void {
  setField(x, field, BigInt(value), ones(field.bits));
}

/** The field where it lies in this bridge's keys; undefined: it has no such field. */
function placeOf({ bridge }: Xlate, field: Field): Field | undefined {
  if (!field.variable) return field;
  const place = bridge.tunnelOptions?.place(tunnelIndex(field));
  if (!place) return undefined;
  const { offset, length } = place;
  return {
    ...field,
    offset: slot("tun_metadata").offset + offset,
    slotBytes: length,
    bits: 8 * length,
    bytes: length,
  };
}

/** `subfield` where it lies in this bridge's keys. */
function placed(x: Xlate, subfield: Subfield): Subfield | undefined {
  if (!subfield.field.variable) return subfield;
  const field = placeOf(x, subfield.field);
  return field && { ...subfield, field };
}

/** What goes with the written bits: that a tunnel option is there, that a tag is a whole tag. */
function finish({ key, mask }: Xlate, field: Field): void {
  const { offset, name, variable } = field;
  if (variable) {
    for (const each of [key, mask]) setTunnelOption(each, tunnelIndex(field));
    return;
  }
  if (offset !== AT.vlanTci) return;
  if (name === "dl_vlan" || name === "dl_vlan_pcp" || name === "vlan_pcp") {
    look16(mask, AT.vlanTci, VLAN_CFI);
    look16(key, AT.vlanTci, VLAN_CFI);
  }
  if (u16(key, AT.vlanTci) !== 0 && u16(key, AT.vlanTpid) === 0) {
    setU16(key, AT.vlanTpid, TPID_8021Q);
  }
}

/** Writes bits that `multipath`, `learn` and others compute, whatever the packet is. */
export function loadSubfield(x: Xlate, subfield: Subfield, value: bigint): void {
  const place = placed(x, subfield);
  if (!place) return;
  lookSubfield(x.mask, place);
  writeSubfield(x.key, place, value);
  finish(x, subfield.field);
  reportSubfield(x, place);
}

/** Reads bits and notes that they were looked at; zero where the bridge has no such field. */
export function lookAtSubfield(x: Xlate, subfield: Subfield): bigint {
  const place = placed(x, subfield);
  if (!place) return 0n;
  x.notes?.decide(x.mask);
  lookSubfield(x.mask, place);
  return readSubfield(x.key, place);
}

/** `delete_field`: the packet has the tunnel option no more. */
export function deleteField(x: Xlate, field: Field): void {
  const place = placeOf(x, field);
  if (place) {
    x.key.bytes.fill(0, place.offset, place.offset + place.slotBytes);
    clearTunnelOption(x.key, tunnelIndex(field));
  }
  x.tracer?.report("detail", `delete ${field.name}`);
}

export function move(x: Xlate, { source, destination }: ActionOf<"move">): void {
  const { key, mask } = x;
  const from = placed(x, source);
  const into = placed(x, destination);
  if (
    from && into && has(key, mask, destination.field.prerequisite) &&
    has(key, mask, source.field.prerequisite)
  ) {
    lookAtMove(x, from, into);
    if (isNumeric(from.field) && isNumeric(into.field)) {
      writeNumber(key, into, readNumber(key, from));
    } else writeSubfield(key, into, readSubfield(key, from));
    finish(x, destination.field);
  }
  reportSubfield(x, into ?? destination);
}

/** What is copied into a register decides nothing until somebody looks there. */
function lookAtMove({ mask, notes }: Xlate, from: Subfield, into: Subfield): void {
  if (notes && into.field.offset >= DP_KEY_BYTES && !into.field.variable && isPlain(from.field)) {
    notes.hasCopies = true;
    return lookSubfield(notes.copied, from);
  }
  notes?.decide(mask);
  lookSubfield(mask, from);
  lookSubfield(mask, into);
}

const isPlain = ({ offset, variable }: Field): boolean => offset < DP_KEY_BYTES && !variable;

export function push(x: Xlate, { subfield }: ActionOf<"stack_push">): void {
  x.stack.push({ value: lookAtSubfield(x, subfield), bytes: Math.ceil(subfield.bits / 8) });
}

export function pop(x: Xlate, { subfield }: ActionOf<"stack_pop">): void {
  const entry = x.stack.pop();
  if (!entry) return x.complain("stack underflow");
  loadSubfield(x, subfield, entry.value);
}

/** What a run of bits holds now, for a trace. */
export function reportSubfield({ tracer, key }: Xlate, subfield: Subfield): void {
  if (!tracer) return;
  const { field, start, bits } = subfield;
  const value = readSubfield(key, subfield);
  const text = start === 0 && bits >= field.bits
    ? formatField(field, value)
    : (value === 0n ? "0" : `0x${value.toString(16)}`);
  tracer.report("detail", `${formatSubfield(subfield)} is now ${text}`);
}

export function setBytes(x: Xlate, field: Field, value: Uint8Array): void {
  x.mask.bytes.fill(0xff, field.offset, field.offset + value.length);
  x.key.bytes.set(value, field.offset);
}

export function setVlanBits(x: Xlate, bits: number, value: number, pushIfNone: boolean): void {
  const { key, mask } = x;
  look16(mask, AT.vlanTci, bits | VLAN_CFI);
  const tci = u16(key, AT.vlanTci);
  if (!(tci & VLAN_CFI) && !pushIfNone) return;
  setU16(key, AT.vlanTci, (tci & ~bits) | (value & bits) | VLAN_CFI);
  if (u16(key, AT.vlanTpid) === 0) setU16(key, AT.vlanTpid, TPID_8021Q);
}

/** The transport ports of a whole packet or first fragment, whatever the protocol calls them. */
export function setPort(x: Xlate, at: number, port: number): void {
  const { key, mask } = x;
  if (!isIp(key) || (key.bytes[AT.nwFrag]! & FRAG_LATER) !== 0) return;
  mask.bytes[AT.nwProto] = 0xff;
  look16(mask, at, 0xffff);
  setU16(key, at, port);
}

/** False when the TTL is used up: the list ends then. */
export function decTtl(x: Xlate, controllerIds: readonly number[]): boolean {
  const { key, mask } = x;
  mask.bytes[AT.nwTtl] = 0xff;
  if (!isIp(key)) return true;
  const ttl = key.bytes[AT.nwTtl]!;
  if (ttl > 1) {
    key.bytes[AT.nwTtl] = ttl - 1;
    return true;
  }
  for (const id of controllerIds) x.expired(id);
  const version = has(key, mask, "ipv4") ? 4 : 6;
  x.tracer?.report("warn", `IPv${version} decrement TTL exception`);
  return false;
}
