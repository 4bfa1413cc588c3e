/**
 * Writing back: what the database is told of bridges, ports and controllers. Only what differs from
 * what it holds is written, in one transaction, so a switch at rest writes nothing.
 */
import type { ColumnValues, Replica, TableName, Txn, Uuid } from "../../db/replica.ts";
import { formatMac } from "../../packet/address.ts";
import type { Bridge } from "./bridge.ts";
import { formatDatapathId } from "./identity.ts";
import {
  changedColumns,
  failedInterface,
  interfaceStatistics,
  interfaceStatus,
} from "./interface-status.ts";
import type { Wanted, WantedBridge } from "./wanted.ts";

export const INTERFACE_TYPES = ["internal", "patch", "system"] as const;

export interface SystemFacts {
  readonly datapathTypes: () => readonly string[];
  readonly interfaceTypes: readonly string[];
  /** Undefined where somebody else tells the database (`ovs-ctl` does). */
  readonly versions: {
    readonly ovsVersion: string;
    readonly dbVersion: string;
    readonly systemType: string;
    readonly systemVersion: string;
  } | undefined;
}

export interface OutcomeSource {
  readonly bridges: ReadonlyMap<string, Bridge>;
  /** Why an interface could not be set up, by its name. */
  readonly failures: ReadonlyMap<string, string>;
  /** What an interface asks for and does not get, by its name. */
  readonly remarks: ReadonlyMap<string, string>;
  readonly facts: SystemFacts;
}

type Put = <T extends TableName>(table: T, uuid: Uuid, values: ColumnValues<T>) => void;

interface Update {
  readonly write: (txn: Txn) => void;
}

export interface OutcomeOptions {
  /** `cur_cfg` to write: the configuration that is now in force. */
  readonly curCfg?: number | undefined;
  /** Interfaces' statistics and controllers' counters of seconds too; else only what has none yet. */
  readonly statistics: boolean;
}

/** Commits the outcome; rejects with the database's error. */
export async function writeOutcome(
  replica: Replica,
  wanted: Wanted,
  source: OutcomeSource,
  options: OutcomeOptions,
): Promise<void> {
  const updates = collect(replica, wanted, source, options);
  if (updates.length === 0) return;
  await replica.transact((txn) => {
    for (const update of updates) update.write(txn);
  });
}

function collect(
  replica: Replica,
  wanted: Wanted,
  source: OutcomeSource,
  options: OutcomeOptions,
): Update[] {
  const updates: Update[] = [];
  const put: Put = (table, uuid, values) => {
    const row = replica.rows(table).get(uuid);
    const changed = row && changedColumns(row, values);
    if (changed) updates.push({ write: (txn) => txn.update(table, uuid, changed) });
  };
  for (const want of wanted.bridges.values()) {
    const bridge = source.bridges.get(want.name);
    put("Bridge", want.row._uuid, bridgeValues(bridge));
    for (const port of want.ports.values()) {
      const bond = bridge?.bundleByName(port.name)?.bond;
      if (bond && port.row) {
        const mac = formatMac(bond.activeMac ?? new Uint8Array(6));
        put("Port", port.row._uuid, { bond_active_slave: mac });
      }
      for (const { row, name } of port.interfaces) {
        if (!row) continue;
        const counts = options.statistics || row.statistics.size === 0;
        put("Interface", row._uuid, interfaceValues(bridge, name, source, counts));
      }
    }
    putControllers(want, bridge, options, put);
    if (options.statistics || options.curCfg !== undefined) {
      putMirrors(replica, want, bridge, put);
    }
  }
  const { root } = wanted;
  if (root) {
    const { facts } = source;
    const { versions } = facts;
    put("Open_vSwitch", root._uuid, {
      ...(options.curCfg !== undefined && { cur_cfg: options.curCfg }),
      iface_types: facts.interfaceTypes,
      datapath_types: facts.datapathTypes(),
      dpdk_initialized: false,
      dpdk_version: "none",
      ...(versions && {
        ovs_version: versions.ovsVersion,
        db_version: versions.dbVersion,
        system_type: root.system_type ?? versions.systemType,
        system_version: root.system_version ?? versions.systemVersion,
      }),
    });
  }
  return updates;
}

function bridgeValues(bridge: Bridge | undefined): ColumnValues<"Bridge"> {
  if (!bridge) return { datapath_id: undefined, datapath_version: "" };
  return {
    datapath_id: formatDatapathId(bridge.datapathId),
    datapath_version: "<built-in>",
    status: new Map(),
  };
}

function interfaceValues(
  bridge: Bridge | undefined,
  name: string,
  source: OutcomeSource,
  counts: boolean,
): ColumnValues<"Interface"> {
  const port = bridge?.portByName(name);
  if (!bridge || !port) {
    return failedInterface(source.failures.get(name) ?? `could not set up ${name}`);
  }
  const values = { ...interfaceStatus(port), error: source.remarks.get(name) };
  if (!counts) return values;
  return {
    ...values,
    statistics: interfaceStatistics(port, bridge.portStats(port)),
  };
}

function putMirrors(
  replica: Replica,
  want: WantedBridge,
  bridge: Bridge | undefined,
  put: Put,
): void {
  for (const uuid of want.row.mirrors) {
    const name = replica.rows("Mirror").get(uuid)?.name;
    const stats = bridge?.mirrors.find((mirror) => mirror.name === name)?.stats;
    const statistics: ReadonlyMap<string, number> = stats
      ? new Map([["tx_packets", stats.packets], ["tx_bytes", stats.bytes]])
      : new Map();
    put("Mirror", uuid, { statistics });
  }
}

function putControllers(
  want: WantedBridge,
  bridge: Bridge | undefined,
  options: OutcomeOptions,
  put: Put,
): void {
  for (const row of want.controllers) {
    const now = bridge?.services.status(row.target) ??
      { connected: false, role: undefined, status: new Map<string, string>() };
    // Seconds tick on: they alone are no reason to write.
    const same = row.is_connected === now.connected && row.role === now.role &&
      row.status.get("state") === now.status.get("state") &&
      row.status.get("last_error") === now.status.get("last_error");
    if (same && !options.statistics) continue;
    const values: ColumnValues<"Controller"> = {
      is_connected: now.connected,
      role: now.role,
      status: now.status,
    };
    put("Controller", row._uuid, values);
  }
}
