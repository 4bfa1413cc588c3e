/**
 * The memory that the main thread and one worker share, and what stands where in it.
 *
 *     control words | command ring ctl | upcall ring ctl | handoff ring ctl … | counters |
 *     port statistics | upcall bytes by port | port traffic | flow statistics | meter statistics |
 *     command ring | upcall ring | handoff rings …
 *
 * - Handoff rings (handoff.ts): of worker 0 only, one from each other worker. They see its memory too.
 * - Rings (ring.ts): commands main → worker, upcalls worker → main. Each side sets its *sleeping*
 *   word before it waits and looks at its ring once more after; whoever puts something into a ring
 *   wakes the other side only if it can change that word from 1 to 0. So a busy side is never woken.
 * - Statistics and counters are written by the worker only and read in place: each is an aligned
 *   64-bit number, which is read whole.
 * - `upcall bytes by port` counts what a port has in the upcall ring: the worker adds, main subtracts.
 *   The last one stands for all numbers that are no port's (packets executed "from nowhere").
 */
import type { DpFlowStats, DpPortStats } from "../datapath.ts";
import { COUNTERS } from "../engine/counters.ts";
import { MAX_METERS, METER_STATS } from "../engine/meters.ts";
import { TRAFFIC_DOUBLES } from "./port-traffic.ts";
import { RING_CONTROL_WORDS, RingMemory } from "./ring.ts";

export { counterIndex, type CounterName, COUNTERS } from "../engine/counters.ts";

export const MAX_PORTS = 65535;
export const MAX_FLOWS = 1 << 18;
/** Forwarding workers of a datapath, at most. */
export const MAX_WORKERS = 8;

/** Indexes of the control words. */
export const CTL_WORKER_SLEEPING = 0;
export const CTL_MAIN_SLEEPING = 16;
/** Sequence number of the newest barrier that the worker has passed. */
export const CTL_BARRIER = 32;
/** 1: main holds commands that did not fit; the worker wakes it when it has made room. */
export const CTL_BACKLOG = 48;
const CONTROL_WORDS = 64;

/** Order of a port's statistics, 8 doubles. */
export const PORT_RX_PACKETS = 0;
export const PORT_TX_PACKETS = 1;
export const PORT_RX_BYTES = 2;
export const PORT_TX_BYTES = 3;
export const PORT_RX_DROPPED = 4;
export const PORT_TX_DROPPED = 5;
export const PORT_RX_ERRORS = 6;
export const PORT_TX_ERRORS = 7;
export const PORT_STATS = 8;

/** A flow's record, 32 bytes: packets f64, bytes f64, last used f64 (ms), TCP flags i32, unused. */
export const FLOW_STATS_DOUBLES = 4;
export const FLOW_TCP_FLAGS_WORD = 6;

const COMMAND_RING_BYTES = 1 << 20;
const UPCALL_RING_BYTES = 4 << 20;
const HANDOFF_RING_BYTES = 2 << 20;

interface Layout {
  readonly control: number;
  readonly commandControl: number;
  readonly upcallControl: number;
  readonly handoffControl: number;
  readonly counters: number;
  readonly portStats: number;
  readonly upcallBytes: number;
  readonly traffic: number;
  readonly flowStats: number;
  readonly meterStats: number;
  readonly commands: number;
  readonly upcalls: number;
  readonly handoffs: number;
  readonly total: number;
}

function layOut(): Layout {
  let at = 0;
  const take = (bytes: number): number => {
    const here = at;
    at = (at + bytes + 127) & ~127;
    return here;
  };
  return {
    control: take(CONTROL_WORDS * 4),
    commandControl: take(RING_CONTROL_WORDS * 4),
    upcallControl: take(RING_CONTROL_WORDS * 4),
    handoffControl: take(MAX_WORKERS * RING_CONTROL_WORDS * 4),
    counters: take(COUNTERS.length * 8),
    portStats: take(MAX_PORTS * PORT_STATS * 8),
    upcallBytes: take((MAX_PORTS + 1) * 4),
    traffic: take(MAX_PORTS * TRAFFIC_DOUBLES * 8),
    flowStats: take(MAX_FLOWS * FLOW_STATS_DOUBLES * 8),
    meterStats: take(MAX_METERS * METER_STATS * 8),
    commands: take(COMMAND_RING_BYTES),
    upcalls: take(UPCALL_RING_BYTES),
    handoffs: take(MAX_WORKERS * HANDOFF_RING_BYTES),
    total: at,
  };
}
const LAYOUT = layOut();

