/**
 * Rings for ports that turned out to be busy (device-port.ts): opened by a setup worker, which may wait
 * for the kernel, and given to the worker that moves the port's packets. The port may have gone
 * meanwhile; then the ring is closed again.
 */
import { munmap } from "../../linux/libc.ts";
import { type PacketDescriptors, RING_FRAME_BYTES } from "../../linux/packet-socket.ts";
import type { OpenedPort } from "./setup.ts";
import type { SetupRequests } from "./setup-requests.ts";
import type { WorkerLink } from "./worker-link.ts";

/** Sending works without it, at a higher price. */
export async function giveSendRing(
  setup: SetupRequests,
  link: WorkerLink,
  portNo: number,
  ifindex: number,
): Promise<void> {
  const [opened] = await setup.request({ type: "openSendRing", ifindex });
  if (opened?.type !== "ring") return;
  const ring = opened.sendRing;
  await orRelease(setup, opened, () => {
    return link.request({ type: "adoptSendRing", portNo, ifindex, ring });
  });
}

/** A larger one than that of `instead`; without it the port goes on losing packets, and counts them. */
export async function giveReceiveRing(
  setup: SetupRequests,
  link: WorkerLink,
  portNo: number,
  instead: PacketDescriptors,
): Promise<void> {
  const grown = await setup.growRing(instead);
  if (grown?.type !== "device") return;
  const { packet } = grown;
  const left = await orRelease(setup, grown, () => {
    return link.request({ type: "adoptReceiver", portNo, instead, packet });
  }, () => munmap(packet.address, packet.frames * RING_FRAME_BYTES));
  await setup.release(left);
}

async function orRelease<T>(
  setup: SetupRequests,
  opened: OpenedPort,
  give: () => Promise<T>,
  unmap: () => void = () => {},
): Promise<T> {
  try {
    return await give();
  } catch (error) {
    // Whoever takes a port unmaps its ring, and a socket lives as long as its ring is mapped.
    unmap();
    await setup.release([opened]);
    throw error;
  }
}
