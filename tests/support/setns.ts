/** Runs a synchronous piece of the test inside another network namespace. */
import { Libc } from "./libc.ts";

/**
 * Calls `body` with the calling thread in the namespace at `path`, and comes back, also when it
 * throws. Sockets that `body` opens belong to that namespace for good, which is how a controller
 * or a raw port inside the test process talks to a switch that runs in a namespace. `body` must not
 * await: other code would run in the wrong place.
 */
export function withinNamespace<T>(path: string, body: () => T): T {
  const libc = new Libc();
  const home = libc.openReadOnly("/proc/thread-self/ns/net");
  try {
    const there = libc.openReadOnly(path);
    try {
      libc.setNetworkNamespace(there);
    } finally {
      libc.close(there);
    }
    try {
      return body();
    } finally {
      libc.setNetworkNamespace(home);
    }
  } finally {
    libc.close(home);
  }
}
