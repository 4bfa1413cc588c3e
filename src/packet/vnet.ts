/**
 * Ends a packet's offloads in software: finishes a partial checksum, and cuts a segmentation
 * super-packet into frames, for consumers that cannot carry the virtio-net header (packet-in to a
 * controller, a pcap file, truncation). Not for the hot path: there the header travels along.
 *
 * References: virtio 1.2 §5.1.6.2 and §5.1.6.4; RFC 9293 §3.1, RFC 6864 (IPv4 id).
 */
import { readU16, readU32, writeU16, writeU32 } from "./big-endian.ts";
import { checksum, fold, pseudoSum, sumBytes } from "./checksum.ts";
import { extract } from "./extract.ts";
import {
  Frame,
  VNET_BYTES,
  VNET_F_NEEDS_CSUM,
  VNET_GSO_ECN,
  VNET_GSO_NONE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP,
  VNET_GSO_UDP_L4,
} from "./frame.ts";

/** `struct virtio_net_hdr` as a plain record; lengths and offsets in bytes. */
export interface VnetHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerBytes: number;
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

export function decodeVnet(bytes: Uint8Array, at = 0): VnetHeader {
  const u16 = (i: number) => bytes[at + i]! | (bytes[at + i + 1]! << 8);
  return {
    flags: bytes[at]!,
    gsoType: bytes[at + 1]!,
    headerBytes: u16(2),
    gsoSize: u16(4),
    csumStart: u16(6),
    csumOffset: u16(8),
  };
}

export function encodeVnet(header: VnetHeader): Uint8Array {
  const bytes = new Uint8Array(VNET_BYTES);
  const u16 = (i: number, value: number) => {
    bytes[i] = value;
    bytes[i + 1] = value >>> 8;
  };
  bytes[0] = header.flags;
  bytes[1] = header.gsoType;
  u16(2, header.headerBytes);
  u16(4, header.gsoSize);
  u16(6, header.csumStart);
  u16(8, header.csumOffset);
  return bytes;
}

/**
 * Computes a partial checksum in place; `data` is the frame, `vnet` its header. False if the header
 * asks for none. A header that points outside the frame is refused with a RangeError.
 */
export function finishChecksum(data: Uint8Array, vnet: VnetHeader): boolean {
  if ((vnet.flags & VNET_F_NEEDS_CSUM) === 0) return false;
  const at = vnet.csumStart + vnet.csumOffset;
  if (vnet.csumStart >= data.length || at + 2 > data.length) {
    throw new RangeError(
      `virtio-net header: checksum at ${vnet.csumStart}+${vnet.csumOffset} lies outside ` +
        `a frame of ${data.length} bytes`,
    );
  }
  // The field holds the pseudo header's sum, so it takes part in the sum as it stands.
  let sum = checksum(data, vnet.csumStart, data.length);
  // 0 would mean "no checksum" to UDP; for the others both spellings are the same number.
  if (sum === 0) sum = 0xffff;
  data[at] = sum >>> 8;
  data[at + 1] = sum;
  return true;
}

/** A super-packet cannot be cut: its headers do not fit what the virtio-net header says. */
export class SegmentError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SegmentError";
  }
}

/**
 * The plain frames that a packet stands for: itself with its checksum finished, or its segments.
 * `data` is not changed. Throws SegmentError or RangeError on a header that does not fit the frame.
 */
export function plainFrames(data: Uint8Array, vnet?: Uint8Array): Uint8Array[] {
  if (vnet === undefined) return [data];
  if (vnet.length < VNET_BYTES) {
    throw new RangeError(`virtio-net header: ${vnet.length} bytes instead of ${VNET_BYTES}`);
  }
  const header = decodeVnet(vnet);
  const kind = header.gsoType & ~VNET_GSO_ECN;
  if (kind === VNET_GSO_NONE) {
    if ((header.flags & VNET_F_NEEDS_CSUM) === 0) return [data];
    const copy = data.slice();
    finishChecksum(copy, header);
    return [copy];
  }
  return segment(data, vnet, header, kind);
}

/**
 * What is left of a packet that is cut to `limit` bytes: the start of the frame, or of a
 * super-packet's first segment, its checksum finished as long as all of it is there. May be a view
 * on the frame. A virtio-net header that does not fit the frame is passed over.
 */
export function plainStart(frame: Frame, limit: number): Uint8Array {
  const { bytes, offset, length } = frame;
  const data = bytes.subarray(offset, offset + length);
  if (!frame.vnet) return data.subarray(0, limit);
  try {
    return plainFrames(data, bytes.subarray(offset - VNET_BYTES, offset))[0]!.subarray(0, limit);
  } catch (error) {
    if (error instanceof SegmentError || error instanceof RangeError) {
      return data.subarray(0, limit);
    }
    throw error;
  }
}

