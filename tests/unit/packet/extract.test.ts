import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { extract, EXTRACT_RESULTS } from "../../../src/packet/extract.ts";
import { Frame } from "../../../src/packet/frame.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { COMMON_BYTES, KEY_WORDS, SLOTS } from "../../../src/packet/layout.ts";
import { build, type Options, parsed, slotsOf, V4, V6 } from "./frames.ts";

const MACS = { eth_dst: "02:00:00:00:00:02", eth_src: "02:00:00:00:00:01" } as const;
const ND = (type: number, options: number[]): Uint8Array =>
  Uint8Array.from([...new Uint8Array(15).fill(0xfe), type, ...options]);

interface Fixture {
  readonly name: string;
  readonly spec: FrameSpec;
  readonly options?: Options;
  readonly key: Record<string, string | number>;
  readonly layers?: { readonly l3?: number; readonly l4?: number; readonly vlans?: number };
  readonly result?: (typeof EXTRACT_RESULTS)[number];
  /** Only the common prefix may be set. */
  readonly common?: boolean;
}

const ip = { nw_src: "10.0.0.1", nw_dst: "10.0.0.2", nw_ttl: 64, eth_type: 0x800 } as const;
const ip6 = { ipv6_src: "fd00::1", ipv6_dst: "fd00::2", nw_ttl: 64, eth_type: 0x86dd } as const;

