/**
 * The forwarder: what happens to one frame. Key, flow, actions; or an upcall.
 *
 *     extract ──> exact-match cache ──> megaflows ──> upcall (miss)
 *             (if there are many masks)
 *                        │ hit             │ hit
 *                        └────────┬────────┘
 *                                 v
 *                     statistics, then the program: outputs queue sends that point at the frame
 *
 * Invariants
 * - One `Frame`, one key; nothing is allocated for a packet that hits.
 * - A queued send points into a receive ring or the arena. `flush` performs all sends; until then
 *   the frame may not be changed (programs hold a COPY where they must) nor its memory reused.
 * - The arena is reset only by `flush` at the end of a batch, or between packets.
 */
import { extract, EXTRACT_RESULTS } from "../../packet/extract.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { COMMON_BYTES, slot } from "../../packet/layout.ts";
import { plainStart } from "../../packet/vnet.ts";
import { Tracker } from "../conntrack/tracker.ts";
import { counterIndex, PARSE_COUNTER_BASE } from "../engine/counters.ts";
import { Executor } from "../engine/executor.ts";
import { adoptMetadata, swap32 } from "../engine/metadata.ts";
import { MeterTable } from "../engine/meters.ts";
import { fingerprint } from "../engine/encode.ts";
import { OP_COPY, OP_CT, type Program } from "../engine/opcodes.ts";
import type { Handoff } from "./handoff.ts";
import { Arena, type FrameMemory } from "./arena.ts";
import { ExactCache, hashWords } from "./exact-cache.ts";
import { MegaflowTable } from "./megaflows.ts";
import { SharedPrograms } from "./shared-programs.ts";
import { FLOW_STATS_DOUBLES, FLOW_TCP_FLAGS_WORD, MAX_FLOWS, type SharedState } from "./shared.ts";
import {
  REASON_ACTION,
  REASON_MISS,
  UPCALL_RING_FULL,
  UPCALL_SENT,
  UpcallWriter,
} from "./upcalls.ts";

/** Where an output goes. */
export interface OutputPort {
  readonly portNo: number;
  /** Takes packets without an Ethernet header. */
  readonly layer3?: boolean;
  /** Queues (or does) the send of `length` bytes from `at` on: virtio-net header and frame. */
  transmit(memory: FrameMemory, at: number, length: number): void;
  flush(): void;
}

const EXACT_HIT = counterIndex("exact_hit");
const MASKED_HIT = counterIndex("masked_hit");
const MISS = counterIndex("miss");
const UPCALLS = counterIndex("upcalls");
const HANDOFFS = counterIndex("handoffs");
const HANDOFF_FULL = counterIndex("drop_handoff_full");
const NO_ETHERNET = counterIndex("drop_tx_no_ethernet");
const NO_PORT = counterIndex("drop_tx_no_port");
const FLOW_CHANGED = counterIndex("drop_punt_flow_changed");
const NO_ROOM = counterIndex("drop_no_room");
const RING_FULL = counterIndex("drop_upcall_ring_full");
const PORT_SHARE = counterIndex("drop_upcall_port_share");
const ETH_TOO_SHORT = EXTRACT_RESULTS.indexOf("eth_too_short");

/** Key words of plain IPv4 traffic; and of IPv6 and ARP without the rarer parts. */
const NARROW_WORDS = COMMON_BYTES >> 2;
const WIDE_WORDS = (slot("ipv6_exthdr").offset + 4) >> 2;
const NARROW_ENTRIES = 1 << 15;
const WIDE_ENTRIES = 1 << 12;
/** A power of two. */
const SAMPLE = 64;
const TCP_FLAGS = slot("tcp_flags").offset;
const IN_PORT = slot("in_port").offset >> 2;
const RECIRC = slot("recirc_id").offset;
const TCP = 6;

export class Forwarder extends Executor {
  readonly arena: Arena;
  readonly table = new MegaflowTable(MAX_FLOWS);
  readonly programs: (Program | undefined)[] = [];
  readonly sharedPrograms = new SharedPrograms();
  /** By flow id: 1 if its packets may be treated by worker 0 only. */
  readonly owned = new Uint8Array(MAX_FLOWS);
  readonly ports: (OutputPort | undefined)[] = [];
  /** Ports with queued sends. */
  readonly owing: OutputPort[] = [];
  private readonly key: Int32Array;
  private readonly narrow = new ExactCache(NARROW_WORDS, NARROW_ENTRIES, this.table.generations);
  private readonly wide = new ExactCache(WIDE_WORDS, WIDE_ENTRIES, this.table.generations);
  private readonly upcalls: UpcallWriter;
  private readonly flowStats: Float64Array;
  private readonly flowWords: Int32Array;
  private lookups = 0;
  /** Where `frame.bytes` is, if not in the arena. */
  private memory: FrameMemory;
  /** The port that the packet came in by. */
  private inPort = 0;

