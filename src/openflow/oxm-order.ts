/** Which fields are written of a match, and in which order: prerequisites first. */
import type { FieldName } from "../packet/fields.ts";
import { type Field, FIELDS } from "../packet/layout.ts";
import { OF15, type OfVersion } from "./version.ts";

/** The wire version, or 0 where NXM numbers are preferred to standard ones. */
export type OxmVersion = OfVersion | 0;

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

/** The fields that a version has numbers for, in the order in which they are written. */
export const fieldsInOrder = (version: OxmVersion): readonly Field[] =>
  ORDERS[version === 0 ? 0 : version < OF15 ? 1 : 2]!;
