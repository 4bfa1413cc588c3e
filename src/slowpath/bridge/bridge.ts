/**
 * A bridge as it is: its ports, tables, learned addresses, OpenFlow connections and identity. The
 * reconciler makes it what the database wants; the pipeline reads it (BridgeModel); OpenFlow
 * connections read and change it (Switch).
 *
 * Every change that translation could see ends in `backend.changed()`, which has megaflows made
 * again. A bridge never touches the database.
 */
import type { Tls } from "../../db/tls/tls.ts";
import type { Conntrack } from "../../fastpath/conntrack/types.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { Device, Devices } from "../../fastpath/devices.ts";
import type { Logger } from "../../log/log.ts";
import type { Action } from "../../openflow/actions/types.ts";
import type { PortDescription } from "../../openflow/messages/types.ts";
import { PORTS } from "../../openflow/version.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import { type BondHost, Bonds } from "../bonds/bonds.ts";
import { type LivenessHost, type LivenessLogs, Sessions } from "../liveness/sessions.ts";
import type { PreparedPacketOut } from "../cache/upcalls.ts";
import type { Clock } from "../clock.ts";
import { Agents } from "../control/agents.ts";
import { Continuations } from "../control/continuations.ts";
import { KeptFlows } from "../control/kept-flows.ts";
import { usesTunnelField } from "../control/tlv-table.ts";
import { BUFFER_COUNT } from "../control/buffers.ts";
import type { MessageLog } from "../control/message-log.ts";
import { Services } from "../control/services.ts";
import type { FragmentMode, Switch, SwitchDescription } from "../control/switch.ts";
import { BridgeExport } from "../export/bridge-export.ts";
import { Snooping } from "../multicast/snooping.ts";
import type { FrozenState } from "../pipeline/frozen.ts";
import type {
  BundleModel,
  MirrorModel,
  PacketIn,
  PortModel,
  VlanConfig,
} from "../pipeline/model.ts";
import type { SamplingModel } from "../pipeline/sampling.ts";
import { queuesOf } from "../qos/port-queues.ts";
import { FlowTables } from "../pipeline/tables.ts";
import { lookTunnel, receiveEcn } from "../tunnels/metadata.ts";
import { decodeOptions, maskOptions, optionsOf } from "../tunnels/options.ts";
import { hasTunnel } from "../tunnels/ports.ts";
import type { Backend } from "./backend.ts";
import { DEFAULT_DESCRIPTION } from "./description.ts";
import type { DpFeatures } from "./features.ts";
import { MacTable } from "./learning.ts";
import { OfportAllocator } from "./ofports.ts";
import { BridgePort, Bundle, type PortCounts, type PortKind, withConfigBits } from "./ports.ts";
import { transmitActions } from "./transmit.ts";
import { sameVlan } from "./vlan.ts";

/** Where it is told what protocols do that the switch speaks itself. */
export interface ProtocolLogs extends LivenessLogs {
  readonly bond: Logger;
  readonly lacp: Logger;
}

export interface BridgeOptions {
  readonly name: string;
  readonly backend: Backend;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where it is told what OpenFlow connections ask for; `log` unless given. */
  readonly requestLog?: Logger | undefined;
  readonly runDir: string;
  /** For what outlives the process; undefined: nothing can. */
  readonly stateDir?: string | undefined;
  /** For controllers over TLS. */
  readonly tls?: Tls | undefined;
  /** `log` for all of them unless given. */
  readonly protocolLogs?: ProtocolLogs | undefined;
  /** Where OpenFlow messages are told in words. */
  readonly messages?: MessageLog | undefined;
  /** Controllers' sockets may be in the run directory only; true unless set. */
  readonly selfConfined?: boolean | undefined;
  /** Packets that a connection may have waiting; as many as there can be unless set. */
  readonly packetBuffers?: number | undefined;
  /** `datapath_type=netdev`: this process forwards its packets, also where the kernel could. */
  readonly inUserspace?: boolean;
  /** An address that was learned behind a port of this bridge is to be forgotten by the others. */
  readonly forgetElsewhere?: (vlan: number, mac: number) => void;
  /** Something that the database shows may have changed. */
  readonly statusChanged: () => void;
}

export interface AttachSpec {
  readonly name: string;
  readonly kind: PortKind;
  readonly typeName?: string;
  readonly bundle: string;
  readonly awaitsLacp?: boolean;
  readonly awaitsSessions?: boolean;
  readonly dpPort: number | undefined;
  readonly ofport: number;
  readonly device: Device | undefined;
  readonly policed?: boolean;
  readonly peerName?: string | undefined;
  readonly mac?: Uint8Array;
}

