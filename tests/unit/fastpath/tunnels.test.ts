import { expect, test } from "bun:test";
import { type DpTunnel, TUNNEL_KINDS, type TunnelKind } from "../../../src/fastpath/actions.ts";
import { readTunnel } from "../../../src/fastpath/tunnel-key.ts";
import { buildHeader, ETH_IPV4, ETH_TEB } from "../../../src/fastpath/tunnels/header.ts";
import { popTunnel } from "../../../src/fastpath/tunnels/pop.ts";
import { pushTunnel } from "../../../src/fastpath/tunnels/push.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame } from "../../../src/packet/frame.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { TUN_F_CSUM, TUN_F_DF, TUN_F_KEY } from "../../../src/packet/layout.ts";
import { transportChecksumOk } from "../../../src/packet/vnet.ts";

const HEADROOM = 400;
const INNER = buildFrame({
  dst: "02:00:00:00:00:02",
  src: "02:00:00:00:00:01",
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  tcp: { src: 1000, dst: 80 },
  payload: 100,
});
const MACS = {
  ethDst: Uint8Array.of(2, 0, 0, 0, 1, 2),
  ethSrc: Uint8Array.of(2, 0, 0, 0, 1, 1),
};

function frameOf(data: Uint8Array): Frame {
  const frame = new Frame();
  const bytes = new Uint8Array(HEADROOM + data.length);
  bytes.set(data, HEADROOM);
  frame.set(bytes, HEADROOM, data.length, false, 0);
  extract(frame, 1, 0, 0);
  return frame;
}

function dataOf(frame: Frame): Uint8Array {
  return frame.bytes.slice(frame.offset, frame.offset + frame.length);
}

interface Case {
  readonly name: string;
  readonly kind: TunnelKind;
  readonly tunnel: DpTunnel;
  readonly overhead: number;
}

const V4 = { src: Uint8Array.of(192, 0, 2, 1), dst: Uint8Array.of(192, 0, 2, 2), ttl: 64, tos: 4 };
const V6 = {
  src: Uint8Array.of(0xfd, ...new Array<number>(14).fill(0), 1),
  dst: Uint8Array.of(0xfd, ...new Array<number>(14).fill(0), 2),
  ttl: 63,
};
const KEY = { id: 0x123456n, flags: TUN_F_KEY | TUN_F_DF };
const OPTIONS = Uint8Array.of(1, 2, 0x80, 1, 0xde, 0xad, 0xbe, 0xef);
const CASES: readonly Case[] = [
  {
    name: "VXLAN",
    kind: "vxlan",
    tunnel: { ...V4, ...KEY, tpDst: 4789 },
    overhead: 14 + 20 + 8 + 8,
  },
  {
    name: "VXLAN over IPv6",
    kind: "vxlan",
    tunnel: { ...V6, ...KEY, tpDst: 4789 },
    overhead: 14 + 40 + 8 + 8,
  },
  {
    name: "Geneve with an option and checksum",
    kind: "geneve",
    tunnel: { ...V4, ...KEY, flags: KEY.flags | TUN_F_CSUM, tpDst: 6081, options: OPTIONS },
    overhead: 14 + 20 + 8 + 8 + 8,
  },
  { name: "GRE without key", kind: "gre", tunnel: { ...V4, flags: 0 }, overhead: 14 + 20 + 4 },
  {
    name: "GRE with key and checksum",
    kind: "gre",
    tunnel: { ...V4, id: 0xdeadbeefn, flags: TUN_F_KEY | TUN_F_CSUM },
    overhead: 14 + 20 + 12,
  },
  {
    name: "ERSPAN type II",
    kind: "erspan",
    tunnel: {
      ...V4,
      id: 0x2ffn,
      flags: TUN_F_KEY,
      erspan: { version: 1, index: 5, direction: 0, hardwareId: 0 },
    },
    overhead: 14 + 20 + 8 + 8,
  },
  {
    name: "ERSPAN type III over IPv6",
    kind: "erspan",
    tunnel: {
      ...V6,
      id: 1n,
      flags: TUN_F_KEY,
      erspan: { version: 2, index: 0, direction: 1, hardwareId: 0x2a },
    },
    overhead: 14 + 40 + 8 + 12,
  },
];

