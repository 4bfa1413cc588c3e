/**
 * What a datapath has in the kernel, and what of it outlives the process.
 *
 *     a process before          this one
 *     main program ─ its flows  adopted array, ports' links and devices; flows of its own, in maps of
 *     entry programs            its own, are filled; then `takeOver`: one write, and they are in force
 *
 * Until `takeOver` the old main program forwards by the old flows. Nothing of it is changed meanwhile:
 * new action programs go into the other half of the slots.
 */
import { loadTcProgram } from "../../linux/bpf-program.ts";
import type { TcAttachment } from "../../linux/bpf.ts";
import { close, ifNameToIndex, SystemError } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import {
  DatapathError,
  type DpPort,
  type DpPortSpec,
  type DpPortType,
  type InheritedFlow,
} from "../datapath.ts";
import type { SharedConnections } from "../conntrack/kernel-maps.ts";
import type { KernelSide, ProgramOpening, Punts } from "../punts.ts";
import { MAX_FLOWS } from "../userspace/shared.ts";
import type { PortTarget } from "./action-plan.ts";
import { Connections } from "./connections.ts";
import { KernelFlows } from "./kernel-flows.ts";
import { KeptFlows } from "./kept-flows.ts";
import { assembleEntry } from "./main-program.ts";
import { KernelMeters } from "./kernel-meters.ts";
import { closeMaps, type DatapathMaps, MAX_KERNEL_PORTS } from "./maps.ts";
import type { PinnedPort, PinnedState, Pins } from "./pins.ts";
import { PortRecords } from "./port-records.ts";
import type { PuntDevice } from "./punt-device.ts";
import { machineShards } from "./shards.ts";
import { releasePort } from "./sweep.ts";
import { tryTunnelMetadata, tunnelTargetOf } from "./tunnel-devices.ts";
import { assembleTunnelEntry } from "./tunnel-entry.ts";

/** After so long no packet is in a program that was replaced. */
const ACCOUNT_MS = 50;

/** Files have no device; a tunnel has one where the kernel has its kind (tunnel-devices.ts). */
export const hasHook = (type: DpPortType): type is "device" | "internal" | "tunnel" =>
  type !== "pcap";

export interface KernelPartsOptions {
  readonly maps: DatapathMaps;
  readonly device: PuntDevice;
  readonly logger: Logger;
  /** Where things are pinned; absent: nothing outlives the process. */
  readonly pins?: Pins | undefined;
  readonly clsact: boolean;
  readonly alwaysExact?: boolean | undefined;
  /** What a process before left. */
  readonly adopted?: PinnedState | undefined;
  /** Its flows, or at least where their programs are. */
  readonly kept?: KeptFlows | { readonly half: number };
}

export class KernelParts implements KernelSide {
  readonly ports: PortRecords;
  readonly meters: KernelMeters;
  readonly flows: KernelFlows;
  readonly punts: Punts;
  readonly connections: Connections;
  private keptFlows: KeptFlows | undefined;
  /** Flows of the process before that are this one's: its number here and there. */
  private readonly inheritances = new Map<number, number>();
  private readonly targets = new Map<number, PortTarget>();
  /** Ports with a program. */
  private readonly receiving = new Set<number>();
  /** Ports of a process before that were not asked for yet, by name. */
  private readonly kept = new Map<string, PinnedPort>();
  private readonly pinned = new Map<number, PinnedPort>();
  private writeScheduled = false;
  private ended = false;

  constructor(private readonly options: KernelPartsOptions) {
    const { maps, device, logger, adopted, pins, kept } = options;
    this.meters = new KernelMeters(maps.meters, (id) => this.flows.meterChanged(id));
    this.ports = new PortRecords(maps.ports, maps.portCounts, machineShards());
    this.punts = {
      fd: device.fd,
      recordsFd: maps.ports.fd,
      ports: MAX_KERNEL_PORTS,
      metersFd: maps.meters.fd,
    };
    for (const port of adopted?.ports ?? []) {
      this.kept.set(port.name, port);
      this.pinned.set(port.portNo, port);
      this.ports.forgetPunts(port.portNo);
    }
    this.connections = new Connections(pins, adopted !== undefined);
    const half = kept ? 1 - kept.half : 0;
    this.keptFlows = kept instanceof KeptFlows ? kept : undefined;
    this.flows = new KernelFlows({
      maps,
      puntIfindex: device.ifindex,
      maxFlows: MAX_FLOWS,
      half,
      pins,
      alwaysExact: options.alwaysExact ?? false,
      held: adopted !== undefined,
      receives: (port) => this.receiving.has(port),
      targetOf: (port) => this.targets.get(port),
      hasMeter: (id) => this.meters.canEnforce(id),
      connections: () => this.connections.maps,
      logger,
    });
    if (!adopted) this.write();
  }

