/** What exporters read of a bridge's ports, by their datapath number, when they need it. */
import type { BridgePort, PortCounts } from "../bridge/ports.ts";
import type { TunnelType } from "../tunnels/kinds.ts";

/** A datapath's "no port". */
export const NO_PORT = 0xffffffff;

export interface ExportedPort {
  readonly port: BridgePort;
  /** 0: it has none. */
  readonly ifindex: number;
  readonly tunnel: TunnelType | undefined;
}

export interface ExportSource {
  readonly name: string;
  readonly datapathId: bigint;
  readonly ports: ReadonlyMap<number, BridgePort>;
  portStats(port: BridgePort): PortCounts | undefined;
}

/** Tunnels of a kind may share a datapath port: any of them stands for all. */
export function exportedPort(source: ExportSource, dpPort: number): ExportedPort | undefined {
  for (const port of source.ports.values()) {
    if (port.dpPort === dpPort) return exported(port);
  }
  return undefined;
}

export function exported(port: BridgePort): ExportedPort {
  return {
    port,
    ifindex: port.isVirtual ? 0 : port.device?.ifindex ?? 0,
    tunnel: port.tunnelConfig?.type,
  };
}
