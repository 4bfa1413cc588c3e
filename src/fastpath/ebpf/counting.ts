/**
 * Statistics, as instructions: a flow's, and those of the ports that a packet comes in and leaves by.
 * Which record is this CPU's: shards.ts.
 */
import { FLOW_BYTES, FLOW_PACKETS, FLOW_TCP_FLAGS, FLOW_USED, PORT_COUNTS, SKB } from "./abi.ts";
import { type Assembler, type MapReference, type Operand, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, type Register } from "./instructions.ts";
import type { Shards } from "./shards.ts";

export interface CountMaps {
  readonly counts: MapReference;
  readonly portCounts: MapReference;
  readonly shards: Shards;
}

/** Places on a program's stack that counting needs. */
export interface CountPlaces {
  /** This CPU's shard, u32. */
  readonly shard: number;
  /** Free, u32. */
  readonly key: number;
  /** Bytes of the packet, u64. */
  readonly bytes: number;
  /** TCP flags of the packet, u32. */
  readonly tcpFlags: number;
}

/** Notes this CPU's shard; r0 to r5 are lost. */
export function findShard(asm: Assembler, { shards }: CountMaps, at: number): void {
  if (shards.count === 1) {
    asm.store(32, R10, at, 0);
    return;
  }
  asm.call("get_smp_processor_id").op("and", R0, shards.count - 1).store(32, R10, at, reg(R0));
}

/** r0 = the record of this CPU for the number in r2; on to `none` if there is none. */
function findCounts(
  asm: Assembler,
  { shards }: CountMaps,
  map: MapReference,
  { shard, key }: CountPlaces,
  none: string,
): void {
  asm.op("lsh", R2, Math.log2(shards.count)).load(32, R3, R10, shard).op("or", R2, reg(R3));
  asm.store(32, R10, key, reg(R2)).loadMap(R1, map).mov(R2, reg(R10)).op("add", R2, key);
  asm.call("map_lookup_elem").jumpIf("eq", R0, 0, none);
}

/** `*(u64 *)(base + at) += by`; `by` is not r5, which is lost. */
export function add(
  asm: Assembler,
  { shards }: CountMaps,
  base: Register,
  at: number,
  by: Operand,
): void {
  if (shards.own) {
    asm.load(64, R5, base, at).op("add", R5, by);
    asm.store(64, base, at, reg(R5));
    return;
  }
  asm.mov(R5, by).atomic("add", 64, base, at, R5);
}

/**
 * Counts the packet for the flow whose id is in r2. r0 to r5 and r7 are lost. The time is written only
 * when it has moved on (it is the tick's), the flags only when there are new ones.
 */
export function countFlow(asm: Assembler, maps: CountMaps, places: CountPlaces): void {
  const [same, plain] = [asm.fresh("same_time"), asm.fresh("no_flags")];
  findCounts(asm, maps, maps.counts, places, plain);
  asm.mov(R7, reg(R0)).load(64, R1, R10, places.bytes);
  add(asm, maps, R7, FLOW_PACKETS, 1);
  add(asm, maps, R7, FLOW_BYTES, reg(R1));
  asm.call("ktime_get_coarse_ns").load(64, R1, R7, FLOW_USED).jumpIf("eq", R1, reg(R0), same);
  asm.store(64, R7, FLOW_USED, reg(R0));
  asm.label(same).load(32, R1, R10, places.tcpFlags).jumpIf("eq", R1, 0, plain);
  asm.load(32, R2, R7, FLOW_TCP_FLAGS).mov(R3, reg(R2)).op("or", R3, reg(R1));
  asm.jumpIf("eq", R2, reg(R3), plain);
  if (maps.shards.own) asm.store(32, R7, FLOW_TCP_FLAGS, reg(R3));
  else asm.atomic("or", 32, R7, FLOW_TCP_FLAGS, R1);
  asm.label(plain);
}

/** `dst` = the packet's length in bytes, with a VLAN tag that is out of band; `scratch` is lost. */
export function packetBytes(asm: Assembler, dst: Register, scratch: Register): void {
  asm.load(32, dst, R6, SKB.len).load(32, scratch, R6, SKB.vlanPresent);
  asm.op("lsh", scratch, 2).op("add", dst, reg(scratch));
}

/**
 * Counts the packet as received by the port whose number is in r2, and leaves this CPU's record of it
 * in r0; on to `none` if there is none. r1 to r5 are lost.
 */
export function countReceived(
  asm: Assembler,
  maps: CountMaps,
  places: CountPlaces,
  none: string,
): void {
  findReceived(asm, maps, places, none);
  addReceived(asm, maps);
}

/** Behind `findReceived`. */
export function addReceived(asm: Assembler, maps: CountMaps): void {
  add(asm, maps, R0, PORT_COUNTS.rxPackets * 8, 1);
  add(asm, maps, R0, PORT_COUNTS.rxBytes * 8, reg(R3));
}

/** As `countReceived`, but that nothing is counted yet; the packet's bytes are noted, and in r3. */
export function findReceived(
  asm: Assembler,
  maps: CountMaps,
  places: CountPlaces,
  none: string,
): void {
  findCounts(asm, maps, maps.portCounts, places, none);
  packetBytes(asm, R3, R4);
  asm.store(64, R10, places.bytes, reg(R3));
}

/** Counts the packet as sent by the port whose number is in r2. r0 to r5 are lost. */
export function countSent(asm: Assembler, maps: CountMaps, places: CountPlaces): void {
  const none = asm.fresh("no_port");
  findCounts(asm, maps, maps.portCounts, places, none);
  packetBytes(asm, R3, R4);
  add(asm, maps, R0, PORT_COUNTS.txPackets * 8, 1);
  add(asm, maps, R0, PORT_COUNTS.txBytes * 8, reg(R3));
  asm.label(none);
}
