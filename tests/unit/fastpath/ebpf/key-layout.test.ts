/** Which matches the programs can read, and how keys are laid out for them. */
import { describe, expect, test } from "bun:test";
import {
  demandOf,
  kernelMask,
  KeyLayout,
  maskShape,
  STATEFUL,
} from "../../../../src/fastpath/ebpf/key-layout.ts";
import { slot } from "../../../../src/packet/layout.ts";
import { matchOf } from "../../../conformance/datapath/bench.ts";

const bits = (fields: Parameters<typeof matchOf>[0]) => kernelMask(matchOf(fields))!;

describe("key layout", () => {
  test("an empty one still has room for the mask's id", () => {
    const layout = KeyLayout.empty();
    expect(layout.words).toEqual([]);
    expect(layout).toMatchObject({ bytes: 8, idAt: 4 });
  });

  test("it grows by whole slots, and covers what it has grown for", () => {
    const layout = KeyLayout.empty().with(bits({ ip_dst: "10.0.0.0/8", nw_proto: "6" }));
    expect(layout.words).toEqual([slot("nw_proto").offset >> 2, slot("nw_dst").offset >> 2]);
    expect(layout.covers(bits({ ip_dst: "10.1.2.3" }))).toBe(true);
    expect(layout.covers(bits({ nw_ttl: "3" }))).toBe(false);
    // The protocol's byte of its word, and no other.
    expect(layout.bitsOf(slot("nw_proto").offset >> 2)).toBe(0xff);
    expect(layout.has("nw_proto")).toBe(true);
    expect(layout.has("nw_ttl")).toBe(false);
    // Two words, the id, and one to fill up.
    expect(layout).toMatchObject({ bytes: 16, idAt: 12 });
  });

  test("keys are packed as the programs build them", () => {
    const match = matchOf({ ip_dst: "10.1.2.3", nw_proto: "6" });
    const mask = kernelMask(match)!;
    const layout = KeyLayout.empty().with(mask);
    const key = new DataView(new ArrayBuffer(layout.bytes));
    layout.pack(match.key.words, mask, 7, key);
    expect(new Uint8Array(key.buffer).toHex()).toBe("060000000a0102030000000007000000");
  });

  test("fields that programs do not read stay in userspace", () => {
    expect(kernelMask(matchOf({ ipv6_exthdr: "1" }))).toBeUndefined();
    expect(kernelMask(matchOf({ nsh_ttl: "3" }))).toBeUndefined();
  });

  test("metadata that must be zero is zero on every packet: nothing to look at", () => {
    expect(bits({ pkt_mark: "0", recirc_id: "0" }).every((word) => word === 0)).toBe(true);
  });

  test("metadata with a value makes the layout one of packets that recirculate", () => {
    const layout = KeyLayout.empty().with(bits({ pkt_mark: "5" }));
    expect(layout.has("pkt_mark")).toBe(true);
    expect(layout.isStateful).toBe(true);
    expect(KeyLayout.full().isStateful).toBe(false);
  });

  test("a mask's metadata counts in layouts that have it", () => {
    const match = matchOf({ recirc_id: "0", nw_proto: "6" });
    const shape = maskShape(match)!;
    expect(demandOf(match, shape)).toBe(shape.headers);
    const plain = KeyLayout.empty().with(shape.headers);
    const mask = (layout: KeyLayout) => {
      const packed = new DataView(new ArrayBuffer(layout.bytes));
      layout.pack(shape.bits, shape.bits, 0, packed);
      return new Uint8Array(packed.buffer).toHex();
    };
    expect(mask(plain)).toBe("ff00000000000000");
    expect(mask(plain.with(STATEFUL))).toBe("ffffffffff00000000000000".padEnd(32, "0"));
  });

  test("packets of other types than Ethernet are not read", () => {
    expect(kernelMask(matchOf({ packet_type: "(1,0x800)" }))).toBeUndefined();
  });

  test("the full layout is what the documentation says", () => {
    expect(KeyLayout.full().bytes).toBe(136);
    expect(KeyLayout.widest().bytes).toBe(296);
  });
});
