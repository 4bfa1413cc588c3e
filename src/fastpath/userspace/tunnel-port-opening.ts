/**
 * Opens what a tunnel port needs (setup.ts): sockets, or a device of the kernel and sockets that send.
 * Worker 0 receives; every worker has sockets of its own to send by, so that packets need not be handed
 * over. Tunnels whose headers are numbered are worker 0's alone.
 */
import { close } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import { DatapathError, type DpPort, type DpPortSpec } from "../datapath.ts";
import type { KernelSide, ProgramOpening } from "../punts.ts";
import type { OpenedPort } from "./setup.ts";
import type { SetupRequests } from "./setup-requests.ts";
import type { OpenedTunnelDevice } from "./tunnel-port-device.ts";
import { CLOSED, type WorkerLink } from "./worker-link.ts";

interface Surroundings {
  readonly setup: SetupRequests;
  /** Worker 0 first. */
  readonly links: readonly WorkerLink[];
  readonly logger: Logger;
  readonly kernel: KernelSide | undefined;
}

/**
 * The port. Without sockets (another program has the UDP port) its packets can still come and go by
 * bridges, with `tnl_push` and `tnl_pop`: that is said in a warning.
 */
export async function openTunnel(
  spec: DpPortSpec,
  portNo: number,
  surroundings: Surroundings,
): Promise<DpPort> {
  const { name, tunnel } = spec;
  const { kernel, logger } = surroundings;
  if (!tunnel) throw new DatapathError("not-supported", `tunnel port ${name} has no kind`);
  const opening = kernel?.openingFor(portNo, spec);
  let device: OpenedTunnelDevice | undefined;
  try {
    device = await openWire(spec, portNo, opening, surroundings);
  } catch (error) {
    if (!(error instanceof DatapathError) || error.message === CLOSED) throw error;
    logger.warn(`${error.message}; it carries only what passes a bridge with an address`);
  } finally {
    if (opening) close(opening.program);
  }
  const port: DpPort = { ...spec, portNo, ifindex: device?.ifindex ?? 0 };
  if (device) kernel!.attached(port, device.attachment);
  for (const link of surroundings.links.slice(1)) {
    await shareTunnel(port, link, surroundings.setup, logger);
  }
  return port;
}

/** Packets that are sent through the port must all pass worker 0. */
export function isNumbered(port: DpPort | undefined): boolean {
  return port?.type === "tunnel" && (port.wire?.sequence === true || port.tunnel === "erspan");
}

/** A worker that is not worker 0 gets sockets to send by; without, what it would send is dropped. */
export async function shareTunnel(
  port: DpPort,
  link: WorkerLink,
  setup: SetupRequests,
  logger: Logger,
): Promise<void> {
  const { portNo, name, tunnel: kind, wire } = port;
  if (!kind || !wire || isNumbered(port)) return;
  const tunnel = { kind, wire, sendOnly: true };
  try {
    const [opened] = await setup.request({
      type: "open",
      port: { portNo, name, portType: "tunnel", tunnel },
    });
    if (opened) await adopt(opened, portNo, name, setup, link);
  } catch (error) {
    if (!(error instanceof DatapathError) || error.message === CLOSED) throw error;
    logger.warn(`forwarding worker ${link.index} cannot send by ${name}: ${error.message}`);
  }
}

async function openWire(
  { name, tunnel, wire }: DpPortSpec,
  portNo: number,
  opening: ProgramOpening | undefined,
  { setup, links }: Surroundings,
): Promise<OpenedTunnelDevice | undefined> {
  if (!wire) return undefined;
  const kind = tunnel!;
  const port = { portNo, name, portType: "tunnel", tunnel: { kind, wire }, ...opening } as const;
  const [opened] = await setup.request({ type: "open", port });
  if (opened?.type !== "tunnel") return undefined;
  await adopt(opened, portNo, name, setup, links[0]!);
  return opened.device;
}

async function adopt(
  opened: OpenedPort,
  portNo: number,
  name: string,
  setup: SetupRequests,
  link: WorkerLink,
): Promise<void> {
  try {
    await link.request({ type: "adoptPort", portNo, name, opened });
  } catch (error) {
    await setup.release([opened]).catch(() => {});
    throw error;
  }
}
