/**
 * The `ct` action in the kernel, as a step of an action program (action-program.ts): packets of
 * connections that the tracker has offered (conntrack/kernel-connections.ts) go on, all others go to the
 * process, whose tracker decides.
 *
 *     tuple (ct-tuple.ts) ──> hash ──> record: not over, marks as they are to be, TCP in its window
 *                              │ none     │ no                              │ yes
 *                              └──────────┴──> miss        sequence numbers, expiry noted; NAT; ct_… fields
 *
 * - TCP's window is judged by the tracker's rules (conntrack/tcp.ts, `update`) for a packet with an
 *   acknowledgement and without SYN, FIN and RST. What would be invalid is a miss.
 * - A packet that went through the same zone before has that zone's bits: they must be those of the
 *   connection; if it was translated, the connection is the one of the other direction's tuple.
 * - Nothing is changed before it is sure that the packet goes on. If it does not and nothing was done
 *   before, it meets its flow again in the process; else the process goes on in the middle of it.
 *
 * Arguments: zone × 2^16 u32, zone as in a flow key u32; `mark`: value and mask, `label`: the same of
 * 4 words each, all as in a flow key.
 */
import {
  COMMON,
  CT_COUNTS,
  CT_COUNTS_BYTES,
  CT_WORD,
  CT_WORDS,
  KF_WINDOW,
  SIDE,
  SIDE_BYTES,
  TICK_SHIFT,
} from "../conntrack/kernel-record.ts";
import { ACK_SLACK } from "../conntrack/tcp.ts";
import { IPV4, TCP, UDP } from "../conntrack/tuple.ts";
import { CS_DST_NAT, CS_SRC_NAT } from "../conntrack/types.ts";
import { PUNT_RESUME, PUNT_RESUME_WORDS } from "../punts.ts";
import { CB_FLOW } from "./abi.ts";
import { type ActionContext, KEY, L3, L4, PROTOCOL, SHARD } from "./action-context.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import { add } from "./counting.ts";
import {
  BELOW_TUPLE,
  emitReverse,
  emitTuple,
  FAMILY,
  HEAD,
  PAYLOAD,
  PORTS,
  TUPLE,
} from "./ct-tuple.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./instructions.ts";
import { ALL_WORDS, STATE_METADATA, STATE_WORDS, stateOffset } from "./packet-state.ts";
import {
  ICMP_CHECKSUM,
  IPV4_CHECKSUM,
  MARK_MANGLED_0,
  PSEUDO_HEADER,
  RECOMPUTE_CSUM,
  TCP_CHECKSUM,
  UDP_CHECKSUM,
} from "./step-set.ts";

/** The maps of conntrack/kernel-record.ts. */
export interface ConnectionMaps {
  /** Tuple → slot and direction, generation. */
  readonly connEntries: MapReference;
  readonly connRecords: MapReference;
  /** One value: counts, one record a shard. */
  readonly connCounts: MapReference;
}

export interface CtStep {
  readonly kind: "ct";
  /** Where the arguments are, of `CT_ARGUMENTS` and what follows. */
  readonly at: number;
  readonly nat: boolean;
  readonly mark: boolean;
  readonly label: boolean;
  /**
   * Something is done before it. `place`: of the action in the flow's program; `at`: of the program's
   * fingerprint in the arguments.
   */
  readonly resume?: { readonly place: number; readonly at: number };
}

const CT_AT = stateOffset(CT_WORD)!;
const ZONE_AT = CT_AT + 4;
const MARK = COMMON.ct + 8;
const LABEL = COMMON.ct + 12;
const NAT_BITS = ((CS_SRC_NAT | CS_DST_NAT) << 24) >>> 0;

/** The stack, below ct-tuple.ts's part: bytes below it. */
const below = (bytes: number): number => BELOW_TUPLE - bytes;
const GENERATION = below(4);
const NOW = below(12);
/** The state that the packet came with from the same zone, u32; 0: none. */
const PRIOR = below(16);
/** Pointers to the parts of the packet's sender and receiver. */
const [SENDER, RECEIVER] = [below(24), below(32)];
/** Up to 32 bytes of addresses, or ports, as they are to be. */
const NEW = below(64);
const [END, OFFERED] = [below(68), below(72)];
const DIFFERENCE = below(80);

