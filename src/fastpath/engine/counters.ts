/** What every datapath counts by name, in one order: counters are numbers in an array while packets run. */
import { EXTRACT_RESULTS } from "../../packet/extract.ts";
import { DROP_REASONS } from "../actions.ts";
import { CT_COUNTERS } from "../conntrack/counters.ts";
import { POP_RESULTS, type PopResult } from "../tunnels/pop.ts";

/** What was wrong with outer headers; each drops. */
export const TUNNEL_ERRORS = POP_RESULTS.filter((result): result is Exclude<PopResult, "ok"> =>
  result !== "ok"
);

/** Everything counted besides packets and bytes; `drop_…` lose a packet (or a copy of it). */
const OWN_COUNTERS = [
  "exact_hit",
  "masked_hit",
  "miss",
  "upcalls",
  "flows",
  "masks",
  "rounds",
  "sleeps",
  "ring_grown",
  "handoffs",
  "drop_handoff_full",
  "drop_upcall_ring_full",
  "drop_upcall_port_share",
  "drop_punt_queue_full",
  "drop_punt_no_port",
  "drop_punt_flow_changed",
  "drop_punt_bad_header",
  "drop_no_actions",
  "drop_rx_ring_full",
  "drop_rx_no_copy",
  "drop_rx_too_big",
  "drop_rx_policed",
  "drop_tx_no_port",
  "drop_tx_no_ethernet",
  "drop_tx_queue_full",
  "drop_tx_too_big",
  "drop_tx_port_down",
  "drop_tx_refused",
  "drop_no_room",
  "drop_bad_program",
  "drop_meter",
  "drop_recirculation_limit",
  "drop_tunnel_no_port",
  "drop_tunnel_no_metadata",
  "drop_tunnel_cannot_carry",
  ...TUNNEL_ERRORS.map((error) => `drop_${error}` as const),
  "rewrite_no_header",
  "recirculations",
  ...DROP_REASONS.map((reason) => `drop_action_${reason}` as const),
  ...CT_COUNTERS,
] as const;
const PARSE_COUNTERS = EXTRACT_RESULTS.slice(1).map((name) => `parse_${name}`);

export type CounterName = (typeof OWN_COUNTERS)[number];
/** All counters; the parse counters follow in the order of EXTRACT_RESULTS from index 1 on. */
export const COUNTERS: readonly string[] = [...OWN_COUNTERS, ...PARSE_COUNTERS];
/** Index of EXTRACT_RESULTS[0], which itself is not counted. */
export const PARSE_COUNTER_BASE = OWN_COUNTERS.length - 1;

export function counterIndex(name: CounterName): number {
  return OWN_COUNTERS.indexOf(name);
}

/** The counter of a `drop` action's reason, by its place in DROP_REASONS. */
export const DROP_ACTION_BASE = OWN_COUNTERS.indexOf("drop_action_of_pipeline");
export const CT_COUNTER_BASE = OWN_COUNTERS.indexOf(CT_COUNTERS[0]);

export function tunnelError(result: Exclude<PopResult, "ok">): number {
  return counterIndex(`drop_${result}`);
}
