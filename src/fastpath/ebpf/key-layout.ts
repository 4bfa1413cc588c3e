/**
 * The key that the programs build: not the whole flow key but those of its words that some installed
 * flow looks at, and of them the bits. A key that is 12 bytes long is hashed and compared in a third
 * of the time that one of 36 takes (design notes: a wide key costs 8 %, each mask 65 ns).
 *
 *     | word a & bits | word b & bits | … | zero, if the number would be odd | mask id or 0 |
 *
 * Words are those of the flow key (packet/layout.ts), in its byte order, so a datapath key's words can
 * be copied. What the programs can read from a packet is listed here by slot. Metadata is zero on
 * every packet that comes in by a port: a flow that asks for it to be zero demands nothing. Once some
 * flow asks for a value, the layout is *stateful*: packets have metadata (packet-state.ts), and the masks
 * of all flows are applied to it.
 */
import { createHash } from "node:crypto";
import { DP_KEY_WORDS, slot, type SlotName, SLOTS } from "../../packet/layout.ts";
import { type MaskTopic, type Match, SharedMask } from "../../packet/key.ts";

/** Slots that the programs fill in. */
export const PARSED: readonly SlotName[] = [
  "in_port",
  "eth_dst",
  "eth_src",
  "eth_type",
  "vlan_tci",
  "vlan_tpid",
  "vlan2_tci",
  "vlan2_tpid",
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "nw_frag",
  "nw_src",
  "nw_dst",
  "tp_src",
  "tp_dst",
  "tcp_flags",
  "arp_sha",
  "arp_tha",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "nd_target",
  "nd_reserved",
  "nd_options_type",
  "mpls_lse0",
  "mpls_lse1",
  "mpls_lse2",
];

/** Slots that are zero on every packet as it comes in, and on many ever after. */
export const METADATA: readonly SlotName[] = [
  "recirc_id",
  "dp_hash",
  "skb_priority",
  "pkt_mark",
  "ct_state",
  "ct_zone",
  "ct_nw_proto",
  "ct_mark",
  "ct_label",
  "ct_nw_src",
  "ct_nw_dst",
  "ct_tp_src",
  "ct_tp_dst",
  "ct_ipv6_src",
  "ct_ipv6_dst",
  ...[...SLOTS.keys()].filter((name) =>
    name.startsWith("tun_") && slot(name).offset < DP_KEY_WORDS * 4
  ),
];
/** Packets with another are the process's alone. */
const W_PACKET_TYPE = slot("packet_type").offset / 4;
const W_RECIRC = slot("recirc_id").offset / 4;

/** Ones in the bytes of these slots, as words. */
function bytesOf(names: readonly SlotName[]): Uint32Array {
  const words = new Uint32Array(DP_KEY_WORDS);
  const bytes = new Uint8Array(words.buffer);
  for (const name of names) {
    const { offset, bytes: length } = slot(name);
    bytes.fill(0xff, offset, offset + length);
  }
  return words;
}

const PARSED_BITS = bytesOf(PARSED);
/** By flow key word: what is zero on every packet that the programs forward, unless they have it. */
export const ZERO_BITS: Readonly<Uint32Array> = bytesOf([...METADATA, "packet_type"]);
const KEY_BITS = PARSED_BITS.map((word, i) => i === W_PACKET_TYPE ? 0 : word | ZERO_BITS[i]!);

/** All bits of the slots of which `mask` has some. */
function wholeSlots(mask: Readonly<Uint32Array>): Uint32Array {
  const looked = new Uint8Array(mask.buffer, mask.byteOffset, DP_KEY_WORDS * 4);
  return bytesOf([...PARSED, ...METADATA].filter((name) => {
    const { offset, bytes } = slot(name);
    return looked.subarray(offset, offset + bytes).some((byte) => byte !== 0);
  }));
}

/** What programs look at for a mask that they can read. */
export interface MaskShape {
  /** By flow key word. */
  readonly bits: Uint32Array;
  /** Those of them that are headers' and the port's. */
  readonly headers: Uint32Array;
  /** Indexes of the words of which `bits` has some, ascending. */
  readonly words: Int32Array;
  /** Words of which the mask looks at metadata. */
  readonly metadata: Int32Array;
  /** Equal for equal `bits`. */
  readonly text: string;
}

/** Null: programs do not read all that the mask looks at. */
const MASK_SHAPE: MaskTopic<MaskShape | null> = { find: ({ words }) => shapeOfMask(words) };

function shapeOfMask(mask: Uint32Array): MaskShape | null {
  const bits = new Uint32Array(DP_KEY_WORDS);
  const headers = new Uint32Array(DP_KEY_WORDS);
  const words: number[] = [];
  const metadata: number[] = [];
  for (let i = 0; i < DP_KEY_WORDS; i++) {
    const looked = mask[i]!;
    if (looked === 0) continue;
    const [parsed, zero] = [PARSED_BITS[i]!, ZERO_BITS[i]!];
    if ((looked & ~(parsed | zero)) !== 0) return null;
    bits[i] = looked & KEY_BITS[i]!;
    headers[i] = looked & parsed;
    if (bits[i] !== 0) words.push(i);
    if ((looked & zero) !== 0) metadata.push(i);
  }
  const text = words.map((i) => `${i}:${bits[i]!.toString(36)}`).join();
  return {
    bits,
    headers,
    words: Int32Array.from(words),
    metadata: Int32Array.from(metadata),
    text,
  };
}

