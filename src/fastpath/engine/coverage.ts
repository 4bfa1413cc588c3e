/** Open vSwitch's names for what the datapath counts, where it has one (`coverage/read-counter`). */
import { DROP_REASONS } from "../actions.ts";
import { type CounterName, COUNTERS, TUNNEL_ERRORS } from "./counters.ts";

const NAMES: readonly (readonly [theirs: string, ours: readonly CounterName[]])[] = [
  ["datapath_drop_meter", ["drop_meter"]],
  ["datapath_drop_recirc_error", ["drop_recirculation_limit"]],
  ["datapath_drop_invalid_port", ["drop_tx_no_port"]],
  ["datapath_drop_invalid_tnl_port", ["drop_tunnel_no_port"]],
  ["datapath_drop_tunnel_pop_error", TUNNEL_ERRORS.map((error) => `drop_${error}` as const)],
  ["datapath_drop_upcall_error", ["drop_upcall_ring_full", "drop_upcall_port_share"]],
  ["conntrack_full", ["ct_table_full"]],
  ["conntrack_zone_full", ["ct_zone_full"]],
  // A flow without actions drops, too, as the pipeline wants it.
  ["drop_action_of_pipeline", ["drop_action_of_pipeline", "drop_no_actions"]],
  ...DROP_REASONS.slice(1).map((reason) =>
    [`drop_action_${reason}`, [`drop_action_${reason}`]] satisfies [string, [CounterName]]
  ),
];

/** A datapath's counters under Open vSwitch's names. */
export function coverageOf(
  counters: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const named = NAMES.map(([theirs, ours]) => [
    theirs,
    ours.reduce((sum, name) => sum + (counters[name] ?? 0), 0),
  ]);
  const short = COUNTERS.filter((name) => name.startsWith("parse_eth_"));
  const invalid = short.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
  return { ...Object.fromEntries(named), datapath_drop_rx_invalid_packet: invalid };
}
