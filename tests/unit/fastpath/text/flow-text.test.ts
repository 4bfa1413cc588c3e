import { describe, expect, test } from "bun:test";
import { formatDpKey, formatDpMatch } from "../../../../src/fastpath/text/flow-format.ts";
import { parseDpFlow } from "../../../../src/fastpath/text/flow-parse.ts";
import { FlowKey, type Match } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { TextError } from "../../../../src/packet/text.ts";

const ETH = "eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)";
const META = "recirc_id(0),in_port(3),packet_type(ns=0,id=0)";

/** Texts that come out as they went in. */
const SAME: readonly string[] = [
  `${META},${ETH},eth_type(0x88b5)`,
  `${META},${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x4,ttl=64,frag=no),` +
  "tcp(src=1000,dst=80),tcp_flags(syn|ack)",
  `${META},${ETH},eth_type(0x0800),ipv4(src=10.0.0.0/255.255.255.0,proto=17,frag=no),` +
  "udp(dst=53/0xff)",
  `${META},${ETH},eth_type(0x0800),ipv4(proto=6,frag=no),tcp_flags(+syn-ack)`,
  `${META},${ETH},eth_type(0x0800),ipv4(proto=1,frag=no),icmp(type=8,code=0)`,
  `${META},${ETH},eth_type(0x0800),ipv4(proto=132,frag=first),sctp(src=1,dst=2)`,
  `${META},${ETH},eth_type(0x0800),ipv4(proto=17,frag=later)`,
  `${META},${ETH},eth_type(0x86dd),ipv6(src=fe80::1,dst=ff02::/ffff::,label=0x12345,proto=58,` +
  "tclass=0xb8/0xfc,hlimit=255,frag=no),icmpv6(type=135,code=0)," +
  "nd(target=fe80::2,sll=02:00:00:00:00:09)",
  `${META},${ETH},eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=1/0xff,` +
  "sha=02:00:00:00:00:01,tha=00:00:00:00:00:00)",
  `${META},${ETH},eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))`,
  `${META},${ETH},eth_type(0x88a8),vlan(vid=5,pcp=0),` +
  "encap(eth_type(0x8100),vlan(vid=6,pcp=0),encap(eth_type(0x0800),ipv4(frag=no)))",
  `${META},${ETH},eth_type(0x8847),mpls(label=16,tc=1,ttl=64,bos=1)`,
  `${META},${ETH},eth_type(0x8847),` +
  "mpls(label=16/0xfffff,tc=1/0,ttl=64/0x0,bos=0/1,label=17/0xfffff,tc=0/7,ttl=64/0xff,bos=1/1)",
  `${META},${ETH},eth_type(0x894f),` +
  "nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x123,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)",
  `skb_priority(0x10),skb_mark(0x1/0xff),ct_state(+new-est+trk),ct_zone(0x5),ct_mark(0x7/0xf),` +
  `ct_label(0x100/0xf00),recirc_id(0x1f),dp_hash(0x3/0xf),in_port(3),packet_type(ns=0,id=0),` +
  `${ETH},eth_type(0x88b5)`,
  "ct_tuple4(src=1.1.1.1,dst=2.2.2.2,proto=6,tp_src=1,tp_dst=2),recirc_id(0),in_port(3)," +
  `packet_type(ns=0,id=0),${ETH},eth_type(0x0800),ipv4(proto=6,frag=no)`,
  "ct_tuple6(src=::1,dst=::2,proto=6,src_port=1,dst_port=2),recirc_id(0),in_port(3)," +
  `packet_type(ns=0,id=0),${ETH},eth_type(0x86dd),ipv6(proto=6,frag=no)`,
  "tunnel(tun_id=0x7b,src=172.16.0.1,dst=172.16.0.2,tos=0x8,ttl=64,tp_dst=4789," +
  `vxlan(gbp(id=7,flags=0x40)),flags(-df+csum+key)),${META},${ETH},eth_type(0x88b5)`,
  "tunnel(tun_id=0x1/0xff,ipv6_src=2001:db8::1,ipv6_dst=2001:db8::2,ttl=64," +
  "geneve({class=0x102,type=0x80,len=4,0xa/0xf}{class=0xffff,type=0,len=8,0xa0000000b})," +
  `flags(-df-csum+key)),${META},${ETH},eth_type(0x88b5)`,
  "tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,erspan(ver=2,dir=1,hwid=0x7)," +
  `flags(+df+key)),${META},${ETH},eth_type(0x88b5)`,
  "tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,gtpu(flags=0x34,msgtype=255)," +
  `flags(+key)),${META},${ETH},eth_type(0x88b5)`,
  `recirc_id(0),in_port(3),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(proto=6,frag=no)`,
];

/** The match without what its mask does not look at. */
function masked({ key, mask }: Match): Match {
  const clean = new FlowKey();
  for (let i = 0; i < clean.words.length; i++) clean.words[i] = key.words[i]! & mask.words[i]!;
  return { key: clean, mask };
}

