/**
 * IPv4, IPv6, ARP and MPLS, as instructions of the main program, with the same result as `extract`
 * (packet/extract.ts). What is malformed, IPv6 with segments left to route, and with more than three
 * extension headers, goes to the process.
 *
 * Registers: r6 the context, r7 14 bytes before layer 3, r8 the packet's end, r9 the Ethernet type as
 * it stands in the packet. On the way to `transport`: r7 14 bytes before layer 4, r9 the protocol,
 * r4 bytes of layer 4. All ways end at `parsed`.
 */
import { slot, type SlotName } from "../../packet/layout.ts";
import { SKB } from "./abi.ts";
import { type Assembler, reg } from "./assembler.ts";
import { type FrameStack, need } from "./frame-stack.ts";
import { R10, R2, R3, R4, R5, R6, R7, R9, type Register, type Size } from "./instructions.ts";
import { be16 } from "./parse-link.ts";

/** Where layer 3 begins from r7. */
const L3 = 14;
const W_NW = slot("nw_proto").offset >> 2;
const W_ARP = slot("arp_sha").offset >> 2;

/** Network layers by Ethernet type. */
const LAYERS = [
  [0x0800, "ipv4"],
  [0x86dd, "ipv6"],
  [0x0806, "arp"],
  [0x8035, "arp"],
  [0x8847, "mpls"],
  [0x8848, "mpls"],
] as const;
/** IPv6 extension headers that are looked behind; hop by hop is 0, destination options are 60. */
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const EXTENSIONS = [0, ROUTING, FRAGMENT, AUTHENTICATION, 60];
/** So many of them. */
const EXTENSION_HEADERS = 3;

/** Copies from the packet at r7 + `from` into a word of the key if the key has it; r3 is lost. */
export function copyWord(asm: Assembler, stack: FrameStack, word: number, from: number): void {
  const place = stack.layout.place(word);
  if (place === undefined) return;
  asm.load(32, R3, R7, from).store(32, R10, stack.key + place, reg(R3));
}

/** Stores a register into a word of the key, or part of one, if the key has it. */
export function put(
  asm: Assembler,
  stack: FrameStack,
  word: number,
  from: Register,
  size: Size = 32,
  at = 0,
): void {
  const place = stack.layout.place(word);
  if (place !== undefined) asm.store(size, R10, stack.key + place + at, reg(from));
}

const wordOf = (name: SlotName): number => slot(name).offset >> 2;

/** r3 = bytes from layer 3 to the frame's end; r2 is lost. */
function room(asm: Assembler, stack: FrameStack): void {
  asm.load(32, R3, R6, SKB.len).load(32, R2, R10, stack.local("l3")).op("sub", R3, reg(R2));
}

export function parseNetwork(asm: Assembler, stack: FrameStack): void {
  for (const [type, label] of LAYERS) asm.jumpIf("eq", R9, be16(type), label);
  asm.jump("parsed");
  parseIpv4(asm, stack);
  parseIpv6(asm, stack);
  parseArp(asm, stack);
  parseMpls(asm, stack);
}

