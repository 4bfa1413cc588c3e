/** Limits and timeouts of the connection tracker: Open vSwitch's defaults. */
import { CT_TIMEOUTS, type CtFragmentSettings, type CtTimeoutName } from "./types.ts";

/** `DEFAULT_N_CONN_LIMIT` of Open vSwitch 3.1. */
export const DEFAULT_MAX_CONNECTIONS = 3_000_000;

export const DEFAULT_FRAGMENTS: CtFragmentSettings = {
  enabledV4: true,
  enabledV6: true,
  minSizeV4: 1200,
  minSizeV6: 1280,
  maxFragments: 1000,
};

/** Seconds. */
export const DEFAULT_TIMEOUTS: Readonly<Record<CtTimeoutName, number>> = {
  tcp_syn_sent: 30,
  tcp_syn_recv: 30,
  tcp_established: 24 * 60 * 60,
  tcp_fin_wait: 15 * 60,
  tcp_close_wait: 45,
  tcp_last_ack: 30,
  tcp_time_wait: 45,
  tcp_close: 30,
  tcp_syn_sent2: 30,
  tcp_retransmit: 30,
  tcp_unack: 30,
  udp_first: 60,
  udp_single: 60,
  udp_multiple: 30,
  icmp_first: 60,
  icmp_reply: 30,
};

/** Each timeout's place in a policy, which is an array. */
export const TIMEOUT_INDEX = Object.fromEntries(
  CT_TIMEOUTS.map((name, i) => [name, i]),
) as Readonly<Record<CtTimeoutName, number>>;

/** Milliseconds in the order of CT_TIMEOUTS. */
export function timeoutPolicy(timeouts: Partial<Record<CtTimeoutName, number>>): Float64Array {
  return Float64Array.from(
    CT_TIMEOUTS,
    (name) => 1000 * (timeouts[name] ?? DEFAULT_TIMEOUTS[name]),
  );
}
