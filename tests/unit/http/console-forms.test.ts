/** What the console's forms for new ports ask of the API. */
import { expect, test } from "bun:test";
import {
  bondColumns,
  NEW_BOND,
  NEW_TUNNEL,
  tunnelColumns,
  vlanColumns,
} from "../../../src/http/console/app/core/port-columns.ts";

test.each(
  [
    ["all", "", "", {}],
    ["access", "7", "9", { tag: 7 }],
    ["trunk", "7", "10, 20,", { trunks: [10, 20] }],
    ["native-tagged", "7", "10", { tag: 7, trunks: [10], vlan_mode: "native-tagged" }],
    ["native-untagged", "7", "", { tag: 7, vlan_mode: "native-untagged" }],
    ["dot1q-tunnel", "7", "10", { tag: 7, cvlans: [10], vlan_mode: "dot1q-tunnel" }],
  ] as const,
)("VLANs: %s", (mode, tag, trunks, columns) => {
  expect(vlanColumns({ mode, tag, trunks })).toEqual(columns);
});

test("a bond, with LACP and without", () => {
  const members = "eth1, eth2";
  const interfaces = [{ name: "eth1" }, { name: "eth2" }];
  expect(bondColumns({ ...NEW_BOND, members })).toEqual({ interfaces, bond_mode: "active-backup" });
  expect(bondColumns({ members, mode: "balance-tcp", lacp: "active", fast: true })).toEqual({
    interfaces,
    bond_mode: "balance-tcp",
    lacp: "active",
    other_config: { "lacp-time": "fast" },
  });
});

test("a tunnel, with options of its own", () => {
  const more = [["dst_port", "8472"], ["", ""]] as const;
  expect(tunnelColumns({ ...NEW_TUNNEL, remote: "flow", key: "flow", more })).toEqual({
    type: "vxlan",
    options: { remote_ip: "flow", key: "flow", dst_port: "8472" },
  });
});
