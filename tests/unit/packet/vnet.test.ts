import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fold, pseudoSum, sumBytes } from "../../../src/packet/checksum.ts";
import { buildFrame, type FrameSpec, pattern } from "../../../src/packet/headers.ts";
import {
  decodeVnet,
  encodeVnet,
  finishChecksum,
  plainFrames,
  SegmentError,
  transportChecksumOk,
  type VnetHeader,
} from "../../../src/packet/vnet.ts";
import { parsed, V4, V6 } from "./frames.ts";

const NOTHING: VnetHeader = {
  flags: 0,
  gsoType: 0,
  headerBytes: 0,
  gsoSize: 0,
  csumStart: 0,
  csumOffset: 0,
};
const header = (fields: Partial<VnetHeader>) => encodeVnet({ ...NOTHING, ...fields });

/** A super-packet as a sender makes it: whole lengths, the pseudo header's sum as checksum. */
function superPacket(spec: FrameSpec, gsoType: number, gsoSize: number) {
  const data = buildFrame(spec);
  const { l3, l4, l4Type, l3End } = parsed(data);
  const csumOffset = l4Type === 6 ? 16 : 6;
  const width = spec.ipv4 ? 4 : 16;
  const sum = fold(pseudoSum(data, l3 + (width === 4 ? 12 : 8), width, l4Type, l3End - l4));
  data[l4 + csumOffset] = sum >>> 8;
  data[l4 + csumOffset + 1] = sum;
  const headerBytes = l4 + (l4Type === 6 ? (data[l4 + 12]! >> 4) << 2 : 8);
  const vnet = header({ flags: 1, gsoType, gsoSize, headerBytes, csumStart: l4, csumOffset });
  return { data, vnet, headerBytes };
}

const u16 = (data: Uint8Array, at: number) => (data[at]! << 8) | data[at + 1]!;
const u32 = (data: Uint8Array, at: number) => u16(data, at) * 65536 + u16(data, at + 2);

function ipv4HeaderOk(data: Uint8Array): boolean {
  return fold(sumBytes(data, 14, 14 + ((data[14]! & 15) << 2))) === 0xffff;
}

describe("virtio-net header", () => {
  test("decodes what it encodes", () => {
    const fields = {
      flags: 1,
      gsoType: 0x81,
      headerBytes: 0x1234,
      gsoSize: 0x2345,
      csumStart: 0x3456,
      csumOffset: 0x4567,
    };
    const bytes = encodeVnet(fields);
    expect(bytes.toHex()).toBe("01813412452356346745");
    expect(decodeVnet(bytes)).toEqual(fields);
  });

  test("a frame without offloads is itself", () => {
    const data = buildFrame({ ipv4: V4, udp: { src: 1, dst: 2 } });
    expect(plainFrames(data)).toEqual([data]);
    expect(plainFrames(data, header({}))).toEqual([data]);
    expect(plainFrames(data, header({ flags: 2 }))).toEqual([data]);
  });

  test("a partial checksum is finished in a copy", () => {
    const whole = buildFrame({ ipv6: V6, tcp: { src: 1, dst: 2 }, payload: 77 });
    const { data, vnet } = superPacket({ ipv6: V6, tcp: { src: 1, dst: 2 }, payload: 77 }, 0, 0);
    const before = data.slice();
    expect(plainFrames(data, vnet)).toEqual([whole]);
    expect(data).toEqual(before);
  });

  test("a checksum outside the frame is refused", () => {
    const data = buildFrame({ ipv4: V4, udp: { src: 1, dst: 2 } });
    for (const [csumStart, csumOffset] of [[42, 0], [41, 0], [34, 7], [65535, 65535]] as const) {
      const fields = { ...NOTHING, flags: 1, csumStart, csumOffset };
      expect(() => finishChecksum(data, fields)).toThrow(RangeError);
    }
    expect(() => plainFrames(data, new Uint8Array(9))).toThrow(RangeError);
  });
});

