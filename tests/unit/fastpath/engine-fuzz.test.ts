/**
 * Malformed packets under every action: nothing throws, nothing outside of the frame is looked at or
 * changed. Each packet runs twice, amid different bytes: what comes out must be the same.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { Tracker } from "../../../src/fastpath/conntrack/tracker.ts";
import { COUNTERS } from "../../../src/fastpath/engine/counters.ts";
import { encodeProgram } from "../../../src/fastpath/engine/encode.ts";
import { Executor, type Scratch } from "../../../src/fastpath/engine/executor.ts";
import { MAX_METERS, METER_STATS, MeterTable } from "../../../src/fastpath/engine/meters.ts";
import { programAt } from "../../../src/fastpath/engine/opcodes.ts";
import { extract } from "../../../src/packet/extract.ts";
import { VNET_BYTES } from "../../../src/packet/frame.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { slot } from "../../../src/packet/layout.ts";
import { FRAME_SLOTS } from "../../../src/packet/rewrite.ts";
import { plainStart } from "../../../src/packet/vnet.ts";

const V4 = { src: "10.0.0.1", dst: "10.0.0.2" };
const V6 = { src: "fd00::1", dst: "fd00::2" };
const INNER = buildFrame({ ipv4: { src: V4.dst, dst: V4.src }, udp: { src: 1, dst: 2 } });
const SPECS: readonly FrameSpec[] = [
  { ipv4: V4, udp: { src: 5, dst: 6 }, payload: 20 },
  { ipv4: { ...V4, options: new Uint8Array(8) }, tcp: { src: 5, dst: 21, flags: 2 }, payload: 9 },
  {
    ipv4: V4,
    tcp: { src: 5, dst: 21 },
    payload: new TextEncoder().encode("PORT 10,0,0,1,1,2\r\n"),
  },
  { ipv4: V4, icmp: { type: 8 }, payload: 8 },
  { ipv4: V4, icmp: { type: 3 }, payload: INNER.subarray(14) },
  { ipv4: V4, sctp: { src: 5, dst: 6 }, payload: 12 },
  { ipv4: { ...V4, protocol: 2 }, payload: 8 },
  { ipv4: { ...V4, fragment: 0x2000, protocol: 17 }, payload: 1400 },
  { ipv4: { ...V4, fragment: 175, protocol: 17 }, payload: 60 },
  { ipv6: V6, tcp: { src: 5, dst: 6, flags: 2 }, payload: 5 },
  { ipv6: V6, icmpv6: { type: 135 }, payload: new Uint8Array(24) },
  { ipv6: V6, icmpv6: { type: 1 }, payload: 60 },
  {
    ipv6: {
      ...V6,
      extensions: [
        { type: 0, bytes: new Uint8Array(8) },
        { type: 43, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0) },
        { type: 44, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9) },
      ],
    },
    udp: { src: 5, dst: 6 },
    payload: 1400,
  },
  { arp: { op: 1, sha: "02:00:00:00:00:01", spa: "10.0.0.1", tpa: "10.0.0.2" } },
  { mpls: [{ label: 1 }, { label: 2 }], ipv4: V4, udp: { src: 5, dst: 6 } },
  { type: 0x894f, payload: 40 },
  { type: 0x88e7, payload: 40 },
  { vlans: [{ tci: 5 }, { tci: 6 }], ipv4: V4, udp: { src: 5, dst: 6 } },
];

/** A frame with some bytes changed and some cut off. */
const packet = fc.record({
  spec: fc.constantFrom(...SPECS),
  changes: fc.oneof(
    fc.constant([]),
    fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
  ),
  cut: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { arbitrary: fc.nat(80), weight: 1 }),
  /** Bytes of payload that are left, lengths and checksums being right. */
  left: fc.oneof(fc.constant(2000), fc.nat(70)),
  vnet: fc.oneof(
    fc.constant(new Uint8Array(VNET_BYTES)),
    fc.uint8Array({ minLength: VNET_BYTES, maxLength: VNET_BYTES }),
  ),
});

