/**
 * Copies of packets for collectors: sFlow and IPFIX. What a bridge exports is its `SamplingModel`
 * (src/slowpath/export); here translation puts the `userspace` actions where Open vSwitch has them,
 * and notes for each what becomes of the packet, which is known only when translation is over.
 *
 * - On the way in, once, before anything else: sFlow, then the bridge's IPFIX.
 * - On the way out, in front of each output: the bridge's IPFIX.
 * - Where `sample(…)` stands: IPFIX of a collector set.
 *
 * A punt stands for each (punt.ts). NetFlow needs no copies: it counts what megaflows count.
 */
import type {
  DpAction,
  DpTunnel,
  UserspaceAction,
  UserspaceCookie,
} from "../../fastpath/actions.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { ActionOf } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import type { FlowKey } from "../../packet/key.ts";
import { AT, inPort, look16, lookBytes, u16, u32, VLAN_VID } from "./bits.ts";
import type { BridgeModel } from "./model.ts";
import { readTrail, type Trail } from "./trail.ts";
import type { Xlate } from "./xlate.ts";

export type SampleCookie = Extract<UserspaceCookie, { kind: "sflow" | "ipfix" | "flow_sample" }>;

/** A sampled packet's origin and fate, the same for all packets of the megaflow. */
export interface Sample {
  readonly cookie: SampleCookie;
  readonly trail: Trail;
  /** Of the tunnel that the packet is about to leave by. */
  readonly tunnel: DpTunnel | undefined;
}

/** What NetFlow tells flows apart by; port numbers are OpenFlow's. */
export interface NetflowKey {
  readonly inPort: number;
  readonly src: number;
  readonly dst: number;
  readonly tos: number;
  readonly protocol: number;
  readonly tpSrc: number;
  readonly tpDst: number;
}

export interface NetflowModel {
  /** `usedMs`: clock time of the last of the packets. */
  count(
    key: NetflowKey,
    output: number,
    packets: number,
    bytes: number,
    usedMs: number,
    tcpFlags: number,
  ): void;
  /** The datapath has no flow for it any more. */
  ended(key: NetflowKey): void;
}

/** What of a bridge's packets goes to collectors. */
export interface SamplingModel {
  /** `probability`: of 2^32 - 1. */
  readonly sflow:
    | { readonly probability: number; ifindex(dpPort: number): number }
    | undefined;
  readonly ipfix:
    | {
      readonly probability: number;
      readonly input: boolean;
      readonly output: boolean;
      readonly tunnels: boolean;
    }
    | undefined;
  /** Collector sets for `sample`, and whether each wants tunnels' metadata; undefined: no IPFIX. */
  readonly flowIpfix: { tunnels(collectorSet: number): boolean } | undefined;
  readonly netflow: NetflowModel | undefined;
  isTunnel(dpPort: number): boolean;
  /** One of the packets; `key` is its datapath key as it was sampled. */
  sample(sample: Sample, packet: Packet, key: FlowKey): void;
}

/** Where a packet went, in NetFlow's words. */
const OUT = { FLOOD: 0xffff, MULTI: 0xfffe, DROP: 0xfffd } as const;

/** Output ports that are not one port, in sFlow's words (sFlow 5, "Input/output port information"). */
const SFLOW_DROPPED = 0x40000000 | 256;
const SFLOW_MANY = 0x80000000;

const ALL = 0xffffffff;
/** A datapath's "no port". */
const NO_PORT = 0xffffffff;
const PCP_SHIFT = 13;
const ETH_IPV4 = 0x0800;
const DSCP = 0xfc;

interface Placed {
  readonly bridge: BridgeModel;
  readonly action: { -readonly [K in keyof UserspaceAction]: UserspaceAction[K] };
  readonly tunnel: DpTunnel | undefined;
}

/** What one translation has noted for samples. */
export class SamplingState {
  readonly placed: Placed[] = [];
  /** The sFlow action, of which more is known at the end. */
  sflow: Placed | undefined;
  netflow: { readonly model: NetflowModel; readonly key: NetflowKey } | undefined;
  /** Outputs so far, and the datapath port of the last. */
  outputs = 0;
  dpPort = NO_PORT;
  /** As NetFlow says it. */
  output: number = OUT.DROP;

  /** The packet went out through a port. */
  wentOut(dpPort: number, ofport: number): void {
    this.outputs++;
    this.dpPort = dpPort;
    this.output = ofport;
  }

  flooded(): void {
    this.output = OUT.FLOOD;
  }

  /** Runs what is one output action; NetFlow knows one port, many, or a flood. */
  during(body: () => void): void {
    const before = this.output;
    this.output = OUT.DROP;
    body();
    if (before === OUT.FLOOD) this.output = OUT.FLOOD;
    else if (this.output === OUT.DROP) this.output = before;
    else if (before !== OUT.DROP && this.output !== OUT.FLOOD) this.output = OUT.MULTI;
  }
}

/** The packet has come in and goes through the tables. */
export function sampleIngress(x: Xlate): void {
  const { sampling } = x.bridge;
  if (!sampling || x.thawed) return;
  const { sflow, ipfix, netflow } = sampling;
  if (netflow) beginNetflow(x, netflow);
  if (inPort(x.key) === PORTS.NONE) return;
  if (sflow) {
    const cookie: SampleCookie = { kind: "sflow", vid: 0, pcp: 0, output: 0 };
    x.sampling.sflow = place(x, sflow.probability, cookie, { withActions: true });
  }
  if (ipfix?.input) place(x, ipfix.probability, { kind: "ipfix", outputPort: NO_PORT });
}

