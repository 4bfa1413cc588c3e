/** `tunnel(…)` read from text into the `tun_*` slots, or into the `DpTunnel` of an action. */
import { FlowKey, type Match } from "../../packet/key.ts";
import { slot, type SlotName } from "../../packet/layout.ts";
import { parseFlags } from "../../packet/text.ts";
import type { DpTunnel } from "../actions.ts";
import type { Scanner } from "./scanner.ts";
import { TUNNEL_FLAGS } from "./tunnel-format.ts";
import { bigOf, isAll, numberOf, slotBytes } from "./values.ts";

const FLAGS_MASK = 0xfn;
const KEY_FLAG = 8;
const MAX_OPTIONS_BYTES = 252;
const OPTION_HEADER_BYTES = 4;

export interface MaskedBytes {
  readonly value: number[];
  readonly mask: number[];
}

/** Behind `tunnel(`, up to and with its end. */
export function scanTunnel(s: Scanner, match: Match): void {
  const put = (name: SlotName, value: Uint8Array, mask: Uint8Array | undefined): void => {
    const { offset, bytes } = slot(name);
    match.key.bytes.set(value, offset + bytes - value.length);
    const looked = mask ?? new Uint8Array(bytes).fill(0xff);
    match.mask.bytes.set(looked, offset + bytes - looked.length);
  };
  const number = (name: SlotName): void => {
    const { bytes } = slot(name);
    const read = (): Uint8Array => {
      const value = s.big((1n << BigInt(8 * bytes)) - 1n);
      return Uint8Array.from(
        { length: bytes },
        (_, i) => Number((value >> BigInt(8 * (bytes - 1 - i))) & 0xffn),
      );
    };
    put(name, read(), s.mask(read));
  };
  const flag = (bit: number): void => {
    const { offset } = slot("tun_flags");
    match.key.bytes[offset + 1]! |= bit;
    match.mask.bytes[offset + 1]! |= bit;
  };
  do {
    if (s.take("tun_id=")) {
      number("tun_id");
      flag(KEY_FLAG);
    } else if (s.take("src=")) put("tun_src", s.ipv4(), s.mask(() => s.ipv4()));
    else if (s.take("dst=")) put("tun_dst", s.ipv4(), s.mask(() => s.ipv4()));
    else if (s.take("ipv6_src=")) put("tun_ipv6_src", s.ipv6(), s.mask(() => s.ipv6()));
    else if (s.take("ipv6_dst=")) put("tun_ipv6_dst", s.ipv6(), s.mask(() => s.ipv6()));
    else if (s.take("tos=")) number("tun_tos");
    else if (s.take("ttl=")) number("tun_ttl");
    else if (s.take("tp_src=")) number("tun_tp_src");
    else if (s.take("tp_dst=")) number("tun_tp_dst");
    else if (s.take("vxlan(gbp(")) {
      if (s.take("id=")) number("tun_gbp_id");
      s.take(",");
      if (s.take("flags=")) number("tun_gbp_flags");
      s.expect("))");
    } else if (s.take("gtpu(")) {
      if (s.take("flags=")) number("tun_gtpu_flags");
      s.take(",");
      if (s.take("msgtype=")) number("tun_gtpu_msgtype");
      s.expect(")");
    } else if (s.take("erspan(ver=")) {
      number("tun_erspan_ver");
      s.take(",");
      if (s.take("idx=")) number("tun_erspan_idx");
      if (s.take("dir=")) number("tun_erspan_dir");
      s.take(",");
      if (s.take("hwid=")) number("tun_erspan_hwid");
      s.expect(")");
    } else if (s.take("geneve(")) {
      const { value, mask } = scanGeneveOptions(s, true);
      s.expect(")");
      const { offset } = slot("tun_metadata");
      match.key.bytes.set(value, offset);
      match.mask.bytes.set(mask, offset);
      put("tun_options_length", Uint8Array.of(value.length), undefined);
    } else if (s.take("flags(")) scanFlags(s, match);
    else break;
  } while (s.take(","));
  s.expect(")");
}

