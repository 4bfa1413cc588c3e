/**
 * Builds whole frames from plain records, lengths and checksums filled in: for the lab, tests,
 * the benchmark's generator and everything else that is not the hot path.
 *
 *     buildFrame({ ipv4: { src: "10.0.0.1", dst: "10.0.0.2" }, udp: { src: 1, dst: 53 }, payload: 64 })
 *
 * Layers stack as they are named: Ethernet, VLAN tags (outer first), MPLS, then ARP or IP, then a
 * transport, then the payload. Addresses are text or bytes. What is left out gets a harmless value.
 */
import { parseIpv4, parseIpv6, parseMac } from "./address.ts";
import { checksum, crc32c, pseudoSum } from "./checksum.ts";

export interface VlanTag {
  /** 0x8100 unless given. */
  readonly tpid?: number;
  /** The 16 bits of priority, DEI and VLAN id. */
  readonly tci: number;
}

export interface MplsEntry {
  readonly label: number;
  readonly tc?: number;
  readonly ttl?: number;
  /** Last entry of the stack unless given. */
  readonly bos?: boolean;
}

export interface Ipv4Spec {
  readonly src: string | Uint8Array;
  readonly dst: string | Uint8Array;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  /** The 16 bits of flags and fragment offset. */
  readonly fragment?: number;
  /** IP options; padded to a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** IP protocol, where no transport says it. */
  readonly protocol?: number;
}

export interface Ipv6Spec {
  readonly src: string | Uint8Array;
  readonly dst: string | Uint8Array;
  readonly hopLimit?: number;
  readonly trafficClass?: number;
  readonly label?: number;
  /** Extension headers, each with its type; the next-header byte of each is filled in. */
  readonly extensions?: readonly { readonly type: number; readonly bytes: Uint8Array }[];
  readonly protocol?: number;
}

export interface ArpSpec {
  /** 1 = request, 2 = reply. */
  readonly op: number;
  readonly sha: string | Uint8Array;
  readonly spa: string | Uint8Array;
  readonly tha?: string | Uint8Array;
  readonly tpa: string | Uint8Array;
}

export interface PortsSpec {
  readonly src: number;
  readonly dst: number;
}

export interface TcpSpec extends PortsSpec {
  readonly seq?: number;
  readonly ack?: number;
  /** 12 bits, FIN lowest. ACK unless given. */
  readonly flags?: number;
  readonly window?: number;
  /** Padded to a multiple of 4 bytes. */
  readonly options?: Uint8Array;
}

export interface IcmpSpec {
  readonly type: number;
  readonly code?: number;
  /** The four bytes behind the checksum. */
  readonly rest?: number;
}

export interface FrameSpec {
  readonly dst?: string | Uint8Array;
  readonly src?: string | Uint8Array;
  /** Ethernet type, where no layer below says it. */
  readonly type?: number;
  readonly vlans?: readonly VlanTag[];
  readonly mpls?: readonly MplsEntry[];
  readonly arp?: ArpSpec;
  readonly ipv4?: Ipv4Spec;
  readonly ipv6?: Ipv6Spec;
  readonly tcp?: TcpSpec;
  readonly udp?: PortsSpec;
  readonly sctp?: PortsSpec;
  readonly icmp?: IcmpSpec;
  readonly icmpv6?: IcmpSpec;
  /** Bytes, or how many bytes of a pattern. */
  readonly payload?: Uint8Array | number;
  /** Zero bytes are appended up to this length (Ethernet's minimum is 60 without FCS). */
  readonly minLength?: number;
}

function address(
  value: string | Uint8Array,
  parse: (text: string) => Uint8Array | undefined,
): Uint8Array {
  const bytes = typeof value === "string" ? parse(value) : value;
  if (bytes === undefined) throw new RangeError(`not an address: ${value}`);
  return bytes;
}

const u16 = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value)];

function concat(...parts: (Uint8Array | readonly number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function padded(bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) return new Uint8Array(0);
  return concat(bytes, new Uint8Array(-bytes.length & 3));
}

/** `length` bytes that differ from each other, so that a misplaced one shows. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);
}

interface Transport {
  readonly protocol: number;
  readonly bytes: Uint8Array;
  /** Where the checksum stands in `bytes`; -1 without one. */
  readonly checksumAt: number;
  /** The checksum covers the IP pseudo header. */
  readonly pseudo: boolean;
}

