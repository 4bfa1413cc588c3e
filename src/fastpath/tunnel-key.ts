/**
 * Tunnel metadata as a record (`DpTunnel`) and as it stands in a flow key (the `tun_…` slots of
 * src/packet/layout.ts), both ways.
 */
import { FlowKey } from "../packet/key.ts";
import { slot, type SlotName, TUN_F_KEY } from "../packet/layout.ts";
import type { DpTunnel } from "./actions.ts";
import { DatapathError } from "./datapath.ts";

/** The first word of tunnel metadata; it goes on to the end of the datapath key. */
export const TUNNEL_WORD = slot("tun_id").offset / 4;
const OPTIONS_WORD = slot("tun_metadata").offset / 4;
export const MAX_GENEVE_OPTIONS = 252;

/** Writes the tunnel over all tunnel slots of `key`; how many words from TUNNEL_WORD on count. */
export function writeTunnel(key: FlowKey, tunnel: DpTunnel): number {
  const { bytes, words } = key;
  words.fill(0, TUNNEL_WORD, OPTIONS_WORD + 64);
  const number = (name: SlotName, value: number | bigint | undefined): void => {
    if (value === undefined) return;
    const place = slot(name);
    let rest = BigInt(value);
    for (let i = place.bytes - 1; i >= 0; i--, rest >>= 8n) {
      bytes[place.offset + i] = Number(rest & 0xffn);
    }
  };
  const address = (v4: SlotName, v6: SlotName, value: Uint8Array | undefined): void => {
    if (value === undefined) return;
    if (value.length !== 4 && value.length !== 16) {
      throw new DatapathError("not-supported", `a tunnel address of ${value.length} bytes`);
    }
    bytes.set(value, slot(value.length === 4 ? v4 : v6).offset);
  };
  number("tun_id", tunnel.id);
  number("tun_flags", (tunnel.flags ?? 0) | (tunnel.id === undefined ? 0 : TUN_F_KEY));
  address("tun_src", "tun_ipv6_src", tunnel.src);
  address("tun_dst", "tun_ipv6_dst", tunnel.dst);
  number("tun_tos", tunnel.tos);
  number("tun_ttl", tunnel.ttl);
  number("tun_tp_src", tunnel.tpSrc);
  number("tun_tp_dst", tunnel.tpDst);
  number("tun_gbp_id", tunnel.gbpId);
  number("tun_gbp_flags", tunnel.gbpFlags);
  number("tun_erspan_ver", tunnel.erspan?.version);
  number("tun_erspan_idx", tunnel.erspan?.index);
  number("tun_erspan_dir", tunnel.erspan?.direction);
  number("tun_erspan_hwid", tunnel.erspan?.hardwareId);
  number("tun_gtpu_flags", tunnel.gtpu?.flags);
  number("tun_gtpu_msgtype", tunnel.gtpu?.messageType);
  const { options } = tunnel;
  if (options === undefined || options.length === 0) return OPTIONS_WORD - TUNNEL_WORD;
  if (options.length > MAX_GENEVE_OPTIONS || options.length % 4 !== 0) {
    throw new DatapathError("not-supported", `${options.length} bytes of Geneve options`);
  }
  number("tun_options_length", options.length);
  bytes.set(options, OPTIONS_WORD * 4);
  return OPTIONS_WORD - TUNNEL_WORD + options.length / 4;
}

/** The tunnel that the key's packet came through or goes to; undefined if there is none. */
export function readTunnel(key: FlowKey): DpTunnel | undefined {
  const { bytes } = key;
  const raw = (name: SlotName): Uint8Array => {
    const place = slot(name);
    return bytes.slice(place.offset, place.offset + place.bytes);
  };
  const big = (name: SlotName): bigint =>
    raw(name).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const number = (name: SlotName): number => Number(big(name));
  const v4 = big("tun_dst") !== 0n || big("tun_src") !== 0n;
  if (!v4 && big("tun_ipv6_dst") === 0n && big("tun_ipv6_src") === 0n) return undefined;
  const flags = number("tun_flags");
  const length = number("tun_options_length");
  const erspan = number("tun_erspan_ver");
  const gtpu = number("tun_gtpu_flags");
  return {
    ...((flags & TUN_F_KEY) !== 0 ? { id: big("tun_id") } : {}),
    src: raw(v4 ? "tun_src" : "tun_ipv6_src"),
    dst: raw(v4 ? "tun_dst" : "tun_ipv6_dst"),
    tos: number("tun_tos"),
    ttl: number("tun_ttl"),
    tpSrc: number("tun_tp_src"),
    tpDst: number("tun_tp_dst"),
    flags,
    gbpId: number("tun_gbp_id"),
    gbpFlags: number("tun_gbp_flags"),
    ...(erspan === 0 ? {} : {
      erspan: {
        version: erspan,
        index: number("tun_erspan_idx"),
        direction: number("tun_erspan_dir"),
        hardwareId: number("tun_erspan_hwid"),
      },
    }),
    ...(gtpu === 0 ? {} : { gtpu: { flags: gtpu, messageType: number("tun_gtpu_msgtype") } }),
    ...(length === 0 ? {} : { options: raw("tun_metadata").subarray(0, length) }),
  };
}