export interface BridgeSettings {
  readonly forwardBpdu: boolean;
  readonly standardPush: boolean;
  readonly description: SwitchDescription;
  readonly tableNames: ReadonlyMap<number, string>;
}

export class Bridge implements Switch, BondHost, LivenessHost {
  readonly name: string;
  readonly runDir: string;
  readonly clock: Clock;
  readonly tables: FlowTables;
  readonly macs: MacTable<BundleModel>;
  readonly ports: ReadonlyMap<number, BridgePort>;
  readonly ofports: OfportAllocator;
  readonly agents: Agents;
  readonly services: Services;
  readonly continuations: Continuations;
  readonly keptFlows: KeptFlows;
  readonly exports: BridgeExport;
  readonly backend: Backend;
  readonly bonds: Bonds;
  readonly liveness: Sessions;
  readonly snooping: Snooping;
  readonly packetBuffers: number;
  readonly inUserspace: boolean;
  datapathId = 0n;
  /** The one that the log has told of. */
  toldDatapathId = 0n;
  mac = new Uint8Array(6);
  description = DEFAULT_DESCRIPTION;
  forwardBpdu = false;
  standardPush = false;
  fragMode: FragmentMode = "normal";
  mirrors: readonly MirrorModel[] = [];
  private tableNames: ReadonlyMap<number, string> = new Map();
  /** Names that controllers gave; the database's come first. */
  private readonly givenNames = new Map<number, string>();
  private readonly byNumber = new Map<number, BridgePort>();
  private readonly byName = new Map<string, BridgePort>();
  private readonly bundlesByName = new Map<string, Bundle>();
  private readonly ends: readonly (() => void)[];

  constructor(private readonly options: BridgeOptions) {
    const { name, clock, log, runDir, backend, statusChanged } = options;
    this.name = name;
    this.runDir = runDir;
    this.clock = clock;
    this.backend = backend;
    this.packetBuffers = options.packetBuffers ?? BUFFER_COUNT;
    this.inUserspace = options.inUserspace ?? false;
    this.tables = new FlowTables(clock);
    this.macs = new MacTable<BundleModel>(clock);
    this.ofports = new OfportAllocator(clock);
    this.ports = this.byNumber;
    this.agents = new Agents(
      () => backend.changed(),
      (index) => usesTunnelField(this.tables, index),
      () => {
        this.keptFlows.tunnelOptionsChanged();
        backend.changed();
      },
    );
    this.keptFlows = new KeptFlows({
      bridge: name,
      tables: this.tables,
      tlvTable: this.agents.tlvTable,
      clock,
      log,
      stateDir: options.stateDir,
    });
    this.continuations = new Continuations(this, backend.cache, this.agents.tlvTable);
    this.ends = [
      backend.cache.onRound(() => this.bonds.counted()),
      this.tables.listen((changes) => {
        this.agents.tablesChanged(this.tables, changes, clock.now());
      }),
    ];
    this.services = new Services({
      bridge: this,
      agents: this.agents,
      network: backend.tunnels.network,
      devices: options.devices,
      inBandChanged: () => backend.changed(),
      clock,
      log,
      requestLog: options.requestLog ?? log,
      runDir,
      selfConfined: options.selfConfined ?? true,
      messages: options.messages,
      tls: options.tls,
      changed: statusChanged,
    });
    this.exports = new BridgeExport(this, backend.exports, clock, log, () => backend.changed());
    backend.cache.addBridge(this);
    const logs = options.protocolLogs ?? { bond: log, lacp: log, bfd: log, cfm: log };
    this.bonds = new Bonds(this, clock, logs.bond, logs.lacp);
    this.liveness = new Sessions(this, clock, logs);
    this.snooping = new Snooping(clock, () => backend.changed());
  }

  get bundles(): Iterable<Bundle> {
    return this.bundlesByName.values();
  }

  bundleByName(name: string): Bundle | undefined {
    return this.bundlesByName.get(name);
  }

  portByName(name: string): BridgePort | undefined {
    return this.byName.get(name);
  }

  tableName(table: number): string {
    return this.tableNames.get(table) ?? this.givenNames.get(table) ?? "";
  }

  setTableName(table: number, name: string): boolean {
    const configured = this.tableNames.get(table);
    if (configured !== undefined) return configured === name;
    if (name === "") this.givenNames.delete(table);
    else this.givenNames.set(table, name);
    return true;
  }

