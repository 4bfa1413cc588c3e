/**
 * The userspace datapath: the main thread's half. `Bridge.datapath_type=netdev`.
 *
 * It implements `Datapath` (../datapath.ts) over one forwarding worker (loop.ts), which moves every
 * packet, and setup workers (setup.ts), which open and close ports. What crosses between them:
 *
 *     commands ──ring──> worker          flows, packets to execute, barriers, port requests
 *     upcalls  <─ring── worker           misses and "to userspace" packets
 *     statistics, counters               in shared memory, read in place
 *     answers, lost ports, log lines     postMessage
 *     ports to open and to release       postMessage, with a setup worker
 *
 * Invariants
 * - Commands reach the worker in the order in which they were given. Those that find the ring full
 *   wait in a backlog in order; only `execute` is dropped when the backlog is long, and counted.
 * - A side that is awake is never woken; one that goes to sleep looks at its ring once more after
 *   it has said so (shared.ts).
 * - Upcalls are delivered from the event loop, at most `UPCALLS_PER_TURN` before others get a turn.
 * - Flow statistics are zeroed here when an id is used anew: the worker does not touch an id after
 *   the barrier that follows its deletion.
 *
 * More workers: each gets its own `WorkerLink`; ports are spread over them, flow commands go to all
 * of them, statistics are summed. Nothing else here assumes one.
 */
import { readlinkSync } from "node:fs";
import { detachTc } from "../../linux/bpf.ts";
import { close, eventfd, O_RDONLY, open } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import type { FlowKey } from "../../packet/key.ts";
import type { DpAction } from "../actions.ts";
import { RemoteConntrack } from "../conntrack/remote.ts";
import type { CtAnswer, CtQuestion } from "../conntrack/questions.ts";
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
} from "../datapath.ts";
import type { KernelSide, ProgramOpening } from "../punts.ts";
import { CommandQueue } from "./command-queue.ts";
import {
  CMD_BARRIER,
  CMD_DELETE_FLOW,
  type Control,
  encodeControl,
  encodeExecute,
  encodePutFlow,
  encodeRequest,
  NAMESPACE,
  type Request,
  type SetupRequest,
  type WorkerMessage,
  type WorkerStart,
} from "./commands.ts";
import { encodeProgram } from "../engine/encode.ts";
import { Barriers, Pending } from "./pending.ts";
import type { OpenedPort } from "./setup.ts";
import { SetupPool } from "./setup-pool.ts";
import { COUNTERS, CTL_MAIN_SLEEPING, MAX_FLOWS, MAX_PORTS, SharedState } from "./shared.ts";
import { newWorker, startWorker, tryLoadDropProgram } from "./start-worker.ts";
import { UpcallReader } from "./upcalls.ts";
import { WorkerMeters } from "./worker-meters.ts";

