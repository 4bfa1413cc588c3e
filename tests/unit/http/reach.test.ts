/** Which interface carries a connection, from the kernel's own tables. */
import { describe, expect, test } from "bun:test";
import {
  parseAddress,
  parseRoutes4,
  parseRoutes6,
  reachOf,
  routeTo,
} from "../../../src/http/reach.ts";

const ROUTES4 = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
eth1	0000A8C0	00000000	0001	0	0	0	0000FFFF	0	0	0
eth2	0001A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
down	0002A8C0	00000000	0000	0	0	0	00FFFFFF	0	0	0
`;
const ROUTES6 =
  `20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`;

describe("the most specific route", () => {
  test.each([
    ["192.168.1.5", "eth2"],
    ["192.168.2.5", "eth1"],
    ["8.8.8.8", "eth0"],
  ])("%s goes by %s", (address, device) => {
    const { value, bits } = parseAddress(address);
    expect(routeTo(parseRoutes4(ROUTES4), value, bits)).toBe(device);
  });

  test.each([
    ["2001:db8::7", "eth1"],
    ["2606:4700::1111", "eth0"],
  ])("%s goes by %s", (address, device) => {
    const { value, bits } = parseAddress(address);
    expect(routeTo(parseRoutes6(ROUTES6), value, bits)).toBe(device);
  });
});

test("addresses", () => {
  expect(parseAddress("::ffff:10.0.0.1")).toEqual({ value: 0x0a000001n, bits: 32 });
  expect(parseAddress("fe80::1%eth0")).toEqual({ value: (0xfe80n << 112n) + 1n, bits: 128 });
});

test.each(["127.0.0.1", "::1", "::ffff:127.0.0.1", "unknown", "not an address"])(
  "%s is here",
  (address) => {
    expect(reachOf(address).towards).toBeUndefined();
  },
);
