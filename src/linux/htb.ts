/**
 * The kernel's hierarchical token bucket (tc-htb(8)) over rtnetlink: a queueing discipline as the root
 * of a device's traffic control, one class that bounds all, and a class for each queue under it.
 *
 *     root 1:0 (htb, packets of no class go to 1:1) ── class 1:fffe ──┬── class 1:1
 *                                                                     ├── class 1:2 …
 *
 * A packet gets into class 1:N by its priority, which is `classHandle(N)`. Rates are bytes a second.
 *
 * References: rtnetlink(7), linux/pkt_sched.h (struct tc_htb_opt, struct tc_htb_glob).
 */
import { ERRNO, SystemError } from "./libc.ts";
import {
  decodeAttributes,
  encodeAttributes,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./netlink.ts";
import { RouteSocket } from "./rtnetlink.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTCLASS = 40;
const RTM_DELTCLASS = 41;
const RTM_GETTCLASS = 42;
const TC_H_ROOT = 0xffffffff;
const HTB_VERSION = 3;
const RATE_TO_QUANTUM = 10;
const DEFAULT_CLASS = 1;
const ALL_CLASS = 0xfffe;
const MAJOR = 0x1_0000;
/** Ticks in which the kernel counts the time of packets: 64 ns (PSCHED_SHIFT). */
const TICK_NS = 64;
const ETHERNET = 1;
const UINT32_MAX = 0xffffffff;

/** More classes than that cannot be named. */
export const MAX_CLASS = 0xf000;

/** Handle of class N, and the priority of its packets. */
export const classHandle = (number: number): number => MAJOR | number;

const ROOT = { kind: [1, "string"], options: [2, { init: [2, "bytes"] }] } as const;
const CLASS = {
  kind: [1, "string"],
  options: [2, { parameters: [1, "bytes"], rate64: [6, "u64"], ceil64: [7, "u64"] }],
  stats2: [7, { basic: [1, "bytes"], queue: [3, "bytes"] }],
} as const;

export interface HtbClass {
  readonly minBytesPerSec: number;
  readonly maxBytesPerSec: number;
  /** Bytes that may leave at once. */
  readonly burst: number;
  /** 0..7, the lower the earlier. */
  readonly priority: number;
  readonly mtu: number;
}

export interface HtbCounts {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

/** struct tcmsg: family u8 @0 · ifindex i32 @4 · handle u32 @8 · parent u32 @12 · info u32 @16 */
function header(ifindex: number, handle = 0, parent = 0): Uint8Array {
  const bytes = new Uint8Array(20);
  const v = new DataView(bytes.buffer);
  v.setInt32(4, ifindex, true);
  v.setUint32(8, handle, true);
  v.setUint32(12, parent, true);
  return bytes;
}

/**
 * struct tc_htb_opt: rate and ceil (struct tc_ratespec, 12 bytes: cell_log u8 · linklayer u8 ·
 * overhead u16 · cell_align i16 · mpu u16 · rate u32) · buffer u32 @24 · cbuffer u32 @28 ·
 * quantum u32 @32 · level u32 @36 · prio u32 @40
 */
function parameters(
  { minBytesPerSec, maxBytesPerSec, burst, priority, mtu }: HtbClass,
): Uint8Array {
  const bytes = new Uint8Array(44);
  const v = new DataView(bytes.buffer);
  const ticks = (rate: number): number =>
    Math.min(UINT32_MAX, Math.ceil((burst * 1e9) / rate / TICK_NS));
  for (const [at, rate] of [[0, minBytesPerSec], [12, maxBytesPerSec]] as const) {
    v.setUint8(at + 1, ETHERNET);
    v.setUint32(at + 8, Math.min(UINT32_MAX, rate), true);
  }
  v.setUint32(24, ticks(minBytesPerSec), true);
  v.setUint32(28, ticks(maxBytesPerSec), true);
  // At least a frame a turn.
  if (minBytesPerSec / RATE_TO_QUANTUM < mtu) v.setUint32(32, mtu, true);
  v.setUint32(40, priority, true);
  return bytes;
}

/** All methods throw a SystemError with the kernel's words. */
export class HtbControl {
  private readonly route = new RouteSocket();

  /** Puts an empty htb in the place of whatever the device has, with the class that bounds all. */
  install(ifindex: number, all: HtbClass): void {
    this.remove(ifindex);
    const init = new Uint8Array(20);
    const v = new DataView(init.buffer);
    v.setUint32(0, HTB_VERSION, true);
    v.setUint32(4, RATE_TO_QUANTUM, true);
    v.setUint32(8, DEFAULT_CLASS, true);
    this.route.request(
      "tc qdisc add htb",
      RTM_NEWQDISC,
      NLM_F_CREATE | NLM_F_EXCL,
      header(ifindex, MAJOR, TC_H_ROOT),
      encodeAttributes(ROOT, { kind: "htb", options: { init } }),
    );
    this.putClass(ifindex, ALL_CLASS, all, MAJOR);
  }

  /** Changes the class that bounds all. */
  setAll(ifindex: number, all: HtbClass): void {
    this.putClass(ifindex, ALL_CLASS, all, MAJOR);
  }

  /** Makes or changes class `number`. */
  setClass(ifindex: number, number: number, spec: HtbClass): void {
    this.putClass(ifindex, number, spec, classHandle(ALL_CLASS));
  }

  deleteClass(ifindex: number, number: number): void {
    this.route.request("tc class del", RTM_DELTCLASS, 0, header(ifindex, classHandle(number)));
  }

  /** The device's root goes back to what the kernel gives a device; nothing if there is none. */
  remove(ifindex: number): void {
    try {
      this.route.request("tc qdisc del", RTM_DELQDISC, 0, header(ifindex, 0, TC_H_ROOT));
    } catch (error) {
      // There was only the kernel's own, or the device is gone.
      const gone = [ERRNO.ENOENT, ERRNO.EINVAL, ERRNO.ENODEV];
      if (!(error instanceof SystemError) || !gone.includes(error.errno)) throw error;
    }
  }

  /** Is the device's root an htb of ours? */
  isInstalled(ifindex: number): boolean {
    const dump = this.route.request("tc qdisc show", RTM_GETQDISC, NLM_F_DUMP, header(ifindex));
    return dump.some(({ payload }) => {
      const v = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      return v.getInt32(4, true) === ifindex && v.getUint32(12, true) === TC_H_ROOT &&
        decodeAttributes(ROOT, payload.subarray(20)).kind === "htb";
    });
  }

  /** What has left by each class of a queue. */
  counts(ifindex: number): ReadonlyMap<number, HtbCounts> {
    const found = new Map<number, HtbCounts>();
    const dump = this.route.request("tc class show", RTM_GETTCLASS, NLM_F_DUMP, header(ifindex));
    for (const { payload } of dump) {
      const v = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      if (v.getInt32(4, true) !== ifindex) continue;
      const number = v.getUint32(8, true) - MAJOR;
      if (number <= 0 || number >= ALL_CLASS) continue;
      const { stats2 } = decodeAttributes(CLASS, payload.subarray(20));
      found.set(number, countsOf(stats2?.basic, stats2?.queue));
    }
    return found;
  }

  close(): void {
    this.route.close();
  }

  private putClass(ifindex: number, number: number, spec: HtbClass, parent: number): void {
    const { minBytesPerSec, maxBytesPerSec } = spec;
    const wide = (rate: number) => rate > UINT32_MAX ? BigInt(rate) : undefined;
    const [rate64, ceil64] = [wide(minBytesPerSec), wide(maxBytesPerSec)];
    const options = {
      parameters: parameters(spec),
      ...(rate64 !== undefined && { rate64 }),
      ...(ceil64 !== undefined && { ceil64 }),
    };
    this.route.request(
      "tc class replace htb",
      RTM_NEWTCLASS,
      NLM_F_CREATE,
      header(ifindex, classHandle(number), parent),
      encodeAttributes(CLASS, { kind: "htb", options }),
    );
  }
}

/** struct gnet_stats_basic: bytes u64 · packets u32; struct gnet_stats_queue: qlen · backlog · drops u32. */
function countsOf(basic: Uint8Array | undefined, queue: Uint8Array | undefined): HtbCounts {
  const b = basic && new DataView(basic.buffer, basic.byteOffset, basic.byteLength);
  const q = queue && new DataView(queue.buffer, queue.byteOffset, queue.byteLength);
  return {
    bytes: b ? Number(b.getBigUint64(0, true)) : 0,
    packets: b ? b.getUint32(8, true) : 0,
    drops: q ? q.getUint32(8, true) : 0,
  };
}
