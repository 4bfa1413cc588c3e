/**
 * Connections as `dpctl/dump-conntrack` prints them:
 *
 *     tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=80),reply=(…),zone=5,protoinfo=(state=ESTABLISHED)
 *
 * and tuples and zones as the other conntrack commands take them.
 */
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "../../packet/address.ts";
import {
  type CtEntry,
  type CtTuple,
  TCP_STATES,
  type TcpState,
} from "../../fastpath/conntrack/types.ts";
import { hexBytes } from "../../fastpath/text/values.ts";

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, "icmp"],
  [2, "igmp"],
  [6, "tcp"],
  [17, "udp"],
  [33, "dccp"],
  [58, "icmpv6"],
  [132, "sctp"],
  [136, "udplite"],
]);

export const protocolName = (number: number): string => PROTOCOLS.get(number) ?? String(number);

function formatTuple(tuple: CtTuple): string {
  const print = tuple.src.length === 4 ? formatIpv4 : formatIpv6;
  const addresses = `src=${print(tuple.src)},dst=${print(tuple.dst)}`;
  const { icmp } = tuple;
  if (icmp) return `${addresses},id=${icmp.id},type=${icmp.type},code=${icmp.code}`;
  return `${addresses},sport=${tuple.srcPort},dport=${tuple.dstPort}`;
}

/** The later of a connection's two states, as one tracker with a single state would name it. */
export function tcpState({ original, reply }: NonNullable<CtEntry["tcp"]>): TcpState {
  const state = TCP_STATES[Math.max(TCP_STATES.indexOf(original), TCP_STATES.indexOf(reply))]!;
  if (state === "FIN_WAIT_2") return "TIME_WAIT";
  return state === "SYN_RECV" ? "ESTABLISHED" : state;
}

/** `verbose`: both TCP states and the parent. `statistics`: the time that is left. */
export function formatEntry(entry: CtEntry, verbose: boolean, statistics: boolean): string {
  const { original, reply, zone, mark, label, tcp, helper, parent } = entry;
  let text = `${protocolName(original.protocol)},orig=(${formatTuple(original)}),` +
    `reply=(${formatTuple(reply)})`;
  if (zone !== 0) text += `,zone=${zone}`;
  if (statistics) text += `,timeout=${Math.max(0, Math.floor(entry.timeoutMs / 1000))}`;
  if (mark !== 0) text += `,mark=${mark}`;
  if (label.some((byte) => byte !== 0)) text += `,labels=${hexBytes(label)}`;
  if (tcp) {
    text += verbose
      ? `,protoinfo=(state_orig=${tcp.original},state_reply=${tcp.reply})`
      : `,protoinfo=(state=${tcpState(tcp)})`;
  }
  if (helper) text += `,helper=${helper}`;
  if (verbose && parent) text += `,parent=(${formatTuple(parent)})`;
  return text;
}

export type PartialTuple = { -readonly [K in keyof CtTuple]?: CtTuple[K] };

/**
 * `ct_nw_src=10.1.1.1,ct_nw_dst=…,ct_nw_proto=6,ct_tp_src=1,…`; a text is what is wrong with it.
 */
export function parseTuple(text: string): PartialTuple | string {
  const tuple: PartialTuple = {};
  const icmp: { id?: number; type?: number; code?: number } = {};
  const number = (value: string, limit: number): number | undefined => {
    const parsed = /^(0x[0-9a-f]+|\d+)$/i.test(value) ? Number(value) : NaN;
    return parsed <= limit ? parsed : undefined;
  };
  for (const part of text.split(/[,\s]+/).filter((each) => each !== "")) {
    const at = part.indexOf("=");
    const [key, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    switch (key) {
      case "ct_nw_src":
      case "ct_nw_dst":
      case "ct_ipv6_src":
      case "ct_ipv6_dst": {
        const bytes = key.startsWith("ct_nw") ? parseIpv4(value) : parseIpv6(value);
        if (!bytes) return `failed to parse field ${key}`;
        if (key.endsWith("src")) tuple.src = bytes;
        else tuple.dst = bytes;
        break;
      }
      case "ct_nw_proto": {
        const protocol = number(value, 0xff);
        if (protocol === undefined) return `failed to parse field ${key}`;
        tuple.protocol = protocol;
        break;
      }
      case "ct_tp_src":
      case "ct_tp_dst": {
        const port = number(value, 0xffff);
        if (port === undefined) return `failed to parse field ${key}`;
        if (key === "ct_tp_src") tuple.srcPort = port;
        else tuple.dstPort = port;
        break;
      }
      case "icmp_id":
      case "icmp_type":
      case "icmp_code": {
        const parsed = number(value, key === "icmp_id" ? 0xffff : 0xff);
        if (parsed === undefined) return `failed to parse field ${key}`;
        icmp[key.slice(5) as "id" | "type" | "code"] = parsed;
        break;
      }
      default:
        return `invalid conntrack tuple field: ${key}`;
    }
  }
  if (tuple.src && tuple.dst && tuple.src.length !== tuple.dst.length) {
    return "L3 type set multiple times";
  }
  if (icmp.id !== undefined || icmp.type !== undefined || icmp.code !== undefined) {
    tuple.icmp = { id: icmp.id ?? 0, type: icmp.type ?? 0, code: icmp.code ?? 0 };
  }
  return tuple;
}

/** Does the tuple have what is asked for? */
export function tupleFits(tuple: CtTuple, wanted: PartialTuple): boolean {
  const same = (a: Uint8Array, b: Uint8Array | undefined): boolean =>
    b === undefined || (a.length === b.length && a.every((byte, i) => byte === b[i]));
  return same(tuple.src, wanted.src) && same(tuple.dst, wanted.dst) &&
    (wanted.protocol === undefined || wanted.protocol === tuple.protocol) &&
    (wanted.srcPort === undefined || wanted.srcPort === tuple.srcPort) &&
    (wanted.dstPort === undefined || wanted.dstPort === tuple.dstPort) &&
    (wanted.icmp === undefined ||
      (tuple.icmp?.id === wanted.icmp.id && tuple.icmp.type === wanted.icmp.type &&
        tuple.icmp.code === wanted.icmp.code));
}
