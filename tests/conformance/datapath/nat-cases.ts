/** What connection tracking does to packets: NAT, related errors, helpers, fragments. */
import { expect } from "bun:test";
import type { CtNat } from "../../../src/fastpath/actions.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { decodeVnet, finishChecksum } from "../../../src/packet/vnet.ts";
import type { Bench, Case } from "./bench.ts";
import {
  ACK,
  echo,
  ENDS,
  type Ends,
  endsOf,
  ip,
  stateOf,
  SYN,
  tcp,
  track,
  trackAll,
  udp,
} from "./ct-bench.ts";
import { partialUdp } from "./offloads.ts";

const range = (min: string, max = min): NonNullable<CtNat["addresses"]> => ({
  min: ip(min),
  max: ip(max),
});
const SNAT: CtNat = { direction: "src", addresses: range("192.0.2.1") };
const DNAT: CtNat = { direction: "dst", addresses: range("192.0.2.9") };
const PUBLIC: Ends = { a: "10.0.0.2", b: "192.0.2.1", aPort: 80, bPort: 4000 };

function fresh(run: Case): Case {
  return async (t) => {
    await t.datapath.conntrack.flush();
    await run(t);
  };
}

const commit = (nat: CtNat) => ({ commit: true, nat });
/** Later packets of a connection with NAT. */
const PLAIN = { nat: {} };

