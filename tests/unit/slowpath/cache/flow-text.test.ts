import { describe, expect, test } from "bun:test";
import type { DpAction } from "../../../../src/fastpath/actions.ts";
import { anyMatch, maskField, type Match } from "../../../../src/packet/key.ts";
import { FIELDS, SLOTS } from "../../../../src/packet/layout.ts";
import {
  formatDpActions,
  formatDpMatch,
  formatMegaflow,
} from "../../../../src/slowpath/cache/flow-text.ts";

type Values = Partial<Record<keyof typeof FIELDS, bigint>>;

/** An exact match on these fields. */
function exact(values: Values): Match {
  const match = anyMatch();
  for (const [name, value] of Object.entries(values)) {
    const field = FIELDS[name as keyof typeof FIELDS];
    match.key.setBig(field, value);
    maskField(match.mask, field);
  }
  return match;
}

const HEAD = "recirc_id(0),in_port(2),packet_type(ns=0,id=0)";
const TCP: Values = {
  in_port: 2n,
  eth_src: 0x020000000001n,
  eth_dst: 0x020000000002n,
  eth_type: 0x0800n,
  nw_proto: 6n,
  tcp_dst: 80n,
};

describe("datapath flows as text", () => {
  test("shows what the mask looks at, header by header", () => {
    expect(formatDpMatch(exact(TCP))).toBe(
      `${HEAD},eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),` +
        "ipv4(proto=6),tcp(dst=80)",
    );
    expect(formatDpMatch(exact({ in_port: 2n, eth_type: 0x0806n, arp_tpa: 0x0a000001n }))).toBe(
      `${HEAD},eth_type(0x0806),arp(tip=10.0.0.1)`,
    );
  });

  test("partial masks stand behind the value", () => {
    const match = exact({ in_port: 2n, eth_type: 0x0800n, ip_src: 0x0a000000n });
    const { offset } = SLOTS.get("nw_src")!;
    match.mask.bytes.set([255, 255, 0, 0], offset);
    expect(formatDpMatch(match)).toBe(
      `${HEAD},eth_type(0x0800),ipv4(src=10.0.0.0/255.255.0.0)`,
    );
  });

  test("what a VLAN tag holds is encapsulated", () => {
    const match = exact({ in_port: 2n, eth_type: 0x0800n, vlan_tci: 0x7005n });
    expect(formatDpMatch(match)).toBe(`${HEAD},vlan(vid=5,pcp=3),encap(eth_type(0x0800))`);
    expect(formatDpMatch(exact({ in_port: 2n, vlan_tci: 0n }))).toBe(HEAD);
  });

  test("actions", () => {
    const actions: DpAction[] = [
      { type: "push_vlan", tpid: 0x8100, tci: 10 },
      { type: "push_vlan", tpid: 0x88a8, tci: 0x2014 },
      { type: "pop_vlan" },
      {
        type: "set",
        slot: "nw_dst",
        value: new Uint8Array([10, 0, 0, 9]),
        mask: new Uint8Array(4).fill(255),
      },
      {
        type: "set",
        slot: "tp_dst",
        value: new Uint8Array([0, 81]),
        mask: new Uint8Array([255, 255]),
      },
      { type: "trunc", maxLength: 64 },
      { type: "userspace", userdata: 7 },
      { type: "output", port: 3 },
    ];
    expect(formatDpActions(actions, exact(TCP))).toBe(
      "push_vlan(vid=10,pcp=0),push_vlan(tpid=0x88a8,vid=20,pcp=1),pop_vlan," +
        "set(ipv4(dst=10.0.0.9)),set(tcp(dst=81)),trunc(64),userspace(pid=0,userdata(7)),3",
    );
    expect(formatDpActions([], exact(TCP))).toBe("drop");
  });

  test("counters", () => {
    const flow = { packets: 0, bytes: 0, usedMs: 0, tcpFlags: 0, actions: [] };
    const match = exact({ in_port: 2n });
    expect(formatMegaflow(flow, match, 500)).toBe(
      `${HEAD}, packets:0, bytes:0, used:never, actions:drop`,
    );
    expect(formatMegaflow({ ...flow, packets: 2, bytes: 196, tcpFlags: 0x12 }, match, 500))
      .toBe(`${HEAD}, packets:2, bytes:196, used:0.500s, flags:S., actions:drop`);
  });
});
