/**
 * The outer headers of a tunnelled packet, from the Ethernet header to the tunnel's own, as `tnl_push`
 * carries them. Lengths, the source port, checksums and sequence numbers are filled in for each packet
 * (push.ts); here they are zero, but for two marks:
 *
 * - a UDP checksum field of 0xffff means that it is to be computed (over IPv6 always, RFC 8200 §8.1);
 * - the IPv4 checksum is that of the header with a length of 0.
 *
 * References: RFC 7348 §5 (VXLAN), draft-ietf-nvo3-vxlan-gpe (GPE), RFC 8926 §3 (Geneve), RFC 2784 and
 * 2890 (GRE), 3GPP TS 29.281 §5.1 (GTP-U), RFC 6830 §5.3 (LISP), draft-foschiano-erspan-03 (ERSPAN).
 */
import { checksum } from "../../packet/checksum.ts";
import { TUN_F_CSUM, TUN_F_DF, TUN_F_KEY, TUN_F_OAM } from "../../packet/layout.ts";
import type { DpTunnel, TunnelKind } from "../actions.ts";
import { DatapathError } from "../datapath.ts";

export const ETHERNET_BYTES = 14;
export const UDP_BYTES = 8;
export const VXLAN_BYTES = 8;
export const GENEVE_BYTES = 8;
export const GTPU_BYTES = 8;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_GRE = 47;
export const ETH_IPV4 = 0x0800;
export const ETH_IPV6 = 0x86dd;
/** Transparent Ethernet bridging: what GRE and Geneve call an Ethernet frame inside. */
export const ETH_TEB = 0x6558;
export const VXLAN_F_VNI = 0x08000000;
export const VXLAN_F_GPE = 0x04000000;
export const VXLAN_F_GBP = 0x80000000;
export const GRE_F_CSUM = 0x8000;
export const GRE_F_KEY = 0x2000;
export const ETH_ERSPAN_1 = 0x88be;
export const ETH_ERSPAN_2 = 0x22eb;
/** Flags, protocol, sequence number. */
export const ERSPAN_GRE_BYTES = 8;
export const GRE_F_SEQ = 0x1000;
export const GENEVE_F_OAM = 0x80;
export const GENEVE_F_CRITICAL = 0x40;
export const LISP_BYTES = 8;
/** A nonce, locator status bits, an instance id. */
const LISP_F_NONCE = 0x80;
const LISP_F_LOCATORS = 0x40;
export const LISP_F_INSTANCE = 0x08;
export const GTPU_F_SEQ = 0x02;
/** Version 1, protocol type GTP. */
const GTPU_DEFAULT_FLAGS = 0x30;
/** A user's packet, as opposed to the protocol's own messages. */
export const GTPU_GPDU = 255;
const IP_DF = 0x4000;

/** Next-protocol numbers of VXLAN-GPE, by Ethernet type. */
export const GPE_NEXT: readonly (readonly [next: number, ethType: number])[] = [
  [1, ETH_IPV4],
  [2, ETH_IPV6],
  [3, ETH_TEB],
  [4, 0x894f],
];

/** What the way out adds to the tunnel metadata of a flow. */
export interface OuterAddresses {
  readonly ethDst: Uint8Array;
  readonly ethSrc: Uint8Array;
  /** 4 or 16 bytes, as the tunnel's destination. */
  readonly src: Uint8Array;
}

export interface TunnelFormat {
  readonly kind: TunnelKind;
  /** Ethernet type of what is inside: ETH_TEB for frames. */
  readonly inner: number;
  readonly sequence: boolean;
  readonly gpe: boolean;
  readonly gbp: boolean;
}