const FIXTURES: readonly Fixture[] = [
  {
    name: "UDP",
    spec: { ipv4: { ...V4, tos: 0xb8 }, udp: { src: 1000, dst: 53 }, payload: 18 },
    options: { inPort: 0x12345 },
    key: { in_port: 0x12345, ...ip, nw_tos: 0xb8, nw_proto: 17, tp_src: 1000, tp_dst: 53 },
    layers: { l3: 14, l4: 34 },
    common: true,
  },
  {
    name: "TCP with flags, IP and TCP options, and padding",
    spec: {
      ipv4: { ...V4, options: new Uint8Array(8).fill(1) },
      tcp: { src: 0xabcd, dst: 443, flags: 0x912, options: new Uint8Array(12).fill(1) },
      minLength: 120,
    },
    key: { ...ip, nw_proto: 6, tp_src: 0xabcd, tp_dst: 443, tcp_flags: 0x912 },
    layers: { l3: 14, l4: 42 },
    common: true,
  },
  {
    name: "SCTP",
    spec: { ipv4: V4, sctp: { src: 5, dst: 6 }, payload: 4 },
    key: { ...ip, nw_proto: 132, tp_src: 5, tp_dst: 6 },
    layers: { l4: 34 },
    common: true,
  },
  {
    name: "ICMP",
    spec: { ipv4: V4, icmp: { type: 8, code: 3 }, payload: 8 },
    key: { ...ip, nw_proto: 1, tp_src: 8, tp_dst: 3 },
    layers: { l4: 34 },
    common: true,
  },
  {
    name: "first fragment",
    spec: { ipv4: { ...V4, fragment: 0x2000 }, udp: { src: 1, dst: 2 }, payload: 8 },
    key: { ...ip, nw_proto: 17, nw_frag: 1, tp_src: 1, tp_dst: 2 },
    layers: { l4: 34 },
    common: true,
  },
  {
    name: "later fragment: no ports",
    spec: { ipv4: { ...V4, fragment: 0x0010 }, udp: { src: 1, dst: 2 }, payload: 8 },
    key: { ...ip, nw_proto: 17, nw_frag: 3 },
    layers: { l3: 14, l4: -1 },
    common: true,
  },
  {
    name: "don't fragment is no fragment",
    spec: { ipv4: { ...V4, fragment: 0x4000 }, udp: { src: 1, dst: 2 } },
    key: { ...ip, nw_proto: 17, tp_src: 1, tp_dst: 2 },
    common: true,
  },
  {
    name: "unknown IP protocol",
    spec: { ipv4: { ...V4, protocol: 47 }, payload: 20 },
    key: { ...ip, nw_proto: 47 },
    layers: { l3: 14, l4: -1 },
    common: true,
  },
  {
    name: "ARP",
    spec: {
      arp: { op: 1, sha: "02:00:00:00:00:01", spa: "10.0.0.1", tpa: "10.0.0.9" },
      minLength: 60,
    },
    key: {
      eth_type: 0x806,
      nw_proto: 1,
      nw_src: "10.0.0.1",
      nw_dst: "10.0.0.9",
      arp_sha: "02:00:00:00:00:01",
    },
    layers: { l3: 14, l4: -1 },
  },
  {
    name: "RARP with an operation beyond a byte",
    spec: {
      type: 0x8035,
      arp: { op: 0x103, sha: "02:00:00:00:00:01", spa: "1.2.3.4", tpa: "1.2.3.5" },
    },
    key: {
      eth_type: 0x8035,
      nw_src: "1.2.3.4",
      nw_dst: "1.2.3.5",
      arp_sha: "02:00:00:00:00:01",
    },
  },
  {
    name: "802.1Q",
    spec: { vlans: [{ tci: 0xa005 }], ipv4: V4, udp: { src: 1, dst: 2 } },
    key: { ...ip, vlan_tci: 0xb005, vlan_tpid: 0x8100, nw_proto: 17, tp_src: 1, tp_dst: 2 },
    layers: { l3: 18, l4: 38, vlans: 1 },
    common: true,
  },
  {
    name: "a tag given out of band",
    spec: { ipv4: V4, udp: { src: 1, dst: 2 } },
    options: { tci: 0xa005, tpid: 0x88a8 },
    key: { ...ip, vlan_tci: 0xb005, vlan_tpid: 0x88a8, nw_proto: 17, tp_src: 1, tp_dst: 2 },
    layers: { l3: 14, l4: 34, vlans: 0 },
    common: true,
  },
  {
    name: "a tag out of band over one in the frame",
    spec: { vlans: [{ tci: 7 }], ipv4: V4, udp: { src: 1, dst: 2 } },
    options: { tci: 5, tpid: 0x88a8 },
    key: {
      ...ip,
      vlan_tci: 0x1005,
      vlan_tpid: 0x88a8,
      vlan2_tci: 0x1007,
      vlan2_tpid: 0x8100,
      nw_proto: 17,
      tp_src: 1,
      tp_dst: 2,
    },
    layers: { l3: 18, vlans: 1 },
  },
  {
    name: "802.1ad: two tags, a third one is the type",
    spec: { vlans: [{ tpid: 0x88a8, tci: 1 }, { tci: 2 }, { tci: 3 }], ipv4: V4 },
    key: {
      eth_type: 0x8100,
      vlan_tci: 0x1001,
      vlan_tpid: 0x88a8,
      vlan2_tci: 0x1002,
      vlan2_tpid: 0x8100,
    },
    layers: { l3: -1, vlans: 2 },
  },
  {
    name: "802.3 with LLC",
    spec: { type: 38, payload: Uint8Array.from([0x42, 0x42, 3, ...new Uint8Array(35)]) },
    key: { eth_type: 0x5ff },
    layers: { l3: -1 },
    common: true,
  },
  {
    name: "802.3 with SNAP: the type behind it",
    spec: { type: 8, payload: Uint8Array.from([0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0xcc]) },
    key: { eth_type: 0x88cc },
    common: true,
  },
  {
    name: "SNAP of another organisation",
    spec: { type: 8, payload: Uint8Array.from([0xaa, 0xaa, 3, 0, 0, 1, 0x88, 0xcc]) },
    key: { eth_type: 0x5ff },
    common: true,
  },
  {
    name: "IPv6 TCP",
    spec: {
      ipv6: { ...V6, trafficClass: 0xb9, label: 0x54321 },
      tcp: { src: 1, dst: 2, flags: 2 },
    },
    key: {
      ...ip6,
      nw_tos: 0xb9,
      ipv6_label: 0x54321,
      nw_proto: 6,
      tp_src: 1,
      tp_dst: 2,
      tcp_flags: 2,
    },
    layers: { l3: 14, l4: 54 },
  },
  {
    name: "IPv6 extension headers",
    spec: {
      ipv6: {
        ...V6,
        extensions: [
          { type: 0, bytes: new Uint8Array(8) },
          { type: 60, bytes: Uint8Array.from([0, 1, ...new Uint8Array(14)]) },
          { type: 51, bytes: Uint8Array.from([0, 4, ...new Uint8Array(22)]) },
        ],
      },
      udp: { src: 1, dst: 2 },
    },
    // hop-by-hop, destination options, authentication
    key: { ...ip6, ipv6_exthdr: 0x4c, nw_proto: 17, tp_src: 1, tp_dst: 2 },
    layers: { l3: 14, l4: 54 + 8 + 16 + 24 },
  },
  {
    name: "IPv6 first fragment",
    spec: {
      ipv6: { ...V6, extensions: [{ type: 44, bytes: Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 9]) }] },
      udp: { src: 1, dst: 2 },
    },
    key: { ...ip6, ipv6_exthdr: 0x10, nw_proto: 17, nw_frag: 1, tp_src: 1, tp_dst: 2 },
    layers: { l4: 62 },
  },
  {
    name: "IPv6 later fragment",
    spec: {
      ipv6: { ...V6, extensions: [{ type: 44, bytes: Uint8Array.from([0, 0, 0, 8, 0, 0, 0, 9]) }] },
      udp: { src: 1, dst: 2 },
    },
    key: { ...ip6, ipv6_exthdr: 0x10, nw_proto: 44, nw_frag: 3 },
    layers: { l4: -1 },
  },
  {
    name: "IPv6 fragment header cut: addresses only",
    spec: { ipv6: { ...V6, protocol: 44 }, payload: 4 },
    key: { ipv6_src: "fd00::1", ipv6_dst: "fd00::2", eth_type: 0x86dd },
    layers: { l3: 14, l4: -1 },
    result: "ipv6_bad_extension",
  },
  {
    name: "neighbour solicitation with its source",
    spec: {
      ipv6: V6,
      icmpv6: { type: 135, rest: 0 },
      payload: ND(1, [1, 1, 2, 0, 0, 0, 0, 7]),
    },
    key: {
      ...ip6,
      nw_proto: 58,
      tp_src: 135,
      nd_target: "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fe01",
      nd_options_type: 1,
      arp_sha: "02:00:00:00:00:07",
    },
    layers: { l4: 54 },
  },
  {
    name: "neighbour advertisement with its target, behind another option",
    spec: {
      ipv6: V6,
      icmpv6: { type: 136, rest: 0x60000000 },
      payload: ND(2, [14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 8]),
    },
    key: {
      ...ip6,
      nw_proto: 58,
      tp_src: 136,
      nd_target: "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fe02",
      nd_reserved: 0x60000000,
      nd_options_type: 2,
      arp_tha: "02:00:00:00:00:08",
    },
  },
  {
    name: "neighbour solicitation with the same option twice",
    spec: {
      ipv6: V6,
      icmpv6: { type: 135 },
      payload: ND(1, [1, 1, 2, 0, 0, 0, 0, 7, 1, 1, 2, 0, 0, 0, 0, 8]),
    },
    key: { ...ip6, nw_proto: 58, tp_src: 135, nd_options_type: 1 },
    result: "nd_malformed",
  },
  {
    name: "MPLS: three labels of four",
    spec: { mpls: [1, 2, 3, 4].map((label) => ({ label, tc: 5, ttl: 9 })), ipv4: V4 },
    key: {
      eth_type: 0x8847,
      mpls_lse0: (1 << 12) | (5 << 9) | 9,
      mpls_lse1: (2 << 12) | (5 << 9) | 9,
      mpls_lse2: (3 << 12) | (5 << 9) | 9,
    },
    layers: { l3: -1 },
  },
  {
    name: "MPLS: bottom of stack",
    spec: { mpls: [{ label: 0xfffff, ttl: 1 }], ipv4: V4 },
    key: { eth_type: 0x8847, mpls_lse0: 0xfffff101 },
  },
];

