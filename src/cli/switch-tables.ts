import type { TableName } from "../db/replica.ts";

/** What a switch reads of its database: all of it, but for what the database server itself needs. */
export const SWITCH_TABLES: readonly TableName[] = [
  "Open_vSwitch",
  "Bridge",
  "Port",
  "Interface",
  "Controller",
  "Mirror",
  "NetFlow",
  "sFlow",
  "IPFIX",
  "QoS",
  "Queue",
  "Flow_Table",
  "Flow_Sample_Collector_Set",
  "SSL",
  "AutoAttach",
  "Datapath",
  "CT_Zone",
  "CT_Timeout_Policy",
  "Manager",
];
