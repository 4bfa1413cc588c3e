/**
 * What the database wants, read from the replica in one go: bridges with their ports, interfaces and
 * controllers resolved. Nothing here knows what exists.
 */
import type { Replica, Row } from "../../db/replica.ts";

export interface WantedPort {
  /** Undefined for the LOCAL port of a bridge whose record has none. */
  readonly row: Row<"Port"> | undefined;
  readonly name: string;
  readonly interfaces: readonly WantedInterface[];
}

export interface WantedInterface {
  /** Undefined for the interface of such a LOCAL port. */
  readonly row: Row<"Interface"> | undefined;
  readonly name: string;
  /** `internal` for the interface named as its bridge, whatever its record says. */
  readonly type: string;
}

export interface WantedBridge {
  readonly row: Row<"Bridge">;
  readonly name: string;
  readonly ports: ReadonlyMap<string, WantedPort>;
  readonly controllers: readonly Row<"Controller">[];
  /** What is odd about the record, for the log. */
  readonly problems: readonly string[];
}

export interface Wanted {
  readonly root: Row<"Open_vSwitch"> | undefined;
  readonly bridges: ReadonlyMap<string, WantedBridge>;
  /** What is odd about records that are left alone, for the log. */
  readonly problems: readonly string[];
}

export function readWanted(replica: Replica): Wanted {
  const root: Row<"Open_vSwitch"> | undefined = replica.rows("Open_vSwitch").values().next().value;
  const bridges = new Map<string, WantedBridge>();
  const rows = replica.rows("Bridge");
  const problems: string[] = [];
  for (const uuid of root?.bridges ?? []) {
    const row = rows.get(uuid);
    if (!row) continue;
    // Sockets are named after bridges: nobody who can write to the database chooses their directory.
    if (/[/\\]/.test(row.name)) problems.push(`ignoring bridge with invalid name '${row.name}'`);
    else bridges.set(row.name, readBridge(replica, row));
  }
  return { root, bridges, problems };
}

function readBridge(replica: Replica, row: Row<"Bridge">): WantedBridge {
  const problems: string[] = [];
  const ports = new Map<string, WantedPort>();
  for (const uuid of row.ports) {
    const port = replica.rows("Port").get(uuid);
    if (port) ports.set(port.name, readPort(replica, row.name, port));
  }
  if (!ports.has(row.name)) {
    problems.push(`no port named ${row.name}, synthesizing one`);
    const iface = { row: undefined, name: row.name, type: "internal" };
    ports.set(row.name, { row: undefined, name: row.name, interfaces: [iface] });
  }
  const controllers: Row<"Controller">[] = [];
  for (const uuid of row.controller) {
    const controller = replica.rows("Controller").get(uuid);
    if (controller) controllers.push(controller);
  }
  return { row, name: row.name, ports, controllers, problems };
}

function readPort(replica: Replica, bridge: string, row: Row<"Port">): WantedPort {
  const interfaces: WantedInterface[] = [];
  for (const uuid of row.interfaces) {
    const iface = replica.rows("Interface").get(uuid);
    if (!iface) continue;
    const type = iface.name === bridge ? "internal" : iface.type;
    interfaces.push({ row: iface, name: iface.name, type });
  }
  interfaces.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { row, name: row.name, interfaces };
}

/** Every interface of a bridge with its port. */
export function* interfacesOf(want: WantedBridge): Iterable<[WantedInterface, WantedPort]> {
  for (const port of want.ports.values()) {
    for (const iface of port.interfaces) yield [iface, port];
  }
}

export function findInterface(want: WantedBridge, name: string): WantedInterface | undefined {
  for (const [iface] of interfacesOf(want)) if (iface.name === name) return iface;
  return undefined;
}
