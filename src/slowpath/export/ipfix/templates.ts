/**
 * IPFIX templates (RFC 7011 §3.4), Open vSwitch's: one for each combination of link layer, network
 * protocol, transport, tunnel and direction. A template is a list of fields: which element, and what
 * of the sampled packet, or of the flow's counters, is its value. Template records and data records
 * are both written from that list, so that they cannot differ.
 *
 *     flow key (SampledPacket) | virtualObsID, if there is one | counters (FlowRecord)
 */
import type { Writer } from "../../../openflow/wire.ts";
import { type Element, type ElementName, ELEMENTS } from "./elements.ts";
import type { FlowRecord, SampledPacket } from "./sample.ts";

export type Value = number | bigint | string | Uint8Array;

/** An element with where its value comes from. */
export interface Field<S> {
  readonly element: Element;
  readonly value: (source: S) => Value;
}

type Fields<S> = readonly Field<S>[];

const field = <S>(name: ElementName, value: (source: S) => Value): Field<S> => ({
  element: ELEMENTS[name],
  value,
});
const packet = (name: ElementName, value: (p: SampledPacket) => Value): Field<SampledPacket> =>
  field(name, value);
const record = (name: ElementName, value: (r: FlowRecord) => Value): Field<FlowRecord> =>
  field(name, value);

const COMMON: Fields<SampledPacket> = [
  packet("observationPointId", (p) => p.pointId),
  packet("flowDirection", (p) => (p.egress ? 1 : 0)),
  packet("sourceMacAddress", (p) => p.bytes("eth_src")),
  packet("destinationMacAddress", (p) => p.bytes("eth_dst")),
  packet("ethernetType", (p) => p.ethType),
  packet("ethernetHeaderLength", (p) => p.headerBytes),
  packet("ingressInterface", (p) => p.input.ifindex),
  // Types and descriptions of interfaces are not known here, nor in Open vSwitch but for DPDK.
  packet("ingressInterfaceType", () => 0),
  packet("interfaceName", (p) => p.input.name),
  packet("interfaceDescription", () => ""),
];
const EGRESS: Fields<SampledPacket> = [
  packet("egressInterface", (p) => p.output.ifindex),
  packet("egressInterfaceType", () => 0),
  packet("interfaceName", (p) => p.output.name),
  packet("interfaceDescription", () => ""),
];
const VLAN: Fields<SampledPacket> = [
  packet("vlanId", (p) => p.vid),
  packet("dot1qVlanId", (p) => p.vid),
  packet("dot1qPriority", (p) => p.pcp),
];
const IP: Fields<SampledPacket> = [
  packet("ipVersion", (p) => (p.ipv6 ? 6 : 4)),
  packet("ipTTL", (p) => p.number("nw_ttl")),
  packet("protocolIdentifier", (p) => p.number("nw_proto")),
  packet("ipDiffServCodePoint", (p) => p.number("nw_tos") >> 2),
  packet("ipPrecedence", (p) => p.number("nw_tos") >> 5),
  packet("ipClassOfService", (p) => p.number("nw_tos")),
];
const IPV4: Fields<SampledPacket> = [
  packet("sourceIPv4Address", (p) => p.bytes("nw_src")),
  packet("destinationIPv4Address", (p) => p.bytes("nw_dst")),
];
const IPV6: Fields<SampledPacket> = [
  packet("sourceIPv6Address", (p) => p.bytes("ipv6_src")),
  packet("destinationIPv6Address", (p) => p.bytes("ipv6_dst")),
  packet("flowLabelIPv6", (p) => p.number("ipv6_label")),
];
const PORTS: Fields<SampledPacket> = [
  packet("sourceTransportPort", (p) => p.number("tp_src")),
  packet("destinationTransportPort", (p) => p.number("tp_dst")),
];
const ICMPV4: Fields<SampledPacket> = [
  packet("icmpTypeIPv4", (p) => p.number("tp_src") & 0xff),
  packet("icmpCodeIPv4", (p) => p.number("tp_dst") & 0xff),
];
const ICMPV6: Fields<SampledPacket> = [
  packet("icmpTypeIPv6", (p) => p.number("tp_src") & 0xff),
  packet("icmpCodeIPv6", (p) => p.number("tp_dst") & 0xff),
];
const TUNNEL: Fields<SampledPacket> = [
  packet("tunnelSourceIPv4Address", (p) => p.tunnel!.src),
  packet("tunnelDestinationIPv4Address", (p) => p.tunnel!.dst),
  packet("tunnelProtocolIdentifier", (p) => p.tunnel!.protocol),
  packet("tunnelSourceTransportPort", (p) => p.tunnel!.tpSrc),
  packet("tunnelDestinationTransportPort", (p) => p.tunnel!.tpDst),
  packet("tunnelType", (p) => p.tunnel!.type),
  packet("tunnelKey", (p) => p.tunnel!.key),
];

