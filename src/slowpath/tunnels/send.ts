/**
 * A packet leaves through a tunnel port: the tunnel's metadata is filled in, and then either the host
 * is asked to send it (`set(tunnel)` and the tunnel's datapath port), or the outer headers are put on
 * here and the tunnelled packet goes through the bridge that it leaves by (`tnl_push`).
 *
 * Metadata that the port fills in is not seen by what comes after it in the pipeline; what actions
 * set, is (Open vSwitch `ofproto-dpif-xlate.c`, compose_output_action and native_tunnel_output).
 */
import { buildHeader, ETH_IPV4, ETH_IPV6, ETH_TEB } from "../../fastpath/tunnels/header.ts";
import { DatapathError } from "../../fastpath/datapath.ts";
import { formatMac } from "../../packet/address.ts";
import { buildFrame } from "../../packet/headers.ts";
import { FlowKey } from "../../packet/key.ts";
import { FIELDS, slot, type SlotName } from "../../packet/layout.ts";
import { formatAddress, isMappedIpv4, isUnset, narrow } from "../../packet/prefix.ts";
import type { BridgeModel, PortModel, TunnelModel } from "../pipeline/model.ts";
import { crossPatch } from "../pipeline/patch.ts";
import { sampleEgress } from "../pipeline/sampling.ts";
import type { Xlate } from "../pipeline/xlate.ts";
import type { TunnelConfig } from "./config.ts";
import { TUNNEL_TYPES } from "./kinds.ts";
import { copyTunnel, fillTunnel, sameTunnel, tunnelOf } from "./metadata.ts";
import type { OptionMap } from "./options.ts";
import { tunnelAddress } from "./ports.ts";
import type { Route } from "./routes.ts";
import type { Tunnels } from "./tunnels.ts";

/** A port of a bridge behind which the way to a tunnel's other end begins. */
export interface WayOut {
  readonly bridge: BridgeModel;
  readonly port: PortModel;
  readonly mac: Uint8Array;
}

export interface TunnelSurroundings<P> {
  readonly tunnels: Tunnels<P>;
  /** The TLV table of the bridge that the tunnel port belongs to. */
  readonly options: OptionMap;
  /** The port of a bridge that the device is, if it is one. */
  wayOut(device: string): WayOut | undefined;
  /** Sends a frame through the tables of a bridge, as if it came from the port. */
  ask(out: WayOut, frame: Uint8Array): void;
}

/** Packet types that are Ethernet types (OpenFlow 1.5.1 §7.2.3.11). */
const NAMESPACE_ETHERTYPE = 0x10000;
const OUTER_SLOTS = ([
  "eth_dst",
  "eth_src",
  "eth_type",
  "vlan_tci",
  "vlan_tpid",
  "vlan2_tci",
  "vlan2_tpid",
  "nw_src",
  "nw_dst",
  "ipv6_src",
  "ipv6_dst",
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "nw_frag",
  "tp_src",
  "tp_dst",
  "packet_type",
] satisfies SlotName[]).map(slot);

export class TunnelSender<P> implements TunnelModel {
  constructor(
    readonly config: TunnelConfig,
    private readonly dpPort: number,
    private readonly surroundings: TunnelSurroundings<P>,
  ) {}

  get isLayer3(): boolean {
    return this.config.packetType === "legacy_l3";
  }

  send(x: Xlate): void {
    const { config } = this;
    const before = x.key.clone();
    if (config.packetType === "legacy_l3" && x.key.get(FIELDS.packet_type) === 0) {
      // Its peers know no Ethernet: the header is taken off on the way out.
      x.key.set(FIELDS.packet_type, NAMESPACE_ETHERTYPE | x.key.get(FIELDS.eth_type));
    } else if (config.packetType === "legacy_l2" && x.key.get(FIELDS.packet_type) !== 0) {
      const text = "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.";
      return x.tracer?.report("warn", text);
    }
    fillTunnel(config, x.key, x.mask);
    if (isOwnAddress(x)) x.tracer?.report("warn", "Not tunneling to our own address");
    else if (this.isNative(x)) {
      x.tracer?.report("detail", "output to native tunnel");
      x.commit();
      this.push(x);
    } else {
      x.tracer?.report("detail", "output to kernel tunnel");
      this.setTunnel(x);
      x.commit();
      sampleEgress(x, this.dpPort);
      x.emit({ type: "output", port: this.dpPort });
    }
    copyTunnel(before, x.key);
    x.key.set(FIELDS.packet_type, before.get(FIELDS.packet_type));
  }

