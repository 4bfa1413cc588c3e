/**
 * The columns of Open_vSwitch that the switch writes, not its operator: what it has found out, and
 * how far it has come. They are stored, but are no configuration: a change of them makes no revision
 * in the history, and going back to an older configuration leaves them alone. Ephemeral columns are
 * status too, and need not stand here.
 */
import type { ColumnsOf, TableNameOf } from "./declare.ts";
import type { OpenVSwitchSchema } from "./openvswitch.ts";

type StatusColumns = {
  readonly [T in TableNameOf<OpenVSwitchSchema>]?: readonly (
    & keyof ColumnsOf<OpenVSwitchSchema, T>
    & string
  )[];
};

export const openVSwitchStatus: StatusColumns = {
  Open_vSwitch: [
    "next_cfg", // Counted up by each ovs-vsctl command, whatever it changes.
    "cur_cfg",
    "ovs_version",
    "db_version",
    "system_type",
    "system_version",
    "datapath_types",
    "iface_types",
    "dpdk_initialized",
    "dpdk_version",
  ],
  Bridge: ["datapath_version"],
  Port: ["bond_active_slave"],
  Interface: ["ofport", "cfm_flap_count", "error"],
  Datapath: ["datapath_version", "capabilities"],
};
