/**
 * The outer headers of `tnl_push` as text, both ways:
 *
 *     header(size=50,type=4,eth(dst=…,src=…,dl_type=0x0800),ipv4(src=…,dst=…,proto=17,tos=0,ttl=64,
 *     frag=0x4000),udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b))
 *
 * References: RFC 7348 §5 (VXLAN), RFC 8926 §3 (Geneve), RFC 2784 and 2890 (GRE), 3GPP TS 29.281 §5.1
 * (GTP-U), ERSPAN's Internet draft (versions 1 and 2).
 */
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import type { TunnelKind } from "../actions.ts";
import { ETH } from "./headers.ts";
import type { Scanner } from "./scanner.ts";
import { formatGeneveOptions } from "./tunnel-format.ts";
import { scanGeneveOptions } from "./tunnel-parse.ts";
import { alternate, zeroHex } from "./values.ts";

const ETH_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;
const GRE = { CSUM: 0x8000, KEY: 0x2000, SEQ: 0x1000 };
const ERSPAN_PROTOCOL = { 1: 0x88be, 2: 0x22eb } as const;

/** Open vSwitch's numbers of port types; those over IPv6 differ for GRE and ERSPAN. */
const TYPES: Readonly<Record<TunnelKind, readonly [ipv4: number, ipv6: number]>> = {
  gre: [3, 109],
  vxlan: [4, 4],
  geneve: [5, 5],
  erspan: [107, 108],
  gtpu: [110, 110],
  lisp: [105, 105],
};

export function formatPushHeader(kind: TunnelKind, header: Uint8Array): string {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const ethType = view.getUint16(12);
  const ipv4 = ethType === ETH.IPV4;
  let text = `header(size=${header.length},type=${TYPES[kind][ipv4 ? 0 : 1]},` +
    `eth(dst=${formatMac(header, 0)},src=${formatMac(header, 6)},` +
    `dl_type=${zeroHex(ethType, 4)}),`;
  let at = ETH_BYTES;
  if (ipv4) {
    text += `ipv4(src=${formatIpv4(header, at + 12)},dst=${formatIpv4(header, at + 16)},` +
      `proto=${header[at + 9]},tos=${alternate(header[at + 1]!)},ttl=${header[at + 8]},` +
      `frag=0x${view.getUint16(at + 6).toString(16)}),`;
    at += IPV4_BYTES;
  } else {
    const flow = view.getUint32(at);
    text += `ipv6(src=${formatIpv6(header, at + 8)},dst=${formatIpv6(header, at + 24)},` +
      `label=${flow & 0xfffff},proto=${header[at + 6]},` +
      `tclass=0x${((flow >>> 20) & 0xff).toString(16)},hlimit=${header[at + 7]}),`;
    at += IPV6_BYTES;
  }
  return `${text}${formatTunnel(kind, header, view, at)})`;
}

function formatTunnel(kind: TunnelKind, header: Uint8Array, view: DataView, l4: number): string {
  const udp = (): string =>
    `udp(src=${view.getUint16(l4)},dst=${view.getUint16(l4 + 2)},` +
    `csum=0x${view.getUint16(l4 + 6).toString(16)}),`;
  const at = l4 + UDP_BYTES;
  const hex = (value: number): string => `0x${value.toString(16)}`;
  switch (kind) {
    case "vxlan":
      return `${udp()}vxlan(flags=${hex(view.getUint32(at))},` +
        `vni=${hex(view.getUint32(at + 4) >>> 8)})`;
    case "geneve": {
      const optionBytes = (header[at]! & 0x3f) * 4;
      const flags = header[at + 1]!;
      const options = header.subarray(at + 8, at + 8 + optionBytes);
      const rest = optionBytes === 0
        ? ""
        : `,options(${formatGeneveOptions(options, undefined, false)})`;
      return `${udp()}geneve(${flags & 0x80 ? "oam," : ""}${flags & 0x40 ? "crit," : ""}` +
        `vni=${hex(view.getUint32(at + 4) >>> 8)}${rest})`;
    }
    case "gtpu":
      return `${udp()}gtpu(flags=${hex(header[at]!)},msgtype=${header[at + 1]},` +
        `teid=${hex(view.getUint32(at + 4))})`;
    case "lisp":
      return `${udp()}lisp(flags=${hex(header[at]!)},iid=${hex(view.getUint32(at + 4) >>> 8)})`;
    case "gre": {
      const flags = view.getUint16(l4);
      let text = `gre((flags=${hex(flags)},proto=${hex(view.getUint16(l4 + 2))})`;
      let option = l4 + 4;
      if (flags & GRE.CSUM) {
        text += `,csum=${hex(view.getUint16(option))}`;
        option += 4;
      }
      if (flags & GRE.KEY) {
        text += `,key=${hex(view.getUint32(option))}`;
        option += 4;
      }
      if (flags & GRE.SEQ) text += `,seq=${hex(view.getUint32(option))}`;
      return `${text})`;
    }
    case "erspan": {
      // Behind GRE with a sequence number: version 4 bits, VLAN 12, …, session 10; then its own.
      const base = l4 + 8;
      const version = header[base]! >> 4;
      const session = hex(view.getUint16(base + 2) & 0x3ff);
      if (version === 1) {
        return `erspan(ver=1,sid=${session},idx=${hex(view.getUint32(base + 4))})`;
      }
      const metadata = view.getUint16(base + 10);
      return `erspan(ver=2,sid=${session},dir=${(metadata >> 3) & 1},` +
        `hwid=${hex((metadata >> 4) & 0x3f)})`;
    }
    default: {
      const never: never = kind;
      throw new Error(`tunnel kind ${never}`);
    }
  }
}