/** All threads concerned build one over the same buffer. Pages are taken only when they are touched. */
export class SharedState {
  readonly control: Int32Array;
  readonly counters: Float64Array;
  readonly portStats: Float64Array;
  readonly upcallBytes: Int32Array;
  /** Of port-traffic.ts. */
  readonly traffic: Float64Array;
  readonly flowStats: Float64Array;
  /** The same memory as `flowStats`, for TCP flags. */
  readonly flowWords: Int32Array;
  /** Of engine/meters.ts. */
  readonly meterStats: Float64Array;
  readonly commands: RingMemory;
  readonly upcalls: RingMemory;

  constructor(readonly buffer: SharedArrayBuffer = new SharedArrayBuffer(LAYOUT.total)) {
    this.control = new Int32Array(buffer, LAYOUT.control, CONTROL_WORDS);
    this.counters = new Float64Array(buffer, LAYOUT.counters, COUNTERS.length);
    this.portStats = new Float64Array(buffer, LAYOUT.portStats, MAX_PORTS * PORT_STATS);
    this.upcallBytes = new Int32Array(buffer, LAYOUT.upcallBytes, MAX_PORTS + 1);
    this.traffic = new Float64Array(buffer, LAYOUT.traffic, MAX_PORTS * TRAFFIC_DOUBLES);
    const flowDoubles = MAX_FLOWS * FLOW_STATS_DOUBLES;
    this.flowStats = new Float64Array(buffer, LAYOUT.flowStats, flowDoubles);
    this.flowWords = new Int32Array(buffer, LAYOUT.flowStats, flowDoubles * 2);
    this.meterStats = new Float64Array(buffer, LAYOUT.meterStats, MAX_METERS * METER_STATS);
    this.commands = new RingMemory(
      buffer,
      LAYOUT.commandControl,
      LAYOUT.commands,
      COMMAND_RING_BYTES,
    );
    this.upcalls = new RingMemory(buffer, LAYOUT.upcallControl, LAYOUT.upcalls, UPCALL_RING_BYTES);
  }

  /** The ring in which worker `from` hands packets to the worker whose memory this is. */
  handoff(from: number): RingMemory {
    return new RingMemory(
      this.buffer,
      LAYOUT.handoffControl + from * RING_CONTROL_WORDS * 4,
      LAYOUT.handoffs + from * HANDOFF_RING_BYTES,
      HANDOFF_RING_BYTES,
    );
  }

  readPortStats(portNo: number): DpPortStats {
    const { portStats } = this;
    const at = portNo * PORT_STATS;
    return {
      rxPackets: portStats[at + PORT_RX_PACKETS]!,
      txPackets: portStats[at + PORT_TX_PACKETS]!,
      rxBytes: portStats[at + PORT_RX_BYTES]!,
      txBytes: portStats[at + PORT_TX_BYTES]!,
      rxDropped: portStats[at + PORT_RX_DROPPED]!,
      txDropped: portStats[at + PORT_TX_DROPPED]!,
      rxErrors: portStats[at + PORT_RX_ERRORS]!,
      txErrors: portStats[at + PORT_TX_ERRORS]!,
    };
  }

  clearPortStats(portNo: number): void {
    this.portStats.fill(0, portNo * PORT_STATS, (portNo + 1) * PORT_STATS);
  }

  /** Zero for an id that does not exist. */
  readFlowStats(id: number): DpFlowStats {
    const { flowStats, flowWords } = this;
    const at = id * FLOW_STATS_DOUBLES;
    return {
      packets: flowStats[at] ?? 0,
      bytes: flowStats[at + 1] ?? 0,
      lastUsedMs: flowStats[at + 2] ?? 0,
      tcpFlags: flowWords[at * 2 + FLOW_TCP_FLAGS_WORD] ?? 0,
    };
  }

  flowPackets(id: number): number {
    return this.flowStats[id * FLOW_STATS_DOUBLES] ?? 0;
  }

  clearFlowStats(id: number): void {
    const end = (id + 1) * FLOW_STATS_DOUBLES;
    for (let at = id * FLOW_STATS_DOUBLES; at < end; at++) this.flowStats[at] = 0;
  }
}
