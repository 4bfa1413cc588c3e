/** Which packets meet which flow, and the life of a flow. */
import { expect } from "bun:test";
import { buildFrame } from "../../../src/packet/headers.ts";
import { slot } from "../../../src/packet/layout.ts";
import { type Case, frameOf, output } from "./bench.ts";

export const FLOW_CASES: Readonly<Record<string, Case>> = {
  "a miss goes up with its packet and key, and nowhere else": async (t) => {
    const frame = frameOf();
    t.send(frame, t.b);
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.reason).toBe("miss");
    expect(upcall!.userdata).toBe(0);
    expect(upcall!.packet.data).toEqual(frame);
    const { bytes } = upcall!.key;
    const at = slot("in_port").offset;
    expect(bytes[at + 3]).toBe(t.b.port.portNo);
    expect(bytes.slice(slot("tp_dst").offset, slot("tp_dst").offset + 2)).toEqual(
      Uint8Array.of(2000 >> 8, 2000 & 255),
    );
    await t.expectOut({});
    expect(t.counted("miss")).toBe(1);
  },

  "a hit is output and counted": async (t) => {
    await t.flow(1, { ip_dst: "10.0.0.2" }, [output(t.b)]);
    const before = t.datapath.flowStats(1);
    expect(before).toMatchObject({ packets: 0, bytes: 0, lastUsedMs: 0, tcpFlags: 0 });
    const frames = Array.from({ length: 10 }, (_, i) => frameOf({ payload: 40 + i }));
    for (const frame of frames) t.send(frame);
    await t.expectOut({ b: frames });
    const after = t.datapath.flowStats(1);
    expect(after.packets).toBe(10);
    expect(after.bytes).toBe(frames.reduce((sum, frame) => sum + frame.length, 0));
    expect(after.lastUsedMs).toBeGreaterThan(0);
    expect(t.counted("exact_hit") + t.counted("masked_hit")).toBeGreaterThanOrEqual(10);
    expect(t.upcalls.length).toBe(0);
  },

  "TCP flags are gathered": async (t) => {
    await t.flow(1, { nw_proto: "6" }, [output(t.b)]);
    const ipv4 = { src: "10.0.0.1", dst: "10.0.0.2" };
    const tcp = (flags: number) =>
      buildFrame({ ipv4, tcp: { src: 1, dst: 2, flags }, payload: 20 });
    for (const flags of [0x02, 0x10, 0x01]) t.send(tcp(flags));
    await t.outputs();
    expect(t.datapath.flowStats(1).tcpFlags).toBe(0x13);
  },

  "a mask covers what it does not look at, and no more": async (t) => {
    await t.flow(1, { ip_dst: "10.0.0.0/24" }, [output(t.b)]);
    const to = (dst: string) => frameOf({ ipv4: { src: "10.0.0.1", dst } });
    t.send(to("10.0.0.77"));
    t.send(to("10.0.1.77"));
    await t.expectOut({ b: [to("10.0.0.77")] });
    expect((await t.upcallsSeen(1))[0]!.packet.data).toEqual(to("10.0.1.77"));
  },

  "flows with different masks stand side by side": async (t) => {
    await t.flow(1, { ip_dst: "10.0.1.0/24" }, [output(t.b)]);
    await t.flow(2, { ip_dst: "10.0.2.2", udp_dst: "7" }, [output(t.c)]);
    await t.flow(3, { ip_dst: "10.0.3.0/25", ip_src: "10.0.0.1" }, [output(t.a)]);
    const to = (dst: string, port: number) =>
      frameOf({ ipv4: { src: "10.0.0.1", dst }, udp: { src: 1, dst: port } });
    const frames = [to("10.0.1.9", 1), to("10.0.2.2", 7), to("10.0.3.5", 9)];
    for (const frame of [...frames, ...frames]) t.send(frame);
    const [one, two, three] = frames as [Uint8Array, Uint8Array, Uint8Array];
    await t.expectOut({ a: [three, three], b: [one, one], c: [two, two] });
  },

  "IPv6 and ARP fields match": async (t) => {
    await t.flow(1, { eth_type: "0x86dd", ipv6_dst: "fd00::2", tcp_dst: "80" }, [output(t.b)]);
    await t.flow(2, { eth_type: "0x806", arp_tpa: "10.0.0.9", arp_op: "1" }, [output(t.c)]);
    const v6 = buildFrame({
      ipv6: { src: "fd00::1", dst: "fd00::2" },
      tcp: { src: 9, dst: 80 },
    });
    const arp = buildFrame({
      arp: { op: 1, sha: "02:00:00:00:00:01", spa: "10.0.0.1", tpa: "10.0.0.9" },
      minLength: 60,
    });
    t.send(v6);
    t.send(arp);
    await t.expectOut({ b: [v6], c: [arp] });
  },

  "replacing a flow keeps its statistics": async (t) => {
    await t.flow(1, {}, [output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    await t.flow(1, {}, [output(t.c)]);
    t.send(frameOf());
    await t.expectOut({ c: [frameOf()] });
    expect(t.datapath.flowStats(1).packets).toBe(2);
  },

  "replacing a flow's match moves it": async (t) => {
    await t.flow(1, { udp_dst: "2000" }, [output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    await t.flow(1, { udp_dst: "2001" }, [output(t.b)]);
    t.send(frameOf());
    expect(await t.upcallsSeen(1)).toHaveLength(1);
    const other = frameOf({ udp: { src: 1, dst: 2001 } });
    t.send(other);
    await t.expectOut({ b: [other] });
  },

  "a deleted flow misses again, and its id starts afresh": async (t) => {
    await t.flow(1, {}, [output(t.b)]);
    for (let i = 0; i < 3; i++) t.send(frameOf());
    await t.outputs();
    t.datapath.deleteFlow(1);
    await t.datapath.barrier();
    t.send(frameOf());
    await t.expectOut({});
    await t.upcallsSeen(1);
    await t.flow(1, {}, [output(t.c)]);
    expect(t.datapath.flowStats(1)).toMatchObject({ packets: 0, bytes: 0, lastUsedMs: 0 });
    t.send(frameOf());
    await t.expectOut({ c: [frameOf()] });
    expect(t.datapath.flowStats(1).packets).toBe(1);
  },

  "deleting a flow that is not there is nothing": async (t) => {
    t.datapath.deleteFlow(77);
    await t.datapath.barrier();
    t.send(frameOf());
    await t.upcallsSeen(1);
  },

  "commands act in order and all before the barrier": async (t) => {
    for (let round = 0; round < 20; round++) {
      t.put(1, {}, [output(t.b)]);
      t.datapath.deleteFlow(1);
      t.put(1, {}, [output(round % 2 === 0 ? t.c : t.b)]);
    }
    await t.datapath.barrier();
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    t.datapath.deleteFlow(1);
    await Promise.all([t.datapath.barrier(), t.datapath.barrier()]);
    t.send(frameOf());
    await t.upcallsSeen(1);
  },

  "many flows": async (t) => {
    const n = 300;
    for (let i = 0; i < n; i++) {
      t.put(i, { udp_dst: String(3000 + i) }, i % 2 === 0 ? [output(t.b)] : []);
    }
    await t.datapath.barrier();
    const frames = Array.from({ length: n }, (_, i) => frameOf({ udp: { src: 1, dst: 3000 + i } }));
    for (let at = 0; at < n; at += 50) {
      const part = frames.slice(at, at + 50);
      for (const frame of part) t.send(frame);
      await t.expectOut({ b: part.filter((_, i) => i % 2 === 0) });
    }
    for (let i = 0; i < n; i++) expect(t.datapath.flowStats(i).packets).toBe(1);
  },
};
