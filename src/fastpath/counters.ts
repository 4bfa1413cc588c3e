/**
 * The names that `Datapath.counters()` uses, the same in every implementation: one for each reason
 * to drop a packet, and for what happened to the others. Drop reasons that Open vSwitch has too bear
 * its name, so that `coverage/show` reads alike.
 */
import { EXTRACT_RESULTS } from "../packet/extract.ts";

export const DP_COUNTERS = [
  /** Found in the exact-match cache. */
  "exact_hit",
  /** Found in the table of masked flows. */
  "masked_hit",
  /** In neither: went to the slow path. */
  "miss",
  /** Sent to the slow path by a `userspace` action. */
  "action_upcall",
  /** The slow path was too slow: an upcall's packet is lost. */
  "datapath_drop_upcall_error",
  /** No Ethernet header. */
  "datapath_drop_rx_invalid_packet",
  /** Longer than a receive frame, so only a part is there. */
  "datapath_drop_rx_truncated",
  /** An output to a port that is not there. */
  "datapath_drop_invalid_port",
  /** The flow has no actions. */
  "drop_action",
  /** The device did not take the packet (queue full, link down, too long). */
  "datapath_drop_tx_error",
  /** No room for a pushed header. */
  "datapath_drop_push_error",
  /** A `set` or `pop_vlan` for a header that the packet lacks: the packet went on unchanged. */
  "action_not_applicable",
] as const;

/** Malformed layers, by kind, as `extract` names them; such packets are forwarded by the rest. */
export const EXTRACT_COUNTERS: readonly string[] = EXTRACT_RESULTS.slice(1).map((name) =>
  `extract_${name}`
);

export type DpCounter = (typeof DP_COUNTERS)[number];
