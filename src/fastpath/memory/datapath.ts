/**
 * The datapath in memory: Open vSwitch's "dummy" type. It needs no privilege and no device, and runs
 * in the caller's thread: tests of the slow path stand on it, and the conformance suite holds the
 * other implementations to what it does.
 *
 *     inject(port, packet) ──> extract ──> flows ──hit──> actions ──> transmitted(port) / listener
 *                                            └──miss──> upcall
 *
 * Invariants
 * - Commands and packets act at once, in the order of the calls. Upcalls and lost ports are told
 *   later, from a microtask, as from another thread: a listener never runs inside a caller's call.
 *   `barrier()` resolves when all of them have been told.
 * - Ports are dummies: a `device` port exists if `devices` says so (every name does if it is left
 *   out), an `internal` one always. A dummy's ifindex is 1000 + its port number.
 * - Packets are copied on the way in and out: nobody sees a buffer that changes later.
 *
 * Limits: `maxFlows` flows; upcalls waiting beyond `maxUpcalls` are dropped and counted.
 */
import { MemoryPcapPort } from "./pcap-port.ts";
import { extract, EXTRACT_RESULTS } from "../../packet/extract.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_BYTES, DP_KEY_WORDS, METADATA_WORD, slot } from "../../packet/layout.ts";
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
  type UpcallReason,
} from "../datapath.ts";
import { counterIndex, COUNTERS, PARSE_COUNTER_BASE } from "../engine/counters.ts";
import { encodeProgram } from "../engine/encode.ts";
import { HEADROOM_BYTES } from "../engine/executor.ts";
import { adoptMetadata, swap32 } from "../engine/metadata.ts";
import { checkMeter, readMeterStats } from "../engine/meters.ts";
import { type Program, programAt } from "../engine/opcodes.ts";
import { MemoryExecutor, packetOf } from "./actions.ts";
import { MemoryFlows } from "./flows.ts";

const MASKED_HIT = counterIndex("masked_hit");
const MISS = counterIndex("miss");
const UPCALLS = counterIndex("upcalls");
const RING_FULL = counterIndex("drop_upcall_ring_full");
const NO_ETHERNET = counterIndex("drop_tx_no_ethernet");
const NO_PORT = counterIndex("drop_tx_no_port");

const ETH_TOO_SHORT = EXTRACT_RESULTS.indexOf("eth_too_short");
const TCP_FLAGS = slot("tcp_flags").offset;
const W_RECIRC = slot("recirc_id").offset >> 2;

export interface MemoryDatapathOptions {
  /** Devices that exist; all if left out. May be changed while the datapath lives. */
  readonly devices?: ReadonlySet<string>;
  readonly maxFlows?: number;
  readonly maxUpcalls?: number;
  /** The number of a new port; the first free one from 0 if it is left out. */
  readonly portNumber?: (name: string, isTaken: (portNo: number) => boolean) => number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

interface MemoryPort extends DpPort {
  readonly files?: MemoryPcapPort | undefined;
  readonly stats: DpPortStats;
  readonly sent: Packet[];
}

export interface MemoryDatapath extends Datapath {
  /** A packet arrives at the port (from the wire, or from the host for an internal port). */
  inject(portNo: number, packet: Packet): void;
  /** The packets that left through the port since the last call. */
  transmitted(portNo: number): Packet[];
  /** Called for each packet that leaves, besides `transmitted`. */
  onTransmit(listener: (portNo: number, packet: Packet) => void): void;
  /** The port's device vanishes. */
  loseDevice(portNo: number, reason: string): void;
  /** The flows as they were put. */
  flows(): Iterable<DpFlow>;
}

/** Opens an empty datapath. */
export function openMemoryDatapath(options: MemoryDatapathOptions = {}): MemoryDatapath {
  return new InMemory(options);
}

class InMemory implements MemoryDatapath {
  readonly type = "dummy";
  readonly maxFlows: number;
  private readonly portMap = new Map<number, MemoryPort>();
  private readonly table = new MemoryFlows();
  private readonly stats = new Map<number, DpFlowStats>();
  private readonly programs = new Map<number, Program>();
  private readonly counts = new Float64Array(COUNTERS.length);
  private readonly engine = new MemoryExecutor(this.counts, {
    output: (portNo, limit) => this.output(portNo, limit),
    upcall: (packet, userdata) => this.upcall("action", packet, userdata),
    classify: () => this.classify(),
  });
  private readonly frame = this.engine.frame;
  private readonly meterBands = new Map<number, number>();
  readonly conntrack = new RemoteConntrack(
    (change) => this.engine.tracker.change(change),
    (ask) => Promise.resolve(this.engine.tracker.answer(ask, this.now())),
  );
  private readonly listeners: DatapathListener[] = [];
  private transmitListener: ((portNo: number, packet: Packet) => void) | undefined;
  private upcalls = 0;
  private closed = false;
  private readonly now: () => number;

