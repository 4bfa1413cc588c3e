/**
 * Addresses of both families as 16 bytes, IPv4 ones mapped (::ffff:a.b.c.d), and prefixes of them with
 * a length of 0 to 128.
 */
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./address.ts";

export interface Prefix {
  readonly address: Uint8Array;
  /** 0..128; that of an IPv4 prefix is 96 more than people write. */
  readonly length: number;
}

/** `10.0.0.0/8`, `fe80::/64`, `10.0.0.0/255.0.0.0`, or one address; undefined for anything else. */
export function parsePrefix(text: string): Prefix | undefined {
  const [host = "", length] = text.split("/", 2);
  const address = parseAddress(host);
  if (!address) return undefined;
  const bits = isMappedIpv4(address) ? 32 : 128;
  if (length === undefined) return { address, length: 128 };
  const netmask = bits === 32 ? parseIpv4(length) : undefined;
  const ones = netmask ? netmaskLength(netmask) : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (ones === undefined || ones < 0 || ones > bits) return undefined;
  return { address, length: 128 - bits + ones };
}

function netmaskLength(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return /^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : undefined;
}

/** The address with all bits behind the prefix cleared. */
export function network({ address, length }: Prefix): Uint8Array {
  return address.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, length - 8 * i));
    return byte & (0xff00 >> bits) & 0xff;
  });
}

export function contains(prefix: Prefix, address: Uint8Array): boolean {
  const { length } = prefix;
  for (let i = 0; i < 16 && 8 * i < length; i++) {
    const bits = Math.min(8, length - 8 * i);
    const mask = (0xff00 >> bits) & 0xff;
    if (((prefix.address[i]! ^ address[i]!) & mask) !== 0) return false;
  }
  return true;
}

export function sameAddress(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function isUnset(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

/** A flow key's 4 or 16 bytes as the 16 that are compared here. */
export function wide(address: Uint8Array): Uint8Array {
  return address.length === 4 ? mapIpv4(address) : address;
}

/** 4 bytes for IPv4, 16 for IPv6: as headers have them. */
export function narrow(address: Uint8Array): Uint8Array {
  return isMappedIpv4(address) ? address.slice(12) : address;
}

/** 16 bytes, IPv4 mapped; undefined unless the text is an address. */
export function parseAddress(text: string): Uint8Array | undefined {
  const ipv4 = parseIpv4(text);
  return ipv4 ? mapIpv4(ipv4) : parseIpv6(text);
}

export function mapIpv4(ipv4: Uint8Array): Uint8Array {
  const address = new Uint8Array(16);
  address[10] = address[11] = 0xff;
  address.set(ipv4.subarray(0, 4), 12);
  return address;
}

export function isMappedIpv4(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

/** `10.0.0.1`, `fe80::1`, and `::` for the unspecified address of either family. */
export function formatAddress(address: Uint8Array): string {
  return isMappedIpv4(address) ? formatIpv4(address, 12) : formatIpv6(address);
}
