/**
 * The in-kernel datapath: eBPF programs at the ports' tc hooks, made here, with the userspace datapath
 * behind them. `Bridge.datapath_type=system`.
 *
 *      port a                      kernel                                  port b
 *     ───────> entry ──> main program ──> action program ──redirect──────> ───────>
 *                            │ what it cannot do                              ^
 *                            v                                                │
 *                        TAP device ──> userspace worker ──packet socket──────┘
 *                                           │ no flow there either
 *                                           v
 *                                        upcall to the slow path
 *
 * What it is: a cache in front. Every flow is given to both: the kernel takes those whose match its
 * programs can read and whose actions they can do (kernel-flows.ts, action-plan.ts); the userspace
 * datapath has them all. So a packet that the programs do not understand, a header too odd to parse,
 * a mask too many, an action they lack, or a moment in which maps are exchanged costs speed and
 * nothing else: the same packet meets the same flow a little later.
 *
 * Invariants
 * - A flow's packets are counted where they are forwarded; statistics are the sum of both.
 * - Packets keep their virtio-net header on the way through the process: segmentation and partial
 *   checksums survive (../punts.ts).
 * - An internal port is a TAP device with the program at its egress: what the host sends is forwarded
 *   in the kernel, and what goes to the host is received by the device.
 * - No port's punts starve another's: each has so many packets on their way at most.
 *
 * - An internal port that is moved to another network namespace leaves the kernel's care: numbers of
 *   interfaces mean other devices there. In the millisecond until the event is read, what it sends
 *   may be lost.
 *
 * Limits: `MAX_KERNEL_PORTS` ports, `MAX_KERNEL_MASKS` masks in the kernel; Linux 5.12 or later
 * (atomic or), 6.6 for tcx links. Numbers in docs/ebpf.md.
 */
import { close, SystemError } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import type { FlowKey } from "../../packet/key.ts";
import type { DpAction } from "../actions.ts";
import type { Conntrack } from "../conntrack/types.ts";
import {
  type Datapath,
  DatapathError,
  type DatapathListener,
  type DpFlow,
  type DpFlowStats,
  type DpPort,
  type DpPortSpec,
  type DpPortStats,
  type FlowPlace,
  type InheritedFlow,
  type Packet,
  type PortTraffic,
  type Tuning,
} from "../datapath.ts";
import type { DpMeter, DpMeterStats } from "../meters.ts";
import { openUserspaceDatapath } from "../userspace/datapath.ts";
import { MAX_FLOWS } from "../userspace/shared.ts";
import { KeptFlows } from "./kept-flows.ts";
import { KernelParts, pinMaps } from "./kernel-parts.ts";
import { closeMaps, type DatapathMaps, openDatapathMaps } from "./maps.ts";
import { Pins } from "./pins.ts";
import { openPuntDevice, type PuntDevice } from "./punt-device.ts";
import { sweep } from "./sweep.ts";

export interface EbpfOptions {
  readonly logger: Logger;
  /** With it, forwarding outlives the process: the next one with this run directory takes over. */
  readonly runDir?: string | undefined;
  /** Attach by clsact and cls_bpf, as on Linux before 6.6, also where the kernel has tcx (tests). */
  readonly clsact?: boolean;
  /** Always ask the exact-match cache first (tests). */
  readonly alwaysExact?: boolean;
}

/** How often masks are put in the order of their use. */
const RANK_MS = 1000;

/**
 * Makes maps, programs and the TAP device, or takes over those of a process before, and starts the
 * worker behind them. Rejects with a DatapathError that says what the kernel lacks; nothing is left
 * behind then.
 */
export async function openEbpfDatapath(options: EbpfOptions): Promise<Datapath> {
  const { logger, runDir } = options;
  const pins = runDir === undefined ? undefined : findPins(runDir, logger);
  const kernel = pins && adoptKernel(pins, options) || makeKernel(pins, options);
  try {
    return new EbpfDatapath(await openUserspaceDatapath({ logger, kernel }), kernel);
  } catch (error) {
    kernel.close(true);
    throw error;
  }
}

function findPins(runDir: string, logger: Logger): Pins | undefined {
  const pins = Pins.of(runDir);
  if (pins instanceof Pins) return pins;
  logger.warn(`forwarding ends with this process: ${pins}`);
  return undefined;
}