/** How the frame's ends look behind the action, and its state. */
async function through(t: Bench, frame: Uint8Array, options: Parameters<typeof track>[2]) {
  const { data, state } = await track(t, frame, options);
  return `${endsOf(data)} ${state}`;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The payload of a TCP frame without options. */
function payloadOf(data: Uint8Array): string {
  const header = data[12] === 0x86 ? 54 : 34;
  return new TextDecoder().decode(data.subarray(header + 20));
}

/** An open control connection; the numbers of both sides stand at 101 and 501. */
async function openFtp(t: Bench, ends: Ends, nat: CtNat, shown: Ends) {
  const options = { ...commit(nat), helper: "ftp" as const };
  await track(t, tcp(ends, SYN, { seq: 100 }), options);
  await track(t, tcp(shown, SYN | ACK, { seq: 500, ack: 101 }), PLAIN);
  await track(t, tcp(ends, ACK, { seq: 101, ack: 501 }), PLAIN);
}

/** The two fragments of a UDP datagram of 2000 bytes, and the whole. */
function fragments(v6: boolean): { parts: Uint8Array[]; whole: Uint8Array } {
  const spec = v6
    ? { ipv6: { src: "fd00::1", dst: "fd00::2" }, udp: { src: 4000, dst: 80 }, payload: 2000 }
    : {
      ipv4: { src: "10.0.0.1", dst: "10.0.0.2", id: 7 },
      udp: { src: 4000, dst: 80 },
      payload: 2000,
    };
  const whole = buildFrame(spec);
  const body = whole.subarray(v6 ? 54 : 34);
  const cut = [0, 1400].map((from) => {
    const piece = body.subarray(from, from === 0 ? 1400 : undefined);
    const more = from === 0 ? 1 : 0;
    if (v6) {
      const offset = from | more;
      const bytes = Uint8Array.of(17, 0, offset >> 8, offset, 0, 0, 0, 9);
      return buildFrame({
        ipv6: {
          src: "fd00::1",
          dst: "fd00::2",
          protocol: 17,
          extensions: [{ type: 44, bytes }],
        },
        payload: piece,
      });
    }
    return buildFrame({
      ipv4: {
        src: "10.0.0.1",
        dst: "10.0.0.2",
        id: 7,
        protocol: 17,
        fragment: (more << 13) | (from >> 3),
      },
      payload: piece,
    });
  });
  return { parts: cut, whole };
}

const CASES: Readonly<Record<string, Case>> = {
  "NAT of a source, and the way back": async (t) => {
    expect(await through(t, udp(), commit(SNAT))).toBe("192.0.2.1:4000 10.0.0.2:80 new|trk|snat");
    expect(await through(t, udp(PUBLIC), PLAIN))
      .toBe("10.0.0.2:80 10.0.0.1:4000 est|rpl|trk|dnat");
    expect(await through(t, udp(), PLAIN)).toBe("192.0.2.1:4000 10.0.0.2:80 est|trk|snat");
    // Without asking for NAT the packet stays as it is.
    expect(await through(t, udp(), {})).toBe("10.0.0.1:4000 10.0.0.2:80 est|trk");
  },

  "NAT of a destination with a port": async (t) => {
    const nat: CtNat = { ...DNAT, ports: { min: 8080 } };
    expect(await through(t, udp(), commit(nat))).toBe("10.0.0.1:4000 192.0.2.9:8080 new|trk|dnat");
    const back: Ends = { a: "192.0.2.9", b: "10.0.0.1", aPort: 8080, bPort: 4000 };
    expect(await through(t, udp(back), PLAIN))
      .toBe("10.0.0.2:80 10.0.0.1:4000 est|rpl|trk|snat");
  },

  "NAT over IPv6, of TCP": async (t) => {
    const ends: Ends = { a: "fd00::1", b: "fd00::2", aPort: 4000, bPort: 80 };
    const nat: CtNat = { direction: "src", addresses: range("fd00::77"), ports: { min: 5000 } };
    expect(await through(t, tcp(ends, SYN, { seq: 1 }), commit(nat)))
      .toBe(
        "fd00::77:5000 fd00::2:80 new|trk|snat".replace(
          /fd00::(\d+)/g,
          (_, n) => `fd00::${String(n).padStart(8, "0")}`,
        ),
      );
    const back: Ends = { a: "fd00::2", b: "fd00::77", aPort: 80, bPort: 5000 };
    const { data, state } = await track(t, tcp(back, SYN | ACK, { seq: 9, ack: 2 }), PLAIN);
    expect(state).toBe("est|rpl|trk|dnat");
    expect(data).toEqual(tcp({ ...ends, a: ends.b, b: ends.a, aPort: 80, bPort: 4000 }, SYN | ACK, {
      seq: 9,
      ack: 2,
    }));
  },

  "NAT of ICMP": async (t) => {
    const there = await track(t, echo(ENDS, 8), commit(SNAT));
    expect(there.data).toEqual(echo({ ...ENDS, a: "192.0.2.1" }, 8));
    const back = await track(t, echo(PUBLIC, 0), PLAIN);
    expect(back.data).toEqual(echo({ ...ENDS, a: "10.0.0.2", b: "10.0.0.1" }, 0));
    expect(back.state).toBe("est|rpl|trk|dnat");
  },

  "NAT does not lose a partial checksum": async (t) => {
    t.datapath.execute(partialUdp(), [
      { type: "ct", zone: 1, ...commit(SNAT) },
      { type: "userspace", userdata: 1 },
    ], 0);
    const [upcall] = await t.upcallsSeen(1);
    const { data, vnet } = upcall!.packet;
    finishChecksum(data, decodeVnet(vnet!));
    expect(endsOf(data)).toBe("192.0.2.1:1000 10.0.0.2:2000");
  },

  "a port that is taken: another one of its kind": async (t) => {
    const other = udp({ ...ENDS, a: "10.0.0.3" });
    await track(t, udp(), commit(SNAT));
    const { data } = await track(t, other, commit(SNAT));
    const [source] = endsOf(data).split(" ");
    expect(source).not.toBe("192.0.2.1:4000");
    expect(source).toMatch(/^192\.0\.2\.1:/);
    expect(Number(source!.split(":")[1])).toBeGreaterThanOrEqual(1024);
    const low = { ...ENDS, aPort: 100 };
    await track(t, udp(low), commit(SNAT));
    const again = await track(t, udp({ ...low, a: "10.0.0.3" }), commit(SNAT));
    expect(Number(endsOf(again.data).split(" ")[0]!.split(":")[1])).toBeLessThan(512);
  },

  "a range of ports that runs out": async (t) => {
    const nat: CtNat = { ...SNAT, ports: { min: 6000, max: 6002 } };
    const seen = new Set<string>();
    for (const aPort of [1, 2, 3]) {
      const { data } = await track(t, udp({ ...ENDS, aPort }), commit(nat));
      seen.add(endsOf(data).split(" ")[0]!);
    }
    expect([...seen].sort()).toEqual(["192.0.2.1:6000", "192.0.2.1:6001", "192.0.2.1:6002"]);
    const { data, state } = await track(t, udp({ ...ENDS, aPort: 4 }), commit(nat));
    expect(state).toBe("new|trk");
    expect(data).toEqual(udp({ ...ENDS, aPort: 4 }));
    expect(t.counted("ct_nat_exhausted")).toBe(1);
    expect(await t.datapath.conntrack.dump()).toHaveLength(3);
  },

  "ranges of addresses, IPv4 and IPv6": async (t) => {
    const pick = async (nat: CtNat, ends: Ends) => {
      const { data } = await track(t, udp(ends), commit(nat));
      return endsOf(data).split(" ")[0]!.replace(/:\d+$/, "");
    };
    const wide: CtNat = { direction: "src", addresses: range("192.0.2.254", "192.0.3.1") };
    const seen = new Set<string>();
    for (let i = 1; i <= 64; i++) seen.add(await pick(wide, { ...ENDS, aPort: i }));
    expect([...seen].sort()).toEqual(["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"]);
    const v6: CtNat = { direction: "src", addresses: range("fd00::ffff:ffff", "fd00::1:0:0") };
    const v6Ends = { a: "fd00::1", b: "fd00::2", aPort: 1, bPort: 80 };
    const seen6 = new Set<string>();
    for (let i = 1; i <= 32; i++) seen6.add(await pick(v6, { ...v6Ends, aPort: i }));
    expect(seen6.size).toBe(2);
    // Persistent: a client's address decides, not its port.
    await t.datapath.conntrack.flush();
    const persistent = new Set<string>();
    for (let i = 1; i <= 16; i++) {
      persistent.add(await pick({ ...wide, persistent: true }, { ...ENDS, aPort: i, bPort: i }));
    }
    expect(persistent.size).toBe(1);
  },

  "NAT is done once in a zone, and again in the next": async (t) => {
    const first = await track(t, udp(), { ...commit(SNAT), zone: 1 });
    const same = await track(t, first.data, { ...PLAIN, zone: 1 }, first.key);
    expect(endsOf(same.data)).toBe("192.0.2.1:4000 10.0.0.2:80");
    expect(same.state).toBe("new|trk|snat");
    const second = await track(t, first.data, { ...commit(DNAT), zone: 2 }, first.key);
    expect(`${endsOf(second.data)} ${second.state}`)
      .toBe("192.0.2.1:4000 192.0.2.9:80 new|trk|dnat");
  },

  "an error about a translated packet is translated, and what it carries": async (t) => {
    const sent = await track(t, udp(), commit(SNAT));
    const error = (dst: string, inner: Uint8Array) =>
      buildFrame({ ipv4: { src: "10.9.9.9", dst }, icmp: { type: 3, code: 3 }, payload: inner });
    const { data, state } = await track(t, error("192.0.2.1", sent.data.subarray(14)), PLAIN);
    expect(state).toBe("rel|rpl|trk|dnat");
    expect(data).toEqual(error("10.0.0.1", udp().subarray(14)));
  },

  "an ICMPv6 error about a translated TCP packet": async (t) => {
    const ends: Ends = { a: "fd00::1", b: "fd00::2", aPort: 4000, bPort: 80 };
    const nat: CtNat = { direction: "src", addresses: range("fd00::77"), ports: { min: 5000 } };
    const first = tcp(ends, SYN, { seq: 1 });
    const sent = await track(t, first, commit(nat));
    const error = (dst: string, inner: Uint8Array) =>
      buildFrame({ ipv6: { src: "fd00::99", dst }, icmpv6: { type: 3 }, payload: inner });
    const { data, state } = await track(t, error("fd00::77", sent.data.subarray(14)), PLAIN);
    expect(state).toBe("rel|rpl|trk|dnat");
    expect(data).toEqual(error("fd00::1", first.subarray(14)));
  },

  "FTP, active, from behind NAT: text, numbers and the data connection": async (t) => {
    const ends: Ends = { ...ENDS, bPort: 21 };
    const shown: Ends = { ...PUBLIC, aPort: 21 };
    await openFtp(t, ends, SNAT, shown);
    const port = text("PORT 10,0,0,1,19,136\r\n");
    const sent = await track(t, tcp(ends, ACK, { seq: 101, ack: 501 }, port), PLAIN);
    const rewritten = "PORT 192,0,2,1,19,136\r\n";
    expect(payloadOf(sent.data)).toBe(rewritten);
    expect(endsOf(sent.data)).toBe("192.0.2.1:4000 10.0.0.2:21");
    // One byte more than the client knows of: the server's acknowledgement is put right…
    const ack = 101 + rewritten.length;
    const answer = await track(t, tcp(shown, ACK, { seq: 501, ack }), PLAIN);
    expect(answer.state).toBe("est|rpl|trk|dnat");
    expect(answer.data).toEqual(
      tcp({ a: ends.b, b: ends.a, aPort: 21, bPort: 4000 }, ACK, { seq: 501, ack: ack - 1 }),
    );
    // … and the client's next number.
    const next = await track(t, tcp(ends, ACK, { seq: ack - 1, ack: 501 }, 4), PLAIN);
    expect(next.data).toEqual(
      tcp({ ...ends, a: "192.0.2.1" }, ACK, { seq: ack, ack: 501 }, 4),
    );
    const data = tcp({ a: "10.0.0.2", b: "192.0.2.1", aPort: 20, bPort: 5000 }, SYN, { seq: 9 });
    const related = await track(t, data, { ...commit({}), mark: { value: 5, mask: 0xff } });
    expect(`${endsOf(related.data)} ${related.state}`)
      .toBe("10.0.0.2:20 10.0.0.1:5000 new|rel|trk|dnat");
    // Its original tuple is that of the connection that it belongs to.
    expect(related.key.get(FIELDS.ct_tp_dst)).toBe(21);
    const back = tcp(
      { a: "10.0.0.1", b: "10.0.0.2", aPort: 5000, bPort: 20 },
      SYN | ACK,
      { seq: 1, ack: 10 },
    );
    expect(await through(t, back, PLAIN))
      .toBe("192.0.2.1:5000 10.0.0.2:20 est|rel|rpl|trk|snat");
    const entries = await t.datapath.conntrack.dump();
    expect(entries.map(({ helper, parent }) => `${helper} ${parent?.dstPort}`).sort())
      .toEqual(["ftp undefined", "undefined 21"]);
  },

  "FTP, passive, to a server behind NAT": async (t) => {
    const ends: Ends = { ...ENDS, b: "198.51.100.1", bPort: 21 };
    const nat: CtNat = { direction: "dst", addresses: range("10.0.0.2") };
    const shown: Ends = { a: "10.0.0.2", b: "10.0.0.1", aPort: 21, bPort: 4000 };
    await openFtp(t, ends, nat, shown);
    const reply = text("227 Entering Passive Mode (10,0,0,2,78,32).\r\n");
    const said = await track(t, tcp(shown, ACK, { seq: 501, ack: 101 }, reply), PLAIN);
    expect(payloadOf(said.data)).toBe("227 Entering Passive Mode (198,51,100,1,78,32).\r\n");
    expect(endsOf(said.data)).toBe("198.51.100.1:21 10.0.0.1:4000");
    const data = tcp({ a: "10.0.0.1", b: "198.51.100.1", aPort: 4001, bPort: 20000 }, SYN);
    expect(await through(t, data, commit({})))
      .toBe("10.0.0.1:4001 10.0.0.2:20000 new|rel|trk|dnat");
  },

  "FTP over IPv6: EPRT and EPSV": async (t) => {
    const ends: Ends = { a: "fd00::1", b: "fd00::2", aPort: 4000, bPort: 21 };
    const shown: Ends = { a: "fd00::2", b: "fd00::77", aPort: 21, bPort: 4000 };
    const nat: CtNat = { direction: "src", addresses: range("fd00::77") };
    await openFtp(t, ends, nat, shown);
    const eprt = text("EPRT |2|fd00::1|5282|\r\n");
    const sent = await track(t, tcp(ends, ACK, { seq: 101, ack: 501 }, eprt), PLAIN);
    expect(payloadOf(sent.data)).toBe("EPRT |2|fd00::77|5282|\r\n");
    const data = tcp({ a: "fd00::2", b: "fd00::77", aPort: 20, bPort: 5282 }, SYN);
    expect((await track(t, data, commit({}))).state).toBe("new|rel|trk|dnat");
    const epsv = text("229 Entering Extended Passive Mode (|||6446|)\r\n");
    await track(t, tcp(shown, ACK, { seq: 501, ack: 101 }, epsv), PLAIN);
    const passive = tcp({ a: "fd00::1", b: "fd00::2", aPort: 4002, bPort: 6446 }, SYN);
    expect((await track(t, passive, commit({}))).state).toBe("new|rel|trk|snat");
  },

  "FTP: what announces for somebody else, or badly, is invalid": async (t) => {
    const ends: Ends = { ...ENDS, bPort: 21 };
    await openFtp(t, ends, {}, { ...PUBLIC, b: "10.0.0.1", aPort: 21 });
    const say = async (line: string) =>
      (await track(t, tcp(ends, ACK, { seq: 101, ack: 501 }, text(line)), {})).state;
    expect(await say("PORT 10,0,0,99,19,136\r\n")).toContain("inv");
    expect(await say("PORT 10,0,0,1,300,1\r\n")).toContain("inv");
    expect(await say("PORT all\r\n")).toContain("inv");
    expect(await say("USER ftp\r\n")).toBe("est|trk");
  },

  "TFTP: the server answers from a port of its own": async (t) => {
    const ends: Ends = { ...ENDS, bPort: 69 };
    await track(t, udp(ends), { ...commit(SNAT), helper: "tftp" });
    const data = udp({ a: "10.0.0.2", b: "192.0.2.1", aPort: 33000, bPort: 4000 });
    expect(await through(t, data, commit({}))).toBe(
      "10.0.0.2:33000 10.0.0.1:4000 new|rel|trk|dnat",
    );
  },

  "fragments wait for each other, and go on tracked and translated": async (t) => {
    for (const order of [[0, 1], [1, 0]]) {
      await t.datapath.conntrack.flush();
      const { parts, whole } = fragments(false);
      const packets = order.map((i) => ({ data: parts[i]! }));
      const out = await trackAll(t, packets, commit(SNAT));
      expect(out.map(({ state }) => state)).toEqual(["new|trk|snat", "new|trk|snat"]);
      expect(out.map(({ key }) => key.get(FIELDS.ip_frag))).toEqual([1, 3]);
      expect(out.map(({ key }) => key.get(FIELDS.ip_src))).toEqual([0xc0000201, 0xc0000201]);
      // Put together again they are what the whole datagram would be.
      const expected = await track(t, whole, PLAIN);
      const body = (data: Uint8Array) => [...data.subarray(34)];
      expect(out.flatMap(({ data }) => body(data))).toEqual(body(expected.data));
    }
  },

  "fragments over IPv6": async (t) => {
    const { parts, whole } = fragments(true);
    const nat: CtNat = { direction: "src", addresses: range("fd00::77"), ports: { min: 5000 } };
    const out = await trackAll(t, parts.map((data) => ({ data })), commit(nat));
    expect(out.map(({ key }) => stateOf(key))).toEqual(["new|trk|snat", "new|trk|snat"]);
    const expected = await track(t, whole, PLAIN);
    const body = (data: Uint8Array, at: number) => [...data.subarray(at)];
    expect(out.flatMap(({ data }) => body(data, 62))).toEqual(body(expected.data, 54));
    expect(out[0]!.key.get(FIELDS.udp_src)).toBe(5000);
  },

  "fragments that cannot be: too small, overlapping, too many": async (t) => {
    const { conntrack } = t.datapath;
    const part = (from: number, length: number, more: boolean, id = 1) =>
      buildFrame({
        ipv4: {
          src: "10.0.0.1",
          dst: "10.0.0.2",
          id,
          protocol: 17,
          fragment: (more ? 0x2000 : 0) | (from >> 3),
        },
        payload: length,
      });
    expect((await track(t, part(0, 400, true))).state).toBe("inv|trk");
    conntrack.setFragments({ minSizeV4: 400 });
    const overlap = [part(0, 400, true, 2), part(200, 400, true, 2)].map((data) => ({ data }));
    expect((await trackAll(t, overlap, {}, undefined, 1))[0]!.state).toBe("inv|trk");
    conntrack.setFragments({ maxFragments: 0 });
    expect((await track(t, part(0, 400, true, 3))).state).toBe("inv|trk");
    conntrack.setFragments({ maxFragments: 1000, enabledV4: false });
    expect((await track(t, part(0, 400, true, 4))).state).toBe("inv|trk");
    conntrack.setFragments({ enabledV4: true, minSizeV4: 1200 });
    expect(t.counted("ct_fragment_refused")).toBe(4);
  },
};

export const NAT_CASES: Readonly<Record<string, Case>> = Object.fromEntries(
  Object.entries(CASES).map(([name, run]) => [name, fresh(run)]),
);
