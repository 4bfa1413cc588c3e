/**
 * Packets cut at every byte, and packets whose fields contradict each other: each is received, and
 * either leaves whole or is dropped as too short for Ethernet; what is wrong with it is counted under
 * a name of its own; nothing behind the frame's end has any influence on its key.
 */
import { describe, expect, test } from "bun:test";
import { openMemoryDatapath } from "../../../src/fastpath/memory/datapath.ts";
import { extract } from "../../../src/packet/extract.ts";
import { EXTRACT_RESULTS } from "../../../src/packet/extract-results.ts";
import { Frame } from "../../../src/packet/frame.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { anyMatch } from "../../../src/packet/key.ts";

const V4 = { src: "10.0.0.1", dst: "10.0.0.2" };
const V6 = { src: "fd00::1", dst: "fd00::2" };
const OPTIONS = Uint8Array.of(0x94, 4, 0, 0, 7, 3, 4, 0);
const EXTENSIONS = [
  { type: 0, bytes: new Uint8Array(8) },
  { type: 60, bytes: new Uint8Array(8) },
  { type: 43, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0) },
  { type: 44, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9) },
];
/** A neighbour solicitation's target and an option. */
const nd = (option: readonly number[]) =>
  Uint8Array.from([0xfd, ...new Uint8Array(14), 9, ...option]);

const WHOLE: readonly (readonly [name: string, spec: FrameSpec])[] = [
  ["UDP", { ipv4: V4, udp: { src: 5, dst: 6 }, payload: 9 }],
  ["TCP with IP options", {
    ipv4: { ...V4, options: OPTIONS },
    tcp: { src: 5, dst: 6 },
    payload: 3,
  }],
  ["SCTP", { ipv4: V4, sctp: { src: 5, dst: 6 }, payload: 12 }],
  ["ICMP", { ipv4: V4, icmp: { type: 8 }, payload: 8 }],
  ["IGMP", { ipv4: { ...V4, protocol: 2 }, payload: 12 }],
  ["ARP", { arp: { op: 1, sha: "02:00:00:00:00:01", spa: "10.0.0.1", tpa: "10.0.0.2" } }],
  ["IPv6 chain", { ipv6: { ...V6, extensions: EXTENSIONS }, udp: { src: 5, dst: 6 }, payload: 4 }],
  ["ND", { ipv6: V6, icmpv6: { type: 135 }, payload: nd([1, 1, 2, 0, 0, 0, 0, 9]) }],
  ["VLAN stack", {
    vlans: [1, 2, 3, 4, 5].map((tci) => ({ tci })),
    ipv4: V4,
    udp: { src: 5, dst: 6 },
  }],
  ["MPLS", { mpls: [{ label: 1 }, { label: 2 }, { label: 3 }, { label: 4 }], ipv4: V4 }],
  ["NSH", {
    type: 0x894f,
    payload: Uint8Array.of(0x0f, 0xc6, 1, 3, 0, 0, 1, 255, ...new Uint8Array(36)),
  }],
  ["PBB", { type: 0x88e7, payload: 40 }],
  ["802.3", { type: 40, payload: 40 }],
];

/** Whole frames with a field that says what is not so, and what that is called. */
const WRONG: readonly (readonly [name: string, frame: Uint8Array, result: string])[] = [
  ["IPv4 header of 12 bytes", patched(udp4(), 14, 0x43), "ipv4_bad_length"],
  ["IPv4 header longer than the packet", patched(udp4(), 14, 0x4f), "ipv4_bad_length"],
  ["IPv4 longer than the frame", patched(udp4(), 16, 0x10), "ipv4_bad_length"],
  ["IPv4 shorter than its header", patched(patched(udp4(), 16, 0), 17, 19), "ipv4_bad_length"],
  ["IPv6 longer than the frame", patched(udp6(), 18, 0x10), "ipv6_bad_length"],
  ["TCP header of 8 bytes", patched(tcp4(), 46, 0x20), "tcp_malformed"],
  ["TCP header behind the end", patched(tcp4(), 46, 0xf0), "tcp_malformed"],
  ["ND option of no length", solicitation([1, 0, 2, 0, 0, 0, 0, 9]), "nd_malformed"],
  ["ND option behind the end", solicitation([1, 9, 2, 0, 0, 0, 0, 9]), "nd_malformed"],
  [
    "ND with the option twice",
    solicitation([1, 1, 2, 0, 0, 0, 0, 9, 1, 1, 2, 0, 0, 0, 0, 9]),
    "nd_malformed",
  ],
];

