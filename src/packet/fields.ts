/**
 * The one table of match fields (DESIGN.md, idea 1).
 *
 * Every field that a flow can match or an action can set is declared here, once. Everything else is
 * derived: the flow key's layout (layout.ts), OXM/NXM codec (src/openflow/match.ts), `ovs-ofctl`
 * and datapath-flow text, prerequisites, the extractor's checks, the HTTP API's field list.
 *
 * A field is a window on a *slot*, a run of bytes of the flow key in network byte order (layout.ts
 * declares the slots). Several fields may look at one slot: `tcp_src`, `udp_src` and `icmp_type`
 * share `tp_src`; `vlan_vid` and `vlan_pcp` share `vlan_tci`. `shift` is the field's lowest bit in
 * the slot's big-endian value, `bits` its width there, `bytes` its width in an OXM payload (where it
 * is right-aligned) if that is not `bits / 8`.
 *
 * Names, widths, numbers, masks and prerequisites are those of ovs-fields(7) 3.1.
 * To add a field: one row here, one slot in layout.ts if it needs storage; the tables check
 * themselves when they load.
 */
import type { SlotName } from "./layout.ts";

/** OXM/NXM class: the upper 16 bits of a header; experimenter classes carry an id after it. */
export const OXM_CLASSES = {
  NXM_OF: { class: 0x0000 },
  NXM_NX: { class: 0x0001 },
  ERICOXM_OF: { class: 0x1000 },
  OXM_OF: { class: 0x8000 },
  OXM_OF_PKT_REG: { class: 0x8001 },
  NXOXM_ET: { class: 0xffff, experimenter: 0x00002320 },
  NXOXM_NSH: { class: 0xffff, experimenter: 0x005ad650 },
  ONFOXM_ET: { class: 0xffff, experimenter: 0x4f4e4600 },
} as const satisfies Record<string, { class: number; experimenter?: number }>;
export type OxmClassName = keyof typeof OXM_CLASSES;

/** `[class, field number, first OpenFlow version that has it]`. */
export type OxmId = readonly [OxmClassName, number, ("1.2" | "1.3" | "1.4" | "1.5")?];

export type FieldFormat =
  | "decimal"
  | "hex"
  | "ethernet"
  | "ipv4"
  | "ipv6"
  | "port"
  | "frag"
  | "tcp_flags"
  | "ct_state"
  | "tun_flags"
  | "packet_type";

/** What must already be matched for the field to exist in a packet (ovs-fields(7), "Prerequisites"). */
export type Prerequisite =
  | "ethernet"
  | "vlan"
  | "mpls"
  | "ip"
  | "ipv4"
  | "ipv6"
  | "arp"
  | "tcp"
  | "udp"
  | "sctp"
  | "icmpv4"
  | "icmpv6"
  | "nd"
  | "nd_solicit"
  | "nd_advert"
  | "nsh"
  | "pbb"
  | "ct";

export interface FieldRow {
  /** Width in bits of the value kept in the flow key. */
  readonly bits: number;
  /** Width in bytes of an OXM payload, where it is not `bits / 8`. */
  readonly bytes?: number;
  /** The slot it looks at, where it is not the one of its own name. */
  readonly slot?: SlotName;
  /** Byte offset within the slot, for a field that is a whole part of a longer slot. */
  readonly at?: number;
  /** Lowest bit within the slot's big-endian value. */
  readonly shift?: number;
  readonly format: FieldFormat;
  /** Any bit mask may be matched; otherwise all bits or none. */
  readonly maskable?: boolean;
  readonly prerequisite?: Prerequisite;
  /** Actions may set it. */
  readonly writable?: boolean;
  /**
   * One of several that share a space; where it lies there, and how long it is, a bridge's TLV table
   * says, not this table. `bits` is the most that it may have.
   */
  readonly variable?: boolean;
  readonly nxm?: OxmId;
  readonly oxm?: OxmId;
  /** The standard number that OpenFlow 1.5 gave to what `oxm` carried as an extension before. */
  readonly oxm15?: OxmId;
  /** Other names that ovs-ofctl takes. */
  readonly aliases?: readonly string[];
}

