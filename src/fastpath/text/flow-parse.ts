/**
 * Matches of datapath flows read from text, as `dpctl/add-flow`, `netdev-dummy/receive` and
 * `ofproto/trace` take them. A part without a mask is matched exactly; a header that the text does
 * not name, or a part that it does not have, is not matched, but for recirc_id (0 then) and VLAN
 * tags (none then).
 *
 * The key is a packet's, whole: where the mask looks at nothing it still has its value (an Ethernet
 * type that follows from `ipv4(…)`, the value in front of a mask). Who installs a flow masks it.
 *
 * Input is anybody's: whatever does not fit is a TextError `syntax error at …`.
 */
import { anyMatch, type Match } from "../../packet/key.ts";
import { FIELDS, slot, type SlotName } from "../../packet/layout.ts";
import { CT_STATES, parseFlags, TCP_FLAGS, TextError } from "../../packet/text.ts";
import {
  CT_TUPLE4_PARTS,
  CT_TUPLE6_PARTS,
  ETH,
  type HeaderName,
  HEADERS,
  NUMBERS,
  type Part,
} from "./headers.ts";
import { Scanner } from "./scanner.ts";
import { scanHexNumber, scanTunnel } from "./tunnel-parse.ts";
import { slotBytes } from "./values.ts";

/** Numbers of datapath ports by name. */
export type PortNumber = (name: string) => number | undefined;

const VLAN_PRESENT = 0x1000;
const MPLS_SLOTS = ["mpls_lse0", "mpls_lse1", "mpls_lse2"] as const;
const FRAGMENTS: ReadonlyMap<string, number> = new Map([["no", 0], ["first", 1], ["later", 3]]);
/** Of frames whose length field stands where the type is. */
const ETH_TYPE_NONE = 0x05ff;
/** Packet types that are Ethernet types. */
const ETHERTYPE_NAMESPACE = 0x10000;
/** Open vSwitch's number for no port. */
const NO_PORT = 0xffffffff;

/** The whole text is a match. */
export function parseDpFlow(text: string, portNumber?: PortNumber): Match {
  const s = new Scanner(text);
  const match = anyMatch();
  const level: Level = { vlan: 0, seen: new Set() };
  for (;;) {
    s.skipDelimiters();
    if (s.atEnd) break;
    s.match(/ufid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[, ]*/y);
    const start = s.at;
    if (!scanHeader(s, match, level, portNumber)) {
      s.at = start;
      s.fail();
    }
  }
  finish(match, level.seen);
  return match;
}

/** How many VLAN tags have been read, and which headers. */
interface Level {
  vlan: number;
  readonly seen: Set<string>;
}

/** Fills in what follows from the headers that are there, and from those that are not. */
function finish(match: Match, seen: ReadonlySet<string>): void {
  const { key, mask } = match;
  // Whoever does not ask for a recirculation means packets that had none.
  putBytes(match, "recirc_id", slotBytes(key.bytes, "recirc_id").slice(), undefined);
  if (!seen.has("in_port")) {
    const { offset } = slot("in_port");
    key.bytes.set(numberBytes(NO_PORT), offset);
  }
  if (seen.has("eth")) key.set(FIELDS.packet_type, 0);
  else if (seen.has("eth_type")) {
    key.set(FIELDS.packet_type, ETHERTYPE_NAMESPACE | key.get(FIELDS.eth_type));
  } else if (key.get(FIELDS.packet_type) >>> 16 === 1) {
    key.set(FIELDS.eth_type, key.get(FIELDS.packet_type) & 0xffff);
  }
  if (!seen.has("eth_type") && key.get(FIELDS.eth_type) === 0) {
    const type = seen.has("ipv4")
      ? ETH.IPV4
      : seen.has("ipv6")
      ? ETH.IPV6
      : seen.has("mpls")
      ? ETH.MPLS
      : ETH_TYPE_NONE;
    key.set(FIELDS.eth_type, type);
  }
  if (!seen.has("vlan")) {
    const { offset } = slot("vlan_tci");
    mask.bytes.fill(0xff, offset, offset + 2);
  }
}

/**
 * One `word(…)`, at the cursor; false if there is none that is known. Throws for one that is wrong
 * inside.
 */
