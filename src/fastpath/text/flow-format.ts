/**
 * Matches of datapath flows as `dpctl/dump-flows` and `ofproto/trace` print them:
 *
 *     recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth(src=…,dst=…),eth_type(0x0800),ipv4(frag=no)
 *
 * Which headers there are follows from the packet's own types, in the order in which Open vSwitch
 * keeps them in netlink messages; which of them are shown, from the mask. `verbose` (`-m`) shows all,
 * `0/0` behind what is not looked at.
 */
import { FlowKey, type Match } from "../../packet/key.ts";
import type { SlotName } from "../../packet/layout.ts";
import { CT_STATES, formatFlags, TCP_FLAGS } from "../../packet/text.ts";
import {
  ETH,
  ETH_TYPE_MIN,
  type HeaderName,
  HEADERS,
  IP,
  isMplsType,
  isVlanType,
  type NumberName,
  NUMBERS,
} from "./headers.ts";
import { formatTunnelKey, hasTunnel } from "./tunnel-format.ts";
import {
  alternate,
  bigOf,
  formatPart,
  hexBytes,
  isAll,
  numberOf,
  slotBytes,
  zeroHex,
} from "./values.ts";

/** Names of datapath ports by number. */
export type PortNamer = (port: number) => string | undefined;

export interface FormatOptions {
  readonly verbose?: boolean;
  readonly portName?: PortNamer | undefined;
}

const CT_STATE_BITS = 0xffn;
const FRAG_LATER = 2;
const VLAN_PRESENT = 0x1000;
const VLAN_SLOTS = [["vlan_tci", "vlan_tpid"], ["vlan2_tci", "vlan2_tpid"]] as const;

/** A match with its mask; without one (`mask` undefined), all of a packet's key. */
export function formatDpKey(
  key: FlowKey,
  mask: FlowKey | undefined,
  { verbose = false, portName }: FormatOptions = {},
): string {
  return new Formatter(key, mask, verbose, portName).whole();
}

/** The flow's match. */
export function formatDpMatch({ key, mask }: Match, options: FormatOptions = {}): string {
  return formatDpKey(key, mask, options);
}

class Formatter {
  private readonly parts: string[] = [];

  constructor(
    private readonly key: FlowKey,
    private readonly mask: FlowKey | undefined,
    private readonly verbose: boolean,
    private readonly portName: PortNamer | undefined,
  ) {}

  whole(): string {
    const ethType = this.number("eth_type");
    this.plain("skb_priority");
    if (hasTunnel(this.key)) {
      this.parts.push(`tunnel(${formatTunnelKey(this.key, this.mask, this.verbose)})`);
    }
    this.plain("skb_mark");
    this.ctState();
    this.plain("ct_zone");
    this.plain("ct_mark");
    this.ctLabel();
    if (this.number("ct_nw_proto") !== 0) {
      if (ethType === ETH.IPV4) this.header("ct_tuple4");
      else if (ethType === ETH.IPV6) this.header("ct_tuple6");
    }
    this.plain("recirc_id");
    this.plain("dp_hash");
    this.inPort();
    this.packetType();
    if (this.number("packet_type") === 0) {
      if (this.shows("packet_type")) this.header("eth");
      else this.parts.push(this.headerText("eth", true));
      this.tags(0);
    } else this.upper();
    return this.parts.join(",");
  }

  /** The tags from `level` on, each around what is inside it, and the rest. */
  private tags(level: number): void {
    const slots = VLAN_SLOTS[level];
    const tci = slots ? this.number(slots[0]) : 0;
    const ethType = this.number("eth_type");
    if (!slots || (tci === 0 && !isVlanType(ethType))) return this.upper();
    const tpid = tci === 0 ? ethType : this.number(slots[1]) || ETH.VLAN;
    this.parts.push(`eth_type(${zeroHex(tpid, 4)})`);
    const looked = this.mask && numberOf(slotBytes(this.mask.bytes, slots[0]));
    if (this.verbose || looked !== 0) {
      this.parts.push(`vlan(${formatTci(tci, looked ?? 0xffff, this.verbose)})`);
    }
    const start = this.parts.length;
    if (tci !== 0) this.tags(level + 1);
    this.parts.push(`encap(${this.parts.splice(start).join(",")})`);
  }

  /** From the Ethernet type on. */
  private upper(): void {
    const ethType = this.number("eth_type");
    if (ethType < ETH_TYPE_MIN) {
      if (this.mask) this.parts.push("eth_type(0/0xffff)");
      return;
    }
    if (this.verbose || this.shows("eth_type")) {
      const looked = this.mask && numberOf(slotBytes(this.mask.bytes, "eth_type"));
      const partial = looked === undefined || looked === 0xffff ? "" : `/${zeroHex(looked, 4)}`;
      this.parts.push(`eth_type(${zeroHex(ethType, 4)}${partial})`);
    }
    if (ethType === ETH.IPV4) this.header("ipv4");
    else if (ethType === ETH.IPV6) this.header("ipv6");
    else if (ethType === ETH.ARP || ethType === ETH.RARP) this.header("arp");
    else if (isMplsType(ethType)) this.mpls();
    else if (ethType === ETH.NSH) this.nsh();
    if (ethType === ETH.IPV4 || ethType === ETH.IPV6) this.transport(ethType);
  }

