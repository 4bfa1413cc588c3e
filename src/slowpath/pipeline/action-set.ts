/**
 * The action set: what `write_actions` collects and the end of the pipeline runs, in an order of its
 * own (OpenFlow 1.3.5 §5.10). Written twice, an action of one kind replaces itself; of the fields
 * set, all are kept in the order written. Only the most important action that sends the packet
 * somewhere is run: group, then output, then resubmit.
 */
import type { Action, ActionType } from "../../openflow/actions/types.ts";

const FIRST: readonly ActionType[] = [
  "pop_vlan",
  "pop_mpls",
  "decap",
  "encap",
  "push_mpls",
  "push_vlan",
  "dec_ttl",
  "dec_mpls_ttl",
  "dec_nsh_ttl",
];
const LAST: readonly ActionType[] = ["group", "output", "resubmit", "ct", "ct_clear"];
const SETS: ReadonlySet<ActionType> = new Set<ActionType>([
  "set_field",
  "move",
  "set_vlan_vid",
  "set_vlan_pcp",
  "set_eth_src",
  "set_eth_dst",
  "set_ipv4_src",
  "set_ipv4_dst",
  "set_ip_dscp",
  "set_ip_ecn",
  "set_ip_ttl",
  "set_tp_src",
  "set_tp_dst",
  "set_mpls_label",
  "set_mpls_tc",
  "set_mpls_ttl",
  "set_tunnel",
  "set_queue",
]);

/** The set's actions as a list to run; empty when nothing sends the packet anywhere. */
export function orderActionSet(written: readonly Action[]): Action[] {
  const last = (type: ActionType) => written.findLast((action) => action.type === type);
  const final = LAST.map(last).find((action) => action !== undefined);
  if (!final) return [];
  const first = FIRST.map(last).filter((action) => action !== undefined);
  return [...first, ...written.filter(({ type }) => SETS.has(type)), final];
}
