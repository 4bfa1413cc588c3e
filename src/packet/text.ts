/**
 * Values of match fields as text, both ways, by the field's `format`: what ovs-ofctl prints and
 * takes behind `field=`. Values and masks are unsigned bigints, right-aligned in the field's OXM
 * width (`field.bytes`), as they stand in messages. A mask of all the field's bits is exact.
 *
 * `parseField` throws TextError; it checks the syntax, the width in bytes and that the field takes
 * the mask, not whether the field allows the value (VLAN ids, ports): what uses it knows that.
 */
import {
  bigToBytes,
  bytesToBig,
  formatIpv4,
  formatIpv6,
  formatMac,
  parseIpv4,
  parseIpv6,
  parseMac,
  prefixLength,
  prefixMask,
} from "./address.ts";
import type { Field } from "./layout.ts";

/** What the user wrote cannot be read; `message` quotes it and says why. */
export class TextError extends Error {
  /** `options.cause`: what the text says cannot be done. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TextError";
  }
}

export interface FieldValue {
  readonly value: bigint;
  readonly mask: bigint;
}

/** OpenFlow port names, if they are known: ovs-ofctl's `--names`. Numbers are Open vSwitch's 16-bit. */
export interface PortNames {
  nameOf(port: number): string | undefined;
  numberOf(name: string): number | undefined;
  /** Told what is odd about a number that a text has for a port. */
  readonly odd?: (text: string) => void;
}

/** The reserved OpenFlow ports in Open vSwitch's 16-bit numbering. */
export const RESERVED_PORTS: ReadonlyMap<string, number> = new Map([
  ["IN_PORT", 0xfff8],
  ["TABLE", 0xfff9],
  ["NORMAL", 0xfffa],
  ["FLOOD", 0xfffb],
  ["ALL", 0xfffc],
  ["CONTROLLER", 0xfffd],
  ["LOCAL", 0xfffe],
  ["ANY", 0xffff],
  ["UNSET", 0xfff7],
]);
const RESERVED_NAMES: ReadonlyMap<number, string> = new Map(
  [...RESERVED_PORTS].map(([name, port]) => [port, name]),
);

/** Names of bits, lowest first; a hole has no name. */
export const TCP_FLAGS: readonly (string | undefined)[] = [
  "fin",
  "syn",
  "rst",
  "psh",
  "ack",
  "urg",
  "ece",
  "cwr",
  "ns",
  "[200]",
  "[400]",
  "[800]",
];
export const CT_STATES: readonly (string | undefined)[] = [
  "new",
  "est",
  "rel",
  "rpl",
  "inv",
  "trk",
  "snat",
  "dnat",
];
const TUNNEL_FLAGS: readonly (string | undefined)[] = ["oam"];

interface FragmentName {
  readonly name: string;
  readonly mask: bigint;
  readonly value: bigint;
}
const FRAGMENTS: readonly FragmentName[] = [
  { name: "no", mask: 3n, value: 0n },
  { name: "first", mask: 3n, value: 1n },
  { name: "later", mask: 3n, value: 3n },
  { name: "no", mask: 1n, value: 0n },
  { name: "yes", mask: 1n, value: 1n },
  { name: "not_later", mask: 2n, value: 0n },
  { name: "later", mask: 2n, value: 2n },
];

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
/** As C's `%#x`: no prefix for zero. */
const hex = (value: bigint | number): string =>
  BigInt(value) === 0n ? "0" : `0x${value.toString(16)}`;

/** `LOCAL`, a name that is known (quoted unless it is a plain word), or the number. */
export function formatPort(port: number, names?: PortNames): string {
  const reserved = RESERVED_NAMES.get(port);
  if (reserved !== undefined) return reserved;
  const name = names?.nameOf(port);
  if (name === undefined) return String(port);
  return /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? name : JSON.stringify(name);
}

/** The 16-bit number of a port given by number, reserved name (any case) or known name. */
export function parsePort(text: string, names?: PortNames): number | undefined {
  if (/^\d+$/.test(text)) return parsePortNumber(Number(text), names?.odd);
  if (text.startsWith("-")) names?.odd?.(`Negative value ${text} is not a valid port number.`);
  const upper = text.toUpperCase();
  if (upper === "NONE") return 0xffff;
  const reserved = RESERVED_PORTS.get(upper);
  if (reserved !== undefined) return reserved;
  if (!text.startsWith('"')) return names?.numberOf(text);
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === "string" ? names?.numberOf(name) : undefined;
  } catch {
    return undefined;
  }
}