function parseIpv4(asm: Assembler, stack: FrameStack): void {
  asm.label("ipv4");
  need(asm, L3 + 20);
  // r5: header bytes, r4: total length.
  asm.load(8, R5, R7, L3).op("and", R5, 15).op("lsh", R5, 2).jumpIf("lt", R5, 20, "punt");
  asm.load(16, R4, R7, L3 + 2).toBigEndian(R4, 16);
  room(asm, stack);
  asm.jumpIf("gt", R4, reg(R3), "punt").jumpIf("gt", R5, reg(R4), "punt").op("sub", R4, reg(R5));
  copyWord(asm, stack, wordOf("nw_src"), L3 + 12);
  copyWord(asm, stack, wordOf("nw_dst"), L3 + 16);
  asm.load(8, R9, R7, L3 + 9);
  put(asm, stack, W_NW, R9, 8, 0);
  for (const [from, at] of [[1, 1], [8, 2]] as const) {
    asm.load(8, R3, R7, L3 + from);
    put(asm, stack, W_NW, R3, 8, at);
  }
  asm.load(32, R2, R10, stack.local("l3")).op("add", R2, reg(R5));
  // Fragments: r3 is 0, 1 (the first) or 3 (a later one, which has no layer 4).
  asm.load(16, R3, R7, L3 + 6).toBigEndian(R3, 16).op("and", R3, 0x3fff);
  asm.op("add", R7, reg(R5)).jumpIf("eq", R3, 0, "ipv4_whole");
  asm.mov(R5, reg(R3)).mov(R3, 1).op("and", R5, 0x1fff).jumpIf("eq", R5, 0, "ipv4_first");
  asm.mov(R3, 3);
  put(asm, stack, W_NW, R3, 8, 3);
  asm.jump("parsed");
  asm.label("ipv4_first");
  put(asm, stack, W_NW, R3, 8, 3);
  asm.label("ipv4_whole").store(32, R10, stack.local("l4"), reg(R2)).jump("transport");
}

function parseIpv6(asm: Assembler, stack: FrameStack): void {
  asm.label("ipv6");
  need(asm, L3 + 40);
  asm.load(8, R9, R7, L3 + 6);
  // r4: payload bytes; none, or more than there are, is rare.
  asm.load(16, R4, R7, L3 + 4).toBigEndian(R4, 16).jumpIf("eq", R4, 0, "punt");
  room(asm, stack);
  asm.op("sub", R3, 40).jumpIf("sgt", R4, reg(R3), "punt");
  for (let i = 0; i < 4; i++) copyWord(asm, stack, wordOf("ipv6_src") + i, L3 + 8 + 4 * i);
  for (let i = 0; i < 4; i++) copyWord(asm, stack, wordOf("ipv6_dst") + i, L3 + 24 + 4 * i);
  if (stack.layout.has("ipv6_label")) {
    asm.load(32, R3, R7, L3).op32("and", R3, 0xffff0f00);
    put(asm, stack, wordOf("ipv6_label"), R3);
  }
  if (stack.layout.has("nw_tos")) {
    asm.load(16, R3, R7, L3).toBigEndian(R3, 16).op("rsh", R3, 4);
    put(asm, stack, W_NW, R3, 8, 1);
  }
  asm.load(8, R3, R7, L3 + 7);
  put(asm, stack, W_NW, R3, 8, 2);
  asm.load(32, R2, R10, stack.local("l3")).op("add", R2, 40).op("add", R7, 40);
  asm.store(32, R10, stack.local("l4"), reg(R2));
  for (let i = 0; i < EXTENSION_HEADERS; i++) parseExtension(asm, stack, `ipv6_${i}`);
  for (const type of EXTENSIONS) asm.jumpIf("eq", R9, type, "punt");
  asm.label("ipv6_upper");
  put(asm, stack, W_NW, R9, 8, 0);
  asm.jump("transport");

  // A later fragment has no layer 4, and its protocol is the fragment header's.
  asm.label("ipv6_later").mov(R3, 3);
  put(asm, stack, W_NW, R3, 8, 3);
  asm.mov(R9, FRAGMENT);
  put(asm, stack, W_NW, R9, 8, 0);
  asm.store(32, R10, stack.local("l4"), 0).jump("parsed");
}

/**
 * RFC 8200 §4: one extension header, if r9 is the number of one; else on to `ipv6_upper`. r4, r7 and
 * the layer 4 offset move behind it.
 */
