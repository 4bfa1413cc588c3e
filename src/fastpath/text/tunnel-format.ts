/**
 * `tunnel(…)` of matches and of `set` actions: the metadata of a packet that came out of a tunnel, or
 * is to go into one. In a key it lies in the `tun_*` slots, in an action in a `DpTunnel`; both are
 * printed from the latter's shape.
 */
import { formatIpv4, formatIpv6 } from "../../packet/address.ts";
import { type FlowKey } from "../../packet/key.ts";
import type { SlotName } from "../../packet/layout.ts";
import { formatFlags } from "../../packet/text.ts";
import type { DpTunnel } from "../actions.ts";
import { alternate, bigOf, hexBytes, isAll, numberOf, slotBytes } from "./values.ts";

/** Names of the `tun_flags` bits. */
export const TUNNEL_FLAGS = ["oam", "df", "csum", "key"] as const;
const ALL_FLAGS = 0xfn;
const KEY_FLAG = 8;
const OPTION_HEADER_BYTES = 4;

/** Does the key say that the packet came out of a tunnel? */
export function hasTunnel(key: FlowKey): boolean {
  return (["tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"] as const)
    .some((name) => !isAll(slotBytes(key.bytes, name), 0));
}

/** The inside of `tunnel(…)` of a match; `mask` undefined: exact. */
export function formatTunnelKey(
  key: FlowKey,
  mask: FlowKey | undefined,
  verbose: boolean,
): string {
  const parts: string[] = [];
  const value = (name: SlotName): Uint8Array => slotBytes(key.bytes, name);
  const bits = (name: SlotName): Uint8Array | undefined => mask && slotBytes(mask.bytes, name);
  const set = (name: SlotName): boolean => !isAll(value(name), 0);
  /** Shown with a mask that looks at some of it. */
  const add = (
    label: string,
    name: SlotName,
    print: (bytes: Uint8Array) => string,
    printMask: (bytes: Uint8Array) => string = print,
  ): void => {
    const looked = bits(name);
    if (looked && !verbose && isAll(looked, 0)) return;
    const partial = looked && !isAll(looked, 0xff) ? `/${printMask(looked)}` : "";
    parts.push(`${label}=${print(value(name))}${partial}`);
  };
  const decimal = (bytes: Uint8Array): string => String(numberOf(bytes));
  const hexadecimal = (bytes: Uint8Array): string => alternate(numberOf(bytes));
  const flags = numberOf(value("tun_flags"));
  const keyed = (flags & KEY_FLAG) !== 0 || set("tun_id");
  if (keyed) {
    add("tun_id", "tun_id", (b) => `0x${bigOf(b).toString(16)}`, (b) => alternate(bigOf(b)));
  }
  if (set("tun_src")) add("src", "tun_src", formatIpv4);
  if (set("tun_dst")) add("dst", "tun_dst", formatIpv4);
  if (set("tun_ipv6_src")) add("ipv6_src", "tun_ipv6_src", formatIpv6);
  if (set("tun_ipv6_dst")) add("ipv6_dst", "tun_ipv6_dst", formatIpv6);
  if (set("tun_tos")) add("tos", "tun_tos", hexadecimal);
  add("ttl", "tun_ttl", decimal, hexadecimal);
  if (set("tun_tp_src")) add("tp_src", "tun_tp_src", decimal, hexadecimal);
  if (set("tun_tp_dst")) add("tp_dst", "tun_tp_dst", decimal, hexadecimal);
  const group = (name: string, body: () => void): void => {
    const start = parts.length;
    body();
    parts.push(`${name}(${parts.splice(start).join(",")})`);
  };
  if (set("tun_gbp_id") || set("tun_gbp_flags")) {
    group("vxlan", () =>
      group("gbp", () => {
        add("id", "tun_gbp_id", decimal, hexadecimal);
        add("flags", "tun_gbp_flags", hexadecimal);
      }));
  }
  const length = numberOf(value("tun_options_length"));
  if (length > 0) {
    const options = value("tun_metadata").subarray(0, length);
    const looked = bits("tun_metadata")?.subarray(0, length);
    parts.push(`geneve(${formatGeneveOptions(options, looked, verbose)})`);
  }
  if (set("tun_gtpu_flags") || set("tun_gtpu_msgtype")) {
    group("gtpu", () => {
      add("flags", "tun_gtpu_flags", hexadecimal);
      add("msgtype", "tun_gtpu_msgtype", decimal, hexadecimal);
    });
  }
  if (set("tun_erspan_ver")) {
    group("erspan", () => {
      add("ver", "tun_erspan_ver", decimal, hexadecimal);
      if (numberOf(value("tun_erspan_ver")) === 1) {
        const index = `idx=${alternate(numberOf(value("tun_erspan_idx")))}`;
        const looked = bits("tun_erspan_idx");
        parts.push(looked ? `${index}/${alternate(numberOf(looked))}` : index);
      } else {
        add("dir", "tun_erspan_dir", decimal, hexadecimal);
        add("hwid", "tun_erspan_hwid", hexadecimal);
      }
    });
  }
  // Netlink has no attribute for "has a key" but the key: it is looked at whenever there is one.
  const looked = mask &&
    (numberOf(slotBytes(mask.bytes, "tun_flags")) & 7) | (mask && keyed ? KEY_FLAG : 0);
  const shown = BigInt(keyed ? flags | KEY_FLAG : flags);
  if (looked === undefined) {
    parts.push(`flags(${formatFlags(shown, ALL_FLAGS, ALL_FLAGS, TUNNEL_FLAGS)})`);
  } else if (verbose || looked !== 0) {
    parts.push(`flags(${formatFlags(shown, BigInt(looked), ALL_FLAGS, TUNNEL_FLAGS)})`);
  }
  return parts.join(",");
}

