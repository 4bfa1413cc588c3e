/** Actions that run other actions, go round again, or let only some packets through. */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { FIELDS, slot } from "../../../src/packet/layout.ts";
import { eventually } from "../../support/eventually.ts";
import { type Bench, type Case, frameOf, output, set } from "./bench.ts";
import { superTcp } from "./offloads.ts";

const TO = (port: number) => frameOf({ udp: { src: 1000, dst: port } });
const setPort = (port: number): DpAction => set("tp_dst", BigInt(port));

/** A flow for packets that come round again with that recirculation id. */
function round(t: Bench, id: number, recircId: number, actions: readonly DpAction[], more = {}) {
  return t.flow(id, { recirc_id: String(recircId), ...more }, actions);
}

export const NESTED_CASES: Readonly<Record<string, Case>> = {
  "clone leaves the packet as it was": async (t) => {
    await t.flow(1, {}, [
      { type: "clone", actions: [setPort(53), output(t.b)] },
      output(t.c),
      { type: "clone", actions: [setPort(54), { type: "pop_vlan" }, output(t.b)] },
      setPort(55),
      output(t.c),
    ]);
    t.send(frameOf());
    await t.expectOut({ b: [TO(53), TO(54)], c: [frameOf(), TO(55)] });
  },

  "clones in clones, the last of them in place": async (t) => {
    const inner = (port: number): DpAction => ({
      type: "clone",
      actions: [setPort(port), output(t.c)],
    });
    await t.flow(1, {}, [
      output(t.b),
      {
        type: "clone",
        actions: [setPort(1), inner(2), output(t.b), inner(3), inner(4)],
      },
      output(t.b),
      { type: "clone", actions: [inner(5), output(t.b), inner(6)] },
    ]);
    t.send(frameOf());
    await t.expectOut({
      b: [frameOf(), TO(1), frameOf(), frameOf()],
      c: [TO(2), TO(3), TO(4), TO(5), TO(6)],
    });
  },

  "a mark set in a clone ends with it": async (t) => {
    await t.flow(1, {}, [
      set("pkt_mark", 1n),
      { type: "clone", actions: [set("pkt_mark", 2n), { type: "userspace", userdata: 1 }] },
      { type: "userspace", userdata: 2 },
    ]);
    t.send(frameOf());
    const upcalls = await t.upcallsSeen(2);
    expect(upcalls.map(({ key }) => key.get(FIELDS.pkt_mark))).toEqual([2, 1]);
  },

  "sample: always, never": async (t) => {
    await t.flow(1, {}, [
      { type: "sample", probability: 0xffffffff, actions: [setPort(53), output(t.b)] },
      { type: "sample", probability: 0, actions: [setPort(54), output(t.b)] },
      output(t.c),
    ]);
    t.send(frameOf());
    t.send(frameOf());
    await t.expectOut({ b: [TO(53), TO(53)], c: [frameOf(), frameOf()] });
  },

  "check_pkt_len takes one branch or the other": async (t) => {
    const length = frameOf().length;
    await t.flow(1, {}, [
      {
        type: "check_pkt_len",
        length,
        greater: [setPort(53), output(t.b)],
        lessEqual: [setPort(54), output(t.b)],
      },
      output(t.c),
    ]);
    t.send(frameOf());
    const longer = { payload: 41 };
    t.send(frameOf(longer));
    await t.expectOut({
      b: [TO(54), frameOf({ ...longer, udp: { src: 1000, dst: 53 } })],
      c: [frameOf(), frameOf(longer)],
    });
  },

  "check_pkt_len asks of a super-packet how long its segments are": async (t) => {
    const check = (length: number): DpAction => ({
      type: "check_pkt_len",
      length,
      greater: [output(t.c)],
      lessEqual: [output(t.b)],
    });
    await t.flow(1, {}, [check(1454), check(1453)]);
    const packet = superTcp(9000, 1400);
    t.a.send(packet);
    const out = await t.outputs();
    expect(out["b"]!.map(({ data }) => data)).toEqual([packet.data]);
    expect(out["c"]!.map(({ data }) => data)).toEqual([packet.data]);
  },

  "recirc looks the packet up again, with its mark": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [
      setPort(53),
      set("pkt_mark", 7n),
      { type: "recirc", id: 9 },
    ]);
    await round(t, 2, 9, [output(t.b)], { pkt_mark: "7", udp_dst: "53" });
    t.send(frameOf());
    await t.expectOut({ b: [TO(53)] });
    expect(t.datapath.flowStats(1).packets).toBe(1);
    expect(t.datapath.flowStats(2).packets).toBe(1);
    expect(t.counted("recirculations")).toBe(1);
  },

  "what follows recirc sees the packet as it was": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [
      output(t.c),
      { type: "recirc", id: 1 },
      { type: "recirc", id: 2 },
      output(t.c),
    ]);
    await round(t, 2, 1, [setPort(53), output(t.b)]);
    await round(t, 3, 2, [setPort(54), output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [TO(53), TO(54)], c: [frameOf(), frameOf()] });
  },

  "a miss after recirc comes up with its metadata, and goes on with it": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [
      setPort(53),
      set("pkt_mark", 7n),
      { type: "hash", algorithm: "l4", basis: 0 },
      {
        type: "set_tunnel",
        tunnel: { id: 5n, dst: Uint8Array.of(1, 2, 3, 4), options: new Uint8Array(8).fill(9) },
      },
      { type: "recirc", id: 77 },
    ]);
    t.send(frameOf());
    const [upcall] = await t.upcallsSeen(1);
    const { key, packet } = upcall!;
    expect(upcall!.reason).toBe("miss");
    expect(packet.data).toEqual(TO(53));
    expect(key.get(FIELDS.recirc_id)).toBe(77);
    expect(key.get(FIELDS.in_port_oxm)).toBe(t.a.port.portNo);
    expect(key.get(FIELDS.pkt_mark)).toBe(7);
    expect(key.get(FIELDS.dp_hash)).not.toBe(0);
    expect(key.get(FIELDS.udp_dst)).toBe(53);
    expect(key.getBig(FIELDS.tun_id)).toBe(5n);
    expect(key.get(FIELDS.tun_dst)).toBe(0x01020304);
    expect(key.bytes[slot("tun_options_length").offset]).toBe(8);
    expect(key.bytes[slot("tun_metadata").offset + 7]).toBe(9);
    // The slow path sends it on with that key: everything is as if there had been a flow.
    t.upcalls.length = 0;
    t.datapath.execute(packet, [{ type: "userspace", userdata: 1 }, output(t.b)], 0, key);
    await t.datapath.barrier();
    await eventually("the upcall", () => t.upcalls.length === 1, { everyMs: 1 });
    const again = key.clone();
    again.set(FIELDS.in_port_oxm, 0);
    expect(Buffer.from(t.upcalls[0]!.key.bytes).equals(again.bytes)).toBe(true);
    await t.expectOut({ b: [TO(53)] });
    // And a packet without it has none.
    t.upcalls.length = 0;
    t.datapath.execute(packet, [{ type: "userspace", userdata: 1 }], 0);
    await t.datapath.barrier();
    await eventually("the upcall", () => t.upcalls.length === 1, { everyMs: 1 });
    const bare = new FlowKey();
    bare.bytes.set(t.upcalls[0]!.key.bytes.subarray(slot("packet_type").offset));
    expect(bare.isZero()).toBe(true);
    expect(t.upcalls[0]!.key.get(FIELDS.recirc_id)).toBe(0);
  },

  "a loop of recirculations ends": async (t) => {
    await t.flow(1, {}, [output(t.b), { type: "recirc", id: 5 }]);
    t.send(frameOf());
    await t.expectOut({ b: Array.from({ length: 7 }, () => frameOf()) });
    expect(t.counted("drop_recirculation_limit")).toBe(1);
  },

  "hash: the same for a connection, for both directions if symmetric": async (t) => {
    const back = {
      ipv4: { src: "10.0.0.2", dst: "10.0.0.1" },
      tcp: { src: 2000, dst: 1000 },
    };
    const forth = { ipv4: { src: "10.0.0.1", dst: "10.0.0.2" }, tcp: { src: 1000, dst: 2000 } };
    const hashes = async (algorithm: "l4" | "sym_l4", basis: number) => {
      await t.flow(1, {}, [{ type: "hash", algorithm, basis }, { type: "userspace", userdata: 1 }]);
      t.upcalls.length = 0;
      for (const spec of [forth, forth, back]) {
        const { udp: _, ...rest } = { udp: undefined, ...spec };
        t.send(frameOf({ ...rest, tcp: spec.tcp }));
      }
      return (await t.upcallsSeen(3)).map(({ key }) => key.get(FIELDS.dp_hash));
    };
    const plain = await hashes("l4", 0);
    expect(plain[0]).toBe(plain[1]!);
    expect(plain[0]).not.toBe(plain[2]!);
    const based = await hashes("l4", 1);
    expect(based[0]).not.toBe(plain[0]!);
    const symmetric = await hashes("sym_l4", 0);
    expect(new Set(symmetric).size).toBe(1);
  },

  "a drop ends the packet under its reason; in a clone only the clone": async (t) => {
    await t.flow(1, {}, [
      { type: "clone", actions: [{ type: "drop", reason: "congestion" }, output(t.b)] },
      output(t.c),
      { type: "drop", reason: "too_many_resubmit" },
      output(t.b),
    ]);
    t.send(frameOf());
    await t.expectOut({ c: [frameOf()] });
    expect(t.counted("drop_action_congestion")).toBe(1);
    expect(t.counted("drop_action_too_many_resubmit")).toBe(1);
  },

  "a meter in packets lets its burst through and counts": async (t) => {
    t.datapath.setMeter(3, {
      unit: "pktps",
      bands: [{ type: "drop", rate: 1, burst: 2 }],
    });
    await t.flow(1, {}, [{ type: "meter", id: 3 }, output(t.b)]);
    for (let i = 0; i < 8; i++) t.send(frameOf());
    const out = await t.outputs();
    // A slow machine may have earned another token meanwhile.
    const passed = out["b"]!.length;
    expect(passed).toBeGreaterThanOrEqual(2);
    expect(passed).toBeLessThan(8);
    const stats = t.datapath.meterStats(3)!;
    expect(stats.packetsIn).toBe(8);
    expect(stats.bytesIn).toBe(8 * frameOf().length);
    expect(stats.bands).toEqual([{ packets: 8 - passed, bytes: (8 - passed) * frameOf().length }]);
    expect(t.counted("drop_meter")).toBe(8 - passed);
    t.datapath.deleteMeter(3);
    expect(t.datapath.meterStats(3)).toBeUndefined();
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
  },

  "a meter in kbps: the band with the highest rate acts; remarking raises the drop precedence":
    async (t) => {
      // The first frame exceeds both buckets (bits), so the higher rate decides.
      t.datapath.setMeter(4, {
        unit: "kbps",
        bands: [
          { type: "drop", rate: 1, burst: 0 },
          { type: "dscp_remark", rate: 2, burst: 0, precedenceLevel: 1 },
        ],
      });
      await t.flow(1, {}, [{ type: "meter", id: 4 }, output(t.b)]);
      const marked = (dscp: number) =>
        frameOf({ payload: 1000, ipv4: { src: "10.0.0.1", dst: "10.0.0.2", tos: dscp << 2 | 1 } });
      t.send(marked(10));
      await t.expectOut({ b: [marked(12)] });
      expect(t.datapath.meterStats(4)!.bands.map(({ packets }) => packets)).toEqual([0, 1]);
      expect(() =>
        t.datapath.setMeter(5, {
          unit: "kbps",
          bands: Array.from({ length: 9 }, () => ({ type: "drop", rate: 1, burst: 0 } as const)),
        })
      ).toThrow(/8 bands/);
      t.datapath.deleteMeter(4);
    },

  "lists nested too deep are refused": async (t) => {
    let actions: readonly DpAction[] = [output(t.b)];
    for (let i = 0; i < 20; i++) actions = [{ type: "clone", actions }];
    expect(() => t.datapath.execute({ data: frameOf() }, actions, 0)).toThrow(/nested/);
    await t.datapath.barrier();
  },
};
