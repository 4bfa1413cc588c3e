/** `check_pkt_len`: two ways on, by the packet's length; of a super-packet by that of its segments. */
import { SKB } from "./abi.ts";
import { type ActionContext, L3, L4, OWN, PROTOCOL } from "./action-context.ts";
import type { Step } from "./action-plan.ts";
import { type Assembler, reg } from "./assembler.ts";
import { packetBytes } from "./counting.ts";
import { R0, R1, R10, R2, R3, R4, R6, R7, R8, R9 } from "./instructions.ts";

type LengthStep = Extract<Step, { kind: "check_length" }>;

const WORD = OWN - 80;
const TCP = 6;

/** On to `less` unless the packet is longer than the argument. As engine/super-packet.ts has it. */
export function checkLength({ asm }: ActionContext, step: LengthStep, less: string): void {
  const [one, known] = [asm.fresh("one_packet"), asm.fresh("length")];
  asm.load(32, R9, R6, SKB.gsoSize).jumpIf("eq", R9, 0, one);
  segment(asm);
  asm.jump(known).label(one);
  whole(asm, step.network);
  asm.label(known).load(32, R2, R7, step.at).jumpIf("le", R8, reg(R2), less);
}

/** r8 = headers and r9 bytes of payload, at most the whole. */
function segment(asm: Assembler): void {
  const done = asm.fresh("segment");
  headerBytes(asm);
  asm.op("add", R8, reg(R9));
  packetBytes(asm, R3, R4);
  asm.op("add", R8, reg(R4)).jumpIf("le", R8, reg(R3), done).mov(R8, reg(R3)).label(done);
}

/** r8 = bytes before the transport's payload, a tag out of band not counted; r0 to r5 are lost. */
export function headerBytes(asm: Assembler): void {
  const [other, headers] = [asm.fresh("not_tcp"), asm.fresh("headers")];
  asm.load(64, R8, R10, L4).jumpIf("eq", R8, 0, headers);
  asm.load(64, R2, R10, PROTOCOL).jumpIf("ne", R2, TCP, other);
  asm.mov(R2, reg(R8)).op("add", R2, 12).mov(R1, reg(R6)).mov(R3, reg(R10)).op("add", R3, WORD);
  asm.mov(R4, 1).call("skb_load_bytes").jumpIf("ne", R0, 0, "drop");
  asm.load(8, R2, R10, WORD).op("rsh", R2, 4).op("lsh", R2, 2).op("add", R8, reg(R2)).jump(headers);
  asm.label(other).op("add", R8, 8).label(headers);
}

/** r8 = the length without what lies behind the IP packet. */
function whole(asm: Assembler, network: LengthStep["network"]): void {
  packetBytes(asm, R8, R9);
  if (network === "frame") return;
  const [from, before] = network === "ipv4" ? [2, 0] as const : [4, 40] as const;
  asm.load(64, R2, R10, L3).op("add", R9, reg(R2)).op("add", R2, from);
  asm.mov(R1, reg(R6)).mov(R3, reg(R10)).op("add", R3, WORD).mov(R4, 2);
  asm.call("skb_load_bytes").jumpIf("ne", R0, 0, "drop");
  asm.load(16, R8, R10, WORD).toBigEndian(R8, 16).op("add", R8, reg(R9)).op("add", R8, before);
}
