/**
 * Bridges, ports and interfaces by name, as the commands about them see the database.
 *
 * A *fake bridge* is a port of a real one, on a VLAN, that stands for a bridge of its own: ports of
 * the real bridge with that VLAN as their tag belong to it. Bridges, ports and interfaces share no
 * name, except that the local port and its interface bear the bridge's.
 *
 * The model is read from the draft when first needed, and again after a command has changed rows
 * behind its back (`invalidate`). What it looks at is verified, so that a decision made by it fails
 * if another client changed the same.
 */
import type { Draft, DraftRow } from "../../../db/client/draft.ts";
import type { ClientLog } from "../client-log.ts";
import { Fatal } from "../fatal.ts";
import type { Wanted } from "./command.ts";

export interface ModelBridge {
  readonly name: string;
  /** Undefined for a fake bridge. */
  readonly row: DraftRow<"Bridge"> | undefined;
  readonly ports: Set<ModelPort>;
  /** The real bridge of a fake one. */
  readonly parent: ModelBridge | undefined;
  /** 0 for a real bridge, and for a fake one that is on no VLAN. */
  readonly vlan: number;
  /** Fake bridges by VLAN. */
  readonly children: Map<number, ModelBridge>;
}

export interface ModelPort {
  readonly row: DraftRow<"Port">;
  readonly bridge: ModelBridge;
  readonly interfaces: Set<ModelInterface>;
}

export interface ModelInterface {
  readonly row: DraftRow<"Interface">;
  readonly port: ModelPort;
}

/** Asks for what the model is made of. */
export function wantModel(wanted: Wanted): void {
  wanted.add("Open_vSwitch", "bridges");
  wanted.add("Bridge", "name", "controller", "fail_mode", "ports");
  wanted.add("Port", "name", "fake_bridge", "tag", "interfaces");
  wanted.add("Interface", "name", "ofport", "error");
}

/** The row of the bridge itself, or of the real one that a fake one is part of. */
export function realRow(bridge: ModelBridge): DraftRow<"Bridge"> {
  const row = (bridge.parent ?? bridge).row;
  if (row === undefined) throw new Error(`bridge ${bridge.name} has neither row nor parent`);
  return row;
}

const fakeVlan = (port: DraftRow<"Port">): number | undefined =>
  port.get("fake_bridge") ? port.get("tag") : undefined;

export class BridgeModel {
  readonly bridges = new Map<string, ModelBridge>();
  readonly ports = new Map<string, ModelPort>();
  readonly interfaces = new Map<string, ModelInterface>();
  private valid = false;
  private verified = false;

  constructor(
    private readonly draft: Draft,
    private readonly root: DraftRow<"Open_vSwitch">,
    private readonly log: ClientLog,
  ) {}

  invalidate(): void {
    this.valid = false;
  }

  /** Reads the draft, if it was not read since it last changed. */
  populate(): this {
    if (this.valid) return this;
    this.valid = true;
    for (const map of [this.bridges, this.ports, this.interfaces]) map.clear();
    const rows = this.draft.resolve("Bridge", this.root.get("bridges"));
    for (const row of rows) {
      const bridge = this.addBridge(row.get("name"), row);
      for (const port of this.draft.resolve("Port", row.get("ports"))) {
        const vlan = fakeVlan(port);
        const name = port.get("name");
        if (vlan === undefined || this.bridges.has(name)) continue;
        this.addBridge(name, undefined, bridge, vlan);
      }
    }
    for (const row of rows) {
      const bridge = this.bridges.get(row.get("name"));
      if (bridge?.row !== row) continue;
      for (const port of this.draft.resolve("Port", row.get("ports"))) this.readPort(bridge, port);
    }
    return this;
  }

  private readPort(bridge: ModelBridge, row: DraftRow<"Port">): void {
    const name = row.get("name");
    const known = this.ports.get(name);
    if (known !== undefined) {
      this.warn(
        `${name}: port is in multiple bridges (${bridge.name} and ${known.bridge.name})`,
      );
      return;
    }
    const port = this.addPort(bridge, row);
    for (const iface of this.draft.resolve("Interface", row.get("interfaces"))) {
      const other = this.interfaces.get(iface.get("name"));
      if (other === undefined) {
        this.addInterface(port, iface);
        continue;
      }
      const ports = `${other.port.row.get("name")} and ${name}`;
      this.warn(`${iface.get("name")}: interface is in multiple ports (${ports})`);
    }
  }

  private warn(message: string): void {
    this.log.log("vsctl", "warn", message);
  }

