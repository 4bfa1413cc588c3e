/**
 * Which action lists need state that all packets of a connection, a meter or a tunnel must meet in one
 * place: with several forwarding threads, one of them owns it.
 */
import type { DpAction } from "../actions.ts";

/** GRE's sequence numbers count the packets of a tunnel (RFC 2890). */
const GRE_SEQUENCE = 0x1000;

/** `isOwnedPort`: only the owner can send by it. */
export function isOwned(
  actions: readonly DpAction[],
  isOwnedPort: (port: number) => boolean,
): boolean {
  for (const action of actions) {
    switch (action.type) {
      case "ct":
      case "meter":
        return true;
      case "output":
        if (isOwnedPort(action.port)) return true;
        break;
      case "clone":
      case "sample":
        if (isOwned(action.actions, isOwnedPort)) return true;
        break;
      case "check_pkt_len":
        if (isOwned(action.greater, isOwnedPort)) return true;
        if (isOwned(action.lessEqual, isOwnedPort)) return true;
        break;
      case "tnl_push":
        if (action.kind === "gre" && hasSequence(action.header)) return true;
        break;
    }
  }
  return false;
}

/** `header`: Ethernet, IPv4 or IPv6 without options, GRE. */
function hasSequence(header: Uint8Array): boolean {
  const greAt = 14 + (header[12] === 0x86 ? 40 : 20);
  const flags = ((header[greAt] ?? 0) << 8) | (header[greAt + 1] ?? 0);
  return (flags & GRE_SEQUENCE) !== 0;
}
