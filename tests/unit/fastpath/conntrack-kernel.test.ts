/** Connections that programs in the kernel forward: what the tracker offers them, hears of them, and takes back. */
import { expect, test } from "bun:test";
import { Admission } from "../../../src/fastpath/conntrack/admission.ts";
import {
  type ConnectionEntries,
  KernelConnections,
} from "../../../src/fastpath/conntrack/kernel-connections.ts";
import {
  COMMON,
  CT_WORD,
  CT_WORDS,
  ENTRY_KEY_BYTES,
  ENTRY_VALUE_BYTES,
  RECORD_BYTES,
  SIDE,
  SIDE_BYTES,
  TICK_SHIFT,
} from "../../../src/fastpath/conntrack/kernel-record.ts";
import { KernelRecords } from "../../../src/fastpath/conntrack/kernel-records.ts";
import { BOTH_WAYS } from "../../../src/fastpath/conntrack/settled.ts";
import {
  C_FLAGS,
  C_LABEL,
  C_MARK,
  C_ORIGINAL,
  C_REPLY,
  C_SLOT,
  C_STATE,
  CF_SRC_NAT,
  ConnTable,
} from "../../../src/fastpath/conntrack/table.ts";
import {
  ALLOWED,
  establish,
  PEER_WORDS,
  SENT,
  TcpTracker,
} from "../../../src/fastpath/conntrack/tcp.ts";
import {
  reverseTuple,
  T_DST,
  T_META,
  T_PORTS,
  T_SRC,
  TCP,
  TUPLE_WORDS,
  UDP,
} from "../../../src/fastpath/conntrack/tuple.ts";
import { slot } from "../../../src/packet/layout.ts";

const ZONE = 0x1234;
const NOW = 5_000_000;
const TICK_MS = 2 ** TICK_SHIFT / 1e6;

class FakeEntries implements ConnectionEntries {
  readonly map = new Map<string, Uint8Array>();

  updateMany(keys: Uint8Array, values: Uint8Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const key = keys.slice(i * ENTRY_KEY_BYTES, (i + 1) * ENTRY_KEY_BYTES).toHex();
      this.map.set(key, values.slice(i * ENTRY_VALUE_BYTES, (i + 1) * ENTRY_VALUE_BYTES));
    }
  }

  delete(key: Uint8Array): boolean {
    return this.map.delete(key.toHex());
  }

  entries() {
    const keys = [...this.map.keys()].map((key) => Uint8Array.fromHex(key));
    const join = (parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
    return { keys: join(keys), values: join([...this.map.values()]), count: this.map.size };
  }

  /** What a program finds: slot and direction, generation. */
  find(tuple: Int32Array): { slot: number; direction: number; generation: number } | undefined {
    const key = new Uint8Array(tuple.buffer, tuple.byteOffset, ENTRY_KEY_BYTES).toHex();
    const value = this.map.get(key);
    if (!value) return undefined;
    const [entry, generation] = new Int32Array(value.slice().buffer);
    return { slot: entry! >> 1, direction: entry! & 1, generation: generation! };
  }
}

class Rig {
  readonly table = new ConnTable();
  readonly admission = new Admission(this.table);
  readonly tcp = new TcpTracker();
  readonly kernel: KernelConnections;
  readonly words: Int32Array;
  shown = { count: 0, refused: 0 };

  constructor(
    slots = 8,
    readonly entries = new FakeEntries(),
    readonly memory = new ArrayBuffer(slots * RECORD_BYTES),
  ) {
    this.words = new Int32Array(memory);
    const records = new KernelRecords(memory, this.table, this.admission);
    this.kernel = new KernelConnections(
      this.table,
      this.tcp,
      entries,
      records,
      slots,
      (count, refused) => this.shown = { count, refused },
    );
    this.table.onRemove = (conn) => this.kernel.withdraw(conn, NOW);
    this.table.onRefresh = (conn) => this.kernel.refresh(conn, NOW);
  }

