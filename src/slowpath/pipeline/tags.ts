/** The VLAN tags of a key: at most two, outermost first (IEEE 802.1Q-2018 §9). */
import type { FlowKey } from "../../packet/key.ts";
import { AT, lookBytes, setU16, u16, VLAN_CFI } from "./bits.ts";
import type { Xlate } from "./xlate.ts";

export interface Tag {
  /** With VLAN_CFI. */
  readonly tci: number;
  readonly tpid: number;
}

const TPID_8021Q = 0x8100;

/** The VLAN tags, outermost first. */
export function tags(key: FlowKey): Tag[] {
  const outer = tag(key, AT.vlanTci, AT.vlanTpid);
  if (!outer) return [];
  const inner = tag(key, AT.vlan2Tci, AT.vlan2Tpid);
  return inner ? [outer, inner] : [outer];
}

function tag(key: FlowKey, tciAt: number, tpidAt: number): Tag | undefined {
  const tci = u16(key, tciAt);
  return tci & VLAN_CFI ? { tci, tpid: u16(key, tpidAt) || TPID_8021Q } : undefined;
}

export function setTags(key: FlowKey, list: readonly Tag[]): void {
  setU16(key, AT.vlanTci, list[0]?.tci ?? 0);
  setU16(key, AT.vlanTpid, list[0]?.tpid ?? 0);
  setU16(key, AT.vlan2Tci, list[1]?.tci ?? 0);
  setU16(key, AT.vlan2Tpid, list[1]?.tpid ?? 0);
}

/** Puts the tags of `from` into `key`, as they are. */
export function copyTags(from: FlowKey, key: FlowKey): void {
  for (const at of PLACES) setU16(key, at, u16(from, at));
}

const PLACES = [AT.vlanTci, AT.vlanTpid, AT.vlan2Tci, AT.vlan2Tpid];

function lookTag(mask: FlowKey, n: number): void {
  lookBytes(mask, n === 0 ? AT.vlanTci : AT.vlan2Tci, 2);
  lookBytes(mask, n === 0 ? AT.vlanTpid : AT.vlan2Tpid, 2);
}

/**
 * A new outer tag of VLAN 0 and priority 0. OpenFlow (1.3.5 §5.12.1) would copy those of the tag that
 * was; Open vSwitch does not, nor a bridge that is not told to.
 */
export function pushTag({ key, mask, bridge }: Xlate, tpid: number): void {
  const list = tags(key);
  for (let n = 0; n < list.length; n++) lookTag(mask, n);
  const tci = (bridge.standardPush && list[0]?.tci) || VLAN_CFI;
  setTags(key, [{ tci, tpid }, ...list]);
}

export function popTag({ key, mask }: Xlate): void {
  const list = tags(key);
  for (let n = 1; n < list.length; n++) lookTag(mask, n);
  setTags(key, list.slice(1));
}

/** Appends what gives the packet the key's tags; the innermost that are equal stay. */
export function commitTags(x: Xlate): void {
  const { key, base, mask } = x;
  if (PLACES.every((at) => u16(key, at) === u16(base, at))) return;
  const wanted = tags(key);
  const have = tags(base);
  let w = wanted.length;
  let h = have.length;
  while (
    w > 0 && h > 0 && wanted[w - 1]!.tci === have[h - 1]!.tci &&
    wanted[w - 1]!.tpid === have[h - 1]!.tpid
  ) {
    w--;
    h--;
  }
  for (; h > 0; h--) {
    x.emit({ type: "pop_vlan" });
    lookTag(mask, h - 1);
  }
  for (; w > 0; w--) {
    const { tpid, tci } = wanted[w - 1]!;
    x.emit({ type: "push_vlan", tpid, tci: tci & ~VLAN_CFI & 0xffff });
  }
  copyTags(key, base);
}
