/**
 * Matches on the wire: the fixed structures of OpenFlow 1.0 and 1.1, OXM from 1.2 on, and NXM.
 *
 * Decoding normalizes as Open vSwitch does: fields whose prerequisites the fixed structures cannot
 * express (a TCP port without protocol TCP …) are wildcarded, not refused.
 */
import { anyMatch, type Match } from "../packet/key.ts";
import { type Field, FIELDS } from "../packet/layout.ts";
import { OfError } from "./errors.ts";
import { fieldIsFull, fieldIsZero } from "./field-bits.ts";
import {
  ETH_TYPE,
  requireNoTag,
  requireTag,
  setMatchExact,
  setMatchField,
  VLAN_PRESENT,
} from "./match-set.ts";
import { type OxmMatch, type OxmOptions, readOxmFields, writeOxmFields } from "./oxm.ts";
import { beyondPorts, portToWide } from "./ports.ts";
import { OF10, OF11, type OfVersion } from "./version.ts";
import type { Reader, Writer } from "./wire.ts";

/** OFPFW_* of OpenFlow 1.0 §5.2.3. */
const W10 = {
  IN_PORT: 1 << 0,
  DL_VLAN: 1 << 1,
  DL_SRC: 1 << 2,
  DL_DST: 1 << 3,
  DL_TYPE: 1 << 4,
  NW_PROTO: 1 << 5,
  TP_SRC: 1 << 6,
  TP_DST: 1 << 7,
  NW_SRC_SHIFT: 8,
  NW_DST_SHIFT: 14,
  DL_VLAN_PCP: 1 << 20,
  NW_TOS: 1 << 21,
} as const;
const VLAN_NONE = 0xffff;
export const MATCH10_BYTES = 40;

/** OFPFW_* of OpenFlow 1.1 §A.2.3. */
const W11 = {
  IN_PORT: 1 << 0,
  DL_VLAN: 1 << 1,
  DL_VLAN_PCP: 1 << 2,
  DL_TYPE: 1 << 3,
  NW_TOS: 1 << 4,
  NW_PROTO: 1 << 5,
  TP_SRC: 1 << 6,
  TP_DST: 1 << 7,
  MPLS_LABEL: 1 << 8,
  MPLS_TC: 1 << 9,
} as const;
const VLAN11_ANY = 0xfffe;
const MATCH11_BYTES = 88;
const MATCH_STANDARD = 0;
const MATCH_OXM = 1;

/** Bits of IPv4 netmask for the 6-bit count of ignored low bits. */
const netmask = (ignored: number): number =>
  ignored >= 32 ? 0 : ignored === 0 ? 0xffffffff : (~((1 << ignored) - 1)) >>> 0;

/** Ignored low bits of a netmask; 32 for one that is no prefix but empty. */
function ignoredBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest = (rest << 1) >>> 0) count++;
  return 32 - count;
}

function transportFields(ethType: number, protocol: number): readonly [Field, Field] | undefined {
  if (ethType !== ETH_TYPE.IPV4 && ethType !== ETH_TYPE.IPV6) return undefined;
  switch (protocol) {
    case 6:
      return [FIELDS.tcp_src, FIELDS.tcp_dst];
    case 17:
      return [FIELDS.udp_src, FIELDS.udp_dst];
    case 132:
      return [FIELDS.sctp_src, FIELDS.sctp_dst];
    case 1:
      return ethType === ETH_TYPE.IPV4 ? [FIELDS.icmp_type, FIELDS.icmp_code] : undefined;
    case 58:
      return ethType === ETH_TYPE.IPV6 ? [FIELDS.icmpv6_type, FIELDS.icmpv6_code] : undefined;
    default:
      return undefined;
  }
}

/** OpenFlow 1.0 `struct ofp_match`, 40 bytes, without what cannot be matched in such packets. */
export function readMatch10(reader: Reader): Match {
  return readFields10(reader, false);
}

/** The same with all that the structure says, which is how a switch's words are shown. */
export function readWholeMatch10(reader: Reader): Match {
  return readFields10(reader, true);
}