const ALL_SLOTS = [...SLOTS.keys()];

describe("extract", () => {
  for (const fixture of FIXTURES) {
    test(fixture.name, () => {
      const frame = build(fixture.spec, fixture.options);
      expect(slotsOf(frame.key, ALL_SLOTS)).toEqual({ ...MACS, ...fixture.key });
      expect<string | undefined>(EXTRACT_RESULTS[frame.result]).toBe(fixture.result ?? "ok");
      expect({ l3: frame.l3, l4: frame.l4, vlans: frame.vlans }).toMatchObject(
        fixture.layers ?? {},
      );
      if (fixture.common === true) expect(frame.keyWords).toBe(COMMON_BYTES / 4);
      expect(frame.key.words.subarray(frame.keyWords).every((word) => word === 0)).toBe(true);
    });
  }

  test("a vlan limit of one leaves the inner tag as the type", () => {
    const frame = new Frame(new FlowKey(), 1);
    const data = buildFrame({ vlans: [{ tci: 1 }, { tci: 2 }], ipv4: V4 });
    frame.set(data, 0, data.length, false, 0);
    extract(frame, 0, 0, 0);
    expect(slotsOf(frame.key, ["eth_type", "vlan_tci", "vlan2_tci"])).toEqual({
      eth_type: 0x8100,
      vlan_tci: 0x1001,
    });
  });

  const broken: readonly [string, Uint8Array, (typeof EXTRACT_RESULTS)[number]][] = [
    ["no Ethernet header", new Uint8Array(13), "eth_too_short"],
    ["IPv4 header cut", buildFrame({ ipv4: V4 }).subarray(0, 33), "ipv4_too_short"],
    ["IPv4 header length below 5", patched({ ipv4: V4 }, 14, 0x44), "ipv4_bad_length"],
    ["IPv4 header longer than its total", patched({ ipv4: V4 }, 14, 0x46), "ipv4_bad_length"],
    ["IPv4 total beyond the frame", patched({ ipv4: V4 }, 16, 1), "ipv4_bad_length"],
    ["IPv4 total zero", patched({ ipv4: V4, payload: 4 }, 17, 0), "ipv4_bad_length"],
    ["IPv6 cut", buildFrame({ ipv6: V6 }).subarray(0, 53), "ipv6_too_short"],
    ["IPv6 beyond the frame", patched({ ipv6: V6, payload: 4 }, 18, 1), "ipv6_bad_length"],
    [
      "IPv6 extension beyond the payload",
      buildFrame({
        ipv6: {
          ...V6,
          extensions: [{ type: 0, bytes: Uint8Array.from([0, 9, 0, 0, 0, 0, 0, 0]) }],
        },
      }),
      "ipv6_bad_extension",
    ],
    [
      "ARP for another hardware",
      patched({ arp: { op: 1, sha: "2:0:0:0:0:1", spa: "1.1.1.1", tpa: "1.1.1.2" } }, 15, 6),
      "arp_malformed",
    ],
    ["TCP data offset", patched({ ipv4: V4, tcp: { src: 1, dst: 2 } }, 46, 0x40), "tcp_malformed"],
    [
      "TCP options beyond",
      patched({ ipv4: V4, tcp: { src: 1, dst: 2 } }, 46, 0x60),
      "tcp_malformed",
    ],
    ["UDP of 7 bytes", buildFrame({ ipv4: { ...V4, protocol: 17 }, payload: 7 }), "udp_too_short"],
    [
      "SCTP of 11 bytes",
      buildFrame({ ipv4: { ...V4, protocol: 132 }, payload: 11 }),
      "sctp_too_short",
    ],
    ["ICMP of 7 bytes", buildFrame({ ipv4: { ...V4, protocol: 1 }, payload: 7 }), "icmp_too_short"],
    ["IGMP of 7 bytes", buildFrame({ ipv4: { ...V4, protocol: 2 }, payload: 7 }), "igmp_too_short"],
    [
      "ICMPv6 of 7",
      buildFrame({ ipv6: { ...V6, protocol: 58 }, payload: 7 }),
      "icmpv6_too_short",
    ],
    ["ND without target", buildFrame({ ipv6: V6, icmpv6: { type: 135 } }), "nd_malformed"],
    ["MPLS cut", buildFrame({ type: 0x8847, payload: 3 }), "mpls_too_short"],
  ];
  for (const [name, data, result] of broken) {
    test(`malformed: ${name}`, () => {
      const frame = parsed(data);
      expect<string | undefined>(EXTRACT_RESULTS[frame.result]).toBe(result);
      if (result.startsWith("ipv4") || result === "arp_malformed") {
        expect(slotsOf(frame.key, ["nw_src", "nw_dst", "nw_proto", "nw_ttl"])).toEqual({});
        expect(frame.l3).toBe(-1);
      }
      expect(slotsOf(frame.key, ["tp_dst", "tcp_flags"])).toEqual({});
    });
  }

  test("IP lengths of zero are the frame's with segmentation pending", () => {
    const v4 = patched({ ipv4: V4, tcp: { src: 1, dst: 2 }, payload: 100 }, 17, 0);
    v4[16] = 0;
    expect(parsed(v4).result).not.toBe(0);
    const gso = parsed(v4, { vnet: { gsoType: 1, gsoSize: 10 } });
    expect(gso.result).toBe(0);
    expect(gso.l3End).toBe(v4.length);
    const v6 = patched({ ipv6: V6, tcp: { src: 1, dst: 2 }, payload: 100 }, 19, 0);
    v6[18] = 0;
    const gso6 = parsed(v6, { vnet: { gsoType: 4, gsoSize: 10 } });
    expect(gso6.result).toBe(0);
    expect(slotsOf(gso6.key, ["tp_dst"])).toEqual({ tp_dst: 2 });
  });
});