  addBridge(
    name: string,
    row: DraftRow<"Bridge"> | undefined,
    parent?: ModelBridge,
    vlan = 0,
  ): ModelBridge {
    const bridge = { name, row, ports: new Set<ModelPort>(), parent, vlan, children: new Map() };
    const conflict = parent?.children.get(vlan);
    if (parent !== undefined && conflict !== undefined) {
      this.warn(
        `${parent.name}: bridge has multiple VLAN bridges (${name} and ${conflict.name}) ` +
          `for VLAN ${vlan}, but only one is allowed`,
      );
    } else parent?.children.set(vlan, bridge);
    this.bridges.set(name, bridge);
    return bridge;
  }

  addPort(bridge: ModelBridge, row: DraftRow<"Port">): ModelPort {
    const tag = row.get("tag");
    const owner = tag === undefined ? bridge : bridge.children.get(tag) ?? bridge;
    const port: ModelPort = { row, bridge: owner, interfaces: new Set() };
    owner.ports.add(port);
    this.ports.set(row.get("name"), port);
    return port;
  }

  addInterface(port: ModelPort, row: DraftRow<"Interface">): void {
    const iface = { row, port };
    port.interfaces.add(iface);
    this.interfaces.set(row.get("name"), iface);
  }

  removeInterface(iface: ModelInterface): void {
    iface.port.interfaces.delete(iface);
    this.interfaces.delete(iface.row.get("name"));
    iface.row.delete();
  }

  removePort(port: ModelPort): void {
    const bridge = realRow(port.bridge);
    bridge.set("ports", bridge.get("ports").filter((uuid) => uuid !== port.row.uuid));
    for (const iface of port.interfaces) this.removeInterface(iface);
    port.bridge.ports.delete(port);
    this.ports.delete(port.row.get("name"));
    port.row.delete();
  }

  /** With its fake bridges and all ports. */
  removeBridge(bridge: ModelBridge): void {
    for (const child of bridge.children.values()) this.removeBridge(child);
    for (const port of bridge.ports) this.removePort(port);
    bridge.parent?.children.delete(bridge.vlan);
    this.bridges.delete(bridge.name);
    const { row } = bridge;
    if (row === undefined) return;
    for (const collectors of this.draft.rows("Flow_Sample_Collector_Set")) {
      if (collectors.get("bridge") === row.uuid) collectors.delete();
    }
    this.root.set("bridges", this.root.get("bridges").filter((uuid) => uuid !== row.uuid));
    row.delete();
  }

  /** That no bridge, port or interface appears or goes meanwhile. */
  verifyPorts(): void {
    if (this.verified) return;
    this.verified = true;
    this.root.verifyColumns("bridges");
    for (const bridge of this.draft.rows("Bridge")) bridge.verifyColumns("ports");
    for (const port of this.draft.rows("Port")) port.verifyColumns("interfaces");
  }

  bridge(name: string): ModelBridge | undefined {
    const bridge = this.bridges.get(name);
    this.root.verifyColumns("bridges");
    return bridge;
  }

  /** Throws `Fatal` if there is none. */
  theBridge(name: string): ModelBridge {
    const bridge = this.bridge(name);
    if (bridge === undefined) throw new Fatal(`no bridge named ${name}`);
    return bridge;
  }

  /** Throws `Fatal` if there is none, or it is a fake one. */
  theRealBridge(name: string): DraftRow<"Bridge"> {
    const bridge = this.theBridge(name);
    if (bridge.parent !== undefined) throw new Fatal(`${name} is a fake bridge`);
    return realRow(bridge);
  }

  /** A port that is not the local port of its bridge. */
  port(name: string): ModelPort | undefined {
    const port = this.ports.get(name);
    this.verifyPorts();
    return port?.bridge.name === name ? undefined : port;
  }

  /** Throws `Fatal` if there is none. */
  thePort(name: string): ModelPort {
    const port = this.port(name);
    if (port === undefined) throw new Fatal(`no port named ${name}`);
    return port;
  }

  /** An interface that is not the local one of its bridge. */
  interface(name: string): ModelInterface | undefined {
    const iface = this.interfaces.get(name);
    this.verifyPorts();
    return iface?.port.bridge.name === name ? undefined : iface;
  }

  /** Throws `Fatal` if there is none. */
  theInterface(name: string): ModelInterface {
    const iface = this.interface(name);
    if (iface === undefined) throw new Fatal(`no interface named ${name}`);
    return iface;
  }

  /** Throws `Fatal`, beginning with `problem`, if anything has this name already. */
  checkConflicts(name: string, problem: string): void {
    this.verifyPorts();
    if (this.bridges.has(name)) {
      throw new Fatal(`${problem} because a bridge named ${name} already exists`);
    }
    const port = this.ports.get(name);
    if (port !== undefined) {
      throw new Fatal(
        `${problem} because a port named ${name} already exists on bridge ${port.bridge.name}`,
      );
    }
    const iface = this.interfaces.get(name);
    if (iface !== undefined) {
      throw new Fatal(
        `${problem} because an interface named ${name} already exists ` +
          `on bridge ${iface.port.bridge.name}`,
      );
    }
  }
}
