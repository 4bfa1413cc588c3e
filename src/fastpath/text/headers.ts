/**
 * The headers of a datapath flow as text knows them: `ipv4(src=…,dst=…,proto=6,…)`. One table, from
 * which matches and `set` actions are printed and parsed.
 *
 * A part is a slot of the flow key with the width and the style that the text gives it, which are
 * not always the slot's: an ARP opcode is 16 bits wide in text and 8 in the key.
 */
import type { SlotName } from "../../packet/layout.ts";

export type PartStyle =
  | "mac"
  | "ipv4"
  | "ipv6"
  /** Decimal, a mask in hexadecimal. */
  | "u8"
  | "u16"
  /** Hexadecimal, both. */
  | "u8x"
  | "u16x"
  | "u32x"
  /** An IPv6 flow label: 20 bits. */
  | "label"
  /** no, first or later. */
  | "frag";

export interface Part {
  readonly label: string;
  readonly slot: SlotName;
  readonly style: PartStyle;
}

const part = (label: string, slot: SlotName, style: PartStyle): Part => ({ label, slot, style });

export const ETH_PARTS: readonly Part[] = [
  part("src", "eth_src", "mac"),
  part("dst", "eth_dst", "mac"),
];
export const IPV4_PARTS: readonly Part[] = [
  part("src", "nw_src", "ipv4"),
  part("dst", "nw_dst", "ipv4"),
  part("proto", "nw_proto", "u8"),
  part("tos", "nw_tos", "u8x"),
  part("ttl", "nw_ttl", "u8"),
  part("frag", "nw_frag", "frag"),
];
export const IPV6_PARTS: readonly Part[] = [
  part("src", "ipv6_src", "ipv6"),
  part("dst", "ipv6_dst", "ipv6"),
  part("label", "ipv6_label", "label"),
  part("proto", "nw_proto", "u8"),
  part("tclass", "nw_tos", "u8x"),
  part("hlimit", "nw_ttl", "u8"),
  part("frag", "nw_frag", "frag"),
];
export const ARP_PARTS: readonly Part[] = [
  part("sip", "nw_src", "ipv4"),
  part("tip", "nw_dst", "ipv4"),
  part("op", "nw_proto", "u16"),
  part("sha", "arp_sha", "mac"),
  part("tha", "arp_tha", "mac"),
];
/** TCP, UDP and SCTP. */
export const PORT_PARTS: readonly Part[] = [
  part("src", "tp_src", "u16"),
  part("dst", "tp_dst", "u16"),
];
/** ICMP and ICMPv6. */
export const ICMP_PARTS: readonly Part[] = [
  part("type", "tp_src", "u8"),
  part("code", "tp_dst", "u8"),
];
export const ND_PARTS: readonly Part[] = [
  part("target", "nd_target", "ipv6"),
  part("sll", "arp_sha", "mac"),
  part("tll", "arp_tha", "mac"),
];
export const ND_EXT_PARTS: readonly Part[] = [
  part("nd_reserved", "nd_reserved", "u32x"),
  part("nd_options_type", "nd_options_type", "u8"),
];
export const CT_TUPLE4_PARTS: readonly Part[] = [
  part("src", "ct_nw_src", "ipv4"),
  part("dst", "ct_nw_dst", "ipv4"),
  part("proto", "ct_nw_proto", "u8"),
  part("tp_src", "ct_tp_src", "u16"),
  part("tp_dst", "ct_tp_dst", "u16"),
];
/** Printed with the names of the netlink structure, parsed with those of IPv4. */
export const CT_TUPLE6_PARTS: readonly Part[] = [
  part("src", "ct_ipv6_src", "ipv6"),
  part("dst", "ct_ipv6_dst", "ipv6"),
  part("proto", "ct_nw_proto", "u8"),
  part("src_port", "ct_tp_src", "u16"),
  part("dst_port", "ct_tp_dst", "u16"),
];

/** Headers that are a list of parts, by the word in front of their parenthesis. */
export const HEADERS = {
  eth: ETH_PARTS,
  ipv4: IPV4_PARTS,
  ipv6: IPV6_PARTS,
  arp: ARP_PARTS,
  tcp: PORT_PARTS,
  udp: PORT_PARTS,
  sctp: PORT_PARTS,
  icmp: ICMP_PARTS,
  icmpv6: ICMP_PARTS,
  nd: ND_PARTS,
  nd_ext: ND_EXT_PARTS,
  ct_tuple4: CT_TUPLE4_PARTS,
  ct_tuple6: CT_TUPLE6_PARTS,
} as const satisfies Record<string, readonly Part[]>;
export type HeaderName = keyof typeof HEADERS;

/** Metadata that is one number in parentheses. */
export const NUMBERS = {
  skb_priority: "skb_priority",
  skb_mark: "pkt_mark",
  recirc_id: "recirc_id",
  dp_hash: "dp_hash",
  ct_zone: "ct_zone",
  ct_mark: "ct_mark",
} as const satisfies Record<string, SlotName>;
export type NumberName = keyof typeof NUMBERS;

export const ETH = {
  IPV4: 0x0800,
  ARP: 0x0806,
  RARP: 0x8035,
  VLAN: 0x8100,
  QINQ: 0x88a8,
  IPV6: 0x86dd,
  MPLS: 0x8847,
  MPLS_MULTICAST: 0x8848,
  NSH: 0x894f,
} as const;
/** Ethernet types below are lengths. */
export const ETH_TYPE_MIN = 0x0600;

export const IP = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;

export const isVlanType = (type: number): boolean => type === ETH.VLAN || type === ETH.QINQ;
export const isMplsType = (type: number): boolean =>
  type === ETH.MPLS || type === ETH.MPLS_MULTICAST;