const FIRST_RESERVED = 0xff00;
const FIRST_NAMED = 0xfff7;
const FIRST_WIDE = 0xffffff00;

function parsePortNumber(port: number, odd: PortNames["odd"]): number | undefined {
  if (port < FIRST_RESERVED) return port;
  if (port < FIRST_NAMED) {
    const wide = FIRST_WIDE + port - FIRST_RESERVED;
    odd?.(
      `port ${port} is a reserved OF1.0 port number that will be translated to ${wide} when ` +
        "talking to an OF1.1 or later controller",
    );
    return port;
  }
  if (port <= 0xffff) {
    odd?.(
      `referring to port ${formatPort(port)} as ${port} is deprecated for compatibility with ` +
        "OpenFlow 1.1 and later",
    );
    return port;
  }
  if (port >= FIRST_WIDE && port <= 0xffffffff) return port & 0xffff;
  odd?.(
    `port ${port} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff`,
  );
  return undefined;
}

/** `+est-new`, when some bits are masked out; `est|new`, or 0, when all of `all` are matched. */
export function formatFlags(
  value: bigint,
  mask: bigint,
  all: bigint,
  names: readonly (string | undefined)[],
): string {
  if (mask === 0n) return "0/0";
  const exact = mask === all;
  const parts: string[] = [];
  let unknown = 0n;
  for (let bit = 0; bit < 32; bit++) {
    const one = 1n << BigInt(bit);
    const name = names[bit];
    if (exact) {
      if ((value & one) === 0n) continue;
      if (name === undefined) unknown |= one;
      else parts.push(name);
    } else if ((mask & one) !== 0n) {
      parts.push(`${(value & one) !== 0n ? "+" : "-"}${name ?? "[Unknown]"}`);
    }
  }
  if (!exact) return parts.join("");
  if (unknown !== 0n) parts.push(hex(unknown));
  return parts.length === 0 ? "0" : parts.join("|");
}

/**
 * `0x12/0xfff`, `+syn-ack`, `syn|ack` or a number. Without `+` and `-` all bits are matched: the
 * mask is then all ones, 32 of them.
 */
export function parseFlags(
  text: string,
  names: readonly (string | undefined)[],
  allowed: bigint,
  what: string,
): FieldValue {
  const unknown = () => new TextError(`${text}: unknown ${what} flag(s)`);
  const [first, second, ...rest] = text.split("/");
  if (second !== undefined) {
    const value = integer(first!);
    const mask = integer(second);
    if (value === undefined || mask === undefined || rest.length > 0) throw unknown();
    if (((value | mask) & ~allowed) !== 0n) throw unknown();
    return { value, mask };
  }
  const bitOf = (name: string): bigint => {
    const bit = names.indexOf(name);
    if (bit < 0 || ((1n << BigInt(bit)) & ~allowed) !== 0n) throw unknown();
    return 1n << BigInt(bit);
  };
  let value = 0n;
  let mask = 0n;
  if (/^[+-]/.test(text)) {
    for (const [, sign, name] of text.matchAll(/([+-])([^+-]*)/g)) {
      const bit = bitOf(name!);
      if ((mask & bit) !== 0n) {
        throw new TextError(`${name}: Each ${what} flag can be specified only once`);
      }
      mask |= bit;
      if (sign === "+") value |= bit;
    }
    return { value, mask };
  }
  for (const part of text === "" ? [] : text.split("|")) {
    const number = integer(part);
    if (number === undefined) {
      if (/[+-]/.test(part)) {
        throw new TextError(
          `${text}: ${what} must be preceded by '+' (for SET) or '-' (NOT SET)`,
        );
      }
      value |= bitOf(part);
    } else if ((number & ~allowed) !== 0n) throw unknown();
    else value |= number;
  }
  return { value, mask: ones(32) };
}

