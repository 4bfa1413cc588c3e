/** Frames for tests, built by hand so that they do not depend on the code under test. */

export interface Tag {
  readonly vid: number;
  readonly pcp?: number;
  /** 0x8100 unless given. */
  readonly tpid?: number;
}

export interface UdpFrame {
  readonly srcMac: string;
  readonly dstMac: string;
  readonly srcIp: string;
  readonly dstIp: string;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly tags?: readonly Tag[];
  readonly payload?: Uint8Array;
  readonly ttl?: number;
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(":"), (part) => parseInt(part, 16));
}

export function ipBytes(ip: string): Uint8Array {
  return Uint8Array.from(ip.split("."), Number);
}

/** The Internet checksum (RFC 1071) over big-endian bytes. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function u16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >>> 8, value & 0xff]));
}

export function ethernet(
  dst: string,
  src: string,
  type: number,
  body: Uint8Array,
  tags: readonly Tag[] = [],
): Uint8Array {
  const tagBytes = tags.map((tag) => u16(tag.tpid ?? 0x8100, ((tag.pcp ?? 0) << 13) | tag.vid));
  const frame = concat(macBytes(dst), macBytes(src), ...tagBytes, u16(type), body);
  return frame.length >= 60 ? frame : concat(frame, new Uint8Array(60 - frame.length));
}

/** An IPv4 UDP datagram with right checksums. */
export function udp(f: UdpFrame): Uint8Array {
  const payload = f.payload ?? new TextEncoder().encode("solovs test payload");
  const length = 8 + payload.length;
  const segment = concat(u16(f.srcPort ?? 1000, f.dstPort ?? 2000, length, 0), payload);
  const pseudo = concat(ipBytes(f.srcIp), ipBytes(f.dstIp), u16(17, length));
  segment.set(u16(checksum(pseudo, segment) || 0xffff), 6);
  return ethernet(f.dstMac, f.srcMac, 0x0800, ipv4(f, 17, segment), f.tags);
}

/** A TCP segment that asks for a connection, with right checksums. */
export function tcpSyn(f: Omit<UdpFrame, "payload">): Uint8Array {
  const segment = concat(
    u16(f.srcPort ?? 1000, f.dstPort ?? 80, 0, 1, 0, 0, 0x5002, 64240, 0, 0),
  );
  const pseudo = concat(ipBytes(f.srcIp), ipBytes(f.dstIp), u16(6, segment.length));
  segment.set(u16(checksum(pseudo, segment)), 16);
  return ethernet(f.dstMac, f.srcMac, 0x0800, ipv4(f, 6, segment), f.tags);
}

function ipv4(
  f: { srcIp: string; dstIp: string; ttl?: number },
  protocol: number,
  body: Uint8Array,
): Uint8Array {
  const header = concat(
    u16(0x4500, 20 + body.length, 0x1234, 0x4000, ((f.ttl ?? 64) << 8) | protocol, 0),
    ipBytes(f.srcIp),
    ipBytes(f.dstIp),
  );
  header.set(u16(checksum(header)), 10);
  return concat(header, body);
}

export function arpRequest(
  srcMac: string,
  srcIp: string,
  wantedIp: string,
  tags: readonly Tag[] = [],
): Uint8Array {
  const body = concat(
    u16(1, 0x0800, 0x0604, 1),
    macBytes(srcMac),
    ipBytes(srcIp),
    new Uint8Array(6),
    ipBytes(wantedIp),
  );
  return ethernet("ff:ff:ff:ff:ff:ff", srcMac, 0x0806, body, tags);
}

/** What a received frame holds, as far as tests ask; decoded apart from the product's code. */
export interface Seen {
  readonly dstMac: string;
  readonly srcMac: string;
  readonly tags: readonly { tpid: number; vid: number; pcp: number }[];
  readonly type: number;
  readonly srcIp?: string;
  readonly dstIp?: string;
  readonly protocol?: number;
  readonly ttl?: number;
  readonly tos?: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** Both IPv4 and UDP/TCP checksums hold; undefined for others. */
  readonly checksumsHold?: boolean;
}

export function parse(frame: Uint8Array): Seen {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const mac = (at: number) =>
    [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  const tags: { tpid: number; vid: number; pcp: number }[] = [];
  let at = 12;
  while (at + 4 <= frame.length && [0x8100, 0x88a8].includes(view.getUint16(at))) {
    const tci = view.getUint16(at + 2);
    tags.push({ tpid: view.getUint16(at), vid: tci & 0xfff, pcp: tci >>> 13 });
    at += 4;
  }
  const base = { dstMac: mac(0), srcMac: mac(6), tags, type: view.getUint16(at) };
  const ip = at + 2;
  if (base.type !== 0x0800 || frame.length < ip + 20) return base;
  const protocol = frame[ip + 9]!;
  const total = view.getUint16(ip + 2);
  const withIp = {
    ...base,
    srcIp: [...frame.subarray(ip + 12, ip + 16)].join("."),
    dstIp: [...frame.subarray(ip + 16, ip + 20)].join("."),
    protocol,
    ttl: frame[ip + 8]!,
    tos: frame[ip + 1]!,
  };
  const l4 = ip + 20;
  if ((protocol !== 17 && protocol !== 6) || frame.length < l4 + 8) return withIp;
  const segment = frame.subarray(l4, ip + total);
  const pseudo = concat(frame.subarray(ip + 12, ip + 20), u16(protocol, segment.length));
  const checksumsHold = checksum(frame.subarray(ip, l4)) === 0 && checksum(pseudo, segment) === 0;
  return {
    ...withIp,
    srcPort: view.getUint16(l4),
    dstPort: view.getUint16(l4 + 2),
    checksumsHold,
  };
}
