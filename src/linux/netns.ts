/**
 * Network namespaces of processes.
 *
 * unshare(2) moves the calling thread only. A process that wants a namespace of its own calls
 * `enterNewNetworkNamespace` first thing, before it opens a socket or starts a thread: threads and
 * children made later are born into it, and `/proc/PID/ns/net` stands for it. It ends with its last
 * process, and what is in it ends too: a veth's other end included. So nothing has to be removed.
 *
 * References: network_namespaces(7), unshare(2).
 */
import { CLONE_NEWNET, unshare } from "./libc.ts";
import { IFF_UP, RouteSocket } from "./rtnetlink.ts";

/** Needs CAP_SYS_ADMIN. The new namespace holds a loopback device, which is switched on. */
export function enterNewNetworkNamespace(): void {
  unshare(CLONE_NEWNET);
  const route = new RouteSocket();
  try {
    const loopback = route.link("lo");
    if (loopback !== undefined) route.setLink(loopback.ifindex, {}, IFF_UP, IFF_UP);
  } finally {
    route.close();
  }
}