/** What the programs look at for a match, or undefined if they cannot. */
export function maskShape({ key, mask }: Match): MaskShape | undefined {
  const shape = mask instanceof SharedMask ? mask.about(MASK_SHAPE) : MASK_SHAPE.find(mask);
  if (!shape || (key.words[W_PACKET_TYPE]! & mask.words[W_PACKET_TYPE]!) !== 0) return undefined;
  return shape;
}

/** What a layout must have for a flow of this shape: metadata only if it is not all zero. */
export function demandOf({ key }: Match, { bits, headers, metadata }: MaskShape): Uint32Array {
  for (let n = 0; n < metadata.length; n++) {
    const i = metadata[n]!;
    if ((key.words[i]! & bits[i]!) !== 0) return bits;
  }
  return headers;
}

/** The bits that a layout must have for a match, by flow key word; undefined: programs cannot. */
export function kernelMask(match: Match): Uint32Array | undefined {
  const shape = maskShape(match);
  return shape && demandOf(match, shape);
}

/** For packets that have metadata: at least how they came here. */
export const STATEFUL: Readonly<Uint32Array> = bytesOf(["recirc_id"]);

/** Changes when words of a flow key come to mean something else. */
export const KEY_FORMAT = createHash("sha256")
  .update([...SLOTS].map(([name, { offset, bytes }]) => `${name} ${offset} ${bytes}`).join())
  .digest().readUInt32LE();

export class KeyLayout {
  /** Indexes of flow key words, ascending. */
  readonly words: readonly number[];
  /** Bytes of a key, a multiple of 8. */
  readonly bytes: number;
  /** Where the mask's id stands in a masked key; zero in others. */
  readonly idAt: number;
  private readonly places = new Map<number, number>();

  /** `bits`: what is looked at, by flow key word. */
  private constructor(private readonly bits: Uint32Array) {
    this.words = [...bits.keys()].filter((i) => bits[i] !== 0);
    this.bytes = ((this.words.length + 2) >> 1) * 8;
    this.idAt = this.bytes - 4;
    this.words.forEach((word, i) => this.places.set(word, 4 * i));
  }

  /** A key of nothing. */
  static empty(): KeyLayout {
    return new KeyLayout(new Uint32Array(DP_KEY_WORDS));
  }

  /** A key of everything that the programs can read of packets without metadata. */
  static full(): KeyLayout {
    return new KeyLayout(PARSED_BITS.slice());
  }

  /** The same and all metadata, but Geneve options: those do not fit all at once. */
  static widest(): KeyLayout {
    const bits = KEY_BITS.slice();
    bits.fill(0, slot("tun_metadata").offset / 4);
    return new KeyLayout(bits);
  }

  /** Packets may have metadata. */
  get isStateful(): boolean {
    return this.bits[W_RECIRC] !== 0;
  }

  /** One of these bits, by flow key word. */
  static of(bits: Uint32Array): KeyLayout {
    return new KeyLayout(bits.slice(0, DP_KEY_WORDS));
  }

  /** The bits of a flow key word that are looked at. */
  bitsOf(word: number): number {
    return this.bits[word]!;
  }

  /** Byte offset of a flow key word in the key; undefined if it is not looked at. */
  place(word: number): number | undefined {
    return this.places.get(word);
  }

  /** True if the layout has a slot, or part of one. */
  has(name: SlotName): boolean {
    const { offset, bytes } = slot(name);
    const looked = new Uint8Array(this.bits.buffer);
    return looked.subarray(offset, offset + bytes).some((byte) => byte !== 0);
  }

  /** The words of a packed key or mask, where they stand in a flow key. */
  unpack(from: DataView, into: Uint32Array): void {
    this.words.forEach((word, i) => into[word] = from.getUint32(4 * i, true));
  }

  covers(mask: Readonly<Uint32Array>): boolean {
    return mask.every((word, i) => (word & ~this.bits[i]!) === 0);
  }

  /** This layout and the slots that `mask` looks at. */
  with(mask: Readonly<Uint32Array>): KeyLayout {
    const wanted = wholeSlots(mask);
    const bits = this.bits.map((word, i) => word | wanted[i]!);
    if (bits.some((word, i) => (word & ZERO_BITS[i]!) !== 0)) bits[W_RECIRC] = 0xffff_ffff;
    return new KeyLayout(bits);
  }

  /** Writes the words of `from` that the layout has, and the id, into `into`, `bytes` bytes long. */
  pack(from: Uint32Array, mask: Uint32Array, id: number, into: DataView): void {
    for (let i = 0; i < this.bytes; i += 4) into.setUint32(i, 0, true);
    this.words.forEach((word, i) => into.setUint32(4 * i, from[word]! & mask[word]!, true));
    into.setUint32(this.idAt, id, true);
  }
}
