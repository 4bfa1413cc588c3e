import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checksum, crc32c, fold, pseudoSum, sumBytes } from "../../../src/packet/checksum.ts";
import { extract } from "../../../src/packet/extract.ts";
import { type Frame, VNET_BYTES, VNET_F_NEEDS_CSUM } from "../../../src/packet/frame.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { slot, type SlotName } from "../../../src/packet/layout.ts";
import { FRAME_SLOTS, popVlan, pushVlan, setSlot } from "../../../src/packet/rewrite.ts";
import {
  decodeVnet,
  finishChecksum,
  plainFrames,
  transportChecksumOk,
} from "../../../src/packet/vnet.ts";
import { dataOf, parsed, placed, V4, V6 } from "./frames.ts";

const NS = Uint8Array.from([...new Uint8Array(16).fill(0xfe), 1, 1, 2, 0, 0, 0, 0, 7]);

const SPECS: Readonly<Record<string, FrameSpec>> = {
  udp: { ipv4: { ...V4, tos: 4 }, udp: { src: 1000, dst: 53 }, payload: 33 },
  tcp: { ipv4: { ...V4, options: new Uint8Array(4) }, tcp: { src: 1, dst: 2 }, payload: 40 },
  tcpTagged: { vlans: [{ tci: 5 }], ipv4: V4, tcp: { src: 1, dst: 2 }, minLength: 80 },
  icmp: { ipv4: V4, icmp: { type: 8 }, payload: 21 },
  sctp: { ipv4: V4, sctp: { src: 5, dst: 6 }, payload: 20 },
  udp6: { ipv6: { ...V6, trafficClass: 0x12 }, udp: { src: 9, dst: 10 }, payload: 7 },
  tcp6: { ipv6: { ...V6, label: 0x12345 }, tcp: { src: 9, dst: 10 }, payload: 7 },
  nd: { ipv6: V6, icmpv6: { type: 135 }, payload: NS },
  arp: { arp: { op: 1, sha: "2:0:0:0:0:1", spa: "10.0.0.1", tpa: "10.0.0.9" } },
  mpls: { mpls: [{ label: 7 }], ipv4: V4 },
  first: { ipv4: { ...V4, fragment: 0x2000 }, udp: { src: 1, dst: 2 }, payload: 16 },
  later: { ipv4: { ...V4, fragment: 0x0002 }, payload: 16 },
};

/** Slots that change how the rest of the frame is read; their effect is tested by name below. */
const UNSTABLE = new Set<SlotName>([
  "vlan_tpid",
  "nd_options_type",
  "mpls_lse0",
  "eth_type",
  "nw_proto",
]);

/** IP header and transport checksums are right, computed in full. */
function sealed(frame: Frame): boolean {
  const { bytes, offset, l3, l3Type, l4, l4Type } = frame;
  if (l3Type === 0x0800) {
    const header = (bytes[offset + l3]! & 15) << 2;
    if (fold(sumBytes(bytes, offset + l3, offset + l3 + header)) !== 0xffff) return false;
    // A fragment's checksum covers bytes that are elsewhere.
    if (((bytes[offset + l3 + 6]! << 8) | bytes[offset + l3 + 7]!) & 0x3fff) return true;
  }
  if (l4Type === 132) {
    const at = offset + l4;
    const crc = crc32c(bytes, at, offset + frame.l3End, at + 8);
    return [0, 1, 2, 3].every((i) => bytes[at + 8 + i] === ((crc >>> (8 * i)) & 0xff));
  }
  return transportChecksumOk(frame);
}

