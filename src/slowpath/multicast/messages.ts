/**
 * What a host or a router says about groups: IGMP (RFC 1112, 2236, 3376) in IPv4, MLD (RFC 2710, 3810)
 * in ICMPv6. Read from a whole frame, every length checked; nothing of a message counts whose checksum
 * is wrong.
 *
 *     IGMP  type 1, code 1, checksum 2, group 4               v3 report: …, 2 zero, records 2, records
 *     MLD   type 1, code 1, checksum 2, delay 2, zero 2, group 16        v2 report: as IGMP's
 *     record: type 1, words of data behind it 1, sources 2, group 4 or 16, sources, data
 */
import { readU16 as u16 } from "../../packet/big-endian.ts";
import { etherTypeAt } from "../../packet/ether-type.ts";
import { fold, pseudoSum, sumBytes } from "../../packet/checksum.ts";

/** What becomes of the message is decided by its kind, also where it cannot be believed. */
export interface GroupMessage {
  readonly kind: "query" | "membership";
  /** The checksum is right and the sender has an address. */
  readonly isBelieved: boolean;
  readonly joins: readonly Uint8Array[];
  readonly leaves: readonly Uint8Array[];
}

const ETH_IP = 0x0800;
const ETH_IPV6 = 0x86dd;
const PROTOCOL_IGMP = 2;
const PROTOCOL_ICMPV6 = 58;
/** Extension headers that may stand in front of MLD; its router alert is in the first. */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60]);

const IGMP = { QUERY: 0x11, REPORT_1: 0x12, REPORT_2: 0x16, LEAVE: 0x17, REPORT_3: 0x22 } as const;
const MLD = { QUERY: 130, REPORT: 131, DONE: 132, REPORT_2: 143 } as const;
const RECORD = { IS_INCLUDE: 1, TO_INCLUDE: 3, LAST: 6 } as const;
const RECORDS_AT = 8;

/** Undefined: the frame is no such message. */
export function parseGroupMessage(frame: Uint8Array): GroupMessage | undefined {
  const at = etherTypeAt(frame);
  if (at === undefined) return undefined;
  const type = u16(frame, at);
  if (type === ETH_IP) return parseIgmp(frame, at + 2);
  return type === ETH_IPV6 ? parseMld(frame, at + 2) : undefined;
}

function parseIgmp(frame: Uint8Array, ip: number): GroupMessage | undefined {
  if (ip + 20 > frame.length || frame[ip + 9] !== PROTOCOL_IGMP) return undefined;
  const start = ip + 4 * (frame[ip]! & 0xf);
  const end = Math.min(frame.length, ip + u16(frame, ip + 2));
  if (start + 8 > end) return undefined;
  const type = frame[start]!;
  const isRight = fold(sumBytes(frame, start, end)) === 0xffff;
  const group = [frame.slice(start + 4, start + 8)];
  switch (type) {
    case IGMP.QUERY:
      return query(isRight && !isZero(frame, ip + 12, 4));
    case IGMP.REPORT_1:
    case IGMP.REPORT_2:
      return membership(isRight, group, []);
    case IGMP.LEAVE:
      return membership(isRight, [], group);
    case IGMP.REPORT_3:
      return records(frame, start, end, 4, isRight);
    default:
      return undefined;
  }
}

function parseMld(frame: Uint8Array, ip: number): GroupMessage | undefined {
  if (ip + 40 > frame.length) return undefined;
  const end = Math.min(frame.length, ip + 40 + u16(frame, ip + 4));
  let next = frame[ip + 6]!;
  let start = ip + 40;
  while (EXTENSIONS.has(next) && start + 8 <= end) {
    next = frame[start]!;
    start += 8 * (frame[start + 1]! + 1);
  }
  if (next !== PROTOCOL_ICMPV6 || start + 8 > end) return undefined;
  const type = frame[start]!;
  const sum = pseudoSum(frame, ip + 8, 16, PROTOCOL_ICMPV6, end - start);
  const isRight = fold(sumBytes(frame, start, end, sum)) === 0xffff;
  if (type === MLD.QUERY) return query(isRight && !isZero(frame, ip + 8, 16));
  if (type === MLD.REPORT_2) return records(frame, start, end, 16, isRight);
  if (type !== MLD.REPORT && type !== MLD.DONE) return undefined;
  const group = start + 24 <= end ? [frame.slice(start + 8, start + 24)] : [];
  return type === MLD.REPORT ? membership(isRight, group, []) : membership(isRight, [], group);
}

const query = (isBelieved: boolean): GroupMessage => ({
  kind: "query",
  isBelieved,
  joins: [],
  leaves: [],
});

const membership = (
  isBelieved: boolean,
  joins: readonly Uint8Array[],
  leaves: readonly Uint8Array[],
): GroupMessage => ({ kind: "membership", isBelieved, joins, leaves });

/** Who asks to hear no source at all leaves; whoever asks for any source joins. */
function records(
  frame: Uint8Array,
  start: number,
  end: number,
  addressBytes: number,
  isRight: boolean,
): GroupMessage {
  const joins: Uint8Array[] = [];
  const leaves: Uint8Array[] = [];
  let at = start + RECORDS_AT;
  for (let left = u16(frame, start + 6); left > 0 && at + 4 + addressBytes <= end; left--) {
    const type = frame[at]!;
    const sources = u16(frame, at + 2);
    const group = frame.slice(at + 4, at + 4 + addressBytes);
    const isInclude = type === RECORD.IS_INCLUDE || type === RECORD.TO_INCLUDE;
    if (isInclude && sources === 0) leaves.push(group);
    else if (type >= RECORD.IS_INCLUDE && type <= RECORD.LAST) joins.push(group);
    at += 4 + addressBytes + sources * addressBytes + 4 * frame[at + 1]!;
  }
  return membership(isRight, joins, leaves);
}

function isZero(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (bytes[i] !== 0) return false;
  return true;
}
