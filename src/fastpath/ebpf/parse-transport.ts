/**
 * TCP, UDP, SCTP, ICMP, IGMP and ICMPv6, as instructions of the main program, with the same result as
 * `extract` (packet/extract.ts). Malformed headers go to the process, and neighbour discovery does
 * when some flow looks into it.
 *
 * Registers at `transport`: r7 14 bytes before layer 4, r8 the packet's end, r9 the IP protocol, r4
 * bytes of layer 4. All ways end at `parsed`.
 */
import { slot } from "../../packet/layout.ts";
import { type Assembler, reg } from "./assembler.ts";
import { type FrameStack, need } from "./frame-stack.ts";
import { R10, R2, R3, R4, R7, R9 } from "./instructions.ts";
import { copyWord, put } from "./parse-network.ts";

/** Where layer 4 begins from r7. */
const L4 = 14;
const W_TP = slot("tp_src").offset >> 2;
const W_FLAGS = slot("tcp_flags").offset >> 2;

const ND_SOLICIT = 135;
const ND_ADVERT = 136;

export function parseTransport(asm: Assembler, stack: FrameStack): void {
  asm.label("transport").store(32, R10, stack.local("protocol"), reg(R9));
  asm.jumpIf("eq", R9, 6, "tcp").jumpIf("eq", R9, 17, "udp").jumpIf("eq", R9, 132, "sctp");
  for (const icmp of [1, 2, 58]) asm.jumpIf("eq", R9, icmp, "icmp");
  asm.store(32, R10, stack.local("protocol"), 0).store(32, R10, stack.local("l4"), 0);
  asm.jump("parsed");

  asm.label("tcp").jumpIf("slt", R4, 20, "punt");
  need(asm, L4 + 20);
  // The header's own length, in bytes.
  asm.load(8, R3, R7, L4 + 12).mov(R2, reg(R3)).op("rsh", R2, 4).op("lsh", R2, 2);
  asm.jumpIf("lt", R2, 20, "punt").jumpIf("sgt", R2, reg(R4), "punt");
  // r3: the flags' upper four bits, r2: the lower eight.
  asm.op("and", R3, 0x0f).load(8, R2, R7, L4 + 13);
  put(asm, stack, W_FLAGS, R3, 8, 0);
  put(asm, stack, W_FLAGS, R2, 8, 1);
  asm.op("lsh", R3, 8).op("or", R3, reg(R2)).store(32, R10, stack.local("tcpFlags"), reg(R3));
  copyWord(asm, stack, W_TP, L4);
  asm.jump("parsed");

  asm.label("udp").jumpIf("slt", R4, 8, "punt").jump("ports");
  asm.label("sctp").jumpIf("slt", R4, 12, "punt");
  asm.label("ports");
  need(asm, L4 + 8);
  copyWord(asm, stack, W_TP, L4);
  asm.jump("parsed");

  asm.label("icmp").jumpIf("slt", R4, 8, "punt");
  need(asm, L4 + 8);
  // Type and code stand right-aligned in the two-byte port slots.
  asm.load(8, R3, R7, L4);
  put(asm, stack, W_TP, R3, 8, 1);
  if (stack.layout.has("arp_sha") || stack.layout.has("arp_tha")) {
    const other = asm.fresh("not_neighbour");
    asm.jumpIf("ne", R9, 58, other);
    asm.jumpIf("eq", R3, ND_SOLICIT, "punt").jumpIf("eq", R3, ND_ADVERT, "punt");
    asm.label(other);
  }
  asm.load(8, R3, R7, L4 + 1);
  put(asm, stack, W_TP, R3, 8, 3);
}