  /** `handoff`: the way to worker 0; absent in worker 0 itself. */
  constructor(shared: SharedState, private readonly handoff?: Handoff) {
    const arena = new Arena();
    super(arena, shared.counters, new MeterTable(shared.meterStats), new Tracker());
    this.arena = arena;
    this.memory = arena;
    const { bytes } = this.frame.key;
    this.key = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.upcalls = new UpcallWriter(shared);
    this.flowStats = shared.flowStats;
    this.flowWords = shared.flowWords;
  }

  /** Makes sure that `length` bytes of arena can be taken; call it between packets only. */
  makeRoom(length: number): void {
    if (!this.arena.isHot(length)) this.flush();
  }

  /** Sends all that is queued. After it nothing points at rings or arena any more. */
  flush(): void {
    this.finishSends();
    this.arena.reset();
  }

  protected finishSends(): void {
    const { owing } = this;
    for (let i = 0; i < owing.length; i++) owing[i]!.flush();
    owing.length = 0;
  }

  /** Forwards `frame`, which was set to a frame with a virtio-net header in `memory`. */
  forward(memory: FrameMemory, inPort: number): void {
    const { frame, counters } = this;
    this.memory = memory;
    this.inPort = inPort;
    this.stale = false;
    extract(frame, inPort, 0, 0);
    if (frame.result !== 0) {
      counters[PARSE_COUNTER_BASE + frame.result]!++;
      if (frame.result === ETH_TOO_SHORT) return;
    }
    this.classify();
  }

  /**
   * Forwards `frame`, whose key is up to date: what came out of a tunnel, its metadata in place.
   */
  forwardInner(memory: FrameMemory, inPort: number): void {
    const { frame, counters, key } = this;
    this.memory = memory;
    this.inPort = inPort;
    this.stale = false;
    key[IN_PORT] = swap32(inPort);
    key[RECIRC >> 2] = 0;
    if (frame.result !== 0) counters[PARSE_COUNTER_BASE + frame.result]!++;
    if (frame.result !== ETH_TOO_SHORT) this.classify();
  }

  protected classify(): void {
    const { frame, counters } = this;
    const flow = this.lookup(frame.keyWords);
    if (flow < 0) {
      counters[MISS]!++;
      this.upcall(REASON_MISS, 0, frame.length);
      return;
    }
    if (this.handoff && this.owned[flow] === 1) {
      counters[this.handoff.push(frame) ? HANDOFFS : HANDOFF_FULL]!++;
      return;
    }
    const { flowStats } = this;
    const record = flow * FLOW_STATS_DOUBLES;
    flowStats[record]!++;
    flowStats[record + 1]! += frame.length;
    flowStats[record + 2] = this.nowMs;
    if (frame.l4Type === TCP) {
      const { bytes } = frame.key;
      const flags = (bytes[TCP_FLAGS]! << 8) | bytes[TCP_FLAGS + 1]!;
      this.flowWords[record * 2 + FLOW_TCP_FLAGS_WORD]! |= flags;
    }
    this.execute(this.programs[flow]!);
  }

  /**
   * The flow id for the key of `words` words, or -1. With few masks to try, the table itself is as
   * quick as the exact-match cache, and does not suffer from many flows. One packet in SAMPLE goes
   * to the table in any case: that keeps its ranking of masks true.
   */
  private lookup(words: number): number {
    const { key, counters, table } = this;
    if (!table.isDeep || words > WIDE_WORDS || (this.lookups++ & (SAMPLE - 1)) === 0) {
      const flow = table.lookup(key);
      if (flow >= 0) counters[MASKED_HIT]!++;
      return flow;
    }
    const cache = words <= NARROW_WORDS ? this.narrow : this.wide;
    const hash = hashWords(key, cache.keyWords);
    let flow = cache.lookup(key, hash);
    if (flow >= 0) {
      counters[EXACT_HIT]!++;
      return flow;
    }
    flow = table.lookup(key);
    if (flow < 0) return flow;
    counters[MASKED_HIT]!++;
    cache.insert(key, hash, flow);
    return flow;
  }

