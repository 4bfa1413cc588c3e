/** What datapaths there are, with their ports and counters: `dpctl/show`, `dpif/show` and the like. */
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { BridgePort, PortCounts } from "../bridge/ports.ts";
import { lookupsOf } from "../cache/lookups.ts";
import {
  datapathName,
  type DpctlContext,
  dpctlError,
  type DpctlOptions,
  ERRORS,
  namesDatapath,
} from "./request.ts";

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

/** `dpctl/show [-s] [dp…]`. */
export function showDatapaths(
  context: DpctlContext,
  options: DpctlOptions,
  names: readonly string[],
): string {
  const backend = context.backend();
  for (const name of names) {
    if (namesDatapath(backend, name)) continue;
    throw dpctlError(`opening datapath ${name} failed`, ERRORS.noDevice);
  }
  if (!backend) return "";
  const { hit, missed, lost } = lookupsOf(backend.datapath, backend.cache);
  const rows = [
    `${datapathName(backend)}:`,
    `  lookups: hit:${hit} missed:${missed} lost:${lost}`,
    `  flows: ${backend.cache.flows.size}`,
  ];
  for (const [number, name, type] of portsOf(context, backend)) {
    rows.push(`  port ${number}: ${name}${type === "system" ? "" : ` (${type})`}`);
    if (options.statistics) rows.push(...portCounts(context, backend, number));
  }
  return lines(rows);
}

/** Number, name and type of each port of the datapath, by number. */
function portsOf(context: DpctlContext, backend: Backend): [number, string, string][] {
  const types = new Map<number, string>();
  for (const bridge of context.bridges().values()) {
    for (const port of bridge.ports.values()) {
      if (port.dpPort !== undefined) types.set(port.dpPort, portType(port));
    }
  }
  const { datapath } = backend;
  const rows = [...datapath.ports().values()].map(
    ({ portNo, name, type }): [number, string, string] => [
      portNo,
      name,
      types.get(portNo) ?? (type === "device" ? "system" : type),
    ],
  );
  // Open vSwitch's dummy has a port of its own, which belongs to no bridge.
  if (datapath.type === "dummy" && !datapath.ports().has(0)) {
    rows.push([0, "ovs-dummy", "dummy-internal"]);
  }
  return rows.sort(([a], [b]) => a - b);
}

/** The type, with the configuration behind it. */
function portType(port: BridgePort): string {
  if (port.peerName !== undefined) return `${port.typeName}: peer=${port.peerName}`;
  const settings = [...port.settings()].map(([key, value]) => `${key}=${value}`).join(", ");
  return settings === "" ? port.typeName : `${port.typeName}: ${settings}`;
}

function portCounts(context: DpctlContext, backend: Backend, number: number): string[] {
  const owner = [...context.bridges().values()]
    .map((bridge) => [bridge, [...bridge.ports.values()].find((p) => p.dpPort === number)] as const)
    .find(([, port]) => port !== undefined);
  const counts = owner?.[1] ? owner[0].portStats(owner[1]) : backend.datapath.portStats(number);
  const own = number === 0 && counts === undefined;
  const text = (value: number | undefined): string =>
    value === undefined ? own ? "0" : "?" : String(value);
  const size = (value: number | undefined): string => value === undefined ? "" : humanSize(value);
  const c: Partial<PortCounts> = counts ?? {};
  return [
    `    RX packets:${text(c.rxPackets)} errors:${orUnknown(c.rxErrors)} ` +
    `dropped:${orUnknown(c.rxDropped)} overruns:${orUnknown(c.rxOverErrors)} ` +
    `frame:${orUnknown(c.rxFrameErrors)}`,
    `    TX packets:${text(c.txPackets)} errors:${orUnknown(c.txErrors)} ` +
    `dropped:${orUnknown(c.txDropped)} aborted:? carrier:?`,
    `    collisions:${orUnknown(c.collisions)}`,
    `    RX bytes:${text(c.rxBytes)}${size(c.rxBytes)}  ` +
    `TX bytes:${text(c.txBytes)}${size(c.txBytes)}`,
  ];
}

const orUnknown = (value: number | undefined): string => value === undefined ? "?" : String(value);

/** ` (1.5 KiB)` behind sizes that are larger than a byte's name is good for. */
function humanSize(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"] as const;
  for (let i = units.length - 1; i >= 0; i--) {
    const unit = 1024 ** (i + 1);
    if (bytes >= unit) return ` (${(bytes / unit).toFixed(1)} ${units[i]})`;
  }
  return "";
}

/** `dpif/show`: every port with both its numbers, OpenFlow's of its bridge and the datapath's. */
export function showBridges(context: DpctlContext): string {
  const backend = context.backend();
  if (!backend) return "";
  const { hit, missed } = lookupsOf(backend.datapath, backend.cache);
  const rows = [`${datapathName(backend)}: hit:${hit} missed:${missed}`];
  for (const [name, bridge] of sortedBridges(context)) {
    rows.push(`  ${name}:`);
    const ports = [...bridge.ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const port of ports) {
      rows.push(`    ${port.name} ${port.ofport}/${port.dpPort ?? "none"}: (${portType(port)})`);
    }
  }
  return lines(rows);
}

/** `dpif/dump-dps`: the bridges, each behind the type of its datapath. */
export function listBridges(context: DpctlContext): string {
  const backend = context.backend();
  if (!backend) return "";
  return lines(sortedBridges(context).map(([name]) => `${backend.datapath.type}@${name}`));
}

function sortedBridges(context: DpctlContext): [string, Bridge][] {
  return [...context.bridges()].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `dpctl/dump-dps`. */
export function listDatapaths(context: DpctlContext): string {
  const backend = context.backend();
  return backend ? `${datapathName(backend)}\n` : "";
}
