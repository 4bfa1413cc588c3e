/**
 * An sFlow version 5 agent for one bridge: flow samples of its packets, and counters of its ports each
 * `pollingSec`. The structures are in structures.ts; what Open vSwitch puts into them is what
 * `ofproto-dpif-sflow.c` puts.
 *
 * - Packets are sampled by the datapath; that it does so at the rate asked for is assumed: the pool
 *   grows by the rate with each sample.
 * - The bridge samples as "physical entity" 1000 + its sub agent's number; ports count as their
 *   interface indexes, and ports without one do not.
 * - Datagrams leave once a second, or when full.
 *
 * Limits: one agent tells of the datapath as a whole; tunnels with IPv4 outside.
 */
import type { Packet } from "../../../fastpath/datapath.ts";
import type { FlowKey } from "../../../packet/key.ts";
import { FIELDS } from "../../../packet/layout.ts";
import type { Sample } from "../../pipeline/sampling.ts";
import { labelsAfter } from "../../pipeline/trail.ts";
import type { TunnelType } from "../../tunnels/kinds.ts";
import { TUNNEL_TYPES } from "../../tunnels/kinds.ts";
import type { Collectors } from "../collectors.ts";
import { exported, exportedPort, type ExportSource } from "../ports.ts";
import { slotBytes, slotNumber } from "../slots.ts";
import { type DatapathCounts, datapathRecords, portRecords } from "./counters.ts";
import { Datagrams, sourceId } from "./datagram.ts";
import {
  encodeStructure,
  EXTENDED_MPLS,
  EXTENDED_SWITCH,
  HEADER,
  TUNNEL_EGRESS,
  TUNNEL_INGRESS,
  VNI_EGRESS,
  VNI_INGRESS,
} from "./structures.ts";

export interface SflowOptions {
  /** One packet of so many. */
  readonly samplingRate: number;
  /** 0: ports are not asked for their counters. */
  readonly pollingSec: number;
  /** Bytes of each sampled packet. */
  readonly headerBytes: number;
  readonly subAgent: number;
}

export interface SflowSurroundings {
  readonly source: ExportSource;
  readonly collectors: Collectors;
  /** 4 or 16 bytes. */
  readonly agentAddress: Uint8Array;
  /** Undefined for all agents but one. */
  datapath(): DatapathCounts | undefined;
  readonly now: () => number;
  /** 0 ≤ n < 1: where in the polling interval each port is asked first. */
  readonly random: () => number;
}

const FIRST_ENTITY = 1000;
/** ISO 8023: an Ethernet frame, of which the check sequence is not there. */
const ETHERNET = 1;
const FCS_BYTES = 4;
const UNKNOWN = 0xffffffff;
const VLAN_VID = 0xfff;
const PCP_SHIFT = 13;
const UDP = 17;
const GRE = 47;
/** The type of output that says how many ports there were, not which. */
const OUTPUT_KIND = 0xc0000000;
const OUTPUT_MANY = 0x80000000;
const BOTTOM = 0x100;
const MPLS_TYPES = [0x8847, 0x8848];
const LABELS = ["mpls_lse0", "mpls_lse1", "mpls_lse2"] as const;

interface Poller {
  sequence: number;
  countdown: number;
}

export class SflowAgent {
  readonly probability: number;
  private readonly datagrams: Datagrams;
  private readonly entity: number;
  /** By source id. */
  private readonly pollers = new Map<number, Poller>();
  private sequence = 0;
  private pool = 0;

  constructor(
    private readonly options: SflowOptions,
    private readonly surroundings: SflowSurroundings,
  ) {
    const { collectors, agentAddress, now } = surroundings;
    this.probability = Math.max(1, Math.floor(UNKNOWN / options.samplingRate));
    this.entity = sourceId("entity", FIRST_ENTITY + options.subAgent);
    const started = now();
    this.datagrams = new Datagrams(
      agentAddress,
      options.subAgent,
      () => Math.floor((now() - started) / 1000) * 1000,
      (datagram) => collectors.send(datagram),
    );
  }

  get tooLong(): number {
    return this.datagrams.counters.tooLong;
  }

  ifindex(dpPort: number): number {
    return exportedPort(this.surroundings.source, dpPort)?.ifindex ?? 0;
  }

  /** `key`: the packet's, as the datapath had it. */
  sample(sample: Sample, { data }: Packet, key: FlowKey): void {
    const { cookie } = sample;
    if (cookie.kind !== "sflow") return;
    const { samplingRate, headerBytes } = this.options;
    this.pool += samplingRate;
    const inPort = exportedPort(this.surroundings.source, key.get(FIELDS.in_port));
    const tci = slotNumber(key, "vlan_tci");
    this.datagrams.addFlow({
      sequence: ++this.sequence,
      source: this.entity,
      rate: samplingRate,
      pool: this.pool,
      drops: 0,
      input: inPort?.ifindex ?? 0,
      output: cookie.output,
      // Open vSwitch's order is this: a list to whose front each is added.
      records: [
        encodeStructure(EXTENDED_SWITCH, {
          srcVlan: tci & VLAN_VID,
          srcPriority: tci >> PCP_SHIFT,
          dstVlan: cookie.vid,
          dstPriority: cookie.pcp,
        }),
        encodeStructure(HEADER, {
          protocol: ETHERNET,
          frameLength: data.length + FCS_BYTES,
          stripped: FCS_BYTES,
          header: data.subarray(0, headerBytes),
        }),
        ...(outputs(cookie.output) === 1 ? this.onTheWayOut(sample, key) : []),
        ...cameBy(key, inPort?.tunnel),
      ],
    });
  }

