/**
 * All tunnels of the switch: which ports there are, which ways lead to their other ends, and which
 * datapath ports listen for what comes in. Seen from below there is one datapath port for each kind
 * and UDP port, however many tunnels are configured.
 *
 *     packet out of a tunnel port ──> metadata.ts ──> route to the other end
 *        route leaves by a bridge's own port ──> outer headers here (send.ts): `tnl_push`
 *        any other route                     ──> `set(tunnel)`, and the host sends it
 *
 * Where a device of the kernel carries the tunnels of a datapath port, the host sends and receives them
 * also if the way is a bridge's own port: for the bridge they are packets of the host.
 *
 * A change of anything here makes megaflows again (`changed`).
 */
import type { HostNetwork } from "../../fastpath/host-network.ts";
import { FIELDS, slot, type SlotName } from "../../packet/layout.ts";
import { FlowKey } from "../../packet/key.ts";
import { type Prefix, sameAddress, wide } from "../../packet/prefix.ts";
import type { Refusal } from "../cache/upcalls.ts";
import type { Clock } from "../clock.ts";
import type { TunnelConfig } from "./config.ts";
import { datapathPortName, TUNNEL_TYPES } from "./kinds.ts";
import { Neighbours } from "./neighbours.ts";
import { describeMatch, type Mismatch, type TunnelPort, TunnelPorts } from "./ports.ts";
import { RouteTable } from "./routes.ts";

/** How often neighbours that nobody uses are looked for. */
const EXPIRE_MS = 1000;
const ASK_AGAIN_MS = 1000;
/** How long to wait before a next hop is asked for once more, if packets go on wanting it. */
const ASK_EVERY_MS = 200;
/** Flows may name any other end. */
const MOST_ASKED = 1024;
const PROTOCOL_UDP = 17;
const PROTOCOL_GRE = 47;

/** By which slots a packet's tunnel port is told, in the order in which they are looked at. */
const TOLD_BY = [
  "in_port",
  "recirc_id",
  "tun_id",
  "tun_src",
  "tun_ipv6_src",
  "tun_dst",
  "tun_ipv6_dst",
  "packet_type",
] as const satisfies readonly SlotName[];
const LAST_LOOKED_AT: Readonly<Record<Mismatch, (typeof TOLD_BY)[number]>> = {
  no_such_key: "tun_id",
  wrong_remote: "tun_ipv6_src",
  wrong_local: "tun_ipv6_dst",
  wrong_packet_type: "packet_type",
};

/** A datapath port that takes tunnelled packets off the wire. */
interface Listener {
  readonly name: string;
  readonly dpPort: number;
  readonly protocol: number;
  /** UDP port; 0 for GRE. */
  readonly udpPort: number;
  references: number;
}

export interface TunnelsOptions {
  readonly clock: Clock;
  readonly network: HostNetwork;
  /** Whether the datapath has `tnl_push` and `tnl_pop`. */
  readonly native: () => boolean;
  /** Whether the host's stack sends what leaves by a device that is in no bridge. */
  readonly byHost: boolean;
  /** Of `byHost`: whether it carries a tunnel datapath port in the kernel, whatever the way out. */
  readonly byKernel?: (dpPort: number) => boolean;
  readonly changed: () => void;
}

export class Tunnels<P> {
  readonly ports = new TunnelPorts<P>();
  readonly routes: RouteTable;
  readonly neighbours: Neighbours;
  private readonly listeners = new Map<number, Listener>();
  /** Next hops that were asked for: when, and what ends the waiting. */
  private readonly asked = new Map<
    string,
    { readonly atMs: number; readonly cancel: () => void }
  >();
  private readonly unmatched: Record<Mismatch, number> = {
    no_such_key: 0,
    wrong_remote: 0,
    wrong_local: 0,
    wrong_packet_type: 0,
  };
  private readonly stops: (() => void)[] = [];
  private cancelExpiry: () => void = () => {};

  constructor(private readonly options: TunnelsOptions) {
    const { network, clock, changed } = options;
    this.routes = new RouteTable((device) => network.addressesOf(device), changed);
    this.neighbours = new Neighbours(clock, changed);
    this.readRoutes();
    this.stops.push(network.onChange(() => this.readRoutes()));
    this.armExpiry();
  }

  /** Whether outer headers are put on and taken off here; else it is the datapath's own matter. */
  get native(): boolean {
    return this.options.native();
  }

  /** Whether the host's stack can send tunnelled packets itself. */
  get byHost(): boolean {
    return this.options.byHost;
  }

  /** Whether a device of the kernel carries the tunnels of a datapath port. */
  byKernel(dpPort: number): boolean {
    return this.byHost && this.options.byKernel?.(dpPort) === true;
  }

  get network(): HostNetwork {
    return this.options.network;
  }

  /** Undefined if it was added; else the port that takes the same packets already. */
  add(tunnel: TunnelPort<P>): TunnelPort<P> | undefined {
    const { config, dpPort } = tunnel;
    const same = this.ports.conflicting(config, dpPort);
    if (same) return same;
    this.ports.add(tunnel);
    const listener = this.listeners.get(dpPort);
    if (listener) listener.references++;
    else {
      this.listeners.set(dpPort, {
        name: datapathPortName(config.type, config.dstPort),
        dpPort,
        ...wireOf(config),
        references: 1,
      });
    }
    this.options.changed();
    return undefined;
  }

