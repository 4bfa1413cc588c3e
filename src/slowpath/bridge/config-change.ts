/**
 * Which changes of the database are the user's. A switch writes many columns itself; a change of those
 * alone, whoever made it, starts nothing.
 */
import type { RowChange } from "../../db/replica.ts";
import { sameValue } from "./interface-status.ts";

/** Columns that only a switch daemon writes, by table. */
const STATUS_COLUMNS: Readonly<Partial<Record<RowChange["table"], ReadonlySet<string>>>> = {
  Open_vSwitch: new Set([
    "cur_cfg",
    "statistics",
    "ovs_version",
    "db_version",
    "system_type",
    "system_version",
    "datapath_types",
    "iface_types",
    "dpdk_initialized",
    "dpdk_version",
  ]),
  Bridge: new Set(["datapath_id", "datapath_version", "status", "rstp_status"]),
  Port: new Set(["status", "statistics", "rstp_status", "rstp_statistics", "bond_active_slave"]),
  Interface: new Set([
    "ofport",
    "error",
    "status",
    "statistics",
    "admin_state",
    "link_state",
    "link_resets",
    "link_speed",
    "duplex",
    "mac_in_use",
    "mtu",
    "ifindex",
    "lacp_current",
    "bfd_status",
    "cfm_fault",
    "cfm_fault_status",
    "cfm_flap_count",
    "cfm_health",
    "cfm_remote_mpids",
    "cfm_remote_opstate",
  ]),
  Controller: new Set(["is_connected", "role", "status"]),
  Manager: new Set(["is_connected", "status"]),
  Mirror: new Set(["statistics"]),
};

export function isConfigChange(change: RowChange): boolean {
  if (!change.old || !change.new) return true;
  const ignored = STATUS_COLUMNS[change.table];
  const old = change.old as unknown as Record<string, unknown>;
  const now = change.new as unknown as Record<string, unknown>;
  return Object.keys(now).some((column) =>
    !ignored?.has(column) && !sameValue(old[column], now[column])
  );
}
