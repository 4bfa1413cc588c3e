/**
 * Which tunnel port a received packet belongs to.
 *
 * All tunnels of a kind share one datapath port, so the packet's tunnel metadata decides: its key,
 * the address that it came from (the port's `remote_ip`) and the address that it was sent to (the
 * port's `local_ip`). A port may name a key or leave it to flows, name the remote end or leave it to
 * flows, and name the local end, take any, or leave it to flows. The most specific port wins, in the
 * order key, remote, local (Open vSwitch's `ofproto/tunnel.c`): twelve hash tables at most.
 */
import type { FlowKey } from "../../packet/key.ts";
import { FIELDS, slot } from "../../packet/layout.ts";
import { formatAddress, mapIpv4, sameAddress } from "../../packet/prefix.ts";
import type { PacketTypeMode, TunnelConfig } from "./config.ts";

export interface TunnelPort<P> {
  readonly name: string;
  readonly config: TunnelConfig;
  readonly dpPort: number;
  readonly port: P;
}

const TUN = {
  src: slot("tun_src").offset,
  dst: slot("tun_dst").offset,
  ipv6Src: slot("tun_ipv6_src").offset,
  ipv6Dst: slot("tun_ipv6_dst").offset,
} as const;
const ANY = new Uint8Array(16);

/** True if the packet came through a tunnel. */
export function hasTunnel(key: FlowKey): boolean {
  for (let i = 0; i < 4; i++) if (key.bytes[TUN.dst + i] !== 0) return true;
  for (let i = 0; i < 16; i++) if (key.bytes[TUN.ipv6Dst + i] !== 0) return true;
  return false;
}

/** The outer source or destination, 16 bytes. */
export function tunnelAddress(key: FlowKey, which: "src" | "dst"): Uint8Array {
  const at = TUN[which];
  const ipv4 = key.bytes.slice(at, at + 4);
  if (ipv4.some((byte) => byte !== 0)) return mapIpv4(ipv4);
  const ipv6 = which === "src" ? TUN.ipv6Src : TUN.ipv6Dst;
  return key.bytes.slice(ipv6, ipv6 + 16);
}

export class TunnelPorts<P> {
  private readonly byMatch = new Map<string, TunnelPort<P>>();
  private readonly all = new Map<P, TunnelPort<P>>();

  get size(): number {
    return this.all.size;
  }

  values(): Iterable<TunnelPort<P>> {
    return this.all.values();
  }

  /** The port that would take the same packets, which keeps `port` from being added. */
  conflicting(config: TunnelConfig, dpPort: number): TunnelPort<P> | undefined {
    return this.byMatch.get(identity(config, dpPort));
  }

  add(tunnel: TunnelPort<P>): void {
    this.byMatch.set(identity(tunnel.config, tunnel.dpPort), tunnel);
    this.all.set(tunnel.port, tunnel);
  }

  delete(port: P): TunnelPort<P> | undefined {
    const tunnel = this.all.get(port);
    if (!tunnel) return undefined;
    this.all.delete(port);
    this.byMatch.delete(identity(tunnel.config, tunnel.dpPort));
    return tunnel;
  }

  of(port: P): TunnelPort<P> | undefined {
    return this.all.get(port);
  }

  /** Why there is no tunnel port for a packet; undefined if there is one. */
  whyNot(key: FlowKey, dpPort: number): Mismatch | undefined {
    if (this.find(key, dpPort) !== undefined) return undefined;
    const id = key.getBig(FIELDS.tun_id);
    const is = (wanted: Uint8Array | "flow" | undefined, which: "src" | "dst"): boolean =>
      wanted === undefined || wanted === "flow" || sameAddress(wanted, tunnelAddress(key, which));
    const left = [...this.all.values()].filter((tunnel) => tunnel.dpPort === dpPort);
    const keyed = left.filter(({ config: { inKey = 0n } }) => inKey === "flow" || inKey === id);
    if (keyed.length === 0) return "no_such_key";
    const remote = keyed.filter(({ config }) => is(config.remote, "src"));
    if (remote.length === 0) return "wrong_remote";
    return remote.some(({ config }) => is(config.local, "dst"))
      ? "wrong_packet_type"
      : "wrong_local";
  }

  /** The tunnel port for a packet that came in by the datapath port with that tunnel metadata. */
  find(key: FlowKey, dpPort: number): P | undefined {
    const id = key.getBig(FIELDS.tun_id);
    const remote = hex(tunnelAddress(key, "src"));
    const local = hex(tunnelAddress(key, "dst"));
    const bare = key.get(FIELDS.packet_type) >>> 16 === 1;
    const modes: PacketTypeMode[] = [bare ? "legacy_l3" : "legacy_l2", "ptap"];
    // On its way through the datapath it may have got an Ethernet header, or lost it.
    if (key.get(FIELDS.recirc_id) !== 0) modes.push(bare ? "legacy_l2" : "legacy_l3");
    for (const inKey of [`${id}`, "flow"]) {
      for (const from of [remote, "flow"]) {
        for (const to of [local, hex(ANY), "flow"]) {
          for (const mode of modes) {
            const found = this.byMatch.get(`${dpPort} ${inKey} ${from} ${to} ${mode}`);
            if (found) return found.port;
          }
        }
      }
    }
    return undefined;
  }
}

/** What keeps a packet from belonging to any tunnel port of its kind: the first that none has. */
export type Mismatch = "no_such_key" | "wrong_remote" | "wrong_local" | "wrong_packet_type";

function identity(config: TunnelConfig, dpPort: number): string {
  const inKey = config.inKey ?? 0n;
  const remote = config.remote === "flow" ? "flow" : hex(config.remote);
  const local = config.local === "flow" ? "flow" : hex(config.local ?? ANY);
  return `${dpPort} ${inKey} ${remote} ${local} ${config.packetType}`;
}

function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** `10.0.0.1->10.0.0.2, key=flow, legacy_l2, dp port=1`: what a tunnel port takes. */
export function describeMatch(config: TunnelConfig, dpPort: number): string {
  const local = config.local instanceof Uint8Array ? formatAddress(config.local) : "::";
  const ends = config.remote !== "flow"
    ? `${local}->${formatAddress(config.remote)}`
    : config.local !== "flow"
    ? `${local}->flow`
    : "flow->flow";
  const key = config.inKey === "flow" ? "flow" : printfHex(config.inKey ?? 0n);
  return `${ends}, key=${key}, ${config.packetType}, dp port=${dpPort}`;
}

/** A line of `ofproto/list-tunnels`. */
export function describeTunnel(tunnel: TunnelPort<unknown>): string {
  const { config, name, dpPort } = tunnel;
  let text = `port ${dpPort}: ${name} (${config.type}: ${describeMatch(config, dpPort)}`;
  if (config.outKey !== config.inKey) {
    const { outKey } = config;
    text += `, out_key=${
      outKey === undefined ? "none" : outKey === "flow" ? "flow" : printfHex(outKey)
    }`;
  }
  text += `, ttl=${config.ttl}`;
  if (config.tos === "inherit") text += ", tos=inherit";
  else if (config.tos !== 0) text += `, tos=${printfHex(BigInt(config.tos))}`;
  if (!config.dontFragment) text += ", df=false";
  if (config.checksum) text += ", csum=true";
  return `${text})`;
}

/** C's `%#x`. */
function printfHex(value: bigint): string {
  return value === 0n ? "0" : `0x${value.toString(16)}`;
}