export function scanHeader(
  s: Scanner,
  match: Match,
  level: Level,
  portNumber: PortNumber | undefined,
): boolean {
  const word = s.match(/([a-z_0-9]+)\(/y)?.[1];
  if (word === undefined) return false;
  const outer = s.at - word.length - 1;
  level.seen.add(word);
  try {
    return scanInside(s, word, match, level, portNumber);
  } catch (error) {
    if (error instanceof TextError) {
      s.at = outer;
      s.fail();
    }
    throw error;
  }
}

function scanInside(
  s: Scanner,
  word: string,
  match: Match,
  level: Level,
  portNumber: PortNumber | undefined,
): boolean {
  if (word in HEADERS) {
    scanParts(s, word as HeaderName, match);
    return true;
  }
  if (word in NUMBERS) {
    scanNumber(s, NUMBERS[word as keyof typeof NUMBERS], match, word !== "recirc_id");
    s.expect(")");
    return true;
  }
  switch (word) {
    case "tunnel":
      scanTunnel(s, match);
      return true;
    case "in_port":
      scanPort(s, match, portNumber);
      return true;
    case "packet_type":
      scanPacketType(s, match);
      return true;
    case "eth_type": {
      scanNumber(s, "eth_type", match, true);
      s.expect(")");
      return true;
    }
    case "vlan":
      scanVlan(s, match, level);
      return true;
    case "encap":
      s.nested(() => {
        for (;;) {
          s.skipDelimiters();
          if (s.take(")")) return;
          if (!scanHeader(s, match, level, portNumber)) s.fail();
        }
      });
      return true;
    case "mpls":
      scanMpls(s, match);
      return true;
    case "nsh":
      scanNsh(s, match);
      return true;
    case "ct_state":
      scanFlags(s, match, "ct_state", CT_STATES, 0xffn, "ct_state");
      return true;
    case "tcp_flags":
      scanFlags(s, match, "tcp_flags", TCP_FLAGS, 0xfffn, "TCP");
      return true;
    case "ct_label": {
      const read = (): number[] => scanHexNumber(s, 16);
      putBytes(match, "ct_label", Uint8Array.from(read()), bytesOr(s.mask(read)));
      s.expect(")");
      return true;
    }
    default:
      return false;
  }
}

const bytesOr = (bytes: number[] | undefined): Uint8Array | undefined =>
  bytes && Uint8Array.from(bytes);

/** Value and mask (undefined: all) into a slot, right-aligned. */
function putBytes(
  { key, mask }: Match,
  name: SlotName,
  value: Uint8Array,
  bits: Uint8Array | undefined,
): void {
  const { offset, bytes } = slot(name);
  key.bytes.fill(0, offset, offset + bytes);
  key.bytes.set(value.subarray(-bytes), offset + bytes - Math.min(bytes, value.length));
  mask.bytes.fill(bits ? 0 : 0xff, offset, offset + bytes);
  if (bits) mask.bytes.set(bits.subarray(-bytes), offset + bytes - Math.min(bytes, bits.length));
}

const numberBytes = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);

function scanNumber(s: Scanner, name: SlotName, match: Match, maskable: boolean): void {
  const { bytes } = slot(name);
  const limit = 2 ** (8 * bytes) - 1;
  const value = s.number(limit);
  const bits = maskable ? s.mask(() => s.number(limit)) : undefined;
  putBytes(match, name, numberBytes(value), bits === undefined ? undefined : numberBytes(bits));
}

function scanPort(s: Scanner, match: Match, portNumber: PortNumber | undefined): void {
  if (s.seesNumber()) scanNumber(s, "in_port", match, true);
  else {
    const name = s.match(/[^)]*/y)![0];
    const port = portNumber?.(name);
    if (port === undefined) s.fail();
    putBytes(match, "in_port", numberBytes(port), undefined);
  }
  s.expect(")");
}

function scanPacketType(s: Scanner, match: Match): void {
  let value = 0;
  let mask = 0;
  const read = (shift: number): void => {
    value |= s.number(0xffff) << shift;
    mask |= (s.mask(() => s.number(0xffff)) ?? 0xffff) << shift;
  };
  do {
    if (s.take("ns=")) read(16);
    else if (s.take("id=")) read(0);
    else break;
  } while (s.take(","));
  s.expect(")");
  putBytes(match, "packet_type", numberBytes(value), numberBytes(mask));
}

function scanVlan(s: Scanner, match: Match, level: Level): void {
  const tciSlot = (["vlan_tci", "vlan2_tci"] as const)[level.vlan];
  const tpidSlot = (["vlan_tpid", "vlan2_tpid"] as const)[level.vlan];
  if (tciSlot === undefined || tpidSlot === undefined) return s.fail();
  let tci = VLAN_PRESENT;
  let mask = VLAN_PRESENT;
  const read = (bits: number, shift: number): void => {
    const ones = (1 << bits) - 1;
    const value = s.number(ones);
    const looked = s.mask(() => s.number(ones)) ?? ones;
    tci = (tci & ~(ones << shift)) | (value << shift);
    mask = (mask & ~(ones << shift)) | (looked << shift);
  };
  do {
    if (s.take("vid=")) read(12, 0);
    else if (s.take("pcp=")) read(3, 13);
    else if (s.take("cfi=")) read(1, 12);
    else break;
  } while (s.take(","));
  s.expect(")");
  // The type read before stands in front of this tag; what is inside says its own.
  putBytes(match, tpidSlot, slotBytes(match.key.bytes, "eth_type").slice(), undefined);
  putBytes(match, "eth_type", new Uint8Array(2), new Uint8Array(2));
  putBytes(match, tciSlot, numberBytes(tci), numberBytes(mask));
  level.vlan++;
}