/** A C integer: decimal, 0x hexadecimal or 0 octal. */
export function integer(text: string): bigint | undefined {
  if (/^0x[0-9a-f]+$/i.test(text) || /^(0|[1-9]\d*)$/.test(text)) return BigInt(text);
  if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  return undefined;
}

/** The text behind `field=`. `ANY` for a mask of no bits. */
export function formatField(
  field: Field,
  value: bigint,
  mask: bigint = ones(field.bits),
  names?: PortNames,
): string {
  const all = ones(field.bits);
  if (mask === 0n) return "ANY";
  const exact = (mask & all) === all;
  const { format } = field;
  switch (format) {
    case "port":
      if (exact) {
        // The 32-bit OXM form carries the reserved ports at the top of its range.
        const wide = Number(value);
        return formatPort(wide >= 0xffffff00 ? wide & 0xffff : wide, names);
      }
      return `${value}/${hex(mask)}`;
    case "decimal":
      return exact ? String(value) : `${value}/${hex(mask)}`;
    case "hex":
      return exact ? hex(value) : `${hex(value)}/${hex(mask)}`;
    case "ethernet": {
      const text = formatMac(bigToBytes(value, 6));
      return exact ? text : `${text}/${formatMac(bigToBytes(mask, 6))}`;
    }
    case "ipv4":
    case "ipv6": {
      const width = format === "ipv4" ? 32 : 128;
      const print = format === "ipv4" ? formatIpv4 : formatIpv6;
      const text = print(bigToBytes(value, width / 8));
      if (exact) return text;
      return `${text}/${prefixLength(mask, width) ?? print(bigToBytes(mask, width / 8))}`;
    }
    case "frag": {
      const found = FRAGMENTS.find((f) => f.mask === (mask & 3n) && f.value === (value & mask));
      return found?.name ?? "<error>";
    }
    case "tcp_flags":
      return formatFlags(value, mask & 0xfffn, 0xfffn, TCP_FLAGS);
    case "ct_state":
      // Open vSwitch prints eight known states with signs: its "all" is wider than them.
      return formatFlags(value, exact ? 0xffffn : mask, 0xffffn, CT_STATES);
    case "tun_flags":
      return formatFlags(value, mask & 1n, 1n, TUNNEL_FLAGS);
    case "packet_type":
      return `(${small(value >> 16n, mask >> 16n)},${small(value & 0xffffn, mask & 0xffffn)})`;
    default: {
      const never: never = format;
      return never;
    }
  }
}

function small(value: bigint, mask: bigint): string {
  if (mask === 0n) return "*";
  const text = value > 9n ? hex(value) : String(value);
  return mask === 0xffffn ? text : `${text}/${hex(mask)}`;
}

/** Reads the text behind `field=`; `*` matches anything (value and mask 0). */
export function parseField(field: Field, text: string, names?: PortNames): FieldValue {
  if (text === "*") return { value: 0n, mask: 0n };
  const { value, mask } = parseByFormat(field, text, names);
  const all = ones(field.bits);
  const used = mask & all;
  // A mask is all bits of the field's bytes, not of the field alone, to stand for the whole.
  const whole = text.includes("/") ? ones(8 * field.bytes) : all;
  if ((mask & whole) !== whole && mask !== 0n && field.maskable !== true) {
    throw new TextError(`${text}: invalid mask for field ${field.name}`);
  }
  return { value, mask: used };
}

