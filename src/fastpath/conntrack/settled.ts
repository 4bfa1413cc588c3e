/** Connections whose state no ordinary packet changes any more. */
import { TIMEOUT_INDEX } from "./settings.ts";
import { C_FLAGS, C_SKEW, C_STATE, CF_EXPECTED, CF_FTP, CF_TFTP } from "./table.ts";
import { isEstablished, T_ESTABLISHED } from "./tcp.ts";
import { ICMP, ICMPV6, T_META, TCP, UDP } from "./tuple.ts";

/** C_STATE of connections that are not TCP's. */
export const FIRST = 0;
export const MULTIPLE = 1;
export const BOTH_WAYS = 2;

const WATCHED = CF_EXPECTED | CF_FTP | CF_TFTP;

/** Of a connection's record: the IP protocol. */
export const protocolOf = (record: Int32Array, base: number): number =>
  (record[base + T_META]! >>> 8) & 0xff;

export const isIcmp = (protocol: number): boolean => protocol === ICMP || protocol === ICMPV6;

/**
 * Both sides have spoken, none has said good-bye, and nobody has to look into its packets: TCP, UDP
 * and ICMP without helpers.
 */
export function isSettled(record: Int32Array, base: number): boolean {
  if ((record[base + C_FLAGS]! & WATCHED) !== 0) return false;
  const protocol = protocolOf(record, base);
  if (protocol === TCP) {
    return record[base + C_SKEW] === 0 && isEstablished(record, base + C_STATE);
  }
  return (protocol === UDP || isIcmp(protocol)) && record[base + C_STATE] === BOTH_WAYS;
}

/** Which timeout it has from packet to packet (settings.ts, TIMEOUT_INDEX). */
export function settledTimeout(protocol: number): number {
  if (protocol === TCP) return T_ESTABLISHED;
  return isIcmp(protocol) ? TIMEOUT_INDEX.icmp_reply : TIMEOUT_INDEX.udp_multiple;
}
