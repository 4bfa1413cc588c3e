/**
 * Takes the outer headers off a packet, in place, and leaves what they said as tunnel metadata in the
 * frame's key.
 *
 * - `popTunnel` (`tnl_pop`): the frame has been parsed; it begins with the outer Ethernet header.
 * - `popPayload`: what came out of a socket, without outer IP and UDP headers. Their addresses are in
 *   the key already.
 *
 * Whatever is wrong with the outer headers has a name (PopResult); datapaths drop such a packet and
 * count it as `drop_` and that name.
 * References: header.ts.
 */
import { readU16, readU32 } from "../../packet/big-endian.ts";
import { fold, pseudoSum, sumBytes } from "../../packet/checksum.ts";
import { extractAgain } from "../../packet/extract.ts";
import {
  type Frame,
  VNET_BYTES,
  VNET_F_DATA_VALID,
  VNET_F_NEEDS_CSUM,
} from "../../packet/frame.ts";
import { slot, type SlotName, TUN_F_CSUM, TUN_F_KEY, TUN_F_OAM } from "../../packet/layout.ts";
import { closeGap } from "../../packet/rewrite.ts";
import type { TunnelKind } from "../actions.ts";
import {
  ERSPAN_GRE_BYTES,
  ETH_ERSPAN_1,
  ETH_ERSPAN_2,
  ETH_IPV4,
  ETH_IPV6,
  ETH_TEB,
  GENEVE_BYTES,
  GPE_NEXT,
  GRE_F_CSUM,
  GRE_F_KEY,
  GRE_F_SEQ,
  greBytes,
  GTPU_BYTES,
  GTPU_F_SEQ,
  GTPU_GPDU,
  LISP_BYTES,
  LISP_F_INSTANCE,
  PROTOCOL_GRE,
  PROTOCOL_UDP,
  UDP_BYTES,
  VXLAN_BYTES,
  VXLAN_F_GBP,
  VXLAN_F_GPE,
  VXLAN_F_VNI,
} from "./header.ts";

/** `ok`, or what is wrong with the outer headers. */
export const POP_RESULTS = [
  "ok",
  "tunnel_not_ip",
  "tunnel_fragment",
  "tunnel_truncated",
  "tunnel_bad_length",
  "tunnel_bad_checksum",
  "tunnel_bad_version",
  "tunnel_unknown_protocol",
  "tunnel_reserved_bits",
  "tunnel_oam",
] as const;
export type PopResult = (typeof POP_RESULTS)[number];

const AT = {
  id: at("tun_id"),
  src: at("tun_src"),
  dst: at("tun_dst"),
  ipv6Src: at("tun_ipv6_src"),
  ipv6Dst: at("tun_ipv6_dst"),
  flags: at("tun_flags"),
  tos: at("tun_tos"),
  ttl: at("tun_ttl"),
  tpSrc: at("tun_tp_src"),
  tpDst: at("tun_tp_dst"),
  gbpId: at("tun_gbp_id"),
  gbpFlags: at("tun_gbp_flags"),
  erspanVersion: at("tun_erspan_ver"),
  erspanIndex: at("tun_erspan_idx"),
  erspanDirection: at("tun_erspan_dir"),
  erspanHardware: at("tun_erspan_hwid"),
  gtpuFlags: at("tun_gtpu_flags"),
  gtpuType: at("tun_gtpu_msgtype"),
  optionsLength: at("tun_options_length"),
  options: at("tun_metadata"),
} as const;
const NW_FRAG = slot("nw_frag").offset;
const NW_PROTO = slot("nw_proto").offset;
const TUNNEL_END = slot("tun_metadata").offset + slot("tun_metadata").bytes;
const OFFLOADED = VNET_F_NEEDS_CSUM | VNET_F_DATA_VALID;
const NS_ETHERTYPE = 0x10000;
/** GPE bits of the first word: version, instance, next protocol, OAM. */
const GPE_USED = 0x350000ff;
const GPE_OAM = 0x01000000;
const GBP_USED = 0x80ffffff;

function at(name: SlotName): number {
  return slot(name).offset;
}

