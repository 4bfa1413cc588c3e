/**
 * The connection tracker: what the `ct` action does to a packet (ovs-actions(7)).
 *
 *     packet ──> fragments.ts (until a datagram is whole) ──> tuple.ts ──> table.ts: known?
 *                                                                            │ yes      │ no
 *                                       tcp.ts / UDP, ICMP, other: valid? ───┤     may it begin one?
 *                                                                            │          │ commit
 *                                                       expectations.ts <── nat.ts <── a new record
 *     ct_state, ct_zone, ct_mark, ct_label and the original tuple go into the packet's metadata
 *
 * Behaviour is that of Open vSwitch's userspace tracker, states and timeouts included. It is more
 * exact in these: NAT may change both addresses of an expected connection; the default zone limit
 * holds for each zone by itself; EPRT and EPSV work over IPv4, too.
 *
 * Invariants
 * - One tracker belongs to one thread. Nothing is allocated for a packet or a connection, but for
 *   those that helpers expect, and for fragments.
 * - A connection in the table has both tuples, and no other has one of them.
 * - A connection that is full up somewhere (table, zone, NAT) is not committed and counted: its
 *   packets stay `new`.
 *
 * Limits: connections (3 million unless set), each zone's, fragments, expectations.
 */
import type { Executor } from "../engine/executor.ts";
import {
  CT_FLAGS,
  CT_LABEL,
  CT_LABEL_MASK,
  CT_MARK,
  CT_MARK_MASK,
  CT_TIMEOUT,
  CT_ZONE,
  CTF_COMMIT,
  CTF_FORCE,
  CTF_FTP,
  CTF_LABEL,
  CTF_MARK,
  CTF_NAT,
  CTF_NAT_DST,
  CTF_NAT_SRC,
  CTF_TFTP,
  type Program,
} from "../engine/opcodes.ts";
import { Admission, ADMITTED, ZONE_FULL } from "./admission.ts";
import { applyChange } from "./changes.ts";
import { CT_COUNTERS } from "./counters.ts";
import { Fragments } from "./fragments.ts";
import { type Expectation, Expectations } from "./expectations.ts";
import { CtMetadata } from "./metadata.ts";
import { type ConnectionEntries, KernelConnections } from "./kernel-connections.ts";
import { KernelRecords } from "./kernel-records.ts";
import { Nat } from "./nat.ts";
import type { CtAnswer, CtChange, CtQuestion } from "./questions.ts";
import { answer } from "./report.ts";
import { TIMEOUT_INDEX } from "./settings.ts";
import { BOTH_WAYS, FIRST, isIcmp, MULTIPLE } from "./settled.ts";
import {
  C_FLAGS,
  C_LABEL,
  C_MARK,
  C_ORIGINAL,
  C_POLICY,
  C_REPLY,
  C_STATE,
  CF_DST_NAT,
  CF_EXPECTED,
  CF_FTP,
  CF_SRC_NAT,
  CF_TFTP,
  ConnTable,
} from "./table.ts";
import {
  TCP_INVALID,
  TCP_RESTART,
  TCP_VALID,
  TCP_VALID_NEW,
  tcpBegin,
  tcpMayBegin,
  TcpTracker,
} from "./tcp.ts";
import { PacketTuple, reverseTuple, T_META, TCP, TUPLE_WORDS, UDP } from "./tuple.ts";
import {
  CS_DST_NAT,
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_RELATED,
  CS_REPLY_DIR,
  CS_SRC_NAT,
} from "./types.ts";
import { slot } from "../../packet/layout.ts";

const NEW = 0;
const INVALID = 1;
const EXPIRED = 2;
const CT_TABLE_FULL = 3;
const CT_ZONE_FULL = 4;
const NAT_EXHAUSTED = 5;
const FRAGMENT_REFUSED = 6;
const FRAGMENT_EXPIRED = 7;
const KERNEL_ENTRIES = 8;
const KERNEL_REFUSED = 9;