/** The packet is about to leave through a port of the datapath, that of a tunnel included. */
export function sampleEgress(x: Xlate, dpPort: number): void {
  const { sampling } = x.bridge;
  const ipfix = sampling?.ipfix;
  if (!ipfix?.output) return;
  const tunnel = ipfix.tunnels && sampling!.isTunnel(dpPort);
  place(
    x,
    ipfix.probability,
    { kind: "ipfix", outputPort: dpPort },
    tunnel ? { tunnelOutPort: dpPort } : {},
  );
}

/** `sample(…)` (ovs-actions(7), "The sample action"). */
export function sampleFlow(x: Xlate, action: ActionOf<"sample">): void {
  const { sampling } = x.bridge;
  if (!sampling?.flowIpfix) return;
  let outputPort = NO_PORT;
  let throughTunnel = false;
  if (action.samplingPort !== PORTS.NONE && action.samplingPort !== inPort(x.key)) {
    const port = x.port(action.samplingPort);
    if (port?.dpPort === undefined) {
      return x.complain(`can't use unknown port ${action.samplingPort} in flow sample action`);
    }
    outputPort = port.dpPort;
    throughTunnel = sampling.flowIpfix.tunnels(action.collectorSet) &&
      sampling.isTunnel(outputPort);
  }
  x.commit();
  if (throughTunnel) x.port(action.samplingPort)?.tunnel?.prepare?.(x);
  place(
    x,
    // The same share of 32 bits as it is of 16.
    ((action.probability << 16) | action.probability) >>> 0,
    {
      kind: "flow_sample",
      probability: action.probability,
      collectorSetId: action.collectorSet,
      obsDomainId: action.domain,
      obsPointId: action.point,
      outputPort,
      direction: action.direction === "default" ? "" : action.direction,
    },
    throughTunnel ? { tunnelOutPort: outputPort } : {},
  );
}

function place(
  x: Xlate,
  probability: number,
  cookie: SampleCookie,
  options: Pick<UserspaceAction, "tunnelOutPort" | "withActions"> = {},
): Placed | undefined {
  if (probability === 0) return undefined;
  const placed: Placed = {
    bridge: x.bridge,
    action: { type: "userspace", userdata: 0, cookie, ...options },
    tunnel: options.tunnelOutPort === undefined ? undefined : lastTunnel(x.actions),
  };
  x.sampling.placed.push(placed);
  const meter = x.bridge.tables.meters.forSlowPath();
  if (probability === ALL && meter === undefined) x.emit(placed.action);
  else {
    const actions = x.nest(() => {
      if (meter !== undefined) x.emit({ type: "meter", id: meter });
      x.emit(placed.action);
    });
    x.emit({ type: "sample", probability, actions });
  }
  return placed;
}

function lastTunnel(actions: readonly DpAction[]): DpTunnel | undefined {
  return actions.findLast((action) => action.type === "set_tunnel")?.tunnel;
}

/** Translation is over, and `x.actions` is all that happens to the packet: samples get their numbers. */
export function finishSampling(x: Xlate): void {
  const { placed, sflow, netflow } = x.sampling;
  if (netflow) {
    x.effect({ type: "netflow", ...netflow, output: x.sampling.output });
  }
  if (placed.length === 0) return;
  if (sflow) {
    const tci = u16(x.base, AT.vlanTci);
    sflow.action.cookie = {
      kind: "sflow",
      vid: tci & VLAN_VID,
      pcp: tci >> PCP_SHIFT,
      output: sflowOutput(x, sflow.bridge),
    };
    look16(x.mask, AT.vlanTci, 0xffff);
  }
  const trail = readTrail(x.actions);
  for (const { bridge, action, tunnel } of placed) {
    const sample = { cookie: action.cookie as SampleCookie, trail, tunnel };
    action.userdata = x.puntNumbers.number({ bridge, sample });
    x.punts.push(action.userdata);
  }
}

function sflowOutput(x: Xlate, { sampling }: BridgeModel): number {
  const { outputs, dpPort } = x.sampling;
  if (outputs === 0) return SFLOW_DROPPED;
  const ifindex = outputs === 1 ? sampling?.sflow?.ifindex(dpPort) ?? 0 : 0;
  return ifindex !== 0 ? ifindex : (SFLOW_MANY | outputs) >>> 0;
}

/** What NetFlow tells flows apart by is looked at. */
function beginNetflow(x: Xlate, model: NetflowModel): void {
  const { key, mask } = x;
  if (u16(key, AT.ethType) !== ETH_IPV4) return;
  lookBytes(mask, AT.nwProto, 1);
  lookBytes(mask, AT.nwSrc, 4);
  lookBytes(mask, AT.nwDst, 4);
  lookBytes(mask, AT.tpSrc, 2);
  lookBytes(mask, AT.tpDst, 2);
  mask.bytes[AT.nwTos]! |= DSCP;
  x.sampling.netflow = {
    model,
    key: {
      inPort: inPort(key),
      src: u32(key, AT.nwSrc),
      dst: u32(key, AT.nwDst),
      tos: key.bytes[AT.nwTos]! & DSCP,
      protocol: key.bytes[AT.nwProto]!,
      tpSrc: u16(key, AT.tpSrc),
      tpDst: u16(key, AT.tpDst),
    },
  };
}
