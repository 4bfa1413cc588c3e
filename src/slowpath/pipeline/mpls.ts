/**
 * The MPLS label stack of a key: up to three entries of 32 bits, outermost first (RFC 3032 §2.1).
 *
 *      0                   20    23  24            32
 *     +-------------------+-----+---+-------------+
 *     | label             | TC  | S | TTL         |   S: the bottom of the stack
 *     +-------------------+-----+---+-------------+
 *
 * Behind labels a packet cannot be seen into: pushing the first label clears everything that stood
 * above Ethernet in the key, and what comes to light when the last one is popped is known only after
 * the packet has been parsed again (`Xlate.wasMpls`, freeze.ts).
 */
import type { FlowKey } from "../../packet/key.ts";
import { type Slot, slot, type SlotName } from "../../packet/layout.ts";
import {
  AT,
  ETH_IPV6,
  isIp,
  isMplsType,
  look32,
  lookBytes,
  setU16,
  setU32,
  u16,
  u32,
} from "./bits.ts";
import type { Xlate } from "./xlate.ts";

export const MAX_LABELS = 3;
export const LSE = { LABEL: 0xfffff000, TC: 0xe00, BOTTOM: 0x100, TTL: 0xff } as const;
const DEFAULT_TTL = 64;
const IPV6_EXPLICIT_NULL = 2;

/** What lies above Ethernet, and the hash of it. */
const UPPER: readonly Slot[] = ([
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "nw_frag",
  "nw_src",
  "nw_dst",
  "tp_src",
  "tp_dst",
  "tcp_flags",
  "arp_sha",
  "arp_tha",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "ipv6_exthdr",
  "nd_target",
  "nd_reserved",
  "nd_options_type",
  "nsh_flags",
  "nsh_mdtype",
  "nsh_np",
  "nsh_ttl",
  "nsh_path",
  "nsh_c",
  "ct_nw_src",
  "ct_nw_dst",
  "ct_tp_src",
  "ct_tp_dst",
  "ct_ipv6_src",
  "ct_ipv6_dst",
  "dp_hash",
] satisfies SlotName[]).map(slot);

export function clearUpperLayers({ bytes }: FlowKey): void {
  for (const { offset, bytes: length } of UPPER) bytes.fill(0, offset, offset + length);
}

export function lse(key: FlowKey, n: number): number {
  return u32(key, AT.mpls + 4 * n);
}

export function setLse(key: FlowKey, n: number, value: number): void {
  setU32(key, AT.mpls + 4 * n, value);
}

/** Entries of the stack, up to its bottom; `mask` gets the bits that say so. */
export function countLabels(key: FlowKey, mask?: FlowKey): number {
  if (!isMplsType(u16(key, AT.ethType))) return 0;
  let count = 0;
  for (let n = 0; n < MAX_LABELS; n++) {
    if (mask) look32(mask, AT.mpls + 4 * n, LSE.BOTTOM);
    const entry = lse(key, n);
    if (entry & LSE.BOTTOM) return n + 1;
    if (entry !== 0) count++;
  }
  return count;
}

/** Entries that are the same, counted from the bottom. */
export function countCommonLabels(a: FlowKey, an: number, b: FlowKey, bn: number): number {
  let common = 0;
  while (common < Math.min(an, bn) && lse(a, an - 1 - common) === lse(b, bn - 1 - common)) common++;
  return common;
}

/**
 * A new outermost entry: a copy of the one below or, for the first, with TTL and class of the IP
 * header. `n` entries are there, fewer than MAX_LABELS.
 */
