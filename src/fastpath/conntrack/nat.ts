/**
 * Network address translation: which reply tuple a new connection gets, and what that does to its
 * packets.
 *
 * A connection's two tuples say all: a packet of one direction leaves looking like the answer to
 * what the other direction's tuple says. Inside an ICMP error the carried packet, which went the
 * other way, is put back to what it was when it came.
 *
 * Ranges are Open vSwitch's. A source port is kept if it is free, else sought among those of its
 * kind (1–511, 600–1023, 1024–65535); a port range, and an address range, are entered at a hash of
 * the connection, so that the same connection gets the same place again. `persistent` hashes the
 * client's address only: all connections of a client get the same address. `random` enters
 * anywhere.
 */
import { checksum, fold, pseudoSum } from "../../packet/checksum.ts";
import type { Frame } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { setSlot } from "../../packet/rewrite.ts";
import {
  CT_MAX_ADDRESS,
  CT_MAX_PORT,
  CT_MIN_ADDRESS,
  CT_MIN_PORT,
  CTF_ADDRESS_V4,
  CTF_ADDRESS_V6,
  CTF_NAT_DST,
  CTF_NAT_SRC,
  CTF_PERSISTENT,
  CTF_PORTS,
  CTF_RANDOM,
} from "../engine/opcodes.ts";
import type { ConnTable } from "./table.ts";
import {
  hashTuple,
  ICMP,
  ICMPV6,
  IPV6,
  type PacketTuple,
  reverseTuple,
  T_DST,
  T_META,
  T_PORTS,
  T_SRC,
  TCP,
  TUPLE_WORDS,
  UDP,
} from "./tuple.ts";

const S_NW_SRC = slot("nw_src").offset;
const S_NW_DST = slot("nw_dst").offset;
const S_IPV6_SRC = slot("ipv6_src").offset;
const S_IPV6_DST = slot("ipv6_dst").offset;
const S_TP_SRC = slot("tp_src").offset;
const S_TP_DST = slot("tp_dst").offset;

const MAX_ATTEMPTS = 128;
const MIN_ATTEMPTS = 16;
const MAX_RANGE = 0xfffffffe;

/** `a % b` for an unsigned `a`. */
function modulo(a: number, b: number): number {
  return (a >>> 0) % b;
}

export class Nat {
  private readonly candidate = new Int32Array(TUPLE_WORDS);
  private readonly address = new Int32Array(4);
  private readonly seed = new Int32Array(TUPLE_WORDS);
  /** A value and a mask of ones, for `setSlot`. */
  private readonly args = new Uint8Array(32).fill(0xff);

  constructor(private readonly table: ConnTable) {}

  /**
   * Finds a reply tuple for the connection whose original tuple is `original`, as the `ct` record
   * at `code[at…]` wants it, and writes it to `words[into…]`. False if none is free.
   */
  choose(
    flags: number,
    code: Int32Array,
    at: number,
    original: Int32Array,
    words: Int32Array,
    into: number,
    nowMs: number,
  ): boolean {
    const { candidate } = this;
    reverseTuple(original, 0, candidate, 0);
    const isSource = (flags & CTF_NAT_SRC) !== 0;
    const hash = this.startOf(flags, original);
    if ((flags & (CTF_ADDRESS_V4 | CTF_ADDRESS_V6)) !== 0) {
      this.pickAddress(flags, code, at, hash);
      const place = isSource ? T_DST : T_SRC;
      for (let i = 0; i < 4; i++) candidate[place + i] = this.address[i]!;
    }
    const protocol = (original[T_META]! >>> 8) & 0xff;
    const found = protocol === TCP || protocol === UDP
      ? this.pickPort(flags, code, at, original, hash, nowMs)
      : this.isFree(nowMs);
    if (found) words.set(candidate, into);
    return found;
  }

  private isFree(nowMs: number): boolean {
    return this.table.lookup(this.candidate, 0, nowMs) < 0;
  }

