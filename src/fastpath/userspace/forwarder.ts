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
import { Frame, VNET_BYTES } from "../../packet/frame.ts";
import { COMMON_BYTES, slot } from "../../packet/layout.ts";
import { plainStart } from "../../packet/vnet.ts";
import { popVlan, pushVlan, setSlot } from "../../packet/rewrite.ts";
import { Arena, type FrameMemory, HEADROOM_BYTES } from "./arena.ts";
import { ExactCache, hashWords } from "./exact-cache.ts";
import { MegaflowTable } from "./megaflows.ts";
import {
  OP_COPY,
  OP_END,
  OP_OUTPUT,
  OP_POP_VLAN,
  OP_PUSH_VLAN,
  OP_SET,
  OP_SET_KEY,
  OP_TRUNC,
  OP_USERSPACE,
  type Program,
} from "./program.ts";
import {
  counterIndex,
  FLOW_STATS_DOUBLES,
  FLOW_TCP_FLAGS_WORD,
  MAX_FLOWS,
  PARSE_COUNTER_BASE,
  type SharedState,
} from "./shared.ts";
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
  /** Queues (or does) the send of `length` bytes from `at` on: virtio-net header and frame. */
  transmit(memory: FrameMemory, at: number, length: number): void;
  flush(): void;
}

const EXACT_HIT = counterIndex("exact_hit");
const MASKED_HIT = counterIndex("masked_hit");
const MISS = counterIndex("miss");
const UPCALLS = counterIndex("upcalls");
const NO_ACTIONS = counterIndex("drop_no_actions");
const NO_PORT = counterIndex("drop_tx_no_port");
const NO_ROOM = counterIndex("drop_no_room");
const BAD_PROGRAM = counterIndex("drop_bad_program");
const NO_HEADER = counterIndex("rewrite_no_header");
const RING_FULL = counterIndex("drop_upcall_ring_full");
const PORT_SHARE = counterIndex("drop_upcall_port_share");
const ETH_TOO_SHORT = EXTRACT_RESULTS.indexOf("eth_too_short");

/** Key words of plain IPv4 traffic; and of IPv6 and ARP without the rarer parts. */
const NARROW_WORDS = COMMON_BYTES >> 2;
const WIDE_WORDS = (slot("ipv6_label").offset + 4) >> 2;
const NARROW_ENTRIES = 1 << 15;
const WIDE_ENTRIES = 1 << 12;
/** A power of two. */
const SAMPLE = 64;
const TCP_FLAGS = slot("tcp_flags").offset;
const PKT_MARK = slot("pkt_mark").offset;
const PKT_MARK_WORDS = (PKT_MARK >> 2) + 1;
const TCP = 6;
const NO_LIMIT = 0x7fffffff;

export class Forwarder {
  readonly frame = new Frame();
  readonly arena = new Arena();
  readonly table = new MegaflowTable(MAX_FLOWS);
  readonly programs: (Program | undefined)[] = [];
  readonly ports: (OutputPort | undefined)[] = [];
  /** Ports with queued sends. */
  readonly owing: OutputPort[] = [];
  /** CLOCK_MONOTONIC of this round, in milliseconds. */
  nowMs = 0;

  private readonly key: Int32Array;
  private readonly narrow = new ExactCache(NARROW_WORDS, NARROW_ENTRIES, this.table.generations);
  private readonly wide = new ExactCache(WIDE_WORDS, WIDE_ENTRIES, this.table.generations);
  private readonly upcalls: UpcallWriter;
  private readonly counters: Float64Array;
  private readonly flowStats: Float64Array;
  private readonly flowWords: Int32Array;
  private lookups = 0;
  /** Where `frame.bytes` is. */
  private memory: FrameMemory = this.arena;

  constructor(shared: SharedState) {
    const { bytes } = this.frame.key;
    this.key = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.upcalls = new UpcallWriter(shared);
    this.counters = shared.counters;
    this.flowStats = shared.flowStats;
    this.flowWords = shared.flowWords;
  }

  count(counter: number, by = 1): void {
    this.counters[counter]! += by;
  }

  /** Makes sure that `length` bytes of arena can be taken; call it between packets only. */
  makeRoom(length: number): void {
    if (!this.arena.isHot(length)) this.flush();
  }

  /** Sends all that is queued. After it nothing points at rings or arena any more. */
  flush(): void {
    this.send();
    this.arena.reset();
  }

  private send(): void {
    const { owing } = this;
    for (let i = 0; i < owing.length; i++) owing[i]!.flush();
    owing.length = 0;
  }

