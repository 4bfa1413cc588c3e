/**
 * The userspace datapath: the main thread's half. `Bridge.datapath_type=netdev`.
 *
 * It implements `Datapath` (../datapath.ts) over forwarding workers (worker-link.ts, loop.ts), which
 * move every packet, and setup workers (setup.ts), which open and close ports.
 *
 * Invariants
 * - Commands reach a worker in the order in which they were given. Those that find its ring full
 *   wait in a backlog in order; only `execute` is dropped when the backlog is long, and counted.
 * - Flow statistics are zeroed here when an id is used anew: workers do not touch an id after
 *   the barrier that follows its deletion.
 *
 * Several workers (`tune`), one unless told otherwise:
 * - Each has ports of its own to receive (worker-ports.ts) and sends by all. Every flow is in every
 *   worker, as in the threads of Open vSwitch's userspace datapath: a lookup then reads nothing that
 *   another CPU writes. Statistics are each worker's, and added up when somebody reads them.
 * - Connections, meters and numbered tunnels are worker 0's; packets that need them go there (handoff.ts).
 * - Packets of a flow keep their order: they come in by one worker, or by one queue; all of them are
 *   handed over, or none; and an upcall's packet is executed by the worker that had it.
 */
import { readlinkSync } from "node:fs";
import { detachTc } from "../../linux/bpf.ts";
import { close, O_RDONLY, open } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import type { FlowKey } from "../../packet/key.ts";
import type { DpAction } from "../actions.ts";
import { RemoteConntrack } from "../conntrack/remote.ts";
import type { DpMeter, DpMeterStats } from "../meters.ts";
import {
  type Datapath,
  DatapathError,
  type DatapathListener,
  type DpFlow,
  type DpFlowStats,
  type DpPort,
  type DpPortSpec,
  type DpPortStats,
  type Packet,
  type Tuning,
} from "../datapath.ts";
import type { KernelSide, ProgramOpening } from "../punts.ts";
import { encodeProgram } from "../engine/encode.ts";
import { isOwned } from "../engine/owned.ts";
import {
  CMD_DELETE_FLOW,
  type Control,
  executeWords,
  NAMESPACE,
  putFlowWords,
  type WorkerMessage,
  writeExecute,
  writePutFlow,
} from "./commands.ts";
import { Besides } from "./besides.ts";
import { giveReceiveRing, giveSendRing } from "./give-rings.ts";
import { ifindexOf, type OpenedPort } from "./setup.ts";
import { SetupRequests } from "./setup-requests.ts";
import { SharedTraffic } from "./port-traffic.ts";
import { MAX_FLOWS, MAX_PORTS, MAX_WORKERS } from "./shared.ts";
import { tryLoadDropProgram } from "./start-worker.ts";
import { type LinkContext, WorkerLink } from "./worker-link.ts";
import { WorkerMeters } from "./worker-meters.ts";
import { isNumbered, openTunnel, shareTunnel } from "./tunnel-port-opening.ts";
import { requestOf, WorkerPorts } from "./worker-ports.ts";
import { countersOf, flowStatsOf, portStatsOf } from "./worker-stats.ts";

/** Commands that may wait for room before packets to execute are dropped. */
const MAX_BACKLOG = 4096;

export interface UserspaceOptions {
  readonly logger: Logger;
  /** Programs in the kernel stand in front of this datapath and hand over what they cannot do. */
  readonly kernel?: KernelSide;
}

/** Starts a worker and opens the datapath, without ports. */
export async function openUserspaceDatapath(options: UserspaceOptions): Promise<Datapath> {
  const datapath = new UserspaceDatapath(options.logger, options.kernel);
  await datapath.started;
  return datapath;
}

class UserspaceDatapath implements Datapath {
  readonly type = "netdev";
  readonly hostTunnels = true;
  readonly maxFlows = MAX_FLOWS;
  readonly started: Promise<unknown>;