const NATTED = CS_SRC_NAT | CS_DST_NAT;
const B_NW_FRAG = slot("nw_frag").offset;
/** Records looked at for expiry now and then. */
const SWEEP_BUDGET = 4096;
const SWEEP_EVERY_MS = 100;

const T_OTHER_FIRST = TIMEOUT_INDEX.udp_first;
const T_OTHER_SINGLE = TIMEOUT_INDEX.udp_single;
const T_OTHER_MULTIPLE = TIMEOUT_INDEX.udp_multiple;
const T_ICMP_FIRST = TIMEOUT_INDEX.icmp_first;
const T_ICMP_REPLY = TIMEOUT_INDEX.icmp_reply;

export class Tracker {
  readonly table = new ConnTable();
  readonly tuple = new PacketTuple();
  readonly tcp = new TcpTracker();
  readonly nat = new Nat(this.table);
  readonly expectations = new Expectations(this.table);
  readonly fragments = new Fragments();
  readonly admission = new Admission(this.table);
  /** What programs in the kernel forward (`shareWithKernel`). */
  kernel: KernelConnections | undefined;
  nowMs = 0;

  private readonly metadata = new CtMetadata();
  private readonly scratch = new Int32Array(TUPLE_WORDS);
  private sweptMs = 0;
  /** Of the packet: its connection (-1: none), its direction and its state. */
  private conn = -1;
  private reply = false;
  private state = 0;
  private counters: Float64Array = new Float64Array(CT_COUNTERS.length);
  private counterBase = 0;

  constructor() {
    this.table.onRemove = (conn) => {
      this.expectations.forget(conn);
      this.kernel?.withdraw(conn, this.nowMs);
    };
    this.table.onRefresh = (conn) => this.kernel?.refresh(conn, this.nowMs);
  }

  /**
   * Programs forward packets of settled connections from now on (kernel-connections.ts), of which
   * `slots` fit into the memory of `records`. Those of a process before become this one's.
   */
  shareWithKernel(
    entries: ConnectionEntries,
    records: ArrayBuffer,
    slots: number,
    nowMs: number,
  ): void {
    this.nowMs = nowMs;
    const { table, tcp, admission } = this;
    this.kernel = new KernelConnections(
      table,
      tcp,
      entries,
      new KernelRecords(records, table, admission),
      slots,
      (count, refused) => {
        this.counters[this.counterBase + KERNEL_ENTRIES] = count;
        this.counters[this.counterBase + KERNEL_REFUSED] = refused;
      },
    );
    this.kernel.adopt(nowMs);
  }

  /** Where CT_COUNTERS are counted from now on. */
  countInto(counters: Float64Array, base: number): void {
    this.counters = counters;
    this.counterBase = base;
  }

  private count(which: number, by = 1): void {
    this.counters[this.counterBase + which]! += by;
  }

  /**
   * The `ct` action whose record is at `program.code[at…]`; the program goes on at `next`. False if
   * the packet does not go on by itself: a fragment that waits, or that went on with its fellows.
   */
  run(executor: Executor, program: Program, at: number, next: number): boolean {
    const { frame } = executor;
    this.nowMs = executor.nowMs;
    this.tidy();
    if ((frame.key.bytes[B_NW_FRAG]! & 1) !== 0) {
      return this.fragments.run(this, executor, program, at, next);
    }
    this.process(executor, program.code, at);
    return true;
  }

  /** Removes what has expired, a little at a time. */
  tidy(): void {
    if (this.nowMs - this.sweptMs < SWEEP_EVERY_MS) return;
    this.sweptMs = this.nowMs;
    this.count(EXPIRED, this.table.sweep(this.nowMs, SWEEP_BUDGET) + this.admission.expired);
    this.admission.expired = 0;
    this.count(FRAGMENT_EXPIRED, this.fragments.expire(this.nowMs));
  }