  delete(port: P): void {
    const tunnel = this.ports.delete(port);
    if (!tunnel) return;
    const listener = this.listeners.get(tunnel.dpPort);
    if (listener && --listener.references === 0) this.listeners.delete(tunnel.dpPort);
    this.options.changed();
  }

  /**
   * The datapath port that takes a packet which arrives at the device, if it is one of a tunnel: sent
   * to the device's own Ethernet and IP address, untagged, not a fragment, to a port listened on.
   */
  listening(key: FlowKey, device: string, mac: Uint8Array): number | undefined {
    const { bytes } = key;
    const ethType = key.get(FIELDS.eth_type);
    if (ethType !== 0x0800 && ethType !== 0x86dd) return undefined;
    const dst = FIELDS.eth_dst.offset;
    for (let i = 0; i < 6; i++) if (bytes[dst + i] !== mac[i]) return undefined;
    const to = ethType === 0x0800
      ? wide(bytes.slice(FIELDS.ip_dst.offset, FIELDS.ip_dst.offset + 4))
      : bytes.slice(FIELDS.ipv6_dst.offset, FIELDS.ipv6_dst.offset + 16);
    const protocol = key.get(FIELDS.nw_proto);
    const udpPort = protocol === PROTOCOL_UDP ? key.get(FIELDS.udp_dst) : 0;
    for (const listener of this.listeners.values()) {
      if (listener.protocol !== protocol || listener.udpPort !== udpPort) continue;
      if (this.byKernel(listener.dpPort)) continue;
      const own = this.network.addressesOf(device);
      if (own.some(({ address }: Prefix) => sameAddress(address, to))) return listener.dpPort;
    }
    return undefined;
  }

  /** True while anything is listened for here: else no packet need be looked at. */
  get listens(): boolean {
    for (const dpPort of this.listeners.keys()) if (!this.byKernel(dpPort)) return true;
    return false;
  }

  /**
   * Whether a next hop is to be asked for now; true says that it was. If it does not answer within a
   * second, flows are translated again, which asks again if any of them still wants it.
   */
  asksFor(bridge: string, address: Uint8Array): boolean {
    const id = `${bridge} ${address.toHex()}`;
    const { clock, changed } = this.options;
    const before = this.asked.get(id);
    const atMs = clock.now();
    if (before && atMs - before.atMs < ASK_EVERY_MS) return false;
    if (!before && this.asked.size >= MOST_ASKED) return false;
    before?.cancel();
    const cancel = clock.after(ASK_AGAIN_MS, () => {
      this.asked.delete(id);
      if (!this.neighbours.lookup(bridge, address)) changed();
    });
    this.asked.set(id, { atMs, cancel });
    return true;
  }

  /**
   * A packet came by the datapath port of a tunnel and belongs to no tunnel port: what it shares with
   * all that belong to none for the same reason, under which they are counted. `key`: in the datapath's
   * terms. Undefined if it has a port, or the datapath port is none of ours.
   */
  refusal(key: FlowKey, dpPort: number): Refusal | undefined {
    if (!this.listeners.has(dpPort)) return undefined;
    const why = this.ports.whyNot(key, dpPort);
    if (why === undefined) return undefined;
    const mask = new FlowKey();
    for (const name of TOLD_BY.slice(0, TOLD_BY.indexOf(LAST_LOOKED_AT[why]) + 1)) {
      const { offset, bytes } = slot(name);
      mask.bytes.fill(0xff, offset, offset + bytes);
    }
    return { mask, count: (packets) => void (this.unmatched[why] += packets) };
  }

  /** For `coverage/show`. */
  counters(): Readonly<Record<string, number>> {
    const { no_such_key, wrong_remote, wrong_local, wrong_packet_type } = this.unmatched;
    return {
      drop_tunnel_no_such_key: no_such_key,
      drop_tunnel_wrong_remote: wrong_remote,
      drop_tunnel_wrong_local: wrong_local,
      drop_tunnel_wrong_packet_type: wrong_packet_type,
      tunnel_neighbours_refused: this.neighbours.refused,
    };
  }

  /** The text of `tnl/ports/show`. */
  showPorts(): string {
    const rows = [...this.listeners.values()].map(({ name, dpPort, references }) =>
      `${name} (${dpPort}) ref_cnt=${references}\n`
    );
    return `Listening ports:\n${rows.join("")}`;
  }

  /** What the log says of a port that cannot be because another takes the same packets. */
  static conflict(name: string, config: TunnelConfig, dpPort: number, other: string): string {
    return `${name}: attempting to add tunnel port with same config as port '${other}' ` +
      `(${describeMatch(config, dpPort)})`;
  }

  close(): void {
    this.cancelExpiry();
    for (const { cancel } of this.asked.values()) cancel();
    for (const stop of this.stops.splice(0)) stop();
  }

  private readRoutes(): void {
    this.routes.replaceHost(
      this.network.routes().map(({ destination, device, gateway, local }) => ({
        destination,
        device,
        gateway,
        origin: local ? "local" as const : "host" as const,
      })),
    );
  }

  private armExpiry(): void {
    this.cancelExpiry = this.options.clock.after(EXPIRE_MS, () => {
      this.neighbours.expire();
      this.armExpiry();
    });
  }
}

function wireOf(config: TunnelConfig): { protocol: number; udpPort: number } {
  return TUNNEL_TYPES[config.type].udpPort === undefined
    ? { protocol: PROTOCOL_GRE, udpPort: 0 }
    : { protocol: PROTOCOL_UDP, udpPort: config.dstPort };
}
