/**
 * The flow key's layout: where each slot lies, and the fields with their offsets.
 *
 * A flow key is `KEY_BYTES` bytes in network byte order, hashed, masked and compared as 32-bit
 * words. It has two sections:
 *
 *     0            COMMON_BYTES          DP_KEY_BYTES             KEY_BYTES
 *     +--------------------+---------------------+--------------------+
 *     | Ethernet/IPv4/TCP  | everything else the | pipeline: metadata |
 *     | what most packets  | datapath can match: | registers, action  |
 *     | have               | IPv6, ct, tunnel …  | set, conj_id       |
 *     +--------------------+---------------------+--------------------+
 *     '------------- the datapath key -----------'
 *
 * - The datapath sees only the first `DP_KEY_BYTES`; the OpenFlow pipeline all of it.
 * - Most packets fill only the common prefix, so hashing and comparing can stop there
 *   (`extract` reports how many words a packet set; all later words are zero).
 * - `in_port` is a datapath port number in the datapath's keys, an OpenFlow port number (Open
 *   vSwitch's 16-bit numbering, LOCAL = 0xfffe) in the pipeline's. Translation converts it.
 * - `vlan_tci` has bit 0x1000 set when a tag is present, and is 0 without one.
 * - `nw_frag`: bit 0 = any fragment, bit 1 = not the first (FRAG_ANY, FRAG_LATER).
 * - `packet_type` is 0 for Ethernet frames: (namespace << 16 | type) otherwise.
 * - Metadata stands behind all that is parsed, from `METADATA_WORD` on: parsing a packet again, after
 *   it was rewritten or recirculated, leaves it alone. `recirc_id` is metadata in the common prefix.
 * - `tun_flags` holds TUN_F_… bits. `tun_metadata` is, in the datapath, Geneve options as on the
 *   wire, of which there are `tun_options_length` bytes (0..252). In the pipeline it is the space in
 *   which a bridge's TLV table places the `tun_metadataN` fields, and bit N of
 *   `tun_metadata_present` says that the packet has that option; a `tun_metadataN` Field's own
 *   offset is that of the whole space.
 * - `pbb_tci` is the I-TAG's 32-bit TCI without priority and DEI: UCA at 0x08000000, I-SID below.
 * - Slots that a packet lacks are zero; a match on a field implies its prerequisites.
 *
 * The table validates itself when this module loads: overlaps, gaps, misaligned 32-bit slots,
 * fields wider than their slot and duplicate OXM numbers throw.
 */
import { FIELD_ROWS, type FieldName, type FieldRow, OXM_CLASSES, type OxmId } from "./fields.ts";

/** `[name, bytes]`, in key order. 4-byte and longer slots must start on a word, 2-byte ones on a half. */
const COMMON_SLOTS = [
  ["in_port", 4],
  ["recirc_id", 4],
  ["eth_dst", 6],
  ["eth_src", 6],
  ["eth_type", 2],
  ["vlan_tci", 2],
  ["nw_proto", 1],
  ["nw_tos", 1],
  ["nw_ttl", 1],
  ["nw_frag", 1],
  ["nw_src", 4],
  ["nw_dst", 4],
  ["tp_src", 2],
  ["tp_dst", 2],
  ["tcp_flags", 2],
  ["vlan_tpid", 2],
] as const;