  private transport(ethType: number): void {
    if (this.number("nw_frag") & FRAG_LATER) return;
    const protocol = this.number("nw_proto");
    switch (protocol) {
      case IP.TCP:
        this.header("tcp");
        return this.tcpFlags();
      case IP.UDP:
        return this.header("udp");
      case IP.SCTP:
        return this.header("sctp");
      case IP.ICMP:
        if (ethType === ETH.IPV4) this.header("icmp");
        return;
      case IP.ICMPV6:
        if (ethType === ETH.IPV6) this.icmpv6();
    }
  }

  private icmpv6(): void {
    this.header("icmpv6");
    const type = this.number("tp_src");
    if ((type !== 135 && type !== 136) || this.number("tp_dst") !== 0) return;
    // Who does not look at the whole type and code does not know that the rest is there.
    const whole = (name: SlotName): boolean =>
      !this.mask || (numberOf(slotBytes(this.mask.bytes, name)) & 0xff) === 0xff;
    if (!whole("tp_src") || !whole("tp_dst")) return;
    this.header("nd");
    // Every solicitation has options; Open vSwitch's datapath does not tell of them.
    if (this.mask) this.header("nd_ext");
  }

  private tcpFlags(): void {
    const looked = this.mask && numberOf(slotBytes(this.mask.bytes, "tcp_flags")) & 0xfff;
    const flags = this.number("tcp_flags");
    if (flags === 0 && (looked ?? 0) === 0) return;
    if (looked === 0 && !this.verbose) return;
    const mask = BigInt(looked ?? 0xfff);
    this.parts.push(`tcp_flags(${formatFlags(BigInt(flags), mask, 0xfffn, TCP_FLAGS)})`);
  }

  private number(name: SlotName): number {
    return numberOf(slotBytes(this.key.bytes, name));
  }

  /** Does the mask look at some of the slot? */
  private shows(name: SlotName): boolean {
    return !this.mask || !isAll(slotBytes(this.mask.bytes, name), 0);
  }

  /** `word(0x1/0xff)`. */
  private plain(word: NumberName): void {
    const name = NUMBERS[word];
    if (!this.shows(name) && !this.verbose) return;
    const looked = this.mask && slotBytes(this.mask.bytes, name);
    const partial = looked && !isAll(looked, 0xff) ? `/${alternate(numberOf(looked))}` : "";
    this.parts.push(`${word}(${alternate(this.number(name))}${partial})`);
  }

  private inPort(): void {
    const port = this.number("in_port");
    const looked = this.mask && slotBytes(this.mask.bytes, "in_port");
    if (looked && !isAll(looked, 0xff)) {
      if (!this.shows("in_port") && !this.verbose) return;
      this.parts.push(`in_port(${port}/${alternate(numberOf(looked))})`);
    } else this.parts.push(`in_port(${this.portName?.(port) ?? port})`);
  }

  private packetType(): void {
    if (!this.shows("packet_type") && !this.verbose) return;
    const value = this.number("packet_type");
    const looked = this.mask ? numberOf(slotBytes(this.mask.bytes, "packet_type")) : 0xffffffff;
    const part = (label: string, text: string, bits: number): string[] => {
      if (bits === 0 && !this.verbose) return [];
      return [`${label}=${text}${bits === 0xffff ? "" : `/${alternate(bits)}`}`];
    };
    const parts = [
      ...part("ns", String(value >>> 16), looked >>> 16),
      ...part("id", alternate(value & 0xffff), looked & 0xffff),
    ];
    this.parts.push(`packet_type(${parts.join(",")})`);
  }

  private ctState(): void {
    if (!this.shows("ct_state") && !this.verbose) return;
    const state = this.number("ct_state") & 0xff;
    const looked = this.mask && numberOf(slotBytes(this.mask.bytes, "ct_state")) & 0xff;
    let text: string;
    if (this.verbose) {
      text = alternate(state) + (looked === undefined ? "" : `/${alternate(looked)}`);
    } else if (looked === undefined) {
      text = formatFlags(BigInt(state), CT_STATE_BITS, CT_STATE_BITS, CT_STATES);
    } else text = formatFlags(BigInt(state), BigInt(looked), 0xffffffffn, CT_STATES);
    this.parts.push(`ct_state(${text})`);
  }

  private ctLabel(): void {
    if (!this.shows("ct_label") && !this.verbose) return;
    const looked = this.mask && slotBytes(this.mask.bytes, "ct_label");
    const partial = looked && !isAll(looked, 0xff) ? `/${hexBytes(looked)}` : "";
    this.parts.push(`ct_label(${hexBytes(slotBytes(this.key.bytes, "ct_label"))}${partial})`);
  }

  private header(name: HeaderName): void {
    const looked = HEADERS[name].some(({ slot }) => this.shows(slot));
    if (looked || (this.verbose && name !== "nd_ext")) {
      this.parts.push(this.headerText(name, this.verbose));
    }
  }