// One row a field, however long: a table is read by column.
// deno-fmt-ignore
const ROWS = {
  // Metadata of the packet
  dp_hash: { bits: 32, format: "hex", maskable: true, nxm: ["NXM_NX", 35], oxm: ["NXOXM_ET", 0, "1.5"] },
  recirc_id: { bits: 32, format: "decimal", nxm: ["NXM_NX", 36] },
  packet_type: { bits: 32, format: "packet_type", oxm: ["OXM_OF", 44, "1.5"] },
  in_port: { bits: 16, bytes: 2, format: "port", writable: true, nxm: ["NXM_OF", 0] },
  in_port_oxm: { bits: 32, slot: "in_port", format: "port", writable: true, oxm: ["OXM_OF", 0, "1.2"] },
  skb_priority: { bits: 32, format: "hex" },
  pkt_mark: { bits: 32, format: "hex", maskable: true, writable: true, nxm: ["NXM_NX", 33] },
  // Pipeline metadata
  metadata: { bits: 64, format: "hex", maskable: true, writable: true, oxm: ["OXM_OF", 2, "1.2"] },
  actset_output: { bits: 32, format: "port", oxm: ["ONFOXM_ET", 43, "1.3"], oxm15: ["OXM_OF", 43, "1.5"] },
  conj_id: { bits: 32, format: "decimal", nxm: ["NXM_NX", 37] },
  // Tunnel
  tun_id: { bits: 64, format: "hex", maskable: true, writable: true, nxm: ["NXM_NX", 16], oxm: ["OXM_OF", 38, "1.3"], aliases: ["tunnel_id"] },
  tun_src: { bits: 32, format: "ipv4", maskable: true, writable: true, nxm: ["NXM_NX", 31] },
  tun_dst: { bits: 32, format: "ipv4", maskable: true, writable: true, nxm: ["NXM_NX", 32] },
  tun_ipv6_src: { bits: 128, format: "ipv6", maskable: true, writable: true, nxm: ["NXM_NX", 109] },
  tun_ipv6_dst: { bits: 128, format: "ipv6", maskable: true, writable: true, nxm: ["NXM_NX", 110] },
  tun_flags: { bits: 1, bytes: 2, format: "tun_flags", maskable: true, writable: true, nxm: ["NXM_NX", 104] },
  tun_ttl: { bits: 8, format: "decimal" },
  tun_tos: { bits: 8, format: "decimal" },
  tun_gbp_id: { bits: 16, format: "decimal", maskable: true, writable: true, nxm: ["NXM_NX", 38] },
  tun_gbp_flags: { bits: 8, format: "hex", maskable: true, writable: true, nxm: ["NXM_NX", 39] },
  tun_erspan_idx: { bits: 32, bytes: 4, format: "hex", maskable: true, writable: true, oxm: ["NXOXM_ET", 11] },
  tun_erspan_ver: { bits: 4, bytes: 1, format: "decimal", maskable: true, writable: true, oxm: ["NXOXM_ET", 12] },
  tun_erspan_dir: { bits: 1, bytes: 1, format: "decimal", maskable: true, writable: true, oxm: ["NXOXM_ET", 13] },
  tun_erspan_hwid: { bits: 6, bytes: 1, format: "hex", maskable: true, writable: true, oxm: ["NXOXM_ET", 14] },
  tun_gtpu_flags: { bits: 8, format: "hex", maskable: true, oxm: ["NXOXM_ET", 15] },
  tun_gtpu_msgtype: { bits: 8, format: "decimal", maskable: true, oxm: ["NXOXM_ET", 16] },
  // Connection tracking
  ct_state: { bits: 32, format: "ct_state", maskable: true, nxm: ["NXM_NX", 105] },
  ct_zone: { bits: 16, format: "hex", nxm: ["NXM_NX", 106] },
  ct_mark: { bits: 32, format: "hex", maskable: true, writable: true, nxm: ["NXM_NX", 107] },
  ct_label: { bits: 128, format: "hex", maskable: true, writable: true, nxm: ["NXM_NX", 108] },
  ct_nw_proto: { bits: 8, format: "decimal", prerequisite: "ct", nxm: ["NXM_NX", 119] },
  ct_nw_src: { bits: 32, format: "ipv4", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 120] },
  ct_nw_dst: { bits: 32, format: "ipv4", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 121] },
  ct_ipv6_src: { bits: 128, format: "ipv6", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 122] },
  ct_ipv6_dst: { bits: 128, format: "ipv6", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 123] },
  ct_tp_src: { bits: 16, format: "decimal", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 124] },
  ct_tp_dst: { bits: 16, format: "decimal", maskable: true, prerequisite: "ct", nxm: ["NXM_NX", 125] },
  // Ethernet and VLAN
  eth_src: { bits: 48, format: "ethernet", maskable: true, prerequisite: "ethernet", writable: true, nxm: ["NXM_OF", 2], oxm: ["OXM_OF", 4, "1.2"], aliases: ["dl_src"] },
  eth_dst: { bits: 48, format: "ethernet", maskable: true, prerequisite: "ethernet", writable: true, nxm: ["NXM_OF", 1], oxm: ["OXM_OF", 3, "1.2"], aliases: ["dl_dst"] },
  eth_type: { bits: 16, format: "hex", prerequisite: "ethernet", nxm: ["NXM_OF", 3], oxm: ["OXM_OF", 5, "1.2"], aliases: ["dl_type"] },
  vlan_tci: { bits: 16, format: "hex", maskable: true, prerequisite: "ethernet", writable: true, nxm: ["NXM_OF", 4] },
  dl_vlan: { bits: 12, bytes: 2, slot: "vlan_tci", format: "decimal", prerequisite: "ethernet", writable: true },
  vlan_vid: { bits: 13, bytes: 2, slot: "vlan_tci", format: "decimal", maskable: true, prerequisite: "ethernet", writable: true, oxm: ["OXM_OF", 6, "1.2"] },
  dl_vlan_pcp: { bits: 3, bytes: 1, slot: "vlan_tci", shift: 13, format: "decimal", prerequisite: "ethernet", writable: true },
  vlan_pcp: { bits: 3, bytes: 1, slot: "vlan_tci", shift: 13, format: "decimal", prerequisite: "vlan", writable: true, oxm: ["OXM_OF", 7, "1.2"] },
  // MPLS
  mpls_label: { bits: 20, bytes: 4, slot: "mpls_lse0", shift: 12, format: "decimal", prerequisite: "mpls", writable: true, oxm: ["OXM_OF", 34, "1.2"] },
  mpls_tc: { bits: 3, bytes: 1, slot: "mpls_lse0", shift: 9, format: "decimal", prerequisite: "mpls", writable: true, oxm: ["OXM_OF", 35, "1.2"] },
  mpls_bos: { bits: 1, bytes: 1, slot: "mpls_lse0", shift: 8, format: "decimal", prerequisite: "mpls", oxm: ["OXM_OF", 36, "1.3"] },
  mpls_ttl: { bits: 8, slot: "mpls_lse0", format: "decimal", prerequisite: "mpls", writable: true, nxm: ["NXM_NX", 30] },
  // Provider backbone bridging (OpenFlow 1.3; Open vSwitch has none)
  pbb_isid: { bits: 24, bytes: 3, slot: "pbb_tci", format: "hex", maskable: true, prerequisite: "pbb", writable: true, oxm: ["OXM_OF", 37, "1.3"] },
  pbb_uca: { bits: 1, bytes: 1, slot: "pbb_tci", shift: 27, format: "decimal", prerequisite: "pbb", writable: true, oxm: ["OXM_OF", 41, "1.4"] },
  // IPv4 and IPv6
  ip_src: { bits: 32, slot: "nw_src", format: "ipv4", maskable: true, prerequisite: "ipv4", writable: true, nxm: ["NXM_OF", 7], oxm: ["OXM_OF", 11, "1.2"], aliases: ["nw_src"] },
  ip_dst: { bits: 32, slot: "nw_dst", format: "ipv4", maskable: true, prerequisite: "ipv4", writable: true, nxm: ["NXM_OF", 8], oxm: ["OXM_OF", 12, "1.2"], aliases: ["nw_dst"] },
  ipv6_src: { bits: 128, format: "ipv6", maskable: true, prerequisite: "ipv6", writable: true, nxm: ["NXM_NX", 19], oxm: ["OXM_OF", 26, "1.2"] },
  ipv6_dst: { bits: 128, format: "ipv6", maskable: true, prerequisite: "ipv6", writable: true, nxm: ["NXM_NX", 20], oxm: ["OXM_OF", 27, "1.2"] },
  ipv6_label: { bits: 20, bytes: 4, format: "hex", maskable: true, prerequisite: "ipv6", writable: true, nxm: ["NXM_NX", 27], oxm: ["OXM_OF", 28, "1.2"] },
  ipv6_exthdr: { bits: 9, bytes: 2, format: "hex", maskable: true, prerequisite: "ipv6", oxm: ["OXM_OF", 39, "1.3"] },
  nw_proto: { bits: 8, format: "decimal", prerequisite: "ip", nxm: ["NXM_OF", 6], oxm: ["OXM_OF", 10, "1.2"], aliases: ["ip_proto"] },
  nw_tos: { bits: 8, slot: "nw_tos", format: "decimal", prerequisite: "ip", writable: true, nxm: ["NXM_OF", 5] },
  ip_dscp: { bits: 6, bytes: 1, slot: "nw_tos", shift: 2, format: "decimal", prerequisite: "ip", writable: true, oxm: ["OXM_OF", 8, "1.2"] },
  nw_ecn: { bits: 2, bytes: 1, slot: "nw_tos", format: "decimal", prerequisite: "ip", writable: true, nxm: ["NXM_NX", 28], oxm: ["OXM_OF", 9, "1.2"], aliases: ["ip_ecn"] },
  nw_ttl: { bits: 8, format: "decimal", prerequisite: "ip", writable: true, nxm: ["NXM_NX", 29] },
  ip_frag: { bits: 2, bytes: 1, slot: "nw_frag", format: "frag", maskable: true, prerequisite: "ip", nxm: ["NXM_NX", 26], aliases: ["nw_frag"] },
  // ARP
  arp_op: { bits: 8, bytes: 2, slot: "nw_proto", format: "decimal", prerequisite: "arp", writable: true, nxm: ["NXM_OF", 15], oxm: ["OXM_OF", 21, "1.2"] },
  arp_spa: { bits: 32, slot: "nw_src", format: "ipv4", maskable: true, prerequisite: "arp", writable: true, nxm: ["NXM_OF", 16], oxm: ["OXM_OF", 22, "1.2"] },
  arp_tpa: { bits: 32, slot: "nw_dst", format: "ipv4", maskable: true, prerequisite: "arp", writable: true, nxm: ["NXM_OF", 17], oxm: ["OXM_OF", 23, "1.2"] },
  arp_sha: { bits: 48, format: "ethernet", maskable: true, prerequisite: "arp", writable: true, nxm: ["NXM_NX", 17], oxm: ["OXM_OF", 24, "1.2"] },
  arp_tha: { bits: 48, format: "ethernet", maskable: true, prerequisite: "arp", writable: true, nxm: ["NXM_NX", 18], oxm: ["OXM_OF", 25, "1.2"] },
  // Transport
  tcp_src: { bits: 16, slot: "tp_src", format: "decimal", maskable: true, prerequisite: "tcp", writable: true, nxm: ["NXM_OF", 9], oxm: ["OXM_OF", 13, "1.2"], aliases: ["tp_src"] },
  tcp_dst: { bits: 16, slot: "tp_dst", format: "decimal", maskable: true, prerequisite: "tcp", writable: true, nxm: ["NXM_OF", 10], oxm: ["OXM_OF", 14, "1.2"], aliases: ["tp_dst"] },
  tcp_flags: { bits: 12, bytes: 2, format: "tcp_flags", maskable: true, prerequisite: "tcp", nxm: ["NXM_NX", 34], oxm: ["ONFOXM_ET", 42, "1.3"], oxm15: ["OXM_OF", 42, "1.5"] },
  udp_src: { bits: 16, slot: "tp_src", format: "decimal", maskable: true, prerequisite: "udp", writable: true, nxm: ["NXM_OF", 11], oxm: ["OXM_OF", 15, "1.2"] },
  udp_dst: { bits: 16, slot: "tp_dst", format: "decimal", maskable: true, prerequisite: "udp", writable: true, nxm: ["NXM_OF", 12], oxm: ["OXM_OF", 16, "1.2"] },
  sctp_src: { bits: 16, slot: "tp_src", format: "decimal", maskable: true, prerequisite: "sctp", writable: true, oxm: ["OXM_OF", 17, "1.2"] },
  sctp_dst: { bits: 16, slot: "tp_dst", format: "decimal", maskable: true, prerequisite: "sctp", writable: true, oxm: ["OXM_OF", 18, "1.2"] },
  icmp_type: { bits: 8, slot: "tp_src", format: "decimal", prerequisite: "icmpv4", writable: true, nxm: ["NXM_OF", 13], oxm: ["OXM_OF", 19, "1.2"] },
  icmp_code: { bits: 8, slot: "tp_dst", format: "decimal", prerequisite: "icmpv4", writable: true, nxm: ["NXM_OF", 14], oxm: ["OXM_OF", 20, "1.2"] },
  icmpv6_type: { bits: 8, slot: "tp_src", format: "decimal", prerequisite: "icmpv6", writable: true, nxm: ["NXM_NX", 21], oxm: ["OXM_OF", 29, "1.2"] },
  icmpv6_code: { bits: 8, slot: "tp_dst", format: "decimal", prerequisite: "icmpv6", writable: true, nxm: ["NXM_NX", 22], oxm: ["OXM_OF", 30, "1.2"] },
  // Neighbour discovery
  nd_target: { bits: 128, format: "ipv6", maskable: true, prerequisite: "nd", writable: true, nxm: ["NXM_NX", 23], oxm: ["OXM_OF", 31, "1.2"] },
  nd_sll: { bits: 48, slot: "arp_sha", format: "ethernet", maskable: true, prerequisite: "nd_solicit", writable: true, nxm: ["NXM_NX", 24], oxm: ["OXM_OF", 32, "1.2"] },
  nd_tll: { bits: 48, slot: "arp_tha", format: "ethernet", maskable: true, prerequisite: "nd_advert", writable: true, nxm: ["NXM_NX", 25], oxm: ["OXM_OF", 33, "1.2"] },
  nd_reserved: { bits: 32, format: "decimal", prerequisite: "nd", writable: true, oxm: ["ERICOXM_OF", 1] },
  nd_options_type: { bits: 8, format: "decimal", prerequisite: "nd", writable: true, oxm: ["ERICOXM_OF", 2] },
  // NSH
  nsh_flags: { bits: 8, format: "decimal", maskable: true, prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 1] },
  nsh_mdtype: { bits: 8, format: "decimal", prerequisite: "nsh", oxm: ["NXOXM_NSH", 2] },
  nsh_np: { bits: 8, format: "decimal", prerequisite: "nsh", oxm: ["NXOXM_NSH", 3] },
  nsh_spi: { bits: 24, bytes: 4, slot: "nsh_path", shift: 8, format: "hex", prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 4], aliases: ["nsp"] },
  nsh_si: { bits: 8, slot: "nsh_path", format: "decimal", prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 5], aliases: ["nsi"] },
  nsh_c1: { bits: 32, slot: "nsh_c", at: 0, format: "hex", maskable: true, prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 6], aliases: ["nshc1"] },
  nsh_c2: { bits: 32, slot: "nsh_c", at: 4, format: "hex", maskable: true, prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 7], aliases: ["nshc2"] },
  nsh_c3: { bits: 32, slot: "nsh_c", at: 8, format: "hex", maskable: true, prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 8], aliases: ["nshc3"] },
  nsh_c4: { bits: 32, slot: "nsh_c", at: 12, format: "hex", maskable: true, prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 9], aliases: ["nshc4"] },
  nsh_ttl: { bits: 8, format: "decimal", prerequisite: "nsh", writable: true, oxm: ["NXOXM_NSH", 10] },
} as const satisfies Record<string, FieldRow>;

