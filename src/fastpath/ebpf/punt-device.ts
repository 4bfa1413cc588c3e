/**
 * The TAP device through which packets reach the process (../punts.ts). Nobody else is to send on it:
 * it has no addresses, and IPv6 is switched off on it before it goes up.
 */
import { existsSync, writeFileSync } from "node:fs";
import { close, ERRNO, SystemError } from "../../linux/libc.ts";
import { IFF_UP, RouteSocket } from "../../linux/rtnetlink.ts";
import { openTap, type Tap } from "../../linux/tap.ts";
import { PUNT_QUEUE } from "../punts.ts";

/** Programs redirect into it whatever its MTU is, but the kernel's own checks read it. */
const MTU = 65_521;
const NOARP = 0x80;
/** So many datapaths in one network namespace. */
const MOST = 64;

export interface PuntDevice extends Tap {
  readonly name: string;
}

/** Makes the device and switches it on. Throws a SystemError. */
export function openPuntDevice(): PuntDevice {
  for (let i = 0;; i++) {
    const name = `solovs-punt${i}`;
    try {
      const tap = openTap(name);
      try {
        prepare(name, tap);
      } catch (error) {
        close(tap.fd);
        throw error;
      }
      return { ...tap, name };
    } catch (error) {
      const taken = error instanceof SystemError &&
        (error.errno === ERRNO.EBUSY || error.errno === ERRNO.EINVAL);
      if (!taken || i >= MOST) throw error;
    }
  }
}

function prepare(name: string, { ifindex }: Tap): void {
  // Seen through this thread's network namespace.
  const ipv6 = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
  if (existsSync(ipv6)) writeFileSync(ipv6, "1");
  const route = new RouteSocket();
  try {
    route.setLink(ifindex, { mtu: MTU, txQueueLength: PUNT_QUEUE });
    route.setLink(ifindex, {}, IFF_UP | NOARP, IFF_UP | NOARP);
  } finally {
    route.close();
  }
}