export function pushLabel(
  key: FlowKey,
  n: number,
  ethType: number,
  mask: FlowKey | undefined,
  clears: boolean,
): void {
  if (n > 0) {
    if (mask) lookBytes(mask, AT.mpls, 4 * n);
    for (let i = n; i >= 1; i--) setLse(key, i, lse(key, i - 1));
    setLse(key, 0, lse(key, 1) & ~LSE.BOTTOM);
  } else {
    const label = u16(key, AT.ethType) === ETH_IPV6 ? IPV6_EXPLICIT_NULL : 0;
    let tc = 0;
    let ttl = DEFAULT_TTL;
    // The type of the packet may be set already: then what is under it is not its own.
    const type = u32(key, AT.packetType);
    if (isIp(key) && (type === 0 || (type & 0xffff) === u16(key, AT.ethType))) {
      tc = ((key.bytes[AT.nwTos]! & 0xfc) >> 2) & 7;
      ttl = key.bytes[AT.nwTtl]! || DEFAULT_TTL;
      if (mask) {
        mask.bytes[AT.nwTos]! |= 0xfc;
        mask.bytes[AT.nwTtl] = 0xff;
      }
    }
    setLse(key, 0, ((label << 12) | (tc << 9) | LSE.BOTTOM | ttl) >>> 0);
    if (clears) clearUpperLayers(key);
  }
  setU16(key, AT.ethType, ethType);
}

/** Takes the outermost of `n` entries off; false if there is none, or its successor is not known. */
export function popLabel(
  key: FlowKey,
  n: number,
  ethType: number,
  mask: FlowKey | undefined,
): boolean {
  if (n === 0) return false;
  if (n === MAX_LABELS) {
    if (mask) look32(mask, AT.mpls + 4 * (n - 1), LSE.BOTTOM);
    if (!(lse(key, n - 1) & LSE.BOTTOM)) return false;
  }
  if (mask) lookBytes(mask, AT.mpls + 4, 4 * (n - 1));
  for (let i = 1; i < n; i++) setLse(key, i - 1, lse(key, i));
  setLse(key, n - 1, 0);
  setU16(key, AT.ethType, ethType);
  return true;
}

// Actions

export function pushMpls(x: Xlate, ethType: number): void {
  const n = countLabels(x.key, x.mask);
  if (n === 0) {
    x.commit();
    x.hashed = false;
  }
  if (n >= MAX_LABELS) return tooManyLabels(x, "MPLS push action can't be performed as it would");
  const ttl = isIp(x.key) ? x.key.bytes[AT.nwTtl]! : 0;
  pushLabel(x.key, n, ethType, x.mask, true);
  // OpenFlow 1.3.5 §5.12.1: what no header of the packet has is 0 in the new one.
  if (n === 0 && x.bridge.standardPush) setLse(x.key, 0, LSE.BOTTOM | ttl);
}

export function popMpls(x: Xlate, ethType: number): void {
  const n = countLabels(x.key, x.mask);
  if (popLabel(x.key, n, ethType, x.mask)) {
    if (!isMplsType(ethType)) x.wasMpls = true;
  } else if (n >= MAX_LABELS) {
    tooManyLabels(x, "MPLS pop action can't be performed as it");
    x.actions.length = 0;
  }
}

/** The packet is dropped: `what` cannot be done to so deep a stack. */
export function tooManyLabels(x: Xlate, what: string): void {
  const verb = what.endsWith("would") ? "have" : "has";
  x.fail(
    "too many MPLS labels",
    x.inPacket
      ? `dropping packet on which an ${what} ${verb} more MPLS LSEs than the ${MAX_LABELS} supported.`
      : undefined,
  );
}

/** Writes bits of the outermost entry, if there is one. */
export function setLabelBits(x: Xlate, bits: number, value: number): void {
  if (!isMplsType(u16(x.key, AT.ethType))) return;
  look32(x.mask, AT.mpls, bits);
  setLse(x.key, 0, ((lse(x.key, 0) & ~bits) | (value & bits)) >>> 0);
}

/** False when the TTL is used up, or there is none: the list ends then. */
export function decMplsTtl(x: Xlate): boolean {
  if (isMplsType(u16(x.key, AT.ethType))) {
    look32(x.mask, AT.mpls, LSE.TTL);
    const ttl = lse(x.key, 0) & LSE.TTL;
    if (ttl > 1) {
      setLse(x.key, 0, ((lse(x.key, 0) & ~LSE.TTL) | (ttl - 1)) >>> 0);
      return true;
    }
    x.expired(0);
  }
  x.tracer?.report("warn", "MPLS decrement TTL exception");
  return false;
}
