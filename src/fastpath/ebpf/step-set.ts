/**
 * Sets bits of a header, checksums kept right.
 *
 * Checksums follow by the difference (RFC 1624), as in packet/rewrite.ts. The kernel's helpers do it
 * right for partial checksums (only the pseudo header's part is in them) and for a UDP checksum of 0.
 * The sum over a whole packet that a network card may have left (CHECKSUM_COMPLETE) stays right too:
 * a field whose change no checksum in the packet makes up for is stored with RECOMPUTE_CSUM. An IPv6
 * address is made up for by layer 4's checksum, but the helper takes the pseudo header's difference
 * as if it were IPv4, so the store says it here as well.
 */
import { ARGUMENT_BYTES } from "./abi.ts";
import { type ActionContext, L3, L4, PROTOCOL } from "./action-context.ts";
import type { Step } from "./action-plan.ts";
import { type Assembler, reg } from "./assembler.ts";
import type { ChecksumRule } from "./field-place.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9, type Register } from "./instructions.ts";

const OLD = -72;
const NEW = -88;

export const TCP_CHECKSUM = 16;
export const UDP_CHECKSUM = 6;
export const ICMP_CHECKSUM = 2;
export const IPV4_CHECKSUM = 10;

/** Flags of bpf_skb_store_bytes and bpf_l4_csum_replace. */
export const RECOMPUTE_CSUM = 1;
export const PSEUDO_HEADER = 0x10;
/** A checksum of 0 stays 0, and one that becomes 0 is 0xffff: UDP. */
export const MARK_MANGLED_0 = 0x20;

type SetStep = Extract<Step, { kind: "set" }>;

/** `field = field & keep | value`. r8 and r9 are lost. */
export function set({ asm }: ActionContext, step: SetStep): void {
  const { at, base, offset, bytes, checksum } = step;
  const padded = (bytes + 3) & ~3;
  const failed = asm.fresh("not_set");
  if (at + 2 * padded > ARGUMENT_BYTES) throw new RangeError(`arguments end before ${at}`);
  // r8: where the field stands in the packet.
  if (base === "frame") asm.mov(R8, offset);
  else {
    asm.load(64, R8, R10, base === "l3" ? L3 : L4);
    // A later fragment has no layer 4 to set.
    if (base === "l4") asm.jumpIf("eq", R8, 0, failed);
    asm.op("add", R8, offset);
  }
  for (let i = 0; i < padded; i += 4) asm.store(32, R10, OLD + i, 0);
  asm.mov(R1, reg(R6)).mov(R2, reg(R8)).mov(R3, reg(R10)).op("add", R3, OLD).mov(R4, bytes);
  asm.call("skb_load_bytes").jumpIf("ne", R0, 0, failed);
  for (let i = 0; i < padded; i += 4) {
    asm.load(32, R2, R10, OLD + i).load(32, R3, R7, at + padded + i).op("and", R2, reg(R3));
    asm.load(32, R3, R7, at + i).op("or", R2, reg(R3)).store(32, R10, NEW + i, reg(R2));
  }
  asm.mov(R1, reg(R6)).mov(R2, reg(R8)).mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, bytes);
  const uncovered = checksum === "ipv6-address" || (checksum === "none" && base !== "frame");
  asm.mov(R5, uncovered ? RECOMPUTE_CSUM : 0).call("skb_store_bytes");
  asm.jumpIf("ne", R0, 0, failed);
  followChecksums(asm, checksum, bytes);
  asm.label(failed);
}

function followChecksums(asm: Assembler, rule: ChecksumRule, bytes: number): void {
  switch (rule) {
    case "none":
      return;
    case "ipv4":
      return replaceIpv4(asm, bytes);
    case "ipv4-address":
      replaceIpv4(asm, bytes);
      return replacePseudo(asm, bytes, []);
    case "ipv6-address":
      difference(asm, bytes);
      return replacePseudo(asm, bytes, [[58, ICMP_CHECKSUM]]);
    case "tcp":
      return replaceLayer4(asm, TCP_CHECKSUM, bytes, bytes);
    case "udp":
      return replaceLayer4(asm, UDP_CHECKSUM, bytes, bytes | MARK_MANGLED_0);
    case "icmp":
      if (bytes === 16) difference(asm, bytes);
      return replaceLayer4(asm, ICMP_CHECKSUM, bytes, bytes === 16 ? 0 : bytes);
    default: {
      const never: never = rule;
      throw new Error(`unknown checksum rule ${String(never)}`);
    }
  }
}

/** r9 = what the sum over the field has changed by. */
function difference(asm: Assembler, bytes: number): void {
  asm.mov(R1, reg(R10)).op("add", R1, OLD).mov(R2, bytes);
  asm.mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, bytes).mov(R5, 0).call("csum_diff");
  asm.mov(R9, reg(R0));
}

/** r3, r4: the field before and after, as 2 or 4 bytes in network order. */
function loadChange(asm: Assembler, bytes: number): void {
  const size = bytes === 2 ? 16 : 32;
  asm.load(size, R3, R10, OLD).load(size, R4, R10, NEW);
}

function replaceIpv4(asm: Assembler, bytes: number): void {
  asm.mov(R1, reg(R6)).load(64, R2, R10, L3).op("add", R2, IPV4_CHECKSUM);
  loadChange(asm, bytes);
  asm.mov(R5, bytes).call("l3_csum_replace");
}

/** Layer 4's checksum over the pseudo header, by the packet's protocol; 16 bytes: change in r9. */
function replacePseudo(
  asm: Assembler,
  bytes: number,
  more: readonly (readonly [protocol: number, checksumAt: number])[],
): void {
  const done = asm.fresh("checksummed");
  asm.load(64, R2, R10, L4).jumpIf("eq", R2, 0, done);
  const size = bytes === 16 ? 0 : bytes;
  const kinds = [
    [6, TCP_CHECKSUM, size | PSEUDO_HEADER],
    [17, UDP_CHECKSUM, size | PSEUDO_HEADER | MARK_MANGLED_0],
    ...more.map(([protocol, at]) => [protocol, at, size | PSEUDO_HEADER] as const),
  ] as const;
  for (const [protocol, at, flags] of kinds) {
    const other = asm.fresh("other_protocol");
    asm.load(64, R2, R10, PROTOCOL).jumpIf("ne", R2, protocol, other);
    replaceLayer4(asm, at, bytes, flags);
    asm.jump(done).label(other);
  }
  asm.label(done);
}

function replaceLayer4(asm: Assembler, at: number, bytes: number, flags: number): void {
  asm.mov(R1, reg(R6)).load(64, R2, R10, L4).op("add", R2, at);
  if (bytes === 16) asm.mov(R3, 0).mov(R4, reg(R9 as Register));
  else loadChange(asm, bytes);
  asm.mov(R5, flags).call("l4_csum_replace");
}