describe("text of datapath flows", () => {
  for (const text of SAME) {
    test(text.slice(0, 110), () => {
      const match = parseDpFlow(text);
      expect(formatDpMatch(match)).toBe(text);
      // What is printed of a masked key reads back as the same match.
      const again = masked(parseDpFlow(formatDpMatch(match)));
      expect(again.key.bytes).toEqual(masked(match).key.bytes);
      expect(again.mask.bytes).toEqual(match.mask.bytes);
    });
  }

  test("verbose text has what is not looked at, too", () => {
    const match = parseDpFlow(`${META},${ETH},eth_type(0x0800),ipv4(src=10.0.0.1,frag=no)`);
    match.mask.set(FIELDS.vlan_tci, 0);
    expect(formatDpMatch(match, { verbose: true })).toBe(
      "skb_priority(0/0),skb_mark(0/0),ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0)," +
        `recirc_id(0),dp_hash(0/0),in_port(3),packet_type(ns=0,id=0),${ETH},eth_type(0x0800),` +
        "ipv4(src=10.0.0.1,dst=0.0.0.0/0.0.0.0,proto=0/0,tos=0/0,ttl=0/0,frag=no)",
    );
  });

  test("a key alone is exact", () => {
    const { key } = parseDpFlow(`in_port(3),${ETH},eth_type(0x0806),arp(sip=1.2.3.4,op=2)`);
    expect(formatDpKey(key, undefined)).toBe(
      "skb_priority(0),skb_mark(0),ct_state(0),ct_zone(0),ct_mark(0),ct_label(0),recirc_id(0)," +
        `dp_hash(0),in_port(3),packet_type(ns=0,id=0),${ETH},eth_type(0x0806),` +
        "arp(sip=1.2.3.4,tip=0.0.0.0,op=2,sha=00:00:00:00:00:00,tha=00:00:00:00:00:00)",
    );
  });

  test("ports have names", () => {
    const names = new Map([["p7", 7]]);
    const { key } = parseDpFlow(`in_port(p7),${ETH}`, (name) => names.get(name));
    expect(key.get(FIELDS.in_port)).toBe(7);
    expect(formatDpMatch(parseDpFlow(`in_port(7),${ETH}`), { portName: () => "p7" }))
      .toContain("in_port(p7)");
  });

  test("what the text leaves out follows from the rest", () => {
    const type = (text: string): number => parseDpFlow(text).key.get(FIELDS.eth_type);
    expect(type(`in_port(1),${ETH},ipv4(src=1.1.1.1)`)).toBe(0x0800);
    expect(type(`in_port(1),${ETH},ipv6(src=::1)`)).toBe(0x86dd);
    expect(type(`in_port(1),${ETH}`)).toBe(0x05ff);
    expect(parseDpFlow("in_port(1),eth_type(0x0800)").key.get(FIELDS.packet_type)).toBe(0x10800);
    expect(parseDpFlow(ETH).key.get(FIELDS.in_port)).toBe(0xffff);
  });

  test("a flow's id in front is passed over", () => {
    const id = "ufid:01234567-89ab-cdef-0123-456789abcdef";
    expect(parseDpFlow(`${id}, in_port(2),${ETH}`).key.get(FIELDS.in_port)).toBe(2);
  });

  const bad: readonly (readonly [string, string])[] = [
    ["in_port(x)", "in_port(x)"],
    ["in_port(1),eth(src=1)", "eth(src=1)"],
    ["nonsense", "nonsense"],
    ["in_port(1", "in_port(1"],
    ["ipv4(src=1.2.3.456)", "ipv4(src=1.2.3.456)"],
    ["ipv4(frag=maybe)", "ipv4(frag=maybe)"],
    ["eth_type(0x10000)", "eth_type(0x10000)"],
    ["vlan(vid=4096)", "vlan(vid=4096)"],
    ["tcp_flags(+syn-foo)", "tcp_flags(+syn-foo)"],
    ["tunnel(geneve({len=3}))", "tunnel(geneve({len=3}))"],
    ["mpls(label=1,label=2,label=3,label=4)", "mpls(label=1,label=2,label=3,label=4)"],
    [`${"encap(".repeat(40)}${")".repeat(40)}`, "encap("],
  ];
  for (const [text, where] of bad) {
    test(`no flow: ${text.slice(0, 40)}`, () => {
      expect(() => parseDpFlow(text)).toThrow(TextError);
      expect(() => parseDpFlow(text)).toThrow(`syntax error at ${where}`);
    });
  }

  test("no prefix of a flow does worse than be refused", () => {
    for (const text of SAME) {
      for (let end = 0; end < text.length; end++) {
        try {
          parseDpFlow(text.slice(0, end));
        } catch (error) {
          expect(error).toBeInstanceOf(TextError);
        }
      }
    }
  });
});
