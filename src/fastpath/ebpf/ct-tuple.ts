/**
 * The tuple of a packet, as instructions: that of `PacketTuple.parse` (conntrack/tuple.ts) for the packets
 * whose connections programs may know, TCP's that only carry data, UDP's, and echoes. Others go to `miss`:
 * fragments, extension headers, IPv4 options, what opens or closes a TCP connection, wrong headers.
 *
 * Layer 4's checksum is not looked at: that took reading all of the packet, and nothing that the tracker
 * knows depends on what an established connection's packet says.
 *
 * The stack, from TUPLE down; the packet's headers stay there for who rewrites them:
 *
 *     TUPLE   10 words          HEAD  layer 3's first 40 bytes (IPv4: 20)       PORTS  layer 4's first 16
 *     FAMILY  4 or 6, u32       PAYLOAD  bytes behind TCP's header, u32
 */
import {
  ICMP,
  ICMPV6,
  IPV4,
  IPV6,
  T_DST,
  T_META,
  T_PORTS,
  T_SRC,
  TCP,
  TUPLE_WORDS,
  UDP,
} from "../conntrack/tuple.ts";
import { type ActionContext, L3, L4, OWN, PROTOCOL } from "./action-context.ts";
import { type Assembler, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R9 } from "./instructions.ts";
import { be16 } from "./parse-link.ts";

export const TUPLE = OWN - 4 * TUPLE_WORDS;
export const HEAD = TUPLE - 40;
export const PORTS = HEAD - 16;
export const FAMILY = PORTS - 4;
export const PAYLOAD = PORTS - 8;
/** The first byte below. */
export const BELOW_TUPLE = PAYLOAD;

const V4_BYTES = 20;
const V6_BYTES = 40;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

const word = (n: number): number => TUPLE + 4 * n;

/** `at`: of the step's arguments, the first is its zone × 2^16. On to `miss` if it has none. */
export function emitTuple({ asm }: ActionContext, at: number, miss: string): void {
  const [v4, layer4] = [asm.fresh("ct_ipv4"), asm.fresh("ct_layer_4")];
  asm.load(64, R2, R10, L4).jumpIf("eq", R2, 0, miss);
  for (let i = 0; i < TUPLE_WORDS; i += 2) asm.store(64, R10, word(i), 0);
  fetch(asm, L3, 0, HEAD, V4_BYTES, miss);
  asm.load(8, R2, R10, HEAD).jumpIf("eq", R2, 0x45, v4);
  asm.op("rsh", R2, 4).jumpIf("ne", R2, 6, miss);
  fetch(asm, L3, V4_BYTES, HEAD + V4_BYTES, V6_BYTES - V4_BYTES, miss);
  asm.load(8, R2, R10, HEAD + 6).load(64, R3, R10, PROTOCOL).jumpIf("ne", R2, reg(R3), miss);
  for (let i = 0; i < 4; i++) {
    copy(asm, HEAD + 8 + 4 * i, word(T_SRC + i));
    copy(asm, HEAD + 24 + 4 * i, word(T_DST + i));
  }
  asm.load(16, R9, R10, HEAD + 4).toBigEndian(R9, 16);
  asm.store(32, R10, FAMILY, IPV6).jump(layer4);

  asm.label(v4).load(16, R2, R10, HEAD + 6).op("and", R2, be16(0x3fff)).jumpIf("ne", R2, 0, miss);
  asm.mov(R1, 0).mov(R2, 0).mov(R3, reg(R10)).op("add", R3, HEAD).mov(R4, V4_BYTES).mov(R5, 0);
  asm.call("csum_diff");
  for (let i = 0; i < 2; i++) {
    asm.mov(R2, reg(R0)).op("and", R2, 0xffff).op("rsh", R0, 16).op("add", R0, reg(R2));
    asm.op("and", R0, 0x1ffff);
  }
  asm.jumpIf("ne", R0, 0xffff, miss);
  copy(asm, HEAD + 12, word(T_SRC));
  copy(asm, HEAD + 16, word(T_DST));
  asm.load(16, R9, R10, HEAD + 2).toBigEndian(R9, 16).op("sub", R9, V4_BYTES);
  asm.store(32, R10, FAMILY, IPV4);

  // r9: bytes of layer 4.
  asm.label(layer4);
  transport(asm, miss);
  asm.load(64, R2, R10, PROTOCOL).op("lsh", R2, 8).load(32, R3, R10, FAMILY).op("or", R2, reg(R3));
  asm.load(32, R3, R7, at).op("or", R2, reg(R3)).store(32, R10, word(T_META), reg(R2));
}

