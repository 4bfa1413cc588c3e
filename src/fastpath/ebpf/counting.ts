/** Statistics, as instructions: a flow's, and those of the port that a packet leaves by. */
import { PORT_RECORD } from "../punts.ts";
import { FLOW_BYTES, FLOW_PACKETS, FLOW_TCP_FLAGS, FLOW_USED, SKB } from "./abi.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R6, R7, type Register } from "./instructions.ts";

/**
 * Counts the packet for the flow whose record is at r7. `bytes` and `tcpFlags` are places on the
 * stack, 64 and 32 bits. r0 to r5 are lost. Each line is written by several CPUs: the time only when
 * it has moved on (it is the tick's), the flags only when there are new ones.
 */
export function countFlow(asm: Assembler, bytes: number, tcpFlags: number): void {
  const [same, plain] = [asm.fresh("same_time"), asm.fresh("no_flags")];
  asm.mov(R1, 1).atomic("add", 64, R7, FLOW_PACKETS, R1);
  asm.load(64, R1, R10, bytes).atomic("add", 64, R7, FLOW_BYTES, R1);
  asm.call("ktime_get_coarse_ns").load(64, R1, R7, FLOW_USED).jumpIf("eq", R1, reg(R0), same);
  asm.store(64, R7, FLOW_USED, reg(R0));
  asm.label(same).load(32, R1, R10, tcpFlags).jumpIf("eq", R1, 0, plain);
  asm.load(32, R2, R7, FLOW_TCP_FLAGS).mov(R3, reg(R2)).op("or", R3, reg(R1));
  asm.jumpIf("eq", R2, reg(R3), plain).atomic("or", 32, R7, FLOW_TCP_FLAGS, R1);
  asm.label(plain);
}

/** `dst` = the packet's length in bytes, with a VLAN tag that is out of band; `scratch` is lost. */
export function packetBytes(asm: Assembler, dst: Register, scratch: Register): void {
  asm.load(32, dst, R6, SKB.len).load(32, scratch, R6, SKB.vlanPresent);
  asm.op("lsh", scratch, 2).op("add", dst, reg(scratch));
}

/**
 * Counts the packet as sent by the port whose number stands at `portAt` on the stack, 32 bits. r0 to
 * r5 are lost.
 */
export function countSent(asm: Assembler, ports: MapReference, portAt: number): void {
  const none = asm.fresh("no_port");
  asm.loadMap(R1, ports).mov(R2, reg(R10)).op("add", R2, portAt).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, none);
  packetBytes(asm, R3, R4);
  asm.mov(R2, 1).atomic("add", 64, R0, PORT_RECORD.txPackets * 8, R2);
  asm.atomic("add", 64, R0, PORT_RECORD.txBytes * 8, R3);
  asm.label(none);
}
