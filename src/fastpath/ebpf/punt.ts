/**
 * The end that most programs have in common: the packet goes to the process (../punts.ts), or is
 * dropped if too many of its port's are on their way there.
 *
 * Stands at label `punt`; the stack is free there. r6 is the context.
 */
import { PORT_RECORD, PUNT_ETHER_TYPE, PUNT_HEADER_BYTES, PUNTS_IN_FLIGHT } from "../punts.ts";
import { CB_PORT, TC_ACT_SHOT } from "./abi.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6 } from "./instructions.ts";
import { be16 } from "./parse-link.ts";

export interface PuntTarget {
  /** The TAP device. */
  readonly ifindex: number;
  /** Records of the ports. */
  readonly ports: MapReference;
}

const HEADER = -PUNT_HEADER_BYTES;
const PORT_KEY = HEADER - 8;
const recordAt = (name: keyof typeof PORT_RECORD): number => PORT_RECORD[name] * 8;

/** `punt:` … and `drop:`, which ends the packet without a word. */
export function emitPunt(asm: Assembler, { ifindex, ports }: PuntTarget): void {
  asm.label("punt").load(32, R2, R6, CB_PORT);
  asm.store(32, R10, HEADER, reg(R2)).store(32, R10, HEADER + 4, 0);
  asm.store(32, R10, HEADER + 8, 0).store(32, R10, HEADER + 12, be16(PUNT_ETHER_TYPE));
  asm.store(32, R10, PORT_KEY, reg(R2));
  asm.loadMap(R1, ports).mov(R2, reg(R10)).op("add", R2, PORT_KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "drop");
  asm.load(64, R2, R0, recordAt("punted")).load(64, R3, R0, recordAt("read"));
  asm.op("sub", R2, reg(R3)).jumpIf("sge", R2, PUNTS_IN_FLIGHT, "punt_full");
  asm.mov(R2, 1).atomic("add", 64, R0, recordAt("punted"), R2);
  asm.mov(R1, reg(R6)).mov(R2, PUNT_HEADER_BYTES).mov(R3, 0).call("skb_change_head");
  asm.jumpIf("ne", R0, 0, "drop");
  asm.mov(R1, reg(R6)).mov(R2, 0).mov(R3, reg(R10)).op("add", R3, HEADER);
  asm.mov(R4, PUNT_HEADER_BYTES).mov(R5, 0).call("skb_store_bytes");
  asm.mov(R1, ifindex).mov(R2, 0).call("redirect").exit();
  asm.label("punt_full").mov(R2, 1).atomic("add", 64, R0, recordAt("puntDrops"), R2);
  asm.label("drop").mov(R0, TC_ACT_SHOT).exit();
}
