/** Answers to questions about connections: what the table holds, as records (questions.ts). */
import type { CtAnswer, CtQuestion, WireEntry, WireFilter, WireTuple } from "./questions.ts";
import {
  C_FLAGS,
  C_LABEL,
  C_MARK,
  C_ORIGINAL,
  C_REPLY,
  C_STATE,
  CF_FTP,
  CF_TFTP,
  type ConnTable,
} from "./table.ts";
import { PEER_WORDS, tcpState } from "./tcp.ts";
import type { Tracker } from "./tracker.ts";
import { ICMP, ICMPV6, IPV4, T_DST, T_META, T_PORTS, T_SRC, TCP } from "./tuple.ts";
import { TCP_STATES } from "./types.ts";

/** Entries in one part of a dump: packets wait while one is made. */
const PART = 1000;

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmpv6",
  132: "sctp",
};

function hex(words: Int32Array, at: number, count: number): string {
  return new Uint8Array(words.slice(at, at + count).buffer).toHex();
}

function tupleAt(words: Int32Array, at: number): WireTuple {
  const meta = words[at + T_META]!;
  const protocol = (meta >>> 8) & 0xff;
  const ports = words[at + T_PORTS]!;
  const count = (meta & 0xff) === IPV4 ? 1 : 4;
  const isIcmp = protocol === ICMP || protocol === ICMPV6;
  return {
    src: hex(words, at + T_SRC, count),
    dst: hex(words, at + T_DST, count),
    protocol,
    srcPort: isIcmp ? 0 : ports >>> 16,
    dstPort: isIcmp ? 0 : ports & 0xffff,
    ...(isIcmp
      ? { icmp: { id: ports >>> 16, type: (ports >>> 8) & 0xff, code: ports & 0xff } }
      : {}),
  };
}

function entryOf(tracker: Tracker, conn: number, nowMs: number): WireEntry {
  const { table } = tracker;
  table.onRefresh(conn);
  const words = table.words(conn);
  const base = table.base(conn);
  const flags = words[base + C_FLAGS]!;
  const original = tupleAt(words, base + C_ORIGINAL);
  const parent = tracker.expectations.parentTuple(conn);
  const state = (side: number) => TCP_STATES[tcpState(words, base + C_STATE + side)] ?? "CLOSED";
  return {
    zone: words[base + T_META]! >>> 16,
    original,
    reply: tupleAt(words, base + C_REPLY),
    mark: words[base + C_MARK]! >>> 0,
    label: hex(words, base + C_LABEL, 4),
    timeoutMs: table.expiry(conn) - nowMs,
    ...(original.protocol === TCP ? { tcp: { original: state(0), reply: state(PEER_WORDS) } } : {}),
    ...((flags & CF_FTP) !== 0 ? { helper: "ftp" as const } : {}),
    ...((flags & CF_TFTP) !== 0 ? { helper: "tftp" as const } : {}),
    ...(parent ? { parent: tupleAt(parent, 0) } : {}),
  };
}

function fits(table: ConnTable, conn: number, { zone, tuple }: WireFilter): boolean {
  const words = table.words(conn);
  const base = table.base(conn);
  if (zone !== undefined && words[base + T_META]! >>> 16 !== zone) return false;
  if (!tuple) return true;
  const own = tupleAt(words, base + C_ORIGINAL);
  if (tuple.icmp) {
    const { icmp } = own;
    if (!icmp || icmp.id !== tuple.icmp.id || icmp.type !== tuple.icmp.type) return false;
    if (icmp.code !== tuple.icmp.code) return false;
  }
  return (["src", "dst", "protocol", "srcPort", "dstPort"] as const).every((name) =>
    tuple[name] === undefined || tuple[name] === own[name] ||
    (own.icmp !== undefined && (name === "srcPort" || name === "dstPort"))
  );
}

function matching(tracker: Tracker, filter: WireFilter, nowMs: number): number[] {
  const { table } = tracker;
  return [...table.all(nowMs)].filter((conn) => fits(table, conn, filter));
}

/** `nowMs`: of the clock that packets are timed by. */
export function answer(tracker: Tracker, question: CtQuestion, nowMs: number): CtAnswer {
  const { table } = tracker;
  switch (question.type) {
    case "dump": {
      const entries: WireEntry[] = [];
      for (const conn of table.all(nowMs, question.from)) {
        if (entries.length === PART) return { type: "dump", entries, next: conn };
        if (fits(table, conn, question.filter)) entries.push(entryOf(tracker, conn, nowMs));
      }
      return { type: "dump", entries, next: -1 };
    }
    case "flush": {
      const found = matching(tracker, question.filter, nowMs);
      for (const conn of found) table.remove(conn);
      return { type: "flush", removed: found.length };
    }
    case "stats": {
      const byProtocol: Record<string, number> = {};
      let connections = 0;
      for (const conn of table.all(nowMs)) {
        connections++;
        const protocol = (table.words(conn)[table.base(conn) + T_META]! >>> 8) & 0xff;
        const name = PROTOCOL_NAMES[protocol] ?? String(protocol);
        byProtocol[name] = (byProtocol[name] ?? 0) + 1;
      }
      return {
        type: "stats",
        connections,
        maxConnections: tracker.admission.maxConnections,
        byProtocol,
      };
    }
    case "zoneLimits": {
      const limits = [...tracker.admission.zoneLimits].sort(([a], [b]) => a - b).map((
        [zone, limit],
      ) => ({
        zone,
        limit,
        count: table.inZone(zone),
      }));
      const rest = { zone: -1, limit: tracker.admission.defaultLimit, count: 0 };
      return { type: "zoneLimits", limits: [rest, ...limits] };
    }
    default: {
      const never: never = question;
      throw new Error(`unknown question ${String(never)}`);
    }
  }
}
