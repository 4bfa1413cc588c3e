/**
 * Actions beyond outputs and sets, in flows that a datapath with programs in the kernel does there; and with
 * them flows of the same kind that it does not.
 */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { type Case, frameOf, output, set, SPEC } from "./bench.ts";
import { ONLY_USERSPACE } from "./host-rig.ts";
import { superTcp } from "./offloads.ts";

const UNTAGGED = { vlan_tci: "0" };
const LABEL = { label: 77, tc: 3, ttl: 9 };
const lse = ({ label, tc, ttl }: typeof LABEL, bottom = true): number =>
  ((label << 12) | (tc << 9) | (bottom ? 0x100 : 0) | ttl) >>> 0;
const labelled = (...mpls: typeof LABEL[]): Uint8Array => frameOf({ mpls });
const METER = 5;

export const PLACE_CASES: Readonly<Record<string, Case>> = {
  "labels are pushed in front of each other, and changed": async (t) => {
    const outer = { label: 5, tc: 0, ttl: 64 };
    await t.flow(1, UNTAGGED, [
      { type: "push_mpls", ethType: 0x8847, lse: lse(LABEL) },
      output(t.b),
      { type: "push_mpls", ethType: 0x8847, lse: lse({ ...outer, label: 4 }, false) },
      set("mpls_lse0", BigInt(lse(outer, false))),
      output(t.c),
    ]);
    t.send(frameOf());
    await t.expectOut({ b: [labelled(LABEL)], c: [labelled(outer, LABEL)] });
    t.expectInKernel(1);
  },

  "a label goes in behind a tag": async (t) => {
    const vlans = [{ tpid: 0x8100, tci: 5 }];
    await t.flow(1, { vlan_tci: "0x1005/0x1fff" }, [
      { type: "push_mpls", ethType: 0x8848, lse: lse(LABEL) },
      output(t.b),
    ]);
    t.send(frameOf({ vlans }));
    const out = await t.outputs();
    expect(out["b"]!.map(({ data }) => data.toHex())).toEqual([
      frameOf({ vlans, mpls: [LABEL] }).toHex().replace("8847", "8848"),
    ]);
    t.expectInKernel(1);
  },

  "a label is popped, and what was behind it is seen on the next round": async (t) => {
    await t.flow(1, { ...UNTAGGED, eth_type: "0x8847", mpls_label: "77", recirc_id: "0" }, [
      { type: "pop_mpls", ethType: 0x0800 },
      output(t.c),
      { type: "recirc", id: 1 },
    ]);
    await t.flow(2, { recirc_id: "1", nw_proto: "17", udp_dst: "2000" }, [
      set("tp_dst", 53n),
      output(t.b),
    ]);
    t.send(labelled(LABEL));
    await t.expectOut({ b: [frameOf({ udp: { src: 1000, dst: 53 } })], c: [frameOf()] });
    t.expectInKernel(1, 2);
  },

  "a meter has one bucket, whichever place its flows are in": async (t) => {
    const drop = { type: "drop", rate: 0 } as const;
    t.datapath.setMeter(METER, { unit: "pktps", bands: [{ ...drop, burst: 4 }] });
    const meter = { type: "meter", id: METER } as const;
    await t.flow(1, { nw_proto: "17", udp_dst: "1" }, [meter, output(t.b)]);
    await t.flow(2, { nw_proto: "17", udp_dst: "2" }, [...ONLY_USERSPACE, meter, output(t.b)]);
    const data = [1, 2, 2, 1, 2, 1, 2].map((dst) => frameOf({ udp: { src: 1, dst } }));
    for (const [i, each] of data.entries()) {
      // In turn, however long the ways are.
      t.send(each);
      await t.expectOut(i < 4 ? { b: [each] } : {});
    }
    const bytes = data[0]!.length;
    expect(t.datapath.meterStats(METER)).toEqual({
      packetsIn: 7,
      bytesIn: 7 * bytes,
      bands: [{ packets: 3, bytes: 3 * bytes }],
    });
    expect(t.counted("drop_meter")).toBe(3);
    t.expectInKernel(1);
    t.datapath.deleteMeter(METER);
    t.send(data[0]!);
    await t.expectOut({ b: [data[0]!] });
  },

  "flows of a meter that comes to remark go where it can": async (t) => {
    t.datapath.setMeter(METER, { unit: "pktps", bands: [{ type: "drop", rate: 0, burst: 1 }] });
    await t.flow(1, {}, [{ type: "meter", id: METER }, output(t.b)]);
    t.expectInKernel(1);
    t.send(frameOf());
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    const remark = { type: "dscp_remark", rate: 0, burst: 1, precedenceLevel: 1 } as const;
    t.datapath.setMeter(METER, { unit: "pktps", bands: [remark] });
    await t.datapath.barrier();
    const tos = (value: number) =>
      frameOf({ ipv4: { src: "10.0.0.1", dst: "10.0.0.2", tos: value } });
    t.send(tos(0x28));
    t.send(tos(0x28));
    await t.expectOut({ b: [tos(0x28), tos(0x30)] });
    expect(t.datapath.meterStats(METER)?.bands[0]?.packets).toBe(1);
    t.datapath.deleteMeter(METER);
  },

  "a copy is cut next to a whole one, however they are ordered": async (t) => {
    await t.flow(1, {}, [
      { type: "trunc", maxLength: 70 },
      output(t.b),
      { type: "clone", actions: [output(t.c)] },
    ]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf().slice(0, 70)], c: [frameOf()] });
    t.expectInKernel(1);
  },

  "lengths are asked for without padding, and of super-packets by segment": async (t) => {
    const small = buildFrame({ ...SPEC, payload: 5, minLength: 60 });
    const asked = (length: number): DpAction => ({
      type: "check_pkt_len",
      length,
      greater: [{ type: "recirc", id: 1 }],
      lessEqual: [set("eth_dst", 0x02000000000cn), output(t.b)],
    });
    await t.flow(1, { nw_proto: "17", recirc_id: "0" }, [asked(47)]);
    await t.flow(2, { nw_proto: "6", recirc_id: "0" }, [asked(1053)]);
    await t.flow(3, { recirc_id: "1" }, [output(t.c)]);
    t.send(small);
    t.send(frameOf());
    t.a.send(superTcp(4000, 1000));
    const out = await t.outputs();
    expect(out["c"]?.map(({ data }) => data.length)).toEqual([
      frameOf().length,
      superTcp(4000, 1000).data.length,
    ]);
    expect(out["b"]?.map(({ data }) => data.slice(0, 6).toHex())).toEqual(["02000000000c"]);
    t.expectInKernel(1, 2, 3);
  },

  "samples are taken as often as was asked for, and the packet goes on": async (t) => {
    await t.flow(1, {}, [
      { type: "sample", probability: 0, actions: [output(t.c)] },
      { type: "sample", probability: 0xffff_fffe, actions: [{ type: "userspace", userdata: 7 }] },
      output(t.b),
    ]);
    t.send(frameOf());
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.userdata).toBe(7);
    expect(t.datapath.flowStats(1).packets).toBe(1);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    // Or it comes in the next case.
    await t.upcallsSeen(2);
    t.expectInKernel(1);
  },

  "neighbours are told apart by their targets, and get others": async (t) => {
    const [ask, tell] = [135, 136].map((type) =>
      buildFrame({
        ...SPEC,
        ipv4: undefined as never,
        udp: undefined as never,
        ipv6: { src: "fe80::1", dst: "ff02::1" },
        icmpv6: { type, code: 0 },
        payload: Uint8Array.from([...new Uint8Array(15), type, 1, 1, 2, 0, 0, 0, 0, 9]),
      })
    );
    const fields = { eth_type: "0x86dd", nw_proto: "58", icmpv6_code: "0" };
    await t.flow(1, { ...fields, icmpv6_type: "135", nd_target: "::87" }, [
      set("nd_target", 0x88n),
      set("tp_src", 136n),
      output(t.b),
    ]);
    await t.flow(2, {
      ...fields,
      icmpv6_type: "136",
      nd_target: "::88",
      nd_sll: "02:00:00:00:00:09",
    }, [
      output(t.c),
    ]);
    t.send(ask!);
    t.send(tell!);
    await t.expectOut({ b: [tell!], c: [tell!] });
    t.expectInKernel(1, 2);
  },
};