/** Goes on behind it, or in the process. r7 stays; r6 is the context. */
export function emitCt(context: ActionContext, step: CtStep): void {
  const { asm } = context;
  const maps = context.maps.connections?.();
  if (!maps) throw new Error("a program tracks connections without maps for them");
  const missed = asm.fresh("ct_miss");
  const done = asm.fresh("ct_done");
  emitTuple(context, step.at, missed);
  readPrior(context, step.at, missed);
  find(asm, maps, missed);
  checkRecord(asm, step, missed);
  followTcp(asm, missed);
  touch(asm);
  count(context, maps, CT_COUNTS.hits);
  if (step.nat) translate(asm);
  writeMetadata(context, step.nat);
  asm.jump(done).label(missed);
  count(context, maps, CT_COUNTS.misses);
  if (step.resume === undefined) asm.jump("punt");
  else resume(context, step.resume);
  asm.label(done);
}

/** The process goes on at this action: what it needs for that stands behind the metadata. */
function resume(context: ActionContext, { at, place }: NonNullable<CtStep["resume"]>): void {
  const { asm } = context;
  context.loadState(R8);
  asm.load(32, R2, R8, STATE_WORDS);
  asm.jumpIf("gt", R2, ALL_WORDS - PUNT_RESUME_WORDS, context.drop("state_lost"));
  asm.mov(R3, reg(R2)).op("lsh", R3, 2).op("add", R3, reg(R8));
  asm.load(32, R4, R6, CB_FLOW).store(32, R3, STATE_METADATA, reg(R4));
  asm.load(32, R4, R7, at).store(32, R3, STATE_METADATA + 4, reg(R4));
  asm.op("add", R2, PUNT_RESUME_WORDS).store(32, R8, STATE_WORDS, reg(R2));
  asm.mov(R9, PUNT_RESUME | place).jump("punt_decided");
}

/** `ct_clear`: as if the packet had never been tracked. */
export function emitCtClear(context: ActionContext): void {
  const { asm } = context;
  context.loadState(R8);
  for (let i = 0; i < CT_WORDS; i++) asm.store(32, R8, CT_AT + 4 * i, 0);
}

/** PRIOR, and the tuple of the other direction if the packet has been translated in this zone. */
function readPrior(context: ActionContext, at: number, miss: string): void {
  const { asm } = context;
  const known = asm.fresh("ct_prior");
  context.loadState(R8);
  asm.store(32, R10, PRIOR, 0);
  asm.load(32, R2, R8, CT_AT).jumpIf("eq", R2, 0, known);
  asm.load(16, R3, R8, ZONE_AT).load(32, R4, R7, at + 4).jumpIf("ne", R3, reg(R4), known);
  asm.store(32, R10, PRIOR, reg(R2)).mov32(R3, NAT_BITS).op("and", R2, reg(R3));
  asm.jumpIf("eq", R2, 0, known);
  emitReverse(asm, miss);
  asm.label(known);
}

/** Leaves the record in r9. */
function find(asm: Assembler, maps: ConnectionMaps, miss: string): void {
  const same = asm.fresh("ct_direction");
  asm.loadMap(R1, maps.connEntries).mov(R2, reg(R10)).op("add", R2, TUPLE);
  asm.call("map_lookup_elem").jumpIf("eq", R0, 0, miss);
  asm.load(32, R8, R0, 0).load(32, R3, R0, 4).store(32, R10, GENERATION, reg(R3));
  asm.mov(R2, reg(R8)).op("rsh", R2, 1).store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, maps.connRecords).mov(R2, reg(R10)).op("add", R2, KEY);
  asm.call("map_lookup_elem").jumpIf("eq", R0, 0, miss).mov(R9, reg(R0));
  asm.load(32, R2, R10, PRIOR).mov32(R3, NAT_BITS).op("and", R2, reg(R3)).jumpIf("eq", R2, 0, same);
  asm.op("xor", R8, 1).label(same);
  // r8: where the sender's part is.
  asm.op("and", R8, 1).op("mul", R8, SIDE_BYTES);
  asm.mov(R2, reg(R9)).op("add", R2, reg(R8)).store(64, R10, SENDER, reg(R2));
  asm.mov(R3, SIDE_BYTES).op("sub", R3, reg(R8)).mov(R2, reg(R9)).op("add", R2, reg(R3));
  asm.store(64, R10, RECEIVER, reg(R2));
}

