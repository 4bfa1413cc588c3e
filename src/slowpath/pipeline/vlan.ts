/**
 * How a bundle's VLAN columns (tag, trunks, vlan_mode, priority-tags) turn the tags of a packet on
 * the wire into the VLAN in which NORMAL switches it, and back. Behaviour of Open vSwitch's
 * `Port.vlan_mode` (ovs-vswitchd.conf.db(5), "VLAN Configuration"); IEEE 802.1Q-2018 §6.9.
 */
import type { FlowKey } from "../../packet/key.ts";
import { AT, look16, u16, VLAN_CFI, VLAN_PCP, VLAN_VID } from "./bits.ts";
import { setTags } from "./tags.ts";
import type { BundleModel } from "./model.ts";

/** A packet's VLANs inside the bridge; `[0]` is the one that it is switched in. */
export interface Vlans {
  readonly outer: Tag;
  readonly inner: Tag;
}
interface Tag {
  readonly vid: number;
  /** In place: bits 15..13. */
  readonly pcp: number;
  /** 0: none. */
  readonly tpid: number;
}

const NO_TAG: Tag = { vid: 0, pcp: 0, tpid: 0 };
const TPID_8021Q = 0x8100;
const TPID_8021AD = 0x88a8;

function tagAt(key: FlowKey, tciAt: number, tpidAt: number): Tag | undefined {
  const tci = u16(key, tciAt);
  const tpid = u16(key, tpidAt);
  if (!(tci & VLAN_CFI) || (tpid !== TPID_8021Q && tpid !== TPID_8021AD)) return undefined;
  return { vid: tci & VLAN_VID, pcp: tci & VLAN_PCP, tpid };
}

/** The tags that the packet bears. */
export function wireVlans(key: FlowKey): Vlans {
  const outer = tagAt(key, AT.vlanTci, AT.vlanTpid);
  const inner = outer && tagAt(key, AT.vlan2Tci, AT.vlan2Tpid);
  return { outer: outer ?? NO_TAG, inner: inner ?? NO_TAG };
}

/** Does a trunk carry the VLAN? A native VLAN is always carried. */
export function trunks({ vlan }: BundleModel, vid: number): boolean {
  return vlan.trunks === undefined || vlan.trunks.has(vid) ||
    ((vlan.mode === "native-tagged" || vlan.mode === "native-untagged") && vid === vlan.tag);
}

/** May a packet with this outer VID (0: no tag) come in through the bundle? */
export function admitsVid(bundle: BundleModel, vid: number): boolean {
  const { mode, cvlans } = bundle.vlan;
  switch (mode) {
    case "access":
      return vid === 0;
    case "native-tagged":
    case "native-untagged":
      return vid === 0 || trunks(bundle, vid);
    case "trunk":
      return trunks(bundle, vid);
    case "dot1q-tunnel":
      return cvlans === undefined || cvlans.has(vid);
    default: {
      const never: never = mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
}

/** The VLANs inside the bridge of a packet that came in through the bundle. */
export function innerVlans({ vlan }: BundleModel, wire: Vlans): Vlans {
  const { outer } = wire;
  const inOwnVlan: Tag = { vid: vlan.tag, pcp: outer.pcp, tpid: outer.tpid || TPID_8021Q };
  switch (vlan.mode) {
    case "access":
      return { outer: inOwnVlan, inner: NO_TAG };
    case "trunk":
      return wire;
    case "native-tagged":
    case "native-untagged":
      return outer.vid === 0 ? { outer: inOwnVlan, inner: wire.inner } : wire;
    case "dot1q-tunnel":
      return { outer: { vid: vlan.tag, pcp: 0, tpid: vlan.qinqTpid ?? TPID_8021AD }, inner: outer };
    default: {
      const never: never = vlan.mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
}

/** Does the bundle belong to the packet's VLAN, so that it gets floods in it? */
export function includes(bundle: BundleModel, { outer, inner }: Vlans): boolean {
  const { mode, tag, cvlans } = bundle.vlan;
  switch (mode) {
    case "access":
      return outer.vid === tag && inner.vid === 0;
    case "dot1q-tunnel":
      return outer.vid === tag && (cvlans === undefined || cvlans.has(inner.vid));
    case "trunk":
    case "native-tagged":
    case "native-untagged":
      return trunks(bundle, outer.vid);
    default: {
      const never: never = mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
}

/** Writes into `key` the tags with which the packet leaves through the bundle. */
export function putWireVlans(
  { vlan }: BundleModel,
  vlans: Vlans,
  key: FlowKey,
  mask: FlowKey,
): void {
  let out: Vlans;
  switch (vlan.mode) {
    case "access":
      out = { outer: NO_TAG, inner: NO_TAG };
      break;
    case "trunk":
    case "native-tagged":
      out = vlans;
      break;
    case "native-untagged":
      out = vlans.outer.vid === vlan.tag ? { outer: vlans.inner, inner: NO_TAG } : vlans;
      break;
    case "dot1q-tunnel":
      out = { outer: vlans.inner, inner: NO_TAG };
      break;
    default: {
      const never: never = vlan.mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
  const always = vlan.priorityTags === "always";
  let { outer } = out;
  if (vlan.priorityTags !== "no") {
    const tci = u16(key, AT.vlanTci);
    // The priority of the tag that came in, or the tag that the packet has inside the bridge.
    outer = { ...outer, pcp: tci & VLAN_PCP };
    if (tci & VLAN_CFI) look16(mask, AT.vlanTci, VLAN_PCP);
    if (always && outer.tpid === 0) outer = { ...outer, tpid: TPID_8021Q };
  }
  // Whether a tag without VLAN stays depends on its priority; without a tag there is none.
  if (outer.vid === 0 && (u16(key, AT.vlanTci) & VLAN_CFI)) look16(mask, AT.vlanTci, VLAN_PCP);
  const list: { tci: number; tpid: number }[] = [];
  const tci = outer.vid | outer.pcp;
  if (tci !== 0 || (always && outer.tpid !== 0)) {
    list.push({ tci: tci | VLAN_CFI, tpid: outer.tpid || TPID_8021Q });
  }
  const { inner } = out;
  if (inner.tpid !== 0) list.push({ tci: inner.vid | inner.pcp | VLAN_CFI, tpid: inner.tpid });
  setTags(key, list);
}