  /** Outer headers are put on here: the way out leads through a bridge, or the host cannot do it. */
  private isNative(x: Xlate): boolean {
    const { tunnels, wayOut } = this.surroundings;
    if (!tunnels.native || !tunnels.byHost) return tunnels.native;
    const route = this.route(x);
    if (route === undefined || wayOut(route.device) === undefined) return false;
    // Routes that people add are not the host's: it would send another way.
    return route.origin === "user" || !tunnels.byKernel(this.dpPort);
  }

  private route(x: Xlate): Route | undefined {
    const destination = tunnelAddress(x.key, "dst");
    const mark = x.key.get(FIELDS.pkt_mark);
    return this.surroundings.tunnels.routes.lookup(destination, mark, tunnelAddress(x.key, "src"));
  }

  /** A sample in front of the output tells of the tunnel. */
  prepare(x: Xlate): void {
    const before = x.key.clone();
    fillTunnel(this.config, x.key, x.mask);
    if (!this.isNative(x)) this.setTunnel(x);
    copyTunnel(before, x.key);
  }

  private setTunnel(x: Xlate): void {
    if (sameTunnel(x.key, x.base)) return;
    const tunnel = tunnelOf(this.config, x.key, this.surroundings.options);
    x.emit({ type: "set_tunnel", tunnel });
    copyTunnel(x.key, x.base);
  }

  /** Outer headers in front, and through the bridge that leads to the other end. */
  private push(x: Xlate): void {
    const { tunnels } = this.surroundings;
    const source = tunnelAddress(x.key, "src");
    const destination = tunnelAddress(x.key, "dst");
    const mark = x.key.get(FIELDS.pkt_mark);
    const route = tunnels.routes.lookup(destination, mark, source);
    const out = route && this.surroundings.wayOut(route.device);
    if (!route || !out) return x.tracer?.report("warn", "native tunnel routing failed");
    const next = isUnset(route.gateway) ? destination : route.gateway;
    const own = isUnset(source) ? route.source : source;
    x.tracer?.report("detail", `tunneling to ${formatAddress(next)} via ${route.device}`);
    const mac = tunnels.neighbours.lookup(out.bridge.name, next);
    if (!mac) {
      const protocol = isMappedIpv4(next) ? "ARP" : "ND";
      x.tracer?.report(
        "detail",
        `neighbor cache miss for ${formatAddress(next)} on bridge ${out.bridge.name}, ` +
          `sending ${protocol} request`,
      );
      const asking = tunnels.routes.sourceFor(next, out.bridge.name) ?? own;
      // A flow that is translated again asks too: its packets do not come up here. A trace does not.
      if (!x.tracer || x.learns) this.ask(out, asking, next);
      return;
    }
    x.effect({
      type: "touch",
      touch: () => void tunnels.neighbours.lookup(out.bridge.name, next),
    });
    x.tracer?.report(
      "detail",
      `tunneling from ${formatMac(out.mac)} ${formatAddress(own)} ` +
        `to ${formatMac(mac)} ${formatAddress(next)}`,
    );
    const header = this.header(x, own, out.mac, mac);
    if (header) this.through(x, out, header);
  }

  private header(
    x: Xlate,
    own: Uint8Array,
    ethSrc: Uint8Array,
    ethDst: Uint8Array,
  ): Uint8Array | undefined {
    const { config } = this;
    const format = {
      kind: TUNNEL_TYPES[config.type].kind,
      inner: innerType(x.key),
      sequence: config.sequence,
      gpe: config.gpe,
      gbp: config.gbp,
    };
    const tunnel = tunnelOf(config, x.key, this.surroundings.options);
    try {
      return buildHeader(format, tunnel, { ethDst, ethSrc, src: narrow(own) });
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error;
      x.tracer?.report("warn", "native tunnel header build failed");
      return undefined;
    }
  }

