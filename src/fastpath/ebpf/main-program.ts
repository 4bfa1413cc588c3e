/**
 * The main program: what happens to each packet of each port.
 *
 *     count ──> parse ──> key ──> exact-match cache ──> masks, one by one ──> flow ──> verdict
 *                 │                (if settings say so)     │                           │
 *                 │ odd                                     │ none                      ├ drop
 *                 └────────────────────> punt <─────────────┘                           ├ redirect
 *                                                                                       └ action program
 *
 * It is generated for one key layout (key-layout.ts): only what some flow looks at is copied out of
 * the packet. A flow that looks at more makes another layout and another program.
 *
 * Invariants
 * - The result of parsing is that of `extract`, or the packet is punted: the process, which has every
 *   flow too, does the same or more with it.
 * - A mask's entry is read between two looks at its id: while it is rewritten, it does not match.
 * - A flow's record is looked at by generation where a cache entry could be stale.
 * - Metadata (packet-state.ts) is looked at only if some flow does. Such a program also goes on with
 *   packets that an action program sends round again, and counts those as received the first time only.
 *
 * Limits: `MAX_KERNEL_MASKS` masks; flows with others stay in userspace.
 */
import { slot } from "../../packet/layout.ts";
import {
  CB_ARGUMENTS,
  CB_FLOW,
  CB_LAYERS,
  CB_PORT,
  CB_PROTOCOL,
  FLOW_GENERATION,
  FLOW_VERDICT,
  MAIN_SLOT,
  MASK_HEADER_BYTES,
  MASK_INVALID,
  MAX_KERNEL_MASKS,
  PORT_COUNTS,
  SETTINGS_EXACT,
  SETTINGS_MASKS,
  SETTINGS_ZERO,
  SKB,
  TC_ACT_SHOT,
  VERDICT_DROP,
  VERDICT_EGRESS,
  VERDICT_INGRESS,
  VERDICT_PROGRAM,
} from "./abi.ts";
import { type Assembled, Assembler, type MapReference, reg } from "./assembler.ts";
import {
  add,
  addReceived,
  countFlow,
  type CountMaps,
  countReceived,
  countSent,
  findReceived,
  findShard,
} from "./counting.ts";
import { FrameStack } from "./frame-stack.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./instructions.ts";
import type { KeyLayout } from "./key-layout.ts";
import {
  CB_PORT_BITS,
  chooseState,
  findState,
  STATE_DEPTH,
  STATE_SCRATCH,
  STATE_TOKEN,
  stateOffset,
  TOKEN_SHIFT,
} from "./packet-state.ts";
import { parseLink } from "./parse-link.ts";
import { parseNetwork } from "./parse-network.ts";
import { parseTransport } from "./parse-transport.ts";
import { emitPunt, type PuntTarget } from "./punt.ts";

export interface MainMaps extends PuntTarget, CountMaps {
  readonly settings: MapReference;
  /** One value: the mask table. */
  readonly masks: MapReference;
  /** Masked key → flow id. */
  readonly megaflows: MapReference;
  /** Whole key → flow id, generation. */
  readonly exact: MapReference;
  readonly flows: MapReference;
  readonly programs: MapReference;
}

/** Headers that are made linear when they are not. */
const PULL_BYTES = 256;
const W_IN_PORT = slot("in_port").offset >> 2;

/** Bytes of an entry of the mask table. */
export const maskEntryBytes = (layout: KeyLayout): number => MASK_HEADER_BYTES + layout.bytes;

export function assembleMain(layout: KeyLayout, maps: MainMaps, vlanLimit: 1 | 2): Assembled {
  const asm = new Assembler();
  const stack = new FrameStack(layout);
  receive(asm, stack, maps);
  parseLink(asm, stack, vlanLimit);
  parseNetwork(asm, stack);
  parseTransport(asm, stack);
  maskKey(asm, stack, maps);
  lookupExact(asm, stack, maps);
  lookupMasked(asm, stack, maps);
  act(asm, stack, maps);
  makeLinear(asm, stack);
  emitPunt(asm, maps, layout.isStateful);
  return asm.finish();
}

/** A program for one port: notes its number and goes on to the main program. */
export function assembleEntry(portNo: number, programs: MapReference): Assembled {
  return new Assembler()
    .mov(R2, portNo).store(32, R1, CB_PORT, reg(R2))
    .loadMap(R2, programs).mov(R3, MAIN_SLOT).call("tail_call")
    .mov(R0, TC_ACT_SHOT).exit()
    .finish();
}

/** r1 = the map, r2 = a place on the stack, then the look. */
function lookup(asm: Assembler, map: MapReference, keyAt: number): void {
  asm.loadMap(R1, map).mov(R2, reg(R10)).op("add", R2, keyAt).call("map_lookup_elem");
}