/** What a process before left, or undefined; what cannot be used is removed. */
function adoptKernel(pins: Pins, options: EbpfOptions): KernelParts | undefined {
  const { logger, clsact = false, alwaysExact } = options;
  const adopted = pins.read();
  let maps: DatapathMaps | undefined;
  let kept: KeptFlows | { readonly half: number } | undefined;
  try {
    if (adopted && pins.canAdopt(adopted)) {
      maps = openDatapathMaps(MAX_FLOWS, pins);
      kept = KeptFlows.open(pins, maps.programs, MAX_FLOWS);
      const device = openPuntDevice(pins.alias, adopted.puntDevice);
      pins.unpinOtherLinks(adopted.ports);
      logger.info(`took over ${adopted.ports.length} port(s), their flows forward meanwhile`);
      return new KernelParts({ maps, device, logger, clsact, alwaysExact, pins, adopted, kept });
    }
  } catch (error) {
    if (kept instanceof KeptFlows) kept.close();
    if (maps) closeMaps(maps);
    if (!(error instanceof SystemError)) throw error;
    logger.warn(`what the process before left cannot be taken over: ${error.message}`);
  }
  sweep(pins, adopted);
  return undefined;
}

function makeKernel(pins: Pins | undefined, options: EbpfOptions): KernelParts {
  const { logger, clsact = false, alwaysExact } = options;
  let maps: DatapathMaps | undefined;
  let device: PuntDevice | undefined;
  try {
    maps = openDatapathMaps(MAX_FLOWS);
    device = openPuntDevice(pins?.alias);
    if (pins) pinMaps(pins, maps);
    return new KernelParts({ maps, device, logger, clsact, alwaysExact, pins });
  } catch (error) {
    if (device) {
      device.forget();
      close(device.fd);
    }
    if (maps) closeMaps(maps);
    pins?.removeAll();
    if (!(error instanceof SystemError)) throw error;
    const permission = error.code === "EPERM" || error.code === "EACCES";
    throw new DatapathError(
      permission ? "permission" : "not-supported",
      `no flows in the kernel: ${error.message}` +
        (permission ? "; run as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN" : ""),
    );
  }
}

class EbpfDatapath implements Datapath {
  readonly type = "system";
  readonly hostTunnels = true;
  readonly maxFlows: number;
  readonly conntrack: Conntrack;
  private readonly live = new Set<number>();
  private readonly ranking: ReturnType<typeof setInterval>;
  /** After `leave` nothing that is asked for is done any more. */
  private left = false;

  constructor(private readonly user: Datapath, private readonly kernel: KernelParts) {
    this.maxFlows = user.maxFlows;
    this.conntrack = user.conntrack;
    user.listen({ upcall: () => {}, portLost: (portNo) => kernel.portGone(portNo) });
    this.ranking = setInterval(() => kernel.flows.masks.rank(), RANK_MS);
    this.ranking.unref();
  }

  listen(listener: DatapathListener): void {
    this.user.listen(listener);
  }

  async addPort(spec: DpPortSpec): Promise<DpPort> {
    const port = await this.user.addPort(spec);
    this.kernel.portAdded(port);
    return port;
  }

  async removePort(portNo: number): Promise<void> {
    if (this.left) return;
    this.kernel.portGone(portNo);
    await this.user.removePort(portNo);
  }

  ports(): ReadonlyMap<number, DpPort> {
    return this.user.ports();
  }

  portStats(portNo: number): DpPortStats | undefined {
    const stats = this.user.portStats(portNo);
    if (!stats || this.left) return undefined;
    const { ports } = this.kernel;
    stats.rxPackets += ports.count(portNo, "rxPackets");
    stats.rxBytes += ports.count(portNo, "rxBytes");
    stats.txPackets += ports.count(portNo, "txPackets");
    stats.txBytes += ports.count(portNo, "txBytes");
    stats.rxDropped += ports.read(portNo, "puntDrops");
    return stats;
  }

  putFlow(flow: DpFlow): void {
    if (this.left) return;
    // The userspace datapath checks it, too.
    this.user.putFlow(flow);
    const { flows } = this.kernel;
    if (!this.live.has(flow.id)) {
      this.live.add(flow.id);
      this.kernel.disinherit(flow.id);
      flows.records.clearStats(flow.id);
    }
    flows.put(flow);
  }

  deleteFlow(id: number): void {
    if (this.left || !this.live.delete(id)) return;
    this.kernel.flows.delete(id);
    this.user.deleteFlow(id);
  }

