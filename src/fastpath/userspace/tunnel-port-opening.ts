/** Opens a tunnel port's sockets (setup.ts) and gives them to worker 0, which has all tunnels. */
import type { Logger } from "../../log/log.ts";
import type { TunnelKind } from "../actions.ts";
import { DatapathError, type DpPortSpec } from "../datapath.ts";
import type { OpenedPort } from "./setup.ts";
import type { SetupRequests } from "./setup-requests.ts";
import { CLOSED, type WorkerLink } from "./worker-link.ts";

/**
 * The port's kind. Without sockets (another program has the UDP port) its packets can still come and go
 * by bridges, with `tnl_push` and `tnl_pop`: that is said in a warning.
 */
export async function openTunnel(
  { name, tunnel: kind, wire }: DpPortSpec,
  portNo: number,
  setup: SetupRequests,
  owner: WorkerLink,
  logger: Logger,
): Promise<TunnelKind> {
  if (!kind) throw new DatapathError("not-supported", `tunnel port ${name} has no kind`);
  if (!wire) return kind;
  try {
    const port = { portNo, name, portType: "tunnel", tunnel: { kind, wire } } as const;
    const opened = await setup.request({ type: "open", port });
    for (const each of opened) await adopt(each, portNo, name, setup, owner);
  } catch (error) {
    if (!(error instanceof DatapathError) || error.message === CLOSED) throw error;
    logger.warn(`${error.message}; it carries only what passes a bridge with an address`);
  }
  return kind;
}

async function adopt(
  opened: OpenedPort,
  portNo: number,
  name: string,
  setup: SetupRequests,
  owner: WorkerLink,
): Promise<void> {
  try {
    await owner.request({ type: "adoptPort", portNo, name, opened });
  } catch (error) {
    await setup.release([opened]).catch(() => {});
    throw error;
  }
}