/** The tunnel metadata of the frame's key is overwritten; in_port is the caller's to change. */
export function popTunnel(frame: Frame, kind: TunnelKind): PopResult {
  const { key, bytes, offset } = frame;
  if (key.bytes[NW_FRAG] !== 0) return "tunnel_fragment";
  if (frame.l3 < 0 || frame.l3Type !== ETH_IPV4 && frame.l3Type !== ETH_IPV6) {
    return "tunnel_not_ip";
  }
  const ipv6 = frame.l3Type === ETH_IPV6;
  const ip = offset + frame.l3;
  const end = offset + frame.l3End;
  const headerBytes = ipv6 ? 40 : (bytes[ip]! & 0xf) * 4;
  const l4 = frame.l4 >= 0 ? offset + frame.l4 : ip + headerBytes;
  clearTunnel(frame);
  readIp(frame, ip, ipv6);
  if (!ipv6 && fold(sumBytes(bytes, ip, ip + headerBytes)) !== 0xffff) return "tunnel_bad_checksum";
  const overGre = kind === "gre" || kind === "erspan";
  if (key.bytes[NW_PROTO] !== (overGre ? PROTOCOL_GRE : PROTOCOL_UDP)) {
    return "tunnel_unknown_protocol";
  }
  if (overGre) return popPayload(frame, kind, l4, end);
  const result = readUdp(frame, ip, l4, end, ipv6);
  return result === "ok" ? popPayload(frame, kind, l4 + UDP_BYTES, end) : result;
}

/** The frame's tunnel metadata is that of a packet that came through no tunnel. */
export function clearTunnel(frame: Frame): void {
  frame.key.bytes.fill(0, AT.id, TUNNEL_END);
  frame.keyWords = Math.max(frame.keyWords, TUNNEL_END / 4);
}

/**
 * Takes off what stands in front of the inner packet from the tunnel's own header on, which begins at
 * `own`; `end`: of the datagram. `frame.l3End` says where the inner packet ends.
 */
export function popPayload(frame: Frame, kind: TunnelKind, own: number, end: number): PopResult {
  switch (kind) {
    case "vxlan":
      return vxlan(frame, own, end);
    case "geneve":
      return geneve(frame, own, end);
    case "gtpu":
      return gtpu(frame, own, end);
    case "lisp":
      return lisp(frame, own, end);
    case "gre":
      return gre(frame, own, end);
    case "erspan":
      return erspan(frame, own, end);
    default: {
      const never: never = kind;
      throw new Error(`tunnel kind ${never}`);
    }
  }
}

function readIp({ key, bytes }: Frame, ip: number, ipv6: boolean): void {
  if (ipv6) {
    for (let i = 0; i < 16; i++) {
      key.bytes[AT.ipv6Src + i] = bytes[ip + 8 + i]!;
      key.bytes[AT.ipv6Dst + i] = bytes[ip + 24 + i]!;
    }
    key.bytes[AT.tos] = ((bytes[ip]! & 0xf) << 4) | (bytes[ip + 1]! >> 4);
    key.bytes[AT.ttl] = bytes[ip + 7]!;
  } else {
    for (let i = 0; i < 4; i++) {
      key.bytes[AT.src + i] = bytes[ip + 12 + i]!;
      key.bytes[AT.dst + i] = bytes[ip + 16 + i]!;
    }
    key.bytes[AT.tos] = bytes[ip + 1]!;
    key.bytes[AT.ttl] = bytes[ip + 8]!;
  }
}

function readUdp(
  { key, bytes, vnet, offset }: Frame,
  ip: number,
  l4: number,
  end: number,
  ipv6: boolean,
): PopResult {
  if (l4 + UDP_BYTES > end) return "tunnel_truncated";
  key.bytes.set(bytes.subarray(l4, l4 + 4), AT.tpSrc);
  const length = readU16(bytes, l4 + 4);
  if (length < UDP_BYTES || length > end - l4) return "tunnel_bad_length";
  if (readU16(bytes, l4 + 6) === 0) return "ok";
  // A partial checksum came from this machine and is right by definition.
  if (!vnet || (bytes[offset - VNET_BYTES]! & OFFLOADED) === 0) {
    const pseudo = pseudoSum(bytes, ip + (ipv6 ? 8 : 12), ipv6 ? 16 : 4, PROTOCOL_UDP, end - l4);
    if (fold(sumBytes(bytes, l4, end, pseudo)) !== 0xffff) return "tunnel_bad_checksum";
  }
  key.bytes[AT.flags + 1]! |= TUN_F_CSUM;
  return "ok";
}

