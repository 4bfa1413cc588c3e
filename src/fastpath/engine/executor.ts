/**
 * Runs action programs (opcodes.ts) on one frame after the other: what every datapath of this
 * process does to a packet, written once. A datapath extends it by what is its own: where outputs
 * go (`transmit`), how upcalls travel (`upcall`) and how a key finds its flow (`classify`).
 *
 *     frame, key ──> run(program) ──> transmit(port) …
 *                        │  recirc ──> classify() ──> run(its program) ──> …
 *                        │  clone, sample, check_pkt_len ──> run(nested list), all put back
 *                        └─ ct ──> the connection tracker
 *
 * Invariants
 * - One frame, one key, nothing allocated for a packet, except where offloads must be ended in
 *   software (a cut packet, a super-packet that gets an MPLS label) and for connections.
 * - `transmit` may keep pointing at the frame until `finishSends`: programs hold a COPY before a
 *   rewrite of such a frame. Copies lie in `scratch`, which the datapath empties between packets.
 * - `stale` says that headers were changed since they were parsed: the key is brought up to date
 *   only when somebody looks at it (an upcall, a hash, conntrack, recirculation). Layer offsets in
 *   the frame are always right.
 * - Recirculation ends after MAX_DEPTH rounds, as in Open vSwitch: a loop of flows drops.
 */
import { DONE, NO_ROOM as ENCAP_NO_ROOM } from "../../packet/encap.ts";
import { extractAgain } from "../../packet/extract.ts";
import { Frame, VNET_BYTES, VNET_F_NEEDS_CSUM } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { popVlan, pushVlan, setSlot } from "../../packet/rewrite.ts";
import { copyTtlIn, copyTtlOut } from "../../packet/ttl.ts";
import { plainFrames, SegmentError } from "../../packet/vnet.ts";
import type { Tracker } from "../conntrack/tracker.ts";
import type { TunnelKind } from "../actions.ts";
import { PUNT_DECIDED } from "../punts.ts";
import { popTunnel } from "../tunnels/pop.ts";
import { Segments } from "../tunnels/segments.ts";
import { encapSize, encapsulate } from "./encapsulate.ts";
import { counterIndex, CT_COUNTER_BASE, DROP_ACTION_BASE, tunnelError } from "./counters.ts";
import { hashFiveTupleWithBasis, hashSymmetric, hashWide } from "./flow-hash.ts";
import { METER_DROP, METER_REMARK, type MeterTable, remark } from "./meters.ts";
import {
  HASH_L4,
  HASH_WIDE,
  IN_PLACE,
  KEEP_FRAME,
  OP_CHECK_LEN,
  OP_CLONE,
  OP_COPY,
  OP_CT,
  OP_CT_CLEAR,
  OP_DROP,
  OP_END,
  OP_HASH,
  OP_METER,
  OP_OUTPUT,
  OP_POP_VLAN,
  OP_PUSH_MPLS,
  OP_PUSH_NSH,
  OP_PUSH_PBB,
  OP_PUSH_VLAN,
  OP_RECIRC,
  OP_SAMPLE,
  OP_SET,
  OP_SET_KEY,
  OP_TNL_POP,
  OP_TNL_PUSH,
  OP_TRUNC,
  OP_TTL_IN,
  OP_TTL_OUT,
  OP_TUNNEL,
  OP_USERSPACE,
  type Program,
} from "./opcodes.ts";
import { clearConntrack, setMasked, setTunnelWords, setWord, swap32 } from "./metadata.ts";
import { SavedFrame } from "./saved-frame.ts";
import { longestSegment, segments, segmentSize } from "./super-packet.ts";

const NO_ACTIONS = counterIndex("drop_no_actions");
const NO_ROOM = counterIndex("drop_no_room");
const BAD_PROGRAM = counterIndex("drop_bad_program");
const NO_HEADER = counterIndex("rewrite_no_header");
const METERED = counterIndex("drop_meter");
const DEPTH_LIMIT = counterIndex("drop_recirculation_limit");
const NO_TUNNEL = counterIndex("drop_tunnel_no_port");
const RECIRCULATIONS = counterIndex("recirculations");

const NO_LIMIT = 0x7fffffff;
/** As `MAX_RECIRC_DEPTH` of Open vSwitch's userspace datapath. */
const MAX_DEPTH = 6;
/** In front of each frame in scratch memory, for pushed headers; a Geneve header with options fits. */
export const HEADROOM_BYTES = 384;

const W_IN_PORT = slot("in_port").offset >> 2;
const W_RECIRC = slot("recirc_id").offset >> 2;
const W_DP_HASH = slot("dp_hash").offset >> 2;

/** Memory for copies of frames, given out by moving a mark. */
export interface Scratch {
  readonly bytes: Uint8Array;
  /** Offset of `length` bytes, or -1 if so much is not left. */
  take(length: number): number;
}