  get bundleIdleMs(): number {
    return this.backend.bundleIdleMs;
  }

  get conntrack(): Conntrack {
    return this.backend.datapath.conntrack;
  }

  // Ports

  attach(spec: AttachSpec): BridgePort {
    let bundle = this.bundlesByName.get(spec.bundle);
    if (!bundle) {
      bundle = new Bundle(spec.bundle);
      this.bundlesByName.set(spec.bundle, bundle);
      bundle.awaitsLacp = spec.awaitsLacp === true;
    }
    const port = new BridgePort({
      bridge: this,
      name: spec.name,
      kind: spec.kind,
      typeName: spec.typeName ?? (spec.kind === "device" ? "system" : spec.kind),
      ofport: spec.ofport,
      dpPort: spec.dpPort,
      bundle,
      createdAt: this.clock.now(),
      ...(spec.mac && { mac: spec.mac }),
    });
    port.peerName = spec.peerName;
    port.policed = spec.policed ?? false;
    port.awaitsSessions = spec.awaitsSessions === true;
    if (spec.device) port.setDevice(spec.device);
    const { maker } = this.options.devices;
    if (!port.isVirtual && maker) {
      port.queues = maker.queues;
      port.settings = () => maker.settings(port.name);
    }
    port.qos = queuesOf(port, this.options.devices.shaper, this.backend.datapath.traffic);
    bundle.members.push(port);
    this.byNumber.set(port.ofport, port);
    this.byName.set(port.name, port);
    this.backend.attach(port);
    this.agents.portStatus("add", port.describe());
    this.refresh(port);
    return port;
  }

  detach(port: BridgePort): void {
    const description = port.describe();
    port.qos?.release();
    this.byNumber.delete(port.ofport);
    this.byName.delete(port.name);
    if (port.ofport !== PORTS.LOCAL) this.ofports.release(port.ofport);
    const { bundle } = port;
    bundle.members.splice(bundle.members.indexOf(port), 1);
    this.bonds.detached(bundle, port);
    this.liveness.detached(port);
    if (bundle.members.length === 0) {
      this.bundlesByName.delete(bundle.name);
      this.snooping.detached(bundle);
      // Other bridges have learned these addresses through this one.
      this.macs.flushBundle(bundle, this.options.forgetElsewhere);
    } else this.macs.flushBundle(bundle);
    this.backend.detach(port);
    this.agents.portStatus("delete", description);
  }

  /** A device changed: link, address, speed. */
  deviceChanged(port: BridgePort, device: Device): void {
    const before = port.describe();
    if (!port.setDevice(device)) return;
    if (!port.bundle.members.some(({ linkUp }) => linkUp)) this.macs.flushBundle(port.bundle);
    this.portChanged(port, before);
    this.refresh(port);
    if (port.bundle.bond || port.bundle.lacp) this.bonds.run();
  }

  /** As in Open vSwitch, a port is told of first, and that it is live a moment later. */
  refresh(port: BridgePort): void {
    if (port.enabled === port.mayEnable) return;
    const before = port.describe();
    port.enabled = port.mayEnable;
    this.portChanged(port, before);
  }

  configureBundle(name: string, vlan: VlanConfig, isProtected: boolean): void {
    const bundle = this.bundlesByName.get(name);
    if (!bundle || (sameVlan(bundle.vlan, vlan) && bundle.protected === isProtected)) return;
    bundle.vlan = vlan;
    bundle.protected = isProtected;
    this.macs.flushBundle(bundle);
    this.snooping.flushBundle(bundle);
    this.backend.changed();
  }

  /** What is selected and where it goes; the order decides nothing. */
  configureMirrors(mirrors: readonly MirrorModel[]): void {
    const { mirrors: old } = this;
    if (old.length === mirrors.length && mirrors.every((each, i) => each === old[i])) return;
    this.mirrors = mirrors;
    this.backend.changed();
  }

  configure(settings: BridgeSettings): void {
    this.description = settings.description;
    this.tableNames = settings.tableNames;
    const { forwardBpdu, standardPush } = settings;
    if (this.forwardBpdu === forwardBpdu && this.standardPush === standardPush) return;
    this.forwardBpdu = forwardBpdu;
    this.standardPush = standardPush;
    this.backend.changed();
  }

  // For the protocols that the switch speaks itself

  transmit(port: PortModel, frame: Uint8Array, oam = false): void {
    this.preparePacketOut({ data: frame }, PORTS.NONE, transmitActions(port, oam)).send();
  }

