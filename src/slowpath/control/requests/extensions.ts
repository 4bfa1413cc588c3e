/** Open vSwitch's own requests: tunnel options, connections to forget, continuations, IPFIX. */
import { OfError } from "../../../openflow/errors.ts";
import { TLV_FIELDS, TLV_SPACE_BYTES } from "../../../openflow/messages/extensions.ts";
import type {
  CtFlush,
  CtFlushZone,
  CtTuple,
  TlvTableMod,
} from "../../../openflow/messages/types.ts";
import type { CtTuple as Tuple } from "../../../fastpath/conntrack/types.ts";
import type { Agent } from "../agent.ts";
import { rejectSecondary } from "./roles.ts";

export function answerTlvMod(agent: Agent, request: TlvTableMod): void {
  rejectSecondary(agent);
  agent.agents.tlvTable.apply(request);
}

export function answerTlvTable(agent: Agent, xid: number): void {
  const mappings = agent.agents.tlvTable.list();
  const limits = { maxSpace: TLV_SPACE_BYTES, maxFields: TLV_FIELDS };
  agent.send({ type: "tlv_table_reply", ...limits, mappings }, xid);
}

export async function answerFlushZone(agent: Agent, { zone }: CtFlushZone): Promise<void> {
  rejectSecondary(agent);
  await agent.bridge.conntrack.flush({ zone });
}

/** Forgets every connection that has what the request names. */
export async function answerFlush(agent: Agent, request: CtFlush): Promise<void> {
  rejectSecondary(agent);
  const { conntrack } = agent.bridge;
  const { zone, protocol, original, reply } = request;
  const zoned = zone === undefined ? {} : { zone };
  const everything = protocol === 0 && isEmpty(original) && isEmpty(reply);
  if (everything) return void await conntrack.flush(zoned);
  for (const entry of await conntrack.dump(zoned)) {
    if (protocol !== 0 && entry.original.protocol !== protocol) continue;
    if (!fits(entry.original, original) || !fits(entry.reply, reply)) continue;
    await conntrack.flush({ zone: entry.zone, tuple: entry.original });
  }
}

const isEmpty = (tuple: CtTuple): boolean => Object.keys(tuple).length === 0;

function fits(tuple: Tuple, wanted: CtTuple): boolean {
  const { source, destination, sourcePort, destinationPort } = wanted;
  const same = (bytes: Uint8Array, address: bigint | undefined): boolean =>
    address === undefined || mapped(bytes) === address;
  const equal = (value: number | undefined, number: number | undefined): boolean =>
    number === undefined || value === number;
  if (!same(tuple.src, source) || !same(tuple.dst, destination)) return false;
  return equal(tuple.srcPort, sourcePort) && equal(tuple.dstPort, destinationPort) &&
    equal(tuple.icmp?.id, wanted.icmpId) && equal(tuple.icmp?.type, wanted.icmpType) &&
    equal(tuple.icmp?.code, wanted.icmpCode);
}

/** As 128 bits, IPv4 as `::ffff:a.b.c.d`. */
function mapped(address: Uint8Array): bigint {
  let value = address.length === 4 ? 0xffffn : 0n;
  for (const byte of address) value = (value << 8n) | BigInt(byte);
  return value;
}

/** Counters of the bridge's own IPFIX exporter, or of those of collector sets. */
export function answerIpfix(agent: Agent, what: "bridge" | "flow", xid: number): void {
  const stats = agent.bridge.exports.ipfixStats(what);
  if (!stats) {
    const text = `there are no ${what} statistics: no IPFIX is set up`;
    throw new OfError("NXST_NOT_CONFIGURED", 0, text);
  }
  agent.send({ type: what === "bridge" ? "ipfix_bridge_reply" : "ipfix_flow_reply", stats }, xid);
}
