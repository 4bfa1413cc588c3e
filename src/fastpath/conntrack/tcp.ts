/**
 * TCP connections: which packets belong, and what state that puts them in.
 *
 * The rules are those of Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001),
 * in the form in which OpenBSD's pf and Open vSwitch apply them; the names of states are Open
 * vSwitch's (types.ts, TCP_STATES). Each side of a connection has a record of three words:
 *
 *     | highest sequence number sent | highest that it may send | window:16 scale:8 state:8 |
 *
 * `scale` has SCALE_KNOWN when the side offered window scaling, SCALE_UNKNOWN when the connection
 * was picked up in its middle: then the largest scale is assumed.
 */
import type { Frame } from "../../packet/frame.ts";
import type { CtTimeoutName } from "./types.ts";
import { TIMEOUT_INDEX } from "./settings.ts";

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const URG = 32;

/** Places in TCP_STATES. */
const CLOSED = 0;
const SYN_SENT = 2;
const ESTABLISHED = 4;
const CLOSING = 7;
const FIN_WAIT_2 = 9;
const TIME_WAIT = 10;

const SCALE_KNOWN = 0x80;
const SCALE_UNKNOWN = 0x40;
const SCALE_MASK = 0x0f;
const MAX_SCALE = 14;
/** How far behind or ahead an acknowledgement may be: a window and some. */
export const ACK_SLACK = 0xffff + 1500;

/** Words of a side's record. */
export const SENT = 0;
export const ALLOWED = 1;
export const PACKED = 2;
export const PEER_WORDS = 3;

/** What a packet means for its connection. */
export const TCP_VALID = 0;
export const TCP_VALID_NEW = 1;
export const TCP_INVALID = 2;
/** The connection was over; this packet begins another. */
export const TCP_RESTART = 3;

const name = (timeout: CtTimeoutName): number => TIMEOUT_INDEX[timeout];
const T_FIRST = name("tcp_syn_sent");
const T_OPENING = name("tcp_syn_recv");
export const T_ESTABLISHED = name("tcp_established");
const T_CLOSING = name("tcp_fin_wait");
const T_FIN_WAIT = name("tcp_time_wait");
const T_CLOSED = name("tcp_close");

/** Sequence numbers compare modulo 2^32. */
export const notBefore = (a: number, b: number): boolean => ((a - b) | 0) >= 0;
export const after = (a: number, b: number): boolean => ((a - b) | 0) > 0;

function invalidFlags(flags: number): boolean {
  if ((flags & SYN) !== 0) {
    if ((flags & (RST | FIN)) !== 0) return true;
  } else if ((flags & (ACK | RST)) === 0) return true;
  return (flags & ACK) === 0 && (flags & (FIN | PSH | URG)) !== 0;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) << 16) | u16(bytes, at + 2);
}

/** The window scale option with SCALE_KNOWN, or 0 without one (RFC 7323 §2.2). */
function scaleOf(bytes: Uint8Array, at: number): number {
  const end = at + ((bytes[at + 12]! >> 4) << 2);
  let option = at + 20;
  let scale = 0;
  while (end - option >= 3) {
    const kind = bytes[option]!;
    if (kind === 0) break;
    if (kind === 1) {
      option++;
      continue;
    }
    if (kind === 3) scale = Math.min(bytes[option + 2]!, MAX_SCALE) | SCALE_KNOWN;
    option += Math.max(2, bytes[option + 1]!);
  }
  return scale;
}

function pack(window: number, scale: number, state: number): number {
  return (window << 16) | (scale << 8) | state;
}

export function tcpState(words: Int32Array, peer: number): number {
  return words[peer + PACKED]! & 0xff;
}

/** Both sides have opened it, neither has closed it. */
export function isEstablished(words: Int32Array, at: number): boolean {
  return tcpState(words, at) === ESTABLISHED && tcpState(words, at + PEER_WORDS) === ESTABLISHED;
}

/** Writes a side's record of a connection that both sides have opened; `scale` as kept in a record. */
export function establish(
  words: Int32Array,
  peer: number,
  sent: number,
  allowed: number,
  window: number,
  scale: number,
): void {
  words[peer + SENT] = sent;
  words[peer + ALLOWED] = allowed;
  words[peer + PACKED] = pack(window, scale, ESTABLISHED);
}

