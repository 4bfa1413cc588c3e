/** The commands of `ovs-appctl` about the MAC tables of bridges (ovs-vswitchd(8), `fdb/…`). */
import { formatMac, parseMac } from "../../packet/address.ts";
import { formatPort } from "../../packet/text.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { macBytes, macNumber } from "../bridge/learning.ts";
import type { BundleModel } from "../pipeline/model.ts";
import { commandAdder, CommandError, type UnixctlServer } from "../unixctl.ts";

export function registerFdbCommands(
  server: UnixctlServer,
  bridges: () => ReadonlyMap<string, Bridge>,
): void {
  const add = commandAdder(server);
  const find = (name = ""): Bridge => {
    const bridge = bridges().get(name);
    if (!bridge) throw new CommandError("no such bridge");
    return bridge;
  };
  const some = (name: string | undefined): Iterable<Bridge> =>
    name === undefined ? bridges().values() : [find(name)];

  add("fdb/show", "bridge", [1, 1], ([name]) => show(find(name)));
  add("fdb/flush", "[bridge]", [0, 1], ([name]) => {
    for (const { macs } of some(name)) macs.flush();
    return "table successfully flushed";
  });
  add("fdb/add", "bridge port vlan mac", [4, 4], ([name, port = "", vlan = "", mac = ""]) => {
    return addStatic(find(name), port, vlanOf(vlan), macOf(mac));
  });
  add("fdb/del", "bridge vlan mac", [3, 3], ([name, vlan = "", mac = ""]) => {
    const { macs } = find(name);
    if (macs.removeStatic(vlanOf(vlan), macOf(mac))) return "";
    throw new CommandError("could not find static mac entry\n");
  });
  add("fdb/stats-show", "bridge", [1, 1], ([name = ""]) => statistics(name, find(name)));
  add("fdb/stats-clear", "[bridge]", [0, 1], ([name]) => {
    for (const { macs } of some(name)) {
      for (const key of Object.keys(macs.counters) as (keyof typeof macs.counters)[]) {
        macs.counters[key] = 0;
      }
    }
    return "statistics successfully cleared";
  });
}

/** A leading number, 16 bits of it, as atoi(3) would give it. */
const vlanOf = (text: string): number => Number(/^\s*\d+/.exec(text)?.[0] ?? 0) & 0xffff;

function macOf(text: string): number {
  const bytes = parseMac(text);
  if (!bytes) throw new CommandError("bad MAC address");
  return macNumber(bytes);
}

const portOf = ({ members: [first] }: BundleModel): string =>
  first ? formatPort(first.ofport) : "?";

function show(bridge: Bridge): string {
  const rows = [" port  VLAN  MAC                Age\n"];
  const now = bridge.clock.now();
  for (const { bundle, vlan, mac, seenMs, static: isStatic } of bridge.macs.entries()) {
    const seconds = Math.max(0, Math.floor((now - seenMs) / 1000));
    const age = isStatic ? "static" : String(seconds).padStart(3);
    const where = `${portOf(bundle).padStart(5)}  ${String(vlan).padStart(4)}`;
    rows.push(`${where}  ${formatMac(macBytes(mac))}  ${age}\n`);
  }
  return rows.join("");
}

function addStatic(bridge: Bridge, portName: string, vlan: number, mac: number): string {
  const port = bridge.portByName(portName);
  if (!port) throw new CommandError("software error, odp port is present but no ofp port");
  const old = bridge.macs.lookup(vlan, mac);
  bridge.macs.addStatic(vlan, mac, port.bundle);
  if (!old || (old.bundle.name === portName && old.static)) return "";
  const kind = old.static ? "static" : "dynamic";
  return `Overriding already existing ${kind} entry on ${portOf(old.bundle)}\n`;
}

function statistics(name: string, { macs }: Bridge): string {
  const { learned, expired, evicted, moved } = macs.counters;
  return `Statistics for bridge "${name}":\n` +
    `  Current/maximum MAC entries in the table: ${macs.size}/${macs.maxEntries}\n` +
    `  Current static MAC entries in the table : ${macs.staticEntries}\n` +
    `  Total number of learned MAC entries     : ${learned}\n` +
    `  Total number of expired MAC entries     : ${expired}\n` +
    `  Total number of evicted MAC entries     : ${evicted}\n` +
    `  Total number of port moved MAC entries  : ${moved}\n`;
}
