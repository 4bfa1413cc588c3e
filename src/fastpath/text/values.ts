/**
 * Values of datapath-flow text: numbers, addresses and flags, with the mask behind a slash.
 *
 * A value whose mask is all ones (in the width that the text gives it) has none behind it; one of no
 * bits is left out of its header, unless everything is to be shown (`verbose`: `0.0.0.0/0.0.0.0`).
 */
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import { type Slot, slot, type SlotName } from "../../packet/layout.ts";
import type { Part, PartStyle } from "./headers.ts";

/** printf's `%#x`: zero has no prefix. */
export const alternate = (value: number | bigint): string =>
  value === 0 || value === 0n ? "0" : `0x${value.toString(16)}`;

export const zeroHex = (value: number, digits: number): string =>
  `0x${value.toString(16).padStart(digits, "0")}`;

/** The bytes as one hexadecimal number without leading zeros. */
export function hexBytes(bytes: Uint8Array): string {
  const digits = bytes.toHex().replace(/^0+/, "");
  return digits === "" ? "0" : `0x${digits}`;
}

export const isAll = (bytes: Uint8Array, value: number): boolean =>
  bytes.every((byte) => byte === value);

/** The slot's bytes in a key. */
export function slotBytes(key: Uint8Array, name: SlotName): Uint8Array {
  const { offset, bytes }: Slot = slot(name);
  return key.subarray(offset, offset + bytes);
}

/** Big endian, at most 4 bytes. */
export function numberOf(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

export function bigOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

const FULL: Readonly<Record<Exclude<PartStyle, "mac" | "ipv4" | "ipv6" | "frag">, number>> = {
  u8: 0xff,
  u8x: 0xff,
  u16: 0xffff,
  u16x: 0xffff,
  u32x: 0xffffffff,
  label: 0xfffff,
};

/** nw_frag's bits. */
const FRAG_ANY = 1;
const FRAG_LATER = 2;

/** `label=value/mask`, or undefined when it is not to be shown. */
export function formatPart(
  { label, style }: Part,
  value: Uint8Array,
  mask: Uint8Array | undefined,
  verbose: boolean,
): string | undefined {
  if (style === "frag") return formatFragment(label, value[0]!, mask?.[0]);
  if (mask && !verbose && isAll(mask, 0)) return undefined;
  switch (style) {
    case "mac":
      return `${label}=${masked(formatMac, value, mask)}`;
    case "ipv4":
      return `${label}=${masked(formatIpv4, value, mask)}`;
    case "ipv6":
      return `${label}=${masked(formatIpv6, value, mask)}`;
    case "u8":
    case "u16":
      return `${label}=${masked(decimal, value, mask, FULL[style])}`;
    case "u8x":
    case "u16x":
    case "u32x":
    case "label":
      return `${label}=${masked(hexadecimal, value, mask, FULL[style])}`;
    default: {
      const never: never = style;
      throw new Error(`part style ${never}`);
    }
  }
}

const decimal = (bytes: Uint8Array): string => String(numberOf(bytes));
const hexadecimal = (bytes: Uint8Array): string => alternate(numberOf(bytes));

function masked(
  print: (bytes: Uint8Array) => string,
  value: Uint8Array,
  mask: Uint8Array | undefined,
  full?: number,
): string {
  const text = print(value);
  if (!mask) return text;
  if (full === undefined) return isAll(mask, 0xff) ? text : `${text}/${print(mask)}`;
  // A two-byte slot that the text shows as one byte is whole when that byte is; not the reverse.
  const bits = numberOf(mask);
  return ((bits & full) >>> 0) === full ? text : `${text}/${alternate((bits & full) >>> 0)}`;
}

/** An enumeration: its mask is all or nothing. */
function formatFragment(
  label: string,
  value: number,
  mask: number | undefined,
): string | undefined {
  if (mask !== undefined && (mask & FRAG_ANY) === 0) return undefined;
  return `${label}=${(value & FRAG_ANY) === 0 ? "no" : value & FRAG_LATER ? "later" : "first"}`;
}