export abstract class Executor {
  readonly frame = new Frame();
  /** CLOCK_MONOTONIC of this round, in milliseconds. */
  nowMs = 0;
  /** Headers were changed since they were parsed. */
  stale = false;
  /** What was diced for this packet's samples where it came from (../punts.ts); 0: nothing. */
  decisions = 0;
  private depth = 0;
  private level = 0;
  private readonly saved: SavedFrame[] = [];
  private readonly segments = new Segments();
  /** A view of the memory that a super-packet was last cut in. */
  private wordBytes: Uint8Array | undefined;
  private words: Int32Array = new Int32Array(0);
  /** Sequence numbers of tunnels that want them. */
  private readonly sequence = { next: 0 };
  /** What the datapath ports that take tunnelled packets take off. */
  readonly tunnelPorts: Map<number, TunnelKind> = new Map();

  protected constructor(
    protected readonly scratch: Scratch,
    readonly counters: Float64Array,
    readonly meters: MeterTable,
    readonly tracker: Tracker,
  ) {
    tracker.countInto(counters, CT_COUNTER_BASE);
  }

  /** Sends the frame as it is, or its first `limit` bytes. */
  protected abstract transmit(portNo: number, limit: number): void;
  /** Sends the frame as it is to the slow path, as an action upcall. */
  protected abstract userspace(userdata: number, limit: number): void;
  /** Looks the frame's key up and does what the flow says, or makes a miss upcall. */
  protected abstract classify(): void;
  /** Performs the sends that point at frames. */
  protected abstract finishSends(): void;

  count(counter: number, by = 1): void {
    this.counters[counter]! += by;
  }

  /** Runs the program from its start. */
  protected execute(program: Program): void {
    if (program.code[0] === OP_END) this.counters[NO_ACTIONS]!++;
    this.run(program, 0);
  }

  /** Brings the key up to date with the headers. */
  protected refresh(): void {
    if (!this.stale) return;
    extractAgain(this.frame);
    this.stale = false;
  }

  private run(program: Program, start: number): void {
    const { frame } = this;
    const { code } = program;
    let limit = NO_LIMIT;
    for (let pc = start;;) {
      switch (code[pc]) {
        case OP_END:
          return;
        case OP_OUTPUT:
          this.transmit(code[pc + 1]!, limit);
          limit = NO_LIMIT;
          pc += 2;
          break;
        case OP_USERSPACE:
          this.refresh();
          this.userspace(code[pc + 1]!, limit);
          limit = NO_LIMIT;
          pc += 2;
          break;
        case OP_TRUNC:
          limit = code[pc + 1]!;
          pc += 2;
          break;
        case OP_COPY:
          // Without memory for a copy: by sending what is owed at once.
          if (!this.moveToScratch()) this.finishSends();
          pc += 1;
          break;
        case OP_SET:
          this.stale = true;
          if (!setSlot(frame, code[pc + 1]!, program.bytes, code[pc + 2]!, code[pc + 3]!)) {
            this.counters[NO_HEADER]!++;
          }
          pc += 4;
          break;
        case OP_PUSH_VLAN:
          this.stale = true;
          if (!pushVlan(frame, code[pc + 1]!, code[pc + 2]!)) {
            if (frame.packetType !== 0) this.counters[NO_HEADER]!++;
            else if (!this.moveToScratch() || !pushVlan(frame, code[pc + 1]!, code[pc + 2]!)) {
              this.counters[NO_ROOM]!++;
              return;
            }
          }
          pc += 3;
          break;
        case OP_POP_VLAN:
          this.stale = true;
          if (!popVlan(frame)) this.counters[NO_HEADER]!++;
          pc += 1;
          break;
        case OP_SET_KEY:
          setMasked(
            frame,
            program.bytes,
            code[pc + 1]!,
            code[pc + 2]!,
            code[pc + 3]!,
            code[pc + 4]!,
          );
          pc += 5;
          break;
        case OP_RECIRC:
          this.recirculate(code[pc + 1]!);
          pc += 2;
          break;
        case OP_CT:
          this.refresh();
          if (!this.tracker.run(this, program, code[pc + 1]! >> 2, pc + 2)) return;
          pc += 2;
          break;
        default:
          pc = this.rare(program, pc);
          if (pc < 0) return;
      }
    }
  }