function vxlan(frame: Frame, own: number, end: number): PopResult {
  const { key, bytes } = frame;
  if (own + VXLAN_BYTES > end) return "tunnel_truncated";
  let flags = readU32(bytes, own) | 0;
  let inner = ETH_TEB;
  if (flags & VXLAN_F_GPE) {
    if (flags & GPE_OAM) return "tunnel_oam";
    const next = GPE_NEXT.find(([number]) => number === (flags & 0xff));
    if (!next) return "tunnel_unknown_protocol";
    inner = next[1];
    flags &= ~GPE_USED;
  } else if (flags & VXLAN_F_GBP) {
    key.bytes[AT.gbpId] = bytes[own + 2]!;
    key.bytes[AT.gbpId + 1] = bytes[own + 3]!;
    key.bytes[AT.gbpFlags] = bytes[own + 1]! & 0x48;
    flags &= ~GBP_USED;
  }
  if (flags >>> 0 !== VXLAN_F_VNI || bytes[own + 7] !== 0) return "tunnel_reserved_bits";
  setId24(frame, own + 4);
  return strip(frame, own + VXLAN_BYTES, inner);
}

function geneve(frame: Frame, own: number, end: number): PopResult {
  const { key, bytes } = frame;
  if (own + GENEVE_BYTES > end) return "tunnel_truncated";
  const optionBytes = (bytes[own]! & 0x3f) * 4;
  if (own + GENEVE_BYTES + optionBytes > end) return "tunnel_truncated";
  if (bytes[own]! >> 6 !== 0) return "tunnel_bad_version";
  if (readU16(bytes, own + 2) !== ETH_TEB) return "tunnel_unknown_protocol";
  if (bytes[own + 1]! & 0x80) key.bytes[AT.flags + 1]! |= TUN_F_OAM;
  setId24(frame, own + 4);
  for (let i = 0; i < optionBytes; i++) key.bytes[AT.options + i] = bytes[own + GENEVE_BYTES + i]!;
  key.bytes[AT.optionsLength] = optionBytes;
  return strip(frame, own + GENEVE_BYTES + optionBytes, ETH_TEB);
}

function lisp(frame: Frame, own: number, end: number): PopResult {
  const { bytes } = frame;
  const inner = own + LISP_BYTES;
  if (inner >= end) return "tunnel_truncated";
  if (bytes[own]! & LISP_F_INSTANCE) setId24(frame, own + 4);
  const version = bytes[inner]! >> 4;
  if (version !== 4 && version !== 6) return "tunnel_unknown_protocol";
  return strip(frame, inner, version === 4 ? ETH_IPV4 : ETH_IPV6);
}

function gtpu(frame: Frame, own: number, end: number): PopResult {
  const { key, bytes } = frame;
  if (own + GTPU_BYTES > end) return "tunnel_truncated";
  const flags = bytes[own]!;
  const type = bytes[own + 1]!;
  key.bytes[AT.gtpuFlags] = flags;
  key.bytes[AT.gtpuType] = type;
  for (let i = 0; i < 4; i++) key.bytes[AT.id + 4 + i] = bytes[own + 4 + i]!;
  // The protocol's own messages stay as they came, for a controller.
  if (type !== GTPU_GPDU) return "ok";
  const inner = own + GTPU_BYTES + (flags & GTPU_F_SEQ ? 4 : 0);
  if (inner >= end) return "tunnel_truncated";
  const version = bytes[inner]! >> 4;
  if (version !== 4 && version !== 6) return "tunnel_unknown_protocol";
  return strip(frame, inner, version === 4 ? ETH_IPV4 : ETH_IPV6);
}

