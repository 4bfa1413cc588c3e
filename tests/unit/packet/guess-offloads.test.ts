import { expect, test } from "bun:test";
import { checksum, fold, pseudoSum } from "../../../src/packet/checksum.ts";
import { VNET_BYTES, VNET_F_NEEDS_CSUM, VNET_GSO_TCPV4 } from "../../../src/packet/frame.ts";
import { guessOffloads } from "../../../src/packet/guess-offloads.ts";
import { decodeVnet, plainFrames } from "../../../src/packet/vnet.ts";
import { Seeded } from "../../support/seeded.ts";
import { parse, udp } from "../../support/frames.ts";

const MTU = 1500;

function guess(frame: Uint8Array, mtu = MTU): { vnet: Uint8Array; frame: Uint8Array } {
  const memory = new Uint8Array(VNET_BYTES + frame.length).fill(0xee);
  memory.set(frame, VNET_BYTES);
  guessOffloads(memory, VNET_BYTES, frame.length, mtu);
  return { vnet: memory.slice(0, VNET_BYTES), frame: memory.slice(VNET_BYTES) };
}

const datagram = (size: number) =>
  udp({
    srcMac: "02:00:00:00:00:01",
    dstMac: "02:00:00:00:00:02",
    srcIp: "10.0.0.1",
    dstIp: "10.0.0.2",
    payload: new Uint8Array(size).fill(7),
    tags: [{ vid: 5 }],
  });

/** A TCP packet of `size` bytes of payload whose checksum is left to the device. */
function unfinished(size: number): Uint8Array {
  const frame = new Uint8Array(54 + size).fill(3);
  frame.set([8, 0, 0x45, 0, (40 + size) >> 8, 40 + size, 0, 1, 0, 0, 64, 6, 0, 0], 12);
  frame.set([10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10], 26);
  const head = checksum(frame, 14, 34);
  frame.set([head >> 8, head & 0xff], 24);
  const sum = fold(pseudoSum(frame, 26, 4, 6, 20 + size));
  frame.set([sum >> 8, sum & 0xff, 0, 0], 50);
  return frame;
}

test("a finished frame has an empty header", () => {
  const { vnet, frame } = guess(datagram(100));
  expect(vnet).toEqual(new Uint8Array(VNET_BYTES));
  expect(frame).toEqual(datagram(100));
});

test("a checksum that nobody finished is asked for, and a long TCP packet is cut to the MTU", () => {
  const small = guess(unfinished(100));
  expect(decodeVnet(small.vnet)).toMatchObject({
    flags: VNET_F_NEEDS_CSUM,
    gsoType: 0,
    csumStart: 34,
    csumOffset: 16,
  });
  const [one] = plainFrames(small.frame, small.vnet);
  expect(parse(one!).checksumsHold).toBe(true);
  const long = guess(unfinished(4000));
  expect(decodeVnet(long.vnet)).toMatchObject({
    flags: VNET_F_NEEDS_CSUM,
    gsoType: VNET_GSO_TCPV4,
    headerBytes: 54,
    gsoSize: 1460,
  });
  const segments = plainFrames(long.frame, long.vnet);
  expect(segments.map(({ length }) => length)).toEqual([1514, 1514, 54 + 4000 - 2920]);
  for (const each of segments) expect(parse(each).checksumsHold).toBe(true);
  // Where the MTU is not known, only the checksum is.
  expect(decodeVnet(guess(unfinished(4000), 0).vnet).gsoType).toBe(0);
});

test("frames cut short and of random bytes: nothing throws, and all fits into the frame", () => {
  const random = new Seeded(0x6e55);
  const kinds = [unfinished(60), unfinished(3000), datagram(60)];
  for (let i = 0; i < 3000; i++) {
    const from = kinds[random.next(kinds.length)]!;
    const frame = from.slice(0, random.next(from.length + 1));
    for (let k = random.next(4); k > 0 && frame.length > 12; k--) {
      frame[12 + random.next(Math.min(50, frame.length - 12))] = random.next(256);
    }
    const { vnet } = guess(frame, random.next(2) === 0 ? MTU : random.next(100));
    const { flags, csumStart, csumOffset, headerBytes, gsoType, gsoSize } = decodeVnet(vnet);
    if (flags === 0) expect(vnet).toEqual(new Uint8Array(VNET_BYTES));
    else expect(csumStart + csumOffset + 2).toBeLessThanOrEqual(frame.length);
    if (gsoType === 0) continue;
    expect(headerBytes).toBeLessThan(frame.length);
    expect(gsoSize).toBeGreaterThan(0);
  }
});
