/** The lab's part of the switch: one bridge, configured as any client would, by one transaction. */
import type { Replica } from "../../db/replica.ts";

/** Adds a bridge with its own internal port and one port for each device. */
export async function addBridge(
  replica: Replica,
  bridge: string,
  devices: readonly string[],
): Promise<void> {
  await replica.transact((txn) => {
    const addPort = (name: string, type: string) => {
      const iface = txn.insert("Interface", { name, type });
      return txn.insert("Port", { name, interfaces: [iface] });
    };
    const ports = [addPort(bridge, "internal"), ...devices.map((name) => addPort(name, ""))];
    const row = txn.insert("Bridge", { name: bridge, ports });
    const [root] = replica.rows("Open_vSwitch").keys();
    if (root === undefined) txn.insert("Open_vSwitch", { bridges: [row] });
    else txn.mutate("Open_vSwitch", root, "bridges", "insert", [row]);
  }, { comment: `solovs lab: add-br ${bridge}` });
}

/** Which of these interfaces are not in the switch, each with what the switch says about it. */
export function interfacesMissing(replica: Replica, names: readonly string[]): string[] {
  const rows = [...replica.rows("Interface").values()];
  return names.flatMap((name) => {
    const row = rows.find((candidate) => candidate.name === name);
    if (row === undefined) return [`${name}: not in the database`];
    const up = row.ofport !== undefined && row.ofport > 0;
    return up ? [] : [`${name}: ${row.error ?? "has no port number"}`];
  });
}
