/**
 * Connections as records in the memory that the programs share (kernel-record.ts), there and back.
 * Who gets a slot when: kernel-connections.ts.
 */
import { CS_DST_NAT, CS_ESTABLISHED, CS_REPLY_DIR, CS_SRC_NAT, CS_TRACKED } from "./types.ts";
import { T_DST, T_META, T_PORTS, T_SRC, TCP } from "./tuple.ts";
import { after, ALLOWED, establish, PACKED, PEER_WORDS, SENT, windowShift } from "./tcp.ts";
import { swap32 } from "../../packet/extract.ts";
import type { Admission } from "./admission.ts";
import {
  COMMON,
  CT_WORD,
  KF_DST_NAT,
  KF_SRC_NAT,
  KF_WINDOW,
  MAX_TICKS,
  RECORD_BYTES,
  SIDE,
  SIDE_BYTES,
  TICK_SHIFT,
} from "./kernel-record.ts";
import { writeTuple } from "./metadata.ts";
import { BOTH_WAYS, protocolOf, settledTimeout } from "./settled.ts";
import * as Conn from "./table.ts";

const WORDS = RECORD_BYTES / 4;
const TICK_MS = 2 ** TICK_SHIFT / 1e6;
const TURN = 2 ** 32;
const ZONE_AT = (COMMON.ct >> 2) + 1;
const MARK_AT = (COMMON.ct >> 2) + 2;
const LABEL_AT = (COMMON.ct >> 2) + 3;

const ticks = (ms: number): number => (ms / TICK_MS % TURN) | 0;
/** A tuple's ports the other way round. */
const turn = (ports: number): number => (ports << 16) | (ports >>> 16);

export class KernelRecords {
  readonly words: Int32Array;
  private readonly bytes: Uint8Array;

  constructor(
    records: ArrayBuffer,
    private readonly table: Conn.ConnTable,
    private readonly admission: Admission,
  ) {
    this.words = new Int32Array(records);
    this.bytes = new Uint8Array(records);
  }

  /** 0: nobody's. */
  generation(slot: number): number {
    return this.words[this.common(slot, COMMON.generation)]!;
  }

  /** What comes before and after it in this thread is in the same order for the programs. */
  setGeneration(slot: number, generation: number): void {
    Atomics.store(this.words, this.common(slot, COMMON.generation), generation);
  }

  /** Writes all of a record but the generation. */
  fill(slot: number, conn: number, nowMs: number, checks: boolean): void {
    const { words, table } = this;
    const record = table.words(conn);
    const base = table.base(conn);
    const at = slot * WORDS;
    const generation = this.common(slot, COMMON.generation);
    for (let i = at; i < at + WORDS; i++) if (i !== generation) words[i] = 0;
    this.fillSide(slot, 0, record, base + Conn.C_REPLY, record[base + Conn.C_FLAGS]!);
    this.fillSide(slot, 1, record, base + Conn.C_ORIGINAL, record[base + Conn.C_FLAGS]!);
    const meta = record[base + T_META]!;
    words[this.common(slot, COMMON.meta)] = meta;
    words[this.common(slot, COMMON.policy)] = record[base + Conn.C_POLICY]!;
    words[at + ZONE_AT] = (meta >>> 24) | ((meta >>> 8) & 0xff00);
    const key = this.common(slot, COMMON.ct) - CT_WORD;
    writeTuple(this.bytes, words, key, record, base + Conn.C_ORIGINAL);
    this.setFlags(slot, conn, checks);
    this.setMark(slot, conn);
    this.touch(slot, conn, nowMs);
    if (protocolOf(record, base) === TCP) this.setWindows(slot, conn, true);
  }