function readFields10(reader: Reader, whole: boolean): Match {
  const match = anyMatch();
  const wildcards = reader.u32();
  const has = (bit: number): boolean => (wildcards & bit) === 0;
  const inPort = reader.u16();
  const dlSrc = reader.big(6);
  const dlDst = reader.big(6);
  const vlan = reader.u16();
  const pcp = reader.u8();
  reader.skip(1);
  const ethType = reader.u16();
  const tos = reader.u8();
  const protocol = reader.u8();
  reader.skip(2);
  const nwSrc = reader.u32();
  const nwDst = reader.u32();
  const tpSrc = reader.u16();
  const tpDst = reader.u16();

  if (has(W10.IN_PORT)) setMatchExact(match, FIELDS.in_port_oxm, inPort);
  if (has(W10.DL_SRC)) setMatchExact(match, FIELDS.eth_src, dlSrc);
  if (has(W10.DL_DST)) setMatchExact(match, FIELDS.eth_dst, dlDst);
  if (has(W10.DL_VLAN) && vlan === VLAN_NONE) requireNoTag(match);
  else {
    if (has(W10.DL_VLAN)) setMatchExact(match, FIELDS.dl_vlan, vlan & 0xfff);
    if (has(W10.DL_VLAN_PCP)) setMatchExact(match, FIELDS.dl_vlan_pcp, pcp & 7);
  }
  const srcMask = BigInt(netmask((wildcards >>> W10.NW_SRC_SHIFT) & 0x3f));
  const dstMask = BigInt(netmask((wildcards >>> W10.NW_DST_SHIFT) & 0x3f));
  if (has(W10.DL_TYPE)) setMatchExact(match, FIELDS.eth_type, ethType);
  if (whole) {
    if (has(W10.NW_TOS)) setMatchExact(match, FIELDS.nw_tos, tos & 0xfc);
    if (has(W10.NW_PROTO)) setMatchExact(match, FIELDS.nw_proto, protocol);
    if (has(W10.TP_SRC)) setMatchExact(match, FIELDS.tcp_src, tpSrc);
    if (has(W10.TP_DST)) setMatchExact(match, FIELDS.tcp_dst, tpDst);
    setMatchField(match, FIELDS.ip_src, BigInt(nwSrc), srcMask);
    setMatchField(match, FIELDS.ip_dst, BigInt(nwDst), dstMask);
    return match;
  }
  if (!has(W10.DL_TYPE)) return match;
  const ip = ethType === ETH_TYPE.IPV4 || ethType === ETH_TYPE.IPV6;
  const arp = ethType === ETH_TYPE.ARP || ethType === ETH_TYPE.RARP;
  if (ip && has(W10.NW_TOS)) setMatchExact(match, FIELDS.nw_tos, tos & 0xfc);
  if ((ip || arp) && has(W10.NW_PROTO)) {
    setMatchExact(match, FIELDS.nw_proto, protocol);
    const ports = transportFields(ethType, protocol);
    if (ports && has(W10.TP_SRC)) setMatchExact(match, ports[0], tpSrc);
    if (ports && has(W10.TP_DST)) setMatchExact(match, ports[1], tpDst);
  }
  if (ethType === ETH_TYPE.IPV4 || arp) {
    setMatchField(match, FIELDS.ip_src, BigInt(nwSrc), srcMask);
    setMatchField(match, FIELDS.ip_dst, BigInt(nwDst), dstMask);
  }
  return match;
}