function udp4(): Uint8Array {
  return buildFrame({ ipv4: V4, udp: { src: 5, dst: 6 }, payload: 9 });
}
function udp6(): Uint8Array {
  return buildFrame({ ipv6: V6, udp: { src: 5, dst: 6 }, payload: 9 });
}
function tcp4(): Uint8Array {
  return buildFrame({ ipv4: V4, tcp: { src: 5, dst: 6 }, payload: 9 });
}
function solicitation(options: readonly number[]): Uint8Array {
  return buildFrame({ ipv6: V6, icmpv6: { type: 135 }, payload: nd(options) });
}
function patched(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy[at] = value;
  return copy;
}

/** The key and the verdict of a frame that lies between bytes of `fill`. */
function parsed(data: Uint8Array, fill: number): { key: string; result: string } {
  const memory = new Uint8Array(data.length + 256).fill(fill);
  memory.set(data, 128);
  const frame = new Frame();
  frame.set(memory, 128, data.length, false, 0);
  extract(frame, 0, 0, 0);
  const inside = memory.subarray(128, 128 + data.length);
  expect(Buffer.compare(inside, data)).toBe(0);
  return { key: frame.key.bytes.toHex(), result: EXTRACT_RESULTS[frame.result]! };
}

async function rig() {
  const datapath = openMemoryDatapath();
  const from = await datapath.addPort({ name: "a", type: "device" });
  const to = await datapath.addPort({ name: "b", type: "device" });
  datapath.putFlow({ id: 0, match: anyMatch(), actions: [{ type: "output", port: to.portNo }] });
  /** How often each verdict was counted, and what left. */
  const pass = (data: Uint8Array) => {
    const before = datapath.counters();
    datapath.inject(from.portNo, { data });
    const after = datapath.counters();
    const counted = Object.keys(after).filter((name) =>
      name.startsWith("parse_") && after[name] !== before[name]
    );
    return { counted, sent: datapath.transmitted(to.portNo).map(({ data }) => data) };
  };
  return { datapath, pass };
}

describe("malformed packets", () => {
  for (const [name, spec] of WHOLE) {
    test(`${name}, cut at every byte`, async () => {
      const { datapath, pass } = await rig();
      const whole = buildFrame(spec);
      expect(pass(whole).counted).toEqual([]);
      const verdicts = new Set<string>();
      for (let length = 0; length < whole.length; length++) {
        const data = whole.subarray(0, length);
        const { key, result } = parsed(data, 0);
        expect(parsed(data, 0xff)).toEqual({ key, result });
        const { counted, sent } = pass(data);
        verdicts.add(result);
        expect(counted).toEqual(result === "ok" ? [] : [`parse_${result}`]);
        if (result === "eth_too_short") expect(sent).toEqual([]);
        else expect(sent).toEqual([data]);
      }
      expect(verdicts).toContain("eth_too_short");
      await datapath.close();
    });
  }

  for (const [name, frame, result] of WRONG) {
    test(name, async () => {
      const { datapath, pass } = await rig();
      expect(parsed(frame, 0).result).toBe(result);
      expect(parsed(frame, 0xff)).toEqual(parsed(frame, 0));
      expect(pass(frame)).toEqual({ counted: [`parse_${result}`], sent: [frame] });
      await datapath.close();
    });
  }

  test("labels without a bottom, jumbo frames and the longest of all", async () => {
    const { datapath, pass } = await rig();
    const endless = new Uint8Array(14 + 400);
    endless.set([0x88, 0x47], 12);
    for (let at = 14; at < endless.length; at += 4) endless.set([0, 1, 0x20, 64], at);
    expect(parsed(endless, 0)).toEqual(parsed(endless, 0xff));
    expect(pass(endless).sent).toEqual([endless]);
    for (const payload of [9000 - 42, 65_507]) {
      const frame = buildFrame({ ipv4: V4, udp: { src: 5, dst: 6 }, payload });
      expect(pass(frame)).toEqual({ counted: [], sent: [frame] });
    }
    await datapath.close();
  });
});