function parseByFormat(field: Field, text: string, names?: PortNames): FieldValue {
  const { format } = field;
  switch (format) {
    case "port": {
      const port = parsePort(text, names);
      if (port === undefined) {
        const what = field.bytes === 4 ? "port value out of range" : "invalid or unknown port";
        throw new TextError(`${text}: ${what} for ${field.name}`);
      }
      const wide = field.bytes === 4 && port >= 0xff00 ? port + 0xffff0000 : port;
      return { value: BigInt(wide), mask: ones(32) };
    }
    case "decimal":
    case "hex":
      return parseInteger(field, text);
    case "ethernet": {
      const [value, mask, ...rest] = text.split("/").map(parseMac);
      if (value === undefined || rest.length > 0 || (mask === undefined && text.includes("/"))) {
        throw new TextError(`${text}: invalid Ethernet address`);
      }
      return { value: bytesToBig(value), mask: mask === undefined ? ones(48) : bytesToBig(mask) };
    }
    case "ipv4":
      return parseMasked(text, 32, parseIpv4, "IPv4", "invalid IP address");
    case "ipv6":
      return parseMasked(text, 128, parseIpv6, "IPv6", "invalid IPv6 address");
    case "frag": {
      const found = FRAGMENTS.find((f) => f.name === text.toLowerCase());
      if (found === undefined) {
        throw new TextError(
          `${text}: unknown fragment type (valid types are "no", "yes", "first", "later", ` +
            `"not_later")`,
        );
      }
      return found;
    }
    case "tcp_flags":
      return parseFlags(text, TCP_FLAGS, 0xfffn, "TCP");
    case "ct_state":
      return parseFlags(text, CT_STATES, 0xffn, "ct_state");
    case "tun_flags":
      return parseFlags(text, TUNNEL_FLAGS, 1n, "tunnel");
    case "packet_type": {
      const parts = /^\(([^,]*),([^)]*)\)$/.exec(text);
      const namespace = parts ? integer(parts[1]!) : undefined;
      const type = parts ? integer(parts[2]!) : undefined;
      if (
        namespace === undefined || type === undefined || namespace > 0xffffn || type > 0xffffn
      ) throw new TextError(`${text}: bad syntax for packet type, use (ns,ns_type)`);
      return { value: (namespace << 16n) | type, mask: ones(32) };
    }
    default: {
      const never: never = format;
      return never;
    }
  }
}

function parseInteger(field: Field, text: string): FieldValue {
  const slash = text.indexOf("/");
  const read = (part: string, what: string): bigint => {
    const value = integer(part);
    if (value === undefined) {
      throw new TextError(`${text}: bad syntax for ${field.name} ${what}`);
    }
    if (value > ones(field.bytes * 8)) {
      throw new TextError(
        `${text}: ${what} too large for ${field.bytes}-byte field ${field.name}`,
      );
    }
    return value;
  };
  if (slash < 0) return { value: read(text, "value"), mask: ones(field.bytes * 8) };
  return { value: read(text.slice(0, slash), "value"), mask: read(text.slice(slash + 1), "mask") };
}

function parseMasked(
  text: string,
  width: 32 | 128,
  parse: (text: string) => Uint8Array | undefined,
  family: string,
  wrong: string,
): FieldValue {
  const slash = text.indexOf("/");
  const address = parse(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) throw new TextError(`${text}: ${wrong}`);
  const value = bytesToBig(address);
  if (slash < 0) return { value, mask: ones(width) };
  const rest = text.slice(slash + 1);
  if (/^-?\d+$/.test(rest)) {
    const length = Number(rest);
    if (length < 0 || length > width) {
      throw new TextError(
        `${text}: ${family} network prefix bits not between 0 and ${width}, inclusive`,
      );
    }
    return { value, mask: prefixMask(length, width) };
  }
  const mask = parse(rest);
  if (mask === undefined) throw new TextError(`${text}: ${wrong}`);
  return { value, mask: bytesToBig(mask) };
}
