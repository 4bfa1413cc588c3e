/**
 * The `hash` action: fills dp_hash with the value that engine/flow-hash.ts computes of a flow key, here
 * of the packet as it is now. r9 is the hash, r8 a word that goes into it; r2 and r3 are lost with each
 * word, r0 to r5 with each load.
 *
 * Functions are MurmurHash3's mixing (packet/hash.ts), in 32-bit arithmetic.
 */
import { slot } from "../../packet/layout.ts";
import { type ActionContext, L3, L4, OWN, PROTOCOL } from "./action-context.ts";
import type { Step } from "./action-plan.ts";
import { type Assembler, type Operand, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R6, R7, R8, R9, type Register } from "./instructions.ts";
import { stateOffset } from "./packet-state.ts";

type HashStep = Extract<Step, { kind: "hash" }>;

/** Headers that were loaded, 40 bytes; then a hash that is put by. */
const DATA = OWN - 40;
const KEPT = DATA - 8;
const DP_HASH = stateOffset(slot("dp_hash").offset / 4)!;
/** What hashes of 5-tuples are finished with. */
const TUPLE_BYTES = 42;
const ICMP = [1, 58];
const WITH_PORTS = [6, 17, 132];
/** The label of an entry, in a word read little endian. */
const LABEL = 0x00f0ffff;
const BOTTOM_OF_STACK = 0x00010000;
const MPLS_ENTRIES = 3;

/** Arguments: basis u32, Ethernet type u32. */
export function hash(context: ActionContext, step: HashStep): void {
  const { asm } = context;
  const basis = (): void => void asm.load(32, R2, R7, step.at);
  if (step.algorithm === "l4") {
    fiveTuple(asm, step);
    // hashTwo(hash, basis)
    asm.mov32(R8, 0);
    add(asm);
    asm.load(32, R8, R7, step.at);
    add(asm);
    finish(asm, 8);
  } else {
    symmetric(asm, step);
    basis();
    finish(asm, reg(R2));
    if (step.algorithm === "wide") {
      widen(asm, step);
      basis();
      finish(asm, reg(R2));
    }
  }
  asm.toBigEndian(R9, 32);
  context.loadState(R2);
  asm.store(32, R2, DP_HASH, reg(R9));
}

function rotate(asm: Assembler, register: Register, bits: number): void {
  asm.mov32(R3, reg(register)).op32("lsh", register, bits).op32("rsh", R3, 32 - bits);
  asm.op32("or", register, reg(R3));
}

/** r9 with r8 added. */
function add(asm: Assembler): void {
  asm.op32("mul", R8, 0xcc9e2d51);
  rotate(asm, R8, 15);
  asm.op32("mul", R8, 0x1b873593).op32("xor", R9, reg(R8));
  rotate(asm, R9, 13);
  asm.op32("mul", R9, 5).op32("add", R9, 0xe6546b64);
}

function finish(asm: Assembler, final: Operand): void {
  asm.op32("xor", R9, final);
  for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35]] as const) {
    asm.mov32(R3, reg(R9)).op32("rsh", R3, shift).op32("xor", R9, reg(R3)).op32("mul", R9, factor);
  }
  asm.mov32(R3, reg(R9)).op32("rsh", R3, 16).op32("xor", R9, reg(R3));
}

/** `bytes` of the packet, `from` behind a layer or the frame's start, to DATA; else on to `failed`. */
function read(
  asm: Assembler,
  layer: typeof L3 | typeof L4 | "frame",
  from: number,
  bytes: number,
  failed: string,
): void {
  if (layer === "frame") asm.mov(R2, from);
  else asm.load(64, R2, R10, layer).op("add", R2, from);
  asm.mov(R1, reg(R6)).mov(R3, reg(R10)).op("add", R3, DATA).mov(R4, bytes);
  asm.call("skb_load_bytes").jumpIf("ne", R0, 0, failed);
}

/** `into` = a word that was read, r8 unless told; what lies across words takes two loads, and r3. */
function word(asm: Assembler, at: number, into: Register = R8): Assembler {
  if (at % 4 === 0) return asm.load(32, into, R10, DATA + at);
  asm.load(16, into, R10, DATA + at).load(16, R3, R10, DATA + at + 2);
  return asm.op32("lsh", R3, 16).op32("or", into, reg(R3));
}

/** r8 = one word that was read and another, folded. */
function folded(asm: Assembler, a: number, b: number): void {
  word(asm, a);
  word(asm, b, R2).op32("xor", R8, reg(R2));
}

/** r8 = the protocol, as the key has it, once the network header is at DATA. */
function protocol(asm: Assembler, network: "ipv4" | "ipv6" | "arp"): void {
  switch (network) {
    case "ipv4":
      asm.load(8, R8, R10, DATA + 9);
      return;
    case "ipv6":
      asm.load(64, R8, R10, PROTOCOL);
      return;
    case "arp": {
      const done = asm.fresh("operation");
      asm.load(16, R8, R10, DATA + 6).toBigEndian(R8, 16).jumpIf("le", R8, 255, done);
      asm.mov(R8, 0).label(done);
    }
  }
}

/** `hashFiveTuple` with a basis of 0. */
function fiveTuple(asm: Assembler, { network }: HashStep): void {
  const done = asm.fresh("tuple");
  asm.mov32(R9, 0);
  if (network === "ipv4" || network === "ipv6" || network === "arp") {
    if (network === "ipv4") {
      read(asm, L3, 0, 20, done);
      for (const at of [12, 16]) add(word(asm, at));
    } else if (network === "ipv6") {
      read(asm, L3, 0, 40, done);
      for (let at = 8; at < 40; at += 4) add(word(asm, at));
    } else {
      read(asm, L3, 0, 28, done);
      for (const at of [14, 24]) add(word(asm, at));
    }
    protocol(asm, network);
    asm.store(32, R10, KEPT, reg(R8));
    add(asm);
    ports(asm, network, done);
  }
  asm.label(done);
  finish(asm, TUPLE_BYTES);
}