  private readonly dropProgram = tryLoadDropProgram();
  private readonly namespaceFd = open(NAMESPACE, O_RDONLY);
  private readonly context: LinkContext;
  /** Worker 0, the owner, first. */
  private readonly links: WorkerLink[];
  private readonly owner: WorkerLink;
  private readonly setup: SetupRequests;
  private readonly spread: WorkerPorts;
  readonly traffic: SharedTraffic;
  private readonly listeners: DatapathListener[] = [];
  private readonly byNumber = new Map<number, DpPort>();
  private readonly names = new Set<string>();
  /** Numbers of ports on their way. */
  private readonly opening = new Set<number>();
  /** Removed ports that are being closed, rings that are being opened. */
  private readonly besides = new Besides();
  /** By flow id. */
  private readonly liveFlows = new Uint8Array(MAX_FLOWS);
  private readonly meters: WorkerMeters;
  readonly conntrack: RemoteConntrack;
  private tuning: Tuning = { workers: 1, cpus: [], busy: false };
  private tuned: Promise<unknown> = Promise.resolve();
  private vlanLimit: 1 | 2 = 2;
  /** The list that was encoded last. */
  private encoded: { actions: readonly DpAction[]; program: Int32Array } = {
    actions: [],
    program: encodeProgram([]),
  };
  private executeDropped = 0;
  /** Of workers that have ended. */
  private upcallErrors = 0;
  private failure: Error | undefined;
  private closed = false;

  constructor(private readonly logger: Logger, private readonly kernel?: KernelSide) {
    const { dropProgram, namespaceFd, listeners } = this;
    const namespace = readlinkSync(NAMESPACE);
    const fail = (error: Error): void => this.fail(error);
    const receive = (link: WorkerLink, message: WorkerMessage): void => this.receive(link, message);
    this.context = { logger, listeners, namespace, namespaceFd, receive, fail };
    this.owner = new WorkerLink(0, this.context);
    this.traffic = new SharedTraffic(this.links = [this.owner]);
    this.setup = new SetupRequests({ logger, dropProgram, namespace, namespaceFd, fail });
    this.spread = new WorkerPorts(this.links, () => this.tuning.workers, this.setup);
    const { owner } = this;
    this.meters = new WorkerMeters(owner.shared.meterStats, (each) => owner.control(each));
    this.conntrack = new RemoteConntrack(
      (change) => this.owner.control({ type: "conntrack", change }),
      (ask) => this.owner.ask(ask),
    );
    const ready: Promise<unknown>[] = [this.owner.ready, this.setup.ready];
    if (kernel) ready.push(this.owner.request({ type: "adoptPunts", punts: kernel.punts }));
    kernel?.whenConnections((connections) => {
      // Refused only by a worker that has ended, and then nobody misses them.
      this.owner.request({ type: "adoptConnections", connections }).catch(() => {});
    });
    this.started = Promise.all(ready);
  }

  listen(listener: DatapathListener): void {
    this.listeners.push(listener);
  }

  async addPort(spec: DpPortSpec): Promise<DpPort> {
    if (this.names.has(spec.name)) {
      throw new DatapathError("exists", `the datapath has a port ${spec.name} already`);
    }
    const { kernel } = this;
    const taken = (portNo: number): boolean =>
      this.byNumber.has(portNo) || this.opening.has(portNo) || kernel?.isKept(portNo) === true;
    let portNo = spec.userspace ? undefined : kernel?.numberOf(spec);
    if (portNo === undefined) { for (portNo = 0; taken(portNo);) portNo++; }
    if (portNo >= MAX_PORTS) throw new DatapathError("full", `no more than ${MAX_PORTS} ports`);
    // Both are taken now, so that a second call before the answer gets another number.
    this.names.add(spec.name);
    this.opening.add(portNo);
    let opening: ProgramOpening | undefined;
    try {
      if (this.links.length > 1) await this.tuned;
      if (spec.type === "tunnel") return await this.addTunnel(spec, portNo);
      // What kept its frames from the host is refused a second time.
      await this.besides.untilFree(spec.name);
      opening = kernel?.openingFor(portNo, spec);
      this.traffic.clear(portNo);
      const opened = await this.spread.open(requestOf(portNo, spec, opening));
      const ifindex = ifindexOf(opened);
      const port: DpPort = { ...spec, portNo, ifindex };
      this.byNumber.set(portNo, port);
      if (opening && opened.type !== "pcap" && opened.attachment) {
        kernel!.attached(port, opened.attachment);
      }
      return port;
    } catch (error) {
      this.names.delete(spec.name);
      throw error;
    } finally {
      this.opening.delete(portNo);
      if (opening) close(opening.program);
    }
  }

