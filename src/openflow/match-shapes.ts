/**
 * Matches that differ in values only are decoded by copying.
 *
 * The flows of a table have few *shapes*: the same fields in the same order, under the same masks.
 * The first match of a shape is decoded field by field (oxm.ts), with all of its checks; what is
 * learned from it is one pattern over the bytes on the wire, and where values go in a flow key:
 *
 *     bytes     header │ value           │ header │ value           │ mask
 *     care      all    │ what must stay  │ all    │ bits not masked │ all
 *
 * Another run of bytes is of the shape if it has the pattern's bits wherever `care` has ones: then it
 * would pass the same checks, and its values are copied. Where a check depends on a value, or a value
 * is not copied as it is (the Ethernet type, ICMP's, parts of a tag), the value is part of the shape.
 *
 * Invariants: matches of one shape have one mask between them, the same object: nobody may change it.
 * A shape learned without asking for prerequisites (`loose`) is not used where they are asked for.
 *
 * Limits: `MAX_SHAPES` shapes; matches of any more are decoded field by field. Matches on tunnel
 * options, whose places may change, and on experimenters' fields are never learned.
 */
import { type FieldName, OXM_CLASSES, type OxmId } from "../packet/fields.ts";
import { FlowKey, type Match, SharedMask } from "../packet/key.ts";
import { type Field, FIELDS } from "../packet/layout.ts";
import { fullMask } from "./field-bits.ts";

const MAX_SHAPES = 512;
const HEADER_BYTES = 4;
const EXPERIMENTER_CLASS = 0xffff;
/** Of the first byte of a tag: that there is one. */
const TAG_PRESENT = 0x10;
/** Of a header: a mask follows the value. */
const MASKED = 0x100;

/** Other fields are allowed or not by their values, or they do not stand in keys as on the wire. */
const CONSTANT: ReadonlySet<FieldName> = new Set<FieldName>([
  "packet_type",
  "eth_type",
  "nw_proto",
  "ip_frag",
  "ct_state",
  "actset_output",
  "nsh_ttl",
  "nsh_mdtype",
  "nsh_np",
]);

const headerOf = (id: OxmId, bytes: number): number =>
  ((OXM_CLASSES[id[0]].class << 16) | (id[1] << 9) | bytes) >>> 0;
/** Headers of the Ethernet type: with it, shapes of the same fields are told apart early. */
const ETH_TYPES: readonly number[] = [FIELDS.eth_type.oxm, FIELDS.eth_type.nxm].flatMap((id) =>
  id ? [headerOf(id, 2)] : []
);

/** `count` bytes at `from` of a match on the wire are the bytes at `to` of the key. */
interface Copy {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

class Shape {
  constructor(
    readonly loose: boolean,
    readonly pattern: Uint8Array,
    readonly care: Uint8Array,
    private readonly copies: readonly Copy[],
    /** Bytes that must not be 0xff: the upper halves of port numbers. */
    private readonly ports: readonly number[],
    /** The key without what is copied. */
    private readonly base: FlowKey,
    readonly mask: SharedMask,
  ) {}

  fits(bytes: Uint8Array, start: number, length: number, loose: boolean): boolean {
    const { pattern, care, ports } = this;
    if (pattern.length !== length || this.loose !== loose) return false;
    for (let i = 0; i < length; i++) {
      if (((bytes[start + i]! ^ pattern[i]!) & care[i]!) !== 0) return false;
    }
    for (let i = 0; i < ports.length; i++) if (bytes[start + ports[i]!] === 0xff) return false;
    return true;
  }

  keyInto(key: FlowKey, bytes: Uint8Array, start: number): void {
    const { copies } = this;
    const target = key.bytes;
    key.words.set(this.base.words);
    for (let i = 0; i < copies.length; i++) {
      const { from, to, count } = copies[i]!;
      for (let j = 0; j < count; j++) target[to + j]! |= bytes[start + from + j]!;
    }
  }
}

export class MatchShapes {
  private readonly byHash = new Map<number, Shape[]>();
  private count = 0;
  /** The one that fit last: flows come in runs of a shape. */
  private latest: Shape | undefined;

  /** The match in `bytes[start, end)`, if one of its shape was learned. */
  read(
    bytes: Uint8Array,
    start: number,
    end: number,
    loose: boolean,
    key?: FlowKey,
  ): Match | undefined {
    const shape = this.find(bytes, start, end, loose);
    if (!shape) return undefined;
    const into = key ?? new FlowKey();
    shape.keyInto(into, bytes, start);
    return { key: into, mask: shape.mask };
  }

