/**
 * Fragments on their way through the connection tracker (RFC 791 §3.2, RFC 8200 §4.5).
 *
 * The tracker needs whole datagrams. A fragment waits until its fellows are there; then the datagram
 * is put together and tracked, and each fragment goes on by itself with what was found: metadata,
 * translated addresses and, in the first, ports and checksum.
 *
 * - Fragments that overlap, end off an 8-byte boundary, are smaller than allowed or too many are not
 *   kept: they go on at once as invalid (RFC 5722; sizes as in Open vSwitch).
 * - A datagram that is not complete after TIMEOUT_MS is dropped. Open vSwitch lets its fragments go
 *   on as invalid, at a time when nobody waits for them.
 * - This allocates: fragments are rare, and bounded in number.
 */
import { checksum } from "../../packet/checksum.ts";
import { extractAgain } from "../../packet/extract.ts";
import type { Frame } from "../../packet/frame.ts";
import { METADATA_WORD, slot } from "../../packet/layout.ts";
import type { Executor } from "../engine/executor.ts";
import { CT_ZONE, type Program } from "../engine/opcodes.ts";
import { DEFAULT_FRAGMENTS } from "./settings.ts";
import type { Tracker } from "./tracker.ts";
import type { CtFragmentSettings } from "./types.ts";

const TIMEOUT_MS = 15_000;
const MAX_OF_ONE = 128;
const MAX_DATAGRAM = 65535;
const W_RECIRC = slot("recirc_id").offset >> 2;
const W_CT = slot("ct_state").offset >> 2;
const END_CT = (slot("ct_ipv6_dst").offset >> 2) + 4;

interface Fragment {
  readonly data: Uint8Array;
  readonly packetType: number;
  readonly l3: number;
  /** Where its part of the datagram begins in `data`, and how long it is. */
  readonly payloadAt: number;
  readonly length: number;
  /** Its place in the datagram, in bytes. */
  readonly start: number;
  readonly last: boolean;
  /** IPv6: where the fragment header stands. */
  readonly headerAt: number;
  readonly recircId: number;
  readonly metadata: Uint32Array;
}

interface Datagram {
  readonly fragments: Fragment[];
  readonly expiresMs: number;
}

export class Fragments {
  private settings: CtFragmentSettings = DEFAULT_FRAGMENTS;
  private readonly waiting = new Map<string, Datagram>();
  private count = 0;

  set(settings: Partial<CtFragmentSettings>): void {
    this.settings = { ...this.settings, ...settings };
  }

  /** Drops what has waited too long. How many fragments that were. */
  expire(nowMs: number): number {
    let dropped = 0;
    // Oldest first, by the order of insertion.
    for (const [name, { fragments, expiresMs }] of this.waiting) {
      if (expiresMs > nowMs) break;
      dropped += fragments.length;
      this.waiting.delete(name);
    }
    this.count -= dropped;
    return dropped;
  }

  /** As `Tracker.run`, for a packet that is a fragment. */
  run(tracker: Tracker, executor: Executor, program: Program, at: number, next: number): boolean {
    const { frame } = executor;
    const zone = program.code[at + CT_ZONE]!;
    const fragment = this.parse(frame);
    const name = fragment && nameOf(frame, fragment, zone);
    if (!fragment || name === undefined || !this.keep(name, fragment, tracker.nowMs)) {
      tracker.rejectFragment(executor, zone);
      return true;
    }
    const datagram = this.waiting.get(name)!.fragments;
    if (!isComplete(datagram)) return false;
    this.waiting.delete(name);
    this.count -= datagram.length;
    release(tracker, executor, program, at, next, datagram);
    return false;
  }

  private keep(name: string, fragment: Fragment, nowMs: number): boolean {
    if (this.count >= this.settings.maxFragments) return false;
    let datagram = this.waiting.get(name);
    if (!datagram) {
      datagram = { fragments: [], expiresMs: nowMs + TIMEOUT_MS };
      this.waiting.set(name, datagram);
    }
    const { fragments } = datagram;
    const end = fragment.start + fragment.length;
    const clash = fragments.some((other) =>
      (other.start < end && fragment.start < other.start + other.length) ||
      (other.last && (fragment.last || fragment.start > other.start)) ||
      (fragment.last && other.start > fragment.start)
    );
    if (clash || fragments.length >= MAX_OF_ONE) return false;
    let i = fragments.length;
    while (i > 0 && fragments[i - 1]!.start > fragment.start) i--;
    fragments.splice(i, 0, fragment);
    this.count++;
    return true;
  }

  /** Undefined for what cannot be part of a datagram. */
  private parse(frame: Frame): Fragment | undefined {
    const { bytes, offset, l3, l3Type, l3End } = frame;
    const { settings } = this;
    if (l3 < 0) return undefined;
    const isV4 = l3Type === 0x0800;
    if (isV4 ? !settings.enabledV4 : !settings.enabledV6) return undefined;
    let headerAt = -1;
    let payloadAt: number;
    let field: number;
    if (isV4) {
      payloadAt = l3 + ((bytes[offset + l3]! & 15) << 2);
      if (checksum(bytes, offset + l3, offset + payloadAt) !== 0) return undefined;
      field = (bytes[offset + l3 + 6]! << 8) | bytes[offset + l3 + 7]!;
    } else {
      headerAt = fragmentHeaderAt(frame);
      if (headerAt < 0) return undefined;
      payloadAt = headerAt + 8;
      field = (bytes[offset + headerAt + 2]! << 8) | bytes[offset + headerAt + 3]!;
    }
    const start = isV4 ? (field & 0x1fff) << 3 : field & 0xfff8;
    const last = isV4 ? (field & 0x2000) === 0 : (field & 1) === 0;
    const length = l3End - payloadAt;
    const least = isV4 ? settings.minSizeV4 : settings.minSizeV6;
    if (length <= 0 || (!last && (length % 8 !== 0 || l3End - l3 < least))) return undefined;
    if (start + length + (payloadAt - l3) > MAX_DATAGRAM) return undefined;
    const { words } = frame.key;
    return {
      data: bytes.slice(offset, offset + l3End),
      packetType: frame.packetType,
      l3,
      payloadAt,
      length,
      start,
      last,
      headerAt,
      recircId: words[W_RECIRC]!,
      metadata: words.slice(METADATA_WORD, Math.max(METADATA_WORD, frame.keyWords)),
    };
  }
}

