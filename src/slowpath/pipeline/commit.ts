/**
 * Turns the difference between the packet as the datapath has it (`base`) and as the pipeline wants
 * it (`key`) into datapath actions, just before something is done with the packet.
 *
 * Actions that change headers only change the key. So what is set and set back costs nothing, what
 * is set twice is set once, and a packet that goes to two bridges is put back in between.
 *
 * Each bit that differs was written by an action, and an action's written bits are in the mask: all
 * packets of the megaflow have the same value there, so it is right to leave out a `set` to the
 * value that the packet already has. A `set` covers the slot's bits that are in the mask; those not
 * written keep, by the same argument, their value.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, type Slot, slot, type SlotName } from "../../packet/layout.ts";
import { AT, lookSlot, setU16, u16, VLAN_CFI } from "./bits.ts";

const SETTABLE: readonly Slot[] = ([
  "eth_src",
  "eth_dst",
  "nw_src",
  "nw_dst",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "arp_sha",
  "arp_tha",
  "nd_target",
  "nd_reserved",
  "nd_options_type",
  "tp_src",
  "tp_dst",
  "skb_priority",
  "pkt_mark",
] satisfies SlotName[]).map(slot);

interface Tag {
  readonly tci: number;
  readonly tpid: number;
}

/** The VLAN tags, outermost first. */
export function tags(key: FlowKey): Tag[] {
  const outer = tag(key, AT.vlanTci, AT.vlanTpid);
  if (!outer) return [];
  const inner = tag(key, AT.vlan2Tci, AT.vlan2Tpid);
  return inner ? [outer, inner] : [outer];
}

function tag(key: FlowKey, tciAt: number, tpidAt: number): Tag | undefined {
  const tci = u16(key, tciAt);
  return tci & VLAN_CFI ? { tci, tpid: u16(key, tpidAt) || 0x8100 } : undefined;
}

export function setTags(key: FlowKey, list: readonly Tag[]): void {
  setU16(key, AT.vlanTci, list[0]?.tci ?? 0);
  setU16(key, AT.vlanTpid, list[0]?.tpid ?? 0);
  setU16(key, AT.vlan2Tci, list[1]?.tci ?? 0);
  setU16(key, AT.vlan2Tpid, list[1]?.tpid ?? 0);
}

/** Both tags are looked at whole: how many there are, and what is in them. */
export function lookTags(mask: FlowKey): void {
  lookSlot(mask, "vlan_tci");
  lookSlot(mask, "vlan_tpid");
  lookSlot(mask, "vlan2_tci");
  lookSlot(mask, "vlan2_tpid");
}

/** Appends what makes `base` into `key`, and makes them equal. */
export function commit(key: FlowKey, base: FlowKey, mask: FlowKey, actions: DpAction[]): void {
  // Most outputs find nothing changed.
  let changed = false;
  for (let i = 0; i < DP_KEY_WORDS && !changed; i++) changed = key.words[i] !== base.words[i];
  if (!changed) return;
  commitVlan(key, base, mask, actions);
  for (const { name, offset, bytes } of SETTABLE) {
    let differs = false;
    for (let i = offset; i < offset + bytes; i++) {
      if (key.bytes[i] !== base.bytes[i]) differs = true;
    }
    if (!differs) continue;
    const looked = mask.bytes.slice(offset, offset + bytes);
    const value = key.bytes.slice(offset, offset + bytes);
    for (let i = 0; i < bytes; i++) value[i]! &= looked[i]!;
    actions.push({ type: "set", slot: name, value, mask: looked });
    base.bytes.set(key.bytes.subarray(offset, offset + bytes), offset);
  }
}

function commitVlan(key: FlowKey, base: FlowKey, mask: FlowKey, actions: DpAction[]): void {
  if (
    u16(key, AT.vlanTci) === u16(base, AT.vlanTci) &&
    u16(key, AT.vlanTpid) === u16(base, AT.vlanTpid) &&
    u16(key, AT.vlan2Tci) === u16(base, AT.vlan2Tci) &&
    u16(key, AT.vlan2Tpid) === u16(base, AT.vlan2Tpid)
  ) return;
  const wanted = tags(key);
  const have = tags(base);
  // Innermost tags that are equal stay.
  let w = wanted.length;
  let h = have.length;
  while (
    w > 0 && h > 0 && wanted[w - 1]!.tci === have[h - 1]!.tci &&
    wanted[w - 1]!.tpid === have[h - 1]!.tpid
  ) {
    w--;
    h--;
  }
  if (w > 0 || h > 0) lookTags(mask);
  for (; h > 0; h--) actions.push({ type: "pop_vlan" });
  for (; w > 0; w--) {
    const { tpid, tci } = wanted[w - 1]!;
    actions.push({ type: "push_vlan", tpid, tci: tci & ~VLAN_CFI & 0xffff });
  }
  for (const at of [AT.vlanTci, AT.vlanTpid, AT.vlan2Tci, AT.vlan2Tpid]) {
    setU16(base, at, u16(key, at));
  }
}
