import { describe, expect, test } from "bun:test";
import { formatDpActions } from "../../../../src/fastpath/text/actions-format.ts";
import { parseDpActions } from "../../../../src/fastpath/text/actions-parse.ts";
import { parseDpFlow } from "../../../../src/fastpath/text/flow-parse.ts";
import { TextError } from "../../../../src/packet/text.ts";

/** Texts that come out as they went in. */
const SAME: readonly string[] = [
  "drop",
  "1",
  "1,2,pop_vlan,3",
  "trunc(100),1",
  "lb_output(4)",
  "meter(7),2",
  "recirc(0x1f)",
  "hash(l4(0)),recirc(0x2)",
  "hash(sym_l4(1)),recirc(0x2)",
  "push_vlan(vid=12,pcp=0),1",
  "push_vlan(tpid=0x88a8,vid=12,pcp=4),1",
  "set(eth(src=02:00:00:00:00:01)),1",
  "set(eth(src=02:00:00:00:00:00/ff:ff:ff:00:00:00,dst=02:00:00:00:00:02)),1",
  "set(ipv4(src=10.0.0.1,dst=10.0.0.2,tos=0/0xfc,ttl=63)),1",
  "set(tcp(src=80)),1",
  "set(skb_priority(0x10)),set(skb_mark(0x1/0xff)),1",
  "push_mpls(label=16,tc=0,ttl=64,bos=1,eth_type=0x8847),1",
  "pop_mpls(eth_type=0x800),set(ipv4(ttl=5)),1",
  "add_mpls(label=16,tc=0,ttl=64,bos=1,eth_type=0x8847),1",
  "push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),1",
  "pop_eth,1",
  "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x123,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4),1",
  "push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x123,si=255,md2=0x1000000a00000001),1",
  "pop_nsh(),recirc(0x3)",
  "set(nsh(flags=2,ttl=63,spi=0x1,si=0)),1",
  "sample(sample=12.5%,actions(1,2)),3",
  "clone(set(eth(dst=02:00:00:00:00:02)),1),2",
  "clone(drop),2",
  "check_pkt_len(size=1500,gt(drop),le(1,recirc(0x4)))",
  "ct",
  "ct(commit)",
  "ct(commit,zone=5,mark=0x1/0xff,label=0x1/0xf,helper=ftp,nat(src=10.0.0.1-10.0.0.9:5000-6000,random))",
  "ct(force_commit,zone=5,nat(dst=[2001:db8::1]-[2001:db8::2]:80,persistent,hash))",
  "ct(zone=3,nat),recirc(0x5)",
  "ct(commit,nat(src)),1",
  "ct_clear,1",
  "set(tunnel(tun_id=0x7b,src=1.1.1.1,dst=2.2.2.2,tos=0x4,ttl=64,tp_dst=4789,flags(df|key))),4",
  "set(tunnel(tun_id=0x7b,ipv6_src=::1,ipv6_dst=::2,ttl=64," +
  "geneve({class=0x102,type=0x80,len=4,0xa}),flags(df|csum|key))),4",
  "set(tunnel(tun_id=0x1,dst=2.2.2.2,ttl=64,vxlan(gbp(id=1,flags=0x8)),flags(key))),4",
  "set(tunnel(tun_id=0x1,dst=2.2.2.2,ttl=64,erspan(ver=1,idx=0x5),flags(key))),4",
  "tnl_pop(4)",
  "tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=0x4000)," +
  "udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b)),out_port(1))",
  "tnl_push(tnl_port(4),header(size=78,type=5,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x86dd),ipv6(src=::1,dst=::2,label=0,proto=17,tclass=0x0,hlimit=64)," +
  "udp(src=0,dst=6081,csum=0xffff),geneve(oam,vni=0x7b,options({class=0xffff,type=0x80,len=4,0xa})))," +
  "out_port(1))",
  "tnl_push(tnl_port(4),header(size=50,type=3,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=47,tos=0,ttl=64,frag=0x4000)," +
  "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x1,seq=0x2)),out_port(1))",
  "tnl_push(tnl_port(4),header(size=50,type=107,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=47,tos=0,ttl=64,frag=0x4000)," +
  "erspan(ver=1,sid=0x7,idx=0x3)),out_port(1))",
  "tnl_push(tnl_port(4),header(size=54,type=107,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=47,tos=0,ttl=64,frag=0x4000)," +
  "erspan(ver=2,sid=0x7,dir=1,hwid=0x5)),out_port(1))",
  "tnl_push(tnl_port(4),header(size=50,type=110,eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01," +
  "dl_type=0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=0x4000)," +
  "udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x30,msgtype=255,teid=0x7b)),out_port(1))",
  "userspace(pid=0,controller(reason=1,dont_send=0,continuation=1,recirc_id=2,rule_cookie=0xab," +
  "controller_id=3,max_len=65535))",
  "userspace(pid=0,slow_path(lacp,action))",
  "userspace(pid=0,sFlow(vid=5,pcp=1,output=7))",
  "userspace(pid=0,flow_sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4," +
  "output_port=5,egress))",
  "userspace(pid=0,ipfix(output_port=5))",
  "userspace(pid=0,userdata(0102030405))",
];

