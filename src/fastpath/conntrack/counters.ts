/** What the connection tracker counts, in the order in which it numbers them. */
export const CT_COUNTERS = [
  "ct_new",
  "ct_invalid",
  "ct_expired",
  "drop_ct_table_full",
  "drop_ct_zone_full",
  "drop_ct_nat_exhausted",
  "drop_ct_fragment_limit",
  "drop_ct_fragment_malformed",
  "drop_ct_fragment_expired",
] as const;
