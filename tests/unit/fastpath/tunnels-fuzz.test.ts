/**
 * Malformed outer headers of every kind of tunnel: nothing throws, nothing outside of the packet is
 * looked at or changed, and whatever is dropped has a name that is counted. Each packet is taken apart
 * twice, amid different bytes: what comes out must be the same.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type DpTunnel, TUNNEL_KINDS, type TunnelKind } from "../../../src/fastpath/actions.ts";
import { COUNTERS } from "../../../src/fastpath/engine/counters.ts";
import {
  buildHeader,
  ETH_IPV4,
  ETH_TEB,
  tunnelHeader,
} from "../../../src/fastpath/tunnels/header.ts";
import {
  clearTunnel,
  POP_RESULTS,
  popPayload,
  popTunnel,
} from "../../../src/fastpath/tunnels/pop.ts";
import { pushTunnel } from "../../../src/fastpath/tunnels/push.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { DP_KEY_BYTES, TUN_F_KEY } from "../../../src/packet/layout.ts";
import "../../support/property-seed.ts";

const AROUND = 512;
const INNER = buildFrame({
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  tcp: { src: 1000, dst: 80 },
  payload: 40,
});
const V4 = { src: Uint8Array.of(192, 0, 2, 1), dst: Uint8Array.of(192, 0, 2, 2) };
const V6 = {
  src: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
  dst: Uint8Array.from({ length: 16 }, (_, i) => i + 32),
};

function tunnelFor(kind: TunnelKind, ipv6: boolean): { tunnel: DpTunnel; inner: number } {
  const tunnel: DpTunnel = {
    ...(ipv6 ? V6 : V4),
    id: 5n,
    flags: TUN_F_KEY,
    ttl: 64,
    tpDst: 4789,
    ...(kind === "erspan"
      ? { erspan: { version: ipv6 ? 2 : 1, index: 1, direction: 0, hardwareId: 3 } }
      : {}),
    ...(kind === "geneve" ? { options: Uint8Array.of(1, 2, 3, 1, 9, 9, 9, 9) } : {}),
  };
  return { tunnel, inner: kind === "gtpu" || kind === "lisp" ? ETH_IPV4 : ETH_TEB };
}

function whole(kind: TunnelKind, ipv6: boolean): Uint8Array {
  const { tunnel, inner } = tunnelFor(kind, ipv6);
  const format = { kind, inner, sequence: kind === "gre", gpe: false, gbp: false };
  const macs = { ethDst: new Uint8Array(6), ethSrc: new Uint8Array(6), src: tunnel.src! };
  const header = buildHeader(format, tunnel, macs);
  const data = inner === ETH_TEB ? INNER : INNER.slice(14);
  const bytes = new Uint8Array(AROUND + data.length);
  bytes.set(data, AROUND);
  const frame = new Frame();
  frame.set(bytes, AROUND, data.length, false, 0);
  if (inner !== ETH_TEB) frame.packetType = 0x10000 | inner;
  extract(frame, 1, 0, 0);
  pushTunnel(frame, header, 0, header.length, 0, kind === "gtpu", { next: 0 });
  return bytes.slice(frame.offset, frame.offset + frame.length);
}

/** The packet amid bytes of one value, and what was made of it. */
function takeApart(data: Uint8Array, around: number, pop: (frame: Frame) => string): string {
  const bytes = new Uint8Array(2 * AROUND + data.length).fill(around);
  bytes.set(data, AROUND);
  bytes.fill(0, AROUND - VNET_BYTES, AROUND);
  const frame = new Frame();
  frame.set(bytes, AROUND, data.length, true, 0);
  const result = pop(frame);
  expect(bytes.subarray(0, AROUND - VNET_BYTES).every((byte) => byte === around)).toBe(true);
  expect(bytes.subarray(AROUND + data.length).every((byte) => byte === around)).toBe(true);
  expect(frame.offset).toBeGreaterThanOrEqual(AROUND);
  expect(frame.offset + frame.length).toBeLessThanOrEqual(AROUND + data.length);
  expect(POP_RESULTS).toContain(result as (typeof POP_RESULTS)[number]);
  if (result !== "ok") {
    expect(COUNTERS).toContain(`drop_${result}`);
    return result;
  }
  const left = frame.bytes.subarray(frame.offset, frame.offset + frame.length);
  return `${frame.key.bytes.subarray(0, DP_KEY_BYTES).toHex()} ${left.toHex()}`;
}

const changes = fc.record({
  kind: fc.constantFrom(...TUNNEL_KINDS),
  ipv6: fc.boolean(),
  set: fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 5 }),
  left: fc.oneof(fc.constant(2000), fc.nat(130)),
});

function damaged(data: Uint8Array, set: readonly (readonly [number, number])[], left: number) {
  const out = data.slice(0, left);
  for (const [at, value] of set) if (at < out.length) out[at] = value;
  return out;
}

test("packets as they come from a device", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(changes, ({ kind, ipv6, set, left }) => {
      const data = damaged(whole(kind, ipv6), set, left);
      const pop = (frame: Frame): string => {
        extract(frame, 1, 0, 0);
        return popTunnel(frame, kind);
      };
      const result = takeApart(data, 0, pop);
      expect(takeApart(data, 0xff, pop)).toBe(result);
      seen.add(result.includes(" ") ? "ok" : result);
    }),
    { numRuns: 1500 },
  );
  // The test would prove little if it never came further than the first check.
  expect(seen).toContain("ok");
  expect(seen.size).toBeGreaterThan(3);
});

test("datagrams as they come from a socket", () => {
  fc.assert(
    fc.property(changes, ({ kind, ipv6, set, left }) => {
      const { tunnel, inner } = tunnelFor(kind, ipv6);
      const format = { kind, inner, sequence: false, gpe: kind === "vxlan" && ipv6, gbp: false };
      const header = tunnelHeader(format, tunnel);
      const payload = inner === ETH_TEB ? INNER : INNER.slice(14);
      const data = damaged(Uint8Array.of(...header, ...payload), set, left);
      const pop = (frame: Frame): string => {
        clearTunnel(frame);
        frame.l3End = data.length;
        return popPayload(frame, kind, AROUND, AROUND + data.length);
      };
      const result = takeApart(data, 0, pop);
      expect(takeApart(data, 0xff, pop)).toBe(result);
    }),
    { numRuns: 1500 },
  );
});
