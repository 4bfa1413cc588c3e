/**
 * Labels pushed and popped. Packets with offloads have gone to the process (step-guards.ts): nobody behind
 * a label can finish a checksum.
 *
 * The kernel has a helper that makes room in front of a frame, but none that takes bytes out of it, but
 * for a VLAN tag. So a label that is to go is dressed up as one: with the four bytes in front of it, in
 * which the type is, it is written over by `8100 0000 type`. The helper believes what the packet's
 * metadata says of its type, which only pushing tags changes: two are pushed, the first of which goes into
 * the frame, and three popped.
 */
import { type ActionContext, L3, L4, OWN, PROTOCOL } from "./action-context.ts";
import { type Assembler, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8 } from "./instructions.ts";
import { be16 } from "./parse-link.ts";
import { RECOMPUTE_CSUM } from "./step-set.ts";

const LABEL_BYTES = 4;
const ADDRESSES = 12;
/** Room for both addresses and two tags. */
const MOST_BYTES = 24;
const LINK = OWN - MOST_BYTES;
const TAG = 0x8100;
/** The kernel's own order. */
const TAG_PROTOCOL = be16(TAG);

/** What was layer 4 is hidden, or not known yet. */
function hide(asm: Assembler): void {
  asm.store(64, R10, L4, 0).store(64, R10, PROTOCOL, 0);
}

/** Bytes of the packet from r2 on to or from LINK; their number is in r4. */
function copy(asm: Assembler, call: "skb_load_bytes" | "skb_store_bytes", at = LINK): void {
  asm.mov(R1, reg(R6)).mov(R3, reg(R10)).op("add", R3, at);
  if (call === "skb_store_bytes") asm.mov(R5, 0);
  asm.call(call).jumpIf("ne", R0, 0, "drop");
}

/** Behind the tags that are in the frame; arguments: entry u32, type u16. */
export function pushMpls({ asm }: ActionContext, at: number): void {
  asm.mov(R1, reg(R6)).mov(R2, LABEL_BYTES).mov(R3, 0).call("skb_change_head");
  asm.jumpIf("ne", R0, 0, "drop");
  // r8: bytes in front of the type, which go to the new front.
  asm.load(64, R8, R10, L3).op("sub", R8, 2);
  asm.jumpIf("lt", R8, ADDRESSES, "drop").jumpIf("gt", R8, MOST_BYTES, "drop");
  asm.mov(R2, LABEL_BYTES).mov(R4, reg(R8));
  copy(asm, "skb_load_bytes");
  asm.mov(R2, 0).mov(R4, reg(R8));
  copy(asm, "skb_store_bytes");
  asm.load(16, R2, R7, at + 4).store(16, R10, LINK, reg(R2));
  asm.load(16, R2, R7, at).store(16, R10, LINK + 2, reg(R2));
  asm.load(16, R2, R7, at + 2).store(16, R10, LINK + 4, reg(R2));
  asm.mov(R2, reg(R8)).mov(R4, 2 + LABEL_BYTES);
  copy(asm, "skb_store_bytes");
  hide(asm);
}

/** Of a frame without tags; argument: type u16. */
export function popMpls({ asm }: ActionContext, at: number): void {
  asm.store(32, R10, LINK, TAG_PROTOCOL).mov(R2, ADDRESSES).mov(R4, 2);
  copy(asm, "skb_store_bytes");
  asm.load(16, R2, R7, at).store(16, R10, LINK + 2, reg(R2)).store(16, R10, LINK, 0);
  asm.mov(R1, reg(R6)).mov(R2, ADDRESSES + 2).mov(R3, reg(R10)).op("add", R3, LINK).mov(R4, 4);
  // The label is part of what a network card has summed up, what is in front of it is not.
  asm.mov(R5, RECOMPUTE_CSUM).call("skb_store_bytes").jumpIf("ne", R0, 0, "drop");
  for (let i = 0; i < 2; i++) {
    asm.mov(R1, reg(R6)).mov(R2, TAG_PROTOCOL).mov(R3, 1).call("skb_vlan_push");
    asm.jumpIf("ne", R0, 0, "drop");
  }
  for (let i = 0; i < 3; i++) {
    asm.mov(R1, reg(R6)).call("skb_vlan_pop").jumpIf("ne", R0, 0, "drop");
  }
  hide(asm);
}
