/**
 * Every field that Open vSwitch's userspace datapath sets (odp-execute, masked set), one row each: the
 * text is what `dpctl` reads and prints, and a packet through it comes back with exactly those bits
 * changed. That all checksums are right then, partial ones and those of super-packets too, is held by
 * tests/unit/packet/rewrite.test.ts for the same slots.
 */
import { describe, expect, test } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { openMemoryDatapath } from "../../../src/fastpath/memory/datapath.ts";
import { formatDpActions } from "../../../src/fastpath/text/actions-format.ts";
import { parseDpActions } from "../../../src/fastpath/text/actions-parse.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { SLOTS } from "../../../src/packet/layout.ts";

const V4 = { src: "10.0.0.1", dst: "10.0.0.2", tos: 0x41, ttl: 64 };
const V6 = { src: "fd00::1", dst: "fd00::2", trafficClass: 0x12, label: 0x12345, hopLimit: 9 };
const neighbour = (option: number, ...mac: number[]) =>
  Uint8Array.from([...new Uint8Array(16).fill(0xfe), option, 1, ...mac]);

const FRAMES = {
  udp: buildFrame({ ipv4: V4, udp: { src: 1000, dst: 53 }, payload: 20 }),
  tcp: buildFrame({ ipv4: V4, tcp: { src: 1000, dst: 80 }, payload: 20 }),
  sctp: buildFrame({ ipv4: V4, sctp: { src: 1000, dst: 80 }, payload: 20 }),
  icmp: buildFrame({ ipv4: V4, icmp: { type: 8 }, payload: 20 }),
  tcp6: buildFrame({ ipv6: V6, tcp: { src: 1000, dst: 80 }, payload: 20 }),
  icmp6: buildFrame({ ipv6: V6, icmpv6: { type: 128 }, payload: 20 }),
  solicitation: buildFrame({
    ipv6: V6,
    icmpv6: { type: 135 },
    payload: neighbour(1, 2, 0, 0, 0, 0, 7),
  }),
  advertisement: buildFrame({
    ipv6: V6,
    icmpv6: { type: 136 },
    payload: neighbour(2, 2, 0, 0, 0, 0, 7),
  }),
  arp: buildFrame({
    arp: { op: 1, sha: "02:00:00:00:00:01", spa: "10.0.0.1", tpa: "10.0.0.9" },
    minLength: 60,
  }),
  mpls: buildFrame({ mpls: [{ label: 0x12345, tc: 5, ttl: 0x55 }], ipv4: V4 }),
  nsh: buildFrame(
    {
      type: 0x894f,
      payload: Uint8Array.fromHex(
        "0fc60103" + "0012347f" + "11111111222222223333333344444444" + "00".repeat(20),
      ),
    } satisfies FrameSpec,
  ),
} as const;