const UPCALLS_PER_TURN = 128;
const CLOSED = "the datapath was closed";
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
  readonly maxFlows = MAX_FLOWS;
  readonly started: Promise<unknown>;

  private readonly shared = new SharedState();
  private readonly upcalls = new UpcallReader(this.shared);
  private readonly eventfd = eventfd();
  private readonly commands = new CommandQueue(this.shared, this.eventfd);
  private readonly worker = newWorker();
  private readonly dropProgram = tryLoadDropProgram();
  private readonly namespaceFd = open(NAMESPACE, O_RDONLY);
  private readonly setup: SetupPool;
  private readonly listeners: DatapathListener[] = [];
  private readonly byNumber = new Map<number, DpPort>();
  private readonly names = new Set<string>();
  /** Numbers of ports on their way. */
  private readonly opening = new Set<number>();
  /** Removed ports that are being closed. */
  private readonly releasing = new Set<Promise<void>>();
  private readonly liveFlows = new Set<number>();
  private readonly meters = new WorkerMeters(this.shared.meterStats, (each) => this.control(each));
  readonly conntrack = new RemoteConntrack(
    (change) => this.control({ type: "conntrack", change }),
    (ask) => this.ask(ask),
  );
  private readonly questions = new Pending<CtAnswer>();
  private readonly requests = new Pending<readonly OpenedPort[]>();
  private readonly barriers = new Barriers(this.shared);
  private lastRequest = 0;
  private executeDropped = 0;
  private upcallErrors = 0;
  private turnScheduled = false;
  private failure: Error | undefined;
  private closed = false;

  constructor(private readonly logger: Logger, private readonly kernel?: KernelSide) {
    Atomics.store(this.shared.control, CTL_MAIN_SLEEPING, 1);
    const forward: WorkerStart = {
      role: "forward",
      shared: this.shared.buffer,
      eventfd: this.eventfd,
    };
    const { dropProgram, namespaceFd } = this;
    const namespace = readlinkSync(NAMESPACE);
    const ready = [this.start(this.worker, forward)];
    this.setup = new SetupPool(() => {
      const worker = newWorker();
      ready.push(this.start(worker, { role: "setup", dropProgram, namespace, namespaceFd }));
      return worker;
    });
    if (kernel) {
      const adopted = { id: ++this.lastRequest, type: "adoptPunts", punts: kernel.punts } as const;
      ready.push(this.request(adopted).then(() => {}));
    }
    this.started = Promise.all(ready);
  }

  private start(worker: Worker, start: WorkerStart): Promise<void> {
    return startWorker(worker, start, (message) => this.receive(message), (error) => {
      this.fail(error);
    });
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
    if (spec.type === "tunnel") return this.addTunnel(spec, portNo);
    // Both are taken now, so that a second call before the answer gets another number.
    this.names.add(spec.name);
    this.opening.add(portNo);
    let opening: ProgramOpening | undefined;
    try {
      opening = kernel?.openingFor(portNo, spec);
      const [opened] = await this.requestSetup({
        id: ++this.lastRequest,
        type: "open",
        port: {
          portNo,
          name: spec.name,
          portType: spec.type,
          ...(spec.mac ? { mac: [...spec.mac] } : {}),
          ...opening,
        },
      });
      if (!opened || opened.type === "ring") {
        throw new DatapathError("system", `port ${spec.name} was not opened`);
      }
      await this.adopt(portNo, spec.name, opened);
      const ifindex = opened.type === "internal" ? opened.tap.ifindex : opened.packet.ifindex;
      const port: DpPort = { ...spec, portNo, ifindex };
      this.byNumber.set(portNo, port);
      if (opening && opened.attachment) kernel!.attached(port, opened.attachment);
      return port;
    } catch (error) {
      this.names.delete(spec.name);
      throw error;
    } finally {
      this.opening.delete(portNo);
      if (opening) close(opening.program);
    }
  }

  /** Nothing is to be opened: tunnelled packets come and go by other ports. */
  private addTunnel(spec: DpPortSpec, portNo: number): DpPort {
    const kind = spec.tunnel;
    if (!kind) throw new DatapathError("not-supported", `tunnel port ${spec.name} has no kind`);
    const port: DpPort = { ...spec, portNo, ifindex: 0 };
    this.names.add(spec.name);
    this.byNumber.set(portNo, port);
    this.control({ type: "tunnelPort", portNo, kind });
    return port;
  }

  async removePort(portNo: number): Promise<void> {
    const port = this.byNumber.get(portNo);
    if (!port) throw new DatapathError("no-such-port", `there is no datapath port ${portNo}`);
    if (port.type === "tunnel") {
      this.control({ type: "tunnelPort", portNo });
      return this.forgetPort(portNo);
    }
    this.kernel?.detaching(portNo);
    const left = await this.request({ id: ++this.lastRequest, type: "removePort", portNo });
    const released = this.release(left);
    // A host's device stays, and the port's last traces on it (tcx link, promiscuous mode) go a
    // moment later. An internal port's device is expected to be gone, and a tc filter must not be
    // taken for that of the device's next port.
    // Nor may a program go on receiving what nobody does.
    const traces = (each: OpenedPort): boolean =>
      each.type === "device" && each.attachment?.kind !== "clsact";
    if (!this.kernel && left.every(traces)) {
      this.releaseAside(port.name, released);
    } else await released;
    this.forgetPort(portNo);
  }

  private releaseAside(name: string, released: Promise<void>): void {
    const done = released.catch((error: unknown) => {
      this.logger.warn(`port ${name} was not released: ${String(error)}`);
    }).then(() => {
      this.releasing.delete(done);
    });
    this.releasing.add(done);
  }

  private async adopt(portNo: number, name: string, opened: OpenedPort): Promise<void> {
    try {
      await this.request({ id: ++this.lastRequest, type: "adoptPort", portNo, name, opened });
    } catch (error) {
      await this.release([opened]);
      throw error;
    }
  }

  /** Sending works without it, at a higher price. */
  private async giveRing(portNo: number, ifindex: number): Promise<void> {
    const [opened] = await this.requestSetup({
      id: ++this.lastRequest,
      type: "openSendRing",
      ifindex,
    });
    if (opened?.type !== "ring") return;
    const ring = opened.sendRing;
    try {
      const id = ++this.lastRequest;
      await this.request({ id, type: "adoptSendRing", portNo, ifindex, ring });
    } catch (error) {
      if (!this.closed) await this.release([opened]);
      throw error;
    }
  }

  private async release(ports: readonly OpenedPort[], leave = false): Promise<void> {
    await Promise.all(ports.map((port) => {
      const id = ++this.lastRequest;
      return this.requestSetup({ id, type: "release", port, leave });
    }));
  }

  ports(): ReadonlyMap<number, DpPort> {
    return this.byNumber;
  }

  portStats(portNo: number): DpPortStats | undefined {
    if (!this.byNumber.has(portNo)) return undefined;
    return this.shared.readPortStats(portNo);
  }

  putFlow(flow: DpFlow): void {
    const { id } = flow;
    if (!Number.isInteger(id) || id < 0 || id >= MAX_FLOWS) {
      throw new DatapathError("full", `flow id ${id}: this datapath has 0 to ${MAX_FLOWS - 1}`);
    }
    const command = encodePutFlow(id, flow.match, encodeProgram(flow.actions));
    if (!this.liveFlows.has(id)) {
      this.liveFlows.add(id);
      this.shared.clearFlowStats(id);
    }
    this.send(command);
  }

  deleteFlow(id: number): void {
    if (this.liveFlows.delete(id)) this.send(new Int32Array([CMD_DELETE_FLOW, id]));
  }

  flowStats(id: number): DpFlowStats {
    return this.shared.readFlowStats(id);
  }

  execute(
    packet: Packet,
    actions: readonly DpAction[],
    inPort: number,
    metadata?: FlowKey,
  ): void {
    if (this.commands.waiting >= MAX_BACKLOG) {
      this.executeDropped++;
      return;
    }
    this.barriers.owe();
    this.send(encodeExecute(inPort, packet, encodeProgram(actions), metadata));
  }

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
    this.control({ type: "vlanLimit", limit });
  }

  barrier(): Promise<void> {
    // Nothing that was given is in force any more, and nobody would answer.
    if (this.closed) return Promise.resolve();
    if (this.failure) return Promise.reject(this.failure);
    if (this.commands.isDone && !this.barriers.isOwed()) return Promise.resolve();
    return this.barriers.wait((sequence) => this.send(new Int32Array([CMD_BARRIER, sequence])));
  }

  counters(): Readonly<Record<string, number>> {
    const all: Record<string, number> = {};
    COUNTERS.forEach((name, i) => all[name] = this.shared.counters[i]!);
    all["drop_execute_backlog"] = this.executeDropped;
    all["upcall_errors"] = this.upcallErrors;
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
    if (!this.failure) {
      const left = this.request({ id: ++this.lastRequest, type: "close" });
      this.closed = true;
      await Promise.all([this.release(await left, leave), ...this.releasing]);
    }
    this.closed = true;
    this.worker.terminate();
    this.setup.close();
    close(this.eventfd);
    close(this.namespaceFd);
    if (typeof this.dropProgram === "number") close(this.dropProgram);
    this.rejectAll(new DatapathError("system", CLOSED));
    this.byNumber.clear();
    this.names.clear();
  }

  private request(request: Request): Promise<readonly OpenedPort[]> {
    if (this.closed) {
      return Promise.reject(new DatapathError("system", CLOSED));
    }
    return this.answered(request.id, () => this.send(encodeRequest(request)));
  }

  /** Asks the worker something that is not about ports. */
  private ask(ask: CtQuestion): Promise<CtAnswer> {
    const dead = this.closed ? new DatapathError("system", CLOSED) : this.failure;
    if (dead) return Promise.reject(dead);
    const id = ++this.lastRequest;
    const question = encodeRequest({ id, type: "conntrack", ask });
    return this.questions.ask(id, () => this.send(question));
  }

  private requestSetup(request: SetupRequest): Promise<readonly OpenedPort[]> {
    return this.answered(request.id, () => this.setup.post(request));
  }

  private answered(id: number, send: () => void): Promise<readonly OpenedPort[]> {
    if (this.failure) return Promise.reject(this.failure);
    return this.requests.ask(id, send);
  }

  private send(command: Int32Array): void {
    if (!this.failure && !this.closed) this.commands.send(command);
  }

  private control(control: Control): void {
    this.send(encodeControl(control));
  }

  private receive(message: WorkerMessage): void {
    if (message === 0) return this.turn();
    switch (message.type) {
      case "ready":
        return;
      case "answer":
        this.setup.answered(message.id);
        this.requests.answer(message.id, message.ports);
        return;
      case "result":
        this.questions.answer(message.id, message.value);
        return;
      case "refused":
        this.questions.refuse(message.id, new DatapathError(message.code, message.message));
        this.setup.answered(message.id);
        this.requests.refuse(message.id, new DatapathError(message.code, message.message));
        return;
      case "portBusy":
        void this.giveRing(message.portNo, message.ifindex).catch((error: unknown) => {
          this.logger.dbg(`port ${message.portNo} sends without a ring: ${String(error)}`);
        });
        return;
      case "portMoved":
        detachTc(message.attachment);
        this.kernel?.portMoved(message.portNo);
        return;
      case "portLost":
        void this.release([message.port]).catch((error: unknown) => {
          this.logger.warn(`a lost port was not released: ${String(error)}`);
        });
        if (!this.byNumber.has(message.portNo)) return;
        this.forgetPort(message.portNo);
        for (const listener of this.listeners) listener.portLost(message.portNo, message.reason);
        return;
      case "log":
        this.logger[message.level](message.text);
        return;
      default: {
        const never: never = message;
        throw new Error(`unknown worker message ${String(never)}`);
      }
    }
  }

  /** One turn of work that the worker has left for this thread. */
  private turn(): void {
    this.turnScheduled = false;
    if (this.closed) return;
    this.upcallErrors += this.upcalls.deliver(UPCALLS_PER_TURN, this.listeners, this.logger);
    this.barriers.pass();
    this.commands.drain();
    const { control } = this.shared;
    Atomics.store(control, CTL_MAIN_SLEEPING, 1);
    if (this.upcalls.isEmpty() && !this.barriers.isPassed) return;
    if (Atomics.compareExchange(control, CTL_MAIN_SLEEPING, 1, 0) === 1 && !this.turnScheduled) {
      this.turnScheduled = true;
      setImmediate(() => this.turn());
    }
  }

  private forgetPort(portNo: number): void {
    const port = this.byNumber.get(portNo);
    if (!port) return;
    this.byNumber.delete(portNo);
    this.names.delete(port.name);
  }

  private fail(error: Error): void {
    if (this.closed || this.failure) return;
    this.failure = error;
    this.logger.emer(error.message);
    this.rejectAll(error);
    for (const portNo of [...this.byNumber.keys()]) {
      this.forgetPort(portNo);
      for (const listener of this.listeners) listener.portLost(portNo, error.message);
    }
    // Nothing is forwarded from here on: the process ends, for whoever watches it to start it anew.
    void Promise.reject(error);
  }

  private rejectAll(error: Error): void {
    this.requests.refuseAll(error);
    this.questions.refuseAll(error);
    this.barriers.refuseAll(error);
  }
}
