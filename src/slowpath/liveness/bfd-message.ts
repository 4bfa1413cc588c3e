/**
 * Control messages of BFD (RFC 5880 §4.1), in UDP to port 3784 over IPv4 (RFC 5881 §4).
 *
 *      0             1             2             3             4
 *     +------+------+--+----------+-------------+-------------+
 *     | vers | diag |St| P F C A D M | mult     | length      |  3 + 5 bits, 2 + 6 bits
 *     +------+------+--+----------+-------------+-------------+
 *     | my discriminator                                      |
 *     | your discriminator                                    |
 *     | desired min TX interval                               |  microseconds
 *     | required min RX interval                              |
 *     | required min echo RX interval                         |
 *     +-------------------------------------------------------+
 *
 * All numbers are in network byte order. There is no authentication.
 */
import { etherTypeAt } from "../../packet/ether-type.ts";
import { checksum } from "../../packet/checksum.ts";

export const BFD_PORT = 3784;
export const BFD_MESSAGE_BYTES = 24;
export const BFD_VERSION = 1;
/** RFC 5881 §5: whoever is further than one hop away cannot send this. */
export const BFD_TTL = 255;

export const BFD_STATES = ["admin_down", "down", "init", "up"] as const;
export type BfdState = (typeof BFD_STATES)[number];

export const BFD_FLAG = {
  MULTIPOINT: 0x01,
  DEMAND: 0x02,
  AUTHENTICATION: 0x04,
  CONTROL_PLANE: 0x08,
  FINAL: 0x10,
  POLL: 0x20,
} as const;

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [BFD_FLAG.MULTIPOINT, "multipoint"],
  [BFD_FLAG.DEMAND, "demand"],
  [BFD_FLAG.AUTHENTICATION, "auth"],
  [BFD_FLAG.CONTROL_PLANE, "ctl"],
  [BFD_FLAG.FINAL, "final"],
  [BFD_FLAG.POLL, "poll"],
];

/** By their numbers. */
const DIAGNOSTICS = [
  "No Diagnostic",
  "Control Detection Time Expired",
  "Echo Function Failed",
  "Neighbor Signaled Session Down",
  "Forwarding Plane Reset",
  "Path Down",
  "Concatenated Path Down",
  "Administratively Down",
  "Reverse Concatenated Path Down",
] as const;

export const BFD_DIAGNOSTIC = {
  NONE: 0,
  EXPIRED: 1,
  REMOTE_DOWN: 3,
  PATH_DOWN: 5,
  CONCATENATED_DOWN: 6,
  REVERSE_DOWN: 8,
} as const;

export interface BfdMessage {
  readonly version: number;
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly flags: number;
  readonly multiplier: number;
  /** As the message says; it may be followed by what nobody here understands. */
  readonly lengthBytes: number;
  readonly myDiscriminator: number;
  readonly yourDiscriminator: number;
  readonly minTxUs: number;
  readonly minRxUs: number;
  readonly minEchoRxUs: number;
}

export interface BfdAddresses {
  readonly ethSrc: Uint8Array;
  readonly ethDst: Uint8Array;
  /** 4 bytes each. */
  readonly ipSrc: Uint8Array;
  readonly ipDst: Uint8Array;
  readonly udpSrc: number;
}

const ETH = 14;
const IP = 20;
const UDP = 8;
const ETH_IP = 0x0800;
const PROTOCOL_UDP = 17;
/** Class selector 6: it goes before other traffic. */
const TOS = 0xc0;
const MIN_IP_WORDS = 5;

/** A whole frame without a tag. */
export function bfdFrame(addresses: BfdAddresses, message: BfdMessage): Uint8Array {
  const frame = new Uint8Array(ETH + IP + UDP + BFD_MESSAGE_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(addresses.ethDst, 0);
  frame.set(addresses.ethSrc, 6);
  view.setUint16(12, ETH_IP);
  frame[ETH] = 0x45;
  frame[ETH + 1] = TOS;
  view.setUint16(ETH + 2, IP + UDP + BFD_MESSAGE_BYTES);
  frame[ETH + 8] = BFD_TTL;
  frame[ETH + 9] = PROTOCOL_UDP;
  frame.set(addresses.ipSrc, ETH + 12);
  frame.set(addresses.ipDst, ETH + 16);
  view.setUint16(ETH + 10, checksum(frame, ETH, ETH + IP));
  const udp = ETH + IP;
  view.setUint16(udp, addresses.udpSrc);
  view.setUint16(udp + 2, BFD_PORT);
  // No checksum (RFC 768: zero), as Open vSwitch.
  view.setUint16(udp + 4, UDP + BFD_MESSAGE_BYTES);
  const at = udp + UDP;
  frame[at] = (message.version << 5) | message.diagnostic;
  frame[at + 1] = (BFD_STATES.indexOf(message.state) << 6) | message.flags;
  frame[at + 2] = message.multiplier;
  frame[at + 3] = message.lengthBytes;
  view.setUint32(at + 4, message.myDiscriminator);
  view.setUint32(at + 8, message.yourDiscriminator);
  view.setUint32(at + 12, message.minTxUs);
  view.setUint32(at + 16, message.minRxUs);
  view.setUint32(at + 20, message.minEchoRxUs);
  return frame;
}

/** What a frame carries: its TTL, and the message, or how many bytes there are if they are too few. */
export interface ReceivedBfd {
  readonly ttl: number;
  readonly message: BfdMessage | undefined;
  readonly payloadBytes: number;
}

/** Reads a frame of IPv4 and UDP to port 3784, tags in front or not; undefined: it is none. */
export function parseBfdFrame(frame: Uint8Array): ReceivedBfd | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const at = etherTypeAt(frame);
  if (at === undefined || at + 2 + IP > frame.length || view.getUint16(at) !== ETH_IP) {
    return undefined;
  }
  const ip = at + 2;
  const words = frame[ip]! & 0xf;
  if (frame[ip]! >> 4 !== 4 || words < MIN_IP_WORDS || frame[ip + 9] !== PROTOCOL_UDP) {
    return undefined;
  }
  const udp = ip + 4 * words;
  // What pads a short frame is no part of it.
  const end = Math.min(frame.length, ip + view.getUint16(ip + 2));
  if (udp + UDP > end) return undefined;
  const start = udp + UDP;
  const ttl = frame[ip + 8]!;
  const payloadBytes = end - start;
  if (payloadBytes < BFD_MESSAGE_BYTES) return { ttl, message: undefined, payloadBytes };
  return {
    ttl,
    payloadBytes,
    message: {
      version: frame[start]! >> 5,
      diagnostic: frame[start]! & 0x1f,
      state: BFD_STATES[frame[start + 1]! >> 6]!,
      flags: frame[start + 1]! & 0x3f,
      multiplier: frame[start + 2]!,
      lengthBytes: frame[start + 3]!,
      myDiscriminator: view.getUint32(start + 4),
      yourDiscriminator: view.getUint32(start + 8),
      minTxUs: view.getUint32(start + 12),
      minRxUs: view.getUint32(start + 16),
      minEchoRxUs: view.getUint32(start + 20),
    },
  };
}

export function diagnosticText(diagnostic: number): string {
  return DIAGNOSTICS[diagnostic] ?? "Invalid Diagnostic";
}

export function bfdFlagText(flags: number): string {
  const names = FLAG_NAMES.filter(([bit]) => flags & bit).map(([, name]) => name);
  return names.length > 0 ? names.join(" ") : "none";
}
