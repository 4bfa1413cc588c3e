/**
 * Tunnel metadata of a flow key: filling it for sending through a tunnel port, and handing it to the
 * datapath (Open vSwitch `ofproto/tunnel.c`, tnl_port_send and tnl_wc_init).
 */
import type { DpTunnel } from "../../fastpath/actions.ts";
import type { FlowKey } from "../../packet/key.ts";
import {
  FIELDS,
  slot,
  type SlotName,
  TUN_F_CSUM,
  TUN_F_DF,
  TUN_F_KEY,
  TUN_F_OAM,
} from "../../packet/layout.ts";
import { isMappedIpv4 } from "../../packet/prefix.ts";
import { lookSlot } from "../pipeline/bits.ts";
import type { TunnelConfig } from "./config.ts";
import { TUNNEL_TYPES } from "./kinds.ts";
import { encodeOptions, type OptionMap } from "./options.ts";
import { hasTunnel } from "./ports.ts";

const DSCP = 0xfc;
const ECN = 0x03;
const ECN_ECT_0 = 0x02;
const ECN_CE = 0x03;

const TUNNEL_SLOTS = ([
  "tun_id",
  "tun_src",
  "tun_dst",
  "tun_ipv6_src",
  "tun_ipv6_dst",
  "tun_flags",
  "tun_tos",
  "tun_ttl",
  "tun_tp_src",
  "tun_tp_dst",
  "tun_gbp_id",
  "tun_gbp_flags",
  "tun_erspan_ver",
  "tun_erspan_idx",
  "tun_erspan_dir",
  "tun_erspan_hwid",
  "tun_gtpu_flags",
  "tun_gtpu_msgtype",
  "tun_options_length",
  "tun_metadata",
  "tun_metadata_present",
] satisfies SlotName[]).map(slot);

const AT = {
  nwTos: slot("nw_tos").offset,
  nwTtl: slot("nw_ttl").offset,
  ethType: slot("eth_type").offset,
  src: slot("tun_src").offset,
  dst: slot("tun_dst").offset,
  ipv6Src: slot("tun_ipv6_src").offset,
  ipv6Dst: slot("tun_ipv6_dst").offset,
  tpDst: slot("tun_tp_dst").offset,
  flags: slot("tun_flags").offset,
} as const;

function isIp({ bytes }: FlowKey): boolean {
  const type = (bytes[AT.ethType]! << 8) | bytes[AT.ethType + 1]!;
  return type === 0x0800 || type === 0x86dd;
}

/** All tunnel metadata is as in a packet that came through no tunnel. */
export function clearTunnel(key: FlowKey): void {
  for (const { offset, bytes } of TUNNEL_SLOTS) key.bytes.fill(0, offset, offset + bytes);
}

export function sameTunnel(a: FlowKey, b: FlowKey): boolean {
  return TUNNEL_SLOTS.every(({ offset, bytes }) => {
    for (let i = offset; i < offset + bytes; i++) if (a.bytes[i] !== b.bytes[i]) return false;
    return true;
  });
}

export function copyTunnel(from: FlowKey, to: FlowKey): void {
  for (const { offset, bytes } of TUNNEL_SLOTS) {
    to.bytes.set(from.bytes.subarray(offset, offset + bytes), offset);
  }
}

/**
 * What every packet that came through a tunnel depends on: by it the port was found. Ports and TTL of
 * the outer headers are never looked at.
 */
export function lookTunnel(key: FlowKey, mask: FlowKey): void {
  if (!hasTunnel(key)) return;
  lookSlot(mask, "tun_id");
  if (key.bytes.subarray(AT.dst, AT.dst + 4).some((byte) => byte !== 0)) {
    lookSlot(mask, "tun_src");
    lookSlot(mask, "tun_dst");
  } else {
    lookSlot(mask, "tun_ipv6_src");
    lookSlot(mask, "tun_ipv6_dst");
  }
  setTunFlags(mask, TUN_F_DF | TUN_F_CSUM | TUN_F_KEY);
  lookSlot(mask, "tun_tos");
  if (isIp(key) && (key.get(FIELDS.tun_tos) & ECN) === ECN_CE) mask.bytes[AT.nwTos]! |= ECN;
}

/**
 * RFC 6040 on the way in: congestion marked on the outer header is marked on the inner one. False:
 * the inner packet cannot carry the mark, and must be dropped.
 */
export function receiveEcn(key: FlowKey): boolean {
  if (!hasTunnel(key) || !isIp(key) || (key.get(FIELDS.tun_tos) & ECN) !== ECN_CE) return true;
  if ((key.bytes[AT.nwTos]! & ECN) === 0) return false;
  key.bytes[AT.nwTos]! |= ECN_CE;
  return true;
}