/** Makes the transport checksum partial, as a sender with checksum offload leaves it. */
function partial(data: Uint8Array, gsoType = 0, gsoSize = 0): Frame {
  const plain = parsed(data);
  const { l3, l4, l4Type } = plain;
  const csumOffset = l4Type === 6 ? 16 : l4Type === 17 ? 6 : 2;
  const copy = data.slice();
  const width = plain.l3Type === 0x0800 ? 4 : 16;
  const sum = fold(
    pseudoSum(copy, l3 + (width === 4 ? 12 : 8), width, l4Type, plain.l3End - l4),
  );
  copy[l4 + csumOffset] = sum >>> 8;
  copy[l4 + csumOffset + 1] = sum;
  const headerBytes = gsoType === 0 ? 0 : l4 + (l4Type === 6 ? 20 : 8);
  return parsed(copy, {
    vnet: {
      flags: VNET_F_NEEDS_CSUM,
      csumStart: l4,
      csumOffset,
      gsoType,
      gsoSize,
      headerBytes,
    },
  });
}

function vnetOf(frame: Frame): Uint8Array {
  return frame.bytes.slice(frame.offset - VNET_BYTES, frame.offset);
}

const set = (frame: Frame, name: SlotName, value: Uint8Array, mask: Uint8Array): boolean => {
  const args = new Uint8Array(3 + value.length + mask.length);
  args.set(value, 3);
  args.set(mask, 3 + value.length);
  return setSlot(frame, slot(name).offset, args, 3, 3 + value.length);
};

const change = fc.record({
  which: fc.constantFrom(...Object.keys(SPECS)),
  name: fc.constantFrom(...FRAME_SLOTS),
  value: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  mask: fc.oneof(
    fc.constant(new Uint8Array(16).fill(0xff)),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ),
});

/** What the key must be after the set; undefined if the frame has no such slot. */
function expectedKey(frame: Frame, name: SlotName, value: Uint8Array, mask: Uint8Array) {
  const { offset } = slot(name);
  const key = frame.key.clone();
  for (const [i, byte] of mask.entries()) {
    let m = byte;
    if (name === "vlan_tci" && i === 0) m &= 0xef;
    if (name === "ipv6_label") m &= [0, 0x0f, 0xff, 0xff][i]!;
    // Type and code are a byte in a two-byte slot.
    if ((name === "tp_src" || name === "tp_dst") && [1, 58].includes(frame.l4Type) && i === 0) {
      m = 0;
    }
    key.bytes[offset + i] = (key.bytes[offset + i]! & ~m) | (value[i]! & m);
  }
  return key;
}