/** Throws DatapathError for kinds that have no header here, and inner types that a kind cannot carry. */
export function buildHeader(
  format: TunnelFormat,
  tunnel: DpTunnel,
  outer: OuterAddresses,
): Uint8Array {
  const ipv6 = tunnel.dst.length === 16;
  const flags = tunnel.flags ?? 0;
  const own = tunnelHeader(format, tunnel);
  const overUdp = format.kind !== "gre" && format.kind !== "erspan";
  const ipBytes = ipv6 ? 40 : 20;
  const header = new Uint8Array(
    ETHERNET_BYTES + ipBytes + (overUdp ? UDP_BYTES : 0) + own.length,
  );
  const view = new DataView(header.buffer);
  header.set(outer.ethDst, 0);
  header.set(outer.ethSrc, 6);
  view.setUint16(12, ipv6 ? ETH_IPV6 : ETH_IPV4);
  const protocol = overUdp ? PROTOCOL_UDP : PROTOCOL_GRE;
  const ip = ETHERNET_BYTES;
  if (ipv6) {
    view.setUint32(ip, 0x60000000 | ((tunnel.tos ?? 0) << 20));
    header[ip + 6] = protocol;
    header[ip + 7] = tunnel.ttl ?? 64;
    header.set(outer.src, ip + 8);
    header.set(tunnel.dst, ip + 24);
  } else {
    header[ip] = 0x45;
    header[ip + 1] = tunnel.tos ?? 0;
    view.setUint16(ip + 6, flags & TUN_F_DF ? IP_DF : 0);
    header[ip + 8] = tunnel.ttl ?? 64;
    header[ip + 9] = protocol;
    header.set(outer.src, ip + 12);
    header.set(tunnel.dst, ip + 16);
    view.setUint16(ip + 10, checksum(header, ip, ip + 20));
  }
  let at = ip + ipBytes;
  if (overUdp) {
    view.setUint16(at, tunnel.tpSrc ?? 0);
    view.setUint16(at + 2, tunnel.tpDst ?? 0);
    if (ipv6 || flags & TUN_F_CSUM) view.setUint16(at + 6, 0xffff);
    at += UDP_BYTES;
  }
  header.set(own, at);
  return header;
}

/** The tunnel's own header: what stands behind UDP, or behind IP for GRE. */
export function tunnelHeader(format: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  const { kind } = format;
  switch (kind) {
    case "vxlan":
      return vxlan(format, tunnel);
    case "geneve":
      return geneve(format, tunnel);
    case "gre":
      return gre(format, tunnel);
    case "gtpu":
      return gtpu(format, tunnel);
    case "erspan":
      return erspan(tunnel);
    case "lisp":
      return lisp(format, tunnel);
    default: {
      const never: never = kind;
      throw new Error(`tunnel kind ${never}`);
    }
  }
}

function vxlan({ inner, gpe, gbp }: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  const { header, view } = room(VXLAN_BYTES);
  const next = GPE_NEXT.find(([, ethType]) => ethType === inner)?.[0];
  if (gpe ? next === undefined : inner !== ETH_TEB) throw cannotCarry("VXLAN", inner);
  let flags = VXLAN_F_VNI;
  if (gpe) flags |= VXLAN_F_GPE | next!;
  else if (gbp && tunnel.gbpId !== undefined) {
    flags |= VXLAN_F_GBP | ((tunnel.gbpFlags ?? 0) & 0x48) << 16 | tunnel.gbpId;
  }
  view.setUint32(0, flags >>> 0);
  view.setUint32(4, (Number((tunnel.id ?? 0n) & 0xffffffn) << 8) >>> 0);
  return header;
}

function geneve({ inner }: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  if (inner !== ETH_TEB) throw cannotCarry("Geneve", inner);
  const options = tunnel.options ?? new Uint8Array(0);
  const { header, view } = room(GENEVE_BYTES + options.length);
  header[0] = options.length / 4;
  header[1] = ((tunnel.flags ?? 0) & TUN_F_OAM ? GENEVE_F_OAM : 0) |
    (hasCriticalOption(options) ? GENEVE_F_CRITICAL : 0);
  view.setUint16(2, ETH_TEB);
  view.setUint32(4, (Number((tunnel.id ?? 0n) & 0xffffffn) << 8) >>> 0);
  header.set(options, GENEVE_BYTES);
  return header;
}

/** RFC 8926 §3.5: the high bit of an option's type. */
function hasCriticalOption(options: Uint8Array): boolean {
  for (let at = 0; at + 4 <= options.length; at += 4 + (options[at + 3]! & 0x1f) * 4) {
    if (options[at + 2]! & 0x80) return true;
  }
  return false;
}

