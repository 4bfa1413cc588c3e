/**
 * NetFlow version 5 on the wire, big endian: a header of 24 bytes and up to 30 records of 48. Both are
 * lists of fields: how many bytes, and where the value comes from.
 */
import { Writer } from "../../../openflow/wire.ts";
import type { NetflowKey } from "../../pipeline/sampling.ts";

export const MAX_RECORDS = 30;

export interface NetflowRecord {
  readonly key: NetflowKey;
  readonly output: number;
  readonly packets: number;
  readonly bytes: number;
  /** Since the switch began. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly tcpFlags: number;
}

export interface NetflowHeader {
  readonly uptimeMs: number;
  readonly wallMs: number;
  /** Records sent before. */
  readonly sequence: number;
  readonly engineType: number;
  readonly engineId: number;
  readonly addIdToInterface: boolean;
}

interface Source {
  readonly header: NetflowHeader;
  readonly count: number;
}

interface RecordSource {
  readonly header: NetflowHeader;
  readonly record: NetflowRecord;
}

type Fields<S> =
  readonly (readonly [name: string, bytes: 1 | 2 | 4, value: (source: S) => number])[];

const HEADER: Fields<Source> = [
  ["version", 2, () => 5],
  ["count", 2, ({ count }) => count],
  ["sysUptime", 4, ({ header }) => header.uptimeMs],
  ["unixSecs", 4, ({ header }) => header.wallMs / 1000],
  ["unixNsecs", 4, ({ header }) => (header.wallMs % 1000) * 1e6],
  ["flowSequence", 4, ({ header }) => header.sequence],
  ["engineType", 1, ({ header }) => header.engineType],
  ["engineId", 1, ({ header }) => header.engineId],
  ["samplingInterval", 2, () => 0],
];

const ICMP = 1;
/** Behind the engine's number there is room for port numbers up to that. */
const PORT_BITS = 9;

const RECORD: Fields<RecordSource> = [
  ["srcaddr", 4, ({ record }) => record.key.src],
  ["dstaddr", 4, ({ record }) => record.key.dst],
  ["nexthop", 4, () => 0],
  ["input", 2, ({ header, record }) => portOf(header, record.key.inPort)],
  ["output", 2, ({ header, record }) => portOf(header, record.output)],
  ["dPkts", 4, ({ record }) => record.packets],
  ["dOctets", 4, ({ record }) => record.bytes],
  ["first", 4, ({ record }) => record.firstMs],
  ["last", 4, ({ record }) => record.lastMs],
  ["srcport", 2, ({ record: { key } }) => (key.protocol === ICMP ? 0 : key.tpSrc)],
  // ICMP's type and code stand in the place of the destination port.
  [
    "dstport",
    2,
    ({ record: { key } }) => key.protocol === ICMP ? (key.tpSrc << 8) | key.tpDst : key.tpDst,
  ],
  ["pad1", 1, () => 0],
  ["tcpFlags", 1, ({ record }) => record.tcpFlags & 0xff],
  ["prot", 1, ({ record }) => record.key.protocol],
  ["tos", 1, ({ record }) => record.key.tos],
  ["srcAs", 2, () => 0],
  ["dstAs", 2, () => 0],
  ["srcMask", 1, () => 0],
  ["dstMask", 1, () => 0],
  ["pad2", 2, () => 0],
];

function portOf({ addIdToInterface, engineId }: NetflowHeader, port: number): number {
  if (!addIdToInterface) return port;
  return ((engineId & 0x7f) << PORT_BITS) | (port & ((1 << PORT_BITS) - 1));
}

function put<S>(writer: Writer, fields: Fields<S>, source: S): void {
  for (const [, bytes, value] of fields) {
    const number = Math.floor(value(source));
    if (bytes === 1) writer.u8(number);
    else if (bytes === 2) writer.u16(number);
    else writer.u32(number);
  }
}

/** One message of at most `MAX_RECORDS` records. */
export function encodeNetflow(
  records: readonly NetflowRecord[],
  header: NetflowHeader,
): Uint8Array {
  const writer = new Writer();
  put(writer, HEADER, { header, count: records.length });
  for (const record of records) put(writer, RECORD, { header, record });
  return writer.finish();
}
