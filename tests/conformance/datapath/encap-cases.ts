/** Headers put in front of others and taken off again: MPLS, Ethernet, NSH, PBB; two VLAN tags. */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { plainFrames } from "../../../src/packet/vnet.ts";
import { type Case, frameOf, output, set, SPEC } from "./bench.ts";
import { partialUdp, superTcp } from "./offloads.ts";
import { buildFrame } from "../../../src/packet/headers.ts";

const DST = Uint8Array.of(2, 0, 0, 0, 0, 0x77);
const SRC = Uint8Array.of(2, 0, 0, 0, 0, 0x66);
const PUSH_ETH: DpAction = { type: "push_eth", dst: DST, src: SRC };
const USERSPACE: DpAction = { type: "userspace", userdata: 1 };

const lse = (label: number, ttl: number, bos = true, tc = 0): number =>
  label * 4096 + (tc << 9) + (bos ? 256 : 0) + ttl;

function concat(...parts: (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** IPv4 behind the addresses of the bench's frame, under other outer headers. */
const labelled = (
  entries: { label: number; ttl: number; tc?: number }[],
  changes: Parameters<typeof frameOf>[0] = {},
) => frameOf({ ...changes, mpls: entries });

const NSH = Uint8Array.from([
  ...[0x0f, 0xc6, 1, 0], // version 0, TTL 63, 6 words, MD type 1
  ...[0, 0, 0x12, 0xff], // path 0x12, index 255
  ...[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4],
]);

export const ENCAP_CASES: Readonly<Record<string, Case>> = {
  "push, set and match MPLS labels": async (t) => {
    await t.flow(1, {}, [
      { type: "push_mpls", ethType: 0x8847, lse: lse(10, 64) },
      output(t.b),
      { type: "push_mpls", ethType: 0x8847, lse: lse(20, 9, false) },
      set("mpls_lse0", BigInt(lse(30, 0)), 0xfffff000n),
      output(t.c),
      USERSPACE,
    ]);
    t.send(frameOf());
    await t.expectOut({
      b: [labelled([{ label: 10, ttl: 64 }])],
      c: [labelled([{ label: 30, ttl: 9 }, { label: 10, ttl: 64 }])],
    });
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.key.get(FIELDS.mpls_label)).toBe(30);
    expect(upcall!.key.get(FIELDS.mpls_bos)).toBe(0);
    expect(upcall!.key.get(FIELDS.eth_type)).toBe(0x8847);
    expect(upcall!.key.get(FIELDS.ip_src)).toBe(0);
  },

  "labels go behind a VLAN tag": async (t) => {
    await t.flow(1, {}, [{ type: "push_mpls", ethType: 0x8848, lse: lse(10, 64) }, output(t.b)]);
    t.send(frameOf({ vlans: [{ tci: 5 }] }));
    await t.expectOut({
      b: [frameOf({ vlans: [{ tci: 5 }], mpls: [{ label: 10 }], type: 0x8848 })],
    });
  },

  "pop MPLS labels and go on with what was below": async (t) => {
    await t.flow(1, { eth_type: "0x8847" }, [
      { type: "pop_mpls", ethType: 0x8847 },
      output(t.b),
      { type: "pop_mpls", ethType: 0x0800 },
      set("nw_ttl", 5n),
      set("tp_dst", 53n),
      output(t.c),
    ]);
    t.send(labelled([{ label: 1, ttl: 2 }, { label: 2, ttl: 3 }]));
    await t.expectOut({
      b: [labelled([{ label: 2, ttl: 3 }])],
      c: [frameOf({
        ipv4: { src: "10.0.0.1", dst: "10.0.0.2", ttl: 5 },
        udp: { src: 1000, dst: 53 },
      })],
    });
  },

  "copy_ttl between labels, and between label and IP": async (t) => {
    await t.flow(1, { eth_type: "0x8847", mpls_label: "1" }, [
      { type: "copy_ttl_out" },
      output(t.b),
      { type: "copy_ttl_in" },
      output(t.b),
    ]);
    await t.flow(2, { eth_type: "0x8847", mpls_label: "2" }, [
      { type: "copy_ttl_in" },
      output(t.c),
    ]);
    await t.flow(3, { eth_type: "0x8847", mpls_label: "3" }, [
      { type: "copy_ttl_out" },
      output(t.c),
    ]);
    const ip = (ttl: number) => ({ ipv4: { src: "10.0.0.1", dst: "10.0.0.2", ttl } });
    t.send(labelled([{ label: 1, ttl: 9 }, { label: 7, ttl: 99 }]));
    t.send(labelled([{ label: 2, ttl: 9 }], ip(77)));
    t.send(labelled([{ label: 3, ttl: 9 }], ip(77)));
    const both = labelled([{ label: 1, ttl: 99 }, { label: 7, ttl: 99 }]);
    await t.expectOut({
      b: [both, both],
      c: [labelled([{ label: 2, ttl: 9 }], ip(9)), labelled([{ label: 3, ttl: 77 }], ip(77))],
    });
  },

  "copy_ttl reaches IPv6 too, and needs two headers": async (t) => {
    const v6 = (ttl: number, hopLimit: number) =>
      buildFrame({
        mpls: [{ label: 1, ttl }],
        ipv6: { src: "fd00::1", dst: "fd00::2", hopLimit },
        udp: { src: 1, dst: 2 },
      });
    await t.flow(1, { eth_type: "0x8847" }, [{ type: "copy_ttl_in" }, output(t.b)]);
    await t.flow(2, { eth_type: "0x800" }, [{ type: "copy_ttl_in" }, output(t.c)]);
    t.send(v6(9, 64));
    t.send(frameOf());
    await t.expectOut({ b: [v6(9, 9)], c: [frameOf()] });
    expect(t.counted("rewrite_no_header")).toBe(1);
  },

  "checksums are finished and segments cut before a label goes on": async (t) => {
    await t.flow(1, {}, [
      { type: "push_mpls", ethType: 0x8847, lse: lse(10, 64) },
      { type: "pop_mpls", ethType: 0x0800 },
      output(t.b),
      set("nw_ttl", 3n),
      output(t.c),
    ]);
    t.a.send(partialUdp());
    const packet = superTcp(3000, 1400);
    t.a.send(packet);
    const out = await t.outputs();
    const segments = plainFrames(packet.data, packet.vnet);
    expect(segments).toHaveLength(3);
    expect(out["b"]!.map(({ data }) => data)).toEqual([frameOf(), ...segments]);
    expect(out["c"]).toHaveLength(4);
  },

  "an Ethernet header off and another one on": async (t) => {
    await t.flow(1, { packet_type: "(0,0)" }, [
      { type: "pop_eth" },
      USERSPACE,
      { type: "recirc", id: 3 },
    ]);
    await t.flow(2, { recirc_id: "3", packet_type: "(1,0x800)" }, [
      set("tp_dst", 53n),
      PUSH_ETH,
      output(t.b),
    ]);
    t.send(frameOf());
    await t.expectOut({
      b: [frameOf({
        dst: "02:00:00:00:00:77",
        src: "02:00:00:00:00:66",
        udp: { src: 1000, dst: 53 },
      })],
    });
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.packet.data).toEqual(frameOf().subarray(14));
    expect(upcall!.key.get(FIELDS.packet_type)).toBe(0x10800);
    expect(upcall!.key.get(FIELDS.eth_type)).toBe(0x800);
    expect(upcall!.key.getBig(FIELDS.eth_src)).toBe(0n);
    expect(upcall!.key.get(FIELDS.udp_dst)).toBe(2000);
    // A packet without Ethernet goes on from the slow path, too.
    t.datapath.execute(upcall!.packet, [PUSH_ETH, output(t.c)], 0, upcall!.key);
    await t.expectOut({
      c: [frameOf({ dst: "02:00:00:00:00:77", src: "02:00:00:00:00:66" })],
    });
  },

  "an Ethernet header is pushed only where there is none": async (t) => {
    await t.flow(1, {}, [PUSH_ETH, output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(t.counted("rewrite_no_header")).toBe(1);
  },

  "a packet without Ethernet does not leave through a device": async (t) => {
    await t.flow(1, {}, [{ type: "pop_eth" }, output(t.b), PUSH_ETH, output(t.c)]);
    t.send(frameOf());
    await t.expectOut({
      c: [frameOf({ dst: "02:00:00:00:00:77", src: "02:00:00:00:00:66" })],
    });
    expect(t.counted("drop_tx_no_ethernet")).toBe(1);
  },

  "a label over a whole frame, and off again": async (t) => {
    await t.flow(1, {}, [
      { type: "add_mpls", ethType: 0x8847, lse: lse(10, 64), l2: true },
      PUSH_ETH,
      output(t.b),
      { type: "pop_eth" },
      { type: "pop_mpls", ethType: 0x6558 },
      output(t.c),
    ]);
    t.send(frameOf());
    await t.expectOut({
      b: [concat(DST, SRC, [0x88, 0x47, 0, 0, 0xa1, 64], frameOf())],
      c: [frameOf()],
    });
  },

  "NSH: pushed over a frame, set, matched, popped": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [
      { type: "push_nsh", header: NSH },
      set("nsh_path", 0x34n << 8n, 0xffffff00n),
      set("nsh_ttl", 62n),
      set("nsh_flags", 2n),
      set("nsh_c", 0xaan << 120n, 0xffn << 120n),
      PUSH_ETH,
      output(t.b),
      USERSPACE,
      { type: "pop_eth" },
      { type: "pop_nsh" },
      output(t.c),
    ]);
    t.send(frameOf());
    const header = NSH.slice();
    header.set([0x2f, 0x86, 1, 3, 0, 0, 0x34, 0xff, 0xaa], 0);
    await t.expectOut({
      b: [concat(DST, SRC, [0x89, 0x4f], header, frameOf())],
      c: [frameOf()],
    });
    const { key } = (await t.upcallsSeen(1))[0]!;
    expect(key.get(FIELDS.nsh_spi)).toBe(0x34);
    expect(key.get(FIELDS.nsh_si)).toBe(0xff);
    expect(key.get(FIELDS.nsh_ttl)).toBe(62);
    expect(key.get(FIELDS.nsh_flags)).toBe(2);
    expect(key.get(FIELDS.nsh_np)).toBe(3);
    expect(key.get(FIELDS.nsh_c1)).toBe(0xaa010101);
  },

  "PBB: pushed with the packet's addresses, set, matched, popped": async (t) => {
    await t.flow(1, {}, [
      { type: "push_pbb", ethType: 0x88e7, tci: 0x60000009 },
      set("pbb_tci", 0x0800000an, 0x08ffffffn),
      set("eth_dst", 0x020000000099n),
      output(t.b),
      USERSPACE,
      { type: "pop_pbb" },
      output(t.c),
    ]);
    t.send(frameOf());
    const frame = frameOf();
    await t.expectOut({
      b: [
        concat(
          Uint8Array.of(2, 0, 0, 0, 0, 0x99),
          frame.subarray(6, 12),
          [0x88, 0xe7, 0x68, 0, 0, 0x0a],
          frame,
        ),
      ],
      c: [frame],
    });
    const { key } = (await t.upcallsSeen(1))[0]!;
    expect(key.get(FIELDS.pbb_isid)).toBe(10);
    expect(key.get(FIELDS.pbb_uca)).toBe(1);
    expect(key.get(FIELDS.eth_type)).toBe(0x88e7);
  },

  "popping what is not there leaves the packet": async (t) => {
    await t.flow(1, {}, [
      { type: "pop_mpls", ethType: 0x0800 },
      { type: "pop_nsh" },
      { type: "pop_pbb" },
      output(t.b),
    ]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(t.counted("rewrite_no_header")).toBe(3);
  },

  "the VLAN limit says how many tags are parsed": async (t) => {
    const frame = buildFrame({ ...SPEC, vlans: [{ tpid: 0x88a8, tci: 8 }, { tci: 7 }] });
    const seen: (number | undefined)[] = [];
    for (const limit of [1, 2] as const) {
      t.datapath.setVlanLimit(limit);
      await t.datapath.barrier();
      t.upcalls.length = 0;
      t.send(frame);
      seen.push((await t.upcallsSeen(1))[0]!.key.get(FIELDS.eth_type));
    }
    expect(seen).toEqual([0x8100, 0x0800]);
  },
};
