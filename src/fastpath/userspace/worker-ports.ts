/**
 * Ports spread over the forwarding workers.
 *
 *     port 0: worker 0 receives, all send        port 1: worker 1 receives, all send        …
 *
 * - Each worker has a *part* of every port, to send through it. One of them, the port's *home*,
 *   receives its packets and has what belongs to the port as a whole; a port with several queues has
 *   further receivers, each of another worker. Packets of a flow come by one queue, so their order is
 *   kept.
 * - The home of a device is worker (port number) mod (workers); of all else it is worker 0, because a
 *   TAP device that nobody holds any more is gone.
 */
import { DatapathError, type DpPortSpec } from "../datapath.ts";
import type { PacketDescriptors } from "../../linux/packet-socket.ts";
import type { ProgramOpening } from "../punts.ts";
import type { PortRequest } from "./commands.ts";
import type { OpenedPort } from "./setup.ts";
import type { SetupRequests } from "./setup-requests.ts";
import type { WorkerLink } from "./worker-link.ts";

interface Spread {
  readonly request: PortRequest;
  readonly receivers: readonly number[];
  /** As it was opened; the home's share of it may have grown since. */
  readonly opened: OpenedPort;
}

export function requestOf(
  portNo: number,
  { name, type, mac, pcap, queues, io }: DpPortSpec,
  opening?: ProgramOpening,
): PortRequest {
  return {
    portNo,
    name,
    portType: type,
    ...(mac && { mac: [...mac] }),
    ...(pcap && { pcap }),
    ...(queues !== undefined && { queues }),
    ...(io && { io }),
    ...opening,
  };
}

/** Whose packets a worker receives; the first is the home. */
export function receiversOf(request: PortRequest, workers: number): readonly number[] {
  const { portNo, portType, program, queues = 1 } = request;
  if (portType !== "device" || program !== undefined) return [0];
  const count = Math.min(queues, workers);
  return Array.from({ length: count }, (_, i) => (portNo + i) % workers);
}

/** What worker `index` gets of the port; `receivers[i]` has queue i. */
export function partOf(
  opened: OpenedPort,
  index: number,
  receivers: readonly number[],
): OpenedPort {
  if (opened.type === "ring" || opened.type === "tunnel") {
    throw new DatapathError("system", `a ${opened.type} is not spread`);
  }
  if (opened.type === "pcap") {
    return index === receivers[0] ? opened : { type: "pcap", part: true, pcap: opened.pcap };
  }
  if (opened.type === "libpcap") {
    return index === receivers[0] ? opened : { type: "libpcap", part: true, pcap: opened.pcap };
  }
  if (opened.type === "internal") {
    return index === receivers[0] ? opened : { type: "internal", part: true, tap: opened.tap };
  }
  const { queues = [], ...home } = opened;
  if (index === receivers[0]) return home;
  const queue = receivers.indexOf(index);
  const { ifindex, sendFd } = opened.packet;
  const only: PacketDescriptors = { ifindex, sendFd, fd: -1, address: 0, frames: 0 };
  return { type: "device", part: true, packet: queue > 0 ? queues[queue - 1]! : only };
}

/** Ports that every worker has a part of. */
export type SpreadPort = Exclude<OpenedPort, { readonly type: "ring" | "tunnel" }>;

export class WorkerPorts {
  private readonly spreads = new Map<number, Spread>();

  /**
   * `links`: all workers, in their order. `workers`: how many of them are to receive, which differs
   * while their number changes.
   */
  constructor(
    private readonly links: readonly WorkerLink[],
    private readonly workers: () => number,
    private readonly setup: SetupRequests,
  ) {}

  /** Opens the port on the host and gives each worker its part. */
  async open(request: PortRequest): Promise<SpreadPort> {
    const { portNo, name } = request;
    const receivers = receiversOf(request, this.workers());
    const asked = { ...request, queues: receivers.length };
    const [opened] = await this.setup.request({ type: "open", port: asked });
    if (!opened || opened.type === "ring" || opened.type === "tunnel") {
      throw new DatapathError("system", `port ${name} was not opened`);
    }
    try {
      for (const link of this.links) {
        const part = partOf(opened, link.index, receivers);
        await link.request({ type: "adoptPort", portNo, name, opened: part });
      }
    } catch (error) {
      // A closed datapath has ended the setup workers, too.
      await this.take(portNo).then(() => this.setup.release([opened])).catch(() => {});
      throw error;
    }
    this.spreads.set(portNo, { request, receivers, opened });
    return opened;
  }

  /** The worker that a packet of this port is executed by, unless it is known who had it. */
  home(portNo: number): number {
    return this.spreads.get(portNo)?.receivers[0] ?? 0;
  }

  /** Takes the port away from all workers, or all but one; what is to be released then. */
  async take(portNo: number, but?: WorkerLink): Promise<readonly OpenedPort[]> {
    this.spreads.delete(portNo);
    const others = this.links.filter((link) => link !== but);
    const left = others.map((link) => link.request({ type: "removePort", portNo }));
    return (await Promise.all(left)).flat();
  }

  /** A new worker gets its part of each port, to send by. */
  async introduce(link: WorkerLink): Promise<void> {
    for (const [portNo, { request, opened }] of this.spreads) {
      const part = partOf(opened, -1, [0]);
      await link.request({ type: "adoptPort", portNo, name: request.name, opened: part });
    }
  }

  /**
   * Opens those ports anew that other workers are to receive: what comes in meanwhile, for some
   * milliseconds, is lost. `gone`: a port could not be opened again.
   */
  async respread(gone: (portNo: number, reason: string) => void): Promise<void> {
    for (const [portNo, { request, receivers }] of [...this.spreads]) {
      if (receivers.join() === receiversOf(request, this.workers()).join()) continue;
      await this.setup.release(await this.take(portNo));
      try {
        await this.open(request);
      } catch (error) {
        gone(portNo, error instanceof Error ? error.message : String(error));
      }
    }
  }
}