function receive(asm: Assembler, stack: FrameStack, maps: MainMaps): void {
  const { layout } = stack;
  asm.mov(R6, reg(R1));
  stack.clear(asm);
  findShard(asm, maps, stack.local("shard"));
  if (layout.isStateful) readState(asm, stack, maps);
  asm.load(32, R2, R6, CB_PORT);
  if (layout.isStateful) {
    const again = asm.fresh("again");
    asm.op("and", R2, CB_PORT_BITS);
    findReceived(asm, maps, stack.counting, "drop");
    asm.jumpIf("ne", R8, 0, again);
    addReceived(asm, maps);
    asm.jump("received").label(again);
    add(asm, maps, R0, PORT_COUNTS.recirculations * 8, 1);
    asm.label("received");
  } else countReceived(asm, maps, stack.counting, "drop");
  asm.store(64, R10, stack.local("port"), reg(R0));
  const place = layout.place(W_IN_PORT);
  if (place === undefined) return;
  asm.load(32, R2, R6, CB_PORT);
  if (layout.isStateful) asm.op("and", R2, CB_PORT_BITS);
  asm.toBigEndian(R2, 32).store(32, R10, stack.key + place, reg(R2));
}

/**
 * Puts the packet's metadata into the key: of its state, or of the record that is all zero. Leaves in r8
 * how often it has recirculated.
 */
function readState(asm: Assembler, stack: FrameStack, { state }: MainMaps): void {
  const { layout } = stack;
  const scratch = stack.local("scratch");
  asm.load(32, R9, R6, CB_PORT).op("rsh", R9, TOKEN_SHIFT);
  chooseState(asm, R9, scratch);
  findState(asm, state, scratch);
  asm.jumpIf("eq", R0, 0, "drop").mov(R7, reg(R0));
  asm.load(32, R2, R7, STATE_TOKEN).jumpIf("ne", R2, reg(R9), "state_lost");
  for (const word of layout.words) {
    const from = stateOffset(word);
    if (from === undefined) continue;
    asm.load(32, R2, R7, from).store(32, R10, stack.key + layout.place(word)!, reg(R2));
  }
  asm.load(32, R8, R7, STATE_DEPTH);
  if (!stack.isWide) return;
  asm.store(32, R10, scratch, STATE_SCRATCH);
  findState(asm, state, scratch);
  asm.jumpIf("eq", R0, 0, "drop").store(64, R10, stack.local("masked"), reg(R0));
}

/**
 * Of words of which not all bits count, the others become zero. r8 points at the settings from here.
 *
 * The verifier knows which words are still zero on which way through the parser, and would go through
 * all that follows once for each combination. A zero that it does not know to be one, or-ed to all,
 * makes them alike.
 */
function maskKey(asm: Assembler, stack: FrameStack, maps: MainMaps): void {
  const { layout } = stack;
  asm.label("parsed").loadMapValue(R8, maps.settings).load(64, R3, R8, SETTINGS_ZERO);
  for (const word of layout.words) {
    const bits = layout.bitsOf(word);
    const at = stack.key + layout.place(word)!;
    asm.load(32, R2, R10, at).op("or", R2, reg(R3));
    if (bits !== 0xffff_ffff) asm.op32("and", R2, bits);
    asm.store(32, R10, at, reg(R2));
  }
  for (const name of ["l3", "l4", "protocol", "tcpFlags", "pulled", "scratch"] as const) {
    const at = stack.local(name);
    asm.load(64, R2, R10, at).op("or", R2, reg(R3)).store(64, R10, at, reg(R2));
  }
}

/** On to `hit` with the flow's record in r7 if the cache has the key and is right. */
function lookupExact(asm: Assembler, stack: FrameStack, maps: MainMaps): void {
  asm.load(32, R2, R8, SETTINGS_EXACT);
  asm.jumpIf("eq", R2, 0, "masked");
  lookup(asm, maps.exact, stack.key);
  asm.jumpIf("eq", R0, 0, "masked");
  asm.load(32, R2, R0, 0).load(32, R9, R0, 4);
  asm.store(32, R10, stack.local("scratch"), reg(R2));
  lookup(asm, maps.flows, stack.local("scratch"));
  asm.jumpIf("eq", R0, 0, "masked");
  asm.load(32, R2, R0, FLOW_GENERATION).jumpIf("ne", R2, reg(R9), "masked");
  asm.mov(R7, reg(R0)).load(64, R1, R10, stack.local("port"));
  add(asm, maps, R1, PORT_COUNTS.exactHits * 8, 1);
  asm.jump("hit");
}

