/**
 * Addresses as text and as bytes in network order, in the spellings that Open vSwitch's tools print
 * and take: `52:54:00:12:34:56`, `10.0.0.1`, `fe80::1` (as inet_ntop(3) shortens). Parsers return
 * undefined for anything else.
 */

const HEX: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/** Six bytes at `at` as colon-separated pairs. */
export function formatMac(bytes: Uint8Array, at = 0): string {
  let text = HEX[bytes[at]!]!;
  for (let i = 1; i < 6; i++) text += `:${HEX[bytes[at + i]!]}`;
  return text;
}

export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

export function formatIpv4(bytes: Uint8Array, at = 0): string {
  return `${bytes[at]!}.${bytes[at + 1]!}.${bytes[at + 2]!}.${bytes[at + 3]!}`;
}

export function parseIpv4(text: string): Uint8Array | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split(".").map(Number);
  return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : undefined;
}

/** RFC 5952, with the embedded IPv4 forms that inet_ntop(3) prints. */
export function formatIpv6(bytes: Uint8Array, at = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[at + i]! << 8) | bytes[at + i + 1]!);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > bestLength) {
      best = i;
      bestLength = n;
    }
  }
  if (best === 0 && (bestLength === 6 || (bestLength === 5 && groups[5] === 0xffff))) {
    return `::${bestLength === 5 ? "ffff:" : ""}${formatIpv4(bytes, at + 12)}`;
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(":");
  return `${hex.slice(0, best).join(":")}::${hex.slice(best + bestLength).join(":")}`;
}

export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const parts = halves.map((half) => half === "" ? [] : half.split(":"));
  const bytes = parts.map((list, which) => {
    const out: number[] = [];
    for (const [i, part] of list.entries()) {
      if (/^[0-9a-f]{1,4}$/i.test(part)) {
        const group = Number.parseInt(part, 16);
        out.push(group >> 8, group & 0xff);
        continue;
      }
      const last = i === list.length - 1 && which === halves.length - 1;
      const ipv4 = last ? parseIpv4(part) : undefined;
      if (ipv4 === undefined) return undefined;
      out.push(...ipv4);
    }
    return out;
  });
  const [head, tail] = bytes;
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined;
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  const address = new Uint8Array(16);
  address.set(head, 0);
  address.set(tail, 16 - tail.length);
  return address;
}

/** Big-endian bytes of an unsigned number, `length` of them. */
export function bigToBytes(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

export function bytesToBig(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** The length of a prefix mask `width` bits wide, or undefined if its ones are not a prefix. */
export function prefixLength(mask: bigint, width: number): number | undefined {
  const holes = ~mask & ((1n << BigInt(width)) - 1n);
  if ((holes & (holes + 1n)) !== 0n) return undefined;
  return width - (holes === 0n ? 0 : holes.toString(2).length);
}

export function prefixMask(length: number, width: number): bigint {
  return ((1n << BigInt(length)) - 1n) << BigInt(width - length);
}
