/**
 * The end that most programs have in common: the packet goes to the process (../punts.ts), with its
 * state if it has one, or is dropped if too many of its port's are on their way there.
 *
 * Stands at label `punt`; the stack is free there. r6 is the context.
 */
import {
  PORT_RECORD,
  PUNT_ETHER_TYPE,
  PUNT_FORM,
  PUNT_HEADER_BYTES,
  PUNT_RECIRC_ID,
  PUNT_VERSION,
  PUNTS_IN_FLIGHT,
} from "../punts.ts";
import { CB_PORT, TC_ACT_SHOT } from "./abi.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./instructions.ts";
import {
  ALL_WORDS,
  CB_PORT_BITS,
  chooseState,
  findState,
  STATE_METADATA,
  STATE_RECIRC_ID,
  STATE_TOKEN,
  STATE_WORDS,
  TOKEN_SHIFT,
} from "./packet-state.ts";
import { be16 } from "./parse-link.ts";

export interface PuntTarget {
  /** The TAP device. */
  readonly ifindex: number;
  /** Records of the ports. */
  readonly ports: MapReference;
  readonly state: MapReference;
}

/** Drops that are rare enough for a count that all CPUs share: labels, and what they count. */
const RARE_DROPS = {
  state_lost: "stateLost",
  too_deep: "tooDeep",
  metered: "metered",
} as const;
export type RareDrop = keyof typeof RARE_DROPS;

const HEADER = -PUNT_HEADER_BYTES;
const KEY = HEADER - 8;
const recordAt = (name: keyof typeof PORT_RECORD): number => PORT_RECORD[name] * 8;

/**
 * `punt:` …, `punt_decided:` (with decisions in r9, or 0), `drop:`, which ends the packet without a word, and
 * those of `drops`. `stateful`: the packet may have a state.
 */
export function emitPunt(
  asm: Assembler,
  target: PuntTarget,
  stateful: boolean,
  drops: readonly RareDrop[] = stateful ? ["state_lost"] : [],
): void {
  const { ifindex, ports } = target;
  asm.label("punt");
  if (stateful) asm.mov(R9, 0).label("punt_decided");
  asm.load(32, R2, R6, CB_PORT).store(32, R10, HEADER + PUNT_RECIRC_ID, 0);
  if (stateful) form(asm, target);
  else asm.store(32, R10, HEADER + PUNT_FORM, PUNT_VERSION);
  asm.store(32, R10, HEADER, reg(R2)).store(32, R10, HEADER + 12, be16(PUNT_ETHER_TYPE));
  asm.store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, ports).mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "drop");
  asm.load(64, R2, R0, recordAt("punted")).load(64, R3, R0, recordAt("read"));
  asm.op("sub", R2, reg(R3)).jumpIf("sge", R2, PUNTS_IN_FLIGHT, "punt_full");
  asm.mov(R2, 1).atomic("add", 64, R0, recordAt("punted"), R2);
  asm.mov(R1, reg(R6)).mov(R2, PUNT_HEADER_BYTES);
  if (stateful) asm.op("add", R2, reg(R8));
  asm.mov(R3, 0).call("skb_change_head").jumpIf("ne", R0, 0, "drop");
  asm.mov(R1, reg(R6)).mov(R2, 0).mov(R3, reg(R10)).op("add", R3, HEADER);
  asm.mov(R4, PUNT_HEADER_BYTES).mov(R5, 0).call("skb_store_bytes");
  if (stateful) {
    asm.jumpIf("lt", R8, 1, "punt_send");
    asm.mov(R1, reg(R6)).mov(R2, PUNT_HEADER_BYTES).mov(R3, reg(R7));
    asm.op("add", R3, STATE_METADATA).mov(R4, reg(R8)).mov(R5, 0).call("skb_store_bytes");
  }
  asm.label("punt_send").mov(R1, ifindex).mov(R2, 0).call("redirect").exit();
  asm.label("punt_full").mov(R2, 1).atomic("add", 64, R0, recordAt("puntDrops"), R2);
  asm.label("drop").mov(R0, TC_ACT_SHOT).exit();
  emitDrops(asm, ports, drops);
}

/**
 * With cb[0] in r2: the header's recirc_id and form; r2 is the port, r7 the packet's state, r8 bytes of
 * metadata, 0 without a state.
 */
function form(asm: Assembler, { state }: PuntTarget): void {
  // Without a state this is the record that is all zero. A branch here would triple the verifier's work.
  asm.mov(R8, reg(R2)).op("rsh", R8, TOKEN_SHIFT);
  chooseState(asm, R8, KEY);
  findState(asm, state, KEY);
  asm.jumpIf("eq", R0, 0, "drop").mov(R7, reg(R0));
  asm.load(32, R2, R7, STATE_TOKEN).jumpIf("ne", R2, reg(R8), "state_lost");
  asm.load(32, R2, R7, STATE_RECIRC_ID).store(32, R10, HEADER + PUNT_RECIRC_ID, reg(R2));
  asm.load(32, R8, R7, STATE_WORDS).jumpIf("gt", R8, ALL_WORDS, "drop");
  asm.mov(R2, reg(R8)).op("lsh", R2, 8).op("or", R2, PUNT_VERSION);
  asm.op("lsh", R9, 16).op("or", R2, reg(R9)).store(32, R10, HEADER + PUNT_FORM, reg(R2));
  asm.op("lsh", R8, 2).load(32, R2, R6, CB_PORT).op("and", R2, CB_PORT_BITS);
}

/**
 * `hand_on:` on to `punt_decided` with a packet that found its flow: the process will find it again, and
 * one of the two is to count. r9 stays.
 */
export function emitHandOn(asm: Assembler, ports: MapReference): void {
  asm.label("hand_on").load(32, R2, R6, CB_PORT).op("and", R2, CB_PORT_BITS);
  asm.store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, ports).mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "drop");
  asm.mov(R2, 1).atomic("add", 64, R0, recordAt("handedOn"), R2).jump("punt_decided");
}

function emitDrops(asm: Assembler, ports: MapReference, drops: readonly RareDrop[]): void {
  if (drops.length === 0) return;
  for (const label of drops) {
    asm.label(label).mov(R8, recordAt(RARE_DROPS[label])).jump("drop_counted");
  }
  asm.label("drop_counted").load(32, R2, R6, CB_PORT).op("and", R2, CB_PORT_BITS);
  asm.store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, ports).mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "drop").op("add", R0, reg(R8));
  asm.mov(R2, 1).atomic("add", 64, R0, 0, R2).jump("drop");
}
