/**
 * Ethernet and VLAN tags, as instructions of the main program. The same result as `extract`
 * (packet/extract.ts), bit by bit; a frame that is not plain goes to the process (`punt`), which
 * parses it there.
 *
 * Registers: r6 the context, r7 where the Ethernet header would begin without tags in front of what
 * is looked at, r8 the packet's end, r9 the Ethernet type as it stands in the packet.
 */
import { slot } from "../../packet/layout.ts";
import { SKB } from "./abi.ts";
import { type Assembler, reg } from "./assembler.ts";
import { type FrameStack, need } from "./frame-stack.ts";
import { R10, R2, R3, R6, R7, R8, R9 } from "./instructions.ts";

/** Two bytes in network order, as a little-endian load gives them. */
export const be16 = (value: number): number => ((value & 0xff) << 8) | (value >>> 8);

const TAG_PRESENT = 0x1000;
const W_MACS = slot("eth_dst").offset >> 2;

/** Stores a 16-bit register into a slot of the key if the key has it. */
function putHalf(asm: Assembler, stack: FrameStack, name: TwoBytes, from: 3 | 9): void {
  const { offset } = slot(name);
  const place = stack.layout.place(offset >> 2);
  if (place === undefined || !stack.layout.has(name)) return;
  asm.store(16, R10, stack.key + place + (offset & 3), reg(from));
}
type TwoBytes = "eth_type" | "vlan_tci" | "vlan_tpid" | "vlan2_tci" | "vlan2_tpid";

/** A tag in the frame, if there is one; else on to `link_done`. `l3` is where layer 3 is behind it. */
function tagInFrame(asm: Assembler, stack: FrameStack, outer: boolean, l3: number): void {
  const tagged = asm.fresh("tag");
  asm.jumpIf("eq", R9, be16(0x8100), tagged).jumpIf("ne", R9, be16(0x88a8), "link_done");
  asm.label(tagged);
  need(asm, 18);
  asm.load(16, R3, R7, 14).op("or", R3, be16(TAG_PRESENT));
  putHalf(asm, stack, outer ? "vlan_tci" : "vlan2_tci", R3);
  putHalf(asm, stack, outer ? "vlan_tpid" : "vlan2_tpid", R9);
  asm.op("add", R7, 4).load(16, R9, R7, 12).store(32, R10, stack.local("l3"), l3);
}

/** From `parse:` to the Ethernet type in r9. */
export function parseLink(asm: Assembler, stack: FrameStack, vlanLimit: 1 | 2): void {
  const { layout } = stack;
  asm.label("parse").load(32, R7, R6, SKB.data).load(32, R8, R6, SKB.dataEnd);
  need(asm, 14);
  for (let i = 0; i < 3; i++) {
    const place = layout.place(W_MACS + i);
    if (place === undefined) continue;
    asm.load(32, R3, R7, 4 * i).store(32, R10, stack.key + place, reg(R3));
  }
  asm.load(16, R9, R7, 12).store(32, R10, stack.local("l3"), 14);

  // The kernel takes the outer tag out of what a device receives.
  asm.load(32, R2, R6, SKB.vlanPresent).jumpIf("eq", R2, 0, "tags_in_frame");
  asm.load(32, R3, R6, SKB.vlanTci).op("or", R3, TAG_PRESENT).toBigEndian(R3, 16);
  putHalf(asm, stack, "vlan_tci", R3);
  asm.load(32, R3, R6, SKB.vlanProto);
  putHalf(asm, stack, "vlan_tpid", R3);
  if (vlanLimit === 2) tagInFrame(asm, stack, false, 18);
  asm.jump("link_done");

  asm.label("tags_in_frame");
  tagInFrame(asm, stack, true, 18);
  if (vlanLimit === 2) tagInFrame(asm, stack, false, 22);

  asm.label("link_done");
  // IEEE 802.3 lengths, LLC and SNAP: rare.
  asm.mov(R3, reg(R9)).toBigEndian(R3, 16).jumpIf("lt", R3, 0x600, "punt");
  putHalf(asm, stack, "eth_type", R9);
}