const DATAPATH_SLOTS = [
  ["vlan2_tci", 2],
  ["vlan2_tpid", 2],
  ["arp_sha", 6],
  ["arp_tha", 6],
  ["ipv6_src", 16],
  ["ipv6_dst", 16],
  ["ipv6_label", 4],
  ["ipv6_exthdr", 2],
  ["pad_ipv6", 2],
  ["nd_target", 16],
  ["nd_reserved", 4],
  ["nd_options_type", 1],
  ["pad_nd", 3],
  ["mpls_lse0", 4],
  ["mpls_lse1", 4],
  ["mpls_lse2", 4],
  ["pbb_tci", 4],
  ["nsh_flags", 1],
  ["nsh_mdtype", 1],
  ["nsh_np", 1],
  ["nsh_ttl", 1],
  ["nsh_path", 4],
  ["nsh_c", 16],
  // From here on: metadata, which no header says and parsing again keeps.
  ["packet_type", 4],
  ["dp_hash", 4],
  ["skb_priority", 4],
  ["pkt_mark", 4],
  ["ct_state", 4],
  ["ct_zone", 2],
  ["ct_nw_proto", 1],
  ["pad_ct", 1],
  ["ct_mark", 4],
  ["ct_label", 16],
  ["ct_nw_src", 4],
  ["ct_nw_dst", 4],
  ["ct_tp_src", 2],
  ["ct_tp_dst", 2],
  ["ct_ipv6_src", 16],
  ["ct_ipv6_dst", 16],
  ["tun_id", 8],
  ["tun_src", 4],
  ["tun_dst", 4],
  ["tun_ipv6_src", 16],
  ["tun_ipv6_dst", 16],
  ["tun_flags", 2],
  ["tun_tos", 1],
  ["tun_ttl", 1],
  ["tun_tp_src", 2],
  ["tun_tp_dst", 2],
  ["tun_gbp_id", 2],
  ["tun_gbp_flags", 1],
  ["tun_erspan_ver", 1],
  ["tun_erspan_idx", 4],
  ["tun_erspan_dir", 1],
  ["tun_erspan_hwid", 1],
  ["tun_gtpu_flags", 1],
  ["tun_gtpu_msgtype", 1],
  ["tun_options_length", 1],
  ["pad_tun", 3],
  ["tun_metadata", 256],
] as const;

const PIPELINE_SLOTS = [
  ["tun_metadata_present", 8],
  ["metadata", 8],
  ["actset_output", 4],
  ["conj_id", 4],
  ["regs", 64],
] as const;

export type SlotName =
  | (typeof COMMON_SLOTS)[number][0]
  | (typeof DATAPATH_SLOTS)[number][0]
  | (typeof PIPELINE_SLOTS)[number][0];

export interface Slot {
  readonly name: SlotName;
  /** Byte offset in the flow key. */
  readonly offset: number;
  readonly bytes: number;
}

/** A match field with its place in the flow key. */
export interface Field extends FieldRow {
  readonly name: FieldName;
  /** Position in `FIELD_LIST`. */
  readonly id: number;
  /** Byte offset in the flow key of the slot (or of the part of it) that the field looks at. */
  readonly offset: number;
  /** Bytes at `offset` that hold the field (the slot's width). */
  readonly slotBytes: number;
  readonly shift: number;
  /** OXM payload width. */
  readonly bytes: number;
}

function layOut(): { slots: Map<SlotName, Slot>; common: number; datapath: number; total: number } {
  const slots = new Map<SlotName, Slot>();
  let offset = 0;
  const place = (list: readonly (readonly [SlotName, number])[]): number => {
    for (const [name, bytes] of list) {
      const align = bytes % 4 === 0 ? 4 : bytes % 2 === 0 ? 2 : 1;
      if (offset % align !== 0) {
        throw new Error(`flow key: slot ${name} is misaligned at ${offset}`);
      }
      if (slots.has(name)) throw new Error(`flow key: slot ${name} is declared twice`);
      slots.set(name, { name, offset, bytes });
      offset += bytes;
    }
    if (offset % 4 !== 0) {
      throw new Error(`flow key: a section ends off a word boundary at ${offset}`);
    }
    return offset;
  };
  const common = place(COMMON_SLOTS);
  const datapath = place(DATAPATH_SLOTS);
  return { slots, common, datapath, total: place(PIPELINE_SLOTS) };
}