  connect(protocol: number, port: number, flags = 0): number {
    const { table } = this;
    const conn = table.allocate();
    const words = table.words(conn);
    const base = table.base(conn);
    words[base + T_SRC] = 0x0100000a;
    words[base + T_DST] = 0x0200000a;
    words[base + T_PORTS] = (port << 16) | 80;
    words[base + T_META] = (ZONE << 16) | (protocol << 8) | 4;
    reverseTuple(words, base + C_ORIGINAL, words, base + C_REPLY);
    if (flags !== 0) {
      words[base + C_REPLY + T_DST] = 0x0900000a;
      words[base + C_REPLY + T_PORTS] = (80 << 16) | 4000;
    }
    words[base + C_FLAGS] = flags;
    if (protocol === TCP) {
      establish(words, base + C_STATE, 1000, 5000, 100, 0x87);
      establish(words, base + C_STATE + PEER_WORDS, 2000, 6000, 200, 0x82);
    } else words[base + C_STATE] = BOTH_WAYS;
    table.setExpiry(conn, NOW + 30_000);
    table.insert(conn);
    return conn;
  }

  /** A packet that the tracker sees, which changes nothing unless `change` does. */
  packet(conn: number, nowMs = NOW, change = () => {}): void {
    this.kernel.begin();
    this.kernel.judge(conn, nowMs);
    change();
    this.kernel.judged(conn, nowMs);
  }

  tuple(conn: number, which: number): Int32Array {
    const at = this.table.base(conn) + which;
    return this.table.words(conn).slice(at, at + TUPLE_WORDS);
  }

  /** A packet that a program forwards. */
  used(slotNo: number, nowMs: number): void {
    const at = slotNo * (RECORD_BYTES / 4);
    const lasts = this.words[at + (COMMON.lasts >> 2)]!;
    this.words[at + (COMMON.expires >> 2)] = Math.floor(nowMs / TICK_MS) + lasts;
  }
}

const side = (slotNo: number, which: number, at: number): number =>
  (slotNo * RECORD_BYTES + which * SIDE_BYTES + at) >> 2;
const common = (slotNo: number, at: number): number => (slotNo * RECORD_BYTES + at) >> 2;

test("a settled connection is offered in both directions, with what its packets become", () => {
  const rig = new Rig();
  const conn = rig.connect(TCP, 1234, CF_SRC_NAT);
  rig.packet(conn);
  expect(rig.shown.count).toBe(1);
  const original = rig.entries.find(rig.tuple(conn, C_ORIGINAL))!;
  const reply = rig.entries.find(rig.tuple(conn, C_REPLY))!;
  expect([original.direction, reply.direction]).toEqual([0, 1]);
  const { slot: at, generation } = original;
  expect(reply).toEqual({ slot: at, direction: 1, generation });
  expect(rig.words[common(at, COMMON.generation)]).toBe(generation);
  const bytes = new Uint8Array(rig.memory);
  const address = (
    which: number,
    from: number,
  ) => [...bytes.subarray(which * SIDE_BYTES + from, which * SIDE_BYTES + from + 4)];
  expect(address(0, SIDE.src)).toEqual([10, 0, 0, 9]);
  expect(address(0, SIDE.dst)).toEqual([10, 0, 0, 2]);
  expect(address(0, SIDE.ports)).toEqual([4000 >> 8, 4000 & 255, 0, 80]);
  expect(address(1, SIDE.src)).toEqual([10, 0, 0, 2]);
  expect(address(1, SIDE.dst)).toEqual([10, 0, 0, 1]);
  expect(address(1, SIDE.ports)).toEqual([0, 80, 1234 >> 8, 1234 & 255]);
  expect(address(0, SIDE.state)).toEqual([0, 0, 0, 0x22]);
  expect(address(1, SIDE.state)).toEqual([0, 0, 0, 0x2a]);
  expect(address(0, SIDE.nat)).toEqual([0, 0, 0, 0x40]);
  expect(address(1, SIDE.nat)).toEqual([0, 0, 0, 0x80]);
  // The words of a flow key.
  const key = new Uint8Array((CT_WORD + CT_WORDS) * 4);
  key.set(bytes.subarray(COMMON.ct, COMMON.ct + 4 * CT_WORDS), CT_WORD * 4);
  const field = (name: "ct_zone" | "ct_nw_proto" | "ct_nw_src" | "ct_tp_src" | "ct_tp_dst") => {
    const { offset, bytes: length } = slot(name);
    return [...key.subarray(offset, offset + length)];
  };
  expect(field("ct_zone")).toEqual([0x12, 0x34]);
  expect(field("ct_nw_proto")).toEqual([TCP]);
  expect(field("ct_nw_src")).toEqual([10, 0, 0, 1]);
  expect(field("ct_tp_src")).toEqual([1234 >> 8, 1234 & 255]);
  expect(field("ct_tp_dst")).toEqual([0, 80]);
});