/** By how much a side's windows are shifted, of packets that do not open the connection. */
export function windowShift(words: Int32Array, at: number, peer: number): number {
  const scale = (side: number): number => (words[at + side + PACKED]! >>> 8) & 0xff;
  const both = scale(0) & scale(PEER_WORDS);
  if ((both & SCALE_KNOWN) !== 0) return scale(peer) & SCALE_MASK;
  return (both & SCALE_UNKNOWN) !== 0 ? MAX_SCALE : 0;
}

/** May the packet be the first that is seen of a connection? Not an answer to a SYN. */
export function tcpMayBegin(frame: Frame): boolean {
  const flags = frame.bytes[frame.offset + frame.l4 + 13]! & 0x3f;
  return !invalidFlags(flags) && (flags & (SYN | ACK)) !== (SYN | ACK);
}

/** Writes both sides' records at `words[at…]`; returns the index of the timeout that applies. */
export function tcpBegin(frame: Frame, words: Int32Array, at: number): number {
  const { bytes } = frame;
  const tcp = frame.offset + frame.l4;
  const flags = bytes[tcp + 13]! & 0x3f;
  const sequence = u32(bytes, tcp + 4);
  let allowed = sequence + payloadBytes(frame) + 1;
  let scale = SCALE_UNKNOWN;
  let window = Math.max(1, u16(bytes, tcp + 14));
  if ((flags & SYN) !== 0) {
    allowed++;
    scale = scaleOf(bytes, tcp);
  }
  // What is remembered is as if the option had applied already.
  const shift = scale & SCALE_MASK;
  if (shift !== 0) window = Math.ceil(window / (1 << shift));
  if ((flags & FIN) !== 0) allowed++;
  words[at + SENT] = sequence;
  words[at + ALLOWED] = allowed;
  words[at + PACKED] = pack(window, scale, SYN_SENT);
  const other = at + PEER_WORDS;
  words[other + SENT] = 0;
  words[other + ALLOWED] = 1;
  words[other + PACKED] = pack(1, scale === SCALE_UNKNOWN ? SCALE_UNKNOWN : 0, CLOSED);
  return T_FIRST;
}

function payloadBytes(frame: Frame): number {
  const header = (frame.bytes[frame.offset + frame.l4 + 12]! >> 4) << 2;
  return Math.max(0, frame.l3End - frame.l4 - header);
}

export class TcpTracker {
  /** Sequence numbers outside of the window make a packet invalid. */
  checks = true;
  /** After `update`: the index of the timeout that applies, or -1 for leaving it. */
  timeout = -1;