const COUNTS: Fields<FlowRecord> = [
  record("flowStartDeltaMicroseconds", (r) => r.startDeltaUsec),
  record("flowEndDeltaMicroseconds", (r) => r.endDeltaUsec),
  record("droppedPacketDeltaCount", (r) => r.delta.droppedPackets),
  record("droppedPacketTotalCount", (r) => r.total.droppedPackets),
  record("packetDeltaCount", (r) => r.delta.packets),
  record("packetTotalCount", (r) => r.total.packets),
  record("ingressUnicastPacketTotalCount", (r) => r.total.inUnicast),
  record("ingressMulticastPacketTotalCount", (r) => r.total.inMulticast),
  record("ingressBroadcastPacketTotalCount", (r) => r.total.inBroadcast),
  record("egressUnicastPacketTotalCount", (r) => r.total.outUnicast),
  record("egressBroadcastPacketTotalCount", (r) => r.total.outBroadcast),
  record("postMCastPacketDeltaCount", (r) => r.delta.outMulticast),
  record("postMCastPacketTotalCount", (r) => r.total.outMulticast),
  record("layer2OctetDeltaCount", (r) => r.delta.octets),
  record("layer2OctetTotalCount", (r) => r.total.octets),
  record("flowEndReason", (r) => r.endReason),
];
const IP_COUNTS: Fields<FlowRecord> = [
  record("droppedOctetDeltaCount", (r) => r.delta.droppedIpOctets),
  record("droppedOctetTotalCount", (r) => r.total.droppedIpOctets),
  record("octetDeltaCount", (r) => r.delta.ipOctets),
  record("octetTotalCount", (r) => r.total.ipOctets),
  record("octetDeltaSumOfSquares", (r) => r.delta.ipOctetSquares),
  record("octetTotalSumOfSquares", (r) => r.total.ipOctetSquares),
  record("minimumIpTotalLength", (r) => r.shortest),
  record("maximumIpTotalLength", (r) => r.longest),
  record("postMCastOctetDeltaCount", (r) => r.delta.outMulticastIpOctets),
  record("postMCastOctetTotalCount", (r) => r.total.outMulticastIpOctets),
];
const TCP_COUNTS: Fields<FlowRecord> = [
  record("tcpAckTotalCount", (r) => r.total.ack),
  record("tcpFinTotalCount", (r) => r.total.fin),
  record("tcpPshTotalCount", (r) => r.total.psh),
  record("tcpRstTotalCount", (r) => r.total.rst),
  record("tcpSynTotalCount", (r) => r.total.syn),
  record("tcpUrgTotalCount", (r) => r.total.urg),
];

export const LINK = ["ethernet", "vlan"] as const;
export const NETWORK = ["other", "ipv4", "ipv6"] as const;
export const TRANSPORT = ["other", "tcp", "udp", "sctp", "icmp"] as const;

/** What a packet is, as far as templates tell it. */
export interface Shape {
  readonly link: (typeof LINK)[number];
  readonly network: (typeof NETWORK)[number];
  readonly transport: (typeof TRANSPORT)[number];
  readonly tunnel: boolean;
  readonly egress: boolean;
}

export interface Template {
  readonly id: number;
  readonly key: Fields<SampledPacket>;
  readonly counters: Fields<FlowRecord>;
}

