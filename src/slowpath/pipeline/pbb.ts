/**
 * `push_pbb` and `pop_pbb`: provider backbone bridging (IEEE 802.1ah; OpenFlow 1.3.5 §5.12.1).
 *
 *      0        3   4    5       8                    32
 *     +--------+---+----+-------+---------------------+
 *     | I-PCP  |DEI|UCA | res.  | I-SID               |   the I-TAG's TCI
 *     +--------+---+----+-------+---------------------+
 *
 * The pushed header has the packet's own addresses; its priority is that of the VLAN tag, its service
 * that of a header which is there already. What is inside is hidden until it is popped.
 */
import { slot } from "../../packet/layout.ts";
import { AT, lookSlot, setU16, setU32, u16, u32, VLAN_PCP } from "./bits.ts";
import { triggerFreeze } from "./freeze.ts";
import { clearUpperLayers } from "./mpls.ts";
import { setTags } from "./tags.ts";
import type { Xlate } from "./xlate.ts";

const ETH_PBB = 0x88e7;
const TCI = slot("pbb_tci").offset;
const SERVICE = 0x00ffffff;

export function pushPbb(x: Xlate, ethType: number): void {
  x.commit();
  const { key, base, mask } = x;
  lookSlot(mask, "pbb_tci");
  lookSlot(mask, "vlan_tci");
  const service = u16(key, AT.ethType) === ETH_PBB ? u32(key, TCI) & SERVICE : 0;
  const tci = (((u16(key, AT.vlanTci) & VLAN_PCP) << 16) | service) >>> 0;
  x.emit({ type: "push_pbb", ethType, tci });
  for (const each of [key, base]) {
    setTags(each, []);
    clearUpperLayers(each);
    each.bytes.fill(0, AT.mpls, AT.mpls + 12);
    setU16(each, AT.ethType, ethType);
    setU32(each, TCI, service);
  }
}

/** True when the packet must be parsed again before anything else is done. */
export function popPbb(x: Xlate): boolean {
  if (u16(x.key, AT.ethType) !== ETH_PBB) return false;
  x.commit();
  x.emit({ type: "pop_pbb" });
  triggerFreeze(x);
  return true;
}
