/**
 * TCP, UDP, SCTP, ICMP, IGMP and ICMPv6, as instructions of the main program, with the same result as
 * `extract` (packet/extract.ts). Malformed headers go to the process, and neighbour discovery with more
 * than one option, or a long one, does when some flow looks into it.
 *
 * Registers at `transport`: r7 14 bytes before layer 4, r8 the packet's end, r9 the IP protocol, r4
 * bytes of layer 4. All ways end at `parsed`.
 */
import { slot } from "../../packet/layout.ts";
import { type Assembler, reg } from "./assembler.ts";
import { type FrameStack, need } from "./frame-stack.ts";
import { R10, R2, R3, R4, R5, R7, R9 } from "./instructions.ts";
import { copyWord, put } from "./parse-network.ts";

/** Where layer 4 begins from r7. */
const L4 = 14;
const W_TP = slot("tp_src").offset >> 2;
const W_FLAGS = slot("tcp_flags").offset >> 2;

/** What is in neighbour discovery, the link-layer addresses where ARP's are. */
const NEIGHBOUR = ["arp_sha", "arp_tha", "nd_target", "nd_reserved", "nd_options_type"] as const;
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
  asm.load(8, R5, R7, L4 + 1);
  put(asm, stack, W_TP, R5, 8, 3);
  if (!NEIGHBOUR.some((name) => stack.layout.has(name))) return;
  asm.jumpIf("ne", R9, 58, "parsed").jumpIf("ne", R5, 0, "parsed");
  asm.jumpIf("eq", R3, ND_SOLICIT, "neighbour").jumpIf("ne", R3, ND_ADVERT, "parsed");
  parseNeighbour(asm, stack);
}

/** RFC 4861 §4.3, §4.4 and §4.6.1: the target, and a link-layer address behind it. */
function parseNeighbour(asm: Assembler, stack: FrameStack): void {
  asm.label("neighbour").jumpIf("slt", R4, 24, "punt");
  need(asm, L4 + 24);
  copyWord(asm, stack, slot("nd_reserved").offset >> 2, L4 + 4);
  for (let i = 0; i < 4; i++) {
    copyWord(asm, stack, (slot("nd_target").offset >> 2) + i, L4 + 8 + 4 * i);
  }
  asm.jumpIf("slt", R4, 32, "parsed").jumpIf("sge", R4, 40, "punt");
  need(asm, L4 + 32);
  // Eight bytes long, or it is not one of those two.
  asm.load(8, R3, R7, L4 + 25).jumpIf("ne", R3, 1, "punt").load(8, R3, R7, L4 + 24);
  for (const [type, name] of [[1, "arp_sha"], [2, "arp_tha"]] as const) {
    const other = asm.fresh("other_option");
    asm.jumpIf("ne", R3, type, other);
    put(asm, stack, slot("nd_options_type").offset >> 2, R3, 8, slot("nd_options_type").offset & 3);
    for (let i = 0; i < 6; i += 2) {
      const at = slot(name).offset + i;
      asm.load(16, R5, R7, L4 + 26 + i);
      put(asm, stack, at >> 2, R5, 16, at & 3);
    }
    asm.jump("parsed").label(other);
  }
}