  /**
   * Runs a program on `frame` without looking a flow up. `length` checked by the caller. `metadata`
   * counts `metadataWords` words from `metadataAt` on, as they stand in a key from METADATA_WORD on.
   */
  executeOn(
    memory: FrameMemory,
    inPort: number,
    program: Program,
    recircId = 0,
    metadata: Int32Array = program.code,
    metadataAt = 0,
    metadataWords = 0,
  ): void {
    this.parse(memory, inPort, recircId, metadata, metadataAt, metadataWords);
    this.execute(program);
  }

  /** Goes on with a packet that another worker has begun with; arguments as those of `executeOn`. */
  forwardOn(
    memory: FrameMemory,
    inPort: number,
    recircId: number,
    metadata: Int32Array,
    metadataAt: number,
    metadataWords: number,
  ): void {
    this.parse(memory, inPort, recircId, metadata, metadataAt, metadataWords);
    this.classify();
  }

  /**
   * Goes on in the middle of a flow's program, with a packet that the kernel has brought so far, if it
   * is still the same program; else drops it. Other arguments as those of `executeOn`.
   */
  resumeFlow(
    memory: FrameMemory,
    inPort: number,
    recircId: number,
    metadata: Int32Array,
    metadataWords: number,
    flow: number,
    print: number,
    place: number,
  ): void {
    const program = this.programs[flow];
    const op = program?.code[place];
    if (!program || (op !== OP_CT && op !== OP_COPY) || fingerprint(program.code) !== print) {
      this.counters[FLOW_CHANGED]!++;
      return;
    }
    this.parse(memory, inPort, recircId, metadata, 0, metadataWords);
    this.resume(program, place);
  }

  private parse(
    memory: FrameMemory,
    inPort: number,
    recircId: number,
    metadata: Int32Array,
    metadataAt: number,
    metadataWords: number,
  ): void {
    const { frame } = this;
    this.memory = memory;
    this.inPort = inPort;
    this.stale = false;
    if (metadataWords > 0) frame.packetType = swap32(metadata[metadataAt]!);
    extract(frame, inPort, 0, 0);
    if (metadataWords > 0) adoptMetadata(frame, metadata, metadataAt, metadataWords);
    if (recircId !== 0) this.key[RECIRC >> 2] = recircId;
  }

  protected transmit(portNo: number, limit: number): void {
    const { frame } = this;
    const port = this.ports[portNo];
    if (!port) this.counters[NO_PORT]!++;
    else if (frame.packetType !== 0 && !port.layer3) this.counters[NO_ETHERNET]!++;
    else if (limit < frame.length) this.transmitCut(port, limit);
    else {
      const memory = frame.bytes === this.arena.bytes ? this.arena : this.memory;
      port.transmit(memory, frame.offset - VNET_BYTES, frame.length + VNET_BYTES);
    }
  }

  protected userspace(userdata: number, limit: number): void {
    this.upcall(REASON_ACTION, userdata, Math.min(limit, this.frame.length));
  }

  private upcall(reason: number, userdata: number, length: number): void {
    const { frame } = this;
    const data = length < frame.length ? plainStart(frame, length) : undefined;
    const result = this.upcalls.push(reason, userdata, this.inPort, frame, data);
    if (result === UPCALL_SENT) this.counters[UPCALLS]!++;
    else this.counters[result === UPCALL_RING_FULL ? RING_FULL : PORT_SHARE]!++;
  }

  /** Sends what is left of the frame when it is cut. */
  private transmitCut(port: OutputPort, limit: number): void {
    const start = plainStart(this.frame, limit);
    const at = this.copyPlain(start);
    if (at >= 0) port.transmit(this.arena, at, VNET_BYTES + start.length);
  }

  /** Copies a plain frame into the arena, behind an empty virtio-net header; -1 without room. */
  private copyPlain(data: Uint8Array): number {
    const { arena } = this;
    const at = arena.take(VNET_BYTES + data.length);
    if (at < 0) this.counters[NO_ROOM]!++;
    else {
      arena.bytes.fill(0, at, at + VNET_BYTES);
      arena.bytes.set(data, at + VNET_BYTES);
    }
    return at;
  }
}
