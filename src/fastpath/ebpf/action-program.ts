/**
 * Action programs: straight-line code for the steps of a plan (action-plan.ts), one after the other.
 * The main program has found the flow and calls here with what it knows in `skb->cb` (abi.ts).
 *
 * Checksums follow by the difference (RFC 1624), as in packet/rewrite.ts. The kernel's helpers do it
 * right for partial checksums (only the pseudo header's part is in them) and for a UDP checksum of 0.
 * The sum over a whole packet that a network card may have left (CHECKSUM_COMPLETE) stays right too:
 * a field whose change no checksum in the packet makes up for is stored with RECOMPUTE_CSUM. An IPv6
 * address is made up for by layer 4's checksum, but the helper takes the pseudo header's difference
 * as if it were IPv4, so the store says it here as well.
 *
 * Nothing is done before it is sure that all can be done: else the packet goes to the process whole.
 */
import {
  ARGUMENT_BYTES,
  CB_ARGUMENTS,
  CB_FLOW,
  CB_LAYERS,
  CB_PROTOCOL,
  REDIRECT_INGRESS,
  SKB,
} from "./abi.ts";
import type { Step } from "./action-plan.ts";
import type { ChecksumRule } from "./field-place.ts";
import { type Assembled, Assembler, type MapReference, reg } from "./assembler.ts";
import { countFlow, type CountMaps, countSent, findShard, packetBytes } from "./counting.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9, type Register } from "./instructions.ts";
import { emitPunt, type PuntTarget } from "./punt.ts";

export interface ActionMaps extends PuntTarget, CountMaps {
  readonly arguments: MapReference;
}

// The stack: 64-bit places.
const BYTES = -8;
const TCP_FLAGS = -16;
const L3 = -24;
const L4 = -32;
const PROTOCOL = -40;
const KEY = -48;
const SHARD = -44;
const OLD = -64;
const NEW = -80;

const COUNTING = { shard: SHARD, key: KEY, bytes: BYTES, tcpFlags: TCP_FLAGS };

const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
const ICMP_CHECKSUM = 2;
const IPV4_CHECKSUM = 10;

/** Flags of bpf_skb_store_bytes and bpf_l4_csum_replace. */
const RECOMPUTE_CSUM = 1;
const PSEUDO_HEADER = 0x10;
/** A checksum of 0 stays 0, and one that becomes 0 is 0xffff: UDP. */
const MARK_MANGLED_0 = 0x20;

export function assembleActions(steps: readonly Step[], maps: ActionMaps): Assembled {
  const asm = new Assembler();
  begin(asm, maps);
  steps.forEach((step, i) => {
    switch (step.kind) {
      case "output":
        output(asm, step.at, i === steps.length - 1, maps);
        break;
      case "set":
        set(asm, step);
        break;
      case "push_vlan":
        asm.load(32, R8, R6, SKB.len).mov(R1, reg(R6));
        asm.load(16, R2, R7, step.at).load(16, R3, R7, step.at + 2).call("skb_vlan_push");
        moved(asm);
        break;
      case "pop_vlan":
        asm.load(32, R8, R6, SKB.len).mov(R1, reg(R6)).call("skb_vlan_pop");
        moved(asm);
        break;
      case "note":
        asm.load(32, R2, R7, step.at).store(32, R6, SKB[step.field], reg(R2));
        break;
      default: {
        const never: never = step;
        throw new Error(`unknown step ${String(never)}`);
      }
    }
  });
  emitPunt(asm, maps);
  return asm.finish();
}

/** r6 the context, r7 the arguments; the flow is counted. */
function begin(asm: Assembler, maps: ActionMaps): void {
  asm.mov(R6, reg(R1));
  asm.load(32, R2, R6, CB_LAYERS).mov(R3, reg(R2)).op("and", R3, 0xffff);
  asm.store(64, R10, L3, reg(R3)).op("rsh", R2, 16).store(64, R10, L4, reg(R2));
  asm.load(32, R2, R6, CB_PROTOCOL).mov(R3, reg(R2)).op("and", R3, 0xffff);
  asm.store(64, R10, PROTOCOL, reg(R3)).op("rsh", R2, 16).store(64, R10, TCP_FLAGS, reg(R2));
  packetBytes(asm, R3, R4);
  asm.store(64, R10, BYTES, reg(R3));
  asm.load(32, R2, R6, CB_ARGUMENTS).store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, maps.arguments).mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "punt").mov(R8, reg(R0));
  findShard(asm, maps, SHARD);
  asm.load(32, R2, R6, CB_FLOW);
  countFlow(asm, maps, COUNTING);
  asm.mov(R7, reg(R8));
}

/** The last output takes the packet itself, the others a clone. */
function output(asm: Assembler, at: number, last: boolean, maps: ActionMaps): void {
  if (at + 8 > ARGUMENT_BYTES) throw new RangeError(`arguments end before ${at + 8}`);
  if (last) {
    asm.load(32, R2, R7, at + 4).op("rsh", R2, 1);
    countSent(asm, maps, COUNTING);
    asm.load(32, R1, R7, at).load(32, R2, R7, at + 4).op("and", R2, REDIRECT_INGRESS);
    asm.call("redirect").exit();
    return;
  }
  const failed = asm.fresh("not_sent");
  asm.mov(R1, reg(R6)).load(32, R2, R7, at).load(32, R3, R7, at + 4);
  asm.op("and", R3, REDIRECT_INGRESS).call("clone_redirect").jumpIf("ne", R0, 0, failed);
  asm.load(32, R2, R7, at + 4).op("rsh", R2, 1);
  countSent(asm, maps, COUNTING);
  asm.label(failed);
}

/** The layers have moved by as much as the packet's length has changed; it was r8. */
function moved(asm: Assembler): void {
  asm.load(32, R2, R6, SKB.len).op("sub", R2, reg(R8));
  const none = asm.fresh("no_layer_4");
  asm.load(64, R3, R10, L3).op("add", R3, reg(R2)).store(64, R10, L3, reg(R3));
  asm.load(64, R3, R10, L4).jumpIf("eq", R3, 0, none);
  asm.op("add", R3, reg(R2)).store(64, R10, L4, reg(R3)).label(none);
}

type SetStep = Extract<Step, { kind: "set" }>;

/** `field = field & keep | value`. r8 and r9 are lost. */
function set(asm: Assembler, { at, base, offset, bytes, checksum }: SetStep): void {
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
      asm.mov(R1, reg(R10)).op("add", R1, OLD).mov(R2, bytes);
      asm.mov(R3, reg(R10)).op("add", R3, NEW).mov(R4, bytes).mov(R5, 0).call("csum_diff");
      asm.mov(R9, reg(R0));
      return replacePseudo(asm, bytes, [[58, ICMP_CHECKSUM]]);
    case "tcp":
      return replaceLayer4(asm, TCP_CHECKSUM, bytes, bytes);
    case "udp":
      return replaceLayer4(asm, UDP_CHECKSUM, bytes, bytes | MARK_MANGLED_0);
    case "icmp":
      return replaceLayer4(asm, ICMP_CHECKSUM, bytes, bytes);
    default: {
      const never: never = rule;
      throw new Error(`unknown checksum rule ${String(never)}`);
    }
  }
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
