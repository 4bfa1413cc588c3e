/**
 * Removing what a process left in the kernel: after a crash, or when it cannot be taken over. All of it
 * is known from the state file (pins.ts). Nothing here fails because something has gone already.
 */
import { detachTc } from "../../linux/bpf.ts";
import { SystemError } from "../../linux/libc.ts";
import { RouteSocket } from "../../linux/rtnetlink.ts";
import { type PinnedPort, type PinnedState, Pins } from "./pins.ts";
import { deleteTunnelDevice } from "./tunnel-devices.ts";

/** Detaches a port's program; an internal port's device ends, and a tunnel's. */
export function releasePort(port: PinnedPort, pins: Pins): void {
  const { portNo, kind, ifindex, ownQdisc, type, name, device } = port;
  pins.unpinLink(portNo);
  if (kind === "clsact") {
    const direction = type === "internal" ? "egress" : "ingress";
    detachTc({ kind, ifindex, ownQdisc, direction });
  }
  if (type === "internal") deleteDevice(name, ifindex);
  if (device) deleteTunnelDevice(device.kind, name, ifindex, pins.alias);
}

/** All that the instance has in the kernel; what there was, for people. */
export function sweep(pins: Pins, state: PinnedState | undefined): string[] {
  const swept: string[] = [];
  for (const port of state?.ports ?? []) {
    releasePort(port, pins);
    swept.push(`port ${port.name}`);
  }
  if (state) {
    deleteDevice(state.puntDevice, undefined, pins.alias);
    swept.push(`device ${state.puntDevice}`);
  }
  pins.removeAll();
  return swept;
}

/**
 * The same for the instance of a run directory that no process holds, in this network namespace.
 * Without a bpf file system nothing is pinned, but devices may be there.
 */
export function sweepInstance(runDir: string): string[] {
  const pins = Pins.of(runDir);
  return typeof pins === "string" ? [] : sweep(pins, pins.read());
}

/** `alias`: that of a device of ours; another instance may have taken the name since. */
function deleteDevice(name: string, ifindex?: number, alias?: string): void {
  const route = new RouteSocket();
  try {
    const link = route.link(name);
    if (!link || link.linkInfo?.kind !== "tun") return;
    if (ifindex !== undefined && link.ifindex !== ifindex) return;
    if (alias !== undefined && (link.alias ?? alias) !== alias) return;
    route.deleteLink(link.ifindex);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  } finally {
    route.close();
  }
}
