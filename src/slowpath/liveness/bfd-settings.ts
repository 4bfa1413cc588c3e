/** What an Interface row says of BFD (`bfd:*`), with Open vSwitch's defaults and bounds. */
import { parseIpv4, parseMac } from "../../packet/address.ts";

export interface BfdSettings {
  readonly multiplier: number;
  readonly minTxMs: number;
  readonly minRxMs: number;
  /** An idle session asks for messages no more often than this; 0: it always asks for `minRxMs`. */
  readonly decayMinRxMs: number;
  /** What lies behind this end does not work: the other end is not to send here. */
  readonly pathDown: boolean;
  /** Packets that come in say as much as messages do. */
  readonly forwardingIfRx: boolean;
  /** Messages of a tunnel must have key 0. */
  readonly checkTunnelKey: boolean;
  /** The tunnel's header says that it is about the tunnel (Geneve's O bit). */
  readonly oam: boolean;
  readonly localSrcMac: Uint8Array | undefined;
  readonly localDstMac: Uint8Array | undefined;
  /** Only what is sent to this address is a message. */
  readonly remoteDstMac: Uint8Array | undefined;
  /** 4 bytes; undefined: the default, and messages to any address are taken. */
  readonly srcIp: Uint8Array | undefined;
  readonly dstIp: Uint8Array | undefined;
}

const DEFAULT_MULTIPLIER = 3;
const DEFAULT_MIN_TX_MS = 100;
const DEFAULT_MIN_RX_MS = 1000;
const MAX_MS = 4_000_000;

type Config = ReadonlyMap<string, string>;

/** Undefined: no BFD. `say`: what is wrong with the settings. */
export function bfdSettings(
  name: string,
  config: Config,
  say: (text: string) => void,
): BfdSettings | undefined {
  if (!isTrue(config, "enable")) return undefined;
  const integer = (key: string, otherwise: number): number => {
    const text = config.get(key);
    if (text === undefined || isInteger(text)) return Number(text ?? otherwise);
    say(`${name}: bfd:${key}="${text}" is no number, ${otherwise} is used`);
    return otherwise;
  };
  /** A message has room for 4,294 s. */
  const interval = (key: string, otherwise: number): number =>
    Math.min(Math.max(integer(key, otherwise), 1), MAX_MS);
  /** An address of zeros is none. */
  const mac = (key: string): Uint8Array | undefined => {
    const text = config.get(key);
    if (!text) return undefined;
    const address = parseMac(text);
    if (!address) say(`${name}: bfd:${key}="${text}" is not a valid Ethernet address`);
    return address?.some((byte) => byte !== 0) ? address : undefined;
  };
  const multiplier = integer("mult", DEFAULT_MULTIPLIER);
  const minRxMs = interval("min_rx", DEFAULT_MIN_RX_MS);
  const decay = Math.max(0, Math.min(integer("decay_min_rx", 0), MAX_MS));
  if (decay > 0 && decay < minRxMs) {
    say(`${name}: decay_min_rx cannot be less than ${minRxMs} ms`);
  }
  const ip = (key: string): Uint8Array | undefined => {
    const text = config.get(key);
    if (!text) return undefined;
    const address = parseIpv4(text);
    if (!address) say(`"${text}" is not a valid IP address`);
    return address;
  };
  return {
    multiplier: multiplier >= 1 && multiplier <= 0xff ? multiplier : DEFAULT_MULTIPLIER,
    minTxMs: interval("min_tx", DEFAULT_MIN_TX_MS),
    minRxMs,
    decayMinRxMs: decay < minRxMs ? 0 : decay,
    pathDown: isTrue(config, "cpath_down"),
    forwardingIfRx: isTrue(config, "forwarding_if_rx"),
    checkTunnelKey: isTrue(config, "check_tnl_key"),
    oam: isTrue(config, "oam"),
    localSrcMac: mac("bfd_local_src_mac"),
    localDstMac: mac("bfd_local_dst_mac"),
    remoteDstMac: mac("bfd_remote_dst_mac"),
    srcIp: ip("bfd_src_ip"),
    dstIp: ip("bfd_dst_ip"),
  };
}

const isTrue = (config: Config, key: string): boolean => config.get(key)?.toLowerCase() === "true";

const isInteger = (text: string): boolean => /^\s*[-+]?\d{1,15}\s*$/.test(text);