describe("setSlot", () => {
  test("changes exactly the slot's masked bits and keeps every checksum right", () => {
    let applied = 0;
    fc.assert(
      fc.property(change, ({ which, name, value, mask }) => {
        const width = slot(name).bytes;
        const [v, m] = [value.subarray(0, width), mask.subarray(0, width)];
        const frame = parsed(buildFrame(SPECS[which]!));
        const before = frame.bytes.slice();
        // An ICMPv6 type or a TCP-less TOS byte decides what else is parsed: compare by name only.
        const want = expectedKey(frame, name, v, m);
        expect(sealed(frame)).toBe(true);
        if (!set(frame, name, v, m)) {
          expect(frame.bytes).toEqual(before);
          return;
        }
        applied++;
        const edge = frame.offset + frame.length;
        expect(frame.bytes.subarray(0, frame.offset)).toEqual(before.subarray(0, frame.offset));
        expect(frame.bytes.subarray(edge)).toEqual(before.subarray(edge));
        if (UNSTABLE.has(name) || (which === "nd" && name.startsWith("tp_"))) return;
        const zeroLink = which === "nd" && name === "arp_sha";
        extract(frame, 0, 0, 0);
        if (!zeroLink) expect(frame.key.bytes).toEqual(want.bytes);
        expect(sealed(frame)).toBe(true);
      }),
      { numRuns: 3000 },
    );
    expect(applied).toBeGreaterThan(500);
  });

  test("partial checksums: finished later, the frame is right", () => {
    fc.assert(
      fc.property(
        change,
        fc.constantFrom("udp", "tcp", "tcpTagged", "udp6", "tcp6"),
        ({ name, value, mask }, which) => {
          const width = slot(name).bytes;
          const [v, m] = [value.subarray(0, width), mask.subarray(0, width)];
          const data = buildFrame(SPECS[which]!);
          // Ethernet padding is zero here, so the kernel's sum over it changes nothing.
          const frame = partial(data);
          if (!set(frame, name, v, m) || UNSTABLE.has(name)) return;
          const done = dataOf(frame);
          expect(finishChecksum(done, decodeVnet(vnetOf(frame)))).toBe(true);
          expect(sealed(parsed(done))).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("segmentation: every segment of a rewritten super-packet is right", () => {
    for (const [which, gsoType] of [["tcp", 1], ["tcp6", 4], ["udp", 5], ["udp6", 5]] as const) {
      const frame = partial(buildFrame({ ...SPECS[which]!, payload: 5000 }), gsoType, 1400);
      const width = gsoType === 4 || which === "udp6" ? 16 : 4;
      const source: SlotName = width === 16 ? "ipv6_src" : "nw_src";
      expect(set(frame, source, new Uint8Array(width).fill(0x42), new Uint8Array(width).fill(255)))
        .toBe(true);
      expect(set(frame, "tp_dst", Uint8Array.of(0x12, 0x34), Uint8Array.of(255, 255))).toBe(true);
      expect(pushVlan(frame, 0x8100, 9)).toBe(true);
      const frames = plainFrames(dataOf(frame), vnetOf(frame));
      expect(frames.length).toBe(4);
      for (const data of frames) {
        const piece = parsed(data);
        expect(piece.result).toBe(0);
        expect(sealed(piece)).toBe(true);
        expect(data.length).toBeLessThanOrEqual(1400 + 14 + 4 + 40 + 24);
      }
    }
  });

  test("UDP without a checksum stays without", () => {
    const frame = parsed(buildFrame(SPECS["udp"]!));
    frame.bytes.fill(0, frame.offset + frame.l4 + 6, frame.offset + frame.l4 + 8);
    set(frame, "nw_src", Uint8Array.of(1, 2, 3, 4), new Uint8Array(4).fill(255));
    expect(dataOf(frame).subarray(frame.l4 + 6, frame.l4 + 8)).toEqual(Uint8Array.of(0, 0));
  });

  test("a UDP checksum never becomes zero", () => {
    const data = buildFrame(SPECS["udp"]!);
    const full = new Uint8Array(2).fill(255);
    let zeros = 0;
    for (let port = 0; port < 0x10000; port += 1) {
      const frame = parsed(data);
      set(frame, "tp_src", Uint8Array.of(port >>> 8, port & 255), full);
      const at = frame.offset + frame.l4 + 6;
      const sum = (frame.bytes[at]! << 8) | frame.bytes[at + 1]!;
      if (sum === 0) zeros++;
      if (sum === 0xffff) {
        expect(transportChecksumOk(frame)).toBe(true);
        return;
      }
    }
    expect(zeros).toBe(0);
    throw new Error("no port gave 0xffff: the test does not test");
  });

  test("a first fragment's checksum follows its addresses; a later one has none", () => {
    const frame = parsed(buildFrame(SPECS["first"]!));
    const at = frame.l4 + 6;
    const before = dataOf(frame).slice(at, at + 2);
    set(frame, "nw_src", Uint8Array.of(1, 2, 3, 4), new Uint8Array(4).fill(255));
    expect(dataOf(frame).subarray(at, at + 2)).not.toEqual(before);
    const later = parsed(buildFrame(SPECS["later"]!));
    const payload = dataOf(later).slice(34);
    set(later, "nw_src", Uint8Array.of(1, 2, 3, 4), new Uint8Array(4).fill(255));
    expect(dataOf(later).subarray(34)).toEqual(payload);
    expect(set(later, "tp_src", Uint8Array.of(0, 1), Uint8Array.of(255, 255))).toBe(false);
  });

  test("IPv6 with segments left: the checksum covers another destination", () => {
    const routing = Uint8Array.from([0, 2, 4, 1, ...new Uint8Array(20)]);
    const data = buildFrame({
      ipv6: { ...V6, extensions: [{ type: 43, bytes: routing }] },
      udp: { src: 1, dst: 2 },
    });
    const frame = parsed(data);
    expect(frame.ipv6Routing).toBe(true);
    const at = frame.l4 + 6;
    const before = dataOf(frame).slice(at, at + 2);
    set(frame, "ipv6_dst", new Uint8Array(16).fill(7), new Uint8Array(16).fill(255));
    expect(dataOf(frame).subarray(at, at + 2)).toEqual(before);
    set(frame, "ipv6_src", new Uint8Array(16).fill(7), new Uint8Array(16).fill(255));
    expect(dataOf(frame).subarray(at, at + 2)).not.toEqual(before);
  });

  test("slots that no frame has", () => {
    const frame = parsed(buildFrame(SPECS["udp"]!));
    for (const name of ["pkt_mark", "ct_state", "tun_id", "arp_sha", "mpls_lse0"] as const) {
      const width = slot(name).bytes;
      expect(set(frame, name, new Uint8Array(width), new Uint8Array(width).fill(255))).toBe(false);
    }
  });
});

describe("VLAN tags", () => {
  test("push and pop are each other's inverse, the virtio-net header moves along", () => {
    const data = buildFrame(SPECS["tcp"]!);
    const frame = partial(data, 1, 20);
    const start = dataOf(frame);
    const vnet = vnetOf(frame);
    const layers = { l3: frame.l3, l4: frame.l4, l3End: frame.l3End };
    expect(pushVlan(frame, 0x88a8, 0xf123)).toBe(true);
    expect(dataOf(frame).subarray(12, 16)).toEqual(Uint8Array.of(0x88, 0xa8, 0xe1, 0x23));
    expect(frame).toMatchObject({ l3: layers.l3 + 4, l4: layers.l4 + 4, vlans: 1 });
    const moved = decodeVnet(vnetOf(frame));
    expect(moved.csumStart).toBe(layers.l4 + 4);
    expect(moved.headerBytes).toBe(decodeVnet(vnet).headerBytes + 4);
    expect(popVlan(frame)).toBe(true);
    expect(dataOf(frame)).toEqual(start);
    expect(vnetOf(frame)).toEqual(vnet);
    expect(frame).toMatchObject({ ...layers, vlans: 0 });
    expect(popVlan(frame)).toBe(false);
  });

  test("a push needs headroom above the floor", () => {
    const data = buildFrame(SPECS["udp"]!);
    const frame = placed(data, {}, 8);
    extract(frame, 0, 0, 0);
    frame.floor = 4;
    expect(pushVlan(frame, 0x8100, 1)).toBe(true);
    const before = frame.bytes.slice();
    expect(pushVlan(frame, 0x8100, 2)).toBe(false);
    expect(frame.bytes).toEqual(before);
    const roomy = new Uint8Array(2048);
    expect(frame.moveTo(roomy, 128)).toBe(true);
    expect(pushVlan(frame, 0x8100, 2)).toBe(true);
    extract(frame, 0, 0, 0);
    expect(frame.key.bytes[slot("vlan2_tci").offset + 1]).toBe(1);
    expect(frame.key.bytes[slot("vlan_tci").offset + 1]).toBe(2);
  });

  test("a move that does not fit changes nothing", () => {
    const frame = parsed(buildFrame(SPECS["udp"]!), { vnet: {} });
    const { bytes, offset } = frame;
    expect(frame.moveTo(new Uint8Array(50), 20)).toBe(false);
    expect(frame.moveTo(new Uint8Array(500), 9)).toBe(false);
    expect(frame.bytes).toBe(bytes);
    expect(frame.offset).toBe(offset);
  });
});

describe("checksums", () => {
  test("known values", () => {
    // RFC 1071 §3: the sum of these bytes is 0xddf2.
    const bytes = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(fold(sumBytes(bytes, 0, 8))).toBe(0xddf2);
    expect(checksum(bytes, 0, 8)).toBe(0x220d);
    expect(checksum(Uint8Array.of(1), 0, 1)).toBe(0xfeff);
    // RFC 3720 appendix B.4: 32 bytes of zeros, of ones, and counting up.
    expect(crc32c(new Uint8Array(32), 0, 32)).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff), 0, 32)).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i), 0, 32)).toBe(0x46dd794e);
  });
});