  /** What few packets need. Where to go on, or -1 if the packet is gone. */
  private rare(program: Program, pc: number): number {
    const { frame } = this;
    const { code } = program;
    switch (code[pc]) {
      case OP_TUNNEL:
        setTunnelWords(frame, code, code[pc + 1]! >> 2, code[pc + 2]!);
        return pc + 3;
      case OP_CT_CLEAR:
        clearConntrack(frame);
        return pc + 1;
      case OP_HASH: {
        this.refresh();
        const basis = code[pc + 2]!;
        const hash = code[pc + 1] === HASH_L4
          ? hashFiveTupleWithBasis(frame.key, basis)
          : code[pc + 1] === HASH_WIDE
          ? hashWide(frame.key, basis >>> 0)
          : hashSymmetric(frame.key, basis >>> 0);
        setWord(frame, W_DP_HASH, swap32(hash));
        return pc + 3;
      }
      case OP_METER:
        return this.meter(code[pc + 1]!) ? pc + 2 : -1;
      case OP_DROP:
        this.counters[DROP_ACTION_BASE + code[pc + 1]!]!++;
        return -1;
      case OP_CLONE:
        this.nested(program, pc + 3, code[pc + 1]!);
        return pc + 3 + code[pc + 2]!;
      case OP_SAMPLE:
        if (this.takes(code[pc + 1]! >>> 0)) {
          this.nested(program, pc + 4, code[pc + 2]!);
        }
        return pc + 4 + code[pc + 3]!;
      case OP_CHECK_LEN: {
        const greater = pc + 4;
        const less = greater + code[pc + 3]!;
        const from = longestSegment(frame) > code[pc + 1]! ? greater : less + 1;
        this.nested(program, from, code[pc + 2]!);
        return less + 1 + code[less]!;
      }
      case OP_TNL_POP:
        this.tunnelled(program, pc);
        return -1;
      case OP_TTL_IN:
        this.stale = true;
        if (!copyTtlIn(frame)) this.counters[NO_HEADER]!++;
        return pc + 1;
      case OP_TTL_OUT:
        this.stale = true;
        if (!copyTtlOut(frame)) this.counters[NO_HEADER]!++;
        return pc + 1;
      default:
        return this.encapsulate(program, pc);
    }
  }

  /** Whether a sample is taken: as was decided, or by chance. */
  private takes(probability: number): boolean {
    const { decisions } = this;
    if (decisions === 0) return Math.random() * 0xffffffff < probability;
    // The next one's bit comes to the lowest place; the mark that there are any stays.
    this.decisions = (decisions & PUNT_DECIDED) | ((decisions & ~PUNT_DECIDED) >> 1);
    return (decisions & 1) !== 0;
  }

  /** Headers around the network layer pushed and popped. */
  private encapsulate(program: Program, pc: number): number {
    const { code } = program;
    const size = encapSize(code[pc]!);
    if (size === 0) {
      this.counters[BAD_PROGRAM]!++;
      return -1;
    }
    if (this.endOffloads(program, pc)) return -1;
    let result = this.wrap(program, pc);
    if (result === ENCAP_NO_ROOM && this.moveToScratch()) result = this.wrap(program, pc);
    if (result === DONE) {
      this.stale = false;
      return pc + size;
    }
    if (result === ENCAP_NO_ROOM) {
      this.counters[NO_ROOM]!++;
      return -1;
    }
    this.counters[NO_HEADER]!++;
    return pc + size;
  }

  private wrap(program: Program, pc: number): number {
    if (program.code[pc] === OP_TNL_PUSH) this.refresh();
    return encapsulate(this.frame, program, pc, this.sequence);
  }

  /**
   * Nobody behind an MPLS label or the like can finish a checksum or cut a super-packet, so that is
   * done here. True if the packet became several, on which the rest of the program has been run.
   */
  private endOffloads(program: Program, pc: number): boolean {
    const { frame } = this;
    const op = program.code[pc];
    if (
      op !== OP_PUSH_MPLS && op !== OP_PUSH_NSH && op !== OP_PUSH_PBB && op !== OP_TNL_PUSH
    ) return false;
    const { bytes, offset } = frame;
    const vnet = offset - VNET_BYTES;
    if (!frame.vnet || frame.packetType !== 0) return false;
    if ((bytes[vnet]! & VNET_F_NEEDS_CSUM) === 0 && bytes[vnet + 1] === 0) return false;
    return this.asPlainFrames(program, pc);
  }

  /** Runs the program from `pc` on each of the plain packets that a super-packet stands for. */
  private asPlainFrames(program: Program, pc: number): boolean {
    const { frame } = this;
    const { bytes, offset, length } = frame;
    const words = this.wordsOf(bytes);
    if (words && this.segments.begin(frame, words)) {
      this.eachSegment(program, pc, bytes);
      return true;
    }
    const vnet = offset - VNET_BYTES;
    let frames: Uint8Array[];
    try {
      frames = plainFrames(bytes.subarray(offset, offset + length), bytes.subarray(vnet, offset));
    } catch (error) {
      // A header that does not fit its frame: it says nothing that could be done.
      if (!(error instanceof SegmentError) && !(error instanceof RangeError)) throw error;
      bytes.fill(0, vnet, offset);
      return false;
    }
    for (const plain of frames) {
      if (!this.place(plain)) continue;
      extractAgain(frame);
      this.stale = false;
      this.run(program, pc);
    }
    return true;
  }