  /** `other`: where the tuple of the other direction is. */
  private fillSide(
    slot: number,
    side: number,
    record: Int32Array,
    other: number,
    flags: number,
  ): void {
    const { words } = this;
    const into = this.side(slot, side);
    for (let i = 0; i < 4; i++) {
      words[into + (SIDE.src >> 2) + i] = record[other + T_DST + i]!;
      words[into + (SIDE.dst >> 2) + i] = record[other + T_SRC + i]!;
    }
    words[into + (SIDE.ports >> 2)] = swap32(turn(record[other + T_PORTS]!));
    const state = CS_TRACKED | CS_ESTABLISHED | (side === 1 ? CS_REPLY_DIR : 0);
    // What is a source one way is a destination the other way.
    const source = (flags & (side === 0 ? Conn.CF_SRC_NAT : Conn.CF_DST_NAT)) !== 0;
    const destination = (flags & (side === 0 ? Conn.CF_DST_NAT : Conn.CF_SRC_NAT)) !== 0;
    words[into + (SIDE.state >> 2)] = state << 24;
    words[into + (SIDE.nat >> 2)] = ((source ? CS_SRC_NAT : 0) | (destination ? CS_DST_NAT : 0)) <<
      24;
  }

  isMarked(slot: number, conn: number): boolean {
    const record = this.table.words(conn);
    const base = this.table.base(conn);
    const at = slot * WORDS;
    let same = this.words[at + MARK_AT] === swap32(record[base + Conn.C_MARK]!);
    for (let i = 0; i < 4; i++) {
      same &&= this.words[at + LABEL_AT + i] === record[base + Conn.C_LABEL + i];
    }
    return same;
  }

  setMark(slot: number, conn: number): void {
    const record = this.table.words(conn);
    const base = this.table.base(conn);
    const at = slot * WORDS;
    this.words[at + MARK_AT] = swap32(record[base + Conn.C_MARK]!);
    for (let i = 0; i < 4; i++) this.words[at + LABEL_AT + i] = record[base + Conn.C_LABEL + i]!;
  }

  /** `checks`: TCP's sequence numbers matter. */
  setFlags(slot: number, conn: number, checks: boolean): void {
    const record = this.table.words(conn);
    const base = this.table.base(conn);
    const own = record[base + Conn.C_FLAGS]!;
    this.words[this.common(slot, COMMON.flags)] =
      (checks && protocolOf(record, base) === TCP ? KF_WINDOW : 0) |
      ((own & Conn.CF_SRC_NAT) !== 0 ? KF_SRC_NAT : 0) |
      ((own & Conn.CF_DST_NAT) !== 0 ? KF_DST_NAT : 0);
  }

  /** It has been used now. */
  touch(slot: number, conn: number, nowMs: number): void {
    const lasts = Math.min(MAX_TICKS, Math.floor(this.timeoutMs(conn) / TICK_MS));
    this.words[this.common(slot, COMMON.lasts)] = lasts;
    Atomics.store(this.words, this.common(slot, COMMON.expires), (ticks(nowMs) + lasts) | 0);
  }

  /** Since the last packet that the tracker or a program saw. */
  idleMs(slot: number, nowMs: number): number {
    const expires = this.words[this.common(slot, COMMON.expires)]!;
    const lasts = this.words[this.common(slot, COMMON.lasts)]!;
    return Math.max(0, (ticks(nowMs) - expires + lasts) | 0) * TICK_MS;
  }

  timeoutMs(conn: number): number {
    const record = this.table.words(conn);
    const base = this.table.base(conn);
    return this.admission.timeoutMs(
      record[base + Conn.C_POLICY]!,
      settledTimeout(protocolOf(record, base)),
    );
  }

  /** TCP's numbers to the programs: what is later of both, or `all` as the tracker has them. */
  setWindows(slot: number, conn: number, all: boolean): void {
    const { words, table } = this;
    const record = table.words(conn);
    const at = table.base(conn) + Conn.C_STATE;
    let scales = 0;
    for (let side = 0; side < 2; side++) {
      const into = this.side(slot, side);
      const peer = at + side * PEER_WORDS;
      const packed = record[peer + PACKED]!;
      const shift = windowShift(record, at, side * PEER_WORDS);
      const [sent, allowed, reach] = [
        record[peer + SENT]!,
        record[peer + ALLOWED]!,
        (packed >>> 16) << shift,
      ];
      const isLater = (place: number, value: number): boolean =>
        all || after(value, words[into + (place >> 2)]!);
      if (isLater(SIDE.sent, sent)) words[into + (SIDE.sent >> 2)] = sent;
      if (isLater(SIDE.allowed, allowed)) words[into + (SIDE.allowed >> 2)] = allowed;
      if (isLater(SIDE.reach, reach)) words[into + (SIDE.reach >> 2)] = reach;
      words[into + (SIDE.shift >> 2)] = shift;
      scales |= ((packed >>> 8) & 0xff) << (16 * side);
    }
    words[this.common(slot, COMMON.scales)] = scales;
  }

