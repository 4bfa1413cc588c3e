/**
 * LACP messages (IEEE 802.1AX-2008 §5.4.2): Ethernet frames of type 0x8809 to 01:80:c2:00:00:02.
 *
 *      0        1        2      3      4              19     22     23     24             39
 *     +--------+--------+------+------+--------------+------+------+------+--------------+---- …
 *     | 1      | 1      | 1    | 20   | actor (15 B) | 0    | 2    | 20   | partner      | 0, collector
 *     | subtype| version| TLV  | bytes|              |      | TLV  | bytes|              |
 *     +--------+--------+------+------+--------------+------+------+------+--------------+---- …
 *
 * All numbers are in network byte order. 110 bytes; what follows the collector is zero.
 */
import { etherTypeAt } from "../../packet/ether-type.ts";

/** Bits of `LacpInfo.state` (§5.4.2.2). */
export const LACP_STATE = {
  ACTIVITY: 0x01,
  TIMEOUT: 0x02,
  AGGREGATION: 0x04,
  SYNCHRONIZED: 0x08,
  COLLECTING: 0x10,
  DISTRIBUTING: 0x20,
  DEFAULTED: 0x40,
  EXPIRED: 0x80,
} as const;

export const ETH_LACP = 0x8809;
const ADDRESS = [0x01, 0x80, 0xc2, 0, 0, 2];
const PDU_BYTES = 110;
const INFO_BYTES = 15;
const ACTOR = 4;
const PARTNER = 24;
const SUBTYPE_LACP = 1;
const SUBTYPE_MARKER = 2;
const ETH_HEADER = 14;

/** What one end of a link says of itself. */
export interface LacpInfo {
  readonly systemPriority: number;
  /** 6 bytes. */
  readonly systemId: Uint8Array;
  readonly key: number;
  readonly portPriority: number;
  readonly portId: number;
  readonly state: number;
}

export const NO_INFO: LacpInfo = {
  systemPriority: 0,
  systemId: new Uint8Array(6),
  key: 0,
  portPriority: 0,
  portId: 0,
  state: 0,
};

export type LacpMessage =
  | { readonly type: "lacp"; readonly actor: LacpInfo; readonly partner: LacpInfo }
  | { readonly type: "marker" }
  | { readonly type: "bad" };

/** The 15 bytes of an information field; of two systems' ports the lesser has the higher priority. */
export function infoBytes(info: LacpInfo): Uint8Array {
  const bytes = new Uint8Array(INFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, info.systemPriority);
  bytes.set(info.systemId, 2);
  view.setUint16(8, info.key);
  view.setUint16(10, info.portPriority);
  view.setUint16(12, info.portId);
  view.setUint8(14, info.state);
  return bytes;
}

function readInfo(bytes: Uint8Array, at: number): LacpInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, INFO_BYTES);
  return {
    systemPriority: view.getUint16(0),
    systemId: bytes.slice(at + 2, at + 8),
    key: view.getUint16(8),
    portPriority: view.getUint16(10),
    portId: view.getUint16(12),
    state: view.getUint8(14),
  };
}

/** A whole frame from the Ethernet address `source`. */
export function lacpFrame(source: Uint8Array, actor: LacpInfo, partner: LacpInfo): Uint8Array {
  const frame = new Uint8Array(ETH_HEADER + PDU_BYTES);
  frame.set(ADDRESS);
  frame.set(source, 6);
  new DataView(frame.buffer).setUint16(12, ETH_LACP);
  const pdu = frame.subarray(ETH_HEADER);
  pdu.set([SUBTYPE_LACP, 1, 1, 20]);
  pdu.set(infoBytes(actor), ACTOR);
  pdu.set([2, 20], PARTNER - 2);
  pdu.set(infoBytes(partner), PARTNER);
  // Collector information: no delay.
  pdu.set([3, 16], PARTNER + INFO_BYTES + 3);
  return frame;
}

/** The message of a frame that is one, tagged or not. */
export function parseLacpFrame(frame: Uint8Array): LacpMessage {
  const at = etherTypeAt(frame);
  if (at === undefined) return { type: "bad" };
  const pdu = frame.subarray(at + 2);
  if (pdu.length < PDU_BYTES) return { type: "bad" };
  if (
    pdu[0] === SUBTYPE_LACP && pdu[2] === 1 && pdu[3] === 20 &&
    pdu[PARTNER - 2] === 2 && pdu[PARTNER - 1] === 20
  ) {
    return { type: "lacp", actor: readInfo(pdu, ACTOR), partner: readInfo(pdu, PARTNER) };
  }
  return { type: pdu[0] === SUBTYPE_MARKER ? "marker" : "bad" };
}
