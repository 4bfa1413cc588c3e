import { describe, expect, test } from "bun:test";
import { formatDpKey } from "../../../src/fastpath/text/flow-format.ts";
import { parseDpFlow } from "../../../src/fastpath/text/flow-parse.ts";
import { composePacket } from "../../../src/packet/compose.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame } from "../../../src/packet/frame.ts";
import { checksum, pseudoSum } from "../../../src/packet/checksum.ts";

const ETH = "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)";
const FLOWS: readonly string[] = [
  `${ETH},eth_type(0x88b5)`,
  `${ETH}`,
  `${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x4,ttl=64,frag=no),` +
  "tcp(src=1000,dst=80),tcp_flags(ack)",
  `${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=9,frag=first),` +
  "udp(src=1000,dst=80)",
  `${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=9,frag=later)`,
  `${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=9,frag=no),` +
  "icmp(type=8,code=0)",
  `${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=132,tos=0,ttl=9,frag=no),` +
  "sctp(src=5,dst=6)",
  `${ETH},eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0x12345,proto=58,tclass=0xb8,` +
  "hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=fe80::3,sll=02:00:00:00:00:09," +
  "tll=00:00:00:00:00:00)",
  `${ETH},eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=17,tclass=0,hlimit=1,` +
  "frag=no),udp(src=1,dst=2)",
  `${ETH},eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=2,sha=02:00:00:00:00:01,` +
  "tha=02:00:00:00:00:05)",
  `${ETH},eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x88b5))`,
  `${ETH},eth_type(0x88a8),vlan(vid=5,pcp=3),encap(eth_type(0x8100),vlan(vid=9,pcp=0),` +
  "encap(eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=99,tos=0,ttl=1,frag=no)))",
  `${ETH},eth_type(0x8847),mpls(label=16,tc=1,ttl=64,bos=0,label=17,tc=0,ttl=3,bos=1)`,
];

describe("a frame made of a flow key", () => {
  for (const text of FLOWS) {
    test(`is of that flow: ${text.slice(60, 150)}`, () => {
      const { key } = parseDpFlow(text);
      for (const size of [0, 200, 1500]) {
        const data = composePacket(key, { size });
        expect(data.length).toBeGreaterThanOrEqual(size);
        const frame = new Frame();
        frame.set(data, 0, data.length, false, 0);
        extract(frame, 1, 0, 0);
        expect(formatDpKey(frame.key, undefined)).toBe(formatDpKey(key, undefined));
        // Zeros behind neighbour discovery are no options.
        if (size === 0) expect(frame.result).toBe(0);
      }
    });
  }

  test("has right checksums and lengths", () => {
    const { key } = parseDpFlow(FLOWS[2]!);
    const data = composePacket(key);
    expect(data.length).toBe(14 + 20 + 20 + 64);
    expect(checksum(data, 14, 34)).toBe(0);
    expect(checksum(data, 34, data.length, pseudoSum(data, 26, 4, 6, 84))).toBe(0);
    const udp = composePacket(parseDpFlow(FLOWS[8]!).key, { payload: Uint8Array.of(1, 2, 3) });
    expect(udp.length).toBe(14 + 40 + 8 + 3);
    expect(checksum(udp, 54, udp.length, pseudoSum(udp, 22, 16, 17, 11))).toBe(0);
  });
});