  private headerText(name: HeaderName, verbose: boolean): string {
    const texts = HEADERS[name].map((part) =>
      formatPart(
        part,
        slotBytes(this.key.bytes, part.slot),
        this.mask && slotBytes(this.mask.bytes, part.slot),
        verbose && this.verbose,
      )
    );
    return `${name}(${texts.filter((text) => text !== undefined).join(",")})`;
  }

  private mpls(): void {
    const texts: string[] = [];
    let exact = true;
    let looked = !this.mask;
    const entries: [number, number][] = [];
    for (const name of ["mpls_lse0", "mpls_lse1", "mpls_lse2"] as const) {
      const value = this.number(name);
      const bits = this.mask ? numberOf(slotBytes(this.mask.bytes, name)) : 0xffffffff;
      entries.push([value, bits]);
      if (bits !== 0xffffffff) exact = false;
      if (bits !== 0) looked = true;
      // The bottom of the stack.
      if (value & 0x100) break;
    }
    if (!looked && !this.verbose) return;
    for (const [value, bits] of entries) texts.push(formatLse(value, exact ? undefined : bits));
    this.parts.push(`mpls(${texts.join(",")})`);
  }

  private nsh(): void {
    const value = (name: SlotName): Uint8Array => slotBytes(this.key.bytes, name);
    const bits = (name: SlotName): Uint8Array | undefined =>
      this.mask && slotBytes(this.mask.bytes, name);
    this.parts.push(`nsh(${formatNsh(value, bits)})`);
  }
}

/** The inside of `vlan(…)`. */
export function formatTci(tci: number, mask: number, verbose: boolean): string {
  const parts: string[] = [];
  const vid = tci & 0xfff;
  const pcp = tci >> 13;
  const vidMask = mask & 0xfff;
  const pcpMask = mask >> 13;
  if (verbose || vid || vidMask) {
    parts.push(`vid=${vid}${vidMask === 0xfff ? "" : `/0x${vidMask.toString(16)}`}`);
  }
  if (verbose || pcp || pcpMask) {
    parts.push(`pcp=${pcp}${pcpMask === 7 ? "" : `/0x${pcpMask.toString(16)}`}`);
  }
  if (!(tci & VLAN_PRESENT)) parts.push("cfi=0");
  return parts.join(",");
}

/** `label=16,tc=0,ttl=64,bos=1`, RFC 3032 §2.1. */
export function formatLse(lse: number, mask?: number): string {
  const fields = (value: number): readonly [number, number, number, number] => [
    value >>> 12,
    (value >>> 9) & 7,
    value & 0xff,
    (value >>> 8) & 1,
  ];
  const [label, tc, ttl, bos] = fields(lse);
  if (mask === undefined) return `label=${label},tc=${tc},ttl=${ttl},bos=${bos}`;
  const bits = fields(mask).map((value) => value.toString(16));
  return `label=${label}/0x${bits[0]},tc=${tc}/${bits[1]},ttl=${ttl}/0x${bits[2]},` +
    `bos=${bos}/${bits[3]}`;
}

/** The inside of `nsh(…)`, RFC 8300 §2. */
export function formatNsh(
  value: (name: SlotName) => Uint8Array,
  mask: (name: SlotName) => Uint8Array | undefined,
): string {
  const exact = mask("nsh_flags") === undefined;
  const parts: string[] = [];
  const byte = (label: string, number: number, bits: number): void => {
    if (bits === 0 && !exact) return;
    parts.push(
      exact || bits === 0xff
        ? `${label}=${number}`
        : `${label}=${zeroHex(number, 2)}/${zeroHex(bits, 2)}`,
    );
  };
  const word = (label: string, number: number, bits: number, full: number): void => {
    if (bits === 0 && !exact) return;
    const partial = exact || bits === full ? "" : `/${zeroHex(bits, 8)}`;
    parts.push(`${label}=0x${number.toString(16)}${partial}`);
  };
  const looked = (name: SlotName): number => numberOf(mask(name) ?? new Uint8Array());
  for (const name of ["flags", "ttl", "mdtype", "np"] as const) {
    byte(name, numberOf(value(`nsh_${name}`)), looked(`nsh_${name}`));
  }
  const path = numberOf(value("nsh_path"));
  const pathMask = looked("nsh_path");
  word("spi", path >>> 8, pathMask >>> 8, 0xffffff);
  byte("si", path & 0xff, pathMask & 0xff);
  // Without a mask, only metadata of type 1 has the four words.
  if (!exact || numberOf(value("nsh_mdtype")) === 1) {
    const context = value("nsh_c");
    const contextMask = mask("nsh_c");
    for (let i = 0; i < 4; i++) {
      const bits = contextMask ? Number(bigOf(contextMask.subarray(4 * i, 4 * i + 4))) : 0;
      word(`c${i + 1}`, numberOf(context.subarray(4 * i, 4 * i + 4)), bits, 0xffffffff);
    }
  }
  return parts.join(",");
}