  private async addTunnel(spec: DpPortSpec, portNo: number): Promise<DpPort> {
    const { setup, links, logger, kernel } = this;
    const port = await openTunnel(spec, portNo, { setup, links, logger, kernel });
    this.byNumber.set(portNo, port);
    this.controlAll({ type: "tunnelPort", portNo, kind: port.tunnel! });
    return port;
  }

  /** Somebody has deleted the kernel's device: the port is opened anew. */
  private async reopenTunnel(port: DpPort, left: OpenedPort): Promise<void> {
    const { portNo, ifindex: _, ...spec } = port;
    this.kernel?.detaching(portNo);
    await this.setup.release([left]);
    if (this.closed || this.byNumber.get(portNo) !== port) return;
    this.kernel?.portAdded(await this.addTunnel(spec, portNo));
  }

  async removePort(portNo: number): Promise<void> {
    const port = this.byNumber.get(portNo);
    if (!port) throw new DatapathError("no-such-port", `there is no datapath port ${portNo}`);
    this.kernel?.detaching(portNo);
    if (port.type === "tunnel") this.controlAll({ type: "tunnelPort", portNo });
    if (this.links.length > 1) await this.tuned;
    const left = await this.spread.take(portNo);
    const released = this.setup.release(left);
    // A host's device stays, and the port's last traces on it (tcx link, promiscuous mode) go a
    // moment later. An internal port's device is expected to be gone, and a tc filter must not be
    // taken for that of the device's next port.
    // Nor may a program go on receiving what nobody does.
    const traces = (each: OpenedPort): boolean =>
      each.type === "device" && each.attachment?.kind !== "clsact";
    if (!this.kernel && left.every(traces)) {
      this.besides.begin(released, (error) => {
        this.logger.warn(`port ${port.name} was not released: ${String(error)}`);
      }, port.name);
    } else await released;
    this.forgetPort(portNo);
  }

  ports(): ReadonlyMap<number, DpPort> {
    return this.byNumber;
  }

  portStats(portNo: number): DpPortStats | undefined {
    if (!this.byNumber.has(portNo)) return undefined;
    return portStatsOf(this.links, portNo);
  }

  putFlow(flow: DpFlow): void {
    const { id, match, actions } = flow;
    if (!Number.isInteger(id) || id < 0 || id >= MAX_FLOWS) {
      throw new DatapathError("full", `flow id ${id}: this datapath has 0 to ${MAX_FLOWS - 1}`);
    }
    const program = this.programOf(actions);
    const owned = this.isOwned(actions);
    const words = putFlowWords(match, program);
    if (!this.owner.fits(words)) throw new DatapathError("not-supported", "too many actions");
    if (this.liveFlows[id] === 0) {
      this.liveFlows[id] = 1;
      for (const { shared } of this.links) shared.clearFlowStats(id);
    }
    for (const link of this.links) {
      const room = link.room(words);
      if (!room) continue;
      writePutFlow(room, id, match, program, owned);
      link.sent();
    }
  }

  deleteFlow(id: number): void {
    if (this.liveFlows[id] !== 1) return;
    this.liveFlows[id] = 0;
    for (const link of this.links) {
      const room = link.room(2);
      if (!room) continue;
      room.words[room.at] = CMD_DELETE_FLOW;
      room.words[room.at + 1] = id;
      link.sent();
    }
  }

