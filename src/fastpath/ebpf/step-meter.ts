/**
 * The `meter` action, over buckets that this process uses, too (engine/shared-meters.ts, where the
 * arithmetic is explained).
 *
 * Several CPUs may use a bucket at once: it is exchanged by comparison, and looked at anew if another one was
 * quicker. After so many times the packet is taken out by an addition: then, by then, the bucket may have
 * been emptied by others, and what is too much is missing from the next packets.
 *
 *     r8  the meter's record    r9  where the band's begins in it
 */
import { MAX_METER_BANDS } from "../engine/meters.ts";
import {
  SHARED_BAND,
  SHARED_BAND_BYTES,
  SHARED_BANDS,
  SHARED_METER,
} from "../engine/shared-meters.ts";
import { SKB } from "./abi.ts";
import { type ActionContext, KEY, OWN } from "./action-context.ts";
import { type Assembler, reg } from "./assembler.ts";
import { packetBytes } from "./counting.ts";
import { R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./instructions.ts";
import { headerBytes } from "./step-length.ts";

const PACKETS = OWN - 8;
const BYTES = OWN - 16;
const VOLUME = OWN - 24;
const NOW = OWN - 32;
const END = OWN - 40;
/** Of the band that is exceeded: where it begins, 0: none; and its rate. */
const EXCEEDED = OWN - 48;
const RATE = OWN - 56;
const TRIES = OWN - 64;

const NANOSECONDS = 1_000_000;
const MOST_TRIES = 8;

/** Argument: the meter's number. On to `metered` with a packet that exceeds a band. */
export function meter(context: ActionContext, at: number): void {
  const { asm, maps } = context;
  const [none, next, pass] = [asm.fresh("no_meter"), asm.fresh("band"), asm.fresh("within")];
  measure(asm);
  asm.load(32, R2, R7, at).store(32, R10, KEY, reg(R2)).loadMap(R1, maps.meters);
  asm.mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem").jumpIf("eq", R0, 0, none);
  asm.mov(R8, reg(R0)).load(64, R2, R8, SHARED_METER.bands).jumpIf("eq", R2, 0, none);
  asm.op("sub", R2, 1).op("mul", R2, SHARED_BAND_BYTES).op("add", R2, SHARED_BANDS);
  asm.store(64, R10, END, reg(R2)).store(64, R10, EXCEEDED, 0).store(64, R10, RATE, 0);
  for (
    const [from, to] of [[PACKETS, SHARED_METER.packetsIn], [BYTES, SHARED_METER.bytesIn]] as const
  ) {
    asm.load(64, R2, R10, from).atomic("add", 64, R8, to, R2);
  }
  asm.load(64, R2, R8, SHARED_METER.packets).jumpIf("eq", R2, 0, `${next}_bits`);
  asm.load(64, R3, R10, PACKETS).op("mul", R3, 1000).jump(`${next}_volume`);
  asm.label(`${next}_bits`).load(64, R3, R10, BYTES).op("lsh", R3, 3);
  asm.label(`${next}_volume`).store(64, R10, VOLUME, reg(R3));
  asm.call("ktime_get_ns").op("div", R0, NANOSECONDS).store(64, R10, NOW, reg(R0));
  asm.mov(R9, SHARED_BANDS);
  asm.label(next).load(64, R2, R10, END).jumpIf("ge", R9, reg(R2), `${next}_done`);
  asm.jumpIf("gt", R9, SHARED_BANDS + (MAX_METER_BANDS - 1) * SHARED_BAND_BYTES, `${next}_done`);
  take(asm, `${next}_exceeded`, `${next}_step`);
  // Of those that are exceeded, the first one of the highest rate.
  asm.label(`${next}_exceeded`).mov(R1, reg(R8)).op("add", R1, reg(R9));
  asm.load(64, R2, R1, SHARED_BAND.rate).load(64, R3, R10, EXCEEDED).jumpIf(
    "eq",
    R3,
    0,
    `${next}_keep`,
  );
  asm.load(64, R3, R10, RATE).jumpIf("le", R2, reg(R3), `${next}_step`);
  asm.label(`${next}_keep`).store(64, R10, EXCEEDED, reg(R9)).store(64, R10, RATE, reg(R2));
  asm.label(`${next}_step`).op("add", R9, SHARED_BAND_BYTES).jump(next);
  asm.label(`${next}_done`).load(64, R9, R10, EXCEEDED).jumpIf("lt", R9, SHARED_BANDS, pass);
  asm.jumpIf("gt", R9, SHARED_BANDS + (MAX_METER_BANDS - 1) * SHARED_BAND_BYTES, pass);
  asm.op("add", R8, reg(R9));
  for (const [from, to] of [[PACKETS, SHARED_BAND.packets], [BYTES, SHARED_BAND.bytes]] as const) {
    asm.load(64, R2, R10, from).atomic("add", 64, R8, to, R2);
  }
  asm.jump(context.drop("metered")).label(pass).label(none);
}

/** Packets and bytes that the packet counts as. */
function measure(asm: Assembler): void {
  const one = asm.fresh("one_packet");
  packetBytes(asm, R3, R4);
  asm.store(64, R10, BYTES, reg(R3)).store(64, R10, PACKETS, 1);
  asm.load(32, R9, R6, SKB.gsoSize).jumpIf("eq", R9, 0, one);
  headerBytes(asm);
  asm.load(32, R2, R6, SKB.len).jumpIf("le", R2, reg(R8), one).op("sub", R2, reg(R8));
  asm.op("add", R2, reg(R9)).op("sub", R2, 1).op("div", R2, reg(R9));
  asm.store(64, R10, PACKETS, reg(R2)).label(one);
}

/** Takes the volume out of the band's bucket and goes on at `taken`, or at `exceeded`. */
function take(asm: Assembler, exceeded: string, taken: string): void {
  const [again, full] = [asm.fresh("try"), asm.fresh("not_full")];
  asm.store(64, R10, TRIES, 0);
  asm.label(again).mov(R1, reg(R8)).op("add", R1, reg(R9));
  // r0: emptied, r2: rate × now, r3: fill, r4: volume.
  asm.load(64, R0, R1, SHARED_BAND.emptied).load(64, R2, R1, SHARED_BAND.rate);
  asm.load(64, R3, R10, NOW).op("mul", R2, reg(R3)).mov(R3, reg(R2)).op("sub", R3, reg(R0));
  asm.load(64, R4, R1, SHARED_BAND.depth).jumpIf("sle", R3, reg(R4), full).mov(R3, reg(R4));
  asm.label(full).load(64, R4, R10, VOLUME).jumpIf("slt", R3, reg(R4), exceeded);
  asm.op("sub", R2, reg(R3)).op("add", R2, reg(R4)).mov(R5, reg(R0));
  asm.compareExchange(64, R1, SHARED_BAND.emptied, R2).jumpIf("eq", R0, reg(R5), taken);
  asm.load(64, R2, R10, TRIES).op("add", R2, 1).store(64, R10, TRIES, reg(R2));
  asm.jumpIf("lt", R2, MOST_TRIES, again);
  asm.atomic("add", 64, R1, SHARED_BAND.emptied, R4).jump(taken);
}
