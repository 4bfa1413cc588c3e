/** A made-up switch for the HTTP tests: what the API reads, as plain data. */
import type { Replica, Row, TableName, Uuid } from "../../../src/db/replica.ts";
import type { HttpSource } from "../../../src/http/source.ts";

type Tables = Readonly<Record<string, Readonly<Record<Uuid, Readonly<Record<string, unknown>>>>>>;

/** Rows with the columns that the API reads; the others are not looked at. */
export function replicaOf(tables: Tables): Pick<Replica, "rows"> {
  return {
    rows: <T extends TableName>(name: T) =>
      new Map(Object.entries(tables[name] ?? {})) as unknown as ReadonlyMap<Uuid, Row<T>>,
  };
}

const device = { options: new Map(), statistics: new Map(), type: "" };

export const TABLES: Tables = {
  Open_vSwitch: { o: { next_cfg: 4, cur_cfg: 3, ovs_version: "3.1.0" } },
  Bridge: {
    b2: {
      name: "br1",
      ports: [],
      controller: [],
      protocols: [],
      datapath_type: "",
    },
    b1: {
      name: "br0",
      ports: ["p2", "p1", "gone"],
      controller: ["c1"],
      protocols: ["OpenFlow13"],
      datapath_type: "netdev",
      datapath_id: "0000020000000001",
      fail_mode: "secure",
    },
  },
  Controller: { c1: { target: "tcp:127.0.0.1:6633", is_connected: false } },
  Port: {
    p1: { name: "eth0", interfaces: ["i1"], trunks: [], tag: 5 },
    p2: { name: "<b>x</b>", interfaces: ["i2"], trunks: [1, 2], vlan_mode: "trunk" },
  },
  Interface: {
    i1: {
      ...device,
      name: "eth0",
      ofport: 1,
      link_state: "up",
      admin_state: "up",
      mac_in_use: "02:00:00:00:00:01",
      mtu: 1500,
      statistics: new Map([["rx_packets", 7], ["rx_bytes", 700]]),
    },
    i2: { ...device, name: "<b>x</b>", ofport: -1, error: "no device named <b>x</b>" },
  },
};

export function sourceOf(tables: Tables = TABLES): HttpSource {
  return {
    version: "0.1.0",
    uptimeMs: () => 61_500,
    replica: replicaOf(tables),
    vswitch: {
      status: () => ({ datapathType: "netdev", bridges: 2, ports: 2, counters: { miss: 3 } }),
      bridges: () => [{
        name: "br0",
        datapathId: "0000020000000001",
        failMode: "secure",
        ports: [],
        flows: 12,
        controllers: [{ target: "tcp:127.0.0.1:6633", connected: true }],
      }],
    },
  };
}