/** It is the one that was meant, is not over, and has nothing that is to change. */
function checkRecord(asm: Assembler, { at, mark, label }: CtStep, miss: string): void {
  const fresh = asm.fresh("ct_fresh");
  asm.call("ktime_get_coarse_ns").op("rsh", R0, TICK_SHIFT).store(32, R10, NOW, reg(R0));
  asm.load(32, R2, R9, COMMON.expires).op32("sub", R2, reg(R0)).jumpIf32("sle", R2, 0, miss);
  asm.load(32, R2, R10, PRIOR).jumpIf("eq", R2, 0, fresh);
  asm.mov32(R3, ~NAT_BITS >>> 0).op("and", R2, reg(R3));
  asm.load(64, R3, R10, SENDER).load(32, R3, R3, SIDE.state).jumpIf("ne", R2, reg(R3), miss);
  asm.label(fresh);
  const unchanged = (from: number, value: number, mask: number): void => {
    asm.load(32, R2, R9, from).load(32, R3, R7, value).op("xor", R2, reg(R3));
    asm.load(32, R3, R7, mask).op("and", R2, reg(R3)).jumpIf("ne", R2, 0, miss);
  };
  const markAt = at + 8;
  const labelAt = markAt + (mark ? 8 : 0);
  if (mark) unchanged(MARK, markAt, markAt + 4);
  for (let i = 0; i < 4 && label; i++) {
    unchanged(LABEL + 4 * i, labelAt + 4 * i, labelAt + 16 + 4 * i);
  }
  asm.load(32, R2, R9, COMMON.generation).load(32, R3, R10, GENERATION);
  asm.jumpIf("ne", R2, reg(R3), miss);
}

/** TCP: is it in the window? Then what it says is noted. r8 is lost. */
function followTcp(asm: Assembler, miss: string): void {
  const [done, empty, valid, narrow, old, shut] = [
    "ct_followed",
    "ct_data",
    "ct_valid",
    "ct_narrow",
    "ct_old",
    "ct_shut",
  ].map((stem) => asm.fresh(stem)) as [string, string, string, string, string, string];
  asm.load(64, R2, R10, PROTOCOL).jumpIf("ne", R2, TCP, done);
  // r8: sender, r4: receiver, r2: end of what is sent, r3: where it begins, r5: acknowledged.
  asm.load(64, R8, R10, SENDER).load(64, R4, R10, RECEIVER);
  asm.load(32, R3, R10, PORTS + 4).toBigEndian(R3, 32);
  asm.load(32, R2, R10, PAYLOAD).jumpIf("ne", R2, 0, empty).load(32, R3, R8, SIDE.sent);
  asm.label(empty).op32("add", R2, reg(R3)).store(32, R10, END, reg(R2));
  asm.load(32, R5, R10, PORTS + 8).toBigEndian(R5, 32);
  asm.load(16, R1, R10, PORTS + 14).toBigEndian(R1, 16);
  asm.load(32, R0, R8, SIDE.shift).op("and", R0, 15).op32("lsh", R1, reg(R0));
  asm.store(32, R10, OFFERED, reg(R1));
  asm.load(32, R1, R9, COMMON.flags).jumpIf("eq", R1, 0, valid);
  asm.op("and", R1, KF_WINDOW).jumpIf("eq", R1, 0, valid);
  asm.load(32, R1, R8, SIDE.allowed).op32("sub", R1, reg(R2)).jumpIf32("slt", R1, 0, miss);
  asm.load(32, R1, R8, SIDE.sent).load(32, R2, R4, SIDE.reach).op32("sub", R1, reg(R2));
  asm.op32("sub", R3, reg(R1)).jumpIf32("slt", R3, 0, miss);
  asm.load(32, R1, R4, SIDE.sent).op32("sub", R1, reg(R5)).jumpIf32("slt", R1, -ACK_SLACK, miss);
  asm.mov32(R2, ACK_SLACK).op32("lsh", R2, reg(R0)).jumpIf32("sgt", R1, reg(R2), miss);

  asm.label(valid).load(32, R2, R10, OFFERED).load(32, R1, R8, SIDE.reach);
  asm.jumpIf32("le", R2, reg(R1), narrow).store(32, R8, SIDE.reach, reg(R2)).label(narrow);
  asm.load(32, R1, R10, END).load(32, R3, R8, SIDE.sent).mov32(R0, reg(R1)).op32(
    "sub",
    R0,
    reg(R3),
  );
  asm.jumpIf32("sle", R0, 0, old).store(32, R8, SIDE.sent, reg(R1)).label(old);
  // The edge: a closed window has one byte, as the tracker has it.
  asm.mov32(R1, reg(R5)).op32("add", R1, reg(R2)).load(32, R3, R4, SIDE.allowed);
  asm.mov32(R0, reg(R1)).op32("sub", R0, reg(R3)).jumpIf32("slt", R0, 0, done);
  asm.jumpIf32("ne", R2, 0, shut).op32("add", R1, 1);
  asm.label(shut).store(32, R4, SIDE.allowed, reg(R1));
  asm.label(done);
}

