/** Connection tracking: states, marks, zones, limits, and what can be asked of the tracker. */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { type Bench, type Case, frameOf, output } from "./bench.ts";
import {
  ACK,
  echo,
  ENDS,
  FIN,
  ip,
  RST,
  stateOf,
  swapped,
  SYN,
  tcp,
  track,
  trackAll,
  udp,
} from "./ct-bench.ts";
import { partialUdp } from "./offloads.ts";

const BACK = swapped(ENDS);
const V6 = { a: "fd00::1", b: "fd00::2", aPort: 4000, bPort: 80 };

/** Each case begins with an empty tracker. */
function fresh(run: Case): Case {
  return async (t) => {
    await t.datapath.conntrack.flush();
    await run(t);
  };
}

async function states(t: Bench, frames: readonly Uint8Array[], commit = true): Promise<string[]> {
  const seen: string[] = [];
  for (const frame of frames) seen.push((await track(t, frame, { commit })).state);
  return seen;
}

const CASES: Readonly<Record<string, Case>> = {
  "ct: UDP is new until it is answered": async (t) => {
    expect(await states(t, [udp()], false)).toEqual(["new|trk"]);
    expect(await states(t, [udp(), udp()])).toEqual(["new|trk", "new|trk"]);
    expect(await states(t, [udp(BACK), udp(), udp(BACK)])).toEqual([
      "est|rpl|trk",
      "est|trk",
      "est|rpl|trk",
    ]);
  },

  "ct: ICMP echo in both families": async (t) => {
    const v6 = (type: number, back = false) => echo(back ? swapped(V6) : V6, type);
    expect(await states(t, [echo(ENDS, 8), echo(BACK, 0), echo(ENDS, 8)])).toEqual([
      "new|trk",
      "est|rpl|trk",
      "est|trk",
    ]);
    expect(await states(t, [v6(128), v6(129, true)])).toEqual(["new|trk", "est|rpl|trk"]);
    // An answer to nothing, another id, and what is neither question nor error.
    expect(await states(t, [echo(ENDS, 0, 9), echo(BACK, 0, 9), v6(133)])).toEqual([
      "inv|trk",
      "inv|trk",
      "inv|trk",
    ]);
  },

  "ct: other protocols have no ports": async (t) => {
    const gre = (src: string, dst: string) =>
      buildFrame({ ipv4: { src, dst, protocol: 47 }, payload: 20 });
    expect(
      await states(t, [gre("10.0.0.1", "10.0.0.2"), gre("10.0.0.2", "10.0.0.1")]),
    ).toEqual(["new|trk", "est|rpl|trk"]);
  },

  "ct: a TCP connection from its first to its last packet": async (t) => {
    const a = (flags: number, seq: number, ack = 0, payload = 0) =>
      tcp(ENDS, flags, { seq, ack }, payload);
    const b = (flags: number, seq: number, ack = 0) => tcp(BACK, flags, { seq, ack });
    const seen: string[] = [];
    const peers: string[] = [];
    for (
      const frame of [
        a(SYN, 100),
        b(SYN | ACK, 500, 101),
        a(ACK, 101, 501),
        a(ACK, 101, 501, 10),
        b(ACK, 501, 111),
        a(FIN | ACK, 111, 501),
        b(FIN | ACK, 501, 112),
        a(ACK, 112, 502),
      ]
    ) {
      seen.push((await track(t, frame, { commit: true })).state);
      const [entry] = await t.datapath.conntrack.dump();
      peers.push(`${entry!.tcp!.original} ${entry!.tcp!.reply}`);
    }
    expect(seen).toEqual([
      "new|trk",
      "est|rpl|trk",
      "est|trk",
      "est|trk",
      "est|rpl|trk",
      "est|trk",
      "est|rpl|trk",
      "est|trk",
    ]);
    expect(peers).toEqual([
      "SYN_SENT CLOSED",
      "ESTABLISHED SYN_SENT",
      "ESTABLISHED ESTABLISHED",
      "ESTABLISHED ESTABLISHED",
      "ESTABLISHED ESTABLISHED",
      "CLOSING ESTABLISHED",
      "FIN_WAIT_2 CLOSING",
      "FIN_WAIT_2 FIN_WAIT_2",
    ]);
    // The same ports again: another connection.
    expect((await track(t, a(SYN, 90_000), { commit: true })).state).toBe("new|trk");
    expect(await t.datapath.conntrack.dump()).toHaveLength(1);
  },

  "ct: TCP packets that do not belong": async (t) => {
    const open = async () => {
      await t.datapath.conntrack.flush();
      await track(t, tcp(ENDS, SYN, { seq: 100 }), { commit: true });
      await track(t, tcp(BACK, SYN | ACK, { seq: 500, ack: 101 }));
      await track(t, tcp(ENDS, ACK, { seq: 101, ack: 501 }));
    };
    expect((await track(t, tcp(ENDS, SYN | ACK))).state).toBe("inv|trk");
    expect((await track(t, tcp(ENDS, SYN | FIN))).state).toBe("inv|trk");
    expect((await track(t, tcp(ENDS, 0))).state).toBe("inv|trk");
    expect((await track(t, tcp({ ...ENDS, aPort: 0 }, SYN))).state).toBe("inv|trk");
    await open();
    const far = tcp(ENDS, ACK, { seq: 0x40000000, ack: 501 }, 10);
    expect((await track(t, far)).state).toBe("inv|trk");
    expect((await track(t, tcp(BACK, RST, { seq: 900 }))).state).toBe("inv|trk");
    t.datapath.conntrack.setTcpSequenceChecks(false);
    expect((await track(t, far)).state).toBe("est|trk");
    t.datapath.conntrack.setTcpSequenceChecks(true);
    await open();
    expect((await track(t, tcp(BACK, RST, { seq: 501 }))).state).toBe("est|rpl|trk");
    const [entry] = await t.datapath.conntrack.dump();
    expect(entry!.tcp).toEqual({ original: "TIME_WAIT", reply: "TIME_WAIT" });
  },

  "ct: a connection picked up in its middle": async (t) => {
    const a = tcp(ENDS, ACK, { seq: 7000, ack: 9000 }, 100);
    const b = tcp(BACK, ACK, { seq: 9000, ack: 7100 }, 100);
    expect(await states(t, [a, b, a])).toEqual(["new|trk", "est|rpl|trk", "est|trk"]);
  },

  "ct: wrong checksums are invalid, offloaded ones are not looked at": async (t) => {
    const bad = udp();
    bad[bad.length - 1]! ^= 1;
    const badHeader = udp();
    badHeader[22]! ^= 1;
    expect(await states(t, [bad, badHeader])).toEqual(["inv|trk", "inv|trk"]);
    expect((await track(t, partialUdp())).state).toBe("new|trk");
    const arp = buildFrame({ arp: { op: 1, sha: "2:0:0:0:0:1", spa: "1.2.3.4", tpa: "1.2.3.5" } });
    expect((await track(t, arp)).state).toBe("inv|trk");
  },

  "ct: mark and label are set under masks, kept, and shown": async (t) => {
    const label = (low: number, high = 0) => {
      const bytes = new Uint8Array(16);
      bytes[15] = low;
      bytes[0] = high;
      return bytes;
    };
    await track(t, udp(), {
      commit: true,
      mark: { value: 0xff, mask: 0xff },
      label: { value: label(3), mask: label(0xff) },
    });
    const after = await track(t, udp(), {
      commit: true,
      mark: { value: 0xa000, mask: 0xf000 },
      label: { value: label(0, 0x80), mask: label(0, 0xff) },
    });
    expect(after.key.get(FIELDS.ct_mark)).toBe(0xa0ff);
    expect(after.key.getBig(FIELDS.ct_label)).toBe((0x80n << 120n) | 3n);
    const { key } = await track(t, udp(BACK));
    expect(key.get(FIELDS.ct_mark)).toBe(0xa0ff);
    expect(key.get(FIELDS.ct_zone)).toBe(1);
    // The original direction, whichever way the packet goes.
    expect(key.get(FIELDS.ct_nw_src)).toBe(0x0a000001);
    expect(key.get(FIELDS.ct_nw_dst)).toBe(0x0a000002);
    expect(key.get(FIELDS.ct_nw_proto)).toBe(17);
    expect([key.get(FIELDS.ct_tp_src), key.get(FIELDS.ct_tp_dst)]).toEqual([4000, 80]);
  },

  "ct: the original tuple over IPv6, and of what is not committed": async (t) => {
    const { key } = await track(t, udp(V6));
    expect(key.getBig(FIELDS.ct_ipv6_src)).toBe((0xfd00n << 112n) | 1n);
    expect(key.getBig(FIELDS.ct_ipv6_dst)).toBe((0xfd00n << 112n) | 2n);
    expect(key.get(FIELDS.ct_nw_src)).toBe(0);
    expect(key.get(FIELDS.ct_tp_dst)).toBe(80);
    expect(await t.datapath.conntrack.dump()).toEqual([]);
  },

  "ct: zones do not know each other": async (t) => {
    await track(t, udp(), { commit: true, zone: 1 });
    expect((await track(t, udp(BACK), { zone: 2 })).state).toBe("new|trk");
    expect((await track(t, udp(BACK), { zone: 1 })).state).toBe("est|rpl|trk");
    // A packet's state is that of the zone it was in last.
    const first = await track(t, udp(BACK), { zone: 1 });
    const second = await track(t, udp(BACK), { zone: 2 }, first.key);
    expect(second.state).toBe("new|trk");
    expect(second.key.get(FIELDS.ct_zone)).toBe(2);
  },

  "ct: force makes a connection of the other direction": async (t) => {
    await track(t, udp(), { commit: true });
    expect((await track(t, udp(BACK), { force: true })).state).toBe("new|trk");
    const [entry] = await t.datapath.conntrack.dump();
    expect(entry!.original.src).toEqual(ip("10.0.0.2"));
    expect((await track(t, udp())).state).toBe("est|rpl|trk");
  },

  "ct_clear forgets what the packet's connection was": async (t) => {
    await track(t, udp(), { commit: true });
    const actions: DpAction[] = [
      { type: "ct", zone: 1 },
      { type: "ct_clear" },
      { type: "userspace", userdata: 1 },
    ];
    t.datapath.execute({ data: udp() }, actions, 0);
    const [upcall] = await t.upcallsSeen(1);
    expect(stateOf(upcall!.key)).toBe("");
    expect(upcall!.key.get(FIELDS.ct_zone)).toBe(0);
    expect(upcall!.key.get(FIELDS.ct_nw_src)).toBe(0);
  },

  "ct: an error about a connection's packet is related": async (t) => {
    const carried = (data: Uint8Array) => data.subarray(14, 14 + 28);
    await track(t, udp(), { commit: true });
    const error = (src: string, inner: Uint8Array, dst = "10.0.0.1") =>
      buildFrame({ ipv4: { src, dst }, icmp: { type: 3, code: 3 }, payload: carried(inner) });
    // From a router on the way, and about an answer.
    expect((await track(t, error("10.9.9.9", udp()))).state).toBe("rel|rpl|trk");
    expect((await track(t, error("10.9.9.9", udp(BACK), "10.0.0.2"))).state).toBe("rel|trk");
    // About nothing, to somebody else, and cut off.
    const other = udp({ ...ENDS, aPort: 1 });
    expect((await track(t, error("10.9.9.9", other))).state).toBe("inv|trk");
    expect((await track(t, error("10.9.9.9", udp(), "10.0.0.7"))).state).toBe("inv|trk");
    const short = buildFrame({
      ipv4: { src: "10.9.9.9", dst: "10.0.0.1" },
      icmp: { type: 3 },
      payload: udp().subarray(14, 14 + 24),
    });
    expect((await track(t, short)).state).toBe("inv|trk");
  },

  "ct: an ICMPv6 error about a connection's packet is related": async (t) => {
    const first = tcp(V6, SYN, { seq: 1 });
    await track(t, first, { commit: true });
    const error = buildFrame({
      ipv6: { src: "fd00::99", dst: "fd00::1" },
      icmpv6: { type: 1, code: 4 },
      payload: first.subarray(14),
    });
    expect((await track(t, error)).state).toBe("rel|rpl|trk");
  },

  "ct between two lookups: the usual firewall": async (t) => {
    await t.flow(1, { recirc_id: "0" }, [{ type: "ct", zone: 5 }, { type: "recirc", id: 1 }]);
    await t.flow(2, { recirc_id: "1", ct_state: "+trk+new-rpl", udp_dst: "80" }, [
      { type: "ct", zone: 5, commit: true },
      output(t.b),
    ]);
    await t.flow(3, { recirc_id: "1", ct_state: "+trk+est" }, [output(t.c)]);
    await t.flow(4, { recirc_id: "1", ct_state: "+trk+inv" }, []);
    const there = frameOf({ udp: { src: 4000, dst: 80 } });
    const back = frameOf({
      ipv4: { src: "10.0.0.2", dst: "10.0.0.1" },
      udp: { src: 80, dst: 4000 },
    });
    t.send(there);
    t.send(back);
    t.send(there);
    await t.expectOut({ b: [there], c: [back, there] });
    t.send(frameOf({ udp: { src: 4000, dst: 81 } }));
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.reason).toBe("miss");
    expect(stateOf(upcall!.key)).toBe("new|trk");
  },

  "ct: the limits of table and zone": async (t) => {
    const { conntrack } = t.datapath;
    const one = (aPort: number, zone = 1) =>
      track(t, udp({ ...ENDS, aPort }), { commit: true, zone });
    conntrack.setZoneLimit(1, 2);
    conntrack.setZoneLimit(undefined, 1);
    for (const port of [1, 2, 3]) expect((await one(port)).state).toBe("new|trk");
    for (const port of [1, 2]) await one(port, 2);
    expect(await conntrack.zoneLimits()).toEqual([
      { zone: undefined, limit: 1, count: 0 },
      { zone: 1, limit: 2, count: 2 },
    ]);
    expect(await conntrack.dump({ zone: 2 })).toHaveLength(1);
    expect(t.counted("ct_zone_full")).toBe(2);
    conntrack.setZoneLimit(1, undefined);
    conntrack.setZoneLimit(undefined, undefined);
    conntrack.setMaxConnections(4);
    for (const port of [5, 6]) await one(port);
    expect((await conntrack.stats()).connections).toBe(4);
    expect((await conntrack.stats()).byProtocol).toEqual({ udp: 4 });
    expect(t.counted("ct_table_full")).toBe(1);
    conntrack.setMaxConnections(3_000_000);
  },

  "ct: timeouts by policy": async (t) => {
    const { conntrack } = t.datapath;
    conntrack.setTimeoutPolicy(9, { udp_first: 7, udp_multiple: 5000 });
    await track(t, udp(), { commit: true, timeout: 9 });
    const left = async () => (await conntrack.dump())[0]!.timeoutMs;
    expect(await left()).toBeLessThanOrEqual(7000);
    await track(t, udp(BACK));
    expect(await left()).toBeGreaterThan(4000 * 1000);
    await conntrack.flush();
    await track(t, udp(), { commit: true });
    expect(await left()).toBeGreaterThan(7000);
    conntrack.setTimeoutPolicy(9, undefined);
    // One that expires at once is gone.
    conntrack.setTimeoutPolicy(10, { udp_first: 0 });
    await conntrack.flush();
    await track(t, udp(), { commit: true, timeout: 10 });
    expect(await conntrack.dump()).toEqual([]);
    expect((await track(t, udp(BACK))).state).toBe("new|trk");
  },

  "ct: dump and flush by zone and tuple": async (t) => {
    const { conntrack } = t.datapath;
    for (const zone of [1, 2]) {
      await track(t, udp(), { commit: true, zone, mark: { value: zone, mask: -1 >>> 0 } });
      await track(t, echo(V6, 128), { commit: true, zone });
    }
    const all = (await conntrack.dump({ zone: 2 })).sort((a, b) =>
      a.original.protocol - b.original.protocol
    );
    expect(all.map(({ original, reply, mark, zone }) => ({ original, reply, mark, zone })))
      .toEqual([
        {
          zone: 2,
          mark: 2,
          original: {
            src: ip("10.0.0.1"),
            dst: ip("10.0.0.2"),
            protocol: 17,
            srcPort: 4000,
            dstPort: 80,
          },
          reply: {
            src: ip("10.0.0.2"),
            dst: ip("10.0.0.1"),
            protocol: 17,
            srcPort: 80,
            dstPort: 4000,
          },
        },
        {
          zone: 2,
          mark: 0,
          original: {
            src: ip("fd00::1"),
            dst: ip("fd00::2"),
            protocol: 58,
            srcPort: 0,
            dstPort: 0,
            icmp: { id: 5, type: 128, code: 0 },
          },
          reply: {
            src: ip("fd00::2"),
            dst: ip("fd00::1"),
            protocol: 58,
            srcPort: 0,
            dstPort: 0,
            icmp: { id: 5, type: 129, code: 0 },
          },
        },
      ]);
    expect(await conntrack.flush({ zone: 1, tuple: all[0]!.original })).toBe(1);
    expect(await conntrack.flush({ tuple: { src: ip("fd00::1") } })).toBe(2);
    expect(await conntrack.flush({ zone: 2 })).toBe(1);
    expect(await conntrack.dump()).toEqual([]);
  },

  "ct: many connections, and all of them found again": async (t) => {
    const many = Array.from({ length: 2000 }, (_, i) => ({
      data: udp({ ...ENDS, a: `10.${i & 7}.0.1`, aPort: 1000 + i }),
    }));
    const back = (i: number) => swapped({ ...ENDS, a: `10.${i & 7}.0.1`, aPort: 1000 + i });
    // In parts, since a datapath has only so much room for waiting packets.
    for (let i = 0; i < many.length; i += 200) {
      await trackAll(t, many.slice(i, i + 200), { commit: true });
    }
    expect((await t.datapath.conntrack.stats()).connections).toBe(2000);
    for (const i of [0, 999, 1999]) {
      expect((await track(t, udp(back(i)))).state).toBe("est|rpl|trk");
    }
    expect(await t.datapath.conntrack.flush()).toBe(2000);
    expect((await track(t, udp(back(0)))).state).toBe("new|trk");
  },
};

export const CT_CASES: Readonly<Record<string, Case>> = Object.fromEntries(
  Object.entries(CASES).map(([name, run]) => [name, fresh(run)]),
);