describe("text of datapath actions", () => {
  for (const text of SAME) {
    test(text.slice(0, 110), () => {
      const actions = parseDpActions(text);
      expect(formatDpActions(actions)).toBe(text);
      expect(parseDpActions(formatDpActions(actions))).toEqual(actions);
    });
  }

  test("what a slot is a part of depends on the packet", () => {
    const keyOf = (rest: string) =>
      parseDpFlow(`in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),${rest}`).key;
    const port = parseDpActions("set(tcp(dst=5)),1");
    expect(formatDpActions(port, { key: keyOf("eth_type(0x0800),ipv4(proto=17)") }))
      .toBe("set(udp(dst=5)),1");
    expect(formatDpActions(port, { key: keyOf("eth_type(0x86dd),ipv6(proto=58)") }))
      .toBe("set(icmpv6(code=5)),1");
    const address = parseDpActions("set(ipv4(src=1.2.3.4)),1");
    expect(formatDpActions(address, { key: keyOf("eth_type(0x0806),arp(op=1)") }))
      .toBe("set(arp(sip=1.2.3.4)),1");
  });

  test("neighbours in the order of their header are one", () => {
    const actions = parseDpActions(
      "set(eth(src=02:00:00:00:00:01)),set(eth(dst=02:00:00:00:00:02)),1",
    );
    expect(formatDpActions(actions))
      .toBe("set(eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)),1");
    const again = parseDpActions("set(skb_mark(0x1)),set(ipv4(ttl=1)),set(ipv4(ttl=2)),1");
    expect(formatDpActions(again)).toBe("set(skb_mark(0x1)),set(ipv4(ttl=1)),set(ipv4(ttl=2)),1");
  });

  test("ports have names", () => {
    const actions = parseDpActions("p1,2", (name) => name === "p1" ? 1 : undefined);
    expect(actions).toEqual([{ type: "output", port: 1 }, { type: "output", port: 2 }]);
    expect(formatDpActions(actions, { portName: (port) => port === 1 ? "p1" : undefined }))
      .toBe("p1,2");
  });

  test("a punt is described by who knows its number", () => {
    const actions = [{ type: "userspace", userdata: 9 }] as const;
    expect(formatDpActions(actions)).toBe("userspace(pid=0,userdata(00000009))");
    expect(
      formatDpActions(actions, {
        cookie: (number) => number === 9 ? { kind: "slow_path", reasons: ["stp"] } : undefined,
      }),
    ).toBe("userspace(pid=0,slow_path(stp))");
  });

  for (
    const text of [
      "x",
      "1x",
      "set(eth_type(0x800))",
      "set(ipv4(ttl=1)",
      "ct(commit,nat(src=10.0.0.9-10.0.0.1))",
      "ct(nat(src,dst))",
      "push_vlan(vid=5000,pcp=0)",
      "sample(sample=101%,actions(1))",
      "tnl_push(tnl_port(1),header(size=1,type=4,eth(dst=02:00:00:00:00:02))",
      "userspace(1)",
      `${"clone(".repeat(40)}1${")".repeat(40)}`,
    ]
  ) {
    test(`no actions: ${text.slice(0, 40)}`, () => {
      expect(() => parseDpActions(text)).toThrow(TextError);
    });
  }

  test("no prefix of actions does worse than be refused", () => {
    for (const text of SAME) {
      for (let end = 0; end < text.length; end++) {
        try {
          parseDpActions(text.slice(0, end));
        } catch (error) {
          expect(error).toBeInstanceOf(TextError);
        }
      }
    }
  });
});