function transportOf(spec: FrameSpec, payload: Uint8Array): Transport {
  if (spec.tcp) {
    const { src, dst, seq = 1, ack = 0, flags = 0x10, window = 0xffff } = spec.tcp;
    const options = padded(spec.tcp.options);
    const control = ((5 + options.length / 4) << 12) | flags;
    const header = [...u16(src), ...u16(dst), ...u32(seq), ...u32(ack), ...u16(control)];
    const bytes = concat(header, u16(window), [0, 0, 0, 0], options, payload);
    return { protocol: 6, bytes, checksumAt: 16, pseudo: true };
  }
  if (spec.udp) {
    const length = 8 + payload.length;
    const bytes = concat(u16(spec.udp.src), u16(spec.udp.dst), u16(length), [0, 0], payload);
    return { protocol: 17, bytes, checksumAt: 6, pseudo: true };
  }
  if (spec.sctp) {
    const bytes = concat(u16(spec.sctp.src), u16(spec.sctp.dst), new Uint8Array(8), payload);
    const crc = crc32c(bytes, 0, bytes.length);
    for (let i = 0; i < 4; i++) bytes[8 + i] = crc >>> (8 * i);
    return { protocol: 132, bytes, checksumAt: -1, pseudo: false };
  }
  const icmp = spec.icmp ?? spec.icmpv6;
  if (icmp) {
    const bytes = concat([icmp.type, icmp.code ?? 0, 0, 0], u32(icmp.rest ?? 0), payload);
    const pseudo = spec.icmpv6 !== undefined;
    return { protocol: pseudo ? 58 : 1, bytes, checksumAt: 2, pseudo };
  }
  const protocol = spec.ipv4?.protocol ?? spec.ipv6?.protocol ?? 253;
  return { protocol, bytes: payload, checksumAt: -1, pseudo: false };
}

/** `addresses`: both, adjacent, for the pseudo header. */
function finish(transport: Transport, addresses: Uint8Array): Uint8Array {
  const { bytes, checksumAt, protocol } = transport;
  if (checksumAt < 0) return bytes;
  const width = addresses.length === 8 ? 4 : 16;
  const start = transport.pseudo ? pseudoSum(addresses, 0, width, protocol, bytes.length) : 0;
  const sum = checksum(bytes, 0, bytes.length, start);
  bytes.set(u16(sum === 0 && protocol === 17 ? 0xffff : sum), checksumAt);
  return bytes;
}

function ipv4Bytes(spec: FrameSpec, ip: Ipv4Spec, payload: Uint8Array): Uint8Array {
  const src = address(ip.src, parseIpv4);
  const dst = address(ip.dst, parseIpv4);
  const options = padded(ip.options);
  const transport = transportOf(spec, payload);
  const body = finish(transport, concat(src, dst));
  const headerBytes = 20 + options.length;
  const header = concat(
    [0x40 | (headerBytes / 4), ip.tos ?? 0],
    u16(headerBytes + body.length),
    u16(ip.id ?? 0),
    u16(ip.fragment ?? 0),
    [ip.ttl ?? 64, transport.protocol, 0, 0],
    src,
    dst,
    options,
  );
  header.set(u16(checksum(header, 0, header.length)), 10);
  return concat(header, body);
}

function ipv6Bytes(spec: FrameSpec, ip: Ipv6Spec, payload: Uint8Array): Uint8Array {
  const src = address(ip.src, parseIpv6);
  const dst = address(ip.dst, parseIpv6);
  const transport = transportOf(spec, payload);
  const body = finish(transport, concat(src, dst));
  const extensions = ip.extensions ?? [];
  const chain = extensions.map(({ bytes }, i) =>
    concat([extensions[i + 1]?.type ?? transport.protocol], bytes.subarray(1))
  );
  const rest = concat(...chain, body);
  const first = 0x60000000 + (ip.trafficClass ?? 0) * 0x100000 + (ip.label ?? 0);
  return concat(
    u32(first),
    u16(rest.length),
    [extensions[0]?.type ?? transport.protocol, ip.hopLimit ?? 64],
    src,
    dst,
    rest,
  );
}

function arpBytes(arp: ArpSpec): Uint8Array {
  return concat(
    [0, 1, 8, 0, 6, 4],
    u16(arp.op),
    address(arp.sha, parseMac),
    address(arp.spa, parseIpv4),
    address(arp.tha ?? "00:00:00:00:00:00", parseMac),
    address(arp.tpa, parseIpv4),
  );
}

/** The frame from its Ethernet header on, without FCS. Throws RangeError on bad address text. */
export function buildFrame(spec: FrameSpec): Uint8Array {
  const { payload = 0 } = spec;
  const data = typeof payload === "number" ? pattern(payload) : payload;
  let type = spec.type ?? 0x88b5;
  let body = data;
  if (spec.arp) {
    type = spec.type ?? 0x0806;
    body = concat(arpBytes(spec.arp), data);
  } else if (spec.ipv4) {
    type = spec.type ?? 0x0800;
    body = ipv4Bytes(spec, spec.ipv4, data);
  } else if (spec.ipv6) {
    type = spec.type ?? 0x86dd;
    body = ipv6Bytes(spec, spec.ipv6, data);
  }
  const labels = spec.mpls ?? [];
  if (labels.length > 0) type = spec.type ?? 0x8847;
  const stack = labels.flatMap((entry, i) => {
    const bos = entry.bos ?? i === labels.length - 1;
    return u32(entry.label * 4096 + ((entry.tc ?? 0) << 9) + (bos ? 256 : 0) + (entry.ttl ?? 64));
  });
  const tags = (spec.vlans ?? []).flatMap((tag) => [...u16(tag.tpid ?? 0x8100), ...u16(tag.tci)]);
  const frame = concat(
    address(spec.dst ?? "02:00:00:00:00:02", parseMac),
    address(spec.src ?? "02:00:00:00:00:01", parseMac),
    tags,
    u16(type),
    stack,
    body,
  );
  const missing = (spec.minLength ?? 0) - frame.length;
  return missing > 0 ? concat(frame, new Uint8Array(missing)) : frame;
}