/** Template numbers below are of sets (RFC 7011 §3.3.2). */
const FIRST_ID = 256;

/** Numbered as Open vSwitch numbers them; those that cannot be leave gaps. */
function idOf(link: number, network: number, transport: number, tunnel: number, out: number) {
  return FIRST_ID +
    (((link * NETWORK.length + network) * TRANSPORT.length + transport) * 2 + tunnel) * 2 + out;
}

export function templateId({ link, network, transport, tunnel, egress }: Shape): number {
  return idOf(
    LINK.indexOf(link),
    NETWORK.indexOf(network),
    TRANSPORT.indexOf(transport),
    Number(tunnel),
    Number(egress),
  );
}

function transportFields({ network, transport }: Shape): Fields<SampledPacket> {
  switch (transport) {
    case "other":
      return [];
    case "tcp":
    case "udp":
    case "sctp":
      return PORTS;
    case "icmp":
      return network === "ipv6" ? ICMPV6 : ICMPV4;
    default: {
      const never: never = transport;
      throw new Error(`transport ${never}`);
    }
  }
}

function templateOf(shape: Shape): Template {
  const isIp = shape.network !== "other";
  return {
    id: templateId(shape),
    key: [
      ...COMMON,
      ...(shape.egress ? EGRESS : []),
      ...(shape.link === "vlan" ? VLAN : []),
      ...(isIp ? IP : []),
      ...(isIp ? (shape.network === "ipv4" ? IPV4 : IPV6) : []),
      ...transportFields(shape),
      ...(shape.tunnel ? TUNNEL : []),
    ],
    counters: [
      ...COUNTS,
      ...(isIp ? IP_COUNTS : []),
      ...(shape.transport === "tcp" ? TCP_COUNTS : []),
    ],
  };
}

function shapes(): Shape[] {
  const all: Shape[] = [];
  for (const link of LINK) {
    for (const network of NETWORK) {
      for (const transport of TRANSPORT) {
        if (network === "other" && transport !== "other") continue;
        for (const tunnel of [false, true]) {
          for (const egress of [false, true]) {
            all.push({ link, network, transport, tunnel, egress });
          }
        }
      }
    }
  }
  return all;
}

export const TEMPLATES: ReadonlyMap<number, Template> = new Map(
  shapes().map((shape) => [templateId(shape), templateOf(shape)]),
);

/** What the exporter says of itself (RFC 7011 §4.3), with its one scope field first. */
export interface ExporterState {
  readonly exporter: number;
  readonly errors: number;
}
export const EXPORTER_TEMPLATE = {
  /** Behind the highest that the numbering could give. */
  id: idOf(LINK.length, NETWORK.length, TRANSPORT.length, 2, 2),
  scopes: 1,
  fields: [
    field<ExporterState>("exportingProcessId", (s) => s.exporter),
    field<ExporterState>("notSentPacketTotalCount", (s) => s.errors),
  ],
} as const;

const VARIABLE = 0xffff;
const ENTERPRISE = 0x8000;
/** Lengths of variable fields are written in one byte (RFC 7011 §7). */
export const MAX_VARIABLE_BYTES = 254;

/** A field specifier (RFC 7011 §3.2). */
export function putSpecifier(writer: Writer, { id, bytes, enterprise }: Element): void {
  writer.u16(enterprise === undefined ? id : id | ENTERPRISE).u16(bytes === 0 ? VARIABLE : bytes);
  if (enterprise !== undefined) writer.u32(enterprise);
}

export function putValue(writer: Writer, { bytes }: Element, value: Value): void {
  if (bytes === 0) {
    const whole = typeof value === "string" ? new TextEncoder().encode(value) : value as Uint8Array;
    const data = whole.subarray(0, MAX_VARIABLE_BYTES);
    writer.u8(data.length).put(data);
  } else if (value instanceof Uint8Array) writer.put(value);
  else if (typeof value === "string") throw new Error("text has no fixed length");
  else writer.big(BigInt(value), bytes);
}

export function putFields<S>(writer: Writer, fields: Fields<S>, source: S): void {
  for (const { element, value } of fields) putValue(writer, element, value(source));
}
