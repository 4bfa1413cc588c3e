/**
 * What is looked at before an action program does anything: packets for which the plan is not all that
 * the process would do go there whole. r7 the arguments; r0 to r5, r8 and r9 are lost.
 *
 * Offloads. A program sees a super-packet by its segment size. It does not see that the packet's layer 4
 * checksum is not complete yet (CHECKSUM_PARTIAL), so it tries: the kernel's helper leaves such a checksum
 * alone and changes any other, which is put back.
 */
import { MAX_DECISIONS, PUNT_DECIDED } from "../punts.ts";
import { SKB } from "./abi.ts";
import { type ActionContext, L3, L4, OWN, PROTOCOL } from "./action-context.ts";
import type { Guards } from "./action-plan.ts";
import { type Assembler, reg } from "./assembler.ts";
import { packetBytes } from "./counting.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./instructions.ts";
import { be16 } from "./parse-link.ts";
import { TCP_CHECKSUM, UDP_CHECKSUM } from "./step-set.ts";

const TCP = 6;
const UDP = 17;
const SCTP = 132;
/** The kernel cuts nothing off in front of a layer 4 checksum, or of a layer 4 header that it knows. */
const BEHIND_L4 = 20;
const BEHIND_L3 = 40;
const SUM = OWN - 8;
const OLD_SUM = OWN - 16;

export const hasGuards = ({ plain, cut, protocol, samples }: Guards): boolean =>
  plain || protocol || cut !== undefined || samples.length > 0;

export function guard(context: ActionContext, { plain, cut, protocol, samples }: Guards): void {
  const { asm } = context;
  asm.mov(R9, 0);
  if (protocol) asm.load(64, R2, R10, PROTOCOL).jumpIf("eq", R2, 0, "hand_on");
  if (plain) offloads(asm);
  else if (cut !== undefined) {
    const [short, far, behind] = [
      asm.fresh("not_cut"),
      asm.fresh("no_layer_4"),
      asm.fresh("behind"),
    ];
    packetBytes(asm, R3, R4);
    asm.load(32, R2, R7, cut).jumpIf("le", R3, reg(R2), short);
    asm.load(64, R3, R10, L4).jumpIf("eq", R3, 0, far).op("add", R3, BEHIND_L4).jump(behind);
    asm.label(far).load(64, R3, R10, L3).op("add", R3, BEHIND_L3);
    asm.label(behind).op("add", R3, reg(R4)).jumpIf("lt", R2, reg(R3), "hand_on");
    offloads(asm);
    asm.label(short);
  }
  dice(asm, samples);
}

/** On to `punt` with a super-packet, or one whose checksum is not complete. */
function offloads(asm: Assembler): void {
  const [done, udp, look] = [asm.fresh("complete"), asm.fresh("udp"), asm.fresh("checksum")];
  asm.load(32, R2, R6, SKB.gsoSize).jumpIf("ne", R2, 0, "hand_on");
  asm.load(64, R8, R10, L4).jumpIf("eq", R8, 0, done).load(64, R2, R10, PROTOCOL);
  asm.jumpIf("eq", R2, SCTP, "hand_on").jumpIf("eq", R2, UDP, udp).jumpIf("ne", R2, TCP, done);
  asm.op("add", R8, TCP_CHECKSUM - UDP_CHECKSUM).label(udp).op("add", R8, UDP_CHECKSUM);
  const read = (): void => {
    asm.mov(R1, reg(R6)).mov(R2, reg(R8)).mov(R3, reg(R10)).op("add", R3, SUM).mov(R4, 2);
    asm.call("skb_load_bytes").jumpIf("ne", R0, 0, "hand_on");
  };
  asm.label(look);
  read();
  asm.load(16, R2, R10, SUM).store(16, R10, OLD_SUM, reg(R2));
  asm.mov(R1, reg(R6)).mov(R2, reg(R8)).mov(R3, 0).mov(R4, be16(1));
  asm.mov(R5, 2).call("l4_csum_replace").jumpIf("ne", R0, 0, "hand_on");
  read();
  asm.load(16, R2, R10, SUM).load(16, R3, R10, OLD_SUM).jumpIf("eq", R2, reg(R3), "hand_on");
  asm.mov(R1, reg(R6)).mov(R2, reg(R8)).mov(R3, reg(R10)).op("add", R3, OLD_SUM).mov(R4, 2);
  asm.mov(R5, 0).call("skb_store_bytes").label(done);
}

/** A sample that is taken goes to the process, with what was diced for all. */
function dice(asm: Assembler, samples: readonly number[]): void {
  if (samples.length === 0) return;
  if (samples.length > MAX_DECISIONS) throw new RangeError(`${samples.length} samples`);
  const none = asm.fresh("not_sampled");
  samples.forEach((at, i) => {
    const next = asm.fresh("next_sample");
    asm.call("get_prandom_u32").load(32, R2, R7, at).jumpIf32("ge", R0, reg(R2), next);
    asm.op("or", R9, 1 << i).label(next);
  });
  asm.jumpIf("eq", R9, 0, none).op("or", R9, PUNT_DECIDED).jump("hand_on").label(none);
}