function patched(spec: FrameSpec, at: number, value: number): Uint8Array {
  const data = buildFrame(spec);
  data[at] = value;
  return data;
}

/** The same frame with different bytes around it must give the same key: nothing outside is read. */
function readsOnlyInside(data: Uint8Array, frame: Frame): void {
  const keys: FlowKey[] = [];
  for (const around of [0x00, 0xff]) {
    const buffer = new Uint8Array(data.length + 128).fill(around);
    buffer.set(data, 64);
    frame.set(buffer, 64, data.length, false, 0);
    const words = extract(frame, 1, 0, 0);
    expect(words).toBe(frame.keyWords);
    expect(words).toBeLessThanOrEqual(KEY_WORDS);
    for (let i = words; i < KEY_WORDS; i++) expect(frame.key.words[i]).toBe(0);
    keys.push(frame.key.clone());
    if (frame.l4 >= 0) expect(frame.l4).toBeLessThan(frame.l3End);
    expect(frame.l3End).toBeLessThanOrEqual(data.length);
  }
  expect(keys[0]!.bytes).toEqual(keys[1]!.bytes);
  // A fresh frame object sees the same: nothing of an earlier packet is left.
  const fresh = new Frame();
  fresh.set(data, 0, data.length, false, 0);
  extract(fresh, 1, 0, 0);
  expect(fresh.key.bytes).toEqual(frame.key.bytes);
}

describe("hostile frames", () => {
  test("truncation at every byte reads nothing outside and leaves nothing behind", () => {
    const frame = new Frame();
    for (const { spec } of FIXTURES) {
      const data = buildFrame(spec);
      for (let length = 0; length <= data.length; length++) {
        readsOnlyInside(data.subarray(0, length), frame);
      }
    }
  });

  test("mutated frames neither throw nor read outside", () => {
    const frame = new Frame();
    const bases = FIXTURES.map(({ spec }) => buildFrame(spec));
    fc.assert(
      fc.property(
        fc.nat(bases.length - 1),
        fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.nat(200),
        (which, changes, length) => {
          const data = bases[which]!.slice(0, length);
          for (const [at, value] of changes) if (at < data.length) data[at] = value;
          readsOnlyInside(data, frame);
        },
      ),
      { numRuns: 1500 },
    );
  });
});
