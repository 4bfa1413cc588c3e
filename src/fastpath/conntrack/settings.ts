/** Limits and timeouts of the connection tracker: Open vSwitch's defaults. */
import type { CtFragmentSettings, CtTimeoutName } from "./types.ts";

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