const set = fc.constantFrom(...FRAME_SLOTS).chain((name) =>
  fc.record({
    type: fc.constant("set" as const),
    slot: fc.constant(name),
    value: fc.uint8Array({ minLength: slot(name).bytes, maxLength: slot(name).bytes }),
    mask: fc.uint8Array({ minLength: slot(name).bytes, maxLength: slot(name).bytes }),
  })
);
const ADDRESS = Uint8Array.of(2, 0, 0, 0, 0, 9);
const NSH = Uint8Array.from([0x0f, 0xc6, 1, 0, 0, 0, 1, 255, ...new Uint8Array(16)]);
const plain: readonly DpAction[] = [
  { type: "output", port: 1 },
  { type: "userspace", userdata: 1 },
  { type: "trunc", maxLength: 20 },
  { type: "push_vlan", tpid: 0x8100, tci: 5 },
  { type: "pop_vlan" },
  { type: "push_mpls", ethType: 0x8847, lse: 0x1140 },
  { type: "pop_mpls", ethType: 0x800 },
  { type: "pop_mpls", ethType: 0x86dd },
  { type: "add_mpls", ethType: 0x8847, lse: 0x1140, l2: true },
  { type: "push_eth", dst: ADDRESS, src: ADDRESS },
  { type: "pop_eth" },
  { type: "push_nsh", header: NSH },
  { type: "pop_nsh" },
  { type: "push_pbb", ethType: 0x88e7, tci: 7 },
  { type: "pop_pbb" },
  { type: "copy_ttl_in" },
  { type: "copy_ttl_out" },
  { type: "hash", algorithm: "l4", basis: 1 },
  { type: "hash", algorithm: "sym_l4", basis: 1 },
  { type: "recirc", id: 3 },
  { type: "meter", id: 1 },
  { type: "ct", zone: 1, commit: true, helper: "ftp" },
  {
    type: "ct",
    zone: 1,
    commit: true,
    helper: "ftp",
    nat: { direction: "src", addresses: { min: Uint8Array.of(192, 0, 2, 1) } },
  },
  { type: "ct", zone: 1, nat: {} },
  { type: "ct_clear" },
  { type: "drop", reason: "congestion" },
];
const list = fc.array(fc.oneof(fc.constantFrom(...plain), set), { minLength: 1, maxLength: 5 });
const actions = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...plain) },
    { weight: 3, arbitrary: set },
    fc.record({ type: fc.constant("clone" as const), actions: list }),
    fc.record({
      type: fc.constant("check_pkt_len" as const),
      length: fc.nat(200),
      greater: list,
      lessEqual: list,
    }),
  ),
  { minLength: 1, maxLength: 6 },
);

class Heap implements Scratch {
  readonly bytes = new Uint8Array(1 << 18);
  private mark = 0;
  take(length: number): number {
    const at = this.mark;
    if (at + length > this.bytes.length) return -1;
    this.mark += length;
    return at;
  }
}

/** Notes what goes out; packets that go round again are sent out as well. */
class Noting extends Executor {
  readonly seen: string[] = [];
  constructor() {
    const meters = new MeterTable(new Float64Array(MAX_METERS * METER_STATS));
    meters.set(1, { unit: "kbps", bands: [{ type: "dscp_remark", rate: 1, burst: 1 }] });
    super(new Heap(), new Float64Array(COUNTERS.length), meters, new Tracker());
  }
  private note(what: string, limit: number): void {
    const { frame } = this;
    // Outputs must lie within memory that is theirs, header included.
    expect(frame.offset - VNET_BYTES).toBeGreaterThanOrEqual(frame.floor);
    expect(frame.offset + frame.length).toBeLessThanOrEqual(frame.bytes.length);
    this.seen.push(`${what} ${plainStart(frame, Math.min(limit, frame.length)).toHex()}`);
  }
  protected transmit(portNo: number, limit: number): void {
    this.note(`${portNo}`, limit);
  }
  protected userspace(_userdata: number, limit: number): void {
    this.note(`up ${this.frame.key.bytes.toHex()}`, limit);
  }
  protected classify(): void {
    this.note("round", 0x7fffffff);
  }
  protected finishSends(): void {}

  run2(data: Uint8Array, vnet: Uint8Array, filler: number, program: Int32Array): Uint8Array {
    const at = 100;
    const memory = new Uint8Array(at + data.length + 100).fill(filler);
    memory.set(vnet, at - VNET_BYTES);
    memory.set(data, at);
    this.nowMs = 1000;
    this.stale = false;
    this.frame.set(memory, at, data.length, true, at - VNET_BYTES);
    extract(this.frame, 0, 0, 0);
    if (this.frame.result !== 1) this.execute(programAt(program));
    return memory;
  }
}

test("no packet and no action list reads or writes beyond the frame, or throws", () => {
  fc.assert(
    fc.property(fc.array(packet, { minLength: 1, maxLength: 3 }), actions, (packets, wanted) => {
      const program = encodeProgram([...wanted, { type: "userspace", userdata: 9 }] as DpAction[]);
      const outcomes = [0xa5, 0x5a].map((filler) => {
        const executor = new Noting();
        for (const { spec, changes, cut, left, vnet } of packets) {
          const payload = typeof spec.payload === "number"
            ? Math.min(spec.payload, left)
            : (spec.payload ?? new Uint8Array(0)).subarray(0, left);
          const whole = buildFrame({ ...spec, payload });
          for (const [at, value] of changes) if (at < whole.length) whole[at] = value;
          const data = whole.subarray(0, Math.max(0, whole.length - cut));
          const memory = executor.run2(data, vnet, filler, program);
          expect(memory.subarray(0, 100 - VNET_BYTES).every((byte) => byte === filler)).toBe(true);
          expect(memory.subarray(100 + data.length).every((byte) => byte === filler)).toBe(true);
        }
        return executor.seen;
      });
      expect(outcomes[0]).toEqual(outcomes[1]!);
    }),
    { numRuns: Number(process.env["SOLOVS_FUZZ_RUNS"] ?? 600) },
  );
}, 60_000);
