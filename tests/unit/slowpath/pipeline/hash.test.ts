import { expect, test } from "bun:test";
import { hashBig, hashTwo } from "../../../../src/packet/hash.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { hashFields } from "../../../../src/slowpath/pipeline/hash.ts";
import { match } from "./lab.ts";

// The numbers are what Open vSwitch 3.1's functions say (x86-64 without CRC instructions).

test("pairs of numbers", () => {
  expect(hashTwo(1, 2)).toBe(803726044);
  expect(hashTwo(7, 12345)).toBe(3214426765);
  expect(hashBig(0x123456789abcdef0n)).toBe(1246793049);
});

test("fields of a TCP packet", () => {
  const { key } = match({
    eth_src: 0x505400000001n,
    eth_dst: 0x505400000002n,
    eth_type: 0x800,
    ip_src: 0x0a000001,
    ip_dst: 0x0a000002,
    nw_proto: 6,
    tcp_src: 1000,
    tcp_dst: 80,
  });
  key.set(FIELDS.vlan_tci, 0x1005);
  const hash = (fields: Parameters<typeof hashFields>[1]) => hashFields(key, fields, 3);
  expect(hash("eth_src")).toBe(3632566220);
  expect(hash("symmetric_l4")).toBe(2117336532);
  expect(hash("symmetric_l3l4")).toBe(800799667);
  expect(hash("nw_src")).toBe(1025771303);
  expect(hash("nw_dst")).toBe(836389329);
  expect(hash("symmetric_l3")).toBe(759098218);
});
