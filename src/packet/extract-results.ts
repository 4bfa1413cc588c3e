/** What parsing a frame can find wrong, by number: `Frame.result` (extract.ts). */

/** What `Frame.result` indexes: counters are named after these. */
export const EXTRACT_RESULTS = [
  "ok",
  "eth_too_short",
  "ipv4_too_short",
  "ipv4_bad_length",
  "ipv6_too_short",
  "ipv6_bad_length",
  "ipv6_bad_extension",
  "arp_malformed",
  "mpls_too_short",
  "tcp_malformed",
  "udp_too_short",
  "sctp_too_short",
  "icmp_too_short",
  "igmp_too_short",
  "icmpv6_too_short",
  "nd_malformed",
  "nsh_malformed",
  "pbb_too_short",
] as const;
export type ExtractResult = (typeof EXTRACT_RESULTS)[number];

export const OK = 0;
export const ETH_TOO_SHORT = 1;
export const IPV4_TOO_SHORT = 2;
export const IPV4_BAD_LENGTH = 3;
export const IPV6_TOO_SHORT = 4;
export const IPV6_BAD_LENGTH = 5;
export const IPV6_BAD_EXTENSION = 6;
export const ARP_MALFORMED = 7;
export const MPLS_TOO_SHORT = 8;
export const TCP_MALFORMED = 9;
export const UDP_TOO_SHORT = 10;
export const SCTP_TOO_SHORT = 11;
export const ICMP_TOO_SHORT = 12;
export const IGMP_TOO_SHORT = 13;
export const ICMPV6_TOO_SHORT = 14;
export const ND_MALFORMED = 15;
export const NSH_MALFORMED = 16;
export const PBB_TOO_SHORT = 17;

export const FRAG_ANY = 1;
export const FRAG_LATER = 2;
