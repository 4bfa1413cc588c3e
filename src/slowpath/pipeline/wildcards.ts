/** The mask of a translation made ready for a datapath: what headers cannot tell is left out. */
import type { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, KEY_WORDS, type Slot, slot } from "../../packet/layout.ts";
import {
  AT,
  ETH_IP,
  ETH_IPV6,
  FRAG_LATER,
  isMplsType,
  look16,
  setU16,
  u16,
  u32,
  VLAN_CFI,
  VLAN_VID,
} from "./bits.ts";
import { MAX_LABELS } from "./mpls.ts";

/** The tunnel's slots are side by side. */
const TUNNEL_WORD = slot("tun_id").offset / 4;
const TUNNEL_WORDS_END = (slot("tun_metadata").offset + slot("tun_metadata").bytes) / 4;
const TUNNEL_DST = slot("tun_dst");
const TUNNEL_IPV6_DST = slot("tun_ipv6_dst");
const ICMP = 1;
const ICMPV6 = 58;

/**
 * `key`: the packet's key at the end, `original`: as it came up. Bits of headers that the packet did not have, and that
 * actions gave it, do not count: the Ethernet type and the presence of a tag tell such packets apart.
 */
export function finishMask(key: FlowKey, mask: FlowKey, original: FlowKey): void {
  const { bytes, words } = mask;
  // Loops: these are short, and this runs for each packet that comes up.
  for (let i = DP_KEY_WORDS; i < KEY_WORDS; i++) words[i] = 0;
  if (u32(original, AT.packetType) !== 0) {
    bytes.fill(0, AT.ethDst, AT.ethDst + 6);
    bytes.fill(0, AT.ethSrc, AT.ethSrc + 6);
  }
  const type = u16(key, AT.ethType);
  const protocol = key.bytes[AT.nwProto];
  if ((type === ETH_IP && protocol === ICMP) || (type === ETH_IPV6 && protocol === ICMPV6)) {
    // They have eight bits each; that they have no more, the protocol says.
    if (bytes[AT.tpSrc] || bytes[AT.tpDst]) bytes[AT.nwProto] = 0xff;
    bytes[AT.tpSrc] = 0;
    bytes[AT.tpDst] = 0;
  }
  if (u16(mask, AT.vlanTci) !== 0) look16(mask, AT.vlanTci, VLAN_CFI);
  if (u16(mask, AT.vlan2Tci) !== 0) look16(mask, AT.vlan2Tci, VLAN_CFI);
  if (key.bytes[AT.nwFrag]! & FRAG_LATER) {
    // Later fragments have no ports, whatever rules wanted to know.
    setU16(mask, AT.tpSrc, 0);
    setU16(mask, AT.tpDst, 0);
  }
  if (!isMplsType(u16(original, AT.ethType))) {
    for (let i = 0; i < MAX_LABELS; i++) words[(AT.mpls >> 2) + i] = 0;
  }
  clearAbsentTag(original, mask, AT.vlanTci, AT.vlanTpid);
  clearAbsentTag(original, mask, AT.vlan2Tci, AT.vlan2Tpid);
  if (!isSet(original, TUNNEL_DST) && !isSet(original, TUNNEL_IPV6_DST)) {
    for (let i = TUNNEL_WORD; i < TUNNEL_WORDS_END; i++) words[i] = 0;
  }
}

function clearAbsentTag(original: FlowKey, mask: FlowKey, tci: number, tpid: number): void {
  if (u16(original, tci) & VLAN_CFI) return;
  setU16(mask, tci, 0);
  setU16(mask, tpid, 0);
}

function isSet({ bytes }: FlowKey, { offset, bytes: length }: Slot): boolean {
  for (let i = offset; i < offset + length; i++) if (bytes[i] !== 0) return true;
  return false;
}

/**
 * The mask with which a megaflow is installed: whether there is a tag, and of which VLAN, is always
 * matched, so that a packet with one never takes the way of those without. Of a second tag, whether
 * it is there is enough.
 */
export function withTags(key: FlowKey, mask: FlowKey): void {
  if (u16(mask, AT.vlanTci) === 0) setU16(mask, AT.vlanTci, VLAN_VID | VLAN_CFI);
  if (!(u16(key, AT.vlanTci) & VLAN_CFI)) return;
  setU16(mask, AT.vlanTpid, 0xffff);
  look16(mask, AT.vlan2Tci, VLAN_CFI);
  if (u16(key, AT.vlan2Tci) & VLAN_CFI) setU16(mask, AT.vlan2Tpid, 0xffff);
}
