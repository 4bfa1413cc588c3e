/** Names of kinds of actions and instructions, where a switch tells which of them it knows. */
import { actionOfNumber } from "../actions/numbers.ts";
import type { ActionType } from "../actions/types.ts";
import type { InstructionName } from "../messages/types.ts";
import type { OfVersion } from "../version.ts";

/** In the order in which they run, which is that in which they are told. */
export const INSTRUCTION_ORDER: readonly InstructionName[] = [
  "meter",
  "apply_actions",
  "clear_actions",
  "write_actions",
  "write_metadata",
  "stat_trigger",
  "goto_table",
];

/**
 * Actions that have a number in the standard and that Open vSwitch knows, in the order in which they
 * are told: lists of what a switch can do are compared with Open vSwitch's.
 */
const NAMES: readonly (readonly [ActionType, string])[] = [
  ["output", "output"],
  ["group", "group"],
  ["enqueue", "enqueue"],
  ["set_field", "set_field"],
  ["set_vlan_vid", "set_vlan_vid"],
  ["set_vlan_pcp", "set_vlan_pcp"],
  ["pop_vlan", "strip_vlan"],
  ["push_vlan", "push_vlan"],
  ["set_eth_src", "mod_dl_src"],
  ["set_eth_dst", "mod_dl_dst"],
  ["set_ipv4_src", "mod_nw_src"],
  ["set_ipv4_dst", "mod_nw_dst"],
  ["set_ip_dscp", "mod_nw_tos"],
  ["set_ip_ecn", "mod_nw_ecn"],
  ["set_ip_ttl", "mod_nw_ttl"],
  ["set_tp_src", "mod_tp_src"],
  ["set_tp_dst", "mod_tp_dst"],
  ["dec_ttl", "dec_ttl"],
  ["set_mpls_label", "set_mpls_label"],
  ["set_mpls_tc", "set_mpls_tc"],
  ["set_mpls_ttl", "set_mpls_ttl"],
  ["dec_mpls_ttl", "dec_mpls_ttl"],
  ["push_mpls", "push_mpls"],
  ["pop_mpls", "pop_mpls"],
  ["set_queue", "set_queue"],
];

/** With a blank between them. */
export function actionNames(types: readonly ActionType[]): string {
  return NAMES.filter(([type]) => types.includes(type)).map(([, name]) => name).join(" ");
}

/** The same for a bitmap of the numbers that actions have in `version`. */
export function actionNamesOf(bitmap: number, version: OfVersion): string {
  const types = Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => ((bitmap >>> bit) & 1) !== 0)
    .map((bit) => actionOfNumber(version, bit));
  return actionNames(types.filter((type) => type !== undefined));
}
