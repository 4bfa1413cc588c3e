/** Packets of all kinds, sound and broken, for comparing datapaths. */
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import type { Seeded } from "../../support/seeded.ts";
import { partialUdp, superTcp } from "./offloads.ts";

const MACS = ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"];
const V4 = ["10.0.0.1", "10.0.0.2", "10.0.1.2", "192.168.7.9"];
const V6 = ["fd00::1", "fd00::2", "fe80::1", "ff02::1:ff00:2"];

/** Link-layer addresses, an option that nobody knows, and a long one; one behind the other. */
const ND_OPTIONS = [
  [1, 1, 2, 0, 0, 0, 0, 9],
  [2, 1, 2, 0, 0, 0, 0, 8],
  [99, 1, 0, 0, 0, 0, 0, 0],
  [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

function transport(r: Seeded, v6: boolean): Partial<FrameSpec> {
  const ports = { src: 1000 + r.next(3), dst: r.pick([53, 80, 443]) };
  switch (r.next(6)) {
    case 0:
    case 1:
      return { tcp: { ...ports, flags: r.next(0x200) } };
    case 2:
    case 3:
      return { udp: ports };
    case 4:
      return { sctp: ports };
    default: {
      if (!v6) return { icmp: { type: r.pick([0, 8, 3]), code: r.next(3) } };
      const type = r.pick([128, 129, 135, 136]);
      const target = r.bytes(16);
      const options = Array.from({ length: r.next(3) }, () => r.pick(ND_OPTIONS)).flat();
      const payload = new Uint8Array([...target, ...options]);
      return { icmpv6: { type, code: r.next(4) === 0 ? 1 : 0 }, payload };
    }
  }
}

/** An IPv6 extension header: mostly sound, of one or two times 8 bytes. */
function extension(r: Seeded): { type: number; bytes: Uint8Array } {
  const type = r.pick([0, 43, 44, 51, 60]);
  const bytes = r.bytes(r.pick([8, 16]));
  bytes[1] = type === 51 ? bytes.length / 4 - 2 : bytes.length / 8 - 1;
  // Segments left of a routing header; offset and flags of a fragment.
  if (type === 43) bytes[3] = r.next(4) === 0 ? 1 : 0;
  if (type !== 44) return { type, bytes };
  const fragment = bytes.slice(0, 8);
  fragment.set(r.pick([[0, 0], [0, 1], [0, 0x80], [1, 0x01]]), 2);
  return { type, bytes: fragment };
}

function network(r: Seeded): Partial<FrameSpec> {
  switch (r.next(10)) {
    case 0:
      return {
        arp: {
          op: r.pick([1, 2, 300]),
          sha: r.pick(MACS),
          spa: r.pick(V4),
          tpa: r.pick(V4),
        },
      };
    case 1:
      return {
        mpls: Array.from({ length: 1 + r.next(4) }, () => ({
          label: r.next(1 << 20),
          tc: r.next(8),
          ttl: r.next(256),
        })),
      };
    case 2:
      return { type: r.pick([0x88cc, 0x9000, 0x0123, 0x8863]), payload: 60 };
    case 3:
    case 4:
    case 5: {
      const extensions = r.next(3) === 0
        ? Array.from({ length: 1 + r.next(4) }, () => extension(r))
        : [];
      return {
        ipv6: {
          src: r.pick(V6),
          dst: r.pick(V6),
          hopLimit: 1 + r.next(3),
          trafficClass: r.next(256),
          label: r.next(1 << 20),
          extensions,
        },
        ...transport(r, true),
      };
    }
    default:
      return {
        ipv4: {
          src: r.pick(V4),
          dst: r.pick(V4),
          ttl: 1 + r.next(3),
          tos: r.next(256),
          id: r.next(0x10000),
          fragment: r.next(5) === 0 ? r.pick([0x2000, 0x2010, 0x0010]) : 0x4000 * r.next(2),
          ...(r.next(6) === 0 ? { options: r.bytes(4 + 4 * r.next(4)) } : {}),
          ...(r.next(12) === 0 ? { protocol: 47 } : {}),
        },
        ...transport(r, false),
      };
  }
}

/** A packet; one in eight is broken or cut, one in ten is offloaded. */
export function randomPacket(r: Seeded): Packet {
  if (r.next(10) === 0) return r.next(2) === 0 ? partialUdp() : superTcp(4000, 1000);
  const vlans = Array.from({ length: Math.max(0, r.next(5) - 2) }, () => ({
    tpid: r.pick([0x8100, 0x8100, 0x88a8]),
    tci: r.next(0x10000),
  }));
  const data = buildFrame({
    dst: r.pick(MACS),
    src: r.pick(MACS.slice(0, 2)),
    vlans,
    payload: r.next(80),
    minLength: 60,
    ...network(r),
  });
  switch (r.next(16)) {
    case 0:
      return { data: data.slice(0, 14 + r.next(data.length - 14)) };
    case 1: {
      data[12 + r.next(data.length - 12)] = r.next(256);
      return { data };
    }
    default:
      return { data };
  }
}
