/** The VLAN columns of a Port row, resolved (ovs-vswitchd.conf.db(5), Port, "VLAN Configuration"). */
import type { Row } from "../../db/replica.ts";
import type { VlanConfig, VlanMode } from "../pipeline/model.ts";

const ETH_TYPE_8021Q = 0x8100;
const ETH_TYPE_8021AD = 0x88a8;

type VlanColumns = Pick<
  Row<"Port">,
  "name" | "tag" | "trunks" | "cvlans" | "vlan_mode" | "other_config"
>;

export interface VlanResult {
  readonly config: VlanConfig;
  readonly problems: readonly string[];
}

export const PLAIN_TRUNK: VlanConfig = {
  mode: "trunk",
  tag: 0,
  trunks: undefined,
  priorityTags: "no",
};

export function vlanConfig(row: VlanColumns): VlanResult {
  const problems: string[] = [];
  const mode: VlanMode = row.vlan_mode ?? (row.tag === undefined ? "trunk" : "access");
  if (row.vlan_mode === undefined && mode === "access" && row.trunks.length + row.cvlans.length) {
    problems.push(`port ${row.name}: ignoring trunks in favor of implicit vlan`);
  }
  const wanted = row.other_config.get("priority-tags");
  const priorityTags = wanted === "if-nonzero" || wanted === "true"
    ? "if-nonzero"
    : wanted === "always"
    ? "always"
    : "no";
  const config: VlanConfig = {
    mode,
    tag: mode === "trunk" ? 0 : row.tag ?? 0,
    trunks: trunksOf(row, mode),
    priorityTags,
  };
  if (mode !== "dot1q-tunnel") return { config, problems };
  return {
    config: {
      ...config,
      cvlans: row.cvlans.length > 0 ? new Set(row.cvlans) : undefined,
      qinqTpid: row.other_config.get("qinq-ethtype") === "802.1q"
        ? ETH_TYPE_8021Q
        : ETH_TYPE_8021AD,
    },
    problems,
  };
}

function trunksOf(row: VlanColumns, mode: VlanMode): ReadonlySet<number> | undefined {
  if (mode === "access" || mode === "dot1q-tunnel") return undefined;
  const { tag = 0, trunks } = row;
  if (mode === "trunk" || tag === 0) return trunks.length > 0 ? new Set(trunks) : undefined;
  // A native VLAN is carried whatever `trunks` says; untagged packets belong to it, not to VLAN 0.
  const carried = new Set(trunks.length > 0 ? trunks : Array.from({ length: 4096 }, (_, i) => i));
  carried.add(tag);
  carried.delete(0);
  return carried;
}

export function sameVlan(a: VlanConfig, b: VlanConfig): boolean {
  return a.mode === b.mode && a.tag === b.tag && a.priorityTags === b.priorityTags &&
    a.qinqTpid === b.qinqTpid && sameSet(a.trunks, b.trunks) && sameSet(a.cvlans, b.cvlans);
}

function sameSet(
  a: ReadonlySet<number> | undefined,
  b: ReadonlySet<number> | undefined,
): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && a.isSubsetOf(b);
}
