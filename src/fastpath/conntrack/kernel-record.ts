/**
 * Connections as programs in the kernel know them: what stands in the two maps that they and the
 * tracker share (kernel-connections.ts says who writes what when).
 *
 * The hash has two entries a connection: a direction's tuple, as in the tracker's table (tuple.ts,
 * TUPLE_WORDS words), and as its value
 *
 *      0 slot × 2 + direction u32      4 generation u32
 *
 * The array has a record a slot, of 256 bytes, numbers in the machine's byte order. First one part for
 * each side, which sends the packets of that direction:
 *
 *      0 highest sequence number sent u32         4 highest that it may send u32
 *      8 widest window that it offered, in bytes u32        12 its window's scale, as a shift u32
 *     16 what ports its packets get u32          20 source address   36 destination address
 *     52 ct_state of its packets u32             56 what NAT adds to that u32; 0: no NAT
 *
 * then, from SHARED on, what both have in common:
 *
 *      0 generation u32; 0: nobody's              4 flags u32 (KF_…)
 *      8 when it is over u32                      12 how long it lasts after a packet u32
 *     16 last word of its tuples u32             20 timeout policy i32
 *     24 window scale bytes of both sides (tcp.ts), u16 each
 *     32 the words of a flow key from ct_state to ct_ipv6_dst, ct_state 0
 *
 * - Times are CLOCK_MONOTONIC in units of 2^TICK_SHIFT ns, about a millisecond, modulo 2^32; nothing
 *   lasts longer than MAX_TICKS. Addresses, ports and key words are as in packets.
 * - A record counts if its generation is the one that the hash's entry names. The generation becomes 0
 *   before anything else of a record changes its meaning.
 * - Where a sequence number, an edge or a window moves, programs write the later one only.
 */
import { slot } from "../../packet/layout.ts";
import { TUPLE_WORDS } from "./tuple.ts";

/** Connections in the kernel at a time; the others are tracked in userspace. */
export const KERNEL_CONNECTIONS = 1 << 17;
export const RECORD_BYTES = 256;
export const ENTRY_KEY_BYTES = TUPLE_WORDS * 4;
export const ENTRY_VALUE_BYTES = 8;

/** Byte offsets in a side's part. */
export const SIDE_BYTES = 64;
export const SIDE = {
  sent: 0,
  allowed: 4,
  reach: 8,
  shift: 12,
  ports: 16,
  src: 20,
  dst: 36,
  state: 52,
  nat: 56,
} as const;

/** Byte offsets in the record of what both sides have in common. */
export const SHARED = 128;
export const COMMON = {
  generation: SHARED,
  flags: SHARED + 4,
  expires: SHARED + 8,
  lasts: SHARED + 12,
  meta: SHARED + 16,
  policy: SHARED + 20,
  scales: SHARED + 24,
  ct: SHARED + 32,
} as const;

export const TICK_SHIFT = 20;
/** 20 days. */
export const MAX_TICKS = 1_648_000_000;

/** Words of a flow key from ct_state on that tell of a connection. */
export const CT_WORD = slot("ct_state").offset >> 2;
export const CT_WORDS = ((slot("ct_ipv6_dst").offset + 16) >> 2) - CT_WORD;

/** TCP's sequence numbers are looked at. */
export const KF_WINDOW = 1;
/** NAT changes the source, or the destination, of the first direction. */
export const KF_SRC_NAT = 2;
export const KF_DST_NAT = 4;

/** What programs count, one record a shard (ebpf/shards.ts), 64-bit numbers. */
export const CT_COUNTS_BYTES = 64;
export const CT_COUNTS = {
  /** Packets of known connections. */
  hits: 0,
  /** Packets that only the tracker can judge. */
  misses: 1,
} as const;