/** It has been used. */
function touch(asm: Assembler): void {
  const same = asm.fresh("ct_touched");
  asm.load(32, R2, R10, NOW).load(32, R3, R9, COMMON.lasts).op32("add", R2, reg(R3));
  asm.load(32, R3, R9, COMMON.expires).jumpIf("eq", R2, reg(R3), same);
  asm.store(32, R9, COMMON.expires, reg(R2)).label(same);
}

function count(
  { asm, maps: { shards }, maps }: ActionContext,
  of: ConnectionMaps,
  which: number,
): void {
  asm.loadMapValue(R1, of.connCounts);
  if (shards.count > 1) {
    asm.load(32, R2, R10, SHARD).op("and", R2, shards.count - 1).op("mul", R2, CT_COUNTS_BYTES);
    asm.op("add", R1, reg(R2));
  }
  add(asm, maps, R1, 8 * which, 1);
}

/** Addresses and ports that the other side knows; not if they are there already. */
function translate(asm: Assembler): void {
  const [done, v6, ports] = [
    asm.fresh("ct_as_is"),
    asm.fresh("ct_nat6"),
    asm.fresh("ct_nat_ports"),
  ];
  asm.load(64, R8, R10, SENDER).load(32, R2, R8, SIDE.nat).jumpIf("eq", R2, 0, done);
  asm.load(32, R2, R10, PRIOR).mov32(R3, NAT_BITS).op("and", R2, reg(R3)).jumpIf("ne", R2, 0, done);
  asm.load(32, R2, R10, FAMILY).jumpIf("ne", R2, IPV4, v6);

  put(asm, SIDE.src, NEW, 1);
  put(asm, SIDE.dst, NEW + 4, 1);
  difference(asm, HEAD + 12, 8);
  storeHeader(asm, 12, 8, 0);
  asm.mov(R1, reg(R6)).load(64, R2, R10, L3).op("add", R2, IPV4_CHECKSUM).mov(R3, 0);
  asm.load(64, R4, R10, DIFFERENCE).mov(R5, 0).call("l3_csum_replace");
  pseudo(asm, []);
  asm.jump(ports);

  asm.label(v6);
  put(asm, SIDE.src, NEW, 4);
  put(asm, SIDE.dst, NEW + 16, 4);
  difference(asm, HEAD + 8, 32);
  storeHeader(asm, 8, 32, RECOMPUTE_CSUM);
  pseudo(asm, [[58, ICMP_CHECKSUM]]);

  asm.label(ports);
  translatePorts(asm, done);
  asm.label(done);
}