function scanFlags(s: Scanner, match: Match): void {
  const text = s.match(/[^)]*/y)![0];
  s.expect(")");
  const { value, mask } = parseFlags(text, TUNNEL_FLAGS, FLAGS_MASK, "tunnel");
  const { offset } = slot("tun_flags");
  match.key.bytes[offset + 1]! |= Number(value);
  match.mask.bytes[offset + 1]! |= Number(mask & FLAGS_MASK);
}

/** `{class=…,type=…,len=…,0x…/0x…}…`, up to what ends it. */
export function scanGeneveOptions(s: Scanner, masked: boolean): MaskedBytes {
  const value: number[] = [];
  const mask: number[] = [];
  while (s.take("{")) {
    const read = (word: string, limit: number): [number, number] => {
      if (!s.take(word)) return [0, 0];
      const number = s.number(limit);
      const bits = masked ? s.mask(() => s.number(limit)) : undefined;
      return [number, bits ?? limit];
    };
    const [optionClass, classMask] = read("class=", 0xffff);
    s.take(",");
    const [type, typeMask] = read("type=", 0xff);
    s.take(",");
    const [length, lengthMask] = read("len=", 0xff);
    if (length > 124 || length % 4 !== 0) s.fail();
    if (value.length + OPTION_HEADER_BYTES + length > MAX_OPTIONS_BYTES) s.fail();
    let data = new Array<number>(length).fill(0);
    let dataMask = new Array<number>(length).fill(0xff);
    if (s.take(",")) data = scanHexNumber(s, length);
    if (masked && s.take("/")) dataMask = scanHexNumber(s, length);
    s.expect("}");
    value.push(optionClass >> 8, optionClass & 0xff, type, length / 4, ...data);
    mask.push(classMask >> 8, classMask & 0xff, typeMask, lengthMask & 0x1f, ...dataMask);
  }
  return { value, mask };
}

/** A number right-aligned in `length` bytes. */
export function scanHexNumber(s: Scanner, length: number): number[] {
  const value = s.big((1n << BigInt(8 * length)) - 1n);
  return Array.from(
    { length },
    (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 0xffn),
  );
}

/** Behind `set(tunnel(`: what the slots say, as an action has it. */
export function scanTunnelAction(s: Scanner): DpTunnel {
  const match: Match = { key: new FlowKey(), mask: new FlowKey() };
  scanTunnel(s, match);
  return tunnelOf(match.key);
}

/** The tunnel metadata of a key. */
export function tunnelOf(key: FlowKey): DpTunnel {
  const bytes = (name: SlotName): Uint8Array => slotBytes(key.bytes, name);
  const number = (name: SlotName): number => numberOf(bytes(name));
  const flags = number("tun_flags");
  const ipv6 = !isAll(bytes("tun_ipv6_dst"), 0);
  const src = bytes(ipv6 ? "tun_ipv6_src" : "tun_src");
  const version = number("tun_erspan_ver");
  const optionBytes = number("tun_options_length");
  return {
    ...(flags & KEY_FLAG && { id: bigOf(bytes("tun_id")) }),
    ...(!isAll(src, 0) && { src: src.slice() }),
    dst: bytes(ipv6 ? "tun_ipv6_dst" : "tun_dst").slice(),
    tos: number("tun_tos"),
    ttl: number("tun_ttl"),
    tpSrc: number("tun_tp_src"),
    tpDst: number("tun_tp_dst"),
    flags,
    gbpId: number("tun_gbp_id"),
    gbpFlags: number("tun_gbp_flags"),
    ...(version !== 0 && {
      erspan: {
        version,
        index: number("tun_erspan_idx"),
        direction: number("tun_erspan_dir"),
        hardwareId: number("tun_erspan_hwid"),
      },
    }),
    ...((number("tun_gtpu_flags") !== 0 || number("tun_gtpu_msgtype") !== 0) && {
      gtpu: { flags: number("tun_gtpu_flags"), messageType: number("tun_gtpu_msgtype") },
    }),
    ...(optionBytes > 0 && { options: bytes("tun_metadata").slice(0, optionBytes) }),
  };
}
