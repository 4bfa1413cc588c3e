/** What the connection tracker counts, in the order in which it numbers them. */
export const CT_COUNTERS = [
  "ct_new",
  "ct_invalid",
  "ct_expired",
  "ct_table_full",
  "ct_zone_full",
  "ct_nat_exhausted",
  "ct_fragment_refused",
  "drop_ct_fragment_expired",
  /** Connections whose packets programs in the kernel forward, at this moment. */
  "ct_kernel_entries",
  /** Those that found no room there. */
  "ct_kernel_refused",
] as const;