function scanParts(s: Scanner, name: HeaderName, match: Match): void {
  // Text prints port names of ct_tuple6 that it does not take; both are taken here.
  const lists: readonly (readonly Part[])[] = name === "ct_tuple6"
    ? [CT_TUPLE6_PARTS, CT_TUPLE4_PARTS.slice(3)]
    : [HEADERS[name]];
  const parts = lists.flat();
  do {
    const part = parts.find(({ label }) => s.take(`${label}=`));
    if (!part) break;
    scanPart(s, part, match);
  } while (s.take(","));
  s.expect(")");
}

function scanPart(s: Scanner, { slot: name, style }: Part, match: Match): void {
  switch (style) {
    case "mac":
      return putBytes(match, name, s.mac(), s.mask(() => s.mac()));
    case "ipv4":
      return putBytes(match, name, s.ipv4(), s.mask(() => s.ipv4()));
    case "ipv6":
      return putBytes(match, name, s.ipv6(), s.mask(() => s.ipv6()));
    case "u8":
    case "u8x":
      return scanWide(s, name, match, 0xff);
    case "u16":
    case "u16x":
      return scanWide(s, name, match, 0xffff);
    case "u32x":
      return scanWide(s, name, match, 0xffffffff);
    case "label":
      return scanWide(s, name, match, 0xfffff);
    case "frag": {
      const word = s.match(/[a-z]{1,7}/y)?.[0] ?? "";
      const value = FRAGMENTS.get(word);
      if (value === undefined) return s.fail();
      return putBytes(match, name, Uint8Array.of(value), Uint8Array.of(3));
    }
    default: {
      const never: never = style;
      throw new Error(`part style ${never}`);
    }
  }
}

/** A number that the text gives another width than the key. */
function scanWide(s: Scanner, name: SlotName, match: Match, limit: number): void {
  const value = s.number(limit);
  const bits = s.mask(() => s.number(limit)) ?? limit;
  // All bits of the text's width are all bits of the slot's.
  putBytes(match, name, numberBytes(value), bits === limit ? undefined : numberBytes(bits));
}

function scanFlags(
  s: Scanner,
  match: Match,
  name: SlotName,
  names: readonly (string | undefined)[],
  allowed: bigint,
  what: string,
): void {
  const text = s.match(/[^)]*/y)![0];
  s.expect(")");
  const { value, mask } = parseFlags(text, names, allowed, what);
  putBytes(match, name, numberBytes(Number(value)), numberBytes(Number(mask & 0xffffffffn)));
}

const LSE_PARTS: readonly (readonly [label: string, bits: number, shift: number])[] = [
  ["label", 20, 12],
  ["tc", 3, 9],
  ["ttl", 8, 0],
  ["bos", 1, 8],
];

function scanMpls(s: Scanner, match: Match): void {
  let entry = 0;
  let value = 0;
  let mask = 0;
  let seen = new Set<string>();
  const put = (): void => {
    const name = MPLS_SLOTS[entry];
    if (name === undefined) return s.fail();
    putBytes(match, name, numberBytes(value >>> 0), numberBytes(mask >>> 0));
  };
  do {
    const part = LSE_PARTS.find(([label]) => s.take(`${label}=`));
    if (!part) break;
    const [label, bits, shift] = part;
    if (seen.has(label)) {
      put();
      entry++;
      value = mask = 0;
      seen = new Set();
    }
    seen.add(label);
    const ones = 2 ** bits - 1;
    const read = s.number(ones);
    // Masks of labels are printed with 0x, the others' without.
    const looked = s.mask(() => s.number(ones)) ?? ones;
    value |= read << shift;
    mask |= looked << shift;
  } while (s.take(","));
  s.expect(")");
  put();
}

function scanNsh(s: Scanner, match: Match): void {
  let path = 0;
  let pathMask = 0;
  const context = slot("nsh_c").offset;
  do {
    if (s.take("flags=")) scanNumber(s, "nsh_flags", match, true);
    else if (s.take("ttl=")) scanNumber(s, "nsh_ttl", match, true);
    else if (s.take("mdtype=")) scanNumber(s, "nsh_mdtype", match, true);
    else if (s.take("np=")) scanNumber(s, "nsh_np", match, true);
    else if (s.take("spi=")) {
      path |= s.number(0xffffff) << 8;
      pathMask |= ((s.mask(() => s.number()) ?? 0xffffff) & 0xffffff) << 8;
    } else if (s.take("si=")) {
      path |= s.number(0xff);
      pathMask |= s.mask(() => s.number(0xff)) ?? 0xff;
    } else {
      const which = s.match(/c([1-4])=/y)?.[1];
      if (which === undefined) break;
      const at = context + 4 * (Number(which) - 1);
      match.key.bytes.set(numberBytes(s.number()), at);
      match.mask.bytes.set(numberBytes(s.mask(() => s.number()) ?? 0xffffffff), at);
    }
  } while (s.take(","));
  s.expect(")");
  putBytes(match, "nsh_path", numberBytes(path >>> 0), numberBytes(pathMask >>> 0));
}