  private find(bytes: Uint8Array, start: number, end: number, loose: boolean): Shape | undefined {
    const { latest } = this;
    if (latest?.fits(bytes, start, end - start, loose)) return latest;
    const hash = hashOf(bytes, start, end);
    const alike = hash === 0 ? undefined : this.byHash.get(hash);
    if (!alike) return undefined;
    for (let i = 0; i < alike.length; i++) {
      const shape = alike[i]!;
      if (shape.fits(bytes, start, end - start, loose)) return this.latest = shape;
    }
    return undefined;
  }

  /**
   * Remembers the shape of a match that was decoded from `bytes[start, end)`; `fields` are its fields
   * in the order of the wire. Returns the match as others of its shape will be: with their mask.
   */
  learn(
    bytes: Uint8Array,
    start: number,
    end: number,
    loose: boolean,
    fields: readonly Field[],
    match: Match,
  ): void {
    const hash = hashOf(bytes, start, end);
    if (hash === 0 || this.count >= MAX_SHAPES) return;
    const shape = makeShape(bytes.slice(start, end), loose, fields, match);
    if (!shape) return;
    this.count++;
    const alike = this.byHash.get(hash);
    if (alike) alike.push(shape);
    else this.byHash.set(hash, [shape]);
  }
}

/** Of headers, masks and what tells most about the other fields; 0: not a list of plain entries. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 1;
  let at = start;
  while (at < end) {
    if (end - at < HEADER_BYTES) return 0;
    const length = bytes[at + 3]!;
    const header = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | length;
    if (header >>> 16 === EXPERIMENTER_CLASS) return 0;
    at += HEADER_BYTES;
    if (length > end - at) return 0;
    hash = mix(hash, header);
    let from = at + length;
    if ((header & MASKED) !== 0) from = at + (length >> 1);
    else if (length === 1 || ETH_TYPES.includes(header >>> 0)) from = at;
    at += length;
    for (; from < at; from++) hash = mix(hash, bytes[from]!);
  }
  return hash | 1;
}

function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

function makeShape(
  pattern: Uint8Array,
  loose: boolean,
  fields: readonly Field[],
  match: Match,
): Shape | undefined {
  const care = new Uint8Array(pattern.length).fill(0xff);
  const copies: Copy[] = [];
  const ports: number[] = [];
  const base = match.key.clone();
  let at = 0;
  for (const field of fields) {
    if (field.variable) return undefined;
    const masked = (pattern[at + 2]! & 1) !== 0;
    const from = at + HEADER_BYTES;
    at = from + pattern[at + 3]!;
    const copy = copyOf(field, from);
    // Masks of nothing let through what is no value of the field.
    const nothing = masked && pattern.subarray(from + field.bytes, at).every((byte) => byte === 0);
    if (!copy || nothing || (masked && copy.to !== field.offset)) continue;
    copies.push(copy);
    const bits = bytesOf(fullMask(field), field.bytes).subarray(-copy.count);
    for (let i = 0; i < copy.count; i++) {
      const mask = masked ? pattern[copy.from + field.bytes + i]! : 0xff;
      care[copy.from + i] = ~(mask & bits[i]!);
      base.bytes[copy.to + i]! &= ~bits[i]!;
    }
    if (field.name === "vlan_tci" || field.name === "vlan_vid") care[from]! |= TAG_PRESENT;
    if (field.name === "in_port_oxm") {
      if (pattern[from] === 0) ports.push(copy.from);
      else care[copy.from] = 0xff;
    }
  }
  return new Shape(loose, pattern, care, copies, ports, base, SharedMask.of(match.mask));
}

/** Undefined: the value does not stand in the key as it does on the wire. */
function copyOf(field: Field, from: number): Copy | undefined {
  const { name, bytes, slotBytes, offset, shift } = field;
  const port = FIELDS.in_port_oxm.offset + 2;
  // Ports are of 16 bits inside; what is before them on the wire is all zeros or all ones.
  if (name === "in_port_oxm") return { from: from + 2, to: port, count: 2 };
  if (name === "in_port") return { from, to: port, count: 2 };
  if (CONSTANT.has(name) || shift !== 0 || bytes !== slotBytes) return undefined;
  return { from, to: offset, count: bytes };
}

function bytesOf(bits: bigint, count: number): Uint8Array {
  return Uint8Array.from(
    { length: count },
    (_, i) => Number((bits >> BigInt(8 * (count - 1 - i))) & 0xffn),
  );
}