describe("segmentation", () => {
  test("TCP over IPv4: sequence numbers, ids, flags, sums, payload", () => {
    const options = new Uint8Array(12).fill(1);
    // CWR, PSH, FIN and ACK.
    const tcp = { src: 1, dst: 2, seq: 0xfffffff0, flags: 0x99, options };
    const spec = { ipv4: { ...V4, id: 0xffff }, tcp, payload: 3001 };
    const { data, vnet, headerBytes } = superPacket(spec, 0x81, 1000);
    const frames = plainFrames(data, vnet);
    expect(frames.map((frame) => frame.length - headerBytes)).toEqual([1000, 1000, 1000, 1]);
    expect(frames.map((frame) => u16(frame, 18))).toEqual([0xffff, 0, 1, 2]);
    expect(frames.map((frame) => u32(frame, 38))).toEqual([0xfffffff0, 984, 1984, 2984]);
    expect(frames.map((frame) => frame[47])).toEqual([0x90, 0x10, 0x10, 0x19]);
    const payload = frames.flatMap((frame) => [...frame.subarray(headerBytes)]);
    expect(payload).toEqual([...pattern(3001)]);
    for (const frame of frames) {
      expect(u16(frame, 16)).toBe(frame.length - 14);
      expect(ipv4HeaderOk(frame)).toBe(true);
      expect(transportChecksumOk(parsed(frame))).toBe(true);
    }
  });

  test("TCP and UDP over IPv6, tagged", () => {
    const vlans = [{ tci: 5 }];
    const tcp = superPacket({ vlans, ipv6: V6, tcp: { src: 1, dst: 2 }, payload: 2500 }, 4, 1200);
    const udp = superPacket({ vlans, ipv6: V6, udp: { src: 1, dst: 2 }, payload: 2500 }, 5, 1200);
    for (const { data, vnet } of [tcp, udp]) {
      const frames = plainFrames(data, vnet);
      expect(frames).toHaveLength(3);
      for (const frame of frames) {
        const piece = parsed(frame);
        expect(piece.result).toBe(0);
        expect(u16(frame, 18 + 4)).toBe(frame.length - 18 - 40);
        expect(transportChecksumOk(piece)).toBe(true);
      }
    }
    for (const frame of plainFrames(udp.data, udp.vnet)) {
      expect(u16(frame, 18 + 40 + 4)).toBe(frame.length - 58);
    }
  });

  test("UDP fragmentation: one datagram in IPv4 fragments", () => {
    const whole = buildFrame({ ipv4: V4, udp: { src: 1, dst: 2 }, payload: 3000 });
    const spec = { ipv4: V4, udp: { src: 1, dst: 2 }, payload: 3000 };
    const { data, vnet } = superPacket(spec, 3, 1480);
    const frames = plainFrames(data, vnet);
    expect(frames.map((frame) => u16(frame, 20))).toEqual([0x2000, 0x2000 | 185, 370]);
    expect(frames.every(ipv4HeaderOk)).toBe(true);
    const datagram = frames.flatMap((frame) => [...frame.subarray(34)]);
    expect(datagram).toEqual([...whole.subarray(34)]);
  });

  test("what does not fit is refused", () => {
    const tcp = buildFrame({ ipv4: V4, tcp: { src: 1, dst: 2 }, payload: 100 });
    const udp6 = buildFrame({ ipv6: V6, udp: { src: 1, dst: 2 }, payload: 100 });
    const refused: readonly [Uint8Array, Partial<VnetHeader>][] = [
      [tcp, { gsoType: 5, gsoSize: 10 }],
      [tcp, { gsoType: 9, gsoSize: 10 }],
      [tcp, { gsoType: 1, gsoSize: 0 }],
      [tcp.subarray(0, 40), { gsoType: 1, gsoSize: 10 }],
      [udp6, { gsoType: 3, gsoSize: 80 }],
      [udp6, { gsoType: 5, gsoSize: 0 }],
    ];
    for (const [data, fields] of refused) {
      expect(() => plainFrames(data, header(fields))).toThrow(SegmentError);
    }
  });

  test("any header on any frame ends in frames or in a typed error", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 10, maxLength: 10 }),
        fc.nat(200),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
        fc.constantFrom(0, 1, 3, 4, 5),
        fc.boolean(),
        (vnet, length, changes, kind, v6) => {
          const ip = v6 ? { ipv6: V6 } : { ipv4: V4 };
          const transport = kind === 3 || kind === 5
            ? { udp: { src: 1, dst: 2 } }
            : { tcp: { src: 1, dst: 2 } };
          const data = buildFrame({ ...ip, ...transport, payload: 100 }).slice(0, length);
          for (const [at, value] of changes) if (at < data.length) data[at] = value;
          vnet[1] = kind;
          try {
            const frames = plainFrames(data, vnet);
            expect(frames.length).toBeGreaterThan(0);
            for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(data.length);
          } catch (error) {
            expect(error instanceof SegmentError || error instanceof RangeError).toBe(true);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
