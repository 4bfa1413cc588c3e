/**
 * The kernel's own device behind a tunnel port (../../linux/tunnel-device.ts), with a program at its
 * ingress: made, taken over from a process before, removed. It has the port's UDP port, so the port's
 * sockets only send.
 *
 * A device of the same name is replaced only if its alias says that it is this instance's.
 */
import { attachTc, detachTc, type TcAttachment } from "../../linux/bpf.ts";
import { ERRNO, SystemError } from "../../linux/libc.ts";
import { RouteSocket } from "../../linux/rtnetlink.ts";
import { addTunnelDevice, switchTunnelDeviceOn } from "../../linux/tunnel-device.ts";
import type { TunnelWire } from "../datapath.ts";
import type { PortRequest } from "./commands.ts";

export interface OpenedTunnelDevice {
  readonly ifindex: number;
  readonly attachment: TcAttachment;
}

/** Throws a SystemError: EOPNOTSUPP if the kernel lacks the kind, EADDRINUSE or EEXIST. */
export function openTunnelDevice(
  { name, program, adopted, clsact, device }: PortRequest,
  { udpPort, gbp }: TunnelWire,
): OpenedTunnelDevice | undefined {
  if (!device || program === undefined) return undefined;
  const { kind, alias } = device;
  const route = new RouteSocket();
  let made = 0;
  try {
    const there = route.link(name);
    if (there && adopted) return { ifindex: there.ifindex, attachment: adopted };
    if (there?.alias === alias) route.deleteLink(there.ifindex);
    made = addTunnelDevice(route, kind, name, { udpPort, gbp });
    route.setLink(made, { alias });
    const attachment = attachTc(program, made, "ingress", clsact);
    try {
      switchTunnelDeviceOn(route, made);
    } catch (error) {
      detachTc(attachment);
      throw error;
    }
    return { ifindex: made, attachment };
  } catch (error) {
    if (made !== 0) removeLink(route, made);
    throw error;
  } finally {
    route.close();
  }
}

/** With `leave`, device and program go on. */
export function releaseTunnelDevice(
  { ifindex, attachment }: OpenedTunnelDevice,
  leave: boolean,
): void {
  if (leave) {
    if (attachment.kind === "tcx") detachTc(attachment);
    return;
  }
  detachTc(attachment);
  const route = new RouteSocket();
  try {
    removeLink(route, ifindex);
  } finally {
    route.close();
  }
}

function removeLink(route: RouteSocket, ifindex: number): void {
  try {
    route.deleteLink(ifindex);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ERRNO.ENODEV) throw error;
  }
}
