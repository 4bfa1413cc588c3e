/**
 * Which ports of a bridge must give up their OpenFlow numbers so that those who asked for one
 * (`ofport_request`) can have it. As in Open vSwitch, that is looked at when the configuration
 * changes: a port that comes while its number is taken gets another at first.
 */
import { requestedOfport } from "./attach.ts";
import type { Bridge } from "./bridge.ts";
import type { BridgePort } from "./ports.ts";
import { findInterface, interfacesOf, type WantedBridge } from "./wanted.ts";

/** `off`: ports that go anyhow. */
export function portsToRenumber(
  bridge: Bridge,
  want: WantedBridge,
  off: ReadonlyMap<BridgePort, string>,
): ReadonlySet<BridgePort> {
  const renumbered = new Set<BridgePort>();
  for (const [iface] of interfacesOf(want)) {
    const request = requestedOfport(iface);
    const attached = bridge.portByName(iface.name);
    if (request === undefined || !attached || attached.isLocal || attached.ofport === request) {
      continue;
    }
    const holder = bridge.ports.get(request);
    if (holder && !off.has(holder) && !renumbered.has(holder)) {
      // Whoever asked for the number keeps it; another has to make room.
      const holderWants = findInterface(want, holder.name)?.row?.ofport_request;
      if (holderWants === request) continue;
      renumbered.add(holder);
    }
    if (!off.has(attached)) renumbered.add(attached);
  }
  return renumbered;
}
