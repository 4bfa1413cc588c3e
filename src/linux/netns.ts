/**
 * Network namespaces of processes.
 *
 * unshare(2) moves the calling thread only. A process that wants a namespace of its own calls
 * `enterNewNetworkNamespace` first thing, before it opens a socket or starts a thread: threads and
 * children made later are born into it, and `/proc/PID/ns/net` stands for it. It ends with its last
 * process, and what is in it ends too: a veth's other end included. So nothing has to be removed.
 *
 * References: network_namespaces(7), unshare(2), asm-generic/socket.h (SO_NETNS_COOKIE).
 */
import { AF_INET } from "./addresses.ts";
import { SOL_SOCKET } from "./af-packet.ts";
import {
  CLONE_NEWNET,
  close,
  getsockopt,
  O_CLOEXEC,
  socket,
  SystemError,
  unshare,
} from "./libc.ts";
import { IFF_UP, RouteSocket } from "./rtnetlink.ts";

const SOCK_DGRAM = 2;
const SO_NETNS_COOKIE = 71;

/**
 * What tells this thread's namespace from all others since the machine was started: unlike its inode
 * number, which another one gets when it has gone. Undefined before Linux 5.14.
 */
export function namespaceCookie(): string | undefined {
  let fd = -1;
  try {
    fd = socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0);
    const value = new BigUint64Array(1);
    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, new Uint8Array(value.buffer));
    return String(value[0]);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return undefined;
  } finally {
    if (fd >= 0) close(fd);
  }
}

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