  /** Forwards `frame`, which was set to a frame with a virtio-net header in `memory`. */
  forward(memory: FrameMemory, inPort: number): void {
    const { frame, counters } = this;
    this.memory = memory;
    const words = extract(frame, inPort, 0, 0);
    if (frame.result !== 0) {
      counters[PARSE_COUNTER_BASE + frame.result]!++;
      if (frame.result === ETH_TOO_SHORT) return;
    }
    const flow = this.lookup(words);
    if (flow < 0) {
      counters[MISS]!++;
      this.upcall(REASON_MISS, 0, inPort, frame.length);
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
    this.run(this.programs[flow]!, inPort);
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

  /** Runs a program on `frame` without looking a flow up. `length` checked by the caller. */
  execute(memory: FrameMemory, inPort: number, program: Program): void {
    this.memory = memory;
    extract(this.frame, inPort, 0, 0);
    this.run(program, inPort);
  }

  private run(program: Program, inPort: number): void {
    const { frame, ports } = this;
    const { code } = program;
    let limit = NO_LIMIT;
    let rewritten = false;
    if (code[0] === OP_END) this.counters[NO_ACTIONS]!++;
    for (let pc = 0;;) {
      switch (code[pc]) {
        case OP_END:
          return;
        case OP_OUTPUT: {
          const port = ports[code[pc + 1]!];
          pc += 2;
          if (!port) this.counters[NO_PORT]!++;
          else if (limit < frame.length) this.transmitCut(port, limit);
          else {
            port.transmit(this.memory, frame.offset - VNET_BYTES, frame.length + VNET_BYTES);
          }
          limit = NO_LIMIT;
          break;
        }
        case OP_USERSPACE:
          if (rewritten) this.extractAgain(inPort);
          this.upcall(REASON_ACTION, code[pc + 1]!, inPort, Math.min(limit, frame.length));
          limit = NO_LIMIT;
          pc += 2;
          break;
        case OP_TRUNC:
          limit = code[pc + 1]!;
          pc += 2;
          break;
        case OP_COPY:
          this.own();
          pc += 1;
          break;
        case OP_SET:
          rewritten = true;
          if (!setSlot(frame, code[pc + 1]!, program.bytes, code[pc + 2]!, code[pc + 3]!)) {
            this.counters[NO_HEADER]!++;
          }
          pc += 4;
          break;
        case OP_PUSH_VLAN:
          rewritten = true;
          if (!pushVlan(frame, code[pc + 1]!, code[pc + 2]!)) {
            if (!this.moveToArena() || !pushVlan(frame, code[pc + 1]!, code[pc + 2]!)) {
              this.counters[NO_ROOM]!++;
              return;
            }
          }
          pc += 3;
          break;
        case OP_POP_VLAN:
          rewritten = true;
          if (!popVlan(frame)) this.counters[NO_HEADER]!++;
          pc += 1;
          break;
        case OP_SET_KEY:
          this.setKey(program, code[pc + 1]!, code[pc + 2]!, code[pc + 3]!, code[pc + 4]!);
          pc += 5;
          break;
        default:
          this.counters[BAD_PROGRAM]!++;
          return;
      }
    }
  }

  private upcall(reason: number, userdata: number, inPort: number, length: number): void {
    const { frame } = this;
    const data = length < frame.length ? plainStart(frame, length) : undefined;
    const result = this.upcalls.push(reason, userdata, inPort, frame, data);
    if (result === UPCALL_SENT) this.counters[UPCALLS]!++;
    else this.counters[result === UPCALL_RING_FULL ? RING_FULL : PORT_SHARE]!++;
  }

  /** Makes the frame ours to change: a copy, or at once if no memory is left, by sending what is owed. */
  private own(): void {
    if (!this.moveToArena()) this.send();
  }

  private moveToArena(): boolean {
    const { arena, frame } = this;
    const at = arena.take(HEADROOM_BYTES + VNET_BYTES + frame.length);
    if (at < 0 || !frame.moveTo(arena.bytes, at + HEADROOM_BYTES + VNET_BYTES, at)) return false;
    this.memory = arena;
    return true;
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

  /** The key of the frame as rewritten, metadata kept. */
  private extractAgain(inPort: number): void {
    const { frame, key } = this;
    const mark = frame.keyWords >= PKT_MARK_WORDS ? key[PKT_MARK >> 2]! : 0;
    extract(frame, inPort, 0, 0);
    if (mark === 0) return;
    key[PKT_MARK >> 2] = mark;
    frame.keyWords = Math.max(frame.keyWords, PKT_MARK_WORDS);
  }

  private setKey(program: Program, at: number, length: number, value: number, mask: number): void {
    const { bytes } = this.frame.key;
    const args = program.bytes;
    for (let i = 0; i < length; i++) {
      bytes[at + i] = (bytes[at + i]! & ~args[mask + i]!) | (args[value + i]! & args[mask + i]!);
    }
    this.frame.keyWords = Math.max(this.frame.keyWords, (at + length) >> 2);
  }
}
