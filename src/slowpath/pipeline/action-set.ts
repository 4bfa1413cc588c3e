/**
 * The action set: what `write_actions` collects and the end of the pipeline runs, in an order of its
 * own (OpenFlow 1.3.5 §5.10). Written twice, an action of one kind replaces itself; of the fields
 * set, all are kept in the order written. Only the most important action that sends the packet
 * somewhere is run: group, then output, then resubmit.
 */
import type { Action, ActionType } from "../../openflow/actions/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { PORTS } from "../../openflow/version.ts";
import { FIELDS } from "../../packet/layout.ts";
import type { Xlate } from "./xlate.ts";

const FIRST: readonly ActionType[] = [
  "copy_ttl_in",
  "pop_vlan",
  "pop_mpls",
  "pop_pbb",
  "decap",
  "encap",
  "push_mpls",
  "push_pbb",
  "push_vlan",
  "copy_ttl_out",
  "dec_ttl",
  "dec_mpls_ttl",
  "dec_nsh_ttl",
];
const LAST: readonly ActionType[] = ["group", "output", "resubmit", "ct_clear", "ct"];
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

export function writeActions(x: Xlate, actions: readonly Action[]): void {
  const hadGroup = x.actionSet.some(({ type }) => type === "group");
  x.actionSet = [...x.actionSet, ...actions];
  if (!hadGroup) noteOutput(x, actions);
  reportActionSet(x, "is");
}

export function clearActions(x: Xlate): void {
  reportActionSet(x, "was");
  x.actionSet = [];
  x.key.set(FIELDS.actset_output, PORTS.UNSET);
}

/** `actset_output` for a whole set that is there anew. */
export function setUpActionSet(x: Xlate): void {
  x.key.set(FIELDS.actset_output, PORTS.UNSET);
  noteOutput(x, x.actionSet);
}

/** The port that the set outputs to; none while a group goes before it. */
function noteOutput(x: Xlate, actions: readonly Action[]): void {
  for (const action of actions) {
    if (action.type === "output") x.key.set(FIELDS.actset_output, action.port);
    else if (action.type === "group") return x.key.set(FIELDS.actset_output, PORTS.UNSET);
  }
}

function reportActionSet({ tracer, actionSet }: Xlate, verb: "is" | "was"): void {
  if (!tracer) return;
  const list = orderActionSet(actionSet);
  const what = list.length > 0 ? `${verb}: ${formatActions(list)}` : `${verb} empty`;
  tracer.report("detail", `action set ${what}`);
}