function gre(frame: Frame, l4: number, end: number): PopResult {
  const { key, bytes } = frame;
  if (l4 + 4 > end) return "tunnel_truncated";
  const flags = readU16(bytes, l4);
  if (flags & ~(GRE_F_CSUM | GRE_F_KEY | GRE_F_SEQ)) return "tunnel_reserved_bits";
  const length = greBytes(flags);
  if (l4 + length > end) return "tunnel_truncated";
  let option = l4 + 4;
  if (flags & GRE_F_CSUM) {
    if (fold(sumBytes(bytes, l4, end)) !== 0xffff) return "tunnel_bad_checksum";
    key.bytes[AT.flags + 1]! |= TUN_F_CSUM;
    option += 4;
  }
  if (flags & GRE_F_KEY) {
    for (let i = 0; i < 4; i++) key.bytes[AT.id + 4 + i] = bytes[option + i]!;
    key.bytes[AT.flags + 1]! |= TUN_F_KEY;
  }
  const inner = readU16(bytes, l4 + 2);
  if (inner < 0x600) return "tunnel_unknown_protocol";
  return strip(frame, l4 + length, inner);
}

function erspan(frame: Frame, l4: number, end: number): PopResult {
  const { key, bytes } = frame;
  const base = l4 + ERSPAN_GRE_BYTES;
  if (base + 8 > end) return "tunnel_truncated";
  const protocol = readU16(bytes, l4 + 2);
  if (protocol !== ETH_ERSPAN_1 && protocol !== ETH_ERSPAN_2) return "tunnel_unknown_protocol";
  if (readU16(bytes, l4) & ~GRE_F_SEQ) return "tunnel_reserved_bits";
  const version = bytes[base]! >> 4;
  if (version !== 1 && version !== 2) return "tunnel_bad_version";
  key.bytes[AT.id + 6] = bytes[base + 2]! & 3;
  key.bytes[AT.id + 7] = bytes[base + 3]!;
  key.bytes[AT.flags + 1]! |= TUN_F_KEY;
  key.bytes[AT.erspanVersion] = version;
  if (version === 1) {
    for (let i = 0; i < 4; i++) key.bytes[AT.erspanIndex + i] = bytes[base + 4 + i]!;
    return strip(frame, base + 8, ETH_TEB);
  }
  if (base + 12 > end) return "tunnel_truncated";
  const word = readU16(bytes, base + 10);
  key.bytes[AT.erspanHardware] = (word >> 4) & 0x3f;
  key.bytes[AT.erspanDirection] = (word >> 3) & 1;
  return strip(frame, base + 12, ETH_TEB);
}

function setId24({ key, bytes }: Frame, from: number): void {
  for (let i = 0; i < 3; i++) key.bytes[AT.id + 5 + i] = bytes[from + i]!;
  key.bytes[AT.flags + 1]! |= TUN_F_KEY;
}

/**
 * Everything before `inner` goes, and the rest is parsed anew. What follows the outer packet's end stays
 * behind the inner one, where it is padding just the same.
 */
function strip(frame: Frame, inner: number, ethType: number): PopResult {
  if (frame.vnet) stripOffload(frame, inner - frame.offset);
  closeGap(frame, 0, inner - frame.offset);
  frame.packetType = ethType === ETH_TEB ? 0 : NS_ETHERTYPE | ethType;
  extractAgain(frame);
  return "ok";
}

/**
 * Linux leaves the innermost checksum of a tunnelled packet to be finished: that stays so. What the
 * offload header says of the outer headers goes.
 */
function stripOffload({ bytes, offset }: Frame, headers: number): void {
  const vnet = offset - VNET_BYTES;
  const start = bytes[vnet + 6]! | (bytes[vnet + 7]! << 8);
  if ((bytes[vnet]! & VNET_F_NEEDS_CSUM) !== 0 && start >= headers) bytes[vnet] = VNET_F_NEEDS_CSUM;
  else bytes.fill(0, vnet, offset);
}
