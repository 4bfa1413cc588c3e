/**
 * Matches by what stands in a message, not by what it means: entries of OXM and NXM by their names with
 * hex digits, `NXM_OF_ETH_TYPE(0800), NXM_OF_IP_SRC_W(c0a80000/ffff0000)`, and OpenFlow 1.0's
 * structure with its wildcards as `*`.
 */
import { formatIpv4, formatMac } from "../../packet/address.ts";
import { formatPort, TextError } from "../../packet/text.ts";
import { OfError } from "../errors.ts";
import { readOxmHeader } from "../oxm.ts";
import { OF10 } from "../version.ts";
import { Reader, Writer } from "../wire.ts";
import { oxmByName, oxmByNumber } from "./oxm-names.ts";

const EXPERIMENTER_CLASS = 0xffff;
const COOKIE = { class: 1, number: 30, bytes: 8 } as const;

const digitsOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function entryName(
  oxmClass: number,
  number: number,
  experimenter: number,
  masked: boolean,
  bytes: number,
): string {
  const suffix = masked ? "_W" : "";
  const isCookie = oxmClass === COOKIE.class && number === COOKIE.number && bytes === COOKIE.bytes;
  if (isCookie) return `NXM_NX_COOKIE${suffix}`;
  const known = oxmByNumber(oxmClass, number, experimenter);
  if (known) return known.name + suffix;
  return `${oxmClass}:${number}`;
}

/** The entries in `bytes`; `<any>` if there are none. */
export function formatWireMatch(bytes: Uint8Array): string {
  if (bytes.length === 0) return "<any>";
  const reader = new Reader(bytes, "OFPBMC_BAD_LEN");
  const parts: string[] = [];
  while (reader.left > 0) {
    const left = reader.left;
    try {
      const at = reader.offset;
      const first = new DataView(bytes.buffer, bytes.byteOffset + at);
      const header = readOxmHeader(reader);
      const oxmClass = first.getUint16(0);
      const experimenter = oxmClass === EXPERIMENTER_CLASS ? first.getUint32(4) : 0;
      const width = header.masked ? header.payload / 2 : header.payload;
      const value = digitsOf(reader.copy(width));
      const mask = header.masked ? `/${digitsOf(reader.copy(width))}` : "";
      const number = first.getUint8(2) >> 1;
      parts.push(
        `${entryName(oxmClass, number, experimenter, header.masked, width)}(${value}${mask})`,
      );
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      parts.push(`<${left} invalid bytes>`);
      break;
    }
  }
  return parts.join(", ");
}

interface EntryHeader {
  readonly class: number;
  readonly number: number;
  readonly experimenter: number;
  readonly masked: boolean;
  /** Bytes of the value; those of a mask are as many. */
  readonly bytes: number;
}

/** By name, with `_W` for a mask; or eight (sixteen) hex digits, for what has no name. */
function headerOf(name: string): EntryHeader | undefined {
  const exact = oxmByName(name);
  const known = exact ?? (name.endsWith("_W") ? oxmByName(name.slice(0, -2)) : undefined);
  if (known && (exact || known.field.maskable)) {
    const { number, experimenter } = known;
    const { bytes } = known.field;
    return { class: known.class, number, experimenter, masked: exact === undefined, bytes };
  }
  if (/^NXM_NX_COOKIE(_W)?$/.test(name)) {
    return { ...COOKIE, experimenter: 0, masked: name.endsWith("_W") };
  }
  if (!/^[0-9a-f]{8}([0-9a-f]{8})?$/i.test(name)) return undefined;
  const header = parseInt(name.slice(0, 8), 16);
  const oxmClass = header >>> 16;
  const isLong = name.length === 16;
  if (isLong !== (oxmClass === EXPERIMENTER_CLASS)) return undefined;
  const masked = (header & 0x100) !== 0;
  const payload = (header & 0xff) - (isLong ? 4 : 0);
  return {
    class: oxmClass,
    number: (header >>> 9) & 0x7f,
    experimenter: isLong ? parseInt(name.slice(8), 16) : 0,
    masked,
    bytes: masked ? payload / 2 : payload,
  };
}

/** Hex digits in pairs at the beginning of `text`, blanks between them ignored. */
function takeHex(text: string): { bytes: Uint8Array; rest: string } {
  const digits = /^(?:\s*[0-9a-fA-F]{2})*/.exec(text)![0];
  const pairs = digits.match(/[0-9a-fA-F]{2}/g) ?? [];
  const bytes = Uint8Array.from(pairs, (two) => parseInt(two, 16));
  return { bytes, rest: text.slice(digits.length) };
}

