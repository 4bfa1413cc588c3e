/**
 * The tracker's side of connections in the kernel: programs forward their packets, the tracker stays
 * who knows best.
 *
 *     tracker ── offer, push, withdraw ──> maps (kernel-record.ts) <── programs: look up, check, note
 *        ^                                  │
 *        └──────────── pull ────────────────┘    punts of all that a program cannot judge
 *
 * - Offered is what needs no judgement any more (settled.ts). Not at the packet that makes it so but at
 *   the next one: a question and its answer are often all there is.
 * - A program forwards a packet if it moves nothing but sequence numbers, windows and the time of the
 *   last use, and these are in bounds; everything else it punts. So a state changes only in the
 *   tracker. Before it judges a packet of such a connection it takes over what the programs have noted
 *   (`judge`); afterwards it tells them what it made of it, or withdraws the connection (`judged`).
 * - Withdrawing takes one store: programs see the generation change. The hash's entries go after it,
 *   and the slot means nothing else for QUARANTINE_MS.
 * - No expiry is believed before the programs' notes were looked at (`refresh`).
 * - With all slots taken, connections unused for IDLE_MS make room; if there are none, a connection is
 *   tracked in userspace.
 *
 * A process that takes over finds the connections in the maps (`adopt`): they survive it.
 */
import { SystemError } from "../../linux/libc.ts";
import { ENTRY_KEY_BYTES, ENTRY_VALUE_BYTES } from "./kernel-record.ts";
import type { KernelRecords } from "./kernel-records.ts";
import { isSettled, protocolOf } from "./settled.ts";
import { C_ORIGINAL, C_REPLY, C_SLOT, type ConnTable } from "./table.ts";
import type { TcpTracker } from "./tcp.ts";
import { TCP, TUPLE_WORDS } from "./tuple.ts";

const QUARANTINE_MS = 100;
const IDLE_MS = 5000;
/** Slots looked at for idle ones, and how often. */
const RECLAIM_BUDGET = 4096;
const RECLAIM_EVERY_MS = 100;

/** The hash: a BpfMap, or what stands for one. */
export interface ConnectionEntries {
  updateMany(keys: Uint8Array, values: Uint8Array, count: number): void;
  delete(key: Uint8Array): boolean;
  entries(): { readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number };
}

export class KernelConnections {
  /** How many there are. */
  private count = 0;
  /** Those that found no room. */
  private refused = 0;
  /** Of the packet that is judged: whether its connection was settled before it. */
  private wasSettled = false;
  /** By slot: its connection, and when that went. */
  private readonly conns: Int32Array;
  private readonly freedMs: Float64Array;
  /** A ring of slots in the order in which they were given back. */
  private readonly free: Int32Array;
  private freeAt = 0;
  private freeCount = 0;
  private nextSlot = 0;
  private generation = 0;
  private cursor = 0;
  private reclaimedMs = -Infinity;
  private readonly keys = new Int32Array(2 * TUPLE_WORDS);
  private readonly keyBytes = new Uint8Array(this.keys.buffer);
  private readonly values = new Int32Array(2 * ENTRY_VALUE_BYTES / 4);
  private readonly valueBytes = new Uint8Array(this.values.buffer);
  private readonly oneKey = this.keyBytes.subarray(0, ENTRY_KEY_BYTES);

  constructor(
    private readonly table: ConnTable,
    private readonly tcp: TcpTracker,
    private readonly entries: ConnectionEntries,
    private readonly records: KernelRecords,
    private readonly slots: number,
    private readonly report: (count: number, refused: number) => void,
  ) {
    this.conns = new Int32Array(slots);
    this.freedMs = new Float64Array(slots);
    this.free = new Int32Array(slots);
  }

  /** Another packet, of no known connection so far. */
  begin(): void {
    this.wasSettled = false;
  }

  /** The packet is one of this connection's, and about to be judged. */
  judge(conn: number, nowMs: number): void {
    this.pull(conn, nowMs);
    this.wasSettled = this.isSettled(conn);
  }