  /** Follows the packet in `frame`; `at` is where the record of the first packet's sender lies. */
  update(frame: Frame, words: Int32Array, at: number, reply: boolean): number {
    this.timeout = -1;
    const src = reply ? at + PEER_WORDS : at;
    const dst = reply ? at : at + PEER_WORDS;
    const { bytes } = frame;
    const tcp = frame.offset + frame.l4;
    const flags = bytes[tcp + 13]! & 0x3f;
    if (invalidFlags(flags)) return TCP_INVALID;

    let srcState = words[src + PACKED]! & 0xff;
    let dstState = words[dst + PACKED]! & 0xff;
    let srcScale = (words[src + PACKED]! >>> 8) & 0xff;
    let dstScale = (words[dst + PACKED]! >>> 8) & 0xff;
    let srcWindow = words[src + PACKED]! >>> 16;
    let dstWindow = words[dst + PACKED]! >>> 16;

    if ((flags & (SYN | ACK)) === SYN) {
      if (dstState >= FIN_WAIT_2 && srcState >= FIN_WAIT_2) return TCP_RESTART;
      if (srcState <= SYN_SENT) {
        words[src + PACKED] = pack(srcWindow, srcScale, SYN_SENT);
        this.timeout = T_FIRST;
        return TCP_VALID_NEW;
      }
    }

    let srcShift = 0;
    let dstShift = 0;
    if ((flags & SYN) === 0) {
      if ((srcScale & dstScale & SCALE_KNOWN) !== 0) {
        srcShift = srcScale & SCALE_MASK;
        dstShift = dstScale & SCALE_MASK;
      } else if ((srcScale & dstScale & SCALE_UNKNOWN) !== 0) {
        srcShift = MAX_SCALE;
        dstShift = MAX_SCALE;
      }
    }

    const sequence = u32(bytes, tcp + 4);
    let window = u16(bytes, tcp + 14);
    let ack = u32(bytes, tcp + 8);
    let from = sequence;
    let end = sequence + payloadBytes(frame);
    if ((flags & SYN) !== 0) end++;
    if ((flags & FIN) !== 0) end++;
    end |= 0;
    let checkSkew = true;
    if (srcState < SYN_SENT) {
      // The first packet of this side.
      if ((flags & SYN) !== 0 && (dstScale & SCALE_KNOWN) !== 0) {
        srcScale = scaleOf(bytes, tcp);
        if ((srcScale & SCALE_KNOWN) !== 0) {
          srcShift = srcScale & SCALE_MASK;
          dstShift = dstScale & SCALE_MASK;
          window = Math.ceil(window / (1 << srcShift));
        } else {
          // Only one side can scale: neither does.
          dstWindow = Math.min(0xffff, dstWindow << (dstScale & SCALE_MASK));
          dstScale = 0;
        }
      }
      words[src + SENT] = sequence;
      srcState = SYN_SENT;
      const allowed = (end + Math.max(1, dstWindow * (1 << dstShift))) | 0;
      if (words[src + ALLOWED] === 1 || notBefore(allowed, words[src + ALLOWED]!)) {
        words[src + ALLOWED] = allowed;
        checkSkew = false;
      }
      if (window > srcWindow) srcWindow = window;
    }

    if ((flags & ACK) === 0 || (ack === 0 && (flags & RST) !== 0)) ack = words[dst + SENT]!;
    if (from === end) {
      // Nothing is sent: the sequence number need not be exact.
      from = words[src + SENT]!;
      end = from;
    }
    const skew = checkSkew ? (words[dst + SENT]! - ack) | 0 : 0;
    const sent = words[src + SENT]!;
    const allowed = words[src + ALLOWED]!;
    const inWindow = notBefore(allowed, end) &&
      notBefore(from, (sent - dstWindow * (1 << dstShift)) | 0) &&
      skew >= -ACK_SLACK && skew <= ACK_SLACK * (1 << srcShift) &&
      ((flags & RST) === 0 || Math.abs((sequence - sent) | 0) <= 1);

    let verdict = TCP_VALID;
    if (inWindow || !this.checks) {
      if ((flags & SYN) !== 0 && srcState < SYN_SENT) srcState = SYN_SENT;
      if ((flags & FIN) !== 0 && srcState < CLOSING) srcState = CLOSING;
      if ((flags & ACK) !== 0) {
        if (dstState === SYN_SENT) dstState = ESTABLISHED;
        else if (dstState === CLOSING) dstState = FIN_WAIT_2;
      }
      if ((flags & RST) !== 0) srcState = dstState = TIME_WAIT;
      this.timeout = timeoutOf(srcState, dstState);
    } else if (
      // Before the other side has spoken, and after the end, packets may be off by a window.
      (dstState < SYN_SENT || dstState >= FIN_WAIT_2 || srcState >= FIN_WAIT_2) &&
      notBefore((allowed + ACK_SLACK) | 0, end) && notBefore(from, (sent - ACK_SLACK) | 0)
    ) {
      if ((flags & FIN) !== 0 && srcState < CLOSING) srcState = CLOSING;
      if ((flags & RST) !== 0) srcState = dstState = TIME_WAIT;
    } else verdict = TCP_INVALID;

    if (verdict === TCP_VALID) {
      if (srcWindow < window) srcWindow = window;
      if (after(end, sent)) words[src + SENT] = end;
      const offered = window * (1 << srcShift);
      if (notBefore((ack + offered) | 0, words[dst + ALLOWED]!)) {
        words[dst + ALLOWED] = (ack + Math.max(1, offered)) | 0;
      }
    }
    words[src + PACKED] = pack(srcWindow, srcScale, srcState);
    words[dst + PACKED] = pack(dstWindow, dstScale, dstState);
    return verdict;
  }
}

function timeoutOf(a: number, b: number): number {
  if (a >= FIN_WAIT_2 && b >= FIN_WAIT_2) return T_CLOSED;
  if (a >= CLOSING && b >= CLOSING) return T_FIN_WAIT;
  if (a < ESTABLISHED || b < ESTABLISHED) return T_OPENING;
  if (a >= CLOSING || b >= CLOSING) return T_CLOSING;
  return T_ESTABLISHED;
}
