/**
 * Which tunnel ports the kernel carries: those of which it has a device with collected metadata
 * (../../linux/tunnel-device.ts), and whose headers hold nothing that the device does not tell.
 *
 *     device ──tc ingress──> entry program ──> main program …      tunnel's address and key: metadata
 *     action program: `set(tunnel(…))`, output ──> device ──> the host's stack, whatever way routes say
 *
 * Sequence numbers of GRE and bare packets of VXLAN-GPE are not told: such ports are the process's. So
 * are packets of GRE without an Ethernet header, for which it listens beside the device.
 */
import { loadTcProgram, testProgram } from "../../linux/bpf-program.ts";
import { close, ERRNO, SystemError } from "../../linux/libc.ts";
import { RouteSocket } from "../../linux/rtnetlink.ts";
import {
  findTunnelDevice,
  TUNNEL_DEVICES,
  type TunnelDeviceKind,
} from "../../linux/tunnel-device.ts";
import type { TunnelKind } from "../actions.ts";
import type { DpPortSpec } from "../datapath.ts";
import type { TunnelTarget } from "./action-plan.ts";
import { Assembler, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R6 } from "./instructions.ts";
import { BPF_F_TUNINFO_FLAGS, TUNNEL_KEY_BYTES } from "./tunnel-entry.ts";

const isDeviceKind = (kind: TunnelKind): kind is TunnelDeviceKind =>
  Object.hasOwn(TUNNEL_DEVICES, kind);

/** The device that carries the tunnel port; undefined: the process does. */
export function tunnelTargetOf({ tunnel, wire }: DpPortSpec): TunnelTarget | undefined {
  if (!tunnel || !wire || !isDeviceKind(tunnel)) return undefined;
  if (wire.gpe || wire.sequence || (tunnel === "gre" && !wire.ipv4)) return undefined;
  return { kind: tunnel, udpPort: wire.udpPort, gbp: wire.gbp };
}

/**
 * Whether programs can say and read all that is needed of a tunnel (Linux 6.0): tried with a packet that
 * goes nowhere. Throws a SystemError if not.
 */
export function tryTunnelMetadata(): void {
  const asm = new Assembler().mov(R6, reg(R1));
  const at = -TUNNEL_KEY_BYTES - 4;
  for (let i = at; i < 0; i += 8) asm.store(64, R10, i, 0);
  const key = () =>
    asm.mov(R1, reg(R6)).mov(R2, reg(R10)).op("add", R2, at).mov(R3, TUNNEL_KEY_BYTES);
  key().mov(R4, 0).call("skb_set_tunnel_key").jumpIf("ne", R0, 0, "end");
  key().mov(R4, BPF_F_TUNINFO_FLAGS).call("skb_get_tunnel_key").label("end").exit();
  const program = loadTcProgram(asm.finish().bytes, "probe");
  try {
    const { result } = testProgram(program, new Uint8Array(60), 1);
    if (result !== 0) throw new SystemError("bpf_skb_set_tunnel_key", -(result | 0));
  } finally {
    close(program);
  }
}

/** Deletes the device that was a tunnel port's, if it is still that: numbers come again after a restart. */
export function deleteTunnelDevice(
  kind: TunnelDeviceKind,
  name: string,
  ifindex: number,
  alias: string,
): void {
  const route = new RouteSocket();
  try {
    const ours = findTunnelDevice(route, kind, name) === ifindex &&
      route.link(name)?.alias === alias;
    if (ours) route.deleteLink(ifindex);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ERRNO.ENODEV) throw error;
  } finally {
    route.close();
  }
}