  /** It was judged, and the connection is what it is now. */
  judged(conn: number, nowMs: number): void {
    const slot = this.slotOf(conn);
    const settled = this.isSettled(conn);
    if (slot < 0) {
      if (this.wasSettled && settled) this.offer(conn, nowMs);
    } else if (settled) this.push(slot, conn, nowMs);
    else this.withdraw(conn, nowMs);
  }

  private isSettled(conn: number): boolean {
    return isSettled(this.table.words(conn), this.table.base(conn));
  }

  /** Takes over what the programs have noted. */
  private pull(conn: number, nowMs: number): void {
    const slot = this.slotOf(conn);
    if (slot < 0) return;
    this.refresh(conn, nowMs);
    if (this.isTcp(conn)) this.records.takeWindows(slot, conn);
  }

  /** Moves the expiry on if programs have seen packets. */
  refresh(conn: number, nowMs: number): void {
    const slot = this.slotOf(conn);
    if (slot < 0) return;
    const { table, records } = this;
    const expiry = nowMs - records.idleMs(slot, nowMs) + records.timeoutMs(conn);
    if (expiry > table.expiry(conn)) table.setExpiry(conn, expiry);
  }

  /** The connection is no longer the programs'; what they have noted since `judge` is nobody's. */
  withdraw(conn: number, nowMs: number): void {
    const slot = this.slotOf(conn);
    if (slot < 0) return;
    const { table } = this;
    const record = table.words(conn);
    const base = table.base(conn);
    this.giveBack(slot, nowMs);
    for (const tuple of [C_ORIGINAL, C_REPLY]) {
      this.putKey(0, record, base + tuple);
      this.entries.delete(this.oneKey);
    }
    record[base + C_SLOT] = 0;
    this.report(--this.count, this.refused);
  }

  /** Whether sequence numbers matter, or how long something lasts, has changed. */
  settingsChanged(nowMs: number): void {
    const { records, table } = this;
    for (let slot = 0; slot < this.nextSlot; slot++) {
      if (records.generation(slot) === 0) continue;
      const conn = this.conns[slot]!;
      records.setFlags(slot, conn, this.tcp.checks);
      const idleMs = records.idleMs(slot, nowMs);
      records.touch(slot, conn, nowMs - idleMs);
      const expiry = nowMs - idleMs + records.timeoutMs(conn);
      table.setExpiry(conn, expiry);
    }
  }

  /**
   * Puts the connections of a process before, which the maps have, into the table. What is not whole,
   * since it was being changed when that process ended, goes.
   */
  adopt(nowMs: number): void {
    const { records } = this;
    for (let slot = 0; slot < this.slots; slot++) {
      const generation = records.generation(slot);
      if (generation === 0) continue;
      this.generation = Math.max(this.generation, generation >>> 0);
      this.nextSlot = slot + 1;
    }
    const directions = this.readEntries();
    for (let slot = 0; slot < this.nextSlot; slot++) {
      if (directions[slot] === 3 && this.restore(slot, nowMs)) continue;
      this.giveBack(slot, nowMs);
    }
    this.readEntries();
    this.report(this.count, this.refused);
  }

  /** By slot: which directions can be found (bits). Entries that lead nowhere are deleted. */
  private readEntries(): Uint8Array {
    const directions = new Uint8Array(this.slots);
    const { keys, values, count } = this.entries.entries();
    const view = new DataView(values.buffer, values.byteOffset);
    for (let i = 0; i < count; i++) {
      const entry = view.getUint32(i * ENTRY_VALUE_BYTES, true);
      const generation = view.getInt32(i * ENTRY_VALUE_BYTES + 4, true);
      const slot = entry >> 1;
      if (slot < this.slots && this.records.generation(slot) === generation && generation !== 0) {
        directions[slot]! |= 1 << (entry & 1);
      } else this.entries.delete(keys.slice(i * ENTRY_KEY_BYTES, (i + 1) * ENTRY_KEY_BYTES));
    }
    return directions;
  }