function fragmentHeaderAt(frame: Frame): number {
  const { bytes, offset, l3, l3End } = frame;
  let type = bytes[offset + l3 + 6]!;
  let at = l3 + 40;
  while (l3End - at >= 8) {
    if (type === 44) return at;
    if (type !== 0 && type !== 43 && type !== 60) return -1;
    type = bytes[offset + at]!;
    at += (bytes[offset + at + 1]! + 1) << 3;
  }
  return -1;
}

/** What the fragments of one datagram have in common. */
function nameOf(frame: Frame, fragment: Fragment, zone: number): string {
  const { data, l3, headerAt } = fragment;
  const isV4 = headerAt < 0;
  const addresses = data.subarray(l3 + (isV4 ? 12 : 8), l3 + (isV4 ? 20 : 40));
  const id = isV4 ? data.subarray(l3 + 4, l3 + 6) : data.subarray(headerAt + 4, headerAt + 8);
  const protocol = isV4 ? data[l3 + 9]! : data[headerAt]!;
  return `${zone}/${frame.l3Type}/${addresses.toHex()}/${id.toHex()}/${protocol}`;
}

/** Sorted and without overlaps: is there a gap? */
function isComplete(fragments: readonly Fragment[]): boolean {
  let end = 0;
  for (const { start, length } of fragments) {
    if (start !== end) return false;
    end += length;
  }
  return fragments.at(-1)!.last;
}

/** Tracks the datagram and lets its fragments go on. */
function release(
  tracker: Tracker,
  executor: Executor,
  program: Program,
  at: number,
  next: number,
  fragments: readonly Fragment[],
): void {
  const { frame } = executor;
  const [first] = fragments;
  const { l3, payloadAt } = first!;
  if (!load(executor, whole(fragments), first!)) return;
  tracker.process(executor, program.code, at);
  const { bytes, offset } = frame;
  const tracked = bytes.slice(offset, offset + frame.l3End);
  const found = frame.key.words.slice(W_CT, END_CT);
  for (const fragment of fragments) {
    const { data } = fragment;
    const isV4 = fragment.headerAt < 0;
    const [from, to] = isV4 ? [12, 20] : [8, 40];
    data.set(tracked.subarray(l3 + from, l3 + to), fragment.l3 + from);
    if (isV4) sealIpv4(data, fragment.l3, fragment.payloadAt);
    const begin = payloadAt + fragment.start;
    data.set(tracked.subarray(begin, begin + fragment.length), fragment.payloadAt);
    if (!load(executor, data, fragment, found)) continue;
    executor.resume(program, next);
  }
}

/** The datagram as one packet; over IPv6 its fragment header says that it is none. */
function whole(fragments: readonly Fragment[]): Uint8Array {
  const [first] = fragments;
  const { data, l3, payloadAt, headerAt } = first!;
  const end = fragments.at(-1)!;
  const packet = new Uint8Array(payloadAt + end.start + end.length);
  packet.set(data.subarray(0, payloadAt));
  for (const fragment of fragments) {
    packet.set(
      fragment.data.subarray(fragment.payloadAt, fragment.payloadAt + fragment.length),
      payloadAt + fragment.start,
    );
  }
  const isV4 = headerAt < 0;
  const length = packet.length - l3 - (isV4 ? 0 : 40);
  packet[l3 + (isV4 ? 2 : 4)] = length >>> 8;
  packet[l3 + (isV4 ? 3 : 5)] = length;
  if (isV4) {
    packet[l3 + 6] = packet[l3 + 6]! & 0xc0;
    packet[l3 + 7] = 0;
    sealIpv4(packet, l3, payloadAt);
  } else {
    packet[headerAt + 2] = 0;
    packet[headerAt + 3] = 0;
  }
  return packet;
}

function sealIpv4(packet: Uint8Array, l3: number, end: number): void {
  packet[l3 + 10] = 0;
  packet[l3 + 11] = 0;
  const sum = checksum(packet, l3, end);
  packet[l3 + 10] = sum >>> 8;
  packet[l3 + 11] = sum;
}

/** Puts a packet in the place of the executor's, with the fragment's metadata. False without memory. */
function load(
  executor: Executor,
  data: Uint8Array,
  fragment: Fragment,
  found?: Uint32Array,
): boolean {
  const { frame } = executor;
  if (!executor.place(data)) return false;
  const { words } = frame.key;
  frame.packetType = fragment.packetType;
  for (let i = METADATA_WORD; i < frame.keyWords; i++) words[i] = 0;
  words.set(fragment.metadata, METADATA_WORD);
  let kept = Math.max(
    METADATA_WORD + fragment.metadata.length,
    Math.min(frame.keyWords, METADATA_WORD),
  );
  if (found) {
    words.set(found, W_CT);
    kept = Math.max(kept, END_CT);
  }
  frame.keyWords = kept;
  words[W_RECIRC] = fragment.recircId;
  extractAgain(frame);
  executor.stale = false;
  return true;
}