  rxPackets(port: BridgePort): number {
    return (port.patchStats ?? this.portStats(port))?.rxPackets ?? 0;
  }

  livenessChanged(port: BridgePort): void {
    this.refresh(port);
    if (port.bundle.bond || port.bundle.lacp) this.bonds.happened();
  }

  readonly bondsChanged = () => this.backend.changed();
  readonly statusChanged = () => this.options.statusChanged();

  reserve(state: FrozenState): number {
    return this.backend.cache.reserve(state);
  }

  release(recircId: number): void {
    this.backend.cache.release(recircId);
  }

  private portChanged(port: BridgePort, before: PortDescription, source?: object): void {
    this.backend.changed();
    this.agents.portModified(before, port.describe(), source);
    this.options.statusChanged();
  }

  zoneTimeouts(zone: number): number | undefined {
    return this.backend.zonePolicy(this.inUserspace, zone);
  }

  get inBand(): boolean {
    return this.services.isInBand;
  }

  // For OpenFlow connections

  portStats(port: BridgePort): PortCounts | undefined {
    if (port.dpPort === undefined) return undefined;
    const made = this.options.devices.maker?.stats(port.name);
    if (made) return made;
    const counted = this.backend.datapath.portStats(port.dpPort);
    return counted && { ...counted, ...this.options.devices.counters(port.name) };
  }

  setFragmentMode(mode: FragmentMode): void {
    this.fragMode = mode;
    this.backend.changed();
  }

  modifyPort(port: BridgePort, bits: number, mask: number, source: object): void {
    const { devices, log } = this.options;
    const before = port.describe();
    const old = port.config;
    const config = withConfigBits(old, bits, mask);
    if (!port.device && !port.isVirtual) config.portDown = old.portDown;
    const changed = (Object.keys(config) as (keyof typeof config)[])
      .some((name) => config[name] !== old[name]);
    if (!changed) return;
    port.config = config;
    this.portChanged(port, before, source);
    this.refresh(port);
    if (config.portDown === old.portDown || port.isVirtual) return;
    devices.setUp(port.name, !config.portDown).catch((error: unknown) => {
      log.warn(`${this.name}: port-mod of ${port.name}: ${String(error)}`);
      if (this.byName.get(port.name) !== port || !port.device) return;
      const refused = port.describe();
      port.config = { ...port.config, portDown: !port.device.adminUp };
      this.portChanged(port, refused);
      this.refresh(port);
    });
  }

  preparePacketOut(
    packet: Packet,
    inPort: number,
    actions: readonly Action[],
    metadata?: Match,
  ): PreparedPacketOut {
    return this.backend.packetOut(this, packet, inPort, actions, metadata);
  }

  hasController(): boolean {
    return [...this.agents].some(({ kind }) => kind === "primary");
  }

  settle(): Promise<void> {
    this.keptFlows.flush();
    return this.backend.settle();
  }

  /** True if the bridge can stay what it is under this `datapath_type`. */
  fits(datapathType: string): boolean {
    return this.backend.accepts(datapathType) && this.inUserspace === (datapathType === "netdev");
  }

  // For the pipeline

  readonly queuePriority = (queue: number) => this.backend.queuePriority(queue);

  get sampling(): SamplingModel | undefined {
    return this.exports.sampling;
  }

  get features(): DpFeatures {
    return this.backend.features;
  }

  wantsMisses(): boolean {
    return this.agents.wantsMisses;
  }

  readonly tunnelOptions = {
    place: (index: number) => {
      const entry = this.agents.tlvTable.get(index);
      return entry && { offset: entry.offset, length: entry.optionLength };
    },
  };

  receiveTunnel(key: FlowKey, mask: FlowKey): boolean {
    if (!hasTunnel(key)) return true;
    lookTunnel(key, mask);
    decodeOptions(this.agents.tlvTable, optionsOf(key), key);
    return receiveEcn(key);
  }

  finishTunnel(original: FlowKey, mask: FlowKey): void {
    maskOptions(this.agents.tlvTable, optionsOf(original), mask);
  }

  packetIn(packetIn: PacketIn): void {
    this.agents.packetIn(packetIn);
  }

  /** Closes the connections and empties the tables. Ports must have been detached. */
  close(): void {
    this.bonds.close();
    this.liveness.close();
    this.snooping.close();
    this.keptFlows.close();
    this.services.close();
    for (const end of this.ends) end();
    this.tables.flush();
    this.macs.flush();
    this.backend.cache.removeBridge(this);
    this.exports.close();
  }
}
