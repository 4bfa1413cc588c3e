/** Which actions flows and buckets may have, in the numbers of each version (ofp_action_type). */
import type { ActionType } from "../../../openflow/actions/types.ts";
import { OF10, OF11, type OfVersion } from "../../../openflow/version.ts";
import { isSupported } from "../../pipeline/supported.ts";

/** By number; gaps are actions that no version of this program knows. */
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
const ACTIONS_11: readonly (ActionType | undefined)[] = [
  "output",
  "set_vlan_vid",
  "set_vlan_pcp",
  "set_eth_src",
  "set_eth_dst",
  "set_ipv4_src",
  "set_ipv4_dst",
  "set_ip_dscp",
  "set_ip_ecn",
  "set_tp_src",
  "set_tp_dst",
];
const ACTIONS_12_FIRST: readonly (ActionType | undefined)[] = ["output"];
/** From 13 on, the same in all versions after 1.0; set_field came with 1.2. */
const ACTIONS_13_ON: readonly ActionType[] = [
  "set_mpls_label",
  "set_mpls_tc",
  "set_mpls_ttl",
  "dec_mpls_ttl",
  "push_vlan",
  "pop_vlan",
  "push_mpls",
  "pop_mpls",
  "set_queue",
  "group",
  "set_ip_ttl",
  "dec_ttl",
];
const SET_FIELD = 25;

/** Wire numbers of the actions of a version, ascending. */
export function actionNumbers(version: OfVersion): number[] {
  if (version === OF10) return numbers(ACTIONS_10, 0);
  if (version === OF11) return [...numbers(ACTIONS_11, 0), ...numbers(ACTIONS_13_ON, 13)];
  const later = numbers(ACTIONS_13_ON, 13).filter((number) => number >= FIRST_AFTER_SETS);
  return [...numbers(ACTIONS_12_FIRST, 0), ...later, SET_FIELD];
}

/** set_mpls_label and set_mpls_tc gave way to set_field in 1.2. */
const FIRST_AFTER_SETS = 15;

export function actionBits(version: OfVersion): number {
  return actionNumbers(version).reduce((bits, number) => bits | (1 << number), 0) >>> 0;
}

function numbers(types: readonly (ActionType | undefined)[], first: number): number[] {
  return types.flatMap((type, i) => type !== undefined && isSupported(type) ? [first + i] : []);
}