  /** The tunnelled packet runs through the other bridge, on a copy. */
  private through(x: Xlate, out: WayOut, header: Uint8Array): void {
    const { kind } = TUNNEL_TYPES[this.config.type];
    const base = x.base.words.slice();
    const key = x.key.words.slice();
    const mask = x.mask.words.slice();
    const outPort = out.port.dpPort ?? 0;
    const inner = x.nest(() => {
      x.emit({ type: "tnl_push", tunnelPort: this.dpPort, outPort, kind, header });
      outerKey(x, header);
      x.effect({ type: "header", bytes: header.length });
      crossPatch(x, asPatch(out), true);
      x.effect({ type: "header", bytes: -header.length });
    });
    // What the outer headers are does not depend on what the inner ones say.
    x.mask.words.set(mask);
    x.base.words.set(base);
    x.key.words.set(key);
    if (inner.length > 1) x.emit({ type: "clone", actions: inner });
  }

  private ask(out: WayOut, own: Uint8Array, next: Uint8Array): void {
    const { tunnels, ask } = this.surroundings;
    if (tunnels.asksFor(out.bridge.name, next)) ask(out, solicitation(out.mac, own, next));
  }
}

/** ARP (RFC 826) or neighbour discovery (RFC 4861 §4.3) for `next`. */
function solicitation(mac: Uint8Array, own: Uint8Array, next: Uint8Array): Uint8Array {
  if (isMappedIpv4(next)) {
    return buildFrame({
      dst: "ff:ff:ff:ff:ff:ff",
      src: mac,
      arp: { op: 1, sha: mac, spa: narrow(own), tpa: narrow(next) },
    });
  }
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...next.slice(13));
  // Target, then the source link-layer address option.
  const body = Uint8Array.of(...next, 1, 1, ...mac);
  return buildFrame({
    dst: Uint8Array.of(0x33, 0x33, ...group.slice(12)),
    src: mac,
    ipv6: { src: own, dst: group, hopLimit: 255 },
    icmpv6: { type: 135 },
    payload: body,
  });
}

/** Ethernet type of what goes into the tunnel: ETH_TEB for a frame. */
function innerType(key: FlowKey): number {
  const type = key.get(FIELDS.packet_type);
  return type === 0 ? ETH_TEB : type & 0xffff;
}

/** A packet from a tunnel is not sent back to where it was sent to. */
function isOwnAddress(x: Xlate): boolean {
  const original = new FlowKey();
  original.words.set(x.initial);
  const to = tunnelAddress(original, "dst");
  const from = tunnelAddress(x.key, "dst");
  return !isUnset(to) && to.every((byte, i) => byte === from[i]);
}

/** Key and base as of the packet with its outer headers: nothing is to be set in it. */
function outerKey(x: Xlate, header: Uint8Array): void {
  const { key } = x;
  for (const { offset, bytes } of OUTER_SLOTS) key.bytes.fill(0, offset, offset + bytes);
  const put = (name: SlotName, from: number): void => {
    const { offset, bytes } = slot(name);
    key.bytes.set(header.subarray(from, from + bytes), offset);
  };
  put("eth_dst", 0);
  put("eth_src", 6);
  put("eth_type", 12);
  const type = (header[12]! << 8) | header[13]!;
  const ip = 14;
  let l4 = ip;
  if (type === ETH_IPV4) {
    put("nw_src", ip + 12);
    put("nw_dst", ip + 16);
    put("nw_proto", ip + 9);
    put("nw_ttl", ip + 8);
    put("nw_tos", ip + 1);
    l4 += 20;
  } else if (type === ETH_IPV6) {
    put("ipv6_src", ip + 8);
    put("ipv6_dst", ip + 24);
    put("nw_proto", ip + 6);
    put("nw_ttl", ip + 7);
    key.set(FIELDS.nw_tos, ((header[ip]! & 0xf) << 4) | (header[ip + 1]! >> 4));
    l4 += 40;
  }
  if (key.get(FIELDS.nw_proto) === 17) {
    put("tp_src", l4);
    put("tp_dst", l4 + 2);
  }
  for (const { offset, bytes } of OUTER_SLOTS) {
    x.base.bytes.set(key.bytes.subarray(offset, offset + bytes), offset);
  }
}

/** The way out looked at as a patch port's other end: the packet enters its bridge from there. */
function asPatch({ bridge, port }: WayOut): PortModel {
  const { ofport, name, config, linkUp, bundle } = port;
  return { ofport, name, dpPort: undefined, config, linkUp, bundle, patchPeer: { bridge, port } };
}
