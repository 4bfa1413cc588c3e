/** The connection table against a plain map, and what limits do. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  Admission,
  ADMITTED,
  TABLE_FULL,
  ZONE_FULL,
} from "../../../src/fastpath/conntrack/admission.ts";
import { C_ORIGINAL, C_REPLY, ConnTable } from "../../../src/fastpath/conntrack/table.ts";
import {
  reverseTuple,
  T_META,
  T_PORTS,
  T_SRC,
  TUPLE_WORDS,
} from "../../../src/fastpath/conntrack/tuple.ts";

/** A UDP tuple over IPv4. */
function tupleOf(host: number, port: number, zone: number): Int32Array {
  const tuple = new Int32Array(TUPLE_WORDS);
  tuple[T_SRC] = host;
  tuple[T_PORTS] = (port << 16) | 53;
  tuple[T_META] = (zone << 16) | (17 << 8) | 4;
  return tuple;
}

function put(table: ConnTable, tuple: Int32Array, expiresMs: number): number {
  const conn = table.allocate();
  const words = table.words(conn);
  const base = table.base(conn);
  words.set(tuple, base + C_ORIGINAL);
  reverseTuple(tuple, 0, words, base + C_REPLY);
  table.setExpiry(conn, expiresMs);
  table.insert(conn);
  return conn;
}

function reversed(tuple: Int32Array): Int32Array {
  const other = new Int32Array(TUPLE_WORDS);
  reverseTuple(tuple, 0, other, 0);
  return other;
}

const step = fc.record({
  what: fc.constantFrom("put", "remove", "wait", "sweep"),
  host: fc.nat(3),
  port: fc.nat(40),
  zone: fc.nat(2),
  ms: fc.nat(30),
});

test("it finds what a map finds, by either direction, under any sequence of changes", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new ConnTable();
      const model = new Map<string, { tuple: Int32Array; expires: number; conn: number }>();
      let now = 0;
      for (const { what, host, port, zone, ms } of steps) {
        const tuple = tupleOf(host, port, zone);
        const name = tuple.join();
        const known = model.get(name);
        const alive = known !== undefined && known.expires > now;
        if (what === "put" && !alive) {
          // Whoever puts has looked before, which removes an expired one.
          expect(table.lookup(tuple, 0, now)).toBe(-1);
          model.set(name, { tuple, expires: now + ms, conn: put(table, tuple, now + ms) });
        } else if (what === "remove" && alive) {
          table.remove(known.conn);
          model.delete(name);
        } else if (what === "wait") now += ms;
        else if (what === "sweep") table.sweep(now, ms);
        const found = model.get(name);
        const wanted = found && found.expires > now ? found.conn : -1;
        expect(table.lookup(tuple, 0, now)).toBe(wanted < 0 ? -1 : 2 * wanted);
        expect(table.lookup(reversed(tuple), 0, now)).toBe(wanted < 0 ? -1 : 2 * wanted + 1);
      }
      const alive = [...model.values()].filter(({ expires }) => expires > now);
      expect([...table.all(now)].sort((a, b) => a - b))
        .toEqual(alive.map(({ conn }) => conn).sort((a, b) => a - b));
      table.sweepAll(now);
      expect(table.count).toBe(alive.length);
      for (const zone of [0, 1, 2]) {
        const inZone = alive.filter(({ tuple }) => tuple[T_META]! >>> 16 === zone).length;
        expect(table.inZone(zone)).toBe(inZone);
      }
    }),
    { numRuns: 200 },
  );
});

test("it grows, and records are used again", () => {
  const table = new ConnTable();
  const conns = Array.from({ length: 20_000 }, (_, i) => put(table, tupleOf(i, i & 1023, 1), 1e9));
  expect(table.count).toBe(20_000);
  for (const i of [0, 4095, 4096, 19_999]) {
    expect(table.lookup(tupleOf(i, i & 1023, 1), 0, 0)).toBe(2 * conns[i]!);
  }
  table.remove(conns[5]!);
  expect(put(table, tupleOf(-1, 1, 1), 1e9)).toBe(conns[5]!);
});

test("limits count what is alive; expired connections make room", () => {
  const table = new ConnTable();
  const admission = new Admission(table);
  admission.setZoneLimit(1, 2);
  put(table, tupleOf(1, 1, 1), 100);
  put(table, tupleOf(2, 1, 1), 5000);
  expect(admission.ask(1, 50)).toBe(ZONE_FULL);
  expect(admission.ask(2, 50)).toBe(ADMITTED);
  // The table was searched a moment ago.
  expect(admission.ask(1, 200)).toBe(ZONE_FULL);
  expect(admission.ask(1, 1100)).toBe(ADMITTED);
  expect(admission.expired).toBe(1);
  admission.maxConnections = 1;
  expect(admission.ask(2, 1200)).toBe(TABLE_FULL);
});