/** OpenFlow 1.0's structure; what it cannot say is left out, as Open vSwitch does. */
export function writeMatch10(writer: Writer, { key, mask }: Match): void {
  let wildcards = 0;
  const wild = (field: Field, bit: number): void => {
    if (fieldIsZero(mask, field)) wildcards |= bit;
  };
  wild(FIELDS.in_port_oxm, W10.IN_PORT);
  wild(FIELDS.eth_src, W10.DL_SRC);
  wild(FIELDS.eth_dst, W10.DL_DST);
  wild(FIELDS.eth_type, W10.DL_TYPE);
  wild(FIELDS.nw_tos, W10.NW_TOS);
  wild(FIELDS.nw_proto, W10.NW_PROTO);
  wild(FIELDS.tcp_src, W10.TP_SRC);
  wild(FIELDS.tcp_dst, W10.TP_DST);
  wildcards |= ignoredBits(mask.get(FIELDS.ip_src)) << W10.NW_SRC_SHIFT;
  wildcards |= ignoredBits(mask.get(FIELDS.ip_dst)) << W10.NW_DST_SHIFT;
  let vlan = 0;
  let pcp = 0;
  const tci = key.get(FIELDS.vlan_tci);
  const tciMask = mask.get(FIELDS.vlan_tci);
  if (tciMask === 0) wildcards |= W10.DL_VLAN | W10.DL_VLAN_PCP;
  else if ((tciMask & VLAN_PRESENT) !== 0 && (tci & VLAN_PRESENT) === 0) vlan = VLAN_NONE;
  else {
    if ((tciMask & 0xfff) === 0) wildcards |= W10.DL_VLAN;
    else vlan = tci & 0xfff;
    if ((tciMask & 0xe000) === 0) wildcards |= W10.DL_VLAN_PCP;
    else pcp = tci >> 13;
  }
  writer.u32(wildcards >>> 0).u16(key.get(FIELDS.in_port_oxm) & 0xffff);
  writer.big(key.getBig(FIELDS.eth_src), 6).big(key.getBig(FIELDS.eth_dst), 6);
  writer.u16(vlan).u8(pcp).zeros(1).u16(key.get(FIELDS.eth_type));
  writer.u8(key.get(FIELDS.nw_tos) & 0xfc).u8(key.get(FIELDS.nw_proto)).zeros(2);
  writer.u32(key.get(FIELDS.ip_src)).u32(key.get(FIELDS.ip_dst));
  writer.u16(key.get(FIELDS.tcp_src)).u16(key.get(FIELDS.tcp_dst));
}

function badMatch(reader: Reader, at: number, detail: string): never {
  return reader.fail(detail, "OFPBMC_BAD_VALUE", at);
}

/** OpenFlow 1.1 `struct ofp_match`, 88 bytes with its type and length. */
function readMatch11(reader: Reader): Match {
  const at = reader.offset;
  const match = anyMatch();
  reader.skip(4);
  const portAt = reader.offset;
  const inPort = reader.u32();
  const wildcards = reader.u32();
  const has = (bit: number): boolean => (wildcards & bit) === 0;
  const invert = (value: bigint, bits: number): bigint => ((1n << BigInt(bits)) - 1n) ^ value;
  if (has(W11.IN_PORT)) {
    const port = inPort < 0xff00 || inPort >= 0xffffff00 ? inPort & 0xffff : undefined;
    if (port === undefined) {
      throw new OfError("OFPBMC_BAD_VALUE", portAt, `there is no port ${inPort}`, {
        module: "ofp_port",
        text: () => beyondPorts(inPort),
      });
    }
    setMatchExact(match, FIELDS.in_port_oxm, port);
  }
  const dlSrc = reader.big(6);
  setMatchField(match, FIELDS.eth_src, dlSrc, invert(reader.big(6), 48));
  const dlDst = reader.big(6);
  setMatchField(match, FIELDS.eth_dst, dlDst, invert(reader.big(6), 48));
  const vlan = reader.u16();
  const pcp = reader.u8();
  reader.skip(1);
  const ethType = reader.u16();
  const tos = reader.u8();
  const protocol = reader.u8();
  const nwSrc = BigInt(reader.u32());
  const nwSrcMask = invert(BigInt(reader.u32()), 32);
  const nwDst = BigInt(reader.u32());
  const nwDstMask = invert(BigInt(reader.u32()), 32);
  const tpSrc = reader.u16();
  const tpDst = reader.u16();
  const label = reader.u32();
  const tc = reader.u8();
  reader.skip(3);
  const metadata = reader.u64();
  setMatchField(match, FIELDS.metadata, metadata, invert(reader.u64(), 64));

  if (has(W11.DL_VLAN)) {
    if (vlan === VLAN_NONE) requireNoTag(match);
    else {
      if (vlan === VLAN11_ANY) requireTag(match);
      else if (vlan < 4096) setMatchExact(match, FIELDS.dl_vlan, vlan);
      else badMatch(reader, at, `there is no VLAN ${vlan}`);
      if (has(W11.DL_VLAN_PCP)) {
        if (pcp > 7) badMatch(reader, at, `there is no VLAN priority ${pcp}`);
        setMatchExact(match, FIELDS.dl_vlan_pcp, pcp);
      }
    }
  }
  if (!has(W11.DL_TYPE)) return match;
  setMatchExact(match, FIELDS.eth_type, ethType);
  const ipv4 = ethType === ETH_TYPE.IPV4;
  if (ipv4 && has(W11.NW_TOS)) {
    if (tos & 3) badMatch(reader, at, `TOS ${tos} has ECN bits`);
    setMatchExact(match, FIELDS.nw_tos, tos);
  }
  if (ipv4 || ethType === ETH_TYPE.ARP || ethType === ETH_TYPE.RARP) {
    if (has(W11.NW_PROTO)) setMatchExact(match, FIELDS.nw_proto, protocol);
    setMatchField(match, FIELDS.ip_src, nwSrc, nwSrcMask);
    setMatchField(match, FIELDS.ip_dst, nwDst, nwDstMask);
  }
  const ports = ipv4 && has(W11.NW_PROTO) ? transportFields(ethType, protocol) : undefined;
  if (ports) {
    for (
      const [field, bit, value] of [
        [ports[0], W11.TP_SRC, tpSrc],
        [ports[1], W11.TP_DST, tpDst],
      ] as const
    ) {
      if (!has(bit)) continue;
      if (protocol === 1 && value > 0xff) {
        reader.fail(`${field.name} cannot be ${value}`, "OFPBMC_BAD_FIELD", at);
      }
      setMatchExact(match, field, value);
    }
  }
  if (ethType === ETH_TYPE.MPLS || ethType === ETH_TYPE.MPLS_MULTICAST) {
    if (has(W11.MPLS_LABEL)) setMatchExact(match, FIELDS.mpls_label, label & 0xfffff);
    if (has(W11.MPLS_TC)) setMatchExact(match, FIELDS.mpls_tc, tc & 7);
  }
  return match;
}