for (const { name, kind, tunnel, overhead } of CASES) {
  test(`${name}: what is pushed is taken off again, metadata and all`, () => {
    const format = { kind, inner: ETH_TEB, sequence: false, gpe: false, gbp: false };
    const header = buildHeader(format, tunnel, { ...MACS, src: tunnel.src! });
    expect(header.length).toBe(overhead);
    const frame = frameOf(INNER);
    expect(pushTunnel(frame, header, 0, header.length, 0x80000000, false, { next: 0 })).toBe(0);
    expect(frame.length).toBe(INNER.length + overhead);
    expect(frame.result).toBe(0);
    if (
      kind !== "gre" && kind !== "erspan" &&
      (tunnel.flags! & TUN_F_CSUM || tunnel.dst.length === 16)
    ) {
      expect(transportChecksumOk(frame)).toBe(true);
    }
    expect(popTunnel(frame, kind)).toBe("ok");
    expect(dataOf(frame)).toEqual(INNER);
    const read = readTunnel(frame.key)!;
    expect(read.dst).toEqual(tunnel.dst);
    expect(read.src).toEqual(tunnel.src!);
    expect(read.id).toBe(tunnel.id);
    expect(read.ttl).toBe(tunnel.ttl);
    expect(read.tos).toBe(tunnel.tos ?? 0);
    expect(read.options).toEqual(tunnel.options);
    expect(read.erspan).toEqual(tunnel.erspan);
  });

  test(`${name}: cut anywhere, it is dropped or whole, and nothing throws`, () => {
    const format = { kind, inner: ETH_TEB, sequence: false, gpe: false, gbp: false };
    const header = buildHeader(format, tunnel, { ...MACS, src: tunnel.src! });
    const whole = frameOf(INNER);
    pushTunnel(whole, header, 0, header.length, 1, false, { next: 0 });
    const data = dataOf(whole);
    for (let length = 14; length < data.length; length++) {
      const frame = frameOf(data.slice(0, length));
      popTunnel(frame, kind);
      expect(frame.length).toBeLessThanOrEqual(length);
    }
  });
}

test("sequence numbers count, per packet", () => {
  const tunnel: DpTunnel = { ...V4, flags: 0 };
  const format = { kind: "gre", inner: ETH_TEB, sequence: true, gpe: false, gbp: false } as const;
  const header = buildHeader(format, tunnel, { ...MACS, src: V4.src });
  const sequence = { next: 7 };
  const numbers = [1, 2].map(() => {
    const frame = frameOf(INNER);
    pushTunnel(frame, header, 0, header.length, 0, false, sequence);
    const at = frame.offset + header.length - 4;
    return new DataView(frame.bytes.buffer).getUint32(at);
  });
  expect(numbers).toEqual([7, 8]);
});

test("GTP-U carries packets without an Ethernet header, and counts their length", () => {
  const packet = INNER.slice(14);
  const frame = new Frame();
  const bytes = new Uint8Array(HEADROOM + packet.length);
  bytes.set(packet, HEADROOM);
  frame.set(bytes, HEADROOM, packet.length, false, 0);
  frame.packetType = 0x10000 | ETH_IPV4;
  extract(frame, 1, 0, 0);
  const tunnel: DpTunnel = { ...V4, id: 5n, flags: TUN_F_KEY, tpDst: 2152 };
  const format = {
    kind: "gtpu",
    inner: ETH_IPV4,
    sequence: false,
    gpe: false,
    gbp: false,
  } as const;
  const header = buildHeader(format, tunnel, { ...MACS, src: V4.src });
  expect(pushTunnel(frame, header, 0, header.length, 0, true, { next: 0 })).toBe(0);
  const gtpu = frame.offset + 14 + 20 + 8;
  expect((frame.bytes[gtpu + 2]! << 8) | frame.bytes[gtpu + 3]!).toBe(packet.length);
  expect(popTunnel(frame, "gtpu")).toBe("ok");
  expect(dataOf(frame)).toEqual(packet);
  expect(frame.packetType).toBe(0x10000 | ETH_IPV4);
});

test("what is wrong with outer headers has a name", () => {
  const format = {
    kind: "vxlan",
    inner: ETH_TEB,
    sequence: false,
    gpe: false,
    gbp: false,
  } as const;
  const tunnel = { ...V4, ...KEY, flags: KEY.flags | TUN_F_CSUM, tpDst: 4789 };
  const header = buildHeader(format, tunnel, { ...MACS, src: V4.src });
  const pushed = (): Frame => {
    const frame = frameOf(INNER);
    pushTunnel(frame, header, 0, header.length, 0, false, { next: 0 });
    return frame;
  };
  const broken = (at: number, value: number): string => {
    const frame = pushed();
    frame.bytes[frame.offset + at] = value;
    // The checksum is left out, so that it is not what is found wrong.
    frame.bytes.fill(0, frame.offset + 40, frame.offset + 42);
    extract(frame, 1, 0, 0);
    return popTunnel(frame, "vxlan");
  };
  expect(broken(42, 0)).toBe("tunnel_reserved_bits");
  expect(broken(49, 1)).toBe("tunnel_reserved_bits");
  const corrupt = pushed();
  corrupt.bytes[corrupt.offset + corrupt.length - 1]! ^= 1;
  expect(popTunnel(corrupt, "vxlan")).toBe("tunnel_bad_checksum");
  expect(popTunnel(frameOf(buildFrame({ type: 0x88cc, payload: 50 })), "vxlan")).toBe(
    "tunnel_not_ip",
  );
  for (const kind of TUNNEL_KINDS) expect(popTunnel(frameOf(INNER), kind)).not.toBe("ok");
});