  whenConnections(use: (shared: SharedConnections) => void): void {
    this.connections.whenOpen(use);
  }

  numberOf(spec: DpPortSpec): number | undefined {
    const { name, type, wire } = spec;
    const port = this.kept.get(name);
    if (!port || !hasHook(type)) return undefined;
    const { device } = port;
    const same = port.type === type && port.ifindex === ifNameToIndex(name) &&
      (!device || (device.kind === tunnelTargetOf(spec)?.kind && device.gbp === wire?.gbp));
    if (same) return port.portNo;
    this.drop(port);
    return undefined;
  }

  isKept(portNo: number): boolean {
    return this.pinned.has(portNo);
  }

  openingFor(portNo: number, spec: DpPortSpec): ProgramOpening | undefined {
    const { name, type, userspace } = spec;
    if (userspace || !hasHook(type)) return undefined;
    const tunnel = tunnelTargetOf(spec);
    if (type === "tunnel" && !(tunnel && this.tellsTunnels())) return undefined;
    if (portNo >= MAX_KERNEL_PORTS) {
      throw new DatapathError("full", `no more than ${MAX_KERNEL_PORTS} ports in the kernel`);
    }
    const kept = this.kept.get(name);
    const adopted = kept && this.adopt(kept);
    if (!adopted) this.ports.clear(portNo);
    const { maps } = this.options;
    // Its packets have a state, of which the main program must know.
    if (tunnel) this.flows.demandState();
    const { bytes } = tunnel
      ? assembleTunnelEntry(portNo, tunnel, maps)
      : assembleEntry(portNo, maps.programs);
    const persistent = this.options.pins !== undefined;
    return {
      program: loadTcProgram(bytes, "solovs_port"),
      persistent,
      clsact: this.options.clsact,
      ...(adopted ? { adopted } : {}),
      ...(tunnel ? { device: { kind: tunnel.kind, alias: this.alias } } : {}),
    };
  }

  /** Whether programs can deal with tunnels at all. */
  private tellsTunnels(): boolean {
    try {
      tryTunnelMetadata();
      return true;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.options.logger.info(`tunnelled packets go through userspace: ${error.message}`);
      return false;
    }
  }

  /** What devices of the kernel that are ours say of themselves. */
  private get alias(): string {
    const { pins, device } = this.options;
    return pins?.alias ?? device.name;
  }

  attached(port: DpPort, attachment: TcAttachment): void {
    const { portNo, name, type, ifindex } = port;
    this.receiving.add(portNo);
    this.kept.delete(name);
    const { pins } = this.options;
    if (!pins || !hasHook(type)) return;
    if (attachment.kind === "tcx") pins.pinLink(portNo, attachment.fd);
    const ownQdisc = attachment.kind === "clsact" && attachment.ownQdisc;
    const { kind } = attachment;
    const device = tunnelTargetOf(port);
    const pinned = { portNo, name, type, ifindex, kind, ownQdisc, ...(device && { device }) };
    this.pinned.set(portNo, pinned);
    this.write();
  }

  detaching(portNo: number): void {
    if (!this.pinned.delete(portNo)) return;
    this.options.pins?.unpinLink(portNo);
    this.write();
  }

  portAdded(port: DpPort): void {
    const { portNo, ifindex, type, userspace } = port;
    // Nobody would tell of its move to another namespace, where its number means another device.
    if (!hasHook(type) || (userspace && type === "internal")) return;
    const tunnel = tunnelTargetOf(port);
    if (type === "tunnel" && (ifindex === 0 || !tunnel)) return;
    this.targets.set(portNo, { ifindex, ingress: type === "internal", ...(tunnel && { tunnel }) });
    this.flows.portChanged(portNo);
  }