/** Reads what `formatWireMatch` writes. Throws `TextError`. */
export function parseWireMatch(text: string): Uint8Array {
  const writer = new Writer();
  if (text === "<any>") return writer.finish();
  for (let rest = text.replace(/^[, ]+/, ""); rest !== ""; rest = rest.replace(/^[, ]+/, "")) {
    const length = rest.indexOf("(");
    if (length < 0) throw new TextError(`${text}: missing ( at end of nx_match`);
    const name = rest.slice(0, length);
    const header = headerOf(name);
    if (!header) throw new TextError(`${text}: unknown field \`${name}'`);
    let { bytes, rest: after } = takeHex(rest.slice(length + 1));
    let width = header.bytes;
    if (bytes.length !== width) {
      const known = oxmByNumber(header.class, header.number, header.experimenter)?.field;
      if (known?.variable !== true) {
        throw new TextError(`expected to read ${width} bytes but got ${bytes.length}`);
      }
      if (bytes.length > known.bytes) {
        throw new TextError(
          `expected to read at most ${known.bytes} bytes but got ${bytes.length}`,
        );
      }
      width = bytes.length;
    }
    const isLong = header.class === EXPERIMENTER_CLASS;
    writer.u16(header.class).u8((header.number << 1) | (header.masked ? 1 : 0));
    writer.u8((header.masked ? 2 * width : width) + (isLong ? 4 : 0));
    if (isLong) writer.u32(header.experimenter);
    writer.put(bytes);
    if (header.masked) {
      after = after.trimStart();
      if (!after.startsWith("/")) {
        throw new TextError(`${text}: missing / in masked field ${name}`);
      }
      ({ bytes, rest: after } = takeHex(after.slice(1)));
      if (bytes.length !== width) throw new TextError(`${after.slice(0, 2)}: hex digits expected`);
      writer.put(bytes);
    }
    after = after.trimStart();
    if (!after.startsWith(")")) throw new TextError(`${text}: missing ) following field ${name}`);
    rest = after.slice(1);
  }
  return writer.finish();
}

const PROTOCOL_WORDS: ReadonlyMap<number, string> = new Map([
  [1, "icmp"],
  [6, "tcp"],
  [17, "udp"],
  [132, "sctp"],
]);
const TYPE_WORDS: ReadonlyMap<number, string> = new Map([
  [0x0806, "arp"],
  [0x8035, "rarp"],
  [0x8847, "mpls"],
  [0x8848, "mplsm"],
]);
const ARP_TYPES: ReadonlySet<number> = new Set([0x0806, 0x8035]);

/** OpenFlow 1.0's `ofp_match` at `at`: each field, `*` where it is wild. */
function formatMatch10(bytes: Uint8Array, at: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 40);
  const wildcards = view.getUint32(0);
  const isWild = (bit: number): boolean => ((wildcards >>> bit) & 1) !== 0;
  const parts: string[] = [];
  const field = (label: string, bit: number, value: () => string | number): void => {
    parts.push(`${label}=${isWild(bit) ? "*" : value()}`);
  };
  const ethType = view.getUint16(22);
  const protocol = view.getUint8(25);
  let typeSaid = false;
  let protocolSaid = false;
  if (!isWild(4)) {
    const ipWord = isWild(5) ? "ip" : PROTOCOL_WORDS.get(protocol) ?? "ip";
    const word = ethType === 0x0800 ? ipWord : TYPE_WORDS.get(ethType);
    if (word !== undefined) parts.push(word);
    typeSaid = word !== undefined;
    protocolSaid = ethType === 0x0800 && ipWord !== "ip";
  }
  field("in_port", 0, () => formatPort(view.getUint16(4)));
  field("dl_vlan", 1, () => view.getUint16(18));
  field("dl_vlan_pcp", 20, () => view.getUint8(20));
  field("dl_src", 2, () => formatMac(bytes, at + 6));
  field("dl_dst", 3, () => formatMac(bytes, at + 12));
  if (!typeSaid) field("dl_type", 4, () => `0x${ethType.toString(16).padStart(4, "0")}`);
  const address = (label: string, shift: number, offset: number): void => {
    const wild = (wildcards >>> shift) & 0x3f;
    const prefix = wild === 0 ? "" : `/${32 - wild}`;
    parts.push(`${label}=${wild >= 32 ? "*" : formatIpv4(bytes, at + offset) + prefix}`);
  };
  address("nw_src", 8, 28);
  address("nw_dst", 14, 32);
  if (!protocolSaid) field(ARP_TYPES.has(ethType) ? "arp_op" : "nw_proto", 5, () => protocol);
  field("nw_tos", 21, () => view.getUint8(24));
  const icmp = protocol === 1;
  field(icmp ? "icmp_type" : "tp_src", 6, () => view.getUint16(36));
  field(icmp ? "icmp_code" : "tp_dst", 7, () => view.getUint16(38));
  return parts.join(",");
}

const VENDOR_TYPE = 4;
const NX_MATCH_LENGTH_AT = 40;
const NX_MATCH_AT = 48;
const MATCH10_AT = 8;

/** The match of a flow-mod by its wire names, if it is in one of OpenFlow 1.0's forms. */
export function wireMatch(bytes: Uint8Array): string | undefined {
  const type = bytes[1]!;
  if (type === VENDOR_TYPE) {
    const length = (bytes[NX_MATCH_LENGTH_AT]! << 8) | bytes[NX_MATCH_LENGTH_AT + 1]!;
    return formatWireMatch(bytes.subarray(NX_MATCH_AT, NX_MATCH_AT + length));
  }
  return bytes[0] === OF10 ? formatMatch10(bytes, MATCH10_AT) : undefined;
}