  private startOf(flags: number, original: Int32Array): number {
    if ((flags & CTF_RANDOM) !== 0) return (Math.random() * 0x100000000) | 0;
    const { seed } = this;
    seed.set(original);
    if ((flags & CTF_PERSISTENT) !== 0) {
      seed.fill(0, T_DST, T_META);
    }
    return hashTuple(seed, 0);
  }

  private pickAddress(flags: number, code: Int32Array, at: number, hash: number): void {
    const { address } = this;
    const min = at + CT_MIN_ADDRESS;
    const max = at + CT_MAX_ADDRESS;
    for (let i = 0; i < 4; i++) address[i] = code[min + i]!;
    let last = 0;
    let range: number;
    if ((flags & CTF_ADDRESS_V4) !== 0) range = hostWord(code[max]!) - hostWord(code[min]!);
    else {
      last = 3;
      // Ranges of more than 2^32 addresses are used as far as that.
      const high = hostWord(code[max + 2]!) - hostWord(code[min + 2]!);
      range = high * 0x100000000 + hostWord(code[max + 3]!) - hostWord(code[min + 3]!);
      if (code[max] !== code[min] || code[max + 1] !== code[min + 1]) range = MAX_RANGE;
    }
    let carry = modulo(hash, Math.max(0, Math.min(range, MAX_RANGE)) + 1);
    for (let i = last; i >= 0 && carry > 0; i--) {
      const sum = hostWord(address[i]!) + carry;
      address[i] = hostWord(sum | 0);
      carry = Math.floor(sum / 0x100000000);
    }
  }

  private pickPort(
    flags: number,
    code: Int32Array,
    at: number,
    original: Int32Array,
    hash: number,
    nowMs: number,
  ): boolean {
    const ranged = (flags & CTF_PORTS) !== 0;
    const min = code[at + CT_MIN_PORT]!;
    const max = code[at + CT_MAX_PORT]!;
    const first = min + modulo(hash, max - min + 1);
    if (ranged && (flags & CTF_NAT_DST) !== 0 && this.tryPorts(true, first, min, max, nowMs)) {
      return true;
    }
    if (ranged && (flags & CTF_NAT_SRC) !== 0) {
      return this.tryPorts(false, first, min, max, nowMs);
    }
    const port = original[T_PORTS]! >>> 16;
    if (port < 512) return this.tryPorts(false, port, 1, 511, nowMs);
    if (port < 1024) return this.tryPorts(false, port, 600, 1023, nowMs);
    return this.tryPorts(false, port, 1024, 65535, nowMs);
  }

  /** `destination`: the port that answers come from, not the one that they go to. */
  private tryPorts(
    destination: boolean,
    first: number,
    min: number,
    max: number,
    nowMs: number,
  ): boolean {
    const { candidate } = this;
    const range = max - min + 1;
    const keep = candidate[T_PORTS]!;
    let attempts = Math.min(range, MAX_ATTEMPTS);
    let port = first;
    for (;;) {
      for (let i = 0; i < attempts; i++) {
        candidate[T_PORTS] = destination
          ? (candidate[T_PORTS]! & 0xffff) | (port << 16)
          : (candidate[T_PORTS]! & ~0xffff) | port;
        if (this.isFree(nowMs)) return true;
        port = port >= max || port < min ? min : port + 1;
      }
      if (attempts >= range || attempts < MIN_ATTEMPTS) break;
      attempts >>= 1;
      port = min + Math.floor(Math.random() * range);
    }
    candidate[T_PORTS] = keep;
    return false;
  }

  /**
   * Makes the packet of a connection look as the other side knows it. `other` is where the other
   * direction's tuple lies in `words`; `source` and `destination` say which addresses change.
   */
  translate(
    frame: Frame,
    tuple: PacketTuple,
    words: Int32Array,
    other: number,
    source: boolean,
    destination: boolean,
  ): void {
    const isV6 = (words[other + T_META]! & 0xff) === IPV6;
    if (source) this.setAddress(frame, isV6 ? S_IPV6_SRC : S_NW_SRC, words, other + T_DST, isV6);
    if (destination) {
      this.setAddress(frame, isV6 ? S_IPV6_DST : S_NW_DST, words, other + T_SRC, isV6);
    }
    if (tuple.related) {
      this.translateCarried(frame, tuple, words, other, source, destination, isV6);
      return;
    }
    const protocol = (words[other + T_META]! >>> 8) & 0xff;
    if (protocol !== TCP && protocol !== UDP) return;
    const ports = words[other + T_PORTS]!;
    this.setPort(frame, S_TP_SRC, ports & 0xffff);
    this.setPort(frame, S_TP_DST, ports >>> 16);
  }

