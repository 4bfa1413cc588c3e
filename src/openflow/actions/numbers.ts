/**
 * The standard's action types by version (`ofp_action_type`), as what a switch says it can do counts
 * them. Two numbers have one record here: strip_vlan and pop_vlan.
 */
import { OF10, OF11, OF12, OF13, OF15, type OfVersion } from "../version.ts";
import type { ActionType } from "./types.ts";

const ACTIONS_10: readonly ActionType[] = [
  "output",
  "set_vlan_vid",
  "set_vlan_pcp",
  "pop_vlan",
  "set_eth_src",
  "set_eth_dst",
  "set_ipv4_src",
  "set_ipv4_dst",
  "set_ip_dscp",
  "set_tp_src",
  "set_tp_dst",
  "enqueue",
];
/** By number in OpenFlow 1.1 and later; the second column is the first version with it. */
const ACTIONS_11: readonly (readonly [ActionType, OfVersion, OfVersion])[] = [
  ["output", OF11, OF15],
  ["set_vlan_vid", OF11, OF11],
  ["set_vlan_pcp", OF11, OF11],
  ["set_eth_src", OF11, OF11],
  ["set_eth_dst", OF11, OF11],
  ["set_ipv4_src", OF11, OF11],
  ["set_ipv4_dst", OF11, OF11],
  ["set_ip_dscp", OF11, OF11],
  ["set_ip_ecn", OF11, OF11],
  ["set_tp_src", OF11, OF11],
  ["set_tp_dst", OF11, OF11],
  ["copy_ttl_out", OF11, OF15],
  ["copy_ttl_in", OF11, OF15],
  ["set_mpls_label", OF11, OF11],
  ["set_mpls_tc", OF11, OF11],
  ["set_mpls_ttl", OF11, OF15],
  ["dec_mpls_ttl", OF11, OF15],
  ["push_vlan", OF11, OF15],
  ["pop_vlan", OF11, OF15],
  ["push_mpls", OF11, OF15],
  ["pop_mpls", OF11, OF15],
  ["set_queue", OF11, OF15],
  ["group", OF11, OF15],
  ["set_ip_ttl", OF11, OF15],
  ["dec_ttl", OF11, OF15],
  ["set_field", OF12, OF15],
  ["push_pbb", OF13, OF15],
  ["pop_pbb", OF13, OF15],
  ["move", OF15, OF15],
  ["meter", OF15, OF15],
];

/** The number of the action in the version, or undefined when it has none of the standard's. */
export function actionNumber(version: OfVersion, type: ActionType): number | undefined {
  const number = version === OF10
    ? ACTIONS_10.indexOf(type)
    : ACTIONS_11.findIndex(([name, first, last]) =>
      name === type && version >= first && version <= last
    );
  return number < 0 ? undefined : number;
}

export function actionOfNumber(version: OfVersion, number: number): ActionType | undefined {
  if (version === OF10) return ACTIONS_10[number];
  const row = ACTIONS_11[number];
  return row && version >= row[1] && version <= row[2] ? row[0] : undefined;
}

/** Every action of the standard that the version has, by ascending number. */
export function standardActions(version: OfVersion): readonly ActionType[] {
  if (version === OF10) return ACTIONS_10;
  return ACTIONS_11.filter(([, first, last]) => version >= first && version <= last)
    .map(([type]) => type);
}