/** Reads `header(…)`. */
export function scanPushHeader(s: Scanner): { kind: TunnelKind; header: Uint8Array } {
  s.expect("header(size=");
  const size = s.number();
  s.expect(",type=");
  const type = s.number();
  const bytes: number[] = [];
  s.expect(",eth(dst=");
  bytes.push(...s.mac());
  s.expect(",src=");
  bytes.push(...s.mac());
  s.expect(",dl_type=");
  const ethType = s.number(0xffff);
  bytes.push(ethType >> 8, ethType & 0xff);
  s.expect("),");
  const ipv4 = ethType === ETH.IPV4;
  bytes.push(...(ipv4 ? scanIpv4(s) : scanIpv6(s)));
  const kind = scanTunnel(s, bytes);
  s.expect(")");
  if (type !== TYPES[kind][ipv4 ? 0 : 1] || size !== bytes.length) s.fail();
  return { kind, header: Uint8Array.from(bytes) };
}

function scanIpv4(s: Scanner): Uint8Array {
  const ip = new Uint8Array(IPV4_BYTES);
  ip[0] = 0x45;
  s.expect("ipv4(src=");
  ip.set(s.ipv4(), 12);
  s.expect(",dst=");
  ip.set(s.ipv4(), 16);
  s.expect(",proto=");
  ip[9] = s.number(0xff);
  s.expect(",tos=");
  ip[1] = s.number(0xff);
  s.expect(",ttl=");
  ip[8] = s.number(0xff);
  s.expect(",frag=");
  new DataView(ip.buffer).setUint16(6, s.number(0xffff));
  s.expect("),");
  return ip;
}

function scanIpv6(s: Scanner): Uint8Array {
  const ip = new Uint8Array(IPV6_BYTES);
  s.expect("ipv6(src=");
  ip.set(s.ipv6(), 8);
  s.expect(",dst=");
  ip.set(s.ipv6(), 24);
  s.expect(",label=");
  const label = s.number(0xfffff);
  s.expect(",proto=");
  ip[6] = s.number(0xff);
  s.expect(",tclass=");
  const trafficClass = s.number(0xff);
  s.expect(",hlimit=");
  ip[7] = s.number(0xff);
  s.expect("),");
  new DataView(ip.buffer).setUint32(0, (0x60000000 | (trafficClass << 20) | label) >>> 0);
  return ip;
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];

/** Appends the headers behind IP to `into`. */
function scanTunnel(s: Scanner, into: number[]): TunnelKind {
  if (s.take("gre((flags=")) {
    const flags = s.number(0xffff);
    s.expect(",proto=");
    into.push(...u16(flags), ...u16(s.number(0xffff)));
    s.expect(")");
    if (flags & GRE.CSUM) {
      s.expect(",csum=");
      into.push(...u16(s.number(0xffff)), 0, 0);
    }
    if (flags & GRE.KEY) {
      s.expect(",key=");
      into.push(...u32(s.number()));
    }
    if (flags & GRE.SEQ) {
      s.expect(",seq=");
      into.push(...u32(s.number()));
    }
    s.expect(")");
    return "gre";
  }
  if (s.take("erspan(ver=")) return scanErspan(s, into);
  s.expect("udp(src=");
  into.push(...u16(s.number(0xffff)));
  s.expect(",dst=");
  into.push(...u16(s.number(0xffff)), 0, 0);
  s.expect(",csum=");
  into.push(...u16(s.number(0xffff)));
  s.expect("),");
  if (s.take("vxlan(flags=")) {
    into.push(...u32(s.number()));
    s.expect(",vni=");
    into.push(...u32((s.number(0xffffff) << 8) >>> 0));
    s.expect(")");
    return "vxlan";
  }
  if (s.take("gtpu(flags=")) {
    into.push(s.number(0xff));
    s.expect(",msgtype=");
    into.push(s.number(0xff), 0, 0);
    s.expect(",teid=");
    into.push(...u32(s.number()));
    s.expect(")");
    return "gtpu";
  }
  if (s.take("lisp(flags=")) {
    into.push(s.number(0xff), 0, 0, 0);
    s.expect(",iid=");
    // The first locator is reachable.
    into.push(...u32(((s.number(0xffffff) << 8) | 1) >>> 0));
    s.expect(")");
    return "lisp";
  }
  s.expect("geneve(");
  let flags = 0;
  if (s.take("oam,")) flags |= 0x80;
  if (s.take("crit,")) flags |= 0x40;
  s.expect("vni=");
  const vni = s.number(0xffffff);
  let options = new Uint8Array();
  if (s.take(",options(")) {
    options = new Uint8Array(scanGeneveOptions(s, false).value);
    s.expect(")");
  }
  s.expect(")");
  into.push(options.length / 4, flags, 0x65, 0x58, ...u32((vni << 8) >>> 0), ...options);
  return "geneve";
}

function scanErspan(s: Scanner, into: number[]): TunnelKind {
  const version = s.number(2);
  if (version !== 1 && version !== 2) s.fail();
  const which: 1 | 2 = version === 1 ? 1 : 2;
  into.push(...u16(GRE.SEQ), ...u16(ERSPAN_PROTOCOL[which]), 0, 0, 0, 0);
  s.expect(",sid=");
  into.push(...u16(which << 12), ...u16(s.number(0x3ff)));
  if (which === 1) {
    s.expect(",idx=");
    into.push(...u32(s.number()));
  } else {
    s.expect(",dir=");
    const direction = s.number(1);
    s.expect(",hwid=");
    const hardwareId = s.number(0x3f);
    into.push(0, 0, 0, 0, 0, 0, ...u16((direction << 3) | (hardwareId << 4)));
  }
  s.expect(")");
  return "erspan";
}
