/**
 * The status columns of an Interface row, as Open vSwitch fills them (ovs-vswitchd.conf.db(5),
 * Interface, "Interface Status" and "Statistics").
 */
import type { ColumnValues } from "../../db/replica.ts";
import { formatMac } from "../../packet/address.ts";
import { bfdStatus } from "../liveness/bfd.ts";
import type { BridgePort, PortCounts } from "./ports.ts";

type InterfaceStatus = ColumnValues<"Interface">;

const NO_LIVENESS: InterfaceStatus = {
  bfd_status: new Map(),
  cfm_fault: undefined,
  cfm_fault_status: [],
  cfm_flap_count: undefined,
  cfm_health: undefined,
  cfm_remote_mpids: [],
  cfm_remote_opstate: undefined,
};

function livenessStatus({ sessions }: BridgePort): InterfaceStatus {
  const { bfd, cfm } = sessions ?? {};
  return {
    ...NO_LIVENESS,
    ...(bfd && { bfd_status: bfdStatus(bfd) }),
    ...(cfm && {
      cfm_fault: cfm.faults.size > 0,
      cfm_fault_status: [...cfm.faults].sort(),
      cfm_flap_count: cfm.flaps,
      cfm_health: cfm.health,
      cfm_remote_mpids: cfm.heard.map(Number).sort((a, b) => a - b),
      cfm_remote_opstate: cfm.remoteState,
    }),
  };
}

/** Columns of an interface that could not be set up; `error` says why and what to do. */
export function failedInterface(error: string): InterfaceStatus {
  return {
    ofport: -1,
    error,
    status: new Map(),
    statistics: new Map(),
    admin_state: undefined,
    link_state: undefined,
    link_resets: undefined,
    link_speed: undefined,
    duplex: undefined,
    mac_in_use: undefined,
    mtu: undefined,
    ifindex: undefined,
    lacp_current: undefined,
    ...NO_LIVENESS,
  };
}

export function interfaceStatus(port: BridgePort): InterfaceStatus {
  const { device } = port;
  const status = new Map<string, string>();
  if (!port.isVirtual && device) {
    status.set("driver_name", device.driver ?? device.kind ?? "");
    status.set("driver_version", device.driverVersion ?? "");
    status.set("firmware_version", device.firmwareVersion ?? "");
  }
  const speed = port.isVirtual ? undefined : device?.linkSpeedBps;
  const { lacp } = port.bundle;
  return {
    ofport: port.ofport,
    lacp_current: lacp ? lacp.protocol.isCurrent(port) : undefined,
    error: undefined,
    status,
    admin_state: port.adminUp ? "up" : "down",
    link_state: port.linkUp ? "up" : "down",
    link_resets: port.linkResets,
    link_speed: speed,
    duplex: speed === undefined ? undefined : device?.fullDuplex === false ? "half" : "full",
    mac_in_use: formatMac(port.mac),
    mtu: port.isVirtual ? undefined : device?.mtu,
    ifindex: port.isVirtual ? 0 : device?.ifindex ?? 0,
    ...livenessStatus(port),
  };
}

export function interfaceStatistics(
  port: BridgePort,
  stats: PortCounts | undefined,
): ReadonlyMap<string, number> {
  const { patchStats } = port;
  if (patchStats) {
    return new Map([
      ["rx_packets", patchStats.rxPackets],
      ["tx_packets", patchStats.txPackets],
      ["rx_bytes", patchStats.rxBytes],
      ["tx_bytes", patchStats.txBytes],
    ]);
  }
  if (!stats) return new Map();
  const named: readonly (readonly [string, number | undefined])[] = [
    ["rx_packets", stats.rxPackets],
    ["tx_packets", stats.txPackets],
    ["rx_bytes", stats.rxBytes],
    ["tx_bytes", stats.txBytes],
    ["rx_dropped", stats.rxDropped],
    ["tx_dropped", stats.txDropped],
    ["rx_errors", stats.rxErrors],
    ["tx_errors", stats.txErrors],
    ["rx_frame_err", stats.rxFrameErrors],
    ["rx_over_err", stats.rxOverErrors],
    ["rx_crc_err", stats.rxCrcErrors],
    ["rx_missed_errors", stats.rxMissedErrors],
    ["rx_multicast_packets", stats.rxMulticast],
    ["collisions", stats.collisions],
  ];
  return new Map([
    ...named.filter((entry): entry is [string, number] => entry[1] !== undefined),
    ...stats.custom ?? [],
  ]);
}

/** Those of `values` that differ from what the row holds: an idle switch writes nothing. */
export function changedColumns<C extends object>(row: object, values: C): C | undefined {
  const changed: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(values)) {
    if (!sameValue((row as Record<string, unknown>)[column], value)) changed[column] = value;
  }
  return Object.keys(changed).length > 0 ? changed as C : undefined;
}

/** Equality of column values, sets and maps by content. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [key, value] of b) if (a.get(key) !== value || !a.has(key)) return false;
    return true;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((value, i) => value === b[i]);
  }
  return a === b;
}