function transport(asm: Assembler, miss: string): void {
  const [udp, icmp, icmpv6, echo, ports, done] = [
    "ct_udp",
    "ct_icmp",
    "ct_icmpv6",
    "ct_echo",
    "ct_ports",
    "ct_tuple",
  ].map((stem) => asm.fresh(stem)) as [string, string, string, string, string, string];
  asm.load(64, R2, R10, PROTOCOL);
  asm.jumpIf("eq", R2, UDP, udp).jumpIf("eq", R2, ICMP, icmp).jumpIf("eq", R2, ICMPV6, icmpv6);
  asm.jumpIf("ne", R2, TCP, miss);

  fetch(asm, L4, 0, PORTS, 16, miss);
  asm.load(8, R2, R10, PORTS + 13).op("and", R2, FIN | SYN | RST | ACK).jumpIf("ne", R2, ACK, miss);
  asm.load(8, R2, R10, PORTS + 12).op("rsh", R2, 4).op("lsh", R2, 2).op("sub", R9, reg(R2));
  asm.jumpIf("slt", R9, 0, miss).store(32, R10, PAYLOAD, reg(R9)).jump(ports);

  asm.label(udp);
  fetch(asm, L4, 0, PORTS, 8, miss);
  asm.load(16, R2, R10, PORTS + 4).toBigEndian(R2, 16);
  asm.jumpIf("lt", R2, 8, miss).jumpIf("sgt", R2, reg(R9), miss);
  asm.label(ports).load(32, R2, R10, PORTS).toBigEndian(R2, 32);
  asm.store(32, R10, word(T_PORTS), reg(R2)).jump(done);

  // Echoes: id u16, type u8, code 0.
  asm.label(icmp).load(32, R2, R10, FAMILY).jumpIf("ne", R2, IPV4, miss);
  fetch(asm, L4, 0, PORTS, 8, miss);
  asm.load(8, R2, R10, PORTS).jumpIf("eq", R2, 8, echo).jumpIf("eq", R2, 0, echo).jump(miss);
  asm.label(icmpv6).load(32, R2, R10, FAMILY).jumpIf("ne", R2, IPV6, miss);
  fetch(asm, L4, 0, PORTS, 8, miss);
  asm.load(8, R2, R10, PORTS).jumpIf("eq", R2, 128, echo).jumpIf("ne", R2, 129, miss);
  asm.label(echo).load(8, R3, R10, PORTS + 1).jumpIf("ne", R3, 0, miss);
  asm.load(16, R3, R10, PORTS + 4).toBigEndian(R3, 16).op("lsh", R3, 16);
  asm.op("lsh", R2, 8).op("or", R2, reg(R3)).store(32, R10, word(T_PORTS), reg(R2));
  asm.label(done);
}

/**
 * The other direction's, if the packet has been translated already: it looks as the other side knows it.
 * Echoes go to `miss`.
 */
export function emitReverse(asm: Assembler, miss: string): void {
  asm.load(64, R2, R10, PROTOCOL).jumpIf("eq", R2, ICMP, miss).jumpIf("eq", R2, ICMPV6, miss);
  for (let i = 0; i < 4; i++) {
    asm.load(32, R2, R10, word(T_SRC + i)).load(32, R3, R10, word(T_DST + i));
    asm.store(32, R10, word(T_SRC + i), reg(R3)).store(32, R10, word(T_DST + i), reg(R2));
  }
  asm.load(32, R2, R10, word(T_PORTS)).mov(R3, reg(R2)).op("lsh", R2, 16).op("rsh", R3, 16);
  asm.op("or", R2, reg(R3)).store(32, R10, word(T_PORTS), reg(R2));
}

/** Copies bytes from `offset` behind a layer to the stack. */
function fetch(
  asm: Assembler,
  layer: number,
  offset: number,
  to: number,
  bytes: number,
  miss: string,
): void {
  asm.mov(R1, reg(R6)).load(64, R2, R10, layer);
  if (offset !== 0) asm.op("add", R2, offset);
  asm.mov(R3, reg(R10)).op("add", R3, to).mov(R4, bytes).call("skb_load_bytes");
  asm.jumpIf("ne", R0, 0, miss);
}

function copy(asm: Assembler, from: number, to: number): void {
  asm.load(32, R2, R10, from).store(32, R10, to, reg(R2));
}