  flowStats(id: number): DpFlowStats {
    return flowStatsOf(this.links, id);
  }

  execute(
    packet: Packet,
    actions: readonly DpAction[],
    inPort: number,
    metadata?: FlowKey,
  ): void {
    const index = this.links.length === 1 || this.isOwned(actions)
      ? 0
      : packet.origin ?? this.spread.home(inPort);
    const link = this.links[index] ?? this.owner;
    const program = this.programOf(actions);
    const words = executeWords(packet, program, metadata);
    if (link.waiting >= MAX_BACKLOG || !link.fits(words)) {
      this.executeDropped++;
      return;
    }
    const room = link.room(words);
    if (!room) return;
    link.owe();
    writeExecute(room, inPort, packet, program, metadata);
    link.sent();
  }

  /** A missed packet and its flow have the same list, one right after the other. */
  private programOf(actions: readonly DpAction[]): Int32Array {
    if (actions !== this.encoded.actions) {
      this.encoded = { actions, program: encodeProgram(actions) };
    }
    return this.encoded.program;
  }

  private isOwned(actions: readonly DpAction[]): boolean {
    return isOwned(actions, this.isNumbered);
  }

  private readonly isNumbered = (port: number): boolean => isNumbered(this.byNumber.get(port));

  setMeter(id: number, meter: DpMeter): void {
    this.meters.set(id, meter);
  }

  deleteMeter(id: number): void {
    this.meters.delete(id);
  }

  meterStats(id: number): DpMeterStats | undefined {
    return this.meters.stats(id);
  }

  setVlanLimit(limit: 1 | 2): void {
    this.vlanLimit = limit;
    this.controlAll({ type: "vlanLimit", limit });
  }

  /** Programs in the kernel leave no packets worth a second worker: with them there is one. */
  tune(wanted: Tuning): Promise<boolean> {
    const workers = this.kernel ? 1 : Math.min(Math.max(1, wanted.workers), MAX_WORKERS);
    const tuned = this.tuned.catch(() => {}).then(() => this.retune({ ...wanted, workers }));
    this.tuned = tuned;
    return tuned;
  }

  private async retune(tuning: Tuning): Promise<boolean> {
    if (this.closed || this.failure) return false;
    const { links, owner } = this;
    const before = links.length;
    this.tuning = tuning;
    while (links.length < tuning.workers) {
      const link = new WorkerLink(links.length, this.context, owner);
      await link.ready;
      link.control({ type: "vlanLimit", limit: this.vlanLimit });
      for (const port of this.byNumber.values()) {
        const { portNo, tunnel } = port;
        if (tunnel) link.control({ type: "tunnelPort", portNo, kind: tunnel });
        await shareTunnel(port, link, this.setup, this.logger);
      }
      owner.control({ type: "workers", count: links.length + 1 });
      this.traffic.introduce(link.shared, owner.shared, this.byNumber.keys());
      await this.spread.introduce(link);
      links.push(link);
    }
    const isChanged = tuning.workers !== before;
    if (isChanged) {
      await this.spread.respread((portNo, reason) => this.lose(portNo, reason));
    }
    while (links.length > tuning.workers) {
      const link = links.pop()!;
      await this.setup.release(await link.finish());
      link.end();
      this.upcallErrors += link.upcallErrors;
    }
    for (const { index } of links) {
      const { cpus, busy } = tuning;
      const cpu = cpus.length > 0 ? cpus[index % cpus.length]! : -1;
      links[index]!.control({ type: "tuning", cpu, busy });
    }
    if (isChanged) this.logger.info(`${links.length} forwarding worker(s)`);
    return isChanged;
  }

  holds(on: boolean): void {
    for (const link of this.links) link.holds(on);
  }

