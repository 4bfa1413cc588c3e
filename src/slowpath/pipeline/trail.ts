/**
 * What becomes of a packet, as far as sFlow and IPFIX records say it, read off the datapath actions:
 * whether it leaves, through which tunnel, and with which labels.
 */
import type { DpAction, DpTunnel } from "../../fastpath/actions.ts";
import { slot } from "../../packet/layout.ts";

/** The outer headers that the packet gets. */
export interface TrailTunnel {
  /** 4 bytes each. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly tos: number;
  /** IP protocol; 0: that of the tunnel which `dpPort` is. */
  readonly protocol: number;
  readonly tpSrc: number;
  readonly tpDst: number;
  readonly id: bigint;
}

export type LabelStep =
  | { readonly do: "push" | "set"; readonly lse: number }
  | { readonly do: "pop" };

export interface Trail {
  /** At least one output is sure. */
  readonly forwarded: boolean;
  /** Set when the packet gets outer headers once, which are IPv4's. */
  readonly tunnel: TrailTunnel | undefined;
  /** The datapath port of the last output. */
  readonly dpPort: number | undefined;
  /** What happens to the label stack, in order. */
  readonly labels: readonly LabelStep[];
}

const ALWAYS = 0xffffffff;
const UDP = 17;
const GRE = 47;
const L4 = 34;
const GRE_CSUM = 0x80;
const GRE_KEY = 0x20;
const LABELS = slot("mpls_lse0").name;

class Reader {
  forwarded = false;
  depth = 0;
  unclear = false;
  tunnel: TrailTunnel | undefined;
  dpPort: number | undefined;
  readonly labels: LabelStep[] = [];

  read(actions: readonly DpAction[], surely: boolean): void {
    for (const action of actions) this.step(action, surely);
  }

  private step(action: DpAction, surely: boolean): void {
    switch (action.type) {
      case "output":
        this.dpPort = action.port;
        if (surely) this.forwarded = true;
        return;
      case "lb_output":
        if (surely) this.forwarded = true;
        return;
      case "clone":
        return this.read(action.actions, surely);
      case "sample":
        // Samples themselves output nothing; a copy that is always made is one.
        if (action.probability === ALWAYS) this.read(action.actions, surely);
        return;
      case "set_tunnel":
        this.encapsulated(fromMetadata(action.tunnel));
        return;
      case "tnl_push":
        this.dpPort = action.outPort;
        this.encapsulated(fromHeader(action.header));
        return;
      case "tnl_pop":
        this.unclear = true;
        return;
      case "push_mpls":
        this.labels.push({ do: "push", lse: action.lse });
        return;
      case "pop_mpls":
        this.labels.push({ do: "pop" });
        return;
      case "set":
        if (action.slot !== LABELS) return;
        this.labels.push({ do: "set", lse: new DataView(action.value.buffer).getUint32(0) });
        return;
      default:
        return;
    }
  }

  private encapsulated(tunnel: TrailTunnel | undefined): void {
    if (++this.depth > 1 || !tunnel) this.unclear = true;
    this.tunnel = tunnel;
  }
}

export function readTrail(actions: readonly DpAction[]): Trail {
  const reader = new Reader();
  reader.read(actions, true);
  const { forwarded, dpPort, labels, unclear, tunnel } = reader;
  return { forwarded, dpPort, labels, tunnel: unclear ? undefined : tunnel };
}

function fromMetadata(tunnel: DpTunnel): TrailTunnel | undefined {
  const { src = new Uint8Array(4), dst, tos = 0, tpSrc = 0, tpDst = 0, id = 0n } = tunnel;
  return dst.length === 4 ? { src, dst, tos, protocol: 0, tpSrc, tpDst, id } : undefined;
}

/** Ethernet and IPv4 without options, then UDP or GRE, as tunnels are sent. */
function fromHeader(header: Uint8Array): TrailTunnel | undefined {
  if (header[12] !== 0x08 || header[13] !== 0x00 || header.length < L4) return undefined;
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const protocol = header[23]!;
  const tunnel = {
    src: header.slice(26, 30),
    dst: header.slice(30, 34),
    tos: header[15]!,
    protocol,
    tpSrc: 0,
    tpDst: 0,
    id: 0n,
  };
  if (protocol === UDP && header.length >= L4 + 16) {
    // VXLAN (RFC 7348 §5) and Geneve (RFC 8926 §3.4) have the VNI at the same place.
    tunnel.tpSrc = view.getUint16(L4);
    tunnel.tpDst = view.getUint16(L4 + 2);
    tunnel.id = BigInt(view.getUint32(L4 + 12) >>> 8);
  } else if (protocol === GRE && header.length >= L4 + 4) {
    const flags = header[L4]!;
    const key = L4 + 4 + (flags & GRE_CSUM ? 4 : 0);
    if (flags & GRE_KEY && header.length >= key + 4) tunnel.id = BigInt(view.getUint32(key));
  }
  return tunnel;
}

/** The label stack that the packet leaves with, outermost first; undefined: nobody can tell. */
export function labelsAfter(
  before: readonly number[],
  steps: readonly LabelStep[],
): number[] | undefined {
  const stack = [...before];
  for (const step of steps) {
    if (step.do === "push") stack.unshift(step.lse);
    else if (stack.length === 0) {
      // The datapath counts labels beyond the first ones; the key does not show them.
      if (step.do === "pop") return undefined;
      stack.unshift(step.lse);
    } else if (step.do === "pop") stack.shift();
    else stack[0] = step.lse;
  }
  return stack;
}