const LAYOUT = layOut();
/** Prefix that Ethernet, IPv4, ARP, TCP, UDP and ICMP packets without extras fill. */
export const COMMON_BYTES = LAYOUT.common;
/** Length of the datapath key in bytes. */
export const DP_KEY_BYTES = LAYOUT.datapath;
/** Length of the pipeline's flow key in bytes. */
export const KEY_BYTES = LAYOUT.total;
export const DP_KEY_WORDS = DP_KEY_BYTES / 4;
export const KEY_WORDS = KEY_BYTES / 4;
export const SLOTS: ReadonlyMap<SlotName, Slot> = LAYOUT.slots;
/** The first word of metadata. */
export const METADATA_WORD = LAYOUT.slots.get("packet_type")!.offset / 4;

/** Bits of the `tun_flags` slot. */
export const TUN_F_OAM = 1;
export const TUN_F_DF = 2;
export const TUN_F_CSUM = 4;
export const TUN_F_KEY = 8;

/** The slot's place; throws on a name that is not in the table. */
export function slot(name: SlotName): Slot {
  const found = SLOTS.get(name);
  if (!found) throw new Error(`flow key: no slot ${name}`);
  return found;
}

function makeField(name: FieldName, row: FieldRow, id: number): Field {
  const place = slot(row.slot ?? (name as SlotName));
  const slotBytes = row.at === undefined ? place.bytes : row.bits / 8;
  const shift = row.shift ?? 0;
  const at = row.at ?? 0;
  if (at + slotBytes > place.bytes) {
    throw new Error(`field ${name}: lies outside slot ${place.name}`);
  }
  if (shift + row.bits > slotBytes * 8) {
    throw new Error(`field ${name}: wider than slot ${place.name}`);
  }
  if (row.bits > 32 && row.bits % 8 !== 0) throw new Error(`field ${name}: odd width ${row.bits}`);
  const bytes = row.bytes ?? row.bits / 8;
  if (!Number.isInteger(bytes)) throw new Error(`field ${name}: needs an explicit byte width`);
  return { ...row, name, id, offset: place.offset + at, slotBytes, shift, bytes };
}

/** All fields in table order. */
export const FIELD_LIST: readonly Field[] = FIELD_ROWS.map(([name, row], id) =>
  makeField(name, row, id)
);
/** Fields by their ovs-fields(7) name: `FIELDS.ip_src.offset`. */
export const FIELDS = Object.fromEntries(FIELD_LIST.map((f) => [f.name, f])) as Readonly<
  Record<FieldName, Field>
>;

const byText = new Map<string, Field>();
const byOxm = new Map<string, Field>();
for (const field of FIELD_LIST) {
  for (const name of [field.name, ...(field.aliases ?? [])]) {
    if (byText.has(name)) throw new Error(`field name ${name} is declared twice`);
    byText.set(name, field);
  }
  for (const id of [field.nxm, field.oxm, field.oxm15]) {
    if (!id) continue;
    const key = oxmKey(OXM_CLASSES[id[0]].class, id[1], experimenterOf(id));
    if (byOxm.has(key)) throw new Error(`OXM ${id[0]} ${id[1]} is declared twice`);
    byOxm.set(key, field);
  }
}

function experimenterOf(id: OxmId): number {
  const row: { class: number; experimenter?: number } = OXM_CLASSES[id[0]];
  return row.experimenter ?? 0;
}

function oxmKey(oxmClass: number, number: number, experimenter: number): string {
  return `${oxmClass}/${number}/${experimenter}`;
}

/** The field that ovs-ofctl calls `name` (aliases included), or undefined. */
export function fieldByName(name: string): Field | undefined {
  return byText.get(name);
}

/** The field of an OXM/NXM header: class, 7-bit number, experimenter id (0 for none). */
export function fieldByOxm(oxmClass: number, number: number, experimenter = 0): Field | undefined {
  return byOxm.get(oxmKey(oxmClass, number, experimenter));
}
