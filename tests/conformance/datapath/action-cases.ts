/** What actions do to packets, offloads included. */
import { expect } from "bun:test";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { updateChecksum } from "../../../src/packet/checksum.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { anyMatch } from "../../../src/packet/key.ts";
import { slot } from "../../../src/packet/layout.ts";
import { decodeVnet, finishChecksum, plainFrames } from "../../../src/packet/vnet.ts";
import { eventually } from "../../support/eventually.ts";
import { type Case, frameOf, output, set } from "./bench.ts";
import { partialUdp, superTcp } from "./offloads.ts";

export const ACTION_CASES: Readonly<Record<string, Case>> = {
  "no actions drops and counts": async (t) => {
    await t.flow(1, {}, []);
    t.send(frameOf());
    await t.expectOut({});
    expect(t.upcalls.length).toBe(0);
    expect(t.datapath.flowStats(1).packets).toBe(1);
    expect(t.counted("drop_no_actions")).toBe(1);
  },

  "output to many, the input among them": async (t) => {
    await t.flow(1, {}, t.wires.map(output));
    t.send(frameOf());
    await t.expectOut({ a: [frameOf()], b: [frameOf()], c: [frameOf()] });
  },

  "a set acts on later outputs only": async (t) => {
    await t.flow(1, {}, [
      output(t.b),
      set("nw_dst", 0x0a000063n),
      set("tp_dst", 53n),
      output(t.c),
      set("eth_src", 0x020000000099n),
      output(t.b),
    ]);
    const changed = {
      ipv4: { src: "10.0.0.1", dst: "10.0.0.99" },
      udp: { src: 1000, dst: 53 },
    };
    t.send(frameOf());
    t.send(frameOf());
    const last = frameOf({ ...changed, src: "02:00:00:00:00:99" });
    await t.expectOut({
      b: [frameOf(), last, frameOf(), last],
      c: [frameOf(changed), frameOf(changed)],
    });
  },

  "a set under a mask": async (t) => {
    await t.flow(1, {}, [
      set("nw_src", 0xc0a80000n, 0xffff0000n),
      set("nw_tos", 0xb8n, 0xfcn),
      set("nw_ttl", 7n),
      output(t.b),
    ]);
    t.send(frameOf({ ipv4: { src: "10.0.0.1", dst: "10.0.0.2", tos: 1 } }));
    await t.expectOut({
      b: [frameOf({ ipv4: { src: "192.168.0.1", dst: "10.0.0.2", tos: 0xb9, ttl: 7 } })],
    });
  },

  "IPv6, TCP and ARP headers are set": async (t) => {
    await t.flow(1, { eth_type: "0x86dd" }, [
      set("ipv6_dst", 0xfd000000000000000000000000000077n),
      set("nw_ttl", 3n),
      set("tp_src", 4444n),
      output(t.b),
    ]);
    await t.flow(2, { eth_type: "0x806" }, [
      set("nw_proto", 2n),
      set("arp_sha", 0x020000000042n),
      set("nw_src", 0x0a00002an),
      output(t.b),
    ]);
    const v6 = (dst: string, hopLimit: number, src: number) =>
      buildFrame({ ipv6: { src: "fd00::1", dst, hopLimit }, tcp: { src, dst: 80 } });
    const arp = (op: number, sha: string, spa: string) =>
      buildFrame({ arp: { op, sha, spa, tpa: "10.0.0.9" }, minLength: 60 });
    // One after the other: packets of two flows may overtake one another.
    t.send(v6("fd00::2", 64, 9));
    await t.expectOut({ b: [v6("fd00::77", 3, 4444)] });
    t.send(arp(1, "02:00:00:00:00:01", "10.0.0.1"));
    await t.expectOut({ b: [arp(2, "02:00:00:00:00:42", "10.0.0.42")] });
  },

  "the Ethernet type and the protocol above IP are set": async (t) => {
    await t.flow(1, { nw_proto: "6" }, [set("nw_proto", 17n), output(t.b)]);
    await t.flow(2, { eth_type: "0x86dd" }, [set("nw_proto", 17n), output(t.b)]);
    await t.flow(3, { nw_proto: "17" }, [
      set("eth_type", 0x8848n),
      set("nw_ttl", 1n),
      output(t.c),
    ]);
    const tcp = (protocol: number) => {
      const data = buildFrame({
        ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
        tcp: { src: 1, dst: 2 },
      });
      return protocol === 6 ? data : retyped(data, 14 + 9, 14 + 10, 14 + 20 + 16);
    };
    /** The protocol's byte changed, and two checksums that cover it. */
    const retyped = (data: Uint8Array, at: number, header: number, transport: number) => {
      data[at] = 17;
      for (const sum of header < 0 ? [transport] : [header, transport]) {
        const value = updateChecksum((data[sum]! << 8) | data[sum + 1]!, 6, 17);
        data[sum] = value >> 8;
        data[sum + 1] = value;
      }
      return data;
    };
    const v6 = () =>
      buildFrame({
        ipv6: {
          src: "fd00::1",
          dst: "fd00::2",
          extensions: [{ type: 0, bytes: new Uint8Array(8) }],
        },
        tcp: { src: 1, dst: 2 },
      });
    t.send(tcp(6));
    t.send(v6());
    t.send(frameOf());
    await t.expectOut({
      b: [tcp(17), retyped(v6(), 14 + 40, -1, 14 + 48 + 16)],
      c: [frameOf({ type: 0x8848 })],
    });
    expect(t.counted("rewrite_no_header")).toBe(1);
  },

  "a set without its header leaves the packet": async (t) => {
    await t.flow(1, {}, [set("arp_sha", 1n), output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(t.counted("rewrite_no_header")).toBe(1);
  },

  "metadata cannot be set on packets unless the datapath says so": async (t) => {
    expect(() =>
      t.datapath.putFlow({
        id: 1,
        match: anyMatch(),
        actions: [set("ct_label", 1n)],
      })
    ).toThrow(/ct_label/);
    await t.datapath.barrier();
  },

  "push a VLAN tag": async (t) => {
    await t.flow(1, {}, [
      output(t.c),
      { type: "push_vlan", tpid: 0x8100, tci: 0xb005 },
      output(t.b),
    ]);
    t.send(frameOf());
    await t.expectOut({
      b: [frameOf({ vlans: [{ tpid: 0x8100, tci: 0xa005 }] })],
      c: [frameOf()],
    });
  },

  "match and pop a VLAN tag": async (t) => {
    await t.flow(1, { vlan_tci: "0x1005/0x1fff" }, [{ type: "pop_vlan" }, output(t.b)]);
    const tagged = (vid: number) => frameOf({ vlans: [{ tci: 0x6000 | vid }] });
    t.send(tagged(5));
    t.send(tagged(6));
    await t.expectOut({ b: [frameOf()] });
    expect((await t.upcallsSeen(1))[0]!.packet.data).toEqual(tagged(6));
  },

  "an untagged match does not take a tagged packet": async (t) => {
    await t.flow(1, { vlan_tci: "0x0/0x1fff" }, [output(t.b)]);
    t.send(frameOf({ vlans: [{ tci: 0 }] }));
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(await t.upcallsSeen(1)).toHaveLength(1);
  },

  "change a VLAN tag by pop and push": async (t) => {
    await t.flow(1, { vlan_tci: "0x1005/0x1fff" }, [
      { type: "pop_vlan" },
      { type: "push_vlan", tpid: 0x8100, tci: 0x1009 },
      output(t.b),
      output(t.c),
    ]);
    t.send(frameOf({ vlans: [{ tci: 5 }] }));
    const out = frameOf({ vlans: [{ tci: 9 }] });
    await t.expectOut({ b: [out], c: [out] });
  },

  "two tags: pushed, matched, popped": async (t) => {
    await t.flow(1, { vlan_tci: "0x0/0x1fff" }, [
      { type: "push_vlan", tpid: 0x8100, tci: 7 },
      { type: "push_vlan", tpid: 0x88a8, tci: 8 },
      output(t.b),
    ]);
    await t.flow(2, { vlan_tci: "0x1008/0x1fff", ip_dst: "10.0.0.2" }, [
      { type: "pop_vlan" },
      output(t.c),
    ]);
    const both = frameOf({ vlans: [{ tpid: 0x88a8, tci: 8 }, { tpid: 0x8100, tci: 7 }] });
    t.send(frameOf());
    t.send(both);
    await t.expectOut({ b: [both], c: [frameOf({ vlans: [{ tci: 7 }] })] });
  },

  "trunc cuts the next output only": async (t) => {
    await t.flow(1, {}, [{ type: "trunc", maxLength: 64 }, output(t.b), output(t.c)]);
    const frame = frameOf({ payload: 200 });
    t.send(frame);
    await t.expectOut({ b: [frame.subarray(0, 64)], c: [frame] });
    expect(t.datapath.flowStats(1).bytes).toBe(frame.length);
  },

  "userspace sends a copy as it is then, with its userdata, and goes on": async (t) => {
    await t.flow(1, {}, [
      { type: "userspace", userdata: 77 },
      set("tp_dst", 53n),
      { type: "trunc", maxLength: 50 },
      { type: "userspace", userdata: 0xfffffffe },
      output(t.b),
    ]);
    const after = frameOf({ udp: { src: 1000, dst: 53 } });
    t.send(frameOf());
    await t.expectOut({ b: [after] });
    const upcalls = await t.upcallsSeen(2);
    expect(upcalls.map(({ reason, userdata }) => [reason, userdata])).toEqual([
      ["action", 77],
      ["action", 0xfffffffe],
    ]);
    expect(upcalls[0]!.packet.data).toEqual(frameOf());
    expect(upcalls[1]!.packet.data).toEqual(after.subarray(0, 50));
    expect(t.counted("upcalls")).toBe(2);
    expect(t.counted("miss")).toBe(0);
  },

  "execute runs actions on one packet, without a flow": async (t) => {
    const before = t.datapath.portStats(t.a.port.portNo)!.rxPackets;
    t.datapath.execute(
      { data: frameOf() },
      [set("tp_dst", 53n), output(t.b), { type: "userspace", userdata: 5 }],
      t.a.port.portNo,
    );
    await t.datapath.barrier();
    const after = frameOf({ udp: { src: 1000, dst: 53 } });
    await eventually("the upcall", () => t.upcalls.length === 1, { everyMs: 1 });
    await t.expectOut({ b: [after] });
    expect(t.upcalls[0]).toMatchObject({ reason: "action", userdata: 5 });
    expect(t.upcalls[0]!.packet.data).toEqual(after);
    expect(t.upcalls[0]!.key.bytes[slot("in_port").offset + 3]).toBe(t.a.port.portNo);
    // Only the sentinel came in by the port.
    expect(t.datapath.portStats(t.a.port.portNo)!.rxPackets - before).toBe(1);
  },

  "execute leaves the caller's packet alone": async (t) => {
    const data = frameOf();
    t.datapath.execute({ data }, [
      set("eth_dst", 1n),
      { type: "push_vlan", tpid: 0x8100, tci: 5 },
      output(t.b),
    ], t.a.port.portNo);
    await t.outputs();
    expect(data).toEqual(frameOf());
  },

  "partial checksums travel along, and follow a set": async (t) => {
    await t.flow(1, {}, [output(t.b), set("nw_src", 0x01020304n), set("tp_dst", 9n), output(t.c)]);
    const packet = partialUdp();
    t.a.send(packet);
    const out = await t.outputs();
    expect(out["b"]![0]!.data).toEqual(packet.data);
    expect(out["b"]![0]!.vnet).toEqual(packet.vnet!);
    const changed = out["c"]![0]!;
    finishChecksum(changed.data, decodeVnet(changed.vnet!));
    expect(changed.data).toEqual(
      frameOf({ ipv4: { src: "1.2.3.4", dst: "10.0.0.2" }, udp: { src: 1000, dst: 9 } }),
    );
  },

  "what is cut off has no offloads left: the checksum of the whole stands in the rest": async (
    t,
  ) => {
    const cut = { type: "trunc", maxLength: 50 } as const;
    await t.flow(1, {}, [cut, output(t.b), cut, { type: "userspace", userdata: 1 }, output(t.c)]);
    const packet = partialUdp();
    t.a.send(packet);
    const start = plainFrames(packet.data, packet.vnet)[0]!.subarray(0, 50);
    const out = await t.outputs();
    expect(out["b"]!.map(({ data }) => data)).toEqual([start]);
    expect(out["c"]![0]!.data).toEqual(packet.data);
    const [upcall] = await t.upcallsSeen(1);
    expect([upcall!.packet.data, upcall!.packet.vnet]).toEqual([start, undefined]);
  },

  "a super-packet stays one, tagged or not": async (t) => {
    await t.flow(1, {}, [output(t.b), { type: "push_vlan", tpid: 0x8100, tci: 5 }, output(t.c)]);
    const packet = superTcp(9000, 1400);
    t.a.send(packet);
    const out = await t.outputs();
    // A kernel on the way says anew how much of the packet is headers: all but hdr_len is ours.
    const header = ({ vnet }: Packet) => ({ ...decodeVnet(vnet!), headerBytes: 0 });
    const plain = out["b"]![0]!;
    expect(plain.data).toEqual(packet.data);
    expect(header(plain)).toEqual(header(packet));
    const tagged = out["c"]![0]!;
    expect(tagged.data.length).toBe(packet.data.length + 4);
    const { csumStart } = header(packet);
    expect(header(tagged)).toEqual({ ...header(packet), csumStart: csumStart + 4 });
    expect(plainFrames(tagged.data, tagged.vnet)).toHaveLength(7);
  },
};
