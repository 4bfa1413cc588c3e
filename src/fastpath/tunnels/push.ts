/**
 * `tnl_push`: puts outer headers (header.ts) in front of a packet, in place, and fills in what depends
 * on the packet. The caller has ended the packet's offloads: it is one plain packet, checksums whole.
 *
 * The source port of UDP tunnels comes from a hash of the inner addresses and ports, so that the
 * packets of one flow take one way and those of many spread (RFC 7348 §5, RFC 8926 §3.3).
 */
import { fold, pseudoSum, sumBytes } from "../../packet/checksum.ts";
import { DONE, type EncapResult, NO_ROOM } from "../../packet/encap.ts";
import { extractAgain } from "../../packet/extract.ts";
import type { Frame } from "../../packet/frame.ts";
import { openGap } from "../../packet/rewrite.ts";
import {
  ERSPAN_GRE_BYTES,
  ETH_ERSPAN_2,
  ETH_IPV6,
  ETHERNET_BYTES,
  GRE_F_CSUM,
  GRE_F_KEY,
  GRE_F_SEQ,
  GTPU_BYTES,
  GTPU_F_SEQ,
  PROTOCOL_GRE,
  UDP_BYTES,
} from "./header.ts";

/** Open vSwitch's default range of source ports (`tnl/egress_port_range`). */
const FIRST_PORT = 32768;
const PORTS = 61000 - 32768;

/** The last packet's sequence number, for tunnels with numbers. */
export interface Sequence {
  next: number;
}

/**
 * NO_ROOM, and nothing done, where there is no headroom. The headers are `headerBytes` bytes of `from`
 * at `headerAt`. `hash`: 32 bits of the inner packet's
 * addresses and ports. `gtpu`: the header behind UDP counts its payload.
 */
export function pushTunnel(
  frame: Frame,
  from: Uint8Array,
  headerAt: number,
  headerBytes: number,
  hash: number,
  gtpu: boolean,
  sequence: Sequence,
): EncapResult {
  const inner = frame.length;
  if (!openGap(frame, 0, headerBytes)) return NO_ROOM;
  const { bytes, offset } = frame;
  for (let i = 0; i < headerBytes; i++) bytes[offset + i] = from[headerAt + i]!;
  const ip = offset + ETHERNET_BYTES;
  const ipv6 = read16(bytes, offset + 12) === ETH_IPV6;
  const l4 = ip + (ipv6 ? 40 : 20);
  const end = offset + frame.length;
  if (ipv6) put16(bytes, ip + 4, end - l4);
  else {
    put16(bytes, ip + 2, end - ip);
    // The sum of the header was taken with a length of 0: add it.
    put16(bytes, ip + 10, ~fold((~read16(bytes, ip + 10) & 0xffff) + (end - ip)) & 0xffff);
  }
  const protocol = bytes[ip + (ipv6 ? 6 : 9)]!;
  if (protocol === PROTOCOL_GRE) finishGre(bytes, l4, end, sequence);
  else {
    put16(bytes, l4, FIRST_PORT + Math.floor((hash >>> 0) * PORTS / 0x100000000));
    put16(bytes, l4 + 4, end - l4);
    if (gtpu) finishGtpu(bytes, l4 + UDP_BYTES, inner, sequence);
    if (read16(bytes, l4 + 6) !== 0) {
      put16(bytes, l4 + 6, 0);
      const pseudo = ipv6
        ? pseudoSum(bytes, ip + 8, 16, protocol, end - l4)
        : pseudoSum(bytes, ip + 12, 4, protocol, end - l4);
      put16(bytes, l4 + 6, (~fold(sumBytes(bytes, l4, end, pseudo)) & 0xffff) || 0xffff);
    }
  }
  frame.packetType = 0;
  extractAgain(frame);
  return DONE;
}

function finishGre(bytes: Uint8Array, gre: number, end: number, sequence: Sequence): void {
  const flags = read16(bytes, gre);
  if (flags & GRE_F_SEQ) {
    const at = gre + 4 + (flags & GRE_F_CSUM ? 4 : 0) + (flags & GRE_F_KEY ? 4 : 0);
    const number = sequence.next++;
    put16(bytes, at, number >>> 16);
    put16(bytes, at + 2, number);
  }
  if (read16(bytes, gre + 2) === ETH_ERSPAN_2) {
    const hundredsOfMicroseconds = Math.floor(performance.now() * 10) >>> 0;
    put16(bytes, gre + ERSPAN_GRE_BYTES + 4, hundredsOfMicroseconds >>> 16);
    put16(bytes, gre + ERSPAN_GRE_BYTES + 6, hundredsOfMicroseconds);
  }
  if (flags & GRE_F_CSUM) put16(bytes, gre + 4, ~fold(sumBytes(bytes, gre, end)) & 0xffff);
}

function finishGtpu(bytes: Uint8Array, at: number, inner: number, sequence: Sequence): void {
  const numbered = (bytes[at]! & GTPU_F_SEQ) !== 0;
  if (numbered) put16(bytes, at + GTPU_BYTES, sequence.next++);
  put16(bytes, at + 2, inner + (numbered ? 4 : 0));
}

function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