/** Tries the masks in the table's order; r8 points at the settings. */
function lookupMasked(asm: Assembler, stack: FrameStack, maps: MainMaps): void {
  const { layout } = stack;
  const entry = maskEntryBytes(layout);
  asm.label("masked").mov(R9, 0);
  asm.label("next_mask").jumpIf("ge", R9, MAX_KERNEL_MASKS, "punt");
  asm.load(32, R2, R8, SETTINGS_MASKS).jumpIf("ge", R9, reg(R2), "punt");
  asm.mov(R3, reg(R9)).op("mul", R3, entry).loadMapValue(R7, maps.masks).op("add", R7, reg(R3));
  asm.op("add", R9, 1);
  asm.load(32, R4, R7, 0).mov32(R1, MASK_INVALID).jumpIf("eq", R4, reg(R1), "next_mask");
  const to = stack.isWide ? R5 : R10;
  const masked = stack.maskedKey;
  if (stack.isWide) asm.load(64, R5, R10, stack.local("masked"));
  for (let at = 0; at < layout.bytes; at += 8) {
    asm.load(64, R2, R10, stack.key + at).load(64, R3, R7, MASK_HEADER_BYTES + at);
    asm.op("and", R2, reg(R3)).store(64, to, masked + at, reg(R2));
  }
  asm.store(32, to, masked + layout.idAt, reg(R4));
  asm.load(32, R2, R7, 0).jumpIf("ne", R2, reg(R4), "next_mask");
  asm.loadMap(R1, maps.megaflows).mov(R2, reg(to));
  if (masked !== 0) asm.op("add", R2, masked);
  asm.call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "next_mask");
  // The table's order follows these; that some are lost between CPUs does not matter.
  asm.load(32, R2, R7, 4).op("add", R2, 1).store(32, R7, 4, reg(R2));
  asm.load(32, R2, R0, 0).store(32, R10, stack.local("scratch"), reg(R2));
  lookup(asm, maps.flows, stack.local("scratch"));
  asm.jumpIf("eq", R0, 0, "punt").mov(R7, reg(R0)).load(64, R1, R10, stack.local("port"));
  add(asm, maps, R1, PORT_COUNTS.maskedHits * 8, 1);
  // Remembered, if the cache is in use.
  asm.load(32, R2, R8, SETTINGS_EXACT).jumpIf("eq", R2, 0, "hit");
  asm.load(32, R2, R7, FLOW_GENERATION);
  asm.store(32, R10, stack.local("scratch") + 4, reg(R2));
  asm.loadMap(R1, maps.exact).mov(R2, reg(R10)).op("add", R2, stack.key);
  asm.mov(R3, reg(R10)).op("add", R3, stack.local("scratch")).mov(R4, 0);
  asm.call("map_update_elem");
}

/** The flow's record is in r7, its id in `scratch`. */
function act(asm: Assembler, stack: FrameStack, maps: MainMaps): void {
  const flags = stack.local("tcpFlags");
  // r8: the verdict, r9: its kind.
  asm.label("hit").load(64, R8, R7, FLOW_VERDICT).mov(R9, reg(R8)).op("and", R9, 0xffff);
  asm.jumpIf("eq", R9, VERDICT_PROGRAM, "program").jumpIf("eq", R9, VERDICT_DROP, "no_actions");
  asm.jumpIf("lt", R9, VERDICT_EGRESS, "punt").jumpIf("gt", R9, VERDICT_INGRESS, "punt");
  asm.load(32, R2, R10, stack.local("scratch"));
  countFlow(asm, maps, stack.counting);
  asm.mov(R2, reg(R8)).op("rsh", R2, 16).op("and", R2, 0xffff);
  countSent(asm, maps, stack.counting);
  asm.mov(R1, reg(R8)).op("rsh", R1, 32).mov(R2, reg(R9)).op("sub", R2, VERDICT_EGRESS);
  asm.call("redirect").exit();

  asm.label("no_actions").load(32, R2, R10, stack.local("scratch"));
  countFlow(asm, maps, stack.counting);
  asm.load(64, R1, R10, stack.local("port"));
  add(asm, maps, R1, PORT_COUNTS.noActions * 8, 1);
  asm.jump("drop");

  asm.label("program").load(32, R2, R10, stack.local("scratch")).store(32, R6, CB_FLOW, reg(R2));
  asm.load(32, R2, R10, stack.local("l4")).op("lsh", R2, 16).load(32, R3, R10, stack.local("l3"));
  asm.op("or", R2, reg(R3)).store(32, R6, CB_LAYERS, reg(R2));
  asm.load(32, R2, R10, flags).op("lsh", R2, 16).load(32, R3, R10, stack.local("protocol"));
  asm.op("or", R2, reg(R3)).store(32, R6, CB_PROTOCOL, reg(R2));
  asm.mov(R2, reg(R8)).op("rsh", R2, 32).store(32, R6, CB_ARGUMENTS, reg(R2));
  asm.mov(R3, reg(R8)).op("rsh", R3, 16).op("and", R3, 0xffff);
  asm.mov(R1, reg(R6)).loadMap(R2, maps.programs).call("tail_call").jump("punt");
}

/** `short`: headers lie outside what can be read. Once they are made linear, from the start. */
function makeLinear(asm: Assembler, stack: FrameStack): void {
  const all = asm.fresh("pull");
  asm.label("short").load(32, R2, R10, stack.local("pulled")).jumpIf("ne", R2, 0, "punt");
  asm.store(32, R10, stack.local("pulled"), 1);
  asm.load(32, R2, R6, SKB.len).jumpIf("le", R2, PULL_BYTES, all).mov(R2, PULL_BYTES);
  asm.label(all).mov(R1, reg(R6)).call("skb_pull_data").jump("parse");
}
