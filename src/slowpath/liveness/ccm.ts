/**
 * Continuity Check Messages (IEEE 802.1ag-2007 §21.6; the fields behind the MAID are Open vSwitch's
 * own, and zero in the standard): Ethernet frames of type 0x8902.
 *
 *      0          1        2            3            4          8       10            58
 *     +----------+--------+------------+------------+----------+-------+-------------+
 *     | level,   | opcode | RDI,       | first TLV  | sequence | MPID  | MAID        |
 *     | version  | 1      | interval   | 70         |          |       | 48 bytes    |
 *     +----------+--------+------------+------------+----------+-------+-------------+
 *      58            60            68       69           74     75
 *     +-------------+-------------+--------+------------+------+
 *     | interval    | MPID        | is     | zero       | end  |   extended mode
 *     | in ms       | (64 bits)   | down   |            | TLV  |
 *     +-------------+-------------+--------+------------+------+
 *
 * All numbers are in network byte order.
 */
import { etherTypeAt } from "../../packet/ether-type.ts";
export const ETH_CFM = 0x8902;

export interface Ccm {
  readonly opcode: number;
  readonly interval: number;
  /** Remote defect: the sender receives nothing. */
  readonly rdi: boolean;
  readonly sequence: number;
  readonly mpid: number;
  /** 48 bytes. */
  readonly maid: Uint8Array;
  readonly intervalMs: number;
  readonly longMpid: bigint;
  readonly isDown: boolean;
}

export const CCM_OPCODE = 1;
const CCM_BYTES = 75;
/** Old Open vSwitches leave out the end. */
const LEAST_BYTES = 74;
const MAID_BYTES = 48;
const FIRST_TLV = 70;
const RDI = 0x80;
const ETH = 14;
const TAG = 4;
const ETH_VLAN = 0x8100;
const ADDRESS = Uint8Array.of(0x01, 0x80, 0xc2, 0, 0, 0x30);
const EXTENDED_ADDRESS = Uint8Array.of(0x01, 0x23, 0x20, 0, 0, 0x30);

/** Where messages are sent to. */
export function ccmAddress(extended: boolean): Uint8Array {
  return extended ? EXTENDED_ADDRESS : ADDRESS;
}

/** The maintenance association of all Open vSwitches: domain "ovs", association "ovs". */
export function ownMaid(): Uint8Array {
  const maid = new Uint8Array(MAID_BYTES);
  const name = new TextEncoder().encode("ovs");
  // Both are character strings: format 4 of domain names, 2 of association names.
  maid.set([4, name.length, ...name, 2, name.length, ...name]);
  return maid;
}

/** A whole frame; `tci`: VLAN and priority of its tag, 0: none. */
export function ccmFrame(
  { src, dst, tci }: { readonly src: Uint8Array; readonly dst: Uint8Array; readonly tci: number },
  ccm: Ccm,
): Uint8Array {
  const start = tci === 0 ? ETH : ETH + TAG;
  const frame = new Uint8Array(start + CCM_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(dst, 0);
  frame.set(src, 6);
  if (tci !== 0) {
    view.setUint16(12, ETH_VLAN);
    view.setUint16(14, tci);
  }
  view.setUint16(start - 2, ETH_CFM);
  frame[start + 1] = ccm.opcode;
  frame[start + 2] = (ccm.rdi ? RDI : 0) | ccm.interval;
  frame[start + 3] = FIRST_TLV;
  view.setUint32(start + 4, ccm.sequence);
  view.setUint16(start + 8, ccm.mpid);
  frame.set(ccm.maid, start + 10);
  view.setUint16(start + 58, ccm.intervalMs);
  view.setBigUint64(start + 60, ccm.longMpid);
  frame[start + 68] = ccm.isDown ? 1 : 0;
  return frame;
}

/** Undefined: the frame is none, or too short. */
export function parseCcmFrame(frame: Uint8Array): Ccm | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const at = etherTypeAt(frame);
  if (at === undefined) return undefined;
  const start = at + 2;
  if (start + LEAST_BYTES > frame.length || view.getUint16(at) !== ETH_CFM) return undefined;
  const flags = frame[start + 2]!;
  return {
    opcode: frame[start + 1]!,
    interval: flags & 7,
    rdi: (flags & RDI) !== 0,
    sequence: view.getUint32(start + 4),
    mpid: view.getUint16(start + 8),
    maid: frame.slice(start + 10, start + 10 + MAID_BYTES),
    intervalMs: view.getUint16(start + 58),
    longMpid: view.getBigUint64(start + 60),
    isDown: frame[start + 68] !== 0,
  };
}