  constructor(private readonly options: MemoryDatapathOptions) {
    this.maxFlows = options.maxFlows ?? 200_000;
    this.now = options.now ?? (() => performance.now());
  }

  listen(listener: DatapathListener): void {
    this.listeners.push(listener);
  }

  addPort(spec: DpPortSpec): Promise<DpPort> {
    if (this.closed) return refuse("system", "the datapath is closed");
    for (const port of this.portMap.values()) {
      if (port.name === spec.name) {
        return refuse("exists", `a port named ${spec.name} is already in the datapath`);
      }
    }
    const { devices } = this.options;
    if (spec.type === "device" && devices && !devices.has(spec.name)) {
      return refuse("no-device", `no device named ${spec.name}; create it, or check its name`);
    }
    const portNo = this.freeNumber(spec.name);
    let files: MemoryPcapPort | undefined;
    try {
      files = spec.pcap &&
        new MemoryPcapPort(spec.pcap, this.now, (data) => this.inject(portNo, { data }));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return refuse("system", `cannot add pcap port ${spec.name}: ${why}`);
    }
    const port: MemoryPort = {
      ...spec,
      portNo,
      files,
      ifindex: 1000 + portNo,
      stats: noPortStats(),
      sent: [],
    };
    this.portMap.set(portNo, port);
    if (spec.tunnel) this.engine.tunnelPorts.set(portNo, spec.tunnel);
    return Promise.resolve(port);
  }

  private freeNumber(name: string): number {
    const isTaken = (portNo: number): boolean => this.portMap.has(portNo);
    if (this.options.portNumber) return this.options.portNumber(name, isTaken);
    let portNo = 0;
    while (isTaken(portNo)) portNo++;
    return portNo;
  }

  removePort(portNo: number): Promise<void> {
    this.portMap.get(portNo)?.files?.close();
    if (!this.portMap.delete(portNo)) {
      return refuse("no-such-port", `the datapath has no port ${portNo}`);
    }
    this.engine.tunnelPorts.delete(portNo);
    return Promise.resolve();
  }

  ports(): ReadonlyMap<number, DpPort> {
    return this.portMap;
  }

  portStats(portNo: number): DpPortStats | undefined {
    const port = this.portMap.get(portNo);
    return port && { ...port.stats };
  }

  putFlow(flow: DpFlow): void {
    if (!this.table.has(flow.id) && this.table.size >= this.maxFlows) {
      throw new DatapathError("full", `the datapath holds ${this.maxFlows} flows already`);
    }
    const program = programAt(encodeProgram(flow.actions));
    if (!this.table.has(flow.id)) this.stats.set(flow.id, noFlowStats());
    this.table.put(flow);
    this.programs.set(flow.id, program);
  }

  deleteFlow(id: number): void {
    this.table.delete(id);
  }

  flowStats(id: number): DpFlowStats {
    return { ...(this.stats.get(id) ?? noFlowStats()) };
  }

  flows(): Iterable<DpFlow> {
    return this.table.list();
  }

  execute(
    packet: Packet,
    actions: readonly DpAction[],
    inPort: number,
    metadata?: FlowKey,
  ): void {
    const program = programAt(encodeProgram(actions));
    this.load(packet, inPort, metadata);
    this.engine.runProgram(program);
  }

  setMeter(id: number, meter: DpMeter): void {
    checkMeter(id, meter);
    this.engine.meters.set(id, meter);
    this.meterBands.set(id, meter.bands.length);
  }

  deleteMeter(id: number): void {
    this.engine.meters.delete(id);
    this.meterBands.delete(id);
  }

  meterStats(id: number): DpMeterStats | undefined {
    const bands = this.meterBands.get(id);
    return bands === undefined ? undefined : readMeterStats(this.engine.meterStats, id, bands);
  }

  setVlanLimit(limit: 1 | 2): void {
    this.frame.vlanLimit = limit;
  }

  barrier(): Promise<void> {
    return new Promise((resolve) => queueMicrotask(resolve));
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(COUNTERS.map((name, i) => [name, this.counts[i]!]));
  }

  close(): Promise<void> {
    this.closed = true;
    for (const { files } of this.portMap.values()) files?.close();
    this.portMap.clear();
    this.listeners.length = 0;
    return Promise.resolve();
  }