  /** TCP's numbers from the programs: what is later of both. */
  takeWindows(slot: number, conn: number): void {
    const record = this.table.words(conn);
    const base = this.table.base(conn);
    for (let side = 0; side < 2; side++) {
      const from = this.side(slot, side);
      const peer = base + Conn.C_STATE + side * PEER_WORDS;
      const sent = this.words[from + (SIDE.sent >> 2)]!;
      const allowed = this.words[from + (SIDE.allowed >> 2)]!;
      if (after(sent, record[peer + SENT]!)) record[peer + SENT] = sent;
      if (after(allowed, record[peer + ALLOWED]!)) record[peer + ALLOWED] = allowed;
      const window = this.windowOf(slot, side);
      if (window > record[peer + PACKED]! >>> 16) {
        record[peer + PACKED] = (window << 16) | (record[peer + PACKED]! & 0xffff);
      }
    }
  }

  /**
   * Writes the connection that the record tells of into a new one's, of which nothing is set yet; how
   * many milliseconds it has left, or 0 if it is over.
   */
  restore(slot: number, conn: number, nowMs: number): number {
    const { words, table } = this;
    const record = table.words(conn);
    const base = table.base(conn);
    this.restoreTuple(slot, 0, record, base + Conn.C_REPLY);
    this.restoreTuple(slot, 1, record, base + Conn.C_ORIGINAL);
    const flags = words[this.common(slot, COMMON.flags)]!;
    record[base + Conn.C_FLAGS] = ((flags & KF_SRC_NAT) !== 0 ? Conn.CF_SRC_NAT : 0) |
      ((flags & KF_DST_NAT) !== 0 ? Conn.CF_DST_NAT : 0);
    const at = slot * WORDS;
    record[base + Conn.C_MARK] = swap32(words[at + MARK_AT]!);
    for (let i = 0; i < 4; i++) record[base + Conn.C_LABEL + i] = words[at + LABEL_AT + i]!;
    record[base + Conn.C_POLICY] = words[this.common(slot, COMMON.policy)]!;
    if (protocolOf(record, base) === TCP) {
      const scales = words[this.common(slot, COMMON.scales)]!;
      for (let side = 0; side < 2; side++) {
        const peer = base + Conn.C_STATE + side * PEER_WORDS;
        const from = this.side(slot, side);
        const sent = words[from + (SIDE.sent >> 2)]!;
        const allowed = words[from + (SIDE.allowed >> 2)]!;
        const scale = (scales >>> (16 * side)) & 0xff;
        establish(record, peer, sent, allowed, this.windowOf(slot, side), scale);
      }
    } else record[base + Conn.C_STATE] = BOTH_WAYS;
    const lasts = words[this.common(slot, COMMON.lasts)]!;
    const left = (words[this.common(slot, COMMON.expires)]! - ticks(nowMs)) | 0;
    return left > lasts ? 0 : Math.max(0, left * TICK_MS);
  }

  private restoreTuple(slot: number, side: number, record: Int32Array, into: number): void {
    const { words } = this;
    const from = this.side(slot, side);
    for (let i = 0; i < 4; i++) {
      record[into + T_DST + i] = words[from + (SIDE.src >> 2) + i]!;
      record[into + T_SRC + i] = words[from + (SIDE.dst >> 2) + i]!;
    }
    record[into + T_PORTS] = turn(swap32(words[from + (SIDE.ports >> 2)]!));
    record[into + T_META] = words[this.common(slot, COMMON.meta)]!;
  }

  private windowOf(slot: number, side: number): number {
    const from = this.side(slot, side);
    const shift = this.words[from + (SIDE.shift >> 2)]! & 31;
    return Math.min(0xffff, this.words[from + (SIDE.reach >> 2)]! >>> shift);
  }

  private side(slot: number, side: number): number {
    return slot * WORDS + side * (SIDE_BYTES >> 2);
  }

  private common(slot: number, at: number): number {
    return slot * WORDS + (at >> 2);
  }
}