  async barrier(): Promise<void> {
    const { links } = this;
    if (links.length === 1) return await this.owner.barrier();
    await Promise.all(links.map((link) => link.barrier()));
  }

  counters(): Readonly<Record<string, number>> {
    const all = countersOf(this.links);
    all["drop_execute_backlog"] = this.executeDropped;
    all["upcall_errors"] = this.links.reduce(
      (sum, link) => sum + link.upcallErrors,
      this.upcallErrors,
    );
    return all;
  }

  close(): Promise<void> {
    return this.end(false);
  }

  /** As `close`, but what the kernel does goes on. */
  leave(): Promise<void> {
    return this.end(true);
  }

  private async end(leave: boolean): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.tuned.catch(() => {});
    if (!this.failure) {
      const left = await Promise.all(this.links.map((link) => link.finish()));
      await Promise.all([this.setup.release(left.flat(), leave), this.besides.untilDone()]);
    }
    for (const link of this.links) link.end();
    this.setup.close();
    close(this.namespaceFd);
    if (typeof this.dropProgram === "number") close(this.dropProgram);
    this.byNumber.clear();
    this.names.clear();
  }

  private controlAll(control: Control): void {
    for (const link of this.links) link.control(control);
  }

  /** What a forwarding worker says by itself. */
  private receive(link: WorkerLink, message: WorkerMessage): void {
    if (message === 0) return;
    switch (message.type) {
      case "portBusy":
        return this.besides.begin(
          giveSendRing(this.setup, link, message.portNo, message.ifindex),
          (error) => this.logger.dbg(`port ${message.portNo}: no send ring: ${String(error)}`),
        );
      case "portCrowded":
        return this.besides.begin(
          giveReceiveRing(this.setup, link, message.portNo, message.packet),
          (error) => this.logger.dbg(`port ${message.portNo}: no larger ring: ${String(error)}`),
        );
      case "portMoved":
        detachTc(message.attachment);
        this.kernel?.portMoved(message.portNo);
        return;
      case "portLost":
        return this.portLost(link, message.portNo, message.reason, message.port);
      case "log":
        this.logger[message.level](message.text);
        return;
      case "ready":
      case "answer":
      case "result":
      case "refused":
        return;
      default: {
        const never: never = message;
        throw new Error(`unknown worker message ${String(never)}`);
      }
    }
  }

  /** The first worker to say so speaks for all; what is left of the port goes when all gave it up. */
  private portLost(link: WorkerLink, portNo: number, reason: string, part: OpenedPort): void {
    const port = this.byNumber.get(portNo);
    const ifindex = part.type === "ring" ? 0 : ifindexOf(part);
    const isFirst = port?.ifindex === ifindex;
    if (isFirst && port.type === "tunnel") {
      return this.besides.begin(this.reopenTunnel(port, part), (error) => {
        this.lose(portNo, `${reason}, and it could not be made anew: ${String(error)}`);
      });
    }
    const others = isFirst ? this.spread.take(portNo, link) : Promise.resolve([]);
    void others.then((left) => this.setup.release([...left, part])).catch((error: unknown) => {
      this.logger.warn(`a lost port was not released: ${String(error)}`);
    });
    if (isFirst) this.lose(portNo, reason);
  }

  private lose(portNo: number, reason: string): void {
    this.forgetPort(portNo);
    for (const listener of this.listeners) listener.portLost(portNo, reason);
  }

  private forgetPort(portNo: number): void {
    const port = this.byNumber.get(portNo);
    if (port && this.byNumber.delete(portNo)) this.names.delete(port.name);
  }

  private fail(error: Error): void {
    if (this.closed || this.failure) return;
    this.failure = error;
    this.logger.emer(error.message);
    for (const link of this.links) link.fail(error);
    this.setup.fail(error);
    for (const portNo of [...this.byNumber.keys()]) this.lose(portNo, error.message);
    // Nothing is forwarded from here on: the process ends, for whoever watches it to start it anew.
    void Promise.reject(error);
  }
}
