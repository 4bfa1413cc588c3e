/**
 * The datapath with the flow cache above it, as bridges and the reconciler use the two. There is one
 * for all bridges: seen from below, all of Open vSwitch is one datapath.
 */
import type { Datapath, Packet } from "../../fastpath/datapath.ts";
import { monotonicClock } from "../../fastpath/clock.ts";
import { DummyNetwork, type HostNetwork } from "../../fastpath/host-network.ts";
import { queuePriority } from "../../fastpath/shaping.ts";
import type { Logger } from "../../log/log.ts";
import type { Action } from "../../openflow/actions/types.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import { DEFAULT_LIMITS, FlowCache, type PreparedPacketOut } from "../cache/flow-cache.ts";
import type { Clock } from "../clock.ts";
import { SharedExport } from "../export/shared.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import { Tunnels } from "../tunnels/tunnels.ts";
import { AddressBook } from "./address-book.ts";
import { DpFeatures } from "./features.ts";
import type { BridgePort } from "./ports.ts";
import { TunnelAttachments } from "./tunnel-ports.ts";
import { wantedTuning } from "./tuning.ts";
import { ZoneTimeouts } from "./zone-timeouts.ts";

/** VLAN tags of a packet that flows match; `other_config:vlan-limit` changes it. */
const DEFAULT_VLAN_LIMIT = 1;

const DEFAULT_BUNDLE_IDLE_SEC = 10;

export interface BackendOptions {
  readonly datapath: Datapath;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where each flow that is put into the datapath is told of. */
  readonly flowLog?: Logger;
  /** Where it is said what is wrong with flow tables; `log` unless given. */
  readonly translationLog?: Logger;
  /** The datapath lost a port that a bridge used. */
  readonly portLost: (port: BridgePort, reason: string) => void;
  /** The clock of the datapath's statistics, where it is not CLOCK_MONOTONIC. */
  readonly datapathNow?: () => number;
  /** The host's addresses and routes, for tunnels; none unless given. */
  readonly network?: HostNetwork;
  /** Time without packets after which flows go, where the database says none. */
  readonly maxIdleMs?: number | undefined;
  /** What `Bridge.datapath_type` may be: all of them mean this datapath. */
  readonly types?: readonly string[];
}

export class Backend {
  readonly datapath: Datapath;
  readonly types: readonly string[];
  readonly cache: FlowCache;
  readonly clock: Clock;
  /** After so long without a message an OpenFlow bundle is discarded. */
  bundleIdleMs = DEFAULT_BUNDLE_IDLE_SEC * 1000;
  /** IP addresses of hosts, as packets say them. */
  readonly addresses = new AddressBook();
  readonly features: DpFeatures;
  readonly tunnels: Tunnels<BridgePort>;
  readonly tunnelPorts: TunnelAttachments;
  readonly exports: SharedExport;
  readonly zoneTimeouts: ZoneTimeouts;
  /** VLAN tags of a packet that are told apart from what follows (`other_config:vlan-limit`). */
  vlanLimit: 1 | 2 | undefined;
  /** Tables are being restored (`flow-restore-wait`): packets of unknown flows are dropped. */
  restoring = false;
  private readonly maxIdleMs: number;
  private readonly attached = new Map<number, BridgePort>();
  private readonly log: Logger;
  /** The datapath's tuning as it was last asked for. */
  private tunedTo = JSON.stringify(Object.values(wantedTuning(new Map())));

  constructor(options: BackendOptions) {
    const { datapath, clock, log, portLost } = options;
    this.datapath = datapath;
    this.types = options.types ?? datapathTypes(datapath);
    this.clock = clock;
    this.log = log;
    this.maxIdleMs = options.maxIdleMs ?? DEFAULT_LIMITS.maxIdleMs;
    // Other actions take other recirculation ids: all flows begin anew.
    this.features = new DpFeatures(() => this.cache.purge());
    this.cache = new FlowCache({
      datapath,
      clock,
      log,
      translationLog: options.translationLog,
      flowLog: options.flowLog,
      attachment: (dpPort, key) => {
        const port = this.portOf(dpPort, key);
        return port && { bridge: port.bridge, port };
      },
      datapathNow: options.datapathNow ?? monotonicClock(),
      refusal: (dpPort, key) => this.tunnels.refusal(key, dpPort),
    });
    this.tunnels = new Tunnels<BridgePort>({
      clock,
      network: options.network ?? new DummyNetwork(),
      native: () => this.features.on("tnl_push_pop"),
      byHost: datapath.hostTunnels === true,
      byKernel: (dpPort) => (datapath.ports().get(dpPort)?.ifindex ?? 0) !== 0,
      changed: () => this.cache.changed(),
    });
    this.tunnelPorts = new TunnelAttachments(this, this.tunnels);
    this.zoneTimeouts = new ZoneTimeouts(datapath.conntrack, () => this.cache.changed());
    this.exports = new SharedExport(datapath, this.cache);
    const { upcall } = this.cache;
    datapath.listen({
      upcall: (each) => {
        if (this.restoring) return;
        this.addresses.see(each.packet.data);
        upcall(each);
      },
      portLost: (portNo, reason) => {
        const port = this.attached.get(portNo);
        if (port) portLost(port, reason);
      },
    });
    this.cache.start();
  }