  /** It still has its descriptor: flows to it are userspace's. */
  portMoved(portNo: number): void {
    this.portGone(portNo);
  }

  portGone(portNo: number): void {
    this.receiving.delete(portNo);
    this.detaching(portNo);
    if (this.targets.delete(portNo)) this.flows.portChanged(portNo);
  }

  /** Flows of the process before, until they have given way. */
  get inherited(): Iterable<InheritedFlow> {
    return this.flows.isHeld && this.keptFlows || [];
  }

  inherit(id: number, handle: number): void {
    if (!this.keptFlows) return;
    this.inheritances.set(id, handle);
    this.flows.records.setBase(id, this.keptFlows.stats(handle));
  }

  /** The id is another flow's, or nobody's. */
  disinherit(id: number): void {
    this.inheritances.delete(id);
  }

  /** This process's flows are in force; ports that nobody asked for end. */
  takeOver(): void {
    if (!this.flows.takeOver()) return;
    for (const port of [...this.kept.values()]) this.drop(port);
    this.write();
    const { logger } = this.options;
    logger.info(
      `flows of the process before have given way to this one's, ${this.inheritances.size} the same`,
    );
    // Packets that were in the old program are counted by then.
    setTimeout(() => this.settleAccounts(), ACCOUNT_MS).unref();
  }

  /** What the old program counted since a flow was inherited. */
  private settleAccounts(): void {
    const { keptFlows } = this;
    if (!keptFlows || this.ended) return;
    for (const [id, handle] of this.inheritances) {
      this.flows.records.setBase(id, keptFlows.stats(handle));
    }
    this.inheritances.clear();
    keptFlows.close();
    this.keptFlows = undefined;
  }

  /** Ends this process's hold; with `leave`, what is pinned goes on. */
  close(leave: boolean): void {
    this.ended = true;
    const { pins, maps, device } = this.options;
    const stays = leave && pins !== undefined;
    if (stays) {
      this.writeNow();
      if (this.keptFlows && !this.flows.isHeld) {
        for (const [id, handle] of this.inheritances) {
          this.flows.records.setBase(id, this.keptFlows.stats(handle));
        }
      }
    } else {
      for (const port of [...this.kept.values()]) this.drop(port);
      pins?.removeAll();
      device.forget();
    }
    this.flows.close();
    this.keptFlows?.close();
    this.connections.close();
    closeMaps(maps);
    close(device.fd);
  }

  /** A link that is gone (the device was deleted and made anew) is no reason to fail. */
  private adopt({ portNo, kind, ifindex, ownQdisc, type }: PinnedPort): TcAttachment | undefined {
    const direction = type === "internal" ? "egress" : "ingress";
    if (kind === "clsact") return { kind, ifindex, ownQdisc, direction };
    try {
      return { kind, fd: this.options.pins!.openLink(portNo) };
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return undefined;
    }
  }

  private drop(port: PinnedPort): void {
    this.kept.delete(port.name);
    this.pinned.delete(port.portNo);
    releasePort(port, this.options.pins!);
    this.write();
  }

  /** Soon: many ports change at a time. */
  private write(): void {
    if (!this.options.pins || this.writeScheduled) return;
    this.writeScheduled = true;
    setImmediate(() => {
      if (!this.ended) this.writeNow();
    });
  }

  private writeNow(): void {
    this.writeScheduled = false;
    const { pins, device } = this.options;
    pins!.write({ puntDevice: device.name, ports: [...this.pinned.values()] });
  }
}

/** The map that links programs is the only one that outlives this process by a pin of its own. */
export function pinMaps(
  pins: Pins,
  { programs, ports, portCounts, state }: DatapathMaps,
): void {
  pins.pin("programs", programs.fd);
  pins.pin("ports", ports.fd);
  pins.pin("port_counts", portCounts.fd);
  // Tunnels' entry programs outlive this process, too, and fill it in.
  pins.pin("state", state.fd);
}
