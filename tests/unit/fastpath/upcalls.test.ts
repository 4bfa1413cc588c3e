import { describe, expect, test } from "bun:test";
import { SharedState } from "../../../src/fastpath/userspace/shared.ts";
import {
  REASON_ACTION,
  REASON_MISS,
  UPCALL_PORT_SHARE,
  UPCALL_SENT,
  UpcallReader,
  UpcallWriter,
} from "../../../src/fastpath/userspace/upcalls.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";

function frameOf(length: number, vnet = new Uint8Array(VNET_BYTES)): Frame {
  const bytes = new Uint8Array(VNET_BYTES + length);
  bytes.set(vnet);
  for (let i = 0; i < length; i++) bytes[VNET_BYTES + i] = i;
  const frame = new Frame();
  frame.set(bytes, VNET_BYTES, length, true, 0);
  frame.keyWords = 3;
  frame.key.words.set([1, 2, 3]);
  return frame;
}

describe("upcall ring", () => {
  test("packet, key, reason and userdata arrive as the receiver's own", () => {
    const shared = new SharedState();
    const writer = new UpcallWriter(shared);
    const reader = new UpcallReader(shared);
    const vnet = new Uint8Array([1, 1, 54, 0, 0, 5, 34, 0, 16, 0]);
    const frame = frameOf(100, vnet);
    expect(writer.push(REASON_ACTION, 0xfffffffe | 0, 4, frame)).toBe(UPCALL_SENT);
    frame.bytes.fill(0);
    const upcall = reader.take()!;
    expect(upcall.reason).toBe("action");
    expect(upcall.userdata).toBe(0xfffffffe);
    expect(upcall.packet.data).toEqual(Uint8Array.from({ length: 100 }, (_, i) => i));
    expect(upcall.packet.vnet).toEqual(vnet);
    expect([...upcall.key.words.slice(0, 5)]).toEqual([1, 2, 3, 0, 0]);
    expect(reader.take()).toBeUndefined();
  });

  test("an empty offload header is left out; a cut frame loses its offloads", () => {
    const shared = new SharedState();
    const writer = new UpcallWriter(shared);
    const reader = new UpcallReader(shared);
    writer.push(REASON_MISS, 0, 4, frameOf(60));
    expect("vnet" in reader.take()!.packet).toBe(false);
    writer.push(
      REASON_MISS,
      0,
      4,
      frameOf(60, new Uint8Array(VNET_BYTES).fill(1)),
      new Uint8Array(20),
    );
    const { packet } = reader.take()!;
    expect(packet.data.length).toBe(20);
    expect("vnet" in packet).toBe(false);
  });

  test("a port that floods leaves room for the others, and gets its share back", () => {
    const shared = new SharedState();
    const writer = new UpcallWriter(shared);
    const reader = new UpcallReader(shared);
    const frame = frameOf(1000);
    let flooded = 0;
    while (writer.push(REASON_MISS, 0, 1, frame) === UPCALL_SENT) flooded++;
    let others = 0;
    while (writer.push(REASON_MISS, 0, 2, frame) === UPCALL_SENT) others++;
    // One port alone gets half, the next one half of what is left.
    expect(others / flooded).toBeGreaterThan(0.45);
    expect(writer.push(REASON_MISS, 0, 3, frame)).toBe(UPCALL_SENT);
    expect(writer.push(REASON_MISS, 0, 1, frame)).toBe(UPCALL_PORT_SHARE);
    for (let i = 0; i < flooded; i++) reader.take();
    expect(writer.push(REASON_MISS, 0, 1, frame)).toBe(UPCALL_SENT);
    while (reader.take());
    expect([...shared.upcallBytes.slice(0, 4)]).toEqual([0, 0, 0, 0]);
  });

  test("a packet executed as from no port may come up too", () => {
    const shared = new SharedState();
    const writer = new UpcallWriter(shared);
    for (const inPort of [65535, -1]) {
      expect(writer.push(REASON_ACTION, 0, inPort, frameOf(60))).toBe(UPCALL_SENT);
    }
    const reader = new UpcallReader(shared);
    while (reader.take());
    expect(shared.upcallBytes.at(-1)).toBe(0);
  });
});