/** Fills the key's tunnel metadata for a packet that leaves by a port of this configuration. */
export function fillTunnel(config: TunnelConfig, key: FlowKey, mask: FlowKey): void {
  const { bytes } = key;
  if (config.local !== "flow") setAddress(key, AT.src, AT.ipv6Src, config.local);
  if (config.remote !== "flow") setAddress(key, AT.dst, AT.ipv6Dst, config.remote);
  bytes[AT.tpDst] = config.dstPort >> 8;
  bytes[AT.tpDst + 1] = config.dstPort;
  if (config.outKey !== "flow") key.setBig(FIELDS.tun_id, config.outKey ?? 0n);
  const ip = isIp(key);
  if (config.ttl === "inherit" && ip) {
    mask.bytes[AT.nwTtl] = 0xff;
    key.set(FIELDS.tun_ttl, bytes[AT.nwTtl]!);
  } else key.set(FIELDS.tun_ttl, config.ttl === "inherit" ? 64 : config.ttl);
  let tos = 0;
  if (config.tos === "inherit") {
    if (ip) {
      mask.bytes[AT.nwTos]! |= DSCP;
      tos = bytes[AT.nwTos]! & DSCP;
    }
  } else tos = config.tos;
  if (ip) {
    mask.bytes[AT.nwTos]! |= ECN;
    const ecn = bytes[AT.nwTos]! & ECN;
    tos |= ecn === ECN_CE ? ECN_ECT_0 : ecn;
  }
  key.set(FIELDS.tun_tos, tos);
  setTunFlags(
    key,
    (config.dontFragment ? TUN_F_DF : 0) | (config.checksum ? TUN_F_CSUM : 0) |
      (config.outKey !== undefined ? TUN_F_KEY : 0),
  );
  if (config.egressMark !== undefined) {
    key.set(FIELDS.pkt_mark, config.egressMark);
    lookSlot(mask, "pkt_mark");
  }
  const { version, index, direction, hardwareId } = config.erspan;
  if (version !== "flow") key.set(FIELDS.tun_erspan_ver, version);
  if (index !== "flow") key.set(FIELDS.tun_erspan_idx, index);
  if (direction !== "flow") key.set(FIELDS.tun_erspan_dir, direction);
  if (hardwareId !== "flow") key.set(FIELDS.tun_erspan_hwid, hardwareId);
}

/** The key's tunnel metadata as the datapath's action wants it. */
export function tunnelOf(config: TunnelConfig, key: FlowKey, map: OptionMap): DpTunnel {
  const { kind } = TUNNEL_TYPES[config.type];
  const { bytes } = key;
  const isIpv4 = bytes.subarray(AT.dst, AT.dst + 4).some((byte) => byte !== 0);
  const src = isIpv4 ? bytes.slice(AT.src, AT.src + 4) : bytes.slice(AT.ipv6Src, AT.ipv6Src + 16);
  const dst = isIpv4 ? bytes.slice(AT.dst, AT.dst + 4) : bytes.slice(AT.ipv6Dst, AT.ipv6Dst + 16);
  const id = key.getBig(FIELDS.tun_id);
  const flags = bytes[AT.flags + 1]!;
  const tos = key.get(FIELDS.tun_tos);
  const options = kind === "geneve" ? encodeOptions(map, key) : undefined;
  const gbpId = key.get(FIELDS.tun_gbp_id);
  const gbpFlags = key.get(FIELDS.tun_gbp_flags);
  return {
    dst,
    ttl: key.get(FIELDS.tun_ttl),
    tpDst: (bytes[AT.tpDst]! << 8) | bytes[AT.tpDst + 1]!,
    flags,
    ...(id !== 0n || (flags & TUN_F_KEY) !== 0 ? { id } : {}),
    ...(src.some((byte) => byte !== 0) ? { src } : {}),
    ...(tos !== 0 ? { tos } : {}),
    ...(options && options.length > 0 ? { options } : {}),
    ...(kind === "vxlan" && (gbpId !== 0 || gbpFlags !== 0) ? { gbpId, gbpFlags } : {}),
    ...(kind === "erspan" ? { erspan: erspanOf(key) } : {}),
    ...(kind === "gtpu" && (key.get(FIELDS.tun_gtpu_flags) || key.get(FIELDS.tun_gtpu_msgtype))
      ? {
        gtpu: {
          flags: key.get(FIELDS.tun_gtpu_flags),
          messageType: key.get(FIELDS.tun_gtpu_msgtype),
        },
      }
      : {}),
  };
}

function erspanOf(key: FlowKey): NonNullable<DpTunnel["erspan"]> {
  return {
    version: key.get(FIELDS.tun_erspan_ver),
    index: key.get(FIELDS.tun_erspan_idx),
    direction: key.get(FIELDS.tun_erspan_dir),
    hardwareId: key.get(FIELDS.tun_erspan_hwid),
  };
}

/** Either slot; the other one is zero. */
function setAddress(
  key: FlowKey,
  ipv4At: number,
  ipv6At: number,
  address: Uint8Array | undefined,
): void {
  key.bytes.fill(0, ipv4At, ipv4At + 4);
  key.bytes.fill(0, ipv6At, ipv6At + 16);
  if (!address) return;
  if (isMappedIpv4(address)) key.bytes.set(address.subarray(12), ipv4At);
  else key.bytes.set(address, ipv6At);
}

function setTunFlags(key: FlowKey, flags: number): void {
  key.bytes[AT.flags] = 0;
  // OAM is the flow's own: `tun_flags=oam` sets it.
  key.bytes[AT.flags + 1] = (key.bytes[AT.flags + 1]! & TUN_F_OAM) | flags;
}
