/**
 * The kinds of tunnels, as data: what an Interface of such a type is called in the datapath, and what
 * its options may say (ovs-vswitchd.conf.db(5), "Tunnel Options").
 */
import type { TunnelKind } from "../../fastpath/actions.ts";

export type TunnelType =
  | "vxlan"
  | "geneve"
  | "gre"
  | "ip6gre"
  | "erspan"
  | "ip6erspan"
  | "gtpu"
  | "lisp";

export interface TunnelKindRow {
  /** What its headers are on the wire. */
  readonly kind: TunnelKind;
  /** Name of the one datapath port of the kind; `_PORT` is appended where there is a UDP port. */
  readonly dpPort: string;
  /** UDP destination port unless `dst_port` says otherwise; undefined: not over UDP. */
  readonly udpPort: number | undefined;
  readonly checksums: boolean;
  readonly sequence: boolean;
  /** What may be inside: Ethernet frames, packets without Ethernet header. */
  readonly carriesL2: boolean;
  readonly carriesL3: boolean;
  /** Of the outer header. */
  readonly families: "ipv4" | "ipv6" | "both";
}

const GRE = {
  udpPort: undefined,
  checksums: true,
  sequence: true,
  carriesL2: true,
  carriesL3: true,
  families: "both",
} as const;
const ERSPAN = {
  kind: "erspan",
  udpPort: undefined,
  checksums: false,
  sequence: false,
  carriesL2: true,
  carriesL3: false,
  families: "both",
} as const;
const UDP = {
  checksums: true,
  sequence: false,
  carriesL2: true,
  carriesL3: false,
  families: "both",
} as const;

export const TUNNEL_TYPES: Readonly<Record<TunnelType, TunnelKindRow>> = {
  vxlan: { ...UDP, kind: "vxlan", dpPort: "vxlan_sys", udpPort: 4789 },
  geneve: { ...UDP, kind: "geneve", dpPort: "genev_sys", udpPort: 6081 },
  gre: { ...GRE, kind: "gre", dpPort: "gre_sys" },
  ip6gre: { ...GRE, kind: "gre", dpPort: "ip6gre_sys", families: "ipv6" },
  erspan: { ...ERSPAN, dpPort: "erspan_sys" },
  ip6erspan: { ...ERSPAN, dpPort: "ip6erspan_sys", families: "ipv6" },
  lisp: {
    kind: "lisp",
    dpPort: "lisp_sys",
    udpPort: 4341,
    checksums: true,
    sequence: false,
    carriesL2: false,
    carriesL3: true,
    families: "both",
  },
  gtpu: {
    kind: "gtpu",
    dpPort: "gtpu_sys",
    udpPort: 2152,
    checksums: false,
    sequence: false,
    carriesL2: false,
    carriesL3: true,
    families: "both",
  },
};

export function isTunnelType(type: string): type is TunnelType {
  return Object.hasOwn(TUNNEL_TYPES, type);
}

/** The datapath port that all tunnels of the type with that UDP port share. */
export function datapathPortName(type: TunnelType, dstPort: number): string {
  const row = TUNNEL_TYPES[type];
  return row.udpPort === undefined ? row.dpPort : `${row.dpPort}_${dstPort}`;
}