/** The ports' word, if the protocol at KEPT is one that has it; zero behind a later fragment. */
function ports(asm: Assembler, network: "ipv4" | "ipv6" | "arp", done: string): void {
  const [icmp, both, take] = [asm.fresh("icmp"), asm.fresh("ports"), asm.fresh("take")];
  asm.load(32, R8, R10, KEPT);
  for (const each of ICMP) asm.jumpIf("eq", R8, each, icmp);
  for (const each of WITH_PORTS) asm.jumpIf("eq", R8, each, both);
  asm.jump(done);
  const layer4 = (): void => {
    // An operation of ARP is no protocol with ports.
    if (network === "arp") asm.mov(R8, 0).jump(take);
    else asm.load(64, R8, R10, L4).jumpIf("eq", R8, 0, take);
  };
  asm.label(icmp);
  layer4();
  if (network !== "arp") {
    read(asm, L4, 0, 2, done);
    asm.load(8, R8, R10, DATA).op32("lsh", R8, 8);
    asm.load(8, R2, R10, DATA + 1).op32("lsh", R2, 24).op32("or", R8, reg(R2)).jump(take);
  }
  asm.label(both);
  layer4();
  if (network !== "arp") {
    read(asm, L4, 0, 4, done);
    word(asm, 0);
  }
  asm.label(take);
  add(asm);
}

/** `hashSymmetric`, not finished yet. */
function symmetric(asm: Assembler, step: HashStep): void {
  const { network, at, fragments } = step;
  const done = asm.fresh("symmetric");
  if (network !== "ipv4" && network !== "ipv6") return addresses(asm, step);
  asm.load(32, R9, R7, at);
  if (network === "ipv4") {
    read(asm, L3, 0, 20, done);
    folded(asm, 12, 16);
    add(asm);
  } else {
    read(asm, L3, 0, 40, done);
    for (let i = 0; i < 16; i += 4) {
      folded(asm, 8 + i, 24 + i);
      add(asm);
    }
  }
  protocol(asm, network);
  asm.store(32, R10, KEPT, reg(R8));
  add(asm);
  if (!fragments) {
    const tcp = asm.fresh("ports");
    asm.load(32, R8, R10, KEPT).jumpIf("eq", R8, 6, tcp).jumpIf("ne", R8, 132, done);
    asm.label(tcp).load(64, R2, R10, L4).jumpIf("eq", R2, 0, done);
    read(asm, L4, 0, 4, done);
    asm.load(16, R8, R10, DATA).load(16, R2, R10, DATA + 2).op32("xor", R8, reg(R2));
    add(asm);
  }
  asm.label(done);
}

/** r2 and r8: source and destination address, from their `half`: bytes 0 to 3, or 4 and 5. */
function half(asm: Assembler, first: boolean): void {
  if (first) {
    word(asm, 0);
    word(asm, 6, R2);
  } else asm.load(16, R8, R10, DATA + 4).load(16, R2, R10, DATA + 10);
}

/** Of packets that are not IP: both Ethernet addresses, each hashed, and the Ethernet type. */
function addresses(asm: Assembler, { at }: HashStep): void {
  read(asm, "frame", 0, 12, "drop");
  for (const place of [KEPT, KEPT + 4]) {
    asm.mov32(R9, 0);
    for (const first of [true, false]) {
      half(asm, first);
      if (place === KEPT) asm.mov32(R8, reg(R2));
      add(asm);
    }
    asm.store(32, R10, place, reg(R9));
  }
  asm.load(32, R8, R10, KEPT).load(32, R2, R10, KEPT + 4).op32("xor", R8, reg(R2));
  asm.load(32, R9, R7, at);
  add(asm);
  asm.load(32, R8, R7, at + 4);
  add(asm);
}

/** What `hashWide` adds. */
function widen(asm: Assembler, { network }: HashStep): void {
  read(asm, "frame", 0, 12, "drop");
  for (const first of [true, false]) {
    half(asm, first);
    asm.op32("xor", R8, reg(R2));
    add(asm);
  }
  if (network === "arp") {
    read(asm, L3, 0, 28, "drop");
    folded(asm, 14, 24);
    add(asm);
  }
  if (network !== "mpls") return;
  // Entries behind the last one of the stack, or behind the frame's end, count as zero.
  const ends = Array.from({ length: MPLS_ENTRIES }, () => asm.fresh("labels_end"));
  const end = asm.fresh("labels");
  for (let i = 0; i < MPLS_ENTRIES; i++) {
    read(asm, L3, 4 * i, 4, ends[i]!);
    word(asm, 0).store(32, R10, KEPT, reg(R8)).op32("and", R8, LABEL);
    add(asm);
    if (i === MPLS_ENTRIES - 1) break;
    asm.load(32, R2, R10, KEPT).op32("and", R2, BOTTOM_OF_STACK);
    asm.jumpIf("ne", R2, 0, ends[i + 1]!);
  }
  asm.jump(end);
  for (let i = 0; i < MPLS_ENTRIES; i++) {
    asm.label(ends[i]!).mov32(R8, 0);
    add(asm);
  }
  asm.label(end);
}