  inject(portNo: number, packet: Packet): void {
    const port = this.portMap.get(portNo);
    if (!port) throw new DatapathError("no-such-port", `the datapath has no port ${portNo}`);
    port.stats.rxPackets++;
    port.stats.rxBytes += packet.data.length;
    this.load(packet, portNo);
    const { result } = this.frame;
    if (result !== 0) this.count(PARSE_COUNTER_BASE + result);
    if (result === ETH_TOO_SHORT) {
      port.stats.rxErrors++;
      return;
    }
    this.classify();
  }

  /** The flow of the packet as it is now acts on it. */
  private classify(): void {
    const { frame } = this;
    const flow = this.table.lookup(frame.key);
    if (!flow) {
      this.count(MISS);
      this.upcall("miss", packetOf(frame, Infinity), 0);
      return;
    }
    this.count(MASKED_HIT);
    const stats = this.stats.get(flow.id)!;
    stats.packets++;
    stats.bytes += frame.length;
    stats.lastUsedMs = this.now();
    const { bytes } = frame.key;
    stats.tcpFlags |= (bytes[TCP_FLAGS]! << 8) | bytes[TCP_FLAGS + 1]!;
    this.engine.runProgram(this.programs.get(flow.id)!);
  }

  transmitted(portNo: number): Packet[] {
    return this.portMap.get(portNo)?.sent.splice(0) ?? [];
  }

  onTransmit(listener: (portNo: number, packet: Packet) => void): void {
    this.transmitListener = listener;
  }

  loseDevice(portNo: number, reason: string): void {
    if (!this.portMap.delete(portNo)) return;
    queueMicrotask(() => {
      for (const listener of this.listeners) listener.portLost(portNo, reason);
    });
  }

  private count(counter: number): void {
    this.counts[counter]!++;
  }

  /** Copies the packet behind headroom and parses it there. */
  private load(packet: Packet, inPort: number, metadata?: FlowKey): void {
    const { engine, frame } = this;
    const at = HEADROOM_BYTES + VNET_BYTES;
    const buffer = new Uint8Array(at + packet.data.length);
    buffer.set(packet.data, at);
    if (packet.vnet) buffer.set(packet.vnet.subarray(0, VNET_BYTES), HEADROOM_BYTES);
    engine.begin(this.now());
    frame.set(buffer, at, packet.data.length, true, 0);
    if (metadata) frame.packetType = swap32(metadata.words[METADATA_WORD]!);
    extract(frame, inPort, 0, 0);
    if (!metadata) return;
    adoptMetadata(frame, metadata.words, METADATA_WORD, DP_KEY_WORDS - METADATA_WORD);
    frame.key.words[W_RECIRC] = metadata.words[W_RECIRC]!;
  }

  private output(portNo: number, limit: number): void {
    const port = this.portMap.get(portNo);
    // Through a tunnel's port nothing leaves: its packets are pushed through another.
    if (!port || port.type === "tunnel") {
      this.count(NO_PORT);
      return;
    }
    if (this.frame.packetType !== 0) {
      this.count(NO_ETHERNET);
      return;
    }
    const packet = packetOf(this.frame, limit);
    if (port.files) {
      if (port.files.transmit(packet)) {
        port.stats.txPackets++;
        port.stats.txBytes += packet.data.length;
      } else port.stats.txErrors++;
      return;
    }
    port.stats.txPackets++;
    port.stats.txBytes += packet.data.length;
    port.sent.push(packet);
    queueMicrotask(() => this.transmitListener?.(portNo, packet));
  }

  private upcall(reason: UpcallReason, packet: Packet, userdata: number): void {
    if (this.upcalls >= (this.options.maxUpcalls ?? 1024)) {
      this.count(RING_FULL);
      return;
    }
    this.count(UPCALLS);
    this.upcalls++;
    const key = new FlowKey();
    key.bytes.set(this.frame.key.bytes.subarray(0, DP_KEY_BYTES));
    queueMicrotask(() => {
      this.upcalls--;
      for (const listener of this.listeners) listener.upcall({ reason, packet, key, userdata });
    });
  }
}

function refuse(code: DatapathError["code"], message: string): Promise<never> {
  return Promise.reject(new DatapathError(code, message));
}

function noPortStats(): DpPortStats {
  return {
    rxPackets: 0,
    txPackets: 0,
    rxBytes: 0,
    txBytes: 0,
    rxDropped: 0,
    txDropped: 0,
    rxErrors: 0,
    txErrors: 0,
  };
}

function noFlowStats(): DpFlowStats {
  return { packets: 0, bytes: 0, lastUsedMs: 0, tcpFlags: 0 };
}