const ROWS: readonly (readonly [keyof typeof FRAMES, string])[] = [
  ["udp", "skb_priority(0x5)"],
  ["udp", "skb_priority(0x5/0xff)"],
  ["udp", "skb_mark(0x1234)"],
  ["udp", "skb_mark(0x34/0xff)"],
  ["udp", "dp_hash(0x1234)"],
  ["udp", "dp_hash(0x34/0xff)"],
  ["udp", "eth(src=02:00:00:00:00:99,dst=02:00:00:00:00:98)"],
  ["udp", "eth(src=00:00:00:00:00:09/00:00:00:00:00:0f,dst=02:00:00:00:00:00/ff:00:00:00:00:00)"],
  ["udp", "ipv4(src=192.168.1.1,dst=192.168.1.2,tos=0xb8/0xfc,ttl=7)"],
  ["udp", "ipv4(src=192.168.0.0/255.255.0.0,dst=0.0.0.9/0.0.0.15,tos=0x2/0x3,ttl=1/0x3)"],
  ["tcp6", "ipv6(src=fd01::9,dst=fd02::9,label=0x54321,tclass=0xb8/0xfc,hlimit=7)"],
  ["tcp6", "ipv6(src=fd01::/ffff::,dst=::9/::f,label=0x1/0xff,tclass=0x1/0x3,hlimit=1/0x3)"],
  ["tcp", "tcp(src=5,dst=7)"],
  ["tcp", "tcp(src=5/0xff,dst=256/0xff00)"],
  ["udp", "udp(src=5,dst=7)"],
  ["udp", "udp(src=5/0xff,dst=256/0xff00)"],
  ["sctp", "sctp(src=5,dst=7)"],
  ["sctp", "sctp(src=5/0xff,dst=256/0xff00)"],
  ["icmp", "icmp(type=3,code=1)"],
  ["icmp6", "icmpv6(type=1,code=4)"],
  ["mpls", "mpls(label=5,tc=3,ttl=7,bos=1)"],
  ["mpls", "mpls(label=5/0xf,tc=1/1,ttl=7/0x7,bos=1/1)"],
  ["arp", "arp(sip=1.2.3.4,tip=5.6.7.8,op=2/0xff,sha=02:00:00:00:00:99,tha=02:00:00:00:00:98)"],
  ["arp", "arp(sip=192.0.0.0/255.0.0.0,op=2/0x3,sha=00:00:00:00:00:08/00:00:00:00:00:0f)"],
  ["solicitation", "nd(target=fd00::5,sll=02:00:00:00:00:99)"],
  ["solicitation", "nd(target=fd00::/ff00::,sll=00:00:00:00:00:08/00:00:00:00:00:0f)"],
  ["advertisement", "nd(target=fd00::5,tll=02:00:00:00:00:99)"],
  ["advertisement", "nd_ext(nd_reserved=0x80000000/0x80000000)"],
  ["solicitation", "nd_ext(nd_reserved=0x1234)"],
  ["nsh", "nsh(flags=1,ttl=7,spi=0x567,si=9,c1=0x9,c2=0x8,c3=0x7,c4=0x6)"],
  ["nsh", "nsh(ttl=0x01/0x03,spi=0x7/0x0000000f,c1=0x5/0x0000000f)"],
];

/** The key of the frame when it has gone through the actions. */
async function keyAfter(data: Uint8Array, actions: readonly DpAction[]): Promise<FlowKey> {
  const datapath = openMemoryDatapath();
  const keys: FlowKey[] = [];
  datapath.listen({ upcall: ({ key }) => keys.push(key.clone()), portLost: () => {} });
  const { portNo } = await datapath.addPort({ name: "a", type: "device" });
  datapath.execute({ data }, [...actions, { type: "recirc", id: 1 }], portNo);
  await datapath.barrier();
  await datapath.close();
  expect(keys).toHaveLength(1);
  return keys[0]!;
}

describe("a set changes exactly its bits", () => {
  for (const [kind, inside] of ROWS) {
    const text = `set(${inside})`;
    test(`${kind}: ${text}`, async () => {
      const data = FRAMES[kind];
      const actions = parseDpActions(text);
      const before = await keyAfter(data, []);
      const wanted = before.clone();
      for (const action of actions) {
        if (action.type !== "set") throw new Error(action.type);
        const { offset, bytes } = SLOTS.get(action.slot)!;
        for (let i = 0; i < bytes; i++) {
          const mask = action.mask[i]!;
          const old = wanted.bytes[offset + i]!;
          wanted.bytes[offset + i] = (old & ~mask) | (action.value[i]! & mask);
        }
      }
      expect(wanted.equals(before)).toBe(false);
      const after = await keyAfter(data, actions);
      for (const [name, { offset, bytes }] of SLOTS) {
        const hex = (key: FlowKey) => key.bytes.subarray(offset, offset + bytes).toHex();
        expect(`${name} ${hex(after)}`).toBe(`${name} ${hex(wanted)}`);
      }
    });

    test(`${text} is printed as it was read`, async () => {
      const key = await keyAfter(FRAMES[kind], []);
      expect(formatDpActions(parseDpActions(text), { key })).toBe(text);
    });
  }

  test("tunnel metadata is set as a whole", async () => {
    const text = "set(tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,tos=0x1,ttl=64,flags(df|key)))";
    const after = await keyAfter(FRAMES.udp, parseDpActions(text));
    const { offset } = SLOTS.get("tun_dst")!;
    expect([...after.bytes.subarray(offset, offset + 4)]).toEqual([2, 2, 2, 2]);
    expect(formatDpActions(parseDpActions(text))).toBe(text);
  });

  test("what no datapath sets is refused", () => {
    for (const inside of ["vlan(vid=5,pcp=3)", "ct_state(0)", "in_port(1)", "eth_type(0x1234)"]) {
      expect(() => parseDpActions(`set(${inside})`)).toThrow();
    }
  });
});