function parseExtension(asm: Assembler, stack: FrameStack, name: string): void {
  asm.jumpIf("eq", R9, FRAGMENT, `${name}_fragment`).jumpIf(
    "eq",
    R9,
    AUTHENTICATION,
    `${name}_auth`,
  );
  for (const type of [0, ROUTING, 60]) asm.jumpIf("eq", R9, type, `${name}_options`);
  asm.jump("ipv6_upper");

  const begin = (kind: string): void => {
    asm.label(`${name}_${kind}`).jumpIf("slt", R4, 8, "punt");
    need(asm, L3 + 8);
  };
  begin("fragment");
  // Any non-zero word makes a fragment, as in `extract`.
  asm.mov(R5, 8).load(16, R3, R7, L3 + 2).toBigEndian(R3, 16);
  asm.jumpIf("eq", R3, 0, `${name}_step`).op("and", R3, 0xfff8);
  asm.jumpIf("ne", R3, 0, "ipv6_later").mov(R3, 1);
  put(asm, stack, W_NW, R3, 8, 3);
  asm.jump(`${name}_step`);

  begin("auth");
  asm.load(8, R5, R7, L3 + 1).op("add", R5, 2).op("lsh", R5, 2).jump(`${name}_step`);

  begin("options");
  // With segments left, checksums are for another destination: rare.
  asm.jumpIf("ne", R9, ROUTING, `${name}_length`);
  asm.load(8, R3, R7, L3 + 3).jumpIf("ne", R3, 0, "punt");
  asm.label(`${name}_length`).load(8, R5, R7, L3 + 1).op("add", R5, 1).op("lsh", R5, 3);

  asm.label(`${name}_step`).load(8, R9, R7, L3).op("add", R7, reg(R5)).op("sub", R4, reg(R5));
  asm.jumpIf("slt", R4, 0, "punt");
  asm.load(32, R2, R10, stack.local("l4")).op("add", R2, reg(R5));
  asm.store(32, R10, stack.local("l4"), reg(R2));
}

/** RFC 826 for Ethernet and IPv4. */
function parseArp(asm: Assembler, stack: FrameStack): void {
  asm.label("arp");
  need(asm, L3 + 28);
  asm.load(32, R3, R7, L3).jumpIf("ne", R3, 0x00080100, "punt");
  asm.load(16, R3, R7, L3 + 4).jumpIf("ne", R3, 0x0406, "punt");
  asm.load(8, R3, R7, L3 + 6).jumpIf("ne", R3, 0, "arp_addresses").load(8, R3, R7, L3 + 7);
  put(asm, stack, W_NW, R3);
  asm.label("arp_addresses");
  copyWord(asm, stack, wordOf("nw_src"), L3 + 14);
  copyWord(asm, stack, wordOf("nw_dst"), L3 + 24);
  // arp_sha and arp_tha lie one behind the other.
  copyWord(asm, stack, W_ARP, L3 + 8);
  asm.load(16, R3, R7, L3 + 12).load(16, R2, R7, L3 + 18).op("lsh", R2, 16).op("or", R3, reg(R2));
  put(asm, stack, W_ARP + 1, R3);
  copyWord(asm, stack, W_ARP + 2, L3 + 20);
  asm.jump("parsed");
}

/** RFC 3032: up to three label stack entries. */
function parseMpls(asm: Assembler, stack: FrameStack): void {
  asm.label("mpls");
  const used = ["mpls_lse0", "mpls_lse1", "mpls_lse2"] as const;
  if (!used.some((name) => stack.layout.has(name))) {
    asm.jump("parsed");
    return;
  }
  used.forEach((name, i) => {
    // Behind the first entry the frame may end.
    if (i > 0) {
      room(asm, stack);
      asm.jumpIf("lt", R3, 4 * i + 4, "parsed");
    }
    need(asm, L3 + 4 * i + 4);
    copyWord(asm, stack, wordOf(name), L3 + 4 * i);
    asm.load(8, R3, R7, L3 + 4 * i + 2).op("and", R3, 1).jumpIf("ne", R3, 0, "parsed");
  });
  asm.jump("parsed");
}