  private setAddress(
    frame: Frame,
    slotOffset: number,
    words: Int32Array,
    from: number,
    isV6: boolean,
  ): void {
    const { args } = this;
    const n = isV6 ? 4 : 1;
    for (let i = 0; i < n; i++) putRaw(args, 4 * i, words[from + i]!);
    setSlot(frame, slotOffset, args, 0, 16);
  }

  private setPort(frame: Frame, slotOffset: number, port: number): void {
    this.args[0] = port >>> 8;
    this.args[1] = port;
    setSlot(frame, slotOffset, this.args, 0, 16);
  }

  /** The packet in an ICMP error; then the error's own checksum. */
  private translateCarried(
    frame: Frame,
    tuple: PacketTuple,
    words: Int32Array,
    other: number,
    source: boolean,
    destination: boolean,
    isV6: boolean,
  ): void {
    const { bytes, offset } = frame;
    const l3 = offset + tuple.innerL3;
    const l4 = offset + tuple.innerL4;
    const end = offset + frame.l3End;
    const n = isV6 ? 4 : 1;
    const src = l3 + (isV6 ? 8 : 12);
    const dst = src + 4 * n;
    let delta = 0;
    for (let i = 0; i < n; i++) {
      if (destination) delta += replace32(bytes, src + 4 * i, words[other + T_SRC + i]!);
      if (source) delta += replace32(bytes, dst + 4 * i, words[other + T_DST + i]!);
    }
    if (!isV6) patch(bytes, l3 + 10, delta);
    const protocol = (words[other + T_META]! >>> 8) & 0xff;
    if (protocol === TCP || protocol === UDP) {
      const ports = words[other + T_PORTS]!;
      delta += replace16(bytes, l4, ports >>> 16) + replace16(bytes, l4 + 2, ports & 0xffff);
      const at = l4 + (protocol === TCP ? 16 : 6);
      const present = end - at >= 2 && (protocol === TCP || bytes[at] !== 0 || bytes[at + 1] !== 0);
      if (present) patch(bytes, at, delta);
    } else if (protocol === ICMPV6 && end - l4 >= 4) patch(bytes, l4 + 2, delta);
    const outer = offset + frame.l4;
    bytes[outer + 2] = 0;
    bytes[outer + 3] = 0;
    const pseudo = frame.l4Type === ICMP
      ? 0
      : pseudoSum(bytes, offset + frame.l3 + 8, 16, ICMPV6, end - outer);
    const sum = checksum(bytes, outer, end, pseudo);
    bytes[outer + 2] = sum >>> 8;
    bytes[outer + 3] = sum;
  }
}

/** A word of an address as a number. */
function hostWord(raw: number): number {
  return (((raw & 0xff) << 24) | ((raw & 0xff00) << 8) | ((raw >>> 8) & 0xff00) | (raw >>> 24)) >>>
    0;
}

function putRaw(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
}

/** Writes 16 bits; how much the sum of 16-bit words grew. */
function replace16(bytes: Uint8Array, at: number, value: number): number {
  const before = (bytes[at]! << 8) | bytes[at + 1]!;
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
  return value - before;
}

function replace32(bytes: Uint8Array, at: number, raw: number): number {
  const host = hostWord(raw);
  return replace16(bytes, at, host >>> 16) + replace16(bytes, at + 2, host & 0xffff);
}

/** Puts a difference into a checksum. */
function patch(bytes: Uint8Array, at: number, delta: number): void {
  const old = (bytes[at]! << 8) | bytes[at + 1]!;
  const sum = ~fold((~old & 0xffff) + delta + 0xffff * 64) & 0xffff;
  bytes[at] = sum >>> 8;
  bytes[at + 1] = sum;
}
