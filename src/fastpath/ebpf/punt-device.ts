/**
 * The TAP device through which packets reach the process (../punts.ts). Nobody else is to send on it:
 * it has no addresses, and IPv6 is switched off on it before it goes up.
 */
import { existsSync, writeFileSync } from "node:fs";
import { close, ERRNO, SystemError } from "../../linux/libc.ts";
import { IFF_UP, RouteSocket } from "../../linux/rtnetlink.ts";
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
 * Makes the device and switches it on, or takes over the one called `adopt`. With `persistent` it
 * outlives the process. Throws a SystemError.
 */
export function openPuntDevice(persistent: boolean, adopt?: string): PuntDevice {
  if (adopt !== undefined) return prepare(adopt, openTap(adopt, { adopt: true }), persistent);
  for (let i = 0;; i++) {
    const name = `solovs-punt${i}`;
    try {
      return prepare(name, openTap(name), persistent);
    } catch (error) {
      const taken = error instanceof SystemError &&
        (error.errno === ERRNO.EBUSY || error.errno === ERRNO.EINVAL);
      if (!taken || i >= MOST) throw error;
    }
  }
}

function prepare(name: string, tap: Tap, persistent: boolean): PuntDevice {
  try {
    // Seen through this thread's network namespace.
    const ipv6 = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
    if (existsSync(ipv6)) writeFileSync(ipv6, "1");
    const route = new RouteSocket();
    try {
      route.setLink(tap.ifindex, { mtu: MTU, txQueueLength: PUNT_QUEUE });
      route.setLink(tap.ifindex, {}, IFF_UP | IFF_NOARP, IFF_UP | IFF_NOARP);
    } finally {
      route.close();
    }
    if (persistent) setTapPersistent(tap.fd, true);
    return { ...tap, name, forget: () => setTapPersistent(tap.fd, false) };
  } catch (error) {
    close(tap.fd);
    throw error;
  }
}
