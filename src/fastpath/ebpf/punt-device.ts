/**
 * The TAP device through which packets reach the process (../punts.ts). Nobody else is to send on it:
 * it has no addresses, and the kernel is told to make none for IPv6 before it goes up.
 */
import { existsSync } from "node:fs";
import { close, ERRNO, SystemError } from "../../linux/libc.ts";
import { IFF_UP, IN6_ADDR_GEN_MODE_NONE, RouteSocket } from "../../linux/rtnetlink.ts";
import { openTap, setTapPersistent, type Tap } from "../../linux/tap.ts";
import { PUNT_QUEUE } from "../punts.ts";

/** Programs redirect into it whatever its MTU is, but the kernel's own checks read it. */
const MTU = 65_521;
const IFF_NOARP = 0x80;
/** So many datapaths in one network namespace. */
const MOST = 64;

export interface PuntDevice extends Tap {
  readonly name: string;
  /** It ends with its descriptor. */
  forget(): void;
}

/**
 * Makes the device and switches it on, or takes over the one called `adopt`. With `alias`, which says
 * whose it is, it outlives the process. Throws a SystemError.
 */
export function openPuntDevice(alias: string | undefined, adopt?: string): PuntDevice {
  if (adopt !== undefined) return prepare(adopt, openTap(adopt, { adopt: true }), alias);
  for (let i = 0;; i++) {
    const name = `solovs-punt${i}`;
    try {
      return prepare(name, openTap(name), alias);
    } catch (error) {
      const taken = error instanceof SystemError &&
        (error.errno === ERRNO.EBUSY || error.errno === ERRNO.EINVAL);
      if (!taken || i >= MOST) throw error;
    }
  }
}

function prepare(name: string, tap: Tap, alias: string | undefined): PuntDevice {
  try {
    const route = new RouteSocket();
    try {
      const own = alias === undefined ? {} : { alias };
      route.setLink(tap.ifindex, { mtu: MTU, txQueueLength: PUNT_QUEUE, ...own });
      // Without an address nothing asks for routers. Not by disable_ipv6: containers have /proc/sys
      // read-only. A kernel without IPv6 would refuse the attribute.
      if (existsSync("/proc/sys/net/ipv6")) {
        const families = { inet6: { addressMode: IN6_ADDR_GEN_MODE_NONE } };
        route.setLink(tap.ifindex, { families });
      }
      route.setLink(tap.ifindex, {}, IFF_UP | IFF_NOARP, IFF_UP | IFF_NOARP);
    } finally {
      route.close();
    }
    if (alias !== undefined) setTapPersistent(tap.fd, true);
    return { ...tap, name, forget: () => setTapPersistent(tap.fd, false) };
  } catch (error) {
    close(tap.fd);
    throw error;
  }
}