test("an answered question is not worth it; what ends is withdrawn", () => {
  const rig = new Rig();
  const conn = rig.connect(UDP, 53);
  rig.table.words(conn)[rig.table.base(conn) + C_STATE] = 0;
  rig.packet(conn, NOW, () => rig.table.words(conn)[rig.table.base(conn) + C_STATE] = BOTH_WAYS);
  expect(rig.shown.count).toBe(0);
  rig.packet(conn);
  expect(rig.shown.count).toBe(1);
  const tcp = rig.connect(TCP, 99);
  rig.packet(tcp);
  expect(rig.entries.map.size).toBe(4);
  const { slot: at } = rig.entries.find(rig.tuple(tcp, C_ORIGINAL))!;
  const state = rig.table.base(tcp) + C_STATE + 2;
  rig.packet(tcp, NOW, () => {
    rig.table.words(tcp)[state]! += 3;
    rig.table.setExpiry(tcp, NOW + 900);
  });
  expect(rig.table.expiry(tcp)).toBe(NOW + 900);
  expect(rig.words[common(at, COMMON.generation)]).toBe(0);
  rig.table.remove(conn);
  expect(rig.entries.map.size).toBe(0);
  expect(rig.shown.count).toBe(0);
});

test("it lives as long as programs see packets, and what they note is taken over", () => {
  const rig = new Rig();
  const conn = rig.connect(TCP, 7);
  rig.packet(conn);
  const { slot: at } = rig.entries.find(rig.tuple(conn, C_ORIGINAL))!;
  const day = 24 * 3600 * 1000;
  rig.used(at, NOW + 1000);
  const later = NOW + day + 500;
  rig.table.onRefresh = (each) => rig.kernel.refresh(each, later);
  expect(rig.table.lookup(rig.tuple(conn, C_REPLY), 0, later)).toBe(2 * conn + 1);
  expect(Math.abs(rig.table.expiry(conn) - (NOW + day + 1000))).toBeLessThan(10);
  // Client's data: sequence numbers, the server's edge and the client's window move.
  rig.words[side(at, 0, SIDE.sent)] = 3000;
  rig.words[side(at, 1, SIDE.allowed)] = 9000;
  rig.words[side(at, 0, SIDE.reach)] = 300 << 7;
  const words = rig.table.words(conn);
  const peer = rig.table.base(conn) + C_STATE;
  rig.packet(conn, later, () => {
    expect(words[peer + SENT]).toBe(3000);
    expect(words[peer + PEER_WORDS + ALLOWED]).toBe(9000);
    expect(words[peer + 2]! >>> 16).toBe(300);
    words[peer + SENT] = 3500;
    words[peer + ALLOWED] = 4000;
  });
  expect(rig.words[side(at, 0, SIDE.sent)]).toBe(3500);
  // An edge never moves back.
  expect(rig.words[side(at, 0, SIDE.allowed)]).toBe(5000);
});

test("marks and labels follow, settings too", () => {
  const rig = new Rig();
  const conn = rig.connect(TCP, 7);
  rig.packet(conn);
  const { slot: at, generation } = rig.entries.find(rig.tuple(conn, C_ORIGINAL))!;
  const words = rig.table.words(conn);
  const base = rig.table.base(conn);
  rig.packet(conn, NOW, () => {
    words[base + C_MARK] = 0x01020304;
    words[base + C_LABEL + 3] = 77;
  });
  const bytes = new Uint8Array(rig.memory, at * RECORD_BYTES);
  const mark = COMMON.ct + slot("ct_mark").offset - 4 * CT_WORD;
  expect([...bytes.subarray(mark, mark + 4)]).toEqual([1, 2, 3, 4]);
  const label = COMMON.ct + slot("ct_label").offset - 4 * CT_WORD;
  expect(bytes[label + 12]).toBe(77);
  expect(rig.words[common(at, COMMON.generation)]).toBe(generation);
  expect(rig.words[common(at, COMMON.flags)]).toBe(1);
  rig.tcp.checks = false;
  rig.admission.setPolicy(0, { tcp_established: 100 });
  rig.kernel.settingsChanged(NOW);
  expect(rig.words[common(at, COMMON.flags)]).toBe(0);
});