function writeMatch11(writer: Writer, { key, mask }: Match): void {
  let wildcards = 0;
  const wild = (field: Field, bit: number): void => {
    if (fieldIsZero(mask, field)) wildcards |= bit;
  };
  const inverted = (field: Field): bigint => ((1n << BigInt(field.bits)) - 1n) ^ mask.getBig(field);
  wild(FIELDS.in_port_oxm, W11.IN_PORT);
  wild(FIELDS.eth_type, W11.DL_TYPE);
  wild(FIELDS.nw_tos, W11.NW_TOS);
  wild(FIELDS.nw_proto, W11.NW_PROTO);
  wild(FIELDS.tcp_src, W11.TP_SRC);
  wild(FIELDS.tcp_dst, W11.TP_DST);
  wild(FIELDS.mpls_label, W11.MPLS_LABEL);
  wild(FIELDS.mpls_tc, W11.MPLS_TC);
  let vlan = 0;
  let pcp = 0;
  const tci = key.get(FIELDS.vlan_tci);
  const tciMask = mask.get(FIELDS.vlan_tci);
  if (tciMask === 0) wildcards |= W11.DL_VLAN | W11.DL_VLAN_PCP;
  else if ((tciMask & VLAN_PRESENT) !== 0 && (tci & VLAN_PRESENT) === 0) {
    vlan = VLAN_NONE;
    wildcards |= W11.DL_VLAN_PCP;
  } else {
    vlan = (tciMask & 0xfff) === 0 ? VLAN11_ANY : tci & 0xfff;
    if ((tciMask & 0xe000) === 0) wildcards |= W11.DL_VLAN_PCP;
    else pcp = tci >> 13;
  }
  const inPort = fieldIsZero(mask, FIELDS.in_port_oxm) ? 0 : key.get(FIELDS.in_port_oxm);
  writer.u16(MATCH_STANDARD).u16(MATCH11_BYTES).u32(portToWide(inPort)).u32(wildcards);
  writer.big(key.getBig(FIELDS.eth_src), 6).big(inverted(FIELDS.eth_src), 6);
  writer.big(key.getBig(FIELDS.eth_dst), 6).big(inverted(FIELDS.eth_dst), 6);
  writer.u16(vlan).u8(pcp).zeros(1).u16(key.get(FIELDS.eth_type));
  writer.u8(key.get(FIELDS.nw_tos) & 0xfc).u8(key.get(FIELDS.nw_proto));
  writer.u32(key.get(FIELDS.ip_src)).big(inverted(FIELDS.ip_src), 4);
  writer.u32(key.get(FIELDS.ip_dst)).big(inverted(FIELDS.ip_dst), 4);
  writer.u16(key.get(FIELDS.tcp_src)).u16(key.get(FIELDS.tcp_dst));
  writer.u32(key.get(FIELDS.mpls_label)).u8(key.get(FIELDS.mpls_tc)).zeros(3);
  writer.u64(key.getBig(FIELDS.metadata)).u64(inverted(FIELDS.metadata));
}