  /** A packet that is whole. Its headers may have changed afterwards. */
  process(executor: Executor, code: Int32Array, at: number): void {
    const { frame } = executor;
    const { metadata, tuple } = this;
    const flags = code[at + CT_FLAGS]!;
    const zone = code[at + CT_ZONE]!;
    const had = metadata.zone(frame);
    this.state = metadata.state(frame);
    if (this.state !== 0 && had !== zone) this.state = 0;
    this.conn = -1;
    this.reply = false;
    this.kernel?.begin();
    if (!tuple.parse(frame, zone)) {
      this.count(INVALID);
      this.state = CS_INVALID;
      metadata.write(frame, this.state, zone, this.table, -1, undefined);
      return;
    }
    const wasNatted = (this.state & NATTED) !== 0;
    this.find(wasNatted);
    if (this.conn >= 0 && this.reply && (flags & CTF_FORCE) !== 0) {
      this.table.remove(this.conn);
      this.conn = -1;
      this.reply = false;
    }
    let isNew = false;
    if (this.conn < 0 && wasNatted && (flags & CTF_NAT) === 0) {
      this.findByOriginal(frame, zone);
    }
    if (this.conn >= 0) isNew = this.follow(executor, flags, wasNatted);
    else if (tuple.related) {
      this.count(INVALID);
      this.state = CS_INVALID;
    } else isNew = true;
    let expected: Expectation | undefined;
    if (isNew) expected = this.begin(executor, code, at, flags, zone);
    metadata.write(frame, this.state, zone, this.table, this.conn, this.shownTuple(expected));
    if (this.conn >= 0) this.mark(executor, code, at, flags);
    this.consultHelper(executor, flags, zone);
    if (this.conn >= 0) this.kernel?.judged(this.conn, this.nowMs);
  }

  private find(wasNatted: boolean): void {
    const { table, tuple, scratch } = this;
    let entry: number;
    if (wasNatted) {
      // The packet looks as the other side knows it: its answer's tuple is the one in the table.
      reverseTuple(tuple.words, 0, scratch, 0);
      entry = table.lookup(scratch, 0, this.nowMs);
      if (entry >= 0) entry ^= 1;
    } else entry = table.lookup(tuple.words, 0, this.nowMs);
    this.conn = entry < 0 ? -1 : entry >> 1;
    this.reply = entry >= 0 && (entry & 1) === 1;
  }

  /** A packet that was translated in this zone and whose connection has another face by now. */
  private findByOriginal(frame: Executor["frame"], zone: number): void {
    const { scratch, table } = this;
    if (!this.metadata.original(frame, zone, this.tuple.words, scratch)) return;
    const entry = table.lookup(scratch, 0, this.nowMs);
    if (entry < 0) return;
    this.conn = entry >> 1;
    this.reply = false;
  }

  /** A packet of a known connection. True if it begins another one. */
  private follow(executor: Executor, flags: number, alreadyNatted: boolean): boolean {
    const { frame } = executor;
    const { conn, table, tuple } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    this.kernel?.judge(conn, this.nowMs);
    if (tuple.related) {
      this.state |= CS_RELATED;
      if (this.reply) this.state |= CS_REPLY_DIR;
    } else {
      if ((words[base + C_FLAGS]! & CF_EXPECTED) !== 0) this.state |= CS_RELATED;
      // Acknowledgements of what a helper lengthened are put right before they are judged, what
      // was sent after it is put right afterwards: the tracker sees the sender's own numbers.
      const nat = (flags & CTF_NAT) !== 0;
      if (nat) this.expectations.adjustAck(executor, conn, this.reply);
      const verdict = this.update(frame, words, base);
      switch (verdict) {
        case TCP_VALID:
          this.state = (this.state | CS_ESTABLISHED) & ~CS_NEW;
          if (this.reply) this.state |= CS_REPLY_DIR;
          break;
        case TCP_VALID_NEW:
          this.state |= CS_NEW;
          break;
        case TCP_RESTART:
          table.remove(conn);
          this.conn = -1;
          this.reply = false;
          return true;
        default:
          this.count(INVALID);
          this.state = CS_INVALID;
      }
      if (nat && verdict !== TCP_INVALID) {
        this.expectations.adjustSequence(executor, conn, this.reply);
      }
    }
    if ((flags & CTF_NAT) !== 0 && !alreadyNatted) this.translate(executor);
    return false;
  }

