/**
 * Tunnel ports: each belongs to a bridge, and all of a kind share one datapath port, which exists
 * while there is one of them.
 */
import { DatapathError } from "../../fastpath/datapath.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { parseTunnelConfig, type TunnelConfig, TunnelConfigError } from "../tunnels/config.ts";
import { describeOptions } from "../tunnels/describe.ts";
import { datapathPortName, isTunnelType, TUNNEL_TYPES } from "../tunnels/kinds.ts";
import { TunnelSender, type WayOut } from "../tunnels/send.ts";
import { Tunnels } from "../tunnels/tunnels.ts";
import type { Backend } from "./backend.ts";
import type { Bridge } from "./bridge.ts";
import type { BridgePort } from "./ports.ts";
import type { WantedInterface } from "./wanted.ts";

/** Through the tables of the bridge, as a packet that comes in. */
const THROUGH_TABLES: readonly Action[] = [{
  type: "output",
  port: PORTS.TABLE,
  maxLength: 0,
} as Action];

interface Shared {
  readonly portNo: number;
  references: number;
}

/** The configuration of a tunnel interface; throws a TunnelConfigError. `say` gets warnings. */
export function tunnelConfigOf(
  iface: WantedInterface,
  say: (warning: string) => void = () => {},
): TunnelConfig {
  if (!isTunnelType(iface.type)) throw new Error(`${iface.type} is no tunnel`);
  const options = iface.row?.options ?? new Map<string, string>();
  const { config, warnings } = parseTunnelConfig(iface.name, iface.type, options);
  for (const warning of warnings) say(warning);
  return config;
}

export class TunnelAttachments {
  private readonly shared = new Map<string, Shared>();

  constructor(
    private readonly backend: Backend,
    private readonly tunnels: Tunnels<BridgePort>,
  ) {}

  /** The datapath port for tunnels of the configuration, made if it is the first. */
  async open(config: TunnelConfig): Promise<number> {
    const name = datapathPortName(config.type, config.dstPort);
    const known = this.shared.get(name);
    if (known) {
      known.references++;
      return known.portNo;
    }
    const { kind, families } = TUNNEL_TYPES[config.type];
    const { portNo } = await this.backend.datapath.addPort({
      name,
      type: "tunnel",
      tunnel: kind,
      wire: {
        udpPort: config.dstPort,
        ipv4: families !== "ipv6",
        ipv6: families !== "ipv4",
        sequence: config.sequence,
        gpe: config.gpe,
        gbp: config.gbp,
      },
    });
    this.shared.set(name, { portNo, references: 1 });
    return portNo;
  }

  async release(config: TunnelConfig): Promise<void> {
    const name = datapathPortName(config.type, config.dstPort);
    const known = this.shared.get(name);
    if (!known || --known.references > 0) return;
    this.shared.delete(name);
    try {
      await this.backend.datapath.removePort(known.portNo);
    } catch (error) {
      if (!(error instanceof DatapathError && error.code === "no-such-port")) throw error;
    }
  }

  /** Throws a TunnelConfigError if another port takes the same packets. */
  check(name: string, config: TunnelConfig, dpPort: number): void {
    for (const other of this.tunnels.ports.values()) {
      if (other.dpPort !== dpPort || other.config.gbp === config.gbp) continue;
      throw new TunnelConfigError(
        `${name}: VXLAN-GBP, and non-VXLAN-GBP tunnels can't be configured on the same dst_port\n` +
          `${name}: could not set configuration (File exists)`,
      );
    }
    const same = this.tunnels.ports.conflicting(config, dpPort);
    if (!same) return;
    throw new TunnelConfigError(Tunnels.conflict(name, config, dpPort, same.name));
  }

  add(bridge: Bridge, port: BridgePort, config: TunnelConfig): void {
    const { backend, tunnels } = this;
    const dpPort = port.dpPort!;
    port.tunnelConfig = config;
    port.settings = () => describeOptions(config);
    port.tunnel = new TunnelSender(
      config,
      dpPort,
      {
        tunnels,
        options: bridge.agents.tlvTable,
        wayOut: (device) => wayOut(backend, device),
        ask: (out, frame) => {
          const { bridge: through, port: from } = out;
          backend.packetOut(through, { data: frame }, from.ofport, THROUGH_TABLES).send();
        },
      },
    );
    tunnels.add({ name: port.name, config, dpPort, port });
  }

  remove(port: BridgePort): void {
    this.tunnels.delete(port);
  }
}

/** The bridge's own port comes first: its name is the bridge's. */
function wayOut(backend: Backend, device: string): WayOut | undefined {
  const port = backend.portNamed(device);
  return port && { bridge: port.bridge, port, mac: port.mac };
}
