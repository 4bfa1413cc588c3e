/**
 * NORMAL and bonds: which packets a bond takes from a member, and by which member it sends one.
 *
 * A bond that balances connections has the datapath hash the packet: it comes back with the bond's
 * recirculation id, and a rule of the switch's own table sends it by the member of its hash. So the
 * megaflow before that matches no more than others, and one more for each hash does the rest.
 */
import { macNumber } from "../bridge/learning.ts";
import { AT, u16, VLAN_CFI, VLAN_VID } from "./bits.ts";
import type { BondModel, BundleModel, PortModel } from "./model.ts";
import { isGratuitousArp } from "./normal.ts";
import { outputToPort } from "./output.ts";
import type { Xlate } from "./xlate.ts";

/** Why a packet that came by a member of the bond is dropped; undefined: it is not. */
export function bondRefusal(
  x: Xlate,
  from: BundleModel,
  port: PortModel,
  vlan: number,
): string | undefined {
  x.unlike();
  const { key, mask } = x;
  const isMulticast = (key.bytes[AT.ethDst]! & 1) !== 0;
  const verdict = from.bond!.admits(port, isMulticast);
  switch (verdict) {
    case "accept":
      return undefined;
    case "drop":
      return "bonding refused admissibility, dropping";
    case "drop if moved": {
      const source = macNumber(key.bytes, AT.ethSrc);
      const known = x.lookupMac(vlan, source);
      if (!known || known === from) return undefined;
      // A station that says that it has moved is believed, unless it has just said so elsewhere.
      if (isGratuitousArp(key, mask) && x.bridge.macs.wouldChange(vlan, source, from, true)) {
        return undefined;
      }
      return "SLB bond thinks this packet looped back, dropping";
    }
    default: {
      const never: never = verdict;
      throw new Error(`verdict ${never}`);
    }
  }
}

/** By the member that the bond chooses; the key has the tags that the packet leaves with. */
export function outputToBond(x: Xlate, bond: BondModel): void {
  x.unlike();
  const { key } = x;
  const tci = u16(key, AT.vlanTci);
  const vlan = tci & VLAN_CFI ? tci & VLAN_VID : 0;
  const { recirculation } = bond;
  const chosen = bond.choose(key, recirculation ? undefined : x.mask, vlan);
  if (!chosen) return;
  const { port, bucket } = chosen;
  if (recirculation) return outputToPort(x, port.ofport, { balances: recirculation });
  if (bucket !== undefined) x.effect({ type: "bond", bond, bucket });
  outputToPort(x, port.ofport, {});
}