test("slots rest before they are used again; idle connections give way when all are taken", () => {
  const rig = new Rig(2);
  const [a, b, c] = [1, 2, 3].map((port) => rig.connect(UDP, port)) as [number, number, number];
  rig.packet(a);
  rig.packet(b);
  rig.packet(c);
  expect(rig.shown).toEqual({ count: 2, refused: 1 });
  const { slot: ofB, generation } = rig.entries.find(rig.tuple(b, C_ORIGINAL))!;
  rig.table.remove(b);
  rig.packet(c, NOW + 99);
  expect(rig.shown).toEqual({ count: 1, refused: 2 });
  rig.packet(c, NOW + 100);
  expect(rig.entries.find(rig.tuple(c, C_ORIGINAL))!.slot).toBe(ofB);
  expect(rig.entries.find(rig.tuple(c, C_ORIGINAL))!.generation).not.toBe(generation);
  // a has been idle for long; c is used. The slot rests before it is d's.
  const d = rig.connect(UDP, 4);
  const late = NOW + 10_000;
  rig.used(ofB, late - 100);
  rig.packet(d, late);
  expect(rig.entries.find(rig.tuple(a, C_ORIGINAL))).toBeUndefined();
  expect(rig.entries.find(rig.tuple(c, C_ORIGINAL))).toBeDefined();
  rig.packet(d, late + 100);
  expect(rig.entries.find(rig.tuple(d, C_ORIGINAL))).toBeDefined();
});

test("another process finds them; what was left half done goes", () => {
  const old = new Rig();
  const [tcp, udp, expired, half] = [
    old.connect(TCP, 1, CF_SRC_NAT),
    old.connect(UDP, 2),
    old.connect(UDP, 3),
    old.connect(UDP, 4),
  ];
  for (const conn of [tcp, udp, expired, half]) old.packet(conn);
  old.packet(tcp, NOW, () => {
    old.table.words(tcp)[old.table.base(tcp) + C_MARK] = 42;
  });
  const slotOf = (conn: number) => old.entries.find(old.tuple(conn, C_ORIGINAL))!.slot;
  old.used(slotOf(expired), NOW - 60_000);
  old.entries.map.delete(
    new Uint8Array(old.tuple(half, C_REPLY).buffer, 0, ENTRY_KEY_BYTES).toHex(),
  );
  const fresh = new Rig(8, old.entries, old.memory);
  fresh.kernel.adopt(NOW + 1000);
  expect(fresh.shown.count).toBe(2);
  expect(fresh.entries.map.size).toBe(4);
  expect([...fresh.table.all(NOW + 1000)].length).toBe(2);
  const found = fresh.table.lookup(old.tuple(tcp, C_REPLY), 0, NOW + 1000);
  expect(found & 1).toBe(1);
  const conn = found >> 1;
  const oldWords = old.table.words(tcp).slice(old.table.base(tcp), old.table.base(tcp) + C_SLOT);
  const newBase = fresh.table.base(conn);
  const newWords = fresh.table.words(conn).slice(newBase, newBase + C_SLOT);
  // All but places in the hash table.
  const hashes = C_REPLY + TUPLE_WORDS;
  for (const words of [oldWords, newWords]) words.fill(0, hashes, hashes + 4);
  expect([...newWords]).toEqual([...oldWords]);
  // It goes on from there.
  fresh.packet(conn, NOW + 2000);
  fresh.table.remove(conn);
  expect(fresh.entries.find(old.tuple(tcp, C_ORIGINAL))).toBeUndefined();
  const next = fresh.connect(UDP, 9);
  fresh.packet(next, NOW + 2000);
  const before = [tcp, udp, expired, half].length;
  expect(fresh.entries.find(fresh.tuple(next, C_ORIGINAL))!.generation).toBe(before + 1);
});