function gre({ inner, sequence }: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  const flags = (tunnel.flags ?? 0) & TUN_F_CSUM ? GRE_F_CSUM : 0;
  const keyed = tunnel.id !== undefined && ((tunnel.flags ?? TUN_F_KEY) & TUN_F_KEY) !== 0;
  const all = flags | (keyed ? GRE_F_KEY : 0) | (sequence ? GRE_F_SEQ : 0);
  const { header, view } = room(greBytes(all));
  view.setUint16(0, all);
  view.setUint16(2, inner);
  let at = 4;
  if (all & GRE_F_CSUM) at += 4;
  if (keyed) view.setUint32(at, Number(tunnel.id! & 0xffffffffn));
  return header;
}

/** Length of a GRE header with these flags (RFC 2890 §2). */
export function greBytes(flags: number): number {
  return 4 + (flags & GRE_F_CSUM ? 4 : 0) + (flags & GRE_F_KEY ? 4 : 0) +
    (flags & GRE_F_SEQ ? 4 : 0);
}

/**
 * A GRE header with a sequence number, and behind it the session and, of type II (version 1), the
 * mirror's index; of type III (version 2) a timestamp, hardware id and direction.
 */
function erspan(tunnel: DpTunnel): Uint8Array {
  const { version = 0, index = 0, direction = 0, hardwareId = 0 } = tunnel.erspan ?? {};
  if (version !== 1 && version !== 2) {
    throw new DatapathError("not-supported", `ERSPAN has no version ${version}`);
  }
  const session = tunnel.id ?? 0n;
  if (session > 0x3ffn) {
    throw new DatapathError("not-supported", `ERSPAN session ${session} is longer than 10 bits`);
  }
  const { header, view } = room(ERSPAN_GRE_BYTES + (version === 1 ? 8 : 12));
  view.setUint16(0, GRE_F_SEQ);
  view.setUint16(2, version === 1 ? ETH_ERSPAN_1 : ETH_ERSPAN_2);
  view.setUint16(ERSPAN_GRE_BYTES, version << 12);
  view.setUint16(ERSPAN_GRE_BYTES + 2, Number(session));
  if (version === 1) view.setUint32(ERSPAN_GRE_BYTES + 4, index);
  else view.setUint16(ERSPAN_GRE_BYTES + 10, (hardwareId << 4) | (direction << 3));
  return header;
}

function gtpu({ inner, sequence }: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  if (inner !== ETH_IPV4 && inner !== ETH_IPV6) throw cannotCarry("GTP-U", inner);
  const { header, view } = room(GTPU_BYTES + (sequence ? 4 : 0));
  header[0] = (tunnel.gtpu?.flags || GTPU_DEFAULT_FLAGS) | (sequence ? GTPU_F_SEQ : 0);
  header[1] = tunnel.gtpu?.messageType || GTPU_GPDU;
  view.setUint32(4, Number((tunnel.id ?? 0n) & 0xffffffffn));
  return header;
}

/** The nonce only shows the other end that we are alive: zero does. Locator 0 is reachable. */
function lisp({ inner }: TunnelFormat, tunnel: DpTunnel): Uint8Array {
  if (inner !== ETH_IPV4 && inner !== ETH_IPV6) throw cannotCarry("LISP", inner);
  const { header, view } = room(LISP_BYTES);
  header[0] = LISP_F_NONCE | LISP_F_LOCATORS | LISP_F_INSTANCE;
  view.setUint32(4, ((Number((tunnel.id ?? 0n) & 0xffffffn) << 8) | 1) >>> 0);
  return header;
}

function room(bytes: number): { header: Uint8Array; view: DataView } {
  const header = new Uint8Array(bytes);
  return { header, view: new DataView(header.buffer) };
}

function cannotCarry(kind: string, inner: number): DatapathError {
  const type = `0x${inner.toString(16).padStart(4, "0")}`;
  return new DatapathError("not-supported", `${kind} cannot carry packets of type ${type}`);
}
