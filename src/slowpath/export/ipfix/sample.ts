/** A sampled packet as IPFIX sees it, and what a flow of such packets adds up to. */
import type { Packet } from "../../../fastpath/datapath.ts";
import type { FlowKey } from "../../../packet/key.ts";
import { FIELDS, type SlotName } from "../../../packet/layout.ts";
import type { Sample } from "../../pipeline/sampling.ts";
import { exportedPort, type ExportSource, NO_PORT } from "../ports.ts";
import { slotBytes, slotNumber } from "../slots.ts";
import type { Shape } from "./templates.ts";
import type { SampledTunnel } from "./tunnel.ts";

/** Counters of a flow, or of all that an exporter has seen. */
export interface Counts {
  packets: number;
  octets: number;
  droppedPackets: number;
  ipOctets: number;
  ipOctetSquares: number;
  droppedIpOctets: number;
  inUnicast: number;
  inMulticast: number;
  inBroadcast: number;
  outUnicast: number;
  outMulticast: number;
  outBroadcast: number;
  outMulticastIpOctets: number;
  ack: number;
  fin: number;
  psh: number;
  rst: number;
  syn: number;
  urg: number;
}

export const noCounts = (): Counts => ({
  packets: 0,
  octets: 0,
  droppedPackets: 0,
  ipOctets: 0,
  ipOctetSquares: 0,
  droppedIpOctets: 0,
  inUnicast: 0,
  inMulticast: 0,
  inBroadcast: 0,
  outUnicast: 0,
  outMulticast: 0,
  outBroadcast: 0,
  outMulticastIpOctets: 0,
  ack: 0,
  fin: 0,
  psh: 0,
  rst: 0,
  syn: 0,
  urg: 0,
});

export function addCounts(to: Counts, more: Counts): void {
  for (const name of Object.keys(more) as (keyof Counts)[]) to[name] += more[name];
}

/** A flow when it is exported. */
export interface FlowRecord {
  readonly startDeltaUsec: number;
  readonly endDeltaUsec: number;
  readonly delta: Readonly<Counts>;
  /** Of the whole exporter, when the flow was last seen. */
  readonly total: Readonly<Counts>;
  readonly shortest: number;
  readonly longest: number;
  /** RFC 5102 §5.11.3. */
  readonly endReason: number;
}

interface Place {
  readonly ifindex: number;
  readonly name: string;
}

const NOWHERE: Place = { ifindex: 0, name: "" };
const ETH_BYTES = 14;
const VLAN_BYTES = 4;
const VLAN_VID = 0xfff;
const PCP_SHIFT = 13;
const MAX_NAME = 64;
const TRANSPORTS = new Map<number, Shape["transport"]>([[6, "tcp"], [17, "udp"], [132, "sctp"]]);
const ICMP = 1;
const ICMPV6 = 58;

/** What IPFIX makes of it: known all the way, or an error that is counted. */
export type Kind = "ipv4" | "ipv4 error" | "ipv6" | "ipv6 error" | "other";

export class SampledPacket {
  readonly input: Place;
  readonly output: Place;
  readonly egress: boolean;
  readonly ethType: number;
  readonly headerBytes: number;
  readonly vid: number;
  readonly pcp: number;
  readonly ipv6: boolean;
  readonly shape: Shape;
  readonly kind: Kind;

  constructor(
    source: ExportSource,
    private readonly key: FlowKey,
    sample: Sample,
    outputPort: number,
    direction: "" | "ingress" | "egress",
    readonly pointId: number,
    readonly tunnel: SampledTunnel | undefined,
  ) {
    this.egress = direction === "egress" || (direction === "" && outputPort !== NO_PORT);
    this.input = placeOf(source, key.get(FIELDS.in_port));
    this.output = outputPort === NO_PORT ? NOWHERE : placeOf(source, outputPort);
    this.ethType = this.number("eth_type");
    const tci = this.number("vlan_tci");
    this.vid = tci & VLAN_VID;
    this.pcp = tci >> PCP_SHIFT;
    this.headerBytes = ETH_BYTES + (tci === 0 ? 0 : VLAN_BYTES);
    this.ipv6 = this.ethType === 0x86dd;
    const network = this.ipv6 ? "ipv6" : this.ethType === 0x0800 ? "ipv4" : "other";
    const protocol = this.number("nw_proto");
    const isIcmp = protocol === (this.ipv6 ? ICMPV6 : ICMP);
    const transport = network === "other"
      ? "other"
      : isIcmp
      ? "icmp"
      : TRANSPORTS.get(protocol) ?? "other";
    this.kind = network === "other"
      ? "other"
      : transport === "other"
      ? `${network} error`
      : network;
    this.shape = {
      link: tci === 0 ? "ethernet" : "vlan",
      network,
      transport,
      tunnel: tunnel !== undefined,
      egress: this.egress,
    };
    this.forwarded = sample.trail.forwarded;
  }

  readonly forwarded: boolean;

  bytes(name: SlotName): Uint8Array {
    return slotBytes(this.key, name);
  }

  number(name: SlotName): number {
    return slotNumber(this.key, name);
  }

  /** What the packet counts, standing for `packets` of its like. */
  counts({ data }: Packet, packets: number): Counts {
    const counts = noCounts();
    const octets = packets * data.length;
    counts.packets = packets;
    counts.octets = octets;
    if (!this.forwarded) counts.droppedPackets = packets;
    const way = this.egress ? "out" : "in";
    const cast = this.cast();
    counts[`${way}${cast}`] = packets;
    if (this.shape.network !== "other") {
      const length = this.ipLength(data.length);
      counts.ipOctets = packets * length;
      counts.ipOctetSquares = packets * length * length;
      if (!this.forwarded) counts.droppedIpOctets = counts.ipOctets;
      if (this.egress && cast === "Multicast") counts.outMulticastIpOctets = counts.ipOctets;
    }
    if (this.shape.transport === "tcp") {
      const flags = this.number("tcp_flags");
      for (const [i, name] of (["fin", "syn", "rst", "psh", "ack", "urg"] as const).entries()) {
        if (flags & (1 << i)) counts[name] = packets;
      }
    }
    return counts;
  }

  ipLength(frameBytes: number): number {
    return this.shape.network === "other" ? 0 : Math.max(0, frameBytes - this.headerBytes);
  }

  private cast(): "Unicast" | "Multicast" | "Broadcast" {
    const address = this.bytes("eth_dst");
    if (address.every((byte) => byte === 0xff)) return "Broadcast";
    return address[0]! & 1 ? "Multicast" : "Unicast";
  }
}

function placeOf(source: ExportSource, dpPort: number): Place {
  const found = exportedPort(source, dpPort);
  return found ? { ifindex: found.ifindex, name: found.port.name.slice(0, MAX_NAME) } : NOWHERE;
}