  /** The same for what `segments` cuts: nothing is allocated. */
  private eachSegment(program: Program, pc: number, from: Uint8Array): void {
    const { segments, frame } = this;
    for (let i = 0; i < segments.count; i++) {
      const { headBytes } = segments;
      const payload = segments.payloadBytes(i);
      const into = this.takePlain(headBytes + payload);
      if (into < 0) continue;
      const { bytes } = this.scratch;
      const at = segments.payloadAt(i);
      segments.writeHead(i, bytes, into);
      bytes.set(from.subarray(at, at + payload), into + headBytes);
      extractAgain(frame);
      this.stale = false;
      this.run(program, pc);
    }
  }

  /** The memory as words; undefined if it does not start with one. */
  private wordsOf(bytes: Uint8Array): Int32Array | undefined {
    if ((bytes.byteOffset & 3) !== 0) return undefined;
    if (this.wordBytes !== bytes) {
      this.wordBytes = bytes;
      this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    }
    return this.words;
  }

  /** Takes outer headers off, and looks up what was inside as a packet from the tunnel's port. */
  private tunnelled(program: Program, pc: number): void {
    const { frame } = this;
    const port = program.code[pc + 1]!;
    const kind = this.tunnelPorts.get(port);
    if (kind === undefined) {
      this.counters[NO_TUNNEL]!++;
      return;
    }
    // Several tunnelled packets in one.
    if (segmentSize(frame) !== 0 && frame.packetType === 0 && this.asPlainFrames(program, pc)) {
      return;
    }
    this.refresh();
    const result = popTunnel(frame, kind);
    if (result !== "ok") return this.count(tunnelError(result));
    frame.key.words[W_IN_PORT] = swap32(port);
    this.recirculate(0);
  }

  private nested(program: Program, pc: number, copies: number): void {
    if (copies === IN_PLACE) return this.run(program, pc);
    const saved = this.saved[this.level] ??= new SavedFrame();
    saved.save(this.frame);
    if (copies === KEEP_FRAME && !this.moveToScratch()) {
      this.counters[NO_ROOM]!++;
      return;
    }
    this.level++;
    this.run(program, pc);
    this.level--;
    saved.restore(this.frame);
    if (copies === KEEP_FRAME) this.stale = true;
  }

  private recirculate(id: number): void {
    this.decisions = 0;
    if (this.depth >= MAX_DEPTH) {
      this.counters[DEPTH_LIMIT]!++;
      return;
    }
    this.refresh();
    this.frame.key.words[W_RECIRC] = swap32(id);
    this.counters[RECIRCULATIONS]!++;
    this.depth++;
    this.classify();
    this.depth--;
  }

  /** Makes the frame ours to change. False without memory. */
  protected moveToScratch(): boolean {
    return this.makeWritable(0);
  }

  /** The same, with room for `tail` more bytes behind the frame. */
  makeWritable(tail: number): boolean {
    const { scratch, frame } = this;
    const at = scratch.take(HEADROOM_BYTES + VNET_BYTES + frame.length + tail);
    return at >= 0 && frame.moveTo(scratch.bytes, at + HEADROOM_BYTES + VNET_BYTES, at);
  }

  /** Points the frame at a copy of a plain packet. Nothing is parsed. False without memory. */
  place(data: Uint8Array): boolean {
    const into = this.takePlain(data.length);
    if (into < 0) return false;
    this.scratch.bytes.set(data, into);
    return true;
  }

  /** Points the frame at room for a plain packet; where it is, or -1 without memory. */
  private takePlain(length: number): number {
    const { scratch, frame } = this;
    const at = scratch.take(HEADROOM_BYTES + VNET_BYTES + length);
    if (at < 0) {
      this.counters[NO_ROOM]!++;
      return -1;
    }
    const into = at + HEADROOM_BYTES + VNET_BYTES;
    scratch.bytes.fill(0, into - VNET_BYTES, into);
    frame.set(scratch.bytes, into, length, true, at);
    return into;
  }

  /** Goes on with a program for a packet that was held back. */
  resume(program: Program, pc: number): void {
    this.run(program, pc);
  }

  private meter(id: number): boolean {
    const { frame, meters } = this;
    const result = meters.run(id, segments(frame), frame.length, this.nowMs);
    if (result === METER_DROP) {
      this.counters[METERED]!++;
      return false;
    }
    if (result === METER_REMARK && remark(frame, meters.level)) this.stale = true;
    return true;
  }
}