  /** What the packet does to its connection's state and lifetime. */
  private update(frame: Executor["frame"], words: Int32Array, base: number): number {
    const protocol = (words[base + T_META]! >>> 8) & 0xff;
    if (protocol === TCP) {
      const verdict = this.tcp.update(frame, words, base + C_STATE, this.reply);
      if (this.tcp.timeout >= 0) this.renew(words, base, this.tcp.timeout);
      return verdict;
    }
    const state = words[base + C_STATE]!;
    if (isIcmp(protocol)) {
      const both = this.reply || state === BOTH_WAYS;
      if (both) words[base + C_STATE] = BOTH_WAYS;
      this.renew(words, base, both ? T_ICMP_REPLY : T_ICMP_FIRST);
      return both ? TCP_VALID : TCP_VALID_NEW;
    }
    const now = this.reply || state === BOTH_WAYS ? BOTH_WAYS : MULTIPLE;
    words[base + C_STATE] = now;
    this.renew(words, base, now === BOTH_WAYS ? T_OTHER_MULTIPLE : T_OTHER_SINGLE);
    return now === BOTH_WAYS ? TCP_VALID : TCP_VALID_NEW;
  }

  private renew(words: Int32Array, base: number, timeout: number): void {
    const lasts = this.admission.timeoutMs(words[base + C_POLICY]!, timeout);
    this.table.setExpiry(this.conn, this.nowMs + lasts);
  }

  /** A packet of no known connection. Returns the expectation that it fulfils. */
  private begin(executor: Executor, code: Int32Array, at: number, flags: number, zone: number) {
    const { frame } = executor;
    const { table, tuple } = this;
    const expected = this.expectations.expected(tuple.words);
    const protocol = (tuple.words[T_META]! >>> 8) & 0xff;
    if (protocol === TCP ? !tcpMayBegin(frame) : !tuple.mayBegin()) {
      this.count(INVALID);
      this.state = CS_INVALID;
      return expected;
    }
    this.state = expected ? CS_NEW | CS_RELATED : CS_NEW;
    if ((flags & CTF_COMMIT) === 0) return expected;
    const admitted = this.admission.ask(zone, this.nowMs);
    if (admitted !== ADMITTED) {
      this.count(admitted === ZONE_FULL ? CT_ZONE_FULL : CT_TABLE_FULL);
      return expected;
    }
    const conn = table.allocate();
    const words = table.words(conn);
    const base = table.base(conn);
    for (let i = 0; i < TUPLE_WORDS; i++) words[base + C_ORIGINAL + i] = tuple.words[i]!;
    reverseTuple(tuple.words, 0, words, base + C_REPLY);
    if (!this.chooseReply(conn, expected, flags, code, at)) {
      this.count(NAT_EXHAUSTED);
      table.release(conn);
      return expected;
    }
    words[base + C_POLICY] = code[at + CT_TIMEOUT]!;
    let timeout = T_OTHER_FIRST;
    if (protocol === TCP) timeout = tcpBegin(frame, words, base + C_STATE);
    else {
      words[base + C_STATE] = FIRST;
      if (isIcmp(protocol)) timeout = T_ICMP_FIRST;
    }
    if ((flags & CTF_FTP) !== 0 && protocol === TCP) words[base + C_FLAGS]! |= CF_FTP;
    if ((flags & CTF_TFTP) !== 0 && protocol === UDP) words[base + C_FLAGS]! |= CF_TFTP;
    this.conn = conn;
    this.reply = false;
    this.renew(words, base, timeout);
    table.insert(conn);
    this.count(NEW);
    if (expected) this.expectations.inherit(conn, expected);
    if ((flags & CTF_NAT) !== 0) this.translate(executor);
    return expected;
  }

