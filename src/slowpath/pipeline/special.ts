/**
 * Messages of protocols that the switch itself speaks on a port: they do not enter the tables, and
 * every one of them must come up.
 */
import { AT, u16 } from "./bits.ts";
import type { PortModel } from "./model.ts";
import type { Xlate } from "./xlate.ts";

const ETH_SLOW_PROTOCOLS = 0x8809;

/** True if the packet is one; its effect is that the protocol gets it. */
export function isSpecial(x: Xlate, from: PortModel): boolean {
  const { sessions } = from;
  if (sessions) {
    if (sessions.countsPackets) x.effect({ type: "touch", touch: () => sessions.counted() });
    const kind = sessions.claims(x.key, x.mask);
    if (kind) {
      const { packet } = x;
      if (packet) x.effect({ type: "touch", touch: () => sessions.receive(kind, packet) });
      x.slow.add(kind);
      x.uncacheable = true;
      return true;
    }
  }
  const { lacp } = from.bundle;
  if (!lacp || u16(x.key, AT.ethType) !== ETH_SLOW_PROTOCOLS) return false;
  const { packet } = x;
  if (packet) x.effect({ type: "touch", touch: () => lacp.receive(from, packet) });
  x.slow.add("lacp");
  x.uncacheable = true;
  return true;
}
