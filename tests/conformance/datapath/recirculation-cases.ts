/**
 * Packets that go round more than once, and that change hands on the way: what the first flow left them
 * (their bytes, the hash, marks) is there for the second, wherever either is.
 */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import {
  hashFiveTupleWithBasis,
  hashSymmetric,
  hashWide,
} from "../../../src/fastpath/engine/flow-hash.ts";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame } from "../../../src/packet/frame.ts";
import type { FrameSpec } from "../../../src/packet/headers.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { plainFrames } from "../../../src/packet/vnet.ts";
import { type Case, frameOf, output, set } from "./bench.ts";
import { ONLY_USERSPACE } from "./host-rig.ts";
import { partialUdp, superTcp } from "./offloads.ts";

const recirc = (id: number): DpAction => ({ type: "recirc", id });
const TO = (port: number) => frameOf({ udp: { src: 1000, dst: port } });
const setPort = (port: number): DpAction => set("tp_dst", BigInt(port));

function keyOf(data: Uint8Array) {
  const frame = new Frame();
  frame.set(data, 0, data.length, false, 0);
  extract(frame, 0, 0, 0);
  return frame.key;
}

/** What is hashed, and the match that knows its headers. */
const HASHED: readonly (readonly [name: string, Partial<FrameSpec>, Record<string, string>])[] = [
  ["UDP over IPv4", {}, { eth_type: "0x800", nw_proto: "17", ip_frag: "no" }],
  ["TCP over IPv4", { tcp: { src: 5, dst: 7 } }, { eth_type: "0x800", ip_frag: "no" }],
  ["ICMP", { icmp: { type: 8, code: 3 } }, { eth_type: "0x800", ip_frag: "no" }],
  [
    "a later fragment",
    { ipv4: { src: "10.0.0.1", dst: "10.0.0.2", fragment: 0x10 } },
    { eth_type: "0x800", ip_frag: "later" },
  ],
  [
    "TCP over IPv6",
    { ipv6: { src: "fd00::1", dst: "fd00::2" }, tcp: { src: 5, dst: 7 } },
    { eth_type: "0x86dd", ip_frag: "no" },
  ],
  [
    "SCTP over IPv6, with a tag",
    {
      vlans: [{ tpid: 0x8100, tci: 5 }],
      ipv6: { src: "fd00::1", dst: "fd00::2" },
      sctp: { src: 5, dst: 7 },
    },
    { eth_type: "0x86dd", ip_frag: "no" },
  ],
  [
    "ARP",
    { arp: { op: 1, sha: "02:00:00:00:00:0a", spa: "10.0.0.1", tpa: "10.0.0.9" } },
    { eth_type: "0x806" },
  ],
  [
    "MPLS",
    { mpls: [{ label: 77, tc: 3, ttl: 9 }, { label: 78, tc: 3, ttl: 9 }] },
    { eth_type: "0x8847" },
  ],
  ["another type", { type: 0x88cc, payload: 60 }, { eth_type: "0x88cc" }],
];

function specOf(changes: Partial<FrameSpec>): Uint8Array {
  const isOther = changes.ipv6 || changes.arp || changes.mpls || changes.type;
  const isUdp = !isOther && !changes.tcp && !changes.icmp;
  return frameOf({
    ...isOther ? { ipv4: undefined as never } : {},
    ...isUdp ? {} : { udp: undefined as never },
    ...changes,
  });
}