/** A match in the version's own form, with its padding. Errors: OFPBMC_*. */
export function readMatch(reader: Reader, version: OfVersion, options: OxmOptions = {}): Match {
  if (version === OF10) return readMatch10(reader);
  const at = reader.offset;
  if (reader.left < 4) reader.fail("there is no match", "OFPBMC_BAD_LEN");
  const type = reader.peek16();
  const length = reader.peek16(2);
  if (type === MATCH_STANDARD) {
    if (length !== MATCH11_BYTES) reader.fail(`match of ${length} bytes`, "OFPBMC_BAD_LEN", at);
    return readMatch11(reader.sub(MATCH11_BYTES, "OFPBMC_BAD_LEN"));
  }
  if (type !== MATCH_OXM) throw new OfError("OFPBMC_BAD_TYPE", at, `match of type ${type}`);
  if (length < 4 || ((length + 7) & ~7) > reader.left) {
    reader.fail(`match of ${length} bytes`, "OFPBMC_BAD_LEN", at);
  }
  const body = reader.subPadded(length, "OFPBMC_BAD_LEN");
  body.skip(4);
  return readOxmFields(body, options).match;
}

export function writeMatch(writer: Writer, version: OfVersion, match: Match): void {
  if (version === OF10) return writeMatch10(writer, match);
  if (version === OF11) return writeMatch11(writer, match);
  const open = writer.open(2);
  writer.u16(MATCH_OXM).u16(0);
  writeOxmFields(writer, version, match);
  writer.end(open);
  writer.pad8(open.start);
}

/** An NXM match of `length` bytes and its padding. */
export function readNxMatch(reader: Reader, length: number, options: OxmOptions = {}): OxmMatch {
  if (((length + 7) & ~7) > reader.left) {
    reader.fail(`match of ${length} bytes, ${reader.left} are left`, "OFPBMC_BAD_LEN");
  }
  return readOxmFields(reader.subPadded(length, "OFPBMC_BAD_LEN"), options);
}

/** Writes an NXM match with padding; returns its length without. */
export function writeNxMatch(writer: Writer, match: Match, cookie = 0n, cookieMask = 0n): number {
  const start = writer.length;
  writeOxmFields(writer, 0, match, cookie, cookieMask);
  const length = writer.length - start;
  writer.pad8(start);
  return length;
}

/** Whether OpenFlow 1.0's own structure can say everything that the match says. */
export function fitsMatch10(match: Match): boolean {
  const { key, mask } = match;
  const known = anyMatch().mask;
  for (
    const field of [
      FIELDS.in_port_oxm,
      FIELDS.eth_src,
      FIELDS.eth_dst,
      FIELDS.eth_type,
      FIELDS.vlan_tci,
      FIELDS.nw_tos,
      FIELDS.nw_proto,
      FIELDS.ip_src,
      FIELDS.ip_dst,
      FIELDS.tcp_src,
      FIELDS.tcp_dst,
    ]
  ) known.setBig(field, (1n << BigInt(field.bits)) - 1n);
  for (let i = 0; i < mask.words.length; i++) {
    if ((mask.words[i]! & ~known.words[i]!) !== 0) return false;
  }
  for (const field of [FIELDS.eth_src, FIELDS.eth_dst]) {
    if (!fieldIsZero(mask, field) && !fieldIsFull(mask, field)) return false;
  }
  for (const field of [FIELDS.ip_src, FIELDS.ip_dst]) {
    const bits = mask.get(field);
    if (bits !== netmask(ignoredBits(bits))) return false;
  }
  const tciMask = mask.get(FIELDS.vlan_tci);
  const noTag = tciMask === 0xffff && key.get(FIELDS.vlan_tci) === 0;
  return noTag || tciMask === 0 ||
    ((key.get(FIELDS.vlan_tci) & VLAN_PRESENT) !== 0 &&
      [0x1fff, 0xf000, 0xffff].includes(tciMask));
}