function segment(
  data: Uint8Array,
  vnet: Uint8Array,
  header: VnetHeader,
  kind: number,
): Uint8Array[] {
  const packet = new Uint8Array(VNET_BYTES + data.length);
  packet.set(vnet.subarray(0, VNET_BYTES), 0);
  packet.set(data, VNET_BYTES);
  const frame = new Frame();
  frame.set(packet, VNET_BYTES, data.length, true, 0);
  extract(frame, 0, 0, 0);

  const tcp = kind === VNET_GSO_TCPV4 || kind === VNET_GSO_TCPV6;
  if (!tcp && kind !== VNET_GSO_UDP_L4 && kind !== VNET_GSO_UDP) {
    throw new SegmentError(`unknown segmentation type ${kind}`);
  }
  if (frame.l4Type !== (tcp ? 6 : 17)) {
    throw new SegmentError(
      `segmentation type ${kind} on a packet whose transport protocol is ${frame.l4Type}`,
    );
  }
  if (kind === VNET_GSO_UDP) return fragmentUdp(data, frame, header);
  if (header.gsoSize === 0) throw new SegmentError("segmentation size is 0");
  const { l3, l4 } = frame;
  const headerEnd = tcp ? l4 + ((data[l4 + 12]! >> 4) << 2) : l4 + 8;
  const total = Math.max(frame.l3End - headerEnd, 0);
  const frames: Uint8Array[] = [];
  for (let from = 0; from === 0 || from < total; from += header.gsoSize) {
    const size = Math.min(header.gsoSize, total - from);
    const out = new Uint8Array(headerEnd + size);
    out.set(data.subarray(0, headerEnd), 0);
    out.set(data.subarray(headerEnd + from, headerEnd + from + size), headerEnd);
    const last = from + size >= total;
    setLengths(out, frame, frames.length);
    if (tcp) {
      const sequence = (readU32(data, l4 + 4) + from) >>> 0;
      writeU32(out, l4 + 4, sequence);
      // FIN and PSH belong to the last segment; CWR to the first (RFC 3168 §6.1.2).
      if (!last) out[l4 + 13] = out[l4 + 13]! & ~0x09;
      if (from > 0) out[l4 + 13] = out[l4 + 13]! & ~0x80;
    } else writeU16(out, l4 + 4, out.length - l4);
    const at = l4 + (tcp ? 16 : 6);
    writeU16(out, at, 0);
    const addresses = frame.l3Type === 0x0800 ? l3 + 12 : l3 + 8;
    const width = frame.l3Type === 0x0800 ? 4 : 16;
    const pseudo = pseudoSum(out, addresses, width, frame.l4Type, out.length - l4);
    const sum = checksum(out, l4, out.length, pseudo);
    writeU16(out, at, sum === 0 && !tcp ? 0xffff : sum);
    frames.push(out);
  }
  return frames;
}

/** IP length, and for IPv4 the id (one more a segment) and header checksum. */
function setLengths(out: Uint8Array, frame: Frame, index: number): void {
  const { l3 } = frame;
  if (frame.l3Type === 0x86dd) {
    writeU16(out, l3 + 4, out.length - l3 - 40);
    return;
  }
  writeU16(out, l3 + 2, out.length - l3);
  writeU16(out, l3 + 4, (readU16(out, l3 + 4) + index) & 0xffff);
  sealIpv4(out, l3);
}

function sealIpv4(out: Uint8Array, l3: number): void {
  writeU16(out, l3 + 10, 0);
  writeU16(out, l3 + 10, checksum(out, l3, l3 + ((out[l3]! & 15) << 2)));
}

/** The old UDP offload (UFO): one datagram, cut into IPv4 fragments; its checksum covers it all. */
function fragmentUdp(data: Uint8Array, frame: Frame, header: VnetHeader): Uint8Array[] {
  const { l3, l4 } = frame;
  if (frame.l3Type !== 0x0800) throw new SegmentError("UDP fragmentation is for IPv4 only");
  const whole = data.slice(0, frame.l3End);
  finishChecksum(whole, header);
  const step = header.gsoSize & ~7;
  if (step === 0) throw new SegmentError("segmentation size is below 8");
  const frames: Uint8Array[] = [];
  for (let from = 0; from < whole.length - l4; from += step) {
    const body = whole.subarray(l4 + from, Math.min(l4 + from + step, whole.length));
    const out = new Uint8Array(l4 + body.length);
    out.set(whole.subarray(0, l4), 0);
    out.set(body, l4);
    writeU16(out, l3 + 2, out.length - l3);
    const more = l4 + from + step < whole.length ? 0x2000 : 0;
    writeU16(out, l3 + 6, more | (from >> 3));
    sealIpv4(out, l3);
    frames.push(out);
  }
  return frames;
}

/** True if the transport checksum of a plain frame's extracted `frame` is right (or absent). */
export function transportChecksumOk(frame: Frame): boolean {
  const { bytes, offset, l3, l4, l4Type } = frame;
  if (l3 < 0 || l4 < 0) return true;
  const end = offset + frame.l3End;
  const at4 = offset + l4;
  if (l4Type === 1) return fold(sumBytes(bytes, at4, end)) === 0xffff;
  if (l4Type !== 6 && l4Type !== 17 && l4Type !== 58) return true;
  if (l4Type === 17 && bytes[at4 + 6] === 0 && bytes[at4 + 7] === 0) return true;
  const ipv4 = frame.l3Type === 0x0800;
  const pseudo = pseudoSum(
    bytes,
    offset + l3 + (ipv4 ? 12 : 8),
    ipv4 ? 4 : 16,
    l4Type,
    end - at4,
  );
  return fold(sumBytes(bytes, at4, end, pseudo)) === 0xffff;
}
