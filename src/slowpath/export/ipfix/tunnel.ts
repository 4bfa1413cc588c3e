/** The tunnel of a sampled packet, as IPFIX records of it have it: with IPv4 outside. */
import type { FlowKey } from "../../../packet/key.ts";
import { FIELDS } from "../../../packet/layout.ts";
import type { Sample } from "../../pipeline/sampling.ts";
import type { TunnelType } from "../../tunnels/kinds.ts";
import { exportedPort, type ExportSource, NO_PORT } from "../ports.ts";
import { slotBytes, slotNumber } from "../slots.ts";

export interface SampledTunnel {
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly protocol: number;
  readonly tpSrc: number;
  readonly tpDst: number;
  /** VMware's numbers of tunnel types. */
  readonly type: number;
  readonly key: Uint8Array;
}

const UDP = 17;
const GRE = 47;

/** How tunnels are told of: type, IP protocol, bytes of their key. Others are not. */
const TUNNELS: Partial<Record<TunnelType, readonly [type: number, protocol: number, key: number]>> =
  {
    vxlan: [1, UDP, 3],
    gre: [2, GRE, 4],
    geneve: [7, UDP, 3],
  };

/** Is the datapath port a tunnel of which records can tell? */
export function isTunnelPort(source: ExportSource, dpPort: number): boolean {
  const tunnel = exportedPort(source, dpPort)?.tunnel;
  return tunnel !== undefined && TUNNELS[tunnel] !== undefined;
}

/**
 * The tunnel that the packet came by, or is about to leave by; undefined: none, or one of a kind or
 * address family that records have no place for.
 */
export function sampledTunnel(
  source: ExportSource,
  key: FlowKey,
  { tunnel }: Sample,
  outputPort: number,
): SampledTunnel | undefined {
  const port = outputPort === NO_PORT ? key.get(FIELDS.in_port) : outputPort;
  const kind = exportedPort(source, port)?.tunnel;
  const row = kind && TUNNELS[kind];
  if (!row) return undefined;
  const [type, protocol, keyBytes] = row;
  if (outputPort === NO_PORT) {
    const dst = slotBytes(key, "tun_dst");
    if (dst.every((byte) => byte === 0)) return undefined;
    return {
      src: slotBytes(key, "tun_src"),
      dst,
      protocol,
      tpSrc: slotNumber(key, "tun_tp_src"),
      tpDst: slotNumber(key, "tun_tp_dst"),
      type,
      key: slotBytes(key, "tun_id").subarray(8 - keyBytes),
    };
  }
  if (tunnel?.dst.length !== 4) return undefined;
  const id = new Uint8Array(8);
  new DataView(id.buffer).setBigUint64(0, tunnel.id ?? 0n);
  return {
    src: tunnel.src ?? new Uint8Array(4),
    dst: tunnel.dst,
    protocol,
    tpSrc: tunnel.tpSrc ?? 0,
    tpDst: tunnel.tpDst ?? 0,
    type,
    key: id.subarray(8 - keyBytes),
  };
}
