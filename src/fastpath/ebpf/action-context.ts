/**
 * What the steps of an action program (action-program.ts) have between them: where things stand on the
 * stack, and what is in which register.
 *
 *     r6  the context                     r7  the flow's arguments
 *     r8, r9 and r0 to r5: a step's own, lost with it
 *
 *     r10 - 8   bytes of the packet, u64        - 16  its TCP flags
 *         - 24  offset of layer 3               - 32  offset of layer 4, 0: none
 *         - 40  IP protocol of layer 4          - 44  shard    - 48  a key
 *         - 56  the packet's state, a pointer (only programs that use it)
 *         - 64 and below: a step's own
 */
import { CB_PORT, SKB } from "./abi.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import type { ConnectionMaps } from "./ct-step.ts";
import { countFlow, type CountMaps, type CountPlaces } from "./counting.ts";
import { R10, R2, R3, R6, R8, type Register } from "./instructions.ts";
import { beginState, STATE_TOKEN, TOKEN_SHIFT } from "./packet-state.ts";
import type { PuntTarget, RareDrop } from "./punt.ts";

export interface ActionMaps extends PuntTarget, CountMaps {
  readonly arguments: MapReference;
  readonly programs: MapReference;
  readonly meters: MapReference;
  /** Made when the first program asks for them; throws a SystemError. Absent: programs track nothing. */
  readonly connections?: () => ConnectionMaps;
}

export const BYTES = -8;
export const TCP_FLAGS = -16;
export const L3 = -24;
export const L4 = -32;
export const PROTOCOL = -40;
export const SHARD = -44;
export const KEY = -48;
const STATE = -56;
/** The first byte behind a step's own part of the stack. */
export const OWN = -56;

export const COUNTING: CountPlaces = { shard: SHARD, key: KEY, bytes: BYTES, tcpFlags: TCP_FLAGS };

export class ActionContext {
  /** Drops that some step jumps to, for the end of the program. */
  readonly drops = new Set<RareDrop>(["state_lost"]);

  private mayBeTaken = false;

  constructor(readonly asm: Assembler, readonly maps: ActionMaps) {}

  /** The packet's state, begun if it has none; r0 to r5 and r9 are lost. Once a program, at its start. */
  beginState(): void {
    const { asm, maps } = this;
    beginState(asm, maps.state, KEY);
    asm.store(64, R10, STATE, reg(9));
  }

  /** `into` = the packet's state. */
  loadState(into: Register): void {
    this.asm.load(64, into, R10, STATE);
  }

  /** A clone was sent: whoever forwards it in the same call may have taken the record. */
  cloned(): void {
    this.mayBeTaken = true;
  }

  /** Before a step that uses the packet's state, on to `state_lost` if it is another's by now; r2, r3, r8 lost. */
  checkState(): void {
    if (!this.mayBeTaken) return;
    const { asm } = this;
    this.loadState(R8);
    asm.load(32, R2, R8, STATE_TOKEN).load(32, R3, R6, CB_PORT).op("rsh", R3, TOKEN_SHIFT);
    asm.jumpIf("ne", R2, reg(R3), "state_lost");
  }

  /** On to a drop that is counted with the port. */
  drop(label: RareDrop): RareDrop {
    this.drops.add(label);
    return label;
  }

  /** Counts the flow whose id is in r2: r0 to r5 and r7 are lost. */
  countFlow(): void {
    countFlow(this.asm, this.maps, COUNTING);
  }

  /** The layers have moved by as much as the packet's length has changed; it was r8. */
  moved(): void {
    const { asm } = this;
    asm.load(32, R2, R6, SKB.len).op("sub", R2, reg(R8));
    const none = asm.fresh("no_layer_4");
    asm.load(64, R3, R10, L3).op("add", R3, reg(R2)).store(64, R10, L3, reg(R3));
    asm.load(64, R3, R10, L4).jumpIf("eq", R3, 0, none);
    asm.op("add", R3, reg(R2)).store(64, R10, L4, reg(R3)).label(none);
  }
}