  private restore(slot: number, nowMs: number): boolean {
    const { table, records } = this;
    const conn = table.allocate();
    const leftMs = records.restore(slot, conn, nowMs);
    const record = table.words(conn);
    const base = table.base(conn);
    const isKnown = [C_ORIGINAL, C_REPLY].some((tuple) =>
      table.lookup(record, base + tuple, nowMs) >= 0
    );
    if (leftMs === 0 || isKnown) {
      table.release(conn);
      return false;
    }
    table.setExpiry(conn, nowMs + leftMs);
    table.insert(conn);
    record[base + C_SLOT] = slot + 1;
    this.conns[slot] = conn;
    this.count++;
    return true;
  }

  private offer(conn: number, nowMs: number): void {
    const slot = this.takeSlot(nowMs);
    if (slot < 0) {
      this.report(this.count, ++this.refused);
      return;
    }
    const { table, records } = this;
    const record = table.words(conn);
    const base = table.base(conn);
    this.generation = (this.generation + 1) | 0 || 1;
    // The original direction last, so that it is found where both tuples are the same.
    for (let i = 0; i < 2; i++) {
      this.putKey(i, record, base + (i === 0 ? C_REPLY : C_ORIGINAL));
      this.values[2 * i] = 2 * slot + 1 - i;
      this.values[2 * i + 1] = this.generation;
    }
    records.fill(slot, conn, nowMs, this.tcp.checks);
    records.setGeneration(slot, this.generation);
    this.conns[slot] = conn;
    record[base + C_SLOT] = slot + 1;
    this.report(++this.count, this.refused);
    try {
      this.entries.updateMany(this.keyBytes, this.valueBytes, 2);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.refused++;
      this.withdraw(conn, nowMs);
    }
  }

  private push(slot: number, conn: number, nowMs: number): void {
    const { records } = this;
    if (!records.isMarked(slot, conn)) {
      const generation = records.generation(slot);
      records.setGeneration(slot, 0);
      records.setMark(slot, conn);
      records.setGeneration(slot, generation);
    }
    records.touch(slot, conn, nowMs);
    if (this.isTcp(conn)) records.setWindows(slot, conn, false);
  }

  private isTcp(conn: number): boolean {
    return protocolOf(this.table.words(conn), this.table.base(conn)) === TCP;
  }

  /** -1: the kernel does not have it. */
  private slotOf(conn: number): number {
    return this.table.words(conn)[this.table.base(conn) + C_SLOT]! - 1;
  }

  private putKey(which: number, from: Int32Array, at: number): void {
    const into = which * TUPLE_WORDS;
    for (let i = 0; i < TUPLE_WORDS; i++) this.keys[into + i] = from[at + i]!;
  }

  private giveBack(slot: number, nowMs: number): void {
    this.records.setGeneration(slot, 0);
    this.freedMs[slot] = nowMs;
    this.free[(this.freeAt + this.freeCount++) % this.slots] = slot;
  }

  private takeSlot(nowMs: number): number {
    for (let tries = 0; tries < 2; tries++) {
      const oldest = this.free[this.freeAt]!;
      if (this.freeCount > 0 && nowMs - this.freedMs[oldest]! >= QUARANTINE_MS) {
        this.freeAt = (this.freeAt + 1) % this.slots;
        this.freeCount--;
        return oldest;
      }
      if (this.nextSlot < this.slots) return this.nextSlot++;
      this.reclaim(nowMs);
    }
    return -1;
  }

  private reclaim(nowMs: number): void {
    if (nowMs - this.reclaimedMs < RECLAIM_EVERY_MS) return;
    this.reclaimedMs = nowMs;
    const { records } = this;
    for (let n = Math.min(RECLAIM_BUDGET, this.slots); n > 0; n--) {
      const slot = this.cursor;
      this.cursor = (this.cursor + 1) % this.slots;
      if (records.generation(slot) === 0 || records.idleMs(slot, nowMs) < IDLE_MS) continue;
      this.pull(this.conns[slot]!, nowMs);
      this.withdraw(this.conns[slot]!, nowMs);
    }
  }
}