/** The inside of `set(tunnel(…))`. */
export function formatTunnelAction(tunnel: DpTunnel): string {
  const parts: string[] = [];
  const address = (label: string, bytes: Uint8Array | undefined): void => {
    if (!bytes || isAll(bytes, 0)) return;
    parts.push(
      bytes.length === 4 ? `${label}=${formatIpv4(bytes)}` : `ipv6_${label}=${formatIpv6(bytes)}`,
    );
  };
  if (tunnel.id !== undefined) parts.push(`tun_id=0x${tunnel.id.toString(16)}`);
  address("src", tunnel.src);
  address("dst", tunnel.dst);
  if (tunnel.tos) parts.push(`tos=${alternate(tunnel.tos)}`);
  parts.push(`ttl=${tunnel.ttl ?? 0}`);
  if (tunnel.tpSrc) parts.push(`tp_src=${tunnel.tpSrc}`);
  if (tunnel.tpDst) parts.push(`tp_dst=${tunnel.tpDst}`);
  if (tunnel.gbpId || tunnel.gbpFlags) {
    parts.push(`vxlan(gbp(id=${tunnel.gbpId ?? 0},flags=${alternate(tunnel.gbpFlags ?? 0)}))`);
  }
  if (tunnel.options && tunnel.options.length > 0) {
    parts.push(`geneve(${formatGeneveOptions(tunnel.options, undefined, true)})`);
  }
  const { gtpu, erspan } = tunnel;
  if (gtpu) parts.push(`gtpu(flags=${alternate(gtpu.flags)},msgtype=${gtpu.messageType})`);
  if (erspan) {
    const rest = erspan.version === 1
      ? `idx=${alternate(erspan.index)}`
      : `dir=${erspan.direction},hwid=${alternate(erspan.hardwareId)}`;
    parts.push(`erspan(ver=${erspan.version},${rest})`);
  }
  const flags = (tunnel.flags ?? 0) | (tunnel.id === undefined ? 0 : KEY_FLAG);
  parts.push(`flags(${formatFlags(BigInt(flags), ALL_FLAGS, ALL_FLAGS, TUNNEL_FLAGS)})`);
  return parts.join(",");
}

/** `{class=0x102,type=0x80,len=4,0xa}…`: RFC 8926 §3.5, whole options one behind the other. */
export function formatGeneveOptions(
  options: Uint8Array,
  mask: Uint8Array | undefined,
  verbose: boolean,
): string {
  let text = "";
  for (let at = 0; at < options.length;) {
    const left = options.length - at;
    if (left < OPTION_HEADER_BYTES) {
      return `${text}opt len ${left} less than minimum ${OPTION_HEADER_BYTES}`;
    }
    const dataBytes = (options[at + 3]! & 0x1f) * 4;
    const bytes = OPTION_HEADER_BYTES + dataBytes;
    if (bytes > left) return `${text}opt len ${bytes} greater than remaining ${left}`;
    text += formatOption(
      options.subarray(at, at + bytes),
      mask?.subarray(at, at + bytes),
      verbose,
    );
    at += bytes;
  }
  return text;
}

function formatOption(
  option: Uint8Array,
  mask: Uint8Array | undefined,
  verbose: boolean,
): string {
  const parts: string[] = [];
  const number = (
    label: string,
    value: number,
    bits: number | undefined,
    full: number,
    print: (value: number) => string,
  ): void => {
    if (bits === 0 && !verbose) return;
    const partial = bits === undefined || bits === full ? "" : `/${alternate(bits)}`;
    parts.push(`${label}=${print(value)}${partial}`);
  };
  const two = (bytes: Uint8Array): number => (bytes[0]! << 8) | bytes[1]!;
  number("class", two(option), mask && two(mask), 0xffff, alternate);
  number("type", option[2]!, mask?.[2], 0xff, alternate);
  const length = (option[3]! & 0x1f) * 4;
  const lengthMask = mask && ((mask[3]! & 0x1f) === 0x1f ? 0xff : mask[3]! & 0x1f);
  number("len", length, lengthMask, 0xff, String);
  const data = option.subarray(OPTION_HEADER_BYTES);
  const dataMask = mask?.subarray(OPTION_HEADER_BYTES);
  if (length > 0 && (verbose || !dataMask || !isAll(dataMask, 0))) {
    const partial = dataMask && !isAll(dataMask, 0xff) ? `/${hexBytes(dataMask)}` : "";
    parts.push(`${hexBytes(data)}${partial}`);
  }
  return `{${parts.join(",")}}`;
}