  /** The reply tuple under NAT, and whether there is one; CF_SRC_NAT and CF_DST_NAT by it. */
  private chooseReply(
    conn: number,
    expected: Expectation | undefined,
    flags: number,
    code: Int32Array,
    at: number,
  ): boolean {
    if ((flags & CTF_NAT) === 0) return true;
    const { table } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    if (expected) {
      this.expectations.replyOf(expected, words, base);
      if (table.lookup(words, base + C_REPLY, this.nowMs) >= 0) return false;
      words[base + C_FLAGS]! |= expected.natFlags;
      return true;
    }
    if ((flags & (CTF_NAT_SRC | CTF_NAT_DST)) === 0) return true;
    words[base + C_FLAGS]! |= (flags & CTF_NAT_SRC) !== 0 ? CF_SRC_NAT : CF_DST_NAT;
    const { nat, tuple, nowMs } = this;
    return nat.choose(flags, code, at, tuple.words, words, base + C_REPLY, nowMs);
  }

  private translate(executor: Executor): void {
    const { conn, table } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    const own = words[base + C_FLAGS]! & (CF_SRC_NAT | CF_DST_NAT);
    if (own === 0) return;
    // What is a source one way is a destination the other way.
    const source = (own & (this.reply ? CF_DST_NAT : CF_SRC_NAT)) !== 0;
    const destination = (own & (this.reply ? CF_SRC_NAT : CF_DST_NAT)) !== 0;
    this.state &= ~NATTED;
    if (source) this.state |= CS_SRC_NAT;
    if (destination) this.state |= CS_DST_NAT;
    const other = base + (this.reply ? C_ORIGINAL : C_REPLY);
    this.nat.translate(executor.frame, this.tuple, words, other, source, destination);
    executor.stale = true;
  }

  /** The tuple to show as the original one, if it is not the connection's. */
  private shownTuple(expected: Expectation | undefined): Int32Array | undefined {
    if (this.conn >= 0) return this.expectations.parentTuple(this.conn);
    return expected ? expected.parent : this.tuple.words;
  }

  /** Mark and label of the connection under the action's masks, into the packet's metadata too. */
  private mark(executor: Executor, code: Int32Array, at: number, flags: number): void {
    if ((flags & (CTF_MARK | CTF_LABEL)) === 0) return;
    const { conn, table } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    // An expected connection has its parent's.
    if ((words[base + C_FLAGS]! & CF_EXPECTED) === 0) {
      if ((flags & CTF_MARK) !== 0) {
        const mask = code[at + CT_MARK_MASK]!;
        words[base + C_MARK] = (words[base + C_MARK]! & ~mask) | (code[at + CT_MARK]! & mask);
      }
      for (let i = 0; i < 4 && (flags & CTF_LABEL) !== 0; i++) {
        const mask = code[at + CT_LABEL_MASK + i]!;
        words[base + C_LABEL + i] = (words[base + C_LABEL + i]! & ~mask) |
          (code[at + CT_LABEL + i]! & mask);
      }
    }
    this.metadata.writeMark(executor.frame, words, base);
  }

  private consultHelper(executor: Executor, flags: number, zone: number): void {
    const { conn, table } = this;
    if (conn < 0 || (this.state & CS_INVALID) !== 0) return;
    const helper = table.words(conn)[table.base(conn) + C_FLAGS]! & (CF_FTP | CF_TFTP);
    if (helper === 0) return;
    const nat = (flags & CTF_NAT) !== 0;
    if (this.expectations.listen(executor, conn, this.reply, nat)) return;
    this.count(INVALID);
    this.state |= CS_INVALID;
    this.metadata.write(executor.frame, this.state, zone, table, conn, this.shownTuple(undefined));
  }

  /** A fragment that no connection can be found for. */
  rejectFragment(executor: Executor, zone: number): void {
    this.count(FRAGMENT_REFUSED);
    this.metadata.write(executor.frame, CS_INVALID, zone, this.table, -1, undefined);
  }

  change(change: CtChange, nowMs = this.nowMs): void {
    this.nowMs = nowMs;
    applyChange(this, change);
  }

  answer(question: CtQuestion, nowMs: number): CtAnswer {
    this.nowMs = nowMs;
    return answer(this, question, nowMs);
  }
}