/** Words of the sender's part, in r8, onto the stack. */
function put(asm: Assembler, from: number, to: number, words: number): void {
  for (let i = 0; i < words; i++) {
    asm.load(32, R2, R8, from + 4 * i).store(32, R10, to + 4 * i, reg(R2));
  }
}

/** DIFFERENCE = by how much a sum changes when `bytes` at `old` become those at NEW. */
function difference(asm: Assembler, old: number, bytes: number): void {
  asm.mov(R1, reg(R10)).op("add", R1, old).mov(R2, bytes);
  asm.mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, bytes).mov(R5, 0).call("csum_diff");
  asm.store(64, R10, DIFFERENCE, reg(R0));
}

function storeHeader(asm: Assembler, offset: number, bytes: number, flags: number): void {
  asm.mov(R1, reg(R6)).load(64, R2, R10, L3).op("add", R2, offset);
  asm.mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, bytes).mov(R5, flags).call("skb_store_bytes");
}

/** Layer 4's checksum over the addresses: TCP, UDP and `more`. */
function pseudo(asm: Assembler, more: readonly (readonly [number, number])[]): void {
  const done = asm.fresh("ct_summed");
  const kinds = [
    [TCP, TCP_CHECKSUM, PSEUDO_HEADER],
    [UDP, UDP_CHECKSUM, PSEUDO_HEADER | MARK_MANGLED_0],
    ...more.map(([protocol, at]) => [protocol, at, PSEUDO_HEADER] as const),
  ] as const;
  for (const [protocol, at, flags] of kinds) {
    const other = asm.fresh("ct_other");
    asm.load(64, R2, R10, PROTOCOL).jumpIf("ne", R2, protocol, other);
    asm.mov(R1, reg(R6)).load(64, R2, R10, L4).op("add", R2, at).mov(R3, 0);
    asm.load(64, R4, R10, DIFFERENCE).mov(R5, flags).call("l4_csum_replace").jump(done).label(
      other,
    );
  }
  asm.label(done);
}

/** TCP and UDP. */
function translatePorts(asm: Assembler, done: string): void {
  const [udp, store] = [asm.fresh("ct_nat_udp"), asm.fresh("ct_nat_store")];
  put(asm, SIDE.ports, NEW, 1);
  asm.load(32, R2, R10, NEW).load(32, R3, R10, PORTS).jumpIf("eq", R2, reg(R3), done);
  asm.load(64, R2, R10, PROTOCOL).jumpIf("eq", R2, UDP, udp).jumpIf("ne", R2, TCP, done);
  for (
    const [label, at, flags] of [
      [undefined, TCP_CHECKSUM, 4],
      [udp, UDP_CHECKSUM, 4 | MARK_MANGLED_0],
    ] as const
  ) {
    if (label !== undefined) asm.label(label);
    asm.mov(R1, reg(R6)).load(64, R2, R10, L4).op("add", R2, at);
    asm.load(32, R3, R10, PORTS).load(32, R4, R10, NEW).mov(R5, flags).call("l4_csum_replace");
    if (label === undefined) asm.jump(store);
  }
  asm.label(store).mov(R1, reg(R6)).load(64, R2, R10, L4);
  asm.mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, 4).mov(R5, 0).call("skb_store_bytes");
}

/** What the packet's key says of its connection from now on. */
function writeMetadata(context: ActionContext, nat: boolean): void {
  const { asm } = context;
  const [fresh, done] = [asm.fresh("ct_untranslated"), asm.fresh("ct_state")];
  context.loadState(R8);
  asm.load(64, R4, R10, SENDER).load(32, R2, R4, SIDE.state);
  asm.load(32, R3, R10, PRIOR).mov32(R5, NAT_BITS).op("and", R3, reg(R5));
  asm.jumpIf("eq", R3, 0, fresh).op("or", R2, reg(R3)).jump(done).label(fresh);
  if (nat) asm.load(32, R3, R4, SIDE.nat).op("or", R2, reg(R3));
  asm.label(done).store(32, R8, CT_AT, reg(R2));
  for (let i = 1; i < CT_WORDS; i++) {
    asm.load(32, R2, R9, COMMON.ct + 4 * i).store(32, R8, CT_AT + 4 * i, reg(R2));
  }
}
