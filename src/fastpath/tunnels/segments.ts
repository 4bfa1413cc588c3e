/**
 * Cuts a TCP or UDP super-packet (virtio-net gso_type) into its segments for a tunnel: the headers of
 * each segment are written where the caller wants them; payloads are read where they lie, and not
 * copied. Works on an extracted frame; allocates nothing.
 *
 *     frame:   | headers | payload 0 | payload 1 | … | last |        payloads of `size` bytes
 *     segment: | headers, with lengths, id, sequence number, checksums |  payload i
 *
 * References: RFC 9293 §3.1, RFC 6864 (IPv4 id), RFC 3168 §6.1.2 (CWR), virtio 1.2 §5.1.6.2.
 */
import { readU16, writeU16 } from "../../packet/big-endian.ts";
import { fold, pseudoSum, sumBytes, sumRange } from "../../packet/checksum.ts";
import {
  type Frame,
  VNET_BYTES,
  VNET_GSO_ECN,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
} from "../../packet/frame.ts";

const TCP = 6;
const UDP = 17;
/** FIN and PSH belong to the last segment; CWR to the first. */
const FIN_PSH = 0x09;
const CWR = 0x80;

export class Segments {
  /** How many segments there are. */
  count = 0;
  /** Bytes of headers of each. */
  headBytes = 0;
  /** Of the payload of the segment that was written last: its sum (checksum.ts), folded. */
  payloadSum = 0;
  private bytes: Uint8Array = new Uint8Array(0);
  private words: Int32Array = new Int32Array(0);
  private start = 0;
  private l3 = 0;
  private l4 = 0;
  private ipv4 = true;
  private tcp = true;
  private size = 0;
  private total = 0;
  private id = 0;
  private sequence = 0;
  private flags = 0;
  /** Of the header without what differs between segments. */
  private ipSum = 0;
  private l4Sum = 0;

  /** False if the headers do not fit what the offload header says; nothing can be cut then. */
  begin(frame: Frame, words: Int32Array): boolean {
    const { bytes, offset, l3, l4 } = frame;
    const vnet = offset - VNET_BYTES;
    const kind = bytes[vnet + 1]! & ~VNET_GSO_ECN;
    const tcp = kind === VNET_GSO_TCPV4 || kind === VNET_GSO_TCPV6;
    if (!tcp && kind !== VNET_GSO_UDP_L4) return false;
    if (l3 < 0 || l4 < 0 || frame.l4Type !== (tcp ? TCP : UDP) || frame.ipv6Routing) return false;
    const size = bytes[vnet + 4]! | (bytes[vnet + 5]! << 8);
    const headBytes = l4 + (tcp ? (bytes[offset + l4 + 12]! >> 4) << 2 : 8);
    const total = frame.l3End - headBytes;
    if (size === 0 || total <= 0) return false;
    const ipv4 = frame.l3Type === 0x0800;
    const ip = offset + l3;
    const at = offset + l4;
    this.bytes = bytes;
    this.words = words;
    this.start = offset;
    this.l3 = l3;
    this.l4 = l4;
    this.ipv4 = ipv4;
    this.tcp = tcp;
    this.size = size;
    this.total = total;
    this.headBytes = headBytes;
    this.count = Math.ceil(total / size);
    if (ipv4) {
      this.id = readU16(bytes, ip + 4);
      this.ipSum = readU16(bytes, ip) + sumBytes(bytes, ip + 6, ip + 10) +
        sumBytes(bytes, ip + 12, at);
    }
    const width = ipv4 ? 4 : 16;
    const pseudo = pseudoSum(bytes, ip + (ipv4 ? 12 : 8), width, tcp ? TCP : UDP, 0);
    if (tcp) {
      this.sequence = readU16(bytes, at + 4) * 0x10000 + readU16(bytes, at + 6);
      this.flags = readU16(bytes, at + 12);
      this.l4Sum = pseudo + sumBytes(bytes, at, at + 4) + sumBytes(bytes, at + 8, at + 12) +
        readU16(bytes, at + 14) + sumBytes(bytes, at + 18, offset + headBytes);
    } else this.l4Sum = pseudo + sumBytes(bytes, at, at + 4);
    return true;
  }

  /** Where the payload of segment `i` begins, in the frame's memory. */
  payloadAt(i: number): number {
    return this.start + this.headBytes + i * this.size;
  }

  payloadBytes(i: number): number {
    return Math.min(this.size, this.total - i * this.size);
  }

  /** Writes the headers of segment `i`, `headBytes` of them, to `out` at `at`. */
  writeHead(i: number, out: Uint8Array, at: number): void {
    const { bytes, start, headBytes, l3, l4 } = this;
    for (let k = 0; k < headBytes; k++) out[at + k] = bytes[start + k]!;
    const from = this.payloadAt(i);
    const payload = this.payloadBytes(i);
    const ip = at + l3;
    if (this.ipv4) {
      const length = headBytes - l3 + payload;
      const id = (this.id + i) & 0xffff;
      writeU16(out, ip + 2, length);
      writeU16(out, ip + 4, id);
      writeU16(out, ip + 10, ~fold(this.ipSum + length + id));
    } else writeU16(out, ip + 4, headBytes - l3 - 40 + payload);
    const sum = sumRange(bytes, this.words, from, from + payload);
    this.payloadSum = sum;
    const length = headBytes - l4 + payload;
    if (this.tcp) this.finishTcp(i, out, at + l4, sum + length);
    else {
      writeU16(out, at + l4 + 4, length);
      writeU16(out, at + l4 + 6, (~fold(this.l4Sum + length + length + sum) & 0xffff) || 0xffff);
    }
  }

  /** `sum`: of the payload and the segment's length. */
  private finishTcp(i: number, out: Uint8Array, at: number, sum: number): void {
    const sequence = (this.sequence + i * this.size) >>> 0;
    let { flags } = this;
    if (i + 1 < this.count) flags &= ~FIN_PSH;
    if (i > 0) flags &= ~CWR;
    const high = sequence >>> 16;
    const low = sequence & 0xffff;
    writeU16(out, at + 4, high);
    writeU16(out, at + 6, low);
    writeU16(out, at + 12, flags);
    writeU16(out, at + 16, ~fold(this.l4Sum + high + low + flags + sum));
  }
}