  /** Number of the timeout policy of a conntrack zone, for bridges of one kind. */
  zonePolicy(inUserspace: boolean, zone: number): number | undefined {
    const type = this.datapath.type === "dummy" ? "dummy" : inUserspace ? "netdev" : "system";
    return this.zoneTimeouts.policyOf(type, zone);
  }

  accepts(datapathType: string): boolean {
    return this.types.includes(datapathType === "" ? "system" : datapathType);
  }

  /** Packets of the port's datapath port belong to its bridge from now on. */
  attach(port: BridgePort): void {
    // Tunnels share a datapath port: packets from it are told apart by what they came with.
    if (port.dpPort !== undefined && port.kind !== "tunnel") this.attached.set(port.dpPort, port);
    port.tunnels = this.tunnels;
    this.cache.changed();
  }

  /** The port that a packet is from; `key` in the datapath's terms, and only tunnels' count. */
  portOf(dpPort: number, key: FlowKey): BridgePort | undefined {
    return this.attached.get(dpPort) ?? this.tunnels.ports.find(key, dpPort);
  }

  /** The port of any bridge that is the device of this name: first a bridge's own port. */
  portNamed(device: string): BridgePort | undefined {
    let found: BridgePort | undefined;
    for (const port of this.attached.values()) {
      if (port.name !== device) continue;
      if (port.bridge.name === device) return port;
      found = port;
    }
    return found;
  }

  detach(port: BridgePort): void {
    this.tunnels.neighbours.flush(port.name);
    if (port.dpPort !== undefined && port.kind !== "tunnel") this.attached.delete(port.dpPort);
    this.cache.changed();
  }

  /** `Open_vSwitch.other_config`: max-idle, flow-limit, max-revalidator, tuning.ts. */
  setLimits(otherConfig: ReadonlyMap<string, string>): void {
    const number = (name: string, otherwise: number): number => {
      const text = otherConfig.get(name);
      return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : otherwise;
    };
    const vlans = number("vlan-limit", DEFAULT_VLAN_LIMIT);
    // 0: as many as there can be.
    this.limitVlans(vlans === 1 ? 1 : 2);
    this.tune(otherConfig);
    this.bundleIdleMs = Math.max(1, number("bundle-idle-timeout", DEFAULT_BUNDLE_IDLE_SEC)) * 1000;
    const { limits } = this.cache;
    limits.maxIdleMs = number("max-idle", this.maxIdleMs);
    limits.flowLimit = number("flow-limit", DEFAULT_LIMITS.flowLimit);
    limits.minRevalidatePps = number("min-revalidate-pps", DEFAULT_LIMITS.minRevalidatePps);
    limits.maxRevalidatorMs = Math.max(
      1,
      number("max-revalidator", DEFAULT_LIMITS.maxRevalidatorMs),
    );
  }

  private tune(otherConfig: ReadonlyMap<string, string>): void {
    const { tuning, complaints, remarks } = wantedTuning(otherConfig);
    const text = JSON.stringify([tuning, complaints, remarks]);
    if (text === this.tunedTo) return;
    this.tunedTo = text;
    for (const complaint of complaints) this.log.warn(complaint);
    for (const remark of remarks) this.log.info(remark);
    const tuned = this.datapath.tune?.(tuning);
    tuned?.then((isIncomplete) => {
      if (isIncomplete) this.cache.purge();
    }, (error: unknown) => this.log.err(`other_config: ${String(error)}`));
  }

  private limitVlans(limit: 1 | 2): void {
    if (limit === this.vlanLimit) return;
    this.vlanLimit = limit;
    this.datapath.setVlanLimit(limit);
    this.cache.changed();
  }

  /** Dummies have their queues' numbers for priorities. */
  queuePriority(queue: number): number | undefined {
    return this.datapath.type === "dummy" ? queue : queuePriority(queue);
  }

  /** Something that translation reads has changed. */
  changed(): void {
    this.cache.changed();
  }

  packetOut(
    bridge: BridgeModel,
    packet: Packet,
    inPort: number,
    actions: readonly Action[],
    metadata?: Match,
  ): PreparedPacketOut {
    return this.cache.packetOut(bridge, packet, inPort, actions, metadata);
  }

  /** Resolves when all changes so far are in force for all later packets. */
  settle(): Promise<void> {
    return this.cache.settle();
  }

  async close(): Promise<void> {
    this.tunnels.close();
    try {
      await this.cache.stop();
    } finally {
      await this.datapath.close();
    }
  }
}

/** What `datapath_type` may be with this datapath, unless something else was chosen. */
export function datapathTypes(datapath: Datapath | undefined): readonly string[] {
  return datapath?.type === "dummy" ? ["dummy", "netdev", "system"] : ["netdev", "system"];
}
