/** The connection tracker's metadata of a packet: the `ct_…` slots of its flow key. */
import { writeU16 } from "../../packet/big-endian.ts";
import type { Frame } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { C_LABEL, C_MARK, C_ORIGINAL, type ConnTable } from "./table.ts";
import {
  ICMP,
  ICMPV6,
  IPV4,
  reverseIcmpType,
  T_DST,
  T_META,
  T_PORTS,
  T_SRC,
  TUPLE_WORDS,
} from "./tuple.ts";
import { CS_TRACKED } from "./types.ts";

const W_STATE = slot("ct_state").offset >> 2;
const B_STATE = slot("ct_state").offset + 3;
const B_ZONE = slot("ct_zone").offset;
const B_PROTO = slot("ct_nw_proto").offset;
const B_MARK = slot("ct_mark").offset;
const W_LABEL = slot("ct_label").offset >> 2;
const W_NW_SRC = slot("ct_nw_src").offset >> 2;
const W_NW_DST = slot("ct_nw_dst").offset >> 2;
const B_TP_SRC = slot("ct_tp_src").offset;
const B_TP_DST = slot("ct_tp_dst").offset;
const W_IPV6_SRC = slot("ct_ipv6_src").offset >> 2;
const W_IPV6_DST = slot("ct_ipv6_dst").offset >> 2;
const END = W_IPV6_DST + 4;

/**
 * Writes a tuple as the `ct_nw_…` slots have it. `key`: where the flow key's first word would be in
 * `words`, which is the same memory as `bytes`.
 */
export function writeTuple(
  bytes: Uint8Array,
  words: Int32Array | Uint32Array,
  key: number,
  tuple: Int32Array,
  at: number,
): void {
  const meta = tuple[at + T_META]!;
  const protocol = (meta >>> 8) & 0xff;
  const ports = tuple[at + T_PORTS]!;
  bytes[4 * key + B_PROTO] = protocol;
  if ((meta & 0xff) === IPV4) {
    words[key + W_NW_SRC] = tuple[at + T_SRC]!;
    words[key + W_NW_DST] = tuple[at + T_DST]!;
  } else {
    for (let i = 0; i < 4; i++) {
      words[key + W_IPV6_SRC + i] = tuple[at + T_SRC + i]!;
      words[key + W_IPV6_DST + i] = tuple[at + T_DST + i]!;
    }
  }
  const isIcmp = protocol === ICMP || protocol === ICMPV6;
  writeU16(bytes, 4 * key + B_TP_SRC, isIcmp ? (ports >>> 8) & 0xff : ports >>> 16);
  writeU16(bytes, 4 * key + B_TP_DST, isIcmp ? ports & 0xff : ports & 0xffff);
}

export class CtMetadata {
  state(frame: Frame): number {
    return frame.keyWords > W_STATE ? frame.key.bytes[B_STATE]! : 0;
  }

  zone(frame: Frame): number {
    if (frame.keyWords <= W_STATE) return 0;
    const { bytes } = frame.key;
    return (bytes[B_ZONE]! << 8) | bytes[B_ZONE + 1]!;
  }

  /**
   * `conn` -1: none. `shown`: the tuple to show in place of the connection's own: that of the one
   * which it was expected by, or the packet's.
   */
  write(
    frame: Frame,
    state: number,
    zone: number,
    table: ConnTable,
    conn: number,
    shown: Int32Array | undefined,
  ): void {
    const { bytes, words } = frame.key;
    for (let i = W_STATE; i < END; i++) words[i] = 0;
    if (frame.keyWords < END) frame.keyWords = END;
    bytes[B_STATE] = state | CS_TRACKED;
    writeU16(bytes, B_ZONE, zone);
    if (conn >= 0) {
      const record = table.words(conn);
      const base = table.base(conn);
      this.writeMark(frame, record, base);
      if (shown) writeTuple(bytes, words, 0, shown, 0);
      else writeTuple(bytes, words, 0, record, base + C_ORIGINAL);
    } else if (shown) writeTuple(bytes, words, 0, shown, 0);
  }

  writeMark(frame: Frame, record: Int32Array, base: number): void {
    const { bytes, words } = frame.key;
    const mark = record[base + C_MARK]!;
    writeU16(bytes, B_MARK, mark >>> 16);
    writeU16(bytes, B_MARK + 2, mark);
    for (let i = 0; i < 4; i++) words[W_LABEL + i] = record[base + C_LABEL + i]!;
  }

  /** The original tuple as it stands in the metadata; an ICMP id is taken from `current`. */
  original(frame: Frame, zone: number, current: Int32Array, into: Int32Array): boolean {
    const { bytes, words } = frame.key;
    const protocol = bytes[B_PROTO]!;
    const family = current[T_META]! & 0xff;
    if (frame.keyWords < END || protocol === 0) return false;
    into.fill(0, 0, TUPLE_WORDS);
    if (family === IPV4) {
      into[T_SRC] = words[W_NW_SRC]!;
      into[T_DST] = words[W_NW_DST]!;
    } else {
      for (let i = 0; i < 4; i++) {
        into[T_SRC + i] = words[W_IPV6_SRC + i]!;
        into[T_DST + i] = words[W_IPV6_DST + i]!;
      }
    }
    const src = (bytes[B_TP_SRC]! << 8) | bytes[B_TP_SRC + 1]!;
    const dst = (bytes[B_TP_DST]! << 8) | bytes[B_TP_DST + 1]!;
    if (protocol === ICMP || protocol === ICMPV6) {
      if (reverseIcmpType(family, src) < 0) return false;
      into[T_PORTS] = (current[T_PORTS]! & ~0xffff) | (src << 8) | dst;
    } else into[T_PORTS] = (src << 16) | dst;
    into[T_META] = (zone << 16) | (protocol << 8) | family;
    return true;
  }
}