export const RECIRCULATION_CASES: Readonly<Record<string, Case>> = {
  "hash gives each kind of packet the same value everywhere": async (t) => {
    const kinds = [
      { algorithm: "l4" },
      { algorithm: "sym_l4" },
      { algorithm: "sym_l4", wide: true },
    ] as const;
    for (const [name, changes, fields] of HASHED) {
      const data = specOf(changes);
      for (const [i, kind] of kinds.entries()) {
        await t.reset();
        await t.flow(1, { ...fields, recirc_id: "0" }, [
          { type: "hash", basis: 1234, ...kind },
          recirc(7),
        ]);
        t.send(data);
        const [upcall] = await t.upcallsSeen(1);
        const key = keyOf(data);
        const hash = [hashFiveTupleWithBasis, hashSymmetric, hashWide][i]!(key, 1234);
        expect([name, i, upcall!.key.get(FIELDS.dp_hash)]).toEqual([name, i, hash]);
        t.expectInKernel(1);
      }
    }
  },

  "flows tell packets apart by how they came and what they hashed to": async (t) => {
    const data = frameOf();
    const hash = hashFiveTupleWithBasis(keyOf(data), 5);
    const fields = { ip_frag: "no", recirc_id: "0" };
    await t.flow(1, fields, [{ type: "hash", algorithm: "l4", basis: 5 }, recirc(7)]);
    await t.flow(2, { recirc_id: "7", dp_hash: `0x${(hash & 0xff).toString(16)}/0xff` }, [
      output(t.b),
    ]);
    await t.flow(3, { recirc_id: "7", dp_hash: `0x${(hash & 0xff ^ 1).toString(16)}/0xff` }, [
      output(t.c),
    ]);
    t.send(data);
    await t.expectOut({ b: [data] });
    expect(t.datapath.flowStats(1).packets).toBe(1);
    expect(t.datapath.flowStats(2).packets).toBe(1);
    expect(t.datapath.portStats(t.a.port.portNo)!.rxPackets).toBeGreaterThan(0);
    t.expectInKernel(1, 2, 3);
  },

  "what was sent before and changed is right, on each round": async (t) => {
    await t.flow(1, { nw_proto: "17", recirc_id: "0" }, [
      output(t.c),
      setPort(53),
      output(t.b),
      setPort(54),
      recirc(1),
    ]);
    await t.flow(2, { nw_proto: "17", recirc_id: "1", udp_dst: "54" }, [
      output(t.c),
      { type: "push_vlan", tpid: 0x8100, tci: 0x1005 },
      recirc(2),
    ]);
    await t.flow(3, { nw_proto: "17", recirc_id: "2", vlan_tci: "0x1005/0x1fff" }, [
      { type: "pop_vlan" },
      setPort(55),
      output(t.b),
    ]);
    t.send(frameOf());
    t.send(frameOf());
    await t.expectOut({
      b: [TO(53), TO(55), TO(53), TO(55)],
      c: [frameOf(), TO(54), frameOf(), TO(54)],
    });
    t.expectInKernel(1, 2, 3);
  },

  "outputs behind a recirculation see the packet as it was": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [recirc(1), output(t.b)]);
    await t.flow(2, { recirc_id: "1", nw_proto: "17" }, [setPort(9), output(t.c)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()], c: [TO(9)] });
    t.expectInKernel(1, 2);
  },

  "a packet that the second flow's place cannot treat goes on with its hash and mark": async (
    t,
  ) => {
    const hash = hashFiveTupleWithBasis(keyOf(TO(53)), 5);
    await t.flow(1, { nw_proto: "17", ip_frag: "no", recirc_id: "0" }, [
      setPort(53),
      set("pkt_mark", 0x1234n),
      set("skb_priority", 0x56n),
      { type: "hash", algorithm: "l4", basis: 5 },
      recirc(7),
    ]);
    const fields = {
      recirc_id: "7",
      pkt_mark: "0x1234",
      dp_hash: `0x${hash.toString(16)}`,
      udp_dst: "53",
      nw_proto: "17",
    };
    await t.flow(2, fields, [...ONLY_USERSPACE, output(t.c), setPort(54), recirc(8)]);
    await t.flow(3, { ...fields, recirc_id: "8", udp_dst: "54" }, [output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [TO(54)], c: [TO(53)] });
    for (const id of [1, 2, 3]) expect(t.datapath.flowStats(id).packets).toBe(1);
    t.expectInKernel(1, 3);
  },

  "a miss in the middle comes up with the packet as it is by then": async (t) => {
    await t.flow(1, { nw_proto: "17", recirc_id: "0" }, [
      setPort(53),
      { type: "push_vlan", tpid: 0x8100, tci: 0x1007 },
      set("pkt_mark", 3n),
      recirc(9),
    ]);
    t.send(frameOf());
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.packet.data.toHex()).toBe(
      frameOf({ udp: { src: 1000, dst: 53 }, vlans: [{ tpid: 0x8100, tci: 7 }] }).toHex(),
    );
    const { key } = upcall!;
    expect(key.get(FIELDS.recirc_id)).toBe(9);
    expect(key.get(FIELDS.pkt_mark)).toBe(3);
    expect(key.get(FIELDS.in_port_oxm)).toBe(t.a.port.portNo);
    expect(key.get(FIELDS.vlan_vid) & 0xfff).toBe(7);
    t.expectInKernel(1);
  },

  "super-packets and unfinished checksums keep their offloads through rounds and hands": async (
    t,
  ) => {
    await t.flow(1, { recirc_id: "0" }, [set("eth_dst", 0x020000000077n), recirc(1)]);
    await t.flow(2, { recirc_id: "1", nw_proto: "6" }, [...ONLY_USERSPACE, output(t.b)]);
    await t.flow(3, { recirc_id: "1", nw_proto: "17" }, [output(t.c)]);
    const [big, partial] = [superTcp(4000, 1000), partialUdp()];
    for (const packet of [big, partial]) t.a.send(packet);
    const out = await t.outputs();
    const frames = (packets: readonly Packet[] = []) =>
      packets.map(({ data, vnet }) => {
        return plainFrames(data, vnet).map((frame) => frame.subarray(6).toHex());
      });
    // A header in front ends offloads: it comes out cut.
    expect(frames(out["b"]).flat()).toEqual(frames([big]).flat());
    expect(frames(out["c"])).toEqual(frames([partial]));
    t.expectInKernel(1, 3);
  },
};
