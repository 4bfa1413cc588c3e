/**
 * `tnl_push`: puts outer headers (header.ts) in front of a packet, in place, and fills in what depends
 * on the packet. The caller has ended the packet's offloads: it is one plain packet, checksums whole.
 *
 * The source port of UDP tunnels comes from a hash of the inner addresses and ports, so that the
 * packets of one flow take one way and those of many spread (RFC 7348 §5, RFC 8926 §3.3).
 */
import { readU16, writeU16, writeU32 } from "../../packet/big-endian.ts";
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
  const ipv6 = readU16(bytes, offset + 12) === ETH_IPV6;
  const l4 = ip + (ipv6 ? 40 : 20);
  const end = offset + frame.length;
  if (ipv6) writeU16(bytes, ip + 4, end - l4);
  else {
    writeU16(bytes, ip + 2, end - ip);
    // The sum of the header was taken with a length of 0: add it.
    writeU16(bytes, ip + 10, ~fold((~readU16(bytes, ip + 10) & 0xffff) + (end - ip)) & 0xffff);
  }
  const protocol = bytes[ip + (ipv6 ? 6 : 9)]!;
  if (protocol === PROTOCOL_GRE) finishGre(bytes, l4, end, sequence);
  else {
    writeU16(bytes, l4, FIRST_PORT + Math.floor((hash >>> 0) * PORTS / 0x100000000));
    writeU16(bytes, l4 + 4, end - l4);
    if (gtpu) finishGtpu(bytes, l4 + UDP_BYTES, inner, sequence);
    if (readU16(bytes, l4 + 6) !== 0) {
      writeU16(bytes, l4 + 6, 0);
      const pseudo = ipv6
        ? pseudoSum(bytes, ip + 8, 16, protocol, end - l4)
        : pseudoSum(bytes, ip + 12, 4, protocol, end - l4);
      writeU16(bytes, l4 + 6, (~fold(sumBytes(bytes, l4, end, pseudo)) & 0xffff) || 0xffff);
    }
  }
  frame.packetType = 0;
  extractAgain(frame);
  return DONE;
}

function finishGre(bytes: Uint8Array, gre: number, end: number, sequence: Sequence): void {
  numberGre(bytes, gre, sequence);
  if (readU16(bytes, gre) & GRE_F_CSUM) {
    writeU16(bytes, gre + 4, ~fold(sumBytes(bytes, gre, end)) & 0xffff);
  }
}

/** Sequence number and ERSPAN's timestamp, where the GRE header at `gre` has them. */
export function numberGre(bytes: Uint8Array, gre: number, sequence: Sequence): void {
  const flags = readU16(bytes, gre);
  if (flags & GRE_F_SEQ) {
    const at = gre + 4 + (flags & GRE_F_CSUM ? 4 : 0) + (flags & GRE_F_KEY ? 4 : 0);
    writeU32(bytes, at, sequence.next++);
  }
  if (readU16(bytes, gre + 2) === ETH_ERSPAN_2) {
    const hundredsOfMicroseconds = Math.floor(performance.now() * 10) >>> 0;
    writeU32(bytes, gre + ERSPAN_GRE_BYTES + 4, hundredsOfMicroseconds);
  }
}

/** The GTP-U header at `at` counts the `inner` bytes behind it. */
export function finishGtpu(bytes: Uint8Array, at: number, inner: number, sequence: Sequence): void {
  const numbered = (bytes[at]! & GTPU_F_SEQ) !== 0;
  if (numbered) writeU16(bytes, at + GTPU_BYTES, sequence.next++);
  writeU16(bytes, at + 2, inner + (numbered ? 4 : 0));
}