  /** Once a second. */
  tick(): void {
    const { pollingSec } = this.options;
    if (pollingSec > 0) this.poll();
    this.datagrams.flush();
  }

  close(): void {
    this.datagrams.flush();
    this.surroundings.collectors.close();
  }

  private onTheWayOut({ trail }: Sample, key: FlowKey): Uint8Array[] {
    const records: Uint8Array[] = [];
    const labels = trail.labels.length === 0
      ? labelsOf(key)
      : labelsAfter(labelsOf(key), trail.labels);
    if (labels && labels.length > 0) {
      const last = labels.length - 1;
      records.push(encodeStructure(EXTENDED_MPLS, {
        nextHop: new Uint8Array(4),
        inStack: [],
        // Which is the last one is known only now.
        outStack: labels.map((lse, i) => (i === last ? lse | BOTTOM : lse & ~BOTTOM)),
      }));
    }
    const { tunnel } = trail;
    if (tunnel) {
      if (tunnel.id !== 0n) {
        records.push(encodeStructure(VNI_EGRESS, { vni: Number(BigInt.asUintN(32, tunnel.id)) }));
      }
      const kind = trail.dpPort === undefined
        ? undefined
        : exportedPort(this.surroundings.source, trail.dpPort)?.tunnel;
      records.push(encodeStructure(TUNNEL_EGRESS, {
        length: 0,
        protocol: tunnel.protocol || protocolOf(kind),
        src: tunnel.src,
        dst: tunnel.dst,
        srcPort: tunnel.tpSrc,
        dstPort: tunnel.tpDst,
        tcpFlags: 0,
        tos: tunnel.tos,
      }));
    }
    return records;
  }

  /** Asks those whose time it is: the datapath, then the ports, the highest index first. */
  private poll(): void {
    if (this.isDue(this.entity)) this.pollDatapath();
    const ports = [...this.surroundings.source.ports.values()].map(exported)
      .filter(({ ifindex }) => ifindex > 0).sort((a, b) => b.ifindex - a.ifindex);
    const present = new Set([this.entity]);
    for (const { port, ifindex } of ports) {
      const source = sourceId("ifindex", ifindex);
      present.add(source);
      if (!this.isDue(source)) continue;
      this.addCounters(source, portRecords(this.surroundings.source, port, ifindex));
    }
    for (const source of this.pollers.keys()) if (!present.has(source)) this.pollers.delete(source);
  }

  private isDue(source: number): boolean {
    const { pollingSec } = this.options;
    let poller = this.pollers.get(source);
    if (!poller) {
      // Not all at once, where there are many.
      const countdown = 1 + Math.floor(this.surroundings.random() * pollingSec);
      this.pollers.set(source, poller = { sequence: 0, countdown });
    }
    if (--poller.countdown > 0) return false;
    poller.countdown = pollingSec;
    return true;
  }

  private pollDatapath(): void {
    const counts = this.surroundings.datapath();
    if (!counts) return;
    this.addCounters(this.entity, datapathRecords(counts));
  }

  private addCounters(source: number, records: readonly Uint8Array[]): void {
    this.datagrams.addCounters({ sequence: ++this.pollers.get(source)!.sequence, source, records });
  }
}

/** How many ports an output says that there were. */
function outputs(output: number): number {
  const kind = (output & OUTPUT_KIND) >>> 0;
  const number = output & ~OUTPUT_KIND;
  if (kind === 0) return number === 0 ? 0 : 1;
  return kind === OUTPUT_MANY ? number : 0;
}

function protocolOf(tunnel: TunnelType | undefined): number {
  if (tunnel === undefined) return 0;
  return TUNNEL_TYPES[tunnel].udpPort === undefined ? GRE : UDP;
}

function cameBy(key: FlowKey, tunnel: TunnelType | undefined): Uint8Array[] {
  const dst = slotBytes(key, "tun_dst");
  if (dst.every((byte) => byte === 0)) return [];
  const vni = new DataView(slotBytes(key, "tun_id").buffer).getUint32(4);
  return [
    ...(vni === 0 ? [] : [encodeStructure(VNI_INGRESS, { vni })]),
    encodeStructure(TUNNEL_INGRESS, {
      length: 0,
      protocol: protocolOf(tunnel),
      src: slotBytes(key, "tun_src"),
      dst,
      srcPort: slotNumber(key, "tun_tp_src"),
      dstPort: slotNumber(key, "tun_tp_dst"),
      tcpFlags: 0,
      tos: slotNumber(key, "tun_tos"),
    }),
  ];
}

/** The labels that the key shows, outermost first. */
function labelsOf(key: FlowKey): number[] {
  const labels: number[] = [];
  if (!MPLS_TYPES.includes(slotNumber(key, "eth_type"))) return labels;
  for (const name of LABELS) {
    const lse = slotNumber(key, name);
    labels.push(lse);
    if (lse & BOTTOM) break;
  }
  return labels;
}