  flowStats(id: number): DpFlowStats {
    if (this.left) return { packets: 0, bytes: 0, lastUsedMs: 0, tcpFlags: 0 };
    const stats = this.user.flowStats(id);
    const { packets, bytes, lastUsedMs, tcpFlags } = this.kernel.flows.records.read(id);
    return {
      packets: stats.packets + packets,
      bytes: stats.bytes + bytes,
      lastUsedMs: Math.max(stats.lastUsedMs, lastUsedMs),
      tcpFlags: stats.tcpFlags | tcpFlags,
    };
  }

  flowPackets(id: number): number {
    if (this.left) return 0;
    return this.kernel.flows.records.packets(id) + (this.user.flowPackets?.(id) ?? 0);
  }

  flowPlace(id: number): FlowPlace {
    const reason = this.kernel.flows.reason(id);
    return reason === undefined ? { place: "ebpf" } : { place: "user", reason };
  }

  execute(
    packet: Packet,
    actions: readonly DpAction[],
    inPort: number,
    metadata?: FlowKey,
  ): void {
    this.user.execute(packet, actions, inPort, metadata);
  }

  setMeter(id: number, meter: DpMeter): void {
    this.user.setMeter(id, meter);
    if (!this.left) this.kernel.meters.set(id, meter);
  }

  deleteMeter(id: number): void {
    this.user.deleteMeter(id);
    if (!this.left) this.kernel.meters.delete(id);
  }

  meterStats(id: number): DpMeterStats | undefined {
    return (this.left ? undefined : this.kernel.meters.stats(id)) ?? this.user.meterStats(id);
  }

  get traffic(): PortTraffic | undefined {
    return this.user.traffic;
  }

  setVlanLimit(limit: 1 | 2): void {
    this.user.setVlanLimit(limit);
    this.kernel.flows.setVlanLimit(limit);
  }

  holds(on: boolean): void {
    this.user.holds?.(on);
  }

  barrier(): Promise<void> {
    if (this.left) return Promise.resolve();
    this.kernel.flows.flush();
    return this.user.barrier();
  }

  counters(): Readonly<Record<string, number>> {
    const all: Record<string, number> = { ...this.user.counters() };
    if (this.left) return all;
    const { flows, ports } = this.kernel;
    const add = (name: string, by: number): void => {
      all[name] = (all[name] ?? 0) + by;
    };
    for (const portNo of this.user.ports().keys()) {
      const exact = ports.count(portNo, "exactHits");
      // Flows that were found, but are to be found again in userspace.
      const masked = ports.count(portNo, "maskedHits") - ports.read(portNo, "handedOn");
      add("exact_hit", exact);
      add("masked_hit", masked);
      add("kernel_hits", exact + masked);
      add("drop_no_actions", ports.count(portNo, "noActions"));
      add("punts", ports.read(portNo, "punted"));
      add("drop_punt_in_flight", ports.read(portNo, "puntDrops"));
      add("recirculations", ports.count(portNo, "recirculations"));
      add("drop_recirculation_limit", ports.read(portNo, "tooDeep"));
      add("drop_state_lost", ports.read(portNo, "stateLost"));
      add("drop_meter", ports.read(portNo, "metered"));
    }
    const { hits, misses } = this.kernel.connections.counts();
    all["ct_kernel_hits"] = hits;
    all["ct_kernel_misses"] = misses;
    all["kernel_flows"] = flows.size;
    all["kernel_masks"] = flows.masks.size;
    all["kernel_action_programs"] = flows.programs.loaded;
    all["kernel_main_programs"] = flows.generations;
    all["kernel_key_bytes"] = flows.keyBytes;
    return all;
  }

  inherited(): Iterable<InheritedFlow> {
    return this.left ? [] : this.kernel.inherited;
  }

  inherit(id: number, handle: number): void {
    if (!this.left) this.kernel.inherit(id, handle);
  }

  tune(tuning: Tuning): Promise<boolean> {
    return this.user.tune?.(tuning) ?? Promise.resolve(false);
  }

  takeOver(): Promise<void> {
    if (!this.left) this.kernel.takeOver();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    if (this.left) return;
    this.left = true;
    clearInterval(this.ranking);
    await this.user.close();
    this.kernel.close(false);
  }

  async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    clearInterval(this.ranking);
    await (this.user.leave ?? this.user.close).call(this.user);
    this.kernel.close(true);
  }
}