type Digit16 = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15;
type Digit8 = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
export type RegisterName = `reg${Digit16}` | `xreg${Digit8}` | `xxreg${0 | 1 | 2 | 3}`;
type Decimal = Digit8 | 8 | 9;
export type TunMetadataName =
  | `tun_metadata${Decimal}`
  | `tun_metadata${1 | 2 | 3 | 4 | 5}${Decimal}`
  | `tun_metadata6${0 | 1 | 2 | 3}`;
export type FieldName = keyof typeof ROWS | RegisterName | TunMetadataName;

/** Registers overlay each other: xreg0 is reg0:reg1, xxreg0 is reg0..reg3, highest first. */
function registerRows(): [string, FieldRow][] {
  const rows: [string, FieldRow][] = [];
  const register = (name: string, bits: number, at: number, ids: Partial<FieldRow>) =>
    rows.push([name, {
      bits,
      slot: "regs",
      at,
      format: "hex",
      maskable: true,
      writable: true,
      ...ids,
    }]);
  for (let n = 0; n < 16; n++) register(`reg${n}`, 32, 4 * n, { nxm: ["NXM_NX", n] });
  for (let n = 0; n < 8; n++) {
    register(`xreg${n}`, 64, 8 * n, { oxm: ["OXM_OF_PKT_REG", n, "1.3"] });
  }
  for (let n = 0; n < 4; n++) register(`xxreg${n}`, 128, 16 * n, { nxm: ["NXM_NX", 111 + n] });
  return rows;
}

/** Geneve options (RFC 8926 §3.5): up to 124 bytes each, together 256. */
function tunMetadataRows(): [string, FieldRow][] {
  return Array.from({ length: 64 }, (_, n) => [`tun_metadata${n}`, {
    bits: 992,
    slot: "tun_metadata",
    at: 0,
    format: "hex",
    maskable: true,
    writable: true,
    variable: true,
    nxm: ["NXM_NX", 40 + n],
  }]);
}

/** All rows in table order, registers and tunnel options last. layout.ts turns them into `Field`s with key offsets. */
export const FIELD_ROWS: readonly (readonly [FieldName, FieldRow])[] = [
  ...Object.entries(ROWS),
  ...registerRows(),
  ...tunMetadataRows(),
] as [FieldName, FieldRow][];
