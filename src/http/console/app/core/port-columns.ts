/** What the form for a new port asks of the API: columns of Port and Interface. */

/** Rows of a map in a form; an empty key is a row that nobody has filled yet. */
type Entries = readonly (readonly [key: string, value: string])[];

// VLANs

export type VlanMode =
  | "all"
  | "access"
  | "trunk"
  | "native-tagged"
  | "native-untagged"
  | "dot1q-tunnel";

export interface VlanChoice {
  readonly mode: VlanMode;
  readonly tag: string;
  readonly trunks: string;
}

export const ALL_VLANS: VlanChoice = { mode: "all", tag: "", trunks: "" };

export const hasTag = (mode: VlanMode): boolean => mode !== "all" && mode !== "trunk";
export const hasTrunks = (mode: VlanMode): boolean => mode !== "all" && mode !== "access";

export function vlanColumns({ mode, tag, trunks }: VlanChoice): Record<string, unknown> {
  const list = trunks.split(",").map((each) => each.trim()).filter(Boolean).map(Number);
  const carried = mode === "dot1q-tunnel" ? "cvlans" : "trunks";
  return {
    ...(hasTag(mode) && { tag: Number(tag) }),
    ...(hasTrunks(mode) && list.length > 0 && { [carried]: list }),
    ...(mode !== "all" && mode !== "access" && mode !== "trunk" && { vlan_mode: mode }),
  };
}

// Tunnels

export const TUNNELS = ["vxlan", "geneve", "gre", "ip6gre", "erspan", "gtpu", "bareudp"] as const;

export interface TunnelChoice {
  readonly type: (typeof TUNNELS)[number];
  readonly remote: string;
  readonly key: string;
  readonly local: string;
  readonly more: Entries;
}

export const NEW_TUNNEL: TunnelChoice = {
  type: "vxlan",
  remote: "",
  key: "",
  local: "",
  more: [],
};

export function tunnelColumns(
  { type, remote, key, local, more }: TunnelChoice,
): Record<string, unknown> {
  const given = Object.fromEntries(more.filter(([name]) => name !== ""));
  return {
    type,
    options: {
      ...given,
      remote_ip: remote,
      ...(key !== "" && { key }),
      ...(local !== "" && { local_ip: local }),
    },
  };
}

// Bonds

export interface BondChoice {
  readonly members: string;
  readonly mode: "active-backup" | "balance-slb" | "balance-tcp";
  readonly lacp: "off" | "passive" | "active";
  readonly fast: boolean;
}

export const NEW_BOND: BondChoice = {
  members: "",
  mode: "active-backup",
  lacp: "off",
  fast: false,
};

export function bondColumns({ members, mode, lacp, fast }: BondChoice) {
  return {
    interfaces: members.split(",").map((each) => ({ name: each.trim() })),
    bond_mode: mode,
    ...(lacp !== "off" && { lacp }),
    ...(lacp !== "off" && fast && { other_config: { "lacp-time": "fast" } }),
  };
}
