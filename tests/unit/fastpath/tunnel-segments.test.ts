import { describe, expect, test } from "bun:test";
import { adoptPartial, joinSegments } from "../../../src/fastpath/tunnels/join.ts";
import { Segments } from "../../../src/fastpath/tunnels/segments.ts";
import { fold, sumBytes, sumRange } from "../../../src/packet/checksum.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { encodeVnet, plainFrames, transportChecksumOk } from "../../../src/packet/vnet.ts";

const HEADROOM = 512;
const SIZE = 1000;

/** A TCP super-packet of `payload` bytes with a partial checksum, as a virtual card hands it over. */
function superPacket(ipv6: boolean, payload: number): Frame {
  const data = buildFrame({
    dst: "02:00:00:00:00:02",
    src: "02:00:00:00:00:01",
    ...(ipv6
      ? { ipv6: { src: "fd00::1", dst: "fd00::2" } }
      : { ipv4: { src: "10.0.0.1", dst: "10.0.0.2" } }),
    tcp: { src: 1000, dst: 80, flags: 0x18, seq: 0xfffff000 },
    payload: Uint8Array.from({ length: payload }, (_, i) => (i * 7) & 0xff),
  });
  const bytes = new Uint8Array((HEADROOM + data.length + 7) & ~3);
  bytes.set(data, HEADROOM);
  const l4 = ipv6 ? 54 : 34;
  const vnet = encodeVnet({
    flags: 1,
    gsoType: ipv6 ? 4 : 1,
    headerBytes: l4 + 20,
    gsoSize: SIZE,
    csumStart: l4,
    csumOffset: 16,
  });
  bytes.set(vnet, HEADROOM - VNET_BYTES);
  const frame = new Frame();
  frame.set(bytes, HEADROOM, data.length, true, 0);
  extract(frame, 1, 0, 0);
  return frame;
}

function cut(frame: Frame): Uint8Array[] {
  const segments = new Segments();
  expect(segments.begin(frame, new Int32Array(frame.bytes.buffer))).toBe(true);
  return Array.from({ length: segments.count }, (_, i) => {
    const out = new Uint8Array(segments.headBytes + segments.payloadBytes(i)).fill(0xa5);
    segments.writeHead(i, out, 0);
    const from = segments.payloadAt(i);
    out.set(frame.bytes.subarray(from, from + segments.payloadBytes(i)), segments.headBytes);
    return out;
  });
}

for (const ipv6 of [false, true]) {
  describe(`a TCP super-packet over ${ipv6 ? "IPv6" : "IPv4"}`, () => {
    test("is cut as the slow way cuts it", () => {
      for (const payload of [1, SIZE, SIZE + 1, 5 * SIZE, 5 * SIZE + 333]) {
        const frame = superPacket(ipv6, payload);
        const data = frame.bytes.slice(HEADROOM, HEADROOM + frame.length);
        const vnet = frame.bytes.slice(HEADROOM - VNET_BYTES, HEADROOM);
        expect(cut(frame)).toEqual(plainFrames(data, vnet));
      }
    });

    test("is joined again from its tunnelled segments", () => {
      const frame = superPacket(ipv6, 5 * SIZE + 333);
      const whole = frame.bytes.slice(HEADROOM - VNET_BYTES, HEADROOM + frame.length);
      const segments = cut(frame);
      const tunnel = Uint8Array.of(8, 0, 0, 0, 0, 0, 42, 0);
      const stride = tunnel.length + segments[0]!.length;
      const wire = new Uint8Array(HEADROOM + stride * segments.length);
      let end = HEADROOM;
      for (const segment of segments) {
        wire.set(tunnel, end);
        wire.set(segment, end + tunnel.length);
        end += tunnel.length + segment.length;
      }
      const first = new Frame();
      wire.fill(0, HEADROOM + 8 - VNET_BYTES, HEADROOM + 8);
      first.set(wire, HEADROOM + 8, segments[0]!.length, true, 0);
      extract(first, 1, 0, 0);
      const next = HEADROOM + stride;
      expect(joinSegments(first, tunnel, 8, next, stride, end)).toBe(segments.length - 1);
      const joined = wire.slice(first.offset - VNET_BYTES, first.offset + first.length);
      // What the original's checksum field held is a whole one; a partial one is the pseudo header's.
      const l4 = (ipv6 ? 54 : 34) + VNET_BYTES + 16;
      whole.fill(0, l4, l4 + 2);
      joined.fill(0, l4, l4 + 2);
      expect(joined.toHex()).toBe(whole.toHex());
      const plain = plainFrames(
        wire.slice(first.offset, first.offset + first.length),
        wire.slice(first.offset - VNET_BYTES, first.offset),
      );
      expect(plain).toEqual(segments);
    });
  });
}

test("segments that another sender could not have cut from one packet stay apart", () => {
  const changes: readonly (readonly [what: string, at: number])[] = [
    ["the tunnel's key", -2],
    ["source address", 26],
    ["TTL", 22],
    ["a port", 35],
    ["sequence number", 41],
    ["acknowledgement", 45],
    ["window", 48],
    ["SYN", 47],
  ];
  for (const [what, at] of changes) {
    const segments = cut(superPacket(false, 3 * SIZE));
    const stride = 8 + segments[0]!.length;
    const wire = new Uint8Array(HEADROOM + stride * 3);
    segments.forEach((segment, i) => wire.set(segment, HEADROOM + i * stride + 8));
    const inner = HEADROOM + stride + 8;
    wire[inner + at]! ^= 2;
    const first = new Frame();
    first.set(wire, HEADROOM + 8, segments[0]!.length, true, 0);
    extract(first, 1, 0, 0);
    const tunnel = new Uint8Array(8);
    const joined = joinSegments(first, tunnel, 8, HEADROOM + stride, stride, wire.length);
    expect([what, joined]).toEqual([what, 0]);
  }
});

test("a checksum that was left unfinished is recognised, and a whole one is not", () => {
  const frame = superPacket(false, 300);
  const vnet = frame.offset - VNET_BYTES;
  frame.bytes.fill(0, vnet, frame.offset);
  adoptPartial(frame);
  expect(transportChecksumOk(frame)).toBe(true);
  expect(frame.bytes[vnet]).toBe(0);
  // What a card would have finished.
  const length = frame.l3End - frame.l4;
  const pseudo = fold(sumBytes(frame.bytes, frame.offset + 26, frame.offset + 34) + 6 + length);
  frame.bytes[frame.offset + frame.l4 + 16] = pseudo >> 8;
  frame.bytes[frame.offset + frame.l4 + 17] = pseudo;
  adoptPartial(frame);
  expect(frame.bytes[vnet]).toBe(1);
  expect(frame.bytes[vnet + 1]).toBe(0);
});

test("sums of ranges are those of their bytes, wherever they begin and end", () => {
  const bytes = Uint8Array.from({ length: 4096 }, (_, i) => (i * 31 + (i >> 3)) & 0xff);
  const words = new Int32Array(bytes.buffer);
  for (let start = 0; start < 9; start++) {
    for (const length of [0, 1, 2, 31, 32, 33, 34, 35, 63, 64, 1447, 1448, 1449, 4000]) {
      const end = start + length;
      const both = [sumRange(bytes, words, start, end), fold(sumBytes(bytes, start, end))];
      expect(both[0]).toBe(both[1]!);
    }
  }
  const ones = new Uint8Array(65536).fill(0xff);
  expect(sumRange(ones, new Int32Array(ones.buffer), 0, 65536)).toBe(0xffff);
});
